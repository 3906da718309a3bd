"""Activations and losses as functions of arrays and tensors.

Activations give the shape and dtype of their argument; they raise TypeError for what is no real
number. Losses take a prediction and a target of the
same shape (never broadcast), give the prediction's dtype, and differentiate both. Their mean is 0
where there are no elements.
"""

from __future__ import annotations

import math
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autograd_lite.engine.arrays import values_of
from autograd_lite.engine.primitives import primitive
from autograd_lite.engine.recording import bare
from autograd_lite.engine.tensor import Result, Tensor
from autograd_lite.losses import cross_entropy as cross_entropy
from autograd_lite.losses import log_softmax as log_softmax
from autograd_lite.losses import softmax as softmax
from autograd_lite.nn.arguments import choice, floats, positive, widened

Array = ArrayLike | Tensor
Reduction = Literal["mean", "sum", "none"]


# ---------------------------------------------------------------------------- activations


@primitive(lambda g, ans: np.where(ans <= 0, 0, g), selects=True)
def _relu(x: Any) -> Any:
    return np.maximum(x, 0)


@overload
def relu(x: Tensor) -> Tensor: ...
@overload
def relu(x: ArrayLike) -> NDArray[Any]: ...
def relu(x: Array) -> Any:
    """Return ``max(x, 0)``, with derivative 0 at 0.

    Parameters
    ----------
    x : array_like or Tensor
        Real numbers of any shape.

    Examples
    --------
    >>> ag.nn.relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return _relu(floats("nn.relu", x))


@overload
def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor: ...
@overload
def leaky_relu(x: ArrayLike, negative_slope: float = 0.01) -> NDArray[Any]: ...
def leaky_relu(x: Array, negative_slope: float = 0.01) -> Any:
    """Return ``x`` where it is positive, else ``negative_slope * x`` (Maas et al., 2013).

    Parameters
    ----------
    x : array_like or Tensor
        Real numbers of any shape.
    negative_slope : float
        The derivative at 0 and below.

    Examples
    --------
    >>> ag.nn.leaky_relu(np.array([-1.0, 2.0]), 0.1)
    array([-0.1,  2. ])
    """
    z = floats("nn.leaky_relu", x)
    return np.where(z > 0, z, float(negative_slope) * z)


def _sigmoid_cotangent(g: Any, ans: Any, x: Any) -> Any:
    """Return ``g * ans * (1 - ans)``, without the cancellation of ``1 - ans``."""
    return g * (ans * _sigmoid(-x))


@primitive(_sigmoid_cotangent)
def _sigmoid(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


@overload
def sigmoid(x: Tensor) -> Tensor: ...
@overload
def sigmoid(x: ArrayLike) -> NDArray[Any]: ...
def sigmoid(x: Array) -> Any:
    """Return ``1 / (1 + exp(-x))``, accurate to the last digits in both tails.

    So is the derivative ``sigmoid(x) * sigmoid(-x)``, in which nothing cancels.

    Parameters
    ----------
    x : array_like or Tensor
        Real numbers of any shape.

    Examples
    --------
    >>> ag.nn.sigmoid(np.array([-800.0, 0.0, 40.0]))
    array([0. , 0.5, 1. ])
    >>> print(f"{ag.grad(ag.nn.sigmoid)(40.0):.8g}")  # 1 - sigmoid(40) is 0 in floating point
    4.2483543e-18
    """
    return _sigmoid(floats("nn.sigmoid", x))


@overload
def tanh(x: Tensor) -> Tensor: ...
@overload
def tanh(x: ArrayLike) -> NDArray[Any]: ...
def tanh(x: Array) -> Any:
    """Return the hyperbolic tangent, as ``np.tanh`` does.

    Parameters
    ----------
    x : array_like or Tensor
        Real numbers of any shape.

    Examples
    --------
    >>> ag.nn.tanh(np.array([-20.0, 0.0, 20.0]))
    array([-1.,  0.,  1.])
    """
    return np.tanh(floats("nn.tanh", x))


@primitive(lambda g, x: g * _sigmoid(x))
def _softplus(x: Any) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@overload
def softplus(x: Tensor, beta: float = 1.0) -> Tensor: ...
@overload
def softplus(x: ArrayLike, beta: float = 1.0) -> NDArray[Any]: ...
def softplus(x: Array, beta: float = 1.0) -> Any:
    """Return ``log(1 + exp(beta * x)) / beta``, without overflow: a smooth ``relu``.

    Parameters
    ----------
    x : array_like or Tensor
        Real numbers of any shape.
    beta : float
        The larger, the closer to ``relu``.

    Raises
    ------
    ValueError
        If ``beta`` is not positive.

    Examples
    --------
    >>> ag.nn.softplus(np.array([-1000.0, 0.0, 1000.0]))
    array([0.00000000e+00, 6.93147181e-01, 1.00000000e+03])
    """
    positive("nn.softplus", beta=beta)
    z = floats("nn.softplus", x)
    return _softplus(z) if beta == 1 else _softplus(z * float(beta)) / float(beta)


@overload
def silu(x: Tensor) -> Tensor: ...
@overload
def silu(x: ArrayLike) -> NDArray[Any]: ...
def silu(x: Array) -> Any:
    """Return ``x * sigmoid(x)``, also called swish (Elfwing, Uchibe and Doya, 2018).

    Parameters
    ----------
    x : array_like or Tensor
        Real numbers of any shape.

    Examples
    --------
    >>> ag.nn.silu(np.array([-100.0, 0.0, 100.0])).round(12)
    array([ -0.,   0., 100.])
    """
    z = floats("nn.silu", x)
    return z * _sigmoid(z)


# Chebyshev coefficients of (1 + 2 z) exp(z²) erfc(z) in t = (z - 3.75) / (z + 3.75), the variable
# of Shepherd and Laframboise (1981) for z >= 0; computed in 40 digits by discrete orthogonality.
_ERFC = (
    1.1775789345674017, -0.004590054580646478, -0.08424913336651792, 0.05920993999819189,
    -0.026658668435305753, 0.009074997670705265, -0.002413163540417608, 0.0004907758365258086,
    -6.916973302501207e-05, 4.139027986073008e-06, 7.740383066198469e-07, -2.1886401049234428e-07,
    1.0764999465672502e-08, 4.5219598112210445e-09, -7.754400208805245e-10, -6.318088340764136e-11,
    2.8687950108572657e-11, 1.9455868312362972e-13, -9.654696776596708e-13, 3.252547952400238e-14,
    3.3478119309300955e-14, -1.8645611989146456e-15, -1.25079232846372e-15, 7.41848167398454e-17,
    5.068252140389003e-17,
)  # fmt: skip


@primitive(
    lambda g, x: g * (np.exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))), name="ag.nn.gelu"
)
def _normal_cdf(x: Any) -> Any:
    """Return the standard normal distribution function, accurate also in its left tail."""
    z = np.minimum(np.abs(x) * math.sqrt(0.5), 40)  # beyond, erfc is 0
    terms = 25 if x.dtype.itemsize > 4 else 11
    series = np.polynomial.chebyshev.chebval(
        (z - 3.75) / (z + 3.75), np.array(_ERFC[:terms], x.dtype)
    )
    tail = series * np.exp(-z * z) / (2 + 4 * z)
    return np.where(x > 0, 1 - tail, np.where(np.isnan(x), x, tail))


@overload
def gelu(x: Tensor, approximate: Literal["none", "tanh"] = "none") -> Tensor: ...
@overload
def gelu(x: ArrayLike, approximate: Literal["none", "tanh"] = "none") -> NDArray[Any]: ...
def gelu(x: Array, approximate: Literal["none", "tanh"] = "none") -> Any:
    """Return ``x * P(Z <= x)`` for a standard normal Z (Hendrycks and Gimpel, 2016).

    Parameters
    ----------
    x : array_like or Tensor
        Real numbers of any shape.
    approximate : {"none", "tanh"}
        ``"tanh"`` is the paper's faster formula, wrong by up to 5e-4.

    Raises
    ------
    ValueError
        For another word.

    Examples
    --------
    >>> ag.nn.gelu(np.array([-1.0, 0.0, 1.0])).round(6)
    array([-0.158655,  0.      ,  0.841345])
    >>> ag.nn.gelu(np.array([-1.0, 0.0, 1.0]), "tanh").round(6)
    array([-0.158808,  0.      ,  0.841192])
    """
    choice("nn.gelu", ("none", "tanh"), approximate=approximate)
    z = floats("nn.gelu", x)
    if approximate == "none":
        return z * _normal_cdf(z)
    return z * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z * z * z)))


# ---------------------------------------------------------------------------- losses


def _matched(name: str, x: Any, target: Any) -> tuple[Any, Any]:
    """Return a prediction and its target, checked, in the prediction's dtype."""
    x = floats(name, x)
    target = floats(name, target)
    if x.shape != target.shape:
        raise ValueError(
            f"{name}: the target has shape {target.shape}, but the prediction has shape {x.shape}; "
            f"they must agree"
        )
    return x, target if target.dtype == x.dtype else target.astype(x.dtype)


