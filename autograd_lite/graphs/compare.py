"""Two graphs of the same quantity side by side: what each holds, and whether they agree."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any, cast

import numpy as np

from autograd_lite.engine.tape import Node, pullback
from autograd_lite.engine.tensor import Tensor
from autograd_lite.graphs import page
from autograd_lite.graphs.as_json import to_text
from autograd_lite.graphs.backward import cotangent_to_start
from autograd_lite.graphs.names import names_or_variables
from autograd_lite.graphs.source import noted
from autograd_lite.graphs.summary import counted, number, size_text
from autograd_lite.graphs.views import Graph, graph, write
from autograd_lite.graphs.watch import recording

LONG_ENOUGH = 0.5  # seconds for which two functions are measured
FEWEST = 3  # rounds, however long they take


class Comparison:
    """Two graphs side by side; made by :func:`compare_graphs`.

    Parameters
    ----------
    first, second : Graph
        What to compare.
    titles : (str, str)
        What to call them.
    seconds : (float, float), optional
        The time that forward and backward took of each.

    Attributes
    ----------
    graphs : (Graph, Graph)
    rows : list of (str, str, str)
        What is compared, and what it is in each.
    difference : float
        The largest by which the gradients of a leaf they share differ.

    Examples
    --------
    >>> x = ag.Tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> ag.compare_graphs(np.sum(x * x), np.sum(x**2)).difference
    0.0
    """

    def __init__(
        self, first: Graph, second: Graph, titles: tuple[str, str], seconds: Sequence[float] = ()
    ) -> None:
        self.graphs = graphs = first.with_gradients, second.with_gradients
        self.titles = titles
        a, b = (graph.leaf_gradients for graph in graphs)
        keys = {node: (noted(node, "name"), node.shape) for node in (*a, *b)}
        alike = {keys[node]: node for node in b if noted(node, "name")}
        twins = {node: node if node in b else alike.get(keys[node]) for node in a}
        shared = {node: twin for node, twin in twins.items() if twin is not None}
        gaps = [float(np.max(np.abs(a[x] - b[y]), initial=0)) for x, y in shared.items()]
        self.difference = max(gaps, default=0.0)
        self.rows: list[tuple[str, ...]] = [
            ("operations", *(str(len(g.operations)) for g in graphs)),
            ("kept for backward", *(size_text(g.kept_bytes) for g in graphs)),
            ("largest result", *(size_text(max(n.nbytes for n in g.operations)) for g in graphs)),
            ("value", *(str(g.output.value) for g in graphs)),
        ]
        if seconds:
            self.rows.append(("forward and backward", *(f"{1e3 * t:.3g} ms" for t in seconds)))
        for x, y in shared.items():
            norms = (number(np.linalg.norm(gradient)) for gradient in (a[x], b[y]))
            self.rows.append((f"|gradient of {graphs[0].label_of(x)}|", *norms))
        leaves = counted(len(shared), "leaf", "leaves")
        said = f"The gradients of the {leaves} that they share differ by {self.difference:.2g}"
        sentences = [f"{said} at most." if shared else "They share no leaf."]
        for title, g in zip(titles, graphs):
            if ahead := sum(n.ahead_bytes for n in g.operations):
                sentences.append(
                    f"Of what {title} keeps, {size_text(ahead)} are the gradient, computed with "
                    f"the value to save time; the first backward takes it over."
                )
        self.sentence = " ".join(sentences)

    def __str__(self) -> str:
        rows = [("", *self.titles), *self.rows]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = [
            "  ".join([a.ljust(widths[0]), b.rjust(widths[1]), c.rjust(widths[2])])
            for a, b, c in rows
        ]
        return "\n".join([*lines, fill(self.sentence, 100)])

    __repr__ = __str__

    def save(self, path: str | Path) -> Path:
        """Write the comparison to a file.

        Parameters
        ----------
        path : str or Path
            ``.html``, a page that steps through either graph beside the other (it needs the
            extra ``svg`` or Graphviz); ``.json``, both graphs; ``.txt``, the table.

        Raises
        ------
        NoLayoutEngine
            If the page cannot be laid out here; nothing is written then.
        ValueError
            For another ending.
        """
        name = Path(path).name
        columns = {"columns": self.titles, "rows": self.rows, "sentence": self.sentence}
        writers = {
            ".html": lambda: page.page(self.graphs, name, self.titles, columns),
            ".json": lambda: to_text({t: g.to_json() for t, g in zip(self.titles, self.graphs)}),
            ".txt": lambda: f"{self}\n",
        }
        return write(path, writers, "Comparison.save")


@contextmanager
def _unmoved(names: Any, functions: Sequence[Callable[..., Any]]) -> Iterator[None]:
    """Put back what running models moves: their buffers, and the states of their generators."""
    values = [names, *(names.values() if isinstance(names, Mapping) else ())]
    own = [f for f in functions if inspect.isfunction(f)]
    for function in own:  # and those that they call, while the list grows
        variables = inspect.getclosurevars(function)
        found = [*variables.nonlocals.values(), *variables.globals.values()]
        found += function.__defaults__ or ()
        values += found
        called = (f for f in found if inspect.isfunction(f) and f not in own)
        own += [f for f in called if f.__module__ == function.__module__]
    models = [value for value in values if hasattr(value, "named_buffers")]
    buffers = [{name: b.copy() for name, b in model.named_buffers()} for model in models]
    states = [(g, g.bit_generator.state) for model in models for g in model.generators()]
    try:
        yield
    finally:
        for model, before in zip(models, buffers):
            for name, buffer in model.named_buffers():
                if not np.array_equal(buffer, before[name], equal_nan=True):
                    buffer[...] = before[name]
        for generator, state in states:
            generator.bit_generator.state = state


def _seconds(functions: Sequence[Callable[[], Tensor]]) -> list[float]:
    """Return the shortest time that each takes forward and backward, measured in turn."""
    times: list[list[float]] = [[] for _ in functions]
    end = time.perf_counter() + LONG_ENOUGH
    while len(times[0]) < FEWEST or time.perf_counter() < end:
        for taken, function in zip(times, functions):
            start = time.perf_counter()
            output = function()
            pullback(cast(Node, output._node), cotangent_to_start(output, True))
            taken.append(time.perf_counter() - start)
    return [min(taken) for taken in times]


def compare_graphs(
    first: Tensor | Graph | Callable[[], Tensor],
    second: Tensor | Graph | Callable[[], Tensor],
    *,
    titles: tuple[str, str] | None = None,
    names: Any = None,
) -> Comparison:
    """Return two graphs of the same quantity side by side, such as a fused and an unfused loss.

    Parameters
    ----------
    first, second : Tensor, Graph, or functions without arguments that return a tensor
        Functions are run under :func:`recording` for their graphs, then without it, in turn for
        half a second, to compare their shortest times. No ``.grad`` is touched; the buffers and
        random generators of modules that ``names`` or a function's variables hold are put back.
    titles : (str, str), optional
        What to call them; by default after the function of each result.
    names : mapping, pairs or module, optional
        As for :func:`graph`.

    Examples
    --------
    >>> z = ag.Tensor([[2.0, 1.0]], requires_grad=True, name="z")
    >>> fused, unfused = ag.cross_entropy(z, [0]), ag.unfused_cross_entropy(z, [0])
    >>> comparison = ag.compare_graphs(fused, unfused)
    >>> comparison.rows[3], comparison.difference < 1e-15
    (('value', '0.3133', '0.3133'), True)
    """
    pairs = names_or_variables(names, sys._getframe(1))
    functions = [f for f in (first, second) if callable(f)]
    if len(functions) == 1:
        raise TypeError("ag.compare_graphs: expected two functions, or none")
    outputs: list[Any] = []
    for output in (first, second):
        with recording(), _unmoved(names, functions):
            outputs.append(output() if callable(output) else output)
    graphs = [g if isinstance(g, Graph) else graph(g, names=pairs) for g in outputs]
    if titles is None:
        a, b = (g.output.function for g in graphs)
        titles = (a, b) if a != b else (f"{a} (first)", f"{b} (second)")
    with _unmoved(names, functions):
        seconds = _seconds(functions) if functions else ()
    return Comparison(graphs[0], graphs[1], titles, seconds)
