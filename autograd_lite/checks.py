"""Checks of gradients against numeric derivatives and against closed forms.

Numeric derivatives are central differences, extrapolated to step 0 (Richardson) in extended
precision where the function allows it: good to about 12 digits, so a rule that is wrong by one part
in a million does not pass. Each comes with an estimate of its own error, and one that is too rough
to judge by is a failure that says so. They cannot see a loss of accuracy in the function itself; a
closed form can.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from autograd_lite.tensor import bare
from autograd_lite.transforms import Function, Tree, flatten, grad_named, is_float, positions, vjp

_LEVELS = 26  # of halved steps, at most
_EVERY = 500  # cells: so many are checked one by one, of more a sample
_SAMPLE = 50
_DIRECTIONS = 4


# ---------------------------------------------------------------------------- functions of arrays


def _mapped(function: Callable[[Any], Any], tree: Tree) -> Tree:
    """Return a tree with a function applied to its leaves."""
    leaves, rebuild = flatten(tree)
    return rebuild([function(leaf) for leaf in leaves])


def _arrays(args: Sequence[Tree]) -> list[Tree]:
    """Return arguments with their tensors and floats as arrays."""
    return _mapped(lambda v: np.asarray(bare(v)) if is_float(v) else bare(v), list(args))  # type: ignore[no-any-return]


def _cast(tree: Tree, dtype: Any) -> Tree:
    """Return a copy of a tree with its floating-point arrays in another precision."""
    return _mapped(lambda v: v.astype(dtype) if is_float(v) else v, tree)


def _precise(f: Callable[[Any], Any]) -> Any:
    """Return ``f(dtype)`` of the highest precision that it accepts; LAPACK, for one, has double."""
    with np.errstate(all="ignore"):
        try:
            return f(np.longdouble)
        except TypeError:
            return f(np.float64)


def _outputs(
    caller: str, what: str, f: Function, args: Sequence[Tree], kinds: str = "f"
) -> list[Any]:
    """Return what a function of arrays returns, called twice to see that it is the same again."""

    def once() -> list[Any]:
        own = _mapped(lambda v: v.copy() if isinstance(v, np.ndarray) else v, list(args))
        return [np.asarray(bare(v)) for v in flatten(f(*own))[0]]

    try:
        first, second = once(), once()
    except (TypeError, AttributeError) as error:
        vjp(f, *args)  # which raises, too, if it is not for want of tensors
        raise TypeError(
            f"{caller}: {what} works on tensors, but not on arrays ({error}); compute with the "
            f"argument itself in place of its .data, since numeric derivatives are made of arrays"
        ) from error
    for i, (a, b) in enumerate(zip(first, second)):
        if a.dtype == object and a.shape == () and a.item() is None:
            raise TypeError(f"{caller}: {what} returned None; is its return statement missing?")
        if a.dtype.kind not in kinds:
            raise TypeError(
                f"{caller}: output {i} of {what} is {a.dtype} and must be real and floating-point, "
                f"since integers jump and complex ones are not supported; leave it out"
            )
        if not np.array_equal(a, b, equal_nan=True):
            how = f"shapes {a.shape} and {b.shape}"
            if a.shape == b.shape:
                how = f"by {np.nanmax(np.abs(a - b)):.3g}"
            raise ValueError(
                f"{caller}: output {i} of {what} differs ({how}) when it is called again with the "
                f"same arguments; to draw random numbers, make the generator inside it from a "
                f"fixed seed, or draw them once, outside"
            )
    return first


# ---------------------------------------------------------------------------- numeric derivatives


class _Slope(NamedTuple):
    """A numeric derivative, an estimate of its error, and what shows that there may be none.

    From one step to a quarter of it, the difference between the slopes on the two sides shrinks to
    a quarter where the function is smooth; ``bend`` says to what it did: 1 at a kink, 4 at a jump.
    """

    value: Any
    error: Any
    bend: Any


class _Numeric:
    """A function of arrays to a number, to be differentiated numerically.

    Its variable is the vector ``x`` of all cells of its floating-point arguments, or of those in
    some of the leaves alone.
    """

    def __init__(self, f: Function, args: Sequence[Tree], leaves: slice = slice(None)) -> None:
        args, self.here = _precise(lambda dtype: (own := _cast(args, dtype), f(*own)))
        self.f, self.args = f, args
        self.leaves, self.rebuild = flatten(args)
        self.places = [i for i in range(len(self.leaves))[leaves] if is_float(self.leaves[i])]
        self.eps = np.finfo(np.asarray(self.here).dtype).eps
        self.x = np.concatenate([self.leaves[i].ravel() for i in self.places])
        self.ends = np.cumsum([self.leaves[i].size for i in self.places])

    def __call__(self, x: Any) -> Any:
        leaves = list(self.leaves)
        for place, end in zip(self.places, self.ends):
            leaf = leaves[place]
            leaves[place] = x[end - leaf.size : end].reshape(leaf.shape)
        return self.f(*self.rebuild(leaves))

    def cell(self, i: int) -> tuple[int, tuple[int, ...]]:
        """Return the leaf that holds a cell, and the cell's index in it."""
        k = int(np.searchsorted(self.ends, i, side="right"))
        leaf = self.leaves[self.places[k]]
        index = np.unravel_index(i - self.ends[k] + leaf.size, leaf.shape)
        return self.places[k], tuple(int(n) for n in index)

    def along(self, v: Any, rtol: float, size: Any) -> _Slope:
        """Return the derivative along a direction.

        Central differences at halved steps are extrapolated to step 0 by Richardson's scheme: each
        column removes the next even power of the step from the error. The error of an entry is
        taken to be what the last halving changed in its column, and the rounding of the values. The
        entry with the least is returned, once it is below ``rtol`` times ``size`` or the value.
        """
        row: list[Any] = []
        bends: list[Any] = []
        value, error = np.nan, np.inf
        for level in range(_LEVELS):
            h = self.eps**0.125 / 2**level
            with np.errstate(all="ignore"):
                up, down = self(self.x + h * v), self(self.x - h * v)
                rounding = self.eps * max(abs(up), abs(down)) / h
                new = [(up - down) / (2 * h)]
                for k, old in enumerate(row):
                    if abs(new[k] - old) + rounding < error:
                        value, error = new[k], abs(new[k] - old) + rounding
                    new.append(new[k] + (new[k] - old) / (4 ** (k + 1) - 1))
                bends.append(abs(up - self.here + (down - self.here)) / h)
            row = new
            if level >= 2 and error <= max(rtol * max(size, abs(value)), 2 * rounding):
                break
        with np.errstate(all="ignore"):
            significant = bends[-1] > max(1e-4 * max(size, abs(value)), 1e4 * error, 1e-12 / h)
            bend = bends[-1] / bends[-3] if significant else 0
        return _Slope(value, error, bend)

    def in_cell(self, i: int, rtol: float, size: Any) -> _Slope:
        """Return the derivative in one cell, by steps that suit the cell's size."""
        v = self.unit(i)
        value, error, bend = self.along(v, rtol, v[i] * size)
        return _Slope(value / v[i], error / v[i], bend)

    def unit(self, i: int) -> Any:
        """Return the direction of a cell, of the length of the cell's steps."""
        v = np.zeros_like(self.x)
        v[i] = max(1, abs(self.x[i]))
        return v

    def direction(self, rng: np.random.Generator) -> Any:
        """Return a random direction through all cells, as long as that of one."""
        n = len(self.x)
        lengths = rng.choice([-1, 1], n) * rng.uniform(0.5, 1, n) / np.sqrt(n)
        return lengths * np.maximum(1, abs(self.x))

    def culprit(self, gradient: Any, v: Any) -> int:
        """Return a cell in which a gradient is off, given a direction along which it is."""
        cells = np.arange(len(v))
        while len(cells) > 1:
            halves = np.array_split(cells, 2)
            off = []
            for half in halves:
                part = np.zeros_like(v)
                part[half] = v[half]
                off.append(abs(gradient[half] @ v[half] - self.along(part, 1e-9, 0).value))
            cells = halves[int(np.argmax(off))]
        return int(cells[0])

    def sides(self, i: int) -> tuple[float, float, bool]:
        """Return the slopes in a cell before and after the point, and whether it is a kink."""
        v = self.unit(i)
        slopes = []
        with np.errstate(all="ignore"):
            for h in (1e-4, 1e-6):
                slopes.append([(self(self.x + s * v) - self.here) / (s * v[i]) for s in (-h, h)])
        far, near = (abs(after - before) for before, after in slopes)
        before, after = (float(slope) + 0.0 for slope in slopes[1])
        kink = 0.1 * far < near < 10 * far and near > 1e-4 * max(abs(before), abs(after))
        return before, after, bool(kink)


