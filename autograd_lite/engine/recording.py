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
from autograd_lite.engine.arrays import batch_in, holds_values, kind, like_sequence, values_of
from autograd_lite.engine.modes import mode
from autograd_lite.engine.names import (
    check_numbers,
    name_error,
    name_of,
    name_shapes,
    outermost_function,
)
from autograd_lite.engine.nodes import Node, births
from autograd_lite.engine.places import called, called_by_the_user
from autograd_lite.engine.results import SMALL
from autograd_lite.engine.table import LATE_RULES, TABLE, Composite, Constant, Plan, Primitive

_NO_KEYWORDS: dict[str, Any] = {}
_NUMBERS = frozenset([float, int, bool, slice, np.float64])  # and others that nobody can change
# What holds no array of another kind; tensor.py adds the class of tensors.
KNOWN: set[type] = {*_NUMBERS, list, str, NoneType, type(...), np.ndarray}
_WRITING = (np.copyto, np.put, np.place, np.putmask, np.put_along_axis, np.fill_diagonal)
_SEQUENCES = (list, tuple)
_new = object.__new__

# NumPy blames a division by zero, an overflow and the like on the line of Python that called it,
# which would be one of this module. A registry that is no dict makes such a warning a TypeError, at
# no cost where there is none, and the call is made again as if from the user's line: see _again().
# Empty, and a list: what resets all registries leaves what is false alone, or calls its clear().
__warningregistry__: list[None] = []


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
    __tracebackhide__ = True
    entry = TABLE.get(function)
    if entry.__class__ is not Primitive:
        return _call_other(function, entry, args, kwargs)
    if bound := kwargs or entry.binds:
        args, bound = entry.bind(args, kwargs), kwargs or entry.binds
    arguments, parents = [], []
    # Of each argument a bit: it requires a gradient; others may write to it.
    tracked, exposed, bit = 0, 0, 1
    for argument in args:
        if isinstance(argument, Tensor):
            values = argument._values
            if (node := argument._node) is not None:
                parents.append(node)
                tracked |= bit
                if node.exposed:
                    exposed |= bit
            elif not changes.is_own(values):
                exposed |= bit
            arguments.append(values)
        elif argument.__class__ in _NUMBERS:
            arguments.append(argument)
        else:
            exposed |= bit
            ready = argument.__class__ in entry.kept
            arguments.append(argument if ready else _taken(argument, entry, args, bit))
        bit <<= 1
    here = mode.get()
    if not tracked or not here.records:
        return _unrecorded(entry, args, arguments, entry.compute if bound else entry.function)
    plan = entry.plans.get(tracked) or entry.plan(tracked)
    values = arguments if plan.simple else entry.settled(arguments)
    try:
        ans = plan.run_bound(*arguments) if bound else plan.run(*arguments)
    except Exception as error:
        ans = _again(entry, plan.run_bound if bound else plan.run, arguments, error)
    residual = is_exposed = is_large = None
    if not plan.plain:
        ans, residual, is_exposed, is_large = results.own(ans, plan, arguments, exposed)
    saved = plan.keep(values, ans, residual, parents) if plan.sources else ()
    watch = exposed & (plan.reads | tracked)
    watched = changes.watched(plan, exposed, saved, arguments) if watch else None
    if not plan.plain and not hasattr(ans, "dtype"):
        return _several(ans, plan, parents, saved, watched, values)
    tensor, node = _new(Tensor), _new(Node)
    # What Node(...) does, written out: the call is a twelfth of what recording costs.
    node.plan, node.parents, node.saved = plan, parents, saved
    node.watched, node.shape, node.dtype = watched, ans.shape, ans.dtype
    node.exposed, node.note, node.birth = is_exposed, None, next(births)
    tensor._values, tensor._node, tensor._name = ans, node, None
    if node.dtype.kind != "f":
        return results.plain(entry, ans)
    if plan.notes and ans.size <= SMALL and not is_large:
        node.note = values if plan.elementwise else ans
    for observer in here.observers:
        observer.called(node, entry, values, ans)
    return tensor


def _again(
    entry: Primitive, run: Callable[..., Any], arguments: Sequence[Any], error: Exception
) -> Any:
    """Return what a call computes that raised: for want of a registry of warnings, or of a way.

    A batch that found no way through the function hands it one example after another.
    """
    try:
        if isinstance(error, TypeError) and "registry" in str(error):
            return called_by_the_user(run, arguments)
        batch = batch_in(arguments)
        if batch is None:
            raise error
        own = entry.signature
        by_name = own.variadic is not None or len(arguments) > own.positional
        ans = batch._apply(entry.compute if by_name else entry.function, arguments)
        alone = entry.recorded is None or run in (entry.compute, entry.function)
        return ans if alone else (ans, None)
    except Exception as named:
        if named.__context__ is error:
            named.__context__ = None
        name_shapes(named, entry.name, arguments)
        raise


def _several(
    ans: Any,
    plan: Plan,
    parents: Sequence[Node],
    saved: Sequence[Any],
    watched: Any,
    values: Sequence[Any],
) -> Any:
    """Return a tensor for each of several results, parts of one node."""
    node = results.node_of_all(ans, plan, parents, saved, watched)
    for observer in mode.get().observers:
        observer.called(node, plan.primitive, values, ans)
    return like_sequence(ans, [wrap(one, results.part(node, one, i)) for i, one in enumerate(ans)])


