"""Layers with PyTorch's names, parameter layouts and default initial values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from autograd_lite.engine.arrays import as_array, values_of
from autograd_lite.engine.primitives import primitive
from autograd_lite.engine.recording import bare
from autograd_lite.nn import functions as F
from autograd_lite.nn.arguments import (
    count,
    floats,
    generator,
    parameter,
    require,
    shaped,
    uniform,
    widened,
)
from autograd_lite.nn.module import Module

# ---------------------------------------------------------------------------- linear


def _weight_cotangent(g: Any, x: Any) -> Any:
    """Return the cotangent of ``weight`` in ``x @ weightᵀ``: ``gᵀ @ x``, summed over the batch."""
    return g.reshape(-1, g.shape[-1]).swapaxes(0, 1) @ x.reshape(-1, x.shape[-1])


def _bias_cotangent(g: Any) -> Any:
    """Return ``g``, summed over the batch."""
    return g.reshape(-1, g.shape[-1]).sum(axis=0)


@primitive(lambda g, weight: g @ weight, _weight_cotangent, name="ag.nn.Linear")
def _linear(x: Any, weight: Any) -> Any:
    return x @ weight.T


@primitive(lambda g, weight: g @ weight, _weight_cotangent, _bias_cotangent, name="ag.nn.Linear")
def _affine(x: Any, weight: Any, bias: Any) -> Any:
    out = x @ weight.T
    out += bias
    return out


class Linear(Module):
    """The affine map ``x @ weight.T + bias`` of the last axis.

    Parameters
    ----------
    in_features, out_features : int
        Lengths of the last axis of input and output.
    bias : bool
        Whether to add a bias.
    rng : numpy.random.Generator
        Draws the initial values, evenly within ``1 / sqrt(in_features)`` of 0.
    dtype : dtype
        Of the parameters.

    Attributes
    ----------
    weight : Tensor of shape (out_features, in_features)
    bias : Tensor of shape (out_features,), or None

    Examples
    --------
    >>> layer = ag.nn.Linear(3, 2, rng=np.random.default_rng(0))
    >>> layer
    Linear(in_features=3, out_features=2): weight (2, 3), bias (2,), 8 parameters
    >>> layer(np.zeros((5, 3), np.float32)).shape
    (5, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rng: np.random.Generator,
        dtype: DTypeLike = np.float32,
    ) -> None:
        count("Linear", in_features=in_features, out_features=out_features)
        self.in_features = in_features
        self.out_features = out_features
        shape = (out_features, in_features)
        self.weight = uniform("Linear", shape, in_features, rng, dtype)
        self.bias = uniform("Linear", shape[:1], in_features, rng, dtype) if bias else None

    def forward(self, x: Any) -> Any:
        """Return an array or tensor of shape (..., out_features)."""
        n = self.in_features
        x = shaped("Linear", x, lambda shape: shape[-1:] == (n,), f"(..., {n})")
        return _linear(x, self.weight) if self.bias is None else _affine(x, self.weight, self.bias)


