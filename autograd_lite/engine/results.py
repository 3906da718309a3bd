"""What a call may give, and calls with several results: each is a part of one node.

The node stands for all results; the node of each is a call of :func:`_result`. Its cotangent is an
:class:`Outputs`, which holds those of the parts that a path came from.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np

from autograd_lite.engine.arrays import remedy, values_of
from autograd_lite.engine.nodes import Node
from autograd_lite.engine.table import TABLE, Plan, Primitive, derivative

SMALL = 128  # elements up to which graphs can show a result without having been asked before


def own(
    ans: Any, plan: Plan, arguments: Sequence[Any], exposed: int
) -> tuple[Any, Any, bool, bool]:
    """Return what a function returned as an array object of its own, and what is to know of it.

    That is what it left for the rules beside its result; whether it is exposed: a view of an array
    that others may write to (bit i of ``exposed`` says whether they may to argument i); and whether
    it is a view of a large array, which it would keep alive.
    """
    ans, residual = ans if plan.leaves_residual else (ans, None)
    if ans.__class__ is not np.ndarray:
        if not isinstance(ans, np.generic):
            ans = _known_kind(ans, plan.primitive.name)
        return ans, residual, False, False
    owner: Any = ans.base
    for i, argument in enumerate(arguments):
        if argument is ans:  # no two tensors hold one array object
            return ans.view(), residual, bool(exposed >> i & 1), False
        if owner is not None and argument.__class__ is np.ndarray:
            if argument is owner or argument.base is owner:
                return ans, residual, bool(exposed >> i & 1), owner.size > SMALL  # type: ignore[union-attr]
    if plan.is_users and owner is None and sys.getrefcount(ans) > 3:  # here, in call, in the count
        return ans.copy(), residual, False, False  # who holds it may write to it
    return ans, residual, owner is not None, owner is not None


def _known_kind(ans: Any, name: str) -> Any:
    """Return a result of another kind as an ndarray; raise for a tensor, or what holds none."""
    if hasattr(ans, "_node"):
        raise TypeError(
            f"{name} computed with a tensor that is not one of its arguments itself; pass every "
            f"tensor as an argument of its own, not in a list, dict or closure"
        )
    return values_of(ans, name)


def plain(entry: Primitive, ans: Any) -> Any:
    """Return integers and truth values that were asked for as what they are, without a derivative.

    Raises
    ------
    TypeError
        If a function gives other than floating-point numbers unasked.
    """
    kind, message = ans.dtype.kind, f"{entry.name} gives {ans.dtype} here; only real"
    if entry is TABLE[np.astype] and kind in "biu":
        return ans
    message += " floating-point results have a gradient"
    raise TypeError(message + f"; {remedy(ans.dtype)}" * (kind in "mMOUS"))


class Outputs:
    """The cotangent of a call with several results: a cotangent for some of them.

    Indexing and iterating give one cotangent per result, zeros where no path came from it;
    ``parts`` holds those that a path came from, by number.
    """

    __slots__ = ("dtype", "parts", "shape")

    def __init__(self, parts: dict[int, Any], like: Any) -> None:
        self.parts = parts
        self.shape = like.shape  # one shape and dtype for each result
        self.dtype = like.dtype

    def __add__(self, other: Outputs) -> Outputs:
        total = Outputs(dict(self.parts), self)
        for i, part in other.parts.items():
            total.parts[i] = total.parts[i] + part if i in total.parts else part
        return total

    def __len__(self) -> int:
        return len(self.shape)

    def __iter__(self) -> Iterator[Any]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, i: int) -> Any:
        if i in self.parts:
            return self.parts[i]
        neighbour = next(iter(self.parts.values()))
        return np.zeros_like(neighbour, shape=self.shape[i], dtype=self.dtype[i])


def _result(outputs: Sequence[Any], number: int) -> Any:
    """Return one of several results: the primitive through which each result is recorded."""
    return outputs[number]


derivative(_result, lambda g, like, number: Outputs({number: g}, like))


def part(node: Node, result: Any, number: int) -> Node | None:
    """Return the node of one of a call's several results; None for integers."""
    if result.dtype.kind != "f":
        return None
    plan = cast(Primitive, TABLE[_result]).plan(1)
    kept = plan.keep((None, number), None, None, (node,))
    exposed = result.__class__ is np.ndarray and result.base is not None
    own = Node(plan, (node,), kept, None, result.shape, result.dtype, exposed)
    own.note = result
    return own


def node_of_all(
    outputs: Any, plan: Plan, parents: Sequence[Node], saved: Sequence[Any], watched: Any
) -> Node:
    """Return the node of a call with several results.

    Raises
    ------
    TypeError
        If what the function returned is no array, nor a tuple or list of real arrays.
    """
    name = plan.primitive.name
    if not isinstance(outputs, (tuple, list)) or not all(
        isinstance(getattr(result, "dtype", None), np.dtype) for result in outputs
    ):
        kind = type(outputs)
        raise TypeError(
            f"{name} returned {kind.__module__}.{kind.__name__}; it must return an "
            f"array, or a tuple or list of arrays (np.asarray makes one of a number)"
        )
    dtypes = tuple(result.dtype for result in outputs)
    for dtype in dtypes:
        if dtype.kind == "c":
            raise TypeError(f"{name} gives {dtype} here; only real results have a gradient")
    shapes = tuple(result.shape for result in outputs)
    return Node(plan, parents, saved, watched, shapes, dtypes, True)
