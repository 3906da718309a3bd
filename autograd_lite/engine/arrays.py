"""What the engine asks of an array: its shape, ndim, size and dtype, and NumPy's functions.

Nothing more, so that a tensor may hold any array that speaks NumPy's two protocols. What holds for
ndarrays alone (their memory, whether they are read-only, their bytes) is asked here and in the
guards, of ndarrays alone.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import MutableSequence
from typing import Any

import numpy as np

MASKED = "the mask of a masked array would be lost; pass array.filled(value), or the values with "
MASKED += "np.where"


def ordinary(array: Any, caller: str) -> Any:
    """Return anything but an array of a kind whose arithmetic the rules do not know."""
    if not isinstance(array, np.ndarray) or array.__class__ is np.ndarray:
        return array  # before asking for np.ma, which takes long to load
    if isinstance(array, np.matrix):
        raise TypeError(
            f"{caller}: np.matrix multiplies in its own way; pass np.asarray(matrix) instead"
        )
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{caller}: {MASKED}")
    if type(array).__array_ufunc__ is not np.ndarray.__array_ufunc__:
        raise TypeError(
            f"{caller}: {_kind(array)} has an arithmetic of its own, which would be lost; pass "
            f"np.asarray of it"
        )
    return array


def values_of(value: Any, caller: str, *, always: bool = False) -> Any:
    """Return an array of any other kind as an ndarray: its values by position, a copy.

    What is no array is returned as it is (unless it must ``always`` be one), and so is an array of
    another library that speaks both of NumPy's protocols.

    Raises
    ------
    TypeError
        If they are no numbers, or the array does not give them.
    """
    if not (holds_values(value.__class__) or always):
        return value
    if isinstance(value, np.generic) or is_foreign(value):
        return value
    if isinstance(value, np.ndarray):
        return np.asarray(ordinary(value, caller))
    try:
        array = np.array(value)
    except (TypeError, RuntimeError) as error:
        if not hasattr(value, "__array__"):
            raise
        raise TypeError(f"{caller}: {_kind(value)} is not taken as an array: {error}") from error
    if array.dtype.kind not in "fiubc":
        raise TypeError(
            f"{caller}: {_kind(value)} of dtype {getattr(value, 'dtype', array.dtype)} holds no "
            f"numbers; {remedy(array.dtype)}"
        )
    array.setflags(write=False)
    return array


@functools.lru_cache(maxsize=1024)
def holds_values(kind: type) -> bool:
    """Whether objects of a class may be arrays, or sequences whose items may change."""
    sequence = issubclass(kind, (memoryview, MutableSequence)) and not issubclass(kind, list)
    return (hasattr(kind, "__array__") and not issubclass(kind, np.generic)) or sequence


def _kind(value: Any) -> str:
    """Return the name of a value's class with its library: pandas.Series."""
    if value is None:
        return "None"
    root, name = type(value).__module__.partition(".")[0], type(value).__name__
    return name if root == "builtins" else f"{root}.{name}"


def remedy(dtype: Any) -> str:
    """Return what to pass in place of values that are no numbers."""
    if dtype.kind in "mM":
        return "pass times as numbers, (t - start) / np.timedelta64(1, 's')"
    return "pass numbers, such as np.asarray(values, float)"


def is_foreign(value: Any) -> bool:
    """Whether a value is an array of another library that speaks both of NumPy's protocols."""
    return (
        not isinstance(value, (np.ndarray, np.generic))
        and hasattr(value, "__array_function__")
        and hasattr(value, "__array_ufunc__")
        and hasattr(value, "dtype")
    )


def is_batch(value: Any) -> bool:
    """Whether a value is of a kind that takes ndarrays for its like: those of the transforms."""
    return value.__class__ is not np.ndarray and getattr(value, "meets_ndarrays", False)


def held(array: Any) -> Any:
    """Return the array in which a batch stacks its examples; any other array as it is."""
    while not isinstance(array, np.ndarray) and is_batch(array):
        array = array.stacked
    return array


def batch_in(arguments: Any) -> Any:
    """Return a batch among arguments, also in an index that is a tuple; None if there is none."""
    for value in arguments:
        if isinstance(value, (tuple, list)):
            value = batch_in(value)
        if value is not None and is_batch(value):
            return value
    return None


