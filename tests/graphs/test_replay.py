"""Gradients held against central differences, by running what was recorded again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite.graphs import replay


def leaf(value: Any, name: str | None = None, dtype: Any = float) -> ag.Tensor:
    return ag.Tensor(value, requires_grad=True, name=name, dtype=dtype)


rng = np.random.default_rng(0)
X = rng.normal(size=(5, 3))
MODEL = ag.nn.Sequential(
    ag.nn.Linear(3, 4, rng=rng), ag.nn.gelu, ag.nn.LayerNorm(4), ag.nn.Linear(4, 3, rng=rng)
)
LABELS = np.array([0, 2, 1, 1, 0])
COMPUTATIONS: dict[str, Callable[[], ag.Tensor]] = {
    "arithmetic": lambda: (leaf(2.0) * leaf(-3.0) + leaf(7.0)) ** 2.0,
    "one leaf in many places": lambda: np.sum((h := leaf(X)) * h + np.exp(h) / (h * h + 1.0)),
    "broadcasting": lambda: np.mean(np.tanh(leaf(X) * leaf(X[:, :1]) + leaf(X[0]))),
    "keywords": lambda: np.sum(np.var(leaf(X), axis=1, keepdims=True, ddof=1) ** 2.0),
    "many arguments": lambda: np.sum(
        np.concatenate([(h := leaf(X)), np.ones((1, 3)), h * 2.0], axis=0) ** 3.0
    ),
    "several results": lambda: np.sum(np.linalg.svd(leaf(X), full_matrices=False)[1] ** 3.0),
    "indices": lambda: np.sum(leaf(X)[[0, 0, 3], 1:] ** 2.0),
    "einsum": lambda: np.sum(np.einsum("ij,kj->ik", leaf(X), leaf(X + 1.0)) ** 2.0),
    "fused": lambda: ag.cross_entropy(leaf(X), LABELS, label_smoothing=0.1),
    "composed": lambda: ag.unfused_cross_entropy(leaf(X), LABELS),
    "modules in float32": lambda: ag.cross_entropy(MODEL(X.astype(np.float32)), LABELS),
}


@pytest.mark.parametrize("compute", COMPUTATIONS.values(), ids=COMPUTATIONS)
def test_differences_agree_with_the_gradients_of_every_node(
    compute: Callable[[], ag.Tensor],
) -> None:
    with ag.recording():
        output = compute()
    graph = ag.graph(output, grads=True)
    found = graph.differences()
    assert set(found) == {n.id for n in graph.nodes if n.gradient is not None}
    for node, differences in found.items():
        gradient = graph.nodes[node].gradient
        assert len(differences) == min(gradient.array.size, replay.MOST)
        tolerance = 1e-5 if gradient.dtype == "float32" else 1e-7
        for d in differences:
            assert d.slope == pytest.approx(gradient.array[d.cell], rel=tolerance, abs=1e-8)
            assert d.gradient == gradient.array[d.cell]


def test_a_wrong_rule_is_found_out() -> None:
    @ag.primitive(lambda g, x: g * x)
    def square(x: Any) -> Any:
        return x * x

    x = leaf([1.0, 3.0], "x")
    graph = ag.graph(np.sum(square(x)), grads=True)
    (of_three, of_one) = graph.differences()[0]
    assert (of_three.cell, of_one.cell) == ((1,), (0,))
    assert of_three.slope == pytest.approx(6)
    assert graph.nodes[0].gradient.array[1] == 3


def test_small_graphs_are_checked_without_recording() -> None:
    x, w = leaf([[2.0, 1.0]], "x"), leaf([[1.0], [3.0]], "w")
    graph = ag.graph(np.sum(np.tanh(x @ w - 4.0)), grads=True)
    assert set(graph.differences()) == {n.id for n in graph.nodes if n.gradient is not None}


def test_what_cannot_be_run_again_is_left_out() -> None:
    x = leaf(np.ones(1000), "x")
    graph = ag.graph(np.sum((x + np.ones(1000)) ** 2.0), grads=True)
    # What was added was not kept.
    assert {graph.nodes[i].function for i in graph.differences()} == {
        "np.add",
        "np.power",
        "np.sum",
    }


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_reshape_is_run_again(order: Any) -> None:
    x, weights = leaf(np.ones((40, 25)), "x"), np.arange(1000.0).reshape(1000, 1)
    graph = ag.graph(np.sum(np.reshape(x, (1, 1000), order=order) @ weights), grads=True)
    first = graph.differences()[0][0]
    assert first.cell == (39, 24)
    assert first.slope == pytest.approx(first.gradient)
    assert len(graph.differences()) == 4


def test_nor_is_what_has_changed_since() -> None:
    x, b = leaf([1.0, 2.0], "x"), np.array([1.0, 1.0])
    y = np.sum(x + b)  # no rule reads b
    graph = ag.graph(y, grads=True)
    b[0] = 9.0
    assert [graph.nodes[i].function for i in graph.differences()] == ["np.add", "np.sum"]


def test_the_output_may_be_an_array_and_the_cotangent_any() -> None:
    x = leaf([1.0, 2.0], "x")
    graph = ag.graph(x * x, grads=np.array([10.0, 1.0]))
    assert [d.slope for d in graph.differences()[0]] == pytest.approx([20, 4])


def test_entries_of_a_large_array_are_named_by_their_place_in_it() -> None:
    x = leaf(np.ones((3, 50, 40)), "x")
    weights = np.zeros((3, 50, 40))
    weights[0, 1, 2] = 5.0
    graph = ag.graph(np.sum(x * weights), grads=True)
    first = graph.differences()[0][0]
    assert first.cell == (0, 1, 2)
    assert first.slope == pytest.approx(5)


def test_differences_end_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    h = leaf(np.ones(4), "x")
    for _ in range(1000):
        h = np.tanh(h) * 1.01
    graph = ag.graph(np.sum(h), grads=True, max_nodes=10)
    with monkeypatch.context() as patch:
        patch.setattr(replay, "WORK", 0)
        assert graph.differences() == {}
    start = time.process_time()
    found = graph.differences()
    assert time.process_time() - start < 10
    assert next(iter(found)) == 0
    assert len(found) < 100
