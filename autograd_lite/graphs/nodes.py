"""What graphs are made of: nodes, their arguments, and the steps of backpropagation."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autograd_lite.graphs.scopes import Frame
from autograd_lite.graphs.summary import Summary


@dataclass(frozen=True, eq=False)
class Edge:
    """An argument: what ``target`` computes with; the ``id`` is its place in ``graph.edges``."""

    id: int
    source: int
    target: int
    argument: str
    shape: tuple[Any, ...]
    tracked: bool


@dataclass(eq=False)
class GraphNode:
    """A leaf, a constant, an operation, or the result: the operation that the graph is of.

    Attributes
    ----------
    id : int
        Its place in ``graph.nodes``, where arguments stand before what is computed from them.
    kind : {"leaf", "constant", "operation", "result"}
    function : str
        The function's name, such as ``np.exp``; empty for leaves and constants.
    name : str or None
        The user's.
    label : str
        The name, or one made up: ``t3`` for the third operation.
    arguments : list of Edge
        What an operation computes with, in order.
    missing : list of int
        The places of arguments that nothing holds any more, among all that an operation has.
    frames : list of Frame
        The calls of modules in which an operation was recorded, outermost first.
    shape, dtype, nbytes
        Those of the value.
    value, gradient : Summary or None
        None where it was not kept, or not computed.
    kept : list of str
        What the rules of an operation hold for backward, and ``kept_bytes``, how much that is;
        ``ahead_bytes`` of it are the gradient, computed with the value, for the first backward.
    rules : list of (str, str)
        The argument, and the rule for its cotangent, in the words of its source.
    options : str
        Arguments that are not arrays: ``axis=1``.
    fused : bool
        Whether it does the work of several operations; then ``insight`` says how its rule reads
        and shows arrays.
    born : {"", "value", "gradient", "data", "before"}
        Where nan, or inf, first appears: here, made of better numbers, in this; or in the data, as
        a leaf or constant has them; or here or before, where not all is known that was computed.
    bad : {"", "inf", "nan"}
        What it is that appears in the value, and ``birth`` says it.
    origin : (str, int) or None
        The user's file and line, if it was recorded under :func:`recording`.
    """

    id: int
    kind: str
    function: str
    name: str | None
    label: str
    shape: tuple[Any, ...]
    dtype: str
    nbytes: int
    value: Summary | None
    gradient: Summary | None = None
    arguments: list[Edge] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    symbol: str = ""
    kept: list[str] = field(default_factory=list)
    kept_bytes: int = 0
    ahead_bytes: int = 0
    rules: list[tuple[str, str]] = field(default_factory=list)
    options: str = ""
    fused: bool = False
    insight: tuple[str, dict[str, Summary]] | None = None
    born: str = ""
    bad: str = ""
    origin: tuple[str, int] | None = None

    @property
    def scope(self) -> str:
        """The module whose call recorded it, or that it is a parameter of; may be empty."""
        if self.is_operation:
            return self.frames[-1].name if self.frames else ""
        return (self.name or "").rpartition(".")[0]

    @property
    def place(self) -> str | None:
        """The user's file and line: the path from the current folder, or the name alone.

        So that what is saved says nothing of where it was made.
        """
        if self.origin is None:
            return None
        path, here = Path(self.origin[0]), Path.cwd()
        shown = path.relative_to(here).as_posix() if path.is_relative_to(here) else path.name
        return f"{shown}:{self.origin[1]}"

    @property
    def birth(self) -> str:
        """What is born here, as a sentence; empty if nothing is."""
        return {
            "value": f"{self.bad} is born here",
            "before": f"{self.bad} is born here or before, in what is not kept",
            "data": f"{self.bad} is in the data",
            "gradient": "gradient not finite from here",
        }.get(self.born, "")

    @property
    def several(self) -> bool:
        """Whether it has several results, each of which is a node of its own."""
        return bool(self.shape) and isinstance(self.shape[0], tuple)

    @property
    def is_operation(self) -> bool:
        """Whether a function computed it."""
        return bool(self.function)


@dataclass
class Contribution:
    """What one step of the pullback adds to a cotangent.

    Attributes
    ----------
    target : int
        The node whose cotangent it is part of.
    argument, rule : str
        Which argument of the step's function that is, and the rule.
    value : Summary or None
        The contribution, in the target's shape; None where it is one of several results'.
    summed : tuple of int
        The axes of what the rule returned that were summed, because broadcasting had repeated the
        target along them; ``before`` is the shape that it had.
    number, of : int
        That it is the 2nd of 3 contributions to the target.
    """

    target: int
    argument: str
    rule: str
    value: Summary | None
    summed: tuple[int, ...]
    before: tuple[int, ...]
    number: int = 1
    of: int = 1


@dataclass
class Step:
    """One step of the pullback: what becomes of a node's gradient."""

    node: int
    contributions: list[Contribution]
