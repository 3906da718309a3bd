"""Guard: an array that changed between a call and its gradient raises, never a wrong gradient.

* A read-only array cannot change. A tensor's own array is read-only until it is asked for
  (``tensor.data``), and those of recorded results are for ever: they need no watching.
* Any other ndarray that a rule reads leaves a fingerprint at the call, compared when its gradient
  is computed. One that its owner made read-only must be read-only still, and the same where it is
  looked at: whole if it is small, else in 64 places.
* What an optimiser writes to is a leaf's own array, written to without a copy. The leaf notes when,
  and a graph that took it before refuses to be differentiated, whether or not its rules read the
  values. So it does where ``tensor.data`` was replaced, or written to since it was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autograd_lite.engine.arrays import held, remedy
from autograd_lite.engine.nodes import Leaf, Node, births
from autograd_lite.engine.table import Plan

_EXACT = 1 << 20  # bytes up to which a fingerprint is the content: a copy is the quickest, there
_WHOLE = 1 << 14  # bytes up to which a read-only array is looked at whole
# An array, its shape, its dtype, its fingerprint (bytes, if it was read-only), its argument:
Watched = tuple[Any, Any, Any, bytes | bytearray, int]


def watched(
    plan: Plan, exposed: int, saved: Sequence[Any], arguments: Sequence[Any]
) -> list[Watched] | None:
    """Return what must not change, bit i of ``exposed`` saying that argument i may.

    That is what rules read, and the variables: what was computed from one that has changed since
    is no result of it any more.
    """
    variadic = plan.primitive.variadic
    items: list[tuple[Any, int]] = []
    for place, source in plan.arguments:
        value = saved[place]
        if source == variadic:
            items += [(item, source) for k, item in enumerate(value) if exposed >> source + k & 1]
        elif exposed >> source & 1:
            items += [(i, source) for i in (_flat(value) if isinstance(value, tuple) else [value])]
    for argnum in plan.argnums:
        if exposed >> argnum & 1 and not plan.reads >> argnum & 1:
            items.append((arguments[argnum], argnum if variadic is None else min(argnum, variadic)))
    found: list[Watched] = []
    for array, source in items:
        array = array if array.__class__ is np.ndarray else held(array)
        if isinstance(array, np.ndarray):
            dtype = array.dtype
            if dtype.hasobject:
                raise TypeError(f"{plan.primitive.name} of {dtype}: {remedy(dtype)}")
            may_change = array.flags.writeable or not is_frozen(array)
            content = fingerprint(array) if may_change else _glimpse(array)
            found.append((array, array.shape, dtype, content, source))
    return found or None


def _flat(items: Sequence[Any]) -> list[Any]:
    """Return what is in nested tuples."""
    nested = [_flat(item) if isinstance(item, tuple) else [item] for item in items]
    return [item for part in nested for item in part]


def is_frozen(array: Any) -> bool:
    """Whether an array and whatever it is a view of are read-only."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return array is None


def is_own(values: Any) -> bool:
    """Whether values are those of a tensor that nobody has asked for: no view, read-only."""
    return isinstance(values, np.ndarray) and values.base is None and not values.flags.writeable


def fingerprint(array: Any) -> bytearray:
    """Return what compares equal as long as an array's content is the same.

    Up to 1 MiB that is the content, bit for bit. Beyond, it is the sums, modulo 2**64, of the
    columns of two tables of its 64-bit words, 2,039 and 2,029 wide. Any change of one word shows;
    so do two words that change places, unless they are a multiple of both widths apart, and rows
    that do.
    """
    return bytearray(_content(array))


def _content(array: Any) -> Any:
    """Return a fingerprint's bytes, not copied where they are the array's own."""
    if array.nbytes <= _EXACT:
        try:
            return array.data if array.flags.c_contiguous else array.tobytes()
        except ValueError:  # times are in no buffer
            return array.tobytes()
    raw = array.ravel(order="K").view(np.uint8)
    words = raw[: len(raw) // 8 * 8].view(np.uint64)
    parts = [raw[len(words) * 8 :]]
    for width in (2039, 2029):  # primes: no rows or columns of an array fall in line with both
        whole = len(words) // width * width
        parts += [words[:whole].reshape(-1, width).sum(axis=0), words[whole:]]
    return b"".join(part.tobytes() for part in parts)


def _glimpse(array: Any) -> bytes:
    """Return what tells an array that was made writeable, and changed, as a rule does change it."""
    if array.nbytes <= _WHOLE:
        return array.tobytes()  # type: ignore[no-any-return]
    return array.flat[:: array.size // 64].tobytes()  # type: ignore[no-any-return]


def changed_argument(node: Node) -> tuple[Any, int] | None:
    """Return an array that a rule reads and that changed since the call, and its argument."""
    for array, shape, dtype, before, place in node.watched or ():
        if before.__class__ is bytearray:
            same = before == _content(array)
        else:
            same = is_frozen(array) and before == _glimpse(array)
        if not same or array.shape != shape or array.dtype is not dtype:
            return array, place
    return None


def check_unchanged(node: Node) -> None:
    """Raise if an array that a rule of a node reads has changed since the call."""
    if changed := changed_argument(node):
        array, place = changed
        primitive = node.plan.primitive  # type: ignore[union-attr]
        raise RuntimeError(
            f"{primitive.name}: its argument {primitive.parameters[place]}, an array of shape "
            f"{array.shape}, was changed between the call and the computation of the gradient, "
            f"which would be wrong; compute the gradient first, or pass {primitive.name} a copy"
        )


_latest_move = -1


def move(leaf: Leaf) -> None:
    """Mark a leaf's array as about to be written to: older nodes take it as it is no more."""
    global _latest_move
    leaf.moved = _latest_move = next(births)


def hand_out(leaf: Leaf) -> None:
    """Note what a leaf holds before somebody may write to it."""
    global _latest_move
    if leaf.content is not None and was_written_to(leaf):
        leaf.moved = leaf.handed
    leaf.content = fingerprint(leaf.value) if isinstance(leaf.value, np.ndarray) else None
    leaf.handed = _latest_move = next(births)


def was_written_to(leaf: Leaf, values: Any = None) -> bool:
    """Whether a leaf's content is another than when it was handed out, or than these values."""
    if values is not None and values is not leaf.value and isinstance(values, np.ndarray):
        return bool(_content(values) != _content(leaf.value))
    return leaf.content is not None and bool(leaf.content != _content(leaf.value))


def check_not_moved(nodes: Sequence[Node]) -> None:
    """Refuse nodes, oldest first, one of which took a leaf before it was last written to."""
    for node in nodes:
        if node.plan is not None:
            if node.birth >= _latest_move:
                return
            break
    same: set[Leaf] = set()  # though they were handed out
    for node in nodes:
        for leaf in node.parents:
            if not isinstance(leaf, Leaf):
                continue
            if leaf.handed > node.birth > leaf.moved and leaf not in same:
                if was_written_to(leaf):
                    leaf.moved = leaf.handed
                same.add(leaf)
            if leaf.moved > node.birth:
                name = node.plan.primitive.name  # type: ignore[union-attr]
                which = f"leaf {leaf.name!r}" if leaf.name else "leaf"
                raise RuntimeError(
                    f"{name}: its {which} of shape {leaf.shape} was updated in place (by an "
                    f"optimiser's step, or by hand) after the call, so the gradient would be that "
                    f"of values that are gone; compute it again for each loss (inside forward), or "
                    f"take the gradient before the step"
                )
