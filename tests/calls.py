"""Random calls of every NumPy function of the table: right and wrong, of every dtype and shape.

A call begins as one of the function's samples. Its arrays are then given other dtypes and shapes,
its options other values, the default among them, and sometimes an argument is added, left out or
replaced by what the function does not take. What NumPy says to it, by value or by error, is right.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from autograd_lite.engine.names import name_of
from autograd_lite.engine.table import TABLE, Constant
from tests.harness import _Held, is_elementwise, ufunc_samples
from tests.sample import Sample, _brief
from tests.samples import SAMPLES

DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "g", ">f8"]
SHAPES: list[tuple[int, ...]] = [
    (), (0,), (1,), (2,), (3,), (4,), (2, 2), (3, 3), (2, 3), (3, 2), (0, 3), (3, 0), (1, 3),
    (2, 2, 2), (2, 3, 3), (3, 2, 4), (2, 1, 3), (1, 2, 3, 2), (2, 2, 3, 3),
]  # fmt: skip
_AXES = [0, 1, 2, -1, -2, 3, -5, None, (0,), (0, 1), (1, 0), (-1, 0), (0, 0), ()]
_COUNTS = [0, 1, 2, -1, 3, 1.5, None]
_SWITCH = [False, True]
OPTIONS: dict[str, list[Any]] = {  # values that are tried for the arguments of these names
    **dict.fromkeys(("axis", "axes", "axisa", "axisb", "axisc", "axis1", "axis2"), _AXES),
    **dict.fromkeys(("keepdims", "bias", "rowvar", "returned", "endpoint", "sparse"), _SWITCH),
    **dict.fromkeys(("n", "k", "offset"), _COUNTS),
    "ddof": [0, 1, 2, 5, 0.5, None],
    "correction": [0, 1],
    "dtype": [None, float, np.float32, int],
    "kind": [None, "stable", "quicksort", "abc"],
    "stable": [None, True, False],
    "mode": [
        "full", "same", "valid", "raise", "wrap", "clip", "edge", "constant", "reflect", "mean",
        "reduced", "r", "complete", "abc",
    ],
    "method": ["linear", "lower", "abc"],
    "order": ["C", "F", "A", "K", "X"],
    "ord": [None, 0, 1, -1, 2, -2, 3, -3, 0.5, math.inf, -math.inf, "fro", "nuc", "abc"],
    "p": [None, 1, -1, 2, -2, math.inf, -math.inf, "fro", "abc"],
    "indexing": ["xy", "ij", "abc"],
    "edge_order": [1, 2, 3],
    "copy": [True, False],
    "out": [None],
    "where": [True],
    "overwrite_input": [False],
    "UPLO": ["L", "U", "X"],
    "full_matrices": _SWITCH,
    "compute_uv": _SWITCH,
    "hermitian": _SWITCH,
    "left": [None, 1.5],
    "right": [None, -1.5],
    "q": [0.5, 0, 1, [0.25, 0.75], 1.5, -1],
    "decimals": [0, 1, -1],
    "shift": [1, -1, (1, 2), ()],
    "repeats": [0, 1, 2, [1, 2, 0], [2]],
    "pad_width": [0, 1, (1, 2), {0: 1}, {-1: (0, 2)}, {7: 1}, -1, [[1, 0], [0, 2]]],
    "num": [0, 1, 5, -1],
    "optimize": [False, True, "greedy"],
}  # fmt: skip
_WRONG = [None, "abc", 0.5, -7, {}, [], (), object()]


class Call(NamedTuple):
    """A call of a function, of arrays."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __repr__(self) -> str:
        parts = [_brief(a) for a in self.args]
        parts += [f"{name}={_brief(value)}" for name, value in self.kwargs.items()]
        return f"{name_of(self.function)}({', '.join(parts)})"

    @property
    def arrays(self) -> list[np.ndarray]:
        """The arrays among the arguments, also in lists and tuples."""
        found: list[np.ndarray] = []
        for value in (*self.args, *self.kwargs.values()):
            _mapped(value, found.append)
        return found

    def of(self, replaced: Callable[[Any], Any]) -> Any:
        """Return the result, each array replaced."""
        args = [_mapped(a, replaced) for a in self.args]
        kwargs = {name: _mapped(value, replaced) for name, value in self.kwargs.items()}
        return self.function(*args, **kwargs)


def _mapped(value: Any, replaced: Callable[[Any], Any]) -> Any:
    if isinstance(value, np.ndarray):
        return replaced(value)
    if type(value) in (list, tuple):
        return type(value)([_mapped(item, replaced) for item in value])
    return value


