"""Which module's call each operation was recorded in."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite.engine.nodes import note_of

X = np.arange(12.0).reshape(4, 3)


def linear(rng: np.random.Generator | None = None) -> ag.nn.Linear:
    return ag.nn.Linear(3, 3, rng=rng or np.random.default_rng(0), dtype=float)


def modules_of(output: ag.Tensor, names: Any) -> list[tuple[str, str]]:
    """Return the function and the innermost module of each operation."""
    return [(n.function, n.scope) for n in ag.graph(output, names=names).operations]


@pytest.mark.parametrize(
    "module",
    [
        ag.nn.BatchNorm1d(3, affine=False, dtype=float),
        ag.nn.BatchNorm1d(3, dtype=float),
        ag.nn.BatchNorm1d(3, dtype=float).eval(),
        ag.nn.LayerNorm(3, dtype=float),
        ag.nn.Dropout(0.5, rng=np.random.default_rng(0)),
        ag.nn.GELU(),
        ag.nn.SiLU(),
        ag.nn.LeakyReLU(),
        ag.nn.Flatten(),
        ag.nn.Sequential(ag.nn.Tanh(), linear()),
    ],
    ids=lambda module: type(module).__name__,
)
def test_what_a_module_computes_stands_in_it(module: ag.nn.Module) -> None:
    model = ag.nn.Sequential(linear(), module, linear())
    found = modules_of(np.sum(model(X)), model)
    inside = {scope for _, scope in found[1:-2]}
    assert inside == ({"1.0", "1.1"} if isinstance(module, ag.nn.Sequential) else {"1"})
    assert [found[0][1], found[-2][1], found[-1][1]] == ["0", "2", ""]


class Pair(ag.nn.Module):
    def __init__(self) -> None:
        self.first, self.second = linear(), ag.nn.Tanh()

    def forward(self, x: Any) -> Any:
        h = self.first(x)
        return [h * 2.0, {"second": self.second(h)}]


def test_several_results_know_their_module() -> None:
    pair = Pair()
    h, others = pair(X)
    found = modules_of(np.sum(h * others["second"]), {"pair": pair})
    assert found == [
        ("ag.nn.Linear", "pair.first"),
        ("np.multiply", "pair"),
        ("np.tanh", "pair.second"),
        ("np.multiply", ""),
        ("np.sum", ""),
    ]
    graph = ag.graph(np.sum(h * others["second"]), names={"pair": pair})
    both = [[frame.name for frame in node.frames] for node in graph.operations]
    assert both == [["pair", "pair.first"], ["pair"], ["pair", "pair.second"], [], []]


def test_modules_are_named_by_their_parameters_wherever_the_names_come_from() -> None:
    pair = Pair()
    output = np.sum(pair(X)[1]["second"])
    expected = [("ag.nn.Linear", "first"), ("np.tanh", "second"), ("np.sum", "")]
    assert modules_of(output, pair) == expected
    assert modules_of(output, pair.named_parameters()) == expected
    assert modules_of(output, None) == [(function, "") for function, _ in expected]
    pair.first.bias.name = "mine.first.bias"
    assert modules_of(output, None)[1] == ("np.tanh", "mine.second")


def test_a_module_that_returns_what_it_was_given_owns_nothing() -> None:
    layer, same = linear(), ag.nn.Dropout(0.5, rng=np.random.default_rng(0)).eval()
    model = ag.nn.Sequential(layer, same)
    h = layer(X)
    for _ in range(3):
        assert same(h) is h
    assert note_of(h._node).returned_by == (layer, h._node.birth - 1, None)
    assert modules_of(np.sum(model(X)), model)[0] == ("ag.nn.Linear", "0")


def test_threads_do_not_mix_their_modules() -> None:
    a, b = (ag.nn.Sequential(linear(), ag.nn.GELU()) for _ in range(2))
    outputs: dict[str, Any] = {}

    def run(name: str, model: ag.nn.Module) -> None:
        for _ in range(50):
            outputs[name] = np.sum(model(X))

    threads = [threading.Thread(target=run, args=pair) for pair in (("a", a), ("b", b))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = modules_of(outputs["a"] + outputs["b"], {"a": a, "b": b})
    for name in "ab":
        assert sum(scope == f"{name}.0" for _, scope in found) == 1
        assert sum(scope == f"{name}.1" for _, scope in found) == (len(found) - 5) / 2
    assert [scope for _, scope in found].count("") == 3


def test_a_module_outlives_no_graph_of_its_results() -> None:
    model = ag.nn.Sequential(linear(), ag.nn.GELU())
    watched = weakref.ref(model)
    gc.disable()
    try:
        output = np.sum(model(X))
        del model
        assert watched() is not None
        del output
        assert watched() is None
    finally:
        gc.enable()
