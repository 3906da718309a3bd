"""Graphs as DOT and SVG."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import graphviz

from autograd_lite.graphs.folding import Box
from autograd_lite.graphs.layout import FONT, laid_out
from autograd_lite.graphs.model import Model
from autograd_lite.graphs.nodes import Edge, GraphNode
from autograd_lite.graphs.summary import Summary, counted, number, shape_text, size_text

# Each colour in light and in dark. Blue, green, orange and purple after Okabe and Ito, which people
# who confuse red and green tell apart too; the shapes and the words say the same once more.
INK, MUTED = ("#1b1b1b", "#eceef1"), ("#5c5f66", "#a9b0bb")
GRADIENT, PAPER = ("#a33b00", "#ffb27d"), ("#ffffff", "#15171c")
KINDS = {  # shape, style, fill, line
    "leaf": ("box", "filled", ("#e1effa", "#12324a"), ("#0072b2", "#56b4e9")),
    "constant": ("box", "filled,dashed", ("#f1f1f1", "#2a2d33"), ("#7d7d7d", "#9aa0a8")),
    "operation": ("box", "filled,rounded", ("#fffaf0", "#2b2618"), ("#8c6d1f", "#d3ad4d")),
    "fused": ("box", "filled,rounded,bold", ("#fde8d7", "#472411"), ("#c44e00", "#ff9654")),
    "result": ("box", "filled,rounded,bold", ("#dff3ea", "#0f372b"), ("#00805c", "#2fc79b")),
    "folded": ("box3d", "filled", ("#ece7f6", "#2d2545"), ("#6a51a3", "#b39ce6")),
    "born": ("octagon", "filled,bold", ("#fbdcea", "#4a1230"), ("#b0005a", "#ff7ab8")),
}
COLOURS = [INK, MUTED, GRADIENT, PAPER, *(colour for kind in KINDS.values() for colour in kind[2:])]
DARK_RULES = "".join(
    f'svg.graph [{what}="{light}"]{{{what}:{dark}}}'
    for light, dark in COLOURS
    for what in ("fill", "stroke")
)
WIDE = 32  # characters in a line of names
SYMBOLS = {"*": "×", "-": "−", "/": "÷"}


def to_dot(graph: Model) -> str:
    """Return the DOT source of a graph's picture: a line for each box and each edge."""
    return str(_Drawing(graph).picture.source)


