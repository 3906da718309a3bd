"""The model of a graph: its nodes, the steps of backpropagation, and the boxes of its picture."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import Any, Self

from autograd_lite.engine.tape import Node
from autograd_lite.engine.tensor import Tensor
from autograd_lite.graphs import folding
from autograd_lite.graphs.backward import backward_steps, cotangent_to_start
from autograd_lite.graphs.builder import Builder
from autograd_lite.graphs.names import Named
from autograd_lite.graphs.nodes import Edge, GraphNode, Step
from autograd_lite.graphs.replay import Difference, differences
from autograd_lite.graphs.summary import counted, size_text


class Model:
    """What a graph holds, for text, drawing and page; shown as a :class:`Graph`."""

    def __init__(
        self,
        output: Tensor,
        names: Named,
        grads: Any,
        depth: int | None,
        max_nodes: int,
        direction: str,
    ) -> None:
        self._tensor = output
        self._max_nodes = max_nodes
        self._builder = builder = Builder(output, names)
        # Of all variables of the caller, no more is kept alive than is shown.
        self._names = [(name, value) for name, value in names if builder.shows(value)]
        self.nodes: list[GraphNode] = builder.nodes
        self.edges: list[Edge] = builder.edges
        self.output: GraphNode = self.nodes[-1]
        self.direction = direction
        self.steps: list[Step] = []
        self.leaf_gradients: dict[Node, Any] = {}
        if grads is not None and grads is not False:
            self._cotangent = cotangent_to_start(output, grads)
            self.steps, self.leaf_gradients = backward_steps(builder, self._cotangent)
        self._fold(depth)

    def _fold(self, depth: int | None) -> None:
        self.depth = depth
        self.boxes, self.note = folding.boxes(self.nodes, depth, self._max_nodes)
        self.uses: dict[int, list[Edge]] = {}
        for box in self.boxes:
            for edge in box.arguments:
                self.uses.setdefault(edge.source, []).append(edge)

    @property
    def operations(self) -> list[GraphNode]:
        """The nodes that a function computed."""
        return [node for node in self.nodes if node.is_operation]

    @property
    def kept_bytes(self) -> int:
        """How many bytes the rules hold for backward, an array that two hold counted twice."""
        return sum(node.kept_bytes for node in self.nodes)

    @property
    def caption(self) -> str:
        """The graph in a few words."""
        leaves = counted(sum(node.kind == "leaf" for node in self.nodes), "leaf", "leaves")
        operations = counted(len(self.operations), "operation")
        return f"{operations}, {leaves}, {size_text(self.kept_bytes)} kept for backward"

    @cached_property
    def with_gradients(self) -> Self:
        """The same graph with the gradient of every node."""
        if self.steps:
            return self
        return type(self)(
            self._tensor, self._names, True, self.depth, self._max_nodes, self.direction
        )

    def to_depth(self, depth: int | None) -> Self:
        """Return the same graph, drawn with other levels of modules open."""
        other = copy.copy(self)
        other._fold(depth)
        return other

    def label_of(self, node: Node) -> str:
        """Return the label of a node of the tape."""
        return self._builder.of[node].label

    def differences(self) -> dict[int, list[Difference]]:
        """Return central differences to hold against the gradients, for every node by its id.

        They are those of the entries with the largest gradients, at most 12 of a node. Nodes whose
        way to the output cannot be computed again are left out: under :func:`recording` all can.
        """
        builder = self._builder
        gradients = {n: made.gradient for n, made in builder.of.items() if made.gradient}
        found = differences(builder.tape, builder.values, self._cotangent, gradients)
        return {builder.of[node].id: entries for node, entries in found.items()}
