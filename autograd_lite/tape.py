"""The tape: a table of derivative rules, the nodes that recording makes, and the pullback.

Vocabulary
----------
cotangent
    The derivative of one scalar with respect to a value; it has the value's shape and dtype.
rule
    A function that turns the cotangent of a result into that of one argument. It is written once,
    with operators, array methods and ufuncs, and runs on bare arrays and on tensors alike. The
    names of its parameters say what it reads, and only what is read is kept alive:

    ========== =====================================================================
    ``g``      the cotangent of the result (always the first parameter)
    ``ans``    the result
    ``like``   an object with the ``shape``, ``ndim``, ``size`` and ``dtype`` of the argument
    ``argnum`` the position of the argument, for functions that take ``*operands``
    ``residual`` what the function worked out beside its result (see :func:`derivative`)
    otherwise  an argument of the function, by its name (``x`` and ``y`` for ufuncs)
    ========== =====================================================================
node
    One recorded call: the nodes of its differentiable arguments (its parents) and what the rules
    read. A node never refers to the tensor it belongs to, so a graph has no reference cycles
    and is freed at once when its last tensor goes.

Invariants
----------
Parents are older than their children, so creation order is a topological order. The engine, never a
rule, sums what broadcasting repeated, casts to the argument's dtype, adds up the contributions of
several paths, and skips what does not lead to a target. It never writes into an array that it did
not allocate itself. This module knows no tensors: the ``see`` argument of :func:`pullback` decides
whether rules are shown bare arrays or tensors, and that is all there is to higher derivatives.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple, Protocol, cast

import numpy as np

Rule = Callable[..., Any]
Pick = Callable[[Any], Sequence[Any]]

_ANS, _RESIDUAL = "ans", "residual"
_RESERVED = ("like", "argnum", _ANS, _RESIDUAL)
_REQUIRED, _REQUIRED_KEYWORD = object(), object()
births = itertools.count()
_birth = attrgetter("birth")


# ---------------------------------------------------------------------------- the table of rules


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
    elementwise: bool
    selects: bool
    views: bool  # whether the result may be a view
    notes: bool  # whether a small result, or its arguments, are kept for graphs alone


class Primitive:
    """A function with derivative rules: one entry of the table."""

    def __init__(
        self,
        function: Callable[..., Any],
        rules: Sequence[Rule | None],
        *,
        ignores: Iterable[str],
        broadcasts: bool,
        selects: bool,
        recorded: Callable[..., Any] | None,
        explained: Callable[..., Any] | None,
        domain: tuple[float, float] | None,
        name: str | None,
    ) -> None:
        self.function = function
        self.name = name or name_of(function)
        self.broadcasts = broadcasts
        self.ufunc = isinstance(function, np.ufunc)
        self.elementwise = self.ufunc and function.signature is None  # type: ignore[attr-defined]
        self.selects = selects
        self.recorded = recorded
        self.explained = explained
        self.domain = domain
        self.parameters, self.defaults, self.variadic = _signature(function)
        self.simple = self.variadic is None and all(d is _REQUIRED for d in self.defaults)
        self.index = {name: i for i, name in enumerate(self.parameters)}
        self.rules = tuple(rules)
        if len(rules) > len(self.parameters):
            raise TypeError(
                f"{len(rules)} rules are given for {self.name}, which has "
                f"{len(self.parameters)} arguments"
            )
        self.ignores = frozenset(ignores)
        self.plans: dict[int, Plan] = {}
        self._reads = tuple(_reads(self, rule) for rule in self.rules)
        allowed = self.ignores.union(*self._reads)
        # An optional argument that no rule reads must stay at its default: a rule that does not
        # know of it would be wrong, silently.
        self.refused = frozenset(
            name
            for i, name in enumerate(self.parameters)
            if self.defaults[i] not in (_REQUIRED, _REQUIRED_KEYWORD)
            and i >= len(self.rules)
            and name not in allowed
        )

    def __repr__(self) -> str:
        return f"<rules of {self.name}>"

    def bind(self, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
        """Return the argument of each parameter, in order, defaults filled in.

        Raises
        ------
        TypeError
            If an optional argument is given that no rule reads.
        """
        if self.simple:
            return list(args)
        values = list(self.defaults)
        if self.variadic is None:
            values[: len(args)] = args
        else:
            values[: self.variadic] = args[: self.variadic]
            values[self.variadic] = tuple(args[self.variadic :])
        for name, value in kwargs.items():
            if name not in self.index:
                known = ", ".join(self.parameters)
                raise TypeError(f"{self.name} has no argument {name}=; it takes {known}")
            values[self.index[name]] = _own(value)
        for i in range(len(self.rules), len(args) if self.variadic is None else 0):
            values[i] = _own(values[i])
        for name in self.refused:
            i = self.index[name]
            if values[i] is not self.defaults[i]:
                raise TypeError(
                    f"{self.name}: no derivative rule covers the argument {name}=; "
                    f"leave it out, or compute that part with other functions"
                )
        return values

    def plan(self, tracked: int) -> Plan:
        """Return the plan for the tracked arguments, the bits of a number; made on first use."""
        plan = self.plans.get(tracked)
        if plan is None:
            plan = self.plans[tracked] = self._make_plan(tracked)
        return plan

    def _make_plan(self, tracked: int) -> Plan:
        argnums = tuple(i for i in range(tracked.bit_length()) if tracked >> i & 1)
        arity = len(self.parameters)
        saved: dict[tuple[str, int], int] = {}  # (what, which) -> its place in the saved items
        pool: list[int] = []  # its place in (*arguments, ans, residual, *parents)
        sources: list[Any] = []
        rules: list[tuple[Rule, list[int]]] = []
        for k, argnum in enumerate(argnums):
            which = argnum if self.variadic is None else min(argnum, self.variadic)
            rule = self.rules[which] if which < len(self.rules) else None
            if rule is None:
                name = self.parameters[which]
                raise TypeError(
                    f"{self.name} has no derivative with respect to its argument {name}; "
                    f"pass the values alone (tensor.data), or add the rule with derivative(...)"
                )
            if not (rule.__module__ or "").startswith(__package__):
                rule = _with_read_only_cotangent(rule)
            slots: list[int] = []
            for name in self._reads[which]:
                if name == "argnum":
                    rule = _with_argnum(rule, self._reads[which].index(name), argnum)
                    continue
                key = (name, k if name == "like" else 0)
                if key not in saved:
                    saved[key] = len(pool)
                    if name == "like":
                        pool.append(arity + 2 + k)
                        sources.append(None)
                    elif name in (_ANS, _RESIDUAL):
                        pool.append(arity + (name == _RESIDUAL))
                        sources.append(name)
                    else:
                        pool.append(self.index[name])
                        sources.append(self.index[name])
                slots.append(saved[key])
            rules.append((rule, slots))
        arguments = tuple(
            (i, s)
            for i, s in enumerate(sources)
            if isinstance(s, int)
            and (s < len(self.rules) or self.defaults[s] is _REQUIRED)
            and self.recorded is None
        )
        everything = list(range(len(pool)))
        return Plan(
            self,
            argnums,
            _picker(pool),
            tuple((rule, None if slots == everything else _picker(slots)) for rule, slots in rules),
            tuple(sources),
            arguments,
            sum(1 << s if s != self.variadic else -1 << s for _, s in arguments),
            self.elementwise,
            self.selects,
            not self.ufunc,
            not self.elementwise or any(i not in (*argnums, *sources) for i in range(arity)),
        )


class Composite(NamedTuple):
    """A function whose derivative follows from a formula in other functions."""

    function: Callable[..., Any]
    formula: Callable[..., Any]
    name: str
    parameters: frozenset[str]


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
    is_ufunc = isinstance(function, np.ufunc)
    TABLE[function] = Primitive(
        function,
        rules,
        ignores=ignores,
        broadcasts=is_ufunc if broadcasts is None else broadcasts,
        selects=selects,
        recorded=recorded,
        explained=explained,
        domain=domain,
        name=name,
    )


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
    parameters = frozenset(inspect.signature(formula).parameters)
    TABLE[function] = Composite(function, formula, name_of(function), parameters)


def name_of(function: Callable[..., Any]) -> str:
    """Return a function's name as a user would write it: ``np.linalg.norm``, ``ag.softmax``."""
    function = _ufunc(function) or function
    name = getattr(function, "__name__", repr(function))
    module = getattr(function, "__module__", None)
    if isinstance(function, np.ufunc):
        of_scipy = _ufunc(getattr(sys.modules.get("scipy.special"), name, None)) is function
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


