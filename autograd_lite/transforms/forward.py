"""Derivatives along a direction, of functions and of gradients, by reverse mode applied twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autograd_lite.engine.arrays import as_array, in_kind
from autograd_lite.engine.cotangents import cotangent_for
from autograd_lite.engine.recording import bare, wrap
from autograd_lite.transforms.keywords import names_keywords
from autograd_lite.transforms.reverse import grad, value_and_grad_named
from autograd_lite.transforms.trace import Trace, kind_of
from autograd_lite.transforms.trees import Function, Tree, arguments_and, flatten


@names_keywords
def jvp(f: Function, primals: Sequence[Tree], tangents: Sequence[Tree]) -> tuple[Tree, Tree]:
    """Return a function's value and its derivative along a direction.

    The pullback is linear in the cotangent it is given, so its own pullback is the Jacobian-vector
    product: no second table of rules is needed.

    Parameters
    ----------
    f : callable
        A function of arrays.
    primals : sequence
        Its arguments.
    tangents : sequence
        The direction: the structure and shapes of ``primals``; None, or zeros, for what is not
        floating-point.

    Returns
    -------
    value, tangent
        Both of the structure that ``f`` returns.

    Raises
    ------
    ValueError
        If the tangents do not fit the primals.

    Examples
    --------
    >>> ag.jvp(np.exp, (np.array([0.0, 1.0]),), (np.array([1.0, 2.0]),))
    (array([1.        , 2.71828183]), array([1.        , 5.43656366]))
    """
    __tracebackhide__ = True
    directions = arguments_and("ag.jvp", "tangents", tangents, "primals", primals)
    trace = Trace("ag.jvp", f, primals, range(len(primals)), {})
    for primal, node, t in zip(trace.originals, trace.nodes, directions):
        if node is None and t is not None and np.any(bare(t)):
            raise TypeError(
                f"ag.jvp: there is no derivative in a primal of {kind_of(primal)}; pass it as "
                f"floating-point values, or its tangent as None"
            )
    # Any cotangents will do, but for exact zeros, which would count as no path.
    outputs = [as_array(bare(v)) for v in trace.outputs]
    dummies = [
        in_kind(np.linspace(1, 2, v.size, dtype=v.dtype).reshape(v.shape), v) for v in outputs
    ]

    def pull(*g: Any) -> list[Any]:
        return [d for d in flatten(trace.pull(g))[0] if d is not None]

    like = [wrap(v, None) if trace.keeps_tensors else v for v in dummies]
    back = Trace("ag.jvp", pull, like, range(len(like)), {})
    along = [t for t, node in zip(directions, trace.nodes) if node is not None]
    pulled = map(as_array, back.outputs)  # floats, where the result depends on none of the floats
    tangents = back.pull([cotangent_for(d, t, "ag.jvp") for d, t in zip(pulled, along)])
    numbers = [d[()] if isinstance(d, np.ndarray) and not d.ndim else d for d in tangents]
    return trace.value, trace.rebuild_value(numbers)


@names_keywords
def hvp(f: Function, args: Sequence[Tree], vectors: Sequence[Tree]) -> tuple[Tree, ...]:
    """Return the product of a function's Hessian with vectors, without forming the Hessian.

    Parameters
    ----------
    f : callable
        A function that returns a single number.
    args : sequence
        Its arguments, all of them floating-point.
    vectors : sequence
        The structure and shapes of ``args``.

    Returns
    -------
    tuple
        One product per argument: the gradient of ``<gradient, vectors>``.

    Examples
    --------
    >>> ag.hvp(lambda x: np.sum(x**3), (np.array([1.0, 2.0]),), (np.array([1.0, 1.0]),))
    (array([ 6., 12.]),)
    """
    __tracebackhide__ = True
    directions = arguments_and("ag.hvp", "vectors", vectors, "args", args)
    every = tuple(range(len(args)))

    def along(*inner: Tree) -> Any:
        __tracebackhide__ = True
        gradients, _ = flatten(value_and_grad_named("ag.hvp", f, every)(*inner)[1])
        return sum(np.sum(g * v) for g, v in zip(gradients, directions))

    return grad(along, every)(*args)  # type: ignore[no-any-return]
