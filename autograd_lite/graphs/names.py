"""What users call the tensors and arrays of a graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def named_values(names: Any) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of all that ``names`` can be: a mapping, pairs, a module, None."""
    if names is None:
        return
    if hasattr(names, "named_parameters"):
        names = names.named_parameters()
    pairs = names.items() if isinstance(names, Mapping) else names
    if not isinstance(pairs, Iterable):
        raise TypeError(f"ag.graph: names must be a mapping of names to tensors, not {names!r}")
    for name, value in pairs:
        if hasattr(value, "named_parameters"):
            yield from ((f"{name}.{inner}", p) for inner, p in value.named_parameters())
        elif not str(name).startswith("_"):
            yield str(name), value
