"""The checkers must find what is planted: wrong rules of either order, and wrong closed forms."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag

X = np.array([[0.3, -0.8], [1.7, 0.4]])


def _planted(*rules: Any, **options: Any) -> Callable[..., Any]:
    """Return x * x (or x * y) with the rules given."""
    if len(rules) == 1:

        @ag.primitive(*rules, **options)
        def square(x: Any) -> Any:
            return x * x

        return square

    @ag.primitive(*rules, **options)
    def product(x: Any, y: Any) -> Any:
        return x * y

    return product


def _message(f: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        ag.check_grads(f, *args, **options)
    return str(caught.value)


# ---------------------------------------------------------------------------- what is right passes


@pytest.mark.parametrize("order", [1, 2, 3])
def test_right_rules_pass(order: int) -> None:
    ag.check_grads(_planted(lambda g, x: g * 2 * x), X, order=order)
    ag.check_grads(np.exp, X, order=order)
    ag.check_grads(lambda p, y: p["a"] @ y / np.sum(y), {"a": X}, np.array([1.0, 2.0]), order=order)


def test_right_functions_of_every_kind_pass() -> None:
    ag.check_grads(np.abs, X)
    ag.check_grads(lambda x: np.where(x > 0, x**2, np.sin(x)), X)
    ag.check_grads(np.linalg.det, X + 2 * np.eye(2))
    ag.check_grads(lambda x, k: x[k], X, np.array([0, 1, 1]))
    ag.check_grads(np.sin, 0.3)
    ag.check_grads(np.sum, np.zeros((0, 2)))
    ag.check_grads(lambda x: [np.sum(x), (x, x * x)], X)
    ag.check_grads(np.exp, X.astype(np.float32))
    ag.check_grads(lambda x: np.log(np.sum(np.exp(x))) * 1e6, X)
    ag.check_grads(lambda x: np.log(np.sum(np.exp(x))) * 1e-6, X)


# ---------------------------------------------------------------------------- what is wrong fails


def test_rule_wrong_by_one_part_in_a_million() -> None:
    message = _message(_planted(lambda g, x: g * 2 * x * (1 + 1e-6)), X)
    assert re.match(
        r"order 1, argument 0, cell \[\d, \d\]: backpropagation gives \S+, numerically it is \S+, "
        r"a difference of \S+",
        message,
    )


def test_rule_wrong_in_one_cell() -> None:
    def rule(g: Any, x: Any) -> Any:
        wrong = np.ones((2, 2))
        wrong[1, 0] = 1.1
        return g * 2 * x * wrong

    assert "order 1, argument 0, cell [1, 0]:" in _message(_planted(rule), X)


def test_rule_wrong_in_the_second_argument() -> None:
    product = _planted(lambda g, y: g * y, lambda g, x: g)
    assert _message(product, X, 2 * X).startswith("order 1, argument 1, cell [0, 0]")


def test_wrong_sign_and_wrong_place() -> None:
    _message(_planted(lambda g, x: -g * 2 * x), X)
    _message(_planted(lambda g, x: (g * 2 * x).T), X)
    _message(_planted(lambda g, x: (g * 2 * x)[::-1]), X)
    _message(_planted(lambda g, x: g * 0), X)


def test_rule_right_at_first_order_and_wrong_at_second() -> None:
    def half_detached(g: Any, x: Any) -> Any:
        values = x.detach() if isinstance(x, ag.Tensor) else x
        return g * 2 * values

    square = _planted(half_detached)
    ag.check_grads(square, X, order=1)
    assert _message(square, X).startswith("order 2, argument 0, cell [0, 0]")


def test_rule_with_wrong_derivative_in_the_cotangent() -> None:
    def detached(g: Any, x: Any) -> Any:
        return (g.detach() if isinstance(g, ag.Tensor) else g) * 2 * x

    # Seen where the cotangent depends on the argument, as in a function of the result.
    square = _planted(detached)
    assert _message(lambda x: square(x) ** 2, X).startswith("order 2, argument 0")


def test_second_order_rule_wrong_by_one_part_in_a_million() -> None:
    inner = _planted(lambda g, y: g * y * (1 + 1e-6), lambda g, x: g * x)
    square = _planted(lambda g, x: g * 2 * inner(x, np.ones(x.shape)))
    ag.check_grads(square, X, order=1)
    assert _message(square, X).startswith("order 2")


def test_rule_that_fails_at_second_order() -> None:
    def bare_only(g: Any, x: Any) -> Any:
        return g * 2 * np.asarray(x)

    with pytest.raises(TypeError, match="would lose its derivative"):
        ag.check_grads(_planted(bare_only), X)


def test_wrong_shape_of_a_gradient() -> None:
    with pytest.raises(ValueError, match=r"the derivative rule of square returned a cotangent of"):
        ag.check_grads(_planted(lambda g: g.sum()), X)


def test_wrong_dtype_of_a_gradient() -> None:
    """The engine casts gradients, so only a transform that bypasses it can be wrong in dtype."""
    x = X.astype(np.float32)
    ag.check_grads(_planted(lambda g, x: g * 2 * x.astype(float)), x)
    assert ag.grad(lambda v: np.sum(_planted(lambda g, x: g * 2.0 * x)(v)))(x).dtype == np.float32


def test_argument_that_computing_changes() -> None:
    x = X.copy()

    def rule(g: Any) -> Any:
        x[1, 1] += 1
        return g * 2

    def twice(x: Any) -> Any:
        return 2 * x

    message = _message(ag.primitive(rule)(twice), x)
    assert message == "order 1, argument 0: computing the derivative changed the argument"


def test_argument_that_a_rule_reads_and_changes() -> None:
    def rule(g: Any, x: Any) -> Any:
        d = g * 2 * x
        if isinstance(x, np.ndarray):
            x += 1
        return d

    with pytest.raises(RuntimeError, match=r"square: its argument x, .* was changed"):
        ag.check_grads(_planted(rule), X.copy())


def test_gradient_that_differs_when_computed_again() -> None:
    calls = []

    def rule(g: Any, x: Any) -> Any:
        calls.append(1)
        return g * 2 * x * (1 + 1e-15 * len(calls))

    assert (
        _message(_planted(rule), X)
        == "order 1, argument 0: the gradient differs when computed again"
    )


def test_cotangent_that_a_rule_changes() -> None:
    def rule(g: Any, x: Any) -> Any:
        g *= 2
        return g * x

    with pytest.raises(ValueError, match="read-only"):
        ag.check_grads(_planted(rule), X)


def test_kink_is_named() -> None:
    right_sided = _planted(lambda g, x: g * (x >= 0) * 1.0)

    @ag.primitive(lambda g, x: g * (x >= 0))
    def relu(x: Any) -> Any:
        return np.maximum(x, 0.0)

    message = _message(relu, np.array([1.0, 0.0]), order=1)
    assert message.startswith("order 1, argument 0, cell [1]")
    assert message.endswith("; the function has a kink there")
    assert not _message(right_sided, X).endswith("kink there")


def test_symmetric_derivative_at_a_kink_passes() -> None:
    ag.check_grads(np.abs, np.array([1.0, 0.0]), order=1)
    ag.check_grads(lambda x: np.maximum(x, 0.0), np.array([1.0, 0.0]), order=1)


def test_tolerance_can_be_given() -> None:
    nearly = _planted(lambda g, x: g * 2 * x * (1 + 1e-6))
    ag.check_grads(nearly, X, order=1, rtol=1e-5)
    _message(nearly, X, order=1, rtol=1e-7)


def test_nested_argument_is_named_by_its_position() -> None:
    product = _planted(lambda g, y: g * y, lambda g, x: g)
    message = _message(lambda first, p: product(first, p["y"][0]), X, {"y": (2 * X,)}, order=1)
    assert message.startswith("order 1, argument 1, cell")


# ---------------------------------------------------------------------------- closed forms


def test_right_closed_form() -> None:
    report = ag.check_closed_form(lambda x: np.sum(np.exp(x)), np.exp, X)
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

    report = ag.check_closed_form(lambda x: np.sum(x**3), claimed, X)
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
    assert not ag.check_closed_form(lambda x: np.sum(x**3), lambda x: 3 * x**2 * (1 + 1e-6), X).ok


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
    report = ag.check_closed_form(lambda x, y: np.sum(x * y), lambda x, y: x, X, 2 * X, argnum=1)
    assert report.ok


def test_closed_form_of_wrong_shape() -> None:
    with pytest.raises(
        ValueError,
        match=re.escape(
            "ag.check_closed_form: the closed form has shape (4,), the argument (2, 2)"
        ),
    ):
        ag.check_closed_form(lambda x: np.sum(x), lambda x: np.ones(4), X)