class _Drawing:
    """Writes the boxes and arrows of a graph down, into frames around modules."""

    def __init__(self, graph: Model) -> None:
        self.graph = graph
        font = {"fontname": FONT, "fontsize": "11"}
        self.picture = graphviz.Digraph(
            "graph",
            # Without the last three, one long edge can keep network simplex busy for minutes.
            graph_attr={"rankdir": graph.direction, "bgcolor": PAPER[0], "fontcolor": MUTED[0]}
            | {"nodesep": "0.22", "ranksep": "0.34", "pad": "0.2", **font}
            | {"nslimit": "2", "nslimit1": "2", "mclimit": "0.5"},
            node_attr={"fontcolor": INK[0], "margin": "0.12,0.05", **font},
            edge_attr=font
            | {"fontsize": "9", "fontcolor": MUTED[0], "color": MUTED[0], "arrowsize": "0.6"},
        )
        if graph.note:
            self.picture.attr(label=graphviz.escape(graph.note), labelloc="b")
        self.boxes(self.picture, graph.boxes, 0)
        owner = {node.id: box for box in graph.boxes for node in box.members}
        drawn: set[Any] = set()
        for edge in graph.edges:
            source, target = owner.get(edge.source), owner[edge.target]
            if source is None or source is target:
                continue
            between = (source.key, target.key, edge.shape)
            if between not in drawn or not (source.folded or target.folded):
                self.arrow(edge, source.key, target.key, weight="6")
            drawn.add(between)

    def boxes(self, frame: Any, boxes: Iterable[Box], level: int) -> None:
        """Draw boxes, each in the frames of the calls of modules, of which ``level`` are open."""
        for inner, group in groupby(boxes, lambda box: (*box.frames[level:], None)[0]):
            if inner is None:
                for box in group:
                    self.box(frame, box)
                continue
            with frame.subgraph(name=f"cluster_{inner.name}_{inner.call}") as opened:
                said = graphviz.escape(f"{inner.name}: {inner.kind}")
                look = {"style": "dashed,rounded", "color": KINDS["constant"][3][0]}
                at = {"labeljust": "l", "labelloc": "t"}  # also where a note stands at the bottom
                opened.attr(label=said, fontsize="10", margin="10", **at, **look)
                self.boxes(opened, group, level + 1)

    def box(self, frame: Any, box: Box) -> None:
        """Draw a box, and beside it the leaves and constants among its arguments."""
        beside: list[str] = []  # a module's parameters stand at both sides of what reads them
        for edge in box.arguments:
            node = self.graph.nodes[edge.source]
            uses = self.graph.uses[node.id]
            use = uses.index(edge) + 1
            key = f"n{node.id}u{use}"
            said = f"use {use} of {len(uses)}" if len(uses) > 1 and node.kind == "leaf" else ""
            if node.kind == "constant" and len(edge.argument) > 1:
                said = edge.argument
            inside = bool(box.frames) and node.scope == box.frames[-1].name
            rows = _variable_rows(node, said, node.scope if inside else "")
            kind = "born" if node.born else node.kind
            self.node(frame if inside else self.picture, key, kind, rows, _tooltip(node))
            ends, turned = (key, box.key), {}
            if inside:
                beside.append(key)
                if len(beside) % 2 == 0:
                    ends, turned = (box.key, key), {"dir": "back", "class": "turned"}
            style = "solid" if edge.tracked else "dashed"
            self.arrow(edge, *ends, labelled=not inside, style=style, **turned)
        if beside:
            frame.body.append(f"\t\t{{rank=same; {'; '.join([*beside, box.key])}}}\n")
        if box.folded:
            rows = _folded_rows(box, self.graph)
            tooltip = "\n".join(row.text for row in rows if row.text)
            self.node(frame, box.key, "folded", rows, tooltip, margin="0.14,0.11")
            return
        (node,) = box.members
        kind = "born" if node.born else "fused" if node.fused else node.kind
        double = {"peripheries": "2"} if kind == "fused" else {}
        gradients = bool(self.graph.steps)
        rows = _operation_rows(node, gradients) if node.is_operation else _variable_rows(node)
        self.node(frame, box.key, kind, rows, _tooltip(node), **double)

    def node(
        self, frame: Any, key: str, kind: str, rows: list[Row], tooltip: str, **attributes: str
    ) -> None:
        """Draw one box of the look of its kind."""
        shape, style, (fill, _), (line, _) = KINDS[kind]
        look = {"class": kind, "shape": shape, "style": style, "fillcolor": fill, "color": line}
        attributes |= look | {"tooltip": _plain(tooltip)}
        frame.node(key, _table([row for row in rows if row.text]), id=key, **attributes)

    def arrow(
        self, edge: Edge, tail: str, head: str, labelled: bool = True, **attributes: str
    ) -> None:
        """Draw one arrow."""
        label = f" {shape_text(edge.shape)} " if labelled else ""
        tooltip = _plain(f"{self.graph.nodes[edge.source].label}, argument {edge.argument}")
        self.picture.edge(tail, head, label, id=f"e{edge.id}", tooltip=tooltip, **attributes)


# ---------------------------------------------------------------------------- what boxes say


class Row(NamedTuple):
    """A row of a box: a text, without which there is no row, or a quantity with its numbers."""

    style: str  # "title", "symbol", "name", "muted", "born", or the quantity: "value", "grad"
    text: str  # "not kept", "not computed" for a quantity
    numbers: Summary | None = None


def _folded_rows(box: Box, graph: Model) -> list[Row]:
    if box.cut:
        return [Row("title", box.title)]
    first, last = box.members[0], box.members[-1]
    name = first.label if first is last else f"{first.label} … {last.label}"
    titles = [Row("title", line) for line in _broken(box.title)]
    times = Row("symbol", f"× {box.times}" if box.times > 1 else "")
    kept = size_text(sum(node.kept_bytes for node in box.members))
    sources = ((graph.nodes[e.source], node) for node in box.members for e in node.arguments)
    leaves = (
        x for x, node in sources if x.kind == "leaf" and (not x.scope or x.scope != node.scope)
    )
    names = list(dict.fromkeys(leaf.label for leaf in leaves))  # not of a module's own parameters
    born = [Row("born", f"{node.label}: {node.birth}") for node in box.members if node.born][:3]
    said = f"{counted(len(box.members), 'operation')}, {kept} kept"
    reads = f"reads {', '.join(names[:3])}{', …' * (len(names) > 3)}" if names else ""
    rows = [Row("name", name), *titles, times, Row("muted", said), Row("muted", reads), *born]
    return rows + (_quantities(last) if last is graph.output else [])


def _broken(title: str) -> list[str]:
    """Return a list of names in lines of a reasonable length, broken within none."""
    lines: list[str] = []
    for name in re.split("(?<=,) ", title):
        if lines and len(lines[-1]) + len(name) <= WIDE:
            lines[-1] += f" {name}"
        else:
            lines += re.split("(?<=…) ", name) if len(name) > WIDE else [name]
    return lines


