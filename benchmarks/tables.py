"""The tables that ``python -m benchmarks`` prints, each a list of rows of plain numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import autograd_lite as ag

from . import engines
from .fused import error, exact, problem
from .timing import in_turn, peak_bytes

Row = dict[str, Any]

SIZES = (
    (32, 3),
    (128, 10),
    (1024, 10),
    (60000, 10),
    (128, 1000),
    (1024, 1000),
    (8192, 1000),
    (256, 32000),
    (2048, 50257),
)
LEADS = (0, 5, 10, 20, 40, 80)  # of the label's logit, in the table of errors
STEPS = ((128, 784, 10), (1024, 784, 10), (128, 784, 1000))  # batch, features, classes
LARGEST_IN_NUMPY = 1_100_000  # logits; beyond, what is written in NumPy takes too long to wait for


def cross_entropy_rows(
    sizes: tuple[tuple[int, int], ...], peers: list[str], seconds: float
) -> Iterator[Row]:
    """Yield the time of the fused loss, forward and backward, beside others, for each size.

    Below the times come ours over each of theirs, over that of the unavoidable passes alone, and
    the peak of what a call allocates over the size of the logits.
    """
    for batch, classes in sizes:
        logits, labels = problem(batch, classes, np.float32, "ordinary")
        entries = [
            name
            for name in engines.peers_of(peers)
            if batch * classes <= LARGEST_IN_NUMPY or name not in engines.IN_NUMPY
        ]
        runs = {"autograd_lite": engines.ours_cross_entropy(logits, labels)}
        runs |= {name: engines.CROSS_ENTROPIES[name](logits, labels) for name in entries}
        timings = in_turn(runs | {"passes": unavoidable_passes(logits)}, seconds)
        ours = timings["autograd_lite"].median
        row: Row = {"batch": batch, "classes": classes}
        row |= {name: timings[name] for name in runs}
        row |= {f"/ {name}": ours / timings[name].median for name in timings if name in entries}
        row["/ passes"] = ours / timings["passes"].median
        row["memory / logits"] = peak_bytes(runs["autograd_lite"]) / logits.nbytes
        yield row


def unavoidable_passes(logits: np.ndarray) -> engines.Run:
    """Return a run of max, subtract, exp, sum and scale over as many numbers, within the cache.

    Each pass works on 64 KiB at a time, in one flat array; no rows, labels or results to see to.
    """
    block = np.random.default_rng(0).normal(size=min(logits.size, 16384)).astype(logits.dtype)
    out = np.empty_like(block)
    repeats = max(1, round(logits.size / block.size))

    def run() -> None:
        for _ in range(repeats):
            top = block.max()
            np.subtract(block, top, out=out)
            np.exp(out, out=out)
            total = out.sum()
            np.multiply(out, 1 / total, out=out)

    return run


def accuracy_rows(peers: list[str]) -> Iterator[Row]:
    """Yield the largest error of the gradient, in ulps, by dtype and by how far the label leads."""
    for dtype in (np.float32, np.float64):
        # JAX computes in float32 unless told otherwise for the whole process.
        names = [n for n in engines.peers_of(peers) if dtype == np.float32 or "JAX" not in n]
        for lead in LEADS:
            logits, labels = problem(64, 10, dtype, "ordinary")
            if lead:
                logits[np.arange(len(labels)), labels] = logits.max(axis=1) + lead
            true = exact(logits, labels)[1]
            runs = {"autograd_lite": engines.ours_cross_entropy(logits, labels)}
            runs |= {name: engines.CROSS_ENTROPIES[name](logits, labels) for name in names}
            row: Row = {"dtype": np.dtype(dtype).name, "label ahead by": lead}
            yield row | {n: error(true, np.asarray(run())) for n, run in runs.items()}


def operation_rows(peers: list[str], seconds: float) -> Iterator[Row]:
    """Yield the cost of one recorded operation, forward and backward, on 8 elements."""
    length = 100
    x, w, b = np.linspace(-1, 1, 8), np.full(8, 0.9), np.full(8, 0.1)
    runs = {
        "NumPy, no derivative": engines.numpy_chain(x, w, b, length),
        "autograd_lite": engines.ours_chain(x, w, b, length),
    }
    runs |= {n: engines.CHAINS[n](x, w, b, length) for n in peers if n in engines.CHAINS}
    timings = in_turn(runs, seconds)
    for name, timing in timings.items():
        yield {
            "engine": name,
            "one operation": timing.over(3 * length),
            "over ours": timing.median / timings["autograd_lite"].median,
        }


def step_rows(peers: list[str], seconds: float) -> Iterator[Row]:
    """Yield the time of a softmax classifier's training step beside the closed form by hand.

    The data are in a tensor; those in an array, which others may change, are compared at backward.
    """
    rng = np.random.default_rng(0)
    for batch, features, classes in STEPS:
        x = rng.normal(size=(batch, features)).astype(np.float32)
        labels = rng.integers(classes, size=batch)
        w = rng.normal(size=(features, classes), scale=0.01).astype(np.float32)
        b = np.zeros(classes, np.float32)
        runs = {
            "by hand": engines.by_hand_step(x, labels, w, b),
            "autograd_lite": engines.ours_step(ag.Tensor(x), labels, w, b),
            "data in an array": engines.ours_step(x, labels, w, b),
        }
        if "PyTorch" in peers:
            runs["PyTorch"] = engines.torch_step(x, labels, w, b)
        timings = in_turn(runs, seconds)
        row: Row = {"batch": batch, "features": features, "classes": classes, **timings}
        for name in ("autograd_lite", "data in an array"):
            row[f"{name} / by hand"] = timings[name].median / timings["by hand"].median
        yield row


def head_rows(seconds: float, batch: int, features: int, classes: int) -> Iterator[Row]:
    """Yield time and memory of the classifier head and its loss, chunked and not."""
    rng = np.random.default_rng(0)
    x = ag.Tensor(rng.normal(size=(batch, features)).astype(np.float32), requires_grad=True)
    w = ag.Tensor((rng.normal(size=(classes, features)) * 0.05).astype(np.float32), True)
    labels = rng.integers(classes, size=batch)

    def chunked() -> Any:
        x.grad = w.grad = None
        ag.linear_cross_entropy(x, w, labels).backward()
        return w.grad

    def unchunked() -> Any:
        x.grad = w.grad = None
        ag.cross_entropy(x @ w.T, labels).backward()
        return w.grad

    runs = {"linear_cross_entropy": chunked, "x @ w.T, cross_entropy": unchunked}
    timings = in_turn(runs, seconds)
    for name, run in runs.items():
        x.grad = w.grad = None
        yield {
            "head": name,
            "batch": batch,
            "features": features,
            "classes": classes,
            "time": timings[name],
            "ratio": timings[name].median / timings["x @ w.T, cross_entropy"].median,
            "memory / logits": peak_bytes(run) / (batch * classes * 4),
        }
