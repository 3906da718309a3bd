"""What a graph is made of: nodes, edges, names, values, gradients and rules."""

from __future__ import annotations

import dis
import gc
import json
import re
import sys
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite.engine.table import TABLE, Primitive, is_own
from autograd_lite.graphs.source import rule_of, rule_text
from autograd_lite.graphs.summary import Summary, number, shape_text, size_text


def leaf(value: Any, name: str | None = None) -> ag.Tensor:
    return ag.Tensor(value, requires_grad=True, name=name, dtype=float)


def neuron() -> ag.Tensor:
    x, w, b = leaf(2.0, "x"), leaf(-3.0, "w"), leaf(7.0, "b")
    return np.tanh(x * w + b)


def labels(graph: ag.graphs.Graph) -> list[str]:
    return [node.label for node in graph.nodes]


def edges(graph: ag.graphs.Graph) -> set[tuple[str, str, str]]:
    name = labels(graph)
    return {(name[e.source], name[e.target], e.argument) for e in graph.edges}


def by_name(graph: ag.graphs.Graph, label: str) -> Any:
    return next(node for node in graph.nodes if node.label == label)


def test_nodes_and_edges() -> None:
    graph = ag.graph(neuron())
    assert {n.label: (n.kind, n.function) for n in graph.nodes} == {
        "x": ("leaf", ""),
        "w": ("leaf", ""),
        "b": ("leaf", ""),
        "t1": ("operation", "np.multiply"),
        "t2": ("operation", "np.add"),
        "t3": ("result", "np.tanh"),
    }
    assert edges(graph) == {
        ("x", "t1", "x"),
        ("w", "t1", "y"),
        ("t1", "t2", "x"),
        ("b", "t2", "y"),
        ("t2", "t3", "x"),
    }
    assert [n.id for n in graph.nodes] == list(range(6))
    assert all(e.source < e.target for e in graph.edges)


def test_rules_are_those_of_the_table_in_their_own_words() -> None:
    graph = ag.graph(neuron())
    assert by_name(graph, "t1").rules == [("x", "g * y"), ("y", "g * x")]
    assert by_name(graph, "t2").rules == [("x", "g"), ("y", "g")]
    assert by_name(graph, "t3").rules == [("x", "g * (1 - ans * ans)")]


LAMBDAS = {
    id(rule): rule
    for entry in TABLE.values()
    if isinstance(entry, Primitive)
    for rule in entry.rules
    if rule is not None and rule.__name__ == "<lambda>"
}


def operations(function: Any) -> list[tuple[str, str]]:
    # How a function of a module is called depends on whether the module's import is compiled along.
    calls = {"LOAD_METHOD", "LOAD_ATTR", "LOAD_GLOBAL", "PUSH_NULL", "PRECALL", "CALL", "SWAP"}
    return [
        (i.opname, i.argrepr.partition(" object ")[0])
        for i in dis.get_instructions(function)
        if i.opname not in calls
    ]


def test_the_text_of_every_lambda_rule_compiles_to_the_rule() -> None:
    assert len(LAMBDAS) > 100
    for rule in LAMBDAS.values():
        code = rule.__code__
        parameters = ", ".join(code.co_varnames[: code.co_argcount])
        free = ", ".join(code.co_freevars)
        text = f"lambda {parameters}: {rule_text(rule)}"
        again = eval(f"(lambda {free}: ({text}))({', '.join('0' for _ in code.co_freevars)})")
        assert operations(again) == operations(rule), text
        assert again.__code__.co_names == code.co_names, text


def test_lambdas_on_one_line_are_told_apart() -> None:
    first, second = (lambda g, x: g * x), (lambda g, y: -g / y)
    assert (rule_text(first), rule_text(second)) == ("g * x", "-g / y")


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("Return ``g / 2``, half of it.\n\n    More.", "g / 2"),
        ("Return the cotangent of ``x``: ``g / 2``.", "g / 2"),
        ("Return half of ``g``.", "half of g"),
        (None, "halved"),
    ],
)
def test_a_rule_that_is_a_function_is_told_by_what_it_says_it_does(
    says: str | None, told: str
) -> None:
    def halved(g: Any) -> Any: ...

    halved.__doc__ = says
    assert rule_text(halved) == told


