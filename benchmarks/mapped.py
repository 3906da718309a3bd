"""Jacobians, Hessians and gradients of each example, beside the loop and other libraries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import autograd_lite as ag

from .timing import in_turn

Row = dict[str, Any]
SIZES = (50, 200)
BATCH, UNITS, CLASSES = 128, 64, 10


def _matrix(xp: Any, a: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return a function to as many numbers, and one to a single number, of NumPy or JAX."""
    return (
        lambda x: xp.tanh(a @ x) * x,
        lambda x: xp.sum(xp.tanh(a @ x) ** 2 * x),
    )


def row_by_row(f: Callable[[Any], Any], x: np.ndarray) -> np.ndarray:
    """Return a Jacobian by one pullback for each row."""
    value, pull = ag.vjp(f, x)
    return np.stack([pull(unit)[0] for unit in np.eye(value.size, dtype=value.dtype)])


def matrix_runs(n: int, peers: list[str]) -> dict[str, dict[str, Callable[[], Any]]]:
    """Return the runs of a Jacobian and of a Hessian of n numbers, in float32."""
    rng = np.random.default_rng(0)
    a = (rng.normal(size=(n, n)) / np.sqrt(n)).astype(np.float32)
    x = rng.normal(size=n).astype(np.float32)
    f, h = _matrix(np, a)
    runs: dict[str, dict[str, Callable[[], Any]]] = {
        "Jacobian": {
            "autograd_lite": lambda: ag.jacobian(f)(x),
            "row by row": lambda: row_by_row(f, x),
        },
        "Hessian": {
            "autograd_lite": lambda: ag.hessian(h)(x),
            "row by row": lambda: row_by_row(ag.grad(h), x),
        },
    }
    if "JAX" in peers:
        import jax
        import jax.numpy as jnp

        theirs, scalar = _matrix(jnp, jnp.asarray(a))
        x_jax = jnp.asarray(x)
        for name, g in (("Jacobian", jax.jacrev(theirs)), ("Hessian", jax.hessian(scalar))):
            jitted = jax.jit(g)
            runs[name]["JAX"] = lambda jitted=jitted: jitted(x_jax).block_until_ready()  # type: ignore[misc]
    return runs


def network(rng: np.random.Generator) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Return the parameters of a network of two layers, and a batch for it."""
    p = {
        "w1": rng.normal(size=(UNITS, UNITS)) / 8,
        "b1": np.zeros(UNITS),
        "w2": rng.normal(size=(UNITS, CLASSES)) / 8,
        "b2": np.zeros(CLASSES),
    }
    p = {name: v.astype(np.float32) for name, v in p.items()}
    return p, rng.normal(size=(BATCH, UNITS)).astype(np.float32), rng.integers(CLASSES, size=BATCH)


def loss_of(p: dict[str, Any], x: Any, label: Any) -> Any:
    """Return the loss of one example."""
    hidden = np.maximum(x @ p["w1"] + p["b1"], 0)
    return ag.cross_entropy(hidden @ p["w2"] + p["b2"], label)


def example_runs(peers: list[str]) -> dict[str, Callable[[], Any]]:
    """Return the runs of the gradients of each of 128 examples in all parameters."""
    p, x, labels = network(np.random.default_rng(0))
    every, one = ag.vmap(ag.grad(loss_of), (None, 0, 0)), ag.grad(loss_of)

    def loop() -> Any:
        found = [one(p, *example) for example in zip(x, labels)]
        return {name: np.stack([g[name] for g in found]) for name in p}

    runs = {"autograd_lite": lambda: every(p, x, labels), "one by one": loop}
    if "PyTorch" in peers:
        import torch

        def torch_loss(p: Any, x: Any, label: Any) -> Any:
            hidden = torch.relu(x @ p["w1"] + p["b1"])
            return torch.nn.functional.cross_entropy(hidden @ p["w2"] + p["b2"], label)

        theirs = {name: torch.tensor(v) for name, v in p.items()}
        arguments = theirs, torch.tensor(x), torch.tensor(labels)
        mapped = torch.func.vmap(torch.func.grad(torch_loss), (None, 0, 0))
        runs["PyTorch"] = lambda: mapped(*arguments)
    return runs


def rows(peers: list[str], seconds: float) -> Iterator[Row]:
    """Yield the times, and how often the loop and the others take as long."""
    del_me = np.ones(4_000_000)  # memory that the process keeps once it had it, as any user's does
    del del_me
    for n in SIZES:
        for name, runs in matrix_runs(n, peers).items():
            yield _row(f"{name}, n = {n}", runs, seconds)
    yield _row(f"gradients of {BATCH} examples", example_runs(peers), seconds)


def _row(name: str, runs: dict[str, Callable[[], Any]], seconds: float) -> Row:
    timings = in_turn(runs, seconds)
    ours = timings["autograd_lite"].median
    row: Row = {"transform": name, "autograd_lite": timings["autograd_lite"]}
    for other in ("row by row", "one by one", "JAX", "PyTorch"):
        if other in timings:
            column = "the loop" if " by " in other else other
            row[column] = timings[other]
            row[f"/ {column}"] = ours / timings[other].median
    return row
