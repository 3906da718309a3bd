"""The model of a graph: what was computed, from what, and how the gradient finds its way back."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from autograd_lite.engine.modes import Observer, observing
from autograd_lite.engine.nodes import given_name, noted
from autograd_lite.engine.recording import bare
from autograd_lite.engine.results import Outputs, _result
from autograd_lite.engine.table import Primitive
from autograd_lite.engine.tape import Node, fitted, pullback, reachable
from autograd_lite.engine.tensor import Tensor, cotangent_for
from autograd_lite.graphs import replay
from autograd_lite.graphs.scopes import Frame, frames
from autograd_lite.graphs.source import argument_name, held, rule_of
from autograd_lite.graphs.summary import Summary, nested, number, shape_text

INFIX: dict[Any, str] = {
    np.add: "+",
    np.subtract: "-",
    np.multiply: "*",
    np.divide: "/",
    np.matmul: "@",
    np.power: "**",
}


@dataclass(frozen=True, eq=False)
class Edge:
    """An argument: what ``target`` computes with; the ``id`` is its place in ``graph.edges``."""

    id: int
    source: int
    target: int
    argument: str
    shape: tuple[Any, ...]
    tracked: bool


@dataclass(eq=False)
class GraphNode:
    """A leaf, a constant, an operation, or the result: the operation that the graph is of.

    Attributes
    ----------
    id : int
        Its place in ``graph.nodes``, where arguments stand before what is computed from them.
    kind : {"leaf", "constant", "operation", "result"}
    function : str
        The function's name, such as ``np.exp``; empty for leaves and constants.
    name : str or None
        The user's.
    label : str
        The name, or one made up: ``t3`` for the third operation.
    arguments : list of Edge
        What an operation computes with, in order.
    missing : list of int
        The places of arguments that nothing holds any more, among all that an operation has.
    frames : list of Frame
        The calls of modules in which an operation was recorded, outermost first.
    shape, dtype, nbytes
        Those of the value.
    value, gradient : Summary or None
        None where it was not kept, or not computed.
    kept : list of str
        What the rules of an operation hold for backward, and ``kept_bytes``, how much that is.
    rules : list of (str, str)
        The argument, and the rule for its cotangent, in the words of its source.
    options : str
        Arguments that are not arrays: ``axis=1``.
    fused : bool
        Whether it does the work of several operations; then ``insight`` says how its rule reads
        and shows arrays.
    born : {"", "value", "gradient"}
        Where a nan or inf first appears: here, from finite arguments, in this.
    origin : (str, int) or None
        The user's file and line, if it was recorded under :func:`recording`.
    """

    id: int
    kind: str
    function: str
    name: str | None
    label: str
    shape: tuple[Any, ...]
    dtype: str
    nbytes: int
    value: Summary | None
    gradient: Summary | None = None
    arguments: list[Edge] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    symbol: str = ""
    kept: list[str] = field(default_factory=list)
    kept_bytes: int = 0
    rules: list[tuple[str, str]] = field(default_factory=list)
    options: str = ""
    fused: bool = False
    insight: tuple[str, dict[str, Summary]] | None = None
    born: str = ""
    origin: tuple[str, int] | None = None

    @property
    def scope(self) -> str:
        """The module whose call recorded it, or that it is a parameter of; may be empty."""
        if self.is_operation:
            return self.frames[-1].name if self.frames else ""
        return (self.name or "").rpartition(".")[0]

    @property
    def place(self) -> str | None:
        """The user's file and line: the path from the current folder, or the name alone.

        So that what is saved says nothing of where it was made.
        """
        if self.origin is None:
            return None
        path, here = Path(self.origin[0]), Path.cwd()
        shown = path.relative_to(here).as_posix() if path.is_relative_to(here) else path.name
        return f"{shown}:{self.origin[1]}"

    @property
    def several(self) -> bool:
        """Whether it has several results, each of which is a node of its own."""
        return bool(self.shape) and isinstance(self.shape[0], tuple)

    @property
    def is_operation(self) -> bool:
        """Whether a function computed it."""
        return bool(self.function)


@dataclass
class Contribution:
    """What one step of the pullback adds to a cotangent.

    Attributes
    ----------
    target : int
        The node whose cotangent it is part of.
    argument, rule : str
        Which argument of the step's function that is, and the rule.
    value : Summary or None
        The contribution, in the target's shape; None where it is one of several results'.
    summed : tuple of int
        The axes of what the rule returned that were summed, because broadcasting had repeated the
        target along them; ``before`` is the shape that it had.
    number, of : int
        That it is the 2nd of 3 contributions to the target.
    """

    target: int
    argument: str
    rule: str
    value: Summary | None
    summed: tuple[int, ...]
    before: tuple[int, ...]
    number: int = 1
    of: int = 1


@dataclass
class Step:
    """One step of the pullback: what becomes of a node's gradient."""

    node: int
    contributions: list[Contribution]


