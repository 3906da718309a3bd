"""A result computed once from a leaf is refused after the leaf has moved, whatever moved it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite import nn, optim

REMEDY = "compute it again for each loss (inside forward)"

# Of a leaf of shape (4, 3): rules that read the leaf, the result, both, or nothing.
OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "transposed": lambda w: w.T,
    "swapped": lambda w: np.swapaxes(w, 0, 1),
    "slice": lambda w: w[:2],
    "row": lambda w: w[1],
    "picked": lambda w: w[[0, 0, 2]],
    "reshaped": lambda w: w.reshape(2, 6),
    "flat": lambda w: np.ravel(w),
    "joined": lambda w: np.concatenate([w, np.ones((1, 3))]),
    "stacked": lambda w: np.stack([w, w]),
    "repeated": lambda w: np.repeat(w, 2, axis=0),
    "broadcast": lambda w: np.broadcast_to(w, (2, 4, 3)),
    "where": lambda w: np.where(np.eye(4, 3) > 0, w, 0.0),
    "sum": lambda w: np.sum(w, axis=0),
    "mean": lambda w: np.mean(w),
    "cumsum": lambda w: np.cumsum(w, axis=1),
    "max": lambda w: np.max(w, axis=1),
    "plus": lambda w: w + 1.0,
    "minus": lambda w: -w,
    "scaled": lambda w: w * 2.0,
    "product": lambda w: w * np.arange(12.0).reshape(4, 3),
    "square": lambda w: w * w,
    "matrix": lambda w: w @ np.arange(6.0).reshape(3, 2),
    "einsum": lambda w: np.einsum("ij,ij->i", w, w),
    "ratio": lambda w: 1.0 / w,
    "power": lambda w: w**3,
    "exp": lambda w: np.exp(w),
    "log": lambda w: np.log(w),
    "root": lambda w: np.sqrt(w),
    "tanh": lambda w: np.tanh(w),
    "norm": lambda w: np.linalg.norm(w),
    "relu": lambda w: nn.relu(w),
    "softmax": lambda w: ag.softmax(w),
    "log_softmax": lambda w: ag.log_softmax(w),
    "logsumexp": lambda w: ag.logsumexp(w),
    "cross-entropy": lambda w: ag.cross_entropy(w, [0, 1, 2, 0]),
    "astype": lambda w: w.astype(np.float32),
    "chain": lambda w: np.exp(w.T[:2] * 0.5),
}


def _by(make: Callable[[Any], Any]) -> Callable[[ag.Tensor], None]:
    def move(w: ag.Tensor) -> None:
        before, w.grad = w.grad, np.ones(w.shape)
        make([w]).step()
        w.grad = before

    return move


class _Holder(nn.Module):
    def __init__(self, w: ag.Tensor) -> None:
        self.w = w


def _loaded(w: ag.Tensor) -> None:
    _Holder(w).load_state_dict({"w": np.ones(w.shape)})


def _initialised(w: ag.Tensor) -> None:
    nn.init.ones_(w)


def _subtracted(w: ag.Tensor) -> None:
    with ag.no_grad():
        w -= 0.25


def _line_search(w: ag.Tensor) -> None:
    before, w.grad = w.grad, None

    def closure() -> Any:
        loss = np.sum(np.square(w - 2.0))
        loss.backward()
        return loss

    optim.LBFGS([w], max_iter=1).step(closure)
    w.grad = before


def _replaced(w: ag.Tensor) -> None:
    w.data = w.data + 1.0


def _filled(w: ag.Tensor) -> None:
    w.data[...] = 2.0


def _one_cell(w: ag.Tensor) -> None:
    w.data[-1, -1] += 1.0


def _through_numpy(w: ag.Tensor) -> None:
    np.multiply(w.numpy(), 0.5, out=w.numpy())


def _through_detached(w: ag.Tensor) -> None:
    w.detach().data[0] = 3.0


def _twice(w: ag.Tensor) -> None:
    w.data[...] = 2.0
    assert w.data[0, 0] == 2  # looked at again


MOVES: dict[str, Callable[[ag.Tensor], None]] = {
    "SGD": _by(lambda params: optim.SGD(params, lr=0.1)),
    "momentum": _by(lambda params: optim.SGD(params, lr=0.1, momentum=0.9)),
    "Adam": _by(optim.Adam),
    "AdamW": _by(optim.AdamW),
    "RMSprop": _by(optim.RMSprop),
    "Adagrad": _by(optim.Adagrad),
    "Lion": _by(optim.Lion),
    "LBFGS": _line_search,
    "load_state_dict": _loaded,
    "init": _initialised,
    "no_grad": _subtracted,
    "replaced": _replaced,
    "filled": _filled,
    "one cell": _one_cell,
    "numpy": _through_numpy,
    "detached": _through_detached,
    "twice": _twice,
}


def leaf(name: str | None = "w") -> ag.Tensor:
    values = np.random.default_rng(0).uniform(0.5, 1.5, (4, 3))
    return ag.Tensor(values, requires_grad=True, name=name)


def _takes(result: Any) -> str:
    """Return the name of the call that took the leaf."""
    node = result._node
    while node.parents[0].plan is not None:
        node = node.parents[0]
    return str(node.plan.primitive.name)


@pytest.mark.parametrize("move", MOVES)
def test_a_result_computed_once_is_refused(move: str, record_property: Any) -> None:
    for compute in OPERATIONS.values():
        w = leaf()
        once = compute(w)
        np.sum(once * 2.0).backward()
        before = w.grad.copy()
        MOVES[move](w)
        with pytest.raises(RuntimeError) as caught:
            np.sum(once * 3.0).backward()
        message = str(caught.value)
        assert message.startswith(f"{_takes(once)}: its leaf 'w' of shape (4, 3) was updated")
        assert REMEDY in message
        assert np.array_equal(w.grad, before)
        w.grad = None
        np.sum(compute(w) * 3.0).backward()  # computed again
        assert w.grad is not None
    record_property("results computed once", len(OPERATIONS))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_result_that_a_module_computed_in_init_is_refused(operation: str) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            self.raw = leaf()
            self.scale = OPERATIONS[operation](self.raw)

        def forward(self, x: Any) -> Any:
            return np.sum(x * self.scale)

    model = Model()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    model(1.0).backward()
    optimizer.step()
    optimizer.zero_grad()
    with pytest.raises(RuntimeError, match="compute it again for each loss") as caught:
        model(2.0).backward()
    assert str(caught.value).startswith(_takes(model.scale))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_losses_of_one_graph_and_of_many_batches_are_allowed(operation: str) -> None:
    w = leaf()
    optimizer = optim.SGD([w], lr=1e-4)
    for _ in range(3):
        once = OPERATIONS[operation](w)
        for factor in (1.0, 2.0):  # several losses of one graph
            np.sum(once * factor).backward()
            assert w.data.shape == (4, 3)  # looking changes nothing
        for factor in (3.0, 4.0):  # batches
            np.sum(OPERATIONS[operation](w) * factor).backward()
        total = w.grad
        w.grad = None
        np.sum(OPERATIONS[operation](w) * 10.0).backward()
        np.testing.assert_allclose(total, w.grad, rtol=1e-12, atol=1e-12)
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("move", MOVES)
def test_what_moves_another_leaf_or_came_before_disturbs_nothing(move: str) -> None:
    w, other = leaf(), leaf("other")
    MOVES[move](w)
    assert w.data.shape == w.numpy().shape
    once = w.T
    MOVES[move](other)
    np.sum(once).backward()
    assert np.array_equal(w.grad, np.ones((4, 3)))


def test_data_that_is_looked_at_between_call_and_gradient_may_be() -> None:
    w = leaf()
    once = w.T
    for _ in range(3):
        assert w.data.mean() > 0
        assert w.detach().item(0) == w.numpy()[0, 0]
        np.sum(once).backward()
    assert np.array_equal(w.grad, np.full((4, 3), 3.0))


def test_a_leaf_without_a_name_is_told_by_its_shape() -> None:
    w = leaf(name=None)
    once = w.T
    w.data[...] = 0.0
    with pytest.raises(RuntimeError, match=r"np\.transpose: its leaf of shape \(4, 3\) was"):
        np.sum(once).backward()
