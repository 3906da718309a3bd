"""Guard: a nan does not reach an argument to which no path leads.

No path leads to what a function that selects (``np.where``, ``np.maximum``, an index) did not take,
nor from where the cotangent that a pullback starts from is zero. A cotangent of zero that a rule
multiplies by nan or inf there is zero still. So where the gradient holds a nan and a selection took
part, the walk is repeated with such products set to zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from autograd_lite.engine.arrays import has_nan, held, like_sequence, possibly
from autograd_lite.engine.nodes import Node
from autograd_lite.engine.results import Outputs

# From a node, the number of a parent, the node's cotangent, and what the rule made of it for that
# parent, returns the last with zeros where no path leads.
Mask = Callable[[Node, int, Any, Any], Any]


def may_leak(root: Node, cotangents: Iterable[Any], selected: bool) -> bool:
    """Whether a nan among cotangents may be where no path leads."""
    return bool(selected or root.shape) and any(map(has_nan, cotangents))


def mask(
    nodes: Sequence[Node],
    root: Node,
    g: Any,
    ends: frozenset[Node],
    wanted: set[Node] | None,
    fitted: Callable[[Any, Node, Any], Any],
) -> Mask:
    """Return what sets to zero the contributions, or parts of them, to which no path leads.

    To find out where, marks are pulled back from ``g``, zero where there is no path; a tensor, in a
    pullback that is recorded itself, marks everything. Only a function that selects is told the
    values it saw. An elementwise one hands its mark on, and any other rule is shown random numbers,
    for what it saved and as marks, so that it is its structure that makes a mark zero.
    """
    whole = not isinstance(held(g), (np.ndarray, np.generic))
    start = np.ones(root.shape, root.dtype) if whole else (g != 0).astype(root.dtype)
    marks: dict[Node, Any] = {root: start}
    reached: dict[tuple[Node, int], Any] = {}
    rng = np.random.default_rng(0)

    def random(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return like_sequence(value, [random(item) for item in value])
        if getattr(getattr(value, "dtype", None), "kind", "") != "f":
            return value
        return rng.uniform(1, 2, value.shape).astype(value.dtype)

    def uneven(mark: Any) -> Any:
        """Return a mark whose parts no rule cancels, as that of a softmax does equal ones."""
        if isinstance(mark, Outputs):
            return Outputs({i: uneven(part) for i, part in mark.parts.items()}, mark)
        return mark * rng.uniform(1, 2, mark.shape).astype(mark.dtype)

    def replayed(node: Node) -> list[Any]:
        """Return random numbers for what a fused function saved, and its result for those."""
        plan = node.plan
        assert plan is not None
        shown = dict(zip(plan.sources, random(tuple(node.saved))))
        arguments = [shown[i] for i in range(len(plan.primitive.parameters))]
        shown |= {"ans": plan.primitive.compute(*arguments), "residual": None}
        return [shown[source] for source in plan.sources]

    for node in nodes:
        own, plan = marks.pop(node, None), node.plan
        if own is None or plan is None or node in ends:
            continue
        saved = node.saved
        if plan.primitive.recorded is not None:
            saved = replayed(node)
        elif not plan.elementwise and not plan.selects:
            saved, own = random(tuple(saved)), uneven(own)
        for k, ((rule, pick), parent) in enumerate(zip(plan.rules, node.parents)):
            if wanted is not None and parent not in wanted:
                continue
            if plan.elementwise and not plan.selects:
                d = sum(own) if isinstance(own, Outputs) else own
            else:
                d = rule(own, *(saved if pick is None else pick(saved)))
            if not isinstance(d, Outputs):
                d = reached[node, k] = np.abs(d)
            d = fitted(d, parent, plan.primitive)
            marks[parent] = marks[parent] + d if parent in marks else d

    def masked(node: Node, k: int, _: Any, d: Any) -> Any:
        own = reached.get((node, k))
        return d if own is None or not possibly(own == 0) else np.where(own == 0, 0, d)

    return masked
