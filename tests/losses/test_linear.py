"""The classifier head and its loss in one: the same numbers, without the logits."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag


def arrays(seed: int = 0) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(seed)
    x, w, b = rng.normal(size=(7, 5)), rng.normal(size=(4, 5)), rng.normal(size=4)
    return x, w, b, rng.integers(4, size=7)


@pytest.mark.parametrize("chunk", [None, 1, 3, 7, 100])
def test_the_chunk_does_not_change_the_result(chunk: int | None) -> None:
    x, w, b, labels = arrays()
    tensors = [ag.Tensor(v, requires_grad=True) for v in (x, w, b)]
    loss = ag.linear_cross_entropy(tensors[0], tensors[1], labels, bias=tensors[2], chunk=chunk)
    loss.backward()
    p = ag.softmax(x @ w.T + b) - np.eye(4)[labels]
    np.testing.assert_allclose(loss.data, ag.cross_entropy(x @ w.T + b, labels), rtol=1e-14)
    for t, expected in zip(tensors, (p @ w / 7, p.T @ x / 7, p.sum(axis=0) / 7)):
        np.testing.assert_allclose(t.grad, expected, rtol=1e-12, atol=1e-15)


def test_features_of_any_number_of_dimensions() -> None:
    x, w, b, labels = arrays()
    losses = ag.linear_cross_entropy(x, w, labels, bias=b, reduction="none")
    single = ag.linear_cross_entropy(x[0], w, labels[0], bias=b, reduction="none")
    assert single.shape == ()
    np.testing.assert_allclose(single, losses[0], rtol=1e-14)
    stacked = ag.linear_cross_entropy(
        x[:6].reshape(2, 3, 5), w, labels[:6].reshape(2, 3), bias=b, reduction="none"
    )
    np.testing.assert_allclose(stacked, losses[:6].reshape(2, 3), rtol=1e-14)


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("soft", [False, True])
def test_derivatives_of_second_order_in_all_arguments(reduction: Any, soft: bool) -> None:
    rng = np.random.default_rng(1)
    x, w, b = rng.normal(size=(3, 1)), rng.normal(size=(2, 1)), rng.normal(size=2)
    if soft:
        y = rng.dirichlet(np.ones(2), size=3)
        ag.check_grads(
            lambda x, w, b, y: ag.linear_cross_entropy(
                x, w, y, bias=b, chunk=2, reduction=reduction
            ),
            x, w, b, y,
        )  # fmt: skip
        return
    ag.check_grads(
        lambda x, w, b: ag.linear_cross_entropy(
            x, w, [0, 1, 1], bias=b, chunk=2, reduction=reduction, label_smoothing=0.1,
            class_weight=[0.5, 2.0],
        ),
        x, w, b,
    )  # fmt: skip


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_second_backward_gives_the_same_gradients(reduction: Any) -> None:
    x, w, b, labels = arrays()
    tensors = [ag.Tensor(v, requires_grad=True) for v in (x, w, b)]
    loss = ag.linear_cross_entropy(
        tensors[0], tensors[1], labels, bias=tensors[2], chunk=2, reduction=reduction
    )
    rng = np.random.default_rng(2)
    for g in (rng.random(loss.shape), rng.random(loss.shape)):
        found = []
        for _ in range(2):
            for t in tensors:
                t.grad = None
            loss.backward(g)
            found.append([t.grad for t in tensors])
        for first, second, t in zip(*found, tensors):
            np.testing.assert_array_equal(first, second)
            logits = ag.Tensor(x @ w.T + b, requires_grad=True)
            ag.cross_entropy(logits, labels, reduction=reduction).backward(g)
            expected = (logits.grad @ w, logits.grad.T @ x, logits.grad.sum(axis=0))
            i = next(k for k, other in enumerate(tensors) if other is t)
            np.testing.assert_allclose(first, expected[i], rtol=1e-12, atol=1e-15)


def test_gradients_of_some_arguments_alone() -> None:
    x, w, b, labels = arrays()
    for reduction in ("mean", "none"):

        def f(x: Any, w: Any, b: Any, how: Any = reduction) -> Any:
            return np.sum(ag.linear_cross_entropy(x, w, labels, bias=b, reduction=how))

        every = ag.grad(f, (0, 1, 2))(x, w, b)
        for i in range(3):
            np.testing.assert_array_equal(ag.grad(f, i)(x, w, b), every[i])


def test_arrays_that_change_are_noticed() -> None:
    x, w, _, labels = arrays()
    t = ag.Tensor(w, requires_grad=True)
    loss = ag.linear_cross_entropy(x, t, labels)
    loss.backward()
    x[0] += 1
    message = "ag.linear_cross_entropy: an array it read was changed between the call and the comp"
    with pytest.raises(RuntimeError, match=message):
        loss.backward()


def test_float32_stays_float32() -> None:
    x, w, b, labels = arrays()
    t = ag.Tensor(x, requires_grad=True, dtype=np.float32)
    loss = ag.linear_cross_entropy(t, w.astype("f"), labels, bias=b.astype("f"))
    loss.backward()
    assert loss.dtype == t.grad.dtype == np.float32
    mixed = ag.linear_cross_entropy(t, w, labels)
    mixed.backward()
    assert mixed.dtype == np.float64
    assert t.grad.dtype == np.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"weight": np.ones((4, 3))},
            r"x of shape \(7, 5\) and weight of shape \(4, 3\) do not fit",
        ),
        ({"weight": np.ones(5)}, r"weight must be \(classes, features\), x \(..., features\)"),
        (
            {"bias": np.ones(5)},
            r"bias must have shape \(4,\), one number for each class, not \(5,\)",
        ),
        ({"chunk": 0}, "chunk must be at least 1 row, not 0"),
        ({"chunk": 1.5}, "chunk must be at least 1 row, not 1.5"),
        ({"weight": np.ones((0, 5))}, r"there are no classes along axis 0 of shape \(0, 5\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    x, w, _, labels = arrays()
    arguments = {"x": x, "weight": w, "target": labels, **change}
    with pytest.raises(ValueError, match=f"ag.linear_cross_entropy: .*{message}"):
        ag.linear_cross_entropy(**arguments)


def test_the_logits_are_never_held() -> None:
    rng = np.random.default_rng(3)
    rows, features, classes = 2048, 16, 8_000
    x = ag.Tensor(rng.normal(size=(rows, features)).astype("f"), requires_grad=True)
    w = ag.Tensor(rng.normal(size=(classes, features)).astype("f") / 10, requires_grad=True)
    labels = rng.integers(classes, size=rows)
    ag.linear_cross_entropy(x, w, labels, chunk=64).backward()
    x.grad = w.grad = None
    tracemalloc.start()
    ag.linear_cross_entropy(x, w, labels, chunk=64).backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    gradients = x.nbytes + w.nbytes
    assert peak < gradients + 4 * 64 * classes * 4
    assert peak < 0.12 * rows * classes * 4


@pytest.mark.peer
def test_values_and_gradients_are_those_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    x, w, b, labels = arrays()
    theirs = [torch.tensor(v, requires_grad=True) for v in (x, w, b)]
    loss = torch.nn.functional.cross_entropy(
        theirs[0] @ theirs[1].T + theirs[2], torch.tensor(labels), label_smoothing=0.1
    )
    loss.backward()
    ours = [ag.Tensor(v, requires_grad=True) for v in (x, w, b)]
    value = ag.linear_cross_entropy(
        ours[0], ours[1], labels, bias=ours[2], chunk=2, label_smoothing=0.1
    )
    value.backward()
    np.testing.assert_allclose(value.data, loss.item(), rtol=1e-13)
    for o, t in zip(ours, theirs):
        np.testing.assert_allclose(o.grad, t.grad.numpy(), rtol=1e-11, atol=1e-15)


def test_a_row_left_out_of_the_losses_gets_zeros_whatever_it_holds() -> None:
    x, w = np.array([[1.0, 2.0], [np.nan, 1.0], [0.0, 1.0]]), np.array([[0.5, 1.0], [-1.0, 0.2]])

    def taken(x: Any) -> Any:
        return np.sum(ag.linear_cross_entropy(x, w, [0, 1, 0], reduction="none")[[0, 2]])

    for function in (taken, lambda x: np.sum(ag.grad(taken)(x) ** 2)):
        expected = ag.grad(function)(np.nan_to_num(x))
        np.testing.assert_allclose(ag.grad(function)(x), expected, rtol=1e-13)
        np.testing.assert_array_equal(expected[1], 0)
        assert np.abs(expected).max() > 0.01
