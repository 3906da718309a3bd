"""An array that changed between a call and its gradient raises; it never gives a wrong gradient."""

from __future__ import annotations

import array
import collections
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag

CHANGED = "was changed between the call and the computation of the gradient"
OVERWRITTEN = "was updated in place"


def _variable(shape: Any, dtype: Any = float) -> ag.Tensor:
    return ag.Tensor(np.full(shape, 0.5), requires_grad=True, dtype=dtype)


def _shuffled(x: np.ndarray) -> None:
    x[:] = x[np.roll(np.arange(len(x)), 1)]


def _one_cell(x: np.ndarray) -> None:
    x[(-1,) * x.ndim] += 1


def _two_cells_swapped(x: np.ndarray) -> None:
    flat = x.reshape(-1)
    i, j = 0, 2039 if x.size > 2039 else -1
    flat[i], flat[j] = flat[j], flat[i]


def _negated(x: np.ndarray) -> None:
    np.negative(x, out=x)


CHANGES: list[Callable[[np.ndarray], None]] = [_shuffled, _one_cell, _two_cells_swapped, _negated]
SHAPES = [
    (2,),
    (5, 3),
    (129,),
    (40, 50),
    (150, 2039),
    (2039, 150),
    (300, 1024),
    (70, 66, 67),
    (4, 80_000),
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_constant_changed(shape: tuple[int, ...], dtype: Any, change: Any) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    w = _variable(shape, dtype)
    loss = np.sum(w * x)
    change(x)
    with pytest.raises(RuntimeError, match=f"np.multiply: its argument y, .*{CHANGED}"):
        loss.backward()
    assert w.grad is None


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "transposed": lambda base: base.T,
    "Fortran": np.asfortranarray,
    "every other": lambda base: base[::2],
    "backwards": lambda base: base[::-1, ::-1],
    "a column": lambda base: base[:, 3],
    "repeated": lambda base: np.broadcast_to(base[0], base.shape),
}


@pytest.mark.parametrize("size", [8, 600])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_base_of_a_view_changed(layout: str, size: int) -> None:
    base = np.random.default_rng(0).normal(size=(size, size))
    x = LAYOUTS[layout](base)
    target = x if layout == "Fortran" else base
    loss = np.sum(_variable(x.shape) * x)
    target[0, 3] += 1
    with pytest.raises(RuntimeError, match=CHANGED):
        loss.backward()


def test_read_only_view_of_a_writeable_array_changed() -> None:
    base = np.ones(300)
    x = base.view()
    x.setflags(write=False)
    loss = np.sum(_variable(300) * x)
    base[7] = 100
    with pytest.raises(RuntimeError, match=CHANGED):
        loss.backward()


@pytest.mark.parametrize("size", [1_000, 600_000])
def test_change_within_one_word_of_float32(size: int) -> None:
    x = np.arange(size, dtype=np.float32)
    loss = np.sum(_variable(size, np.float32) * x)
    x[500], x[501] = x[501], x[500]
    with pytest.raises(RuntimeError, match=CHANGED):
        loss.backward()


@pytest.mark.parametrize(
    ("name", "compute"),
    [
        ("np.matmul", lambda w, x: x @ w),
        ("np.divide", lambda w, x: w / x),
        ("np.power", lambda w, x: w**x),
        ("np.maximum", lambda w, x: np.maximum(w, x)),
        ("np.where", lambda w, x: np.where(x > 0, w, x)),
        ("np.einsum", lambda w, x: np.einsum("ij,jk->ik", w, x)),
        ("np.matmul", lambda w, x: np.tensordot(w, x, 1)),  # which tensordot is a formula of
        ("np.linalg.solve", lambda w, x: np.linalg.solve(x, w)),
        ("np.arctan2", lambda w, x: np.arctan2(w, x)),
    ],
)
def test_message_names_the_operation(name: str, compute: Any) -> None:
    x = np.random.default_rng(1).uniform(0.5, 2, (6, 6)) + 3 * np.eye(6)
    w = _variable((6, 6))
    condition_is_a_copy = name == "np.where"
    loss = np.sum(compute(w, x))
    x += 1
    if condition_is_a_copy:  # `x > 0` was an array of its own, and the values of x are not read
        loss.backward()
        return
    with pytest.raises(RuntimeError, match=re.escape(name) + ": .*" + CHANGED):
        loss.backward()
    assert w.grad is None