def _reduced(name: str, losses: Any, reduction: str) -> Any:
    choice(name, ("mean", "sum", "none"), reduction=reduction)
    if reduction == "none":
        return losses
    # The mean of nothing is 0, as in ag.cross_entropy.
    return np.mean(losses) if reduction == "mean" and losses.size else np.sum(losses)


def mse_loss(x: Array, target: Array, *, reduction: Reduction = "mean") -> Result:
    """Return the squared error ``(x - target)**2``.

    Parameters
    ----------
    x, target : array_like or Tensor
        Prediction and target of one shape.
    reduction : {"mean", "sum", "none"}
        Over all elements.

    Raises
    ------
    ValueError
        If the shapes differ (they are never broadcast), or for an unknown reduction.

    Examples
    --------
    >>> ag.nn.mse_loss([1.0, 2.0], [1.0, 4.0])
    np.float64(2.0)
    """
    z, y = _matched("nn.mse_loss", x, target)
    loss = _reduced("nn.mse_loss", np.square(widened(z - y)), reduction)
    return loss if loss.dtype == z.dtype else loss.astype(z.dtype)


def l1_loss(x: Array, target: Array, *, reduction: Reduction = "mean") -> Result:
    """Return the absolute error ``|x - target|``, with derivative 0 where they are equal.

    Parameters
    ----------
    x, target : array_like or Tensor
        Prediction and target of one shape.
    reduction : {"mean", "sum", "none"}
        Over all elements.

    Raises
    ------
    ValueError
        If the shapes differ (they are never broadcast), or for an unknown reduction.

    Examples
    --------
    >>> ag.nn.l1_loss([1.0, 2.0], [1.0, 4.0], reduction="none")
    array([0., 2.])
    """
    z, y = _matched("nn.l1_loss", x, target)
    return _reduced("nn.l1_loss", np.abs(z - y), reduction)


