"""The graph of a tensor: what it is made of, to look at, save, and read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from autograd_lite.engine.tensor import Tensor
from autograd_lite.graphs import as_json, drawing, page, text
from autograd_lite.graphs.model import Model
from autograd_lite.graphs.names import names_or_variables


class Graph(Model):
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
            options, kept, kept_bytes, fused, insight (null, or a sentence and arrays), born, birth;
            ``edges`` with from, to, arg, shape, tracked; ``backward``, the steps in order, with
            node, upstream_norm, and for each contribution: to, arg, rule, where, norm, value,
            summed_axes, before, n_of_m.
        """
        return as_json.to_json(self)

    def explain(self) -> str:
        """Return backpropagation through the graph as text: each step, its rule and its numbers."""
        return text.explain(self.with_gradients)

    def save(self, path: str | Path) -> Path:
        """Write the graph to a file, whose ending says how.

        Parameters
        ----------
        path : str or Path
            ``.dot`` and ``.json`` always work; ``.svg``, ``.png``, and ``.html``, the page to step
            through backpropagation with, need the extra ``svg`` or Graphviz; ``.pdf`` needs
            Graphviz. With the extra a picture is the same, byte for byte, on every computer.

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
            ".json": lambda: as_json.to_text(self.to_json()),
            ".svg": lambda: drawing.to_svg(self, name),
            ".html": lambda: page.page([self], name),
            ".png": lambda: drawing.to_pixels(self, "png", name),
            ".pdf": lambda: drawing.to_pixels(self, "pdf", name),
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
        Names for tensors and arrays, instead of their own: a mapping, ``model.named_parameters()``
        or the model itself. Modules are named by their parameters: what a module's call computes is
        drawn in a frame of its name. By default what has no name of its own is called after the
        variable of the caller that holds it, or a model with it: the first bound, if two do, a
        local one before a global one; a model, the largest first, before a variable; none that
        begins with an underscore. ``names={}`` looks at no variables.
    grads : True or array_like, optional
        Compute the gradient of every node, without touching any ``.grad``; an array is the
        cotangent to start from. By default only the ``.grad`` of leaves is shown.
    depth : int, optional
        Levels of modules that are drawn open; what is deeper, and every block that is repeated at
        least three times, is folded into one box. By default nothing is folded that fits.
    max_nodes : int
        How many boxes are drawn at most, a tenth of them in a row; of a larger graph repeated
        blocks are folded, then what is farthest from the result is left out, and the picture says
        so.
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
    if depth is not None and depth < 0:
        raise ValueError(f"ag.graph: depth counts from 0, and cannot be {depth}")
    if max_nodes < 2:
        raise ValueError(f"ag.graph: max_nodes must be at least 2, not {max_nodes}")
    named = names_or_variables(names, sys._getframe(1))
    return Graph(output, named, grads, depth, max_nodes, direction)


def explain(output: Tensor, *, names: Any = None) -> str:
    """Return backpropagation from a tensor as text, for reading along: see :meth:`Graph.explain`.

    Parameters
    ----------
    output : Tensor
        The result of recorded functions.
    names : mapping or Module, optional
        Names for tensors, as for :func:`graph`: by default after the variables of the caller.

    Examples
    --------
    >>> x = ag.Tensor(2.0, requires_grad=True, name="x")
    >>> print(ag.explain(x * x))  # doctest: +ELLIPSIS
    Backpropagation ...
    """
    named = names_or_variables(names, sys._getframe(1))
    return graph(output, names=named, grads=True).explain()
