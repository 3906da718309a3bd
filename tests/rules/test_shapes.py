"""What indexing and rearranging promise beyond their derivatives, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_lite as ag
from tests.sample import since


@pytest.fixture
def x():
    return ag.Tensor(np.arange(12.0).reshape(3, 4), requires_grad=True)


def test_an_element_named_twice_gets_both_cotangents(x):
    np.sum(x[[1, 1, 0], [2, 2, -1]] * np.array([1.0, 10.0, 100.0])).backward()
    assert x.grad[1, 2] == 11
    assert x.grad[0, 3] == 100
    assert np.count_nonzero(x.grad) == 2


@pytest.mark.parametrize("index", [ag.Tensor([2, 0, 2]), (ag.Tensor([2, 0, 2]), slice(None))])
def test_tensors_of_integers_are_indices(x, index):
    np.sum(x[index]).backward()
    np.testing.assert_array_equal(x.grad[:, 0], [1, 0, 2])


def test_tensors_of_booleans_are_masks(x):
    np.sum(x[ag.Tensor(x.data > 5)]).backward()
    np.testing.assert_array_equal(x.grad, x.data > 5)


def test_an_index_that_changed_does_not_matter(x):
    rows = [0, 1]
    y = np.sum(x[rows])
    rows[0] = 2
    y.backward()
    np.testing.assert_array_equal(x.grad[:, 0], [1, 1, 0])


def test_an_index_array_that_changed_is_noticed(x):
    rows = np.array([0, 1])
    y = np.sum(x[rows])
    rows[0] = 2
    with pytest.raises(RuntimeError, match="was changed between the call and the computation"):
        y.backward()


def test_sorting_keeps_the_order_of_equal_elements():
    x = ag.Tensor([1.0, 0.0, 1.0, 1.0], requires_grad=True)
    np.sum(np.sort(x) * np.array([1.0, 10.0, 100.0, 1000.0])).backward()
    np.testing.assert_array_equal(x.grad, [10, 1, 100, 1000])


def test_split_and_unstack_return_tensors_with_a_path_each(x):
    first, second = np.split(x, [1])
    np.sum(second * 3).backward()
    assert first.requires_grad
    np.testing.assert_array_equal(x.grad[:, 0], [0, 3, 3])


@pytest.mark.parametrize(
    "used",
    [
        lambda y: y[0],
        lambda y: np.split(y, 2)[0],
        lambda y: np.hsplit(y, [1])[0],
        lambda y: np.compress([True], y),
        lambda y: np.diagonal(y.reshape(1, 2)),
        lambda y: np.tril(y.reshape(1, 2)),
        lambda y: np.sort(y)[1:],
    ],
)
def test_what_is_left_out_leaks_no_nan(used):
    with np.errstate(divide="ignore"):
        gradient = ag.grad(lambda x: np.sum(used(np.log(x))))(np.array([2.0, 0.0]))
    np.testing.assert_array_equal(gradient, [0.5, 0])


@pytest.mark.parametrize(
    "shift",
    [np.array([1]), *([np.uint8(1), np.array([1], np.uint8)] if since("2.1") else [])],
)
def test_unsigned_numbers_shift_back_too(x, shift):
    np.sum(np.roll(x, shift) * np.arange(12.0).reshape(3, 4)).backward()
    np.testing.assert_array_equal(x.grad.reshape(-1), [*range(1, 12), 0])


def test_the_width_of_a_pad_may_name_axes(x):
    y = np.pad(x, {-1: (1, 2)}, constant_values=7.0)
    assert y.shape == (3, 7)
    np.testing.assert_array_equal(y.data[:, [0, 5, 6]], 7)
    np.sum(y * np.arange(7.0)).backward()
    np.testing.assert_array_equal(x.grad, np.broadcast_to(np.arange(1.0, 5), (3, 4)))
    assert np.pad(x, {0: 1, 1: (0, 2)}).shape == (5, 6)


@pytest.mark.parametrize("reps", [0, 2, (3,), (2, 1), (2, 3, 1), (), (2, 0), [1, 2]])
@pytest.mark.parametrize("shape", [(3, 4), (3, 0), (4,), ()])
def test_a_tiled_array_gets_the_sum_over_its_copies(shape, reps):
    rng = np.random.default_rng(0)
    x = ag.Tensor(rng.integers(-9, 9, shape), True, dtype=float)
    places = np.tile(np.arange(x.size).reshape(shape), reps)
    g = rng.integers(-9, 9, places.shape).astype(float)
    np.tile(x, reps).backward(g)
    expected = np.bincount(places.reshape(-1), g.reshape(-1), x.size).reshape(shape)
    np.testing.assert_array_equal(x.grad, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("q", [30, 30.0, np.float32(30), np.float64(30), [30.0], np.array(30.0)])
def test_percentiles_are_numpy_s_in_value_and_type(dtype, q):
    x = np.array([0.99, 0.55, 0.2, 0.7]).astype(dtype)
    expected, computed = np.percentile(x, q), np.percentile(ag.Tensor(x, True), q)
    assert computed.dtype == expected.dtype
    exact = dtype if since("2.4") else np.float32  # q / 100 was rounded to the type of q
    np.testing.assert_allclose(computed.data, expected, rtol=4 * np.finfo(exact).eps)


def test_the_places_of_quantiles_may_be_a_tensor(x):
    np.testing.assert_array_equal(np.quantile(x, ag.Tensor([0.0, 0.5])).data, [0, 5.5])
    np.testing.assert_array_equal(np.percentile(x, ag.Tensor([0.0, 50])).data, [0, 5.5])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: x[7], IndexError, "index 7 is out of bounds for axis 0 with size 3"),
        (lambda x: np.take(x, 99), IndexError, "index 99 is out of bounds"),
        (lambda x: np.take(x, [0], 5), np.exceptions.AxisError, "axis 5 is out of bounds"),
        (lambda x: np.take(x, [0], mode="x"), ValueError, r"np\.take: clipmode must be"),
        (lambda x: np.choose([2, 0, 0, 0], [x, x]), ValueError, r"np\.choose: invalid entry"),
        (lambda x: np.select([x > 0], [x, x]), ValueError, r"np\.select: list of cases must be"),
        (lambda x: np.compress([[True]], x), ValueError, r"np\.compress: condition must be"),
        (lambda x: np.take(x, x[0]), TypeError, r"np\.take: Cannot cast array data"),
        (lambda x: np.choose([0.5], [x]), TypeError, r"np\.choose: Cannot cast array data"),
        (lambda x: np.quantile(x, x[0, 0]), TypeError, r"np\.quantile of a tensor that requires"),
        (lambda x: np.percentile(x, x[0]), TypeError, r"np\.percentile: np\.quantile of a tensor"),
        (lambda x: np.vsplit(x[0], 2), ValueError, r"np\.vsplit .* only works on arrays of 2"),
        (lambda x: np.hsplit(x[0, 0], 1), ValueError, r"np\.hsplit .* only works on arrays of 1"),
        (lambda x: np.dsplit(x, 2), ValueError, r"np\.dsplit .* only works on arrays of 3"),
        (lambda x: np.take_along_axis(x, np.array([0]), 0), ValueError, r"np\.take_along_axis: "),
        (lambda x: np.pad(x, 1, "mean"), TypeError, r"np\.pad: no derivative rule covers mode="),
        (lambda x: np.diag(x[None]), ValueError, r"np\.diag: Input must be 1- or 2-d"),
        (lambda x: np.block([[x], x]), ValueError, "List depths are mismatched"),
        (lambda x: np.meshgrid(x[0], indexing="x"), ValueError, r"np\.meshgrid: Valid values"),
        (lambda x: np.sort(x, order="f"), TypeError, r"np\.sort: .* the argument order="),
        (lambda x: x.sort(), TypeError, r"use np\.sort"),
        (lambda x: x.partition(1), TypeError, r"use np\.partition"),
        (lambda x: np.fill_diagonal(x, 0), TypeError, r"np\.fill_diagonal writes into an array"),
        (lambda x: np.gradient(x, 1.0, 1.0, 1.0), TypeError, r"np\.gradient: invalid number"),
        (lambda x: np.gradient(x, edge_order=3), ValueError, "greater than 2 not supported"),
        (lambda x: np.gradient(x[:2], edge_order=2), ValueError, "Shape of array too small"),
        (lambda x: np.average(x, 0, np.ones(4)), ValueError, r"np\.average: Shape of weights"),
        (lambda x: np.average(x, (0, 1), np.ones((4, 3))), ValueError, "Shape of weights"),
        *(
            [(lambda x: np.cumulative_sum(x), ValueError, r"np\.cumulative_sum: .* more than one")]
            if since("2.1")
            else []
        ),
    ],
)
def test_what_has_no_rule_is_refused_by_name(x, call, error, message):
    with pytest.raises(error, match=message):
        call(x)
