"""What check_closed_form tells a learner: wrong cells, causes, kinks, rounding, bad rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autograd_lite as ag

RNG = np.random.default_rng(1)
X = RNG.normal(size=(4, 3))
W = RNG.normal(size=(3, 3))
LABELS = np.array([0, 2, 1, 0])
Y = np.eye(3)[LABELS]
Z = X @ W


def loss_of_weights(W: Any) -> Any:
    return ag.cross_entropy(X @ W, LABELS)


def loss_of_logits(z: Any) -> Any:
    return ag.cross_entropy(z, LABELS)


def right(W: Any) -> Any:
    return X.T @ (ag.softmax(X @ W) - Y) / 4


def p(z: Any) -> Any:
    return ag.softmax(z)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_right_claim_is_right(dtype: Any) -> None:
    report = ag.check_closed_form(
        loss_of_logits, lambda z: (p(z) - Y.astype(dtype)) / 4, Z.astype(dtype)
    )
    assert report.ok
    assert report.max_ulp < 16
    assert report.cause is None
    assert str(report).endswith(f"ulp ({np.dtype(dtype)}).")


@pytest.mark.parametrize(
    ("claim", "cause"),
    [
        (lambda W: -right(W), "the sign is flipped"),
        (lambda W: right(W).T, "the matrix is transposed"),
        (lambda W: -right(W).T, "the matrix is transposed, and the sign is flipped"),
        (
            lambda W: 4 * right(W),
            "every cell is 4 times too large: the 1/4 of a mean over 4 is missing",
        ),
        (
            lambda W: right(W) / 4,
            "every cell is 4 times too small: a mean over 4 in place of a sum",
        ),
        (
            lambda W: right(W) / 2,
            "every cell is 2 times too small: a mean over 2 in place of a sum, or a 2 is missing",
        ),
        (
            lambda W: -4 * right(W),
            "the sign is flipped, and every cell is 4 times too large: "
            "the 1/4 of a mean over 4 is missing",
        ),
        (lambda W: 0.3 * right(W), "every cell is 0.3 times the right one"),
        (lambda W: right(W) * [1, 0, 1], "cells are left at zero that the loss reaches too"),
        (lambda W: right(W) + 0.1 * W, None),
    ],
)
def test_the_usual_mistakes_in_weights_are_named(claim: Any, cause: str | None) -> None:
    report = ag.check_closed_form(loss_of_weights, claim, W)
    assert not report.ok
    assert report.cause == cause
    assert str(report).endswith(f"Likely cause: {cause}." if cause else "cells.")


@pytest.mark.parametrize(
    ("claim", "cause"),
    [
        (lambda z: p(z) / 4, "p in place of p - y: the target is not subtracted"),
        (
            p,
            "p in place of p - y: the target is not subtracted, "
            "and the 1/4 of a mean over 4 is missing",
        ),
        (lambda z: -p(z) / 4, "-p in place of p - y"),
        (lambda z: -Y / 4, "-y in place of p - y"),
        (
            lambda z: -Y / p(z) / 4,
            "-y / p: the derivative in the probabilities, the softmax's own left out",
        ),
        (
            lambda z: (p(z) - Y) * p(z) * (1 - p(z)) / 4,
            "a sigmoid's p (1 - p) times p - y: the logarithm has cancelled it",
        ),
        (
            lambda z: (Y - p(z)) * Y / 4,
            "the sign is flipped, and cells are left at zero that the loss reaches too",
        ),
        (lambda z: 0 * z, "cells are left at zero that the loss reaches too"),
    ],
)
def test_the_usual_mistakes_in_logits_are_named(claim: Any, cause: str) -> None:
    report = ag.check_closed_form(loss_of_logits, claim, Z)
    assert not report.ok
    assert report.cause == cause


def test_one_cell_does_not_make_a_factor() -> None:
    assert ag.check_closed_form(lambda x: x**3, lambda x: 3 * x, 2.0).cause is None
    assert ag.check_closed_form(lambda x: x**3, lambda x: -3 * x**2, 2.0).cause == (
        "the sign is flipped"
    )


def test_a_rounded_constant_is_not_hidden_by_a_factor_of_one() -> None:
    x = np.array([1.0, 2.0, 3.0])
    report = ag.check_closed_form(lambda x: np.sum(2**x), lambda x: 2**x * 0.693147, x)
    assert len(report.wrong) == 3
    assert report.cause == "every cell is 0.9999997395 times the right one"


def test_a_kink_is_no_mistake_and_a_mistake_at_a_kink_is() -> None:
    def relu(x: Any) -> Any:
        return np.sum(np.maximum(x, 0))

    x = np.array([0.0, 1.0, -1.0])
    for at_zero in (0.0, 0.3, 1.0):
        report = ag.check_closed_form(relu, lambda x, c=at_zero: np.where(x == 0, c, x > 0), x)
        assert report.ok
        assert [cell.verdict for cell in report.cells] == ["kink", "ok", "ok"]
        assert report.max_ulp == 0
        assert "kink: slope 0 before, 1 after" in str(report)
        assert "In 1 cell there is no derivative" in str(report)
    report = ag.check_closed_form(relu, lambda x: np.where(x == 0, 2.0, x > 0), x)
    assert [cell.verdict for cell in report.cells] == ["wrong", "ok", "ok"]
    assert "+1.5  WRONG  kink: slope 0 before, 1 after" in str(report)


@pytest.mark.parametrize("ahead", [20.0, 40.0, 100.0, 700.0])
def test_lost_digits_are_told_from_a_wrong_formula(ahead: float) -> None:
    z = np.array([ahead, 0.0, 1.0])
    y = np.array([1, 0, 0])

    def loss(z: Any) -> Any:
        return ag.cross_entropy(z, 0)

    report = ag.check_closed_form(loss, lambda z: p(z) - y, z)
    assert report.ok
    assert [cell.verdict for cell in report.cells] == ["rounding", "ok", "ok"]
    assert "right as mathematics" in str(report)
    report = ag.check_closed_form(loss, lambda z: (p(z) - y) * y, z)
    assert [cell.verdict for cell in report.cells] == ["wrong"] * 3


def test_a_tiny_function_does_not_make_a_wrong_claim_rounding() -> None:
    x = np.array([1.0, 2.0])
    report = ag.check_closed_form(lambda x: 1e-18 * np.sum(x**3), lambda x: 3e-18 * x, x)
    assert [cell.verdict for cell in report.cells] == ["ok", "wrong"]


def test_a_wrong_rule_is_not_blamed_on_the_claim() -> None:
    @ag.primitive(lambda g, x: g * x)
    def square(x: Any) -> Any:
        return x * x

    x = np.array([1.0, 2.0])
    for claim in (lambda x: 2 * x, lambda x: x):
        report = ag.check_closed_form(lambda x: np.sum(square(x)), claim, x)
        assert not report.ok
        assert report.wrong == ()
        assert "In 2 cells backpropagation and the numeric derivative disagree" in str(report)
    report = ag.check_closed_form(lambda x: np.sum(square(x)), lambda x: 5 * x, x)
    assert len(report.wrong) == 2


def test_a_transposed_shape_says_so() -> None:
    V = RNG.normal(size=(3, 2))
    t = np.eye(2)[[0, 1, 1, 0]]
    with pytest.raises(ValueError, match=r"shape \(2, 3\), the argument \(3, 2\); transpose it$"):
        ag.check_closed_form(
            lambda V: ag.cross_entropy(X @ V, [0, 1, 1, 0]),
            lambda V: (p(X @ V) - t).T @ X / 4,
            V,
        )
    with pytest.raises(ValueError, match=r"shape \(4, 3\), the argument \(3, 3\)$"):
        ag.check_closed_form(loss_of_weights, lambda W: p(X @ W) - Y, W)


def test_a_large_table_is_cut_and_keeps_the_wrong_cell() -> None:
    x = RNG.normal(size=(8, 8))
    mistake = np.zeros((8, 8))
    mistake[7, 3] = 1
    text = str(ag.check_closed_form(lambda x: np.sum(x * x), lambda x: 2 * x + mistake, x))
    assert len(text.splitlines()) == 43
    assert "[7,3]" in text
    assert "... and 24 cells more" in text
    assert "wrong in 1 of 64 cells" in text