def huber_loss(
    x: Array, target: Array, *, delta: float = 1.0, reduction: Reduction = "mean"
) -> Result:
    """Return ``d**2 / 2`` for errors d up to ``delta``, ``delta * (d - delta / 2)`` beyond.

    Source: Huber (1964), "Robust estimation of a location parameter".

    Parameters
    ----------
    x, target : array_like or Tensor
        Prediction and target of one shape; ``d = |x - target|``.
    delta : float
        Where the parabola goes over into straight lines.
    reduction : {"mean", "sum", "none"}
        Over all elements.

    Raises
    ------
    ValueError
        If the shapes differ (they are never broadcast), ``delta`` is not positive, or the reduction
        unknown.

    Examples
    --------
    >>> ag.nn.huber_loss([0.5, 3.0], [0.0, 0.0], reduction="none")
    array([0.125, 2.5  ])
    """
    positive("nn.huber_loss", delta=delta)
    z, y = _matched("nn.huber_loss", x, target)
    error = np.abs(z - y)
    near = np.minimum(error, float(delta))
    return _reduced("nn.huber_loss", near * (error - 0.5 * near), reduction)


def kl_div(
    x: Array,
    target: Array,
    *,
    log_target: bool = False,
    reduction: Literal["mean", "batchmean", "sum", "none"] = "mean",
) -> Result:
    """Return the terms ``target * (log(target) - x)`` of the Kullback-Leibler divergence.

    Parameters
    ----------
    x : array_like or Tensor
        Logarithms of probabilities, as from ``ag.log_softmax``.
    target : array_like or Tensor
        Probabilities, or with ``log_target`` their logarithms; 0 and -inf are allowed. The shape of
        ``x``.
    log_target : bool
        See ``target``.
    reduction : {"mean", "batchmean", "sum", "none"}
        ``"batchmean"``, the sum over the length of the first axis, is the divergence proper;
        ``"mean"`` is over all elements, as in PyTorch.

    Raises
    ------
    ValueError
        If the shapes differ (they are never broadcast), or for an unknown reduction.

    Examples
    --------
    >>> p, q = np.array([[0.5, 0.5, 0.0]]), np.array([[0.25, 0.5, 0.25]])
    >>> bits = ag.nn.kl_div(np.log(q), p, reduction="batchmean") / np.log(2)
    >>> bits.round(12)
    np.float64(0.5)
    """
    z, y = _matched("nn.kl_div", x, target)
    weight = np.exp(y) if log_target else y
    some = weight != 0
    log = np.where(some, y, 0) if log_target else np.log(np.where(some, y, 1))
    losses = np.where(some, weight * (log - np.where(some, z, 0)), 0)
    if reduction == "batchmean":
        return np.sum(losses) / max(z.shape[0] if z.ndim else 1, 1)
    return _reduced("nn.kl_div", losses, reduction)


