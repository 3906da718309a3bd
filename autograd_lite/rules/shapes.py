"""Rules of functions that rearrange, join, split or repeat elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from autograd_lite.engine.arrays import as_array, as_arrays, expect, kind
from autograd_lite.engine.primitives import composite, primitive
from autograd_lite.engine.recording import bare
from autograd_lite.engine.table import TABLE, constant, derivative, enter_composite
from autograd_lite.rules.indexing import scatter

# ---------------------------------------------------------------------------- joining


def _block(like: Any, axis: int, start: int) -> tuple[slice, ...]:
    """Return ``block``, the index of an argument along an axis of the joined array."""
    return (*(slice(None),) * axis, slice(start, start + like.shape[axis]))


@primitive(lambda g, argnum, like, axis, starts: g[_block(like, axis, starts[argnum])])
def _concatenate(*arrays: Any, axis: int, starts: Sequence[int]) -> Any:
    """Return arrays joined along an axis, where ``starts`` says each one begins."""
    return np.concatenate(arrays, axis=axis)


@composite(np.concatenate)
def concatenate(arrays: Any, axis: int | None = 0) -> Any:
    """Return arrays joined along an axis they have."""
    arrays = as_arrays(arrays)
    if axis is None:
        return concatenate([a.reshape(-1) for a in arrays])
    axis = normalize_axis_index(axis, arrays[0].ndim) if arrays and axis < 0 else axis
    lengths = [shape[axis] if 0 <= axis < len(shape := a.shape) else 0 for a in arrays]
    return _concatenate(*arrays, axis=axis, starts=list(accumulate(lengths, initial=0)))


def _side_by_side(arrays: list[Any]) -> Any:
    """Return arrays joined along the second axis, vectors along their only one."""
    return concatenate(arrays, 1 if arrays[0].ndim > 1 else 0)


def _each(arrays: list[Any]) -> Any:
    """Return one array by itself, several as a tuple, as ``np.atleast_1d`` does."""
    return arrays[0] if len(arrays) == 1 else tuple(arrays)


def _with_axes(a: Any, ndim: int) -> Any:
    """Return an array with at least so many axes, new ones put first."""
    return a.reshape((1,) * (ndim - a.ndim) + a.shape) if a.ndim < ndim else a


@composite(np.atleast_3d)
def atleast_3d(*arys: Any) -> Any:
    """Return arrays with at least three axes: ``(n,)`` as ``(1, n, 1)``, new ones else last."""
    arrays = [_with_axes(a, 2) for a in map(as_array, arys)]
    return _each([a if a.ndim > 2 else a.reshape(*a.shape, 1) for a in arrays])


def _joined_blocks(arrays: Any) -> tuple[Any, int]:
    """Return nested blocks joined, the innermost along the last axis; and how deep they are."""
    if not isinstance(arrays, list):
        return as_array(arrays), 0
    parts, depths = zip(*map(_joined_blocks, arrays))
    expect(len(set(depths)) == 1)
    depth = depths[0] + 1
    ndim = max(depth, *(a.ndim for a in parts))
    return concatenate([_with_axes(a, ndim) for a in parts], -depth), depth


# ---------------------------------------------------------------------------- splitting


def _rejoined(g: Any, like: Any, indices_or_sections: Any, axis: int) -> Any:
    """Return ``np.concatenate(g, axis)``, for an array that was split: its pieces joined.

    Where the indices decrease, pieces overlap or leave a part out; the cotangents then add up.
    """
    joined = np.concatenate(list(g), axis=axis)
    if joined.shape == like.shape:
        return joined
    places = np.arange(like.shape[axis], like=kind(joined))
    pieces = np.array_split(places, indices_or_sections)
    index = (*(slice(None),) * (axis % like.ndim), np.concatenate(pieces))
    return scatter(joined, index, like.shape)


# ---------------------------------------------------------------------------- diagonals


@primitive(lambda g, like, k: np.linalg.diagonal(g, offset=k)[..., : like.shape[-1]])
def embedded(values: Any, k: int, rows: int, columns: int) -> Any:
    """Return zero matrices whose k-th diagonals begin with the values along the last axis."""
    out = np.zeros((*values.shape[:-1], rows, columns), values.dtype, like=kind(values))
    i = np.arange(values.shape[-1], like=kind(values))
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
    expect(v.ndim in (1, 2))
    n = v.size + abs(k)
    return np.diagonal(v, k) if v.ndim == 2 else embedded(v, k, n, n)


# ---------------------------------------------------------------------------- repeating


def _repeat(g: Any, like: Any, repeats: Any, axis: int | None) -> Any:
    """Return the cotangent of an array whose elements were repeated: the sums over each one's."""
    flat = axis is None or like.ndim == 0
    shape, axis = ((like.size,), 0) if flat else (like.shape, axis % like.ndim)
    if as_array(repeats).size == 1:
        split = (*shape[: axis + 1], g.shape[axis] // max(shape[axis], 1), *shape[axis + 1 :])
        return g.reshape(split).sum(axis=axis + 1).reshape(like.shape)
    index = (*(slice(None),) * axis, np.repeat(np.arange(shape[axis], like=kind(g)), repeats))
    return scatter(g, index, shape).reshape(like.shape)


def _tile(g: Any, like: Any) -> Any:
    """Return the cotangent of an array repeated as a whole: the sum over the copies."""
    shape = (1,) * (g.ndim - like.ndim) + like.shape
    pairs = [(total // max(n, 1), n) for total, n in zip(g.shape, shape)]
    copies = tuple(range(0, 2 * g.ndim, 2))
    return g.reshape([n for pair in pairs for n in pair]).sum(axis=copies).reshape(like.shape)


@composite(np.broadcast_arrays)
def broadcast_arrays(*args: Any) -> Any:
    """Return arrays broadcast against each other."""
    arrays = as_arrays(args)
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    return tuple(np.broadcast_to(a, shape) for a in arrays)


def _open_mesh(arrays: Sequence[Any]) -> tuple[Any, ...]:
    """Return arrays that run along an axis each, to broadcast against each other."""
    arrays = as_arrays(arrays)
    axes = range(len(arrays))
    return tuple(a.reshape([-1 if k == axis else 1 for k in axes]) for a, axis in zip(arrays, axes))


@composite(np.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    """Return the coordinates of a grid, from those along each axis."""
    expect(indexing in ("xy", "ij"))
    grids = _open_mesh(xi)
    if indexing == "xy" and len(xi) > 1:
        grids = tuple(grid.swapaxes(0, 1) for grid in grids)
    return grids if sparse else broadcast_arrays(*grids)


@composite(np.ix_)
def ix_(*args: Any) -> Any:
    """Return sequences reshaped to broadcast against each other; the places of true in masks."""
    arrays = as_arrays(args)
    expect(all(a.ndim == 1 for a in arrays))
    no_places = [a.size == 0 and not hasattr(given, "shape") for a, given in zip(arrays, args)]
    picks = [a.dtype == bool or none for a, none in zip(arrays, no_places)]
    return _open_mesh([np.flatnonzero(a) if pick else a for a, pick in zip(arrays, picks)])


@primitive(lambda g, like, width: g[tuple(slice(b, b + n) for (b, _), n in zip(width, like.shape))])
def _pad(array: Any, width: Any, value: Any) -> Any:
    """Return an array with so many constants put before and after it along each axis."""
    return np.pad(array, width, constant_values=value)


@composite(np.pad)
def pad(array: Any, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0) -> Any:
    """Return an array surrounded by constants, or by elements of its own.

    The constants are not differentiated.
    """
    a = as_array(array)
    if mode == "constant":
        if isinstance(pad_width, dict):
            pairs = {normalize_axis_index(i, a.ndim): pair for i, pair in pad_width.items()}
            pad_width = [np.broadcast_to(pairs.get(i, 0), 2) for i in range(a.ndim)]
        widths = np.broadcast_to(pad_width, (a.ndim, 2)).tolist()
        return _pad(a, widths, constant_values) if widths else +a
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise TypeError(
            f"np.pad: no derivative rule covers mode={mode!r}; use 'constant', 'edge', 'reflect', "
            f"'symmetric' or 'wrap', or np.concatenate"
        )
    # NumPy pads the elements' positions; the elements follow.
    expect(type(constant_values) is int and not constant_values)
    places = np.arange(a.size, like=kind(a)).reshape(a.shape)
    places = np.pad(places, pad_width, mode)  # type: ignore[call-overload]
    return a.reshape(-1)[places]


# ---------------------------------------------------------------------------- axes


def _inverse(axes: Sequence[int]) -> list[int]:
    """Return ``argsort(axes)``: what undoes a permutation; negative axes count from the end."""
    return [int(i) for i in np.argsort([axis % len(axes) for axis in axes])]


def _as_laid_out(a: Any) -> list[int]:
    """Return the axes in the order in which they lie in memory, the fastest last."""
    strides = getattr(bare(a), "strides", range(a.ndim, 0, -1))
    return sorted(range(a.ndim), key=lambda axis: -abs(strides[axis]))


def _reshape(g: Any, like: Any, order: Any) -> Any:
    """Return ``g.reshape(like.shape)``, in the order in which the array was read."""
    return g.reshape(like.shape) if order == "C" else g.reshape(like.shape, order=order)


@composite(np.full_like)
def full_like(a: Any, fill_value: Any, dtype: Any = None, *, shape: Any = None) -> Any:
    """Return a value in the shape and dtype of an array; the value is what is differentiated."""
    fill = np.broadcast_to(as_array(fill_value, kind(a)), a.shape if shape is None else shape)
    return fill.astype(a.dtype if dtype is None else dtype)


def _evenly(g: Any, num: int, endpoint: Any, retstep: Any, axis: int, which: int) -> Any:
    """Return the cotangent of start (0) or stop (1) in evenly spaced numbers, and their step."""
    g, step = g if retstep else (g, 0)
    steps = num - bool(endpoint)
    of_stop = (np.arange(num, like=kind(g)) / max(steps, 1)).astype(g.dtype)
    d = np.moveaxis(g, axis, -1) @ (of_stop if which else 1 - of_stop)
    return d + step * ((2 * which - 1) / steps if steps else math.nan) if retstep else d


@composite(np.logspace)
def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: Any = True, base: Any = 10.0, *, axis: int = 0
) -> Any:
    """Return powers of a base, the exponents evenly spaced."""
    if np.ndim(base):
        ndim = max(map(np.ndim, (start, stop, base)))
        start, stop, base = (_with_axes(as_array(a), ndim) for a in (start, stop, base))
        base = np.expand_dims(base, axis)
    return np.power(base, np.linspace(start, stop, num, endpoint, axis=axis))


# fmt: off
# ---------------------------------------------------------------------------- numbers in a row
derivative(np.linspace,
           lambda g, num, endpoint, retstep, axis: _evenly(g, num, endpoint, retstep, axis, 0),
           lambda g, num, endpoint, retstep, axis: _evenly(g, num, endpoint, retstep, axis, 1),
           ignores=["dtype", "device"], broadcasts=True)
derivative(np.geomspace,  # start**(1 - w) * stop**w
           lambda g, ans, start, num, endpoint, axis:
               _evenly(g * ans, num, endpoint, False, axis, 0) / start,
           lambda g, ans, stop, num, endpoint, axis:
               _evenly(g * ans, num, endpoint, False, axis, 1) / stop,
           ignores=["dtype"], broadcasts=True, domain=(0.2, 2))
enter_composite(np.full, lambda shape, fill_value, dtype=None:  # reached through like=
                full_like(as_array(fill_value), fill_value, dtype, shape=shape))

# ---------------------------------------------------------------------------- shapes
derivative(np.reshape,      _reshape, ignores=["shape", "copy"])
derivative(np.expand_dims,  lambda g, like: g.reshape(like.shape), ignores=["axis"])
derivative(np.squeeze,      lambda g, like: g.reshape(like.shape), ignores=["axis"])
derivative(np.transpose,    lambda g, axes: g.T if axes is None else
                            g.transpose(_inverse(normalize_axis_tuple(axes, g.ndim))))
derivative(np.swapaxes,     lambda g, axis1, axis2: g.swapaxes(axis1, axis2))
derivative(np.moveaxis,     lambda g, source, destination: np.moveaxis(g, destination, source))
derivative(np.flip,         lambda g, axis: np.flip(g, axis))
derivative(np.fliplr,       lambda g: g[:, ::-1])
derivative(np.flipud,       lambda g: g[::-1])
derivative(np.rot90,        lambda g, k, axes: np.rot90(g, -k, axes))
derivative(np.roll,         lambda g, shift, axis:
                            np.roll(g, np.negative(np.asarray(shift, int)).tolist(), axis))
derivative(np.repeat,       _repeat)
derivative(np.tile,         _tile)
derivative(np.broadcast_to, lambda g: g, ignores=["shape"], broadcasts=True)
derivative(np.diagonal,     _diagonal, selects=True)
# A vector gives a matrix, hence broadcasts.
derivative(np.tril,         lambda g, k: np.tril(g, k), broadcasts=True, selects=True)
derivative(np.triu,         lambda g, k: np.triu(g, k), broadcasts=True, selects=True)
derivative(np.split,        _rejoined, selects=True)
derivative(np.array_split,  _rejoined, selects=True)
derivative(np.vsplit,       lambda g, like, indices_or_sections:
                            _rejoined(g, like, indices_or_sections, 0), selects=True)
derivative(np.hsplit,       lambda g, like, indices_or_sections:
                            _rejoined(g, like, indices_or_sections, min(1, like.ndim - 1)),
                            selects=True)
derivative(np.dsplit,       lambda g, like, indices_or_sections:
                            _rejoined(g, like, indices_or_sections, 2), selects=True)
derivative(np.copy,         lambda g: g, ignores=["order"])
derivative(np.astype,       lambda g: g, ignores=["dtype", "copy"])
for _function in (np.matrix_transpose, np.linalg.matrix_transpose):
    derivative(_function,   lambda g: g.swapaxes(-1, -2))
if hasattr(np, "unstack"):  # since NumPy 2.1
    derivative(np.unstack,  lambda g, axis: np.stack(list(g), axis=axis), selects=True)

# ---------------------------------------------------------------------------- formulas of one line
enter_composite(np.stack, lambda arrays, axis=0:
                concatenate([np.expand_dims(a, axis) for a in as_arrays(arrays)], axis))
enter_composite(np.vstack, lambda tup: concatenate([np.atleast_2d(a) for a in tup]))
enter_composite(np.hstack, lambda tup: _side_by_side([np.atleast_1d(a) for a in as_arrays(tup)]))
enter_composite(np.dstack, lambda tup: concatenate([np.atleast_3d(a) for a in tup], 2))
enter_composite(np.column_stack, lambda tup:
                concatenate([a if a.ndim > 1 else a.reshape(-1, 1) for a in as_arrays(tup)], 1))
enter_composite(np.block, lambda arrays: _joined_blocks(arrays)[0])
enter_composite(np.append, lambda arr, values, axis=None: concatenate([arr, values], axis))
enter_composite(np.atleast_1d, lambda *arys: _each([_with_axes(as_array(a), 1) for a in arys]))
enter_composite(np.atleast_2d, lambda *arys: _each([_with_axes(as_array(a), 2) for a in arys]))
enter_composite(np.diagflat, lambda v, k=0: np.diag(np.ravel(v), k))
enter_composite(np.linalg.diagonal, lambda x, /, *, offset=0:
                np.diagonal(x, offset=offset, axis1=-2, axis2=-1))
enter_composite(np.ravel, lambda a, order="C": a.transpose(_as_laid_out(a)).reshape(-1)
                if order == "K" else np.reshape(a, (-1,), order=order))
# Of nothing, NumPy makes zeros: the sum.
enter_composite(np.resize, lambda a, new_shape: np.broadcast_to(np.sum(a), new_shape)
                .astype(a.dtype) if a.size == 0 else
                np.concatenate([a.reshape(-1)])[
                    np.resize(np.arange(a.size, like=kind(a)), new_shape)])
# The shape of an empty array of lengths 0, 1, 2, ... shows where each axis goes.
enter_composite(np.rollaxis, lambda a, axis, start=0:
                a.transpose(np.rollaxis(np.empty(range(a.ndim)), axis, start).shape))
# fmt: on

constant(np.shape, np.ndim, np.size)
constant(np.result_type, np.can_cast, np.min_scalar_type, np.common_type)
constant(np.shares_memory, np.may_share_memory)
constant(np.array2string, np.array_repr, np.array_str)

if np.lib.NumpyVersion(np.__version__) < "2.1.0":  # whose astype refuses single numbers

    def _astype(x: Any, dtype: Any, /, *, copy: bool = True) -> Any:
        return x.astype(dtype, copy=copy)

    TABLE[np.astype].function = _astype  # type: ignore[misc]
