"""Random claims: right ones are never called wrong, and no wrong one is explained falsely."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite.checks.mistakes import likely_cause
from tests.checks.claims import Claim, Problem, drawn
from tests.sample import Sample
from tests.samples import SAMPLES

SCALES = (1.0, 30.0, 300.0, 3000.0)  # of the arguments


def checked(problem: Problem, claim: Claim, constant: float = 0.0) -> Any:
    def loss(x: Any) -> Any:
        return problem.loss(x) + constant if constant else problem.loss(x)

    with np.errstate(all="ignore"):
        return ag.check_closed_form(loss, claim, problem.x)


def right_claims(seeds: range) -> int:
    """Check right claims, of saturated activations too, and return how many."""
    count = 0
    for seed in seeds:
        for scale in SCALES:
            for problem in drawn(seed, scale):
                report = checked(problem, problem.right, constant=7.0 * (seed % 2))
                found = {cell.verdict for cell in report.cells}
                assert found <= {"ok", "rounding"}, f"{problem.name}, {seed}, {scale}: {report}"
                assert report.ok
                assert report.cause is None
                count += 1
    return count


def named_mistakes(seeds: range) -> tuple[Counter[str], Counter[str]]:
    """Check claims with a mistake each, and return how many there are of each kind, and named."""
    total, named = Counter[str](), Counter[str]()
    for seed in seeds:
        for problem in drawn(seed):
            for kind, (said, claim) in problem.mistakes.items():
                report = checked(problem, claim)
                assert report.wrong, f"{problem.name}, {seed}, {kind}: {report}"
                total[kind] += 1
                named[kind] += any(text in (report.cause or "") for text in said.split("|"))
                explained(problem, claim, report.cause)
    return total, named


def explained(problem: Problem, claim: Claim, cause: str | None) -> None:
    """Assert that what a cause says of sizes is so, and that the loss has the mean it speaks of."""
    text = cause or ""
    if size := re.match(r"every cell is ([\d.e-]+) times too (large|small)", text):
        factor = float(size[1]) if size[2] == "large" else 1 / float(size[1])
        right, wrong = problem.right(problem.x), claim(problem.x)
        np.testing.assert_allclose(wrong, factor * right, rtol=1e-5)
    if "of a mean over" in text:
        graph = ag.graph(problem.loss(ag.Tensor(problem.x, requires_grad=True)), names={})
        assert {int(n) for n in re.findall(r"of a mean over (\d+)", text)} <= means_of(graph)


def means_of(graph: Any) -> set[int]:
    """Return over how many numbers the means in a graph are."""
    found = set()
    for node in graph.nodes:
        sources = [graph.nodes[edge.source] for edge in node.arguments]
        if node.function == "np.mean":
            found.add(int(np.prod(sources[0].shape)) // max(1, int(np.prod(node.shape))))
        elif node.fused:  # of a cross-entropy
            found.add(sources[0].shape[0])
        elif node.function == "np.divide" and sources[-1].kind == "constant":
            found.add(int(sources[-1].value.array))
    return found


def random_claims(seed: int) -> Iterator[tuple[Problem, Claim, str | None]]:
    """Yield claims that are wrong at random, and what may be said of them."""
    rng = np.random.default_rng(seed)
    for problem in drawn(seed):
        noise, cells = rng.normal(size=problem.x.shape), rng.random(problem.x.shape) < 0.5
        cells.flat[rng.integers(cells.size)] = True
        right = problem.right
        yield problem, lambda x, e=noise: e, None
        yield problem, lambda x, e=noise, f=right: f(x) + e, None
        yield problem, lambda x, e=noise, f=right: f(x) * (1 + e), None
        yield problem, lambda x, e=noise, f=right: np.sin(f(x)) * e, None
        if cells.size > 2 and not cells.all():
            yield problem, lambda x, e=0.1 * noise * cells, f=right: f(x) + e, None
        factor = float(rng.uniform(0.1, 10))
        said = f"every cell is {factor:.10g} times the right one"
        yield problem, lambda x, c=factor, f=right: c * f(x), said


def wrong_at_random(seeds: range) -> int:
    """Check claims that are wrong at random, and return how many."""
    count = 0
    for seed in seeds:
        for problem, claim, said in random_claims(seed):
            report = checked(problem, claim)
            assert report.wrong, f"{problem.name}, {seed}: {report}"
            assert report.cause == said, f"{problem.name}, {seed}: {report}"
            count += 1
    return count


def test_right_claims_are_never_called_wrong() -> None:
    assert right_claims(range(3)) == 84


def test_mistakes_are_named() -> None:
    total, named = named_mistakes(range(4))
    assert total.total() > 150
    assert named == total


def test_what_is_wrong_at_random_is_not_explained() -> None:
    assert wrong_at_random(range(3)) > 100


@pytest.mark.slow
def test_five_thousand_claims() -> None:
    total, named = named_mistakes(range(1000, 1045))
    at_random, right = wrong_at_random(range(1000, 1042)), right_claims(range(1000, 1042))
    for kind in sorted(total):
        print(f"{kind:45} {named[kind]:4} of {total[kind]:4} named")
    print(f"{named.total()} of {total.total()} named; {at_random} wrong at random; {right} right")
    assert total.total() + at_random + right >= 5000
    for kind in total:
        assert named[kind] >= 0.95 * total[kind], kind


def scalar_of(sample: Sample) -> tuple[Any, list[Any], int] | None:
    """Return a number made of a sample's results, its arguments, and one that is an array."""
    args = list(sample.args)
    places = [i for i, a in enumerate(args) if isinstance(a, np.ndarray) and a.dtype == float]
    if not places or sample.function in (np.select, np.full):  # of no array that is an argument
        return None

    def total(*args: Any) -> Any:
        results = sample.function(*args, **sample.kwargs)
        several = results if isinstance(results, (tuple, list)) else [results]
        return sum(np.sum(r * (1 + 0.1 * k)) for k, r in enumerate(several) if r.dtype.kind == "f")

    return total, args, places[0]


def test_hints_can_be_looked_for_whatever_the_function() -> None:
    """Of every function of the table: the sign is seen, and noise is not explained."""
    rng, count = np.random.default_rng(0), 0
    for made in map(scalar_of, SAMPLES):
        if made is None:
            continue
        f, args, place = made
        with np.errstate(all="ignore"):
            gradient = ag.grad(f, place)(*args)
        counted = np.ones(gradient.shape, bool)
        noise = rng.normal(size=gradient.shape)
        found = likely_cause(f, lambda *_, n=gradient + noise: n, args, place, counted)
        assert found is None or not gradient.size
        if np.any(gradient):
            found = likely_cause(f, lambda *_, n=-gradient: n, args, place, counted)
            assert found == "the sign is flipped"
            count += 1
    assert count > 250