def test_condition_of_where_changed() -> None:
    condition = np.array([True, False, True])
    loss = np.sum(np.where(condition, _variable(3), 0.0))
    condition[0] = False
    with pytest.raises(RuntimeError, match=f"np.where: its argument condition, .*{CHANGED}"):
        loss.backward()


@pytest.mark.parametrize(
    "wrap_index", [lambda i: i, lambda i: (i, slice(None)), lambda i: (slice(None), i)]
)
def test_index_array_changed(wrap_index: Any) -> None:
    rows = np.array([0, 2, 2])
    loss = np.sum(_variable((3, 4))[wrap_index(rows)])
    rows[0] = 1
    with pytest.raises(RuntimeError, match=f"indexing: .*{CHANGED}"):
        loss.backward()


def test_mask_index_changed() -> None:
    mask = np.array([True, False, True])
    loss = np.sum(_variable(3)[mask])
    mask[:] = [False, True, True]
    with pytest.raises(RuntimeError, match=f"indexing: .*{CHANGED}"):
        loss.backward()


def test_list_that_was_an_index_changed() -> None:
    rows = [0, 2]
    w = _variable(3)
    loss = np.sum(w[rows])
    rows[1] = 1
    _right_or_refused(loss, w, [1.0, 0.0, 1.0])


def test_list_that_was_an_operand_changed() -> None:
    factors = [1.0, 2.0, 3.0]
    w = _variable(3)
    loss = np.sum(w * factors)
    factors[0] = 100.0
    _right_or_refused(loss, w, [1.0, 2.0, 3.0])


def test_nested_list_that_was_a_condition_changed() -> None:
    condition = [[True, False], [False, True]]
    w = _variable((2, 2))
    loss = np.sum(np.where(condition, w, 0.0))
    condition[0][1] = True
    _right_or_refused(loss, w, [[1.0, 0.0], [0.0, 1.0]])


def test_list_of_arrays_that_were_operands_changed() -> None:
    left, right = np.ones((2, 3)), np.ones((3, 2))
    w = _variable((2, 2))
    factors = [w, left, right]
    loss = np.sum(np.linalg.multi_dot(factors))
    right[0, 0] = 100
    factors[1] = np.zeros((2, 3))
    _right_or_refused(loss, w, [[6.0, 6.0], [6.0, 6.0]])


def _right_or_refused(loss: Any, w: ag.Tensor, right: Any) -> None:
    try:
        loss.backward()
    except RuntimeError as error:
        if CHANGED not in str(error):
            raise
    else:
        np.testing.assert_array_equal(w.grad, right)


def test_indices_of_take_changed() -> None:
    indices = np.array([0, 1, 1])
    w = _variable(3)
    loss = np.sum(np.take(w, indices) * 2.0)
    indices[0] = 2
    _right_or_refused(loss, w, [2.0, 4.0, 0.0])


def test_untracked_tensor_written_to_through_data_taken_before() -> None:
    x = ag.Tensor([1.0, 2.0, 3.0])
    values = x.data
    loss = np.sum(_variable(3) * x)
    values[0] = 100
    with pytest.raises(RuntimeError, match=CHANGED):
        loss.backward()


@pytest.mark.parametrize("array", [lambda x: x.data, ag.Tensor.numpy, np.asarray])
def test_untracked_tensor_written_to_through_data_taken_after(array: Any) -> None:
    x, w = ag.Tensor([1.0, 2.0, 3.0]), _variable(3)
    loss = np.sum(w * x)
    array(x)[0] = 100
    loss.backward()  # what was recorded is not what was written to
    np.testing.assert_array_equal(w.grad, [1, 2, 3])
    assert x.data[0] == 100


def test_untracked_tensor_is_not_copied_nor_watched_until_its_data_is_asked_for() -> None:
    x, w = ag.Tensor(np.ones((300, 300))), _variable((300, 2))
    assert x._values is (x @ w)._node.saved[-1]
    assert (x @ w)._node.watched is None
    assert x.data is x.data
    assert (x @ w)._node.watched[0][2] is not None


