"""Checks of gradients against numeric derivatives and against closed forms.

Numeric derivatives are central differences, extrapolated to step 0 (Richardson) in extended
precision where the function allows it: good to about 12 digits, so a rule that is wrong by one part
in a million does not pass. They cannot see a loss of accuracy in the function itself; a closed form
can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from autograd_lite.tensor import bare
from autograd_lite.transforms import Function, Tree, flatten, grad, vjp

_STEPS = (2e-2, 2e-3, 2e-4, 2e-5)
_LEVELS = 5


# ---------------------------------------------------------------------------- numeric derivatives


class _Slope(NamedTuple):
    """A numeric derivative, an estimate of its error, and what a kink shows by."""

    value: Any
    error: Any
    kink: bool
    left: Any
    right: Any


def _extrapolated(phi: Callable[[Any], Any], step: Any) -> tuple[Any, Any]:
    """Return phi'(0) from central differences at halved steps, and the last correction made.

    Richardson's scheme: each column removes the next even power of the step from the error.
    """
    row: list[Any] = []
    best, error = np.nan, np.inf
    for level in range(_LEVELS):
        h = step / 2**level
        new = [(phi(h) - phi(-h)) / (2 * h)]
        for k, old in enumerate(row):
            new.append(new[k] + (new[k] - old) / (4 ** (k + 1) - 1))
        if row:
            correction = abs(new[-1] - row[-1])
            if correction <= error:
                best, error = new[-1], correction
        row = new
    return best, error


def _slope(phi: Callable[[Any], Any], scale: Any) -> _Slope:
    """Return the derivative at 0 of a function of one number, by the step that suits it best."""
    value, error = np.nan, np.inf
    for step in _STEPS:
        new_value, new_error = _extrapolated(phi, step * scale)
        if new_error < error:
            value, error = new_value, new_error
    here = phi(0 * scale)
    gaps = []
    for h in (1e-4 * scale, 1e-6 * scale):
        right, left = (phi(h) - here) / h, (here - phi(-h)) / h
        gaps.append(abs(right - left))
    # A smooth function's one-sided slopes approach each other in proportion to the step.
    kink = bool(gaps[1] > 0.1 * gaps[0] and gaps[1] > 1e-4 * (abs(value) + gaps[1]))
    return _Slope(value, error, kink, left, right)


def _extended(tree: Tree) -> Tree:
    """Return a tree with its floating-point leaves in extended precision."""
    leaves, rebuild = flatten(bare(tree))
    return rebuild([np.asarray(v, np.longdouble) if _is_float(v) else v for v in leaves])


def _is_float(value: Any) -> bool:
    return isinstance(value, float) or getattr(getattr(value, "dtype", None), "kind", "") == "f"


def _numeric_gradient(f: Function, args: Sequence[Tree], which: int) -> Iterator[_Slope]:
    """Yield the derivative of a scalar function in each cell of one leaf of its arguments."""
    leaves, rebuild = flatten(list(args))
    leaf = leaves[which]

    for i in range(leaf.size):

        def phi(step: Any, i: int = i) -> Any:
            moved = leaf.copy()
            moved.reshape(-1)[i] += step
            return f(*rebuild([*leaves[:which], moved, *leaves[which + 1 :]]))

        with np.errstate(all="ignore"):
            yield _slope(phi, max(leaf.dtype.type(1), abs(leaf.reshape(-1)[i])))


def _precise(f: Function, args: Sequence[Tree]) -> Sequence[Tree]:
    """Return the arguments in extended precision, or in double if the function refuses that."""
    extended = _extended(list(args))
    try:
        f(*extended)
    except TypeError:  # LAPACK, for one, has no extended precision
        leaves, rebuild = flatten(extended)
        extended = rebuild([v.astype(float) if _is_float(v) else v for v in leaves])
    return extended  # type: ignore[no-any-return]


# ---------------------------------------------------------------------------- check_grads


def check_grads(
    f: Function, *args: Tree, order: int = 2, rtol: float | None = None, seed: int = 0
) -> None:
    """Check a function's derivatives against numeric ones, cell by cell.

    Every cell of every floating-point argument is compared, for a random combination of the
    outputs; at order 2 the same is done for the gradient as a function of the arguments, and so on.
    The gradient must also have its argument's shape and dtype, come out the same twice, and leave
    the arguments as they were.

    Parameters
    ----------
    f : callable
        A function of arrays that returns an array, or several nested.
    *args : array, float, or nested dict/list/tuple of them
        Where to check it, away from kinks.
    order : int
        The highest order of derivative to check.
    rtol : float, optional
        The difference allowed, relative to the largest cell of the gradient. By default 1e-9, or
        1e-4 where an argument is less precise than float64.
    seed : int
        Of the random combination of the outputs.

    Raises
    ------
    AssertionError
        Saying the order, the argument, the cell, and by how much the two differ.

    Examples
    --------
    >>> ag.check_grads(np.tanh, np.array([0.3, -2.0]), order=3)
    """
    _check_order(f, args, 1, order, rtol, np.random.default_rng(seed))


def _check_order(
    f: Function,
    args: Sequence[Tree],
    order: int,
    highest: int,
    rtol: float | None,
    rng: np.random.Generator,
) -> None:
    args = [rebuild([_array(v) for v in leaves]) for leaves, rebuild in map(flatten, args)]
    leaves = flatten(list(args))[0]
    before = [np.copy(v) for v in leaves]
    value, pull = vjp(f, *args)
    outputs, rebuild = flatten(value)
    weights = [
        rng.uniform(0.5, 1.5, np.shape(v)) * rng.choice([-1, 1], np.shape(v)) for v in outputs
    ]
    g = rebuild([w.astype(getattr(v, "dtype", float)) for w, v in zip(weights, outputs)])
    gradients, again = flatten(list(pull(g)))[0], flatten(list(pull(g)))[0]
    low = any(_is_float(v) and v.dtype.itemsize < 8 for v in leaves)
    rtol = (1e-4 if low else 1e-9) if rtol is None else rtol

    def combined(*inner: Tree) -> Any:
        return sum(np.sum(w * v) for w, v in zip(weights, flatten(f(*inner))[0]))

    precise = _precise(combined, args)
    largest = max((np.max(np.abs(d), initial=0) for d in gradients if d is not None), default=0)
    for which, (leaf, old, d, d2) in enumerate(zip(leaves, before, gradients, again)):
        where = f"order {order}, argument {_position(args, which)}"
        if not np.array_equal(leaf, old, equal_nan=True):
            raise AssertionError(f"{where}: computing the derivative changed the argument")
        if d is None:
            continue
        if d.shape != leaf.shape or d.dtype != leaf.dtype:
            raise AssertionError(
                f"{where}: the gradient has shape {d.shape} and dtype {d.dtype}, "
                f"the argument {leaf.shape} and {leaf.dtype}"
            )
        if not np.array_equal(d, d2, equal_nan=True):
            raise AssertionError(f"{where}: the gradient differs when computed again")
        for i, slope in enumerate(_numeric_gradient(combined, precise, which)):
            cell = np.unravel_index(i, leaf.shape)
            difference = abs(d[cell] - slope.value)
            if not difference <= rtol * max(largest, abs(slope.value)) + 10 * slope.error:
                at = [int(k) for k in cell]
                kink = "; the function has a kink there" if slope.kink else ""
                raise AssertionError(
                    f"{where}, cell {at}: backpropagation gives {d[cell]:.12g}, numerically it is "
                    f"{float(slope.value):.12g}, a difference of {float(difference):.3g}{kink}"
                )
    if order < highest:

        def gradient(*inner: Tree) -> list[Any]:
            return [
                d for d in flatten(list(vjp(f, *inner)[1](_cast(g, inner))))[0] if d is not None
            ]

        _check_order(gradient, args, order + 1, highest, rtol, rng)


def _array(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, float) else value


def _cast(g: Tree, args: Sequence[Tree]) -> Tree:
    """Return a cotangent in the precision of the arguments."""
    dtypes = [v.dtype for v in flatten(list(args))[0] if _is_float(v)]
    leaves, rebuild = flatten(g)
    return rebuild([v.astype(np.result_type(*dtypes)) for v in leaves])


def _position(args: Sequence[Tree], which: int) -> int:
    """Return the number of the argument that holds a leaf."""
    ends = np.cumsum([len(flatten(arg)[0]) for arg in args])
    return int(np.searchsorted(ends, which, side="right"))


# ---------------------------------------------------------------------------- check_closed_form


@dataclass(frozen=True)
class Cell:
    """One cell of a gradient, computed in three ways.

    ``ulps`` is the difference between the claimed value and backpropagation's, in units of the
    spacing of floating-point numbers at the larger of the two; ``slopes`` are the numeric slopes
    just before and just after the point, equal but at a kink. The verdict is one of

    ========== ==============================================================================
    ``ok``     at most 16 ulps differ
    ``rounding`` more differ, but no more than rounding explains
    ``kink``   the function has no derivative here, and the claim lies between the two slopes
    ``unsure`` backpropagation disagrees with the numeric derivative: a rule may be wrong
    ``wrong``  the claim is
    ========== ==============================================================================
    """

    index: tuple[int, ...]
    claimed: float
    backpropagation: float
    numeric: float
    ulps: float
    verdict: str
    slopes: tuple[float, float]

    def __str__(self) -> str:
        remark = {"wrong": "  WRONG", "rounding": "  rounding", "unsure": "  UNSURE"}
        size = "" if self.verdict == "kink" else f"{self.ulps:.3g} ulp"
        if self.verdict in ("wrong", "unsure"):
            size = f"{self.claimed - self.backpropagation:+.6g}"
        kink = abs(self.slopes[1] - self.slopes[0]) > 1e-4 * max(map(abs, self.slopes))
        slopes = "  kink: slope {:.4g} before, {:.4g} after".format(*self.slopes) if kink else ""
        return (
            f"{str(list(self.index)).replace(' ', ''):>10} {self.claimed + 0.0:>14.7g} "
            f"{self.backpropagation + 0.0:>14.7g} {self.numeric + 0.0:>14.7g}  "
            + f"{size}{remark.get(self.verdict, '')}{slopes}".strip()
        )


@dataclass(frozen=True)
class ClosedFormReport:
    """A claimed gradient beside backpropagation and numeric derivatives; ``str`` gives a table.

    ``cause`` names the mistake where one of the usual ones explains every wrong cell.
    """

    cells: tuple[Cell, ...]
    dtype: np.dtype[Any]
    cause: str | None = None

    @property
    def ok(self) -> bool:
        """Whether no cell of the claim is wrong, nor backpropagation in doubt."""
        return not self._count("wrong") and not self._count("unsure")

    @property
    def max_ulp(self) -> float:
        """The largest difference between the claim and backpropagation, in ulps, but at kinks."""
        return max((cell.ulps for cell in self.cells if cell.verdict != "kink"), default=0.0)

    @property
    def wrong(self) -> tuple[Cell, ...]:
        """The cells in which the claim is wrong."""
        return tuple(cell for cell in self.cells if cell.verdict == "wrong")

    def _count(self, verdict: str) -> str:
        """Return how many cells have a verdict, in words; nothing if none has."""
        count = sum(cell.verdict == verdict for cell in self.cells)
        return f"{count} cell{'s' * (count > 1)}" if count else ""

    def __str__(self) -> str:
        lines = [f"{'cell':>10} {'claimed':>14} {'backprop':>14} {'numeric':>14}  difference"]
        shown = sorted(self.cells, key=lambda cell: cell.verdict != "wrong")[:_SHOWN]
        lines += map(str, sorted(shown, key=attrgetter("index")))
        if len(shown) < len(self.cells):
            lines.append(f"{'...':>10} and {len(self.cells) - len(shown)} cells more")
        if self.wrong:
            lines.append(
                f"The closed form is wrong in {len(self.wrong)} of {len(self.cells)} cells."
            )
        elif self._count("rounding"):
            lines.append(
                f"The closed form is right as mathematics; up to {self.max_ulp:.3g} ulp "
                f"({self.dtype}) are lost to rounding."
            )
        elif self.ok:
            lines.append(
                f"The closed form agrees with backpropagation within {self.max_ulp:.3g} ulp "
                f"({self.dtype})."
            )
        for verdict, meaning in _MEANINGS.items():
            if which := self._count(verdict):
                lines.append(f"In {which} {meaning}.")
        if self.cause is not None:
            lines.append(f"Likely cause: {self.cause}.")
        return "\n".join(lines)


_SHOWN = 40  # cells of a table
_MEANINGS = {
    "kink": "there is no derivative: anything between the slopes before and after is right",
    "unsure": "backpropagation and the numeric derivative disagree: a derivative rule may be wrong "
    "(ag.check_grads tells), or the function jumps",
}


def check_closed_form(
    f: Function, closed_form: Function, *args: Tree, argnum: int = 0
) -> ClosedFormReport:
    """Compare a formula for a gradient with backpropagation and with a numeric derivative.

    Parameters
    ----------
    f : callable
        A function of arrays that returns a single number.
    closed_form : callable
        The claimed gradient of ``f``: takes the same arguments and returns an array of the shape of
        the one that is differentiated.
    *args : array, float, tensor, or nested dict/list/tuple of them
        Where to compare them.
    argnum : int
        The argument, an array, to differentiate in.

    Returns
    -------
    ClosedFormReport
        ``.ok``, ``.max_ulp``, ``.cells``, ``.wrong``, ``.cause``; its ``str`` is a table.

    Raises
    ------
    ValueError
        If the closed form's shape is not that of the argument.

    Examples
    --------
    >>> x = np.array([1.0, 2.0])
    >>> print(ag.check_closed_form(lambda x: np.sum(x**3), lambda x: 3 * x, x))
          cell        claimed       backprop        numeric  difference
           [0]              3              3              3  0 ulp
           [1]              6             12             12  -6  WRONG
    The closed form is wrong in 1 of 2 cells.
    """
    plain = bare(tuple(args))
    gradient = np.asarray(grad(f, argnum)(*plain))
    claimed = np.asarray(bare(closed_form(*args)))
    eps = float(np.finfo(gradient.dtype).eps)
    largest = float(np.max(np.abs(gradient), initial=0))

    def same(a: Any, b: Any) -> bool:
        return bool(np.allclose(a, b, rtol=eps**0.6, atol=eps**0.6 * largest))

    if claimed.shape != gradient.shape:
        turned = gradient.ndim > 1 and claimed.T.shape == gradient.shape
        remedy = "; transpose it" if turned and same(claimed.T, gradient) else ""
        raise ValueError(
            f"ag.check_closed_form: the closed form has shape {claimed.shape}, "
            f"the argument {gradient.shape}{remedy}"
        )
    arguments = [rebuild([_array(v) for v in leaves]) for leaves, rebuild in map(flatten, plain)]
    precise = _precise(f, arguments)
    which = len(flatten(list(precise[:argnum]))[0])
    slopes = _numeric_gradient(lambda *inner: np.sum(f(*inner)), precise, which)
    allowed = 1e3 * eps * largest
    if allowed < np.max(np.abs(claimed - gradient), initial=0) <= 1e3 * eps and _holds_nearer_zero(
        f, closed_form, arguments, argnum
    ):
        allowed = 1e3 * eps
    cells = []
    for i, slope in enumerate(slopes):
        index = tuple(int(k) for k in np.unravel_index(i, gradient.shape))
        a, b, n = float(claimed[index]), float(gradient[index]), float(slope.value)
        ulps = ulp_distance(claimed[index], gradient[index])
        left, right = sorted((float(slope.left), float(slope.right)))
        apart = abs(b - n) > 1e-6 * max(largest, abs(n)) + 10 * float(slope.error)
        if slope.kink and left - 1e-4 * abs(left) <= a <= right + 1e-4 * abs(right):
            verdict = "kink"
        elif apart and not slope.kink and (same(a, b) or abs(a - n) <= 1e-6 * abs(n)):
            verdict = "unsure"
        elif ulps <= 16:
            verdict = "ok"
        else:
            verdict = "rounding" if abs(a - b) <= allowed else "wrong"
        one_sided = (float(slope.left), float(slope.right)) if slope.kink else (n, n)
        cells.append(Cell(index, a, b, n, ulps, verdict, one_sided))
    wrong = any(cell.verdict == "wrong" for cell in cells)
    cause = _likely_cause(claimed, gradient, same) if wrong else None
    return ClosedFormReport(tuple(cells), gradient.dtype, cause)


def _holds_nearer_zero(
    f: Function, closed_form: Function, args: Sequence[Tree], argnum: int
) -> bool:
    """Return whether a claim holds with its arguments scaled down.

    Where it does, a tiny difference at the arguments themselves is lost digits: those of ``p - 1``,
    for one, where p is nearly 1.
    """
    leaves, rebuild = flatten(list(args))
    scaled = rebuild([v / v.dtype.type(64) if _is_float(v) else v for v in leaves])
    try:
        gradient, claimed = grad(f, argnum)(*scaled), closed_form(*scaled)
    except Exception:  # not defined there, so nothing is learned
        return False
    tolerance = float(np.finfo(gradient.dtype).eps) ** 0.4
    return bool(np.max(np.abs(claimed - gradient)) <= tolerance * np.max(np.abs(gradient)))


def _likely_cause(claimed: Any, gradient: Any, same: Callable[[Any, Any], bool]) -> str | None:
    """Return which of the usual mistakes turn a gradient into the claimed one, if some do."""
    for turned in (False, True):
        if turned and (gradient.ndim != 2 or claimed.T.shape != gradient.shape):
            break
        claim = claimed.T if turned else claimed
        left_out = (claim == 0) & (gradient != 0)
        there = (gradient != 0) & ~left_out
        if not there.any():
            return "cells are left at zero that the loss reaches too" if left_out.any() else None
        factor = float(np.median(claim[there] / gradient[there]))
        plain = same(abs(factor) * gradient, gradient)
        usual = plain or there.sum() > 1  # any factor explains a single cell
        if usual and same(claim[there], factor * gradient[there]) and same(claim[gradient == 0], 0):
            causes = [
                "the matrix is transposed" * turned,
                "the sign is flipped" * (factor < 0),
                "" if plain else _explained_factor(abs(factor)),
                "cells are left at zero that the loss reaches too" * bool(left_out.any()),
            ]
            return ", and ".join(filter(None, causes))
    return _softmax_mistake(claimed, gradient, same)


def _explained_factor(factor: float) -> str:
    for ratio, text in (
        (factor, "{0} times too large: the 1/{0} of a mean over {0} is missing"),
        (1 / factor, "{0} times too small: a mean over {0} in place of a sum"),
    ):
        n = round(ratio)
        if n > 1 and abs(ratio - n) < 1e-5:
            two = ", or a 2 is" + (" too many" if factor > 1 else " missing") if n == 2 else ""
            return f"every cell is {text.format(n)}{two}"
    return f"every cell is {factor:.10g} times the right one"


def _softmax_mistake(claimed: Any, gradient: Any, same: Callable[[Any, Any], bool]) -> str | None:
    """Return what was done to ``p - y``, if that is what the gradient is, row by row."""
    rows = gradient.reshape(-1, gradient.shape[-1] if gradient.ndim else 1)
    if not ((rows < 0).sum(axis=-1) == 1).all() or not same(rows.sum(axis=-1), 0):
        return None
    y = np.where(gradient < 0, 1.0, 0.0)
    for count in dict.fromkeys((1, len(rows))):  # of a sum, of a mean
        p = count * gradient + y
        with np.errstate(all="ignore"):
            forms = {
                "p in place of p - y: the target is not subtracted": p,
                "-p in place of p - y": -p,
                "y in place of p - y": y,
                "-y in place of p - y": -y,
                "-y / p: the derivative in the probabilities, the softmax's own left out": -y / p,
                "a sigmoid's p (1 - p) times p - y: the logarithm has cancelled it": (p - y)
                * p
                * (1 - p),
            }
        for text, form in forms.items():
            if (p >= 0).all() and same(claimed, form / count):
                return text
            if (p >= 0).all() and count > 1 and same(claimed, form):
                return f"{text}, and the 1/{count} of a mean over {count} is missing"
    return None


def ulp_distance(a: Any, b: Any) -> float:
    """Return the largest difference of two arrays in units of the spacing at the larger element.

    The spacing is that of ``b``'s dtype; equal infinities and nan in both do not differ.
    """
    a, b = np.asarray(a), np.asarray(b)
    dtype = b.dtype
    with np.errstate(all="ignore"):
        larger = np.maximum(np.abs(a), np.abs(b)).astype(dtype)
        difference = np.abs(a.astype(np.longdouble) - b.astype(np.longdouble))
        ulps = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, difference / np.spacing(larger))
    return float(np.max(np.where(np.isnan(ulps), np.inf, ulps), initial=0))