# ---------------------------------------------------------------------------- check_grads


def check_grads(
    f: Function, *args: Tree, order: int = 2, rtol: float | None = None, seed: int = 0
) -> None:
    """Check a function's derivatives against numeric ones, cell by cell.

    Every cell of every floating-point argument is compared, for a random combination of the
    outputs; at order 2 the same is done for the gradient as a function of the arguments, and so on.
    Where there are more than 500 cells, 50 of them are compared, drawn at random, and the
    derivatives along 4 random directions through all the cells; if one of those is wrong, a cell
    that is to blame is searched for.

    The gradient must also come out the same twice, and leave the arguments as they were. The
    function must come out the same twice, too. At a kink the mean of the slopes on both sides
    passes; a cell in which the function jumps, or in which the numeric derivative is too rough to
    judge by, fails.

    Parameters
    ----------
    f : callable
        A function of arrays that returns a floating-point array, or several nested. It is called
        with tensors and with arrays.
    *args : array, float, tensor, or nested dict/list/tuple of them
        Where to check it, away from kinks.
    order : int
        The highest order of derivative to check.
    rtol : float, optional
        The difference allowed, relative to the largest cell of the gradient. By default 1e-9, or
        1e-4 where an argument is less precise than float64.
    seed : int
        Of the random combination of the outputs, the sample and the directions.

    Raises
    ------
    AssertionError
        Saying the order, the argument, the cell, and by how much the two differ.
    TypeError
        If no argument, or an output, is not floating-point; if ``f`` does not take arrays.
    ValueError
        If ``f`` returns something else when called again with the same arguments.

    Examples
    --------
    >>> ag.check_grads(np.tanh, np.array([0.3, -2.0]), order=3)
    """
    arrays = _arrays(args)
    leaves = flatten(arrays)[0]
    if not any(map(is_float, leaves)):
        kinds = ", ".join(str(np.asarray(v).dtype) for v in leaves) or "none given"
        raise TypeError(
            f"ag.check_grads: no argument is floating-point ({kinds}), so there is no derivative "
            f"to check; pass floats, such as x.astype(float)"
        )
    _outputs("ag.check_grads", "the function", f, arrays)
    _check_order(f, arrays, 1, order, rtol, np.random.default_rng(seed))