def test_detached_read_only_array_made_writeable_again() -> None:
    x = np.arange(3.0)
    x.setflags(write=False)
    w = _variable(3)
    loss = ag.vjp(lambda v: np.sum(w * v.detach()), x)[0]
    x.setflags(write=True)
    x[0] = 100
    with pytest.raises(RuntimeError, match=CHANGED):
        loss.backward()


@pytest.mark.parametrize("taken", [lambda x: x.data, np.asarray, lambda x: x.detach().data])
def test_array_taken_before_a_tensor_became_a_variable(taken: Any) -> None:
    x = ag.Tensor([1.0, 2.0, 3.0])
    values = taken(x)
    x.requires_grad = True
    loss = np.sum(x * x)
    values[0] = 100
    with pytest.raises(RuntimeError, match=CHANGED):
        loss.backward()


@pytest.mark.parametrize(
    "kept",
    [
        lambda x: array.array("d", x),
        lambda x: memoryview(np.array(x)),
        lambda x: collections.deque(x),
        lambda x: (*x,),
    ],
)
def test_operands_of_any_kind_are_not_read_again(kept: Any) -> None:
    w, factors = _variable(3), kept([1.0, 2.0, 3.0])
    loss = np.sum(w * factors)
    if not isinstance(factors, tuple):
        factors[0] = 100.0
    loss.backward()
    np.testing.assert_array_equal(w.grad, [1, 2, 3])


def test_rows_that_change_places_a_tables_width_apart() -> None:
    x = np.eye(16)[np.random.default_rng(0).integers(16, size=10_000)]
    first, second = 3, 3 + 2039
    x[first], x[second] = np.eye(16)[0], np.eye(16)[1]
    loss = np.sum(_variable(x.shape) * x)
    x[[first, second]] = x[[second, first]]
    with pytest.raises(RuntimeError, match=CHANGED):
        loss.backward()


def test_untracked_tensor_that_becomes_a_variable() -> None:
    x, w = ag.Tensor([1.0, 2.0, 3.0]), _variable(3)
    loss = np.sum(w * x)
    x.requires_grad = True
    with ag.no_grad():
        x -= 1
    x.data[0] = 7
    loss.backward()
    np.testing.assert_array_equal(w.grad, [1, 2, 3])
    np.testing.assert_array_equal(x.data, [7, 1, 2])


# ---------------------------------------------------------------------------- leaves


def test_leaf_written_to_through_data_taken_before() -> None:
    w = _variable(3)
    values = w.data
    loss = np.sum(w * w)
    values[0] = 100
    with pytest.raises(RuntimeError, match=f"np.multiply: .*{CHANGED}"):
        loss.backward()
    assert w.grad is None


@pytest.mark.parametrize("size", [3, 2000])
def test_leaf_written_to_through_data_taken_after(size: int) -> None:
    w = _variable(size)
    loss = np.sum(w * w)
    w.data[0] = 100
    with pytest.raises(RuntimeError, match=OVERWRITTEN):
        loss.backward()  # that of values that are gone
    assert w.grad is None
    assert w.data[0] == 100


@pytest.mark.parametrize("update", ["in place", "no_grad", "assigned"])
def test_leaf_updated_between_forward_and_backward(update: str) -> None:
    w = _variable(4)
    loss = np.sum(w * w)
    if update == "in place":
        w.data -= 0.25
    elif update == "no_grad":
        with ag.no_grad():
            w -= 0.25
    else:
        w.data = w.data - 0.25
    with pytest.raises(RuntimeError, match=OVERWRITTEN):
        loss.backward()
    np.testing.assert_array_equal(w.data, 0.25)


def test_leaf_written_to_in_place_again_and_again() -> None:
    w = _variable(4)
    w.data[0] = 1.0
    loss = np.sum(w * w)
    w.data[0] = 2.0
    with pytest.raises(RuntimeError, match=OVERWRITTEN):
        loss.backward()


def test_detached_tensor_shares_what_is_checked() -> None:
    w = _variable(3)
    shared = w.detach()
    loss = np.sum(w * w)
    shared.data[0] = 100
    with pytest.raises(RuntimeError, match=CHANGED):
        loss.backward()


def test_view_of_a_leaf_cannot_be_written_to() -> None:
    w = _variable(3)
    view = w[1:]
    with pytest.raises(ValueError, match="read-only"):
        view.data[0] = 100


