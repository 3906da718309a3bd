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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from autograd_lite.engine.names import name_of

Rule = Callable[..., Any]
Pick = Callable[[Any], Sequence[Any]]

_ANS, _RESIDUAL = "ans", "residual"
_RESERVED = ("like", "argnum", _ANS, _RESIDUAL)
REQUIRED = inspect.Parameter.empty


class Signature(NamedTuple):
    """What a function takes: positional parameters, perhaps ``*operands``, keyword-only ones."""

    parameters: tuple[str, ...]
    defaults: tuple[Any, ...]  # REQUIRED where there is none
    variadic: int | None  # where *operands stands
    positional: int  # how many parameters may be given by position, *operands counted as one


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What a call keeps and how its node is pulled back, for one choice of tracked arguments."""

    primitive: Primitive
    argnums: tuple[int, ...]  # of the tracked arguments, in order
    keep: Pick  # (*arguments, ans, residual, *parents) -> what is saved
    rules: tuple[tuple[Rule, Pick | None], ...]  # and what each reads of it; None for everything
    sources: tuple[Any, ...]  # of each saved item: an argument's place, "ans", "residual" or None
    arguments: tuple[tuple[int, int], ...]  # place among the saved, and as argument
    reads: int  # bit i: a rule reads argument i, so it must not change
    run: Callable[..., Any]  # computes the result, or (result, residual), of a call by position
    run_bound: Callable[..., Any]  # of what Primitive.bind returned
    leaves_residual: bool
    simple: bool  # the arguments are one for each parameter as they are
    plain: bool  # a ufunc: its result is an array of its own
    elementwise: bool
    selects: bool
    notes: bool  # whether a small result, or its arguments, are kept for graphs alone


class Primitive:
    """A function with derivative rules: one entry of the table.

    What its signature says is read when it is first asked for: of most entries, it never is.
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
        self.given_name = name
        self.ufunc = isinstance(function, np.ufunc)
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

    def __repr__(self) -> str:
        return f"<rules of {self.name}>"

    # ------------------------------------------------------------------------ the signature

    @functools.cached_property
    def name(self) -> str:
        """What messages and graphs call the function."""
        return self.given_name or name_of(self.function)

    @functools.cached_property
    def signature(self) -> Signature:
        """What the function takes."""
        return _signature(self.function)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the function's parameters."""
        return self.signature.parameters

    @property
    def defaults(self) -> tuple[Any, ...]:
        """The defaults of the parameters, REQUIRED where there is none."""
        return self.signature.defaults

    @functools.cached_property
    def variadic(self) -> int | None:
        """The place of ``*operands`` among the parameters, if there are any."""
        return self.signature.variadic

    @functools.cached_property
    def simple(self) -> bool:
        """Whether a call by position gives each parameter its argument: none may be left out."""
        names, defaults, variadic, positional = self.signature
        required = all(default is REQUIRED for default in defaults)
        return required and variadic is None and positional == len(names)

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
    def unread(self) -> tuple[int, ...]:
        """The optional parameters that must stay at their defaults.

        A rule that does not know of an argument would be wrong, silently.
        """
        allowed = self.ignores.union(*self.reads)
        return tuple(
            i
            for i, name in enumerate(self.parameters)
            if self._is_optional(i) and i >= len(self.rules) and name not in allowed
        )

    def _is_optional(self, i: int) -> bool:
        return self.signature.defaults[i] is not REQUIRED

    # ------------------------------------------------------------------------ calls

    def bind(self, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
        """Return the arguments by position, up to the last parameter that is given one.

        Those of ``*operands`` stand one after another; what is taken by keyword alone comes last,
        all of it or nothing.

        Raises
        ------
        TypeError
            If an argument is missing, given twice, or one that the function does not take.
        """
        names, defaults, variadic, positional = self.signature
        self.binds = variadic is not None
        values, left = list(args), len(kwargs)
        for i in range(len(args), positional if variadic is None else variadic):
            if not left and variadic is None:
                return values
            left -= names[i] in kwargs
            values.append(kwargs.get(names[i], defaults[i]))
        if left or variadic is not None:
            for i in range(positional, len(names)):
                left -= names[i] in kwargs
                values.append(kwargs.get(names[i], defaults[i]))
        if left:
            self._refuse(args, kwargs)
        if any(value is REQUIRED for value in values[len(args) :]):
            raise TypeError(f"{self.name}: an argument is missing; it takes {', '.join(names)}")
        return values

    def _refuse(self, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """Raise for an argument that is given twice, or that the function does not take."""
        names = self.parameters
        for name in kwargs:
            if name not in names:
                raise TypeError(f"{self.name} has no argument {name}=; it takes {', '.join(names)}")
            if name in names[: len(args)]:
                raise TypeError(f"{self.name} got its argument {name} twice")
        raise TypeError(f"{self.name} takes its {names[self.variadic or 0]} by position alone")

    @functools.cached_property
    def compute(self) -> Callable[..., Any]:
        """The function, called with what :meth:`bind` returns."""
        return self._by_position(self.function)

    def _by_position(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function without what it takes by keyword alone: given last, or not at all."""
        names, _, _, positional = self.signature
        only_by_keyword = names[positional:]
        if not only_by_keyword:
            return function

        def by_position(*values: Any) -> Any:
            if self.variadic is None and len(values) <= positional:
                return function(*values)
            cut = len(values) - len(only_by_keyword)
            return function(*values[:cut], **dict(zip(only_by_keyword, values[cut:])))

        return by_position

    def _run(self, argnums: tuple[int, ...], bound: bool) -> Callable[..., Any]:
        """Return what computes a recorded call, by position or from what :meth:`bind` returns."""
        run = self.function
        if self.recorded is not None:
            run = functools.partial(self.recorded, argnums)
        return self._by_position(run) if bound else run

    @functools.cached_property
    def _options(self) -> tuple[int, ...]:
        """The optional parameters that have no rule."""
        count = len(self.parameters)
        return tuple(i for i in range(len(self.rules), count) if self._is_optional(i))

    def settled(self, arguments: list[Any]) -> list[Any]:
        """Return what rules may read of the arguments: one for each parameter.

        An array or list given for an option is copied: its owner may change it later.

        Raises
        ------
        TypeError
            If an option is given that no rule reads.
        """
        names, defaults, variadic, positional = self.signature
        if variadic is None:
            values = [*arguments, *defaults[len(arguments) :]]
        else:
            end = len(arguments) - (len(names) - positional)
            values = [*arguments[:variadic], tuple(arguments[variadic:end]), *arguments[end:]]
        given = len(arguments) if variadic is None else len(values)
        for i in self._options:
            if i >= given:
                break
            value = values[i]
            if value is defaults[i]:
                continue
            if i in self.unread:
                raise TypeError(
                    f"{self.name}: no derivative rule covers the argument {names[i]}=; "
                    f"leave it out, or compute that part with other functions"
                )
            if isinstance(value, (list, np.ndarray)):
                values[i] = value.copy()
        return values

    # ------------------------------------------------------------------------ plans

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
        pool: dict[int, int] = {}  # from places in what plan.keep takes to those among the saved
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
            if isinstance(s, int)
            and (s < len(self.rules) or not self._is_optional(s))
            and self.recorded is None
        )
        everything = list(range(len(pool)))
        return Plan(
            self,
            argnums,
            _picker(list(pool)),
            tuple((rule, None if slots == everything else _picker(slots)) for rule, slots in rules),
            sources,
            arguments,
            functools.reduce(
                operator.or_, (1 << s if s != self.variadic else -1 << s for _, s in arguments), 0
            ),
            self._run(argnums, bound=self.variadic is not None),
            self._run(argnums, bound=True),
            self.recorded is not None,
            self.simple,
            self.ufunc and self.recorded is None,
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

    @functools.cached_property
    def parameters(self) -> frozenset[str]:
        """The arguments that the formula takes."""
        return frozenset(inspect.signature(self.formula).parameters)


class Constant(NamedTuple):
    """A function whose result carries no derivative: comparisons, argmax, shapes."""

    function: Callable[..., Any]
    name: str


TABLE: dict[Callable[..., Any], Primitive | Composite | Constant] = {}
"""Every function the engine knows, keyed by the function itself."""

LATE_RULES: dict[str, str] = {}
"""Modules of rules for libraries that may not be there, loaded once the library has been."""


def derivative(
    function: Callable[..., Any],
    *rules: Rule | None,
    ignores: Iterable[str] = (),
    broadcasts: bool | None = None,
    selects: bool = False,
    recorded: Callable[..., Any] | None = None,
    explained: Callable[..., Any] | None = None,
    domain: tuple[float, float] | None = None,
    name: str | None = None,
) -> None:
    """Enter the derivative of a function into the table.

    Parameters
    ----------
    function : callable
        A NumPy function, or any function of arrays; the key of the entry.
    *rules : callable or None
        One rule for each leading argument; ``None`` where the function is not differentiable in
        that argument. See the module's docstring for what a rule may read.
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
    enter(
        function,
        function,
        rules,
        ignores=ignores,
        broadcasts=broadcasts,
        selects=selects,
        recorded=recorded,
        explained=explained,
        domain=domain,
        name=name,
    )


def enter(
    key: Callable[..., Any],
    function: Callable[..., Any],
    rules: Sequence[Rule | None],
    **options: Any,
) -> None:
    """Enter the rules of a function under the key that users call."""
    entry = Primitive(function, rules, **options)
    if not any(rule is not None and is_own(rule) for rule in rules):
        _ = entry.reads  # checks what a user's rules read; this package's have their tests
    TABLE[key] = entry


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


def _signature(function: Callable[..., Any]) -> Signature:
    if isinstance(function, np.ufunc):
        count = function.nin
        return Signature(("x", "y", "z")[:count], (REQUIRED,) * count, None, count)
    if function is np.where:  # has no signature before NumPy 2.4
        return Signature(("condition", "x", "y"), (REQUIRED,) * 3, None, 3)
    parameters = [
        p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD
    ]
    kinds = [p.kind for p in parameters]
    several = inspect.Parameter.VAR_POSITIONAL
    return Signature(
        tuple(p.name for p in parameters),
        tuple(p.default for p in parameters),
        kinds.index(several) if several in kinds else None,
        sum(kind is not inspect.Parameter.KEYWORD_ONLY for kind in kinds),
    )


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
    if first != "g":
        raise TypeError(f"the rule of {primitive.name} must take g first, not {first}")
    return tuple(names)


def _picker(places: Sequence[int]) -> Pick:
    """Return a fast function from a sequence to those of its items."""
    if len(places) > 1:
        return itemgetter(*places)
    # itemgetter(i) would return a bare item; a slice keeps it in a sequence.
    return itemgetter(slice(places[0], places[0] + 1) if places else slice(0))


def _with_argnum(rule: Rule, place: int, argnum: int) -> Rule:
    def with_argnum(g: Any, *kept: Any) -> Any:
        return rule(g, *kept[:place], argnum, *kept[place:])

    return with_argnum


def _with_read_only_cotangent(rule: Rule) -> Rule:
    """Return a user's rule, unable to write to a cotangent that other arguments share."""

    def protected(g: Any, *kept: Any) -> Any:
        if isinstance(g, np.ndarray):
            g = g.view()
            g.setflags(write=False)
        return rule(g, *kept)

    return protected
