"""Picture, text and find_nonfinite say alike where nan and inf begin, whatever the size."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite.graphs import NonfiniteError

SIZES = [3, 100, 600, 3000]
# A function, a number of which it makes nan or inf; the picture's name for it.
FORWARD: dict[str, tuple[Callable[[Any], Any], float]] = {
    "np.log": (np.log, -1.0),
    "np.log2": (np.log2, 0.0),
    "np.log10": (np.log10, -2.0),
    "np.log1p": (np.log1p, -3.0),
    "np.sqrt": (np.sqrt, -1.0),
    "np.exp": (np.exp, 1e4),
    "np.sinh": (np.sinh, 1e4),
    "np.expm1": (np.expm1, 1e4),
    "np.square": (np.square, 1e200),
    "np.reciprocal": (np.reciprocal, 0.0),
    "np.divide": (lambda x: 1.0 / x, 0.0),
    "np.power": (lambda x: x**0.5, -1.0),
    "np.arcsin": (np.arcsin, 2.0),
    "np.arccosh": (lambda x: np.arccosh(x), 0.25),
    "np.multiply": (lambda x: x * 1e200, 1e200),
    "np.prod": (lambda x: np.prod(x, keepdims=True), 1e300),
}
BACKWARD: dict[str, tuple[Callable[[Any], Any], float]] = {
    "np.sqrt": (np.sqrt, 0.0),
    "np.cbrt": (np.cbrt, 0.0),
    "np.power": (lambda x: x**0.5, 0.0),
    "np.arcsin": (np.arcsin, 1.0),
    "np.arccos": (np.arccos, -1.0),
}
BEFORE = [lambda x: x, lambda x: x * 1.0, lambda x: np.reshape(x, (1, -1)), lambda x: x + 0.0]
AFTER = [lambda x: x, lambda x: 2.0 * x, lambda x: np.where(True, x, 0.0), lambda x: x + x]
ENDS = [np.sum, np.mean, lambda x: np.sum(x * x)]


def numbers(size: int, rng: Any) -> Any:
    """Return numbers at which no function above makes nan or inf."""
    return rng.uniform(0.4, 0.9, size)


def finite_numbers(name: str, size: int, rng: Any) -> Any:
    numbers_ = numbers(size, rng)
    return {"np.arccosh": 1 + numbers_, "np.prod": 1e300 ** (1 / size) * (1 + numbers_)}.get(
        name, numbers_
    )


def said_by(loss_of: Callable[[], Any]) -> tuple[Any, str, str]:
    """Return the graph of a loss, its text, and what find_nonfinite says."""
    with np.errstate(all="ignore"):
        loss = loss_of()
        graph = ag.graph(loss, grads=True)
        with pytest.raises(NonfiniteError) as caught, ag.find_nonfinite():
            loss_of().backward()
    return graph, graph.explain(), str(caught.value)


def line_before(text: str, said: str) -> str:
    """Return the line of an operation that something is said of."""
    lines = text.splitlines()
    (at,) = [i for i, line in enumerate(lines) if line.strip() == said]
    return next(line for line in reversed(lines[:at]) if not line.startswith("      "))


def cases(table: dict[str, Any]) -> list[Any]:
    ends = itertools.cycle(itertools.product(AFTER, ENDS))
    return [
        pytest.param(name, size, before, *next(ends), id=f"{name}-{size}-{i}")
        for name, size in itertools.product(table, SIZES)
        for i, before in enumerate(BEFORE)
    ]


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize(("name", "size", "before", "after", "end"), cases(FORWARD))
def test_what_an_operation_makes_is_born_there(
    name: str, size: int, before: Any, after: Any, end: Any, kept: bool
) -> None:
    rng = np.random.default_rng(size)
    function, value = FORWARD[name]
    data = finite_numbers(name, size, rng)
    data[rng.integers(size)] = value
    w = ag.Tensor(np.ones(size), requires_grad=True)
    culprit = []

    def loss() -> Any:
        with ag.recording() if kept else contextlib.nullcontext():
            made = function(before(w * data))
            culprit.append(made)
            return end(after(made))

    graph, text, message = said_by(loss)
    place = graph.nodes.index(graph._builder.of[culprit[0]._node])
    assert message.startswith(f"{name}: the result is ")
    (node,) = [node for node in graph.nodes if node.born not in ("", "gradient")]
    assert line_before(text, node.birth).startswith(f"  {node.label} = ")
    assert node.birth in graph.to_dot()
    if node.born == "value":
        assert (node.id, node.function) == (place, name)
        assert node.birth == f"{node.bad} is born here"
        assert node.bad in message.partition(", from ")[0]
    else:  # a sum with a constant, say, that nothing holds
        assert not kept
        assert size > 128
        assert node.id >= place
        assert node.birth == f"{node.bad} is born here or before, in what is not kept"


@pytest.mark.parametrize(("name", "size", "before", "after", "end"), cases(BACKWARD))
def test_what_a_rule_makes_is_born_there(
    name: str, size: int, before: Any, after: Any, end: Any
) -> None:
    rng = np.random.default_rng(size)
    function, value = BACKWARD[name]
    data = numbers(size, rng)
    data[rng.integers(size)] = value
    w = ag.Tensor(np.ones(size), requires_grad=True)
    graph, text, message = said_by(lambda: end(after(function(before(w * data)))))
    born = [node for node in graph.nodes if node.born]
    assert [(node.function, node.born) for node in born] == [(name, "gradient")]
    at = text.index("gradient not finite from here")
    assert re.findall(r"\d\. (\w+) =", text[:at])[-1] == born[0].label
    assert message.startswith(f"{name}, backward: the cotangent of ")


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("held_by", ["leaf", "constant"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("before", range(len(BEFORE)))
def test_what_the_data_hold_is_said_to_be_there(
    before: int, size: int, held_by: str, bad: float, kept: bool
) -> None:
    rng = np.random.default_rng(size)
    data, weights = numbers(size, rng), numbers(size, rng)
    (weights if held_by == "leaf" else data)[rng.integers(size)] = bad
    w = ag.Tensor(weights, requires_grad=True)

    def loss() -> Any:
        return np.sum(np.cbrt(BEFORE[before](w * data)) * 2.0)

    def kept_loss() -> Any:
        with ag.recording():
            return loss()

    graph, text, message = said_by(kept_loss if kept else loss)
    what = "nan" if np.isnan(bad) else "inf"
    born = [node for node in graph.nodes if node.born not in ("", "gradient")]
    assert [(node.kind, node.birth) for node in born] == [(held_by, f"{what} is in the data")]
    assert line_before(text, f"{what} is in the data").startswith(f"  {born[0].label} = ")
    assert f"{what} is in the data" in graph.to_dot()
    argument = "x" if held_by == "leaf" else "y"
    assert message.startswith("np.multiply: the result is ")
    assert f"The {what} was in {argument} before: in the data, or computed outside" in message
    assert __file__ in message


@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_said_where_all_ends_well(size: int) -> None:
    rng = np.random.default_rng(0)
    x = ag.Tensor(numbers(size, rng), requires_grad=True)
    mask = np.where(np.arange(size) % 2, -np.inf, 0.0)
    unknown = np.where(mask == 0, 1.0, np.nan)
    with ag.find_nonfinite():
        loss = np.sum(np.exp(x + mask)) + np.sum(np.where(mask == 0, x, unknown)[mask == 0])
        loss.backward()
    graph = ag.graph(loss, grads=True)
    assert not any(node.born for node in graph.nodes)
    assert not re.search("is born|in the data", graph.explain())


def test_what_is_not_known_is_not_blamed() -> None:
    """The rules of a sum keep no argument: what it was given may have been nan already."""

    def hidden(x: Any) -> Any:
        return x + np.full(x.shape, np.nan)

    w = ag.Tensor(np.ones(1000), requires_grad=True)
    total = np.sum(hidden(w))
    graph = ag.graph(total)
    assert [(n.function, n.birth) for n in graph.nodes if n.born] == [
        ("np.sum", "nan is born here or before, in what is not kept")
    ]


def test_a_leaf_that_was_stepped_to_nan_since_is_not_blamed() -> None:
    w = ag.Tensor(np.full(1000, -1.0), requires_grad=True)
    optimizer = ag.optim.SGD([w], lr=1.0)
    with np.errstate(all="ignore"):
        loss = np.sum(np.log(w) * np.log(w))
        loss.backward()
        optimizer.step()
        assert np.isnan(w.data).all()
        births = [(n.function, n.born) for n in ag.graph(loss).nodes if n.born]
    assert all(function != "" for function, _ in births)


def test_inf_made_nan_is_born_where_that_happens() -> None:
    x = ag.Tensor(np.array([1.0, np.inf]), requires_grad=True)
    graph, _, message = said_by(lambda: np.sum(x - x * 1.0))
    assert [(n.function, n.birth) for n in graph.nodes if n.born] == [
        ("np.subtract", "nan is born here")
    ]
    assert message.startswith("np.subtract: the result is nan at [1], from x = inf, y = inf;")


def test_births_in_a_folded_box_are_said_on_it() -> None:
    x = ag.Tensor(np.array([0.5, 0.0]), requires_grad=True)
    with np.errstate(all="ignore"):
        y = np.log(x)
        for _ in range(60):
            y = y * 1.0
        dot = ag.graph(np.sum(y), max_nodes=10).to_dot()
    assert "inf is born here" in dot
