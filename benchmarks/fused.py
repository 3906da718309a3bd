"""Fused against unfused softmax cross-entropy: time, graph, memory and error of the gradient."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import autograd_lite as ag
from autograd_lite.checks import ulp_distance
from autograd_lite.engine.recording import node_of
from autograd_lite.engine.tape import reachable

from .timing import in_turn, peak_bytes

REGIMES = ("ordinary", "offset 1e4", "saturated", "masked", "masked, soft targets")
SIZES = ((32, 3), (128, 10), (1024, 100), (1024, 1000))
LOSSES = {"fused": ag.cross_entropy, "unfused": ag.unfused_cross_entropy}


def problem(
    batch: int, classes: int, dtype: Any, regime: str, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and labels of a regime.

    Ordinary logits are standard normal; offset ones have 1e4 added; saturated ones have the label's
    logit ahead by 40; of masked ones every other class but the label is at minus infinity; soft
    targets are the labels as zeros and ones.
    """
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(batch, classes))
    labels = rng.integers(classes, size=batch)
    rows = np.arange(batch)
    if regime == "offset 1e4":
        logits += 1e4
    elif regime == "saturated":
        logits[rows, labels] = logits.max(axis=1) + 40
    elif regime.startswith("masked"):
        kept = logits[rows, labels].copy()
        logits[:, ::2] = -np.inf
        logits[rows, labels] = kept
    return logits.astype(dtype), labels


def exact(logits: np.ndarray, labels: np.ndarray) -> tuple[Any, np.ndarray]:
    """Return the mean loss and its gradient in extended precision, without cancellation."""
    z = logits.astype(np.longdouble)
    rows = np.arange(len(z))
    top = z.max(axis=1)
    e = np.exp(z - top[:, None])
    total = e.sum(axis=1)
    first = z.argmax(axis=1)
    e[rows, first] = 0
    losses = top - z[rows, labels] + np.log1p(e.sum(axis=1))
    e[rows, first] = 1
    e[rows, labels] = 0
    e[rows, labels] = -e.sum(axis=1)
    return losses.mean(), e / total[:, None] / len(z)


def ours(loss: Callable[..., Any], x: ag.Tensor, target: np.ndarray) -> Callable[[], Any]:
    """Return a run of a loss, forward and backward, that returns the loss."""

    def run() -> Any:
        x.zero_grad()
        value = loss(x, target)
        value.backward()
        return value

    return run


def kept_bytes(loss: Any, logits: np.ndarray) -> int:
    """Return the bytes that a graph keeps for its pullback, beside the logits."""
    owners: dict[int, np.ndarray] = {}

    def visit(item: Any) -> None:
        if isinstance(item, np.ndarray):
            owner = item if item.base is None else item.base
            if isinstance(owner, np.ndarray) and owner is not logits:
                owners[id(owner)] = owner
        elif isinstance(item, (tuple, list)):
            for part in item:
                visit(part)
        elif isinstance(item, dict):
            visit(list(item.values()))

    for node in reachable(node_of(loss)):
        visit(node.saved)
    return sum(owner.nbytes for owner in owners.values())


def rows(sizes: tuple[tuple[int, int], ...], seconds: float) -> Iterator[dict[str, Any]]:
    """Yield one row of figures for each size, dtype, regime and loss."""
    for (batch, classes), dtype, regime in itertools.product(
        sizes, (np.float32, np.float64), REGIMES
    ):
        logits, labels = problem(batch, classes, dtype, regime)
        target = np.eye(classes, dtype=dtype)[labels] if "soft" in regime else labels
        true_loss, true_gradient = exact(logits, labels)
        x = ag.Tensor(logits, requires_grad=True)
        runs = {name: ours(loss, x, target) for name, loss in LOSSES.items()}
        with np.errstate(all="ignore"):
            timings = in_turn(runs, seconds)
            for name, run in runs.items():
                value = run()
                yield {
                    "batch": batch,
                    "classes": classes,
                    "dtype": np.dtype(dtype).name,
                    "logits": regime,
                    "loss": name,
                    "time": timings[name],
                    "nodes": len(reachable(node_of(value))) - 1,
                    "kept bytes": kept_bytes(LOSSES[name](x, target), x._values),
                    "peak bytes": peak_bytes(run),
                    "loss in ulps": error(true_loss, value.data),
                    "gradient in ulps": error(true_gradient, x.grad),
                }


def error(true: Any, computed: Any) -> float:
    """Return the largest error in ulps of the computed dtype; nan if a number is nan."""
    return float("nan") if np.isnan(computed).any() else ulp_distance(true, computed)
