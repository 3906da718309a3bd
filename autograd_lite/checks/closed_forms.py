"""A claimed gradient against backpropagation, with the numeric derivative as the referee."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from autograd_lite.checks.functions import arrays_of, cast, outputs_of, precise
from autograd_lite.checks.mistakes import likely_cause
from autograd_lite.checks.numeric import Numeric, Slope
from autograd_lite.checks.referee import complaint_of, is_zero, referee
from autograd_lite.checks.reports import Cell, ClosedFormReport
from autograd_lite.checks.ulps import ulps_between
from autograd_lite.engine.recording import bare
from autograd_lite.engine.tensor import Tensor
from autograd_lite.transforms.reverse import grad_named
from autograd_lite.transforms.trace import positions
from autograd_lite.transforms.trees import Function, Tree, flatten, is_float


def check_closed_form(
    f: Function, closed_form: Function | ArrayLike | Tensor, *args: Tree, argnum: int = 0
) -> ClosedFormReport:
    """Compare a formula for a gradient with backpropagation and with a numeric derivative.

    Where the formula and backpropagation differ by more than 16 ulps, both are computed again in a
    higher precision, extended where there is one: what rounding made different shrinks with the
    precision, a mistake stays. Where even that has no digits left, as ``p - 1`` has none for p
    nearly 1, a smaller argument decides, 1/64 of it, at which they are not lost.

    The numeric derivative is the referee, in every cell of an argument of at most 500 cells; of
    more, in 50 (those that differ first) and along 4 random directions through all the cells.

    The report names a cause if one step of backpropagation done wrong, as people do it, gives the
    claim: in every cell, at a second argument as well, and with what the loss is made of alone: the
    mean of a sum, say, only where there is one. Of several, the simplest; without any, none.

    Parameters
    ----------
    f : callable
        A function of arrays that returns a single number. It is called with tensors and arrays.
    closed_form : callable or array_like
        The claimed gradient of ``f``: takes the same arguments, as arrays, and returns an array of
        the shape of the one that is differentiated. It may write to them: they are copies. Or the
        array that it would return, which cannot be computed again: what is off by less than 1000
        ulps of the largest cell, or in the last 6 of 16 digits, is then taken to be rounding.
    *args : array, float, tensor, or nested dict/list/tuple of them
        Where to compare them; a list of floats is taken as an array.
    argnum : int
        The argument, an array or float, to differentiate in.

    Returns
    -------
    ClosedFormReport
        ``.ok``, ``.max_ulp``, ``.cells``, ``.wrong``, ``.cause``; its ``str`` is a table.

    Raises
    ------
    TypeError
        If the argument or what ``f`` returns is not floating-point, or the closed form not real.
    ValueError
        If the closed form's shape is not that of the argument; if ``f`` does not return a single
        number; if either function returns something else when called again.

    Examples
    --------
    >>> x = np.array([1.0, 2.0])
    >>> print(ag.check_closed_form(lambda x: np.sum(x**3), lambda x: 3 * x, x))
    cell  verdict  claimed  backprop  numeric  difference
     [0]  ok             3         3        3  0 ulp
     [1]  WRONG          6        12       12  -6
    The closed form is wrong in 1 of 2 cells.
    >>> ag.check_closed_form(lambda x: np.sum(x**3), 3 * x**2, x).ok  # an array in hand
    True
    """
    caller = "ag.check_closed_form"
    arrays = arrays_of(args)
    (argnum,) = positions(caller, [argnum], len(arrays))
    if not is_float(arrays[argnum]):
        kind = getattr(arrays[argnum], "dtype", type(arrays[argnum]).__name__)
        raise TypeError(
            f"{caller}: argument {argnum} is {kind}, and must be an array of floating-point "
            f"numbers, such as np.array(..., dtype=float)"
        )
    outputs_of(caller, "the function", f, arrays)
    gradient = np.asarray(bare(grad_named(caller, f, argnum)(*arrays)))

    def claim(*inner: Tree) -> Any:
        formula = closed_form(*inner) if callable(closed_form) else closed_form
        return np.asarray(bare(formula))

    (claimed,) = outputs_of(caller, "the closed form", claim, arrays, kinds="fiub")
    eps = float(np.finfo(gradient.dtype).eps)
    largest = float(np.max(np.abs(gradient), initial=0))

    def same(a: Any, b: Any) -> bool:
        return bool(np.allclose(a, b, rtol=eps**0.6, atol=eps**0.6 * largest))

    if claimed.shape != gradient.shape:
        turned = gradient.ndim > 1 and claimed.T.shape == gradient.shape
        remedy = "; transpose it" if turned and same(claimed.T, gradient) else ""
        raise ValueError(
            f"{caller}: the closed form has shape {claimed.shape}, "
            f"the argument {gradient.shape}{remedy}"
        )

    # How far an array, which cannot be computed again, may be off by rounding.
    own = float(np.finfo(claimed.dtype).eps) if claimed.dtype.kind == "f" else 0.0
    off = (eps**0.6 + 4 * own) * np.abs(gradient) + 1e3 * eps * largest
    close = np.abs(claimed - gradient) <= off

    def both(moved: Move, dtype: Any) -> tuple[Any, Any]:
        """Return claim and gradient at another value of the argument, in some precision."""
        inner = cast(arrays, dtype)
        inner[argnum] = np.asarray(moved(inner[argnum]), dtype)
        b = np.asarray(bare(grad_named(caller, f, argnum)(*inner)))
        if callable(closed_form):
            return claim(*inner).ravel(), b.ravel()
        if moved is not _here:
            raise ValueError("an array is known at the argument alone")
        return np.where(close, b, claimed).ravel(), b.ravel()

    which = len(flatten(arrays[:argnum])[0])
    numeric = Numeric(lambda *v: np.sum(bare(f(*v))), arrays, slice(which, which + 1))
    cells = tuple(_cells(claimed, gradient, both, numeric, same))
    wrong = any(cell.verdict == "wrong" for cell in cells)
    counted = np.array([cell.verdict != "kink" for cell in cells]).reshape(gradient.shape)
    cause = likely_cause(f, claim, arrays, argnum, counted) if wrong else None
    return ClosedFormReport(cells, gradient.dtype, cause)


Move = Callable[[Any], Any]
Both = Callable[[Move, Any], tuple[Any, Any]]


def _here(x: Any) -> Any:
    return x


_NEAR: list[Move] = [_here, *(lambda x, k=k: x + x * k for k in (5e-4, -5e-4, 1e-3, -1e-3))]
_SMALLER: list[Move] = [lambda x: x / 64, lambda x: x / 64**2]


def _elsewhere(x: Any, k: int) -> Any:
    """Return numbers of a size like an argument's, and of larger ones."""
    sizes = 16.0**k * max(1.0, float(np.max(np.abs(x), initial=0)))
    return sizes * np.random.default_rng(k).normal(size=np.shape(x))