def _ufunc(function: Any) -> Any:
    """Return the ufunc that a function is, or is wrapped around; else None."""
    inner = getattr(function, "__wrapped__", function)
    return inner if isinstance(inner, np.ufunc) else None


def _own(value: Any) -> Any:
    """Return a copy of a list or array, which its owner may change later."""
    return value.copy() if isinstance(value, (list, np.ndarray)) else value


def _signature(
    function: Callable[..., Any],
) -> tuple[tuple[str, ...], tuple[Any, ...], int | None]:
    """Return a function's parameter names, their defaults, and where ``*operands`` stands."""
    if ufunc := _ufunc(function):
        return ("x", "y", "z")[: ufunc.nin], (_REQUIRED,) * ufunc.nin, None
    if function is np.where:  # has no signature before NumPy 2.4
        return ("condition", "x", "y"), (_REQUIRED, None, None), None
    names: list[str] = []
    defaults: list[Any] = []
    variadic = None
    for i, (name, parameter) in enumerate(inspect.signature(function).parameters.items()):
        if parameter.kind is parameter.VAR_POSITIONAL:
            variadic = i
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        default = parameter.default
        if default is parameter.empty:
            default = _REQUIRED_KEYWORD if parameter.kind is parameter.KEYWORD_ONLY else _REQUIRED
        names.append(name)
        defaults.append(default)
    return tuple(names), tuple(defaults), variadic


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


