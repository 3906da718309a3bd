"""Rules of functions that rearrange, join, split or repeat elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from autograd_lite.rules.indexing import scatter
from autograd_lite.tape import constant, derivative
from autograd_lite.tensor import as_array, composite, primitive

# ---------------------------------------------------------------------------- joining


def _block(like: Any, axis: int, start: int) -> tuple[slice, ...]:
    """Return the index of an argument's block along an axis of the joined array."""
    return (*(slice(None),) * axis, slice(start, start + like.shape[axis]))


@primitive(lambda g, argnum, like, axis, starts: g[_block(like, axis, starts[argnum])])
def _concatenate(*arrays: Any, axis: int, starts: Sequence[int]) -> Any:
    """Return arrays joined along an axis, where ``starts`` says each one begins."""
    return np.concatenate(arrays, axis=axis)


@composite(np.concatenate)
def concatenate(arrays: Any, axis: int | None = 0) -> Any:
    """Return arrays joined along an axis they have."""
    arrays = [as_array(a) for a in arrays]
    if axis is None:
        return concatenate([a.reshape(-1) for a in arrays])
    axis = axis + arrays[0].ndim if arrays and axis < 0 else axis
    lengths = [a.shape[axis] if 0 <= axis < a.ndim else 0 for a in arrays]
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    return _concatenate(*arrays, axis=axis, starts=starts)


@composite(np.stack)
def stack(arrays: Any, axis: int = 0) -> Any:
    """Return arrays of one shape joined along a new axis."""
    return concatenate([np.expand_dims(as_array(a), axis) for a in arrays], axis)


@composite(np.atleast_1d)
def atleast_1d(*arys: Any) -> Any:
    """Return arrays with at least one axis."""
    return _each([a if a.ndim else a.reshape(1) for a in map(as_array, arys)])


@composite(np.atleast_2d)
def atleast_2d(*arys: Any) -> Any:
    """Return arrays with at least two axes, new ones put first."""
    return _each([a.reshape((1,) * (2 - a.ndim) + a.shape) for a in map(as_array, arys)])


@composite(np.atleast_3d)
def atleast_3d(*arys: Any) -> Any:
    """Return arrays with at least three axes: ``(n,)`` as ``(1, n, 1)``, new ones else last."""
    arrays = [a.reshape((1, *a.shape)) if a.ndim == 1 else a for a in map(as_array, arys)]
    return _each([a.reshape(a.shape + (1,) * (3 - a.ndim)) for a in arrays])


def _each(arrays: list[Any]) -> Any:
    """Return one array by itself, several as a tuple, as ``np.atleast_1d`` does."""
    return arrays[0] if len(arrays) == 1 else tuple(arrays)


@composite(np.vstack)
def vstack(tup: Any) -> Any:
    """Return arrays joined along the first axis, each of two axes at least."""
    return concatenate([atleast_2d(a) for a in tup], 0)


@composite(np.hstack)
def hstack(tup: Any) -> Any:
    """Return arrays joined along the second axis, or the only one."""
    arrays = [atleast_1d(a) for a in tup]
    return concatenate(arrays, 0 if arrays and arrays[0].ndim == 1 else 1)


@composite(np.dstack)
def dstack(tup: Any) -> Any:
    """Return arrays joined along the third axis."""
    return concatenate([atleast_3d(a) for a in tup], 2)


@composite(np.column_stack)
def column_stack(tup: Any) -> Any:
    """Return arrays joined along the second axis, those of one axis being columns."""
    arrays = [as_array(a) for a in tup]
    return concatenate([a if a.ndim > 1 else a.reshape(-1, 1) for a in arrays], 1)


@composite(np.append)
def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """Return values joined to an array."""
    return concatenate([arr, values], axis)


@composite(np.block)
def block(arrays: Any) -> Any:
    """Return nested lists of arrays joined: the innermost along the last axis, and so on."""
    depth, ndim = _nesting(arrays), _largest_ndim(arrays)
    return _joined_blocks(arrays, depth, max(depth, ndim))


