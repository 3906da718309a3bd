"""Graphs are freed by reference counting alone, whatever their depth, and cost linear time."""

from __future__ import annotations

import gc
import sys
import time
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag

# Far deeper than recursion in C could go.
DEEP = (100_000, pytest.param(500_000, marks=pytest.mark.slow))


@pytest.fixture(autouse=True, scope="module")
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _variable(n: int = 4) -> ag.Tensor:
    return ag.Tensor(np.linspace(0.1, 0.9, n), requires_grad=True)


def _model(w: ag.Tensor) -> tuple[Any, list[weakref.ref[Any]]]:
    """Return a loss through many kinds of functions, and references to all on the way to it."""
    results = [
        np.exp(w),
        w * w,
        np.concatenate([w, w]),
        w[[0, 0, 1]],
        w.reshape(2, 2) @ w.reshape(2, 2),
    ]
    results += [np.where(w > 0.5, w, 0.0), np.max(w), np.linalg.norm(w), ag.log_softmax(w)]
    results += list(np.modf(w * 3))
    results.append(ag.cross_entropy(w.reshape(2, 2), np.array([0, 1])))
    loss = sum(np.sum(r) for r in results)
    references = [weakref.ref(r) for r in (*results, loss)]
    references += [weakref.ref(r._node) for r in (*results, loss)]
    return loss, references


@pytest.mark.parametrize("backward", ["none", "once", "twice", "create_graph", "failed"])
def test_nothing_survives_the_loss(backward: str) -> None:
    w = _variable()
    loss, references = _model(w)
    if backward == "failed":
        with pytest.raises(ValueError, match="the gradient has shape"):
            loss.backward(np.ones(7))
    for _ in range({"once": 1, "twice": 2, "create_graph": 1}.get(backward, 0)):
        loss.backward(create_graph=backward == "create_graph")
    del loss
    if backward == "create_graph":
        # The gradient's own graph reads what the loss's saved; it goes with the gradient.
        w.zero_grad()
    assert [r() for r in references if r() is not None] == []


def test_gradient_of_gradient_leaves_nothing() -> None:
    w = _variable()
    node = weakref.ref(w._node)
    before = len(gc.get_objects())
    for _ in range(5):
        ag.hessian(lambda v: np.sum(np.exp(v) * np.tanh(v)))(w.data)
        ag.jvp(np.sin, (w.data,), (w.data,))
    assert len(gc.get_objects()) - before < 200
    del w
    assert node() is None


def test_failing_function_leaves_nothing() -> None:
    nodes = []

    def f(x: Any) -> Any:
        y = np.exp(x)
        nodes.append(weakref.ref(y._node))
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        ag.grad(f)(np.ones(3))
    assert nodes[0]() is None


def test_node_does_not_keep_values_that_no_rule_reads() -> None:
    w = _variable(10_000)  # graphs keep small values, to show them
    y = w + 1.0
    values = weakref.ref(y._values)
    z = np.exp(y)
    del y
    assert values() is None  # exp reads its own result
    np.sum(z).backward()


def _chain(length: int) -> tuple[ag.Tensor, Any]:
    x = ag.Tensor(1.0, requires_grad=True)
    y: Any = x
    for _ in range(length):
        y = y + 1e-6
    return x, y


@pytest.mark.parametrize("length", DEEP)
def test_deep_chain_runs_and_is_freed_without_recursion(length: int) -> None:
    limit = sys.getrecursionlimit()
    x, y = _chain(length)
    y.backward()
    assert x.grad == 1.0
    repr(y)
    deepest = weakref.ref(y._node)
    del y
    assert deepest() is None
    assert sys.getrecursionlimit() == limit


def test_deep_chain_through_transforms() -> None:
    def f(x: Any) -> Any:
        for _ in range(10_000):
            x = x * 1.0001
        return x * x

    assert ag.grad(f)(0.5) == pytest.approx(1.0001**20_000, rel=1e-9)
    assert ag.grad(ag.grad(f))(0.5) == pytest.approx(2 * 1.0001**20_000, rel=1e-9)


def _fastest(action: Any, repeats: int = 3) -> float:
    times = []
    for _ in range(repeats):
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return min(times)


def test_time_grows_linearly_with_depth() -> None:
    def run(length: int) -> float:
        def once() -> None:
            _, y = _chain(length)
            y.backward()

        return _fastest(once)

    assert run(24_000) < 8 * run(6_000)  # 4 if linear, 16 if quadratic


def test_shared_values_are_visited_once() -> None:
    def run(depth: int) -> float:
        def once() -> None:
            h: Any = ag.Tensor(np.ones(4), requires_grad=True)
            for _ in range(depth):
                h = h + h * 0.5
            np.sum(h).backward()

        return _fastest(once, 5)

    assert run(60) < 30 * run(6)  # there are 2**60 paths
    x = ag.Tensor(np.ones(4), requires_grad=True)
    h: Any = x
    for _ in range(60):
        h = h + h * 0.5
    np.sum(h).backward()
    np.testing.assert_allclose(x.grad, 1.5**60)


def _train(steps: int) -> None:
    rng = np.random.default_rng(0)
    inputs, labels = rng.normal(size=(32, 8)), rng.integers(0, 3, 32)
    w = ag.Tensor(np.zeros((8, 3)), requires_grad=True)
    for _ in range(steps):
        w.zero_grad()
        ag.cross_entropy(inputs @ w, labels).backward()
        w.data -= 0.1 * w.grad


def _resident() -> int:
    """Return the memory in use, in bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


def test_training_creates_no_garbage() -> None:
    _train(5)
    before = len(gc.get_objects())
    _train(50)
    assert len(gc.get_objects()) - before < 20


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_stays_flat_over_ten_thousand_steps() -> None:
    _train(1000)
    before = _resident()
    _train(10_000)
    assert _resident() - before < 1 << 20
