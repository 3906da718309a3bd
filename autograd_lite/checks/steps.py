"""Backpropagation through a function with one step done wrong, as people do it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from autograd_lite.engine.modes import Observer, observing
from autograd_lite.engine.nodes import Node
from autograd_lite.engine.recording import node_of
from autograd_lite.engine.results import Outputs
from autograd_lite.engine.tape import fitted, pullback
from autograd_lite.transforms.trace import Trace
from autograd_lite.transforms.trees import Function, Tree

MOST, NUMBERS = 200, 20_000_000  # steps back, nearest the argument, and cells, that are looked at


class Mistake(NamedTuple):
    """What a mistake in one step adds to the cotangent of a node."""

    text: str
    node: Node
    change: Any
    factor: float | None = None  # by which it multiplies what comes from there


class Step(NamedTuple):
    """A step back: what the cotangent ``g`` of a call becomes for one of its arguments."""

    node: Node
    argnum: int
    parent: Node
    g: Any
    unsummed: Any  # over what broadcasting repeated
    d: Any


class Steps(Observer):
    """A function's forward pass and its steps back to one argument, all of them kept."""

    def __init__(self, f: Function, args: Sequence[Tree], argnum: int) -> None:
        self.values: dict[Node, Any] = {}
        self.arguments: dict[Node, Sequence[Any]] = {}
        self.steps: list[Step] = []
        with observing(self):
            trace = Trace("ag.check_closed_form", f, args, [argnum], {})
            (self.leaf,), root = trace.targets, node_of(trace.outputs[0])
            self.gradient = np.zeros(self.leaf.shape)
            if root is not None:
                one = np.ones(root.shape, root.dtype)
                self.gradient = pullback(root, one, [self.leaf]).get(self.leaf, self.gradient)
        self.values[self.leaf] = args[argnum]
        self.steps = self.steps[-min(MOST, 1 + NUMBERS // max(1, self.leaf.size)) :]

    def called(self, node: Any, entry: Any, arguments: Sequence[Any], result: Any) -> None:
        """Keep what a call was given and gave."""
        if node is not None:
            self.values[node], self.arguments[node] = result, arguments

    def began(self) -> None:
        """Begin, or begin again."""
        self.steps.clear()

    def pulled(self, node: Any, k: int, g: Any, d: Any) -> None:
        """Keep a step back."""
        if node in self.values and not isinstance(g, Outputs):
            parent, plan = node.parents[k], node.plan
            whole = fitted(d, parent, plan.primitive)
            self.steps.append(Step(node, plan.argnums[k], parent, g, d, whole))

    def share(self, node: Node, g: Any) -> Any:
        """Return what of the gradient comes from a cotangent of a node."""
        return pullback(node, np.asarray(g, node.dtype), [self.leaf])[self.leaf]

    def mistakes(self) -> Iterator[Mistake]:
        """Yield what people do wrong in single steps."""
        for step in self.steps:
            for text, factor in self._factors(step):
                yield Mistake(text, step.parent, (factor - 1) * step.d, factor)
            yield from _slips(step)
        totals = self._totals()
        for node, g in totals.items():
            if node.shape and node.size > 1:
                above = next(_activations(self.values, totals, node), None)
                if above is not None:
                    yield from _in_activation(*above, self.values[node], g)
                yield from _in_logits(node, self.values[node], g, above)

    def _factors(self, step: Step) -> Iterator[tuple[str, float]]:
        """Yield what may be missing of a step, or there twice, and the factor that this makes."""
        name, arguments = step.node.plan.primitive.name, self.arguments[step.node]  # type: ignore[union-attr]
        if name in ("np.mean", "np.sum") and step.node.size:
            count = step.parent.size // step.node.size
            yield from _of_reduction(count, step.parent.shape, name == "np.mean")
        count = step.unsummed.size // max(1, step.d.size)
        if count > 1:
            yield f"a mean over {count} in place of a sum", 1 / count
        c: Any = 2.0 if name == "np.square" else None
        if name in _WRITTEN and len(step.node.parents) == 1 and len(arguments) == 2:
            c = arguments[1] if step.argnum == 0 else arguments[0]
        fits = step.argnum == 0 or name == "np.multiply"
        if fits and c is not None and np.ndim(c) == 0 and math.isfinite(c) and abs(c) not in (0, 1):
            factor = float(c) if name == "np.divide" else 1 / float(c)
            yield f"{_WRITTEN[name].format(c)} is missing", factor
            yield f"{_WRITTEN[name].format(c)} is there twice", 1 / factor

    def _totals(self) -> dict[Node, Any]:
        """Return the cotangent of each value: of what was computed twice, in the first's name."""
        first: dict[Any, Node] = {}
        same: dict[Node, Node] = {}
        totals = {self.leaf: self.gradient}
        for node, g in reversed({step.node: step.g for step in self.steps}.items()):
            parents = tuple(same.get(parent, parent) for parent in node.parents)
            key = node.plan.primitive, parents, self.values[node].tobytes()  # type: ignore[union-attr]
            same[node] = one = first.setdefault(key, node)
            totals[one] = totals[one] + g if one in totals else g
        return totals


_WRITTEN = {
    "np.multiply": "the factor {0:.6g}",
    "np.divide": "the 1/{0:.6g} of a division by {0:.6g}",
    "np.power": "the {0:.6g} of the power {0:.6g}",
    "np.square": "the {0:.6g} of the power {0:.6g}",
}


def _of_reduction(n: int, shape: Sequence[int], is_mean: bool) -> Iterator[tuple[str, float]]:
    """Yield by what a mean, or a sum, over n numbers may be divided in place of n, or of 1."""
    lengths = {math.prod(some) for k in (1, 2, 3) for some in itertools.combinations(shape, k)}
    if is_mean and n > 1:
        yield f"the 1/{n} of a mean over {n} is missing", n
        yield f"the 1/{n} of a mean over {n} is there twice", 1 / n
    for m in sorted(lengths - {0, 1, n if is_mean else 1}):
        text = f"divided by {m}, not by {n}: the mean is over {n}"
        yield (text, n / m) if is_mean else (f"a mean over {m} in place of a sum", 1 / m)


def _slips(step: Step) -> Iterator[Mistake]:
    primitive = step.node.plan.primitive  # type: ignore[union-attr]
    if primitive.elementwise and len(primitive.parameters) == 1 and step.g.shape == step.d.shape:
        text = f"the derivative of {primitive.name} is left out"
        yield Mistake(text, step.parent, step.g - step.d)
    if step.unsummed.ndim == 2 and step.d.shape == step.unsummed.shape[:1] > (1,):
        text = "the sum is taken over axis 1, not over axis 0"
        yield Mistake(text, step.parent, step.unsummed.sum(axis=1) - step.d)


# ---------------------------------------------------------------------------- softmax and sigmoid


def _softmax(z: Any, axis: int | None) -> Any:
    """Return the softmax along an axis, without one the sigmoid."""
    if axis is None:
        return np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z)))
    e = np.exp(z - np.max(z, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


def _axes(z: Any) -> list[int | None]:
    return [*(axis for axis in reversed(range(z.ndim)) if z.shape[axis] > 1), None]


def _back(p: Any, g: Any, axis: int | None) -> Any:
    """Return the cotangent of what p is the softmax, or sigmoid, of."""
    return p * (1 - p) * g if axis is None else p * (g - (p * g).sum(axis=axis, keepdims=True))


def _alike(a: Any, b: Any) -> bool:
    rtol = max(1e-5, float(np.finfo(np.result_type(a, b)).eps) ** 0.6)
    return bool(np.allclose(a, b, rtol=rtol, atol=0))


def _activations(
    values: dict[Node, Any], nodes: dict[Node, Any], node: Node
) -> Iterator[tuple[Node, int | None]]:
    """Yield the node that one is the softmax or sigmoid of, by its values, and along which axis."""
    p = values[node]
    if np.all((p > 0) & (p <= 1)):
        for z in nodes:
            if z.birth < node.birth and z.shape == node.shape:
                for axis in _axes(p):
                    if _alike(_softmax(values[z], axis), p):
                        yield z, axis


def _in_activation(z: Node, axis: int | None, p: Any, g: Any) -> Iterator[Mistake]:
    """Yield mistakes in the derivative of a softmax or sigmoid, made of however many calls."""
    if axis is None:
        forms = {"the sigmoid's own derivative, p (1 - p), is left out": g}
    else:
        alone = "the diagonal of the softmax's Jacobian alone, p (1 - p)"
        forms = {
            f"{alone}: every output depends on every input": p * (1 - p) * g,
            "the sum in the softmax's derivative, p (g - Σ p g), is left out": p * g,
            "the softmax's own derivative is left out": g,
        }
        for other in set(range(p.ndim)) - {axis}:
            text = f"the sum in the softmax's derivative is over axis {other}, not axis {axis}"
            forms[text] = _back(p, g, other)
    for text, form in forms.items():
        yield Mistake(text, z, form - _back(p, g, axis))


def _in_logits(
    node: Node, z: Any, g: Any, above: tuple[Node, int | None] | None
) -> Iterator[Mistake]:
    """Yield mistakes in a gradient ``scale (p - y)`` in the logits of a loss with y of 0 and 1."""
    for axis in _axes(z):
        p, negative = _softmax(z, axis), g < 0
        rest = _softmax(-z, None)
        if axis is not None:
            rest = np.where(negative, 0, p).sum(axis=axis, keepdims=True)
            if (negative.sum(axis=axis) > 1).any() or not negative.any():
                continue
        scale = np.max(g / np.where(negative, -rest, p), axis=axis, keepdims=True)
        uniform = np.ptp(scale) <= 1e-6 * np.max(scale)
        # Any gradient in two classes is that of some loss, row by row.
        sure = axis is None or z.shape[axis] > 2 or (uniform and scale.size > 1)
        if not sure or not _alike(scale * np.where(negative, -rest, p), g):
            continue
        y = negative.astype(float)
        for text, form in _forms(z, p, y, axis).items():
            yield Mistake(text, node, scale * form - g)
        if above is not None:
            u, along = above
            kind = "sigmoid" if along is None else "softmax"
            text = f"{kind} before a loss that takes logits, which is given {kind}(z) in place of z"
            yield Mistake(text, u, scale * (z - y) - _back(z, g, along))
        rows = scale.size
        is_mean = bool(np.isclose(scale.flat[0] * rows, 1)) and rows > 1
        if axis is not None and uniform and (is_mean or np.isclose(scale.flat[0], 1)):
            for text, factor in _of_reduction(rows, z.shape, is_mean):
                yield Mistake(text, node, (factor - 1) * g, factor)
        return


def _forms(z: Any, p: Any, y: Any, axis: int | None) -> dict[str, Any]:
    """Return what people write for ``p - y``."""
    alone, product = "only the label's term", p * (1 - p) * (p - y)
    forms = {
        "p in place of p - y: the target is not subtracted": p,
        "-p in place of p - y": -p,
        "y in place of p - y": y,
        f"-y in place of p - y: {alone}": -y,
        f"(p - y) y: {alone}": (p - y) * y,
        "-y / p: the derivative in the probabilities, the softmax's own left out": -y / p,
        "a sigmoid's p (1 - p) times p - y: the logarithm has cancelled it": product,
    }
    if axis is None:
        forms["a softmax in place of the sigmoid"] = _softmax(z, -1) - y
        return forms
    forms["a sigmoid in place of the softmax"] = _softmax(z, None) - y
    forms["the softmax is taken twice"] = _softmax(p, axis) - y
    for other in set(range(z.ndim)) - {axis}:
        text = f"the softmax is taken over axis {other}, not over axis {axis}"
        forms[text] = _softmax(z, other) - y
    return forms
