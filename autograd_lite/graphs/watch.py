"""What happens while user code runs, written down or watched: recording and find_nonfinite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from autograd_lite.engine import arrays
from autograd_lite.engine.modes import Observer, observing
from autograd_lite.engine.nodes import Node, note_of
from autograd_lite.engine.places import user_line
from autograd_lite.engine.recording import bare
from autograd_lite.engine.results import Outputs
from autograd_lite.engine.table import Primitive
from autograd_lite.engine.tape import fitted
from autograd_lite.graphs.births import gradient_born
from autograd_lite.graphs.source import argument_name, held, rule_of
from autograd_lite.graphs.summary import BAD, badness, number


@contextmanager
def recording() -> Iterator[None]:
    """Keep every value, and the file and line of each operation, so that graphs can show them.

    By default rules keep what they read, and nodes the results of up to a kilobyte. What is
    computed here takes the memory of all arguments and results for as long as its graph lives.

    Examples
    --------
    >>> x = ag.Tensor(np.ones(1000), requires_grad=True)
    >>> with ag.recording():
    ...     total = np.sum(x + 1)
    >>> ag.graph(total).nodes[2].value.mean
    2.0
    """
    with observing(_Keeper()):
        yield


class _Keeper(Observer):
    """Writes down what calls take and give, and the user's line."""

    def called(
        self, node: Node | None, entry: Primitive, arguments: Sequence[Any], result: Any
    ) -> None:
        """Note a recorded call."""
        if node is not None:
            note = note_of(node)
            note.value, note.arguments, note.origin = result, arguments, user_line()


class NonfiniteError(FloatingPointError):
    """An operation, forward or backward, made nan or inf of better numbers, or the data hold it."""


@contextmanager
def find_nonfinite() -> Iterator[None]:
    """Raise at the first operation that makes nan or inf of finite numbers, or nan of inf.

    Watches what tensors compute here, also under :class:`no_grad`, thus in ``ag.evaluate``, and all
    backward passes that are run here. In a backward pass, what a branch not taken would make of an
    exactly zero cotangent does not count. Nan and inf that the data hold may be meant, as those of
    ignored rows and masks are: what read them is named at a single number that is nan for them, and
    when backward begins at one that is inf.

    Raises
    ------
    NonfiniteError
        Names the function, the user's file and line, the first such cell with its operands, and the
        usual cure.

    Examples
    --------
    >>> x = ag.Tensor([4.0, 0.0], requires_grad=True)
    >>> with ag.find_nonfinite():  # doctest: +IGNORE_EXCEPTION_DETAIL
    ...     np.sum(np.sqrt(x)).backward()
    Traceback (most recent call last):
    NonfiniteError: np.sqrt, backward: the cotangent of x is inf at [1], ...
    """
    with observing(_Watch()):
        yield


class _Watch(Observer):
    """Looks at every result for one that is not finite."""

    walking = first = False
    found: str | None = None

    def __init__(self) -> None:
        # What read nan or inf of the data, and which: by the birth of what has it from there, and
        # the last one for what is not recorded.
        self.read: dict[int | None, tuple[int, str]] = {}

    def called(
        self, node: Node | None, primitive: Primitive, arguments: Sequence[Any], result: Any
    ) -> None:
        """Look at the result of a call."""
        if node is not None:
            note_of(node).origin = user_line()
        if self.walking:  # what rules compute is looked at as a whole, by step
            return
        how_bad = badness(result)
        if not how_bad:
            return
        given = dict(zip(primitive.parameters, arguments))
        if node is None:  # and so the arguments are as they were passed
            given = {argument_name(primitive, i): a for i, a in enumerate(arguments)}
        bad, before = _first_bad(result, how_bad), badness(list(arguments))
        said = f"{primitive.name}: the result is {bad}, from {_operands(given, bad, primitive)}"
        if how_bad > before:
            raise NonfiniteError(f"{said}; {_place(user_line())}. {_cure(primitive, given, 0)}.")
        births = [parent.birth for parent in node.parents] if node is not None else [None]
        found = (self.read[birth] for birth in births if birth in self.read)
        origin = next((said for its, said in found if its == how_bad), "")
        origin = origin or f"{said}; {_place(user_line())}. {_in_the_data(given, BAD[how_bad])}."
        if how_bad == 2 and np.ndim(result) == 0:
            raise NonfiniteError(origin)
        self.read[None] = how_bad, origin
        if node is not None:
            self.read[node.birth] = how_bad, origin

    def began(self) -> None:
        """Begin to look at what rules compute."""
        self.walking, self.found, self.first = True, None, True

    def pulled(self, node: Node, k: int, g: Any, d: Any) -> None:
        """Look at what a rule computed, if it is not what is made of several results."""
        if self.first:
            self.first = False
            if node.shape == () and node.birth in self.read:
                self.found = self.read[node.birth][1]
        if self.found is not None or isinstance(d, Outputs):
            return
        plan = node.plan
        assert plan is not None
        primitive = plan.primitive
        fits = fitted(d, node.parents[k], primitive)
        if not gradient_born(node, g, d, fits):
            return
        before = bare(list(g) if isinstance(g, Outputs) else g)
        how_bad = badness(bare((d, fits)))
        bad = _first_bad(bare(d if badness(bare(d)) == how_bad else fits), how_bad)
        given = held(node)
        argnum = plan.argnums[k]
        self.found = (
            f"{primitive.name}, backward: the cotangent of {argument_name(primitive, argnum)} is "
            f"{bad}, from {_operands({'g': before, **given}, bad, primitive)}, "
            f"by the rule {rule_of(primitive, argnum)}; "
            f"{_place(note_of(node).origin)}. {_cure(primitive, given, 1)}."
        )

    def ended(self) -> None:
        """End the backward pass, and raise if it found something."""
        self.walking = False
        if self.found is not None:
            raise NonfiniteError(self.found)