def _check_order(
    f: Function,
    args: Sequence[Tree],
    order: int,
    highest: int,
    rtol: float | None,
    rng: np.random.Generator,
) -> None:
    leaves = flatten(list(args))[0]
    argument = [k for k, arg in enumerate(args) for _ in flatten(arg)[0]]  # that holds each leaf
    before = [np.copy(v) for v in leaves]
    value, pull = vjp(f, *args)
    outputs, rebuild = flatten(value)
    weights = [
        rng.uniform(0.5, 1.5, np.shape(v)) * rng.choice([-1, 1], np.shape(v)) for v in outputs
    ]
    g = rebuild([w.astype(getattr(v, "dtype", float)) for w, v in zip(weights, outputs)])
    gradients, again = ([bare(d) for d in flatten(list(pull(g)))[0]] for _ in range(2))
    low = any(is_float(v) and v.dtype.itemsize < 8 for v in leaves)
    rtol = (1e-4 if low else 1e-9) if rtol is None else rtol

    def combined(*inner: Tree) -> Any:
        return sum(np.sum(w * bare(v)) for w, v in zip(weights, flatten(f(*inner))[0]))

    numeric = _Numeric(combined, args)
    for which, (leaf, old, d, d2) in enumerate(zip(leaves, before, gradients, again)):
        where = f"order {order}, argument {argument[which]}"
        if not np.array_equal(leaf, old, equal_nan=is_float(leaf)):
            raise AssertionError(f"{where}: computing the derivative changed the argument")
        if d is not None and not np.array_equal(d, d2, equal_nan=True):
            raise AssertionError(f"{where}: the gradient differs when computed again")
    gradient = np.concatenate([gradients[i].ravel() for i in numeric.places])
    largest = np.max(np.abs(gradient), initial=0, where=np.isfinite(gradient))

    def derived(*inner: Tree) -> list[Any]:
        dtypes = [v.dtype for v in flatten(list(inner))[0] if is_float(v)]
        pulled = vjp(f, *inner)[1](_cast(g, np.result_type(*dtypes)))
        return [d for d in flatten(list(pulled))[0] if d is not None]

    def exact() -> Any:
        return np.concatenate([bare(d).ravel() for d in derived(*numeric.args)])

    def complaint(computed: Any, slope: _Slope, length: Any = 1) -> str:
        text = _complaint(computed, slope, rtol, length * largest)
        return "" if text and _is_zero(computed, slope, gradient, exact, numeric.eps) else text

    agreed = np.ones(len(gradient))
    slopes, off = _referee(numeric, gradient, agreed, complaint, 0.01 * rtol, largest, rng)
    for i, slope in slopes.items():
        if text := complaint(gradient[i], slope):
            which, index = numeric.cell(i)
            kink = bool(slope.bend <= 2) and numeric.sides(i)[2]
            raise AssertionError(
                f"order {order}, argument {argument[which]}, cell {list(index)}: {text}"
                + "; the function has a kink there" * kink
            )
    if off:
        raise AssertionError(f"order {order}: the derivative in a random direction is wrong")
    if order < highest:
        _check_order(derived, args, order + 1, highest, rtol, rng)


