"""Mistakes that gradient libraries have made, each tested where no other file does."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag


def _variable(*values: float) -> ag.Tensor:
    return ag.Tensor(list(values) or [1.0, 2.0, 3.0], requires_grad=True)


# ---------------------------------------------------------------------------- mutation and aliasing


def test_rule_that_writes_to_its_cotangent_is_refused() -> None:
    def greedy(g: Any, x: Any) -> Any:
        g *= 100
        return g * x

    @ag.primitive(greedy)
    def square(x: Any) -> Any:
        return x * x

    a, b = _variable(), _variable()
    with pytest.raises(ValueError, match="read-only"):
        (square(a) + b).backward(np.ones(3))  # addition hands one cotangent to both
    assert a.grad is None
    assert b.grad is None


def test_no_rule_of_the_package_writes_to_a_shared_cotangent() -> None:
    a, b = _variable(), _variable()
    functions = [np.exp, np.max, np.prod, np.cumsum, ag.softmax, lambda t: t[[0, 0, 1]]]
    for function in functions:
        a.zero_grad(), b.zero_grad()
        result = function(a)
        g = np.ones(result.shape)
        (result + function(b)).backward(g)
        np.testing.assert_array_equal(a.grad, b.grad)
        np.testing.assert_array_equal(g, 1)


def test_views_are_values_of_their_own() -> None:
    t = _variable()
    y = t * 1.0
    part, rows = y[1:], y.reshape(3, 1)
    part = part * 10  # rebinds the name, and changes neither y nor rows
    np.testing.assert_array_equal(y.data, [1, 2, 3])
    np.testing.assert_array_equal(rows.data[:, 0], [1, 2, 3])
    (np.sum(part) + np.sum(rows)).backward()
    np.testing.assert_array_equal(t.grad, [1, 11, 11])


def test_gradients_of_many_variables_share_no_memory() -> None:
    variables = [_variable() for _ in range(6)]
    a, b, c, d, e, f = variables
    g = np.ones(3)
    (
        a + b + c.reshape(3) + d[:] + np.broadcast_to(e, (3,)) + np.concatenate([f[:1], f[1:]])
    ).backward(g)
    arrays = [*(v.grad for v in variables), *(v.data for v in variables), g]
    for i, first in enumerate(arrays):
        for second in arrays[:i]:
            assert not np.shares_memory(first, second)
    for v in variables:
        assert v.grad.flags.writeable
        assert v.grad.flags.owndata
        assert 0 not in v.grad.strides


# ---------------------------------------------------------------------------- structure


def test_reused_value_counts_every_use_once() -> None:
    x = _variable(2.0)
    y = x * 3.0
    for _ in range(3):
        y = y + y * x
    np.sum(y).backward()
    np.testing.assert_allclose(x.grad, 3 * 3.0**3 + 3 * 2 * 3 * 3.0**2)  # (3x (1+x)³)'


def test_equal_constants_are_not_merged() -> None:
    x, y = _variable(1.0), _variable(1.0)
    np.sum(x * 1.0 + y * 1.0 + x).backward()
    np.testing.assert_array_equal(x.grad, [2])
    np.testing.assert_array_equal(y.grad, [1])


def test_bias_is_summed_over_every_axis_that_broadcasting_added() -> None:
    bias = _variable()
    np.sum(np.ones((4, 5, 3)) + bias).backward()
    np.testing.assert_array_equal(bias.grad, [20, 20, 20])


def test_several_backwards_from_one_graph() -> None:
    x = _variable()
    y = x * x
    np.sum(y).backward()
    np.sum(y * 2.0).backward()
    np.testing.assert_array_equal(x.grad, 6 * x.data)


# ---------------------------------------------------------------------------- special points


def test_ties_sum_to_one() -> None:
    x, y = _variable(1.0, 1.0), _variable(1.0, 0.0)
    np.sum(np.maximum(x, x)).backward()
    np.testing.assert_array_equal(x.grad, [1, 1])
    x.zero_grad()
    np.sum(np.maximum(x, y)).backward()
    np.testing.assert_array_equal(x.grad + y.grad, [1, 1])
    np.testing.assert_array_equal(x.grad, [0.5, 1])
    x.zero_grad()
    np.max(x).backward()
    np.testing.assert_array_equal(x.grad, [0.5, 0.5])


def test_exponent_that_needs_no_gradient_gives_no_nan_and_no_warning() -> None:
    x = _variable(-2.0, 0.0, 3.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.sum(x**2 + x**3.0).backward()
    np.testing.assert_array_equal(x.grad, [8, 0, 33])
    x.zero_grad()
    np.sum(x**0).backward()
    np.testing.assert_array_equal(x.grad, 0)


def test_product_with_zeros_leaves_one_out_exactly() -> None:
    for values, expected in (
        ([2.0, 0.0, 3.0], [0, 6, 0]),
        ([0.0, 0.0, 3.0], [0, 0, 0]),
        ([1e-200, 1e-200, 1e300], [1e100, 1e100, 0]),
    ):
        x = _variable(*values)
        np.prod(x).backward()
        np.testing.assert_allclose(x.grad, expected, rtol=1e-15)


# ---------------------------------------------------------------------------- types and layouts

FLOAT32 = [
    np.exp2, np.log2, np.log10, np.max, np.mean, np.std, np.var, np.prod, np.linalg.norm, np.tanh,
    np.sinc, np.cumsum, np.square, np.degrees, ag.softmax, ag.log_softmax, ag.logsumexp,
    lambda x: x**2, lambda x: x / 3, lambda x: 2**x, lambda x: x * np.float32(2), lambda x: x % 2,
    lambda x: np.where(x > 1, x, 0), lambda x: np.clip(x, 0.5, 1.5),
    lambda x: x @ np.ones(3, np.float32),
]  # fmt: skip


@pytest.mark.parametrize("function", FLOAT32)
def test_float32_stays_float32(function: Any) -> None:
    x = ag.Tensor([0.5, 1.0, 1.7], requires_grad=True, dtype=np.float32)
    result = function(x)
    assert result.dtype == np.float32
    np.sum(result).backward()
    assert x.grad.dtype == np.float32


def test_float64_constant_promotes_as_in_numpy_and_the_gradient_comes_back() -> None:
    x = ag.Tensor([0.5, 1.0], requires_grad=True, dtype=np.float32)
    result = x * np.array([1.0, 2.0])
    assert result.dtype == np.float64
    np.sum(result).backward()
    assert x.grad.dtype == np.float32


def test_mean_of_nothing_warns_and_has_a_gradient_of_nothing() -> None:
    x = ag.Tensor(np.zeros(0), requires_grad=True)
    with pytest.warns(RuntimeWarning):
        y = np.mean(x)
    assert np.isnan(y.item())
    y.backward()
    assert x.grad.shape == (0,)


def test_zero_dimensional_gradients_are_arrays() -> None:
    x = ag.Tensor(2.0, requires_grad=True)
    (x * x + np.sin(x) * x).backward()
    assert type(x.grad) is np.ndarray
    assert x.grad.shape == ()
    x.grad += 1  # writeable


def test_array_on_the_left_gives_one_tensor() -> None:
    """And not an array of tensors."""
    t = _variable()
    for result in (
        np.ones(3) * t,
        np.float64(2) * t,
        np.ones((2, 3)) @ t,
        np.ones(3) ** t,
        [1.0, 2.0, 3.0] * t,
    ):
        assert type(result) is ag.Tensor
        assert result.dtype == float


# ---------------------------------------------------------------------------- losses and indices


@pytest.mark.parametrize("loss", [ag.cross_entropy, ag.unfused_cross_entropy])
def test_labels_in_a_column_are_refused(loss: Any) -> None:
    logits = ag.Tensor(np.zeros((4, 3)), requires_grad=True)
    with pytest.raises((ValueError, TypeError), match=r"\(4, 1\)"):
        loss(logits, np.zeros((4, 1), int))
    with pytest.raises((ValueError, TypeError), match=r"\(5,\)"):
        loss(logits, np.zeros(5, int))
    assert logits.grad is None


@pytest.mark.parametrize("loss", [ag.cross_entropy, ag.unfused_cross_entropy])
@pytest.mark.parametrize("label", [-1, 3])
def test_labels_do_not_wrap_around(loss: Any, label: int) -> None:
    logits = ag.Tensor(np.zeros((2, 3)), requires_grad=True)
    with pytest.raises(IndexError, match=rf"label {label} at row 1 is out of range"):
        loss(logits, np.array([0, label]))


def test_repeated_indices_add_up() -> None:
    x = _variable()
    weights = np.array([1.0, 10.0, 100.0, 1000.0])
    for index in ([0, 1, 0, -3], np.array([0, 1, 0, 0], np.uint8), (np.array([0, 1, 0, -3]),)):
        x.zero_grad()
        np.sum(x[index] * weights).backward()
        np.testing.assert_array_equal(x.grad, [1101, 10, 0])
    m = ag.Tensor(np.zeros((2, 3)), requires_grad=True)
    np.sum(m[[0, 0, 1], [1, 1, -1]] * np.array([1.0, 2.0, 4.0])).backward()
    np.testing.assert_array_equal(m.grad, [[0, 3, 0], [0, 0, 4]])


def test_variable_that_the_loss_does_not_use() -> None:
    used, unused = _variable(), _variable()
    np.sum(used * 2.0).backward()
    assert unused.grad is None  # of backward: it was not reached
    gradient = ag.grad(lambda a, b: np.sum(a * 2.0), 1)(used.data, unused.data)
    np.testing.assert_array_equal(gradient, 0)  # of a transform: the derivative is zero


def test_path_cut_by_a_constant_function() -> None:
    x = _variable()
    loss = np.sum(x * np.argmax(x) + (x > 1.5) * x)
    loss.backward()
    np.testing.assert_array_equal(x.grad, [2, 3, 3])
