"""Backpropagation as text, and two graphs side by side."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag


def leaf(value: Any, name: str | None = None) -> ag.Tensor:
    return ag.Tensor(value, requires_grad=True, name=name, dtype=float)


def test_every_step_in_order() -> None:
    x = leaf(3.0, "x")
    y = x * x + 2.0 * x
    y.name = "y"
    assert ag.explain(y) == (
        "Backpropagation from y: 3 operations, 1 leaf, 16 B kept for backward.\n"
        """
Forward, in the order of computation
  x = 3
  t1 = x * x = 9
  t2 = 2 * x = 6
  y = t1 + t2 = 15

Backward, in the opposite order; g is the gradient of what a step computed
  1. y = t1 + t2
       g = d y/d y = 1
       to t1: g
           = 1
       to t2: g
           = 1
  2. t2 = 2 * x
       g = d y/d t2 = 1
       to x: g * 2
           = 2
           contribution 1 of 3 to x
  3. t1 = x * x
       g = d y/d t1 = 1
       to x: g * x
           = 3
           contribution 2 of 3 to x
       to x: g * x
           = 3
           contribution 3 of 3 to x, which add up to 8

Gradients of the leaves
  d y/d x = 8"""
    )


def test_rules_are_told_in_the_names_of_the_reader() -> None:
    W, X = leaf([[1.0, 2.0], [3.0, 5.0]], "W"), np.array([[1.0, 2.0], [2.0, 3.0]])

    def told(output: ag.Tensor) -> str:
        return ag.explain(output, names={"X": X})

    assert "to W: Xᵀ @ g\n" in told(X @ W)
    assert "to W: g @ Xᵀ\n" in told(W @ X)
    assert "to W: zeros(W.shape)[0, 1] += g\n" in told(W[0, 1])
    assert "to W: np.where(W == X, g / 2, np.where(~(W < X), g, 0))\n" in told(np.maximum(W, X))
    assert "to W: -(t1ᵀ @ g @ t1ᵀ)\n" in told(np.linalg.inv(W))
    assert "to W: g for each term\n" in told(np.sum(W))
    assert "to W: the cotangent of a in a = u diag(s) vᵀ" in told(np.linalg.svd(W)[1])


def test_names_that_make_no_formula_are_said_beside_it() -> None:
    first, second = leaf([1.0, 2.0], "g"), leaf([1.0, 2.0], "row one")
    text = ag.explain(first * second)
    assert "to g: g * y, where y is row one\n" in text
    assert "to row one: g * x, where x is g\n" in text


def test_what_broadcasting_repeated_is_said_to_be_summed() -> None:
    x, b = leaf(np.ones((4, 3)), "x"), leaf([1.0, 2.0, 3.0], "b")
    text = ag.explain(np.sum(x + b))
    assert (
        "summed over axis 0, along which broadcasting had repeated b: (4, 3) to (3,)\n"
        "           = [4, 4, 4]" in text
    )
    assert "(4, 3), 1 to 1, mean 1, norm 3.464" in text
    column = leaf(np.ones((4, 1)), "c")
    text = ag.explain(np.sum(column * np.ones((2, 4, 3))))
    assert "summed over axes 0, 2, along which broadcasting had repeated c" in text


def test_the_fused_node_says_what_it_subtracts() -> None:
    z = leaf([[2.0, 1.0]], "z")
    text = ag.explain(ag.cross_entropy(z, np.array([0])))
    assert "a fused node: g * (ŷ - y) / N" in text
    assert "ŷ = [[0.7311, 0.2689]]" in text
    assert "y = [[1, 0]]" in text
    assert "to z: g * (ŷ - y) / N\n           = [[-0.2689, 0.2689]]" in text
    assert text.endswith("d t1/d z = [[-0.2689, 0.2689]]")


def test_the_gradients_told_are_the_engines_and_nothing_is_stored() -> None:
    rng = np.random.default_rng(3)
    x, w = leaf(rng.normal(size=2), "x"), leaf(rng.normal(size=(2, 2)), "w")
    loss = np.sum(np.tanh(x @ w) ** 2.0)
    text = ag.explain(loss)
    assert x.grad is None
    loss.backward()
    for t in (x, w):
        told = text.rpartition(f"d loss/d {t.name} = ")[2].partition("\n")[0]
        assert np.allclose(json.loads(told), t.grad, rtol=1e-3)


def test_a_vector_is_explained_from_a_cotangent_of_ones() -> None:
    x = leaf([1.0, 2.0], "x")
    assert "d t1/d x = [2, 4]" in ag.explain(x * x)


def test_an_argument_changed_since_is_refused_as_by_backward() -> None:
    data = np.array([1.0, 2.0])
    y = np.sum(leaf([1.0, 1.0]) * data)
    data[0] = 5
    with pytest.raises(RuntimeError, match="was changed between the call"):
        ag.explain(y)


# ---------------------------------------------------------------------------- side by side


def losses() -> tuple[ag.Tensor, ag.Tensor]:
    z = leaf([[2.0, 1.0, 0.0], [0.0, 1.0, 0.5]], "z")
    return ag.cross_entropy(z, [0, 1]), ag.unfused_cross_entropy(z, [0, 1])


def test_several_results_are_told_one_by_one() -> None:
    values, _ = np.linalg.eigh(leaf([[2.0, 1.0], [1.0, 3.0]], "A"))
    text = ag.explain(np.sum(values))
    assert "t1 = np.linalg.eigh(A) = (2,) and (2, 2)\n" in text
    assert "\n  values = result 0(t1) = [1.382, 3.618]\n" in text
    assert "to t1: g, as that of result 0\n  3. t1 = np.linalg.eigh(A)" in text
    assert "g = d t3/d t1 = one for each result" in text


def test_two_graphs_side_by_side() -> None:
    comparison = ag.compare_graphs(*losses(), titles=("fused", "unfused"))
    rows = {row[0]: row[1:] for row in comparison.rows}
    assert rows["operations"] == ("1", str(len(comparison.graphs[1].operations)))
    assert len(comparison.graphs[1].operations) > 5
    assert rows["value"][0] == rows["value"][1] == "0.5439"
    assert rows["|gradient of z|"][0] == rows["|gradient of z|"][1]
    assert set(rows) == {
        "operations",
        "kept for backward",
        "largest result",
        "value",
        "|gradient of z|",
    }
    assert 0 < comparison.difference < 1e-15
    lines = str(comparison).splitlines()
    assert lines[0].split() == ["fused", "unfused"]
    assert lines[6].startswith("The gradients of the 1 leaf that they share differ by ")
    assert " ".join(lines[6:]) == comparison.sentence


def test_that_a_fused_node_keeps_its_gradient_is_said_until_it_is_taken() -> None:
    first, second = losses()
    comparison = ag.compare_graphs(first, second, titles=("fused", "unfused"))
    assert comparison.sentence.endswith(
        "at most. Of what fused keeps, 48 B are the gradient, computed with the value to save "
        "time; the first backward takes it over."
    )
    (node,) = comparison.graphs[0].operations
    assert node.kept[-1] == "gradient computed ahead (2, 3)"
    before = node.kept_bytes
    first.backward()
    after = ag.compare_graphs(first, second)
    assert after.sentence.endswith("at most.")
    assert after.graphs[0].kept_bytes == before - 48


def test_a_difference_is_found_and_leaves_are_matched_by_name() -> None:
    a, b = leaf([1.0, 2.0], "a"), leaf([1.0, 2.0], "a")
    comparison = ag.compare_graphs(np.sum(a * a), np.sum(b * b * 1.5))
    assert comparison.difference == 2.0
    assert comparison.titles == ("np.sum (first)", "np.sum (second)")
    apart = ag.compare_graphs(np.sum(a), np.sum(leaf([1.0], "b")))
    assert apart.sentence == "They share no leaf."
    shapes = ag.compare_graphs(np.sum(a), np.sum(leaf([[1.0]], "a")))
    assert shapes.sentence == "They share no leaf."


def test_a_comparison_is_saved_by_its_ending(tmp_path: Path) -> None:
    comparison = ag.compare_graphs(*losses(), titles=("fused", "unfused"))
    data = json.loads(comparison.save(tmp_path / "c.json").read_text())
    assert {k: len(graph["nodes"]) for k, graph in data.items()} == {
        title: len(graph.nodes) for title, graph in zip(comparison.titles, comparison.graphs)
    }
    assert comparison.save(tmp_path / "c.txt").read_text().startswith("   ")
    with pytest.raises(ValueError, match=r"c.png must end in .html, .json or .txt"):
        comparison.save(tmp_path / "c.png")


def test_functions_are_timed_in_turn_and_touch_no_gradient() -> None:
    x = leaf(np.ones(50_000), "x")
    ran = []

    def quick() -> ag.Tensor:
        ran.append("quick")
        return np.sum(x * 2.0)

    def slow() -> ag.Tensor:
        ran.append("slow")
        y = x
        for _ in range(20):
            y = np.tanh(y)
        return np.sum(y)

    comparison = ag.compare_graphs(quick, slow)
    rows = {row[0]: row[1:] for row in comparison.rows}
    first, second = (float(t.removesuffix(" ms")) for t in rows["forward and backward"])
    assert 0 < first < second
    assert ran[2:] == ["quick", "slow"] * (len(ran) // 2 - 1)
    assert len(ran) >= 8
    assert x.grad is None
    # Their graphs hold every value.
    assert all(n.value is not None and n.origin for n in comparison.graphs[1].operations)
    with pytest.raises(TypeError, match=r"ag.compare_graphs: expected two functions, or none"):
        ag.compare_graphs(quick, slow())


@pytest.mark.parametrize("how", ["names", "a variable", "a default", "a function"])
def test_comparing_leaves_a_models_statistics_and_generators_alone(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autograd_lite.graphs import compare

    monkeypatch.setattr(compare, "LONG_ENOUGH", 0.0)
    rng = np.random.default_rng(0)
    model = ag.nn.Sequential(
        ag.nn.BatchNorm1d(3), ag.nn.Dropout(0.5, rng=rng), ag.nn.Linear(3, 2, rng=rng)
    )
    x, labels = np.ones((4, 3), np.float32) * np.arange(12).reshape(4, 3), np.zeros(4, int)

    def logits() -> Any:
        return model(x)

    losses: Any = ag.cross_entropy, ag.unfused_cross_entropy
    hidden = [model]
    run: dict[str, Any] = {
        "names": lambda loss: lambda: loss(hidden[0](x), labels),
        "a variable": lambda loss: lambda: loss(model(x), labels),
        "a default": lambda loss: lambda model=hidden[0]: loss(model(x), labels),
        "a function": lambda loss: lambda: loss(logits(), labels),
    }
    functions = [run[how](loss) for loss in losses]
    before, state = model.state_dict(), rng.bit_generator.state
    comparison = ag.compare_graphs(*functions, names=model if how == "names" else None)
    after = model.state_dict()
    assert all(np.array_equal(after[name], before[name]) for name in before)
    assert rng.bit_generator.state == state
    assert comparison.difference < 1e-6  # both saw the same elements dropped
    functions[0]()
    assert model.state_dict()["0.num_batches_tracked"] == 1


def test_slow_functions_run_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    from autograd_lite.graphs import compare

    monkeypatch.setattr(compare, "LONG_ENOUGH", 0)
    x = leaf([1.0, 2.0], "x")
    ran = []

    def function() -> ag.Tensor:
        ran.append(1)
        return np.sum(x * x)

    ag.compare_graphs(function, function)
    assert len(ran) == 2 + 2 * compare.FEWEST


def test_a_leaf_without_a_name_is_the_same_leaf() -> None:
    x = leaf([1.0, 2.0])
    comparison = ag.compare_graphs(np.sum(x * x), np.sum(x**2.0))
    assert comparison.rows[-1][0] == "|gradient of x|"
    assert comparison.difference == 0


def test_a_notebook_shows_the_text_as_it_reads() -> None:
    text = ag.explain(leaf(2.0, "x") * 3.0)
    assert repr(text) == str(text) == text
    assert "\n" in repr(text)
    assert isinstance(text, str)
    copy = pickle.loads(pickle.dumps(text))
    assert (repr(copy), type(copy)) == (repr(text), type(text))
