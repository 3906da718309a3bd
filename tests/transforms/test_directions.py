"""Derivatives along directions, Jacobians and Hessians, against the complex step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag

X = np.array([0.3, -0.8, 1.7])


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
