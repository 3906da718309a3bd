"""The model of a graph: what was computed, from what, and how the gradient finds its way back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from autograd_lite import tape
from autograd_lite.graphs.replay import again, known_arguments, with_parents
from autograd_lite.graphs.source import rule_text
from autograd_lite.graphs.summary import Summary, nested, number, shape_text
from autograd_lite.tape import After, Node, Primitive, fitted, pullback, reachable, watching
from autograd_lite.tensor import SMALL, Tensor, bare, cotangent_for

INFIX: dict[Any, str] = {
    np.add: "+",
    np.subtract: "-",
    np.multiply: "*",
    np.divide: "/",
    np.matmul: "@",
    np.power: "**",
}


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
    scope : str
        The module it belongs to, by the names of the parameters: ``layers.0``; may be empty.
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
    symbol: str = ""
    scope: str = ""
    value: Summary | None = None
    gradient: Summary | None = None
    kept: list[str] = field(default_factory=list)
    kept_bytes: int = 0
    rules: list[tuple[str, str]] = field(default_factory=list)
    options: str = ""
    fused: bool = False
    insight: tuple[str, dict[str, Summary]] | None = None
    born: str = ""
    origin: tuple[str, int] | None = None

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
    def is_operation(self) -> bool:
        """Whether a function computed it."""
        return bool(self.function)


@dataclass(frozen=True, eq=False)
class Edge:
    """An argument: what ``target`` computes with."""

    source: int
    target: int
    argument: str
    shape: tuple[Any, ...]
    tracked: bool


def incoming(edges: Iterable[Edge]) -> dict[int, list[Edge]]:
    """Return the edges to each operation, in the order of its arguments."""
    found: dict[int, list[Edge]] = {}
    for edge in edges:
        found.setdefault(edge.target, []).append(edge)
    return found


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
    """One step of the pullback: a node's cotangent, and what becomes of it."""

    node: int
    upstream: Summary | None
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
        values: dict[Node, Any] = {}
        for name, value in names:
            if isinstance(value, Tensor) and value._node is not None:
                self.names.setdefault(value._node, name)
                values.setdefault(value._node, value._values)
            elif isinstance(value, (Tensor, np.ndarray)):
                self.names.setdefault(id(bare(value)), name)
                self.held.append(bare(value))
        self.tape = reachable(root)
        self._collect_values(values)
        values[root] = output._values
        self._replay(values)
        self.values = values
        self.nodes: list[GraphNode] = []
        self.edges: list[Edge] = []
        self.of: dict[Node, GraphNode] = {}
        self.constants: dict[int, GraphNode] = {}
        self.operations = self.leaves = self.unnamed = 0
        for node in self.tape:
            self._add(node)
        arguments = incoming(self.edges)
        _place(self.nodes, arguments)
        for made in self.nodes:
            inputs = [self.nodes[e.source].value for e in arguments.get(made.id, ())]
            if made.is_operation and made.value is not None and not made.value.finite:
                made.born = "value" if all(v is None or v.finite for v in inputs) else ""

    def _collect_values(self, values: dict[Node, Any]) -> None:
        """Find the value of each node: kept, named, or read by a rule, as it was then."""
        for node in self.tape:
            if hasattr(node, "value"):
                values.setdefault(node, node.value)
        for node in self.tape:
            if node.plan is None:
                continue
            known = known_arguments(node)
            variadic = node.plan.primitive.variadic
            for argnum, parent in zip(node.plan.argnums, node.parents):
                if variadic is not None and argnum >= variadic:
                    value = known.get(variadic, ())[argnum - variadic : argnum - variadic + 1]
                    value = value[0] if value else None
                else:
                    value = known.get(argnum)
                if value is not None:
                    values[parent] = value
            if "ans" in node.plan.sources:
                values[node] = node.saved[node.plan.sources.index("ans")]

    def _replay(self, values: dict[Node, Any]) -> None:
        """Compute the small elementwise results again that nothing kept.

        Not if an array has changed since: one that a rule reads, or one that a known result of this
        kind shows by coming out differently.
        """
        if any(map(tape.changed_argument, self.tape)):
            return
        found: dict[Node, Any] = {}
        everything = dict(values)
        for node in self.tape:
            plan = node.plan
            if plan is None or not plan.elementwise or isinstance(node.dtype, tuple):
                continue
            if node.size * node.dtype.itemsize > SMALL:
                continue
            result = again(node, with_parents(node, known_arguments(node), everything))
            if result is None:
                continue
            if node not in values:
                everything[node] = found[node] = result
            elif not np.array_equal(result, values[node], equal_nan=True):
                return
        values |= found

    def _add(self, node: Node) -> None:
        name = self.names.get(node) or getattr(node, "name", None)
        value = self.values.get(node)
        several = isinstance(node.dtype, tuple)
        dtypes = node.dtype if several else (node.dtype,)
        shapes = node.shape if several else (node.shape,)
        common = {
            "shape": node.shape,
            "dtype": ", ".join(dict.fromkeys(map(str, dtypes))),
            "nbytes": sum(math.prod(s) * d.itemsize for s, d in zip(shapes, dtypes)),
            "value": None if value is None or several else Summary(value),
        }
        plan = node.plan
        if plan is None:
            self.leaves += 1
            label = name or f"leaf{self.leaves}"
            kind = "leaf"
            made = GraphNode(len(self.nodes), kind, "", name, label, scope=_scope(name), **common)
            gradient = getattr(node, "grad", None)
            made.gradient = None if gradient is None else Summary(bare(gradient))
            self.of[node] = made
            self.nodes.append(made)
            return
        primitive = plan.primitive
        known = known_arguments(node)
        sources = self._sources(node, primitive, known)
        self.operations += 1
        made = GraphNode(
            len(self.nodes),
            "result" if node is self.root else "operation",
            primitive.name,
            name,
            name or f"t{self.operations}",
            symbol=INFIX.get(primitive.function, ""),
            options=_options(primitive, known),
            fused=primitive.explained is not None,
            origin=getattr(node, "origin", None),
            **common,
        )
        if primitive.function is tape._result:
            made.function = f"result {node.saved[-1] if node.saved else ''}".strip()
        for argnum in plan.argnums:
            which = argnum if primitive.variadic is None else min(argnum, primitive.variadic)
            made.rules.append((_argument(primitive, argnum), rule_text(primitive.rules[which])))
        self._kept(made, node)
        if primitive.explained is not None and len(known) >= len(primitive.parameters):
            sentence, arrays = primitive.explained(*(known[i] for i in sorted(known)))
            made.insight = sentence, {key: Summary(array) for key, array in arrays.items()}
        self.of[node] = made
        self.nodes.append(made)
        self.edges += [
            Edge(source.id, made.id, argument, source.shape, tracked)
            for source, argument, tracked in sources
        ]

    def _sources(
        self, node: Node, primitive: Primitive, known: dict[int, Any]
    ) -> list[tuple[GraphNode, str, bool]]:
        """Return the arguments of a call that are nodes, those without a derivative made new."""
        tracked = dict(zip(node.plan.argnums, node.parents))  # type: ignore[union-attr]
        found: list[tuple[int, GraphNode, bool]] = []
        for argnum, parent in tracked.items():
            found.append((argnum, self.of[parent], True))
        variadic = primitive.variadic
        for i in range(len(primitive.parameters)):
            items = [(i, known.get(i))]
            if i == variadic:
                items = [(i + k, item) for k, item in enumerate(known.get(i, ()))]
            for argnum, value in items:
                if argnum not in tracked and _is_constant(primitive, i, value):
                    caption = primitive.parameters[i] if len(primitive.parameters[i]) > 1 else ""
                    found.append((argnum, self._constant(value, caption), False))
        found.sort(key=lambda item: item[0])
        return [(source, _argument(primitive, i), tracked) for i, source, tracked in found]

    def _constant(self, value: Any, caption: str) -> GraphNode:
        key = id(value)
        if key not in self.constants or not isinstance(value, np.ndarray):
            name = self.names.get(key)
            self.held.append(value)
            array = np.asarray(value)
            single = number(array.item()) if array.ndim == 0 and array.dtype.kind in "fiub" else ""
            made = GraphNode(
                len(self.nodes),
                "constant",
                "",
                name,
                name or single or caption or self._next_constant(),
                array.shape,
                str(array.dtype),
                array.nbytes,
                value=Summary(array),
            )
            self.constants[key] = made
            self.nodes.append(made)
        return self.constants[key]

    def _next_constant(self) -> str:
        self.unnamed += 1
        return f"c{self.unnamed}"

    def _kept(self, made: GraphNode, node: Node) -> None:
        """Say what the rules of a node hold, in words, and how many bytes that is."""
        primitive = node.plan.primitive  # type: ignore[union-attr]
        for source, item in zip(node.plan.sources, node.saved):  # type: ignore[union-attr]
            if source is None:
                continue
            name = source if isinstance(source, str) else primitive.parameters[source]
            arrays = [a for a in _flat(item) if isinstance(a, (np.ndarray, np.generic))]
            size = sum(a.nbytes for a in arrays)
            if size:
                made.kept.append(f"{name} {' and '.join(shape_text(a.shape) for a in arrays)}")
                made.kept_bytes += size


