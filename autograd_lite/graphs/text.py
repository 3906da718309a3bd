"""Backpropagation as text, in order, for reading along."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from autograd_lite.graphs.model import Contribution, GraphNode, Step
from autograd_lite.graphs.summary import Summary, shape_text

if TYPE_CHECKING:
    from autograd_lite.graphs.graph import Graph


def explain(graph: Graph) -> str:
    """Return the forward pass, every step of the pullback, and each leaf's gradient."""
    return "\n".join(_lines(graph))


def _lines(graph: Graph) -> Iterator[str]:
    output = graph.output.label
    leaves = [node for node in graph.nodes if node.kind == "leaf"]
    yield f"Backpropagation from {output}: {graph.caption}."
    yield ""
    yield "Forward, in the order of computation"
    for node in graph.nodes:
        if node.kind == "leaf" or (node.kind == "constant" and node.shape):
            yield f"  {node.label} = {_value(node.value, node)}"
        elif node.is_operation:
            yield f"  {_equation(graph, node)} = {_value(node.value, node)}"
            yield from (f"      {line}" for line in _insight(node))
    yield ""
    yield "Backward, in the opposite order; g is the gradient of what a step computed"
    for number, step in enumerate(graph.steps, 1):
        node = graph.nodes[step.node]
        yield f"  {number}. {_equation(graph, node)}"
        yield f"       g = d {output}/d {node.label} = {_gradient(step.upstream)}"
        for part in step.contributions:
            yield from (f"       {line}" for line in _contribution(graph, step, part))
    yield ""
    yield "Gradients of the leaves"
    for node in leaves:
        yield f"  d {output}/d {node.label} = {_gradient(node.gradient)}"


def call_text(graph: Graph, node: GraphNode) -> str:
    """Return an operation as it would be written: ``a * b``, ``np.sum(t1, axis=1)``."""
    labels = [graph.nodes[edge.source].label for edge in node.arguments]
    if node.symbol and len(labels) == 2:
        return f" {node.symbol} ".join(labels)
    if node.function == "indexing":
        return f"{', '.join(labels)}{node.options}"
    return f"{node.function}({', '.join([*labels, *([node.options] if node.options else [])])})"


def _equation(graph: Graph, node: GraphNode) -> str:
    return f"{node.label} = {call_text(graph, node)}"


def _value(value: Summary | None, node: GraphNode) -> str:
    if value is None:
        return f"{shape_text(node.shape)}, not kept (compute it under ag.recording())"
    return _numbers(value)


def _gradient(gradient: Summary | None) -> str:
    return "not computed" if gradient is None else _numbers(gradient)


def _numbers(summary: Summary) -> str:
    if summary.whole and summary.array.size <= 8:
        return str(summary)
    return f"{shape_text(summary.shape)}, {summary}"


def _insight(node: GraphNode) -> Iterator[str]:
    if node.insight is not None:
        sentence, arrays = node.insight
        yield f"a fused node: {sentence}"
        yield from (f"{name} = {_numbers(array)}" for name, array in arrays.items())


def rule_and_names(graph: Graph, node: GraphNode, rule: str) -> tuple[str, ...]:
    """Return a rule, and if it reads any of them, what the arguments and the result are here."""
    if node.insight is not None and len(node.rules) == 1:
        return (node.insight[0],)
    stands = {e.argument: graph.nodes[e.source].label for e in node.arguments}
    stands["ans"] = node.label
    used = dict.fromkeys(re.findall(r"\b[a-z]\w*\b", rule))
    names = [f"{name} is {stands[name]}" for name in used if stands.get(name, name) != name]
    return (rule, ", ".join(names)) if names else (rule,)


def _contribution(graph: Graph, step: Step, part: Contribution) -> Iterator[str]:
    node, target = graph.nodes[step.node], graph.nodes[part.target]
    value = "not shown" if part.value is None else _numbers(part.value)
    yield f"to {target.label}: {', where '.join(rule_and_names(graph, node, part.rule))}"
    if part.summed:
        axes = "axis" if len(part.summed) == 1 else "axes"
        yield (
            f"    summed over {axes} {', '.join(map(str, part.summed))}, along which broadcasting "
            f"had repeated {target.label}: {shape_text(part.before)} to {shape_text(target.shape)}"
        )
    yield f"    = {value}"
    if part.of > 1:
        yield f"    contribution {part.number} of {part.of} to {target.label}" + (
            f", which add up to {_gradient(target.gradient)}" if part.number == part.of else ""
        )
