"""Mistakes are named, and an exception of the function comes through."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag

X = np.array([0.3, -0.8, 1.7])


MISTAKES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "output is an array": (
        lambda: ag.grad(np.exp)(X),
        ValueError,
        "ag.grad: the function must return a single number, not shape (3,); reduce it (np.sum), "
        "or use ag.jacobian or ag.elementwise_grad",
    ),
    "output is a pair": (
        lambda: ag.value_and_grad(lambda x: (np.sum(x), np.sum(x)))(X),
        TypeError,
        "ag.value_and_grad: the function must return a single number, not 2 values",
    ),
    "integer argument": (
        lambda: ag.grad(np.sum)(np.array([1, 2])),
        TypeError,
        "ag.grad: cannot differentiate with respect to int64; pass floating-point values",
    ),
    "Python integer": (
        lambda: ag.grad(np.sin)(1),
        TypeError,
        "ag.grad: cannot differentiate with respect to int; pass floating-point values",
    ),
    "complex argument": (
        lambda: ag.grad(np.abs)(1j),
        TypeError,
        "ag.grad: cannot differentiate with respect to complex",
    ),
    "text in the argument": (
        lambda: ag.grad(lambda p: p["a"])({"a": 1.0, "b": "text"}),
        TypeError,
        "cannot differentiate with respect to str",
    ),
    "argnum out of range": (
        lambda: ag.grad(np.sin, 1)(1.0),
        IndexError,
        "ag.grad: argnum 1 is out of range for 1 positional argument; what is differentiated is "
        "passed by position",
    ),
    "differentiated argument by keyword": (
        lambda: ag.grad(lambda a: a * a)(a=1.0),
        IndexError,
        "ag.grad: argnum 0 is out of range for 0 positional arguments; what is differentiated is "
        "passed by position",
    ),
    "argnum twice": (
        lambda: ag.grad(np.multiply, (0, -2))(1.0, 2.0),
        ValueError,
        "ag.grad: argnum (0, -2) names an argument twice",
    ),
    "argnum is a name": (
        lambda: ag.jacobian(np.multiply, "x1"),  # type: ignore[arg-type]
        TypeError,
        "ag.jacobian: argnum is the position of an argument or a tuple of them, not 'x1'",
    ),
    "a list where an array is meant": (
        lambda: ag.grad(np.sum)([1.0, 2.0]),
        TypeError,
        "np.sum of a tensor that requires a gradient would lose its derivative; ag.grad "
        "differentiates in each number of a list by itself: pass an array, np.array([...]), to a "
        "function of one",
    ),
    "an array of tensors within the function": (
        lambda: ag.jacobian(lambda x: np.array([x[0], x[1]]))(X),
        TypeError,
        "np.asarray or np.array of a tensor that requires a gradient would lose its derivative",
    ),
    "a function without a rule": (
        lambda: ag.grad(np.polyfit)(X, X, 1),
        TypeError,
        "np.polyfit",
    ),
    "no return": (
        lambda: ag.elementwise_grad(lambda x: None)(X),
        TypeError,
        "ag.elementwise_grad: the function returned None; is its return statement missing?",
    ),
    "no return, vjp": (
        lambda: ag.vjp(lambda x: (x, None), X),
        TypeError,
        "ag.vjp: the function returned None; is its return statement missing?",
    ),
    "returns text": (
        lambda: ag.value_and_grad(lambda x: "1")(X),
        TypeError,
        "ag.value_and_grad: the function must return real numbers, not str",
    ),
    "returns complex numbers": (
        lambda: ag.jvp(lambda x: 1j, (X,), (X,)),
        TypeError,
        "ag.jvp: the function must return real numbers, not complex",
    ),
    "jacobian of an integer": (
        lambda: ag.jacobian(np.sin)(1),
        TypeError,
        "ag.jacobian: cannot differentiate with respect to int",
    ),
    "cotangent of a wrong shape": (
        lambda: ag.vjp(np.exp, X)[1](np.ones(4)),
        ValueError,
        "ag.vjp: the cotangent is of shape (4,), but the value is of shape (3,)",
    ),
    "too few cotangents": (
        lambda: ag.vjp(lambda x: (x, x), X)[1](X),
        ValueError,
        "ag.vjp: the cotangent is of shape (3,), but the value is a tuple of 2",
    ),
    "tangent of a wrong shape": (
        lambda: ag.jvp(np.exp, (X,), (np.ones(4),)),
        ValueError,
        "ag.jvp: tangents[0] is of shape (4,), but primals[0] is of shape (3,)",
    ),
    "tangent missing": (
        lambda: ag.jvp(np.multiply, (X, X), (X,)),
        ValueError,
        "ag.jvp: tangents is a tuple of 1, but primals is a tuple of 2",
    ),
    "primal that is no tuple": (
        lambda: ag.jvp(np.exp, X, X),
        TypeError,
        "ag.jvp: pass the arguments, and the tangents, as tuples: (x,) for one",
    ),
    "vector of a wrong shape": (
        lambda: ag.hvp(np.sum, (X,), (1.0,)),
        ValueError,
        "ag.hvp: vectors[0] is of shape (), but args[0] is of shape (3,)",
    ),
    "hvp of an array": (
        lambda: ag.hvp(np.exp, (X,), (X,)),
        ValueError,
        "ag.hvp: the function must return a single number, not shape (3,)",
    ),
    "cotangent where a float would broadcast": (
        lambda: ag.vjp(np.exp, X)[1](1.0),
        ValueError,
        "ag.vjp: the cotangent is of shape (), but the value is of shape (3,)",
    ),
}


ALL_ARGUMENTS: dict[str, Callable[..., Any]] = {
    "vjp": lambda **options: ag.vjp(np.sum, X, **options),
    "jvp": lambda **options: ag.jvp(np.sum, (X,), (X,), **options),
    "hvp": lambda **options: ag.hvp(np.sum, (X,), (X,), **options),
}
CHOSEN: dict[str, Callable[..., Any]] = {
    "grad": lambda **options: ag.grad(np.sum, **options),
    "value_and_grad": lambda **options: ag.value_and_grad(np.sum, **options),
    "elementwise_grad": lambda **options: ag.elementwise_grad(np.sum, **options),
    "jacobian": lambda **options: ag.jacobian(np.sum, **options),
    "hessian": lambda **options: ag.hessian(np.sum, **options),
}


@pytest.mark.parametrize("name", ALL_ARGUMENTS | CHOSEN)
def test_the_keywords_of_other_libraries_are_named(name: str) -> None:
    says = "is called argnum here, and takes a tuple of positions too"
    if name in ALL_ARGUMENTS:
        says = "is not taken: it differentiates in all arguments; fix the others in a lambda"
    make = (ALL_ARGUMENTS | CHOSEN)[name]
    with pytest.raises(TypeError, match=rf"^ag\.{name}: argnums= {says}$"):
        make(argnums=0)
    with pytest.raises(TypeError, match=rf"^ag\.{name}: has_aux= is not taken: ag.vjp gives all"):
        make(has_aux=True)


def test_what_has_aux_is_told_to_write_instead() -> None:
    (_, other), pull = ag.vjp(lambda x: (np.sum(x * x), x.sum().item()), X)
    np.testing.assert_array_equal(pull((1.0, None))[0], 2 * X)
    assert other == X.sum()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(mistake: str) -> None:
    make, error, message = MISTAKES[mistake]
    with pytest.raises(error, match=re.escape(message)):
        make()


def test_exception_of_the_function_comes_through() -> None:
    def f(x: Any) -> Any:
        raise KeyError("mine")

    for transform in (ag.grad, ag.jacobian, ag.hessian):
        with pytest.raises(KeyError, match="mine"):
            transform(f)(X)
    assert (ag.Tensor(X, requires_grad=True) * 2).requires_grad


def test_gradients_are_the_callers_own() -> None:
    x, y = X.copy(), X.copy()
    a, b = ag.grad(lambda x, y: np.sum(x + y), (0, 1))(x, y)
    a[:] = 7
    np.testing.assert_array_equal(b, 1)
    g = np.ones(3)
    _, pull = ag.vjp(lambda x: x + 0.0, x)
    (d,) = pull(g)
    d[:] = 7
    np.testing.assert_array_equal(g, 1)
    jacobian = ag.jacobian(lambda x: x)(x)
    jacobian[0, 0] = 7
    np.testing.assert_array_equal(x, X)