def test_a_rule_without_its_source_says_so() -> None:
    assert rule_text(eval("lambda g: g + 1")) == "a lambda whose source is not at hand"


def test_no_rule_is_told_by_the_name_of_a_function_of_ours() -> None:
    for entry in TABLE.values():
        if isinstance(entry, Primitive):
            for argnum, rule in enumerate(entry.rules):
                if rule is not None and is_own(rule):
                    told = rule_of(entry, argnum)
                    assert not re.search(r"\b_[A-Za-z]|\b(scatter|share|lead|kept|t)\(", told), told
                    assert told != rule.__name__.lstrip("_")


def test_small_values_and_constants_are_kept_without_ceremony() -> None:
    x = leaf([1.0, 2.0], "x")
    graph = ag.graph(np.sum(2.0 * x + np.array([10.0, 20.0])))
    found = {n.label: n.value.array.tolist() for n in graph.nodes}
    assert found == {
        "x": [1, 2],
        "2": 2.0,
        "t1": [2, 4],
        "c1": [10, 20],
        "t2": [12, 24],
        "t3": 36.0,
    }
    assert [n.kind for n in graph.nodes if n.label in ("2", "c1")] == ["constant", "constant"]


def test_a_result_is_shown_as_it_was_or_not_at_all() -> None:
    w, b = leaf([1.0, 2.0], "w"), leaf([10.0, 20.0], "b")
    total = np.sum(w * w + b)
    assert by_name(ag.graph(total), "t2").value.array.tolist() == [11, 24]
    total.backward()
    b.data[:] = 7  # no rule reads it
    graph = ag.graph(np.exp(total * 1e-3))
    assert by_name(graph, "t1").value.array.tolist() == [1, 4]
    x = leaf([1.0, 2.0], "x")
    y = np.exp(x + b)
    assert by_name(ag.graph(y), "t1").value.array.tolist() == [8, 9]
    b.data[:] = 0
    assert by_name(ag.graph(y), "t1").value is None
    assert by_name(ag.graph(y), "y").value.array.tolist() == y.data.tolist()


def affine() -> tuple[ag.Tensor, ag.Tensor]:
    """Return the mean square of an affine map, and its matrix; its product is kept by nothing."""
    X = np.random.default_rng(0).normal(size=(150, 4))
    W, b = leaf(np.ones((4, 3)), "W"), leaf(np.zeros(3), "b")
    return np.mean((X @ W + b) ** 2.0), W


def test_a_product_that_nothing_kept_is_computed_again() -> None:
    graph = ag.graph(affine()[0])
    product, total = by_name(graph, "t1"), by_name(graph, "t2")
    assert product.symbol == "@"
    assert product.value.norm == total.value.norm  # b is 0
    assert "not kept" not in graph.to_dot()


def test_a_product_of_what_has_not_changed_is_shown_whatever_follows() -> None:
    X, y = np.random.default_rng(0).normal(size=(2, 150, 4))
    W = leaf(np.ones((4, 3)), "W")
    loss = np.mean((X @ W - y[:, :3]) ** 2.0)  # no rule reads y
    assert by_name(ag.graph(loss), "t1").value.mean == (X @ np.ones((4, 3))).mean()
    loss.backward()
    ag.optim.SGD([W], lr=0.1).step()
    assert by_name(ag.graph(loss), "t1").value is None
    again = np.mean((X @ W - y[:, :3]) ** 2.0)
    assert by_name(ag.graph(again), "t1").value is not None
    W.data[0, 0] = 5.0
    assert by_name(ag.graph(again), "t1").value is None


@pytest.mark.parametrize("change", ["an optimiser's step", "by hand"])
def test_but_not_if_it_would_come_out_otherwise_now(change: str) -> None:
    loss, W = affine()
    loss.backward()
    if change == "by hand":
        W.data[0, 0] = 5.0
    else:
        ag.optim.SGD([W], lr=0.1).step()
    assert by_name(ag.graph(loss), "t1").value is None
    assert by_name(ag.graph(loss), "t2").value is not None