def test_result_cannot_be_written_to() -> None:
    y = np.exp(_variable(3))
    with pytest.raises(ValueError, match="read-only"):
        y.data[0] = 100
    with pytest.raises(ValueError, match="read-only"):
        y.numpy()[0] = 100


def test_result_that_a_function_returned_as_a_view_of_a_constant() -> None:
    x = np.ones(4)
    w = _variable(4)
    loss = np.sum(np.broadcast_to(w, (2, 4)) * x)
    x[:] = 2
    with pytest.raises(RuntimeError, match=CHANGED):
        loss.backward()


@pytest.mark.parametrize("asked_before", [True, False])
def test_leaf_written_to_while_its_requires_grad_is_off(asked_before: bool) -> None:
    w = _variable(3)
    if asked_before:
        _ = w.data
    loss = np.sum(w * w)
    w.requires_grad = False
    w.data[0] = 100
    w.requires_grad = True
    with pytest.raises(RuntimeError, match="was updated in place"):
        loss.backward()
    assert w.data[0] == 100
    loss = np.sum(w * w)
    w.zero_grad()
    loss.backward()
    np.testing.assert_array_equal(w.grad, [200, 1, 1])


# ---------------------------------------------------------------------------- what must not raise


def test_constant_that_no_rule_reads_may_change() -> None:
    x = np.ones(3)
    w = _variable(3)
    loss = np.sum(w + x)
    x[:] = 7
    loss.backward()
    np.testing.assert_array_equal(w.grad, 1)


def test_change_after_the_gradient() -> None:
    x = np.ones(3)
    w = _variable(3)
    for step in range(3):
        w.zero_grad()
        np.sum(w * x).backward()
        np.testing.assert_array_equal(w.grad, x)
        x[:] = step


def test_change_that_was_undone() -> None:
    x = np.ones(3)
    w = _variable(3)
    loss = np.sum(w * x)
    x[0] = 5
    x[0] = 1
    loss.backward()
    np.testing.assert_array_equal(w.grad, 1)


@pytest.mark.parametrize("update", ["in place", "no_grad", "assigned"])
def test_training_loop(update: str) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    w = ag.Tensor(np.zeros(3), requires_grad=True)
    batch = np.empty((10, 3))
    for step in range(20):
        rows = rng.permutation(20)[:10]
        np.take(x, rows, axis=0, out=batch)  # one buffer for all batches
        w.zero_grad()
        loss = np.mean((batch @ w - y[rows]) ** 2)
        loss.backward()
        expected = 2 * batch.T @ (batch @ w.data - y[rows]) / 10
        np.testing.assert_allclose(w.grad, expected, rtol=1e-12, err_msg=f"step {step}")
        if update == "in place":
            w.data -= 0.1 * w.grad
        elif update == "no_grad":
            with ag.no_grad():
                w -= 0.1 * w.grad
        else:
            w.data = w.data - 0.1 * w.grad
        del loss


def test_two_losses_of_one_leaf_updated_after_both() -> None:
    w = _variable(3)
    for _ in range(3):
        w.zero_grad()
        a, b = np.sum(w * w), np.sum(np.exp(w))
        a.backward()
        b.backward()
        np.testing.assert_allclose(w.grad, 2 * w.data + np.exp(w.data))
        w.data -= 0.1 * w.grad


def test_transform_of_arrays_that_change_between_calls() -> None:
    x = np.array([1.0, 2.0])
    slope = ag.grad(lambda v: np.sum(v**3))
    np.testing.assert_array_equal(slope(x), [3, 12])
    x *= 2
    np.testing.assert_array_equal(slope(x), [12, 48])


def test_argument_changed_between_vjp_and_pull() -> None:
    x = np.array([1.0, 2.0])
    _, pull = ag.vjp(lambda v: v**3, x)
    x *= 2
    with pytest.raises(RuntimeError, match=f"np.power: .*{CHANGED}"):
        pull(np.ones(2))


def test_read_only_array_made_writeable_again() -> None:
    t, a = ag.Tensor(np.ones(3), requires_grad=True), np.arange(3.0)
    a.flags.writeable = False
    loss = np.sum(t * a)
    loss.backward()
    a.flags.writeable = True
    a[0] = 10
    with pytest.raises(RuntimeError, match=r"np.multiply: its argument y, .* was changed"):
        loss.backward()


