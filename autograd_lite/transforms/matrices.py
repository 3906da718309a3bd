"""Whole matrices of first and second derivatives: Jacobians and Hessians, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from autograd_lite.engine.arrays import as_array, is_batch, kind
from autograd_lite.engine.recording import bare, node_of
from autograd_lite.engine.tape import Node, reachable
from autograd_lite.transforms.keywords import names_keywords
from autograd_lite.transforms.mapped import of_each_row
from autograd_lite.transforms.reverse import grad
from autograd_lite.transforms.trace import Trace, argnums_of
from autograd_lite.transforms.trees import Function, Tree, flatten

# Bytes of cotangents at a time: of one, beyond which fresh memory is slow to come; of all together.
LARGEST, TOGETHER = 1 << 21, 1 << 28


@names_keywords
def jacobian(f: Function, argnum: int | Sequence[int] = 0) -> Function:
    """Return the Jacobian of a function as a function of the same arguments.

    Its shape is that of the output followed by that of the argument; where they are nested, a block
    for each pair, nested as the output, then as the argument. One pullback does all elements of an
    output, in pieces of at most 256 MiB of cotangents, or one row.

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
            columns = [
                rows.reshape(output.shape + as_array(original).shape)
                for rows, original in zip(_rows(trace, k), trace.originals)
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


def _rows(trace: Trace, k: int) -> list[Any]:
    """Return the derivatives of each element of an output in the arguments, one row for each."""
    output = as_array(trace.outputs[k])
    size, dtype, like = output.size, output.dtype, kind(output)
    root = node_of(trace.outputs[k])

    def pulled(unit: Any) -> list[Any]:
        units: list[Any] = [None] * len(trace.outputs)
        units[k] = unit
        return flatten(trace.pull(units))[0]

    if root is None or not size:
        originals = [bare(as_array(original)) for original in trace.originals]
        return [np.zeros((size, *a.shape), a.dtype, like=kind(a)) for a in originals]
    if like is not None and not is_batch(like):  # another library's, which has no batches
        places = np.arange(size, like=like)
        rows = [pulled((places == i).astype(dtype).reshape(output.shape)) for i in range(size)]
        return [np.stack(column) for column in zip(*rows)]
    step = _piece(reachable(root, trace.targets))
    parts = []
    for start in range(0, size, step):
        count = min(step, size - start)
        units = np.eye(count, size, start, dtype).reshape(count, *output.shape)
        parts.append(of_each_row(pulled, units))
    if len(parts) == 1:
        return parts[0]
    return [np.concatenate(column) for column in zip(*parts)]


def _piece(nodes: Iterable[Node]) -> int:
    """Return how many rows to do at a time, given what the cotangents of one pass through."""
    sizes = [n.size * n.dtype.itemsize for n in nodes if isinstance(n.dtype, np.dtype)]
    return max(1, min(LARGEST // max([1, *sizes]), TOGETHER // max(1, sum(sizes))))