def _is_constant(primitive: Primitive, place: int, value: Any) -> bool:
    """Whether an argument is data, as against an axis or an index."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fiub"
    takes_data = primitive.broadcasts and place < len(primitive.rules)
    return takes_data and isinstance(value, (int, float, np.number, np.bool_))


def _options(primitive: Primitive, known: dict[int, Any]) -> str:
    """Return the arguments that are not data and not at their defaults, as they are written."""
    texts = []
    for i, value in sorted(known.items()):
        if i == primitive.variadic or _is_constant(primitive, i, value):
            continue
        if i < len(primitive.defaults) and value is primitive.defaults[i]:
            continue
        if primitive.function.__name__ == "getitem" and i == 1:
            texts.append(_index_text(value))
        elif value is None or type(value) in (bool, int, float, str, tuple):
            texts.append(f"{primitive.parameters[i]}={value}")
    return ", ".join(texts)


def _index_text(index: Any) -> str:
    items = index if isinstance(index, tuple) else (index,)
    texts = []
    for item in items:
        if isinstance(item, slice):
            bounds = [item.start, item.stop] + ([item.step] if item.step is not None else [])
            texts.append(":".join("" if b is None else str(b) for b in bounds))
        elif isinstance(item, (np.ndarray, list)):
            array = np.asarray(item)
            texts.append(
                nested(array) if array.size <= 6 else f"{shape_text(array.shape)} {array.dtype}"
            )
        else:
            texts.append("..." if item is Ellipsis else str(item))
    return f"[{', '.join(texts)}]"


def _argument(primitive: Primitive, argnum: int) -> str:
    variadic = primitive.variadic
    if variadic is not None and argnum >= variadic:
        return f"{primitive.parameters[variadic]}[{argnum - variadic}]"
    return primitive.parameters[argnum]


def _flat(item: Any) -> list[Any]:
    """Return what is in nested tuples, lists and dictionaries."""
    if isinstance(item, dict):
        item = list(item.values())
    return [x for part in item for x in _flat(part)] if isinstance(item, (tuple, list)) else [item]


def _scope(name: str | None) -> str:
    return name.rpartition(".")[0] if name else ""


def _place(nodes: list[GraphNode], arguments: dict[int, list[Edge]]) -> None:
    """Give each operation the module of its parameters, or that of what it goes on from.

    What comes after the last operation that reads a parameter belongs to none.
    """
    last = -1
    for node in nodes:
        parents = [nodes[edge.source] for edge in arguments.get(node.id, ())]
        own = [p.scope for p in parents if p.kind == "leaf" and p.scope]
        if own:
            node.scope, last = own[0], node.id
        elif node.is_operation:
            before = [p for p in parents if p.is_operation]
            node.scope = max(before, key=lambda p: p.id).scope if before else ""
    for node in nodes[last + 1 :]:
        if node.is_operation:
            node.scope = ""


# ---------------------------------------------------------------------------- the way back


class _Notes:
    """Writes down every step of one pullback."""

    def __init__(self) -> None:
        self.steps: dict[Node, tuple[Any, list[tuple[int, Any, Any]]]] = {}

    def walk(self, before: After | None) -> After:
        """Begin, or begin again with the products of zeros dropped."""
        self.steps.clear()
        self.before = before
        return self._note

    def _note(self, node: Node, k: int, g: Any, d: Any) -> Any:
        if self.before is not None:
            d = self.before(node, k, g, d)
        entry = self.steps.setdefault(node, (_summary(g), []))
        share = fitted(d, node.parents[k], node.plan.primitive)  # type: ignore[union-attr]
        entry[1].append((k, np.shape(d), _summary(share)))
        return d

    def end(self) -> None:
        """Nothing is left to do."""


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
    notes = _Notes()
    token = watching.set(notes)
    try:
        # A see, even one that changes nothing, keeps rules from using up what the forward left.
        found = pullback(builder.root, cotangent, see=lambda array, _: array)
    finally:
        watching.reset(token)
    for node, made in builder.of.items():
        if node in notes.steps:
            made.gradient = notes.steps[node][0]
        elif node in found:
            made.gradient = _summary(found[node])
        else:
            made.gradient = None
    steps = [_step(builder, node, *notes.steps[node]) for node in notes.steps]
    totals: dict[int, int] = {}
    for step in steps:
        for part in step.contributions:
            totals[part.target] = part.number = totals.get(part.target, 0) + 1
    for step in steps:
        for part in step.contributions:
            part.of = totals[part.target]
        _mark_birth(builder.nodes, step)
    return steps, found


def _step(builder: Builder, node: Node, upstream: Any, parts: list[tuple[int, Any, Any]]) -> Step:
    made = builder.of[node]
    contributions = []
    for k, before, value in parts:
        parent = builder.of[node.parents[k]]
        extra = len(before) - len(parent.shape)
        summed = (
            ()
            if value is None
            else tuple(
                i
                for i, n in enumerate(before)
                if i < extra or (n > 1 and parent.shape[i - extra] == 1)
            )
        )
        argument, rule = made.rules[k]
        contributions.append(Contribution(parent.id, argument, rule, value, summed, before))
    return Step(made.id, upstream, contributions)


def _mark_birth(nodes: list[GraphNode], step: Step) -> None:
    node = nodes[step.node]
    if step.upstream is not None and step.upstream.finite and not node.born:
        value_ok = node.value is None or node.value.finite
        if value_ok and any(c.value is not None and not c.value.finite for c in step.contributions):
            node.born = "gradient"
