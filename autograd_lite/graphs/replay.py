"""A recorded computation run again: to fill in values, and to check gradients by differences."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from autograd_lite.engine import arrays
from autograd_lite.engine.changes import changed_argument
from autograd_lite.engine.nodes import Leaf, Node
from autograd_lite.engine.results import SMALL
from autograd_lite.graphs.source import argument_name, noted
from autograd_lite.graphs.summary import Summary

WORK = 50_000_000  # elements that may be computed for all the differences of a graph
CALL = 1_000  # elements computed in the time of one call
MOST = 12  # entries of an array that are checked, those of the largest gradients
ROOM = 64 * 2**20  # bytes of results that are computed again to be shown
STEP = 6e-6  # the cube root of float64's precision, where both errors of a difference are alike

Arguments = dict[int | str, Any]


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


def arguments(node: Node, values: Mapping[Node, Any]) -> Arguments:
    """Return what is known of a call's arguments: what is still held, and the values of nodes.

    By their positions, those after several (the ``axis`` of ``*arrays, axis``) by their names.
    """
    plan = node.plan
    assert plan is not None
    parameters, variadic = plan.primitive.parameters, plan.primitive.variadic
    given = dict(zip(plan.sources, node.saved)) | dict(enumerate(noted(node, "arguments") or ()))
    known: Arguments = {}
    for i in sorted(source for source in given if isinstance(source, int)):
        if i == variadic:
            known |= enumerate(given[i], i)
        else:
            known[i if variadic is None or i < variadic else parameters[i]] = given[i]
    for argnum, parent in zip(plan.argnums, node.parents):
        if parent in values and (variadic is None or argnum in known):
            known[argnum] = values[parent]
    return known


def again(node: Node, known: Arguments) -> Any:
    """Return what a call gives once more; None if it needs an argument that nothing holds."""
    primitive = node.plan.primitive  # type: ignore[union-attr]
    if primitive.function is np.reshape:
        known = {**known, 1: node.shape}
    signature = primitive.signature
    by_keyword = signature.names[signature.positional :]
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for key, value in sorted(known.items(), key=lambda item: (isinstance(item[0], str), item[0])):
        name = key if isinstance(key, str) else argument_name(primitive, key)
        if key == len(positional) and name not in by_keyword:
            positional.append(value)
        else:
            named[name] = value
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the call was made before, and told then
            return primitive.function(*positional, **named)
    except (TypeError, ValueError):
        return None


def _repeated(
    nodes: Iterable[Node], values: dict[Node, Any]
) -> Iterator[tuple[Node, Arguments, bool]]:
    """Yield the calls that can be made again, and whether they give, to the last bit, the same.

    Values that are missing are filled in.
    """
    for node in nodes:
        if node.plan is not None:
            known = arguments(node, values)
            result = again(node, known)
            if result is not None:
                yield node, known, _same(result, values.setdefault(node, result))


def values(nodes: Sequence[Node], known: Mapping[Node, Any]) -> dict[Node, Any]:
    """Return the value of each node that has one: named, kept, or read by a rule, as it was then.

    Results that nothing kept are computed again: small elementwise ones, which hold what that
    takes, and what :func:`_confirmed` finds. Not if an array has changed since: one that a rule
    reads, or one that a known result shows by coming out differently.
    """
    found = dict(known)
    small = []
    for node in nodes:
        if (value := noted(node, "value")) is not None:
            found.setdefault(node, value)
        if node.plan is None:
            continue
        read = arguments(node, {})
        found |= {p: read[k] for k, p in zip(node.plan.argnums, node.parents) if k in read}
        if "ans" in node.plan.sources:
            found[node] = node.saved[node.plan.sources.index("ans")]
        if node.plan.elementwise and _bytes(node) and node.size <= SMALL:
            small.append(node)
    if any(map(changed_argument, nodes)):
        return found
    filled = dict(found)
    if all(same for *_, same in _repeated(small, filled)):
        found = filled
    return found | _confirmed(nodes, found)


def completed(nodes: Sequence[Node], known: Mapping[Node, Any]) -> dict[Node, Any]:
    """Return what the other calls give when they are made again, unless an array has changed since.

    Of functions of NumPy and of this package alone: another may draw random numbers.
    """
    found = dict(known)
    if not any(map(changed_argument, nodes)):
        for _ in _repeated(_pure(n for n in nodes if n not in known), found):
            pass
    return {node: value for node, value in found.items() if node not in known}


def _pure(nodes: Iterable[Node]) -> list[Node]:
    return [n for n in nodes if n.plan and n.plan.primitive.name.startswith(("np.", "ag."))]


def _confirmed(nodes: Sequence[Node], found: Mapping[Node, Any]) -> dict[Node, Any]:
    """Return the values that are missing and are certain to be what they were.

    Known ones come out of them to the last bit, or they are products of what has not changed. Of
    functions of NumPy and of this package alone: another may draw random numbers.
    """
    missing: set[Node] = set()
    room = ROOM
    for node in nodes:
        if node not in found and node.plan is not None:
            room -= _bytes(node)
            if _bytes(node) and room >= 0:
                missing.add(node)
    around = [n for n in nodes if n in missing or not missing.isdisjoint(n.parents)]
    filled = dict(found)
    right = {n for n, _, same in _repeated(_pure(around), filled) if same and n in found}
    right.update(node for node in missing if node in filled and _is_a_product_as_it_was(node))
    for node in reversed(nodes):
        if node in right:
            right.update(parent for parent in node.parents if parent in missing)
    return {node: filled[node] for node in missing & right}


def _is_a_product_as_it_was(node: Node) -> bool:
    """Whether a call is a matrix product of what its rules read, and of leaves as they were then.

    A product reads its one argument for the gradient of the other. What rules read is checked.
    """
    plan = node.plan
    return (
        plan is not None
        and plan.primitive.function is np.matmul
        and all(
            isinstance(parent, Leaf) and not parent.exposed and parent.moved < node.birth
            for argnum, parent in zip(plan.argnums, node.parents)
            if argnum not in plan.sources
        )
    )


def _bytes(node: Node) -> int:
    """Return the size of a result; 0 for several."""
    return 0 if isinstance(node.dtype, tuple) else node.size * node.dtype.itemsize


@np.errstate(all="ignore")
def differences(
    nodes: Sequence[Node],
    known: Mapping[Node, Any],
    cotangent: Any,
    gradients: Mapping[Node, Summary],
) -> dict[Node, list[Difference]]:
    """Return differences for the entries of the largest gradients of every node.

    They are those of the sum of the output times a cotangent, computed in float64. Without the
    arguments that :func:`recording` keeps, a call is made again from what its rules hold; it counts
    only if that gives its result once more, to the last bit. Nodes whose way to the output cannot
    be computed again have no differences; nor those for which it would take long, leaves being the
    first in turn.
    """
    values = dict(known)
    calls = {
        node: {key: _wide(value) for key, value in given.items()}
        for node, given, same in _repeated(nodes, values)
        if same
    }
    found: dict[Node, list[Difference]] = {}
    work = WORK
    for node in sorted(gradients, key=lambda node: node.plan is not None):
        later = _after(node, nodes)
        if node not in values or not all(n in calls for n in later):
            continue
        effort = 2 * sum(CALL + _size(values[n]) for n in later)
        value, gradient = _wide(values[node]), gradients[node].array.reshape(-1)
        for place in np.argsort(-np.abs(gradient), kind="stable")[:MOST].tolist():
            work -= effort
            if work < 0:
                return found
            cell = gradients[node].index(place)
            step = STEP * max(1.0, abs(float(value[cell])))
            ends = []
            for by in (step, -step):
                moved = {node: np.array(value)}
                moved[node][cell] += by
                for other in later:
                    parents = zip(other.plan.argnums, other.parents)  # type: ignore[union-attr]
                    inputs = {k: moved[parent] for k, parent in parents if parent in moved}
                    moved[other] = again(other, calls[other] | inputs)
                ends.append(float(np.sum(cotangent * moved[nodes[-1]])))
            difference = Difference(cell, float(gradient[place]), step, ends[0] - ends[1])
            found.setdefault(node, []).append(difference)
    return found


def _after(node: Node, nodes: Sequence[Node]) -> list[Node]:
    """Return the nodes computed from one, oldest first."""
    moved = {node: None}  # a dictionary, which keeps the order
    for other in nodes[nodes.index(node) :]:
        if any(parent in moved for parent in other.parents):
            moved[other] = None
    return list(moved)[1:]


def _wide(value: Any) -> Any:
    """Return arrays in float64, also those in a tuple."""
    if type(value) is tuple:
        return tuple(map(_wide, value))
    floats = isinstance(value, (np.ndarray, np.floating)) and value.dtype.kind == "f"
    return np.asarray(value, np.float64) if floats else value


def _size(value: Any) -> int:
    return sum(map(np.size, flat(value)))


def _same(a: Any, b: Any) -> bool:
    pairs = zip(map(arrays.held, flat(a)), map(arrays.held, flat(b)))
    return all(x.dtype == y.dtype and np.array_equal(x, y, equal_nan=True) for x, y in pairs)


def flat(value: Any) -> list[Any]:
    """Return what is in nested tuples, lists and dictionaries."""
    items = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list, tuple)):
        return [value]
    return [inner for item in items for inner in flat(item)]
