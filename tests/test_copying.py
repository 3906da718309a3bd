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
            "use tensor.detach() to keep its values"
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
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        duplicate(w)
