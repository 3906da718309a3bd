"""The softmax family: softmax, log-softmax, logsumexp, and the cross-entropy, fused and unfused.

With m the largest logit of a row, e_j = exp(z_j - m), s the sum of all e_j, t the sum over every j
but one that attains the maximum, and R the sum over every j but the label k,

    loss = (m - z_k) + log1p(t),    d loss / d z_j = e_j / s,    d loss / d z_k = -R / s.

Both terms of the loss are at least 0, so nothing cancels, and ``p_k - 1`` never appears: a row that
is certain of its label keeps a loss and a gradient that are right to the last digits. The arrays
are worked through in :mod:`autograd_lite.softmax_kernels`; this module makes nodes of them.

The gradient is formed together with the loss and kept for the first backward, which it is given
away to; later ones compute it again. Second derivatives come from the rules of the gradient, itself
a function of the table.

Conventions, beside those of PyTorch
------------------------------------
- Where no row counts, or there is none, the mean is 0.
- A row that is ignored, or whose class has the weight 0, or whose soft targets are all 0, has no
  effect, even if its logits are nan.
- A logit of -inf masks its class: probability and gradient are 0, and so is the share of a soft
  target of 0. A positive target there, of label smoothing too, makes the loss inf.
- A row that holds nan or +inf, or nothing but -inf, has the loss nan and a gradient of nan.
- With class weights and label smoothing together, a row counts as often as the weight of its label
  says and is smoothed evenly. PyTorch weighs each class's share of the smoothing: pass such targets
  as soft ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from autograd_lite import softmax_kernels as kernels
from autograd_lite.tape import derivative
from autograd_lite.tensor import Tensor, bare, call, node_of, primitive

Reduction = Literal["mean", "sum", "none"]


# ---------------------------------------------------------------------------- softmax and its logs


@primitive(lambda g, ans, axis: ans * (g - (ans * g).sum(axis=axis, keepdims=True)))
def _softmax(x: Any, axis: int) -> Any:
    return kernels.softmax(x, axis % x.ndim)


@primitive(lambda g, x, axis: g - _softmax(x, axis) * g.sum(axis=axis, keepdims=True))
def _log_softmax(x: Any, axis: int) -> Any:
    return kernels.log_softmax(x, axis % x.ndim)


@primitive(lambda g, x, axis: np.expand_dims(g, axis) * _softmax(x, axis))
def _logsumexp(x: Any, axis: int) -> Any:
    return kernels.logsumexp(x, axis % x.ndim)[()]


def softmax(x: ArrayLike | Tensor, axis: int = -1) -> Any:
    """Return ``exp(x)`` scaled to the sum 1 along an axis.

    Parameters
    ----------
    x : array_like or Tensor
        Floating-point, at least one axis. An entry of -inf has probability 0.
    axis : int
        The axis of the classes.

    Returns
    -------
    array or Tensor
        The shape and dtype of ``x``; nan where nan, +inf or nothing but -inf stand along the axis.

    Examples
    --------
    >>> ag.softmax([0.0, np.log(3.0)])
    array([0.25, 0.75])
    """
    return _softmax(_floats("ag.softmax", x, axis), axis)


def log_softmax(x: ArrayLike | Tensor, axis: int = -1) -> Any:
    """Return the logarithm of the softmax along an axis, accurate also where the softmax is near 1.

    Parameters
    ----------
    x : array_like or Tensor
        Floating-point, at least one axis. An entry of -inf has the result -inf.
    axis : int
        The axis of the classes.

    Returns
    -------
    array or Tensor
        The shape and dtype of ``x``, nan where that of :func:`softmax` is.

    Examples
    --------
    >>> ag.log_softmax([100.0, 0.0])
    array([-3.72007598e-44, -1.00000000e+02])
    """
    return _log_softmax(_floats("ag.log_softmax", x, axis), axis)


def logsumexp(x: ArrayLike | Tensor, axis: int = -1) -> Any:
    """Return ``log(sum(exp(x)))`` along an axis, without overflow.

    Parameters
    ----------
    x : array_like or Tensor
        Floating-point, at least one axis.
    axis : int
        The axis to sum over; it is removed.

    Examples
    --------
    >>> round(ag.logsumexp([1000.0, 1000.0]), 6)
    np.float64(1000.693147)
    """
    return _logsumexp(_floats("ag.logsumexp", x, axis), axis)


# ---------------------------------------------------------------------------- the fused node


class _Options(NamedTuple):
    """What a loss is computed with beside logits and target, worked out when it is called."""

    axis: int  # not negative
    counts: Any  # how often each row counts; None: once
    smoothing: float
    scale: Any  # the 1/N of a mean
    reduction: Reduction

    @property
    def rowwise(self) -> bool:
        """Whether there is one loss for each row."""
        return self.reduction == "none"

    def run(self, logits: Any, target: Any, want_gradient: bool) -> tuple[Any, Any]:
        """Return the loss and, if wanted, its gradient (of the losses' sum without a reduction)."""
        losses, slope = kernels.cross_entropy(
            logits,
            target,
            self.axis,
            counts=self.counts,
            smoothing=self.smoothing,
            scale=self.scale,
            want_gradient=want_gradient,
            summed=self.reduction != "none",
        )
        if self.reduction == "none":
            return losses.astype(logits.dtype, copy=False)[()], slope
        return logits.dtype.type(losses * self.scale), slope

    def spread(self, g: Any) -> Any:
        """Return a cotangent of the loss as one that broadcasts against the logits."""
        return np.expand_dims(g, self.axis) if self.rowwise else g


def _cross_entropy_recorded(
    tracked: Sequence[int], logits: Any, target: Any, options: _Options
) -> tuple[Any, dict[str, Any]]:
    """Return the loss, and its gradient for the first backward to take."""
    loss, slope = options.run(logits, target, 0 in tracked)
    return loss, {"slope": slope}


def _logits_cotangent(
    g: Any, ans: Any, logits: Any, target: Any, residual: Any, options: _Options
) -> Any:
    """Return ``g`` times the slope, ``(softmax(z) - y) / N`` in exact arithmetic."""
    if residual is None:  # rules are shown tensors
        loss = _cross_entropy(bare(logits), bare(target), options)
        slope = _cross_entropy_gradient(logits, target, options)
    else:
        slope = residual.pop("slope", None)
        if slope is not None:
            if options.rowwise or g != 1:
                slope *= options.spread(g)
            return slope
        loss, slope = options.run(logits, target, True)
    _check_replayed("ag.cross_entropy", ans, loss)
    return slope * options.spread(g)


def _target_cotangent(g: Any, ans: Any, logits: Any, target: Any, options: _Options) -> Any:
    """Return the cotangent of soft targets: ``-log_softmax(z) / N``."""
    loss = _cross_entropy(bare(logits), bare(target), options)
    _check_replayed("ag.cross_entropy", ans, loss)
    return _log_softmax(logits, options.axis) * (options.spread(g) * -options.scale)


def _cross_entropy_explained(
    logits: Any, target: Any, options: _Options
) -> tuple[str, dict[str, Any]]:
    """Return how the rule reads, and the ŷ and y that it speaks of."""
    y = target
    if y.ndim < logits.ndim:
        others = tuple(i for i in range(logits.ndim) if i != options.axis)
        classes = np.expand_dims(np.arange(logits.shape[options.axis]), others)
        y = (np.expand_dims(target, options.axis) == classes).astype(logits.dtype)
        y = y * (1 - options.smoothing) + options.smoothing / classes.size
    rule = "g * (ŷ - y)" + (" / N" if options.reduction == "mean" else "")
    if options.counts is not None:
        rule += ", each row as often as it counts"
    return rule, {"ŷ": kernels.softmax(logits, options.axis), "y": y}


def _fused(selects: bool) -> Callable[[Any, Any, _Options], Any]:
    """Return the function of the node, entered into the table."""

    def cross_entropy(logits: Any, target: Any, options: _Options) -> Any:
        return options.run(logits, target, False)[0]

    derivative(
        cross_entropy,
        _logits_cotangent,
        None if selects else _target_cotangent,  # rows are ignored by label alone
        recorded=_cross_entropy_recorded,
        explained=_cross_entropy_explained,
        selects=selects,
    )
    return cross_entropy


_cross_entropy = _fused(selects=False)
_cross_entropy_of_some = _fused(selects=True)  # some rows are ignored


def _check_replayed(name: str, before: Any, after: Any) -> None:
    """Refuse to differentiate a loss again whose arguments now give another value."""
    if not np.array_equal(bare(before), after, equal_nan=True):
        raise RuntimeError(
            f"{name}: an array it read was changed between the call and the computation of the "
            f"gradient, which would be wrong; compute the gradient first, or pass {name} a copy"
        )


def _slope_logits_cotangent(g: Any, logits: Any, target: Any, options: _Options) -> Any:
    """Return the product with each row's Hessian, ``mass (diag(p) - p pᵀ) / N``."""
    axis = options.axis
    if target.ndim == len(logits.shape):
        mass = target.sum(axis=axis, keepdims=True) * options.scale
        inert = (bare(target) == 0).all(axis=axis, keepdims=True)
    elif options.counts is not None:
        mass = np.expand_dims(options.counts * options.scale, axis)
        inert = mass == 0
    else:
        mass, inert = options.scale, False
    if np.any(inert):
        logits = np.where(inert, 0, logits)  # whatever they hold, nan too
    p = _softmax(logits, axis)
    return p * (g - (p * g).sum(axis=axis, keepdims=True)) * mass


def _slope_target_cotangent(g: Any, logits: Any, target: Any, options: _Options) -> Any:
    """Return the cotangent of soft targets in ``((sum y) p - y) / N``."""
    p = _softmax(logits, options.axis)
    return ((p * g).sum(axis=options.axis, keepdims=True) - g) * options.scale


@primitive(_slope_logits_cotangent, _slope_target_cotangent)
def _cross_entropy_gradient(logits: Any, target: Any, options: _Options) -> Any:
    """Return the gradient of the loss (of the sum of the losses without a reduction)."""
    return options.run(logits, target, True)[1]


def cross_entropy(
    logits: ArrayLike | Tensor,
    target: ArrayLike | Tensor,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Any:
    """Return the softmax cross-entropy ``-sum(y * log(softmax(z)))``, as one fused node.

    Parameters
    ----------
    logits : array_like or Tensor
        Floating-point, any number of axes, the classes along ``axis``.
    target : array_like or Tensor
        Class labels: integers, in the shape of the logits without ``axis``. Or soft targets:
        the logits' shape, differentiable too; rows need not sum to 1.
    axis : int
        The axis of the classes.
    weight : array_like, optional
        One factor for each class, finite and not negative. The mean divides by the weights of the
        labels (by the number of rows for soft targets).
    ignore_index : int, optional
        The label of rows that do not count, whatever their logits are.
    label_smoothing : float
        The share of the target, 0 to 1, that is spread evenly over all classes.
    reduction : {"mean", "sum", "none"}
        ``"none"`` gives one loss for each row.

    Returns
    -------
    number, array or Tensor
        The loss, in the logits' dtype.

    Raises
    ------
    IndexError
        For a label out of range, naming its row and value. Negative labels do not wrap around.
    TypeError
        For logits or labels of the wrong type.
    ValueError
        For a target of the wrong shape, soft targets or weights that are not finite, negative
        weights, a smoothing outside [0, 1], an unknown reduction.

    Notes
    -----
    The gradient in the logits is (softmax(z) - y) / N. See the module's text for the formula that
    keeps its digits and for the conventions.

    Examples
    --------
    >>> z = ag.Tensor([[2.0, 1.0, 0.0]], requires_grad=True)
    >>> loss = ag.cross_entropy(z, [0])
    >>> loss.backward()
    >>> loss
    Tensor(0.40760596, requires_grad=True)
    >>> z.grad
    array([[-0.33475904,  0.24472847,  0.09003057]])
    """
    logits, target, options = _checked(
        "ag.cross_entropy", logits, target, axis, weight, ignore_index, label_smoothing, reduction
    )
    some = options.counts is not None
    return call(_cross_entropy_of_some if some else _cross_entropy, (logits, target, options))


def unfused_cross_entropy(
    logits: ArrayLike | Tensor,
    target: ArrayLike | Tensor,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Any:
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
    z, y, options = _checked(
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
        if np.isneginf(bare(d)).any():
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


# ---------------------------------------------------------------------------- head and loss

_CHUNK_BYTES = 1 << 23  # of logits held at a time
_WEIGHT_BYTES = 1 << 22  # of the weight's gradient added to at a time


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
    options: _Options,
    chunk: int,
    g: Any = None,
) -> tuple[Any, dict[Any, Any]]:
    """Return the loss, and the cotangents of x, weight and bias, where tracked, by position.

    ``g`` is that of each row, if they differ. One chunk of rows of the logits exists at a time.
    """
    slopes: dict[Any, Any] = {
        k: np.zeros(v.shape, v.dtype) for k, v in enumerate((x, weight, bias)) if k in tracked
    }
    dtype = np.result_type(x, weight)
    losses = []
    for rows in _chunks(len(x), chunk):
        logits = x[rows] @ weight.T
        if bias is not None:
            logits += bias
        loss, slope = kernels.cross_entropy(
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
            step = max(1, _WEIGHT_BYTES // max(1, weight[:1].nbytes))
            for classes in _chunks(len(weight), step):
                slopes[1][classes] += slope[:, classes].T @ x[rows]
        if 2 in slopes:
            slopes[2] += slope.sum(axis=0)
        del logits, slope  # or they would stay until the next chunk's are there
    if options.rowwise:
        return np.concatenate([np.zeros(0, dtype), *losses]).astype(dtype, copy=False), slopes
    return dtype.type(sum(losses) * options.scale), slopes


def _linear_cross_entropy(
    x: Any, weight: Any, bias: Any, target: Any, options: _Options, chunk: int
) -> Any:
    """Return the loss alone."""
    return _linear_pass((), x, weight, bias, target, options, chunk)[0]


def _linear_cross_entropy_recorded(
    tracked: Sequence[int],
    x: Any,
    weight: Any,
    bias: Any,
    target: Any,
    options: _Options,
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
    options: _Options,
    chunk: int,
) -> Any:
    """Return the cotangent of x, weight, bias or target."""
    if argnum == 3 or residual is None:  # the target's; or rules are shown tensors
        arrays = bare(x), bare(weight), bare(bias), bare(target)
        loss = _linear_cross_entropy(*arrays, options, chunk)
        _check_replayed("ag.linear_cross_entropy", ans, loss)
        logits = _logits_of(x, weight, bias)
        if argnum == 3:
            return _log_softmax(logits, 1) * (options.spread(g) * -options.scale)
        slope = _cross_entropy_gradient(logits, target, options) * options.spread(g)
        return (slope @ weight, slope.T @ x, slope.sum(axis=0))[argnum]
    slope = residual.pop(argnum, None)
    if slope is None or (options.rowwise and residual["g"] is not g):
        rows_g = g if options.rowwise else None
        tracked = residual["tracked"]
        loss, slopes = _linear_pass(tracked, x, weight, bias, target, options, chunk, rows_g)
        _check_replayed("ag.linear_cross_entropy", ans, loss)
        residual.update(slopes, g=g)
        slope = residual.pop(argnum)
    if not options.rowwise and g != 1:
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
) -> Any:
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
    features: Any = _floats(name, x, -1)
    head: Any = _floats(name, weight, 0)
    if head.ndim != 2 or features.shape[-1] != head.shape[1]:
        raise ValueError(
            f"{name}: x of shape {features.shape} and weight of shape {head.shape} do not fit; "
            f"weight must be (classes, features), x (..., features)"
        )
    classes = head.shape[0]
    offset: Any = None if bias is None else _floats(name, bias, -1)
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
    y, options = _checked_target(
        name,
        (*rows_shape, classes),
        dtype,
        target,
        -1,
        class_weight,
        ignore_index,
        label_smoothing,
        reduction,
    )
    y = y.reshape(-1, classes) if y.ndim > len(rows_shape) else y.reshape(-1)
    counts = None if options.counts is None else options.counts.reshape(-1)
    options = options._replace(axis=1, counts=counts)
    loss = call(
        _linear_cross_entropy,
        (features.reshape(-1, features.shape[-1]), head, offset, y, options, int(rows)),
    )
    return loss.reshape(rows_shape) if options.rowwise else loss


# ---------------------------------------------------------------------------- checks of input


def _floats(name: str, x: Any, axis: int) -> Any:
    """Return x as a floating-point array or tensor that has the axis."""
    if not isinstance(x, (np.ndarray, Tensor)):
        x = np.asarray(x)
    array = bare(x)
    shape = array.shape
    if array.dtype.kind != "f":
        raise TypeError(
            f"{name}: expected floating-point values, not {array.dtype}; use astype(float)"
        )
    if not isinstance(axis, (int, np.integer)):
        raise TypeError(f"{name}: axis must be one integer, not {axis!r}; reshape several into one")
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"{name}: axis {axis} is out of range for shape {shape}")
    if shape[axis] == 0:
        raise ValueError(
            f"{name}: there are no classes along axis {axis % len(shape)} of shape {shape}"
        )
    return x


def _checked(
    name: str,
    logits: Any,
    target: Any,
    axis: int,
    weight: Any,
    ignore_index: int | None,
    label_smoothing: float,
    reduction: Reduction,
) -> tuple[Any, Any, _Options]:
    """Return the arguments of a loss, checked before anything is computed."""
    logits = _floats(name, logits, axis)
    array = bare(logits)
    shape, dtype = array.shape, array.dtype
    return logits, *_checked_target(
        name, shape, dtype, target, axis, weight, ignore_index, label_smoothing, reduction
    )


def _checked_target(
    name: str,
    shape: tuple[int, ...],
    dtype: Any,
    target: Any,
    axis: int,
    weight: Any,
    ignore_index: int | None,
    label_smoothing: float,
    reduction: Reduction,
) -> tuple[Any, _Options]:
    """Return labels, or soft targets with smoothing and weights worked in, and the options left."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'{name}: reduction must be "mean", "sum" or "none", not {reduction!r}')
    axis %= len(shape)
    classes = shape[axis]
    weight = _checked_options(name, weight, ignore_index, label_smoothing, classes, dtype)
    if not isinstance(target, (np.ndarray, Tensor)):
        target = np.asarray(target)
    scale = 1.0
    if target.ndim == len(shape):
        if ignore_index is not None:
            raise ValueError(
                f"{name}: ignore_index needs class labels; give ignored rows of soft targets zeros"
            )
        if classes == 1 and target.dtype.kind in "iu":
            raise ValueError(
                f"{name}: the logits have one class, whose loss is always 0; for labels 0 and 1 "
                f"use ag.nn.binary_cross_entropy_with_logits"
            )
        target = _soft_targets(name, target, shape, dtype, axis)
        if label_smoothing:  # not of a row of zeros, which is ignored
            counted = (bare(target) != 0).any(axis=axis, keepdims=True).astype(dtype)
            target = (1 - label_smoothing) * target + label_smoothing / classes * counted
        if weight is not None:
            others = tuple(i for i in range(len(shape)) if i != axis)
            target = target * np.expand_dims(weight, others)
        if reduction == "mean":
            scale = _one_over(math.prod(shape) // classes, dtype)
        return target, _Options(axis, None, 0.0, scale, reduction)
    if target.dtype.kind not in "iu":
        raise TypeError(
            f"{name}: class labels must be integers, not {target.dtype}; use astype(int), "
            f"or pass soft targets of the logits' shape {shape}"
        )
    if target.shape != shape[:axis] + shape[axis + 1 :]:
        raise ValueError(
            f"{name}: logits of shape {shape} need labels of shape "
            f"{shape[:axis] + shape[axis + 1 :]} (or soft targets of shape {shape}), "
            f"not {target.shape}"
        )
    if isinstance(target, Tensor):
        target = target._values
    labels = target if target.dtype == np.intp else target.astype(np.intp)
    counts = None
    if ignore_index is not None:
        ignored = target == ignore_index
        labels = np.where(ignored, 0, labels)
        counts = np.where(ignored, 0, kernels.working(dtype).type(1))
    # As unsigned numbers, negative labels are too large, too: one pass finds both.
    unsigned = labels.view(np.uintp)
    if unsigned.size and unsigned.item(unsigned.argmax()) >= classes:
        raise _out_of_range(name, target, (labels < 0) | (labels >= classes), classes)
    if weight is not None:
        counts = weight[labels] if counts is None else counts * weight[labels]
    if reduction == "mean":
        scale = _one_over(labels.size if counts is None else _total(counts), dtype)
    return labels, _Options(axis, counts, label_smoothing, scale, reduction)


def _one_over(count: Any, dtype: Any) -> Any:
    """Return the 1/N of a mean; 0 where there is nothing to average."""
    if not count > 0:
        return 0.0
    return 1 / (float(count) if dtype.itemsize <= 8 else dtype.type(count))


def _total(counts: Any) -> Any:
    return counts.sum(dtype=np.result_type(counts, np.float64))


def _checked_options(
    name: str, weight: Any, ignore_index: Any, label_smoothing: Any, classes: int, dtype: Any
) -> Any:
    """Return the class weights as an array, or None; refuse what options cannot be."""
    if node_of(weight) is not None or node_of(label_smoothing) is not None:
        raise TypeError(
            f"{name} has no derivative in weight or label_smoothing; pass their values, "
            f"weight.detach()"
        )
    if not isinstance(label_smoothing, (float, int, np.number)) or not 0 <= label_smoothing <= 1:
        raise ValueError(f"{name}: label_smoothing must lie in [0, 1], not {label_smoothing!r}")
    if ignore_index is not None and not isinstance(ignore_index, (int, np.integer)):
        raise TypeError(f"{name}: ignore_index must be an integer, not {ignore_index!r}")
    if weight is None:
        return None
    weight = np.asarray(weight, kernels.working(dtype))
    if weight.shape != (classes,):
        raise ValueError(
            f"{name}: the class weights have shape {weight.shape}, but there are {classes} classes"
        )
    if not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise ValueError(f"{name}: the class weights must be finite and not negative")
    return weight


def _soft_targets(name: str, target: Any, shape: tuple[int, ...], dtype: Any, axis: int) -> Any:
    """Return soft targets in the logits' dtype, checked to be numbers, to fit and to be finite."""
    if target.shape != shape:
        raise ValueError(
            f"{name}: soft targets must have the logits' shape {shape}, not {target.shape}; "
            f"class labels have the shape {shape[:axis] + shape[axis + 1 :]}"
        )
    if target.dtype.kind not in "fiu":
        raise TypeError(f"{name}: soft targets must be numbers, not {target.dtype}")
    if not np.isfinite(bare(target)).all():
        raise ValueError(f"{name}: the soft targets hold nan or inf")
    return target if target.dtype == dtype else target.astype(dtype)


def _out_of_range(name: str, labels: Any, wrong: Any, classes: int) -> IndexError:
    """Return the error for the first of the wrong labels."""
    row = tuple(int(i) for i in np.argwhere(wrong)[0])
    return IndexError(
        f"{name}: label {labels[row]} at row {row[0] if len(row) == 1 else row} is out of range "
        f"for {classes} classes; pass ignore_index to leave rows out"
    )
