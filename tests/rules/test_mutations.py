"""Every rule of the table is made wrong in several ways, and the generated checks must notice."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite.engine.arrays import held, like_sequence
from autograd_lite.engine.recording import bare
from autograd_lite.engine.results import Outputs, _result
from autograd_lite.engine.table import TABLE, Composite, Primitive
from autograd_lite.transforms.trace import _alias
from tests.harness import check_first, check_second, check_value, touched
from tests.rules.test_generated import CASES
from tests.sample import Sample


def _cut(d: Any) -> Any:
    """Return the right values without their derivative."""
    return ag.Tensor(bare(d)) if isinstance(d, ag.Tensor) else d


MUTATIONS: dict[str, Callable[[Any], Any]] = {
    "1.001 times too large": lambda d: d * 1.001,
    "negated": lambda d: -d,
    "too large by 0.001": lambda d: d + 0.001,
    "backwards": lambda d: d[(slice(None, None, -1),) * d.ndim],
    "transposed": lambda d: d.transpose().reshape(d.shape),
    "of one more axis": lambda d: d[None],
    "without its own derivative": _cut,
}


class Mutant:
    """A rule whose results are changed; it knows whether it was called, and differed."""

    def __init__(self, rule: Callable[..., Any], change: Callable[[Any], Any]) -> None:
        self.rule = rule
        self.change = change
        self.called = self.differs = False

    def __call__(self, g: Any, *kept: Any) -> Any:
        self.called = True
        right = self.rule(g, *kept)
        if isinstance(right, Outputs):  # the cotangents of several results
            parts = {i: self.change(part) for i, part in right.parts.items()}
            wrong = Outputs(parts, right)  # type: ignore[arg-type]
        else:
            wrong = self.change(right)
        if not self.differs:
            self.differs = _differs(right, wrong)
        return wrong


def _differs(right: Any, wrong: Any) -> bool:
    if isinstance(right, Outputs):
        return any(_differs(right.parts[i], wrong.parts[i]) for i in right.parts)
    if isinstance(right, ag.Tensor) and right.requires_grad != wrong.requires_grad:
        return bool(np.any(held(bare(right))))  # zeros for any g have derivative zero
    return not np.array_equal(held(bare(right)), held(bare(wrong)), equal_nan=True)


@contextmanager
def planted(entry: Primitive, argnum: int, mutant: Mutant) -> Iterator[None]:
    """Put a mutant into the table in place of a rule, for a while."""
    rules = entry.rules
    entry.rules = (*rules[:argnum], mutant, *rules[argnum + 1 :])
    entry.plans.clear()
    try:
        yield
    finally:
        entry.rules = rules
        entry.plans.clear()


@contextmanager
def without_summing(entry: Primitive) -> Iterator[None]:
    """Let the engine not sum what broadcasting repeated, for a while."""
    entry.broadcasts = False
    try:
        yield
    finally:
        entry.broadcasts = True


def noticed(check: Callable[[Sample], None], sample: Sample) -> bool:
    """Whether a check fails, in one of the ways that name the function."""
    try:
        check(sample)
    except AssertionError:
        return True
    except ValueError as error:
        if "returned a cotangent of shape" in str(error):
            return True
        raise
    return False


def _first(sample: Sample) -> None:
    check_first(sample, explain=False)


def _second(sample: Sample) -> None:
    if sample.order >= 2:
        check_second(sample)


def noticed_by_any(samples: Sequence[Sample], *checks: Callable[[Sample], None]) -> bool:
    """Whether one of the checks fails on one of the samples."""
    return any(noticed(check, sample) for check in checks for sample in samples)


@pytest.fixture(scope="module")
def cases_of() -> dict[Primitive, list[Sample]]:
    """The cases that exercise each entry: those of its own function first, of most cells first."""
    cases: dict[Primitive, list[Sample]] = defaultdict(list)
    entries_of = {sample: touched(sample) for sample in CASES}
    for own in (True, False):
        for sample in sorted(CASES, key=lambda s: -sum(a.size for a in s.arrays)):
            for entry in entries_of[sample]:
                if own is (TABLE.get(sample.function) is entry):
                    if own or len(cases[entry]) < 20:
                        cases[entry].append(sample)
    # Every transform inside another aliases its arguments.
    cases[TABLE[_alias]] = [s for s in CASES if s.function is np.exp]
    return cases


def _entries() -> list[Primitive]:
    """Return every entry that has rules, once, but for those that other tests entered."""
    entries = {
        id(e): e
        for key, e in TABLE.items()
        if isinstance(e, Primitive) and (key is e.function or not isinstance(e.function, np.ufunc))
    }
    return [e for e in entries.values() if isinstance(e.function, np.ufunc) or not _is_ours(e)]


def _is_ours(entry: Primitive) -> bool:
    return entry.function.__module__.startswith(("tests", "test_", "__main__"))


def test_every_wrong_rule_is_noticed(
    cases_of: dict[Primitive, list[Sample]], record_property: Callable[[str, object], None]
) -> None:
    caught, harmless, missed = 0, [], []
    for entry in _entries():
        for argnum, rule in enumerate(entry.rules):
            if rule is None:
                continue
            exercised = False
            for name, change in MUTATIONS.items():
                if name == "of one more axis" and (entry.broadcasts or entry is TABLE[_result]):
                    continue  # which the engine sums away again
                mutant = Mutant(rule, change)
                with planted(entry, argnum, mutant):
                    found = change is not _cut and noticed_by_any(cases_of[entry], _first)
                    if not found and (change is _cut or mutant.differs or not mutant.called):
                        found = noticed_by_any(cases_of[entry], _second)
                if found:
                    caught += 1
                    exercised = True
                    continue
                words = f"{entry.name}, rule {argnum}, {name}"
                (missed if mutant.differs else harmless).append(words)
            if not exercised:
                missed.append(f"{entry.name}, rule {argnum}: no case exercises it")
    record_property(
        "mutations of rules",
        f"{caught} caught, {len(missed)} missed; "
        f"{len(harmless)} more changed no number (zeros negated, all cells equal)",
    )
    assert not missed, "\n".join(missed)


def test_missing_sums_over_broadcast_axes_are_noticed(
    cases_of: dict[Primitive, list[Sample]], record_property: Callable[[str, object], None]
) -> None:
    caught, missed = 0, []
    for entry in _entries():
        if not entry.broadcasts or sum(rule is not None for rule in entry.rules) < 2:
            continue
        with without_summing(entry):
            if noticed_by_any(cases_of[entry], _first, _second):
                caught += 1
            else:
                missed.append(entry.name)
    record_property("missing sums over broadcast axes", f"{caught} caught, {len(missed)} missed")
    assert not missed, missed


def test_wrong_formulas_are_noticed(record_property: Callable[[str, object], None]) -> None:
    caught, missed = 0, []
    for function, entry in list(TABLE.items()):
        if not isinstance(entry, Composite):
            continue

        @functools.wraps(entry.formula)
        def scaled(*args: Any, formula: Any = entry.formula, **kwargs: Any) -> Any:
            result = formula(*args, **kwargs)
            if isinstance(result, (list, tuple)):
                return like_sequence(result, [part * 1.001 for part in result])
            return result * 1.001

        TABLE[function] = replace(entry, formula=scaled)
        try:
            for sample in CASES:
                # A sample may wrap the function in one of its own, to keep a matrix symmetric.
                own = sample.function is function or sample.function not in TABLE
                if own and _value_is_wrong(sample):
                    caught += 1
                    break
            else:
                missed.append(entry.name)
        finally:
            TABLE[function] = entry
    record_property("wrong formulas", f"{caught} caught, {len(missed)} missed")
    assert not missed, missed


def _value_is_wrong(sample: Sample) -> bool:
    try:
        check_value(sample)
    except AssertionError:
        return True
    return False