def _nesting(arrays: Any) -> int:
    return 1 + max(map(_nesting, arrays)) if isinstance(arrays, list) else 0


def _largest_ndim(arrays: Any) -> int:
    return max(map(_largest_ndim, arrays)) if isinstance(arrays, list) else np.ndim(arrays)


def _joined_blocks(arrays: Any, depth: int, ndim: int) -> Any:
    if depth == 0:
        a = as_array(arrays)
        return a.reshape((1,) * (ndim - a.ndim) + a.shape)
    if not isinstance(arrays, list):
        raise ValueError("np.block: List depths are mismatched; nest all arrays equally deep")
    return concatenate([_joined_blocks(a, depth - 1, ndim) for a in arrays], -depth)


# ---------------------------------------------------------------------------- splitting


def _rejoined(g: Any, like: Any, indices_or_sections: Any, axis: int) -> Any:
    """Return the cotangent of an array that was split: those of the pieces joined.

    Where the indices decrease, pieces overlap or leave a part out; the cotangents then add up.
    """
    joined = np.concatenate(list(g), axis=axis)
    if joined.shape == like.shape:
        return joined
    pieces = np.array_split(np.arange(like.shape[axis]), indices_or_sections)
    index = (*(slice(None),) * (axis % like.ndim), np.concatenate(pieces))
    return scatter(joined, index, like.shape)


def _hsplit(g: Any, like: Any, indices_or_sections: Any) -> Any:
    return _rejoined(g, like, indices_or_sections, 1 if like.ndim > 1 else 0)


def _vsplit(g: Any, like: Any, indices_or_sections: Any) -> Any:
    return _rejoined(g, like, indices_or_sections, 0)


def _dsplit(g: Any, like: Any, indices_or_sections: Any) -> Any:
    return _rejoined(g, like, indices_or_sections, 2)


# ---------------------------------------------------------------------------- diagonals


@primitive(lambda g, like, k: np.diagonal(g, k, -2, -1)[..., : like.shape[-1]])
def embedded(values: Any, k: int, rows: int, columns: int) -> Any:
    """Return zero matrices whose k-th diagonals begin with the values along the last axis."""
    out = np.zeros((*values.shape[:-1], rows, columns), values.dtype)
    i = np.arange(values.shape[-1])
    out[..., i + max(-k, 0), i + max(k, 0)] = values
    return out


def _diagonal(g: Any, like: Any, offset: int, axis1: int, axis2: int) -> Any:
    """Return the cotangent of an array whose diagonal was taken: zero off the diagonal."""
    matrices = embedded(g, offset, like.shape[axis1], like.shape[axis2])
    return np.moveaxis(matrices, (-2, -1), (axis1, axis2))


@composite(np.diag)
def diag(v: Any, k: int = 0) -> Any:
    """Return the k-th diagonal of a matrix, or the matrix with that diagonal."""
    v = as_array(v)
    if v.ndim == 1:
        return embedded(v, k, v.size + abs(k), v.size + abs(k))
    if v.ndim == 2:
        return np.diagonal(v, k)
    raise ValueError(f"np.diag: v must have one axis or two, not shape {v.shape}")


@composite(np.diagflat)
def diagflat(v: Any, k: int = 0) -> Any:
    """Return the matrix with the flattened elements on its k-th diagonal."""
    return diag(as_array(v).reshape(-1), k)


@composite(np.linalg.diagonal)
def linalg_diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """Return the diagonal of each matrix."""
    return np.diagonal(x, offset, -2, -1)


# ---------------------------------------------------------------------------- repeating


def _repeat(g: Any, like: Any, repeats: Any, axis: int | None) -> Any:
    """Return the cotangent of an array whose elements were repeated: the sums over each one's."""
    shape, axis = ((like.size,), 0) if axis is None else (like.shape, axis % like.ndim)
    repeats = np.asarray(repeats)
    if repeats.size == 1:
        split = (*shape[: axis + 1], int(repeats.item()), *shape[axis + 1 :])
        return g.reshape(split).sum(axis=axis + 1).reshape(like.shape)
    index = (*(slice(None),) * axis, np.repeat(np.arange(shape[axis]), repeats))
    return scatter(g, index, shape).reshape(like.shape)


