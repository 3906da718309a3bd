"""The explorer: a page of one file that steps through the picture and the recorded numbers."""

from __future__ import annotations

import base64
import copy
import hashlib
import html
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from autograd_lite.graphs import drawing
from autograd_lite.graphs.as_json import to_json
from autograd_lite.graphs.model import Model
from autograd_lite.graphs.summary import plain


def page(
    graphs: Sequence[Model],
    target: str,
    titles: Sequence[str] = (),
    comparison: dict[str, Any] | None = None,
) -> str:
    """Return a page to step through graphs with, that asks nothing of a server or network.

    Names given by users reach it as text only; besides, the page's policy lets no other script run
    than its own, and nothing be loaded.
    """
    graphs = [graph.with_gradients for graph in graphs]
    views, data = [], []
    for i, graph in enumerate(graphs):
        pictures = _pictures(graph)
        data.append(_data(graph, pictures))
        svgs = ""
        for k, drawn in enumerate([*pictures, *_downwards(pictures)]):
            svg = drawing.to_svg(drawn, target).replace(' id="', f' id="g{i}v{k}-')
            note = f'<p class="note">{html.escape(drawn.note)}</p>' if drawn.note else ""
            svgs += f'<div class="picture"{" hidden" * (k > 0)}>{note}{svg}</div>'
        title = html.escape(titles[i] if titles else "")
        caption = html.escape(graph.caption)
        views.append(
            f'<section class="view" id="view{i}" aria-label="{title or "Graph"}"><div class="bar">'
            f'<h2>{title}</h2><span class="muted">{caption}</span></div>'
            f'<div class="scroll">{svgs}</div></section>'
        )
    own = files("autograd_lite.graphs")
    script = own.joinpath("explorer.js").read_text(encoding="utf-8")
    heading = " and ".join(titles) or f"Backpropagation from {graphs[0].output.label}"
    content = json.dumps({"graphs": data, "comparison": comparison}, allow_nan=False)
    fields = {
        "title": html.escape(heading),
        "hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "views": "".join(views),
        "data": content.replace("<", "\\u003c"),
        "script": script,
    }
    template = own.joinpath("explorer.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda field: fields[field[1]], template)


def _data(graph: Model, pictures: Sequence[Model]) -> dict[str, Any]:
    """Return the graph's JSON, differences to check gradients with, and where nodes are drawn."""
    data = to_json(graph)
    for i, found in graph.differences().items():
        data["nodes"][i]["checks"] = [
            {"cell": list(d.cell)}
            | {key: plain(getattr(d, key)) for key in ("gradient", "slope", "step", "change")}
            for d in found
        ]
    data["drawn"] = [_places(drawn) for drawn in pictures]
    data["folded"] = graph.depth is not None
    return data


def _pictures(graph: Model) -> list[Model]:
    """Return the graph opened and, where that is another picture, folded.

    If no depth was asked for, it is folded until it is a few boxes, not until it is one.
    """
    opened, folded = graph.to_depth(None), graph
    if graph.depth is None:
        for depth in range(max(len(node.frames) for node in graph.nodes) or 1):
            folded = graph.to_depth(depth)
            if sum(box.folded for box in folded.boxes) > 1:
                break
    return [graph] if len(folded.boxes) == len(opened.boxes) else [opened, folded]


def _downwards(pictures: Sequence[Model]) -> list[Model]:
    """Return the pictures from top to bottom, as a narrow screen has room for them."""
    turned = [copy.copy(graph) for graph in pictures if graph.direction in ("LR", "RL")]
    for graph in turned:
        graph.direction = "TB"
    return turned


def _places(graph: Model) -> dict[int, list[str]]:
    """Return the boxes in which each node is drawn."""
    drawn = {node.id: [box.key] for box in graph.boxes for node in box.members}
    for uses in graph.uses.values():
        for number, edge in enumerate(uses, 1):
            drawn.setdefault(edge.source, []).append(f"n{edge.source}u{number}")
    return drawn
