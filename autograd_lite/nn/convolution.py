"""Convolution and pooling of images of shape (batch, channels, height, width), as in PyTorch.

In memory the results have the batch innermost, so that loops over pixels of small images run over
long rows. All three are formulas in one linear function, :func:`_columns`, that lays every window
of the images out as a column; its adjoint :func:`_images` adds the columns back up. Each is the
other's rule, so derivatives of any order follow.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from autograd_lite.engine.arrays import kind
from autograd_lite.engine.primitives import primitive
from autograd_lite.nn.arguments import count, is_count, require, shaped, uniform
from autograd_lite.nn.module import Module

Pair = tuple[int, int]


def _pair(layer: str, name: str, value: Any, least: int = 1) -> Pair:
    """Return one integer for each image axis."""
    what = f"an integer of at least {least}, or two of them"
    pair = value if isinstance(value, (tuple, list)) else (value, value)
    fits = len(pair) == 2 and all(is_count(v, least) for v in pair)
    require(layer, what, lambda _: fits, **{name: value})
    return int(pair[0]), int(pair[1])


class _Windows(NamedTuple):
    """Where the windows of a convolution or pooling lie, and how many there are."""

    kernel: Pair
    stride: Pair
    padding: Pair
    out: Pair

    def places(self) -> Iterator[tuple[int, int, slice, slice]]:
        """Yield each place in a window, and the rows and columns of all pixels that lie there."""
        (down, right), (height, width) = self.stride, self.out
        for i, j in itertools.product(*map(range, self.kernel)):
            rows = slice(i, i + down * (height - 1) + 1, down)
            yield i, j, rows, slice(j, j + right * (width - 1) + 1, right)


def _columns_cotangent(g: Any, like: Any, windows: _Windows) -> Any:
    """Return the sums, for each pixel, over the windows that it lies in."""
    return _images(g, like.shape, windows)


@primitive(_columns_cotangent, ignores=["fill"])
def _columns(x: Any, windows: _Windows, fill: float = 0.0) -> Any:
    """Return (channels, kernel height, kernel width, out height, out width, batch)."""
    x = x.transpose(1, 2, 3, 0)
    (top, left), (c, h, w, n) = windows.padding, x.shape
    if top or left:
        padded = np.full((c, h + 2 * top, w + 2 * left, n), fill, x.dtype, like=kind(x))
        padded[:, top : top + h, left : left + w] = x
        x = padded
    columns = np.empty((c, *windows.kernel, *windows.out, n), x.dtype, like=kind(x))
    for i, j, rows, cols in windows.places():
        columns[:, i, j] = x[:, rows, cols]
    return columns


@primitive(lambda g, windows: _columns(g, windows))
def _images(columns: Any, shape: tuple[int, ...], windows: _Windows) -> Any:
    """Return images of a shape, each pixel the sum of its places in the columns."""
    (top, left), (n, c, h, w) = windows.padding, shape
    x = np.zeros((c, h + 2 * top, w + 2 * left, n), columns.dtype, like=kind(columns))
    for i, j, rows, cols in windows.places():
        x[:, rows, cols] += columns[:, i, j]
    return x[:, top : top + h, left : left + w].transpose(3, 0, 1, 2)


def _laid_out(layer: Any, x: Any, channels: int | None = None, fill: float = 0.0) -> Any:
    """Return the windows of a layer's input as :func:`_columns` does, the kernel as one axis."""
    name = type(layer).__name__
    words = f"(batch, {'channels' if channels is None else channels}, height, width)"
    x = shaped(name, x, lambda shape: len(shape) == 4 and channels in (None, shape[1]), words)
    kernel, stride, padding = layer.kernel_size, layer.stride, layer.padding
    room = [n + 2 * p - k for n, p, k in zip(x.shape[2:], padding, kernel)]
    if min(room) < 0:
        raise ValueError(
            f"{name}: images of {x.shape[2]} x {x.shape[3]} with padding {padding} are smaller "
            f"than the kernel {kernel}"
        )
    out = (room[0] // stride[0] + 1, room[1] // stride[1] + 1)
    columns = _columns(x, _Windows(kernel, stride, padding, out), fill)
    return columns.reshape(x.shape[1], kernel[0] * kernel[1], *out, len(x))


class Conv2d(Module):
    """The cross-correlation of images with learned kernels.

    Parameters
    ----------
    in_channels, out_channels : int
        The lengths of axis 1 of input and output.
    kernel_size, stride, padding : int or (int, int)
        For height and width. Padding is with zeros, on both sides.
    bias : bool
        Whether to add a bias.
    rng : numpy.random.Generator
        Draws the initial values, evenly within ``1 / sqrt(in_channels * kernel pixels)`` of 0.
    dtype : dtype
        Of the parameters.

    Raises
    ------
    ValueError
        If a number is too small, or there are not one or two of them.

    Attributes
    ----------
    weight : Tensor of shape (out_channels, in_channels, kernel height, kernel width)
    bias : Tensor of shape (out_channels,), or None

    Examples
    --------
    >>> layer = ag.nn.Conv2d(1, 4, 3, padding=1, rng=np.random.default_rng(0))
    >>> layer(np.zeros((2, 1, 8, 8), np.float32)).shape
    (2, 4, 8, 8)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        bias: bool = True,
        *,
        rng: np.random.Generator,
        dtype: DTypeLike = np.float32,
    ) -> None:
        count("Conv2d", in_channels=in_channels, out_channels=out_channels)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _pair("Conv2d", "kernel_size", kernel_size)
        self.stride = _pair("Conv2d", "stride", stride)
        self.padding = _pair("Conv2d", "padding", padding, least=0)
        shape = (out_channels, in_channels, *self.kernel_size)
        fan_in = math.prod(shape[1:])
        self.weight = uniform("Conv2d", shape, fan_in, rng, dtype)
        self.bias = uniform("Conv2d", shape[:1], fan_in, rng, dtype) if bias else None

    def forward(self, x: Any) -> Any:
        """Return shape (batch, out_channels, out height, out width)."""
        columns = _laid_out(self, x, self.in_channels)
        weight = self.weight.reshape(self.out_channels, -1)
        y = weight @ columns.reshape(weight.shape[1], math.prod(columns.shape[2:]))
        if self.bias is not None:
            y = y + self.bias.reshape(-1, 1)
        return y.reshape(self.out_channels, *columns.shape[2:]).transpose(3, 0, 1, 2)


class _Pool2d(Module):
    def __init__(
        self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0
    ) -> None:
        name = type(self).__name__
        self.kernel_size = _pair(name, "kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else _pair(name, "stride", stride)
        self.padding = _pair(name, "padding", padding, least=0)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size)):
            raise ValueError(
                f"{name}: padding {self.padding} must be at most half the kernel {self.kernel_size}"
            )


class MaxPool2d(_Pool2d):
    """The maximum of each window; pixels that tie share the gradient evenly.

    Parameters
    ----------
    kernel_size, stride, padding : int or (int, int)
        For height and width; the stride is the kernel size by default. Padding never wins.

    Raises
    ------
    ValueError
        If a number is too small, or padding more than half the kernel.

    Examples
    --------
    >>> image = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> ag.nn.MaxPool2d(2)(image)[0, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """

    def forward(self, x: Any) -> Any:
        """Return shape (batch, channels, out height, out width)."""
        return np.max(_laid_out(self, x, fill=-math.inf), axis=1).transpose(3, 0, 1, 2)


class AvgPool2d(_Pool2d):
    """The mean of each window; padding counts as zeros.

    Parameters
    ----------
    kernel_size, stride, padding : int or (int, int)
        For height and width; the stride is the kernel size by default.

    Raises
    ------
    ValueError
        If a number is too small, or padding more than half the kernel.

    Examples
    --------
    >>> image = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> ag.nn.AvgPool2d(2)(image)[0, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """

    def forward(self, x: Any) -> Any:
        """Return shape (batch, channels, out height, out width)."""
        return np.mean(_laid_out(self, x), axis=1).transpose(3, 0, 1, 2)
