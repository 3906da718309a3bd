"""Reverse mode: one pullback of a cotangent gives the derivatives in all arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autograd_lite.engine.arrays import as_array
from autograd_lite.engine.cotangents import cotangent_for
from autograd_lite.engine.recording import node_of
from autograd_lite.engine.tensor import Tensor
from autograd_lite.transforms.keywords import names_keywords
from autograd_lite.transforms.trace import Trace, argnums_of
from autograd_lite.transforms.trees import Function, Tree, matched


@names_keywords
def vjp(f: Function, *args: Tree, **kwargs: Any) -> tuple[Tree, Callable[[Tree], tuple[Tree, ...]]]:
    """Return a function's value and its pullback, the vector-Jacobian product.

    Parameters
    ----------
    f : callable
        A function of arrays that returns an array, or several nested.
    *args : array, float, tensor, or nested dict/list/tuple of them
        Where to evaluate it. Integers are passed as they are and get the cotangent None.
    **kwargs
        Passed on to ``f``, not differentiated.

    Returns
    -------
    value
        What ``f`` returned: arrays, or tensors where one was passed in or closed over.
    pull : callable
        ``pull(g)`` takes a cotangent of the value's structure and shapes and returns a tuple of one
        cotangent per argument. It may be called several times.

    Examples
    --------
    >>> value, pull = ag.vjp(np.multiply, np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    >>> pull(np.array([1.0, 10.0]))
    (array([ 3., 40.]), array([ 1., 20.]))
    """
    __tracebackhide__ = True
    trace = Trace("ag.vjp", f, args, range(len(args)), kwargs)
    outputs = trace.rebuild_value(trace.outputs)

    def pull(g: Tree) -> tuple[Tree, ...]:
        cotangents = matched("ag.vjp", "the cotangent", g, "the value", outputs, _is_recorded)
        checked = [
            cotangent_for(output, cotangent, "ag.vjp") if isinstance(output, Tensor) else cotangent
            for output, cotangent in zip(trace.outputs, cotangents)
        ]
        return tuple(trace.pull(checked))

    return trace.value, pull


def _is_recorded(output: Any) -> bool:
    return node_of(output) is not None


@names_keywords
def value_and_grad(f: Function, argnum: int | Sequence[int] = 0) -> Function:
    """Return a function that computes ``(f(*args), gradient)``.

    Parameters
    ----------
    f : callable
        A function that returns a single number.
    argnum : int or sequence of int
        The argument to differentiate in; the gradient has its structure. For several, a tuple.

    Raises
    ------
    ValueError
        When called, if ``f`` does not return a single number.
    TypeError
        When called, if the argument is not floating-point; or if ``f`` depends on it only through
        values read out of it (``.item()``, ``.tolist()``, ``.data``), whose derivative is lost.

    Examples
    --------
    >>> ag.value_and_grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
    (np.float64(5.0), array([2., 4.]))
    """
    return value_and_grad_named("ag.value_and_grad", f, argnum)


@names_keywords
def grad(f: Function, argnum: int | Sequence[int] = 0) -> Function:
    """Return the gradient of a function as a function of the same arguments.

    Parameters
    ----------
    f : callable
        A function that returns a single number.
    argnum : int or sequence of int
        The argument to differentiate in; the gradient has its structure. For several, a tuple.

    Raises
    ------
    ValueError
        When called, if ``f`` does not return a single number.
    TypeError
        When called, if the argument is not floating-point; or if ``f`` depends on it only through
        values read out of it (``.item()``, ``.tolist()``, ``.data``), whose derivative is lost.

    Examples
    --------
    >>> round(ag.grad(np.tanh)(0.5), 8)
    0.78644773
    >>> ag.grad(ag.grad(lambda x: x**3))(2.0)
    12.0
    >>> ag.grad(lambda p, x: np.sum(p["w"] * x + p["b"]))({"w": 2.0, "b": 1.0}, np.arange(3))
    {'w': 3.0, 'b': 3.0}
    """
    return grad_named("ag.grad", f, argnum)


@names_keywords
def elementwise_grad(f: Function, argnum: int = 0) -> Function:
    """Return the derivative of a function that acts on every element by itself.

    It is the gradient of the sum of the outputs: for an elementwise ``f`` the derivative at each
    element, in the argument's shape.

    Parameters
    ----------
    f : callable
        A function of arrays that returns an array.
    argnum : int
        The argument to differentiate in.

    Examples
    --------
    >>> ag.elementwise_grad(np.exp)(np.array([0.0, 1.0]))
    array([1.        , 2.71828183])
    """

    def total(*args: Tree, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        return np.sum(f(*args, **kwargs))

    return grad_named("ag.elementwise_grad", total, argnum)


def grad_named(caller: str, f: Function, argnum: int | Sequence[int]) -> Function:
    """Return what :func:`grad` does; messages name the caller."""
    value_and_gradient = value_and_grad_named(caller, f, argnum)

    def gradient(*args: Tree, **kwargs: Any) -> Tree:
        __tracebackhide__ = True
        return value_and_gradient(*args, **kwargs)[1]

    return gradient


def value_and_grad_named(caller: str, f: Function, argnum: int | Sequence[int]) -> Function:
    """Return what :func:`value_and_grad` does; messages name the caller."""
    argnums, several = argnums_of(caller, argnum)

    def value_and_gradient(*args: Tree, **kwargs: Any) -> tuple[Any, Tree]:
        __tracebackhide__ = True
        trace = Trace(caller, f, args, argnums, kwargs, floats=True)
        if len(trace.outputs) != 1:
            raise TypeError(
                f"{caller}: the function must return a single number, "
                f"not {len(trace.outputs)} values"
            )
        output = trace.outputs[0]
        if as_array(output).size != 1:
            raise ValueError(
                f"{caller}: the function must return a single number, not shape {output.shape}; "
                f"reduce it (np.sum), or use ag.jacobian or ag.elementwise_grad"
            )
        one = cotangent_for(output, None, caller) if isinstance(output, Tensor) else 1.0
        gradients = trace.pull([one])
        return trace.value, tuple(gradients) if several else gradients[0]

    return value_and_gradient
