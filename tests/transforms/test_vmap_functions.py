"""vmap of every function of the table equals a loop: the value, and the gradient inside and out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite.engine.table import TABLE, Constant
from autograd_lite.transforms.trees import flatten
from tests.harness import applied, entry_name
from tests.rules.test_any_array import CONSTANTS, GIVE_PYTHON, constant_arguments
from tests.rules.test_generated import CASES, check_each, each_function
from tests.sample import Sample
from tests.vmapped import vmapped

SCALES = (1.0, 0.97, 1.02)  # of the examples: what is sorted, positive or regular stays so
AXES: tuple[tuple[int | None, ...], ...] = ((0, 1, None), (1, None, 0), (None, 0, 1))


def examples(sample: Sample) -> list[list[np.ndarray]]:
    """Return a few examples of the arguments."""
    return [[np.asarray(a * scale) for a in sample.arrays] for scale in SCALES]


def choices(sample: Sample) -> Iterator[list[int | None]]:
    """Yield which axis of each argument counts the examples: every choice maps one at least."""
    seen = []
    for pattern in AXES:
        axes = [pattern[k % 3] for k in range(len(sample.arrays))]
        axes = [0 if i == 1 and a.ndim == 0 else i for i, a in zip(axes, sample.arrays)]
        if axes not in seen and any(i is not None for i in axes):
            seen.append(axes)
            yield axes


def numbers(*shape: int) -> np.ndarray:
    return np.sin(1.0 + np.arange(np.prod(shape, dtype=int))).reshape(shape) + 1.5


def pulled(sample: Sample, arrays: Any) -> Any:
    """Return the value and the gradients, for cotangents that are the same for every example."""
    value, pull = ag.vjp(lambda *a: applied(sample, a), *arrays)
    leaves, rebuild = flatten(value)
    u = rebuild([numbers(*v.shape).astype(v.dtype) for v in leaves])
    return tuple(leaves), tuple(d for d in pull(u))


def stacked(results: list[Any]) -> list[Any]:
    leaves = [flatten(result)[0] for result in results]
    return [np.stack([np.asarray(v) for v in column]) for column in zip(*leaves)]


def close(got: Any, expected: Any) -> None:
    got, expected = flatten(got)[0], flatten(expected)[0]
    assert len(got) == len(expected)
    for a, b in zip(got, expected):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        size = np.max(np.abs(b[np.isfinite(b)]), initial=1e-3) if b.dtype.kind == "f" else 1
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11 * size)


def check_vmap(sample: Sample) -> None:
    every = examples(sample)
    for axes in choices(sample):
        own = [
            [a[k] if axis is not None else every[0][k] for k, axis in enumerate(axes)]
            for a in every
        ]
        arguments = [
            every[0][k] if axis is None else np.stack([a[k] for a in every], axis)
            for k, axis in enumerate(axes)
        ]
        expected = stacked([pulled(sample, arrays) for arrays in own])
        got = ag.vmap(lambda *a: pulled(sample, a), in_axes=tuple(axes))(*arguments)
        close(got, expected)
        # the gradient of all: of what is not mapped, the sum
        count = len(expected) - len(arguments)
        f = ag.vmap(lambda *a: applied(sample, a), in_axes=tuple(axes))
        value, pull = ag.vjp(f, *arguments)
        leaves, rebuild = flatten(value)
        close(leaves, expected[:count])
        u = [np.stack([numbers(*v.shape[1:]).astype(v.dtype)] * len(every)) for v in leaves]
        sums = [
            d.sum(axis=0) if axis is None else np.moveaxis(d, 0, axis)
            for d, axis in zip(expected[count:], axes)
        ]
        close(pull(rebuild(u)), sums)


@each_function(CASES)
@pytest.mark.filterwarnings("ignore:(invalid value|divide by zero):RuntimeWarning")
def test_vmap_equals_a_loop(cases: list[Sample]) -> None:
    check_each(check_vmap, [case for case in cases if case.arrays])


def check_pulled(sample: Sample) -> None:
    """Check a batch of cotangents, as Jacobians pull back, of plain values and of tensors."""
    arrays = sample.arrays
    value, pull = ag.vjp(lambda *a: applied(sample, a), *arrays)
    leaves, rebuild = flatten(value)
    scales = (1.0, -0.5, 0.0)
    us = [[np.asarray(s * numbers(*v.shape).astype(v.dtype)) for v in leaves] for s in scales]
    expected = stacked([pull(rebuild(u)) for u in us])
    rows = rebuild([np.stack(column) for column in zip(*us)])
    close(ag.vmap(lambda u: pull(u))(rows), expected)
    if sample.order < 2:
        return

    def both(*a: Any) -> Any:
        return ag.vmap(lambda u: ag.vjp(lambda *b: applied(sample, b), *a)[1](u))(rows)

    def looped(*a: Any) -> Any:
        rows = [ag.vjp(lambda *b: applied(sample, b), *a)[1](rebuild(u)) for u in us]
        return tuple(np.stack(column) for column in zip(*rows))

    second, third = (ag.vjp(f, *arrays) for f in (both, looped))
    w = tuple(numbers(*d.shape).astype(d.dtype) for d in second[0])
    close(second[1](w), third[1](w))


@each_function(CASES)
@pytest.mark.filterwarnings("ignore:(invalid value|divide by zero):RuntimeWarning")
def test_a_batch_of_cotangents_equals_a_loop(cases: list[Sample]) -> None:
    check_each(check_pulled, [case for case in cases if case.arrays])


# ---------------------------------------------------------------------------- without a derivative

BUT = GIVE_PYTHON | {np.allclose, np.array_equal, np.array_equiv, np.nonzero, np.flatnonzero,
                     np.argwhere, np.tril_indices_from, np.triu_indices_from,
                     np.diag_indices_from}  # fmt: skip
_constants = [f for f, entry in TABLE.items() if isinstance(entry, Constant) and f in CONSTANTS]


@pytest.mark.parametrize("function", [f for f in _constants if f not in BUT], ids=entry_name)
def test_what_has_no_derivative_equals_a_loop(function: Callable[..., Any]) -> None:
    args = constant_arguments(function)
    rows = [np.stack([a, a[::-1]]) if isinstance(a, np.ndarray) else a for a in args]
    axes = tuple(0 if isinstance(a, np.ndarray) else None for a in args)
    if function is np.searchsorted or function is np.digitize:  # one of them sorted
        rows[0 if function is np.searchsorted else 1] = np.stack([np.arange(3.0)] * 2)
    if all(axis is None for axis in axes):  # np.lexsort, of a tuple
        rows, axes = [tuple(np.stack([a, a[::-1]]) for a in args[0])], (0,)
    got = ag.vmap(function, axes)(*rows)
    alone = [[a[i] if k == 0 else a for a, k in zip(rows, axes)] for i in range(2)]
    if isinstance(rows[0], tuple):
        alone = [[tuple(a[i] for a in rows[0])] for i in range(2)]
    np.testing.assert_array_equal(got, np.stack([function(*a) for a in alone]), strict=True)


@pytest.mark.parametrize(
    "function", sorted(GIVE_PYTHON & set(CONSTANTS), key=entry_name), ids=entry_name
)
def test_what_is_asked_of_shapes_and_dtypes_is_answered(function: Callable[..., Any]) -> None:
    args = CONSTANTS[function]
    answers = []

    def asked(*arrays: Any) -> Any:
        answers.append(function(*arrays))
        return 0.0

    rows = [np.stack([a, a]) if isinstance(a, np.ndarray) else a for a in args]
    ag.vmap(asked, tuple(0 if isinstance(a, np.ndarray) else None for a in args))(*rows)
    assert repr(answers[0]) == repr(function(*args))


# ---------------------------------------------------------------------------- how many are looped


def test_at_most_fifteen_in_a_hundred_functions_are_looped_over() -> None:
    covered = vmapped(CASES)
    looped = {name for name, batched in covered.items() if not batched}
    assert len(covered) > 250
    assert len(looped) <= 0.15 * len(covered), looped


# ---------------------------------------------------------------------------- indices

_i = np.array([1, 0, 1])
INDICES: list[Any] = [
    0, -1, slice(1, None), (..., 0), (None, 1), (0, slice(None), 1), (slice(None, None, -1), None),
    _i, [0, 1], (_i, 0), (0, _i), (slice(None), _i), (_i, slice(None), _i), (0, slice(None), _i),
    (..., _i), (_i, _i), (_i[:, None], _i), (slice(None), _i, _i), (_i, None, _i),
    (None, _i, ..., 0),
    np.array([True, False]), (slice(None), np.array([True, False, True])),
    (0, np.array([True, False, True]), slice(1, 3)), np.arange(24).reshape(2, 3, 4) % 3 == 0,
]  # fmt: skip


def mapped_index(index: Any, change: Any) -> tuple[Any, ...]:
    """Return an index with the arrays of integers in it changed, and whether there are any."""
    if isinstance(index, tuple):
        return tuple(mapped_index(i, change) for i in index)
    return change(index) if isinstance(index, np.ndarray) and index.dtype.kind == "i" else index


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_an_index_picks_and_writes_what_it_does_in_a_loop(index: Any) -> None:
    a, w = numbers(4, 2, 3, 4), numbers(2, 3, 4)
    places = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 1, 1]])

    def of(row: Any) -> Any:
        """Return the index with a row of places in it."""
        return mapped_index(index, lambda i: row if i.ndim == 1 else row[:, None])

    def written(x: Any, row: Any) -> Any:
        out = np.zeros_like(x)
        out[of(row)] = x[of(row)] * 2
        return out

    for rows in (np.stack([_i] * 4), places):
        loop = [(x[of(row)], w[of(row)], written(x, row)) for x, row in zip(a, rows)]
        got = ag.vmap(lambda x, row: (x[of(row)], ag.Tensor(w)[of(row)], written(x, row)))(a, rows)
        for mine, theirs in zip(got, zip(*loop)):
            np.testing.assert_array_equal(getattr(mine, "data", mine), np.stack(theirs))
    plain = ag.vmap(lambda x: (x[index], x[index] + written(x, _i)[index]))(a)
    np.testing.assert_array_equal(plain[0], np.stack([x[index] for x in a]))
    gradient = ag.vmap(ag.grad(lambda x, row: np.sum(x[of(row)] ** 2)))(a, places)
    expected = [ag.grad(lambda x, row=row: np.sum(x[of(row)] ** 2))(x) for x, row in zip(a, places)]
    np.testing.assert_allclose(gradient, np.stack(expected))
