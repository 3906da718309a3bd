"""Whole matrices of first and second derivatives: Jacobians and Hessians, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autograd_lite.engine.arrays import as_array, kind
from autograd_lite.transforms.keywords import names_keywords
from autograd_lite.transforms.reverse import grad
from autograd_lite.transforms.trace import Trace, argnums_of
from autograd_lite.transforms.trees import Function, Tree, flatten


@names_keywords
def jacobian(f: Function, argnum: int | Sequence[int] = 0) -> Function:
    """Return the Jacobian of a function as a function of the same arguments.

    Its shape is that of the output followed by that of the argument; where they are nested, a block
    for each pair, nested as the output, then as the argument. One pullback per output element.

    Parameters
    ----------
    f : callable
        A function of arrays that returns an array, or several nested.
    argnum : int or sequence of int
        The argument to differentiate in. For several, a tuple of Jacobians.

    Examples
    --------
    >>> ag.jacobian(lambda x: x[1:] * x[:-1])(np.array([1.0, 2.0, 3.0]))
    array([[2., 1., 0.],
           [0., 3., 2.]])
    """
    argnums, several = argnums_of("ag.jacobian", argnum)

    def jacobian_at(*args: Tree, **kwargs: Any) -> Tree:
        __tracebackhide__ = True
        trace = Trace("ag.jacobian", f, args, argnums, kwargs, floats=True)
        blocks = []
        for k, output in enumerate(map(as_array, trace.outputs)):
            shape, size = output.shape, output.size
            places = np.arange(size, like=kind(output))
            units: list[Any] = [None] * len(trace.outputs)
            rows = []
            for i in range(size):
                units[k] = (places == i).astype(output.dtype).reshape(shape)
                rows.append(flatten(trace.pull(units))[0])
            columns = [
                (
                    np.stack([row[j] for row in rows]) if rows else np.zeros(0, like=kind(original))
                ).reshape(shape + as_array(original).shape)
                for j, original in enumerate(trace.originals)
            ]
            trees = trace.arranged(columns)
            blocks.append(tuple(trees) if several else trees[0])
        return trace.rebuild_value(blocks)

    return jacobian_at


@names_keywords
def hessian(f: Function, argnum: int | Sequence[int] = 0) -> Function:
    """Return the Hessian of a function to a single number, as a function of the same arguments.

    Parameters
    ----------
    f : callable
        A function that returns a single number.
    argnum : int or sequence of int
        The argument to differentiate in twice. For several, a tuple of tuples of blocks.

    Examples
    --------
    >>> ag.hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 3.0]))
    array([[6., 2.],
           [2., 0.]])
    """
    return jacobian(grad(f, argnum), argnum)
