"""Derivative tests of every function of the table, generated from it and from the samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite.engine.names import name_of
from autograd_lite.engine.table import TABLE, Composite, Constant, Primitive
from tests import samples_layers
from tests.harness import (
    applied,
    check_all,
    check_first,
    check_second,
    check_value,
    degenerate,
    entry_name,
    is_elementwise,
    ufunc_samples,
)
from tests.sample import Sample
from tests.samples import SAMPLES

CASES = [
    *(s for f in TABLE if is_elementwise(f) for s in ufunc_samples(TABLE[f])),
    *SAMPLES,
    *samples_layers.SAMPLES,
]


def each_function(cases: Iterable[Sample]) -> pytest.MarkDecorator:
    """Have a test run once for each function, on all its cases."""
    of_one: dict[Any, list[Sample]] = {}
    for sample in cases:
        of_one.setdefault(sample.function, []).append(sample)
    return pytest.mark.parametrize("cases", of_one.values(), ids=[name_of(f) for f in of_one])


def check_each(check: Callable[[Sample], None], cases: Sequence[Sample]) -> None:
    """Check every case, and raise all that failed."""
    failures = []
    for sample in cases:
        try:
            check(sample)
        except Exception as error:
            error.add_note(f"The case is {sample}.")
            failures.append(error)
    if len(failures) > 1:
        raise ExceptionGroup(f"{len(failures)} of {len(cases)} cases failed", failures)
    if failures:
        raise failures[0]


def _needs_sample(function: Callable[..., Any]) -> bool:
    module = getattr(function, "__module__", None) or ""
    return (
        not isinstance(TABLE.get(function), (Constant, type(None)))
        and not is_elementwise(function)
        and module.startswith(("numpy", "scipy", "_operator"))
    )


def _few_of_each(count: int) -> list[Sample]:
    seen: dict[Any, int] = {}
    chosen = []
    for sample in SAMPLES:
        if not isinstance(sample.function, np.ufunc) and not _needs_sample(sample.function):
            continue  # an auxiliary function, whose arguments fit together by construction
        seen[sample.function] = seen.get(sample.function, 0) + 1
        if seen[sample.function] <= count:
            chosen.append(sample)
    return chosen


@each_function(CASES)
def test_derivatives(cases: list[Sample]) -> None:
    check_each(check_all, cases)


@each_function(_few_of_each(3))
def test_empty_and_single(cases: list[Sample]) -> None:
    for sample in cases:
        for smaller in degenerate(sample):
            check_value(smaller)
            check_first(smaller)
            if smaller.order >= 2:
                check_second(smaller)


def test_every_function_has_a_sample() -> None:
    sampled = {sample.function for sample in SAMPLES}
    sampled |= {_undecorated(f) for f in sampled}
    missing = [
        f"{entry_name(f)} has a rule but no sample; add one to tests/samples_{_file(f)}.py"
        for f in TABLE
        if _needs_sample(f) and f not in sampled and _undecorated(f) not in sampled
    ]
    assert not missing, "\n".join(missing)


def _undecorated(function: Any) -> Any:
    return getattr(function, "__wrapped__", function)


def _file(function: Callable[..., Any]) -> str:
    """Return the file of the module that entered the function's rules."""
    entry = TABLE[function]
    source = entry.formula if isinstance(entry, Composite) else None
    if isinstance(entry, Primitive):
        source = next((rule for rule in entry.rules if rule is not None), None)
    module = getattr(source, "__module__", "")
    name = module.rpartition(".")[2]
    return {"indexing": "shapes", "special": "elementwise"}.get(name, name)


def test_ufunc_loops_of_constants_give_plain_arrays() -> None:
    x = np.array([0.5, -1.0, 2.0])
    tried = 0
    for function, entry in TABLE.items():
        if not isinstance(entry, Constant) or not isinstance(function, np.ufunc):
            continue
        try:
            expected = function(*[x] * function.nin)
        except TypeError:  # takes integers alone
            continue
        result = function(*[ag.Tensor(x, requires_grad=True)] * function.nin)
        assert not isinstance(result, ag.Tensor), entry.name
        np.testing.assert_array_equal(result, expected)
        tried += 1
    assert tried > 10


def test_cases_are_plenty() -> None:
    assert all(isinstance(applied(s, s.arrays), object) for s in SAMPLES)
    assert len(CASES) > 500
