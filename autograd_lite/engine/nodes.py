"""What the tape is made of: a node for each recorded call, and a leaf for each variable.

A node never refers to the tensor it belongs to, so a graph has no reference cycles and is freed at
once when its last tensor goes. It has the shape and dtype of its value, so that it also serves
rules as ``like``. Parents are older than their children: the order of birth is a topological order.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from autograd_lite.engine.table import Plan

births = itertools.count()


class Node:
    """One recorded call: the nodes of its tracked arguments, and what their rules read."""

    __slots__ = (
        "__weakref__",
        "birth",
        "dtype",
        "exposed",  # whether others may write to the value
        "note",  # for graphs alone: see note_of()
        "parents",
        "plan",
        "saved",
        "shape",
        "watched",  # what must not have changed: see changes.py
    )
    plan: Plan | None
    exposed: bool | None
    note: Any

    def __init__(
        self,
        plan: Plan | None,
        parents: Sequence[Node],
        saved: Sequence[Any],
        watched: Any,
        shape: Any,
        dtype: Any,
        exposed: bool,
    ) -> None:
        self.plan = plan
        self.parents = parents
        self.saved = saved
        self.watched = watched
        self.shape = shape
        self.dtype = dtype
        self.exposed = exposed
        self.note = None
        self.birth = next(births)

    @property
    def ndim(self) -> int:
        """The number of dimensions of the value."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements of the value."""
        size = 1
        for length in self.shape:
            size *= length
        return size


class Leaf(Node):
    """A variable: a node that no call produced, with a place for its gradient."""

    __slots__ = ("content", "grad", "handed", "moved", "name", "retired", "value")

    def __init__(self, value: Any, name: str | None = None, *, exposed: bool = True) -> None:
        super().__init__(None, (), (), None, value.shape, value.dtype, exposed)
        self.value = value
        self.name = name
        self.grad: Any = None
        self.moved = -1  # when the value was last written to: comparable to a birth
        self.handed = -1  # when it was last handed out, to be written to perhaps
        self.content: Any = None  # its fingerprint then
        self.retired = False  # whether requires_grad was switched off


class Argument(Leaf):
    """A leaf that stands for an argument of a function that a transform applies.

    Copies of it are recorded. ``over`` says that the function has returned.
    """

    __slots__ = ("over",)

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.over = False


class Note:
    """What graphs may show of a recorded call: each None until there is something to say."""

    __slots__ = ("arguments", "name", "origin", "returned_by", "value")

    def __init__(self, arguments: Sequence[Any] | None, value: Any) -> None:
        self.arguments = arguments
        self.value = value
        self.name: str | None = None
        self.origin: tuple[str, int] | None = None  # the user's file and line
        # A module, the birth at which its call began, and a call within:
        self.returned_by: tuple[Any, int, Any] | None = None


def note_of(node: Node) -> Note:
    """Return the note of a node, made when somebody first asks.

    Until then a call keeps as little as can be: the list of its arguments, from which a small
    elementwise result can be computed again, or a small result that is not elementwise.
    """
    note = node.note
    if note.__class__ is not Note:
        several = note.__class__ is list
        node.note = note = Note(note if several else None, None if several else note)
    return note
