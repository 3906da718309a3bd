"""The user's place in the code: the line that warnings are about, and the frames between."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

_PACKAGE = f"{Path(__file__).parents[1]}{os.sep}"
_NOT_THE_USERS = (_PACKAGE, f"{Path(np.__file__).parent}{os.sep}")

_KINDS = {  # what NumPy calls each kind of floating-point error when it tells of it
    "divide": "divide by zero",
    "over": "overflow",
    "under": "underflow",
    "invalid": "invalid value",
}


def user_frame() -> FrameType:
    """Return the innermost frame that runs neither this package's code nor NumPy's."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_NOT_THE_USERS):
        frame = frame.f_back
    return frame


def user_line() -> tuple[str, int]:
    """Return the user's file and line that is being run."""
    frame = user_frame()
    return frame.f_code.co_filename, frame.f_lineno


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn of the user's line: by default once for each, as Python does."""
    frame = user_frame()
    space = frame.f_globals
    warnings.warn_explicit(
        message,
        category,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=space.get("__name__"),
        registry=space.setdefault("__warningregistry__", {}),
    )


def computed_with_warnings(ufunc: Any, arguments: Sequence[Any]) -> Any:
    """Return what a ufunc computes; what NumPy would warn of is said of the user's line."""
    found: list[str] = []
    before, other = np.geterr(), np.geterrcall()
    warned = {_KINDS[kind] for kind, how in before.items() if how == "warn"}

    def called(kind: str, flags: int) -> None:
        if kind in warned:
            found.append(kind)
        elif callable(other):
            other(kind, flags)

    modes = {kind: "call" if how == "warn" else how for kind, how in before.items()}
    with np.errstate(**modes, call=called):  # type: ignore[arg-type]
        result = ufunc(*arguments)
    for kind in found:
        warn(f"{kind} encountered in {ufunc.__name__}", RuntimeWarning)
    return result


def hide(error: BaseException) -> None:
    """Mark the frames of this package that an error passes, so that tracebacks leave them out.

    IPython and pytest look for ``__tracebackhide__`` among a frame's locals. What raises errors of
    its own sets it itself; this is for what calls other functions, of which there are many layers.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_NOT_THE_USERS):
        frame.f_locals["__tracebackhide__"] = True
        frame = frame.f_back
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith(_PACKAGE):
            trace.tb_frame.f_locals["__tracebackhide__"] = True
        trace = trace.tb_next
