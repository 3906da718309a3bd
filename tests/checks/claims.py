"""Losses as people write them, their gradients, and what mistakes that people make make of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import autograd_lite as ag

Claim = Callable[[Any], Any]


@dataclass
class Problem:
    """A loss of one array and its gradient there.

    ``mistakes`` are wrong gradients, by their kind: what the cause must say, alternatives between
    bars, and the claim.
    """

    name: str
    loss: Callable[[Any], Any]
    right: Claim
    x: Any
    mistakes: dict[str, tuple[str, Claim]]


def softmax(z: Any, axis: int = -1) -> Any:
    e = np.exp(z - np.max(z, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


def sigmoid(z: Any) -> Any:
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, e) / (1 + e)


def sizes(rng: np.random.Generator) -> tuple[int, int]:
    """Return a number of rows, and another of classes."""
    n, k = (int(i) for i in rng.choice(np.arange(2, 7), 2, replace=False))
    return (n, k) if k > 2 else (k, n)


def by_hand(z: Any, y: Any) -> Any:
    """Return the losses of rows as NumPy code has them."""
    d = z - np.max(z, axis=1, keepdims=True)
    return np.log(np.sum(np.exp(d), axis=1)) - np.sum(y * d, axis=1)


def softmax_regression(rng: np.random.Generator, scale: float) -> Problem:
    """Return a cross-entropy of logits or of X @ W, perhaps with a temperature."""
    (n, k), d = sizes(rng), int(rng.integers(2, 6))
    X, labels, mean = rng.normal(size=(n, d)), rng.integers(k, size=n), rng.random() < 0.6
    T, way, of_weights = float(rng.choice([1.0, 2.5, 0.7])), rng.integers(3), rng.random() < 0.6
    x = scale * rng.normal(size=(d, k) if of_weights else (n, k))
    if scale > 1 and rng.random() < 0.7:  # certain of the right labels
        labels = np.argmax(X @ x if of_weights else x, axis=1)
    y, N = np.eye(k)[labels], n if mean else 1

    def logits(x: Any) -> Any:
        return X @ x if of_weights else x

    def loss(x: Any) -> Any:
        z = logits(x) / T if T != 1 else logits(x)
        if way == 0:
            return ag.cross_entropy(z, labels, reduction="mean" if mean else "sum")
        if way == 1:
            return np.mean(by_hand(z, y)) if mean else np.sum(by_hand(z, y))
        log_p = np.log(ag.softmax(z)) if scale < 5 else ag.log_softmax(z)
        return -np.sum(y * log_p) / n if mean else -np.sum(y * log_p)

    def claim(slope: Callable[[Any, Any], Any], over: float = N, hot: float = T) -> Claim:
        def gradient(x: Any) -> Any:
            d = slope(logits(x) / T, softmax(logits(x) / T)) / (over * hot)
            return X.T @ d if of_weights else d

        return gradient

    right = claim(lambda z, p: p - y)
    alone = "only the label's term|cells are left at zero"
    mistakes = {
        "sign": ("the sign is flipped", lambda x: -right(x)),
        "target not subtracted": ("p in place of p - y", claim(lambda z, p: p)),
        "label's term alone": (alone, claim(lambda z, p: -y)),
        "label's cell alone": (alone, claim(lambda z, p: (p - y) * y)),
        "a (1 - a)": ("a sigmoid's p (1 - p)", claim(lambda z, p: (p - y) * p * (1 - p))),
        "softmax left out": ("the softmax's own", claim(lambda z, p: -y / p)),
        "softmax over the wrong axis": (
            "the softmax is taken over axis 0, not over axis 1",
            claim(lambda z, p: softmax(z, 0) - y),
        ),
        "sigmoid for softmax": (
            "a sigmoid in place of the softmax",
            claim(lambda z, p: sigmoid(z) - y),
        ),
        "softmax twice": ("the softmax is taken twice", claim(lambda z, p: softmax(p) - y)),
    }
    for m, of in ((k, "classes"), (n * k, "cells")):
        said = f"a mean over {m} in place of a sum"
        if mean:  # 1/k more is a mean over k
            said = f"divided by {m}, not by {n}|a mean over {k} in place of a sum"
        mistakes[f"by the {of}"] = (said, claim(lambda z, p: p - y, over=m))
    if mean:
        said = f"the 1/{n} of a mean over {n} is missing|the 1/{n} of a division by {n} is missing"
        mistakes["mean's 1/N"] = (said, claim(lambda z, p: p - y, over=1))
    else:
        said = f"a mean over {n} in place of a sum"
        mistakes["mean of a sum"] = (said, claim(lambda z, p: p - y, over=n))
    if T != 1:
        said = f"the 1/{T:g} of a division by {T:g} is missing"
        mistakes["temperature's 1/T"] = (said, claim(lambda z, p: p - y, hot=1))
    if of_weights and d == k:
        mistakes["transposed"] = ("the matrix is transposed", lambda x: right(x).T)
    return Problem(f"softmax regression, {way}", loss, right, x, mistakes)


def squared_error(rng: np.random.Generator, scale: float) -> Problem:
    """Return the squared error of a softmax, or a sigmoid, of logits."""
    n, k = sizes(rng)
    half, hand, soft, mean = rng.random(4) < [0.5, 0.5, 0.7, 0.5]
    y, z = np.eye(k)[rng.integers(k, size=n)], scale * rng.normal(size=(n, k))
    factor = (1 if half else 2) / (n * k if mean else 1)

    def loss(z: Any) -> Any:
        if soft:
            a = softmax(z) if hand else ag.softmax(z)
        else:
            a = 1 / (1 + np.exp(-z)) if hand else ag.nn.sigmoid(z)
        total = np.mean((a - y) ** 2) if mean else np.sum((a - y) ** 2)
        return 0.5 * total if half else total

    def claim(slope: Callable[[Any, Any], Any]) -> Claim:
        def gradient(z: Any) -> Any:
            a = softmax(z) if soft else sigmoid(z)
            return slope(a, factor * (a - y))

        return gradient

    def over(axis: int) -> Claim:
        return claim(lambda a, g: a * (g - np.sum(a * g, axis=axis, keepdims=True)))

    right = over(1) if soft else claim(lambda a, g: a * (1 - a) * g)
    mistakes = {
        "sign": ("the sign is flipped", lambda z: -right(z)),
        "activation left out": ("own derivative|derivative of ag.nn", claim(lambda a, g: g)),
        "power's 2": ("the 2 of the power 2 is missing", lambda z: right(z) / 2),
    }
    if half:
        mistakes["factor"] = ("the factor 0.5 is missing", lambda z: 2 * right(z))
        del mistakes["power's 2"]  # there twice, the half is all the same
    if mean:
        said = f"the 1/{n * k} of a mean over {n * k} is missing"
        mistakes["mean's 1/N"] = (said, lambda z: right(z) * n * k)
        for m, of in ((n, "rows"), (k, "classes")):
            said = f"divided by {m}, not by {n * k}"
            mistakes[f"by the {of}"] = (said, lambda z, m=m: right(z) * n * k / m)
    if soft:
        alone = "the diagonal of the softmax's Jacobian alone"
        mistakes["diagonal of the Jacobian"] = (alone, claim(lambda a, g: a * (1 - a) * g))
        said = "the sum in the softmax's derivative, p (g - Σ p g), is left out"
        mistakes["sum left out"] = (said, claim(lambda a, g: a * g))
        said = "the sum in the softmax's derivative is over axis 0, not axis 1"
        mistakes["sum over the wrong axis"] = (said, over(0))
    return Problem("squared error", loss, right, z, mistakes)


def logistic_regression(rng: np.random.Generator, scale: float) -> Problem:
    """Return a binary cross-entropy of X @ w."""
    n, d, fused = int(rng.integers(3, 8)), int(rng.integers(2, 5)), rng.random() < 0.5
    X, y = rng.normal(size=(n, d)), rng.integers(2, size=n).astype(float)
    y[:2] = 0, 1

    def loss(w: Any) -> Any:
        if fused:
            return ag.nn.binary_cross_entropy_with_logits(X @ w, y)
        return np.mean(np.logaddexp(0, X @ w) - y * (X @ w))

    def claim(slope: Callable[[Any], Any], over: float = n) -> Claim:
        return lambda w: X.T @ slope(X @ w) / over

    right = claim(lambda z: sigmoid(z) - y)
    mistakes = {
        "sign": ("the sign is flipped", lambda w: -right(w)),
        "mean's 1/N": (
            f"the 1/{n} of a mean over {n} is missing",
            claim(lambda z: sigmoid(z) - y, over=1),
        ),
        "target not subtracted": ("p in place of p - y", claim(sigmoid)),
        "label's term alone": ("only the label's term", claim(lambda z: -y)),
        "a (1 - a)": (
            "a sigmoid's p (1 - p) times p - y",
            claim(lambda z: (sigmoid(z) - y) * sigmoid(z) * (1 - sigmoid(z))),
        ),
        "softmax for sigmoid": (
            "a softmax in place of the sigmoid",
            claim(lambda z: softmax(z) - y),
        ),
    }
    return Problem("logistic regression", loss, right, scale * rng.normal(size=d), mistakes)


def probabilities_for_logits(rng: np.random.Generator, scale: float) -> Problem:
    """Return a loss that takes logits and is given a softmax, or a sigmoid."""
    (n, k), soft = sizes(rng), rng.random() < 0.6
    labels = rng.integers(k, size=n)
    y, z = np.eye(k)[labels], scale * rng.normal(size=(n, k))
    activation, N = (softmax, n) if soft else (sigmoid, n * k)

    def loss(z: Any) -> Any:
        if soft:
            return ag.cross_entropy(ag.softmax(z), labels)
        return ag.nn.binary_cross_entropy_with_logits(ag.nn.sigmoid(z), y)

    def right(z: Any) -> Any:
        a = activation(z)
        g = (activation(a) - y) / N
        return a * (g - np.sum(a * g, axis=1, keepdims=True)) if soft else a * (1 - a) * g

    said = f"{activation.__name__} before a loss that takes logits"
    mistakes = {
        "sign": ("the sign is flipped", lambda z: -right(z)),
        said: (said, lambda z: (activation(z) - y) / N),
    }
    return Problem("probabilities for logits", loss, right, z, mistakes)


def net(rng: np.random.Generator, scale: float) -> Problem:
    """Return the squared error of a small net, with a penalty."""
    n, d, h = 6, int(rng.integers(2, 4)), int(rng.integers(2, 4))
    X, t, v = rng.normal(size=(n, d)), rng.normal(size=n), rng.normal(size=h)
    strength = float(rng.choice([0.1, 0.3]))

    def loss(W: Any) -> Any:
        return np.mean((np.tanh(X @ W) @ v - t) ** 2) + strength * np.sum(W * W)

    def claim(slope: bool = True, over: float = n, penalty: float = strength) -> Claim:
        def gradient(W: Any) -> Any:
            a = np.tanh(X @ W)
            g = 2 * np.outer(a @ v - t, v) / over
            return X.T @ (g * (1 - a * a) if slope else g) + 2 * penalty * W

        return gradient

    right = claim()
    mistakes = {
        "sign": ("the sign is flipped", lambda W: -right(W)),
        "activation left out": ("the derivative of np.tanh is left out", claim(slope=False)),
        "mean's 1/N": (f"the 1/{n} of a mean over {n} is missing", claim(over=1)),
        "factor": (f"the factor {strength:g} is missing", claim(penalty=1)),
    }
    return Problem("a net with a penalty", loss, right, scale * rng.normal(size=(d, h)), mistakes)


def bias(rng: np.random.Generator, scale: float) -> Problem:
    """Return the squared error of a bias that broadcasting repeats, as many rows as columns."""
    n = int(rng.integers(3, 6))
    Z, t = scale * rng.normal(size=(n, n)), rng.normal(size=(n, n))

    def claim(axis: int = 0) -> Claim:
        def gradient(b: Any) -> Any:
            a = np.tanh(Z + b)
            return np.sum(2 * (a - t) * (1 - a * a), axis=axis)

        return gradient

    right = claim()
    mistakes = {
        "sign": ("the sign is flipped", lambda b: -right(b)),
        "mean of a sum": (f"a mean over {n} in place of a sum", lambda b: right(b) / n),
        "sum over the wrong axis": ("the sum is taken over axis 1, not over axis 0", claim(1)),
    }

    def loss(b: Any) -> Any:
        return np.sum((np.tanh(Z + b) - t) ** 2)

    return Problem("a bias", loss, right, scale * rng.normal(size=n), mistakes)


MAKERS = [softmax_regression, softmax_regression, squared_error, logistic_regression]
MAKERS += [probabilities_for_logits, net, bias]


def drawn(seed: int, scale: float = 1.0) -> list[Problem]:
    """Return a problem of each kind; a large scale saturates its activations."""
    rng = np.random.default_rng(seed)
    return [make(rng, scale) for make in MAKERS]
