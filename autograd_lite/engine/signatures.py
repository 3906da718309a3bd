"""How a function is called: one place binds every call, by position or by keyword."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autograd_lite.engine.arrays import kind
from autograd_lite.engine.names import ufunc_of

REQUIRED = inspect.Parameter.empty
# What options do nothing, where NumPy's default is not to be asked for.
_NEUTRAL = {"keepdims": False, "where": True}


def is_default(value: Any, default: Any) -> bool:
    """Whether an argument is the default of its parameter, left out or written out."""
    return (
        value is default
        or value is np._NoValue
        or (type(value) in (int, float, str) and bool(value == default))
    )


def not_covered(name: str, argument: str) -> TypeError:
    """Return the error for an argument that no derivative rule of a function knows of."""
    return TypeError(
        f"{name}: no derivative rule covers the argument {argument}=; "
        f"leave it out, or compute that part with other functions"
    )


class Signature:
    """The parameters of a function: by position, perhaps ``*operands``, by keyword alone.

    Attributes
    ----------
    names, defaults : tuple
        One for each parameter; the default is REQUIRED where there is none.
    variadic : int or None
        Where ``*operands`` stands.
    positional, nameless : int
        How many parameters may be given by position, ``*operands`` counted as one, and how many of
        these not by keyword.
    others : bool
        Whether ``**others`` are taken too, which no rule covers.
    neutral : tuple
        For each parameter the argument that changes nothing: its default as one would write it.
    simple : bool
        Whether a call by position gives each parameter its argument: none may be left out.
    """

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self.name = name  # in messages
        every = _parameters(function)
        found = [p for p in every if p.kind is not p.VAR_KEYWORD]
        self.others = len(found) < len(every)
        self.names, self.defaults = tuple(p.name for p in found), tuple(p.default for p in found)
        kinds = [p.kind for p in found]
        several, keyword_only = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.KEYWORD_ONLY
        self.nameless = kinds.count(inspect.Parameter.POSITIONAL_ONLY)
        self.variadic = kinds.index(several) if several in kinds else None
        self.positional = sum(kind is not keyword_only for kind in kinds)
        least = [i for i, default in enumerate(self.defaults, 1) if default is REQUIRED]
        self.required = max(least, default=0)  # how many parameters must be given an argument
        required = all(default is REQUIRED for default in self.defaults)
        self.by_keyword = frozenset(self.names[self.positional :])
        self.neutral = tuple(
            _NEUTRAL.get(p.name, p.default) if p.default is np._NoValue else p.default
            for p in found
        )
        self.simple = required and self.variadic is None and self.positional == len(kinds)

    def bind(self, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
        """Return the arguments by position, up to the last parameter that is given one.

        Those of ``*operands`` stand one after another; what is taken by keyword alone comes last,
        all of it or nothing.

        Raises
        ------
        TypeError
            If an argument is missing, given twice, or one that the function does not take.
        """
        names, positional, values = self.names, self.positional, list(args)
        if self.variadic is None and len(args) <= positional:
            for name in kwargs:
                i = len(values)
                if i == positional or i < self.nameless or names[i] != name:
                    break
                values.append(kwargs[name])
            else:
                if len(values) >= self.required:
                    return values
        elif self.variadic is not None and kwargs.keys() == self.by_keyword:
            if len(args) >= self.variadic:
                return [*values, *(kwargs[name] for name in names[positional:])]
        return self._bound(args, kwargs)

    def _bound(self, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
        """Return what :meth:`bind` does, of arguments that may be in any order, or be wrong."""
        names, positional = self.names, self.positional
        if self.variadic is None and len(args) > positional:
            most = f"{positional} argument{'s' * (positional != 1)}"
            raise TypeError(f"{self.name} takes {most} by position, not {len(args)}")
        values, left = list(args), len(kwargs)
        front = range(len(args), positional if self.variadic is None else self.variadic)
        for i in (*front, *range(positional, len(names))):
            default = self.defaults[i]
            if not left and self.variadic is None and i <= positional and default is not REQUIRED:
                return values
            named = i >= self.nameless and names[i] in kwargs
            left -= named
            values.append(kwargs[names[i]] if named else default)
            if values[-1] is REQUIRED:
                raise TypeError(f"{self.name}: its argument {names[i]} is missing")
        if left:
            self._refuse(kwargs, len(args))
        return values

    def _refuse(self, kwargs: dict[str, Any], given: int) -> None:
        """Raise for an argument that is not taken by keyword, or was given by position too."""
        known = [self.names[i] for i in range(self.nameless, len(self.names)) if i != self.variadic]
        for name in kwargs:
            if name not in known and self.others:
                raise not_covered(self.name, name)
            if name not in known:
                raise TypeError(f"{self.name} has no argument {name}=; it takes {', '.join(known)}")
            if name in self.names[: min(given, self.positional)]:
                raise TypeError(f"{self.name} got its argument {name} twice")

    def by_position(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function of this signature, to be called with what :meth:`bind` returns."""
        by_keyword = self.names[self.positional :]

        def called(*values: Any) -> Any:
            if self.variadic is None:
                if values and kind(values[0]) is not None:
                    return self._as_given(function, values)
                if len(values) <= self.positional:
                    return function(*values)
            cut = len(values) - len(by_keyword)
            return function(*values[:cut], **dict(zip(by_keyword, values[cut:])))

        return called

    def _as_given(self, function: Callable[..., Any], values: Sequence[Any]) -> Any:
        """Call a function, defaults left out: another library's may have others, or elsewhere."""
        given = [value is not default for value, default in zip(values, self.defaults)]
        cut = [*given[: self.positional], False].index(False)
        rest = zip(self.names[cut:], values[cut:], given[cut:])
        return function(*values[:cut], **{name: value for name, value, own in rest if own})

    def packed(self, arguments: list[Any]) -> list[Any]:
        """Return the argument of each parameter from what :meth:`bind` returned."""
        if self.variadic is None:
            return [*arguments, *self.defaults[len(arguments) :]]
        start, end = self.variadic, len(arguments) - (len(self.names) - self.positional)
        return [*arguments[:start], tuple(arguments[start:end]), *arguments[end:]]


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of a function; those of a ufunc by the names that rules read."""
    names: tuple[str, ...] = ()
    if ufunc := ufunc_of(function):
        names = ("x", "y", "z")[: ufunc.nin]
    elif function is np.where:  # has no signature before NumPy 2.4
        names = ("condition", "x", "y")
    if names:
        return [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in names]
    return list(inspect.signature(function).parameters.values())
