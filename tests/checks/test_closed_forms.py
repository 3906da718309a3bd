"""What check_closed_form tells a learner: wrong cells, causes, kinks, rounding, bad rules."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag

RNG = np.random.default_rng(1)
EXTENDED = bool(np.finfo(np.longdouble).eps < 1e-18)  # on some platforms it is float64
X = RNG.normal(size=(4, 3))
W = RNG.normal(size=(3, 3))
LABELS = np.array([0, 2, 1, 0])
Y = np.eye(3)[LABELS]
Z = X @ W
SMALL = np.array([[0.3, -0.8], [1.7, 0.4]])


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
            "every cell is 4 times too small: the 1/4 of a mean over 4 is there twice",
        ),
        (lambda W: right(W) / 2, "every cell is 0.5 times the right one"),  # no 2 in the loss
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
        (lambda z: -Y / 4, "-y in place of p - y: only the label's term"),
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


def cause(f: Any, claim: Any, x: Any) -> str | None:
    report = ag.check_closed_form(f, claim, x)
    assert report.wrong
    return report.cause  # type: ignore[no-any-return]


def test_a_claim_that_is_zero_but_for_rounding_has_no_factor() -> None:
    tiny = 1e-16 * RNG.normal(size=Z.shape)
    said = "cells are left at zero that the loss reaches too"
    assert cause(loss_of_logits, lambda z: tiny * right_for_logits(z), Z) == said
    assert cause(loss_of_logits, lambda z: tiny, Z) == said
    sum_is_one = cause(lambda z: np.sum(p(z)), lambda z: p(z), Z)
    assert sum_is_one is None or "every cell" not in sum_is_one


def right_for_logits(z: Any) -> Any:
    return (p(z) - Y) / 4


def test_a_forgotten_temperature_is_no_mean() -> None:
    def loss(z: Any) -> Any:
        return ag.cross_entropy(z / 4.0, LABELS, reduction="sum")

    said = "every cell is 4 times too large: the 1/4 of a division by 4 is missing"
    assert cause(loss, lambda z: p(z / 4) - Y, Z) == said
    said = "every cell is 2 times too small: the factor 2 is missing"
    assert cause(lambda z: np.sum((2.0 * z) ** 3), lambda z: 3 * (2 * z) ** 2, Z) == said
    assert cause(lambda z: np.sum(z**3), lambda z: 12 * z**2, Z) == (
        "every cell is 4 times the right one"  # there is neither a mean nor a 4
    )


def test_the_labels_term_alone_is_said_to_be_that() -> None:
    for labels in (LABELS, np.array([1, 1, 0, 2])):
        y = np.eye(3)[labels]
        found = cause(
            lambda W, t=labels: ag.cross_entropy(X @ W, t), lambda W, y=y: -X.T @ y / 4, W
        )
        assert found == "-y in place of p - y: only the label's term"


@pytest.mark.parametrize("constant", [0.0, 7.0, -1e3])
@pytest.mark.parametrize("scale", [1e2, 1e3, 1e5, 1e7])
def test_a_saturated_right_claim_is_right(scale: float, constant: float) -> None:
    z = scale * np.array([[1.0, 0.3, -0.4], [-0.2, 0.1, 1.5], [0.3, 0.9, -2.0], [2.0, 1.0, 0.0]])
    for labels in (LABELS, np.argmax(z, axis=1)):
        y = np.eye(3)[labels]
        for loss in (ag.cross_entropy, ag.unfused_cross_entropy):
            report = ag.check_closed_form(
                lambda z, t=labels, f=loss: f(z, t) + constant, lambda z, y=y: (p(z) - y) / 4, z
            )
            assert {cell.verdict for cell in report.cells} <= {"ok", "rounding"}, str(report)
            assert report.ok
            assert report.cause is None


def test_a_hint_is_given_only_if_it_explains_every_cell() -> None:
    off = np.zeros(Z.shape)
    off[2, 1] = 1e-3
    for claim in (
        lambda z: -right_for_logits(z) + off,
        lambda z: 4 * right_for_logits(z) + off,
        lambda z: p(z) / 4 + off,
        lambda z: right_for_logits(z) * [1, 0, 1] + off,
    ):
        assert cause(loss_of_logits, claim, Z) is None


def test_what_agrees_by_chance_at_one_argument_is_no_hint() -> None:
    x = np.array([2.0])  # where x ** 2 is 2 x
    assert cause(lambda x: np.sum(x**2), lambda x: x, x) == (
        "every cell is 2 times too small: the 2 of the power 2 is missing"
    )
    assert cause(lambda x: np.sum(x**2), lambda x: x**2 / 2, x) is None


def test_a_claim_that_is_an_array_is_explained_at_its_argument() -> None:
    known = -right(W)
    assert cause(loss_of_weights, lambda W: known, W) == "the sign is flipped"


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
    row = " [0]  WRONG          2       0.5      0.5  +1.5  kink: slope 0 before, 1 after"
    assert str(report).splitlines()[1] == row


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
    assert [cell.verdict for cell in report.cells] == ["rounding", "wrong", "wrong"]


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


# ---------------------------------------------------------------------------- far below the largest


def verdicts(f: Any, claim: Any, x: Any) -> list[str]:
    report = ag.check_closed_form(f, claim, x)
    bad = {"wrong", "unsure"} & {cell.verdict for cell in report.cells}
    assert report.ok == (not bad)
    assert not (bad and "right as mathematics" in str(report))
    return [cell.verdict for cell in report.cells]


@pytest.mark.parametrize("tiny", 10.0 ** -np.arange(2, 21, 3))
def test_a_wrong_cell_far_below_the_largest_is_never_right(tiny: float) -> None:
    def f(x: Any) -> Any:
        return 1e3 * x[0] ** 2 + tiny * x[1] ** 2

    x = np.array([1.0, 2.0])
    assert verdicts(f, lambda x: np.array([2e3 * x[0], 2 * tiny * x[1]]), x) == ["ok", "ok"]
    for factor in (0, -2, 3, *[2 * (1 + 1e-5)] * EXTENDED):
        found = verdicts(f, lambda x, k=factor: np.array([2e3 * x[0], k * tiny * x[1]]), x)
        assert found[0] == "ok"
        assert found[1] in ("wrong", "unsure")
        if tiny > 1e-9:
            assert found[1] == "wrong"


def test_the_reported_examples_are_not_right() -> None:
    def spread(x: Any) -> Any:
        return 1e10 * x[0] ** 2 + 1e-8 * x[1] ** 2

    claim = verdicts(spread, lambda x: np.array([2e10 * x[0], 3e-8 * x[1]]), np.array([1.0, 2.0]))
    assert claim[0] == "ok"
    assert claim[1] in ("wrong", "unsure")

    def decayed(w: Any) -> Any:
        return 1e6 * np.sum((X[:, :2] @ w[:2]) ** 2) + 0.5e-10 * w[2] ** 2

    def forgotten(w: Any) -> Any:
        return np.r_[2e6 * X[:, :2].T @ (X[:, :2] @ w[:2]), 0.0]

    assert verdicts(decayed, forgotten, np.ones(3))[2] in ("wrong", "unsure")


def test_a_wrong_rule_in_a_cell_far_below_the_largest_is_seen() -> None:
    @ag.primitive(lambda g, x: g * 3 * x)
    def square(x: Any) -> Any:
        return x * x

    def f(x: Any) -> Any:
        return 1e3 * x[0] ** 2 + 1e-6 * square(x[1])

    claims = [lambda x, k=k: np.array([2e3 * x[0], k * 1e-6 * x[1]]) for k in (2, 3)]
    for claim in claims:
        assert verdicts(f, claim, np.array([1.0, 2.0])) == ["ok", "unsure"]


def test_a_function_that_computes_in_a_lower_precision_is_unsure() -> None:
    def single(x: Any) -> Any:
        return np.sum(np.exp(x.astype(np.float32)))

    x = np.array([0.7, -0.2], np.float32).astype(float)
    assert verdicts(single, lambda x: np.exp(x.astype(np.float32)), x) == ["unsure", "unsure"]


@pytest.mark.parametrize("ahead", [10.0, 20.0, 30.0, 45.0, 100.0, 700.0])
def test_mistakes_in_a_confident_row_are_seen(ahead: float) -> None:
    z = np.array([[ahead, 0.0, 0.0], [1.0, 0.0, 0.0]])
    y = np.eye(3)[[0, 0]]

    def loss(z: Any) -> Any:
        return ag.cross_entropy(z, [0, 0])

    for factor in (-1.0, 0.0, 2.0, *[1 + 1e-4] * EXTENDED):
        rows = np.array([[factor], [1.0]])
        found = verdicts(loss, lambda z, rows=rows: (p(z) - y) / 2 * rows, z)
        assert "wrong" in found[:3]
        assert not {"wrong", "unsure"} & set(found[3:])
    assert verdicts(loss, lambda z: (p(z) - y) / 2, z)[1:] == ["ok"] * 5


@pytest.mark.parametrize(
    ("f", "claim", "x"),
    [
        (lambda x: np.var(x), lambda x: 2 * (x - np.mean(x)) / x.size, 1e6 + Z[0]),
        (lambda x: np.sum((x - 1) ** 2), lambda x: 2 * x - 2, np.array([1 + 1e-9, 1e5, -3.0])),
        (lambda x: np.sum(ag.softmax(x)), lambda x: 0 * x, Z[1]),
        (
            lambda x: np.sum(np.logaddexp(0, -x)),
            lambda x: 1 / (1 + np.exp(-x)) - 1,
            np.array([1.0, 30.0, 80.0]),
        ),
        (
            lambda W: ag.unfused_cross_entropy(30 * X @ W, LABELS),
            lambda W: 30 * X.T @ (p(30 * X @ W) - Y) / 4,
            W,
        ),
    ],
)
def test_right_claims_that_lose_digits_are_right(f: Any, claim: Any, x: Any) -> None:
    assert ag.check_closed_form(f, claim, x).ok
    assert not ag.check_closed_form(f, lambda x: claim(x) + 1e-5 * (1 + np.abs(x)), x).ok


@pytest.mark.skipif(not EXTENDED, reason="extended precision is double precision here")
def test_a_difference_in_the_13th_digit_that_is_no_rounding_is_wrong() -> None:
    x = np.array([1.0, 2.0])
    claims = [lambda x: 3 * x**2 * (1 + 1e-13), lambda x: 3 * x**2 + 1e-12]
    for claim in claims:
        report = ag.check_closed_form(lambda x: np.sum(x**3), claim, x)
        assert len(report.wrong) == 2
        assert report.cause is None


# ---------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_a_jump_is_not_ok(value: float) -> None:
    def step(x: Any) -> Any:
        return np.sum(np.where(x > 0, 1.0, 0.0))

    found = verdicts(step, lambda x: 0 * x + value, np.array([0.0, 1.0]))
    assert found == (["unsure", "ok"] if value == 0 else ["wrong", "wrong"])


def test_a_function_that_is_nan_is_unsure() -> None:
    x = np.array([-1.0, 4.0])
    with np.errstate(invalid="ignore"):
        found = verdicts(lambda x: np.sum(np.sqrt(x)), lambda x: 0.5 / np.sqrt(x), x)
    assert found == ["unsure", "unsure"]


def cube(x: Any) -> Any:
    return np.sum(x**3)


@pytest.mark.parametrize(
    ("args", "options", "error", "message"),
    [
        ((cube, cube, [1, 2]), {}, TypeError, "argument 0 is list, and must be an array of"),
        ((cube, cube, np.arange(2)), {}, TypeError, "argument 0 is int64, and must be an array of"),
        ((cube, cube, X), {"argnum": 1}, IndexError, "argnum 1 is out of range for 1 positional"),
        (
            (lambda x: x**3, cube, X),
            {},
            ValueError,
            r"the function must return a single number, not shape \(4, 3\); reduce it",
        ),
        (
            (lambda x: np.argmax(x), cube, X),
            {},
            TypeError,
            "output 0 of the function is int64 and must be real and floating-point",
        ),
        ((lambda x: None, cube, X), {}, TypeError, "the function returned None; is its return"),
        ((cube, lambda x: None, X), {}, TypeError, "the closed form returned None; is its return"),
        ((cube, np.ones(3), X), {}, ValueError, r"the closed form has shape \(3,\), the argument"),
        (
            (cube, lambda x: 3j * x**2, X),
            {},
            TypeError,
            "output 0 of the closed form is complex128 and must be real",
        ),
        (
            (lambda x: np.sum(x * RNG.random()), lambda x: x, X),
            {},
            ValueError,
            r"output 0 of the function differs \(by .*\) when it is called again .*; to draw",
        ),
        (
            (cube, lambda x: 3 * x**2 * RNG.random(), X),
            {},
            ValueError,
            "output 0 of the closed form differs",
        ),
        (
            (lambda x: np.sum(x.data**2), lambda x: x, X),
            {},
            TypeError,
            "the function works on tensors, but not on arrays",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(
    args: Any, options: Any, error: Any, message: str
) -> None:
    with pytest.raises(error, match=f"^ag.check_closed_form: {message}"):
        ag.check_closed_form(*args, **options)


def test_an_array_in_hand_may_be_the_claim() -> None:
    x, label = np.array([[1.9, 0.4]]), [0]
    W = ag.Tensor([[0.1, 0.5], [0.1, 0.5]], requires_grad=True)

    def loss(W: Any) -> Any:
        return ag.cross_entropy(x @ W, label)

    loss(W).backward()
    p = ag.softmax(x @ W.data)
    for claim in (W.grad, ag.Tensor(W.grad), x.T @ (p - [[1, 0]]), W.grad.tolist()):
        assert ag.check_closed_form(loss, claim, W).ok
    report = ag.check_closed_form(loss, x.T * [p[0, 0] - 1, 0], W)
    assert [cell.index for cell in report.wrong] == [(0, 1), (1, 1)]
    assert report.cause == "cells are left at zero that the loss reaches too"
    assert ag.check_closed_form(loss, -W.grad, W).cause == "the sign is flipped"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_array_may_be_off_by_rounding(dtype: Any) -> None:
    x, eps = X.astype(dtype), np.finfo(dtype).eps
    report = ag.check_closed_form(cube, (3 * x**2) * (1 + 40 * eps), x)
    assert report.ok
    assert {cell.verdict for cell in report.cells} == {"rounding"}
    assert not ag.check_closed_form(cube, 3 * x**2 * (1 + eps**0.4), x).ok


def test_a_list_of_floats_is_an_array() -> None:
    assert ag.check_closed_form(cube, [3.0, 12.0], [1.0, 2.0]).ok
    assert ag.check_closed_form(cube, lambda x: 3 * x**2, [[1.0, 2.0]]).cells[1].index == (0, 1)


def test_a_claim_need_not_be_defined_at_smaller_arguments() -> None:
    def claim(x: Any) -> Any:
        if np.min(np.abs(x)) < 0.5:
            raise ArithmeticError("too small")
        return 3 * x**2

    assert ag.check_closed_form(cube, claim, np.array([1.0, 2.0])).ok


def test_a_claim_may_write_to_its_argument() -> None:
    def squared_in_place(x: Any) -> Any:
        x *= x
        return 3 * x

    x = np.array([1.0, 2.0])
    assert verdicts(cube, squared_in_place, x) == ["ok", "ok"]
    np.testing.assert_array_equal(x, [1.0, 2.0])


def test_tensors_floats_nested_and_negative_arguments() -> None:
    x = np.array([1.0, 2.0])
    tensor = ag.Tensor(x, requires_grad=True)
    assert ag.check_closed_form(cube, lambda x: 3 * x**2, tensor).ok
    assert ag.check_closed_form(cube, lambda x: 3 * x**2, 2.0).ok
    assert ag.check_closed_form(cube, lambda x: [3.0, 12.0], x).ok
    report = ag.check_closed_form(
        lambda a, x: np.sum(a["k"][0] * x**2), lambda a, x: 2 * a["k"][0] * x, {"k": [x]}, x,
        argnum=-1,
    )  # fmt: skip
    assert report.ok
    assert tensor.grad is None


# ---------------------------------------------------------------------------- many cells


def test_of_many_cells_some_are_taken_numerically_and_every_claim_is_compared() -> None:
    x = RNG.normal(size=(40, 30))
    report = ag.check_closed_form(cube, lambda x: 3 * x**2, x)
    assert report.ok
    assert len(report.cells) == 1200
    assert sum(cell.numeric is not None for cell in report.cells) == 50
    assert (
        "The numeric derivative was taken in 50 of 1200 cells and in 4 directions through all "
        "of them." in str(report)
    )
    mistake = np.ones(x.shape)
    mistake[17, 3] = 1.001
    report = ag.check_closed_form(cube, lambda x: 3 * x**2 * mistake, x)
    (wrong,) = report.wrong
    assert wrong.index == (17, 3)
    assert wrong.numeric == pytest.approx(wrong.backpropagation)


def test_a_wrong_rule_in_one_cell_of_many_is_found() -> None:
    mistake = np.ones((40, 30))
    mistake[17, 3] = 1.001

    @ag.primitive(lambda g, x: g * 3 * x**2 * mistake)
    def cubed(x: Any) -> Any:
        return x**3

    x = RNG.normal(size=(40, 30))
    report = ag.check_closed_form(lambda x: np.sum(cubed(x)), lambda x: 3 * x**2 * mistake, x)
    assert not report.ok
    assert [cell.index for cell in report.cells if cell.verdict == "unsure"] == [(17, 3)]


def test_right_closed_form() -> None:
    report = ag.check_closed_form(lambda x: np.sum(np.exp(x)), np.exp, SMALL)
    assert report.ok
    assert report.max_ulp == 0
    assert report.wrong == ()
    assert [cell.index for cell in report.cells] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert str(report).endswith(
        "The closed form agrees with backpropagation within 0 ulp (float64)."
    )


def test_wrong_closed_form_names_the_cells() -> None:
    def claimed(x: Any) -> Any:
        d = 3 * x**2
        d[1, 0] = -d[1, 0]
        return d

    report = ag.check_closed_form(lambda x: np.sum(x**3), claimed, SMALL)
    assert not report.ok
    (cell,) = report.wrong
    assert cell.index == (1, 0)
    assert cell.verdict == "wrong"
    assert cell.claimed == -cell.backpropagation
    assert cell.numeric == pytest.approx(cell.backpropagation, rel=1e-12)
    text = str(report)
    assert "WRONG" in text
    assert text.endswith("The closed form is wrong in 1 of 4 cells.")


def test_closed_form_wrong_by_one_part_in_a_million() -> None:
    assert not ag.check_closed_form(
        lambda x: np.sum(x**3), lambda x: 3 * x**2 * (1 + 1e-6), SMALL
    ).ok


def test_rounding_is_told_from_error() -> None:
    def f(x: Any) -> Any:
        return np.sum((x - 1) ** 2)

    x = np.array([1 + 1e-9, 1e5])
    report = ag.check_closed_form(f, lambda x: 2 * x - 2, x)
    assert report.ok


def test_kink_in_a_closed_form() -> None:
    report = ag.check_closed_form(
        lambda x: np.sum(np.maximum(x, 0.0)), lambda x: (x > 0).astype(float), np.array([1.0, 0.0])
    )
    assert report.ok
    assert [cell.verdict for cell in report.cells] == ["ok", "kink"]


def test_closed_form_of_another_argument() -> None:
    report = ag.check_closed_form(
        lambda x, y: np.sum(x * y), lambda x, y: x, SMALL, 2 * SMALL, argnum=1
    )
    assert report.ok


def test_closed_form_of_wrong_shape() -> None:
    with pytest.raises(
        ValueError,
        match=re.escape(
            "ag.check_closed_form: the closed form has shape (4,), the argument (2, 2)"
        ),
    ):
        ag.check_closed_form(lambda x: np.sum(x), lambda x: np.ones(4), SMALL)


def test_a_notebook_shows_the_table_with_the_verdicts_marked() -> None:
    x = np.array([1.0, 2.0, 0.0])
    report = ag.check_closed_form(lambda x: np.sum(x * abs(x)), lambda x: 2 * x - (x == 2), x)
    html = report._repr_html_()
    rows = html.split("<tr>")[1:]
    assert len(rows) == 4
    assert [("background" in row, "WRONG" in row) for row in rows] == [
        (False, False),
        (False, False),
        (True, True),
        (False, False),
    ]
    assert all(sentence in html for sentence in str(report).splitlines()[4:])
    assert not re.search(r"[^-]color:", html)  # a text's own colour would vanish on dark or light
    assert repr(report) == str(report)


def test_each_verdict_but_ok_has_a_look_of_its_own() -> None:
    kinked = ag.check_closed_form(lambda x: np.sum(abs(x)), lambda x: 0.5 + x, np.zeros(1))
    rounded = ag.check_closed_form(cube, 3 * X**2 * (1 + 1e-14), X)
    jumps = ag.check_closed_form(lambda x: np.sum(np.sign(x)), lambda x: 0 * x, np.zeros(1))
    wrong = ag.check_closed_form(cube, X, X)
    verdicts = [report.cells[0].verdict for report in (kinked, rounded, jumps, wrong)]
    assert verdicts == ["kink", "rounding", "unsure", "wrong"]
    looks = [
        re.findall(r"background: [^;\"]*", r._repr_html_())[0]
        for r in (kinked, rounded, jumps, wrong)
    ]
    assert len(set(looks)) == 4


def test_of_a_large_table_a_notebook_shows_a_part() -> None:
    report = ag.check_closed_form(cube, lambda x: 3 * x**2, np.ones(100))
    assert report._repr_html_().count("<tr>") == 41
    assert "... and 60 cells more" in report._repr_html_()


def test_an_infinite_claim_is_wrong_also_as_an_array() -> None:
    x = np.array([1.0, 2.0])
    for claim in (np.array([np.inf, 4.0]), lambda x: np.array([-np.inf, 4.0])):
        report = ag.check_closed_form(lambda w: np.sum(w * w), claim, x)
        assert [cell.verdict for cell in report.cells] == ["wrong", "ok"]


def test_an_array_in_single_precision_is_off_by_its_own_rounding_alone() -> None:
    x = np.array([1.1, 2.3, 3.7])
    report = ag.check_closed_form(lambda w: np.sum(np.exp(w)), np.exp(x).astype(np.float32), x)
    assert report.ok
    wrong = ag.check_closed_form(lambda w: np.sum(np.exp(w)), np.exp(x).astype("f") * 1.001, x)
    assert len(wrong.wrong) == 3
