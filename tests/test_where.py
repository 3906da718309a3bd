"""np.where never leaks nan from the branch not taken; a real 0 * inf stays visible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag

X = np.array([-1.0, 0.0, 2.0])

# Safe by np.where: (function, its right derivative at X)
SAFE: dict[str, tuple[Callable[[Any], Any], list[float]]] = {
    "sqrt": (lambda x: np.where(x > 0, np.sqrt(x), 0.0), [0, 0, 0.5 / np.sqrt(2)]),
    "log": (lambda x: np.where(x > 0, np.log(x), 0.0), [0, 0, 0.5]),
    "reciprocal": (lambda x: np.where(x > 0, 1 / x, x), [1, 1, -0.25]),
    "x log x": (lambda x: np.where(x > 0, x * np.log(x), 0.0), [0, 0, np.log(2) + 1]),
    "power": (lambda x: np.where(x > 0, x**0.5, x), [1, 1, 0.5 / np.sqrt(2)]),
    "sqrt of a sqrt": (
        lambda x: np.where(x > 0, np.sqrt(np.sqrt(x)), 0.0),
        [0, 0, 0.25 * 2**-0.75],
    ),
    "overflow": (
        lambda x: np.where(x > 1, np.exp(-x), np.exp(1000 * x * (x > 1))),
        [0, 0, -np.exp(-2)],
    ),
    "softplus": (
        lambda x: np.where(x > 1, x, np.log1p(np.exp(1000 * x * (x > 1)))),
        [0, 0, 1],
    ),
    "indexing": (lambda x: (1 / x)[x > 0], [0, 0, -0.25]),
    "nan_to_num": (lambda x: np.nan_to_num(np.log(x), neginf=0.0), [0, 0, 0.5]),
    "select": (lambda x: np.select([x > 0], [np.log(x)], 0.0), [0, 0, 0.5]),
    "nested": (
        lambda x: np.where(x > 0, np.where(x > 1, np.log(x), np.sqrt(x - 1)), 0.0),
        [0, 0, 0.5],
    ),
    "through a reduction": (
        lambda x: np.where(x > 0, np.sqrt(x).reshape(3, 1).sum(axis=1), 0.0),
        [0, 0, 0.5 / np.sqrt(2)],
    ),
    "through a matmul": (
        lambda x: np.where(x > 0, np.eye(3) @ np.where(x > 0, np.sqrt(x), 0.0), 0.0),
        [0, 0, 0.5 / np.sqrt(2)],
    ),
    "maximum inside": (lambda x: np.sqrt(np.maximum(x, 0)), [0, np.inf / 2, 0.5 / np.sqrt(2)]),
    "clip inside": (
        lambda x: np.sqrt(np.clip(x, -0.5, 9) + 0.5),
        [0, 0.5 / np.sqrt(0.5), 0.5 / np.sqrt(2.5)],
    ),
    "relu inside": (lambda x: np.sqrt(ag.nn.relu(x - 1)), [0, 0, 0.5]),
    "two results": (
        lambda x: np.where(x > 0, np.modf(np.sqrt(x))[0], 0.0),
        [0, 0, 0.5 / np.sqrt(2)],
    ),
    "norm of rows": (
        lambda x: np.linalg.norm(np.log(x)[:, None] + np.zeros(2), axis=1)[x > 0],
        [0, 0, np.sqrt(2) / 2],
    ),
    "prod of rows": (
        lambda x: np.prod(np.log(x)[:, None] + np.zeros(2), axis=1)[x > 0],
        [0, 0, np.log(2)],
    ),
    "matrix product, rows taken": (
        lambda x: (np.log(x)[:, None] @ np.array([[1.0, -1.0]]))[x > 0, 0],
        [0, 0, 0.5],
    ),
    "broadcast": (
        lambda x: np.where(x > 0, np.broadcast_to(np.log(x), (2, 3)), 0.0) / 2,
        [0, 0, 0.5],
    ),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", SAFE)
def test_branch_not_taken(name: str, create_graph: bool) -> None:
    f, expected = SAFE[name]
    x = ag.Tensor(X, requires_grad=True)
    with np.errstate(all="ignore"):
        y = np.sum(f(x))
        y.backward(create_graph=create_graph)
    gradient = x.grad.data if create_graph else x.grad
    np.testing.assert_allclose(gradient, expected, rtol=1e-13)


@pytest.mark.parametrize("name", ["sqrt", "log", "reciprocal", "x log x", "indexing"])
def test_branch_not_taken_at_second_order(name: str) -> None:
    seconds = {
        "sqrt": -0.25 * 2**-1.5,
        "log": -0.25,
        "reciprocal": 0.25,
        "x log x": 0.5,
        "indexing": 0.25,
    }
    f, _ = SAFE[name]
    with np.errstate(all="ignore"):
        got = ag.elementwise_grad(ag.elementwise_grad(f))(X)
    np.testing.assert_allclose(got, [0, 0, seconds[name]], rtol=1e-13)


def test_a_path_is_found_where_a_rule_cancels_equal_parts() -> None:
    # The Hessian of a softmax cross-entropy takes equal numbers to 0: no sign of no path.
    def f(z: Any) -> Any:
        slope = ag.grad(lambda z: ag.cross_entropy(z, [1, 0]))(z)
        return np.sum(slope**2) + np.sum(np.where(z > 0, np.sqrt(z), 0.0))

    z = np.array([[-1.0, 2.0, 0.5], [0.3, -0.7, 1.1]])
    with np.errstate(all="ignore"):
        got = ag.grad(f)(z)
    safe = ag.grad(lambda z: np.sum(ag.grad(lambda z: ag.cross_entropy(z, [1, 0]))(z) ** 2))(z)
    root = np.where(z > 0, 0.5 / np.sqrt(np.abs(z)), 0.0)
    np.testing.assert_allclose(got, safe + root, rtol=1e-13)


def test_branch_not_taken_under_transforms() -> None:
    f, expected = SAFE["log"]
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(ag.jacobian(f)(X), np.diag(expected), rtol=1e-13)
        value, tangent = ag.jvp(f, (X,), (np.ones(3),))
        (product,) = ag.hvp(lambda x: np.sum(f(x)), (X,), (np.ones(3),))
    np.testing.assert_allclose(tangent, expected, rtol=1e-13)
    np.testing.assert_array_equal(value, [0, 0, np.log(2)])
    np.testing.assert_allclose(product, [0, 0, -0.25], rtol=1e-13)


def test_both_branches_and_scalars() -> None:
    x = np.array([0.0, 4.0])
    with np.errstate(all="ignore"):
        slope = ag.elementwise_grad(lambda x: np.where(x == 0, 1.0, np.sin(x) / x))(x)
        lone = ag.grad(lambda x: np.where(x > 0, np.sqrt(x), 0.0))(-1.0)
    np.testing.assert_allclose(slope, [0, np.cos(4) / 4 - np.sin(4) / 16], rtol=1e-13)
    assert lone == 0


# ------------------------------------------------------------------------- what must stay visible


def test_infinite_derivative_on_the_branch_taken() -> None:
    with np.errstate(all="ignore"):
        slope = ag.elementwise_grad(lambda x: np.where(x >= 0, np.sqrt(x), 0.0))(X)
    np.testing.assert_array_equal(slope[:2], [0, np.inf])


def test_nan_on_the_branch_taken() -> None:
    with np.errstate(all="ignore"):
        slope = ag.elementwise_grad(lambda x: np.where(x < 0, np.log(x) * np.sqrt(x), 1.0))(X)
    assert np.isnan(slope[0])
    np.testing.assert_array_equal(slope[1:], 0)


def test_zero_times_infinity_on_the_path_taken_stays_nan() -> None:
    """The slope of sqrt(x²) is 2x / (2 sqrt(x²)), inf * 0 at 0, on a path that is taken."""
    with np.errstate(all="ignore"):
        slope = ag.elementwise_grad(lambda x: np.sqrt(x * x))(X)
        behind_where = ag.elementwise_grad(lambda x: np.where(x >= 0, np.sqrt(x * x), 0.0))(X)
    np.testing.assert_array_equal(slope, [-1, np.nan, 1])
    np.testing.assert_array_equal(behind_where, [0, np.nan, 1])


TAKEN = {  # 0 * inf on a path that is taken, beside a selection that has nothing to do with it
    "another variable": lambda x: np.sum(np.sqrt(x) ** 2) + np.sum(np.maximum(x + 1, 0)),
    "where": lambda x: np.where(x >= 0, np.sqrt(x) ** 2, x),
    "maximum": lambda x: np.maximum(np.sqrt(x) ** 2, -1),
    "maximum of a mean": lambda x: np.maximum(np.exp(np.mean(np.log(x))), -1),
    "max": lambda x: np.max(np.exp(np.log(x)) + np.array([9, 0])),
    "slice": lambda x: (np.sqrt(x) ** 2)[:1],
    "sort": lambda x: np.sort(np.sqrt(x) ** 2),
    "clip": lambda x: np.clip(np.sqrt(x) ** 2, -1, 9),
    # where the zero is that of a value, not of a choice
    "dot": lambda x: np.dot(np.sqrt(x), np.sqrt(x))[None],
    "matmul": lambda x: (np.sqrt(x)[None] @ np.sqrt(x)[:, None])[:1],
    "einsum": lambda x: np.einsum("i,i->i", np.sqrt(x), np.sqrt(x))[:1],
    "prod": lambda x: np.prod(np.sqrt(x)[:, None] + np.zeros(2), axis=1)[:1],
    "norm": lambda x: np.linalg.norm(np.sqrt(x)[:, None], axis=1)[:1] ** 2,
    "var": lambda x: np.var(np.sqrt(x)[:, None] * np.array([1.0, -1.0]), axis=1)[:1],
    "sinc": lambda x: np.sinc(np.sqrt(x))[:1],
    "softmax": lambda x: ag.softmax(np.log(x)[None])[0],
    "cross_entropy": lambda x: ag.cross_entropy(np.log(x)[None], [1]),
    "a rule of one's own": lambda x: _squared(np.sqrt(x))[:1],
}


@ag.primitive(lambda g, x: g * 2 * x)
def _squared(x: Any) -> Any:
    return x * x


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", TAKEN)
def test_a_selection_elsewhere_hides_nothing(name: str, create_graph: bool) -> None:
    x = ag.Tensor([0.0, 4.0], requires_grad=True)
    with np.errstate(all="ignore"):
        np.sum(TAKEN[name](x)).backward(create_graph=create_graph)
    gradient = x.grad.data if create_graph else x.grad
    assert np.isnan(gradient[0])
    assert np.isfinite(gradient[1])


def test_paths_that_cancel_are_paths() -> None:
    def f(x: Any) -> Any:
        root = np.sqrt(x)
        return np.sum(np.where(x >= 0, root - root, 0.0)) + np.sum(np.array([[1.0, -1.0]]).T * root)

    with np.errstate(all="ignore"):
        assert np.isnan(ag.grad(f)(np.array([0.0, 4.0]))[0])


def test_no_path_leads_from_a_cotangent_of_zero() -> None:
    with np.errstate(all="ignore"):
        jacobian = ag.jacobian(np.sqrt)(np.array([0.0, 4.0]))
    np.testing.assert_array_equal(jacobian, [[np.inf, 0], [0, 0.25]])


def test_a_cotangent_of_zero_that_is_a_variable_is_a_path() -> None:
    def pulled(g: Any) -> Any:
        return np.sum(ag.vjp(np.sqrt, np.array([0.0, 4.0]))[1](g)[0])

    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(ag.grad(pulled)(np.array([0.0, 1.0])), [np.inf, 0.25])


def test_nan_from_an_operand_stays() -> None:
    y = np.array([np.nan, 1.0, np.inf])
    slope = ag.elementwise_grad(lambda x: np.where(x > -5, x * y, 0.0))(X)
    np.testing.assert_array_equal(slope, y)


def test_nan_in_another_variable_of_the_same_graph_does_not_spread() -> None:
    a = ag.Tensor([0.0, 1.0], requires_grad=True)
    b = ag.Tensor([2.0, 3.0], requires_grad=True)
    with np.errstate(all="ignore"):
        np.sum(np.sqrt(a * a) + np.where(b > 2.5, b, np.log(b - 2))).backward()
    np.testing.assert_array_equal(a.grad, [np.nan, 1])
    np.testing.assert_array_equal(b.grad, [np.inf, 1])


def test_no_warning_where_a_branch_not_taken_is_pulled_back() -> None:
    with np.errstate(all="ignore"):
        x = ag.Tensor(X, requires_grad=True)
        loss = np.sum(np.where(x > 0, np.log(x), 0.0))
    with np.errstate(all="raise"):
        loss.backward()
    np.testing.assert_array_equal(x.grad, [0, 0, 0.5])
