"""Losses as people write them, their gradients, and the gradients with a mistake that people make."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import autograd_lite as ag

Claim = Callable[[Any], Any]


@dataclass
class Problem:
    """A loss of one array, its gradient, and what mistakes make of that, by what must be said."""

    name: str
    loss: Callable[[Any], Any]
    right: Claim
    x: Any
    mistakes: dict[str, tuple[str, Claim]] = field(default_factory=dict)


def softmax(z: Any, axis: int = -1) -> Any:
    e = np.exp(z - np.max(z, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


def sigmoid(z: Any) -> Any:
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, e) / (1 + e)


def by_hand(z: Any, y: Any, mean: bool) -> Any:
    """Return a cross-entropy as NumPy code has it."""
    d = z - np.max(z, axis=1, keepdims=True)
    losses = np.log(np.sum(np.exp(d), axis=1)) - np.sum(y * d, axis=1)
    return np.mean(losses) if mean else np.sum(losses)


def softmax_regression(rng: np.random.Generator, scale: float) -> Problem:
    """A cross-entropy of X @ W / T, or of logits."""
    n, k, d = rng.integers(2, 7), rng.integers(3, 6), rng.integers(2, 5)
    while n == k:
        n = rng.integers(2, 7)
    X, labels, mean = rng.normal(size=(n, d)), rng.integers(k, size=n), rng.random() < 0.6
    T = float(rng.choice([1.0, 2.5, 0.7, 3.0]))
    N = n if mean else 1
    way = rng.integers(3)
    of_weights = rng.random() < 0.6
    x = scale * rng.normal(size=(d, k) if of_weights else (n, k))
    if scale > 1 and rng.random() < 0.7:  # saturated, and right
        labels = np.argmax(X @ x if of_weights else x, axis=1)

    y = np.eye(k)[labels]

    def logits(x: Any) -> Any:
        return X @ x if of_weights else x

    def back(slope: Any) -> Any:
        return X.T @ slope if of_weights else slope

    def loss(x: Any) -> Any:
        z = logits(x) / T if T != 1 else logits(x)
        if way == 0:
            return ag.cross_entropy(z, labels, reduction="mean" if mean else "sum")
        if way == 1:
            return by_hand(z, y, mean)
        log_p = np.log(ag.softmax(z)) if scale < 5 else ag.log_softmax(z)
        return -np.sum(y * log_p) / n if mean else -np.sum(y * log_p)

    def p(x: Any, axis: int = -1) -> Any:
        return softmax(logits(x) / T, axis)

    def gradient(slope: Callable[[Any, Any], Any], over: float = N, hot: float = T) -> Claim:
        return lambda x: back(slope(p(x), y)) / (over * hot)

    right = gradient(lambda p, y: p - y)
    problem = Problem(f"softmax, {way}, T={T}", loss, right, x)
    problem.mistakes = {
        "target not subtracted": ("p in place of p - y", gradient(lambda p, y: p)),
        "label's term alone": ("only the label's term|cells are left at zero", gradient(lambda p, y: -y)),
        "label's cell alone": ("only the label's term|cells are left at zero", gradient(lambda p, y: (p - y) * y)),
        "a (1 - a)": ("a sigmoid's p (1 - p) times p - y", gradient(lambda p, y: (p - y) * p * (1 - p))),
        "softmax left out": ("the softmax's own", gradient(lambda p, y: -y / p)),
        "wrong axis": ("the softmax is taken over axis 0, not over axis 1", lambda x: back(p(x, 0) - y) / (N * T)),
        "sigmoid for softmax": ("a sigmoid in place of the softmax", lambda x: back(sigmoid(logits(x) / T) - y) / (N * T)),
        "softmax twice": ("the softmax is taken twice", lambda x: back(softmax(p(x)) - y) / (N * T)),
        "sign": ("the sign is flipped", lambda x: -right(x)),
        "classes": (f"divided by the {k} classes", gradient(lambda p, y: p - y, over=k)),
        "cells": (f"divided by all {n * k} cells", gradient(lambda p, y: p - y, over=n * k)),
    }  # fmt: skip
    if mean:
        problem.mistakes["mean"] = (
            f"the 1/{n} of a mean over {n} is missing|the 1/{n} of a division by {n} is missing",
            gradient(lambda p, y: p - y, over=1),
        )
    else:
        problem.mistakes["mean of a sum"] = (
            f"a mean over {n} in place of a sum",
            gradient(lambda p, y: p - y, over=n),
        )
    if T != 1:
        problem.mistakes["temperature"] = (
            f"the 1/{T:g} of a division by {T:g} is missing",
            gradient(lambda p, y: p - y, hot=1),
        )
        problem.mistakes["temperature in p"] = (
            "the softmax is that of what is not scaled yet",
            lambda x: back(softmax(logits(x)) - y) / (N * T),
        )
    if of_weights and d == k:
        problem.mistakes["transposed"] = ("the matrix is transposed", lambda x: right(x).T)
    return problem


def squared_error(rng: np.random.Generator, scale: float) -> Problem:
    """The squared error of a softmax, or a sigmoid, of logits."""
    n, k = int(rng.integers(2, 6)), int(rng.integers(3, 6))
    while n == k:
        n = int(rng.integers(2, 6))
    y = np.eye(k)[rng.integers(k, size=n)]
    half, hand, soft = rng.random() < 0.5, rng.random() < 0.5, rng.random() < 0.6
    z = scale * rng.normal(size=(n, k))
    mean = rng.random() < 0.5

    def activation(z: Any) -> Any:
        if soft:
            return softmax(z) if hand else ag.softmax(z)
        return 1 / (1 + np.exp(-z)) if hand else ag.nn.sigmoid(z)

    def loss(z: Any) -> Any:
        square = (activation(z) - y) ** 2
        total = np.mean(square) if mean else np.sum(square)
        return 0.5 * total if half else total

    factor = (1 if half else 2) / (n * k if mean else 1)

    def a(z: Any) -> Any:
        return softmax(z) if soft else sigmoid(z)

    def right(z: Any) -> Any:
        g = factor * (a(z) - y)
        return a(z) * (g - np.sum(a(z) * g, axis=1, keepdims=True)) if soft else g * a(z) * (1 - a(z))

    problem = Problem("squared error", loss, right, z)
    problem.mistakes = {
        "sign": ("the sign is flipped", lambda z: -right(z)),
        "activation left out": ("is left out", lambda z: factor * (a(z) - y)),
    }
    if half:
        problem.mistakes["half"] = ("the factor 0.5 is missing", lambda z: 2 * right(z))
    else:
        problem.mistakes["two"] = ("the 2 of the power 2 is missing", lambda z: right(z) / 2)
    if mean:
        for m, what in ((1, f"the 1/{n * k} of a mean over {n * k} is missing"), (n, f"divided by {n}, not by {n * k}"), (k, f"divided by {k}, not by {n * k}")):  # fmt: skip
            problem.mistakes[f"divided by {m}"[: 12 + (m > 1)]] = (what, lambda z, m=m: right(z) * n * k / m)
    if soft:
        def partial(sum_of: Callable[[Any], Any]) -> Claim:
            return lambda z: factor * a(z) * (a(z) - y - sum_of(a(z) * (a(z) - y)))
        problem.mistakes |= {
            "diagonal of the Jacobian": ("the diagonal of the softmax's Jacobian alone", lambda z: factor * (a(z) - y) * a(z) * (1 - a(z))),
            "sum left out": ("the sum in the softmax's derivative, p (g - Σ p g), is left out", partial(lambda t: 0)),
            "sum over the wrong axis": ("the sum in the softmax's derivative is over axis 0, not axis 1", partial(lambda t: t.sum(axis=0))),
        }  # fmt: skip
    return problem


def logistic_regression(rng: np.random.Generator, scale: float) -> Problem:
    """A binary cross-entropy of X @ w."""
    n, d = int(rng.integers(3, 8)), int(rng.integers(2, 5))
    X, y = rng.normal(size=(n, d)), rng.integers(2, size=n).astype(float)
    y[:2] = 0, 1
    w, way = scale * rng.normal(size=d), rng.integers(2)

    def loss(w: Any) -> Any:
        z = X @ w
        if way:
            return ag.nn.binary_cross_entropy_with_logits(z, y)
        return np.mean(np.logaddexp(0, z) - y * z)

    def gradient(slope: Callable[[Any, Any], Any], over: float = n) -> Claim:
        return lambda w: X.T @ slope(sigmoid(X @ w), y) / over

    right = gradient(lambda p, y: p - y)
    problem = Problem("logistic regression", loss, right, w)
    problem.mistakes = {
        "sign": ("the sign is flipped", gradient(lambda p, y: y - p)),
        "mean": (f"the 1/{n} of a mean over {n} is missing", gradient(lambda p, y: p - y, over=1)),
        "target not subtracted": ("p in place of p - y", gradient(lambda p, y: p)),
        "label's term alone": ("only the label's term", gradient(lambda p, y: -y)),
        "a (1 - a)": ("a sigmoid's p (1 - p) times p - y", gradient(lambda p, y: (p - y) * p * (1 - p))),
        "softmax for sigmoid": ("a softmax in place of the sigmoid", lambda w: X.T @ (softmax(X @ w) - y) / n),
    }  # fmt: skip
    return problem


def probabilities_for_logits(rng: np.random.Generator, scale: float) -> Problem:
    """A loss that takes logits and is given a softmax, or a sigmoid."""
    n, k, soft = int(rng.integers(2, 6)), int(rng.integers(3, 6)), rng.random() < 0.6
    labels = rng.integers(k, size=n)
    y = np.eye(k)[labels]
    z = scale * rng.normal(size=(n, k))
    if soft:
        def loss(z: Any) -> Any:
            return ag.cross_entropy(ag.softmax(z), labels)

        def right(z: Any) -> Any:
            a = softmax(z)
            g = (softmax(a) - y) / n
            return a * (g - np.sum(a * g, axis=1, keepdims=True))

        return Problem("softmax before logits", loss, right, z, {
            "softmax before logits": ("softmax before a loss that takes logits", lambda z: (softmax(z) - y) / n),
        })  # fmt: skip

    def binary(z: Any) -> Any:
        return ag.nn.binary_cross_entropy_with_logits(ag.nn.sigmoid(z), y)

    def right_(z: Any) -> Any:
        a = sigmoid(z)
        return (sigmoid(a) - y) / (n * k) * a * (1 - a)

    return Problem("sigmoid before logits", binary, right_, z, {
        "sigmoid before logits": ("sigmoid before a loss that takes logits", lambda z: (sigmoid(z) - y) / (n * k)),
    })  # fmt: skip


def regression(rng: np.random.Generator, scale: float) -> Problem:
    """A squared error of a small net, with a penalty."""
    n, d, h = 6, int(rng.integers(2, 4)), int(rng.integers(2, 4))
    X, t, v = rng.normal(size=(n, d)), rng.normal(size=n), rng.normal(size=h)
    W = scale * rng.normal(size=(d, h))
    strength = float(rng.choice([0.1, 0.3]))

    def loss(W: Any) -> Any:
        return np.mean((np.tanh(X @ W) @ v - t) ** 2) + strength * np.sum(W * W)

    def data(W: Any, slope: bool = True, over: float = n) -> Any:
        a = np.tanh(X @ W)
        g = 2 * np.outer(a @ v - t, v) / over
        return X.T @ (g * (1 - a * a) if slope else g)

    def right(W: Any) -> Any:
        return data(W) + 2 * strength * W

    return Problem("a net with a penalty", loss, right, W, {
        "sign": ("the sign is flipped", lambda W: -right(W)),
        "activation left out": ("the derivative of np.tanh is left out", lambda W: data(W, slope=False) + 2 * strength * W),
        "penalty left out": ("is left out, one of", data),
        "mean": (f"the 1/{n} of a mean over {n} is missing", lambda W: data(W, over=1) + 2 * strength * W),
        "factor": (f"the factor {strength:g} is missing", lambda W: data(W) + 2 * W),
    })  # fmt: skip


def bias(rng: np.random.Generator, scale: float) -> Problem:
    """A cross-entropy of X @ W + b in b, with as many rows as classes."""
    n = int(rng.integers(3, 6))
    Z, labels = scale * rng.normal(size=(n, n)), rng.integers(n, size=n)
    y, b = np.eye(n)[labels], scale * rng.normal(size=n)

    def loss(b: Any) -> Any:
        return ag.cross_entropy(Z + b, labels, reduction="sum")

    def right(b: Any) -> Any:
        return np.sum(softmax(Z + b) - y, axis=0)

    def along_rows(b: Any) -> Any:
        return np.sum(softmax(Z + b) * (1 + 0 * y) - y, axis=1)

    return Problem("a bias", loss, right, b, {
        "sign": ("the sign is flipped", lambda b: -right(b)),
        "mean of a sum": (f"a mean over {n} in place of a sum", lambda b: right(b) / n),
    })  # fmt: skip


PROBLEMS = [
    softmax_regression, softmax_regression, squared_error, logistic_regression,
    probabilities_for_logits, regression, bias,
]  # fmt: skip


def drawn(seed: int, scale: float) -> Iterator[Problem]:
    """Yield one problem of each kind."""
    rng = np.random.default_rng(seed)
    for make in PROBLEMS:
        yield make(rng, scale)
