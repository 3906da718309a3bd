"""The user's place in the code: the line that warnings are about, and the frames between."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

import numpy as np

_FOLDERS = (os.path.dirname(os.path.dirname(__file__)), os.path.dirname(np.__file__))
_NOT_THE_USERS = tuple(f"{folder}{os.sep}" for folder in _FOLDERS)
_LIBRARIES = ("autograd_lite", "numpy", "scipy", "matplotlib", "copy")


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


def called_by_the_user(function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    """Return what a function computes, called as if by the user's line, which it may warn of."""
    frame = user_frame()
    source = "\n" * (frame.f_lineno - 1) + "function(*arguments)"
    code = compile(source, frame.f_code.co_filename, "eval")
    given = {"function": function, "arguments": arguments, "__tracebackhide__": True}
    return eval(code, frame.f_globals, given)


def warn(message: str) -> None:
    """Warn of the user's line: by default once for each, as Python does."""
    called_by_the_user(warnings.warn, (message,))


def called(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Return what a function computes, called from a module that can be warned of."""
    __tracebackhide__ = True
    return function(*args, **kwargs)


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
    frames = list(library_frames())
    trace = error.__traceback__ if error else None
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    for frame in filter(_is_of_a_library, frames):
        frame.f_locals["__tracebackhide__"] = True
