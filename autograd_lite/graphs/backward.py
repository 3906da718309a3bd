"""The way back through a graph, step by step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from autograd_lite.engine.cotangents import cotangent_for
from autograd_lite.engine.modes import Observer, observing
from autograd_lite.engine.recording import bare
from autograd_lite.engine.results import Outputs
from autograd_lite.engine.tape import Node, fitted, pullback
from autograd_lite.engine.tensor import Tensor
from autograd_lite.graphs.births import gradient_born
from autograd_lite.graphs.builder import Builder
from autograd_lite.graphs.nodes import Contribution, GraphNode, Step
from autograd_lite.graphs.summary import Summary


class _Notes(Observer):
    """Writes down every step of one pullback."""

    def __init__(self, of: Mapping[Node, GraphNode]) -> None:
        self.of = of
        self.steps: dict[Node, Step] = {}

    def began(self) -> None:
        """Begin, or begin again."""
        self.steps.clear()

    def pulled(self, node: Node, k: int, g: Any, d: Any) -> None:
        """Write down what a node contributes to a parent."""
        made, parent = self.of[node], self.of[node.parents[k]]
        if node not in self.steps:
            self.steps[node] = Step(made.id, [])
            made.gradient = _summary(g)
        fits = fitted(d, node.parents[k], node.plan.primitive)  # type: ignore[union-attr]
        if not (made.born or isinstance(d, Outputs)) and gradient_born(node, g, d, fits):
            made.born = "gradient"
        share = _summary(fits)
        shape = () if share is None else np.shape(d)
        extra = len(shape) - len(parent.shape)
        summed = tuple(
            i for i, n in enumerate(shape) if i < extra or n > 1 == parent.shape[i - extra]
        )
        part = Contribution(parent.id, *made.rules[k], share, summed, shape)
        self.steps[node].contributions.append(part)


def _summary(g: Any) -> Summary | None:
    return None if isinstance(g, Outputs) else Summary(bare(g))


def _without_residual(node: Node) -> list[Any]:
    """Return what rules read, but for what the forward left to be used up by the first backward."""
    sources = node.plan.sources if node.plan else ()
    return [None if of == "residual" else item for of, item in zip(sources, node.saved)]


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
    with observing(notes):
        found = pullback(builder.root, cotangent, see=_without_residual)
    for node, made in builder.of.items():
        if node.plan is None:
            made.gradient = _summary(found[node]) if node in found else None
    steps = list(notes.steps.values())
    parts = [part for step in steps for part in step.contributions]
    totals, so_far = Counter(part.target for part in parts), Counter[int]()
    for part in parts:
        so_far[part.target] += 1
        part.number, part.of = so_far[part.target], totals[part.target]
    return steps, found