class _Bad(NamedTuple):
    """The first cell of the worst numbers of an array, perhaps one of several."""

    array: Any
    cell: tuple[int, ...]
    which: str = ""

    def __str__(self) -> str:
        at = f" at {list(self.cell)}" if self.cell else ""
        return f"{number(self.array[self.cell])}{self.which}{at}"


def _first_bad(value: Any, how_bad: int) -> _Bad:
    if isinstance(value, (tuple, list)):
        i = next(i for i, item in enumerate(value) if badness(item) == how_bad)
        return _first_bad(value[i], how_bad)._replace(which=f" in result {i}")
    array = np.asarray(arrays.held(value))
    cells = np.argwhere(np.isnan(array) if how_bad == 2 else np.isinf(array))
    return _Bad(array, tuple(int(i) for i in cells[0]))


def _in_the_data(given: dict[str, Any], what: str) -> str:
    names = [name for name, value in given.items() if BAD[badness(value)] == what]
    return (
        f"The {what} was in {' and '.join(names)} before: in the data, or computed outside "
        f"find_nonfinite"
    )


def _place(origin: tuple[str, int] | None) -> str:
    return f"{origin[0]}, line {origin[1]}" if origin else "computed outside find_nonfinite"


def _operands(given: dict[str, Any], bad: _Bad, primitive: Primitive) -> str:
    """Return the numbers that a cell comes from, or the ranges of the arrays where it is many."""
    shape = bad.array.shape
    texts = []
    for name, value in given.items():
        several = isinstance(value, (tuple, list))
        for i, item in enumerate(map(arrays.held, value if several else [value])):
            if isinstance(item, bool) or not isinstance(item, (int, float, np.ndarray, np.generic)):
                continue
            called, array = f"{name}[{i}]" if several else name, np.asarray(item)
            if primitive.elementwise and np.broadcast_shapes(array.shape, shape) == shape:
                texts.append(f"{called} = {number(np.broadcast_to(array, shape)[bad.cell])}")
            else:
                texts.append(f"{called} {_range(array)}")
    return ", ".join(texts) or "finite numbers"


def _range(array: Any) -> str:
    if not array.size or array.dtype.kind not in "fiub":
        return f"of shape {array.shape}"
    low, high = number(array.min()), number(array.max())
    return f"of shape {array.shape} between {low} and {high}" if low != high else f"= {low}"


def _cure(primitive: Primitive, given: dict[str, Any], backward: int) -> str:
    """Return what usually helps."""
    cures = _CURES.get(primitive.name.rpartition(".")[2])
    if cures and cures[backward]:
        return cures[backward]
    widths = [v.dtype.itemsize for v in given.values() if hasattr(v, "dtype")]
    wider = " or a wider dtype" if widths and min(widths) < 8 else ""
    return f"The numbers are too large or too small for their dtype: scale them{wider}"


_EDGE = "The slope is infinite at the edge of the domain: keep away from it with np.clip"
_INSIDE = "Keep the argument inside the function's domain with np.clip"
_DENOMINATOR = (
    "Put 1 where the denominator is 0, np.where(y == 0, 1, y), and choose the result with np.where"
)
_LOG = (
    "Keep the argument positive, np.log(np.maximum(x, 1e-300)), "
    "or use ag.log_softmax or ag.logsumexp, which never form it"
)
_ROOT = "The slope is infinite at 0: add a small number under the root, np.sqrt(x + 1e-12)"
_EXP = "Subtract the largest exponent first, as ag.logsumexp and ag.softmax do"
_BASE = "Keep the base above 0 with np.maximum, and the power within the dtype's range"
_POWER = "An exponent below 1 has an infinite slope at 0: keep the base above 0 with np.maximum"
_SINGULAR = "The matrix is singular: add a multiple of np.eye, or use np.linalg.lstsq"
_CURES = {  # by the function: forward, backward
    name: (forward, backward)
    for names, forward, backward in (
        ("log log2 log10", _LOG, _LOG),
        ("log1p", "Keep the argument above -1 with np.maximum", _EDGE),
        ("sqrt", "Keep the argument at or above 0 with np.maximum(x, 0)", _ROOT),
        ("cbrt", "", _ROOT.replace("np.sqrt", "np.cbrt")),
        ("divide reciprocal remainder fmod", _DENOMINATOR, _DENOMINATOR),
        ("exp exp2 expm1 sinh cosh", _EXP, _EXP),
        ("power float_power", _BASE, _POWER),
        ("arcsin arccos arccosh arctanh", _INSIDE, _EDGE),
        ("inv", _SINGULAR, ""),
    )
    for name in names.split()
}
