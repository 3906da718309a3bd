"""Reads off the tape what was computed, from what, and what is known of its values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any

import numpy as np

from autograd_lite.engine.recording import bare
from autograd_lite.engine.results import _result
from autograd_lite.engine.table import Primitive
from autograd_lite.engine.tape import Node, reachable
from autograd_lite.engine.tensor import Tensor
from autograd_lite.graphs import births, replay
from autograd_lite.graphs.nodes import Edge, GraphNode
from autograd_lite.graphs.scopes import frames
from autograd_lite.graphs.source import argument_name, held, noted, rule_of
from autograd_lite.graphs.summary import Summary, nested, number, shape_text

INFIX: dict[Any, str] = {
    np.add: "+",
    np.subtract: "-",
    np.multiply: "*",
    np.divide: "/",
    np.matmul: "@",
    np.power: "**",
}


class Builder:
    """Reads a tensor's nodes off the tape, without recursion."""

    def __init__(self, output: Tensor, names: Iterable[tuple[str, Any]]) -> None:
        root = output._node
        if root is None:
            raise ValueError(
                "ag.graph: this tensor has no graph: it does not depend on any tensor with "
                "requires_grad=True, or was computed under no_grad"
            )
        self.root = root
        self.names: dict[Any, str] = {}  # of nodes, and by id of arrays without one
        values: dict[Node, Any] = {root: output._values}
        for name, value in names:
            if isinstance(value, Tensor) and value._node is not None:
                self.names.setdefault(value._node, name)
                values.setdefault(value._node, value._values)
            elif isinstance(value, (Tensor, np.ndarray)):
                self.names.setdefault(id(bare(value)), name)
        self.tape = reachable(root)
        self.taken = {*self.names.values(), *(noted(node, "name") for node in self.tape)}
        self.values = replay.values(self.tape, values)
        self.frames = frames(self.tape, self.names)
        self.nodes: list[GraphNode] = []
        self.edges: list[Edge] = []
        self.of: dict[Node, GraphNode] = {}
        self.constants: dict[int, GraphNode] = {}
        self.held: list[Any] = []  # the constants, so that no id is used twice
        self.operations = self.leaves = self.unnamed = 0
        for node in self.tape:
            self.of[node] = self._leaf(node) if node.plan is None else self._operation(node)
        births.mark(self.of, self.nodes, self.values)

    def _made(self, kind: str, function: str, label: str, like: Any, value: Any) -> GraphNode:
        name = self.names.get(like if isinstance(like, Node) else id(like))
        name = name or noted(like, "name")
        while not name and label in self.taken:
            label += "_"
        several = isinstance(like.dtype, tuple)
        shapes, dtypes = (like.shape, like.dtype) if several else ((like.shape,), (like.dtype,))
        made = GraphNode(
            id=len(self.nodes),
            kind=kind,
            function=function,
            name=name,
            label=name or label,
            shape=like.shape,
            dtype=", ".join(dict.fromkeys(map(str, dtypes))),
            nbytes=sum(math.prod(s) * d.itemsize for s, d in zip(shapes, dtypes)),
            value=None if value is None or several else Summary(value),
        )
        self.nodes.append(made)
        return made

    def _leaf(self, node: Node) -> GraphNode:
        self.leaves += 1
        made = self._made("leaf", "", f"leaf{self.leaves}", node, self.values.get(node))
        gradient = noted(node, "grad")
        made.gradient = None if gradient is None else Summary(bare(gradient))
        return made

    def _operation(self, node: Node) -> GraphNode:
        plan = node.plan
        assert plan is not None
        primitive = plan.primitive
        known = replay.arguments(node, {})
        sources = {key: self.of[parent] for key, parent in zip(plan.argnums, node.parents)}
        for key, value in known.items():
            if isinstance(key, int) and key not in sources and _is_data(primitive, key, value):
                sources[key] = self._constant(value, argument_name(primitive, key))
        self.operations += 1
        is_part = primitive.function is _result
        name = f"result {known[1]}" if is_part else primitive.name
        kind = "result" if node is self.root else "operation"
        made = self._made(kind, name, f"t{self.operations}", node, self.values.get(node))
        made.symbol = INFIX.get(primitive.function, "")
        made.options = "" if is_part else _options(primitive, known)
        made.origin = noted(node, "origin")
        made.frames = self.frames.get(node, [])
        if primitive.variadic is None:
            lost = set(range(len(primitive.rules))) - {*sources, *known}
            made.missing = [i for i, key in enumerate(sorted({*sources, *lost})) if key in lost]
        made.rules = [(argument_name(primitive, i), rule_of(primitive, i)) for i in plan.argnums]
        if is_part:
            made.rules = [("outputs", f"g, as that of {name}")]
        for name, item in held(node).items():
            arrays = [a for a in replay.flat(item) if isinstance(a, (np.ndarray, np.generic))]
            if size := sum(a.nbytes for a in arrays):
                ahead = name == "residual"
                called = "gradient computed ahead" if ahead else name
                made.kept.append(f"{called} {' and '.join(shape_text(a.shape) for a in arrays)}")
                made.kept_bytes += size
                made.ahead_bytes += size * ahead
        if primitive.explained is not None:
            made.fused = True
            if len(known) >= len(primitive.parameters):
                sentence, shown = primitive.explained(*(known[i] for i in sorted(known)))
                made.insight = sentence, {key: Summary(array) for key, array in shown.items()}
        for key, source in sorted(sources.items(), key=itemgetter(0)):
            shape, tracked = made.shape if is_part else source.shape, key in plan.argnums
            argument = argument_name(primitive, key)
            edge = Edge(len(self.edges), source.id, made.id, argument, shape, tracked)
            self.edges.append(edge)
            made.arguments.append(edge)
        return made

    def shows(self, value: Any) -> bool:
        """Return whether a tensor or array is in the graph."""
        node = getattr(value, "_node", None)
        return id(bare(value)) in self.constants if node is None else node in self.of

    def _constant(self, value: Any, argument: str) -> GraphNode:
        made = self.constants.get(id(value))
        if made is None or not isinstance(value, np.ndarray):
            array = np.asarray(value)
            name = argument if len(argument) > 1 else ""
            if array.ndim == 0:
                name = number(array.item())
            elif not name and id(value) not in self.names:
                self.unnamed += 1
                name = f"c{self.unnamed}"
            made = self._made("constant", "", name, array, array)
            self.constants[id(value)] = made
            self.held.append(value)
        return made


