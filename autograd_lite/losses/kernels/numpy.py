"""Softmax and the cross-entropy on plain arrays, in NumPy alone, in blocks that stay in cache.

Every kernel sees its array as rows of classes, whatever the class axis, and works on a block of
rows ``z`` at a time, in place on a contiguous buffer ``e`` of the block's shape: where the class
axis is the last one, a slice of the result itself. There are two ways to the exponentials:

quick
    ``e_j = exp(z_j)``. The usual shift by the row's largest logit m only guards against over- and
    underflow; a block whose sums show that neither happened needs no maximum and no subtraction.
    ``loss = log1p(R / e_k)``, R the sum over every class but the label k.
careful
    For everything else: large offsets, nan and inf, a label far behind, label smoothing, soft
    targets. ``e_j = exp(z_j - m)`` without the rounding error of the difference;
    ``loss = (m - z_k) + log1p(t)``, t the sum over every class but one that attains the maximum.

No term of either loss is negative, so nothing cancels. Either way the gradient is ``e_j / s``, s
the sum of a row, and ``-R / s`` at the label: never ``p_k - 1``, which has no correct digit left
where the label is nearly certain.

A row that holds nan or +inf, or nothing but -inf, has the loss nan and a gradient of nan, and
touches no other row. A class at -inf is masked: probability and gradient 0. A label at -inf makes
the loss inf and leaves the gradient finite.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_SHORT = 64  # rows of fewer classes are too short for NumPy's inner loops
_BLOCK_BYTES = 1 << 20  # of exponentials: measured best of 128 KiB to 4 MiB
_SHORT_BLOCK_BYTES = 3 << 16  # with short rows, where what there is one of per row weighs, too


class _Limits(NamedTuple):
    """What the range of a floating-point type means for exponentials."""

    square: Any  # of the largest sum of plain exponentials
    highest: Any  # logit whose plain exponential is no larger
    moderate: Any  # size of a logit up to which no exponential, sum or ratio goes wrong
    far: Any  # size of a maximum from which on z - m is exact wherever exp(z - m) is not 0
    ones: Array  # as many as terms may be added up in a few running sums


def _limits(dtype: Any, terms: int) -> _Limits:
    info = np.finfo(dtype)
    largest = np.ldexp(info.dtype.type(1), info.maxexp // 2 - 4)
    far = -2 * np.log(info.smallest_subnormal)
    highest = np.log(largest)
    return _Limits(largest * largest, highest, 0.9 * highest, far, np.ones(terms, dtype))


_LIMITS = {"f": _limits("f", 128), "d": _limits("d", 32), "g": _limits("g", 32)}
_SMALLEST_SUM = 0.135  # exp(-2): a plain exponential underflows only where e_j / s does, too
_LOWEST = -2.0  # logit whose plain exponential is no smaller


# ---------------------------------------------------------------------------- the kernels


def cross_entropy(
    logits: Array,
    target: Array,
    axis: int,
    *,
    counts: Array | None = None,
    smoothing: float = 0.0,
    scale: float = 1.0,
    want_gradient: bool = True,
    summed: bool = True,
) -> tuple[Any, Any]:
    """Return the losses, and the gradient of their sum in the logits.

    Parameters
    ----------
    logits : array
        Floating-point; float16 is computed in float32.
    target : array
        Labels, of the logits' shape without the class axis, in range; or soft targets, of the
        logits' shape and dtype.
    axis : int
        The class axis, not negative.
    counts : array, optional
        How often each row counts, for labels. A row that counts 0 times is inert, whatever it
        holds.
    smoothing : float
        The share of the target that is spread evenly over the classes, for labels.
    scale : float
        Multiplies the gradient.
    want_gradient, summed : bool
        Whether to form the gradient; whether to return the losses' sum in place of them.
    """
    if (
        target.ndim == axis == 1
        and counts is None
        and smoothing == 0
        and logits.itemsize >= 4
        and 0 < logits.nbytes <= _SHORT_BLOCK_BYTES
        and _is_moderate(logits)
    ):  # one block, and less to do about it: for so few numbers that takes most of the time
        e = np.exp(logits, order="C")
        label, rest = _swap_label(target, e)
        if want_gradient:  # without one, the losses are the same to the bit
            e *= _spread(scale / (rest + label), e)
        losses = _log1p(rest / label)
        return (_total(losses) if summed else losses), (e if want_gradient else None)
    return _cross_entropy_of_any(
        logits, target, axis, counts, smoothing, scale, want_gradient, summed
    )


@np.errstate(all="ignore")  # what the warnings would say is in the results
def _cross_entropy_of_any(
    logits: Array,
    target: Array,
    axis: int,
    counts: Array | None,
    smoothing: float,
    scale: float,
    want_gradient: bool,
    summed: bool,
) -> tuple[Any, Any]:
    gradient = np.empty(logits.shape, logits.dtype) if want_gradient else None
    rows_shape = _rows(logits, axis).shape[:-1]
    soft = target.ndim == logits.ndim
    targets = _rows(target, axis) if soft else target.reshape(rows_shape)
    counts = None if counts is None else counts.reshape(rows_shape)
    losses = None if summed else np.empty(rows_shape, working(logits.dtype))
    total = np.float64(0)
    quick = not soft and smoothing == 0
    for where, z, e in _blocks(logits, axis, gradient):
        if soft:
            y = targets[where].reshape(z.shape)
            loss = _of_soft(z, y, y.argmax(axis=1), e, scale)
        else:
            labels = targets[where].reshape(-1)
            count = None if counts is None else counts[where].reshape(-1)
            found = _of_labels_quick(z, labels, e, scale, count) if quick else None
            if found is not None:
                loss = found
            else:
                quick = False  # the rest is likely to be of the same kind
                loss = _of_labels(z, labels, e, scale, count, smoothing)
        if losses is None:
            total += _total(loss)
        else:
            losses[where] = loss.reshape(losses[where].shape)
    if losses is None:
        return total, gradient
    return losses.reshape(_without(logits.shape, axis)), gradient


@np.errstate(all="ignore")
def softmax(x: Array, axis: int) -> Array:
    """Return ``exp(x_j)`` over the sum of all ``exp(x_i)`` along an axis."""
    result = np.empty(x.shape, x.dtype)
    for _, z, e in _blocks(x, axis, result):
        _exponentials(z, _shift(z, e), e)
        e *= _spread(1 / _sums(e), e)
    return result


@np.errstate(all="ignore")
def log_softmax(x: Array, axis: int) -> Array:
    """Return ``(x_j - m) - log1p(t)`` along an axis: two terms of one sign."""
    result = np.empty(x.shape, x.dtype)
    for _, z, e in _blocks(x, axis, result):
        top, rest = _log_rest(z, e)
        np.subtract(z, _spread(top, e), out=e)
        e -= _spread(rest, e)
    return result


@np.errstate(all="ignore")
def logsumexp(x: Array, axis: int) -> Array:
    """Return ``m + log1p(t)`` along an axis; -inf where every entry is, +inf where one is."""
    result = np.empty(_rows(x, axis).shape[:-1], x.dtype)
    for where, z, e in _blocks(x, axis):
        top, rest = _log_rest(z, e)
        result[where] = np.where(np.isfinite(top), top + rest, top).reshape(result[where].shape)
    return result.reshape(_without(x.shape, axis))


# ---------------------------------------------------------------------------- the losses of a block


def _of_labels_quick(
    z: Array, labels: Array, e: Array, scale: Any, count: Array | None
) -> Array | None:
    """Return losses from plain exponentials, ``e`` the gradient; None if some row needs care."""
    np.exp(z, out=e)
    label, rest = _swap_label(labels, e)
    total = rest + label
    ratio = rest / label
    if count is not None:
        inert = count == 0
        total[inert], ratio[inert] = 1, 0
    square = _LIMITS[e.dtype.char].square
    if not (
        total.dot(total) <= square  # so each one's square is, too; false for nan
        and ratio.dot(ratio) <= square
        and total[total.argmin()] >= _SMALLEST_SUM
    ):
        return None
    if count is None:
        e *= _spread(scale / total, e)
        return _log1p(ratio)
    e *= _spread(scale * count / total, e)
    e[inert] = 0
    return _log1p(ratio) * count


def _is_moderate(z: Array) -> bool:
    """Whether every row can do without the checks and the care that the others need."""
    limit, flat = _LIMITS[z.dtype.char].moderate, z.reshape(-1)
    return bool(flat[flat.argmax()] <= limit and flat[flat.argmin()] >= -limit)


def _of_labels(
    z: Array, labels: Array, e: Array, scale: Any, count: Array | None, smoothing: float
) -> Array:
    """Return the losses of any rows; ``e`` becomes the gradient."""
    if smoothing:
        y = np.full_like(e, smoothing / e.shape[1])
        flat, at = _positions(labels, y)
        flat[at] += 1 - smoothing
        loss = _of_soft(z, y, labels, e, scale)
    else:
        top = _shift(z, e)
        flat, at = _positions(labels, e)
        behind = -flat[at]
        e_top = _exponentials(z, top, e)
        label, rest = _swap_label(labels, e)
        e *= _spread(scale / (rest + label), e)
        loss = behind + _log_sum(behind, rest, label, e_top)
    if count is not None:
        e *= _spread(count, e)
        loss *= count
        loss[count == 0] = 0
        e[count == 0] = 0
    return loss


def _of_soft(z: Array, y: Array, largest: Array, e: Array, scale: Any) -> Array:
    """Return the losses for soft targets, given the class of the largest; ``e`` is the gradient.

    That is ``(sum y) e_j / s - y_j``, and at the largest target, without the cancellation of a
    nearly certain row, ``(e_j sum_{i != j} y_i - y_j sum_{i != j} e_i) / s``. A row whose targets
    are all 0 is inert.
    """
    top = _shift(z, e)
    terms = y * e
    cross = -_sums(terms)
    if not np.isfinite(cross).all():
        terms[y == 0] = 0  # 0 times the -inf of a masked class
        cross = -_sums(terms)
    flat, at = _positions(largest, e)
    behind = -flat[at]
    e_top = _exponentials(z, top, e)
    np.copyto(terms, y)
    label, target = flat[at], terms.reshape(-1)[at]
    flat[at] = terms.reshape(-1)[at] = 0
    rest, others = _sums(e), _sums(terms)
    total, mass = rest + label, others + target
    loss: Array = cross + mass * _log_sum(behind, rest, label, e_top)
    e *= _spread(scale * mass / total, e)
    terms *= scale
    e -= terms
    flat[at] = scale * (label * others - target * rest) / total
    inert = (target == 0) & (others == 0)
    loss[inert] = 0
    e[inert] = 0
    return loss


# ---------------------------------------------------------------------------- rows of exponentials


def _swap_label(labels: Array, e: Array) -> tuple[Array, Array]:
    """Return the label's exponential e_k and the sum R of the others; ``-R`` takes e_k's place."""
    flat, at = _positions(labels, e)
    label = flat[at]
    flat[at] = 0
    rest = _sums(e)
    flat[at] = -rest
    return label, rest


def _shift(z: Array, e: Array) -> Array:
    """Return the maximum m of every row; ``e`` becomes ``z - m``, rounded."""
    if z.shape[1] < _SHORT < z.shape[0]:
        top = z[:, 0].copy()
        for j in range(1, z.shape[1]):
            np.maximum(top, z[:, j], out=top)
    else:
        top = np.maximum.reduce(z, axis=1)
    np.subtract(z, _spread(top, e), out=e)
    return top


def _exponentials(z: Array, top: Array, e: Array) -> Any:
    """Turn ``e``, the rounded ``z - m``, into ``exp(z - c)``; return ``exp(m - c)``.

    c is 0 where no exponential over- or underflows for that, else m; then the rounding error of the
    difference, which would become a relative error of the exponential, is made good.
    """
    limits = _LIMITS[e.dtype.char]
    if np.minimum.reduce(top) >= _LOWEST and np.maximum.reduce(top) <= limits.highest:
        np.exp(z, out=e)
        return np.exp(top)
    if np.minimum.reduce(np.abs(top)) >= limits.far:
        np.exp(e, out=e)
        return 1
    change = e - z
    error = e - change
    np.subtract(z, error, out=error)
    change += _spread(top, e)
    error -= change  # z - m == e + error, exactly
    np.fmax(error, -1, out=error)  # nan where z is -inf, and exp is 0
    np.exp(e, out=e)
    error *= e
    e += error
    return 1


def _log_sum(behind: Array, rest: Array, label: Array, e_top: Any) -> Any:
    """Return ``log1p(t)``, given one class's exponential, how far it is behind m, and the rest.

    Where that class attains the maximum, t is the rest; elsewhere the loss is so large that t may
    lose digits.
    """
    total = np.maximum((rest + label) / e_top, 1)
    return np.where(behind == 0, _log1p(rest / label), np.log(total))


def _log_rest(z: Array, e: Array) -> tuple[Array, Array]:
    """Return m and ``log1p(t)`` of every row."""
    top = _shift(z, e)
    largest = e.argmax(axis=1)
    _exponentials(z, top, e)
    label, rest = _swap_label(largest, e)
    return top, _log1p(rest / label)


def _log1p(t: Array) -> Array:
    """Return ``log1p``; for float32 by the logarithm, which NumPy has vectorised (2 ns, not 10)."""
    if t.dtype != np.float32 or t.size < 256:
        return np.log1p(t)
    u = 1 + t
    t -= u - 1  # what the rounding of 1 + t dropped
    t /= u
    t += np.log(u)
    return t


def _sums(e: Array) -> Any:
    """Return the sum of every row: by BLAS, three times as fast as NumPy's sum, where it may be.

    BLAS adds up in 8 or 16 running sums (4 or 8 for float64), so a row is cut into short pieces.
    """
    ones, count = _LIMITS[e.dtype.char].ones, e.shape[1]
    while count > len(ones) and count % 2 == 0:
        count //= 2
    if count > len(ones):
        return np.add.reduce(e, axis=1)
    if count == e.shape[1]:
        return e.dot(ones[:count])
    return np.add.reduce(e.reshape(-1, count).dot(ones[:count]).reshape(len(e), -1), axis=1)


def _total(losses: Array) -> Any:
    """Return the sum of a block's losses, in float64 at least."""
    ones = _LIMITS[losses.dtype.char].ones
    few = len(losses) <= len(ones)
    return np.float64(0) + (losses.dot(ones[: len(losses)]) if few else _sums(losses[None])[0])


