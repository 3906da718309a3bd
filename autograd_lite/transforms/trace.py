"""A function applied once to tensors of its own: what all transforms pull cotangents back through.

What is passed in gets nodes of its own, so that the derivative is that in these arguments alone,
wherever else the same tensors are used; that is what lets transforms nest.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from autograd_lite.engine.arrays import as_array, is_batch, kind, ordinary
from autograd_lite.engine.cotangents import of_leaf, unshared
from autograd_lite.engine.modes import is_recording, reads, recording_on
from autograd_lite.engine.nodes import Argument, Leaf, Node, births
from autograd_lite.engine.primitives import primitive
from autograd_lite.engine.recording import as_tensors, bare, node_of, wrap
from autograd_lite.engine.tape import pullback, reachable
from autograd_lite.engine.tensor import Tensor
from autograd_lite.transforms.lost import Read, check_not_read_out, moved
from autograd_lite.transforms.trees import Function, Tree, flatten, is_float


@primitive(lambda g: g)
def _alias(x: Any) -> Any:
    """Return the argument as a node of its own, so that it is not its other uses."""
    return x.view() if isinstance(x, (np.ndarray, np.generic)) else x[...]


class Trace:
    """A function applied once, and the way back from its outputs to the chosen arguments.

    ``floats`` says that all of these must be floating-point.
    """

    def __init__(
        self,
        caller: str,
        f: Function,
        args: Sequence[Tree],
        argnums: Sequence[int],
        kwargs: dict[str, Any],
        *,
        floats: bool = False,
    ) -> None:
        __tracebackhide__ = True
        argnums = positions(caller, argnums, len(args))
        born = next(births)
        self.originals, self.arranged = flatten([args[i] for i in argnums], caller)
        if floats:
            _check_floats(caller, self.originals)
        recorded = is_recording()

        def value_of(items: Sequence[Any]) -> Tree:
            __tracebackhide__ = True
            arguments = dict(enumerate(args)) | dict(zip(argnums, self.arranged(items)))
            return f(*arguments.values(), **kwargs)

        with recording_on():
            aliases = [_aliased(item) for item in self.originals]
            read: list[Read] = []
            token = reads.set(read)
            try:
                value = value_of(aliases)
            except TypeError as error:
                _say_lists(error, caller, [args[i] for i in argnums])
                raise
            finally:
                reads.reset(token)
        self.nodes = [node_of(alias) for alias in aliases]
        for node in self.nodes:
            if isinstance(node, Argument):
                node.over = True
        self.targets = [node for node in self.nodes if node is not None]
        self.outputs, self.rebuild_value = flatten(value, caller)
        for output in self.outputs:
            _check_output(caller, output)
        if read and not any(node_of(output) is not None for output in self.outputs):
            with recording_on():
                elsewhere = value_of([_aliased(moved(item)) for item in self.originals])
            check_not_read_out(caller, read[0], value, elsewhere)
        # Whether this is itself part of a computation that is differentiated: by a transform around
        # it, or by backward to variables that are passed in or that it closes over.
        self.lifted = recorded and (
            any(node_of(item) is not None for item in self.originals)
            or any(
                isinstance(node, Leaf)
                and node.birth < born
                and not (isinstance(node, Argument) and node.over)
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
        models = dict(zip(self.nodes, self.originals))
        totals: dict[Node, Any] = {}
        with recording_on():
            for output, g in zip(self.outputs, cotangents):
                root = node_of(output)
                if root is None or g is None:
                    continue
                if lifted:
                    g = g if isinstance(g, Tensor) else wrap(g, None)
                    found = pullback(root, g, self.targets, as_tensors)
                else:
                    found = pullback(root, bare(g), self.targets)
                for node in found:
                    as_it_is = lifted or is_batch(found[node])
                    d = found[node] if as_it_is else unshared(found, node, models[node])
                    totals[node] = totals[node] + d if node in totals else d
        return self.arranged(  # type: ignore[no-any-return]
            [
                None if node is None else _given(totals.get(node), node, original, lifted)
                for node, original in zip(self.nodes, self.originals)
            ]
        )


def _aliased(value: Any) -> Any:
    """Return a tensor of the values with a node of its own; integers and others as they are."""
    if not is_float(value):
        return value
    if node_of(value) is not None:
        return _alias(value)
    data = as_array(ordinary(bare(value), "an argument"))
    return wrap(data, Argument(data))


def _say_lists(error: TypeError, caller: str, args: Sequence[Tree]) -> None:
    """Say of an error that an array may be meant, where a function is given a list of tensors."""
    if any(isinstance(arg, list) and all(map(is_float, arg)) for arg in args):
        said, _, _ = str(error).partition("; use tensor.data")
        error.args = (
            f"{said}; {caller} differentiates in each number of a list by itself: pass an array, "
            f"np.array([...]), to a function of one",
        )


def _given(total: Any, node: Node, original: Any, lifted: bool) -> Any:
    """Return a cotangent as the kind of thing that the original is."""
    if total is None:
        total = np.zeros(node.shape, node.dtype, like=kind(original))
    if isinstance(total, Tensor):
        return total
    if lifted or isinstance(original, Tensor):
        return wrap(total, None)
    if type(original) is float and not is_batch(total):
        return float(total)
    return of_leaf(total, node.dtype, original)


def argnums_of(caller: str, argnum: int | Sequence[int]) -> tuple[tuple[int, ...], bool]:
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


def _check_floats(caller: str, originals: Sequence[Any]) -> None:
    """Raise TypeError unless all arguments to differentiate in are floating-point."""
    for original in originals:
        if not is_float(original):
            raise TypeError(
                f"{caller}: cannot differentiate with respect to {kind_of(original)}; pass "
                f"floating-point values, such as np.asarray(x, float)"
            )


def kind_of(value: Any) -> str:
    """Return what messages call a value that is not floating-point."""
    return str(getattr(value, "dtype", type(value).__name__))
