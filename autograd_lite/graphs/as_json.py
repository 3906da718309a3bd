"""Graphs as what JSON can hold."""

from __future__ import annotations

import json
from typing import Any

from autograd_lite.graphs import text
from autograd_lite.graphs.model import Model
from autograd_lite.graphs.summary import WHOLE, Summary, plain

VERSION = 1  # of the JSON
NUMBERS = 100_000  # that the JSON shows of all values together, so that it stays within megabytes
FEWEST = 64  # numbers of an array that are shown whole in any case
# What the JSON holds of each: its key, and the attribute where that has another name.
NODE = (
    "id kind op=function name label scope shape dtype bytes=nbytes value grad=gradient src=place "
    "rules options kept kept_bytes fused insight born birth"
)
EDGE = "from=source to=target arg=argument shape tracked"
CONTRIBUTION = "to=target arg=argument value summed_axes=summed before"


def to_json(graph: Model) -> dict[str, Any]:
    """Return a graph as :meth:`Graph.to_json` says."""
    most = min(WHOLE, max(FEWEST, NUMBERS // len(graph.nodes)))
    steps = [
        {
            "node": step.node,
            "upstream_norm": _norm(graph.nodes[step.node].gradient),
            "contrib": [
                _fields(part, CONTRIBUTION, FEWEST)
                | {"norm": _norm(part.value), "n_of_m": [part.number, part.of]}
                | text.rule_and_names(graph, step, part)
                for part in step.contributions
            ],
        }
        for step in graph.steps
    ]
    return {
        "version": VERSION,
        "caption": graph.caption,
        "note": graph.note,
        "output": graph.output.id,
        "nodes": [
            _fields(node, NODE, most) | {"text": text.equation(graph, node)} for node in graph.nodes
        ],
        "edges": [_fields(edge, EDGE) for edge in graph.edges],
        "backward": steps,
    }


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
