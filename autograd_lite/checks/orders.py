"""Backpropagation against numeric derivatives, order by order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autograd_lite.checks.functions import arrays_of, cast, outputs_of
from autograd_lite.checks.numeric import Numeric, Slope
from autograd_lite.checks.referee import complaint_of, is_zero, referee
from autograd_lite.engine.recording import bare
from autograd_lite.transforms.reverse import vjp
from autograd_lite.transforms.trees import Function, Tree, flatten, is_float


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
        Where to check it, away from kinks; a list of floats is taken as an array.
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
    arrays = arrays_of(args)
    leaves = flatten(arrays)[0]
    if not any(map(is_float, leaves)):
        kinds = ", ".join(str(np.asarray(v).dtype) for v in leaves) or "none given"
        raise TypeError(
            f"ag.check_grads: no argument is floating-point ({kinds}), so there is no derivative "
            f"to check; pass floats, such as x.astype(float)"
        )
    outputs_of("ag.check_grads", "the function", f, arrays)
    _check_order(f, arrays, 1, order, rtol, np.random.default_rng(seed))


def _check_order(
    f: Function,
    args: Sequence[Tree],
    order: int,
    highest: int,
    rtol: float | None,
    rng: np.random.Generator,
    before: Numeric | None = None,
) -> None:
    """Check one order and those above; ``before`` is what the order below differentiated."""
    leaves = flatten(list(args))[0]
    argument = [k for k, arg in enumerate(args) for _ in flatten(arg)[0]]  # that holds each leaf
    old_leaves = [np.copy(v) for v in leaves]
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

    numeric = Numeric(combined, args)
    for which, (leaf, old, d, d2) in enumerate(zip(leaves, old_leaves, gradients, again)):
        where = f"order {order}, argument {argument[which]}"
        if not np.array_equal(leaf, old, equal_nan=is_float(leaf)):
            raise AssertionError(f"{where}: computing the derivative changed the argument")
        if d is not None and not np.array_equal(d, d2, equal_nan=True):
            raise AssertionError(f"{where}: the gradient differs when computed again")
    gradient = np.concatenate([gradients[i].ravel() for i in numeric.places])
    largest = np.max(np.abs(gradient), initial=0, where=np.isfinite(gradient))

    def derived(*inner: Tree) -> list[Any]:
        dtypes = [v.dtype for v in flatten(list(inner))[0] if is_float(v)]
        pulled = vjp(f, *inner)[1](cast(g, np.result_type(*dtypes)))
        return [d for d in flatten(list(pulled))[0] if d is not None]

    def exact() -> Any:
        return np.concatenate([bare(d).ravel() for d in derived(*numeric.args)])

    def complaint(computed: Any, slope: Slope, length: Any = 1) -> str:
        text = complaint_of(computed, slope, rtol, length * largest)
        return "" if text and is_zero(computed, slope, gradient, exact, numeric.eps) else text

    agreed = np.ones(len(gradient))
    slopes, off = referee(numeric, gradient, agreed, complaint, 0.01 * rtol, largest, rng)
    for i, slope in slopes.items():
        if text := complaint(gradient[i], slope):
            which, index = numeric.cell(i)
            if bool(slope.bend <= 2) and numeric.sides(i)[2]:
                text += "; the function has a kink there"
            elif before is not None and before.sides(i)[2]:  # a mean slope passed below
                text = (
                    f"the function has a kink there, where its slope jumps, and no derivative of "
                    f"order {order}; check it elsewhere, or with order={order - 1}"
                )
            raise AssertionError(
                f"order {order}, argument {argument[which]}, cell {list(index)}: {text}"
            )
    if off:
        raise AssertionError(f"order {order}: the derivative in a random direction is wrong")
    if order < highest:
        _check_order(derived, args, order + 1, highest, rtol, rng, numeric)
