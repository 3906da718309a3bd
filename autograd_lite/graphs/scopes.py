"""In which module's call each operation was recorded, and what the module is called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from autograd_lite.engine.recording import node_of
from autograd_lite.engine.tape import Node
from autograd_lite.graphs.source import noted


class Frame(NamedTuple):
    """A call of a module: its dotted name, its class, and a number that tells calls apart."""

    name: str
    kind: str
    call: int


def frames(nodes: Sequence[Node], names: Mapping[Any, str]) -> dict[Node, list[Frame]]:
    """Return the calls of named modules in which each operation was recorded, outermost first.

    What a module returns knows of the call. What that is computed from, as far as it is younger
    than the call's beginning, was computed within it.
    """
    calls = []
    for node in nodes:
        call = noted(node, "returned_by")
        while call is not None:
            module, began, call = call
            calls.append((began, module, node))
    calls.sort(key=itemgetter(0))  # a call stands before those within it
    called = _names((module for _, module, _ in calls), names)
    found: dict[Node, list[Frame]] = {}
    for began, module, node in calls:
        frame = Frame(called.get(id(module), ""), type(module).__name__, began)
        within = [node] if frame.name else []
        for inner in within:  # which grows
            own = found.setdefault(inner, [])
            if own[-1:] != [frame]:
                own.append(frame)
                within += (parent for parent in inner.parents if parent.birth > began)
    return found


def _names(modules: Iterable[Any], names: Mapping[Any, str]) -> dict[int, str]:
    """Return the names of modules by their ids: their parameters' names, less these' own part.

    One that is a list of others has none: what is computed between these belongs to what is around.
    """
    found: dict[int, str] = {}
    for module in modules:
        if id(module) in found:
            continue
        for own, parameter in module.named_parameters():
            node = node_of(parameter)
            full = names.get(node) or noted(node, "name")
            if full and f".{full}".endswith(f".{own}"):
                prefix = full.removesuffix(own)
                below = {id(m): (prefix + name).strip(".") for name, m in module.named_modules()}
                items = (name.rpartition(".") for name in below.values())
                lists = {around for around, _, item in items if item.isdigit()}
                found |= {i: "" if name in lists else name for i, name in below.items()}
                break
    return found