# ---------------------------------------------------------------------------- nodes


class Node:
    """One recorded call, or a leaf: a variable that nothing recorded produced.

    A node has the shape and dtype of its value, so that it also serves rules as ``like``.
    """

    __slots__ = (
        "__weakref__",
        "arguments",
        "birth",
        "dtype",
        "exposed",
        "grad",
        "name",
        "origin",
        "overwritten",
        "parents",
        "plan",
        "prints",
        "returned_by",
        "saved",
        "shape",
        "value",
    )
    grad: Any  # of a leaf alone, as the next one
    overwritten: int  # when: comparable to a birth
    # For graphs, each unset until there is something to say:
    name: str | None
    value: Any  # that of a leaf; a small result that is not elementwise
    arguments: Sequence[Any]  # of a small elementwise result, where nothing else keeps them
    origin: tuple[str, int]  # the user's file and line
    returned_by: tuple[Any, int, Any]  # a module, the birth at which its call began, a call within

    def __init__(
        self,
        plan: Plan | None,
        parents: Sequence[Node],
        saved: Sequence[Any],
        prints: Any,
        shape: Any,
        dtype: Any,
        exposed: bool,
    ) -> None:
        self.plan = plan
        self.parents = parents
        self.saved = saved
        self.prints = prints
        self.shape = shape
        self.dtype = dtype
        self.exposed = exposed
        self.birth = next(births)

    @property
    def ndim(self) -> int:
        """The number of dimensions of the value."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements of the value."""
        size = 1
        for length in self.shape:
            size *= length
        return size


def leaf(value: Any, name: str | None = None, *, exposed: bool = True) -> Node:
    """Return the node of a variable: no parents, and a place for its gradient."""
    node = Node(None, (), (), None, value.shape, value.dtype, exposed)
    node.value = value
    node.grad = None
    node.name = name
    node.overwritten = -1
    return node


class Outputs:
    """The cotangent of a call with several results: a cotangent for some of them.

    Indexing and iterating give one cotangent per result, zeros where no path came from it;
    ``parts`` holds those that a path came from, by number.
    """

    __slots__ = ("dtype", "parts", "shape")

    def __init__(self, parts: dict[int, Any], like: Node) -> None:
        self.parts = parts
        self.shape = like.shape  # one shape and dtype for each result
        self.dtype = like.dtype

    def __add__(self, other: Outputs) -> Outputs:
        total = Outputs(dict(self.parts), self)  # type: ignore[arg-type]
        for i, part in other.parts.items():
            total.parts[i] = total.parts[i] + part if i in total.parts else part
        return total

    def __len__(self) -> int:
        return len(self.shape)

    def __iter__(self) -> Iterator[Any]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, i: int) -> Any:
        return self.parts[i] if i in self.parts else np.zeros(self.shape[i], self.dtype[i])


def _result(outputs: Sequence[Any], number: int) -> Any:
    """Return one of several results: the primitive through which each result is recorded."""
    return outputs[number]


derivative(_result, lambda g, like, number: Outputs({number: g}, like))


