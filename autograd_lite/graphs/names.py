"""What users call the tensors and arrays of a graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import FrameType
from typing import Any

import numpy as np

from autograd_lite.engine.tensor import Tensor

Named = list[tuple[str, Any]]


def named_values(names: Any) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of all that ``names`` can be: a mapping, pairs, a module."""
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


def names_or_variables(names: Any, caller: FrameType) -> Named:
    """Return the names given or, if there are none, those of the caller's variables.

    Of two variables that hold one tensor the first bound counts, local ones before global ones;
    models, larger ones first, before tensors alone. Tensors with a name of their own keep it; names
    with an underscore in front are left out.
    """
    if names is not None:
        return list(named_values(names))
    variables = dict(caller.f_locals)
    for name, value in dict(caller.f_globals).items():
        variables.setdefault(name, value)
    models: list[Named] = []
    tensors: Named = []
    for name, value in variables.items():
        if not name.isidentifier() or name.startswith("_"):
            continue
        # Asked of the type: what a variable holds may be anything, and answer to any name.
        if hasattr(type(value), "named_parameters"):
            models.append(list(named_values([(name, value)])))
        elif isinstance(value, (Tensor, np.ndarray)):
            tensors.append((name, value))
    found = [*(pair for model in sorted(models, key=len, reverse=True) for pair in model), *tensors]
    return [(name, x) for name, x in found if getattr(x, "name", None) is None]
