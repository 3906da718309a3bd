"""Derivatives of any order, and of functions that close over what is differentiated."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

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


def test_pullback_of_arrays_differentiated_in_its_cotangent_gives_arrays() -> None:
    _, pull = ag.vjp(lambda x: x**2, X)
    c = np.array([1.0, 2.0, 3.0])
    value, gradient = ag.value_and_grad(lambda c: np.sum(pull(c)[0] ** 2))(c)
    assert type(gradient) is np.ndarray
    assert not isinstance(value, ag.Tensor)
    np.testing.assert_allclose(gradient, 8 * X**2 * c)
    second = ag.hessian(lambda c: np.sum(pull(c)[0] ** 2))(c)
    np.testing.assert_allclose(second, np.diag(8 * X**2))
    np.testing.assert_allclose(ag.jacobian(lambda c: pull(c)[0])(c), np.diag(2 * X))
    _, along = ag.jvp(lambda c: pull(c)[0], (c,), (c,))
    assert type(along) is np.ndarray
    np.testing.assert_allclose(along, 2 * X * c)


def test_pullback_of_a_variable_differentiated_in_its_cotangent_gives_tensors() -> None:
    w = ag.Tensor(X, requires_grad=True)
    _, pull = ag.vjp(lambda x: w * x**2, X)
    gradient = ag.grad(lambda c: np.sum(pull(c)[0]))(np.ones(3))
    np.sum(gradient).backward()  # 2 w x
    np.testing.assert_allclose(w.grad, 2 * X)


def test_pullback_within_a_transform_differentiated_in_its_cotangent() -> None:
    def f(x: Any) -> Any:
        _, pull = ag.vjp(lambda y: x * y**2, x)
        return np.sum(ag.grad(lambda c: np.sum(pull(c)[0] ** 2))(np.ones(3)))  # 8 x⁴

    np.testing.assert_allclose(ag.grad(f)(X), 32 * X**3)
