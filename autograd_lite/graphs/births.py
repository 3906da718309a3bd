"""Where nan and inf come from: the operation that makes them of better numbers, or the data.

Nan made of inf is born, too, if no operation has made that inf. Every number is looked at; what
nothing holds any more is computed again, for this alone, where that can be done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autograd_lite.engine.nodes import Leaf, Node
from autograd_lite.engine.recording import bare
from autograd_lite.engine.results import Outputs, _result
from autograd_lite.graphs import replay
from autograd_lite.graphs.nodes import GraphNode
from autograd_lite.graphs.summary import BAD, badness


def gradient_born(node: Node, g: Any, *computed: Any) -> bool:
    """Whether a rule made nan or inf of a finite ``g`` and of better numbers than that it reads."""
    bad = badness(bare(computed))
    if not bad or badness(bare(list(g) if isinstance(g, Outputs) else g)):
        return False
    return bad > badness(list(node.saved))


def mark(
    of: Mapping[Node, GraphNode], nodes: Sequence[GraphNode], values: Mapping[Node, Any]
) -> None:
    """Say of the nodes of a graph, oldest first, at which the nan or inf among values begins."""
    if not any(made.value is not None and made.value.bad for made in nodes):
        return
    values = _completed(of, values)
    bad = {made.id: made.value.bad for made in nodes if made.kind == "constant" and made.value}
    bad |= _badness_of(of, values)
    origins = {made.id: [made] for made in nodes if not made.is_operation and bad.get(made.id)}
    unknown = {made.id for made in nodes if made.id not in bad}
    for node, made in of.items():
        if node.plan is None:
            continue
        sources = [edge.source for edge in made.arguments]
        worst = max((bad.get(source, 0) for source in sources), default=0)
        if made.id in unknown:  # it may have passed on what it was given
            bad[made.id] = worst
        got = bad[made.id]
        if not got:
            continue
        least = got if got <= worst else 1
        before = [x for s in sources if bad.get(s, 0) >= least for x in origins.get(s, ())]
        held = badness(list(replay.arguments(node, {}).values()))
        if got <= max(worst, held) or any(x.is_operation for x in before):
            origins[made.id] = list(dict.fromkeys(before))
            continue
        origins[made.id] = [made]
        if unknown.isdisjoint(sources) and (not made.missing or _born_anyway(node, made, values)):
            made.born, made.bad = "value", BAD[got]
    # Nan and inf of the data may be meant, as a mask's, unless they reach the result.
    if not any(made.born for made in nodes):
        for made in origins.get(nodes[-1].id, ()):
            made.born = "before" if made.is_operation else "data"
            made.bad = BAD[bad[made.id]]


def _completed(of: Mapping[Node, GraphNode], values: Mapping[Node, Any]) -> dict[Node, Any]:
    """Return the values with those that can be computed again."""
    began = min((node.birth for node in of if node.plan is not None), default=0)
    # What an optimiser has written to since is not what was computed with.
    known = {
        node: value
        for node, value in values.items()
        if node in of and not (isinstance(node, Leaf) and node.moved > began)
    }
    return known | replay.completed(list(of), known)


def _badness_of(of: Mapping[Node, GraphNode], values: Mapping[Node, Any]) -> dict[int, int]:
    """Return how bad the worst number of each node is, by its id."""
    bad = {of[node].id: badness(value) for node, value in values.items()}
    for node, made in of.items():
        if node.plan is not None and node.plan.primitive.function is _result:
            whole = of[node.parents[0]].id
            bad[whole] = max(bad.get(whole, 0), bad.get(made.id, 0))
    return bad


def _born_anyway(node: Node, made: GraphNode, values: Mapping[Node, Any]) -> bool:
    """Whether ones in place of what nothing holds any more, as in ``1 / x``, give nan or inf."""
    known = replay.arguments(node, values) | dict.fromkeys(made.missing, 1.0)
    return badness(replay.again(node, known)) > 0
