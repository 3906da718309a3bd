"""The tape: what a recorded result depends on, and the pullback that plays it backwards.

Vocabulary
----------
cotangent
    The derivative of one scalar with respect to a value; it has the value's shape and dtype.
rule
    A function that turns the cotangent of a result into that of one argument: an entry of the
    table (``table.py``, which says what a rule may read).
node
    One recorded call: the nodes of its differentiable arguments (its parents) and what their rules
    read (``nodes.py``).

Invariants
----------
Parents are older than their children, so creation order is a topological order. The engine, never a
rule, sums what broadcasting repeated, casts to the argument's dtype, adds up the contributions of
several paths, and skips what does not lead to a target. It never writes into an array that it did
not allocate itself. This module knows no tensors: the ``see`` argument of :func:`pullback` decides
whether rules are shown bare arrays or tensors, and that is all there is to higher derivatives.

Two guards are called by name: ``changes`` refuses an array that is no longer what it was, ``paths``
keeps a nan from where no path leads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from autograd_lite.engine import changes, paths
from autograd_lite.engine.arrays import sum_of_leading
from autograd_lite.engine.modes import Observer, mode
from autograd_lite.engine.names import name_error
from autograd_lite.engine.nodes import Leaf as Leaf
from autograd_lite.engine.nodes import Node as Node
from autograd_lite.engine.table import Primitive

See = Callable[[Node], Sequence[Any]]
After = Callable[[Node, int, Any, Any], Any]  # of a node, a parent's number, g and the contribution
_birth = attrgetter("birth")


def reachable(root: Node, targets: Iterable[Node] = ()) -> list[Node]:
    """Return the nodes that ``root`` depends on, oldest first, not looking beyond ``targets``."""
    stop = set(targets)
    seen = {root}
    found = [root]
    for node in found:  # which grows
        if stop and node in stop:
            continue
        for parent in node.parents:
            if parent not in seen:
                seen.add(parent)
                found.append(parent)
    found.reverse()  # now all but in order, which is quick to sort
    found.sort(key=_birth)
    return found


@np.errstate(all="ignore")
def pullback(
    root: Node, g: Any, targets: Iterable[Node] | None = None, see: See | None = None
) -> dict[Node, Any]:
    """Return the cotangents of the targets, given that of the root.

    Parameters
    ----------
    root : Node
        The node of the value that is differentiated.
    g : array or tensor
        Its cotangent: the root's shape and dtype.
    targets : iterable of Node, optional
        Where to stop; by default every leaf. A target that the root does not depend on is
        absent from the result.
    see : callable, optional
        ``see(node)`` returns what the rules of a node are shown in place of what it saved. By
        default that is what they see: bare arrays.
    """
    ends = frozenset(targets or ())
    nodes = reachable(root, ends)
    wanted: set[Node] | None = None
    if targets is not None:
        wanted = set(ends)
        for node in nodes:
            if not wanted.isdisjoint(node.parents):
                wanted.add(node)
    changes.check_not_moved(nodes)
    nodes.reverse()
    observers = mode.get().observers
    try:
        after = _after(None, observers) if observers else None
        found, selected = _walk(nodes, root, g, ends, wanted, see, after)
        if paths.may_leak(root, found.values(), selected):
            after = _after(paths.mask(nodes, root, g, ends, wanted, fitted), observers)
            found, _ = _walk(nodes, root, g, ends, wanted, see, after)
    finally:
        for observer in observers:
            observer.ended()
    return found


def _walk(
    nodes: Sequence[Node],
    root: Node,
    g: Any,
    ends: frozenset[Node],
    wanted: set[Node] | None,
    see: See | None,
    after: After | None,
) -> tuple[dict[Node, Any], bool]:
    """Return the cotangents of the ends, and whether a function that selects took part."""
    cotangents: dict[Node, Any] = {root: g}
    owned: set[Node] = set()  # whose cotangent is a sum allocated here, so it may be added into
    found: dict[Node, Any] = {}
    selected = False
    for node in nodes:
        g = cotangents.pop(node, None)
        if g is None:
            continue
        plan = node.plan
        if plan is None or (ends and node in ends):
            found[node] = g
            continue
        if node.watched is not None:
            changes.check_unchanged(node)
        if plan.selects:
            selected = True
        saved = node.saved if see is None else see(node)
        parents = node.parents
        for k, (rule, pick) in enumerate(plan.rules):
            parent = parents[k]
            if wanted is not None and parent not in wanted:
                continue
            try:
                d = rule(g, *saved) if pick is None else rule(g, *pick(saved))
            except np.linalg.LinAlgError as error:  # a matrix that is singular
                name_error(error, f"{plan.primitive.name}, backward")
                raise
            if after is not None:
                d = after(node, k, g, d)
            try:
                if d.shape != parent.shape or d.dtype is not parent.dtype:
                    d = fitted(d, parent, plan.primitive)
            except AttributeError:
                raise _no_array(d, plan.primitive) from None
            if parent not in cotangents:
                cotangents[parent] = d
            elif parent in owned and d.__class__ is cotangents[parent].__class__:
                cotangents[parent] += d
            else:
                cotangents[parent] = cotangents[parent] + d
                owned.add(parent)
    return found, selected


def _after(mask: paths.Mask | None, observers: Sequence[Observer]) -> After:
    """Return what is done to each contribution: masked, and shown to who looks on."""
    for observer in observers:
        observer.began()

    def after(node: Node, k: int, g: Any, d: Any) -> Any:
        d = d if mask is None else mask(node, k, g, d)
        for observer in observers:
            observer.pulled(node, k, g, d)
        return d

    return after


def _no_array(d: Any, primitive: Primitive) -> TypeError:
    name = type(d).__name__
    return TypeError(f"the derivative rule of {primitive.name} returned {name}, not an array")


def fitted(d: Any, like: Node, primitive: Primitive) -> Any:
    """Return a cotangent in a node's shape and dtype.

    Summed over the axes that broadcasting added or stretched.
    """
    extra = len(d.shape) - len(like.shape)
    if primitive.broadcasts and extra >= 0:
        if extra:
            d = sum_of_leading(d, extra)
        if d.shape != like.shape:
            stretched = (i for i, n in enumerate(like.shape) if n == 1 and d.shape[i] != 1)
            d = d.sum(axis=tuple(stretched), keepdims=True)
    if d.shape != like.shape:
        raise ValueError(
            f"the derivative rule of {primitive.name} returned a cotangent of shape "
            f"{tuple(d.shape)} for an argument of shape {tuple(like.shape)}"
        )
    if d.dtype == like.dtype:
        return d
    if d.dtype.kind == "c":
        raise TypeError(f"the derivative rule of {primitive.name} returned complex numbers")
    return d.astype(like.dtype)
