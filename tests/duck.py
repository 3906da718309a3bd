"""A strict array that is no ndarray: what an array on another device lets NumPy do with it.

It holds an ndarray and speaks NumPy's two protocols, with its own kind alone. It refuses what would
take its values out: conversion to an ndarray, a number or a truth value; and whatever would bring
others in: an ndarray of more than one element as operand, argument or index, ``out=`` of another
kind. Attributes of an ndarray's memory it has none of.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

# What they are asked is in the shape and dtype. Whatever else gives a number or a truth value gives
# it as an array of its kind.
_ASK_NO_VALUE = {
    np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.common_type, np.min_scalar_type,
    np.iscomplexobj, np.isrealobj, np.shares_memory, np.may_share_memory, np.einsum_path,
}  # fmt: skip
# What is called with ``like=`` makes an array of this kind of what it is given, as does asarray.
_MAKE = {np.array, np.asarray, np.arange, np.zeros, np.ones, np.empty, np.full, np.eye, np.identity}


class Duck(NDArrayOperatorsMixin):
    """An array that keeps its values to itself."""

    def __init__(self, held: Any) -> None:
        self._held = np.array(held)

    # ------------------------------------------------------------------------ attributes

    shape = property(lambda self: self._held.shape)
    ndim = property(lambda self: self._held.ndim)
    size = property(lambda self: self._held.size)
    dtype = property(lambda self: self._held.dtype)
    T = property(lambda self: _kept(self._held.T))
    real = property(lambda self: _kept(self._held.real))
    imag = property(lambda self: _kept(self._held.imag))

    def __len__(self) -> int:
        return len(self._held)

    def __repr__(self) -> str:
        return f"<Duck {self.dtype}{list(self.shape)}>"

    # ------------------------------------------------------------------------ NumPy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.get("out", ())
        if any(not isinstance(x, Duck) for x in out):
            raise TypeError(f"{ufunc.__name__}: out= must be a Duck")
        if any(_is_another(type(x)) for x in inputs):
            return NotImplemented
        if method == "at" and not isinstance(inputs[0], Duck):
            raise TypeError(f"{ufunc.__name__}.at: cannot write Ducks into another kind of array")
        result = getattr(ufunc, method)(*_bare(inputs), **_bare(kwargs))
        return out[0] if out else _kept(result)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        if any(map(_is_another, types)):
            return NotImplemented
        out = kwargs.get("out")
        if out is not None and not isinstance(out, Duck):
            raise TypeError(f"{function.__name__}: out= must be a Duck")
        _check_given(function, args, kwargs)
        if function in _MAKE:
            return Duck(function(*_bare(args, strict=False), **_bare(kwargs, strict=False)))
        result = function(*_bare(args), **_bare(kwargs))
        if isinstance(result, str):
            self._refused()
        return result if function in _ASK_NO_VALUE else _kept(result)

    # ------------------------------------------------------------------------ items

    def __getitem__(self, index: Any) -> Any:
        return _kept(self._held[_bare(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self._held[_bare(index)] = _bare(value)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    # ------------------------------------------------------------------------ what it refuses

    def _refused(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("a Duck does not give its values away")

    __array__ = __bool__ = __float__ = __int__ = __complex__ = __index__ = _refused
    item = tolist = tobytes = _refused


def _method(name: str) -> Callable[..., Any]:
    def method(self: Duck, *args: Any, **kwargs: Any) -> Any:
        return _kept(getattr(self._held, name)(*_bare(args), **_bare(kwargs)))

    return method


for _name in (
    "all", "any", "argmax", "argmin", "argpartition", "argsort", "astype", "choose", "clip",
    "compress", "conj", "conjugate", "copy", "cumprod", "cumsum", "diagonal", "dot", "flatten",
    "max", "mean", "min", "nonzero", "prod", "ravel", "repeat", "reshape", "round", "searchsorted",
    "squeeze", "std", "sum", "swapaxes", "take", "trace", "transpose", "var",
):  # fmt: skip
    setattr(Duck, _name, _method(_name))


def _check_given(function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    """Refuse a default that fills a place: other libraries have their parameters elsewhere."""
    for name, argument in kwargs.items():
        if argument is np._NoValue or (name == "mode" and argument == "raise"):
            raise TypeError(f"{function.__name__}: {name} is left out at its default")
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # of functions in C, before NumPy 2.4
        parameters = []
    for parameter, argument in zip(parameters, args[:-1]):
        if argument is parameter.default or argument is np._NoValue:
            raise TypeError(f"{function.__name__}: {parameter.name} is left out, or a keyword")


def _is_another(kind: type) -> bool:
    """Whether a class of arrays has a protocol of its own, which has to take the call."""
    return hasattr(kind, "__array_ufunc__") and not issubclass(kind, (Duck, np.ndarray, np.generic))


def _kept(result: Any) -> Any:
    """Return what NumPy gave, arrays, numbers and truth values as Ducks on the same memory."""
    if isinstance(result, (tuple, list)):
        items = [_kept(item) for item in result]
        return result._make(items) if hasattr(result, "_make") else type(result)(items)
    if isinstance(result, (np.ndarray, np.generic, bool, int, float)):
        duck = Duck.__new__(Duck)
        duck._held = np.asarray(result)
        return duck
    return result


def _bare(value: Any, strict: bool = True) -> Any:
    """Return an argument with the Ducks in it as ndarrays; refuse what is an ndarray before."""
    if isinstance(value, Duck):
        return value._held
    if isinstance(value, np.ndarray) and value.size > 1 and strict:
        raise TypeError(f"a Duck meets an ndarray of shape {value.shape}")
    if _is_another(type(value)):
        raise TypeError(f"a Duck meets a {type(value).__name__}")
    if isinstance(value, (tuple, list)):
        return type(value)([_bare(item, strict) for item in value])
    if isinstance(value, dict):
        return {key: _bare(item, strict) for key, item in value.items()}
    return value


def held(value: Any) -> Any:
    """Return a result with its Ducks as ndarrays, for a test to look at."""
    if isinstance(value, (tuple, list)):
        return [held(item) for item in value]
    return value._held.copy() if isinstance(value, Duck) else value


def as_ducks(value: Any) -> Any:
    """Return an argument with the arrays in it, also in lists and tuples, as Ducks."""
    if isinstance(value, np.ndarray):
        return Duck(value)
    if type(value) in (tuple, list):
        return type(value)([as_ducks(item) for item in value])
    return value
