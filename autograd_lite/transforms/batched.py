"""What NumPy's functions do to a batch: the entries of those that are called once for all examples.

An entry takes the function, the level and the arguments, and returns the result with its hidden
axis in front; NotImplemented, or any error, has the examples taken one by one.
"""

from __future__ import annotations

import inspect
import math
import operator
import string
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from autograd_lite.engine.arrays import as_arrays
from autograd_lite.transforms.batch import ENTRIES, Batch, aligned, batches_in, matrix_products

Entry = Callable[..., Any]


def is_at(x: Any, level: int) -> bool:
    """Whether a value is a batch of a level."""
    return x.__class__ is Batch and x.level == level


def rows_of(x: Any, level: int, size: int) -> Any:
    """Return an array with the hidden axis; repeated, if it has none."""
    return x.stacked if is_at(x, level) else np.broadcast_to(x, (size, *x.shape))


def _of_one(entry: Entry) -> Entry:
    """Return the entry of functions of one array, from ``entry(function, rows, *args, **kwargs)``.

    Where any other argument holds a batch, the examples are taken one by one.
    """

    def run(function: Any, level: int, *args: Any, **kwargs: Any) -> Any:
        if not args:  # all by keyword
            bound = inspect.signature(function).bind(**kwargs)
            args, kwargs = bound.args, bound.kwargs
        a, *others = args
        if not is_at(a, level) or batches_in((others, kwargs)):
            return NotImplemented
        return entry(function, a.stacked, *others, **kwargs)

    return run


def _enter(entry: Entry, *functions: Any) -> None:
    for function in functions:
        ENTRIES[function] = entry


# ---------------------------------------------------------------------------- along axes


def _behind(axis: Any, ndim: int) -> Any:
    """Return the axis or axes of an example as those of the rows; None: all."""
    if axis is None:
        return tuple(range(1, ndim + 1))
    if isinstance(axis, (tuple, list)):
        return tuple(i + 1 for i in normalize_axis_tuple(axis, ndim))
    return normalize_axis_index(axis, ndim) + 1


def _along(place: int = 0, default: Any = None, *, flat: bool = False) -> Entry:
    """Return the entry of functions along an axis: an argument, at a place behind the array.

    Without an axis they take all, or the array made flat.
    """

    def entry(function: Any, rows: Any, *args: Any, **kwargs: Any) -> Any:
        given = list(args)
        axis = given[place] if len(given) > place else kwargs.get("axis", default)
        if axis is None and flat:
            if kwargs.get("keepdims"):
                return NotImplemented
            rows, axis = rows.reshape(len(rows), -1), 1
        else:
            axis = _behind(axis, rows.ndim - 1)
        if len(given) > place:
            given[place] = axis
        else:
            kwargs["axis"] = axis
        return function(rows, *given, **kwargs)

    return _of_one(entry)


_enter(_along(), np.sum, np.mean, np.var, np.std, np.prod, np.max, np.amax, np.min, np.amin, np.any,
       np.all, np.count_nonzero, np.nansum, np.nanmax, np.nanmin, np.flip)  # fmt: skip
_enter(_along(flat=True), np.argmax, np.argmin, np.nanargmax, np.nanargmin, np.cumsum, np.cumprod)
_enter(_along(default=-1, flat=True), np.sort, np.argsort)
_enter(_along(1, -1, flat=True), np.partition, np.argpartition)
_enter(_along(1, flat=True), np.repeat)
_enter(_along(1, -1), np.unwrap)
_enter(_along(1, 0), np.split, np.array_split)
if hasattr(np, "unstack"):  # since NumPy 2.1
    _enter(_along(default=0), np.unstack)


def _roll(function: Any, rows: Any, shift: Any, axis: Any = None) -> Any:
    if axis is None:
        return function(rows.reshape(len(rows), -1), shift, 1).reshape(rows.shape)
    return function(rows, shift, _behind(axis, rows.ndim - 1))


def _split_along(axis: Callable[[int], int]) -> Entry:
    """Return the entry of np.vsplit and its like, the axis told by the number of axes."""

    def entry(function: Any, rows: Any, indices_or_sections: Any) -> Any:
        if rows.ndim - 1 <= axis(rows.ndim - 1):
            return NotImplemented
        return np.split(rows, indices_or_sections, axis(rows.ndim - 1) + 1)

    return _of_one(entry)


_enter(_of_one(_roll), np.roll)
_enter(_split_along(lambda ndim: 0), np.vsplit)
_enter(_split_along(lambda ndim: min(1, ndim - 1)), np.hsplit)
_enter(_split_along(lambda ndim: 2), np.dsplit)

# ---------------------------------------------------------------------------- shapes


