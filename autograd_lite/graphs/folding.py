"""What of a graph is drawn: modules and repeated blocks folded, and no more than fits a picture."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from autograd_lite.graphs.model import Edge, GraphNode, incoming

LONGEST_BLOCK = 64  # operations in a block whose repetitions are looked for
FEWEST_REPEATS = 3


@dataclass
class Box:
    """One box of the picture: an operation, or several that are folded into one.

    Attributes
    ----------
    members : list of int
        Its operations.
    title : str
        What a folded box says: the module, or the functions of the block.
    times : int
        How often the block is repeated.
    cut : bool
        Whether it stands for what is left out.
    """

    members: list[int]
    title: str = ""
    scope: str = ""
    times: int = 1
    cut: bool = False
    arguments: list[Edge] = field(default_factory=list)  # drawn with it, each in its own copy

    @property
    def folded(self) -> bool:
        """Whether it is not a single operation."""
        return bool(self.title)

    @property
    def key(self) -> str:
        """Its id in the picture."""
        return f"{'f' if self.folded else 'n'}{self.members[-1]}"


def units(scope: str) -> list[str]:
    """Return a module's dotted name by levels, a number staying with the list it is of."""
    return re.findall(r"[^.]+(?:\.\d+(?=\.|$))*", scope)


def boxes(
    nodes: list[GraphNode], edges: list[Edge], depth: int | None, most: int
) -> tuple[list[Box], str]:
    """Return the boxes to draw, oldest first, and a sentence on what is left out."""
    arguments = incoming(edges)
    found = _by_module(nodes, depth)
    for box in found:
        if not box.folded:
            box.arguments = [
                e for e in arguments.get(box.members[0], ()) if not nodes[e.source].is_operation
            ]
    drawn = everything = sum(1 + len(box.arguments) for box in found)
    if depth is not None or drawn > most:
        found = _repeats_folded(found, nodes, arguments)
        drawn = sum(1 + len(box.arguments) for box in found)
    if drawn <= most:
        return found, ""
    return _cut(found, nodes, most, everything)


def _by_module(nodes: list[GraphNode], depth: int | None) -> list[Box]:
    found: dict[str | int, Box] = {}
    for node in nodes:
        if not node.is_operation:
            if len(nodes) == 1:
                found[node.id] = Box([node.id])
            continue
        levels = units(node.scope)
        if depth is not None and len(levels) > depth:
            module = ".".join(levels[: depth + 1])
            box = found.setdefault(module, Box([], module, ".".join(levels[:depth])))
            box.members.append(node.id)
        else:
            found[node.id] = Box([node.id], scope=node.scope)
    return sorted(found.values(), key=lambda box: box.members[-1])


def _repeats_folded(
    found: list[Box], nodes: list[GraphNode], arguments: dict[int, list[Edge]]
) -> list[Box]:
    """Replace every block of boxes that comes at least three times in a row by one box."""
    alike: dict[object, int] = {}
    signs = [
        alike.setdefault(tuple(_sign(nodes[i], nodes, arguments) for i in box.members), len(alike))
        for box in found
    ]
    count = len(signs)
    longest = min(LONGEST_BLOCK, count // FEWEST_REPEATS)
    runs = []  # runs[p - 1][i]: how many boxes from i on are like those p further
    for period in range(1, longest + 1):
        run = [0] * (count + 1)
        for i in range(count - period - 1, -1, -1):
            run[i] = run[i + 1] + 1 if signs[i] == signs[i + period] else 0
        runs.append(run)
    folded: list[Box] = []
    i = 0
    while i < count:
        covered, period = 0, 0
        for p, run in enumerate(runs, 1):
            times = run[i] // p + 1
            if times >= FEWEST_REPEATS and p * times > covered:
                covered, period = p * times, p
        if not covered:
            folded.append(found[i])
            i += 1
            continue
        block = found[i : i + covered]
        members = sorted(m for box in block for m in box.members)
        folded.append(Box(members, _block_title(block, period, nodes), "", covered // period))
        i += covered
    return folded


def _sign(node: GraphNode, nodes: list[GraphNode], arguments: dict[int, list[Edge]]) -> object:
    """Return what is the same for operations that do the same at the same place of a block."""
    of = tuple(
        (e.argument, e.shape, nodes[e.source].kind == "leaf") for e in arguments.get(node.id, ())
    )
    return node.function, node.options, node.shape, node.dtype, of


def _block_title(block: list[Box], period: int, nodes: list[GraphNode]) -> str:
    if period == 1 and block[0].folded:
        return f"{block[0].title} … {block[-1].title}"
    names = [
        box.title or nodes[box.members[0]].symbol or nodes[box.members[0]].function
        for box in block[:period]
    ]
    more = ", …" if len(names) > 6 else ""
    return ", ".join(names[:6]) + more


def _cut(
    found: list[Box], nodes: list[GraphNode], most: int, everything: int
) -> tuple[list[Box], str]:
    """Keep the boxes nearest the result, and put the others into one."""
    room = most - 1
    keep = len(found)
    while keep and room >= 1 + len(found[keep - 1].arguments):
        keep -= 1
        room -= 1 + len(found[keep].arguments)
    members = sorted(m for box in found[:keep] for m in box.members)
    total = sum(1 for node in nodes if node.is_operation)
    rest = Box(members, f"{len(members):,} earlier operations", cut=True)
    sentence = (
        f"Only the {total - len(members):,} operations nearest the result are drawn, of {total:,}: "
        f"ag.graph(..., max_nodes={everything}) draws all, depth=0 folds modules and repetitions."
    )
    return [rest, *found[keep:]], sentence
