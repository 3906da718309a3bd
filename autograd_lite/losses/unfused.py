"""The softmax cross-entropy as the operations that it is made of, to compare with."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from autograd_lite.engine.arrays import possibly
from autograd_lite.engine.recording import bare
from autograd_lite.engine.tensor import Result, Tensor
from autograd_lite.losses.targets import Reduction, checked


def unfused_cross_entropy(
    logits: ArrayLike | Tensor,
    target: ArrayLike | Tensor,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Result:
    """Return the softmax cross-entropy composed of exp, sum and log, for comparison.

    The value of :func:`cross_entropy`, but one node for each operation and the accuracy that honest
    NumPy code has: shifted by each row's maximum, a constant, so that nothing overflows, then
    ``log(sum(exp(d))) - d_k``.

    Parameters
    ----------
    logits, target, axis, weight, ignore_index, label_smoothing, reduction
        Those of :func:`cross_entropy`, which lists the errors raised too.

    Examples
    --------
    >>> round(ag.unfused_cross_entropy(np.array([[2.0, 1.0, 0.0]]), [0]), 8)
    np.float64(0.40760596)
    """
    __tracebackhide__ = True
    z, y, options = checked(
        "ag.unfused_cross_entropy",
        logits,
        target,
        axis,
        weight,
        ignore_index,
        label_smoothing,
        reduction,
    )
    d = z - bare(z).max(axis=axis, keepdims=True)
    losses = np.log(np.sum(np.exp(d), axis=axis))
    if y.ndim == z.ndim:
        if possibly(np.isneginf(bare(d))):
            d = np.where(bare(y) == 0, 0, d)  # a target of 0 has no share of a masked class
        losses = np.sum(y, axis=axis) * losses - np.sum(y * d, axis=axis)
    else:
        label = np.squeeze(np.take_along_axis(d, np.expand_dims(y, axis), axis), axis)
        if label_smoothing:
            label = (1 - label_smoothing) * label + label_smoothing * np.mean(d, axis=axis)
        losses = losses - label
    if options.counts is not None:
        losses = np.where(options.counts == 0, 0, losses) * options.counts
    return losses if options.rowwise else np.sum(losses) * options.scale