def _variable_rows(node: GraphNode, said: str = "", frame: str = "") -> list[Row]:
    """Return the rows of a leaf or constant, its name without that of the frame it stands in.

    ``said`` is which use it is or, of a single number, which argument.
    """
    title, use = Row("title", node.label.removeprefix(f"{frame}.")), Row("muted", said)
    about = f"{shape_text(node.shape)} {node.dtype}"
    value, gradient = _quantities(node)
    if node.kind == "leaf":
        return [title, Row("muted", about), use, Row("born", node.birth), value, gradient]
    if node.shape == () and not node.name:
        return [title, use, Row("born", node.birth)]
    return [title, Row("muted", f"constant {about}"), Row("born", node.birth), value]


def _operation_rows(node: GraphNode, gradients: bool) -> list[Row]:
    rows = [
        Row("name", node.label),
        Row("symbol", SYMBOLS.get(node.symbol, node.symbol)),
        Row("muted" if node.symbol else "title", node.function),
        Row("muted", node.options),
        Row("muted", "fused: one node" if node.fused else ""),
        Row("born", node.birth),
    ]
    if node.several:
        return rows  # each result has a box of its own
    return rows + _quantities(node)[: 2 if gradients or node.gradient is not None else 1]


def _quantities(node: GraphNode) -> list[Row]:
    gradient = Row("grad", "not computed", node.gradient)
    return [Row("value", "not kept", node.value), gradient]


def _table(rows: Sequence[Row]) -> str:
    """Return rows as Graphviz's table, a small matrix as a grid."""
    cells = []
    for row in rows:
        if row.style not in ("value", "grad"):
            before, after = _MARKS[row.style]
            cells.append(f'<td colspan="2">{before}{_text(row.text)}{after}</td>')
            continue
        before, after = _MARKS["muted"]
        shown = f"{before}{row.text}{after}"
        if row.numbers is not None:
            colour, _ = INK if row.style == "value" else GRADIENT
            shown = _numbers(row.numbers, colour)
        cells.append(f'<td align="right">{before}{row.style}{after}</td><td>{shown}</td>')
    table = "".join(f"<tr>{cell}</tr>" for cell in cells)
    return f'<<table border="0" cellborder="0" cellspacing="0" cellpadding="2">{table}</table>>'


_MARKS = {
    "title": ('<font point-size="12"><b>', "</b></font>"),
    "symbol": ('<font point-size="15"><b>', "</b></font>"),
    "name": ("<i>", "</i>"),
    "muted": (f'<font point-size="9" color="{MUTED[0]}">', "</font>"),
    "born": (f'<font color="{KINDS["born"][3][0]}"><b>', "</b></font>"),
}


def _numbers(summary: Summary, colour: str) -> str:
    array = summary.array
    before = f'<font color="{colour}">'
    if not (summary.whole and array.ndim == 2 and 0 < array.size <= 12 and array.shape[1] <= 5):
        return f"{before}{'<br/>'.join(map(_text, summary.lines()))}</font>"
    cell = f'<td align="right">{before}{{}}</font></td>'
    rows = "".join(
        f"<tr>{''.join(cell.format(number(x)) for x in row)}</tr>" for row in array.tolist()
    )
    return (
        f'<table border="1" sides="LR" color="{MUTED[0]}" cellborder="0" cellspacing="0" '
        f'cellpadding="3">{rows}</table>'
    )


def _text(text: str) -> str:
    """Return text for a label: of a reasonable length, with nothing that is markup."""
    text = re.sub(r"[\x00-\x1f\x7f]", " ", text)
    return html.escape(text if len(text) <= 60 else f"{text[:57]}…", quote=True)


def _plain(text: str) -> str:
    """Return text for a tooltip, its line breaks written as Graphviz does."""
    text = re.sub(r"[\x00-\x09\x0b-\x1f\x7f]", " ", text)
    return str(graphviz.escape(text)).replace("\n", "\\n")


def _tooltip(node: GraphNode) -> str:
    lines = [f"{node.label}: {node.function or node.kind}, {shape_text(node.shape)} {node.dtype}"]
    lines += [f"rule for {argument}: {text}" for argument, text in node.rules]
    if node.kept:
        lines.append(f"kept for backward: {', '.join(node.kept)}")
    if node.place:
        lines.append(node.place)
    return "\n".join(lines)


def to_svg(graph: Model, target: str = "An SVG picture") -> str:
    """Return the picture as SVG, that follows the reader's choice of light or dark."""
    source = laid_out(to_dot(graph), "svg", target).decode()
    source = source[source.index("<svg") :]
    style = f"<style>@media (prefers-color-scheme:dark){{{DARK_RULES}}}</style>"
    said = html.escape(f"Computation graph of {graph.output.label}: {graph.caption}", quote=True)
    return source.replace(
        "<svg ", f'<svg class="graph" role="img" aria-label="{said}" ', 1
    ).replace(">\n", f">\n{style}\n", 1)


def to_pixels(graph: Model, format: str, target: str) -> bytes:
    """Return the picture as PNG or PDF."""
    return laid_out(to_dot(graph), format, target)
