"""Checks of arguments that layers, functions and data share, and parameters made of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from autograd_lite.engine.arrays import is_foreign, values_of
from autograd_lite.engine.places import hide
from autograd_lite.engine.tensor import Tensor
from autograd_lite.losses.kernels import working as working


def require(owner: str, what: str, fits: Callable[[Any], bool], **values: Any) -> None:
    """Check values, given in words what they must be, and a function that says whether one is.

    Raises
    ------
    ValueError
        Naming the owner and the first that is not, or of which the function raises TypeError.
    """
    for name, value in values.items():
        try:
            good = fits(value)
        except TypeError:
            good = False
        if not good:
            raise ValueError(f"{owner}: {name} must be {what}, got {value!r}")


def is_count(value: Any, least: int = 1) -> bool:
    """Return whether a value is an integer, and not too small."""
    return type(value) is not bool and isinstance(value, (int, np.integer)) and int(value) >= least


def count(owner: str, least: int = 1, **values: Any) -> None:
    """Check that values are integers, none of them too small; see :func:`require`."""
    require(owner, f"an integer of at least {least}", lambda v: is_count(v, least), **values)


def positive(owner: str, **values: Any) -> None:
    """Check that values are above 0; see :func:`require`."""
    require(owner, "positive", lambda value: value > 0, **values)


def choice(owner: str, allowed: Sequence[str], **values: Any) -> None:
    """Check that values are among the allowed words; see :func:`require`."""
    *most, last = map(repr, allowed)
    require(owner, f"{', '.join(most)} or {last}", lambda value: value in allowed, **values)


def generator(name: str, rng: Any) -> np.random.Generator:
    """Return ``rng`` if it is a Generator.

    Raises
    ------
    TypeError
        If it is none, naming the remedy.
    """
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"{name}: rng must be a numpy.random.Generator, such as np.random.default_rng(0), "
            f"not {rng!r}"
        )
    return rng


def floats(name: str, x: Any) -> Any:
    """Return a tensor or array of real floating-point numbers; other numbers are converted.

    Raises
    ------
    TypeError
        If ``x`` holds anything but real numbers.
    """
    if not isinstance(x, Tensor) and not is_foreign(x):
        x = np.asarray(values_of(x, name))
    if x.dtype.kind == "f":
        return x
    if x.dtype.kind not in "iub":
        hide()
        raise TypeError(f"{name}: expected real numbers, got {x.dtype}")
    return x.astype(float)


def widened(x: Any) -> Any:
    """Return float16 numbers, whose squares may overflow, as float32; others as they are."""
    dtype = working(x.dtype)
    return x if dtype == x.dtype else x.astype(dtype)


def shaped(layer: str, x: Any, fits: Callable[[tuple[int, ...]], bool], shape: str) -> Any:
    """Return a layer's input as :func:`floats` does, checked to have a shape, given in words too.

    Raises
    ------
    ValueError
        If the shape does not fit.
    """
    x = floats(layer, x)
    if not fits(x.shape):
        hide()
        raise ValueError(f"{layer}: expected input of shape {shape}, got {x.shape}")
    return x


def parameter(layer: str, values: Any, dtype: DTypeLike) -> Tensor:
    """Return a parameter of a floating-point dtype."""
    if np.dtype(dtype).kind != "f":
        raise TypeError(f"{layer}: dtype must be floating-point, got {np.dtype(dtype)}")
    return Tensor(values, True, dtype=dtype)


def uniform(layer: str, shape: Sequence[int], fan_in: int, rng: Any, dtype: DTypeLike) -> Tensor:
    """Return a parameter drawn evenly within ``1 / sqrt(fan_in)`` of 0: PyTorch's default."""
    bound = 1 / math.sqrt(fan_in)
    return parameter(layer, generator(layer, rng).uniform(-bound, bound, shape), dtype)


def shown(settings: Mapping[str, Any]) -> str:
    """Return settings as arguments are written, rates that a schedule computed rounded."""
    texts = {k: f"{v:.6g}" if isinstance(v, float) else repr(v) for k, v in settings.items()}
    return ", ".join(f"{key}={text}" for key, text in texts.items())
