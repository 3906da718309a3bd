"""The batch: an array with one hidden leading axis, which code written for one example never sees.

A ufunc is called once, on arrays whose hidden axes are aligned; other functions by an entry of
``batched.py``, or by the formula that the table of rules has for them. Whatever is left is applied
to one example after the other and stacked: right, if slower.

Conventions
-----------
* The ``level`` of a batch says which ``vmap`` it belongs to: one within another has the higher. The
  highest among the arguments handles a call; to it, other batches are arrays like any.
* A tensor is outside a batch: a batch leaves calls with tensors to them.
* An array that is no batch is the same for every example.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from autograd_lite.engine.arrays import kind, like_sequence
from autograd_lite.engine.methods import ArrayMethods
from autograd_lite.engine.names import name_of
from autograd_lite.engine.recording import Recorded, call
from autograd_lite.engine.table import TABLE, Composite

_NO_KEYWORDS: dict[str, Any] = {}
# From a level and the arguments to the result with its hidden axis: see batched.py, which fills it.
ENTRIES: dict[Callable[..., Any], Callable[..., Any]] = {}
# What these are asked is in shapes and dtypes, which all examples share.
_ASK_NO_VALUE = {
    np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.common_type, np.min_scalar_type,
    np.iscomplexobj, np.isrealobj, np.shares_memory, np.may_share_memory, np.einsum_path,
}  # fmt: skip
_WRITE = {
    operator.setitem, np.copyto, np.put, np.place, np.putmask, np.put_along_axis, np.fill_diagonal,
}  # fmt: skip
# The composites whose formulas are being evaluated: one that calls its own function is looped over.
_formulas: ContextVar[tuple[Any, ...]] = ContextVar("autograd_lite_formulas", default=())


class Batch(ArrayMethods, NDArrayOperatorsMixin):
    """An array for each example of a batch, stacked along a first axis that it hides."""

    __slots__ = ("level", "stacked")
    meets_ndarrays = True

    def __init__(self, stacked: Any, level: int) -> None:
        self.stacked = stacked
        self.level = level

    # ------------------------------------------------------------------------ attributes

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes of one example."""
        return self.stacked.shape[1:]  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        """The number of axes of one example."""
        return self.stacked.ndim - 1  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """The number of elements of one example."""
        size = 1
        for length in self.shape:
            size *= length
        return size

    @property
    def dtype(self) -> Any:
        """The data type of the elements."""
        return self.stacked.dtype

    @staticmethod
    def _apply(
        function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any] = _NO_KEYWORDS
    ) -> Any:
        return apply(function, args, kwargs)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d batch")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<Batch of {len(self.stacked)}: {self.dtype}{list(self.shape)}>"

    def __getitem__(self, index: Any) -> Any:
        return apply(operator.getitem, (self, index))

    def __setitem__(self, index: Any, value: Any) -> None:
        apply(operator.setitem, (self, index, value))

    # ------------------------------------------------------------------------ NumPy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, Recorded) for x in args):
            return NotImplemented
        out = kwargs.pop("out", None)
        if out is not None and not isinstance(out[0], Batch):
            raise TypeError(
                f"{name_of(ufunc)}: out= (or an in-place operator on an array) cannot hold the "
                f"results of a batch, one for each example; bind the result to a name instead"
            )
        if method == "at":
            return apply(ufunc.at, args)
        ans = apply(ufunc if method == "__call__" else getattr(ufunc, method), args, kwargs)
        if out is None:
            return ans
        out[0][...] = ans
        return out[0]

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        if any(issubclass(kind, Recorded) for kind in types):
            return NotImplemented
        if batches_in((args, kwargs)):
            return apply(function, args, kwargs)
        # Called with like=. What is to be written into is each example's own.
        inner = kind(self.stacked)
        if function not in (np.zeros, np.empty):
            return function(*args, **kwargs, like=inner)
        shape, *others = args
        shape = (shape,) if isinstance(shape, int) else shape
        rows = function((len(self.stacked), *shape), *others, **kwargs, like=inner)
        return Batch(rows, self.level)

    # ------------------------------------------------------------------------ what it refuses

    def __bool__(self) -> bool:
        raise _asked(
            "bool() (if, while, and, or)", "np.where(condition, x, y) to choose for each example"
        )

    def __float__(self) -> float:
        raise _asked("float() (math functions call it too)", "np functions")

    def __int__(self) -> int:
        raise _asked("int()", "astype(int)")

    def __index__(self) -> int:
        raise _asked("operator.index() (range(), an index of a list)", "ag.Tensor(array)[index]")

    def item(self, *place: Any) -> Any:
        """Refuse to give one value."""
        raise _asked(".item()", "the array itself")

    def tolist(self) -> Any:
        """Refuse to give values."""
        raise _asked(".tolist()", "the array itself")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise _asked(
            "np.asarray (or an index of a plain array, or a function that is not NumPy's)",
            "np.stack to join, ag.Tensor(array)[index] to index, @ag.primitive for a function of "
            "plain arrays",
        )


