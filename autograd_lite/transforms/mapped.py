"""vmap: a function of one example becomes one of many, called once with a :class:`Batch` of them.

With tensors, what enters and leaves is recorded: each way is the adjoint of the other. The
cotangent of a tensor that the function closes over is a batch, too; where it leaves the function,
it is added up over the examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from autograd_lite.engine.arrays import as_array
from autograd_lite.engine.nodes import Node, births
from autograd_lite.engine.primitives import primitive
from autograd_lite.engine.recording import Recorded, node_of
from autograd_lite.engine.table import TABLE, Primitive, derivative
from autograd_lite.transforms import batched as batched
from autograd_lite.transforms.batch import Batch
from autograd_lite.transforms.trees import Function, Tree, flatten

Axes = Any  # an int or None, or nested dicts, lists and tuples of them


def _enter_x(g: Any, like: Any, axis: int, level: int) -> Any:
    """Return the cotangent of an array that became a batch: its rows, put back."""
    return leave(g, axis, level, like.shape[axis])


@primitive(_enter_x, name="ag.vmap, in")
def enter(x: Any, axis: int, level: int) -> Any:
    """Return an array as a batch, its axis hidden."""
    if _is_above(x, level):
        return Batch(enter(x.stacked, axis + 1, level), x.level)
    return Batch(np.moveaxis(x, axis, 0) if axis else x, level)


@primitive(lambda g, axis, level: enter(g, axis, level), name="ag.vmap, out")
def leave(x: Any, axis: int, level: int, size: int) -> Any:
    """Return a batch as an array, its hidden axis put in place; repeated, if it is no batch."""
    if _is_above(x, level):
        return Batch(leave(x.stacked, axis + 1, level, size), x.level)
    rows = batched.rows_of(x, level, size)
    return np.moveaxis(rows, 0, axis) if axis else rows


def _is_above(x: Any, level: int) -> bool:
    """Whether an array is a batch of a higher level, as in a pullback through an older vmap."""
    return x.__class__ is Batch and x.level > level


def _closed_over(x: Any, level: int, size: int) -> Any:
    """Return the array that every example reads."""
    return x


derivative(_closed_over, lambda g, level, size: np.sum(leave(g, 0, level, size), axis=0))


def vmap(f: Function, in_axes: Axes = 0, out_axes: Axes = 0) -> Function:
    """Return a function of many examples from a function of one, without a loop over them.

    Parameters
    ----------
    f : callable
        A function of arrays that returns an array, or several nested. It sees one example.
    in_axes : int, None, or nested like the arguments
        Which axis of each argument counts the examples; None for what is the same for all. One for
        all arguments, or a tuple with one for each, which may be nested as far as the argument is.
        Arguments by keyword are mapped along their first axis.
    out_axes : int, None, or nested like the results
        Where that axis stands in the results; None for what does not depend on the example.

    Returns
    -------
    callable
        It takes and gives arrays or tensors. What does not depend on the example is repeated.

    Raises
    ------
    ValueError
        When called, if nothing is mapped, an axis is out of range, or the lengths are not equal.
    TypeError
        When called, if ``f`` asks for a value (``if``, ``float``, ``.item()``), of which each
        example has its own.

    Notes
    -----
    A function that has no way to do all examples at once, one of the user's own too, is applied to
    one after the other: right, if slower. What ``f`` draws at random is the same for all examples.

    Examples
    --------
    >>> W = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> ag.vmap(np.dot, in_axes=(None, 0))(W, np.array([[1.0, 0.0], [0.0, 1.0]]))
    array([[1., 3., 5.],
           [2., 4., 6.]])
    >>> ag.vmap(ag.grad(lambda x: np.prod(x)))(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[2., 1.],
           [4., 3.]])
    """

    def mapped(*args: Tree, **kwargs: Tree) -> Tree:
        leaves, rebuild = flatten([list(args), kwargs])
        if isinstance(in_axes, (tuple, list)) and len(in_axes) != len(args):
            raise ValueError(
                f"ag.vmap: in_axes has {len(in_axes)} entries for {len(args)} positional arguments"
            )
        axes = _axes_of("in_axes", in_axes if not isinstance(in_axes, tuple) else [*in_axes],
                        list(args))  # fmt: skip
        axes += [0] * (len(leaves) - len(axes))
        places, size = _checked(leaves, axes)
        level = next(births)
        entered = [
            leaf if place is None else enter(as_array(leaf), place, level)
            for leaf, place in zip(leaves, places)
        ]
        inner_args, inner_kwargs = rebuild(entered)
        outputs, rebuild_value = flatten(value := f(*inner_args, **inner_kwargs))
        inside = {node_of(leaf) for leaf, place in zip(entered, places) if place is not None}
        results = [
            _left(output, axis, level, size)
            for output, axis in zip(outputs, _axes_of("out_axes", out_axes, value))
        ]
        _add_up_closures(results, inside, level, size)
        return rebuild_value([_own(result) for result in results])

    return mapped


def _axes_of(what: str, axes: Axes, tree: Tree) -> list[Any]:
    """Return the axis of each leaf of a tree, from axes nested as far as it is, or less."""
    if axes is None or isinstance(axes, (int, np.integer)):
        return [axes] * len(flatten(tree)[0])
    if isinstance(axes, dict) and isinstance(tree, dict) and axes.keys() == tree.keys():
        return [i for name, item in tree.items() for i in _axes_of(what, axes[name], item)]
    if isinstance(axes, (tuple, list)) and isinstance(tree, (tuple, list)):
        if len(axes) == len(tree):
            return [i for own, item in zip(axes, tree) for i in _axes_of(what, own, item)]
    raise ValueError(
        f"ag.vmap: {what} must be integers or None, nested like the "
        f"{'arguments' if what == 'in_axes' else 'results'}; {axes!r} does not fit"
    )


def _checked(leaves: Sequence[Any], axes: Sequence[Any]) -> tuple[list[int | None], int]:
    """Return the axes counted from the front, and their common length."""
    places: list[int | None] = []
    lengths: dict[int, int] = {}
    for k, (leaf, axis) in enumerate(zip(leaves, axes)):
        if axis is None:
            places.append(None)
            continue
        shape = as_array(leaf).shape
        places.append(_place("in_axes", axis, len(shape), f"argument {k} of shape {shape}"))
        lengths.setdefault(shape[axis], k)
    if not lengths:
        raise ValueError("ag.vmap: in_axes maps no argument; give at least one of them an axis")
    if len(lengths) > 1:
        said = ", ".join(f"{n} (argument {k})" for n, k in lengths.items())
        raise ValueError(f"ag.vmap: the mapped axes must have one length, but they have {said}")
    return places, next(iter(lengths))


def _place(what: str, axis: int, ndim: int, of: str) -> int:
    if not -ndim <= axis < ndim:
        hint = "; pass None for what is not mapped" if what == "in_axes" else ""
        raise ValueError(f"ag.vmap: {what} {axis} is out of range for {of}{hint}")
    return axis % ndim


def _left(output: Any, axis: int | None, level: int, size: int) -> Any:
    """Return a result of the function with the examples along an axis."""
    if output is None:
        raise TypeError("ag.vmap: the function returned None; is its return statement missing?")
    output = as_array(output)
    if output.dtype.kind not in "fiubc":
        raise TypeError(f"ag.vmap: the function must return arrays, not {output.dtype}")
    if axis is not None:
        of = f"a result of shape {output.shape}, behind whose axes the examples may stand"
        return leave(output, _place("out_axes", axis, output.ndim + 1, of), level, size)
    if batched.is_at(getattr(output, "_values", output), level):
        raise ValueError(
            "ag.vmap: out_axes is None for a result that differs from one example to another"
        )
    return output


def _own(result: Any) -> Any:
    """Return a result as an array that nobody else holds."""
    is_view = result.__class__ is np.ndarray and result.base is not None
    return result.copy() if is_view else result


def of_each_row(f: Function, rows: Any) -> list[Any]:
    """Return what ``vmap(f)(rows)`` does, for a function that returns a list; unchecked."""
    level, size = next(births), len(rows)
    outputs = f(Batch(rows, level))
    if not any(isinstance(output, Recorded) for output in outputs):
        return [batched.rows_of(as_array(output), level, size) for output in outputs]
    results = [leave(output, 0, level, size) for output in outputs]
    _add_up_closures(results, set(), level, size)
    return results


def _add_up_closures(
    results: Sequence[Any], inside: set[Node | None], level: int, size: int
) -> None:
    """Have the cotangents of what the function closes over added up over the examples.

    Between each node recorded inside and a parent from outside goes one that does.
    """
    between: dict[Node, Node] = {}
    plan = cast(Primitive, TABLE[_closed_over]).plan(1)
    saved = plan.keep((None, level, size), None, None, ())
    todo = [root for root in map(node_of, results) if root is not None]
    seen = inside.union(todo)
    for node in todo:  # which grows
        if node.birth < level:
            continue
        for parent in node.parents:
            if parent.birth < level and parent not in between:
                one = between[parent] = Node(
                    plan, (parent,), saved, None, parent.shape, parent.dtype, False
                )
                one.birth = level
        node.parents = [between.get(parent, parent) for parent in node.parents]
        fresh = [p for p in node.parents if p not in seen and p.birth > level]
        seen.update(fresh)
        todo += fresh
