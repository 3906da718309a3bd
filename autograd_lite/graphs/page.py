"""The explorer: a page of one file that steps through the picture and the recorded numbers."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from autograd_lite.graphs import drawing, text

if TYPE_CHECKING:
    from autograd_lite.graphs.graph import Graph


def page(
    graphs: Sequence[Graph],
    target: str,
    titles: Sequence[str] = (),
    comparison: dict[str, Any] | None = None,
) -> str:
    """Return a page to step through graphs with, that asks nothing of a server or network.

    Names given by users reach it as text only; besides, the page's policy lets no other script run
    than its own, and nothing be loaded.
    """
    graphs = [graph.with_gradients for graph in graphs]
    views = []
    for i, graph in enumerate(graphs):
        svg = re.sub(r' id="', f' id="g{i}-', drawing.to_svg(graph, target))
        title = html.escape(titles[i] if titles else "")
        caption = html.escape(graph.caption)
        note = f'<p class="note">{html.escape(graph.note)}</p>' if graph.note else ""
        views.append(
            f'<section class="view" id="view{i}" aria-label="{title or "Graph"}"><div class="bar">'
            f'<h2>{title}</h2><span class="muted">{caption}</span></div>'
            f'{note}<div class="scroll">{svg}</div></section>'
        )
    own = files("autograd_lite.graphs")
    script = own.joinpath("explorer.js").read_text(encoding="utf-8")
    data = {"graphs": [_data(graph) for graph in graphs], "comparison": comparison}
    fields = {
        "title": html.escape(
            " and ".join(titles) if titles else f"Backpropagation from {graphs[0].output.label}"
        ),
        "hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "views": "".join(views),
        "data": json.dumps(data, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"),
        "script": script,
    }
    template = own.joinpath("explorer.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda field: fields[field[1]], template)


def _data(graph: Graph) -> dict[str, Any]:
    """Return the graph's JSON with what the page needs beside: texts, and where nodes are drawn."""
    data = graph.to_json()
    incoming = text.arguments_of(graph)
    for node in graph.operations:
        call = text.call_text(graph, node, incoming)
        data["nodes"][node.id]["text"] = f"{node.label} = {call}"
    for step, shown in zip(graph.steps, data["backward"]):
        for part, contribution in zip(step.contributions, shown["contrib"]):
            rule, *where = text.rule_and_names(graph, graph.nodes[step.node], part.rule, incoming)
            contribution |= {"rule": rule, "where": "".join(where)}
    drawn = {m: [box.key] for box in graph.boxes for m in box.members}
    for uses in graph.uses.values():
        for number, edge in enumerate(uses, 1):
            drawn.setdefault(edge.source, []).append(f"n{edge.source}u{number}")
    data["drawn"] = drawn
    return data