@pytest.mark.parametrize("size", [3, 2_000, 100_000])
@pytest.mark.parametrize("change", CHANGES)
def test_read_only_array_changed_and_made_read_only_again(size: int, change: Any) -> None:
    """A large one is looked at in 64 places: filled anew it shows, one changed cell does not."""
    x, w = np.random.default_rng(0).normal(size=size), _variable(size)
    x.flags.writeable = False
    loss = np.sum(w * x)
    loss.backward()
    x.flags.writeable = True
    change(x)
    x.flags.writeable = False
    if x.nbytes > 1 << 14 and change is _one_cell:
        loss.backward()
        return
    with pytest.raises(RuntimeError, match=r"np.multiply: its argument y, .* was changed"):
        loss.backward()


def test_dtype_reinterpreted_in_place() -> None:
    w, x = _variable(3), np.arange(3.0)
    loss = np.sum(w * x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy is about to deprecate it
        x.dtype = np.int64  # type: ignore[misc]
    with pytest.raises(RuntimeError, match=r"np.multiply: its argument y, .* was changed"):
        loss.backward()


def test_shape_changed_in_place() -> None:
    t, a = ag.Tensor(np.ones(3), requires_grad=True), np.arange(3.0)
    loss = np.sum(t * a)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy is about to deprecate it
        a.shape = (3, 1)
    with pytest.raises(RuntimeError, match=r"np.multiply: its argument y, .* was changed"):
        loss.backward()


def test_axes_that_were_an_array_or_list_may_change() -> None:
    w = np.random.default_rng(0).normal(size=(2, 2, 2))
    for axes in (np.array([1, 2, 0]), [1, 2, 0]):
        for transpose in (
            lambda t, axes: np.transpose(t, axes),
            lambda t, axes: np.transpose(t, axes=axes),
        ):
            t = ag.Tensor(np.zeros((2, 2, 2)), requires_grad=True)
            own = axes.copy()
            loss = np.sum(transpose(t, own) * w)
            own[:] = [0, 1, 2]
            loss.backward()
            np.testing.assert_array_equal(t.grad, w.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("held", "first"),
    [
        (lambda c: [c], lambda held: held[0]),
        (lambda c: {"a": c}, lambda held: held["a"]),
        (lambda c: ((c,),), lambda held: held[0][0]),
    ],
)
def test_arrays_within_an_argument_of_a_users_primitive_changed(held: Any, first: Any) -> None:
    @ag.primitive(lambda g, cs: g * first(cs))
    def scaled(x: Any, cs: Any) -> Any:
        return x * first(cs)

    factors, w = np.full(3, 2.0), _variable(3)
    loss = np.sum(scaled(w, held(factors)))
    factors[:] = 9
    _right_or_refused(loss, w, np.full(3, 2.0))


@pytest.mark.parametrize("change", ["replaced", "written to"])
def test_result_of_a_leaf_that_moves_while_its_requires_grad_is_off(change: str) -> None:
    w = _variable(3)
    rows = w[:2]
    w.requires_grad = False
    if change == "replaced":
        w.data = np.full(3, 5.0)
    else:
        w.data[...] = 5
    w.requires_grad = True
    with pytest.raises(RuntimeError, match=f"indexing: its leaf .* {OVERWRITTEN}"):
        np.sum(rows).backward()


def test_a_users_primitive_that_returns_a_buffer_of_its_own() -> None:
    buffer = np.empty(3)

    @ag.primitive(lambda g, ans: g * ans)
    def exp(x: Any) -> Any:
        return np.exp(x, out=buffer)

    w, u = _variable(3), ag.Tensor(np.zeros(3), requires_grad=True)
    first, second = exp(w), exp(u)
    np.sum(first * second).backward()
    np.testing.assert_array_equal(first.data, np.exp(np.full(3, 0.5)))
    np.testing.assert_array_equal(w.grad, first.data)
    buffer[0] = 7  # is still its owner's to write to


def test_a_users_primitive_that_returns_an_array_of_its_own_is_not_copied() -> None:
    made = []

    @ag.primitive(lambda g: 2 * g)
    def doubled(x: Any) -> Any:
        ans = 2 * x
        made.append(id(ans))
        return ans

    assert id(doubled(_variable(3))._values) == made[0]
