"""The usual mistakes in a closed form, recognised by what they make of the gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def likely_cause(claimed: Any, gradient: Any, same: Callable[[Any, Any], bool]) -> str | None:
    """Return which of the usual mistakes turn a gradient into the claimed one, if some do."""
    may_be_turned = gradient.ndim == 2 and claimed.T.shape == gradient.shape
    for claim in (claimed, claimed.T) if may_be_turned else (claimed,):
        left_out = (claim == 0) & (gradient != 0)
        there = (gradient != 0) & ~left_out
        if not there.any():
            return "cells are left at zero that the loss reaches too" if left_out.any() else None
        factor = float(np.median(claim[there] / gradient[there]))
        plain = same(abs(factor) * gradient, gradient)
        usual = plain or there.sum() > 1  # any factor explains a single cell
        if usual and same(claim[there], factor * gradient[there]) and same(claim[gradient == 0], 0):
            causes = [
                "the matrix is transposed" * (claim is not claimed),
                "the sign is flipped" * (factor < 0),
                "" if plain else _explained_factor(abs(factor)),
                "cells are left at zero that the loss reaches too" * bool(left_out.any()),
            ]
            return ", and ".join(filter(None, causes)) or None
    return _softmax_mistake(claimed, gradient, same)


def _explained_factor(factor: float) -> str:
    for ratio, text in (
        (factor, "{0} times too large: the 1/{0} of a mean over {0} is missing"),
        (1 / factor, "{0} times too small: a mean over {0} in place of a sum"),
    ):
        n = round(ratio)
        if n > 1 and abs(ratio - n) < 1e-5:
            two = ", or a 2 is" + (" too many" if factor > 1 else " missing") if n == 2 else ""
            return f"every cell is {text.format(n)}{two}"
    return f"every cell is {factor:.10g} times the right one"


def _softmax_mistake(claimed: Any, gradient: Any, same: Callable[[Any, Any], bool]) -> str | None:
    """Return what was done to ``p - y``, if that is what the gradient is, row by row."""
    rows = gradient.reshape(-1, gradient.shape[-1] if gradient.ndim else 1)
    if not ((rows < 0).sum(axis=-1) == 1).all() or not same(rows.sum(axis=-1), 0):
        return None
    y = np.where(gradient < 0, 1.0, 0.0)
    for count in dict.fromkeys((1, len(rows))):  # of a sum, of a mean
        p = count * gradient + y
        if (p < 0).any():
            continue
        with np.errstate(all="ignore"):
            forms = {
                "p in place of p - y: the target is not subtracted": p,
                "-p in place of p - y": -p,
                "y in place of p - y": y,
                "-y in place of p - y": -y,
                "-y / p: the derivative in the probabilities, the softmax's own left out": -y / p,
                "a sigmoid's p (1 - p) times p - y: the logarithm has cancelled it":
                    p * (1 - p) * (p - y),
            }  # fmt: skip
        for text, form in forms.items():
            if same(claimed, form / count):
                return text
            if same(claimed, form):
                return f"{text}, and the 1/{count} of a mean over {count} is missing"
    return None