def part(node: Node, result: Any, number: int) -> Node | None:
    """Return the node of one of a call's several results; None for integers."""
    if result.dtype.kind != "f":
        return None
    plan = cast(Primitive, TABLE[_result]).plan(1)
    kept = plan.keep((None, number, None, None, node))
    own = Node(plan, (node,), kept, None, result.shape, result.dtype, result.base is not None)
    own.value = result
    return own


def like_sequence(model: Any, items: list[Any]) -> Any:
    """Return items as the kind of sequence that the model is: list, tuple or named tuple."""
    return model._make(items) if hasattr(model, "_make") else type(model)(items)


# ---------------------------------------------------------------------------- changed arrays

_EXACT = 1 << 20  # bytes up to which a fingerprint is the content: a copy is the quickest, there


def fingerprint(array: Any) -> Any:
    """Return what compares equal as long as an array's content is the same.

    Up to 1 MiB that is the content, bit for bit. Beyond, it is the sums, modulo 2**64, of the
    columns of two tables of its 64-bit words, 2,039 and 2,029 wide. Any change of one word shows;
    so do two words that change places, unless they are a multiple of both widths apart, and rows
    that do.
    """
    return bytearray(_content(array))


def _content(array: Any) -> Any:
    """Return a fingerprint's bytes, not copied where they are the array's own."""
    if array.nbytes <= _EXACT:
        return array.data if array.flags.c_contiguous else array.tobytes()
    raw = array.ravel(order="K").view(np.uint8)
    words = raw[: len(raw) // 8 * 8].view(np.uint64)
    parts = [raw[len(words) * 8 :]]
    for width in (2039, 2029):  # primes: no rows or columns of an array fall in line with both
        whole = len(words) // width * width
        parts += [words[:whole].reshape(-1, width).sum(axis=0), words[whole:]]
    return b"".join(part.tobytes() for part in parts)


def is_frozen(array: Any) -> bool:
    """Whether an array and whatever it is a view of are read-only."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return array is None


def changed_argument(node: Node) -> tuple[Any, int] | None:
    """Return an array that a rule reads and that changed since the call, and its argument."""
    for array, shape, before, place in node.prints or ():
        same = is_frozen(array) if before is None else before == _content(array)
        if not same or array.shape != shape:
            return array, place
    return None


def _check_unchanged(node: Node) -> None:
    if changed := changed_argument(node):
        array, place = changed
        primitive = node.plan.primitive  # type: ignore[union-attr]
        raise RuntimeError(
            f"{primitive.name}: its argument {primitive.parameters[place]}, an array of shape "
            f"{array.shape}, was changed between the call and the computation of the gradient, "
            f"which would be wrong; compute the gradient first, or pass {primitive.name} a copy"
        )


_latest_overwrite = -1


def overwrite(leaf: Node) -> None:
    """Mark a leaf's array as about to be written to: rules of older nodes may not read it again."""
    global _latest_overwrite
    leaf.overwritten = _latest_overwrite = next(births)


def _check_not_overwritten(nodes: Sequence[Node]) -> None:
    """Refuse nodes, oldest first, that read a leaf's array before it was last written to."""
    for node in nodes:
        if node.plan is not None:
            if node.birth >= _latest_overwrite:
                return
            break
    for node in nodes:
        plan = node.plan
        for argnum, parent in zip(plan.argnums if plan else (), node.parents):
            read = plan.reads >> argnum & 1  # type: ignore[union-attr]
            if read and parent.plan is None and parent.overwritten > node.birth:
                name = plan.primitive.name  # type: ignore[union-attr]
                raise RuntimeError(
                    f"{name}: a leaf of shape {parent.shape} that it read was updated in place "
                    f"(by an optimiser's step) after the call, so the gradient would be wrong; "
                    f"compute the gradient before the step, or the loss again after it"
                )


# ---------------------------------------------------------------------------- the pullback


# From a node, the number of a parent, the node's cotangent, and what the rule made of it for the
# parent, returns what is to be added to the parent's cotangent once it is fitted.
After = Callable[["Node", int, Any, Any], Any]


class Watcher(Protocol):
    """What sees every step of the pullbacks in its context."""

    def walk(self, before: After | None) -> After:
        """Begin a walk, or begin it again; return what is called after each rule.

        It also does what was to be done ``before``, if anything.
        """

    def end(self) -> None:
        """End the pullback."""


watching: ContextVar[Watcher | None] = ContextVar("autograd_lite_watching", default=None)


def reachable(root: Node, targets: Iterable[Node] = ()) -> list[Node]:
    """Return the nodes that ``root`` depends on, oldest first, not looking beyond ``targets``."""
    stop = set(targets)
    seen = {root}
    found = [root]
    stack = [root]
    while stack:
        node = stack.pop()
        if stop and node in stop:
            continue
        for parent in node.parents:
            if parent not in seen:
                seen.add(parent)
                found.append(parent)
                stack.append(parent)
    found.reverse()  # now all but in order, which is quick to sort
    found.sort(key=_birth)
    return found


@np.errstate(all="ignore")
def pullback(
    root: Node,
    g: Any,
    targets: Iterable[Node] | None = None,
    see: Callable[[Any, Node], Any] | None = None,
) -> dict[Node, Any]:
    """Return the cotangents of the targets, given that of the root.

    Parameters
    ----------
    root : Node
        The node of the value that is differentiated.
    g : array or tensor
        Its cotangent: the root's shape and dtype.
    targets : iterable of Node, optional
        Where to stop; by default every leaf. A target that the root does not depend on is
        absent from the result.
    see : callable, optional
        ``see(array, node)`` returns what a rule is shown in place of a saved array that belongs to
        a node. By default rules see the bare arrays.

    Notes
    -----
    No path leads to what a function that selects did not take, nor from where an array ``g`` is
    zero. A cotangent of zero that a rule multiplies by nan or inf there is zero still: when the
    result holds a nan and a selection took part, the walk is repeated with such products set to
    zero.
    """
    ends = frozenset(targets or ())
    nodes = reachable(root, ends)
    wanted: set[Node] | None = None
    if targets is not None:
        wanted = set(ends)
        for node in nodes:
            if not wanted.isdisjoint(node.parents):
                wanted.add(node)
    _check_not_overwritten(nodes)
    nodes.reverse()
    watcher = watching.get()
    try:
        after = watcher.walk(None) if watcher else None
        found, selected = _walk(nodes, root, g, ends, wanted, see, after)
        if (selected or root.shape) and any(_has_nan(d) for d in found.values()):
            start = np.ones(root.shape, root.dtype) if see else (g != 0).astype(root.dtype)
            masked = _masked(nodes, root, start, ends, wanted)
            after = watcher.walk(masked) if watcher else masked
            found, _ = _walk(nodes, root, g, ends, wanted, see, after)
    finally:
        if watcher:
            watcher.end()
    return found


def _walk(
    nodes: Sequence[Node],
    root: Node,
    g: Any,
    ends: frozenset[Node],
    wanted: set[Node] | None,
    see: Callable[[Any, Node], Any] | None,
    after: After | None,
) -> tuple[dict[Node, Any], bool]:
    """Return the cotangents of the ends, and whether a function that selects took part."""
    cotangents: dict[Node, Any] = {root: g}
    owned: set[Node] = set()  # whose cotangent is a sum allocated here, so it may be added into
    found: dict[Node, Any] = {}
    selected = False
    for node in nodes:
        g = cotangents.pop(node, None)
        if g is None:
            continue
        plan = node.plan
        if plan is None or (ends and node in ends):
            found[node] = g
            continue
        if node.prints is not None:
            _check_unchanged(node)
        if plan.selects:
            selected = True
        saved = node.saved if see is None else _shown(node, plan, see)
        parents = node.parents
        for k, (rule, pick) in enumerate(plan.rules):
            parent = parents[k]
            if wanted is not None and parent not in wanted:
                continue
            d = rule(g, *saved) if pick is None else rule(g, *pick(saved))
            if after is not None:
                d = after(node, k, g, d)
            try:
                if d.shape != parent.shape or d.dtype is not parent.dtype:
                    d = fitted(d, parent, plan.primitive)
            except AttributeError:
                raise _no_array(d, plan.primitive) from None
            if parent not in cotangents:
                cotangents[parent] = d
            elif parent in owned:
                cotangents[parent] += d
            else:
                cotangents[parent] = cotangents[parent] + d
                owned.add(parent)
    return found, selected


def _shown(node: Node, plan: Plan, see: Callable[[Any, Node], Any]) -> list[Any]:
    """Return what a node saved, the arrays that belong to nodes shown through ``see``."""
    nodes = dict(zip(plan.argnums, node.parents))
    variadic = plan.primitive.variadic
    shown = list(node.saved)
    for place, source in enumerate(plan.sources):
        if source == _ANS and isinstance(node.dtype, tuple):
            shown[place] = like_sequence(
                shown[place],
                [
                    result if (own := part(node, result, i)) is None else see(result, own)
                    for i, result in enumerate(shown[place])
                ],
            )
        elif source == _ANS:
            shown[place] = see(shown[place], node)
        elif source == _RESIDUAL:
            shown[place] = None
        elif source is not None and source == variadic:
            shown[place] = tuple(
                see(item, nodes[source + k]) if source + k in nodes else item
                for k, item in enumerate(shown[place])
            )
        elif source in nodes and (variadic is None or source < variadic):
            shown[place] = see(shown[place], nodes[source])
    return shown


def _masked(
    nodes: Sequence[Node], root: Node, start: Any, ends: frozenset[Node], wanted: set[Node] | None
) -> After:
    """Return what sets to zero the contributions, or parts of them, to which no path leads.

    To find out where, marks are pulled back from ``start``, zero where there is no path. Only a
    function that selects is told the values it saw. An elementwise one hands its mark on, and any
    other rule is shown random numbers, so that it is its structure that makes a mark zero.
    """
    marks: dict[Node, Any] = {root: start}
    reached: dict[tuple[Node, int], Any] = {}
    rng = np.random.default_rng(0)

    def random(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return like_sequence(value, [random(item) for item in value])
        if getattr(getattr(value, "dtype", None), "kind", "") != "f":
            return value
        return rng.uniform(1, 2, value.shape).astype(value.dtype)

    for node in nodes:
        mark, plan = marks.pop(node, None), node.plan
        if mark is None or plan is None or node in ends:
            continue
        saved = node.saved if plan.selects else random(tuple(node.saved))
        for k, ((rule, pick), parent) in enumerate(zip(plan.rules, node.parents)):
            if wanted is not None and parent not in wanted:
                continue
            if plan.elementwise and not plan.selects:
                d = sum(mark) if isinstance(mark, Outputs) else mark
            elif plan.primitive.recorded is not None:
                d = np.full(parent.shape, np.any(mark), parent.dtype)
            else:
                d = rule(mark, *(saved if pick is None else pick(saved)))
            if not isinstance(d, Outputs):
                d = reached[node, k] = np.abs(d)
            d = fitted(d, parent, plan.primitive)
            marks[parent] = marks[parent] + d if parent in marks else d

    def masked(node: Node, k: int, g: Any, d: Any) -> Any:
        mark = reached.get((node, k))
        return d if mark is None or mark.all() else np.where(mark == 0, 0, d)

    return masked


def _no_array(d: Any, primitive: Primitive) -> TypeError:
    name = type(d).__name__
    return TypeError(f"the derivative rule of {primitive.name} returned {name}, not an array")


def fitted(d: Any, like: Node, primitive: Primitive) -> Any:
    """Return a cotangent in a node's shape and dtype.

    Summed over the axes that broadcasting added or stretched.
    """
    extra = len(d.shape) - len(like.shape)
    if primitive.broadcasts and extra >= 0:
        if extra:
            d = _sum_of_leading(d, extra)
        if d.shape != like.shape:
            stretched = (i for i, n in enumerate(like.shape) if n == 1 and d.shape[i] != 1)
            d = d.sum(axis=tuple(stretched), keepdims=True)
    if d.shape != like.shape:
        raise ValueError(
            f"the derivative rule of {primitive.name} returned a cotangent of shape "
            f"{tuple(d.shape)} for an argument of shape {tuple(like.shape)}"
        )
    if d.dtype == like.dtype:
        return d
    if d.dtype.kind == "c":
        raise TypeError(f"the derivative rule of {primitive.name} returned complex numbers")
    return d.astype(like.dtype)


def _sum_of_leading(d: Any, count: int) -> Any:
    """Return the sum over so many leading axes."""
    shape = d.shape[count:]
    if not shape or d.__class__ is not np.ndarray or d.dtype.char not in "fd":
        return d.sum(axis=tuple(range(count)))
    # By BLAS: up to ten times as fast as NumPy's sum of narrow rows, and half its rounding error.
    rows = math.prod(d.shape[:count])
    ones = _few_ones(rows, d.dtype) if rows <= 4096 else np.ones(rows, d.dtype)
    return ones.dot(d.reshape(rows, math.prod(shape))).reshape(shape)


_few_ones = functools.lru_cache(maxsize=8)(np.ones)


def _has_nan(d: Any) -> bool:
    total = d.sum()
    return bool(total != total)
