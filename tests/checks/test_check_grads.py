"""The checkers must find what is planted: wrong rules of either order."""

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
    ag.check_grads(lambda x, p: p["f"](x, **{p["name"]: None}), X, {"f": np.sum, "name": "axis"})
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

    with pytest.raises(RuntimeError, match=r"twice: its argument x, .* was changed"):
        ag.check_grads(ag.primitive(rule)(twice), x)


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


@pytest.mark.parametrize("f", [np.abs, lambda x: np.maximum(x, 0.0), np.max])
def test_kink_is_named_where_the_mean_slope_passes(f: Any) -> None:
    x = [2.0, 2.0] if f is np.max else [1.0, 0.0]
    message = _message(f, x)
    assert message.startswith("order 2, argument 0, cell [")
    assert message.endswith(
        "the function has a kink there, where its slope jumps, and no derivative of order 2; "
        "check it elsewhere, or with order=1"
    )
    ag.check_grads(f, x, order=1)


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


# ---------------------------------------------------------------------------- what is no use


SEVENFOLD = ag.primitive(lambda g: g * 7)(lambda x: x * 1.0)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(
    "noise", [lambda rng: rng.random(3) > 0.5, lambda rng: rng.random(), lambda rng: rng.normal()]
)
def test_random_function_never_passes(noise: Any, order: int) -> None:
    refused = 0
    for seed in range(50):
        rng = np.random.default_rng(seed)
        with pytest.raises((AssertionError, ValueError)) as caught:
            ag.check_grads(lambda x, rng=rng: SEVENFOLD(x) * noise(rng), np.ones(3), order=order)
        refused += caught.type is ValueError
    assert refused >= 40  # the others drew the same mask twice in a row


def test_random_function_is_refused_by_name() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(
        ValueError,
        match=r"ag\.check_grads: output 1 of the function differs \(by 0\.\d+\) when it is called "
        r"again with the same arguments; to draw random numbers, make the generator inside it from "
        r"a fixed seed, or draw them once, outside",
    ):
        ag.check_grads(lambda x: (x, x * rng.random()), np.ones(2))
    ag.check_grads(lambda x: x * (np.random.default_rng(0).random(2) > 0.5), np.ones(2))
    calls: list[int] = []

    def counts(x: Any) -> Any:
        calls.append(1)
        return x[: len(calls)]

    with pytest.raises(ValueError, match=r"output 0 .* differs \(shapes \(1,\) and \(2,\)\)"):
        ag.check_grads(counts, np.ones(9))


def _scaled(function: Any, factor: Any) -> Any:
    """Return a function of its own that has a factor for its derivative."""
    return ag.primitive(lambda g: g * factor)(lambda x: function(x))


@pytest.mark.parametrize(
    "function",
    [
        np.floor,
        np.sign,
        lambda x: np.where(x > 0, 1.0, 0.0),
        lambda x: np.where(x == 0, 5.0, x),
        lambda x: np.where(x > 0, x + 1e-3, x),
    ],
)
def test_jump_fails_and_is_named_or_called_rough(function: Any) -> None:
    for factor in (0.0, 1.0, 5.0):
        stepped = _scaled(function, factor)
        message = _message(stepped, np.array([1.5, 0.0]), order=1)
        assert re.match(
            "order 1, argument 0, cell .*(but the function jumps there, or computes in a low "
            "precision; check it elsewhere|too rough to check it to 1e-09; the function is not "
            "smooth there, or computes in a low precision: check it elsewhere, or with a larger "
            "rtol|a difference of)",
            message,
        )
    right = _scaled(np.floor, 0.0)
    assert "cell [1]: backpropagation gives 0, but the function jumps" in _message(
        right, np.array([1.5, 0.0]), order=1
    )
    ag.check_grads(right, np.array([1.5, 0.3]))


def test_gradient_that_jumps_fails_at_second_order() -> None:
    assert _message(np.abs, np.array([1.0, 0.0])).startswith("order 2, argument 0, cell [1]: ")


@pytest.mark.parametrize("function", [np.argmax, np.argsort, lambda x: np.sum(x > 0.5)])
def test_integers_are_refused(function: Any) -> None:
    with pytest.raises(
        TypeError,
        match=r"ag\.check_grads: output 0 of the function is int64 and must be real and "
        "floating-point, since integers jump and complex ones are not supported; leave it out",
    ):
        ag.check_grads(function, X[0])
    with pytest.raises(TypeError, match="output 1 of the function is int64"):
        ag.check_grads(lambda x: (x, function(x)), X[0])