def _referee(
    numeric: _Numeric,
    gradient: Any,
    agreed: Any,
    complaint: Callable[..., str],
    rtol: float,
    size: Any,
    rng: np.random.Generator,
) -> tuple[dict[int, _Slope], set[int]]:
    """Return numeric derivatives in all cells, or a sample, and cells in which a gradient is off.

    The sample begins with cells that are not ``agreed`` on; the others are found by directions.
    """
    cells, off = np.arange(len(gradient)), set()
    if len(cells) > _EVERY:
        rng.shuffle(cells)
        cells = cells[np.argsort(agreed[cells], kind="stable")][:_SAMPLE]
        for _ in range(_DIRECTIONS):
            v = numeric.direction(rng)
            length = np.sqrt(v @ v)
            if complaint(gradient @ v, numeric.along(v, rtol, length * size), length):
                off.add(numeric.culprit(gradient, v))
    return {i: numeric.in_cell(i, rtol, size) for i in (*cells.tolist(), *off)}, off


def _complaint(computed: Any, slope: _Slope, rtol: float, size: Any) -> str:
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


def _is_zero(
    computed: Any, slope: _Slope, gradient: Any, exact: Callable[[], Any], high: float
) -> bool:
    """Whether a derivative is zero but for rounding, as is the numeric one.

    It then shrinks when the gradient is computed in the precision ``high``, which ``exact`` does.
    """
    if slope.bend > 2 or not 1e-3 * abs(slope.value) <= slope.error <= 1e-12:
        return False
    shrinks = 64 * high / np.finfo(gradient.dtype).eps
    least = shrinks * np.max(np.abs(gradient))
    return bool(computed == 0 or (shrinks < 1 and np.max(np.abs(exact())) <= least))


# ---------------------------------------------------------------------------- check_closed_form