def _points(both: Both, moves: Sequence[Move], dtype: Any = None) -> list[tuple[Any, Any]]:
    """Return claim and gradient at values of the argument, by default as precisely as can be."""
    points = []
    for moved in moves:
        try:
            points.append(both(moved, dtype) if dtype else precise(partial(both, moved)))
        except Exception:  # one of them is not defined there
            break
    return points


def _cells(
    claimed: Any,
    gradient: Any,
    both: Both,
    numeric: Numeric,
    same: Callable[[Any, Any], bool],
) -> Iterator[Cell]:
    """Yield each cell with its verdict; ``both`` gives claim and gradient elsewhere."""
    eps = float(np.finfo(gradient.dtype).eps)
    largest = float(np.max(np.abs(gradient), initial=0))
    points = [precise(partial(both, _here)), *_points(both, _SMALLER)]
    finer = points[0][1]
    high = max(float(np.finfo(v.dtype).eps) for v in points[0] if v.dtype.kind == "f")
    terms = max(np.max(np.abs(d), initial=0) for _, d in points)
    ulps = ulps_between(claimed, gradient).ravel()
    low = np.abs(claimed - gradient).ravel()
    reasons = _reasons(points, both, low, ulps > 16, gradient.dtype, high)

    def complaint(computed: Any, slope: Slope, length: Any) -> str:
        return complaint_of(computed, slope, 1e-8, length * largest)

    rng = np.random.default_rng(0)
    slopes, off = referee(numeric, finer, ulps <= 16, complaint, 1e-12, 1e-3 * largest, rng)
    for i, index in enumerate(np.ndindex(gradient.shape)):
        a, b = float(claimed[index]), float(gradient[index])
        n, sides = None, (np.nan, np.nan)
        verdict = "ok" if ulps[i] <= 16 else str(reasons[i])
        verdict = "wrong" if np.isinf(a) and np.isfinite(b) else verdict
        if i in slopes:
            n, error, bend = map(float, slopes[i])
            close = abs(b - n) <= 1e-6 * max(largest, abs(n)) + error + 1e3 * eps * terms
            close &= abs(finer[i] - slopes[i].value) <= 1e-6 * abs(n) + error + 1e3 * high * terms
            close &= error <= 1e-6 * max(largest, abs(n)) or n == b  # else too rough
            close |= is_zero(b, slopes[i], gradient, lambda: finer, high)
            # Where the function's values have too few digits to tell, there is no contradiction.
            close |= max(error, abs(finer[i] - slopes[i].value)) <= numeric.noise(i)
            apart = i in off or bend > 2 or not close
            before, after, kink = numeric.sides(i) if bend > 0.5 or apart else (n, n, False)
            sides = (before, after) if kink else (n, n)
            left, right = sorted(sides)
            if kink and left - 1e-4 * abs(left) <= a <= right + 1e-4 * abs(right):
                verdict = "kink"
            agrees = ulps[i] <= 16 or same(a, b) or abs(a - n) <= 1e-6 * abs(n)
            if apart and not kink and agrees:
                verdict = "unsure"
        yield Cell(index, a, b, n, float(ulps[i]), verdict, sides)


