"""The numeric derivative as the referee: where it is taken, and what it has to say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autograd_lite.checks.numeric import Numeric, Slope

_EVERY = 500  # cells: so many are checked one by one, of more a sample
_SAMPLE = 50
DIRECTIONS = 4


def referee(
    numeric: Numeric,
    gradient: Any,
    agreed: Any,
    complaint: Callable[..., str],
    rtol: float,
    size: Any,
    rng: np.random.Generator,
) -> tuple[dict[int, Slope], set[int]]:
    """Return numeric derivatives in all cells, or a sample, and cells in which a gradient is off.

    The sample begins with cells that are not ``agreed`` on; the others are found by directions.
    """
    cells, off = np.arange(len(gradient)), set()
    if len(cells) > _EVERY:
        rng.shuffle(cells)
        cells = cells[np.argsort(agreed[cells], kind="stable")][:_SAMPLE]
        for _ in range(DIRECTIONS):
            v = numeric.direction(rng)
            length = np.sqrt(v @ v)
            if complaint(gradient @ v, numeric.along(v, rtol, length * size), length):
                off.add(numeric.culprit(gradient, v))
    return {i: numeric.in_cell(i, rtol, size) for i in (*cells.tolist(), *off)}, off


def complaint_of(computed: Any, slope: Slope, rtol: float, size: Any) -> str:
    """Return in what a derivative differs from the numeric one; nothing if it does not."""
    value, error = slope.value, slope.error
    allowed = rtol * max(size, abs(value))
    difference = abs(computed - value)
    resolved = error <= allowed or value == computed
    if resolved and difference <= allowed + error and slope.bend <= 2:
        return ""
    found = f"numerically it is {float(value):.12g}, a difference of {float(difference):.3g}"
    if slope.bend > 2:
        found = "but the function jumps there, or computes in a low precision; check it elsewhere"
    elif not resolved:
        found = (
            f"numerically it is {float(value):.12g}, give or take {float(error):.2g}, which is too "
            f"rough to check it to {rtol:g}; the function is not smooth there, or computes in a "
            f"low precision: check it elsewhere, or with a larger rtol"
        )
    return f"backpropagation gives {computed + 0.0:.12g}, {found}"


def is_zero(
    computed: Any, slope: Slope, gradient: Any, exact: Callable[[], Any], high: float
) -> bool:
    """Whether a derivative is zero but for rounding, as is the numeric one.

    It then shrinks when the gradient is computed in the precision ``high``, which ``exact`` does.
    """
    if slope.bend > 2 or not 1e-3 * abs(slope.value) <= slope.error <= 1e-12:
        return False
    shrinks = 64 * high / np.finfo(gradient.dtype).eps
    least = shrinks * np.max(np.abs(gradient))
    return bool(computed == 0 or (shrinks < 1 and np.max(np.abs(exact())) <= least))