@dataclass(frozen=True)
class Cell:
    """One cell of a gradient, computed in three ways.

    ``ulps`` is the difference between the claimed value and backpropagation's, in units of the
    spacing of floating-point numbers at the larger of the two; ``slopes`` are the numeric slopes
    just before and just after the point, equal but at a kink. Of more than 500 cells the numeric
    derivative is computed in some alone, and is None in the others. The verdict is one of

    ========== ==============================================================================
    ``ok``     at most 16 ulps differ
    ``rounding`` more differ, and the more precisely both are computed the less
    ``kink``   the function has no derivative here, and the claim lies between the two slopes
    ``unsure`` backpropagation disagrees with the numeric derivative, so that a rule may be wrong,
               or too few digits are left to judge by
    ``wrong``  the claim is
    ========== ==============================================================================

    Examples
    --------
    >>> report = ag.check_closed_form(lambda x: np.sum(x**3), lambda x: 3 * x, np.array([1.0, 2.0]))
    >>> cell = report.cells[1]
    >>> cell.index, cell.claimed, cell.backpropagation, cell.verdict
    ((1,), 6.0, 12.0, 'wrong')
    """

    index: tuple[int, ...]
    claimed: float
    backpropagation: float
    numeric: float | None
    ulps: float
    verdict: str
    slopes: tuple[float, float]

    def _columns(self) -> list[str]:
        """Return what a table shows: cell, verdict, the three values and how far they differ."""
        loud = self.verdict in ("wrong", "unsure")
        apart = f"{self.claimed - self.backpropagation:+.6g}" if loud else f"{self.ulps:.3g} ulp"
        if abs(self.slopes[1] - self.slopes[0]) > 1e-4 * max(map(abs, self.slopes)):
            kink = "kink: slope {:.4g} before, {:.4g} after".format(*self.slopes)
            apart = kink if self.verdict == "kink" else f"{apart}  {kink}"
        values = (self.claimed, self.backpropagation, self.numeric)
        shown = ["-" if value is None else f"{value + 0.0:.7g}" for value in values]
        index = str(list(self.index)).replace(" ", "")
        return [index, self.verdict.upper() if loud else self.verdict, *shown, apart]


