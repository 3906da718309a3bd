"""What of a graph is drawn: modules and repeated blocks folded, and no more than fits a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from autograd_lite.graphs.nodes import Edge, GraphNode
from autograd_lite.graphs.scopes import Frame

LONGEST_BLOCK = 64  # operations in a block whose repetitions are looked for
FEWEST_REPEATS = 3
IN_A_ROW = 1 / 10  # of the boxes that may be drawn: a picture fifty boxes wide is wide enough


@dataclass
class Box:
    """One box of the picture: an operation, or several that are folded into one.

    Attributes
    ----------
    members : list of GraphNode
        Its operations.
    frames : sequence of Frame
        The modules' calls in whose frames it is drawn.
    title : str
        What a folded box says: the module, or the functions of the block.
    times : int
        How often the block is repeated.
    cut : bool
        Whether it stands for what is left out.
    """

    members: list[GraphNode]
    frames: Sequence[Frame] = ()
    title: str = ""
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
        return f"{'f' if self.folded else 'n'}{self.members[-1].id}"


def boxes(nodes: list[GraphNode], depth: int | None, most: int) -> tuple[list[Box], str]:
    """Return the boxes to draw, oldest first, and a sentence on what is left out."""
    found = _by_module(nodes, depth)
    for box in found:
        if not box.folded:
            (node,) = box.members
            box.arguments = [e for e in node.arguments if not nodes[e.source].is_operation]
    # For how many boxes at most all would be drawn.
    everything = max(_count(found), round(_longest(nodes) / IN_A_ROW))
    said = ""
    if depth is not None or everything > most:
        before = len(found)
        found = _repeats_folded(found, nodes)
        if depth is None and len(found) < before:
            said = f"Repeated steps are folded: ag.graph(..., max_nodes={everything}) draws each."
    return (found, said) if _count(found) <= most else _cut(found, most, everything)


def _longest(nodes: list[GraphNode]) -> int:
    """Return of how many operations the longest way to the result consists."""
    lengths = [0] * len(nodes)
    for node in nodes:
        before = (lengths[edge.source] for edge in node.arguments)
        lengths[node.id] = node.is_operation + max(before, default=0)
    return lengths[-1]


def _count(found: list[Box]) -> int:
    return sum(1 + len(box.arguments) for box in found)


def _by_module(nodes: list[GraphNode], depth: int | None) -> list[Box]:
    found: dict[object, Box] = {}
    for node in nodes:
        if not node.is_operation:
            continue
        if depth is not None and len(node.frames) > depth:
            frame = node.frames[depth]
            box = found.setdefault(frame, Box([], node.frames[:depth], frame.name))
            box.members.append(node)
        else:
            found[node.id] = Box([node], node.frames)
    # A leaf alone is its own picture.
    return sorted(found.values(), key=lambda box: box.members[-1].id) or [Box(nodes[-1:])]


def _repeats_folded(found: list[Box], nodes: list[GraphNode]) -> list[Box]:
    """Replace every block of boxes that comes at least three times in a row by one box.

    The result keeps its own, with its value and gradient.
    """
    signs = [[_sign(node, nodes) for node in box.members] for box in found[:-1]]
    folded: list[Box] = []
    i = 0
    while i < len(signs):
        covered, period = 1, 1
        for p in range(1, min(LONGEST_BLOCK, (len(signs) - i) // FEWEST_REPEATS) + 1):
            times = 1
            while signs[i + times * p : i + (times + 1) * p] == signs[i : i + p]:
                times += 1
            if times >= FEWEST_REPEATS and times * p > covered:
                covered, period = times * p, p
        block = found[i : i + covered]
        i += covered
        if covered == 1:
            folded += block
            continue
        members = sorted((m for box in block for m in box.members), key=lambda m: m.id)
        same = all(box.frames == block[0].frames for box in block)
        around = block[0].frames if same else ()
        folded.append(Box(members, around, _block_title(block, period), covered // period))
    return folded + found[-1:]


def _sign(node: GraphNode, nodes: list[GraphNode]) -> object:
    """Return what is the same for operations that do the same at the same place of a block."""
    of = tuple((e.argument, e.shape, nodes[e.source].kind == "leaf") for e in node.arguments)
    return node.function, node.options, node.shape, node.dtype, of


def _block_title(block: list[Box], period: int) -> str:
    names = []
    for first, last in zip(block[:6], block[-period:]):
        symbol = first.members[0].symbol if period > 1 else ""
        own = first.title or symbol or first.members[0].function
        names.append(own if first.title == last.title else f"{first.title} … {last.title}")
    return ", ".join(names) + (", …" if period > 6 else "")


def _cut(found: list[Box], most: int, everything: int) -> tuple[list[Box], str]:
    """Keep the boxes nearest the result, and put the others into one."""
    room = most - 1
    keep = len(found)
    while keep and room >= 1 + len(found[keep - 1].arguments):
        keep -= 1
        room -= 1 + len(found[keep].arguments)
    members = sorted((m for box in found[:keep] for m in box.members), key=lambda m: m.id)
    total = len(members) + sum(len(box.members) for box in found[keep:])
    rest = Box(members, title=f"{len(members):,} earlier operations", cut=True)
    sentence = (
        f"Only the {total - len(members):,} operations nearest the result are drawn, of {total:,}: "
        f"ag.graph(..., max_nodes={everything}) draws all, depth=0 folds modules and repetitions."
    )
    return [rest, *found[keep:]], sentence
