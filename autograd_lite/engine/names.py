"""What messages call things: functions by the names that users write, errors by their function."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

_SHORT = {"numpy": "np", "scipy": "scipy", "autograd_lite": "ag"}
_PUBLIC_PARTS = ("linalg", "fft", "special", "random", "nn", "optim")


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
    """Return the name of the outermost of NumPy's, SciPy's or this package's running functions."""
    frame, name = sys._getframe(2), default
    while frame.f_back is not None:
        root, _, rest = frame.f_globals.get("__name__", "").partition(".")
        if root not in _SHORT:
            break
        part, own = rest.partition(".")[0], frame.f_code.co_name
        if part != "engine" and not own.startswith(("_", "<", "wrapped")):
            short = "np" if part == "rules" else _SHORT[root]
            name = f"{short}.{part}.{own}" if part in _PUBLIC_PARTS else f"{short}.{own}"
        frame = frame.f_back
    return name


def name_error(error: Exception, name: str) -> None:
    """Put the name of what raised an error before its message, or below it."""
    if type(error) in (ValueError, IndexError, TypeError, np.linalg.LinAlgError):
        if not str(error).startswith(name.partition(" ")[0]):
            error.args = (f"{name}: {error}",)
    else:
        error.add_note(f"in {name}")


def name_shapes(error: Exception, name: str, arguments: Sequence[Any]) -> None:
    """Put a function's name and the shapes of its arguments before an error's message."""
    shapes = [
        str(tuple(a.shape)) for a in arguments if hasattr(a, "shape") and not isinstance(a, type)
    ]
    name_error(error, f"{name} of shape{'s' * (len(shapes) != 1)} {' and '.join(shapes)}")