@dataclass(frozen=True)
class ClosedFormReport:
    """A claimed gradient beside backpropagation and numeric derivatives; ``str`` gives a table.

    There is one of the ``cells`` for each of the gradient, which has the ``dtype``; ``cause`` names
    the mistake where one of the usual ones explains every wrong cell.

    Examples
    --------
    >>> x = np.array([1.0, 2.0])
    >>> report = ag.check_closed_form(lambda x: np.sum(x**2), lambda x: -2 * x, x)
    >>> report.ok, len(report.wrong), report.cause
    (False, 2, 'the sign is flipped')
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
        shown = sorted(self.cells, key=lambda cell: cell.verdict != "wrong")[:_SHOWN]
        rows = [["cell", "verdict", "claimed", "backprop", "numeric", "difference"]]
        rows += [cell._columns() for cell in sorted(shown, key=attrgetter("index"))]
        widths = [max(map(len, column)) for column in zip(*rows)]
        padded = ([f"{t:{side}{w}}" for t, side, w in zip(row, "><>>><", widths)] for row in rows)
        lines = ["  ".join(row).rstrip() for row in padded]
        if len(shown) < len(self.cells):
            lines.append(f"... and {len(self.cells) - len(shown)} cells more")
        conclusion = f"agrees with backpropagation within {self.max_ulp:.3g} ulp ({self.dtype})"
        if self.wrong:
            conclusion = f"is wrong in {len(self.wrong)} of {len(self.cells)} cells"
        elif self._count("rounding"):
            conclusion = (
                f"is right as mathematics; up to {self.max_ulp:.3g} ulp ({self.dtype}) are lost to "
                f"rounding"
            )
        if self.wrong or self.ok:
            lines.append(f"The closed form {conclusion}.")
        taken = sum(cell.numeric is not None for cell in self.cells)
        if taken < len(self.cells):
            lines.append(
                f"The numeric derivative was taken in {taken} of {len(self.cells)} cells and in "
                f"{_DIRECTIONS} directions through all of them."
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
    "(ag.check_grads tells), the function jumps, or too few digits are left to compare",
}


def check_closed_form(
    f: Function, closed_form: Function, *args: Tree, argnum: int = 0
) -> ClosedFormReport:
    """Compare a formula for a gradient with backpropagation and with a numeric derivative.

    Where the formula and backpropagation differ by more than 16 ulps, both are computed again in a
    higher precision, extended where there is one: what rounding made different shrinks with the
    precision, a mistake stays. Where even that has no digits left, as ``p - 1`` has none for p
    nearly 1, a smaller argument decides, 1/64 of it, at which they are not lost.

    The numeric derivative is the referee, in every cell of an argument of at most 500 cells; of
    more, in 50 (those that differ first) and along 4 random directions through all the cells.

    Parameters
    ----------
    f : callable
        A function of arrays that returns a single number. It is called with tensors and arrays.
    closed_form : callable
        The claimed gradient of ``f``: takes the same arguments, as arrays, and returns an array of
        the shape of the one that is differentiated. It may write to them: they are copies.
    *args : array, float, tensor, or nested dict/list/tuple of them
        Where to compare them.
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
    """
    caller = "ag.check_closed_form"
    arrays = _arrays(args)
    (argnum,) = positions(caller, [argnum], len(arrays))
    if not is_float(arrays[argnum]):
        kind = getattr(arrays[argnum], "dtype", type(arrays[argnum]).__name__)
        raise TypeError(
            f"{caller}: argument {argnum} is {kind}, and must be an array of floating-point "
            f"numbers, such as np.array(..., dtype=float)"
        )
    _outputs(caller, "the function", f, arrays)
    gradient = np.asarray(bare(grad_named(caller, f, argnum)(*arrays)))

    def claim(*inner: Tree) -> Any:
        return np.asarray(bare(closed_form(*inner)))

    (claimed,) = _outputs(caller, "the closed form", claim, arrays, kinds="fiub")
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
    which = len(flatten(arrays[:argnum])[0])
    numeric = _Numeric(lambda *v: np.sum(bare(f(*v))), arrays, slice(which, which + 1))
    ulps = _ulps(claimed, gradient).ravel()

    def both(scale: float, dtype: Any) -> tuple[Any, Any]:
        """Return claim and gradient at the argument times a number, in some precision."""
        inner = _cast(arrays, dtype)
        inner[argnum] = inner[argnum] * scale
        b = np.asarray(bare(grad_named(caller, f, argnum)(*inner)))
        return claim(*inner).ravel(), b.ravel()

    points = [_precise(partial(both, 1))]
    for scale in (1 / 64, 1 / 64**2):
        try:
            points.append(_precise(partial(both, scale)))
        except Exception:  # one of them is not defined there
            break
    precise = points[0][1]
    high = max(float(np.finfo(v.dtype).eps) for v in points[0] if v.dtype.kind == "f")
    terms = max(np.max(np.abs(d), initial=0) for _, d in points)
    reasons = _reasons(points, np.abs(claimed - gradient).ravel(), eps, high)

    def complaint(computed: Any, slope: _Slope, length: Any) -> str:
        return _complaint(computed, slope, 1e-8, length * largest)

    rng = np.random.default_rng(0)
    slopes, off = _referee(numeric, precise, ulps <= 16, complaint, 1e-12, 1e-3 * largest, rng)
    cells = []
    for i, index in enumerate(np.ndindex(gradient.shape)):
        a, b = float(claimed[index]), float(gradient[index])
        n, sides = None, (np.nan, np.nan)
        verdict = "ok" if ulps[i] <= 16 else str(reasons[i])
        if i in slopes:
            n, error, bend = map(float, slopes[i])
            close = abs(b - n) <= 1e-6 * max(largest, abs(n)) + error + 1e3 * eps * terms
            close &= abs(precise[i] - slopes[i].value) <= 1e-6 * abs(n) + error + 1e3 * high * terms
            close &= error <= 1e-6 * max(largest, abs(n)) or n == b  # else too rough
            close |= _is_zero(b, slopes[i], gradient, lambda: precise, high)
            apart = i in off or bend > 2 or not close
            before, after, kink = numeric.sides(i) if bend > 0.5 or apart else (n, n, False)
            sides = (before, after) if kink else (n, n)
            left, right = sorted(sides)
            if kink and left - 1e-4 * abs(left) <= a <= right + 1e-4 * abs(right):
                verdict = "kink"
            agrees = ulps[i] <= 16 or same(a, b) or abs(a - n) <= 1e-6 * abs(n)
            if apart and not kink and agrees:
                verdict = "unsure"
        cells.append(Cell(index, a, b, n, float(ulps[i]), verdict, sides))
    wrong = any(cell.verdict == "wrong" for cell in cells)
    cause = _likely_cause(claimed, gradient, same) if wrong else None
    return ClosedFormReport(tuple(cells), gradient.dtype, cause)


def _reasons(points: Sequence[tuple[Any, Any]], low: Any, eps: float, high: float) -> Any:
    """Return why claim and gradient differ in each cell: "rounding", "unsure" or "wrong".

    ``points`` are both in precision ``high``, at the argument and at fractions of it; ``low`` is by
    how much they differ at the argument in precision ``eps``.
    """
    lost = 1e3 * high * max(np.max(np.abs(b), initial=0) for _, b in points)
    apart = [np.abs(a - b) for a, b in points]
    sizes = [np.maximum(np.abs(a), np.abs(b)) for a, b in points]
    if high < eps / 64:
        rounding = apart[0] <= 64 * high / eps * low
    else:  # there is no higher precision
        rounding = apart[0] <= np.minimum(lost, 1e-6 * sizes[0])
    unsure = ~rounding & (apart[0] <= lost)
    for there, size in zip(apart[1:], sizes[1:]):
        rounding |= unsure & (there <= high**0.5 * size) & (size > 0)
        unsure &= ~rounding & (there <= lost)
    return np.where(rounding, "rounding", np.where(unsure, "unsure", "wrong"))


def _likely_cause(claimed: Any, gradient: Any, same: Callable[[Any, Any], bool]) -> str | None:
    """Return which of the usual mistakes turn a gradient into the claimed one, if some do."""
    may_be_turned = gradient.ndim == 2 and claimed.T.shape == gradient.shape
    for claim in (claimed, claimed.T) if may_be_turned else (claimed,):
        left_out = (claim == 0) & (gradient != 0)
        there = (gradient != 0) & ~left_out
        if not there.any():
            return "cells are left at zero that the loss reaches too" if left_out.any() else None
        factor = float(np.median(claim[there] / gradient[there]))
        plain = same(abs(factor) * gradient, gradient)
        usual = plain or there.sum() > 1  # any factor explains a single cell
        if usual and same(claim[there], factor * gradient[there]) and same(claim[gradient == 0], 0):
            causes = [
                "the matrix is transposed" * (claim is not claimed),
                "the sign is flipped" * (factor < 0),
                "" if plain else _explained_factor(abs(factor)),
                "cells are left at zero that the loss reaches too" * bool(left_out.any()),
            ]
            return ", and ".join(filter(None, causes)) or None
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
        if (p < 0).any():
            continue
        with np.errstate(all="ignore"):
            forms = {
                "p in place of p - y: the target is not subtracted": p,
                "-p in place of p - y": -p,
                "y in place of p - y": y,
                "-y in place of p - y": -y,
                "-y / p: the derivative in the probabilities, the softmax's own left out": -y / p,
                "a sigmoid's p (1 - p) times p - y: the logarithm has cancelled it":
                    p * (1 - p) * (p - y),
            }  # fmt: skip
        for text, form in forms.items():
            if same(claimed, form / count):
                return text
            if same(claimed, form):
                return f"{text}, and the 1/{count} of a mean over {count} is missing"
    return None


def ulp_distance(a: Any, b: Any) -> float:
    """Return the largest difference of two arrays in units of the spacing at the larger element.

    The spacing is that of ``b``'s dtype; equal infinities and nan in both do not differ.
    """
    return float(np.max(_ulps(np.asarray(a), np.asarray(b)), initial=0))


def _ulps(a: Any, b: Any) -> Any:
    with np.errstate(all="ignore"):
        larger = np.maximum(np.abs(a), np.abs(b)).astype(b.dtype)
        difference = np.abs(a.astype(np.longdouble) - b.astype(np.longdouble))
        ulps = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, difference / np.spacing(larger))
    return np.where(np.isnan(ulps), np.inf, ulps)