def _taken(argument: Any, entry: Primitive, args: Sequence[Any], bit: int) -> Any:
    """Return an argument that is no tensor, number or plain array as what is computed with."""
    if isinstance(argument, list) and entry.broadcasts and bit >> len(entry.rules) == 0:
        return np.array(argument, like=kind(*args))  # an array, no option
    if argument.__class__ in (list, dict):
        return _copied(argument)
    if not (entry.ufunc or holds_values(argument.__class__)):
        entry.kept = (*entry.kept, argument.__class__)  # no array: not asked again
        return argument
    values = values_of(argument, entry.name, always=entry.ufunc)
    return values if values is argument else np.asarray(values, like=kind(*args))


def _copied(value: Any) -> Any:
    """Return a list or dictionary, the arrays in it copied: its owner may change them later."""
    if value.__class__ in (list, tuple):
        return value.__class__(map(_copied, value))
    if value.__class__ is dict:
        return {key: _copied(item) for key, item in value.items()}
    return value.copy() if value.__class__ is np.ndarray else value


def _unrecorded(
    entry: Primitive, args: Sequence[Any], arguments: Sequence[Any], run: Callable[..., Any]
) -> Any:
    """Return the result alone: an array for arrays, else tensors that require no gradient."""
    try:
        ans = run(*arguments)
    except Exception as error:
        ans = _again(entry, run, arguments, error)
    for argument in args:
        if isinstance(argument, Tensor):
            break
    else:
        return ans
    return _unconnected(entry, arguments, ans)


def plainly(
    entry: Any, run: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> Any:
    """Return what NumPy makes of the values, errors included: where no gradient is asked for."""
    __tracebackhide__ = True
    arguments, options = [bare(known(a, entry.name)) for a in args], bare(kwargs)
    try:
        ans = called(run, arguments, options)
    except Exception as error:
        name_error(error, entry.name)
        raise
    if options.get("out") is not None:
        return ans  # which is the caller's own
    if mode.get().observers and entry.variadic is None:
        left = entry.parameters[len(arguments) :]
        arguments = [*arguments[: len(entry.parameters)], *map(options.get, left)]
    return _unconnected(entry, arguments, ans)


def _unconnected(entry: Any, arguments: Sequence[Any], ans: Any) -> Any:
    """Return a result as tensors that require no gradient."""
    for observer in mode.get().observers:
        observer.called(None, entry, arguments, ans)
    if isinstance(ans, (tuple, list)):
        return like_sequence(
            ans, [wrap(one, None) if hasattr(one, "dtype") else one for one in ans]
        )
    return wrap(ans, None) if hasattr(ans, "dtype") else ans


def _call_other(
    function: Callable[..., Any], entry: Any, args: Sequence[Any], kwargs: dict[str, Any]
) -> Any:
    """Apply a function that has no rules of its own."""
    __tracebackhide__ = True
    if entry is not None:
        for argument in args:
            if argument.__class__ not in KNOWN:
                args = known(tuple(args), entry.name)
                break
        if kwargs:
            kwargs = {name: known(argument, entry.name) for name, argument in kwargs.items()}
    if isinstance(entry, Composite):
        if not is_differentiated(args, kwargs) and _of_numpy((*args, *kwargs.values())):
            return plainly(entry, function, args, kwargs)
        given = args, kwargs
        try:
            if kwargs or len(args) not in entry.direct:
                args, kwargs = entry.bind(args, kwargs)
            return called(entry.formula, args, kwargs)
        except (ValueError, IndexError, TypeError, ZeroDivisionError) as error:
            check_numbers(error, entry.name, [*args, *kwargs.values()])
            if "NoneType" in str(error) or not str(error).startswith("np."):
                plainly(entry, function, *given)  # where NumPy raises too, its own error
            name_error(error, entry.name)
            raise
    if isinstance(entry, Constant):
        arguments = bare(tuple(args))
        try:
            return called(function, arguments, bare(kwargs))
        except TypeError as error:
            check_numbers(error, entry.name, arguments)
            raise
    for library in LATE_RULES.keys() & sys.modules.keys():
        importlib.import_module(LATE_RULES.pop(library))
        return call(function, args, kwargs)
    if function in _WRITING and args and not isinstance(args[0], Tensor):
        if not is_differentiated(args, kwargs):  # into an array of the caller's own
            return function(*bare(tuple(args)), **bare(kwargs))
    name = outermost_function(name_of(function))
    public = getattr(np, getattr(function, "__name__", ""), function)
    if isinstance(function, np.ufunc) and public is not function:
        return call(public, args, kwargs)  # what array.clip calls is kept back behind np.clip
    if function in _WRITING:
        raise TypeError(
            f"{name} writes into an array, which cannot hold a tensor's derivative; use "
            f"np.where, np.stack or np.broadcast_to to build a new array, or tensor.data if no "
            f"derivative is wanted"
        )
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
    if value.__class__ in _NUMBERS:
        return value
    if isinstance(value, Tensor):
        return value._values
    if type(value) in (list, tuple):
        return type(value)([bare(item) for item in value])
    if type(value) is dict:
        return {key: bare(item) for key, item in value.items()}
    return value


def is_differentiated(args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Whether calls are recorded and a tensor among or in the arguments requires a gradient."""
    for value in (*args, *kwargs.values()) if kwargs else args:
        if isinstance(value, Tensor):
            if value._node is not None:
                return mode.get().records
        elif value.__class__ in _SEQUENCES and is_differentiated(value, _NO_KEYWORDS):
            return True
    return False


def _of_numpy(values: Sequence[Any]) -> bool:
    """Whether the arrays among values, and in them, are all NumPy's own, or tensors of these."""
    for value in values:
        array = value._values if isinstance(value, Tensor) else value
        if array.__class__ in _SEQUENCES:
            if not _of_numpy(array):
                return False
        elif hasattr(array, "__array_function__") and not isinstance(array, np.ndarray):
            return False
    return True


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