def _is_data(primitive: Primitive, place: int, value: Any) -> bool:
    """Whether an argument is data, as against an axis or an index."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fiub"
    takes_data = primitive.broadcasts and place < len(primitive.rules)
    return takes_data and isinstance(value, (int, float, np.number, np.bool_))


def _options(primitive: Primitive, known: Mapping[int | str, Any]) -> str:
    """Return the arguments that are not data and not at their defaults, as they are written."""
    texts = []
    for key, value in known.items():
        if isinstance(key, int) and _is_data(primitive, key, value):
            continue
        name = key if isinstance(key, str) else argument_name(primitive, key)
        parameters = primitive.parameters
        if name in parameters and value is primitive.signature.defaults[parameters.index(name)]:
            continue
        if primitive.function.__name__ == "getitem" and key == 1:
            texts.append(_index_text(value))
        elif value is None or type(value) in (bool, int, float, str, tuple):
            texts.append(f"{name}={value}")
    return ", ".join(texts)


def _index_text(index: Any) -> str:
    texts = []
    for item in index if isinstance(index, tuple) else (index,):
        text = "..." if item is Ellipsis else str(item)
        if isinstance(item, slice):
            bounds = [item.start, item.stop, item.step][: 2 if item.step is None else 3]
            text = ":".join("" if bound is None else str(bound) for bound in bounds)
        elif isinstance(item, (np.ndarray, list)):
            array = np.asarray(item)
            short = array.size <= 6
            text = nested(array) if short else f"{shape_text(array.shape)} {array.dtype}"
        texts.append(text)
    return f"[{', '.join(texts)}]"
