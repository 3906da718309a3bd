"""Rules of functions that pick elements out, or put them in order.

Conventions
-----------
* Where an index names an element several times, the cotangents add up.
* Sorting sends a cotangent to where the element came from; equal elements keep their order.
* Whatever only says where elements are (argsort, nonzero, searchsorted) gives a plain array.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from autograd_lite.tape import constant, derivative
from autograd_lite.tensor import as_array, composite, primitive


def _names_once(index: Any) -> bool:
    """Whether an index surely names no element twice: slices, numbers and boolean masks."""
    items = index if isinstance(index, tuple) else (index,)
    return all(
        isinstance(i, (int, np.integer, slice))
        or i is None
        or i is ...
        or (isinstance(i, np.ndarray) and i.dtype == bool and len(items) == 1)
        for i in items
    )


def _has_slices(index: Any, ndim: int) -> bool:
    """Whether an index picks more than single elements."""
    items = index if isinstance(index, tuple) else (index,)
    return len(items) < ndim or not all(isinstance(i, np.ndarray) for i in items)


@primitive(lambda g, index: g[index], broadcasts=True)
def scatter(values: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Return zeros with values added at an index: the adjoint of ``a -> a[index]``.

    Where the index names an element several times, its values add up.
    """
    out = np.zeros(shape, values.dtype)
    if _names_once(index):
        out[index] = values
    elif _has_slices(index, out.ndim):
        # np.add.at is several times faster when every place is named by itself.
        places = np.arange(out.size).reshape(shape)[index]
        np.add.at(out.reshape(-1), places.reshape(-1), values.reshape(-1))
    else:
        np.add.at(out, index, values)
    return out


derivative(operator.getitem, lambda g, like, b: scatter(g, b, like.shape), selects=True)


def _opened(a: Any, axis: int | None) -> tuple[Any, int]:
    """Return an array and the number of an axis; for ``axis=None`` a flattened one and its axis."""
    a = as_array(a)
    return (a.reshape(-1), 0) if axis is None else (a, normalize_axis_index(axis, a.ndim))


@composite(np.take)
def take(a: Any, indices: Any, axis: int | None = None, *, mode: str = "raise") -> Any:
    """Return elements (``axis=None``), or slices along an axis, at integer positions."""
    a, axis = _opened(a, axis)
    length = a.shape[axis]
    places = np.asarray(indices)
    if mode == "wrap":
        places = places % length
    elif mode == "clip":
        places = np.clip(places, 0, length - 1)
    elif mode != "raise":
        raise ValueError(f"np.take: mode must be 'raise', 'wrap' or 'clip', not {mode!r}")
    places = places.astype(np.intp, casting="same_kind")
    return a[(*(slice(None),) * axis, places)]


@composite(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    """Return elements at positions along an axis, for every place in the other axes."""
    arr, axis = _opened(arr, axis)
    places = np.asarray(indices)
    if places.ndim != arr.ndim:
        raise ValueError(
            f"np.take_along_axis: indices of shape {places.shape} must have as many dimensions "
            f"as the array, of shape {arr.shape}"
        )
    grid = [
        np.arange(n).reshape([-1 if k == i else 1 for k in range(arr.ndim)])
        for i, n in enumerate(arr.shape)
    ]
    grid[axis] = places
    return arr[tuple(grid)]


@composite(np.compress)
def compress(condition: Any, a: Any, axis: int | None = None) -> Any:
    """Return the slices along an axis where a condition of that length, or less, holds."""
    condition = np.asarray(condition)
    if condition.ndim != 1:
        raise ValueError(f"np.compress: the condition has shape {condition.shape}, not one axis")
    return take(a, np.flatnonzero(condition), axis)


@composite(np.extract)
def extract(condition: Any, arr: Any) -> Any:
    """Return the elements where a condition holds, as one axis."""
    return take(arr, np.flatnonzero(condition))


@composite(np.delete)
def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    """Return an array without the slices along an axis that ``obj`` names."""
    arr, axis = _opened(arr, axis)
    return take(arr, np.delete(np.arange(arr.shape[axis]), obj), axis)


@composite(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """Return an array with values inserted before the places along an axis that ``obj`` names."""
    arr, values = as_array(arr), as_array(values)
    # NumPy inserts the values' positions among the array's; the elements follow.
    places = np.arange(arr.size + values.size)
    new = places[arr.size :].reshape(values.shape)
    places = np.insert(places[: arr.size].reshape(arr.shape), obj, new, axis)
    elements = [arr.reshape(-1), values.astype(arr.dtype).reshape(-1)]
    return np.concatenate(elements)[places]


@composite(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """Return elements of the first choice whose condition holds."""
    if len(condlist) != len(choicelist):
        raise ValueError(f"np.select: {len(condlist)} conditions, but {len(choicelist)} choices")
    ans = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist)):
        ans = np.where(condition, choice, ans)
    return ans


@composite(np.choose)
def choose(a: Any, choices: Any, *, mode: str = "raise") -> Any:
    """Return elements of the choices, by an array of their numbers."""
    numbers = np.asarray(a)
    choices = [as_array(choice) for choice in choices]
    shape = np.broadcast_shapes(numbers.shape, *(choice.shape for choice in choices))
    stacked = np.stack([np.broadcast_to(choice, shape) for choice in choices])
    if mode == "raise" and not np.all((numbers >= 0) & (numbers < len(choices))):
        raise ValueError(f"np.choose: invalid entry in choice array; there are {len(choices)}")
    limited = numbers % len(choices) if mode == "wrap" else np.clip(numbers, 0, len(choices) - 1)
    return take_along_axis(stacked, np.broadcast_to(limited, shape)[None], 0)[0]


@composite(np.sort)
def sort(a: Any, axis: int | None = -1, kind: Any = None, *, stable: Any = None) -> Any:
    """Return elements in ascending order; nan last, equal elements in the order they had."""
    a, axis = _opened(a, axis)
    return take_along_axis(a, np.argsort(a, axis=axis, kind="stable"), axis)


@composite(np.partition)
def partition(a: Any, kth: Any, axis: int | None = -1) -> Any:
    """Return elements with those at ``kth`` in their sorted places, smaller ones before them."""
    a, axis = _opened(a, axis)
    return take_along_axis(a, np.argpartition(a, kth, axis=axis), axis)


constant(np.argsort, np.argpartition, np.lexsort, np.searchsorted, np.digitize, np.isin)
constant(np.nonzero, np.flatnonzero, np.argwhere)
constant(np.tril_indices_from, np.triu_indices_from, np.diag_indices_from)
