"""Fused against unfused softmax cross-entropy: time, graph, memory and error of the gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import autograd_lite as ag
from autograd_lite.checks import ulp_distance
from autograd_lite.tape import reachable
from autograd_lite.tensor import node_of

from .timing import in_turn, peak_bytes

REGIMES = ("ordinary", "offset 1e4", "saturated", "masked")
SIZES = ((32, 3), (128, 10), (1024, 100), (1024, 1000))
LOSSES = {"fused": ag.cross_entropy, "unfused": ag.unfused_cross_entropy}


def problem(
    batch: int, classes: int, dtype: Any, regime: str, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and labels of a regime.

    Ordinary logits are standard normal; offset ones have 1e4 added; saturated ones have the label's
    logit ahead by 40; of masked ones every other class but the label is at minus infinity.
    """
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(batch, classes))
    labels = rng.integers(classes, size=batch)
    rows = np.arange(batch)
    if regime == "offset 1e4":
        logits += 1e4
    elif regime == "saturated":
        logits[rows, labels] = logits.max(axis=1) + 40
    elif regime == "masked":
        kept = logits[rows, labels].copy()
        logits[:, ::2] = -np.inf
        logits[rows, labels] = kept
    return logits.astype(dtype), labels


def exact_gradient(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the gradient of the mean loss in extended precision, from the closed form."""
    z = logits.astype(np.longdouble)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    rows = np.arange(len(z))
    total = e.sum(axis=1)
    e[rows, labels] = 0
    e[rows, labels] = -e.sum(axis=1)
    return e / total[:, None] / len(z)


def ours(loss: Callable[..., Any], x: ag.Tensor, labels: np.ndarray) -> Callable[[], Any]:
    """Return a run of a loss, forward and backward, that returns the loss."""

    def run() -> Any:
        x.zero_grad()
        value = loss(x, labels)
        value.backward()
        return value

    return run


def kept_bytes(loss: Any, logits: np.ndarray) -> int:
    """Return the bytes that a graph keeps for its pullback, beside the logits."""
    arrays: dict[int, int] = {}
    for node in reachable(node_of(loss)):
        for item in node.saved:
            for array in item if isinstance(item, (tuple, list)) else (item,):
                if isinstance(array, np.ndarray):
                    owner = array if array.base is None else array.base
                    if isinstance(owner, np.ndarray) and owner is not logits:
                        arrays[id(owner)] = owner.nbytes
    return sum(arrays.values())


def rows(
    sizes: tuple[tuple[int, int], ...], dtypes: tuple[Any, ...], seconds: float
) -> Iterator[dict[str, Any]]:
    """Yield one row of figures for each size, dtype, regime and loss."""
    for batch, classes in sizes:
        for dtype in dtypes:
            for regime in REGIMES:
                logits, labels = problem(batch, classes, dtype, regime)
                x = ag.Tensor(logits, requires_grad=True)

                runs = {name: ours(loss, x, labels) for name, loss in LOSSES.items()}
                with np.errstate(all="ignore"):
                    timings = in_turn(runs, seconds)
                    exact = exact_gradient(logits, labels)
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
                            "kept bytes": kept_bytes(value, x._data),
                            "peak bytes": peak_bytes(run),
                            "error in ulps": gradient_error(exact, x.grad),
                        }


def gradient_error(exact: np.ndarray, gradient: np.ndarray) -> float:
    """Return the largest error of a gradient in ulps of its dtype; nan if a cell is nan."""
    return float("nan") if np.isnan(gradient).any() else ulp_distance(exact, gradient)
