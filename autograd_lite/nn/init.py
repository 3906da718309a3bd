"""Initial values, by PyTorch's names: each fills a parameter in place and returns it.

All raise TypeError for what is no leaf tensor, and for a ``rng`` that is no Generator.

Sources: Glorot and Bengio (2010) for ``xavier_*``, He et al. (2015) for ``kaiming_*``.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from autograd_lite.engine.tensor import Tensor, overwritable
from autograd_lite.nn.arguments import choice, generator

__all__ = [
    "calculate_gain",
    "constant_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def __dir__() -> list[str]:
    return __all__


Generator = np.random.Generator
_GAINS = {"linear": 1.0, "sigmoid": 1.0, "conv2d": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2)}


def _fill(name: str, tensor: Any, values: Any) -> Tensor:
    if not isinstance(tensor, Tensor) or not tensor.is_leaf:
        raise TypeError(f"nn.init.{name}: expected a leaf Tensor, not {type(tensor).__name__}")
    overwritable(tensor)[...] = values
    return tensor


def _fans(name: str, tensor: Tensor) -> tuple[int, int]:
    if tensor.ndim < 2:
        raise ValueError(
            f"nn.init.{name}: needs at least 2 axes (out, in, ...), got {tensor.shape}"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor by which a nonlinearity's inputs should be scaled up.

    Parameters
    ----------
    nonlinearity : {"linear", "sigmoid", "conv2d", "tanh", "relu", "leaky_relu"}
        What follows the layer.
    param : float, optional
        The negative slope of the leaky ReLU, 0.01 by default.

    Raises
    ------
    ValueError
        For another word.

    Examples
    --------
    >>> round(ag.nn.init.calculate_gain("relu"), 6)
    1.414214
    """
    choice("nn.init.calculate_gain", (*_GAINS, "leaky_relu"), nonlinearity=nonlinearity)
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    return _GAINS[nonlinearity]


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one value.

    Parameters
    ----------
    tensor : Tensor
        A leaf of any shape.
    val : float
        The value.

    Returns
    -------
    Tensor
        The same one.

    Examples
    --------
    >>> ag.nn.init.constant_(ag.Tensor(np.zeros(2), requires_grad=True), 0.1)
    Tensor([0.1, 0.1], requires_grad=True)
    """
    return _fill("constant_", tensor, val)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with 0.

    Parameters
    ----------
    tensor : Tensor
        A leaf of any shape.

    Returns
    -------
    Tensor
        The same one.

    Examples
    --------
    >>> ag.nn.init.zeros_(ag.Tensor(np.ones(2), requires_grad=True))
    Tensor([0., 0.], requires_grad=True)
    """
    return _fill("zeros_", tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with 1.

    Parameters
    ----------
    tensor : Tensor
        A leaf of any shape.

    Returns
    -------
    Tensor
        The same one.

    Examples
    --------
    >>> ag.nn.init.ones_(ag.Tensor(np.zeros(2), requires_grad=True))
    Tensor([1., 1.], requires_grad=True)
    """
    return _fill("ones_", tensor, 1)


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, *, rng: Generator) -> Tensor:
    """Fill with numbers drawn evenly from ``a`` to ``b``.

    Parameters
    ----------
    tensor : Tensor
        A leaf of any shape.
    a, b : float
        The bounds.
    rng : numpy.random.Generator
        Draws them.

    Returns
    -------
    Tensor
        The same one.

    Examples
    --------
    >>> w = ag.Tensor(np.zeros(1000), requires_grad=True)
    >>> w = ag.nn.init.uniform_(w, -1, 1, rng=np.random.default_rng(0))
    >>> bool(-1 <= w.detach().numpy().min() < -0.9)
    True
    """
    return _fill("uniform_", tensor, generator("nn.init.uniform_", rng).uniform(a, b, tensor.shape))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, *, rng: Generator) -> Tensor:
    """Fill with normally distributed numbers.

    Parameters
    ----------
    tensor : Tensor
        A leaf of any shape.
    mean, std : float
        Of the distribution.
    rng : numpy.random.Generator
        Draws them.

    Returns
    -------
    Tensor
        The same one.

    Examples
    --------
    >>> w = ag.Tensor(np.zeros(10_000), requires_grad=True)
    >>> w = ag.nn.init.normal_(w, std=0.02, rng=np.random.default_rng(0))
    >>> round(w.detach().numpy().std(), 3)
    np.float64(0.02)
    """
    return _fill(
        "normal_", tensor, generator("nn.init.normal_", rng).normal(mean, std, tensor.shape)
    )


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, *, rng: Generator) -> Tensor:
    """Fill evenly, with variance ``2 gain**2 / (fan_in + fan_out)`` (Glorot and Bengio, 2010).

    Parameters
    ----------
    tensor : Tensor
        A leaf, of shape (out, in, ...); ``fan_in`` is in times the rest, ``fan_out`` out times it.
    gain : float
        See :func:`calculate_gain`.
    rng : numpy.random.Generator
        Draws them.

    Returns
    -------
    Tensor
        The same one.

    Raises
    ------
    ValueError
        If the tensor has fewer than 2 axes.

    Examples
    --------
    >>> w = ag.Tensor(np.zeros((100, 200)), requires_grad=True)
    >>> w = ag.nn.init.xavier_uniform_(w, rng=np.random.default_rng(0))
    >>> bool(abs(w.detach().numpy()).max() <= np.sqrt(6 / 300))
    True
    """
    bound = gain * math.sqrt(6 / sum(_fans("xavier_uniform_", tensor)))
    return uniform_(tensor, -bound, bound, rng=rng)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, *, rng: Generator) -> Tensor:
    """Fill normally, with variance ``2 gain**2 / (fan_in + fan_out)`` (Glorot and Bengio).

    Parameters
    ----------
    tensor : Tensor
        A leaf, of shape (out, in, ...); ``fan_in`` is in times the rest, ``fan_out`` out times it.
    gain : float
        See :func:`calculate_gain`.
    rng : numpy.random.Generator
        Draws them.

    Returns
    -------
    Tensor
        The same one.

    Raises
    ------
    ValueError
        If the tensor has fewer than 2 axes.

    Examples
    --------
    >>> w = ag.Tensor(np.zeros((100, 200)), requires_grad=True)
    >>> w = ag.nn.init.xavier_normal_(w, rng=np.random.default_rng(0))
    >>> round(w.detach().numpy().var() * 300, 1)
    np.float64(2.0)
    """
    std = gain * math.sqrt(2 / sum(_fans("xavier_normal_", tensor)))
    return normal_(tensor, 0, std, rng=rng)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: Literal["fan_in", "fan_out"] = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    rng: Generator,
) -> Tensor:
    """Fill evenly, with variance ``gain**2 / fan`` (He et al., 2015).

    Parameters
    ----------
    tensor : Tensor
        A leaf, of shape (out, in, ...); ``fan_in`` is in times the rest, ``fan_out`` out times it.
    a : float
        The negative slope of the leaky ReLU that follows.
    mode : {"fan_in", "fan_out"}
        Whether the variance is to be kept forward or backward.
    nonlinearity : str
        What follows; see :func:`calculate_gain`.
    rng : numpy.random.Generator
        Draws them.

    Returns
    -------
    Tensor
        The same one.

    Raises
    ------
    ValueError
        If the tensor has fewer than 2 axes, or a word is unknown.

    Examples
    --------
    >>> w = ag.Tensor(np.zeros((100, 200)), requires_grad=True)
    >>> w = ag.nn.init.kaiming_uniform_(w, nonlinearity="relu", rng=np.random.default_rng(0))
    >>> bool(abs(w.detach().numpy()).max() <= np.sqrt(6 / 200))
    True
    """
    std = _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -math.sqrt(3) * std, math.sqrt(3) * std, rng=rng)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: Literal["fan_in", "fan_out"] = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    rng: Generator,
) -> Tensor:
    """Fill normally, with variance ``gain**2 / fan`` (He et al., 2015).

    Parameters
    ----------
    tensor : Tensor
        A leaf, of shape (out, in, ...); ``fan_in`` is in times the rest, ``fan_out`` out times it.
    a : float
        The negative slope of the leaky ReLU that follows.
    mode : {"fan_in", "fan_out"}
        Whether the variance is to be kept forward or backward.
    nonlinearity : str
        What follows; see :func:`calculate_gain`.
    rng : numpy.random.Generator
        Draws them.

    Returns
    -------
    Tensor
        The same one.

    Raises
    ------
    ValueError
        If the tensor has fewer than 2 axes, or a word is unknown.

    Examples
    --------
    >>> w = ag.Tensor(np.zeros((100, 200)), requires_grad=True)
    >>> w = ag.nn.init.kaiming_normal_(w, nonlinearity="relu", rng=np.random.default_rng(0))
    >>> round(w.detach().numpy().var() * 200, 1)
    np.float64(2.0)
    """
    return normal_(
        tensor, 0, _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity), rng=rng
    )


def _kaiming_std(name: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    choice(f"nn.init.{name}", ("fan_in", "fan_out"), mode=mode)
    fan = _fans(name, tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)
