"""Transforms against closed forms: nested, over nested arguments, and with their mistakes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import autograd_lite as ag

X = np.array([0.3, -0.8, 1.7])


def _nth(f: Callable[..., Any], n: int) -> Callable[..., Any]:
    for _ in range(n):
        f = ag.grad(f)
    return f


# ---------------------------------------------------------------------------- any order

ORDERS: dict[str, tuple[Callable[[Any], Any], Callable[[float, int], float]]] = {
    "exp": (np.exp, lambda x, n: math.exp(x)),
    "sin": (np.sin, lambda x, n: math.sin(x + n * math.pi / 2)),
    "log": (np.log, lambda x, n: (-1) ** (n - 1) * math.factorial(n - 1) / x**n),
    "power": (lambda x: x**7, lambda x, n: math.perm(7, n) * x ** (7 - n)),
    "reciprocal": (lambda x: 1 / x, lambda x, n: (-1) ** n * math.factorial(n) / x ** (n + 1)),
    "x exp(x)": (lambda x: x * np.exp(x), lambda x, n: (x + n) * math.exp(x)),
    "sqrt": (
        np.sqrt,
        lambda x, n: math.prod(0.5 - k for k in range(n)) * x ** (0.5 - n),
    ),
    "square of a matmul": (
        lambda x: np.sum((np.array([[2.0, 1.0]]) @ np.stack([x, x])) ** 4),
        lambda x, n: 81 * math.perm(4, n) * x ** (4 - n) if n <= 4 else 0.0,
    ),
}


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", ORDERS)
def test_orders(name: str, order: int) -> None:
    f, closed_form = ORDERS[name]
    assert _nth(f, order)(0.7) == pytest.approx(closed_form(0.7, order), rel=1e-12)


def test_fourth_order_through_indexing_and_reductions() -> None:
    def f(x: Any) -> Any:
        return np.sum(np.concatenate([x, x[::-1]])[[0, 1, 1]] ** 2) * np.max(x) ** 2

    x = np.array([1.5, 2.0])
    # f = (a² + 2b²) b² at a < b
    expected = np.zeros((2, 2, 2, 2))
    for place in (
        (0, 0, 1, 1),
        (0, 1, 0, 1),
        (0, 1, 1, 0),
        (1, 0, 0, 1),
        (1, 0, 1, 0),
        (1, 1, 0, 0),
    ):
        expected[place] = 4
    expected[1, 1, 1, 1] = 48
    got = ag.jacobian(ag.jacobian(ag.hessian(f)))(x)
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_elementwise_nesting() -> None:
    third = ag.elementwise_grad(ag.elementwise_grad(ag.elementwise_grad(np.tanh)))(X)
    t = np.tanh(X)
    np.testing.assert_allclose(third, (1 - t**2) * (6 * t**2 - 2), rtol=1e-13)


# ---------------------------------------------------------------------------- nested variables


def test_inner_derivative_does_not_see_the_outer_variable() -> None:
    """d/dx (x · d/dy (x + y)) = 1: the two derivatives must not be confused."""
    f = lambda x: x * ag.grad(lambda y: x + y)(2.0)  # noqa: E731
    assert ag.grad(f)(3.0) == 1.0


def test_inner_derivative_that_depends_on_the_outer_variable() -> None:
    # d/dx (x · d/dy (x y) at y = 2) = d/dx x² = 2x
    assert ag.grad(lambda x: x * ag.grad(lambda y: x * y)(2.0))(3.0) == 6.0
    slope = ag.grad(lambda x: np.sum(ag.grad(lambda y: np.sum(x**3 * y))(np.ones(3))))(X)
    np.testing.assert_allclose(slope, 3 * X**2, rtol=1e-14)
    outer = ag.grad(lambda x: np.sum(ag.jvp(lambda y: x**2 * y, (X,), (np.ones(3),))[1]))(X)
    np.testing.assert_allclose(outer, 2 * X, rtol=1e-14)


def test_inner_variable_at_the_outer_variable() -> None:
    # d/dx [d/dy (x y²) at y = x] = d/dx 2x² = 4x
    assert ag.grad(lambda x: ag.grad(lambda y: x * y * y)(x))(3.0) == 12.0
    assert _nth(lambda x: ag.grad(lambda y: x * y * y)(x), 2)(3.0) == 4.0


def test_three_levels() -> None:
    def f(x: Any) -> Any:
        return x * ag.grad(lambda y: x * y * ag.grad(lambda z: x * y * z * z)(y))(x)

    # d/dz(x y z²) = 2xyz at z=y: 2xy²; times xy: 2x²y³; d/dy: 6x²y² at y=x: 6x⁴; times x: 6x⁵
    assert ag.grad(f)(1.5) == pytest.approx(30 * 1.5**4, rel=1e-14)


def test_closed_over_tensor_that_is_also_the_argument() -> None:
    x = ag.Tensor(3.0, requires_grad=True)
    # d/dz (x z) at z = x is x = 3, not 2x
    slope = ag.grad(lambda z: x * z)(x)
    assert isinstance(slope, ag.Tensor)
    assert slope.item() == 3.0
    assert x.grad is None
    (slope * x).backward()  # x²
    assert x.grad == 6.0


def test_closed_over_array_that_is_also_the_argument() -> None:
    np.testing.assert_array_equal(ag.grad(lambda z: np.sum(X * z))(X), X)


def test_same_array_as_two_arguments() -> None:
    a, b = ag.grad(lambda x, y: np.sum(x * x * y), (0, 1))(X, X)
    np.testing.assert_allclose(a, 2 * X * X)
    np.testing.assert_allclose(b, X * X)


def test_transform_inside_backward() -> None:
    w = ag.Tensor(X, requires_grad=True)
    # A gradient penalty: |∇ₓ Σ w x³|² = Σ 9 w² x⁴
    penalty = ag.grad(lambda x: np.sum(w * x**3))
    np.sum(penalty(ag.Tensor(X)) ** 2).backward()
    np.testing.assert_allclose(w.grad, 18 * X * X**4)
    with ag.no_grad():
        assert not penalty(ag.Tensor(X)).requires_grad
        assert type(penalty(X)) is np.ndarray


INSIDE = {  # a transform of arrays or floats, and the same derivative written out
    "grad": (lambda w: ag.grad(lambda y: w * y * y)(3.0), lambda w: 6 * w),
    "value_and_grad": (
        lambda w: sum(ag.value_and_grad(lambda y: w * y * y)(3.0)),
        lambda w: 15 * w,
    ),
    "vjp": (lambda w: ag.vjp(lambda y: w * y * y, 3.0)[1](w)[0], lambda w: 6 * w * w),
    "jvp": (lambda w: ag.jvp(lambda y: w * y * y, (3.0,), (w,))[1], lambda w: 6 * w * w),
    "jacobian": (
        lambda w: np.sum(ag.jacobian(lambda y: w * y**3)(X)),
        lambda w: w * np.sum(3 * X**2),
    ),
    "hessian": (lambda w: ag.hessian(lambda y: (w * y) ** 2)(3.0), lambda w: 2 * w * w),
    "hvp": (lambda w: ag.hvp(lambda y: w * y**3, (2.0,), (1.0,))[0], lambda w: 12 * w),
    "vector of hvp": (lambda w: ag.hvp(lambda y: y**3, (2.0,), (w,))[0], lambda w: 12 * w),
    "elementwise_grad": (
        lambda w: np.sum((ag.elementwise_grad(lambda x: np.sin(w * x))(X) - X) ** 2),
        lambda w: np.sum((w * np.cos(w * X) - X) ** 2),
    ),
}


@pytest.mark.parametrize("name", INSIDE)
def test_transform_of_arrays_keeps_the_path_to_closed_over_leaves(name: str) -> None:
    inside, written_out = INSIDE[name]
    w, same = ag.Tensor(1.3, requires_grad=True), ag.Tensor(1.3, requires_grad=True)
    ((w - 1) ** 2 + inside(w) ** 2).backward()
    ((same - 1) ** 2 + written_out(same) ** 2).backward()
    np.testing.assert_allclose(w.grad, same.grad, rtol=1e-13)


TRANSFORMS: dict[str, Any] = {
    "grad": lambda x: ag.grad(np.square)(x),
    "value_and_grad": lambda x: ag.value_and_grad(np.square)(x)[0] + ag.grad(np.square)(x) - x * x,
    "vjp": lambda x: ag.vjp(np.square, x)[1](x)[0] / x,
    "jvp": lambda x: ag.jvp(np.square, (x,), (x,))[1] / x,
    "jacobian": lambda x: ag.jacobian(np.square)(x),
    "hvp": lambda x: ag.hvp(lambda y: y**3 / 3, (x,), (1.0,))[0],
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_under_no_grad_nothing_is_differentiated_further(name: str) -> None:
    def f(x: Any) -> Any:
        with ag.no_grad():
            twice = TRANSFORMS[name](x)
        return x * twice

    assert ag.grad(f)(3.0) == pytest.approx(6.0)
    w = ag.Tensor(3.0, requires_grad=True)
    f(w).backward()
    assert w.grad == pytest.approx(6.0)
    with ag.no_grad():
        assert not ag.grad(np.square)(w).requires_grad
        assert not ag.value_and_grad(np.square)(w)[0].requires_grad


def test_argnum_is_any_integer() -> None:
    assert ag.grad(lambda a, b: a * b, np.int64(1))(2.0, 3.0) == 2.0
    assert ag.grad(lambda a, b: a * b, [-1, 0])(2.0, 3.0) == (2.0, 3.0)


def test_backward_inside_a_function_that_is_differentiated() -> None:
    w = ag.Tensor(X, requires_grad=True)

    def f(x: Any) -> Any:
        np.sum(w * x).backward()
        return np.sum(x * x)

    np.testing.assert_array_equal(ag.grad(f)(X), 2 * X)
    np.testing.assert_array_equal(w.grad, X)


def test_pull_after_an_unrelated_step_of_an_optimiser() -> None:
    w = ag.Tensor(np.ones(3), requires_grad=True)
    _, pull = ag.vjp(lambda x: x * x, X)
    np.sum(w * w).backward()
    ag.optim.SGD([w], 0.1).step()
    np.testing.assert_array_equal(pull(np.ones(3))[0], 2 * X)


def test_under_no_grad() -> None:
    with ag.no_grad():
        np.testing.assert_array_equal(ag.grad(lambda x: np.sum(x * x))(X), 2 * X)
        assert _nth(lambda x: x**3, 2)(2.0) == 12.0


# ---------------------------------------------------------------------------- kinds of arguments


class Layer(NamedTuple):
    weight: Any
    bias: Any


def test_nested_arguments() -> None:
    parameters = {"layers": [Layer(X, 1.0), Layer(2 * X, -1.0)], "scale": (3.0,)}

    def f(p: Any, x: Any) -> Any:
        total = sum(np.sum(layer.weight * x) + layer.bias**2 for layer in p["layers"])
        return total * p["scale"][0]

    value, gradient = ag.value_and_grad(f)(parameters, np.ones(3))
    assert value == pytest.approx(3 * (3 * X.sum() + 2))
    assert type(gradient) is dict
    assert type(gradient["layers"][0]) is Layer
    np.testing.assert_allclose(gradient["layers"][1].weight, 3 * np.ones(3))
    assert gradient["layers"][0].bias == 6.0
    assert gradient["layers"][1].bias == -6.0
    assert gradient["scale"] == (pytest.approx(3 * X.sum() + 2),)


def test_kinds_come_back() -> None:
    assert type(ag.grad(np.sin)(0.5)) is float
    assert type(ag.grad(np.sin)(np.array(0.5))) is np.ndarray
    assert ag.grad(np.sin)(np.float32(0.5)).dtype == np.float32
    assert type(ag.grad(np.sin)(ag.Tensor(0.5))) is ag.Tensor
    assert type(ag.grad(np.sum)(X)) is np.ndarray
    assert type(ag.grad(np.sum)(ag.Tensor(X, requires_grad=True))) is ag.Tensor


def test_arrays_in_arrays_out() -> None:
    value, gradient = ag.value_and_grad(lambda x: np.sum(x**2))(X)
    assert not isinstance(value, ag.Tensor)
    assert not isinstance(gradient, ag.Tensor)
    value, tangent = ag.jvp(np.exp, (X,), (X,))
    assert type(value) is type(tangent) is np.ndarray


def test_argnums() -> None:
    f = lambda x, y, z: np.sum(x * y**2 * z**3)  # noqa: E731
    x, y, z = X, 2 * X, 3 * X
    np.testing.assert_allclose(ag.grad(f, 1)(x, y, z), 2 * x * y * z**3)
    dz, dx = ag.grad(f, (2, 0))(x, y, z)
    np.testing.assert_allclose(dx, y**2 * z**3)
    np.testing.assert_allclose(dz, 3 * x * y**2 * z**2)
    (only,) = ag.grad(f, (0,))(x, y, z)
    np.testing.assert_allclose(only, dx)
    np.testing.assert_allclose(ag.grad(f, -1)(x, y, z), dz)


def test_keyword_arguments_are_passed_on() -> None:
    f = lambda x, *, power: np.sum(x**power)  # noqa: E731
    np.testing.assert_allclose(ag.grad(f)(X, power=3), 3 * X**2)


def test_unused_argument_has_derivative_zero() -> None:
    gradient = ag.grad(lambda p, x: np.sum(x) * 2.0, 0)({"a": X, "b": 1.0}, X)
    np.testing.assert_array_equal(gradient["a"], np.zeros(3))
    assert gradient["b"] == 0.0
    np.testing.assert_array_equal(ag.grad(lambda x: 3.0)(X), np.zeros(3))
    np.testing.assert_array_equal(ag.jacobian(lambda x: np.ones(2))(X), np.zeros((2, 3)))
    _, tangent = ag.jvp(lambda x: np.ones(2), (X,), (X,))
    np.testing.assert_array_equal(tangent, np.zeros(2))
    np.testing.assert_array_equal(ag.hessian(np.sum)(X), np.zeros((3, 3)))
    (product,) = ag.hvp(np.sum, (X,), (X,))
    np.testing.assert_array_equal(product, np.zeros(3))


def test_integer_arguments_are_passed_as_they_are() -> None:
    labels = np.array([0, 2, 1])
    f = lambda x, k: np.sum(x[k] ** 2)  # noqa: E731
    np.testing.assert_allclose(ag.grad(f)(X, labels), 2 * X)
    _, pull = ag.vjp(f, X, labels)
    gradient, nothing = pull(1.0)
    np.testing.assert_allclose(gradient, 2 * X)
    assert nothing is None


def test_several_outputs() -> None:
    value, pull = ag.vjp(lambda x: {"a": np.sum(x), "b": [x * x]}, X)
    assert value["a"] == X.sum()
    (gradient,) = pull({"a": 2.0, "b": [np.ones(3)]})
    np.testing.assert_allclose(gradient, 2 + 2 * X)


def test_pull_may_be_called_again() -> None:
    _, pull = ag.vjp(lambda x: x**2, X)
    np.testing.assert_allclose(pull(np.ones(3))[0], 2 * X)
    np.testing.assert_allclose(pull(X)[0], 2 * X**2)


# ---------------------------------------------------------------------------- jvp, jacobian

W = np.random.default_rng(0).normal(size=(4, 3))
CURVES: dict[str, Callable[[Any], Any]] = {
    "matmul": lambda x: W @ x,
    "softmax": lambda x: np.exp(x) / np.sum(np.exp(x)),
    "norm": lambda x: np.sqrt(np.sum(x * x)),
    "products": lambda x: x[1:] * x[:-1],
    "outer": lambda x: x[:, None] * np.sin(x),
    "chain": lambda x: np.tanh(W.T @ np.tanh(W @ x)),
    "concatenate": lambda x: np.concatenate([x, x * x]),
}


@pytest.mark.parametrize("name", CURVES)
def test_jvp_and_jacobian_against_the_complex_step(name: str) -> None:
    f, v, h = CURVES[name], np.array([0.5, -1.0, 2.0]), 1e-150
    value, tangent = ag.jvp(f, (X,), (v,))
    np.testing.assert_array_equal(value, f(X))
    exact = np.imag(f(X + 1j * h * v)) / h
    np.testing.assert_allclose(tangent, exact, rtol=1e-12, atol=1e-15)
    columns = [np.imag(f(X + 1j * h * e)) / h for e in np.eye(3)]
    jacobian = ag.jacobian(f)(X)
    assert jacobian.shape == (*np.shape(f(X)), 3)
    np.testing.assert_allclose(jacobian, np.stack(columns, axis=-1), rtol=1e-12, atol=1e-15)


def test_jvp_of_several_arguments_and_outputs() -> None:
    value, tangent = ag.jvp(
        lambda p, y: (p["x"] * y, np.sum(y**2)), ({"x": X}, 2 * X), ({"x": np.ones(3)}, X)
    )
    np.testing.assert_allclose(tangent[0], 2 * X + X * X)
    np.testing.assert_allclose(tangent[1], np.sum(4 * X * X))
    np.testing.assert_allclose(value[0], 2 * X * X)


def test_jvp_of_jvp_and_of_grad() -> None:
    # d²/dt² exp(tx) along x, twice
    _, second = ag.jvp(lambda x: ag.jvp(np.exp, (x,), (X,))[1], (X,), (X,))
    np.testing.assert_allclose(second, X * X * np.exp(X), rtol=1e-14)
    _, along = ag.jvp(ag.grad(lambda x: np.sum(x**4)), (X,), (np.ones(3),))
    np.testing.assert_allclose(along, 12 * X**2, rtol=1e-14)
    slope = ag.grad(lambda x: np.sum(ag.jvp(np.sin, (x,), (np.ones(3),))[1]))(X)
    np.testing.assert_allclose(slope, -np.sin(X), rtol=1e-14)


def test_jvp_of_outputs_that_do_not_depend_on_the_arguments() -> None:
    value, tangent = ag.jvp(lambda x: (x * x, 2.0, np.argmax(x)), (X,), (np.ones(3),))
    assert value[1:] == (2.0, 2)
    np.testing.assert_array_equal(tangent[0], 2 * X)
    assert tangent[1:] == (0, None)


def test_jvp_in_floats_of_outputs_that_depend_on_none() -> None:
    assert ag.jvp(lambda x: 7, (2.0,), (1.0,)) == (7, None)
    assert ag.jvp(lambda x: (), (2.0,), (1.0,)) == ((), ())
    assert ag.jvp(lambda n, x: n * n, (3, 2.0), (0, 1.0)) == (9, None)


def test_jvp_is_linear_at_zero_too() -> None:
    _, tangent = ag.jvp(lambda x: x * x, (X,), (np.zeros(3),))
    np.testing.assert_array_equal(tangent, 0)


def test_hessian_of_a_quadratic_and_of_logsumexp() -> None:
    a = W.T @ W
    np.testing.assert_allclose(ag.hessian(lambda x: x @ a @ x / 2)(X), a, rtol=1e-13)
    p = np.exp(X) / np.exp(X).sum()
    np.testing.assert_allclose(
        ag.hessian(ag.logsumexp)(X), np.diag(p) - np.outer(p, p), rtol=1e-12, atol=1e-16
    )


def test_jacobian_blocks() -> None:
    f = lambda p, y: {"s": p["a"] * y, "t": np.sum(y)}  # noqa: E731
    blocks = ag.jacobian(f, (0, 1))({"a": X}, 2 * X)
    np.testing.assert_allclose(blocks["s"][0]["a"], np.diag(2 * X))
    np.testing.assert_allclose(blocks["s"][1], np.diag(X))
    np.testing.assert_allclose(blocks["t"][1], np.ones(3))
    np.testing.assert_allclose(blocks["t"][0]["a"], np.zeros(3))


def test_hvp_against_the_hessian() -> None:
    f = lambda x, y: np.sum(np.tanh(W @ x) * y) + np.sum(x) * np.sum(y**3)  # noqa: E731
    x, y = X, np.array([1.0, -0.5, 2.0, 0.3])
    v, u = np.array([1.0, 2.0, -1.0]), np.array([0.5, 0.0, 1.0, -2.0])
    got = ag.hvp(f, (x, y), (v, u))
    h = 1e-30

    def gradient(x: Any, y: Any) -> Any:
        t = np.tanh(W @ x)
        return W.T @ ((1 - t**2) * y) + np.sum(y**3), t + 3 * np.sum(x) * y**2

    exact = [np.imag(part) / h for part in gradient(x + 1j * h * v, y + 1j * h * u)]
    np.testing.assert_allclose(got[0], exact[0], rtol=1e-12)
    np.testing.assert_allclose(got[1], exact[1], rtol=1e-12)


def test_empty_and_zero_dimensional() -> None:
    assert ag.grad(np.sum)(np.zeros((0, 3))).shape == (0, 3)
    assert ag.jacobian(lambda x: x * x)(np.zeros(0)).shape == (0, 0)
    assert ag.jacobian(np.exp)(np.array(0.0)).shape == ()
    assert ag.hessian(np.exp)(0.0) == 1.0


def test_float32_stays() -> None:
    x = X.astype(np.float32)
    assert ag.grad(lambda v: np.sum(np.exp(v) * 2))(x).dtype == np.float32
    assert ag.hessian(lambda v: np.sum(np.exp(v) * 2))(x).dtype == np.float32
    value, tangent = ag.jvp(np.log1p, (np.abs(x),), (x,))
    assert value.dtype == tangent.dtype == np.float32


# ---------------------------------------------------------------------------- mistakes

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
        "ag.vjp: the gradient has shape (4,), but the output has shape (3,)",
    ),
    "too few cotangents": (
        lambda: ag.vjp(lambda x: (x, x), X)[1](X),
        ValueError,
        "ag.vjp: the function has 2 outputs, the cotangent has 1",
    ),
    "tangent of a wrong shape": (
        lambda: ag.jvp(np.exp, (X,), (np.ones(4),)),
        ValueError,
        "ag.jvp: the tangents have shapes [(4,)], the arguments [(3,)]",
    ),
    "tangent missing": (
        lambda: ag.jvp(np.multiply, (X, X), (X,)),
        ValueError,
        "ag.jvp: the tangents have shapes [(3,)], the arguments [(3,), (3,)]",
    ),
    "primal that is no tuple": (
        lambda: ag.jvp(np.exp, X, X),
        TypeError,
        "ag.jvp: pass the arguments, and the tangents, as tuples: (x,) for one",
    ),
    "vector of a wrong shape": (
        lambda: ag.hvp(np.sum, (X,), (1.0,)),
        ValueError,
        "ag.hvp: the vectors have shapes [()], the arguments [(3,)]",
    ),
    "hvp of an array": (
        lambda: ag.hvp(np.exp, (X,), (X,)),
        ValueError,
        "ag.hvp: the function must return a single number, not shape (3,)",
    ),
    "cotangent where a float would broadcast": (
        lambda: ag.vjp(np.exp, X)[1](1.0),
        ValueError,
        "ag.vjp: the gradient has shape (), but the output has shape (3,)",
    ),
}


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