def test_nor_is_what_may_be_random_computed_again() -> None:
    rng = np.random.default_rng(0)

    @ag.primitive(lambda g: g)
    def noisy(x: Any) -> Any:
        return x + rng.normal(size=x.shape)

    graph = ag.graph(np.sum(noisy(leaf(np.ones((40, 40)), "x")) ** 2.0))
    assert by_name(graph, "t1").value is not None  # the power reads it
    graph = ag.graph(np.sum(noisy(leaf(np.ones((40, 40)), "x"))))
    assert by_name(graph, "t1").value is None


def test_a_value_that_was_not_kept_says_so_and_recording_keeps_it() -> None:
    def total() -> ag.Tensor:
        return np.sum(leaf(np.ones((40, 40)), "x") + 1.0)

    graph = ag.graph(total())
    assert by_name(graph, "t1").value is None
    assert "t1 = x + … = (40, 40), not kept" in graph.explain()
    assert "not kept (compute it under ag.recording())" in graph.explain()
    with ag.recording():
        graph = ag.graph(total())
    assert by_name(graph, "t1").value.mean == 2
    assert "not kept" not in graph.explain()


def test_a_large_value_that_a_rule_holds_is_shown() -> None:
    x = leaf(np.ones((40, 40)), "x")
    h = x + 1.0
    total = np.sum(h * h)
    del h
    assert by_name(ag.graph(total), "t1").value.mean == 2


def test_recording_keeps_the_users_file_and_line() -> None:
    x = leaf([1.0, 2.0])
    with ag.recording():
        y = np.exp(x)
        z = np.linalg.norm(y)
    origins = {n.function: n.origin for n in ag.graph(z).operations}
    line = test_recording_keeps_the_users_file_and_line.__code__.co_firstlineno
    assert origins["np.exp"] == (__file__, line + 3)
    assert {origin for f, origin in origins.items() if f != "np.exp"} == {(__file__, line + 4)}
    assert ag.graph(np.exp(x)).operations[0].origin is None


def test_recording_reaches_into_transforms_and_ends() -> None:
    seen = []

    def f(x: Any) -> Any:
        y = np.exp(x)
        seen.append(y)
        return np.sum(y)

    with ag.recording():
        ag.grad(f)(np.zeros(1000))
    ag.grad(f)(np.zeros(1000))
    values = [ag.graph(y).output for y in seen]
    assert [v.origin is not None for v in values] == [True, False]


def test_a_small_result_that_is_a_view_does_not_keep_a_large_array_alive() -> None:
    big = leaf(np.zeros(100_000)) + 1.0
    watched = weakref.ref(big.data)
    total = np.sum(big[:3])
    del big
    gc.collect()
    assert watched() is None
    assert by_name(ag.graph(total), "t2").value is None
    small = leaf([1.0, 2.0])[:1]
    assert ag.graph(np.sum(small)).operations[0].value.array.tolist() == [1]


def test_names_come_from_tensors_mappings_and_modules() -> None:
    rng = np.random.default_rng(0)
    model = ag.nn.Sequential(ag.nn.Linear(2, 3, rng=rng), np.tanh)
    inputs = np.ones((1, 2))
    hidden = model(inputs)
    loss = np.sum(hidden)
    loss.name = "loss"
    graph = ag.graph(loss, names={"inputs": inputs, "hidden": hidden, "model": model, "n": 3})
    assert {"inputs", "hidden", "model.0.weight", "model.0.bias", "loss"} <= set(labels(graph))
    assert by_name(graph, "model.0.weight").scope == "model.0"
    assert {"0.weight", "0.bias"} <= set(labels(ag.graph(loss, names=model)))
    assert {"0.weight"} <= set(labels(ag.graph(loss, names=model.named_parameters())))
    assert {"hidden"} <= set(labels(ag.graph(loss, names=locals())))
    with pytest.raises(TypeError, match="names must be a mapping of names to tensors, not 3"):
        ag.graph(loss, names=3)


IN_THE_MODULE = leaf([3.0, 4.0])
_HIDDEN = leaf([5.0, 6.0])


