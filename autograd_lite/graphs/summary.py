"""Arrays in few words: small ones whole, larger ones by range, mean, norm and a corner."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from autograd_lite.engine.arrays import held

WHOLE = 1024  # numbers up to which an array is held whole
CORNER = 16  # rows and columns held of a larger one
BINS = 20
BAD = ("", "inf", "nan")  # each worse than the one before
STATISTICS = ("min", "max", "mean", "std", "norm", "zeros", "nans", "infs")


class Summary:
    """What a graph shows of an array; it holds no more than 1,024 numbers of it.

    Attributes
    ----------
    shape, dtype
        Those of the array.
    array : array
        A copy of the array, or of its first rows and columns where it is larger.
    whole : bool
        Whether ``array`` is all of it.
    min, max, mean, std, norm : float
        Of the finite elements; nan where there are none.
    zeros, nans, infs : int
        How many elements are 0, nan, and inf or -inf.
    """

    def __init__(self, array: Any) -> None:
        array = np.asarray(held(array))
        self.shape: tuple[int, ...] = array.shape
        self.dtype = str(array.dtype)
        self.whole = array.size <= WHOLE
        if self.whole:
            self.array = array.copy()
        else:
            self._statistics = _statistics(array)
            first = array.reshape(-1, array.shape[-1])
            self.array = first[:CORNER, :CORNER].copy()

    @cached_property
    def _statistics(self) -> dict[str, Any]:
        return _statistics(self.array)

    def __getattr__(self, name: str) -> Any:
        if name in (*STATISTICS, "histogram"):
            return self._statistics[name]
        raise AttributeError(f"a summary has no {name}")

    @cached_property
    def bad(self) -> int:
        """Return 2 if an element is nan, 1 if one is inf, else 0."""
        if self.whole:
            return badness(self.array)
        return 2 if self.nans else 1 if self.infs else 0

    def __str__(self) -> str:
        """Return the elements where they are at most 8, else range, mean and norm."""
        if self.whole and self.array.size <= 8:
            return nested(self.array)
        text = f"{number(self.min)} to {number(self.max)}, mean {number(self.mean)}"
        return ", ".join([text, f"norm {number(self.norm)}", *self._bad])

    def index(self, place: int) -> tuple[int, ...]:
        """Return where in the array an entry of what is held of it stands."""
        where = np.unravel_index(place, self.array.shape)
        if not self.whole:
            row, column = where
            where = np.unravel_index(row * self.shape[-1] + column, self.shape)
        return tuple(map(int, where))

    def lines(self) -> list[str]:
        """Return the elements of a short array on one line, else range and norm on two."""
        if self.whole and self.array.ndim < 2 and self.array.size <= 6:
            return [nested(self.array)]
        low, high = number(self.min), number(self.max)
        found = [f"{low} … {high}" if low != high else f"all {low}", f"norm {number(self.norm)}"]
        return found + ([", ".join(self._bad)] if self._bad else [])

    @property
    def _bad(self) -> list[str]:
        return [f"{n:,} {what}" for n, what in ((self.nans, "nan"), (self.infs, "inf")) if n]

    def to_json(self, most: int = WHOLE) -> dict[str, Any]:
        """Return the summary as JSON has it: 4 significant digits, nan and inf as strings.

        Of an array of more than ``most`` elements, its first rows and columns.
        """
        array, whole = self.array, self.whole
        if array.size > most:
            side = min(CORNER, math.isqrt(most))
            array, whole = array.reshape(-1, array.shape[-1])[:side, :side], False
        numbers = [plain(x) for x in array.reshape(-1).tolist()]
        return {
            "stats": {key: plain(self._statistics[key]) for key in STATISTICS},
            "hist": self.histogram,
            "preview": {"shape": list(array.shape), "data": numbers, "whole": whole},
        }


def _statistics(array: Any) -> dict[str, Any]:
    numeric = array.astype(np.float64) if array.dtype.kind in "fiub" else np.zeros(0)
    finite = numeric[np.isfinite(numeric)]
    scale = float(np.abs(finite).max(initial=0)) or 1.0  # so that no square overflows
    with np.errstate(all="ignore"):
        found: dict[str, Any] = {
            key: float(getattr(finite, key)()) if finite.size else math.nan
            for key in STATISTICS[:4]
        }
        found["norm"] = scale * float(np.sqrt(np.sum((finite / scale) ** 2)))
    for key, hit in zip(STATISTICS[5:], (numeric == 0, np.isnan(numeric), np.isinf(numeric))):
        found[key] = int(hit.sum())
    low, high = found["min"], found["max"]
    found["histogram"] = None
    if finite.size > 1 and np.spacing(max(-low, high)) * BINS < high - low < math.inf:
        counts, _ = np.histogram(finite, BINS)
        found["histogram"] = {"counts": counts.tolist(), "low": plain(low), "high": plain(high)}
    return found


def badness(value: Any) -> int:
    """Return 2 if nan is in an array, or in one of several, 1 if inf is, else 0."""
    if isinstance(value, (tuple, list)):
        return max(map(badness, value), default=0)
    value = held(value)
    if not isinstance(value, (float, np.ndarray, np.generic)):
        return 0
    array = np.asarray(value)
    if array.dtype.kind not in "fc" or np.isfinite(array).all():
        return 0
    return 2 if np.isnan(array).any() else 1


def number(x: Any) -> str:
    """Return a number with 4 significant digits."""
    if isinstance(x, (bool, int, np.bool_, np.integer)):
        return str(int(x))
    return f"{float(x):.4g}"


def plain(x: Any) -> Any:
    """Return a number for JSON, which has neither nan nor inf."""
    text = number(x)
    return float(text) if math.isfinite(float(text)) else text


def nested(array: Any) -> str:
    """Return an array's elements as nested lists of 4 significant digits."""
    if array.ndim == 0:
        return number(array.item())
    return "[" + ", ".join(nested(np.asarray(item)) for item in array) + "]"


def shape_text(shape: Any) -> str:
    """Return a shape as NumPy writes it, ``(3, 4)``; that of a single number is ``scalar``."""
    if shape and isinstance(shape[0], tuple):
        return " and ".join(map(shape_text, shape))
    return str(tuple(shape)) if shape else "scalar"


def size_text(nbytes: float) -> str:
    """Return a number of bytes in the unit that suits it."""
    for unit in ("B", "KiB", "MiB"):
        if nbytes < 1024:
            return f"{nbytes:,.0f} {unit}" if unit == "B" else f"{nbytes:,.1f} {unit}"
        nbytes /= 1024
    return f"{nbytes:,.1f} GiB"


def counted(count: int, one: str, several: str = "") -> str:
    """Return how many there are of something: ``1 leaf``, ``2 leaves``."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"
