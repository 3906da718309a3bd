"""Targets and options of a loss, checked before anything is computed.

Labels are range-checked; the weights, the smoothing and the ignored rows become how often each row
counts, or are worked into soft targets.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np

from autograd_lite.engine.arrays import (
    as_array,
    held,
    in_kind,
    indexed,
    is_foreign,
    kind,
    values_of,
)
from autograd_lite.engine.recording import bare, node_of
from autograd_lite.engine.tensor import Tensor
from autograd_lite.losses import kernels

Reduction = Literal["mean", "sum", "none"]


class Options(NamedTuple):
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
        kernel = kernels.of(logits, target, self.counts)
        losses, slope = kernel.cross_entropy(
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
        loss, dtype = losses * self.scale, logits.dtype
        return loss.astype(dtype) if kernel is kernels.whole else dtype.type(loss), slope

    def spread(self, g: Any) -> Any:
        """Return a cotangent of the loss as one that broadcasts against the logits."""
        return np.expand_dims(g, self.axis) if self.rowwise else g


def checked_floats(name: str, x: Any, axis: int) -> Any:
    """Return x as a floating-point array or tensor that has the axis."""
    if x.__class__ is not np.ndarray and not isinstance(x, Tensor):
        x = as_array(values_of(x, name))
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


def checked(
    name: str,
    logits: Any,
    target: Any,
    axis: int,
    weight: Any,
    ignore_index: int | None,
    label_smoothing: float,
    reduction: Reduction,
) -> tuple[Any, Any, Options]:
    """Return the arguments of a loss, checked before anything is computed."""
    __tracebackhide__ = True
    logits = checked_floats(name, logits, axis)
    array = bare(logits)
    shape, dtype = array.shape, array.dtype
    return logits, *checked_target(
        name,
        shape,
        dtype,
        target,
        axis,
        weight,
        ignore_index,
        label_smoothing,
        reduction,
        like=kind(array),
    )


def checked_target(
    name: str,
    shape: tuple[int, ...],
    dtype: Any,
    target: Any,
    axis: int,
    weight: Any,
    ignore_index: int | None,
    label_smoothing: float,
    reduction: Reduction,
    like: Any = None,
) -> tuple[Any, Options]:
    """Return labels, or soft targets with smoothing and weights worked in, and the options left.

    Lists become arrays of the kind of ``like``. What asks for values is not checked of arrays whose
    values cannot be asked.
    """
    __tracebackhide__ = True
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'{name}: reduction must be "mean", "sum" or "none", not {reduction!r}')
    axis %= len(shape)
    classes = shape[axis]
    weight = _checked_options(name, weight, ignore_index, label_smoothing, classes, dtype, like)
    if target.__class__ is not np.ndarray and not isinstance(target, Tensor):
        target = as_array(values_of(target, name), like)
    if classes == 1:
        z = "z" if target.ndim == len(shape) else f"np.squeeze(z, {axis})"
        z = "z[:, 0]" if z != "z" and shape[1:] == (1,) else z
        raise ValueError(
            f"{name}: logits of shape {shape} have one class, whose loss is always 0; for labels "
            f"0 and 1 use ag.nn.binary_cross_entropy_with_logits({z}, y)"
        )
    scale = 1.0
    if target.ndim == len(shape):
        if ignore_index is not None:
            raise ValueError(
                f"{name}: ignore_index needs class labels; give ignored rows of soft targets zeros"
            )
        target = _soft_targets(name, target, shape, dtype, axis)
        if weight is not None:
            others = tuple(i for i in range(len(shape)) if i != axis)
            target = target * np.expand_dims(weight, others)
        if label_smoothing:  # of what a row counts for: nothing, if it is all zeros
            share = label_smoothing / classes * target.sum(axis=axis, keepdims=True)
            target = (1 - label_smoothing) * target + share
        if reduction == "mean":
            scale = _one_over(math.prod(shape) // classes, dtype)
        return target, Options(axis, None, 0.0, scale, reduction)
    labels, counts = _labels(name, target, shape, dtype, axis, ignore_index)
    if weight is not None:
        chosen = indexed(weight, labels)
        counts = chosen if counts is None else counts * chosen
    if reduction == "mean":
        scale = _one_over(labels.size if counts is None else _total(counts), dtype)
    return labels, Options(axis, counts, label_smoothing, scale, reduction)


def _labels(
    name: str,
    target: Any,
    shape: tuple[int, ...],
    dtype: Any,
    axis: int,
    ignore_index: int | None,
) -> tuple[Any, Any]:
    """Return class labels, checked to be in range, and how often each row counts, if not once."""
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
    every = held(labels)
    if not isinstance(every, np.ndarray):
        return labels, counts
    # As unsigned numbers, negative labels are too large, too: one pass finds both.
    unsigned, classes = every.view(np.uintp), shape[axis]
    if unsigned.size and unsigned.item(unsigned.argmax()) >= classes:
        raise _out_of_range(name, held(target), (every < 0) | (every >= classes), classes)
    return labels, counts


def _checked_options(
    name: str,
    weight: Any,
    ignore_index: Any,
    label_smoothing: Any,
    classes: int,
    dtype: Any,
    like: Any,
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
    weight = as_array(values_of(bare(weight), name))
    if weight.dtype.kind not in "fiub":
        raise TypeError(f"{name}: the class weights must be numbers, not {weight.dtype}")
    weight = weight.astype(kernels.working(dtype))
    if weight.shape != (classes,):
        raise ValueError(
            f"{name}: the class weights have shape {weight.shape}, but there are {classes} classes"
        )
    if not is_foreign(weight) and not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise ValueError(f"{name}: the class weights must be finite and not negative")
    return weight if like is None else in_kind(weight, like)


def _soft_targets(name: str, target: Any, shape: tuple[int, ...], dtype: Any, axis: int) -> Any:
    """Return soft targets in the logits' dtype, checked to be numbers, to fit and to be finite."""
    if target.shape != shape:
        raise ValueError(
            f"{name}: soft targets must have the logits' shape {shape}, not {target.shape}; "
            f"class labels have the shape {shape[:axis] + shape[axis + 1 :]}"
        )
    if target.dtype.kind not in "fiu":
        raise TypeError(f"{name}: soft targets must be numbers, not {target.dtype}")
    values = held(bare(target))
    if not is_foreign(values) and not np.isfinite(values).all():
        raise ValueError(f"{name}: the soft targets hold nan or inf")
    return target if target.dtype == dtype else target.astype(dtype)


def _out_of_range(name: str, labels: Any, wrong: Any, classes: int) -> IndexError:
    """Return the error for the first of the wrong labels."""
    row = tuple(int(i) for i in np.argwhere(wrong)[0])
    return IndexError(
        f"{name}: label {labels[row]} at row {row[0] if len(row) == 1 else row} is out of range "
        f"for {classes} classes; pass ignore_index to leave rows out"
    )


def _one_over(count: Any, dtype: Any) -> Any:
    """Return the 1/N of a mean; 0 where there is nothing to average."""
    if is_foreign(count):
        return np.where(count > 0, 1 / np.where(count > 0, count, 1), 0)
    if not count > 0:
        return 0.0
    return 1 / (float(count) if dtype.itemsize <= 8 else dtype.type(count))


def _total(counts: Any) -> Any:
    return counts.sum(dtype=np.result_type(counts.dtype, np.float64))
