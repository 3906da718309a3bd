"""Softmax and the cross-entropy of any kind of array, in functions of whole arrays.

The formulas are those that :mod:`~autograd_lite.losses.kernels.numpy` calls careful, with the
accuracy that they have there; see it for what the functions take and return. No value is asked for,
and nothing is written in place. A label that is out of range makes the loss of its row nan.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autograd_lite.engine.arrays import kind
from autograd_lite.losses.kernels.numpy import working


@np.errstate(all="ignore")
def softmax(x: Any, axis: int) -> Any:
    """Return ``exp(x_j)`` over the sum of all ``exp(x_i)`` along an axis."""
    _, _, e = _exponentials(x, axis)
    return (e / e.sum(axis=axis, keepdims=True)).astype(x.dtype)


@np.errstate(all="ignore")
def log_softmax(x: Any, axis: int) -> Any:
    """Return ``(x_j - m) - log1p(t)`` along an axis: two terms of one sign."""
    _, shifted, e = _exponentials(x, axis)
    return (shifted - _log_rest(shifted, e, axis)).astype(x.dtype)


@np.errstate(all="ignore")
def logsumexp(x: Any, axis: int) -> Any:
    """Return ``m + log1p(t)`` along an axis; -inf where every entry is, +inf where one is."""
    top, shifted, e = _exponentials(x, axis)
    result = np.where(np.isfinite(top), top + _log_rest(shifted, e, axis), top)
    return np.squeeze(result, axis).astype(x.dtype)


@np.errstate(all="ignore")
def cross_entropy(
    logits: Any,
    target: Any,
    axis: int,
    *,
    counts: Any = None,
    smoothing: float = 0.0,
    scale: Any = 1.0,
    want_gradient: bool = True,
    summed: bool = True,
) -> tuple[Any, Any]:
    """Return the losses, and the gradient of their sum in the logits."""
    _, shifted, e = _exponentials(logits, axis)
    soft = target.ndim == logits.ndim
    chosen = _is_at(e, target.argmax(axis) if soft else target, axis)
    if soft:
        y = target
    else:
        even = smoothing / logits.shape[axis]
        y = np.where(chosen, even + (1 - smoothing), even).astype(e.dtype)
    label, rest = _parted(e, chosen, axis)
    mine, others = _parted(y, chosen, axis)
    total, mass = rest + label, others + mine
    behind = -_parted(shifted, chosen, axis)[0]
    log_sum = np.where(behind == 0, np.log1p(rest / label), np.log(np.maximum(total, 1)))
    # 0 times the -inf of a masked class is 0
    cross = -np.where(y == 0, 0, y * shifted).sum(axis=axis, keepdims=True)
    losses = cross + mass * log_sum
    slope = e * (scale * mass / total) - y * scale
    slope = np.where(chosen, scale * (label * others - mine * rest) / total, slope)
    if soft or counts is not None:
        factor = 1 if counts is None else np.expand_dims(counts, axis)
        inert = (mine == 0) & (others == 0) if soft else factor == 0
        losses, slope = np.where(inert, 0, losses * factor), np.where(inert, 0, slope * factor)
    losses = np.squeeze(losses, axis)
    if summed:
        losses = losses.sum(dtype=np.result_type(losses.dtype, np.float64))
    return losses, slope.astype(logits.dtype) if want_gradient else None


def _exponentials(x: Any, axis: int) -> tuple[Any, Any, Any]:
    """Return the maximum m along an axis, ``x - m``, and ``exp(x - m)`` as if that were exact."""
    x = x.astype(working(x.dtype))
    top = x.max(axis=axis, keepdims=True)
    shifted = x - top
    change = shifted - x
    error = (x - (shifted - change)) - (top + change)  # x - m == shifted + error, exactly
    e = np.exp(shifted)
    return top, shifted, e + e * np.fmax(error, -1)  # nan where x is -inf, and exp is 0


def _is_at(e: Any, places: Any, axis: int) -> Any:
    """Return a mask of the classes that are at the places, one for each row."""
    others = tuple(i for i in range(e.ndim) if i != axis)
    classes = np.expand_dims(np.arange(e.shape[axis], like=kind(e)), others)
    return classes == np.expand_dims(places, axis)


def _parted(a: Any, chosen: Any, axis: int) -> tuple[Any, Any]:
    """Return the number of the chosen class, and the sum of all others."""
    parts = (np.where(chosen, a, 0), np.where(chosen, 0, a))
    one, others = (part.sum(axis=axis, keepdims=True) for part in parts)
    return one, others


def _log_rest(shifted: Any, e: Any, axis: int) -> Any:
    """Return ``log1p(t)`` of every row."""
    largest, rest = _parted(e, _is_at(e, shifted.argmax(axis), axis), axis)
    return np.log1p(rest / largest)