def _spread(values: Array, e: Array) -> Array:
    """Return one number for each row in a shape that goes with ``e``: repeated in short rows."""
    if e.shape[1] < _SHORT and e.size > 4096:
        return values.repeat(e.shape[1]).reshape(e.shape)
    return values[:, None]


# ---------------------------------------------------------------------------- blocks of rows


def _rows(x: Array, axis: int) -> Array:
    """Return an array as (rows, classes), or as (outer, inner, classes): a view where it can be.

    It is one for every contiguous array, and for every array of up to three dimensions.
    """
    if axis == x.ndim - 1:
        return x if x.ndim in (2, 3) else x.reshape(-1, x.shape[-1])
    shape = math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])
    return x.reshape(shape).swapaxes(1, 2)


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


def working(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type to compute in."""
    return dtype if dtype.itemsize >= 4 else np.dtype(np.float32)


def _blocks(x: Array, axis: int, result: Array | None = None) -> Iterator[tuple[Any, Array, Array]]:
    """Yield the blocks of an array: where in :func:`_rows`, the rows, and a buffer of their shape.

    What the buffer holds when the next block is asked for is stored in the result.
    """
    rows, dtype = _rows(x, axis), working(x.dtype)
    out = None if result is None else _rows(result, axis)
    if rows.shape[-1] >= 512:
        # NumPy copies the small operand of block * row through a buffer of 8,192 elements if rows
        # are shorter than that, which doubles the time; not so if the buffer is the shorter one.
        # The end of np.errstate takes the setting back.
        np.setbufsize(256)
    for where in _places(rows.shape, dtype.itemsize):
        part = rows[where]
        z = part.reshape(-1, part.shape[-1]).astype(dtype, copy=False)
        if out is not None and out.dtype == dtype and out.flags.c_contiguous:
            yield where, z, out[where].reshape(z.shape)
            continue
        e = np.empty(z.shape, dtype)
        yield where, z, e
        if out is not None:
            out[where] = e.reshape(part.shape)


def _places(shape: tuple[int, ...], itemsize: int) -> list[Any]:
    """Return slices of all axes but the last that cut an array into blocks."""
    *lengths, classes = shape
    size = _SHORT_BLOCK_BYTES if classes < _SHORT else _BLOCK_BYTES
    step = max(1, size // (classes * itemsize))
    rows = math.prod(lengths)
    if rows <= step:
        return [(...,)] if rows else []
    inner = min(lengths[-1], step)
    places = [(slice(i, i + inner),) for i in range(0, lengths[-1], inner)]
    if len(lengths) == 1:
        return places
    outer = max(1, step // inner)
    return [(slice(o, o + outer), *p) for o in range(0, lengths[0], outer) for p in places]


def _positions(classes: Array, e: Array) -> tuple[Array, Array]:
    """Return the block as a flat view, and where in it each row has the given class."""
    return e.reshape(-1), _starts(*e.shape) + classes


@functools.lru_cache(maxsize=4)
def _starts(rows: int, classes: int) -> Array:
    """Return where each row of a block begins."""
    return np.arange(0, rows * classes, classes)
