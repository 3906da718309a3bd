"""The table of derivative rules: one entry for each function that the engine knows.

A rule turns the cotangent of a function's result into that of one argument. It is written once,
with operators, array methods and NumPy functions, and runs on every kind of array that speaks
NumPy, tensors included. The names of its parameters say what it reads, and only what is read is
kept alive:

============ =====================================================================
``g``        the cotangent of the result (always the first parameter)
``ans``      the result
``like``     an object with the ``shape``, ``ndim``, ``size`` and ``dtype`` of the argument
``argnum``   the position of the argument, for functions that take ``*operands``
``residual`` what the function worked out beside its result (see :func:`derivative`)
otherwise    an argument of the function, by its name (``x`` and ``y`` for ufuncs)
============ =====================================================================
"""

from __future__ import annotations

import functools
import inspect
import operator
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple, TypedDict, Unpack

import numpy as np

from autograd_lite.engine.arrays import batch_in
from autograd_lite.engine.names import name_of
from autograd_lite.engine.signatures import REQUIRED, Signature, is_default, not_covered

Rule = Callable[..., Any]
Pick = Callable[[Any], Sequence[Any]]
Keep = Callable[[Sequence[Any], Any, Any, Sequence[Any]], Sequence[Any]]

_ANS, _RESIDUAL = "ans", "residual"
_RESERVED = ("like", "argnum", _ANS, _RESIDUAL)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What a call keeps and how its node is pulled back, for one choice of tracked arguments."""

    primitive: Primitive
    argnums: tuple[int, ...]  # of the tracked arguments, in order
    keep: Keep  # (arguments, ans, residual, parents) -> what is saved
    rules: tuple[tuple[Rule, Pick | None], ...]  # and what each reads of it; None for everything
    sources: tuple[Any, ...]  # of each saved item: an argument's place, "ans", "residual" or None
    arguments: tuple[tuple[int, int], ...]  # place among the saved, and as argument
    reads: int  # bit i: a rule reads argument i, so it must not change
    run: Callable[..., Any]  # computes the result, or (result, residual), of a call by position
    run_bound: Callable[..., Any]  # of what Primitive.bind returned
    leaves_residual: bool
    simple: bool  # the arguments are one for each parameter as they are
    is_users: bool  # the function is a user's
    plain: bool  # a ufunc: its result is one array of its own
    elementwise: bool
    selects: bool
    notes: bool  # whether a small result, or its arguments, are kept for graphs alone


class Options(TypedDict, total=False):
    """What may be said of a function beside its rules: see :func:`derivative`."""

    ignores: Iterable[str]
    broadcasts: bool | None
    selects: bool
    recorded: Callable[..., Any] | None
    explained: Callable[..., Any] | None
    domain: tuple[float, float] | None
    name: str | None


class Primitive:
    """A function with derivative rules: one entry of the table.

    What its signature says is read when it is first asked for: of most entries, it never is.

    Raises
    ------
    TypeError
        If one of a user's rules reads a name that the function does not have. This package's own
        rules are checked by its tests.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        rules: Sequence[Rule | None],
        *,
        ignores: Iterable[str] = (),
        broadcasts: bool | None = None,
        selects: bool = False,
        recorded: Callable[..., Any] | None = None,
        explained: Callable[..., Any] | None = None,
        domain: tuple[float, float] | None = None,
        name: str | None = None,
    ) -> None:
        self.function = function
        self.name = name or name_of(function)
        self.ufunc = isinstance(function, np.ufunc)
        self.kept = (np.ndarray,) if self.ufunc else (np.ndarray, tuple)  # a tuple may be an index
        self.broadcasts = self.ufunc if broadcasts is None else broadcasts
        self.elementwise = self.ufunc and function.signature is None  # type: ignore[attr-defined]
        self.selects = selects
        self.recorded = recorded
        self.explained = explained
        self.domain = domain
        self.rules = tuple(rules)
        self.ignores = frozenset(ignores)
        self.plans: dict[int, Plan] = {}
        self.binds = True  # calls by position too: until the signature is known
        self.is_users = not any(rule is not None and is_own(rule) for rule in rules)
        if self.is_users:
            _ = self.reads

    def __repr__(self) -> str:
        return f"<rules of {self.name}>"

    @functools.cached_property
    def signature(self) -> Signature:
        """How the function is called."""
        return Signature(self.function, self.name)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the function's parameters."""
        return self.signature.names

    @property
    def variadic(self) -> int | None:
        """The place of ``*operands`` among the parameters, if there are any."""
        return self.signature.variadic

    @functools.cached_property
    def reads(self) -> tuple[tuple[str, ...], ...]:
        """What each rule reads beside ``g``, checked against the function's parameters."""
        if len(self.rules) > len(self.parameters):
            raise TypeError(
                f"{len(self.rules)} rules are given for {self.name}, which has "
                f"{len(self.parameters)} arguments"
            )
        return tuple(_reads(self, rule) for rule in self.rules)

    @functools.cached_property
    def options(self) -> dict[int, bool]:
        """The optional parameters without a rule, and whether they may be given.

        Some rule reads them, or they are ignored: one that does not know of an argument would be
        wrong, silently.
        """
        allowed = self.ignores.union(*self.reads)
        parameters = enumerate(zip(self.parameters, self.signature.defaults))
        return {
            i: name in allowed
            for i, (name, default) in parameters
            if i >= len(self.rules) and default is not REQUIRED
        }

    @functools.cached_property
    def compute(self) -> Callable[..., Any]:
        """The function, called with what :meth:`bind` returns."""
        return self.signature.by_position(self.function)

    def bind(self, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
        """Return the arguments by position; see :meth:`Signature.bind`."""
        by_keyword = self.signature.required > self.signature.positional
        self.binds = by_keyword or self.variadic is not None
        return self.signature.bind(args, kwargs)

    def settled(self, arguments: list[Any]) -> list[Any]:
        """Return what rules may read of the arguments: one for each parameter.

        An array or list given for an option is copied: its owner may change it later.

        Raises
        ------
        TypeError
            If an option is given that no rule reads.
        """
        values = self.signature.packed(arguments)
        given = len(arguments) if self.variadic is None else len(values)
        for i, allowed in self.options.items():
            if i >= given:
                break
            value = values[i]
            if is_default(value, self.signature.neutral[i]):
                continue
            if not allowed:
                raise not_covered(self.name, self.parameters[i])
            if isinstance(value, (list, np.ndarray)):
                values[i] = value.copy()
            elif value.__class__ is str and value == "A":  # as the array lies in memory
                values[i] = "F" if np.isfortran(values[0]) else "C"
        return values

    def plan(self, tracked: int) -> Plan:
        """Return the plan for the tracked arguments, the bits of a number; made on first use."""
        plan = self.plans.get(tracked)
        if plan is None:
            plan = self.plans[tracked] = self._make_plan(tracked)
        return plan

    def rule(self, argnum: int) -> tuple[Rule, tuple[str, ...]]:
        """Return the rule of an argument, and what it reads beside ``g``."""
        which = argnum if self.variadic is None else min(argnum, self.variadic)
        rule = self.rules[which] if which < len(self.rules) else None
        if rule is None:
            raise TypeError(
                f"{self.name} has no derivative with respect to its argument "
                f"{self.parameters[which]}; pass the values alone (tensor.data), or add the rule "
                f"with derivative(...)"
            )
        return (rule if is_own(rule) else _with_read_only_cotangent(rule)), self.reads[which]

    def _make_plan(self, tracked: int) -> Plan:
        argnums = tuple(i for i in range(tracked.bit_length()) if tracked >> i & 1)
        arity = len(self.parameters)
        index = {name: i for i, name in enumerate(self.parameters)}
        index |= {_ANS: arity, _RESIDUAL: arity + 1}
        pool: dict[int, int] = {}  # from places in what _keeper says to those among the saved
        rules: list[tuple[Rule, list[int]]] = []
        for k, argnum in enumerate(argnums):
            rule, names = self.rule(argnum)
            if "argnum" in names:
                rule = _with_argnum(rule, names.index("argnum"), argnum)
            slots: list[int] = []
            for name in names:
                if name != "argnum":
                    place = arity + 2 + k if name == "like" else index[name]
                    slots.append(pool.setdefault(place, len(pool)))
            rules.append((rule, slots))
        special = {arity: _ANS, arity + 1: _RESIDUAL}
        sources = tuple(p if p < arity else special.get(p) for p in pool)
        arguments = tuple(
            (i, s)
            for i, s in enumerate(sources)
            if isinstance(s, int) and s not in self.options and self.recorded is None
        )
        everything = list(range(len(pool)))
        run = self.function
        if self.recorded is not None:
            run = functools.partial(self.recorded, argnums)
        bound = self.signature.by_position(run)
        return Plan(
            self,
            argnums,
            _keeper(list(pool), arity),
            tuple((rule, None if slots == everything else _picker(slots)) for rule, slots in rules),
            sources,
            arguments,
            functools.reduce(
                operator.or_, (1 << s if s != self.variadic else -1 << s for _, s in arguments), 0
            ),
            run,
            bound,
            self.recorded is not None,
            self.signature.simple,
            self.is_users,
            self.ufunc and self.recorded is None and self.function.nout == 1,  # type: ignore[attr-defined]
            self.elementwise,
            self.selects,
            not self.elementwise or any(i not in (*argnums, *sources) for i in range(arity)),
        )


@dataclass(frozen=True, eq=False)
class Composite:
    """A function whose derivative follows from a formula in other functions."""

    function: Callable[..., Any]
    formula: Callable[..., Any]
    name: str
    elementwise = False

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the function's parameters."""
        return self.signature.names

    @property
    def variadic(self) -> int | None:
        """The place of ``*operands`` among the parameters, if there are any."""
        return self.signature.variadic

    @functools.cached_property
    def signature(self) -> Signature:
        """How the function is called; one in C that does not say, as the formula is."""
        try:
            return Signature(self.function, self.name)
        except ValueError:
            return self.taken

    @functools.cached_property
    def taken(self) -> Signature:
        """How the formula is called: with some of the function's arguments, under their names."""
        return Signature(self.formula, self.name)

    @functools.cached_property
    def direct(self) -> range:
        """How many arguments by position the formula takes just as the function does."""
        positional, variadic = self.taken.positional, self.taken.variadic
        least = sum(default is REQUIRED for default in self.taken.defaults[:positional])
        return range(least, positional + 1) if variadic is None else range(least - 1, sys.maxsize)

    def bind(
        self, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> tuple[Sequence[Any], dict[str, Any]]:
        """Return a call's arguments as the formula takes them: what is optional, by keyword.

        Raises
        ------
        TypeError
            As for :meth:`Signature.bind`, and if an option is given that the formula lacks.
        """
        own, known = self.signature, self.taken.names
        options = {  # of the function's **others
            name: kwargs[name] for name in kwargs if name in known and name not in own.names
        }
        named = {name: kwargs[name] for name in kwargs if name not in options}
        given: list[Any] = []
        values = own.packed(own.bind(args, named))
        for i, (name, value, default) in enumerate(zip(own.names, values, own.defaults)):
            if i == own.variadic:
                given += value
            elif value is REQUIRED:
                raise TypeError(f"{self.name}: its argument {name} is missing")
            elif default is REQUIRED:
                given.append(value)
            elif not is_default(value, own.neutral[i]):
                if name not in known and not self.taken.others:
                    raise not_covered(self.name, name)
                options[name] = value
        return given, options


class Constant(NamedTuple):
    """A function whose result carries no derivative: comparisons, argmax, shapes."""

    function: Callable[..., Any]
    name: str


TABLE: dict[Callable[..., Any], Primitive | Composite | Constant] = {}
"""Every function the engine knows, keyed by the function itself."""

LATE_RULES: dict[str, str] = {}
"""Modules of rules for libraries that may not be there, loaded once the library has been."""


def derivative(
    function: Callable[..., Any], *rules: Rule | None, **options: Unpack[Options]
) -> None:
    """Enter the derivative of a function into the table.

    Parameters
    ----------
    function : callable
        A NumPy function, or any function of arrays; the key of the entry.
    *rules : callable or None
        One rule for each leading argument; ``None`` where the function is not differentiable in
        that argument. See the module's docstring for what a rule may read.
    **options
        By keyword, what else is to know of the function:
    ignores : iterable of str
        Optional arguments that change the result but not the derivative rule. Every other optional
        argument that no rule reads is refused when given.
    broadcasts : bool, optional
        Whether the arguments are broadcast against each other, so that the engine sums the
        cotangent back to the argument's shape. By default true for ufuncs only; any other rule
        that returns a wrong shape is an error.
    selects : bool
        Whether the result can be free of a nan that an argument holds, as for ``np.where``.
    recorded : callable, optional
        What to call in place of the function when it is recorded: it takes the tracked arguments'
        positions, then the same arguments, and returns ``(result, residual)``. Rules that are shown
        bare arrays may read the residual; those that are shown tensors get None for it. Such
        rules check for themselves whether an argument has changed.
    explained : callable, optional
        Marks a fused function, which does the work of several. From the same arguments it returns
        what graphs say of it: how its rule reads, and a dictionary of arrays to show.
    domain : (float, float), optional
        The interval from which tests draw arguments.
    name : str, optional
        What messages and graphs call it; for a part of another function, that which users call.

    Raises
    ------
    TypeError
        If a rule reads a name that the function does not have.

    Examples
    --------
    >>> import numpy as np, autograd_lite as ag
    >>> def cube(x):
    ...     return x * x * x
    >>> ag.derivative(cube, lambda g, x: g * 3 * x * x)
    """
    TABLE[function] = Primitive(function, rules, **options)


def constant(*functions: Callable[..., Any]) -> None:
    """Enter functions whose results are plain arrays, without a derivative."""
    for function in functions:
        TABLE[function] = Constant(function, name_of(function))


def enter_composite(function: Callable[..., Any], formula: Callable[..., Any]) -> None:
    """Enter a function whose derivative is that of a formula in other functions."""
    if not callable(function):
        raise TypeError(
            f"ag.composite takes the function that the formula computes, not {function!r}"
        )
    TABLE[function] = Composite(function, formula, name_of(function))


def is_own(rule: Rule) -> bool:
    """Whether a rule is one of this package's."""
    return (rule.__module__ or "").startswith("autograd_lite.")


def _reads(primitive: Primitive, rule: Rule | None) -> tuple[str, ...]:
    """Return the names that a rule reads beside ``g``, checked against the function's own."""
    if rule is None:
        return ()
    first, *names = inspect.signature(rule).parameters or ("nothing",)
    may_read = ("g", *_RESERVED, *primitive.parameters)
    for name in names:
        if name not in may_read:
            raise TypeError(
                f"the rule of {primitive.name} reads {name}; it may read {', '.join(may_read)}"
            )
    if clash := set(names) & set(_RESERVED) & set(primitive.parameters):
        raise TypeError(
            f"the rule of {primitive.name} reads {min(clash)}, which it could not tell from the "
            f"argument of that name; call that argument otherwise"
        )
    if first != "g":
        raise TypeError(f"the rule of {primitive.name} must take g first, not {first}")
    return tuple(names)


def _picker(places: Sequence[int]) -> Pick:
    """Return a fast function from a sequence to those of its items."""
    if len(places) > 1:
        return itemgetter(*places)
    # itemgetter(i) would return a bare item; a slice keeps it in a sequence.
    return itemgetter(slice(places[0], places[0] + 1) if places else slice(0))


def _keeper(places: Sequence[int], arity: int) -> Keep:
    """Return what picks out what is saved: places in ``(*arguments, ans, residual, *parents)``."""
    special = {arity: "ans", arity + 1: "residual"}
    items = [
        f"arguments[{p}]" if p < arity else special.get(p, f"parents[{p - arity - 2}]")
        for p in places
    ]
    # Compiled, as named tuples are: the quickest way to make a tuple of some of them.
    keep: Keep = eval(
        f"lambda arguments, ans, residual, parents: ({''.join(f'{i}, ' for i in items)})"
    )
    return keep


def _with_argnum(rule: Rule, place: int, argnum: int) -> Rule:
    def with_argnum(g: Any, *kept: Any) -> Any:
        return rule(g, *kept[:place], argnum, *kept[place:])

    return with_argnum


def _with_read_only_cotangent(rule: Rule) -> Rule:
    """Return a user's rule, unable to write to a cotangent that other arguments share.

    What a batch cannot go through is applied to one example after another.
    """

    def protected(g: Any, *kept: Any) -> Any:
        if isinstance(g, np.ndarray):
            g = g.view()
            g.setflags(write=False)
        try:
            return rule(g, *kept)
        except Exception:
            batch = batch_in((g, *kept))
            if batch is None:
                raise
        return batch._apply(rule, (g, *kept))

    return protected