def _reshape(function: Any, rows: Any, shape: Any, order: str = "C") -> Any:
    shape = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if order != "C":
        return NotImplemented
    if -1 in shape:
        known = math.prod(n for n in shape if n != -1)
        shape = tuple(math.prod(rows.shape[1:]) // max(known, 1) if n == -1 else n for n in shape)
    return rows.reshape(rows.shape[0], *shape)


def _expand_dims(function: Any, rows: Any, axis: Any) -> Any:
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    return np.expand_dims(rows, _behind(axes, rows.ndim - 1 + len(axes)))


def _squeeze(function: Any, rows: Any, axis: Any = None) -> Any:
    if axis is None:
        axis = tuple(i for i, n in enumerate(rows.shape[1:]) if n == 1)
    return np.squeeze(rows, _behind(axis, rows.ndim - 1))


def _transpose(function: Any, rows: Any, axes: Any = None) -> Any:
    axes = range(rows.ndim - 1)[::-1] if axes is None else axes
    return rows.transpose(0, *_behind(tuple(axes), rows.ndim - 1))


def _two_axes(function: Any, rows: Any, one: Any, other: Any) -> Any:
    return function(rows, _behind(one, rows.ndim - 1), _behind(other, rows.ndim - 1))


def _rot90(function: Any, rows: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    return function(rows, k, _behind(tuple(axes), rows.ndim - 1))


def _diagonal(function: Any, rows: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    ndim = rows.ndim - 1
    return function(rows, offset, _behind(axis1, ndim), _behind(axis2, ndim))


def _tile(function: Any, rows: Any, reps: Any) -> Any:
    reps = tuple(reps) if isinstance(reps, (tuple, list)) else (reps,)
    ones = (1,) * (len(reps) - rows.ndim + 1)
    rows = rows.reshape(rows.shape[0], *ones, *rows.shape[1:])
    return function(rows, (1,) * (rows.ndim - len(reps)) + reps)


def _broadcast_to(function: Any, rows: Any, shape: Any) -> Any:
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    size, *own = rows.shape
    return function(rows.reshape(size, *(1,) * (len(shape) - len(own)), *own), (size, *shape))


def _pad(
    function: Any, rows: Any, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0
) -> Any:
    if isinstance(pad_width, dict) or np.ndim(constant_values):
        return NotImplemented
    widths = np.broadcast_to(pad_width, (rows.ndim - 1, 2)).tolist()
    more = {"constant_values": constant_values} if mode == "constant" else {}
    return function(rows, [(0, 0), *widths], mode, **more)


def _triangle(function: Any, rows: Any, k: int = 0) -> Any:
    return function(rows, k) if rows.ndim > 2 else NotImplemented


_SAME_AXES: dict[Any, Entry] = {
    np.reshape: _reshape,
    np.expand_dims: _expand_dims,
    np.squeeze: _squeeze,
    np.transpose: _transpose,
    np.swapaxes: _two_axes,
    np.moveaxis: _two_axes,
    np.rot90: _rot90,
    np.diagonal: _diagonal,
    np.tile: _tile,
    np.broadcast_to: _broadcast_to,
    np.pad: _pad,
    np.tril: _triangle,
    np.triu: _triangle,
    np.fliplr: lambda function, rows: rows[:, :, ::-1],
    np.flipud: lambda function, rows: rows[:, ::-1],
}
for _function, _entry in _SAME_AXES.items():
    _enter(_of_one(_entry), _function)


def _concatenate(function: Any, level: int, arrays: Any, axis: Any = 0, **kwargs: Any) -> Any:
    if axis is None:
        arrays, axis = [np.reshape(a, -1) for a in as_arrays(arrays)], 0
    arrays = as_arrays(arrays)
    size = next(len(a.stacked) for a in arrays if is_at(a, level))
    rows = [rows_of(a, level, size) for a in arrays]
    return function(rows, axis=normalize_axis_index(axis, rows[0].ndim - 1) + 1, **kwargs)


_enter(_concatenate, np.concatenate)

# ---------------------------------------------------------------------------- elementwise


def _elementwise(function: Any, level: int, *args: Any, **kwargs: Any) -> Any:
    if batches_in(kwargs):
        return NotImplemented
    arrays = [np.asarray(x) if isinstance(x, (list, tuple)) else x for x in args]
    ndim = max(len(getattr(x, "shape", ())) for x in arrays)
    return function(*[aligned(x, level, ndim) for x in arrays], **kwargs)


def _as_it_is(function: Any, rows: Any, *args: Any, **kwargs: Any) -> Any:
    return function(rows, *args, **kwargs)


def _like(function: Any, rows: Any, dtype: Any = None, *, shape: Any = None) -> Any:
    if shape is None:
        return function(rows, dtype)
    shape = (shape,) if isinstance(shape, int) else shape
    return function(rows, dtype, shape=(rows.shape[0], *shape))


_enter(_elementwise, np.where, np.isclose)
_enter(_of_one(_as_it_is), np.nan_to_num, np.sinc, np.real, np.imag, np.real_if_close, np.angle,
       np.round, np.around, np.isneginf, np.isposinf, np.isreal, np.iscomplex, np.copy,
       np.astype)  # fmt: skip
_enter(_of_one(_like), np.zeros_like, np.ones_like, np.empty_like)

# ---------------------------------------------------------------------------- products


def _core(function: np.ufunc) -> list[int]:
    """Return how many axes of its own a ufunc takes of each argument."""
    inputs = function.signature.partition("->")[0]  # type: ignore[union-attr]
    return [term.count(",") + 1 if term else 0 for term in inputs.strip("()").split("),(")]


def _products(function: Any, level: int, *args: Any, **kwargs: Any) -> Any:
    """Return matrix products and what else has axes of its own; the others are aligned."""
    if kwargs or function.signature is None:
        return NotImplemented
    a, b = as_arrays(args)
    if function is not np.matmul:
        own = _core(function)
        ndim = max(x.ndim - n for x, n in zip((a, b), own))
        return function(*[aligned(x, level, ndim + n) for x, n in zip((a, b), own)])
    if not is_at(a, level):
        if b.ndim == 1:  # one product of matrices
            return b.stacked @ np.matrix_transpose(a) if a.ndim == 2 else _of_vectors(a, b, level)
        return aligned_product(a, b, level)
    if not is_at(b, level) and b.ndim <= 2:
        rows = a.stacked
        joined = rows.reshape(-1, rows.shape[-1]) @ b
        return joined.reshape(*rows.shape[:-1], *b.shape[1:])
    return _of_vectors(a, b, level)


def _of_vectors(a: Any, b: Any, level: int) -> Any:
    """Return a product, a vector at either end as a matrix of one row or column."""
    left, right = a.ndim == 1, b.ndim == 1
    a, b = a[None] if left else a, b[:, None] if right else b
    ans = aligned_product(a, b, level)
    ans = ans[..., 0] if right else ans
    return ans[..., 0] if left and right else ans[..., 0, :] if left else ans


def aligned_product(a: Any, b: Any, level: int) -> Any:
    """Return a product of at least two axes each, the hidden axes aligned."""
    ndim = max(a.ndim, b.ndim)
    if a.ndim == 1:
        return a @ aligned(b, level, ndim)
    return aligned(a, level, ndim) @ aligned(b, level, ndim)


def _einsum(function: Any, level: int, subscripts: Any, *operands: Any, **kwargs: Any) -> Any:
    if not isinstance(subscripts, str):
        return NotImplemented
    inputs, arrow, output = "".join(subscripts.split()).partition("->")
    if not arrow:
        labels = inputs.replace("...", "").replace(",", "")
        once = sorted(label for label in labels if labels.count(label) == 1)
        output = "..." * ("..." in inputs) + "".join(once)
    hidden = next(label for label in string.ascii_letters if label not in subscripts)
    terms = [
        hidden + term if is_at(x, level) else term for term, x in zip(inputs.split(","), operands)
    ]
    arrays = [x.stacked if is_at(x, level) else x for x in operands]
    return function(f"{','.join(terms)}->{hidden}{output}", *arrays, **kwargs)


_enter(_products, matrix_products)
_enter(_einsum, np.einsum)

# ---------------------------------------------------------------------------- matrices


def _of_matrices(function: Any, rows: Any, *args: Any, **kwargs: Any) -> Any:
    return function(rows, *args, **kwargs) if rows.ndim > 2 else NotImplemented


def _solve(function: Any, level: int, a: Any, b: Any) -> Any:
    a, b = as_arrays((a, b))
    if b.ndim == 1:
        columns = _solve(function, level, a, b[:, None])
        return columns if columns is NotImplemented else columns[..., 0]
    if a.ndim < 2:
        return NotImplemented
    if is_at(a, level) or a.ndim > 2 or b.ndim != 2:
        ndim = max(a.ndim, b.ndim)
        return function(aligned(a, level, ndim), aligned(b, level, ndim))
    size, n, columns = b.stacked.shape  # the matrix is factored once
    joined = function(a, b.stacked.transpose(1, 0, 2).reshape(n, size * columns))
    return joined.reshape(n, size, columns).transpose(1, 0, 2)


_linalg = np.linalg
_enter(_of_one(_of_matrices), _linalg.inv, _linalg.det, _linalg.slogdet, _linalg.pinv,
       _linalg.cholesky, _linalg.eigh, _linalg.eigvalsh, _linalg.eig, _linalg.eigvals, _linalg.svd,
       _linalg.svdvals, _linalg.qr, _linalg.matrix_rank, np.matrix_transpose,
       _linalg.matrix_transpose)  # fmt: skip
_enter(_solve, _linalg.solve)

# ---------------------------------------------------------------------------- indexing


def _is_basic(item: Any) -> bool:
    return item is None or item is ... or isinstance(item, (int, slice, np.integer))


def _placed(index: Any, ndim: int, level: int, size: int) -> tuple[Any, list[int], list[int]]:
    """Return the index of the rows, and which axes of its result are to move where.

    The axes that arrays in an index make stand where these stood if they stood together, else
    first. A batch among them has the rows named by one more array.
    """
    items = list(index) if isinstance(index, tuple) else [index]
    items = [np.asarray(i) if isinstance(i, list) else i for i in items]
    if all(map(_is_basic, items)):
        return (slice(None), *items), [], []  # the most frequent, and done with
    taken = [
        (i.ndim if i.dtype.kind == "b" else 1) if hasattr(i, "dtype") else i not in (None, ...)
        for i in items
    ]
    whole = [slice(None)] * (ndim - sum(map(int, taken)))
    dots = next((k for k, i in enumerate(items) if i is ...), len(items))
    items[dots : dots + 1] = whole
    places = [k for k, i in enumerate(items) if not isinstance(i, (slice, type(None)))]
    together = places[-1] - places[0] == len(places) - 1
    before = places[0] if together else 0
    shapes = [
        np.shape(i)[:1] if i.dtype.kind == "b" else i.shape for i in items if hasattr(i, "dtype")
    ]
    count = max(map(len, shapes))  # the axes that the arrays make
    if not batches_in(items):
        if together:
            return (slice(None), *items), [], []
        return (slice(None), *items), [count], [0]  # arrays apart: theirs come first
    if any(is_at(i, level) and i.dtype.kind == "b" for i in items):
        raise NotImplementedError
    rows = np.arange(size).reshape(size, *(1,) * count)
    named = [aligned(i, level, count) for i in items]
    return (rows, *named), list(range(1, count + 1)), list(range(before + 1, before + count + 1))


def _getitem(function: Any, level: int, array: Any, index: Any) -> Any:
    if is_at(array, level) and all(map(_is_basic, index if isinstance(index, tuple) else (index,))):
        return array.stacked[(slice(None), *(index if isinstance(index, tuple) else (index,)))]
    size = next(len(b.stacked) for b in batches_in((array, index)) if b.level == level)
    if not is_at(array, level):
        if not isinstance(index, tuple):  # no copy of the array for each example
            return np.take(array, index.stacked, axis=0)
    place, source, destination = _placed(index, array.ndim, level, size)
    return np.moveaxis(rows_of(array, level, size)[place], source, destination)


def _written(write: Callable[[Any, Any, Any], None]) -> Entry:
    """Return the entry of what writes to places of an array."""

    def entry(function: Any, level: int, array: Any, index: Any, value: Any) -> Any:
        if not is_at(array, level):
            return NotImplemented
        size = len(array.stacked)
        place, source, destination = _placed(index, array.ndim, level, size)
        shape = np.moveaxis(array.stacked[place], source, destination).shape
        value = np.broadcast_to(aligned(value, level, len(shape) - 1), shape)
        write(array.stacked, place, np.moveaxis(value, destination, source))

    return entry


def _take(function: Any, level: int, a: Any, indices: Any, axis: Any = None, **kwargs: Any) -> Any:
    if is_at(indices, level):
        if is_at(a, level):
            return NotImplemented
        a, axis = (np.reshape(a, -1), 0) if axis is None else (a, axis)
        axis = normalize_axis_index(axis, a.ndim)
        return np.moveaxis(function(a, indices.stacked, axis, **kwargs), axis, 0)
    rows = a.stacked.reshape(len(a.stacked), -1) if axis is None else a.stacked
    return function(rows, indices, 1 if axis is None else _behind(axis, a.ndim), **kwargs)


def _take_along_axis(function: Any, level: int, arr: Any, indices: Any, axis: Any = -1) -> Any:
    size = next(len(b.stacked) for b in (arr, indices) if is_at(b, level))
    rows, places = (rows_of(x, level, size) for x in (arr, indices))
    if axis is None:
        return function(rows.reshape(size, -1), places, 1)
    return function(rows, places, normalize_axis_index(axis, rows.ndim - 1) + 1)


_enter(_getitem, operator.getitem)
_enter(_written(operator.setitem), operator.setitem)
_enter(_written(np.add.at), np.add.at)
_enter(_take, np.take)
_enter(_take_along_axis, np.take_along_axis)
