"""Operators and array methods as NumPy functions, written once for every array class of ours.

Each hands the array to a function of the table, by the class's ``_apply(function, args, kwargs)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from autograd_lite.engine.names import name_of

Array = TypeVar("Array")
Positions = NDArray[np.intp]


class Method(Protocol):
    """A method, or an operator, whose result is an array of its own array's class."""

    def __get__(self, array: Array, owner: type[Array] | None = None, /) -> Callable[..., Array]:
        """Return it bound to an array."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what it gives, the array being the first argument."""


def _unary(function: np.ufunc) -> Method:
    return lambda array: array._apply(function, (array,))


def _binary(function: np.ufunc) -> tuple[Method, Method, Method]:
    """Return an operator from the left, from the right, and in place."""
    return (
        lambda array, other: array._apply(function, (array, other)),
        lambda array, other: array._apply(function, (other, array)),
        lambda array, other: array._updated(function, other),
    )


def _comparison(function: np.ufunc) -> Callable[[Any, Any], NDArray[np.bool]]:
    return lambda array, other: array._apply(function, (array, other))


def _method(function: Callable[..., Any]) -> Method:
    """Return the method that hands the array to a function, as the first argument."""

    def of_any(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        return self._apply(function, (self, *args), kwargs)

    # To a ufunc, a second array would be one to write to.
    method = _unary(function) if isinstance(function, np.ufunc) else of_any
    method.__qualname__ = f"Tensor.{function.__name__}"
    method.__name__ = function.__name__
    method.__doc__ = f"Return ``{name_of(function)}`` of the array."
    return method


class ArrayMethods:
    """What an array can do: every operator and method is a NumPy function of it."""

    __slots__ = ()

    @staticmethod
    def _apply(function: Callable[..., Any], args: Sequence[Any], kwargs: Any = None) -> Any:
        """Apply a NumPy function to arrays of this class and others."""
        raise NotImplementedError

    def _updated(self, function: Callable[..., Any], other: Any) -> Any:
        """Return ``self op= other``: a new array, bound to the name."""
        return self._apply(function, (self, other))

    # ------------------------------------------------------------------------ attributes

    @property
    def T(self) -> Self:
        """The array with its axes reversed."""
        return self._apply(np.transpose, (self,))  # type: ignore[no-any-return]

    @property
    def mT(self) -> Self:
        """The array with its last two axes swapped."""
        return self._apply(np.matrix_transpose, (self,))  # type: ignore[no-any-return]

    @property
    def real(self) -> Self:
        """The real part."""
        return self._apply(np.real, (self,))  # type: ignore[no-any-return]

    @property
    def imag(self) -> Self:
        """The imaginary part: zeros."""
        return self._apply(np.imag, (self,))  # type: ignore[no-any-return]

    @property
    def flat(self) -> Self:
        """The elements in one row, to be looped over or indexed."""
        return self._apply(np.ravel, (self,))  # type: ignore[no-any-return]

    # ------------------------------------------------------------------------ operators

    __neg__ = _unary(np.negative)
    __pos__ = _unary(np.positive)
    __abs__ = _unary(np.absolute)

    __add__, __radd__, __iadd__ = _binary(np.add)
    __sub__, __rsub__, __isub__ = _binary(np.subtract)
    __mul__, __rmul__, __imul__ = _binary(np.multiply)
    __truediv__, __rtruediv__, __itruediv__ = _binary(np.divide)
    __floordiv__, __rfloordiv__, __ifloordiv__ = _binary(np.floor_divide)
    __mod__, __rmod__, __imod__ = _binary(np.remainder)
    __pow__, __rpow__, __ipow__ = _binary(np.power)
    __matmul__, __rmatmul__, __imatmul__ = _binary(np.matmul)

    __lt__ = _comparison(np.less)
    __le__ = _comparison(np.less_equal)
    __gt__ = _comparison(np.greater)
    __ge__ = _comparison(np.greater_equal)
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> NDArray[np.bool]:  # type: ignore[override]
        return self._apply(np.equal, (self, other))  # type: ignore[no-any-return]

    def __ne__(self, other: object) -> NDArray[np.bool]:  # type: ignore[override]
        return self._apply(np.not_equal, (self, other))  # type: ignore[no-any-return]

    def __divmod__(self, other: Any) -> tuple[Self, Self]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Self, Self]:
        return other // self, other % self

    def __round__(self, digits: int = 0) -> Self:
        return self.round(digits)

    def __iter__(self) -> Iterator[Self]:
        if len(self.shape) == 0:  # type: ignore[attr-defined]
            raise TypeError(f"iteration over a 0-d {type(self).__name__.lower()}")
        return (self[i] for i in range(self.shape[0]))  # type: ignore[attr-defined, index]

    # ------------------------------------------------------------------------ methods

    exp = _method(np.exp)
    log = _method(np.log)
    sqrt = _method(np.sqrt)
    tanh = _method(np.tanh)
    abs = _method(np.absolute)
    sum = _method(np.sum)
    prod = _method(np.prod)
    mean = _method(np.mean)
    var = _method(np.var)
    std = _method(np.std)
    max = _method(np.max)
    min = _method(np.min)
    argmax: Callable[..., Any] = _method(np.argmax)
    argmin: Callable[..., Any] = _method(np.argmin)
    cumsum = _method(np.cumsum)
    cumprod = _method(np.cumprod)
    any: Callable[..., Any] = _method(np.any)
    all: Callable[..., Any] = _method(np.all)
    round = _method(np.round)
    trace = _method(np.trace)
    diagonal = _method(np.diagonal)
    conj = _method(np.conjugate)
    conjugate = _method(np.conjugate)
    dot = _method(np.dot)
    take = _method(np.take)
    repeat = _method(np.repeat)
    choose = _method(np.choose)
    swapaxes = _method(np.swapaxes)
    squeeze = _method(np.squeeze)
    ravel = _method(np.ravel)
    flatten = _method(np.ravel)
    copy = _method(np.copy)
    argsort: Callable[..., Positions] = _method(np.argsort)
    argpartition: Callable[..., Positions] = _method(np.argpartition)
    searchsorted: Callable[..., Positions] = _method(np.searchsorted)
    nonzero: Callable[..., tuple[Positions, ...]] = _method(np.nonzero)

    def reshape(self, *shape: Any, **kwargs: Any) -> Self:
        """Return ``np.reshape`` of the array; the shape may be given as separate numbers."""
        numbers = len(shape) != 1 or isinstance(shape[0], (int, np.integer))
        new = shape if numbers else shape[0]
        return self._apply(np.reshape, (self, new), kwargs)  # type: ignore[no-any-return]

    def transpose(self, *axes: Any) -> Self:
        """Return ``np.transpose`` of the array; the axes may be given as separate numbers."""
        order = axes[0] if len(axes) == 1 else axes or None
        return self._apply(np.transpose, (self, order))  # type: ignore[no-any-return]

    def clip(self, min: Any = None, max: Any = None, out: Any = None) -> Self:
        """Return ``np.clip`` of the array, by the names that an array's own method has."""
        args = (self, min, max) if out is None else (self, min, max, out)
        return self._apply(np.clip, args)  # type: ignore[no-any-return]

    def compress(self, condition: Any, *args: Any, **kwargs: Any) -> Self:
        """Return ``np.compress`` of the array."""
        args = (condition, self, *args)
        return self._apply(np.compress, args, kwargs)  # type: ignore[no-any-return]

    def astype(self, dtype: DTypeLike, *options: Any, copy: bool = True, **more: Any) -> Self:
        """Return the array in another floating-point dtype, as an array's own method does."""
        empty = np.empty(0, self.dtype).astype(dtype, *options, **more)  # type: ignore[attr-defined]
        args = (self, empty.dtype)
        return self._apply(np.astype, args, {"copy": copy})  # type: ignore[no-any-return]

    def sort(self, *args: Any, **kwargs: Any) -> None:
        """Refuse to sort in place; ``np.sort`` returns a sorted array."""
        name = type(self).__name__
        raise TypeError(f"{name}.sort would change the {name.lower()} in place; use np.sort")

    def partition(self, *args: Any, **kwargs: Any) -> None:
        """Refuse to partition in place; ``np.partition`` returns a partitioned array."""
        name = type(self).__name__
        raise TypeError(f"{name}.partition would change it in place; use np.partition")
