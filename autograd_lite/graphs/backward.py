"""The way back through a graph, step by step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from autograd_lite import tape
from autograd_lite.graphs.builder import Builder, finite
from autograd_lite.graphs.nodes import Contribution, GraphNode, Step
from autograd_lite.graphs.summary import Summary
from autograd_lite.graphs.watch import Onlooker
from autograd_lite.tape import After, Node, fitted, pullback
from autograd_lite.tensor import Tensor, bare, cotangent_for


class _Notes(Onlooker):
    """Writes down every step of one pullback."""

    def __init__(self, of: Mapping[Node, GraphNode]) -> None:
        self.of = of
        self.steps: dict[Node, Step] = {}

    def walk(self, before: After | None) -> After:
        """Begin, or begin again."""
        self.steps.clear()
        return super().walk(before)

    def step(self, node: Node, k: int, g: Any, d: Any) -> None:
        """Write down what a node contributes to a parent."""
        made, parent = self.of[node], self.of[node.parents[k]]
        if node not in self.steps:
            self.steps[node] = Step(made.id, [])
            made.gradient = _summary(g)
        share = _summary(fitted(d, node.parents[k], node.plan.primitive))  # type: ignore[union-attr]
        shape = () if share is None else np.shape(d)
        extra = len(shape) - len(parent.shape)
        summed = tuple(
            i for i, n in enumerate(shape) if i < extra or n > 1 == parent.shape[i - extra]
        )
        part = Contribution(parent.id, *made.rules[k], share, summed, shape)
        self.steps[node].contributions.append(part)


def _summary(g: Any) -> Summary | None:
    return None if isinstance(g, tape.Outputs) else Summary(bare(g))


def cotangent_to_start(output: Tensor, gradient: Any) -> Any:
    """Return what was asked to start from, by default ones."""
    if gradient is True:
        gradient = None if output.size == 1 else np.ones(output.shape, output.dtype)
    return bare(cotangent_for(output, gradient, "ag.graph"))


def backward_steps(builder: Builder, cotangent: Any) -> tuple[list[Step], dict[Node, Any]]:
    """Return the steps of the pullback and the leaves' gradients; give every node its gradient.

    No tensor's ``.grad`` is touched, and what a fused node keeps for the first backward stays.
    """
    notes = _Notes(builder.of)
    with notes.watching():
        # A see, even one that changes nothing, keeps rules from using up what the forward left.
        found = pullback(builder.root, cotangent, see=lambda array, _: array)
    for node, made in builder.of.items():
        if node.plan is None:
            made.gradient = _summary(found[node]) if node in found else None
    steps = list(notes.steps.values())
    parts = [part for step in steps for part in step.contributions]
    totals, so_far = Counter(part.target for part in parts), Counter[int]()
    for part in parts:
        so_far[part.target] += 1
        part.number, part.of = so_far[part.target], totals[part.target]
    for step in steps:
        made = builder.nodes[step.node]
        after = [part.value for part in step.contributions]
        if made.gradient and finite(made.gradient, made.value) and not finite(*after):
            made.born = made.born or "gradient"
    return steps, found
