"""A recorded computation run again: to fill in values, and to check gradients by differences."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from autograd_lite.graphs.summary import Summary
from autograd_lite.tape import Node, Primitive

WORK = 50_000_000  # elements that may be computed for all the differences of a graph
CALL = 1_000  # elements computed in the time of one call
MOST = 12  # entries of an array that are checked, those of the largest gradients
STEP = 6e-6  # the cube root of float64's precision, where both errors of a difference are alike


class Difference(NamedTuple):
    """The gradient of one entry by a central difference: the entry is moved up and down."""

    cell: tuple[int, ...]
    gradient: float
    step: float
    change: float  # of the output, from one end to the other

    @property
    def slope(self) -> float:
        """The change of the output for that of the entry."""
        return self.change / (2 * self.step)


def known_arguments(node: Node) -> dict[int, Any]:
    """Return what is still held of a call's arguments, by their places among the parameters."""
    plan = node.plan
    assert plan is not None
    known = dict(enumerate(getattr(node, "arguments", ())))
    for source, item in zip(plan.sources, node.saved):
        if isinstance(source, int):
            known.setdefault(source, item)
    return known


def with_parents(node: Node, known: dict[int, Any], values: Mapping[Node, Any]) -> dict[int, Any]:
    """Return the arguments of a call, those that are the values of nodes replaced by these."""
    plan = node.plan
    assert plan is not None
    variadic = plan.primitive.variadic
    for argnum, parent in zip(plan.argnums, node.parents):
        if parent not in values:
            continue
        if variadic is None or argnum < variadic:
            known[argnum] = values[parent]
        elif variadic in known:
            i = argnum - variadic
            items = known[variadic]
            known[variadic] = (*items[:i], values[parent], *items[i + 1 :])
    return known


def again(node: Node, known: Mapping[int, Any]) -> Any:
    """Return what a call gives once more; None if it needs an argument that nothing holds."""
    primitive = node.plan.primitive  # type: ignore[union-attr]
    positional: list[Any] = []
    named: dict[str, Any] = {}
    by_name = False
    for i, name in enumerate(primitive.parameters):
        by_name = by_name or i not in known or name in _keyword_only(primitive)
        if i == primitive.variadic:
            positional += known.get(i, ())
        elif not by_name:
            positional.append(known[i])
        elif i in known:
            named[name] = known[i]
    try:
        with np.errstate(all="ignore"):
            return primitive.function(*positional, **named)
    except (TypeError, ValueError):
        return None


@functools.cache
def _keyword_only(primitive: Primitive) -> frozenset[str]:
    if primitive.simple or primitive.function is np.where:  # has no signature before NumPy 2.4
        return frozenset()
    parameters = inspect.signature(primitive.function).parameters.values()
    return frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


class Replay:
    """The calls of a graph, ready to be made again from other numbers.

    Without the arguments that :func:`recording` keeps, a call is made from what its rules hold. It
    counts only if that gives its result once more, to the last bit.
    """

    def __init__(self, nodes: Sequence[Node], values: Mapping[Node, Any]) -> None:
        self.nodes = nodes
        self.values = dict(values)
        self.calls: dict[Node, dict[int, Any]] = {}
        for node in nodes:
            if node.plan is None:
                continue
            known = with_parents(node, known_arguments(node), self.values)
            result = again(node, known)
            if result is not None and _same(result, self.values.setdefault(node, result)):
                self.calls[node] = {i: _wide(value) for i, value in known.items()}

    def differences(
        self, cotangent: Any, gradients: Mapping[Node, Summary]
    ) -> dict[Node, list[Difference]]:
        """Return differences for the entries of the largest gradients of every node.

        They are those of the sum of the output times a cotangent, computed in float64. Nodes whose
        way to the output cannot be computed again have none; nor those for which it would take
        long, leaves being the first in turn.
        """
        found: dict[Node, list[Difference]] = {}
        work = WORK
        for node in sorted(gradients, key=lambda node: node.plan is not None):
            later = self._after(node)
            if node not in self.values or not all(n in self.calls for n in later):
                continue
            effort = 2 * sum(CALL + _size(self.values[n]) for n in later)
            value, gradient = _wide(self.values[node]), gradients[node].array.reshape(-1)
            for place in np.argsort(-np.abs(gradient), kind="stable")[:MOST].tolist():
                work -= effort
                if work < 0:
                    return found
                cell = gradients[node].index(place)
                step = STEP * max(1.0, abs(float(value[cell])))
                up, down = (
                    np.sum(cotangent * self._output(node, value, cell, by, later))
                    for by in (step, -step)
                )
                difference = Difference(cell, float(gradient[place]), step, float(up - down))
                found.setdefault(node, []).append(difference)
        return found

    def _after(self, node: Node) -> list[Node]:
        """Return the nodes computed from one, oldest first."""
        moved = {node}
        for other in self.nodes[self.nodes.index(node) :]:
            if not moved.isdisjoint(other.parents):
                moved.add(other)
        return [other for other in self.nodes if other in moved and other is not node]

    def _output(
        self, node: Node, value: Any, cell: tuple[int, ...], by: float, later: Sequence[Node]
    ) -> Any:
        """Return the output, an entry of a node's value moved."""
        value = np.array(value)
        value[cell] += by
        moved = {node: value}
        for other in later:
            moved[other] = again(other, with_parents(other, dict(self.calls[other]), moved))
        return moved[self.nodes[-1]]


def _wide(value: Any) -> Any:
    """Return arrays in float64, also those in a tuple."""
    if type(value) is tuple:
        return tuple(map(_wide, value))
    floats = isinstance(value, (np.ndarray, np.floating)) and value.dtype.kind == "f"
    return np.asarray(value, np.float64) if floats else value


def _size(value: Any) -> int:
    return sum(map(_size, value)) if isinstance(value, tuple) else int(np.size(value))


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, tuple):
        return all(map(_same, a, b))
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)