def _asked(operation: str, remedy: str) -> TypeError:
    return TypeError(
        f"{operation} of an array inside ag.vmap asks for one value, but each example has its own; "
        f"use {remedy}"
    )


def batches_in(value: Any) -> list[Batch]:
    """Return the batches in nested lists, tuples and dicts."""
    if value.__class__ is Batch:
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    found: list[Batch] = []
    if isinstance(value, (tuple, list)):
        for item in value:
            if item.__class__ is Batch:
                found.append(item)
            elif isinstance(item, (tuple, list, dict)):
                found += batches_in(item)
    return found


# ---------------------------------------------------------------------------- calls


def apply(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any] = _NO_KEYWORDS
) -> Any:
    """Apply a function to batches and arrays, for all examples."""
    if function.__class__ is np.ufunc and not kwargs and function.signature is None:
        return _elementwise(function, args)
    level = -1
    for x in args:
        if x.__class__ is Batch:
            level = max(level, x.level)
        elif isinstance(x, Recorded):
            return call(function, args, kwargs)
        elif isinstance(x, (tuple, list)):
            level = max([level, *(batch.level for batch in batches_in(x))])
    if kwargs:
        level = max([level, *(batch.level for batch in batches_in(kwargs))])
    if function in _WRITE or getattr(function, "__name__", "") == "at":
        _check_written(function, args)
    if function in _ASK_NO_VALUE:
        return function(*_example(args, 0, level), **_example(kwargs, 0, level))
    entry = ENTRIES.get(matrix_products if isinstance(function, np.ufunc) else function)
    try:
        if entry is not None:
            ans = entry(function, level, *args, **kwargs)
            if ans is not NotImplemented:
                return as_batches(ans, level)
        elif isinstance(TABLE.get(function), Composite) and function not in _formulas.get():
            token = _formulas.set((*_formulas.get(), function))
            try:
                return call(function, args, kwargs)
            finally:
                _formulas.reset(token)
    except Exception:  # one by one, what is wrong is said of the shapes that the user sees
        pass
    return one_by_one(function, level, args, kwargs)


def _check_written(function: Callable[..., Any], args: Sequence[Any]) -> None:
    """Refuse to write what differs between examples into an array that they share."""
    own = _levels(args[0])
    if any(level not in own for batch in batches_in(args[1:]) for level in _levels(batch)):
        raise TypeError(
            f"{name_of(function)} inside ag.vmap writes the values of every example into one array "
            f"that they share; write into np.zeros_like(x) of a mapped x, or use np.where, np.stack"
        )


def _levels(x: Any) -> list[int]:
    return [x.level, *_levels(x.stacked)] if x.__class__ is Batch else []


