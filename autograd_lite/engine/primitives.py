"""Functions of the user's own: ``@primitive`` with rules, ``@composite`` with a formula."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, Unpack

from autograd_lite.engine.recording import call
from autograd_lite.engine.table import TABLE, Options, Primitive, Rule, enter_composite

F = TypeVar("F", bound=Callable[..., Any])


def primitive(*rules: Rule | None, **options: Unpack[Options]) -> Callable[[F], F]:
    """Return a decorator that makes a function of arrays differentiable by the given rules.

    Parameters
    ----------
    *rules, **options
        As for :func:`derivative`: one rule for each leading argument.

    Examples
    --------
    >>> @ag.primitive(lambda g, ans: g * ans * (1 - ans))
    ... def logistic(x):
    ...     return 1 / (1 + np.exp(-x))
    >>> ag.grad(logistic)(0.0)
    0.25
    """

    def decorate(function: F) -> F:
        if not callable(function):
            raise TypeError(
                "ag.primitive takes derivative rules and decorates a function: "
                "ag.primitive(rule)(function)"
            )

        @functools.wraps(function)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            return call(recorded, args, kwargs)

        TABLE[recorded] = Primitive(function, rules, **options)
        return recorded  # type: ignore[return-value]

    return decorate


def composite(function: Callable[..., Any]) -> Callable[[F], F]:
    """Return a decorator that makes a formula the derivative of a function.

    The formula replaces the function for tensors; it takes the function's arguments, those that it
    supports, under the same names, and is written in functions that have derivatives.

    Parameters
    ----------
    function : callable
        The NumPy function that the formula computes.

    Examples
    --------
    >>> @ag.composite(np.vander)
    ... def vander(x, N):
    ...     return np.stack([x**k for k in reversed(range(N))], axis=-1)
    >>> ag.jvp(lambda x: np.vander(x, 3), (np.array([2.0, 3.0]),), (np.ones(2),))[1]
    array([[4., 1., 0.],
           [6., 1., 0.]])
    """

    def decorate(formula: F) -> F:
        enter_composite(function, formula)
        return formula

    return decorate
