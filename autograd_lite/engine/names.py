"""What messages call things: functions by the names that users write, errors by their function."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autograd_lite.engine.arrays import remedy
from autograd_lite.engine.places import hide, library_frames

_SHORT = {"numpy": "np", "scipy": "scipy", "autograd_lite": "ag", "matplotlib": "plt"}
_PUBLIC_PARTS = ("linalg", "fft", "special", "random", "nn", "optim")
_CALLS_FUNCTIONS = ("transforms", "checks", "training")
_WRAPPERS = ("wrapper", "wrapped", "inner")
_HAVE_OURS = tuple(f"scipy.special.{name}" for name in ("softmax", "log_softmax", "logsumexp"))


def name_of(function: Callable[..., Any]) -> str:
    """Return a function's name as a user would write it: ``np.linalg.norm``, ``ag.softmax``."""
    function = ufunc_of(function) or function
    name = getattr(function, "__name__", repr(function))
    module = getattr(function, "__module__", None)
    if isinstance(function, np.ufunc):
        of_scipy = ufunc_of(getattr(sys.modules.get("scipy.special"), name, None)) is function
        module = "scipy.special" if of_scipy else "numpy"
    if module in ("_operator", "operator"):
        return {"getitem": "indexing"}.get(name, name)
    if (module or "").startswith("autograd_lite.rules"):
        # What a composite hands its arrays to is named after the function that users call.
        for prefix, namespace in (("np", np), ("np.linalg", np.linalg)):
            if hasattr(namespace, name.lstrip("_")):
                return f"{prefix}.{name.lstrip('_')}"
    if module == "scipy.special":
        return f"{module}.{name}"
    root, _, rest = (module or "").partition(".")
    short = {"numpy": "np", "autograd_lite": "ag"}.get(root)
    if short == "np":
        return ".".join(filter(None, (short, rest, name)))
    if short == "ag":
        return f"ag.{'nn.' * rest.startswith('nn.')}{name.lstrip('_')}"
    return name


def ufunc_of(function: Any) -> Any:
    """Return the ufunc that a function is, or is wrapped around; else None."""
    inner = getattr(function, "__wrapped__", function)
    return inner if isinstance(inner, np.ufunc) else None


def outermost_function(default: str) -> str:
    """Return the name of the outermost of the libraries' running functions, below the user's.

    What calls functions that users pass it, as transforms do, is not to blame for what those do.
    """
    name = default
    for frame in library_frames():
        root, _, rest = frame.f_globals["__name__"].partition(".")
        part, own = rest.partition(".")[0], frame.f_code.co_name
        if part in _CALLS_FUNCTIONS:
            break
        if root in _SHORT and part != "engine" and not own.startswith(("_", "<", *_WRAPPERS)):
            short = "np" if part == "rules" else _SHORT[root]
            name = f"{short}.{part}.{own}" if part in _PUBLIC_PARTS else f"{short}.{own}"
    return name


def derivative_lost(default: str) -> TypeError:
    """Return the error of a function that would take a tensor's values alone."""
    hide()
    name = outermost_function(default)
    remedy = (
        "np.stack([t, 2.0, u]) in place of np.array([t, 2.0, u]), np.block for nested lists, "
        "np.where in place of array[...] = tensor"
    )
    if name == "np.stack":
        remedy = "np.block to join tensors in nested lists"
    elif name == "np.full":
        remedy = "np.full(shape, tensor, like=tensor) to repeat it"
    remedy = f"use tensor.data if that is meant, {remedy}"
    if name.startswith("plt."):
        remedy = "plot its values, tensor.data"
    elif name in _HAVE_OURS:
        remedy = f"use ag.{name.rpartition('.')[2]}, or tensor.data if the values alone are meant"
    what = f"{name} of a tensor that requires a gradient"
    return TypeError(f"{what} would lose its derivative; {remedy}")


def name_error(error: Exception, name: str) -> None:
    """Put the name of what raised an error before its message, or below it."""
    hide(error)
    if type(error) in (ValueError, IndexError, TypeError, np.linalg.LinAlgError):
        if not str(error).startswith(name.partition(" ")[0]):
            error.args = (f"{name}: {error}",)
    else:
        error.add_note(f"in {name}")


def check_numbers(error: Exception, name: str, arguments: Sequence[Any]) -> None:
    """Say what to pass in place of times, text or objects, if a function raised on them."""
    for argument in arguments:
        dtype = getattr(argument, "dtype", None)
        if getattr(dtype, "kind", "f") in "mMUSO":
            raise TypeError(f"{name} of {dtype}: {remedy(dtype)}") from error


def name_shapes(error: Exception, name: str, arguments: Sequence[Any]) -> None:
    """Put a function's name and the shapes of its arguments before an error's message."""
    check_numbers(error, name, arguments)
    shapes = [
        str(tuple(a.shape)) for a in arguments if hasattr(a, "shape") and not isinstance(a, type)
    ]
    name_error(error, f"{name} of shape{'s' * (len(shapes) != 1)} {' and '.join(shapes)}")