class Embedding(Module):
    """A table of vectors, looked up by integers.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        The number of vectors and their length.
    padding_idx : int, optional
        A vector that starts as zeros and gets no gradient.
    rng : numpy.random.Generator
        Draws the initial values from the standard normal distribution.
    dtype : dtype
        Of the vectors.

    Attributes
    ----------
    weight : Tensor of shape (num_embeddings, embedding_dim)

    Raises
    ------
    ValueError
        If a number is not positive, or there is no vector ``padding_idx``.

    Examples
    --------
    >>> table = ag.nn.Embedding(10, 4, padding_idx=0, rng=np.random.default_rng(0))
    >>> table([[1, 5, 0], [2, 0, 0]]).shape
    (2, 3, 4)
    >>> table(0).numpy()
    array([0., 0., 0., 0.], dtype=float32)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        rng: np.random.Generator,
        dtype: DTypeLike = np.float32,
    ) -> None:
        count("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if padding_idx is not None:
            places = range(num_embeddings)
            require("Embedding", f"in {places}", lambda i: i in places, padding_idx=padding_idx)
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        values = generator("Embedding", rng).standard_normal((num_embeddings, embedding_dim))
        if padding_idx is not None:
            values[padding_idx] = 0
        self.weight = parameter("Embedding", values, dtype)

    def forward(self, index: Any) -> Any:
        """Return the vectors: the shape of ``index`` and one axis more.

        Raises
        ------
        TypeError, IndexError
            If the indices are not integers, or out of range (negative ones too).
        """
        index = np.asarray(values_of(bare(index), "Embedding"))
        if index.dtype.kind not in "iu":
            raise TypeError(f"Embedding: expected integers, got {index.dtype}")
        wrong = (index < 0) | (index >= self.num_embeddings)
        if wrong.any():
            raise IndexError(
                f"Embedding: index {index[wrong][0]} is out of range for "
                f"{self.num_embeddings} vectors"
            )
        vectors = self.weight[index]
        if self.padding_idx is None:
            return vectors
        padding = (index == self.padding_idx)[..., None]
        return np.where(padding, bare(vectors), vectors)


# ---------------------------------------------------------------------------- normalisation


def _normalised_cotangent(g: Any, ans: Any, x: Any, axis: Any, eps: Any) -> Any:
    """Return the cotangent of ``x``, less its mean and its projection on the result, scaled."""
    mean = g.mean(axis=axis, keepdims=True)
    slope = (g * ans).mean(axis=axis, keepdims=True)
    return (g - mean - ans * slope) / np.sqrt(x.var(axis=axis, keepdims=True) + eps)


@primitive(_normalised_cotangent)
def _normalised(x: Any, axis: tuple[int, ...], eps: float) -> Any:
    """Return ``(x - mean) / sqrt(var + eps)`` along some axes."""
    centered = x - x.mean(axis=axis, keepdims=True)
    centered /= np.sqrt(np.mean(centered * centered, axis=axis, keepdims=True) + eps)
    return centered


def _standardised(x: Any, axis: tuple[int, ...], eps: float) -> Any:
    """Return ``(x - mean) / sqrt(var + eps)`` where the squares of ``x`` would overflow, too."""
    values = bare(x)
    if not isinstance(values, np.ndarray):
        return _normalised(x, axis, eps)
    flat = values.ravel(order="K")
    if math.isfinite(np.vdot(flat, flat)):
        return _normalised(x, axis, eps)
    largest = np.max(np.abs(values), axis=axis, keepdims=True)
    info = np.finfo(values.dtype)
    large = np.isfinite(largest) & (largest > math.sqrt(info.max / flat.size))
    scale = np.where(large, largest, values.dtype.type(1))  # cancels: no derivative of it is needed
    return _normalised(x / scale, axis, np.maximum(eps / scale / scale, info.tiny))


class LayerNorm(Module):
    """The input, shifted and scaled to mean 0 and variance 1 along the last axes, then affine.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The lengths of those axes.
    eps : float
        Added to the variance.
    elementwise_affine : bool
        Whether to multiply by ``weight`` (initially 1) and add ``bias`` (initially 0).
    dtype : dtype
        Of the parameters.

    Attributes
    ----------
    weight, bias : Tensor of shape ``normalized_shape``, or None

    Raises
    ------
    ValueError
        If no axis is named, or a length is not positive.

    Notes
    -----
    Source: Ba, Kiros and Hinton (2016), "Layer normalization". The variance is that of all, not of
    a sample: it is divided by n.

    Examples
    --------
    >>> layer = ag.nn.LayerNorm(4, dtype=float)
    >>> layer(np.array([[1.0, 2.0, 3.0, 4.0]])).numpy().round(3)
    array([[-1.342, -0.447,  0.447,  1.342]])
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        sizes = np.atleast_1d(normalized_shape).tolist()
        count("LayerNorm", **{f"normalized_shape[{i}]": n for i, n in enumerate(sizes)})
        if not sizes:
            raise ValueError("LayerNorm: normalized_shape must name at least one axis")
        self.normalized_shape = tuple(sizes)
        self.eps = float(eps)
        self.weight = parameter("LayerNorm", np.ones(sizes), dtype) if elementwise_affine else None
        self.bias = parameter("LayerNorm", np.zeros(sizes), dtype) if elementwise_affine else None

    def forward(self, x: Any) -> Any:
        """Return the shape of ``x``."""
        own, n = self.normalized_shape, len(self.normalized_shape)
        words = f"(..., {', '.join(map(str, own))})"
        x = shaped("LayerNorm", x, lambda shape: shape[-n:] == own, words)
        out = _standardised(widened(x), tuple(range(-n, 0)), self.eps)
        out = out if out.dtype == x.dtype else out.astype(x.dtype)
        return out if self.weight is None else out * self.weight + self.bias


