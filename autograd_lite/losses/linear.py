"""A linear classifier and its cross-entropy in one node, which never holds all logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from autograd_lite.engine.arrays import alike, is_foreign, kind
from autograd_lite.engine.recording import bare, call
from autograd_lite.engine.table import derivative
from autograd_lite.engine.tensor import Result, Tensor
from autograd_lite.losses import kernels
from autograd_lite.losses.fused import check_replayed, cross_entropy_gradient
from autograd_lite.losses.probabilities import _log_softmax
from autograd_lite.losses.targets import Options, Reduction, checked_floats, checked_target

_CHUNK_BYTES = 1 << 23  # of logits held at a time
_WEIGHT_BYTES = 1 << 22  # of the weight's gradient added to at a time


def linear_cross_entropy(
    x: ArrayLike | Tensor,
    weight: ArrayLike | Tensor,
    target: ArrayLike | Tensor,
    *,
    bias: ArrayLike | Tensor | None = None,
    chunk: int | None = None,
    class_weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Result:
    """Return ``cross_entropy(x @ weightᵀ + bias, target)`` without ever holding all logits.

    The rows are worked through in chunks: the logits of one, its losses, its share of the
    gradients. What is kept for backward is the gradients themselves. Only second derivatives, and
    the gradient of soft targets, which has that size itself, form all the logits.

    Parameters
    ----------
    x : array_like or Tensor
        Features, ``(..., features)``.
    weight : array_like or Tensor
        The classifier's weights, ``(classes, features)``.
    target : array_like or Tensor
        Labels ``(...)`` or soft targets ``(..., classes)``.
    bias : array_like or Tensor, optional
        ``(classes,)``.
    chunk : int, optional
        Rows at a time; by default what makes 8 MiB of logits.
    class_weight, ignore_index, label_smoothing, reduction
        As ``weight`` and its like in :func:`cross_entropy`.

    Raises
    ------
    IndexError, TypeError, ValueError
        As :func:`cross_entropy`; also for shapes that do not fit together.

    Examples
    --------
    >>> x, w = np.array([[1.9, 0.4]]), np.array([[0.1, 0.1], [0.5, 0.5]])
    >>> round(ag.linear_cross_entropy(x, w, [0]), 8)
    np.float64(1.25541385)
    """
    name = "ag.linear_cross_entropy"
    features: Any = checked_floats(name, x, -1)
    head: Any = checked_floats(name, weight, 0)
    if head.ndim != 2 or features.shape[-1] != head.shape[1]:
        raise ValueError(
            f"{name}: x of shape {features.shape} and weight of shape {head.shape} do not fit; "
            f"weight must be (classes, features), x (..., features)"
        )
    classes = head.shape[0]
    offset: Any = None if bias is None else checked_floats(name, bias, -1)
    if offset is not None and offset.shape != (classes,):
        raise ValueError(
            f"{name}: bias must have shape {(classes,)}, one number for each class, "
            f"not {offset.shape}"
        )
    dtype = np.result_type(features.dtype, head.dtype)
    rows = chunk if chunk is not None else max(1, _CHUNK_BYTES // max(1, classes * dtype.itemsize))
    if not isinstance(rows, (int, np.integer)) or rows < 1:
        raise ValueError(f"{name}: chunk must be at least 1 row, not {chunk!r}")
    rows_shape = features.shape[:-1]
    y, options = checked_target(
        name,
        (*rows_shape, classes),
        dtype,
        target,
        -1,
        class_weight,
        ignore_index,
        label_smoothing,
        reduction,
        like=kind(features),
    )
    y = y.reshape(-1, classes) if y.ndim > len(rows_shape) else y.reshape(-1)
    counts = None if options.counts is None else options.counts.reshape(-1)
    options = options._replace(axis=1, counts=counts)
    loss = call(
        _linear_cross_entropy,
        (features.reshape(-1, features.shape[-1]), head, offset, y, options, int(rows)),
    )
    return loss.reshape(rows_shape) if options.rowwise else loss


def _chunks(count: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def _logits_of(x: Any, weight: Any, bias: Any) -> Any:
    logits = x @ weight.T
    return logits if bias is None else logits + bias


def _linear_pass(
    tracked: Sequence[int],
    x: Any,
    weight: Any,
    bias: Any,
    target: Any,
    options: Options,
    chunk: int,
    g: Any = None,
) -> tuple[Any, dict[Any, Any]]:
    """Return the loss, and the cotangents of x, weight and bias, where tracked, by position.

    ``g`` is that of each row, if they differ. One chunk of rows of the logits exists at a time.
    """
    slopes: dict[Any, Any] = {
        k: np.zeros(v.shape, v.dtype, like=kind(v))
        for k, v in enumerate((x, weight, bias))
        if k in tracked
    }
    dtype = np.result_type(x.dtype, weight.dtype)
    losses = []
    for rows in _chunks(len(x), chunk):
        logits = x[rows] @ weight.T
        if bias is not None and alike(logits, bias):
            logits += bias
        elif bias is not None:
            logits = logits + bias
        loss, slope = kernels.of(logits, target).cross_entropy(
            logits,
            target[rows],
            1,
            counts=None if options.counts is None else options.counts[rows],
            smoothing=options.smoothing,
            scale=options.scale,
            want_gradient=bool(slopes),
            summed=not options.rowwise,
        )
        losses.append(loss)
        if slope is not None and g is not None:
            slope *= g[rows, None]
        if 0 in slopes:
            np.matmul(slope, weight, out=slopes[0][rows])
        if 1 in slopes:
            step = max(1, _WEIGHT_BYTES // max(1, weight.shape[1] * weight.dtype.itemsize))
            for classes in _chunks(len(weight), step):
                slopes[1][classes] += slope[:, classes].T @ x[rows]
        if 2 in slopes:
            slopes[2] += slope.sum(axis=0)
        del logits, slope  # or they would stay until the next chunk's are there
    if options.rowwise:
        none = np.zeros(0, dtype, like=kind(x))
        return np.concatenate([none, *losses]).astype(dtype, copy=False), slopes
    loss = sum(losses) * options.scale
    return loss.astype(dtype) if is_foreign(loss) else dtype.type(loss), slopes


def _linear_cross_entropy(
    x: Any, weight: Any, bias: Any, target: Any, options: Options, chunk: int
) -> Any:
    """Return the loss alone."""
    return _linear_pass((), x, weight, bias, target, options, chunk)[0]


def _linear_cross_entropy_recorded(
    tracked: Sequence[int],
    x: Any,
    weight: Any,
    bias: Any,
    target: Any,
    options: Options,
    chunk: int,
) -> tuple[Any, dict[Any, Any]]:
    """Return the loss, and its gradients unless each row will get a cotangent of its own."""
    now = () if options.rowwise else tracked
    loss, slopes = _linear_pass(now, x, weight, bias, target, options, chunk)
    return loss, {"tracked": tracked, **slopes}


def _linear_cotangent(
    g: Any,
    argnum: int,
    ans: Any,
    x: Any,
    weight: Any,
    bias: Any,
    target: Any,
    residual: Any,
    options: Options,
    chunk: int,
) -> Any:
    """Return the cotangent of x, weight, bias or target."""
    # the target's; or rules are shown tensors, or batches beside arrays
    if argnum == 3 or residual is None or not alike(g, ans, x, weight, bias):
        arrays = bare(x), bare(weight), bare(bias), bare(target)
        loss = _linear_cross_entropy(*arrays, options, chunk)
        check_replayed("ag.linear_cross_entropy", ans, loss)
        logits = _logits_of(x, weight, bias)
        if argnum == 3:
            return _log_softmax(logits, 1) * (options.spread(g) * -options.scale)
        slope = cross_entropy_gradient(logits, target, options) * options.spread(g)
        return (slope @ weight, slope.T @ x, slope.sum(axis=0))[argnum]
    slope = residual.pop(argnum, None)
    if slope is None or (options.rowwise and residual["g"] is not g):
        rows_g = g if options.rowwise else None
        tracked = residual["tracked"]
        loss, slopes = _linear_pass(tracked, x, weight, bias, target, options, chunk, rows_g)
        check_replayed("ag.linear_cross_entropy", ans, loss)
        residual.update(slopes, g=g)
        slope = residual.pop(argnum)
    if not options.rowwise and (is_foreign(g) or g != 1):
        slope *= g
    return slope


derivative(
    _linear_cross_entropy,
    *[_linear_cotangent] * 4,
    recorded=_linear_cross_entropy_recorded,
    explained=lambda *_: (
        "that of cross_entropy(x @ weightᵀ + bias), a chunk at a time",
        {},
    ),
)