def _elementwise(ufunc: np.ufunc, args: Sequence[Any]) -> Any:
    """Call a ufunc once, the hidden axes aligned."""
    level, ndim, arrays = -1, 0, list(args)
    for k, x in enumerate(args):
        if x.__class__ is Batch:
            level = max(level, x.level)
            ndim = max(ndim, x.stacked.ndim - 1)
        elif isinstance(x, Recorded):
            return call(ufunc, args)
        elif hasattr(x, "ndim"):
            ndim = max(ndim, x.ndim)
        elif isinstance(x, (list, tuple)):
            arrays[k] = x = np.stack(x) if batches_in(x) else np.asarray(x)
            return _elementwise(ufunc, arrays)
    for k, x in enumerate(arrays):
        if x.__class__ is Batch and x.level == level:
            arrays[k] = x.stacked if x.stacked.ndim > ndim else aligned(x, level, ndim)
    ans = ufunc(*arrays)
    return Batch(ans, level) if ans.__class__ is not tuple else as_batches(ans, level)


def aligned(x: Any, level: int, ndim: int) -> Any:
    """Return an array such that its hidden axis, if it has one, stands before ``ndim`` others."""
    if x.__class__ is not Batch or x.level != level:
        return x
    rows = x.stacked
    missing = ndim + 1 - rows.ndim
    return rows.reshape(rows.shape[0], *(1,) * missing, *rows.shape[1:]) if missing > 0 else rows


def as_batches(ans: Any, level: int) -> Any:
    """Return what has a hidden axis as batches of a level, each of several by itself."""
    if isinstance(ans, (tuple, list)):
        return like_sequence(ans, [as_batches(part, level) for part in ans])
    return None if ans is None else Batch(ans, level)


def one_by_one(
    function: Callable[..., Any], level: int, args: Sequence[Any], kwargs: dict[str, Any]
) -> Any:
    """Apply a function to one example after the other, and stack what it gives."""
    size = next(len(b.stacked) for b in batches_in((args, kwargs)) if b.level == level)
    if size == 0:  # of one that is not there
        args, kwargs = (_filled(value, level) for value in (tuple(args), kwargs))
    results = []
    for i in range(max(size, 1)):
        one, named = _example(tuple(args), i, level), _example(kwargs, i, level)
        try:
            results.append(function(*one, **named))
        except Exception:
            if not batches_in((one, named)):  # of another level
                raise
            results.append(apply(function, one, named))
    return _stacked(results, function, level, size)


def _filled(value: Any, level: int) -> Any:
    """Return arguments with zeros for the one example of a batch that has none."""
    if value.__class__ is Batch and value.level == level:
        return Batch(np.zeros((1, *value.shape), value.dtype), level)
    if isinstance(value, (tuple, list)):
        return like_sequence(value, [_filled(item, level) for item in value])
    return {k: _filled(v, level) for k, v in value.items()} if isinstance(value, dict) else value


def _example(value: Any, i: int, level: int) -> Any:
    """Return arguments with an example in the place of each batch."""
    if value.__class__ is Batch and value.level == level:
        return value.stacked[i]
    if isinstance(value, (tuple, list)):
        return like_sequence(value, [_example(item, i, level) for item in value])
    if isinstance(value, dict):
        return {name: _example(item, i, level) for name, item in value.items()}
    return value


def _stacked(results: list[Any], function: Callable[..., Any], level: int, size: int) -> Any:
    first = results[0]
    if first is None:
        return None
    if isinstance(first, (tuple, list)):
        columns = [_stacked(list(column), function, level, size) for column in zip(*results)]
        return like_sequence(first, columns)
    shapes = {np.shape(result) for result in results}
    if len(shapes) > 1:
        raise ValueError(
            f"{name_of(function)}: inside ag.vmap every example must give a result of the same "
            f"shape, not {' and '.join(map(str, sorted(shapes)))}; choose with np.where instead"
        )
    return Batch(np.stack(results)[:size], level)


def matrix_products() -> None:
    """Stand for the ufuncs with axes of their own in ENTRIES: they share one entry."""