@composite(np.tile)
def tile(A: Any, reps: Any) -> Any:
    """Return an array repeated as a whole along its axes."""
    a, reps = as_array(A), tuple(np.atleast_1d(reps).tolist())
    shape = (1,) * (len(reps) - a.ndim) + a.shape
    reps = (1,) * (a.ndim - len(reps)) + reps
    pairs = [n for pair in zip(reps, shape) for n in pair]
    spread = a.reshape([n for length in shape for n in (1, length)])
    return np.broadcast_to(spread, pairs).reshape([rep * n for rep, n in zip(reps, shape)])


@composite(np.resize)
def resize(a: Any, new_shape: Any) -> Any:
    """Return an array of another size, its elements repeated in order as often as needed."""
    a = as_array(a).reshape(-1)
    if a.size == 0:
        return np.broadcast_to(np.sum(a), new_shape)  # 0, as NumPy has it
    return a[np.resize(np.arange(a.size), new_shape)]


@composite(np.broadcast_arrays)
def broadcast_arrays(*args: Any) -> Any:
    """Return arrays broadcast against each other."""
    arrays = [as_array(a) for a in args]
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    return tuple(np.broadcast_to(a, shape) for a in arrays)


@composite(np.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    """Return the coordinates of a grid, from those along each axis."""
    if indexing not in ("xy", "ij"):
        raise ValueError(f"np.meshgrid: indexing must be 'xy' or 'ij', not {indexing!r}")
    axes = list(range(len(xi)))
    if indexing == "xy":
        axes[:2] = axes[:2][::-1]
    grids = [
        as_array(x).reshape([-1 if k == axis else 1 for k in range(len(xi))])
        for x, axis in zip(xi, axes)
    ]
    return tuple(grids) if sparse else broadcast_arrays(*grids)


@composite(np.ix_)
def ix_(*args: Any) -> Any:
    """Return sequences reshaped to broadcast against each other."""
    arrays = [as_array(a) for a in args]
    if any(a.dtype == bool for a in arrays):
        raise TypeError("np.ix_: pass np.nonzero(mask)[0] in place of a mask, beside tensors")
    return tuple(
        a.reshape([-1 if k == axis else 1 for k in range(len(args))])
        for axis, a in enumerate(arrays)
    )


@primitive(lambda g, like, before: g[tuple(slice(b, b + n) for b, n in zip(before, like.shape))])
def _pad(array: Any, before: Any, after: Any, value: Any) -> Any:
    """Return an array with so many constants put before and after it along each axis."""
    return np.pad(array, list(zip(before, after)), constant_values=value)


@composite(np.pad)
def pad(array: Any, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0) -> Any:
    """Return an array surrounded by constants, or by elements of its own.

    The constants are not differentiated.
    """
    a = as_array(array)
    if mode == "constant":
        if isinstance(pad_width, dict):
            pairs = [pad_width.get(i, pad_width.get(i - a.ndim, 0)) for i in range(a.ndim)]
            pad_width = [np.broadcast_to(pair, 2) for pair in pairs]  # type: ignore[arg-type]
        widths = np.broadcast_to(pad_width, (a.ndim, 2)).tolist()
        return _pad(a, [b for b, _ in widths], [e for _, e in widths], constant_values)
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise TypeError(
            f"np.pad: no derivative rule covers mode={mode!r}; use 'constant', 'edge', 'reflect', "
            f"'symmetric' or 'wrap', or np.concatenate"
        )
    # NumPy pads the elements' positions; the elements follow.
    places = np.pad(np.arange(a.size).reshape(a.shape), pad_width, mode)  # type: ignore[call-overload]
    return a.reshape(-1)[places]


# ---------------------------------------------------------------------------- axes


def _inverse(axes: Sequence[int]) -> list[int]:
    """Return the permutation that undoes one; negative axes count from the end."""
    return [int(i) for i in np.argsort([axis % len(axes) for axis in axes])]


def _reshape(g: Any, like: Any, order: Any) -> Any:
    """Return the cotangent of a reshaped array, in the order in which it was read."""
    if order == "A":
        raise TypeError("np.reshape: order='A' depends on the memory layout; use 'C' or 'F'")
    return g.reshape(like.shape) if order == "C" else g.reshape(like.shape, order=order)


def _roll(g: Any, shift: Any, axis: Any) -> Any:
    """Return the cotangent of a rolled array: rolled back."""
    return np.roll(g, (-np.asarray(shift)).tolist(), axis)


@composite(np.ravel)
def ravel(a: Any, order: str = "C") -> Any:
    """Return an array as one axis, read in C or Fortran order."""
    if order not in ("C", "F"):
        raise TypeError(f"np.ravel: order={order!r} depends on the memory layout; use 'C' or 'F'")
    return np.reshape(a, -1, order=order)  # type: ignore[call-overload]


@composite(np.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """Return an array with an axis moved to before another one."""
    a = as_array(a)
    axis = normalize_axis_index(axis, a.ndim)
    start = normalize_axis_index(start, a.ndim + 1) if start >= 0 else start + a.ndim
    return np.moveaxis(a, axis, start - (axis < start))


@composite(np.full_like)
def full_like(a: Any, fill_value: Any, dtype: Any = None, *, shape: Any = None) -> Any:
    """Return a value in the shape and dtype of an array; the value is what is differentiated."""
    fill = np.broadcast_to(as_array(fill_value), np.shape(a) if shape is None else shape)
    return fill.astype(a.dtype if dtype is None else dtype)


# fmt: off
derivative(np.reshape,      _reshape, ignores=["shape", "copy"])
derivative(np.expand_dims,  lambda g, like: g.reshape(like.shape), ignores=["axis"])
derivative(np.squeeze,      lambda g, like: g.reshape(like.shape), ignores=["axis"])
derivative(np.transpose,    lambda g, axes: g.transpose(None if axes is None else _inverse(axes)))
derivative(np.swapaxes,     lambda g, axis1, axis2: g.swapaxes(axis1, axis2))
derivative(np.moveaxis,     lambda g, source, destination: np.moveaxis(g, destination, source))
derivative(np.flip,         lambda g, axis: np.flip(g, axis))
derivative(np.fliplr,       lambda g: g[:, ::-1])
derivative(np.flipud,       lambda g: g[::-1])
derivative(np.rot90,        lambda g, k, axes: np.rot90(g, -k, axes))
derivative(np.roll,         _roll)
derivative(np.repeat,       _repeat)
derivative(np.broadcast_to, lambda g: g, ignores=["shape"], broadcasts=True)
derivative(np.diagonal,     _diagonal, selects=True)
# A vector gives a matrix, hence broadcasts.
derivative(np.tril,         lambda g, k: np.tril(g, k), broadcasts=True, selects=True)
derivative(np.triu,         lambda g, k: np.triu(g, k), broadcasts=True, selects=True)
derivative(np.split,        _rejoined, selects=True)
derivative(np.array_split,  _rejoined, selects=True)
derivative(np.hsplit,       _hsplit, selects=True)
derivative(np.vsplit,       _vsplit, selects=True)
derivative(np.dsplit,       _dsplit, selects=True)
derivative(np.copy,         lambda g: g, ignores=["order"])
derivative(np.astype,       lambda g: g, ignores=["dtype", "copy"])
for _function in (np.matrix_transpose, np.linalg.matrix_transpose):
    derivative(_function,   lambda g: g.swapaxes(-1, -2))
if hasattr(np, "unstack"):  # since NumPy 2.1
    derivative(np.unstack,  lambda g, axis: np.stack(list(g), axis=axis), selects=True)
# fmt: on

constant(np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.empty_like)
constant(np.result_type, np.can_cast, np.min_scalar_type, np.common_type)
constant(np.shares_memory, np.may_share_memory)
constant(np.array2string, np.array_repr, np.array_str)
