"""Every function of the table gives NumPy's own values, errors included: random calls of it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from autograd_lite.engine.recording import bare
from tests.calls import Call, calls, templates

TEMPLATES = templates()
# What a call that requires a gradient may be refused for, though NumPy has a value.
REFUSALS = re.compile(
    "no derivative rule covers|has no derivative|only real floating-point results|"
    "would lose its derivative|cannot hold a tensor's result|only real results have a gradient|"
    "are arbitrary and have no derivative|writes into an array|append a 0 to those of 2|read-only"
)
INTERNAL = re.compile(
    r"<lambda>|<locals>|NoneType|list index|autograd_lite\.|\b_[a-z]+\w*\(|\bself\b"
)


class Outcome:
    """What came of a call: a value, or an error."""

    def __init__(self, compute: Callable[[], Any]) -> None:
        self.error: Exception | None = None
        self.value: Any = None
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.value = compute()
        except Exception as error:
            self.error = error

    def __repr__(self) -> str:
        return repr(self.value) if self.error is None else f"raises {self.error!r}"

    @property
    def parts(self) -> list[np.ndarray]:
        """The arrays of the value, those in tuples and lists one after another."""
        return list(_parts(bare(self.value)))


def _parts(value: Any) -> Iterable[np.ndarray]:
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from _parts(bare(item))
    else:
        yield np.asarray(value)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are the same to the last bit; nan is nan."""
    return (
        a.shape == b.shape
        and a.dtype == b.dtype
        and bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"))
    )


def differs(found: Outcome, numpy: Outcome, close: Callable[..., bool]) -> str:
    """Return how an outcome differs from NumPy's; nothing if it does not."""
    if numpy.error is not None:
        return "" if found.error is not None else f"gives {found}, NumPy {numpy}"
    if found.error is not None:
        return f"{found}, NumPy gives {numpy}"
    a, b = found.parts, numpy.parts
    if len(a) != len(b) or not all(map(close, a, b)):
        return f"gives {found}, NumPy {numpy}"
    return ""
