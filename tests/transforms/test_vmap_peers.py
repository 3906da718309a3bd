"""The same programs beside jax.vmap, and gradients of each example beside torch.func."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag
from benchmarks import mapped

pytestmark = pytest.mark.peer

_rng = np.random.default_rng(12)


def normal(*shape: int) -> np.ndarray:
    return np.asarray(_rng.standard_normal(shape))


def regular(*shape: int) -> np.ndarray:
    return normal(*shape) + 4 * np.eye(shape[-1])


W, A = normal(4, 3), regular(3, 3)
X, Y, M, S = normal(5, 3), normal(5, 3), normal(5, 4, 3), regular(5, 3, 3)
IDS = np.array([[0, 2], [1, 1], [2, 0], [0, 0], [1, 2]])

# name: (program of a library's numpy, in_axes, out_axes, arguments)
PROGRAMS: dict[str, tuple[Callable[..., Any], Any, Any, tuple[Any, ...]]] = {
    "sum": (lambda np, x: np.sum(np.sin(x)), 0, 0, (X,)),
    "mean of rows": (lambda np, m: np.mean(m, axis=0), 0, 0, (M,)),
    "variance": (lambda np, m: np.var(m, axis=-1), 2, 0, (M,)),
    "standard deviation": (lambda np, x: np.std(x * x), 0, 0, (X,)),
    "maximum": (lambda np, m: np.max(m, axis=1, keepdims=True), 0, 1, (M,)),
    "norm": (lambda np, x: np.linalg.norm(x), 0, 0, (X,)),
    "product": (lambda np, x: np.prod(x), 0, 0, (X,)),
    "scan": (lambda np, m: np.cumsum(m, axis=0), 1, 2, (M,)),
    "running product": (lambda np, x: np.cumprod(x), 0, 0, (X,)),
    "sort": (lambda np, x: np.sort(x) ** 2, 0, 0, (X,)),
    "where": (lambda np, x, y: np.where(x > y, x * y, np.exp(x)), (0, 0), 0, (X, Y)),
    "clip": (lambda np, x: np.clip(x, -0.5, 0.5) * x, 0, 0, (X,)),
    "matrix and vector": (lambda np, w, x: np.tanh(w @ x), (None, 0), 0, (W, X)),
    "vector and matrix": (lambda np, x, a: x @ a, (0, None), 1, (X, A)),
    "matrices": (lambda np, m, a: m @ a @ a.T, (0, None), 0, (M, A)),
    "batch of both": (lambda np, m, s: np.matmul(m, s), (0, 0), 2, (M, S)),
    "dot": (lambda np, x, y: np.dot(x, y), (0, 0), 0, (X, Y)),
    "outer": (lambda np, x, y: np.outer(x, y), (0, None), 0, (X, W[0])),
    "einsum": (lambda np, m, s: np.einsum("ij,jk->ki", m, s), (0, 0), 0, (M, S)),
    "tensordot": (lambda np, m, a: np.tensordot(m, a, axes=(1, 0)), (0, None), 0, (M, A)),
    "inverse": (lambda np, s: np.linalg.inv(s), 0, 0, (S,)),
    "solve": (lambda np, a, x: np.linalg.solve(a, x), (None, 0), 0, (A, X)),
    "solve each": (lambda np, s, x: np.linalg.solve(s, x), (0, 0), 0, (S, X)),
    "determinant": (lambda np, s: np.linalg.det(s), 0, 0, (S,)),
    "log determinant": (lambda np, s: np.linalg.slogdet(s)[1], 0, 0, (S,)),
    "cholesky": (lambda np, s: np.linalg.cholesky(s @ s.T), 0, 0, (S,)),
    "transpose and reshape": (lambda np, m: m.T.reshape(2, 6) ** 2, 0, 0, (M,)),
    "join": (lambda np, x, y: np.concatenate([x, y[::-1], x * y]), (0, None), 0, (X, Y[0])),
    "stack and roll": (lambda np, x: np.roll(np.stack([x, x**2]), 1, axis=1), 0, 1, (X,)),
    "slices": (lambda np, m: m[1:, ::2] * m[:-1, 1:2], 0, 0, (M,)),
    "an array of places": (lambda np, x: x[np.array([0, 2, 2])] ** 3, 0, 0, (X,)),
    "take_along_axis": (
        lambda np, x: np.take_along_axis(x, np.argsort(-x), 0) * x, 0, 0, (X,),
    ),
    "pad": (lambda np, m: np.pad(m, ((1, 0), (0, 2))) ** 2, 0, 0, (M,)),
    "softmax by hand": (
        lambda np, x: np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x))), 0, 0, (X,),
    ),
    "triangles": (lambda np, s: np.tril(s) @ np.triu(s, 1), 0, 0, (S,)),
}  # fmt: skip


@pytest.fixture(scope="module")
def jax() -> Any:
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield jax
    jax.config.update("jax_enable_x64", before)


def close(ours: Any, theirs: Any) -> None:
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-9)


def test_there_are_thirty() -> None:
    assert len(PROGRAMS) >= 30


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_beside_jax(jax: Any, name: str) -> None:
    f, in_axes, out_axes, args = PROGRAMS[name]
    ours = ag.vmap(lambda *a: f(np, *a), in_axes, out_axes)
    theirs = jax.vmap(lambda *a: f(jax.numpy, *a), in_axes, out_axes)
    close(ours(*args), theirs(*args))
    first = args[0]
    # under grad, jacobian, jvp, and vmap again
    scalar = lambda xp, g: lambda *a: xp.sum(xp.sin(g(*a)))  # noqa: E731
    close(ag.grad(scalar(np, ours))(*args), jax.grad(scalar(jax.numpy, theirs))(*args))
    close(ag.jacobian(ours)(*args), jax.jacobian(theirs)(*args))
    rest = args[1:]
    ours_along = ag.jvp(lambda x: ours(x, *rest), (first,), (first * first,))[1]
    close(ours_along, jax.jvp(lambda x: theirs(x, *rest), (first,), (first * first,))[1])
    twice = np.stack([first, first * 1.1])
    close(ag.vmap(lambda x: ours(x, *rest))(twice), jax.vmap(lambda x: theirs(x, *rest))(twice))
    # and around each of them
    if in_axes == 0 or (isinstance(in_axes, tuple) and in_axes[0] == 0):
        one = lambda xp: lambda *a: f(xp, *a)  # noqa: E731
        inside = ag.vmap(ag.jacobian(one(np)), in_axes)(*args)
        close(inside, jax.vmap(jax.jacobian(one(jax.numpy)), in_axes)(*args))


def test_gradients_of_each_example_beside_torch() -> None:
    pytest.importorskip("torch")
    runs = mapped.example_runs(["PyTorch"])
    ours, theirs = runs["autograd_lite"](), runs["PyTorch"]()
    for name, gradient in ours.items():
        assert gradient.dtype == np.float32
        np.testing.assert_allclose(gradient, theirs[name].numpy(), rtol=1e-4, atol=1e-6)