def indexed(array: Any, index: Any) -> Any:
    """Return ``array[index]``, also of an ndarray and an index that holds a batch."""
    batch = None if is_batch(array) else batch_in((index,))
    return array[index] if batch is None else batch._apply(operator.getitem, (array, index))


def copied(data: Any, dtype: Any = None) -> Any:
    """Return an array of its own that holds the same; a foreign one stays of its kind."""
    if is_foreign(data):
        return data.copy() if dtype is None or data.dtype == dtype else data.astype(dtype)
    return np.array(data, dtype=dtype)


def kind(*arrays: Any) -> Any:
    """Return what NumPy's ``like=`` takes to make an array of the kind of arrays or tensors.

    The first one that is foreign, else None: an ndarray is made.
    """
    for array in arrays:
        if array.__class__ is not np.ndarray and hasattr(array, "__array_function__"):
            values = getattr(array, "_values", array)
            if values.__class__ is not np.ndarray and is_foreign(values):
                return values
    return None


def as_array(value: Any, like: Any = None) -> Any:
    """Return anything but an array that speaks NumPy's protocols, or a tensor, as one of a kind."""
    if _speaks_numpy(value.__class__):
        return value
    return np.asarray(values_of(value, "an argument"), like=like)


@functools.lru_cache(maxsize=1024)
def _speaks_numpy(kind: type) -> bool:
    return hasattr(kind, "__array_function__") or issubclass(kind, np.generic)


def of_dtype(array: Any, dtype: Any) -> Any:
    """Return an array in a dtype: as it is if it has that one."""
    return array if array.dtype == dtype else array.astype(dtype)


def in_kind(value: Any, model: Any) -> Any:
    """Return an array or number as an array of the kind of a model.

    What has to become another kind is converted by NumPy's ``asarray``, which an array that is to
    stay on its device refuses.
    """
    if value.__class__ is np.ndarray is model.__class__:
        return value
    like = kind(model)
    stays = is_batch(value) if like is None else is_foreign(value)
    return value if stays else np.asarray(value, like=like)


def as_arrays(values: Any) -> list[Any]:
    """Return lists and numbers as arrays of the kind of their neighbours."""
    arrays = list(values)
    for array in arrays:
        if not _speaks_numpy(array.__class__):
            like = kind(*arrays)
            return [as_array(array, like) for array in arrays]
    return arrays


def expect(fine: bool) -> None:
    """Raise where NumPy does for a function that a formula stands for: it is then asked to."""
    if not fine:
        raise ValueError("these arguments do not go together")


def possibly(mask: Any) -> bool:
    """Whether any element of a mask may be true: certain where its values can be asked."""
    if not isinstance(mask, (np.ndarray, np.generic)):
        mask = held(mask)
    return not isinstance(mask, (np.ndarray, np.generic)) or bool(mask.any())


def has_nan(array: Any) -> bool:
    """Whether an array holds a nan; False where its values cannot be asked."""
    values = array if array.__class__ is np.ndarray else held(array)
    if values.__class__ is np.ndarray and values.dtype.char in "fd" and values.flags.c_contiguous:
        flat = values.reshape(-1)
        total = flat.dot(flat)  # by BLAS, several times as fast as the sum
        return bool(total != total)
    total = values.sum()
    unequal = held(total != total)
    return isinstance(unequal, (bool, np.ndarray, np.generic)) and bool(np.any(unequal))


def alike(array: Any, *others: Any) -> bool:
    """Whether arrays or numbers are of one kind, so that one may be written into."""
    return all(is_batch(other) == is_batch(array) for other in others)


def like_sequence(model: Any, items: list[Any]) -> Any:
    """Return items as the kind of sequence that the model is: list, tuple or named tuple."""
    return model._make(items) if hasattr(model, "_make") else type(model)(items)


def sum_of_leading(array: Any, count: int) -> Any:
    """Return the sum over so many leading axes."""
    shape = array.shape[count:]
    if not shape or array.__class__ is not np.ndarray or array.dtype.char not in "fd":
        return array.sum(axis=tuple(range(count)))
    # By BLAS: up to ten times as fast as NumPy's sum of narrow rows, and half its rounding error.
    rows = math.prod(array.shape[:count])
    ones = _few_ones(rows, array.dtype) if rows <= 4096 else np.ones(rows, array.dtype)
    return ones.dot(array.reshape(rows, math.prod(shape))).reshape(shape)


_few_ones = functools.lru_cache(maxsize=8)(np.ones)