@primitive(
    lambda g, x, y, weight: g * ((1 - y) * _sigmoid(x) - weight * y * _sigmoid(-x)),
    lambda g, x, weight: g * (weight * _softplus(-x) - _softplus(x)),
    name="ag.nn.binary_cross_entropy_with_logits",
)
def _logistic_loss(x: Any, y: Any, weight: Any) -> Any:
    """Return ``(1 - y) softplus(x) + weight y softplus(-x)``, whose terms are never negative."""
    rest = np.log1p(np.exp(-np.abs(x)))
    return (1 - y) * (np.maximum(x, 0) + rest) + weight * y * (np.maximum(-x, 0) + rest)


def binary_cross_entropy_with_logits(
    logits: Array, target: Array, *, pos_weight: Any = None, reduction: Reduction = "mean"
) -> Result:
    """Return ``-y log(p) - (1 - y) log(1 - p)`` for ``p = sigmoid(logits)``.

    Neither loss nor gradient cancels: both keep their digits however certain the classifier is.

    Parameters
    ----------
    logits, target : array_like or Tensor
        Of one shape; the target is between 0 and 1.
    pos_weight : array_like, optional
        Weight of the ``y`` term, 0 or more; broadcast against the logits.
    reduction : {"mean", "sum", "none"}
        Over all elements.

    Raises
    ------
    ValueError
        If the shapes differ, a target lies outside 0 to 1, or a weight is not finite or below 0.

    Examples
    --------
    >>> print(f"{ag.nn.binary_cross_entropy_with_logits([40.0], [1.0]):.8g}")
    4.2483543e-18
    """
    name = "nn.binary_cross_entropy_with_logits"
    z, y = _matched(name, logits, target)
    values = bare(y)
    if not np.all((values >= 0) & (values <= 1)):
        raise ValueError(f"{name}: every target must be between 0 and 1")
    weight: Any = 1.0
    if pos_weight is not None:
        weight = np.broadcast_to(np.asarray(values_of(pos_weight, name), z.dtype), z.shape)
        if not np.all((weight >= 0) & (weight < math.inf)):
            raise ValueError(f"{name}: every pos_weight must be finite and at least 0")
    return _reduced(name, _logistic_loss(z, y, weight), reduction)
