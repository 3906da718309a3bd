"""The graph of a tensor: what it is made of, to look at, save, and read."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from autograd_lite.engine.tape import Node
from autograd_lite.engine.tensor import Tensor
from autograd_lite.graphs import drawing, folding, model, page, text
from autograd_lite.graphs.model import Edge, GraphNode, Step
from autograd_lite.graphs.replay import Difference, differences
from autograd_lite.graphs.summary import WHOLE, Summary, counted, plain, size_text

VERSION = 1  # of the JSON
NUMBERS = 100_000  # that the JSON shows of all values together, so that it stays within megabytes
FEWEST = 64  # numbers of an array that are shown whole in any case
# What the JSON holds of each: its key, and the attribute where that has another name.
NODE = (
    "id kind op=function name label scope shape dtype bytes=nbytes value grad=gradient src=place "
    "rules options kept kept_bytes fused insight born"
)
EDGE = "from=source to=target arg=argument shape tracked"
CONTRIBUTION = "to=target arg=argument value summed_axes=summed before"


class Graph:
    """The computation graph of a tensor; made by :func:`graph`.

    Parameters
    ----------
    output, names, grads, depth, max_nodes, direction
        Those of :func:`graph`.

    Attributes
    ----------
    nodes : list of GraphNode
        Leaves, constants and operations, each after what it is computed from; the result last.
    edges : list of Edge
        The arguments of the operations.
    steps : list of Step
        The steps of backpropagation, if gradients were asked for.
    note : str
        What is left out of the picture, and how to see it; may be empty.

    Examples
    --------
    >>> x = ag.Tensor(2.0, requires_grad=True, name="x")
    >>> [node.label for node in ag.graph(np.exp(x) * x).nodes]
    ['x', 't1', 't2']
    """

    def __init__(
        self,
        output: Tensor,
        names: Any,
        grads: Any,
        depth: int | None,
        max_nodes: int,
        direction: str,
    ) -> None:
        self._tensor = output
        self._names = list(model.named_values(names))
        self._max_nodes = max_nodes
        self._builder = builder = model.Builder(output, self._names)
        self.nodes: list[GraphNode] = builder.nodes
        self.edges: list[Edge] = builder.edges
        self.output: GraphNode = self.nodes[-1]
        self.direction = direction
        self.steps: list[Step] = []
        self.leaf_gradients: dict[Node, Any] = {}
        if grads is not None and grads is not False:
            self._cotangent = model.cotangent_to_start(output, grads)
            self.steps, self.leaf_gradients = model.backward_steps(builder, self._cotangent)
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
    def with_gradients(self) -> Graph:
        """The same graph with the gradient of every node."""
        if self.steps:
            return self
        return Graph(self._tensor, self._names, True, self.depth, self._max_nodes, self.direction)

    def to_depth(self, depth: int | None) -> Graph:
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

    def __repr__(self) -> str:
        return f"<graph of {self.output.label}: {self.caption}>"

    def to_dot(self) -> str:
        """Return the picture in Graphviz's language."""
        return drawing.to_dot(self)

    def to_json(self) -> dict[str, Any]:
        """Return the graph as what JSON can hold.

        Returns
        -------
        dict
            ``version``; ``nodes`` with id, kind, op, name, label, text, scope, shape, dtype, bytes,
            value and grad (null, or stats, hist and preview), src, rules (argument and rule),
            options, kept, kept_bytes, fused, insight (null, or a sentence and arrays), born;
            ``edges`` with from, to, arg, shape, tracked; ``backward``, the steps in order, with
            node, upstream_norm, and for each contribution: to, arg, rule, where, norm, value,
            summed_axes, before, n_of_m.
        """
        most = min(WHOLE, max(FEWEST, NUMBERS // len(self.nodes)))
        steps = [
            {
                "node": step.node,
                "upstream_norm": _norm(self.nodes[step.node].gradient),
                "contrib": [
                    _fields(part, CONTRIBUTION, FEWEST)
                    | {"norm": _norm(part.value), "n_of_m": [part.number, part.of]}
                    | text.rule_and_names(self, step, part)
                    for part in step.contributions
                ],
            }
            for step in self.steps
        ]
        return {
            "version": VERSION,
            "caption": self.caption,
            "note": self.note,
            "output": self.output.id,
            "nodes": [
                _fields(node, NODE, most) | {"text": text.equation(self, node)}
                for node in self.nodes
            ],
            "edges": [_fields(edge, EDGE) for edge in self.edges],
            "backward": steps,
        }

    def explain(self) -> str:
        """Return backpropagation through the graph as text: each step, its rule and its numbers."""
        return text.explain(self.with_gradients)

    def save(self, path: str | Path) -> Path:
        """Write the graph to a file, whose ending says how.

        Parameters
        ----------
        path : str or Path
            ``.dot`` and ``.json`` always work; ``.svg``, and ``.html``, the page to step through
            backpropagation with, need Graphviz or the extra ``svg``; ``.png`` and ``.pdf`` need
            Graphviz.

        Raises
        ------
        NoLayoutEngine
            If the picture cannot be laid out here; nothing is written then.
        ValueError
            For another ending.
        """
        name = Path(path).name
        writers = {
            ".dot": self.to_dot,
            ".json": lambda: to_text(self.to_json()),
            ".svg": lambda: drawing.to_svg(self, name),
            ".html": lambda: page.page([self], name),
            ".png": lambda: drawing.picture(self, "png", name),
            ".pdf": lambda: drawing.picture(self, "pdf", name),
        }
        return write(path, writers, "Graph.save")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return what a notebook shows: the picture, or how to get one. Never raises."""
        bundle = {"text/plain": object.__repr__(self)}
        try:
            bundle["text/plain"] = repr(self)
            bundle["image/svg+xml"] = drawing.to_svg(self)
        except Exception as error:
            bundle["text/plain"] += f"\n{error}"
        return bundle


def write(path: str | Path, writers: Mapping[str, Callable[[], Any]], caller: str) -> Path:
    """Write a file as its ending says; nothing if what it is to hold cannot be made."""
    path = Path(path)
    writer = writers.get(path.suffix.lower())
    if writer is None:
        *endings, last = writers
        raise ValueError(f"{caller}: {path.name} must end in {', '.join(endings)} or {last}")
    content = writer()
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def to_text(data: Any) -> str:
    """Return JSON as text."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False)


def _fields(item: Any, names: str, most: int = FEWEST) -> dict[str, Any]:
    """Return attributes of an object as JSON has them, arrays of at most so many numbers."""
    pairs = (name.partition("=") for name in names.split())
    return {key: _json(getattr(item, attribute or key), most) for key, _, attribute in pairs}


def _json(value: Any, most: int) -> Any:
    if isinstance(value, Summary):
        return value.to_json(most)
    if isinstance(value, dict):
        return {key: _json(item, most) for key, item in value.items()}
    return [_json(item, most) for item in value] if isinstance(value, (list, tuple)) else value


def _norm(summary: Summary | None) -> Any:
    return summary and plain(summary.norm)


def graph(
    output: Tensor,
    *,
    names: Mapping[str, Any] | Iterable[tuple[str, Any]] | Any = None,
    grads: Any = None,
    depth: int | None = None,
    max_nodes: int = 500,
    direction: Literal["LR", "TB", "RL", "BT"] = "LR",
) -> Graph:
    """Return the graph of what a tensor was computed from.

    Parameters
    ----------
    output : Tensor
        Usually a loss.
    names : mapping, pairs or module, optional
        Names for tensors and arrays beside their own: ``locals()``, ``model.named_parameters()`` or
        the model itself. Modules are named by their parameters: what a module's call computes is
        drawn in a frame of its name.
    grads : True or array_like, optional
        Compute the gradient of every node, without touching any ``.grad``; an array is the
        cotangent to start from. By default only the ``.grad`` of leaves is shown.
    depth : int, optional
        Levels of modules that are drawn open; what is deeper, and every block that is repeated at
        least three times, is folded into one box. By default nothing is folded that fits.
    max_nodes : int
        How many boxes are drawn at most; of a larger graph repeated blocks are folded, then what is
        farthest from the result is left out, and the picture says so.
    direction : {"LR", "TB", "RL", "BT"}
        Where the result is drawn: on the right, at the bottom, ...

    Raises
    ------
    ValueError
        If the tensor was not recorded.

    Examples
    --------
    >>> x = ag.Tensor(2.0, requires_grad=True, name="x")
    >>> g = ag.graph(x * x + 1.0)
    >>> g
    <graph of t2: 2 operations, 1 leaf, 16 B kept for backward>
    >>> [(node.label, node.function) for node in g.nodes]
    [('x', ''), ('t1', 'np.multiply'), ('1', ''), ('t2', 'np.add')]
    """
    if not isinstance(output, Tensor):
        raise TypeError(f"ag.graph: expected a tensor, not {type(output).__name__}")
    if direction not in ("LR", "TB", "RL", "BT"):
        raise ValueError(f'ag.graph: direction must be "LR", "TB", "RL" or "BT", not {direction!r}')
    if max_nodes < 2:
        raise ValueError(f"ag.graph: max_nodes must be at least 2, not {max_nodes}")
    return Graph(output, names, grads, depth, max_nodes, direction)


def explain(output: Tensor, *, names: Any = None) -> str:
    """Return backpropagation from a tensor as text, for reading along: see :meth:`Graph.explain`.

    Parameters
    ----------
    output : Tensor
        The result of recorded functions.
    names : mapping or Module, optional
        Names for tensors, as for :func:`graph`.

    Examples
    --------
    >>> x = ag.Tensor(2.0, requires_grad=True, name="x")
    >>> print(ag.explain(x * x))  # doctest: +ELLIPSIS
    Backpropagation ...
    """
    return graph(output, names=names, grads=True).explain()
