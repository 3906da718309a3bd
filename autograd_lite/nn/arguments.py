"""Checks of arguments that layers, functions and data share, and parameters made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from autograd_lite.tensor import Tensor


def count(owner: str, least: int = 1, **values: Any) -> None:
    """Check that values are integers, none of them too small.

    Raises
    ------
    ValueError
        Naming the owner and the first that is not.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(
                f"{owner}: {name} must be an integer of at least {least}, got {value!r}"
            )


def positive(owner: str, **values: Any) -> None:
    """Check that values are numbers above 0.

    Raises
    ------
    ValueError
        Naming the owner and the first that is not.
    """
    for name, value in values.items():
        if not isinstance(value, (int, float, np.number)) or not value > 0:
            raise ValueError(f"{owner}: {name} must be positive, got {value!r}")


def choice(owner: str, allowed: Sequence[str], **values: Any) -> None:
    """Check that values are among the allowed words.

    Raises
    ------
    ValueError
        Naming the owner and the first that is not.
    """
    for name, value in values.items():
        if value not in allowed:
            *most, last = map(repr, allowed)
            raise ValueError(f"{owner}: {name} must be {', '.join(most)} or {last}, not {value!r}")


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
    if not isinstance(x, Tensor):
        x = np.asarray(x)
    if x.dtype.kind == "f":
        return x
    if x.dtype.kind not in "iub":
        raise TypeError(f"{name}: expected real numbers, got {x.dtype}")
    return x.astype(float)


def parameter(layer: str, values: Any, dtype: DTypeLike) -> Tensor:
    """Return a parameter of a floating-point dtype."""
    if np.dtype(dtype).kind != "f":
        raise TypeError(f"{layer}: dtype must be floating-point, got {np.dtype(dtype)}")
    return Tensor(values, True, dtype=dtype)


def uniform_parameter(
    layer: str, shape: Sequence[int], fan_in: int, rng: Any, dtype: DTypeLike
) -> Tensor:
    """Return a parameter drawn evenly within ``1 / sqrt(fan_in)`` of 0: PyTorch's default."""
    bound = 1 / math.sqrt(fan_in)
    return parameter(layer, generator(layer, rng).uniform(-bound, bound, shape), dtype)