def templates() -> dict[Callable[..., Any], list[Call]]:
    """Return the calls that others are made of, by the NumPy function of the table."""
    found: dict[Callable[..., Any], list[Call]] = {}
    for function, entry in TABLE.items():
        if is_elementwise(function) and not isinstance(entry, Constant):
            for sample in ufunc_samples(entry):
                found.setdefault(function, []).append(_call(sample))
    for sample in SAMPLES:
        if sample.function in TABLE:
            found.setdefault(sample.function, []).append(_call(sample))
    return {f: calls for f, calls in found.items() if name_of(f).startswith("np.")}


def _call(sample: Sample) -> Call:
    args = tuple(a.array if isinstance(a, _Held) else a for a in sample.args)
    return Call(sample.function, args, dict(sample.kwargs))


def calls(
    function: Callable[..., Any], made_of: list[Call], count: int, rng: np.random.Generator
) -> Iterator[Call]:
    """Yield so many calls of a function."""
    try:
        names = list(inspect.signature(function).parameters)
    except (ValueError, TypeError):
        names = []
    for _ in range(count):
        call = made_of[rng.integers(len(made_of))]
        if rng.random() < 0.6:
            call = _of_other_arrays(call, rng)
        for _ in range(rng.choice(4, p=[0.3, 0.4, 0.2, 0.1])):
            call = _changed(call, names, rng)
        yield call


def _of_other_arrays(call: Call, rng: np.random.Generator) -> Call:
    """Return a call of arrays of other dtypes and perhaps shapes: all alike, or each its own."""
    alike, shaped = rng.random() < 0.6, rng.random() < 0.5
    dtype, shape = DTYPES[rng.integers(len(DTYPES))], SHAPES[rng.integers(len(SHAPES))]
    finite = ".linalg." in name_of(call.function)  # LAPACK may not come back from a nan

    def other(array: np.ndarray) -> np.ndarray:
        nonlocal dtype, shape
        if not alike and rng.random() < 0.5:
            dtype, shape = DTYPES[rng.integers(len(DTYPES))], SHAPES[rng.integers(len(SHAPES))]
        if array.dtype.kind != "f":  # places, numbers of repetitions
            return array if rng.random() < 0.7 else rng.integers(-1, 4, shape)
        return values(shape if shaped else array.shape, dtype, rng, array, finite)

    args = tuple(_mapped(a, other) for a in call.args)
    return Call(call.function, args, {k: _mapped(v, other) for k, v in call.kwargs.items()})


def values(
    shape: tuple[int, ...],
    dtype: str,
    rng: np.random.Generator,
    like: np.ndarray,
    finite: bool,
) -> np.ndarray:
    """Return an array: of an integer's whole range, of small numbers, or with nan and inf in it."""
    kind, way = np.dtype(dtype).kind, rng.random()
    if kind == "b":
        return rng.integers(0, 2, shape).astype(dtype)
    if kind in "iu" and way < 0.5:
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    if kind in "iu":
        return rng.integers(0, 5, shape).astype(dtype)
    if way < 0.5 and shape == like.shape:
        return like.astype(dtype)
    numbers = np.asarray(rng.normal(size=shape))
    if way < 0.6 and not finite:
        numbers = np.where(rng.random(shape) < 0.2, rng.choice([math.nan, math.inf, 0]), numbers)
    return numbers.astype(dtype)


def _changed(call: Call, names: list[str], rng: np.random.Generator) -> Call:
    """Return a call with an argument added, changed, taken away or wrong."""
    args, kwargs, way = list(call.args), dict(call.kwargs), rng.random()
    known = [name for name in names if name in OPTIONS]
    if way < 0.75 and known:
        name = known[rng.integers(len(known))]
        place, pool = names.index(name), OPTIONS[name]
        value = pool[rng.integers(len(pool))]
        if place < len(args):
            args[place] = value
        else:
            kwargs[name] = value
    elif way < 0.8 and args:
        args[rng.integers(len(args))] = _WRONG[rng.integers(len(_WRONG))]
    elif way < 0.83:
        args.append(_WRONG[rng.integers(len(_WRONG))])
    elif way < 0.86 and args:
        args.pop()
    elif way < 0.89:
        kwargs["unknown"] = 1
    elif way < 0.94 and names and args:
        kwargs[names[min(len(args), len(names)) - 1]] = args.pop()
    return Call(call.function, tuple(args), kwargs)
