"""Whether calls are recorded here, and who looks on: no_grad and observers.

Both hold for the current thread or asynchronous task alone.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class Observer:
    """Sees every call of tensors and every step of the pullbacks where it looks on.

    Does nothing itself: what looks on overrides what it wants to see.
    """

    def called(self, node: Any, entry: Any, arguments: Sequence[Any], result: Any) -> None:
        """See a call of an entry of the table; ``node`` is None where it was not recorded."""

    def began(self) -> None:
        """See a pullback begin, or begin again with the products of zeros dropped."""

    def pulled(self, node: Any, k: int, g: Any, d: Any) -> None:
        """See what a node's rule for its parent ``k`` made of the cotangent ``g``."""

    def ended(self) -> None:
        """See a pullback end."""


@dataclass(frozen=True, slots=True)
class Mode:
    """What holds for the calls of a context."""

    records: bool
    observers: tuple[Observer, ...]
    transforms: bool = False  # whether a transform is applying its function


mode: ContextVar[Mode] = ContextVar("autograd_lite_mode", default=Mode(True, ()))  # noqa: B039
# What each no_grad entered here will put back: not in the object, which others may use as well.
_before_no_grad: ContextVar[tuple[Mode, ...]] = ContextVar(
    "autograd_lite_before_no_grad", default=()
)

# Where values were read out of tensors that require a gradient, and how: of a transform's function.
reads: ContextVar[list[tuple[str, str, int]] | None] = ContextVar(
    "autograd_lite_reads", default=None
)


def is_recording() -> bool:
    """Whether calls are recorded here: not under ``no_grad``."""
    return mode.get().records


@contextmanager
def _in_mode(new: Mode) -> Iterator[None]:
    token = mode.set(new)
    try:
        yield
    finally:
        mode.reset(token)


def recording_on() -> Any:
    """Return a context that records also inside ``no_grad``: what a transform needs as it runs."""
    return _in_mode(replace(mode.get(), records=True, transforms=True))


def observing(observer: Observer) -> Any:
    """Return a context that an observer looks on, beside one that does so already."""
    here = mode.get()
    return _in_mode(replace(here, observers=(*here.observers, observer)))


class no_grad:
    """Record nothing: a context manager and a decorator.

    It holds for the current thread or asynchronous task alone, and ends also when an exception
    leaves it. ``no_grad()`` takes nothing; a ``function`` decorated with it records nothing.

    Examples
    --------
    >>> w = ag.Tensor([1.0, 2.0], requires_grad=True)
    >>> with ag.no_grad():
    ...     w -= 0.5
    >>> w
    Tensor([0.5, 1.5], requires_grad=True)
    """

    def __init__(self, *function: Any) -> None:
        if function:
            raise TypeError(
                "no_grad takes no arguments; write @ag.no_grad() to decorate a function"
            )

    def __enter__(self) -> None:
        before = mode.get()
        _before_no_grad.set((*_before_no_grad.get(), before))
        mode.set(replace(before, records=False))

    def __exit__(self, *exception: object) -> None:
        *outer, before = _before_no_grad.get()
        _before_no_grad.set(tuple(outer))
        mode.set(before)

    def __call__(self, function: F) -> F:
        """Return the function with nothing recorded while it runs."""
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            raise TypeError(
                "no_grad cannot decorate a coroutine or generator function, which runs after the "
                "call returns; write `with ag.no_grad():` inside it"
            )

        @functools.wraps(function)
        def without_recording(*args: Any, **kwargs: Any) -> Any:
            with no_grad():
                return function(*args, **kwargs)

        return without_recording  # type: ignore[return-value]
