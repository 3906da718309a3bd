"""The usual mistakes in a closed form, recognised by what they make of the gradient."""

from __future__ import annotations

from collections.abc import Sequence
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
    if not (np.isfinite(gradient).all() and np.isfinite(claimed).all()):
        return {}
    forms, factors = [("", gradient)], {"": 1.0}
    for mistake in steps.mistakes():
        share, factor = steps.share(mistake.node, mistake.change), mistake.factor
        if factor is not None and np.allclose(share, (factor - 1) * gradient, rtol=1e-9, atol=0):
            factors[mistake.text] = factor
        elif not (_same(gradient + share, gradient) or _same(gradient + share, -gradient)):
            forms.append((mistake.text, gradient + share))
    found: dict[str, float] = {}
    may_be_turned = claimed.ndim == 2 and claimed.T.shape == gradient.shape
    for claim in (claimed, claimed.T) if may_be_turned else (claimed,):
        turned = "the matrix is transposed" * (claim is not claimed)
        left = (np.abs(claim) <= _rounding(gradient)) & (gradient != 0) & counted
        zeroed = [(ZERO, np.where(left, claim, gradient))] if left.any() else []
        for text, form in forms + zeroed:
            for said, factor in factors.items() if text != ZERO else [("", 1.0)]:
                sign = np.sign(_ratio(claim[counted], form[counted]) * factor)
                if _same(claim[counted], sign * factor * form[counted]):
                    size = _size(factor) if said and not text else ""
                    parts = [*filter(None, (turned, SIGN * bool(sign < 0), text, size + said))]
                    found.setdefault(", and ".join(parts), len(parts) - (text == ZERO) / 2)
    there, ratio = gradient[counted], _ratio(claimed[counted], gradient[counted])
    plain = 1e-6 < abs(ratio) < 1e6 and abs(abs(ratio) - 1) > 1e-9
    # Any factor explains a single cell.
    if plain and (there != 0).sum() > 1 and _same(claimed[counted], ratio * there):
        found.setdefault(f"every cell is {ratio:.10g} times the right one", LEAST)
    return {text: parts for text, parts in found.items() if text}


def _size(factor: float) -> str:
    size = abs(factor)
    wrong = f"{size:.6g} times too large" if size > 1 else f"{1 / size:.6g} times too small"
    return f"every cell is {wrong}: "


def _ratio(claim: Any, form: Any) -> float:
    there = np.abs(form) > _rounding(form)
    return float(np.median(claim[there] / form[there])) if there.any() else 1.0


def _rounding(form: Any) -> Any:
    return 500 * np.finfo(form.dtype).eps * np.max(np.abs(form), initial=0)


def _same(claim: Any, form: Any) -> bool:
    """Whether a claim is a form of the gradient but for rounding, in every cell."""
    rtol = np.finfo(form.dtype).eps ** 0.6
    return bool(np.allclose(claim, form, rtol=rtol, atol=_rounding(form)))
