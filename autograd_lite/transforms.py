"""Transforms: functions that turn a function of arrays into its derivatives.

Arguments are arrays, floats, tensors, or nested dicts, lists and tuples of them. Arrays give
arrays, floats give floats, tensors give tensors, so transforms nest to any order. A function that
does not depend on an argument has the derivative zero in it.

Results are tensors too where the function closes over a tensor that requires a gradient, so that
they can be differentiated further with respect to it (a gradient penalty, say); under ``no_grad``
nothing is, and they are arrays.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autograd_lite.tape import Node, births, leaf, pullback, reachable
from autograd_lite.tensor import (
    Tensor,
    as_array,
    bare,
    cotangent_for,
    is_recording,
    node_of,
    ordinary,
    primitive,
    recording_on,
    unshared,
    wrap,
)

Tree = Any  # an array, float or tensor, or a nested dict, list or tuple of them
Function = Callable[..., Any]


@primitive(lambda g: g)
def _alias(x: Any) -> Any:
    """Return the argument as a node of its own, so that it is not its other uses."""
    return x.view()


def flatten(tree: Tree) -> tuple[list[Any], Callable[[Sequence[Any]], Tree]]:
    """Return the leaves of nested dicts, lists and tuples, and a function that nests others so."""
    assemble: Callable[[list[Any]], Tree]
    if isinstance(tree, dict):
        names = list(tree)
        branches, assemble = list(tree.values()), lambda items: dict(zip(names, items))
    elif isinstance(tree, (list, tuple)):
        branches, assemble = list(tree), getattr(tree, "_make", type(tree))
    else:
        return [tree], lambda leaves: leaves[0]
    parts = [flatten(branch) for branch in branches]

    def rebuild(leaves: Sequence[Any]) -> Tree:
        rest = iter(leaves)
        return assemble([again([next(rest) for _ in own]) for own, again in parts])

    return [item for own, _ in parts for item in own], rebuild


class _Trace:
    """A function applied once, and the way back from its outputs to the chosen arguments.

    ``born`` is when what it is part of began, if that was before.
    """

    def __init__(
        self,
        caller: str,
        f: Function,
        args: Sequence[Tree],
        argnums: Sequence[int],
        kwargs: dict[str, Any],
        born: int | None = None,
    ) -> None:
        argnums = positions(caller, argnums, len(args))
        self.born = next(births) if born is None else born
        self.originals, self.arranged = flatten([args[i] for i in argnums])
        recorded = is_recording()
        with recording_on():
            aliases = [_aliased(item) for item in self.originals]
            arguments = dict(enumerate(args)) | dict(zip(argnums, self.arranged(aliases)))
            value = f(*arguments.values(), **kwargs)
        self.nodes = [node_of(alias) for alias in aliases]
        self.targets = [node for node in self.nodes if node is not None]
        self.outputs, self.rebuild_value = flatten(value)
        for output in self.outputs:
            _check_output(caller, output)
        # Whether this is itself part of a computation that is differentiated: by a transform around
        # it, or by backward to variables that are passed in or that it closes over.
        self.lifted = recorded and (
            any(node_of(item) is not None for item in self.originals)
            or any(
                node.plan is None and node.birth < self.born
                for output in self.outputs
                if (root := node_of(output)) is not None
                for node in reachable(root, self.targets)
            )
        )
        # Whether results are tensors: those passed in were, or they can be differentiated.
        self.keeps_tensors = self.lifted or any(isinstance(v, Tensor) for v in self.originals)

    @property
    def value(self) -> Tree:
        """What the function returned."""
        return self.rebuild_value([self._shown(v) for v in self.outputs])

    def _shown(self, output: Any) -> Any:
        """Return an output, without the graph recorded here unless others go on with it."""
        if self.lifted or not isinstance(output, Tensor):
            return output
        return output.detach() if self.keeps_tensors else output.data

    def pull(self, cotangents: Sequence[Any]) -> list[Tree]:
        """Return the cotangent of each chosen argument, given one (or None) for each output."""
        recorded = is_recording() and any(node_of(g) is not None for g in cotangents)
        lifted = self.lifted or recorded
        totals: dict[Node, Any] = {}
        with recording_on():
            for output, g in zip(self.outputs, cotangents):
                root = node_of(output)
                if root is None or g is None:
                    continue
                if lifted:
                    g = g if isinstance(g, Tensor) else wrap(g, None)
                    found = pullback(root, g, self.targets, wrap)
                else:
                    found = pullback(root, bare(g), self.targets)
                for node in found:
                    d = found[node] if lifted else unshared(found, node)
                    totals[node] = totals[node] + d if node in totals else d
        return self.arranged(  # type: ignore[no-any-return]
            [
                None if node is None else _given(totals.get(node), node, original, lifted)
                for node, original in zip(self.nodes, self.originals)
            ]
        )


def is_float(value: Any) -> bool:
    """Whether a leaf is a floating-point number, array or tensor."""
    return isinstance(value, float) or getattr(getattr(value, "dtype", None), "kind", "") == "f"


def _aliased(value: Any) -> Any:
    """Return a tensor of the values with a node of its own; integers and others as they are."""
    if not is_float(value):
        return value
    if node_of(value) is not None:
        return _alias(value)
    data = np.asarray(ordinary(bare(value), "an argument"))
    return wrap(data, leaf(data))


def _given(total: Any, node: Node, original: Any, lifted: bool) -> Any:
    """Return a cotangent as the kind of thing that the original is."""
    if total is None:
        total = np.zeros(node.shape, node.dtype)
    if isinstance(total, Tensor):
        return total
    if lifted or isinstance(original, Tensor):
        return wrap(total, None)
    return float(total) if type(original) is float else np.asarray(total)


def _argnums(caller: str, argnum: int | Sequence[int]) -> tuple[tuple[int, ...], bool]:
    """Return the arguments to differentiate in, and whether they were given as a sequence."""
    several = isinstance(argnum, (tuple, list))
    try:
        return tuple(map(operator.index, argnum if several else [argnum])), several  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(
            f"{caller}: argnum is the position of an argument or a tuple of them, not {argnum!r}"
        ) from None


def positions(caller: str, argnums: Sequence[int], count: int) -> list[int]:
    """Return the same positions counted from the front."""
    for argnum in argnums:
        if not -count <= argnum < count:
            raise IndexError(
                f"{caller}: argnum {argnum} is out of range for {count} positional "
                f"argument{'s' * (count != 1)}; what is differentiated is passed by position"
            )
    positions = [argnum % count for argnum in argnums]
    if len(set(positions)) < len(positions):
        raise ValueError(f"{caller}: argnum {tuple(argnums)} names an argument twice")
    return positions


def _check_output(caller: str, output: Any) -> None:
    if output is None:
        raise TypeError(f"{caller}: the function returned None; is its return statement missing?")
    dtype = output.dtype if hasattr(output, "dtype") else np.asarray(output).dtype
    if dtype.kind not in "fiub":
        raise TypeError(
            f"{caller}: the function must return real numbers, not {type(output).__name__}"
        )


def _check_floats(caller: str, trace: _Trace) -> None:
    for node, original in zip(trace.nodes, trace.originals):
        if node is None:
            raise TypeError(
                f"{caller}: cannot differentiate with respect to "
                f"{getattr(original, 'dtype', type(original).__name__)}; pass floating-point values"
            )


def vjp(f: Function, *args: Tree, **kwargs: Any) -> tuple[Tree, Callable[[Tree], tuple[Tree, ...]]]:
    """Return a function's value and its pullback, the vector-Jacobian product.

    Parameters
    ----------
    f : callable
        A function of arrays that returns an array, or several nested.
    *args : array, float, tensor, or nested dict/list/tuple of them
        Where to evaluate it. Integers are passed as they are and get the cotangent None.
    **kwargs
        Passed on to ``f``, not differentiated.

    Returns
    -------
    value
        What ``f`` returned: arrays, or tensors where one was passed in or closed over.
    pull : callable
        ``pull(g)`` takes a cotangent of the value's structure and shapes and returns a tuple of one
        cotangent per argument. It may be called several times.

    Examples
    --------
    >>> value, pull = ag.vjp(np.multiply, np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    >>> pull(np.array([1.0, 10.0]))
    (array([ 3., 40.]), array([ 1., 20.]))
    """
    trace = _Trace("ag.vjp", f, args, range(len(args)), kwargs)

    def pull(g: Tree) -> tuple[Tree, ...]:
        cotangents, _ = flatten(g)
        if len(cotangents) != len(trace.outputs):
            raise ValueError(
                f"ag.vjp: the function has {len(trace.outputs)} outputs, "
                f"the cotangent has {len(cotangents)}"
            )
        checked = [
            cotangent_for(output, cotangent, "ag.vjp") if isinstance(output, Tensor) else cotangent
            for output, cotangent in zip(trace.outputs, cotangents)
        ]
        return tuple(trace.pull(checked))

    return trace.value, pull


def value_and_grad(f: Function, argnum: int | Sequence[int] = 0) -> Function:
    """Return a function that computes ``(f(*args), gradient)``.

    Parameters
    ----------
    f : callable
        A function that returns a single number.
    argnum : int or sequence of int
        The argument to differentiate in; the gradient has its structure. For several, a tuple.

    Raises
    ------
    ValueError
        When called, if ``f`` does not return a single number.
    TypeError
        When called, if the argument is not floating-point.

    Examples
    --------
    >>> ag.value_and_grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
    (np.float64(5.0), array([2., 4.]))
    """
    return _value_and_grad("ag.value_and_grad", f, argnum)


def _value_and_grad(caller: str, f: Function, argnum: int | Sequence[int]) -> Function:
    argnums, several = _argnums(caller, argnum)

    def value_and_gradient(*args: Tree, **kwargs: Any) -> tuple[Any, Tree]:
        trace = _Trace(caller, f, args, argnums, kwargs)
        _check_floats(caller, trace)
        if len(trace.outputs) != 1:
            raise TypeError(
                f"{caller}: the function must return a single number, "
                f"not {len(trace.outputs)} values"
            )
        output = trace.outputs[0]
        if np.size(bare(output)) != 1:
            raise ValueError(
                f"{caller}: the function must return a single number, not shape {output.shape}; "
                f"reduce it (np.sum), or use ag.jacobian or ag.elementwise_grad"
            )
        one = cotangent_for(output, None, caller) if isinstance(output, Tensor) else 1.0
        gradients = trace.pull([one])
        return trace.value, tuple(gradients) if several else gradients[0]

    return value_and_gradient


def grad(f: Function, argnum: int | Sequence[int] = 0) -> Function:
    """Return the gradient of a function as a function of the same arguments.

    Parameters
    ----------
    f : callable
        A function that returns a single number.
    argnum : int or sequence of int
        The argument to differentiate in; the gradient has its structure. For several, a tuple.

    Raises
    ------
    ValueError
        When called, if ``f`` does not return a single number.
    TypeError
        When called, if the argument is not floating-point.

    Examples
    --------
    >>> round(ag.grad(np.tanh)(0.5), 8)
    0.78644773
    >>> ag.grad(ag.grad(lambda x: x**3))(2.0)
    12.0
    >>> ag.grad(lambda p, x: np.sum(p["w"] * x + p["b"]))({"w": 2.0, "b": 1.0}, np.arange(3))
    {'w': 3.0, 'b': 3.0}
    """
    return grad_named("ag.grad", f, argnum)


def grad_named(caller: str, f: Function, argnum: int | Sequence[int]) -> Function:
    """Return what :func:`grad` does; messages name the caller."""
    value_and_gradient = _value_and_grad(caller, f, argnum)
    return lambda *args, **kwargs: value_and_gradient(*args, **kwargs)[1]


def elementwise_grad(f: Function, argnum: int = 0) -> Function:
    """Return the derivative of a function that acts on every element by itself.

    It is the gradient of the sum of the outputs: for an elementwise ``f`` the derivative at each
    element, in the argument's shape.

    Parameters
    ----------
    f : callable
        A function of arrays that returns an array.
    argnum : int
        The argument to differentiate in.

    Examples
    --------
    >>> ag.elementwise_grad(np.exp)(np.array([0.0, 1.0]))
    array([1.        , 2.71828183])
    """

    def total(*args: Tree, **kwargs: Any) -> Any:
        return np.sum(f(*args, **kwargs))

    return grad_named("ag.elementwise_grad", total, argnum)


def jvp(f: Function, primals: Sequence[Tree], tangents: Sequence[Tree]) -> tuple[Tree, Tree]:
    """Return a function's value and its derivative along a direction.

    The pullback is linear in the cotangent it is given, so its own pullback is the Jacobian-vector
    product: no second table of rules is needed.

    Parameters
    ----------
    f : callable
        A function of arrays.
    primals : sequence
        Its arguments.
    tangents : sequence
        The direction: the structure and shapes of ``primals``.

    Returns
    -------
    value, tangent
        Both of the structure that ``f`` returns.

    Raises
    ------
    ValueError
        If the tangents do not fit the primals.

    Examples
    --------
    >>> ag.jvp(np.exp, (np.array([0.0, 1.0]),), (np.array([1.0, 2.0]),))
    (array([1.        , 2.71828183]), array([1.        , 5.43656366]))
    """
    directions = _matched("ag.jvp", "tangents", tangents, primals)
    trace = _Trace("ag.jvp", f, primals, range(len(primals)), {})
    # Any cotangents will do, but for exact zeros, which would count as no path.
    outputs = [np.asarray(bare(v)) for v in trace.outputs]
    dummies = [np.linspace(1, 2, v.size, dtype=v.dtype).reshape(v.shape) for v in outputs]

    def pull(*g: Any) -> list[Any]:
        return [d for d in flatten(trace.pull(g))[0] if d is not None]

    like = [wrap(v, None) if trace.keeps_tensors else v for v in dummies]
    back = _Trace("ag.jvp", pull, like, range(len(like)), {}, trace.born)
    along = [t for t, node in zip(directions, trace.nodes) if node is not None]
    pulled = map(as_array, back.outputs)  # floats, where the result depends on none of the floats
    tangents = back.pull([cotangent_for(d, t, "ag.jvp") for d, t in zip(pulled, along)])
    numbers = [d[()] if isinstance(d, np.ndarray) and not d.ndim else d for d in tangents]
    return trace.value, trace.rebuild_value(numbers)


def jacobian(f: Function, argnum: int | Sequence[int] = 0) -> Function:
    """Return the Jacobian of a function as a function of the same arguments.

    Its shape is that of the output followed by that of the argument; where they are nested, a block
    for each pair, nested as the output, then as the argument. One pullback per output element.

    Parameters
    ----------
    f : callable
        A function of arrays that returns an array, or several nested.
    argnum : int or sequence of int
        The argument to differentiate in. For several, a tuple of Jacobians.

    Examples
    --------
    >>> ag.jacobian(lambda x: x[1:] * x[:-1])(np.array([1.0, 2.0, 3.0]))
    array([[2., 1., 0.],
           [0., 3., 2.]])
    """
    argnums, several = _argnums("ag.jacobian", argnum)

    def jacobian_at(*args: Tree, **kwargs: Any) -> Tree:
        trace = _Trace("ag.jacobian", f, args, argnums, kwargs)
        _check_floats("ag.jacobian", trace)
        blocks = []
        for k, output in enumerate(map(bare, trace.outputs)):
            shape, size = np.shape(output), np.size(output)
            units: list[Any] = [None] * len(trace.outputs)
            rows = []
            for i in range(size):
                units[k] = (np.arange(size) == i).astype(np.result_type(output)).reshape(shape)
                rows.append(flatten(trace.pull(units))[0])
            columns = [
                (np.stack([row[j] for row in rows]) if rows else np.zeros(0)).reshape(
                    shape + np.shape(bare(original))
                )
                for j, original in enumerate(trace.originals)
            ]
            trees = trace.arranged(columns)
            blocks.append(tuple(trees) if several else trees[0])
        return trace.rebuild_value(blocks)

    return jacobian_at


def hessian(f: Function, argnum: int | Sequence[int] = 0) -> Function:
    """Return the Hessian of a function to a single number, as a function of the same arguments.

    Parameters
    ----------
    f : callable
        A function that returns a single number.
    argnum : int or sequence of int
        The argument to differentiate in twice. For several, a tuple of tuples of blocks.

    Examples
    --------
    >>> ag.hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 3.0]))
    array([[6., 2.],
           [2., 0.]])
    """
    return jacobian(grad(f, argnum), argnum)


def hvp(f: Function, args: Sequence[Tree], vectors: Sequence[Tree]) -> tuple[Tree, ...]:
    """Return the product of a function's Hessian with vectors, without forming the Hessian.

    Parameters
    ----------
    f : callable
        A function that returns a single number.
    args : sequence
        Its arguments, all of them floating-point.
    vectors : sequence
        The structure and shapes of ``args``.

    Returns
    -------
    tuple
        One product per argument: the gradient of ``<gradient, vectors>``.

    Examples
    --------
    >>> ag.hvp(lambda x: np.sum(x**3), (np.array([1.0, 2.0]),), (np.array([1.0, 1.0]),))
    (array([ 6., 12.]),)
    """
    directions = _matched("ag.hvp", "vectors", vectors, args)
    every = tuple(range(len(args)))

    def along(*inner: Tree) -> Any:
        gradients, _ = flatten(_value_and_grad("ag.hvp", f, every)(*inner)[1])
        return sum(np.sum(g * v) for g, v in zip(gradients, directions))

    return grad(along, every)(*args)  # type: ignore[no-any-return]


def _matched(caller: str, what: str, given: Tree, like: Tree) -> list[Any]:
    """Return the leaves of a tree of vectors that has the structure and shapes of another."""
    if not isinstance(given, (tuple, list)) or not isinstance(like, (tuple, list)):
        raise TypeError(f"{caller}: pass the arguments, and the {what}, as tuples: (x,) for one")
    vectors, _ = flatten(list(given))
    shapes = [np.shape(bare(vector)) for vector in vectors]
    wanted = [np.shape(bare(model)) for model in flatten(list(like))[0]]
    if shapes != wanted:
        raise ValueError(f"{caller}: the {what} have shapes {shapes}, the arguments {wanted}")
    return vectors
