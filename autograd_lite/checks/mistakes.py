"""The usual mistakes in a closed form, recognised by what they make of the gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from autograd_lite.checks.steps import Steps
from autograd_lite.transforms.trees import Function, Tree

SIGN, ZERO = "the sign is flipped", "cells are left at zero that the loss reaches too"
LEAST = 9  # parts that no explanation by mistakes has


@np.errstate(all="ignore")
def likely_cause(
    f: Function, claim: Function, args: Sequence[Tree], argnum: int, counted: Any
) -> str | None:
    """Return the simplest of the usual mistakes in a gradient of f that explain a claim, if any.

    They must explain it in every cell that is ``counted``, and at a second argument as well, lest
    numbers agree by chance.
    """
    claimed = claim(*args)
    found = _explanations(claimed, Steps(f, args, argnum), counted)
    if not found:
        return None
    try:
        moved = list(args)
        rng = np.random.default_rng(0)
        moved[argnum] = args[argnum] * (1 + rng.uniform(0, 0.1, np.shape(args[argnum])))
        there = claim(*moved)
        if not np.array_equal(there, claimed):  # a claim that is no function of the argument
            also = _explanations(there, Steps(f, moved, argnum), counted)
            found = {text: parts for text, parts in found.items() if text in also}
    except Exception:  # one of them is not defined there
        pass
    least = min(found.values(), default=0)
    return ", or ".join([text for text, parts in found.items() if parts == least][:3]) or None


def _explanations(claimed: Any, steps: Steps, counted: Any) -> dict[str, float]:
    """Return the mistakes that make a claim of the gradient, and of how many parts they consist."""
    gradient = steps.gradient
    variants = list(steps.variants())
    factors = [(v.text, v.factor) for v in variants if v.factor is not None]
    forms = [("", gradient), *((v.text, v.gradient) for v in variants if v.factor is None)]
    ratio_of = {"": 1.0, **dict(factors)}
    found: dict[str, float] = {}
    may_be_turned = claimed.ndim == 2 and claimed.T.shape == gradient.shape
    for claim in (claimed, claimed.T) if may_be_turned else (claimed,):
        turned = "the matrix is transposed" * (claim is not claimed)
        for text, form in forms:
            for sign, factor in _matches(claim[counted], form[counted], factors):
                size = "" if text else _size(ratio_of[factor])
                parts = [*filter(None, (turned, sign, text, factor and size + factor))]
                found.setdefault(", and ".join(parts), len(parts))
        left = np.abs(claim) <= _rounding(gradient)
        if (left & (gradient != 0))[counted].any():
            kept = np.where(left, 0, gradient)
            for sign, _ in _matches(claim[counted], kept[counted], []):
                parts = [*filter(None, (turned, sign, ZERO))]
                found.setdefault(", and ".join(parts), len(parts) - 0.5)  # said with fewer words
    ratio = _ratio(claimed[counted], gradient[counted])
    many = (gradient[counted] != 0).sum() > 1  # any factor explains a single cell
    plain = 1e-6 < abs(ratio) < 1e6 and abs(abs(ratio) - 1) > 1e-9
    if many and plain and _same(claimed, ratio * gradient, counted):
        found.setdefault(f"every cell is {ratio:.10g} times the right one", LEAST)
    return {text: parts for text, parts in found.items() if parts}


def _matches(
    claim: Any, form: Any, factors: Sequence[tuple[str, float]]
) -> Iterator[tuple[str, str]]:
    """Yield by which sign and factor a claim is a form of the gradient."""
    ratio = _ratio(claim, form)
    for text, factor in (("", 1.0), *factors):
        if abs(abs(ratio) - abs(factor)) < 1e-6 * abs(factor):
            sign = np.sign(ratio * factor)
            if _same(claim, sign * factor * form, ...):
                yield SIGN * int(sign < 0), text


def _size(factor: float) -> str:
    if factor == 1:
        return ""
    wrong = f"{factor:.6g} times too large" if factor > 1 else f"{1 / factor:.6g} times too small"
    return f"every cell is {wrong}: "


def _ratio(claim: Any, form: Any) -> float:
    there = (form != 0) & (np.abs(form) > _rounding(form))
    return float(np.median(claim[there] / form[there])) if there.any() else 1.0


def _rounding(form: Any) -> Any:
    return 500 * np.finfo(form.dtype).eps * np.max(np.abs(form), initial=0)


def _same(claim: Any, form: Any, counted: Any) -> bool:
    """Whether a claim is a form of the gradient but for rounding, in every cell."""
    rtol = np.finfo(form.dtype).eps ** 0.6
    return bool(np.allclose(claim[counted], form[counted], rtol=rtol, atol=_rounding(form)))