def test_names_come_from_the_callers_variables() -> None:
    w = leaf([1.0, 2.0])
    also_w = w
    named, data = leaf([1.0, 1.0], "own"), np.ones(2)
    model = ag.nn.Linear(2, 1, rng=np.random.default_rng(0))
    hidden = w * IN_THE_MODULE + _HIDDEN * data + named
    loss = np.sum(model(hidden))
    expected = ["w", "IN_THE_MODULE", "own", "data", "hidden", "loss"]
    expected += ["model.weight", "model.bias"]
    for graph in (ag.graph(loss), ag.compare_graphs(loss, loss).graphs[1]):
        found = [label for label in labels(graph) if not re.fullmatch(r"(leaf|t|c)\d+", label)]
        assert sorted(found) == sorted(expected)
        assert {frame.name for node in graph.nodes for frame in node.frames} == {"model"}
    assert "d loss/d w = " in ag.explain(loss)
    assert also_w is w


def test_names_that_are_given_win_and_none_can_be_asked_for() -> None:
    w = leaf([1.0, 2.0])
    own = leaf(1.0, "own")
    loss = np.sum(w * own)
    assert labels(ag.graph(loss)) == ["w", "own", "t1", "loss"]
    assert labels(ag.graph(loss, names={"given": w, "other": own})) == [
        "given",
        "other",
        "t1",
        "t2",
    ]
    assert labels(ag.graph(loss, names={})) == ["leaf1", "own", "t1", "t2"]


def test_a_model_is_named_by_the_one_that_holds_it_not_by_its_parts() -> None:
    part = ag.nn.Linear(2, 2, rng=np.random.default_rng(0))
    weight = part.weight
    whole = ag.nn.Sequential(part, ag.nn.Linear(2, 2, rng=np.random.default_rng(1)))
    graph = ag.graph(np.sum(whole(np.ones((1, 2)))))
    leaves = [node.label for node in graph.nodes if node.kind == "leaf"]
    assert leaves == ["whole.0.weight", "whole.0.bias", "whole.1.weight", "whole.1.bias"]
    assert weight is part.weight


def test_a_local_name_hides_a_global_one() -> None:
    IN_THE_MODULE = leaf([1.0, 1.0])
    total = IN_THE_MODULE * globals()["IN_THE_MODULE"]
    assert edges(ag.graph(total)) == {("IN_THE_MODULE", "total", "x"), ("leaf1", "total", "y")}


def test_a_name_made_up_is_not_one_that_is_taken() -> None:
    t2 = leaf(2.0)
    total = t2 * t2 + np.exp(t2) * 2.0
    assert labels(ag.graph(total)) == ["t2", "t1", "t2_", "2", "t3", "total"]


def test_a_graph_keeps_no_other_variable_alive() -> None:
    class Large(np.ndarray):
        """An array that weak references see."""

    w, other = leaf([1.0, 2.0]), np.ones(3).view(Large)
    graph = ag.graph(np.sum(w))
    watched = weakref.ref(other)
    del other
    sys._getframe().f_locals  # noqa: B018  # which CPython 3.11 and 3.12 keep until they are asked again
    gc.collect()
    assert watched() is None
    assert labels(graph)[0] == "w"


def test_what_variables_hold_is_not_asked_whether_it_is_a_model() -> None:
    class Anything:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(f"asked for {name}")

    anything = Anything()
    w = leaf(1.0)
    assert labels(ag.graph(w * w))[0] == "w"
    assert type(anything) is Anything


def test_gradients_are_only_what_was_computed() -> None:
    x, y = leaf(3.0, "x"), leaf(0.0, "y")
    z = x * x + y
    assert all(n.gradient is None for n in ag.graph(z).nodes)
    graph = ag.graph(z, grads=True)
    found = {n.label: float(n.gradient.array) for n in graph.nodes}
    assert found == {"x": 6.0, "t1": 1.0, "y": 1.0, "z": 1.0}
    assert x.grad is None
    z.backward()
    assert {n.label for n in ag.graph(z).nodes if n.gradient is not None} == {"x", "y"}
    assert ag.graph(z, grads=np.array(2.0)).nodes[0].gradient.array == 12


def test_gradients_are_the_engines_for_every_node() -> None:
    rng = np.random.default_rng(1)
    x, w = leaf(rng.normal(size=(5, 3)), "x"), leaf(rng.normal(size=(3, 4)), "w")
    h = np.tanh(x @ w)
    h.name = "h"
    target = rng.integers(0, 4, 5)
    loss = ag.cross_entropy(h, target)
    graph = ag.graph(loss, grads=True)
    loss.backward()
    assert np.array_equal(by_name(graph, "x").gradient.array, x.grad)
    assert np.array_equal(by_name(graph, "w").gradient.array, w.grad)
    through = ag.grad(lambda h: ag.cross_entropy(h, target))(h.data)
    assert np.allclose(by_name(graph, "h").gradient.array, through, rtol=1e-14)


