"""Rules of functions that pick elements out, or put them in order.

Conventions
-----------
* Where an index names an element several times, the cotangents add up.
* Sorting sends a cotangent to where the element came from; equal elements keep their order.
* Whatever only says where elements are (argsort, nonzero, searchsorted) gives a plain array.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from autograd_lite.engine.arrays import as_array, as_arrays, expect, indexed, kind, of_dtype
from autograd_lite.engine.primitives import composite, primitive
from autograd_lite.engine.recording import bare
from autograd_lite.engine.table import constant, derivative, enter_composite


def _names_once(index: Any) -> bool:
    """Whether an index surely names no element twice: slices and numbers, or a boolean mask."""
    if hasattr(index, "dtype"):
        return index.dtype.kind == "b" or isinstance(index, np.integer)
    items = index if isinstance(index, tuple) else (index,)
    basic = (int, np.integer, slice, type(None), type(...))
    return all(isinstance(i, basic) for i in items)


@primitive(lambda g, index: indexed(g, index), broadcasts=True)
def scatter(values: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Return ``zeros(shape)[index] += values``: the adjoint of ``a -> a[index]``.

    Where the index names an element several times, its values add up.
    """
    items = index if isinstance(index, tuple) else (index,)
    like = kind(values, *items)
    out = np.zeros(shape, values.dtype, like=like)
    if _names_once(index):
        out[index] = values
    elif len(items) < out.ndim or not all(hasattr(i, "shape") for i in items):
        # np.add.at is several times faster when every place is named by itself.
        axes = 1 if hasattr(index, "shape") else out.ndim
        rows = np.arange(math.prod(shape[:axes]), like=like).reshape(shape[:axes])
        rows = indexed(rows, index)
        width = math.prod(shape[axes:])
        places = rows[..., None] * width + np.arange(width, like=like)
        flat = np.zeros(math.prod(shape), values.dtype, like=like)
        np.add.at(flat, places.reshape(-1), values.reshape(-1))
        return flat.reshape(shape)
    else:
        np.add.at(out, index, values)
    return out


derivative(operator.getitem, lambda g, like, b: scatter(g, b, like.shape), selects=True)


def _opened(a: Any, axis: int | None) -> tuple[Any, int]:
    """Return an array and the number of an axis; for ``axis=None`` a flattened one and its axis."""
    a = as_array(a)
    return (a.reshape(-1), 0) if axis is None else (a, normalize_axis_index(axis, a.ndim))


def _picked(a: Any, axis: int | None, pick: Callable[[Any], Any]) -> Any:
    """Return slices along an axis (None: elements) that NumPy picks, given their places."""
    a, axis = _opened(a, axis)
    return a[(*(slice(None),) * axis, pick(np.arange(a.shape[axis], like=kind(a))))]


def _mode(mode: str) -> dict[str, Any]:
    """Return a mode as an option, if it is not the only one that other arrays have."""
    return {} if mode == "raise" else {"mode": mode}


@composite(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    """Return elements at positions along an axis, for every place in the other axes."""
    arr, axis = _opened(arr, axis)
    places = as_array(bare(indices), kind(arr))
    expect(places.ndim == arr.ndim)
    like, ones = kind(arr), (1,) * (arr.ndim - 1)
    grid = [
        places if i == axis else np.arange(n, like=like).reshape(*ones[:i], n, *ones[i:])
        for i, n in enumerate(arr.shape)
    ]
    return arr[tuple(grid)]


@composite(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """Return an array with values inserted before the places along an axis that ``obj`` names."""
    arr, values = as_arrays((arr, values))
    # NumPy inserts the values' positions among the array's; the elements follow.
    places = np.arange(arr.size + values.size, like=kind(arr))
    new = places[arr.size :].reshape(values.shape)
    places = np.insert(places[: arr.size].reshape(arr.shape), obj, new, axis)
    elements = [arr.reshape(-1), values.astype(arr.dtype).reshape(-1)]
    return of_dtype(np.concatenate(elements)[places], arr.dtype)


@composite(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """Return elements of the first choice whose condition holds."""
    expect(len(condlist) == len(choicelist))
    expect(all(as_array(condition).dtype.kind == "b" for condition in condlist))
    ans = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist)):
        ans = np.where(condition, choice, ans)
    return ans


@composite(np.choose)
def choose(a: Any, choices: Any, *, mode: Any = "raise") -> Any:
    """Return elements of the choices, by an array of their numbers."""
    a = as_array(bare(a), kind(*choices))
    numbers = np.choose(a, range(len(choices)), **_mode(mode))
    numbers, *arrays = np.broadcast_arrays(numbers, *choices)
    return take_along_axis(np.stack(arrays), numbers[None], 0)[0]


def _stable(kind: Any, stable: Any) -> Any:
    """Return the way to sort in which equal elements keep their order, whichever was asked for."""
    np.sort([0], kind=kind, stable=stable)  # raises where there is no such way
    return "stable"


# fmt: off
enter_composite(np.sort, lambda a, axis=-1, kind=None, *, stable=None: take_along_axis(
                a, np.argsort(a, axis=axis, kind=_stable(kind, stable)), axis))
enter_composite(np.partition, lambda a, kth, axis=-1:
                take_along_axis(a, np.argpartition(a, kth, axis=axis), axis))
enter_composite(np.take, lambda a, indices, axis=None, *, mode="raise":
                _picked(a, axis, lambda places: np.take(places, bare(indices), **_mode(mode))))
enter_composite(np.compress, lambda condition, a, axis=None:
                _picked(a, axis, lambda places: np.compress(bare(condition), places)))
enter_composite(np.extract, lambda condition, arr:
                _picked(arr, None, lambda places: np.extract(bare(condition), places)))
enter_composite(np.delete, lambda arr, obj, axis=None:
                _picked(arr, axis, lambda places: np.delete(places, bare(obj))))
# fmt: on

constant(np.argsort, np.argpartition, np.lexsort, np.nonzero, np.flatnonzero, np.argwhere)
constant(np.tril_indices_from, np.triu_indices_from, np.diag_indices_from)
