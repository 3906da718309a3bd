"""Copies and pickles of tensors: a leaf is copied whole, a recorded result says what to do."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag

COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {protocol}": lambda t, protocol=protocol: pickle.loads(pickle.dumps(t, protocol))
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
}
each_copy = pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)


@each_copy
def test_leaf_is_copied_whole(duplicate: Any) -> None:
    w = ag.Tensor([[1.0, 2.0]], requires_grad=True, dtype=np.float32, name="w")
    np.sum(w * w).backward()
    v = duplicate(w)
    assert (v.dtype, v.shape, v.name, v.requires_grad) == (np.float32, (1, 2), "w", True)
    np.testing.assert_array_equal(v.data, w.data)
    np.testing.assert_array_equal(v.grad, w.grad)
    assert not np.shares_memory(v.data, w.data)
    assert not np.shares_memory(v.grad, w.grad)
    np.sum(v * 3.0).backward()
    np.testing.assert_array_equal(v.grad, [[5, 7]])
    np.testing.assert_array_equal(w.grad, [[2, 4]])


@each_copy
def test_untracked_tensor(duplicate: Any) -> None:
    t = ag.Tensor([1, 2], name="labels")
    u = duplicate(t)
    assert (u.dtype, u.requires_grad, u.name, u.grad) == (t.dtype, False, "labels", None)
    u.data[0] = 7
    np.testing.assert_array_equal(t.data, [1, 2])


@each_copy
def test_leaf_without_gradient(duplicate: Any) -> None:
    v = duplicate(ag.Tensor(1.0, requires_grad=True))
    assert v.grad is None
    assert v.shape == ()


@each_copy
def test_tied_weights_stay_tied(duplicate: Any) -> None:
    w = ag.Tensor([1.0], requires_grad=True)
    model = duplicate({"encoder": w, "decoder": w, "other": ag.Tensor([1.0], requires_grad=True)})
    assert model["encoder"] is model["decoder"]
    assert model["encoder"] is not model["other"]
    assert model["encoder"] is not w


@each_copy
def test_copy_of_a_leaf_that_a_graph_uses(duplicate: Any) -> None:
    w = ag.Tensor([1.0, 2.0], requires_grad=True)
    loss = np.sum(w * w)
    v = duplicate(w)
    loss.backward()
    np.testing.assert_array_equal(w.grad, [2, 4])
    assert v.grad is None


@pytest.mark.parametrize("duplicate", [copy.copy, *COPIES.values()], ids=["copy", *COPIES])
def test_recorded_result_says_what_to_do(duplicate: Any) -> None:
    w = ag.Tensor([1.0, 2.0], requires_grad=True)
    y = w * 2
    with pytest.raises(
        TypeError,
        match=re.escape(
            "a recorded result cannot be pickled or copied without its graph; "
            "use tensor.detach() to keep its values, np.copy(tensor) for a copy that gradients "
            "flow through"
        ),
    ):
        duplicate(y)
    np.testing.assert_array_equal(duplicate(y.detach()).data, [2, 4])


@pytest.fixture(scope="module")
def deep() -> Any:
    y: Any = ag.Tensor(1.0, requires_grad=True)
    for _ in range(20_000):
        y = y + 1.0
    return y


@each_copy
def test_deep_graph_is_refused_without_recursion(duplicate: Any, deep: Any) -> None:
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        duplicate(deep)
    assert repr(deep) == "Tensor(20001., requires_grad=True)"


@each_copy
def test_gradient_that_is_a_tensor(duplicate: Any) -> None:
    w = ag.Tensor([1.0, 2.0], requires_grad=True)
    np.sum(w**3).backward(create_graph=True)
    message = re.escape(
        "the .grad of this tensor is recorded (create_graph=True) and cannot be pickled or copied "
        "without its graph; set .grad to its values, tensor.grad.data, or to None"
    )
    with pytest.raises(TypeError, match=message):
        duplicate(w)
    with pytest.raises(TypeError, match=message):
        copy.copy(w)
    w.grad = w.grad.data
    np.testing.assert_array_equal(duplicate(w).grad, [3, 12])


def test_shallow_copy_is_a_leaf_of_its_own() -> None:
    w = ag.Tensor([3.0, 4.0], requires_grad=True, name="w")
    w.grad = np.array([3.0, 4.0])
    v = copy.copy(w)
    assert (v.name, v.requires_grad) == ("w", True)
    v.data[0] = 7.0
    assert ag.optim.clip_grad_norm([v, w], 1.0) == pytest.approx(np.sqrt(50))
    np.testing.assert_allclose(w.grad, np.array([3, 4]) / np.sqrt(50), rtol=1e-6)
    np.testing.assert_array_equal(w.data, [3, 4])


# ---------------------------------------------------------------------------- in transforms

X = np.array([0.3, -0.8, 1.7])
FOLLOWED: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "deepcopy of a dictionary": lambda x: copy.deepcopy({"x": x})["x"],
    "copy of a result": lambda x: copy.copy(x * 1.0),
    "copy of a copy": lambda x: copy.copy(copy.deepcopy(x)),
}
each_followed = pytest.mark.parametrize("duplicate", FOLLOWED.values(), ids=FOLLOWED)


@each_followed
def test_gradient_follows_a_copy_of_the_argument(duplicate: Any) -> None:
    def f(x: Any) -> Any:
        return np.sum(duplicate(x) ** 3)

    np.testing.assert_allclose(ag.grad(f)(X), 3 * X**2)
    np.testing.assert_allclose(ag.grad(f)(ag.Tensor(X)).data, 3 * X**2)
    np.testing.assert_allclose(ag.hessian(f)(X), np.diag(6 * X))
    np.testing.assert_allclose(ag.jvp(f, (X,), (np.ones(3),))[1], np.sum(3 * X**2))
    np.testing.assert_allclose(ag.hvp(f, (X,), (np.ones(3),))[0], 6 * X)
    w = ag.Tensor(X, requires_grad=True)
    np.sum(ag.grad(f)(w) ** 2).backward()  # 9 x⁴
    np.testing.assert_allclose(w.grad, 36 * X**3)


def test_copy_of_a_parameter_in_a_transform_is_a_leaf_as_elsewhere() -> None:
    w = ag.Tensor(2.0, requires_grad=True)
    seen = []

    def f(x: Any) -> Any:
        seen.append(copy.deepcopy(w))
        return x * seen[-1]

    assert ag.grad(f)(3.0) == 2.0
    assert seen[0].is_leaf
    assert seen[0].requires_grad


def test_argument_of_a_transform_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match=r"cannot be pickled or copied .* np\.copy"):
        ag.grad(lambda x: np.sum(pickle.loads(pickle.dumps(x))))(X)


def test_argument_that_outlives_its_transform_is_not_copied() -> None:
    seen = []
    ag.grad(lambda x: seen.append(x) or np.sum(x))(X)
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        copy.copy(seen[0])