def test_a_step_has_the_sums_of_broadcasting_and_counts_contributions() -> None:
    x, b = leaf(np.ones((4, 3)), "x"), leaf([[1.0], [2.0], [3.0], [4.0]], "b")
    c = leaf([1.0, 2.0, 3.0], "c")
    graph = ag.graph(np.sum((x + b) * c + c), grads=True)
    parts = {
        (graph.nodes[p.target].label, graph.nodes[s.node].function): p
        for s in graph.steps
        for p in s.contributions
    }
    assert parts["b", "np.add"].summed == (1,)
    assert parts["b", "np.add"].before == (4, 3)
    assert parts["b", "np.add"].value.array.tolist() == [[6.0], [6], [6], [6]]
    assert parts["x", "np.add"].summed == ()
    assert (parts["c", "np.add"].summed, parts["c", "np.multiply"].summed) == ((0,), (0,))
    assert (parts["c", "np.add"].number, parts["c", "np.add"].of) == (1, 2)
    assert (parts["c", "np.multiply"].number, parts["c", "np.multiply"].of) == (2, 2)
    assert [graph.nodes[s.node].function for s in graph.steps] == [
        "np.sum",
        "np.add",
        "np.multiply",
        "np.add",
    ]


def test_what_a_node_keeps_is_what_its_rules_read() -> None:
    x, y = leaf(np.ones((2, 3))), leaf(np.ones(3))
    graph = ag.graph(np.exp(x * y) + x)
    kept = {n.function: (n.kept, n.kept_bytes) for n in graph.operations}
    assert kept == {
        "np.multiply": (["y (3,)", "x (2, 3)"], 72),
        "np.exp": (["ans (2, 3)"], 48),
        "np.add": ([], 0),
    }
    assert graph.kept_bytes == 120


def test_the_fused_loss_is_marked_and_shows_what_it_subtracts() -> None:
    z = leaf([[2.0, 1.0, 0.0]], "z")
    node = ag.graph(ag.cross_entropy(z, [1])).output
    assert node.fused
    rule, arrays = node.insight
    assert rule == "g * (ŷ - y) / N"
    assert np.allclose(arrays["ŷ"].array, ag.softmax(z.data))
    assert arrays["y"].array.tolist() == [[0, 1, 0]]
    assert not any(n.fused for n in ag.graph(ag.unfused_cross_entropy(z, [1])).nodes)
    smoothed = ag.graph(ag.cross_entropy(z, [1], label_smoothing=0.3, reduction="sum")).output
    assert smoothed.insight[0] == "g * (ŷ - y)"
    assert np.allclose(smoothed.insight[1]["y"].array, [[0.1, 0.8, 0.1]])


def test_looking_at_a_graph_leaves_what_the_first_backward_takes() -> None:
    z = leaf([[2.0, 1.0, 0.0]], "z")
    loss = ag.cross_entropy(z, [1])
    kept = ag.graph(loss).output.kept_bytes
    ag.explain(loss)
    assert ag.graph(loss, grads=True).output.kept_bytes == kept
    loss.backward()
    assert ag.graph(loss).output.kept_bytes < kept


def test_a_loss_in_float32_is_drawn_whatever_its_last_bit() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        z = ag.Tensor(rng.normal(size=(150, 3)).astype(np.float32), requires_grad=True)
        graph = ag.graph(ag.cross_entropy(z, rng.integers(0, 3, 150)), grads=True)
        assert graph.nodes[0].gradient.dtype == "float32"


def test_where_a_nan_is_born_is_marked() -> None:
    with np.errstate(all="ignore"):
        graph = ag.graph(np.sum(np.log(leaf([1.0, -1.0])) * 2.0))
    assert [n.function for n in graph.nodes if n.born == "value"] == ["np.log"]
    graph = ag.graph(np.sum(np.sqrt(leaf([1.0, 0.0])) * 2.0), grads=True)
    assert [(n.function, n.born) for n in graph.nodes if n.born] == [("np.sqrt", "gradient")]