@np.errstate(invalid="ignore")  # of infinities, which are judged by who asks
def _reasons(
    points: Sequence[tuple[Any, Any]], both: Both, low: Any, differ: Any, dtype: Any, high: float
) -> Any:
    """Return why claim and gradient differ in each cell: "rounding", "unsure" or "wrong".

    ``points`` are both in precision ``high``, at the argument and at fractions of it; ``low`` is by
    how much they differ at the argument in the ``dtype``, ``differ`` whether that is much.
    """
    eps = float(np.finfo(dtype).eps)
    lost = 1e3 * high * max(np.max(np.abs(b), initial=0) for _, b in points)
    apart = [np.abs(a - b) for a, b in points]
    sizes = [np.maximum(np.abs(a), np.abs(b)) for a, b in points]
    if high < eps / 64:
        rounding = apart[0] <= 64 * high / eps * low
        # A mistake is as large in either precision. Else they may be close by chance: look again.
        if (~rounding & (np.abs(apart[0] - low) > 0.01 * low) & differ).any():
            coarse, fine = _points(both, _NEAR, dtype), _points(both, _NEAR)
            low, left = (sum(np.abs(a - b) for a, b in near) for near in zip(*zip(coarse, fine)))
            rounding |= left <= 64 * high / eps * low
    else:  # there is no higher precision
        rounding = apart[0] <= np.minimum(lost, 1e-6 * sizes[0])
    unsure = ~rounding & (apart[0] <= lost)
    for there, size in zip(apart[1:], sizes[1:]):
        rounding |= unsure & (there <= high**0.5 * size) & (size > 0)
        unsure &= ~rounding & (there <= lost)
    for k in range(3):  # where digits are lost at all of them, they may not be at quite others
        if (unsure & differ).any():
            for a, b in _points(both, [partial(_elsewhere, k=k)]):
                size = np.maximum(np.abs(a), np.abs(b))
                rounding |= unsure & (np.abs(a - b) <= high**0.5 * size) & (size > 0)
                unsure &= ~rounding
    return np.where(rounding, "rounding", np.where(unsure, "unsure", "wrong"))