def named_values(names: Any) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of all that ``names`` can be: a mapping, pairs, a module, None."""
    if names is None:
        return
    if hasattr(names, "named_parameters"):
        names = names.named_parameters()
    pairs = names.items() if isinstance(names, Mapping) else names
    if not isinstance(pairs, Iterable):
        raise TypeError(f"ag.graph: names must be a mapping of names to tensors, not {names!r}")
    for name, value in pairs:
        if hasattr(value, "named_parameters"):
            yield from ((f"{name}.{inner}", p) for inner, p in value.named_parameters())
        elif not str(name).startswith("_"):
            yield str(name), value


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
        self.held: list[Any] = []  # so that no id is used twice
        values: dict[Node, Any] = {root: output._values}
        for name, value in names:
            if isinstance(value, Tensor) and value._node is not None:
                self.names.setdefault(value._node, name)
                values.setdefault(value._node, value._values)
            elif isinstance(value, (Tensor, np.ndarray)):
                self.names.setdefault(id(bare(value)), name)
                self.held.append(bare(value))
        self.tape = reachable(root)
        self.values = replay.values(self.tape, values)
        self.frames = frames(self.tape, self.names)
        self.nodes: list[GraphNode] = []
        self.edges: list[Edge] = []
        self.of: dict[Node, GraphNode] = {}
        self.constants: dict[int, GraphNode] = {}
        self.operations = self.leaves = self.unnamed = 0
        for node in self.tape:
            self.of[node] = self._leaf(node) if node.plan is None else self._operation(node)

    def _made(self, kind: str, function: str, label: str, like: Any, value: Any) -> GraphNode:
        name = self.names.get(like if isinstance(like, Node) else id(like))
        name = name or (given_name(like) if isinstance(like, Node) else None)
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
        gradient = getattr(node, "grad", None)
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
        made.origin = noted(node).origin
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
                made.kept.append(f"{name} {' and '.join(shape_text(a.shape) for a in arrays)}")
                made.kept_bytes += size
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
        if not _finite(made.value) and _finite(*(source.value for source in sources.values())):
            made.born = "value"
        return made

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
        if value is primitive.defaults[primitive.parameters.index(name)]:
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


# ---------------------------------------------------------------------------- the way back


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
        share = _summary(fitted(d, node.parents[k], node.plan.primitive))  # type: ignore[union-attr]
        shape = () if share is None else np.shape(d)
        extra = len(shape) - len(parent.shape)
        summed = tuple(
            i for i, n in enumerate(shape) if i < extra or n > 1 == parent.shape[i - extra]
        )
        part = Contribution(parent.id, *made.rules[k], share, summed, shape)
        self.steps[node].contributions.append(part)


def _finite(*summaries: Summary | None) -> bool:
    return all(summary is None or summary.finite for summary in summaries)


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
    for step in steps:
        made = builder.nodes[step.node]
        after = [part.value for part in step.contributions]
        if made.gradient and _finite(made.gradient, made.value) and not _finite(*after):
            made.born = made.born or "gradient"
    return steps, found
