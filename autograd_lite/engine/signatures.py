"""How a function is called: one place binds every call, by position or by keyword."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autograd_lite.engine.names import ufunc_of

REQUIRED = inspect.Parameter.empty


class Signature:
    """The parameters of a function: by position, perhaps ``*operands``, by keyword alone.

    Attributes
    ----------
    names, defaults : tuple
        One for each parameter; the default is REQUIRED where there is none.
    variadic : int or None
        Where ``*operands`` stands.
    positional : int
        How many parameters may be given by position, ``*operands`` counted as one.
    simple : bool
        Whether a call by position gives each parameter its argument: none may be left out.
    """

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self.name = name  # in messages
        self.names, self.defaults, kinds = _parameters(function)
        several, keyword_only = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.KEYWORD_ONLY
        self.variadic = kinds.index(several) if several in kinds else None
        self.positional = sum(kind is not keyword_only for kind in kinds)
        every = all(default is REQUIRED for default in self.defaults)
        self.simple = every and self.variadic is None and self.positional == len(kinds)

    def bind(self, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
        """Return the arguments by position, up to the last parameter that is given one.

        Those of ``*operands`` stand one after another; what is taken by keyword alone comes last,
        all of it or nothing.

        Raises
        ------
        TypeError
            If an argument is missing, given twice, or one that the function does not take.
        """
        values, left = list(args), len(kwargs)
        front = range(len(args), self.positional if self.variadic is None else self.variadic)
        for part in (front, range(self.positional, len(self.names))):
            for i in part:
                if not left and self.variadic is None:
                    return values
                left -= self.names[i] in kwargs
                values.append(kwargs.get(self.names[i], self.defaults[i]))
                if values[-1] is REQUIRED:
                    raise TypeError(f"{self.name}: its argument {self.names[i]} is missing")
        for name in kwargs if left else ():
            if name not in self.names:
                known = ", ".join(self.names)
                raise TypeError(f"{self.name} has no argument {name}=; it takes {known}")
            if name in self.names[: len(args)]:
                raise TypeError(f"{self.name} got its argument {name} twice")
        return values

    def by_position(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function of this signature, to be called with what :meth:`bind` returns."""
        by_keyword = self.names[self.positional :]
        if not by_keyword:
            return function

        def called(*values: Any) -> Any:
            if self.variadic is None and len(values) <= self.positional:
                return function(*values)
            cut = len(values) - len(by_keyword)
            return function(*values[:cut], **dict(zip(by_keyword, values[cut:])))

        return called

    def packed(self, arguments: list[Any]) -> list[Any]:
        """Return the argument of each parameter from what :meth:`bind` returned."""
        if self.variadic is None:
            return [*arguments, *self.defaults[len(arguments) :]]
        start, end = self.variadic, len(arguments) - (len(self.names) - self.positional)
        return [*arguments[:start], tuple(arguments[start:end]), *arguments[end:]]


def _parameters(
    function: Callable[..., Any],
) -> tuple[tuple[str, ...], tuple[Any, ...], list[Any]]:
    """Return the names, defaults and kinds of a function's parameters."""
    names: tuple[str, ...] = ()
    if ufunc := ufunc_of(function):
        names = ("x", "y", "z")[: ufunc.nin]
    elif function is np.where:  # has no signature before NumPy 2.4
        names = ("condition", "x", "y")
    if names:
        return names, (REQUIRED,) * len(names), [inspect.Parameter.POSITIONAL_ONLY] * len(names)
    every = inspect.signature(function).parameters.values()
    found = [p for p in every if p.kind is not p.VAR_KEYWORD]
    return tuple(p.name for p in found), tuple(p.default for p in found), [p.kind for p in found]
