"""Softmax, its logarithm and its normaliser, along any axis."""

from __future__ import annotations

from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autograd_lite.engine.primitives import primitive
from autograd_lite.engine.tensor import Tensor
from autograd_lite.losses import kernels
from autograd_lite.losses.targets import checked_floats


@primitive(lambda g, ans, axis: ans * (g - (ans * g).sum(axis=axis, keepdims=True)))
def _softmax(x: Any, axis: int) -> Any:
    return kernels.of(x).softmax(x, axis % x.ndim)


@primitive(lambda g, x, axis: g - _softmax(x, axis) * g.sum(axis=axis, keepdims=True))
def _log_softmax(x: Any, axis: int) -> Any:
    return kernels.of(x).log_softmax(x, axis % x.ndim)


@primitive(lambda g, x, axis: np.expand_dims(g, axis) * _softmax(x, axis))
def _logsumexp(x: Any, axis: int) -> Any:
    return kernels.of(x).logsumexp(x, axis % x.ndim)[()]


@overload
def softmax(x: Tensor, axis: int = -1) -> Tensor: ...
@overload
def softmax(x: ArrayLike, axis: int = -1) -> NDArray[Any]: ...
def softmax(x: ArrayLike | Tensor, axis: int = -1) -> Any:
    """Return ``exp(x)`` scaled to the sum 1 along an axis.

    Parameters
    ----------
    x : array_like or Tensor
        Floating-point, at least one axis. An entry of -inf has probability 0.
    axis : int
        The axis of the classes.

    Returns
    -------
    array or Tensor
        The shape and dtype of ``x``; nan where nan, +inf or nothing but -inf stand along the axis.

    Examples
    --------
    >>> ag.softmax([0.0, np.log(3.0)])
    array([0.25, 0.75])
    """
    return _softmax(checked_floats("ag.softmax", x, axis), axis)


@overload
def log_softmax(x: Tensor, axis: int = -1) -> Tensor: ...
@overload
def log_softmax(x: ArrayLike, axis: int = -1) -> NDArray[Any]: ...
def log_softmax(x: ArrayLike | Tensor, axis: int = -1) -> Any:
    """Return the logarithm of the softmax along an axis, accurate also where the softmax is near 1.

    Parameters
    ----------
    x : array_like or Tensor
        Floating-point, at least one axis. An entry of -inf has the result -inf.
    axis : int
        The axis of the classes.

    Returns
    -------
    array or Tensor
        The shape and dtype of ``x``, nan where that of :func:`softmax` is.

    Examples
    --------
    >>> ag.log_softmax([100.0, 0.0])
    array([-3.72007598e-44, -1.00000000e+02])
    """
    return _log_softmax(checked_floats("ag.log_softmax", x, axis), axis)


@overload
def logsumexp(x: Tensor, axis: int = -1) -> Tensor: ...
@overload
def logsumexp(x: ArrayLike, axis: int = -1) -> Any: ...
def logsumexp(x: ArrayLike | Tensor, axis: int = -1) -> Any:
    """Return ``log(sum(exp(x)))`` along an axis, without overflow.

    Parameters
    ----------
    x : array_like or Tensor
        Floating-point, at least one axis.
    axis : int
        The axis to sum over; it is removed.

    Examples
    --------
    >>> round(ag.logsumexp([1000.0, 1000.0]), 6)
    np.float64(1000.693147)
    """
    return _logsumexp(checked_floats("ag.logsumexp", x, axis), axis)