def test_functions_of_several_results_and_several_arguments() -> None:
    a = leaf([[2.0, 1.0], [1.0, 3.0]], "a")
    values, vectors = np.linalg.eigh(a)
    graph = ag.graph(np.sum(values) + np.sum(vectors), grads=True)
    parts = [n for n in graph.operations if n.function.startswith("result")]
    assert [(n.function, n.options) for n in parts] == [("result 0", ""), ("result 1", "")]
    assert [n.arguments[0].shape for n in parts] == [(2,), (2, 2)]  # not those of all results
    json.dumps(graph.to_json(), allow_nan=False)
    assert "digraph" in graph.to_dot()
    joined = ag.graph(np.sum(np.concatenate([a, np.ones((1, 2)), a])), grads=True)
    assert by_name(joined, "a").gradient.array.tolist() == [[2, 2], [2, 2]]
    indexed = ag.graph(a[0, 1:] * a[1, :1])
    assert {n.options for n in indexed.operations} == {"[0, 1:]", "[1, :1]", ""}
    summed = ag.graph(np.sum(a, axis=1, keepdims=True))
    assert summed.output.options == "axis=1, keepdims=True"


def test_what_has_no_graph_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ag.graph: this tensor has no graph"):
        ag.graph(ag.Tensor(1.0))
    with pytest.raises(TypeError, match=r"ag.graph: expected a tensor, not float"):
        ag.graph(1.0)
    with pytest.raises(ValueError, match="direction must be"):
        ag.graph(neuron(), direction="up")
    with pytest.raises(ValueError, match="max_nodes must be at least 2, not 1"):
        ag.graph(neuron(), max_nodes=1)
    only = ag.graph(leaf([1.0, 2.0], "x"))
    assert labels(only) == ["x"]
    assert "x" in only.to_dot()


def chain(length: int) -> ag.Tensor:
    h = leaf(np.ones(4), "x")
    for _ in range(length):
        h = h * 1.001
    return h


def test_a_thousand_operations_take_linear_time_and_lines() -> None:
    def measured(length: int) -> tuple[float, int, int]:
        output = chain(length)
        gc.collect()
        start = time.process_time()
        graph = ag.graph(output, grads=np.ones(4), max_nodes=10**6)
        lines = graph.to_dot().count("\n")
        text = graph.explain().count("\n")
        return time.process_time() - start, lines, text

    measured(100)
    short, long = measured(200), measured(1000)
    assert long[1] - short[1] == 4 * 800  # a constant, an operation, and two edges
    assert long[2] - short[2] == 5 * 800
    assert long[0] < 15 * short[0]


def test_sixty_shared_additions_are_linear() -> None:
    def lines(count: int) -> int:
        h = leaf(1.0, "x")
        for _ in range(count):
            h = h + h
        graph = ag.graph(h, grads=True, max_nodes=1000)
        assert len(graph.nodes) == count + 1
        assert graph.nodes[0].gradient.array == 2.0**count
        return graph.to_dot().count("\n")

    assert lines(60) - lines(30) == 3 * 30


