"""The user's place in the code: the line that warnings are about, and the frames between."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

_NOT_THE_USERS = tuple(
    f"{p}{os.sep}" for p in (Path(__file__).parents[1], Path(np.__file__).parent)
)
_LIBRARIES = ("autograd_lite", "numpy", "scipy", "matplotlib", "copy")

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


def library_frames() -> Iterator[FrameType]:
    """Yield the frames that run libraries, from the caller's outward, up to the user's."""
    frame = sys._getframe(1)
    while _is_of_a_library(frame) and frame.f_back is not None:
        yield frame
        frame = frame.f_back


def _is_of_a_library(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__", "").partition(".")[0] in _LIBRARIES


def hide(error: BaseException | None = None) -> None:
    """Mark the libraries' frames that an error passes, so that tracebacks leave them out.

    IPython and pytest look for ``__tracebackhide__`` among a frame's locals. Functions that are
    often in the way set it themselves; this is for errors that come from many layers down.
    """
    passed = [frame for frame, _ in traceback.walk_tb(error.__traceback__)] if error else []
    for frame in (*library_frames(), *filter(_is_of_a_library, passed)):
        frame.f_locals["__tracebackhide__"] = True
