"""Backpropagation as text, in order, for reading along."""

from __future__ import annotations

import re
from collections.abc import Iterator

from autograd_lite.graphs.model import Model
from autograd_lite.graphs.nodes import Contribution, GraphNode, Step
from autograd_lite.graphs.source import is_formula, replaced
from autograd_lite.graphs.summary import Summary, shape_text


class Explanation(str):
    """A text that a notebook, and the prompt, shows as it reads when printed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def explain(graph: Model) -> Explanation:
    """Return the forward pass, every step of the pullback, and each leaf's gradient."""
    return Explanation("\n".join(_lines(graph)))


def _lines(graph: Model) -> Iterator[str]:
    output = graph.output.label
    leaves = [node for node in graph.nodes if node.kind == "leaf"]
    yield f"Backpropagation from {output}: {graph.caption}."
    yield ""
    yield "Forward, in the order of computation"
    for node in graph.nodes:
        if node.is_operation or node.kind == "leaf" or node.shape or node.born:
            lost = shape_text(node.shape)
            if not node.several:
                lost += ", not kept (compute it under ag.recording())"
            yield f"  {equation(graph, node)} = {_numbers(node.value, lost)}"
            yield from (f"      {line}" for line in _insight(node))
            if node.born not in ("", "gradient"):
                yield f"      {node.birth}"
    yield ""
    yield "Backward, in the opposite order; g is the gradient of what a step computed"
    for number, step in enumerate(graph.steps, 1):
        node = graph.nodes[step.node]
        yield f"  {number}. {equation(graph, node)}"
        upstream = _numbers(node.gradient, "one for each result")
        yield f"       g = d {output}/d {node.label} = {upstream}"
        for part in step.contributions:
            yield from (f"       {line}" for line in _contribution(graph, step, part))
        if node.born == "gradient":
            yield f"       {node.birth}"
    yield ""
    yield "Gradients of the leaves"
    for node in leaves:
        yield f"  d {output}/d {node.label} = {_numbers(node.gradient)}"


def equation(graph: Model, node: GraphNode) -> str:
    """Return an operation as it would be written: ``t2 = a * b``, ``t3 = np.sum(t2, axis=1)``.

    What nothing holds any more is a ``…``. Leaves and constants are their labels.
    """
    if not node.is_operation:
        return node.label
    texts = [graph.nodes[edge.source].label for edge in node.arguments]
    for place in node.missing:
        texts.insert(place, "…")
    if node.function == "indexing":
        call = f"{', '.join(texts)}{node.options}"
    elif node.symbol:
        call = f" {node.symbol} ".join(texts)
    else:
        call = f"{node.function}({', '.join([*texts, *filter(None, [node.options])])})"
    return f"{node.label} = {call}"


def _numbers(summary: Summary | None, otherwise: str = "not computed") -> str:
    if summary is None:
        return otherwise
    small = summary.whole and summary.array.size <= 8
    return str(summary) if small else f"{shape_text(summary.shape)}, {summary}"


def _insight(node: GraphNode) -> Iterator[str]:
    if node.insight is not None:
        sentence, arrays = node.insight
        yield f"a fused node: {sentence}"
        yield from (f"{name} = {_numbers(array)}" for name, array in arrays.items())


def rule_and_names(graph: Model, step: Step, part: Contribution) -> dict[str, str]:
    """Return a rule in the names that its arguments and result have here.

    Those that a formula cannot be read with, of several words or g, are said in ``where``.
    """
    node = graph.nodes[step.node]
    if node.insight is not None and len(node.rules) == 1:
        return {"rule": node.insight[0], "where": ""}
    if not is_formula(part.rule):
        return {"rule": part.rule, "where": ""}
    stands = {e.argument: graph.nodes[e.source].label for e in node.arguments}
    stands |= {"ans": node.label, "like": graph.nodes[part.target].label}
    clear = {name: x for name, x in stands.items() if x != "g" and re.fullmatch(r"-?[\w.]+", x)}
    if node.function == "indexing":
        clear["b"] = node.options[1:-1]
    used = dict.fromkeys(re.findall(r"(?<![\w.])[A-Za-z]\w*", part.rule))
    names = [f"{name} is {stands[name]}" for name in used if name in stands.keys() - clear.keys()]
    return {"rule": replaced(part.rule, clear), "where": ", ".join(names)}


def _contribution(graph: Model, step: Step, part: Contribution) -> Iterator[str]:
    target = graph.nodes[part.target]
    rule = ", where ".join(filter(None, rule_and_names(graph, step, part).values()))
    yield f"to {target.label}: {rule}"
    if part.summed:
        axes = "axis" if len(part.summed) == 1 else "axes"
        yield (
            f"    summed over {axes} {', '.join(map(str, part.summed))}, along which broadcasting "
            f"had repeated {target.label}: {shape_text(part.before)} to {shape_text(target.shape)}"
        )
    if part.value is not None:
        yield f"    = {_numbers(part.value)}"
    if part.of > 1:
        yield f"    contribution {part.number} of {part.of} to {target.label}" + (
            f", which add up to {_numbers(target.gradient)}" if part.number == part.of else ""
        )