def test_derivative_below_the_rounding_of_the_function_does_not_pass() -> None:
    message = _message(lambda x: 1e10 + SEVENFOLD(1e-8 * x), np.array([0.5]), order=1)
    assert "which is too rough to check it to 1e-09" in message
    _message(lambda x: 1 + SEVENFOLD(1e-18 * x), np.array([0.5]), order=1)


def test_low_precision_inside_fails_unless_the_tolerance_allows_it() -> None:
    def single(x: Any) -> Any:
        return x.astype(np.float32) ** 2

    message = _message(single, np.array([1.2]), order=1)
    assert re.search("in a low precision|a difference of", message)
    ag.check_grads(single, np.array([1.2]), order=1, rtol=1e-3)
    _message(lambda x: single(SEVENFOLD(x)), np.array([1.2]), order=1, rtol=1e-3)


def test_constants_pass() -> None:
    x = np.random.default_rng(0).normal(size=5)
    for constant in (lambda x: x / x, lambda x: np.sum(ag.softmax(x)), lambda x: x - x + 1):
        ag.check_grads(constant, x)


def test_steep_and_narrow_functions_pass() -> None:
    ag.check_grads(lambda x: np.tanh(1e3 * x), np.array([1e-3, 0.5]))
    ag.check_grads(lambda x: np.sin(1e4 * x), np.array([1e-3, 0.5]))
    ag.check_grads(np.log, np.array([1e-6, 1e6]))
    ag.check_grads(lambda x: np.abs(x - 1e-5), np.zeros(2))


def test_arguments_that_have_no_derivative_are_refused() -> None:
    for args, kinds in (((np.arange(3),), "int64"), ((), "none given"), ((1j,), "complex128")):
        with pytest.raises(
            TypeError,
            match=re.escape(f"ag.check_grads: no argument is floating-point ({kinds}), so there is")
            + r".*; pass floats, such as x\.astype\(float\)",
        ):
            ag.check_grads(np.sin, *args)


def test_tensors_are_arguments_too() -> None:
    x = ag.Tensor(X, requires_grad=True)
    ag.check_grads(np.sin, x)
    ag.check_grads(lambda p: p["x"] * 2, {"x": x})
    _message(SEVENFOLD, x)
    ag.check_grads(lambda y: y * x, X)  # a variable that the function closes over
    assert x.grad is None


def test_function_of_tensors_alone_is_refused() -> None:
    for function, why in ((lambda x: x.data**2, "memoryview"), (lambda x: x.detach(), "detach")):
        with pytest.raises(
            TypeError,
            match=f"ag.check_grads: the function works on tensors, but not on arrays .*{why}.*; "
            "compute with the argument itself in place of its .data",
        ):
            ag.check_grads(function, X)
    with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'nonsense'"):
        ag.check_grads(lambda x: x.nonsense, X)


def test_forgotten_return_is_named() -> None:
    with pytest.raises(
        TypeError,
        match=r"ag\.check_grads: the function returned None; is its return statement missing\?",
    ):
        ag.check_grads(lambda x: None, X)


# ---------------------------------------------------------------------------- many cells


LARGE = np.random.default_rng(1).normal(size=(60, 45))


def test_one_wrong_cell_of_many_is_found_and_named() -> None:
    for factor in (1 + 1e-5, 3.0, np.nan):
        factors = np.ones(LARGE.shape)
        factors[52, 31] = factor
        message = _message(_scaled(lambda x: 1.0 * x, factors), LARGE, order=1)
        assert message.startswith("order 1, argument 0, cell [52, 31]: backpropagation gives")


def test_one_wrong_cell_of_many_at_second_order() -> None:
    def rule(g: Any, x: Any) -> Any:
        detached = np.zeros(LARGE.shape)
        detached[5, 41] = 1
        if isinstance(x, ag.Tensor):
            return g * 2 * (x * (1 - detached) + x.detach() * detached)
        return g * 2 * x

    square = _planted(rule)
    ag.check_grads(square, LARGE, order=1)
    assert _message(square, LARGE).startswith("order 2, argument 0, cell [5, 41]")


def test_jump_in_one_cell_of_many_is_found() -> None:
    x = np.abs(LARGE) + 0.1
    x[3, 4] = 0
    assert "cell [3, 4]" in _message(lambda x: np.where(x > 0, x + 1, x), x, order=1)


def test_many_cells_take_few_evaluations() -> None:
    calls = []

    def f(x: Any) -> Any:
        calls.append(1)
        return np.sum(np.exp(x))

    ag.check_grads(f, LARGE, order=1)
    assert len(calls) < 1000
    calls.clear()
    ag.check_grads(f, LARGE[0], order=1)
    assert len(calls) < 45 * 8 + 10