class BatchNorm1d(Module):
    """Each feature, shifted and scaled to mean 0 and variance 1 over the batch, then affine.

    In training it uses the batch's statistics and updates running ones; in evaluation these.

    Parameters
    ----------
    num_features : int
        The length of axis 1.
    eps : float
        Added to the variance.
    momentum : float
        The share of the batch in the running statistics.
    affine : bool
        Whether to multiply by ``weight`` (initially 1) and add ``bias`` (initially 0).
    dtype : dtype
        Of the parameters and running statistics; these are float32 for float16.

    Attributes
    ----------
    weight, bias : Tensor of shape (num_features,), or None
    running_mean, running_var : array of shape (num_features,)
    num_batches_tracked : array of shape ()

    Raises
    ------
    ValueError
        If ``num_features`` is not positive.
    FloatingPointError
        In training, if the variance of finite numbers is beyond the type of the running one.

    Notes
    -----
    Source: Ioffe and Szegedy (2015). Batches are divided by the root of their own variance, over n;
    the running variance is that of a sample, over n - 1: PyTorch's convention.

    Examples
    --------
    >>> layer = ag.nn.BatchNorm1d(1, dtype=float)
    >>> layer(np.array([[1.0], [2.0], [3.0]])).numpy().round(3).T
    array([[-1.225,  0.   ,  1.225]])
    >>> layer.running_mean, layer.running_var
    (array([0.2]), array([1.]))
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        count("BatchNorm1d", num_features=num_features)
        require("BatchNorm1d", "between 0 and 1", lambda v: 0 <= v <= 1, momentum=momentum)
        self.num_features = num_features
        self.eps = float(eps)
        self.momentum = float(momentum)
        self.weight = parameter("BatchNorm1d", np.ones(num_features), dtype) if affine else None
        self.bias = parameter("BatchNorm1d", np.zeros(num_features), dtype) if affine else None
        self.running_mean = widened(np.zeros(num_features, dtype))
        self.running_var = widened(np.ones(num_features, dtype))
        self.num_batches_tracked = np.zeros((), np.int64)

    def forward(self, x: Any) -> Any:
        """Return the shape of ``x``: (batch, features) or (batch, features, length)."""
        n = self.num_features
        words = f"(batch, {n}) or (batch, {n}, length)"
        x = shaped("BatchNorm1d", x, lambda shape: len(shape) in (2, 3) and shape[1] == n, words)
        axis = (0, 2)[: x.ndim - 1]
        shape = (1, -1, 1)[: x.ndim]
        wide = widened(x)
        if self.training and x.size:
            if x.size < 2 * n:
                raise ValueError(
                    "BatchNorm1d: training needs more than one value per feature; use a larger "
                    "batch (drop_last for the last one), or model.eval()"
                )
            self._track(bare(wide), axis)
            out = _standardised(wide, axis, self.eps)
        else:
            scale = 1 / np.sqrt(self.running_var + self.eps)
            out = (wide - self.running_mean.reshape(shape)) * scale.reshape(shape)
        out = out.astype(x.dtype) if wide is not x else out
        if self.weight is None:
            return out
        return out * self.weight.reshape(shape) + self.bias.reshape(shape)  # type: ignore[union-attr]

    def _track(self, values: Any, axis: tuple[int, ...]) -> None:
        # New arrays rather than new values in the old: a graph made in evaluation may read those.
        share, dtype = self.momentum, self.running_var.dtype
        with np.errstate(over="ignore"):
            mean, var = values.mean(axis=axis), values.var(axis=axis, ddof=1)
        beyond = var > np.finfo(dtype).max
        if beyond.any() and np.isfinite(values).all():
            raise FloatingPointError(
                f"BatchNorm1d: the variance of feature {beyond.argmax()} is beyond the largest "
                f"{dtype}; scale the input down, or use dtype=float for layer and input"
            )
        self.running_mean = ((1 - share) * self.running_mean + share * mean).astype(dtype)
        self.running_var = ((1 - share) * self.running_var + share * var).astype(dtype)
        self.num_batches_tracked = np.asarray(self.num_batches_tracked + 1)


class Dropout(Module):
    """In training, each element is zeroed with probability ``p`` and the others scaled up.

    Scaled by ``1 / (1 - p)``, so that the mean stays; in evaluation nothing is done. Source:
    Srivastava et al. (2014).

    Parameters
    ----------
    p : float
        From 0 to below 1.
    rng : numpy.random.Generator
        Decides which; its state is part of a training checkpoint.

    Raises
    ------
    ValueError
        If ``p`` is out of its range.

    Examples
    --------
    >>> layer = ag.nn.Dropout(0.5, rng=np.random.default_rng(0))
    >>> layer(np.ones(6))
    array([2., 2., 2., 0., 0., 0.])
    >>> layer.eval()(np.ones(6))
    array([1., 1., 1., 1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator) -> None:
        require("Dropout", "from 0 to below 1", lambda value: 0 <= value < 1, p=p)
        self.p = float(p)
        self.rng = generator("Dropout", rng)

    def forward(self, x: Any) -> Any:
        """Return the shape of ``x``."""
        x = floats("Dropout", x)
        if not self.training or self.p == 0:
            return x
        kept = self.rng.random(x.shape, np.float32) >= self.p
        return x * (kept * x.dtype.type(1 / (1 - self.p)))


# ---------------------------------------------------------------------------- without parameters


class Flatten(Module):
    """Axes ``start_dim`` to ``end_dim`` made one: by default all but the first.

    Parameters
    ----------
    start_dim, end_dim : int
        The first and the last of them; negative ones count from the end.

    Examples
    --------
    >>> ag.nn.Flatten()(np.zeros((5, 3, 8, 8))).shape
    (5, 192)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, x: Any) -> Any:
        """Return the reshaped input."""
        x = as_array(x)
        axes = range(x.ndim)
        try:
            start, end = axes[self.start_dim], axes[self.end_dim]
        except IndexError:
            start, end = 1, 0
        if start > end:
            raise ValueError(
                f"Flatten({self.start_dim}, {self.end_dim}): no such axes in shape {x.shape}"
            )
        joined = math.prod(x.shape[start : end + 1])
        return x.reshape((*x.shape[:start], joined, *x.shape[end + 1 :]))


class ReLU(Module):
    """:func:`relu` as a module: ``max(x, 0)``.

    Examples
    --------
    >>> ag.nn.ReLU()(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    def forward(self, x: Any) -> Any:
        """Return ``relu(x)``."""
        return F.relu(x)


class LeakyReLU(Module):
    """:func:`leaky_relu` as a module.

    Parameters
    ----------
    negative_slope : float
        The derivative at 0 and below.

    Examples
    --------
    >>> ag.nn.LeakyReLU(0.1)(np.array([-1.0, 2.0]))
    array([-0.1,  2. ])
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = float(negative_slope)

    def forward(self, x: Any) -> Any:
        """Return ``leaky_relu(x, negative_slope)``."""
        return F.leaky_relu(x, self.negative_slope)


class GELU(Module):
    """:func:`gelu` as a module.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        ``"tanh"`` is faster, and wrong by up to 5e-4.

    Raises
    ------
    ValueError
        For another word.

    Examples
    --------
    >>> ag.nn.GELU()(np.array([-1.0, 1.0])).round(6)
    array([-0.158655,  0.841345])
    """

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        F.gelu(0.0, approximate)
        self.approximate = approximate

    def forward(self, x: Any) -> Any:
        """Return ``gelu(x, approximate)``."""
        return F.gelu(x, self.approximate)


class Tanh(Module):
    """:func:`tanh` as a module.

    Examples
    --------
    >>> ag.nn.Tanh()(np.array([-20.0, 0.0]))
    array([-1.,  0.])
    """

    def forward(self, x: Any) -> Any:
        """Return ``tanh(x)``."""
        return F.tanh(x)


class Sigmoid(Module):
    """:func:`sigmoid` as a module.

    For a probability that goes into a loss, leave it out and use
    :func:`binary_cross_entropy_with_logits`, which keeps the digits of certain predictions.

    Examples
    --------
    >>> ag.nn.Sigmoid()(np.array([-800.0, 0.0]))
    array([0. , 0.5])
    """

    def forward(self, x: Any) -> Any:
        """Return ``sigmoid(x)``."""
        return F.sigmoid(x)


class Softplus(Module):
    """:func:`softplus` as a module.

    Parameters
    ----------
    beta : float
        The larger, the closer to :func:`relu`.

    Raises
    ------
    ValueError
        If ``beta`` is not positive.

    Examples
    --------
    >>> ag.nn.Softplus()(np.array([-1000.0, 1000.0]))
    array([   0., 1000.])
    """

    def __init__(self, beta: float = 1.0) -> None:
        F.softplus(0.0, beta)
        self.beta = float(beta)

    def forward(self, x: Any) -> Any:
        """Return ``softplus(x, beta)``."""
        return F.softplus(x, self.beta)


class SiLU(Module):
    """:func:`silu` as a module.

    Examples
    --------
    >>> ag.nn.SiLU()(np.array([0.0, 100.0]))
    array([  0., 100.])
    """

    def forward(self, x: Any) -> Any:
        """Return ``silu(x)``."""
        return F.silu(x)
