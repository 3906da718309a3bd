"""Rules of functions that reduce axes or run along them.

Conventions
-----------
* Where several elements attain a maximum or minimum, they share the cotangent evenly; where it is
  nan, the elements that are nan do.
* The derivative of a Euclidean norm at 0, and of the standard deviation of a constant, is 0, and so
  are their higher derivatives; so is that of any other norm at 0.
* The derivatives of prod and cumprod are products that leave factors out, never quotients: exact
  where factors are 0.
* The nan-functions give an element that is nan the cotangent 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from autograd_lite.engine.arrays import as_array, as_arrays, expect, kind, of_dtype, possibly
from autograd_lite.engine.primitives import composite, primitive
from autograd_lite.engine.recording import bare
from autograd_lite.engine.table import constant, derivative, enter_composite
from autograd_lite.rules.elementwise import quotient


def _restored(g: Any, like: Any, axis: Any, keepdims: Any = False) -> Any:
    """Return ``g`` with the reduced axes put back, of length 1 each."""
    if axis is None or like.ndim == 0:
        return g.reshape((1,) * like.ndim)
    if keepdims is True:
        return g
    shape = list(like.shape)
    for i in axis if isinstance(axis, tuple) else (axis,):
        shape[i] = 1
    return g.reshape(shape)


def _merged(a: Any, axis: Any) -> Any:
    """Return an array with the named axes (None: all) moved to the end and made one."""
    if axis is None or a.ndim == 0:
        return a.reshape(-1)
    if axis in (-1, a.ndim - 1):
        return a
    reduced = [*normalize_axis_tuple(axis, a.ndim)]
    kept = [i for i in range(a.ndim) if i not in reduced]
    length = math.prod(a.shape[i] for i in reduced)
    return a.transpose(kept + reduced).reshape([a.shape[i] for i in kept] + [length])


def _split(a: Any, like: Any, axis: Any) -> Any:
    """Return an array as it was before :func:`_merged`."""
    if axis is None or like.ndim == 0:
        return a.reshape(like.shape)
    reduced = normalize_axis_tuple(axis, like.ndim)
    order = [*(i for i in range(like.ndim) if i not in reduced), *reduced]
    return a.reshape([like.shape[i] for i in order]).transpose(np.argsort(order).tolist())


# ---------------------------------------------------------------------------- sums and means


def _sum(g: Any, like: Any, axis: Any, keepdims: Any) -> Any:
    """Return the cotangent of a sum: ``g for each term``."""
    return np.broadcast_to(_restored(g, like, axis, keepdims), like.shape)


def _over(g: Any, count: float) -> Any:
    """Return ``g / count``; in two steps, the first exact, for counts beyond float16."""
    return g / count if count < 60_000 else g / 256 / (count / 256)


def _mean(g: Any, like: Any, axis: Any, keepdims: Any) -> Any:
    """Return the cotangent of a mean: ``g / n for each of the n terms``."""
    return _sum(_over(g, like.size // max(g.size, 1)), like, axis, keepdims)


def _var(g: Any, like: Any, a: Any, axis: Any, ddof: Any, keepdims: Any) -> Any:
    """Return the cotangent of a variance: ``g * 2 * (a - mean) / (n - ddof)``."""
    count = like.size // max(g.size, 1)
    centered = a - np.mean(a, axis=axis, keepdims=True)
    return _over(_restored(g, like, axis, keepdims) * (2 * centered), max(count - ddof, 0))


def _std(g: Any, like: Any, ans: Any, a: Any, axis: Any, ddof: Any, keepdims: Any) -> Any:
    """Return ``g * (a - mean) / (ans * (n - ddof))``, that of the variance over twice itself.

    It is 0 where all elements are equal, also where rounding the mean leaves a tiny deviation.
    """
    if like.size == 0:
        return a
    plain, keep = bare(a), keepdims is True
    equal = plain.max(axis=axis, keepdims=keep) - plain.min(axis=axis, keepdims=keep) == 0
    return _var(quotient(g, np.where(equal, 0, 2 * ans)), like, a, axis, ddof, keepdims)


# ---------------------------------------------------------------------------- products and scans


def _shifted(x: Any, first: float = 0) -> Any:
    """Return an array moved by one place along the last axis, beginning with a number."""
    return np.concatenate([np.zeros_like(x[..., :1]) + first, x[..., :-1]], axis=-1)


def _before(x: Any) -> Any:
    """Return for each element the product of those before it on the last axis."""
    return _shifted(np.cumprod(x, axis=-1), 1)


def _prod(g: Any, like: Any, a: Any, axis: Any, keepdims: Any) -> Any:
    """Return the cotangent of a product: for each factor the product of the others."""
    x = _merged(a, axis)
    others = _before(x) * _before(x[..., ::-1])[..., ::-1]
    return _restored(g, like, axis, keepdims) * _split(others, like, axis)


def _recurrence_b(g: Any, a: Any) -> Any:
    """Return the cotangent ``c_i = g_i + a_{i+1} c_{i+1}`` of ``b`` in a recurrence."""
    return _recurrence(_shifted(a[..., ::-1]), g[..., ::-1])[..., ::-1]


@primitive(lambda g, ans, a: _recurrence_b(g, a) * _shifted(ans), _recurrence_b)
def _recurrence(a: Any, b: Any) -> Any:
    """Return ``y`` with ``y_i = a_i y_{i-1} + b_i`` along the last axis, beginning with ``b_0``."""
    y = b + np.zeros_like(a)  # a copy, of the kind of both
    for i in range(1, y.shape[-1]):
        y[..., i] += a[..., i] * y[..., i - 1]
    return y


def _cumprod(g: Any, like: Any, a: Any, axis: Any) -> Any:
    """Return the cotangent of running products ``p``.

    That of ``a_i`` is the product of the elements before it times ``c_i = g_i + a_{i+1} c_{i+1}``.
    """
    if axis is None or like.ndim == 0:
        a, axis = a.reshape(-1), 0
    a, g = a.swapaxes(axis, -1), g.swapaxes(axis, -1)
    return (_before(a) * _recurrence_b(g, a)).swapaxes(axis, -1).reshape(like.shape)


# ---------------------------------------------------------------------------- extrema


def _extremum(g: Any, ans: Any, like: Any, a: Any, axis: Any, keepdims: Any) -> Any:
    """Return ``np.where(a == ans, g / ties, 0)``: shared evenly by what attains an extremum."""
    ans = _restored(ans, like, axis, keepdims)
    attained = a == ans
    if possibly(np.isnan(ans)):
        attained |= np.isnan(a) & np.isnan(ans)
    count = attained.sum(axis=axis, keepdims=True, dtype=g.dtype)
    return np.where(attained, _restored(g, like, axis, keepdims) / count, 0)


# fmt: off
derivative(np.sum,     _sum,  ignores=["dtype"])
derivative(np.mean,    _mean, ignores=["dtype"])
derivative(np.var,     _var,  ignores=["dtype"])
derivative(np.std,     _std,  ignores=["dtype"])
derivative(np.cumsum,  lambda g, like, axis: np.flip(np.cumsum(np.flip(g, axis), axis), axis)
                       .reshape(like.shape), ignores=["dtype"])
derivative(np.cumprod, _cumprod, ignores=["dtype"])
derivative(np.prod,    _prod, ignores=["dtype"])
derivative(np.nansum,  lambda g, like, a, axis, keepdims: np.where(np.isnan(a), 0,
                       _restored(g, like, axis, keepdims)), ignores=["dtype"], selects=True)
for _function in (np.max, np.amax, np.nanmax, np.min, np.amin, np.nanmin):
    derivative(_function, _extremum, selects=True)
# fmt: on


def _only(axis: int | None, x: Any) -> int:
    """Return an axis that may be left out where there is one alone."""
    expect(axis is not None or x.ndim < 2)
    (only,) = normalize_axis_tuple(0 if axis is None else axis, max(x.ndim, 1))
    return only


if hasattr(np, "cumulative_sum"):  # of NumPy 2.1
    # fmt: off
    enter_composite(np.cumulative_sum, lambda x, /, *, axis=None: np.cumsum(x, _only(axis, x)))
    enter_composite(np.cumulative_prod, lambda x, /, *, axis=None: np.cumprod(x, _only(axis, x)))
    # fmt: on

constant(np.argmax, np.argmin, np.nanargmax, np.nanargmin, np.any, np.all, np.count_nonzero)


# ---------------------------------------------------------------------------- formulas
# Where NumPy's stubs know a keepdims that is literally True or False alone, it is typed Any.


@composite(np.average)
def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False
) -> Any:
    """Return the mean weighted by ``weights``: of the shape of ``a``, or of its named axes."""
    a = as_array(a)
    axes = normalize_axis_tuple(range(a.ndim) if axis is None else axis, a.ndim)
    if weights is None:
        ans = np.mean(a, axis=axis, keepdims=keepdims)
        return (ans, np.full_like(bare(ans), a.size / ans.size)) if returned else ans
    weights = as_array(weights, kind(a))
    if weights.shape != a.shape:
        expect(axis is not None and weights.shape == tuple(a.shape[i] for i in axes))
        weights = weights.transpose(sorted(range(len(axes)), key=axes.__getitem__))
        weights = weights.reshape([n if i in axes else 1 for i, n in enumerate(a.shape)])
    dtype = np.result_type(a.dtype, weights.dtype, *["f8"] * (a.dtype.kind != "f"))
    a, weights = of_dtype(a, dtype), of_dtype(weights, dtype)
    total = np.sum(np.broadcast_to(weights, a.shape), axis=axis, keepdims=keepdims)
    expect(kind(total) is not None or bare(total).all())
    ans = np.sum(a * weights, axis=axis, keepdims=keepdims) / total
    return (ans, total) if returned else ans


def _ordered(a: Any, axis: Any) -> tuple[Any, Any]:
    """Return an array sorted along its first axis, made of the named ones; and these, negative."""
    axes = normalize_axis_tuple(range(a.ndim) if axis is None else axis, a.ndim)
    x = np.sort(np.moveaxis(_merged(a, axis), -1, 0), axis=0)
    return x, tuple(i - a.ndim for i in axes)


def _nan_if_any(ans: Any, x: Any) -> Any:
    """Return a result, nan where there is one among what it was picked from: sorted last."""
    return np.where(np.isnan(x[-1]), x[-1], ans) if possibly(np.isnan(bare(x)[-1:])) else ans


@composite(np.median)
def median(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Return the mean of the two elements in the middle, or the one; of nothing, nan."""
    x, axes = _ordered(as_array(a), axis)
    n = len(x)
    ans = _nan_if_any(np.mean(x[max(n - 1, 0) // 2 : n // 2 + 1], axis=0), x)
    return np.expand_dims(ans, axes) if keepdims else ans


@composite(np.quantile)
def quantile(a: Any, q: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Return quantiles, interpolated linearly; ``q`` is not differentiated."""
    a = as_array(a)
    like = kind(a)
    q = np.asarray(q, like=like) if like is not None or hasattr(q, "shape") else q
    dtype = np.quantile(np.ones(1, a.dtype, like=like), q).dtype  # and q is seen to be in range
    x, axes = _ordered(a, axis)
    last = len(x) - 1
    place = np.multiply(q, last)
    low = np.floor(place).astype(int)
    weight = (place - low).astype(dtype).reshape(low.shape + (1,) * (x.ndim - 1))
    ans = x[low]
    if possibly(weight != 0):  # elsewhere, an infinite neighbour must not make a nan
        following = x[np.minimum(low + 1, last)]
        step = following - ans
        between = np.where(weight < 0.5, ans + step * weight, following - step * (1 - weight))
        ans = np.where(weight == 0, ans, between)
    ans = of_dtype(_nan_if_any(ans, x), dtype)
    return np.expand_dims(ans, axes) if keepdims else ans


@composite(np.cov)
def cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None
) -> Any:
    """Return the covariance matrix of variables, the rows or columns of ``m`` (and ``y``)."""
    given = as_arrays(v for v in (m, y) if v is not None)
    expect(max(v.ndim for v in given) <= 2 and ddof in (None, math.floor(ddof or 0)))
    variables = [np.atleast_2d(v if rowvar or v.ndim < 2 else v.T) for v in given]
    x = of_dtype(np.concatenate(variables), np.result_type(float, *given))
    x = x - np.mean(x, axis=1, keepdims=True)
    count = x.shape[1] - ((not bias) if ddof is None else ddof)
    return np.squeeze(x @ x.T * np.true_divide(1, max(count, 0)))


@composite(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True) -> Any:
    """Return the matrix of correlation coefficients."""
    c = cov(x, y, rowvar)
    if c.ndim == 0:
        return c / c
    deviation = np.sqrt(np.diagonal(c))
    return c / deviation[:, None] / deviation


# ---------------------------------------------------------------------------- nan left out


def _count(a: Any, axis: Any, keepdims: bool) -> Any:
    """Return the number of elements that are not nan."""
    return (~np.isnan(a)).sum(axis=axis, keepdims=keepdims)


def _per(total: Any, count: Any) -> Any:
    """Return ``total / count``, of the dtype of the total, which the count may not fit."""
    return of_dtype(total / count, total.dtype)


@composite(np.nanvar)
def nanvar(a: Any, axis: Any = None, *, ddof: float = 0, keepdims: Any = False) -> Any:
    """Return the variance of the elements that are not nan."""
    centered = np.where(np.isnan(a), 0, a - np.nanmean(a, axis, keepdims=True))
    count = _count(a, axis, keepdims) - ddof
    squares = np.sum(centered * centered, axis=axis, keepdims=keepdims)
    return _per(squares, np.where(count > 0, count, math.nan))


@composite(np.nanstd)
def nanstd(a: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    """Return the standard deviation of the elements that are not nan."""
    variance = nanvar(a, axis, ddof=ddof, keepdims=keepdims)
    zero = variance == 0
    return np.where(zero, 0, np.sqrt(np.where(zero, 1, variance)))


# ---------------------------------------------------------------------------- differences


@composite(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Return the n-th differences of neighbours."""
    expect(n >= 0)
    a = as_array(a)
    if n == 0:
        return np.copy(a)
    axis = normalize_axis_index(axis, a.ndim)
    shape = (*a.shape[:axis], 1, *a.shape[axis + 1 :])
    parts = as_arrays(part for part in (prepend, a, append) if part is not None)
    parts = [part if part.ndim else np.broadcast_to(part, shape) for part in parts]
    x = (a if len(parts) == 1 else np.concatenate(parts, axis=axis)).swapaxes(axis, -1)
    for _ in range(n):
        x = x[..., 1:] - x[..., :-1]
    return x.swapaxes(axis, -1)


@composite(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """Return the integral by the trapezoidal rule."""
    y = as_array(y)
    before = (slice(None),) * normalize_axis_index(axis, y.ndim)
    if x is not None:
        x = as_array(x, kind(y))
        dx = diff(x, axis=0 if x.ndim == 1 else axis)
        dx = dx.reshape(-1, *(1,) * (y.ndim - len(before) - 1)) if x.ndim == 1 else dx
    return np.sum(dx * (y[*before, 1:] + y[*before, :-1]) / 2.0, axis=axis)


def _floating(a: Any) -> Any:
    """Return integers and truth values, whose differences wrap, as floating-point numbers."""
    return a.astype(float) if a.dtype.kind in "biu" else a


@composite(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Return central differences, one array for each axis.

    ``varargs`` are the spacing: a number, or one number or array of coordinates for each axis.
    """
    f = _floating(as_array(f))
    axes = normalize_axis_tuple(range(f.ndim) if axis is None else axis, f.ndim)
    varargs = varargs or (1.0,)
    spacings = varargs * len(axes) if len(varargs) == 1 and np.ndim(varargs[0]) == 0 else varargs
    expect(len(spacings) == len(axes) and edge_order in (1, 2))
    results = [_gradient(f, h, i, edge_order) for h, i in zip(spacings, axes)]
    return results[0] if len(axes) == 1 else tuple(results)


def _gradient(f: Any, spacing: Any, axis: int, edge_order: int) -> Any:
    """Return central differences along an axis.

    The slope at a point is the mean of those of the steps beside it, each weighted by the length
    of the other: exact for parabolas. At the edges it is that of the step (order 1) or is
    extrapolated from two (order 2).
    """
    x = f.swapaxes(axis, -1)
    n = x.shape[-1]
    spacing = _floating(as_array(spacing, kind(f)))
    expect(n > edge_order and spacing.dtype.kind == "f" and spacing.shape in ((), (n,)))
    steps = diff(spacing) if spacing.ndim else np.broadcast_to(spacing, (n - 1,))
    steps = of_dtype(steps, f.dtype)
    slopes = (x[..., 1:] - x[..., :-1]) / steps
    left, right = steps[:-1], steps[1:]
    inner = (slopes[..., :-1] * right + slopes[..., 1:] * left) / (left + right)
    first, last = slopes[..., :1], slopes[..., -1:]
    if edge_order == 2:
        first, last = 2 * first - inner[..., :1], 2 * last - inner[..., -1:]
    return of_dtype(np.concatenate([first, inner, last], axis=-1), f.dtype).swapaxes(axis, -1)


# ---------------------------------------------------------------------------- norms


def _p_norm_x(g: Any, like: Any, ans: Any, x: Any, p: Any, axis: Any) -> Any:
    """Return the cotangent of a p-norm: ``g * np.sign(x) * (np.abs(x) / ans) ** (p - 1)``, or 0."""
    share = quotient(x, _restored(ans, like, axis))
    if p != 2:
        share = np.where(
            share == 0, 0, np.sign(x) * np.abs(np.where(share == 0, 1, share)) ** (p - 1)
        )
    return _restored(g, like, axis) * share


@primitive(_p_norm_x, name="np.linalg.norm")
def _p_norm(x: Any, p: float, axis: tuple[int, ...]) -> Any:
    """Return the p-norm of the elements along an axis, for p = 2 along several."""
    return np.sqrt(np.sum(x * x, axis=axis)) if p == 2 else np.linalg.norm(x, p, axis[0])


@composite(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Return the norm of vectors (one axis) or matrices (two axes)."""
    axes = tuple(range(x.ndim)) if axis is None else normalize_axis_tuple(axis, x.ndim)
    expect(len(axes) in (1, 2) or axis is ord is None)
    if ord is None or (ord == 2 and len(axes) == 1) or (ord in ("fro", "f") and len(axes) == 2):
        ans = _p_norm(x, 2, axes)
    elif len(axes) == 1:
        ans = _vector_norm(x, ord, axes)
    else:
        ans = _matrix_norm(x, ord, axes)
    return _restored(ans, x, axes) if keepdims else ans


def _vector_norm(x: Any, ord: Any, axes: tuple[int, ...]) -> Any:
    """Return the norm of vectors along one axis, of any order but 2."""
    if ord == 0:
        return np.sum(np.abs(np.sign(x)), axis=axes)
    largest = np.max if x.size else np.sum  # of nothing, NumPy's is 0
    reduce: Any = {1: np.sum, math.inf: largest, -math.inf: np.min}.get(ord)
    return _p_norm(x, ord, axes) if reduce is None else reduce(np.abs(x), axis=axes)


def _matrix_norm(x: Any, ord: Any, axes: tuple[int, ...]) -> Any:
    """Return the norm of matrices in two axes, of any order but Frobenius'."""
    x = np.moveaxis(x, axes, (-2, -1))
    if ord in (1, -1, math.inf, -math.inf):
        sums = np.sum(np.abs(x), axis=-2 if abs(ord) == 1 else -1)
    else:
        expect(ord in (2, -2, "nuc"))
        sums = np.linalg.svd(x, compute_uv=False)
    return _vector_norm(sums, 1 if ord == "nuc" else math.copysign(math.inf, ord), (-1,))


@composite(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """Return the norm of vectors, which may spread over several axes."""
    normalize_axis_tuple(() if axis is None else axis, x.ndim)  # or it raises
    ans = norm(_merged(x, axis), ord, -1)
    return _restored(ans, x, axis) if keepdims else ans


# ---------------------------------------------------------------------------- formulas of one line
# fmt: off
enter_composite(np.linalg.matrix_norm, lambda x, /, *, keepdims=False, ord="fro":
                norm(x, ord, (-2, -1), keepdims))
enter_composite(np.ptp, lambda a, axis=None, *, keepdims=False:
                np.max(a, axis=axis, keepdims=keepdims) - np.min(a, axis=axis, keepdims=keepdims))
enter_composite(np.trace, lambda a, offset=0, axis1=0, axis2=1:
                np.sum(np.diagonal(a, offset=offset, axis1=axis1, axis2=axis2), axis=-1))
enter_composite(np.linalg.trace, lambda x, /, *, offset=0: np.trace(x, offset, -2, -1))
enter_composite(np.percentile, lambda a, q, axis=None, *, keepdims=False: quantile(
                a, q / 100 if isinstance(q, (int, float)) else np.divide(q, 100), axis,
                keepdims=keepdims))
enter_composite(np.ediff1d, lambda ary: diff(ary.reshape(-1)))
enter_composite(np.nanmean, lambda a, axis=None, *, keepdims=False:
                _per(np.nansum(a, axis=axis, keepdims=keepdims), _count(a, axis, keepdims)))
enter_composite(np.nanprod, lambda a, axis=None, dtype=None, *, keepdims=False:
                np.prod(np.where(np.isnan(a), 1, a), axis, dtype, keepdims=keepdims))
enter_composite(np.nancumsum, lambda a, axis=None: np.cumsum(np.where(np.isnan(a), 0, a), axis))
enter_composite(np.nancumprod, lambda a, axis=None: np.cumprod(np.where(np.isnan(a), 1, a), axis))
# fmt: on
