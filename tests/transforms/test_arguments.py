"""Arguments and results of any kind: nested, several, of integers, passed by keyword."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import autograd_lite as ag

X = np.array([0.3, -0.8, 1.7])


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
