"""Recording: from the arguments of a call to a tensor whose node remembers what its rules read.

Every call of a tensor ends in :func:`call`, whichever way it came: an operator or method, a ufunc
through ``__array_ufunc__``, any other NumPy function through ``__array_function__``. What the table
does not know is refused by name: nothing is ever detached silently.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any

import numpy as np

from autograd_lite.engine import changes, results
from autograd_lite.engine.arrays import holds_values, like_sequence, values_of
from autograd_lite.engine.modes import mode
from autograd_lite.engine.names import (
    check_numbers,
    name_error,
    name_of,
    name_shapes,
    outermost_function,
)
from autograd_lite.engine.nodes import Node, births
from autograd_lite.engine.results import SMALL
from autograd_lite.engine.table import LATE_RULES, TABLE, Composite, Constant, Plan, Primitive

_NO_KEYWORDS: dict[str, Any] = {}
_MAY_CHANGE = frozenset([np.ndarray, tuple])  # an index that is a tuple may hold arrays
_AS_THEY_ARE = frozenset([float, int, bool, slice, np.float64])
# What holds no array of another kind; tensor.py adds the class of tensors.
KNOWN: set[type] = {*_AS_THEY_ARE, list, str, NoneType, type(...), np.ndarray}
_new = object.__new__


class Recorded:
    """All that recording sees of a tensor: an array, and the node of what computed it, if any."""

    __slots__ = ("__weakref__", "_name", "_node", "_values")
    _values: Any  # not "_data", which masked arrays would take without asking
    _node: Node | None
    _name: str | None


# The class of results: tensor.py, which stands on this module, puts its own here.
Tensor: type[Any] = Recorded


def call(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any] = _NO_KEYWORDS
) -> Any:
    """Apply a function of the table to arrays and tensors, and record it.

    Arrays give arrays; with a tensor among the arguments the result is a tensor.
    """
    entry = TABLE.get(function)
    if entry.__class__ is not Primitive:
        return _call_other(function, entry, args, kwargs)
    if kwargs or entry.binds:
        args = entry.bind(args, kwargs)
    arguments = list(args)
    parents = []
    tracked = exposed = 0  # bit i: argument i requires a gradient; others may write to it
    for i, argument in enumerate(args):
        if isinstance(argument, Tensor):
            arguments[i] = values = argument._values
            if (node := argument._node) is not None:
                parents.append(node)
                tracked |= 1 << i
                if node.exposed:
                    exposed |= 1 << i
            elif not changes.is_own(values):
                exposed |= 1 << i
        elif argument.__class__ in _MAY_CHANGE and not (entry.ufunc and type(argument) is tuple):
            exposed |= 1 << i
        elif argument.__class__ not in _AS_THEY_ARE:
            exposed |= 1 << i
            arguments[i] = _accepted(argument, entry)
    here = mode.get()
    if not tracked or not here.records:
        return _unrecorded(entry, args, arguments)
    try:
        plan = entry.plans[tracked]
    except KeyError:
        plan = entry.plan(tracked)
    values = arguments if plan.simple else entry.settled(arguments)
    try:
        ans = plan.run_bound(*arguments) if kwargs else plan.run(*arguments)
    except Exception as error:
        name_shapes(error, entry.name, arguments)
        raise
    residual = None
    is_exposed = is_large = False
    if not plan.plain:
        ans, residual, is_exposed, is_large = results.own(ans, plan, arguments, exposed)
    saved = plan.keep([*values, ans, residual, *parents]) if plan.sources else ()
    watched = changes.watched(plan, exposed, saved) if exposed & plan.reads else None
    try:
        dtype = ans.dtype
    except AttributeError:
        tensor, node = _several(ans, plan, parents, saved, watched)
    else:
        if dtype.kind != "f":
            raise results.not_real(entry.name, dtype)
        tensor = _new(Tensor)
        tensor._values = ans
        tensor._name = None
        tensor._node = node = _new(Node)
        # What Node(...) does, written out: the call is a tenth of what recording costs.
        node.plan = plan
        node.parents = parents
        node.saved = saved
        node.watched = watched
        node.shape = ans.shape
        node.dtype = dtype
        node.exposed = is_exposed
        node.note = None
        node.birth = next(births)
        if plan.notes and ans.size <= SMALL and not is_large:
            node.note = values if plan.elementwise else ans
    if here.observer is not None:
        here.observer.called(node, entry, values, ans)
    return tensor


def _several(
    ans: Any, plan: Plan, parents: Sequence[Node], saved: Sequence[Any], watched: Any
) -> tuple[Any, Node]:
    """Return a tensor for each of several results, and the node of the call."""
    node = results.node_of_all(ans, plan, parents, saved, watched)
    tensors = [wrap(one, results.part(node, one, i)) for i, one in enumerate(ans)]
    return like_sequence(ans, tensors), node


def _accepted(argument: Any, entry: Primitive) -> Any:
    """Return an argument that is no tensor, number or plain array, as what is computed with."""
    if isinstance(argument, list):  # copied, like what follows: its owner may change it later
        return np.array(argument) if entry.broadcasts else list(argument)
    if entry.ufunc or holds_values(argument.__class__):
        return values_of(argument, entry.name, always=entry.ufunc)
    return argument


def _unrecorded(entry: Primitive, args: Sequence[Any], arguments: Sequence[Any]) -> Any:
    """Return the result alone: an array for arrays, else tensors that require no gradient."""
    try:
        ans = entry.compute(*arguments)
    except Exception as error:
        name_shapes(error, entry.name, arguments)
        raise
    if not any(isinstance(a, Tensor) for a in args):
        return ans
    if (observer := mode.get().observer) is not None:
        observer.called(None, entry, arguments, ans)
    if isinstance(ans, (tuple, list)):
        return like_sequence(ans, [wrap(result, None) for result in ans])
    return wrap(ans, None)


def _call_other(
    function: Callable[..., Any], entry: Any, args: Sequence[Any], kwargs: dict[str, Any]
) -> Any:
    """Apply a function that has no rules of its own."""
    if entry is not None:
        for argument in args:
            if argument.__class__ not in KNOWN:
                args = known(tuple(args), entry.name)
                break
        if kwargs:
            kwargs = {name: known(argument, entry.name) for name, argument in kwargs.items()}
    if isinstance(entry, Composite):
        for name in kwargs:
            if name not in entry.parameters:
                raise TypeError(
                    f"{entry.name}: no derivative rule covers the argument {name}=; "
                    f"leave it out, or compute that part with other functions"
                )
        try:
            return entry.formula(*args, **kwargs)
        except (ValueError, IndexError, TypeError) as error:
            check_numbers(error, entry.name, [*args, *kwargs.values()])
            name_error(error, entry.name)
            raise
    if isinstance(entry, Constant):
        arguments = bare(args)
        try:
            return function(*arguments, **bare(kwargs))
        except TypeError as error:
            check_numbers(error, entry.name, arguments)
            raise
    for library in LATE_RULES.keys() & sys.modules.keys():
        importlib.import_module(LATE_RULES.pop(library))
        return call(function, args, kwargs)
    name = outermost_function(name_of(function))
    raise TypeError(
        f"{name} has no derivative rule; add one with ag.derivative({name}, ...), or call it on "
        f"tensor.data if no derivative is wanted"
    )


# ---------------------------------------------------------------------------- arrays and tensors


def wrap(array: Any, node: Node | None) -> Any:
    """Return a tensor that holds the very array, or a view of it that says it is not the owner."""
    if node is None and changes.is_own(array):
        array = array.view()
    tensor = _new(Tensor)
    tensor._values = array
    tensor._node = node
    tensor._name = None
    return tensor


def known(value: Any, caller: str) -> Any:
    """Return an array of any other kind as an ndarray, also in a tuple, such as an index.

    Those in a list are taken where they are read, each by itself.
    """
    if value.__class__ is tuple and not KNOWN.issuperset(map(type, value)):
        return tuple([known(item, caller) for item in value])
    return value if value.__class__ in KNOWN else values_of(value, caller)


def bare(value: Any) -> Any:
    """Return a value with the tensors in it, also inside lists, tuples and dicts, as arrays."""
    if value.__class__ in _AS_THEY_ARE:
        return value
    if isinstance(value, Tensor):
        return value._values
    if type(value) in (list, tuple):
        return type(value)([bare(item) for item in value])
    if type(value) is dict:
        return {key: bare(item) for key, item in value.items()}
    return value


def node_of(value: Any) -> Node | None:
    """Return the node of a tensor; None for anything else and where no gradient is required."""
    return value._node if isinstance(value, Tensor) else None


def as_tensors(node: Node) -> list[Any]:
    """Return what a node saved, with the arrays that belong to nodes as tensors.

    What the rules are shown in a pullback that is recorded itself.
    """
    plan = node.plan
    assert plan is not None
    nodes = dict(zip(plan.argnums, node.parents))
    variadic = plan.primitive.variadic
    shown = list(node.saved)
    for place, source in enumerate(plan.sources):
        saved = shown[place]
        if source == "ans" and isinstance(node.dtype, tuple):
            parts = [(result, results.part(node, result, i)) for i, result in enumerate(saved)]
            tensors = [result if own is None else wrap(result, own) for result, own in parts]
            shown[place] = like_sequence(saved, tensors)
        elif source == "ans":
            shown[place] = wrap(saved, node)
        elif source == "residual":
            shown[place] = None
        elif source is not None and source == variadic:
            shown[place] = tuple(
                wrap(item, nodes[source + k]) if source + k in nodes else item
                for k, item in enumerate(saved)
            )
        elif source in nodes and (variadic is None or source < variadic):
            shown[place] = wrap(saved, nodes[source])
    return shown
