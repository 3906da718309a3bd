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


class Variant(NamedTuple):
    """A gradient as a mistake makes it; ``factor`` is by how much, where it is nothing else."""

    text: str
    gradient: Any
    factor: float | None = None


class Step(NamedTuple):
    """A step back: what the cotangent ``g`` of a call becomes for its parent ``k``."""

    node: Node
    k: int
    g: Any
    d: Any  # before what broadcasting repeated is summed

    @property
    def parent(self) -> Node:
        """The node of the argument."""
        return self.node.parents[self.k]


class Steps(Observer):
    """A function's forward pass and its steps back to one argument, all of them kept."""

    def __init__(self, f: Function, args: Sequence[Tree], argnum: int) -> None:
        self.values: dict[Node, Any] = {}
        self.arguments: dict[Node, Sequence[Any]] = {}
        self.steps: list[Step] = []
        with observing(self):
            trace = Trace("ag.check_closed_form", f, args, [argnum], {})
            (self.leaf,), root = trace.targets, node_of(trace.outputs[0])
            self.values[self.leaf] = args[argnum]
            self.gradient = np.zeros(self.leaf.shape)
            if root is not None:
                one = np.ones(root.shape, root.dtype)
                self.gradient = pullback(root, one, [self.leaf]).get(self.leaf, self.gradient)
        self.steps = self.steps[-min(MOST, 1 + NUMBERS // max(1, self.leaf.size)) :]
        self.totals = self._totals()

    def _totals(self) -> dict[Node, Any]:
        """Return the cotangent of each value: of what was computed twice, in the first's name."""
        first: dict[Any, Node] = {}
        same: dict[Node, Node] = {}
        totals = {self.leaf: self.gradient}
        for node, g in reversed({step.node: step.g for step in self.steps}.items()):
            if node in self.values:
                parents = tuple(same.get(parent, parent) for parent in node.parents)
                key = node.plan.primitive, parents, self.values[node].tobytes()  # type: ignore[union-attr]
                same[node] = one = first.setdefault(key, node)
                totals[one] = totals[one] + g if one in totals else g
        return totals

    def called(self, node: Any, entry: Any, arguments: Sequence[Any], result: Any) -> None:
        """Keep what a call was given and gave."""
        if node is not None:
            self.values[node], self.arguments[node] = result, arguments

    def began(self) -> None:
        """Begin, or begin again."""
        self.steps.clear()

    def pulled(self, node: Any, k: int, g: Any, d: Any) -> None:
        """Keep a step back."""
        if not isinstance(g, Outputs) and not isinstance(d, Outputs):
            self.steps.append(Step(node, k, g, d))

    def share(self, node: Node, g: Any) -> Any:
        """Return what of the gradient comes from a cotangent of a node."""
        return pullback(node, np.asarray(g, node.dtype), [self.leaf])[self.leaf]

    def replaced(self, node: Node, right: Any, wrong: Any) -> Any:
        """Return the gradient with what one step gives to a node replaced."""
        return self.gradient + self.share(node, wrong - right)

    def variants(self) -> Iterator[Variant]:
        """Yield what mistakes in single steps make of the gradient."""
        for step in self.steps:
            yield from self._in_step(step)
        yield from self._without_a_way()
        for a, total in self.totals.items():
            if total.ndim and total.size > 1:
                yield from self._of_activation(a, total)
                for find, kind in ((_softmax_loss, "softmax"), (_sigmoid_loss, "sigmoid")):
                    if (found := find(self.values[a], total)) is not None:
                        yield from self._of_logits(a, total, kind, *found)

    def _in_step(self, step: Step) -> Iterator[Variant]:
        parent, plan = step.parent, step.node.plan
        assert plan is not None
        name, d = plan.primitive.name, fitted(step.d, parent, plan.primitive)
        share = self.share(parent, d)
        whole = np.allclose(share, self.gradient, rtol=1e-9, atol=0)
        for text, factor in self._factors(step, name):
            changed = self.gradient + (factor - 1) * share
            yield Variant(text, changed, factor if whole else None)
        if plan.elementwise and len(plan.primitive.parameters) == 1 and name != "np.negative":
            text = f"the derivative of {name} is left out"
            yield Variant(text, self.replaced(parent, d, step.g))
        if np.shape(step.d) != parent.shape and step.d.ndim == 2 and parent.ndim == 1:
            for axis in (0, 1):
                other = step.d.sum(axis=axis)
                if other.shape == parent.shape and not np.array_equal(other, d):
                    text = f"the sum is taken over axis {axis}, not over axis {1 - axis}"
                    yield Variant(text, self.replaced(parent, d, other))

    def _without_a_way(self) -> Iterator[Variant]:
        """Yield the gradient without what comes to a node by one of several ways."""
        for node in self.totals:
            ways: dict[Node, Any] = {}
            for step in self.steps:
                if step.parent is node:
                    d = fitted(step.d, node, step.node.plan.primitive)  # type: ignore[union-attr]
                    ways[step.node] = ways.get(step.node, 0) + d
            for child, d in ways.items() if len(ways) > 1 else ():
                name = child.plan.primitive.name  # type: ignore[union-attr]
                text = f"the way through {name} is left out, one of {len(ways)} to the loss"
                yield Variant(text, self.gradient - self.share(node, d))

    def _factors(self, step: Step, name: str) -> Iterator[tuple[str, float]]:
        """Yield what may be missing of a step, or there twice, and the factor that this makes."""
        size, shape = step.node.size, step.parent.shape
        if name in ("np.mean", "np.sum") and size:
            yield from _of_reduction(name == "np.mean", step.parent.size // size, shape)
        count = math.prod(np.shape(step.d)) // max(1, step.parent.size)
        if count > 1:  # it was repeated by broadcasting
            yield f"a mean over {count} in place of a sum", 1 / count
        constants = [
            float(x)
            for i, x in enumerate(self.arguments[step.node])
            if i not in step.node.plan.argnums and np.ndim(x) == 0 and isinstance(x, _NUMBERS)  # type: ignore[union-attr]
        ]
        if name == "np.square":
            constants = [2.0]
        for c in constants:
            if not math.isfinite(c) or c in (0, 1, -1):
                continue
            if name == "np.multiply":
                yield f"the factor {c:.6g} is missing", 1 / c
                yield f"the factor {c:.6g} is there twice", c
            elif name == "np.divide" and step.node.plan.argnums[step.k] == 0:  # type: ignore[union-attr]
                yield f"the 1/{c:.6g} of a division by {c:.6g} is missing", c
                yield f"the 1/{c:.6g} of a division by {c:.6g} is there twice", 1 / c
            elif name in ("np.power", "np.square"):
                yield f"the {c:.6g} of the power {c:.6g} is missing", 1 / c
                yield f"the {c:.6g} of the power {c:.6g} is there twice", c

    def _of_activation(self, a: Node, g: Any) -> Iterator[Variant]:
        """Yield mistakes in the derivative of a softmax or sigmoid, made of however many calls."""
        for u, axis, kind in self._activated(a):
            p = self.values[a]
            if kind == "sigmoid":
                text = "the sigmoid's own derivative, p (1 - p), is left out"
                yield Variant(text, self.replaced(u, p * (1 - p) * g, g))
                continue
            right = p * (g - (p * g).sum(axis=axis, keepdims=True))
            forms = {
                "the diagonal of the softmax's Jacobian alone, p (1 - p): every output depends on "
                "every input": p * (1 - p) * g,
                "the sum in the softmax's derivative, p (g - Σ p g), is left out": p * g,
                "the softmax's own derivative is left out": g,
            }
            for other in set(range(p.ndim)) - {axis}:
                text = f"the sum in the softmax's derivative is over axis {other}, not axis {axis}"
                forms[text] = p * (g - (p * g).sum(axis=other, keepdims=True))
            for text, form in forms.items():
                yield Variant(text, self.replaced(u, right, form))

    def _activated(self, a: Node) -> Iterator[tuple[Node, int, str]]:
        """Yield a node that another is the softmax or sigmoid of, and along which axis."""
        p = self.values[a]
        if not np.all((p > 0) & (p <= 1)):
            return
        for u in self.totals:
            if u is a or u.birth > a.birth or u.shape != a.shape:
                continue
            if _alike(_sigmoid(self.values[u]), p):
                yield u, 0, "sigmoid"
                return
            for axis in range(p.ndim):
                if p.shape[axis] > 1 and _alike(_softmax(self.values[u], axis), p):
                    yield u, axis, "softmax"
                    return

    def _of_logits(
        self, z: Node, g: Any, kind: str, axis: int, scale: Any, p: Any, y: Any
    ) -> Iterator[Variant]:
        """Yield mistakes in ``scale (p - y)``, the gradient in the logits of a loss."""
        v = self.values[z]
        forms = {
            "p in place of p - y: the target is not subtracted": p,
            "-p in place of p - y": -p,
            "y in place of p - y": y,
            "-y in place of p - y: only the label's term": -y,
            "(p - y) y: only the label's term": (p - y) * y,
            "-y / p: the derivative in the probabilities, the softmax's own left out": -y / p,
            "a sigmoid's p (1 - p) times p - y: the logarithm has cancelled it": p
            * (1 - p)
            * (p - y),
        }
        if kind == "softmax":
            forms["a sigmoid in place of the softmax"] = _sigmoid(v) - y
            forms["the softmax is taken twice"] = _softmax(p, axis) - y
            for other in set(range(v.ndim)) - {axis}:
                text = f"the softmax is taken over axis {other}, not over axis {axis}"
                forms[text] = _softmax(v, other) - y
            yield from self._of_rows(axis, scale, v.shape)
        else:
            forms["a softmax in place of the sigmoid"] = _softmax(v, axis) - y
        for step in self.steps:  # a temperature
            if step.node is z and step.node.plan.primitive.name in ("np.divide", "np.multiply"):  # type: ignore[union-attr]
                u = self.values[step.parent]
                if u.shape == v.shape:
                    hot = _softmax(u, axis) if kind == "softmax" else _sigmoid(u)
                    forms[f"the {kind} is that of what is not scaled yet"] = hot - y
        for text, form in forms.items():
            yield Variant(text, self.replaced(z, g, scale * form))
        for u, along, of in self._activated(z):
            right = v * (1 - v) * g
            if of == "softmax":
                right = v * (g - (v * g).sum(axis=along, keepdims=True))
            text = f"{of} before a loss that takes logits: p - y, of p = {of}(z), needs it given z"
            yield Variant(text, self.replaced(u, right, scale * (v - y)))

    def _of_rows(self, axis: int, scale: Any, shape: tuple[int, ...]) -> Iterator[Variant]:
        """Yield mistakes in the 1/N of a cross-entropy."""
        classes, cells = shape[axis], math.prod(shape)
        rows, s = cells // classes, float(np.max(scale))
        if not np.allclose(scale, s):
            return
        for n, what in ((classes, f"the {classes} classes"), (cells, f"all {cells} cells")):
            if np.isclose(s, 1):
                text, factor = f"divided by {what}: the loss is a sum", 1 / n
            elif np.isclose(s * rows, 1) and n != rows:
                text, factor = f"divided by {what}, not by the {rows} rows", rows / n
            else:
                continue
            yield Variant(text, factor * self.gradient, factor)
        if rows > 1 and (np.isclose(s * rows, 1) or np.isclose(s, 1)):
            for text, factor in _of_reduction(not np.isclose(s, 1), rows, (rows,)):
                yield Variant(text, factor * self.gradient, factor)


_NUMBERS = (int, float, np.number, np.ndarray)


def _of_reduction(is_mean: bool, n: int, shape: Sequence[int]) -> Iterator[tuple[str, float]]:
    """Yield by what a mean, or a sum, over n numbers may be divided in place of n, or of 1."""
    lengths = {math.prod(some) for k in (1, 2, 3) for some in itertools.combinations(shape, k)}
    if is_mean and n > 1:
        yield f"the 1/{n} of a mean over {n} is missing", n
        yield f"the 1/{n} of a mean over {n} is there twice", 1 / n
    for m in sorted(lengths - {1, n if is_mean else 1}):
        text = f"divided by {m}, not by {n}: the mean is over {n}"
        yield (text, n / m) if is_mean else (f"a mean over {m} in place of a sum", 1 / m)


def _alike(a: Any, b: Any) -> bool:
    rtol = max(1e-5, float(np.finfo(np.result_type(a, b)).eps) ** 0.6)
    return bool(np.allclose(a, b, rtol=rtol, atol=0))


def _softmax(z: Any, axis: int) -> Any:
    e = np.exp(z - np.max(z, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


def _sigmoid(z: Any) -> Any:
    return np.where(z > 0, 1, np.exp(np.minimum(z, 0))) / (1 + np.exp(-np.abs(z)))


Found = tuple[int, Any, Any, Any] | None


def _softmax_loss(z: Any, g: Any) -> Found:
    """Return axis, scale, p and y if a gradient is scale (softmax(z) - y) with one-hot y.

    The scale may differ from row to row, where rows have weights, if there are three classes.
    """
    negative = g < 0
    for axis in reversed(range(g.ndim)):
        counts = negative.any(axis=axis, keepdims=True)
        if g.shape[axis] < 2 or (negative.sum(axis=axis) > 1).any() or not counts.any():
            continue
        p = _softmax(z, axis)
        rest = np.where(negative, 0, p).sum(axis=axis, keepdims=True)
        scale = np.where(counts, -(g * negative).sum(axis=axis, keepdims=True) / rest, 0)
        even = np.ptp(scale[counts]) <= 1e-6 * scale.max() and counts.sum() > 1
        if _alike(scale * np.where(negative, -rest, p), g) and (even or g.shape[axis] > 2):
            return axis, scale, p, negative.astype(float)
    return None


def _sigmoid_loss(z: Any, g: Any) -> Found:
    """Return an axis, scale, p and y if a gradient is scale (sigmoid(z) - y) with y of 0 and 1."""
    negative = g < 0
    slopes = np.where(negative, -_sigmoid(-z), _sigmoid(z))
    scale = float(np.median(g / slopes))
    found = g.ndim - 1, scale, _sigmoid(z), negative.astype(float)
    return found if _alike(scale * slopes, g) else None