def test_the_json_has_the_documented_schema(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    with ag.recording(), np.errstate(all="ignore"):
        z = leaf([[2.0, 1.0]], 'a "quoted" </script> name')
        loss = ag.cross_entropy(z * np.array([1.0, np.inf]) * 0.0 + z, [0])
    graph = ag.graph(loss, grads=True)
    data = json.loads(json.dumps(graph.to_json(), allow_nan=False))
    assert set(data) == {"version", "caption", "note", "output", "nodes", "edges", "backward"}
    assert data["version"] == 1
    for i, node in enumerate(data["nodes"]):
        assert node["id"] == i
        assert node["kind"] in ("leaf", "constant", "operation", "result")
        assert {"op", "name", "scope", "shape", "dtype", "src", "rules", "kept_bytes"} <= set(node)
        for summary in (node["value"], node["grad"]):
            if summary is not None:
                assert set(summary) == {"stats", "hist", "preview"}
                count = int(np.prod(summary["preview"]["shape"]))
                assert len(summary["preview"]["data"]) == count
    for edge in data["edges"]:
        assert set(edge) == {"from", "to", "arg", "shape", "tracked"}
    for step in data["backward"]:
        assert set(step) == {"node", "upstream_norm", "contrib"}
        for part in step["contrib"]:
            assert {"to", "norm", "summed_axes", "n_of_m"} <= set(part)
    assert data["nodes"][0]["name"] == 'a "quoted" </script> name'
    assert data["nodes"][0]["src"] is None
    assert data["nodes"][data["output"]]["src"].startswith("tests/graphs/test_model.py:")
    monkeypatch.chdir(tmp_path)  # what is saved does not say where the file is
    assert ag.graph(loss).to_json()["nodes"][data["output"]]["src"].startswith("test_model.py:")
    values = [n["value"]["preview"]["data"] for n in data["nodes"]]
    assert any("nan" in v for v in values)


def test_the_json_of_a_large_graph_stays_small() -> None:
    h = leaf(np.ones((32, 32)), "x")
    with ag.recording():
        for _ in range(100):
            h = np.tanh(h) * 1.1
    graph = ag.graph(np.sum(h), grads=True)
    assert len(json.dumps(graph.to_json())) < 1.6e6
    value = ag.graph(np.sum(leaf(np.ones((32, 32))))).to_json()["nodes"][0]["value"]
    assert value["preview"]["whole"]


# ---------------------------------------------------------------------------- arrays in few words


def test_a_summary_of_a_small_array_is_the_array() -> None:
    array = np.array([[1.23456, 0.0], [np.nan, -np.inf]])
    summary = Summary(array)
    array[0, 0] = 9
    assert str(summary) == "[[1.235, 0], [nan, -inf]]"
    assert (summary.zeros, summary.nans, summary.infs) == (1, 1, 1)
    assert (summary.min, summary.max, summary.bad) == (0.0, 1.23456, 2)


def test_a_picture_tells_a_range_or_the_number_that_all_are() -> None:
    assert Summary(np.arange(9.0)).lines() == ["0 … 8", "norm 14.28"]
    assert Summary(np.full(9, 2.0)).lines() == ["all 2", "norm 6"]
    assert Summary(np.append(np.full(9, 2.0), np.nan)).lines()[2] == "1 nan"


def test_a_summary_of_a_large_array_is_bounded() -> None:
    array = np.arange(40_000.0).reshape(200, 200)
    summary = Summary(array)
    assert not summary.whole
    assert summary.array.tolist() == array[:16, :16].tolist()
    assert summary.norm == pytest.approx(np.linalg.norm(array))
    assert str(summary) == "0 to 4e+04, mean 2e+04, norm 4.619e+06"
    data = summary.to_json()
    assert len(data["preview"]["data"]) == 256
    assert sum(data["hist"]["counts"]) == 40_000


def test_summaries_of_odd_arrays() -> None:
    assert Summary(np.zeros((0, 3))).to_json()["preview"]["data"] == []
    assert Summary(np.full(3, 1e200)).norm == pytest.approx(3**0.5 * 1e200)
    assert str(Summary(np.array([True, False]))) == "[1, 0]"
    assert Summary(np.full(2000, np.nan)).to_json()["stats"]["min"] == "nan"
    assert Summary(np.float32(0.1)).dtype == "float32"


def test_numbers_shapes_and_sizes_as_text() -> None:
    assert [number(x) for x in (0.123456, 1e-30, 3, np.int64(7), True)] == [
        "0.1235",
        "1e-30",
        "3",
        "7",
        "1",
    ]
    assert [shape_text(s) for s in ((), (3,), (2, 3), ((2,), ()))] == [
        "scalar",
        "(3,)",
        "(2, 3)",
        "(2,) and scalar",
    ]
    assert [size_text(n) for n in (0, 1023, 1536, 5 << 20, 3 << 30)] == [
        "0 B",
        "1,023 B",
        "1.5 KiB",
        "5.0 MiB",
        "3.0 GiB",
    ]


def test_values_are_not_computed_again_from_an_array_that_has_changed() -> None:
    x = np.array([1.0, 2.0])
    total = np.sum(leaf([3.0, 4.0]) * x)
    assert by_name(ag.graph(total), "t1").value.array.tolist() == [3, 8]
    x[:] = 50
    assert by_name(ag.graph(total), "t1").value is None
