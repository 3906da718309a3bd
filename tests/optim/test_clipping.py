"""Gradients are limited in place, and their norm does not overflow."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite import optim


def leaf(values, dtype=np.float64):
    return ag.Tensor(np.asarray(values, dtype), requires_grad=True)


def test_clipping():
    a, b, none = leaf([3.0]), leaf([4.0]), leaf([0.0])
    a.grad, b.grad = np.array([3.0]), np.array([-4.0])
    array = a.grad
    assert optim.clip_grad_norm([a, b, none], 10) == 5
    assert a.grad == 3
    assert optim.clip_grad_norm([a, b, none], 1) == 5
    assert optim.grad_norm([a, b, none]) == pytest.approx(1, rel=1e-6)
    assert a.grad is array
    optim.clip_grad_value([a, b, none], 0.7)
    assert (a.grad[0], b.grad[0]) == (pytest.approx(0.6), -0.7)
    b.grad = np.array([np.nan])
    with pytest.raises(
        FloatingPointError, match=r"clip_grad_norm: the norm of the gradients is nan"
    ):
        optim.clip_grad_norm([a, b], 0.1)
    assert a.grad[0] == pytest.approx(0.6)
    with pytest.raises(TypeError, match=r"those of tensors, such as model\.parameters\(\)"):
        optim.clip_grad_norm([[a]], 1.0)
    with pytest.raises(ValueError, match="max_norm must be positive, got None"):
        optim.clip_grad_norm([a], None)
    with pytest.raises(ValueError, match="max_norm must be positive, got 0"):
        optim.clip_grad_norm([a], 0)
    with pytest.raises(ValueError, match="clip_value must be positive, got -1"):
        optim.clip_grad_value([a], -1)


def test_one_tensor_is_clipped_like_a_list_of_it():
    w = leaf([[1.0], [1.0]])
    w.grad = np.array([[3.0], [4.0]])
    assert optim.grad_norm(w) == 5
    assert optim.clip_grad_norm(w, 1.0) == 5
    assert np.allclose(w.grad, [[0.6], [0.8]], rtol=1e-6)
    optim.clip_grad_value(w, 0.7)
    assert np.allclose(w.grad, [[0.6], [0.7]], rtol=1e-6)
    scalar = leaf(2.0)
    scalar.grad = np.array(4.0)
    assert optim.clip_grad_norm(scalar, 2.0) == 4
    assert optim.clip_grad_norm(iter([w, scalar]), 0.5) > 2
    assert optim.grad_norm([w, scalar]) == pytest.approx(0.5, rel=1e-5)


def test_the_norm_of_huge_gradients_does_not_overflow():
    a = leaf([1.0, 1.0], np.float32)
    a.grad = np.array([3e30, 4e30], np.float32)
    assert optim.grad_norm([a]) == pytest.approx(5e30, rel=1e-6)


@pytest.mark.peer
def test_clipping_follows_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for max_norm in (0.5, 100):
        ours = [leaf(np.zeros((3, 4))), leaf(np.zeros(2))]
        theirs = [torch.zeros((3, 4), dtype=torch.float64), torch.zeros(2, dtype=torch.float64)]
        for p, q in zip(ours, theirs):
            p.grad = rng.normal(size=p.shape)
            q.grad = torch.tensor(p.grad)
        norm = optim.clip_grad_norm(ours, max_norm)
        assert norm == pytest.approx(torch.nn.utils.clip_grad_norm_(theirs, max_norm).item())
        assert all(np.allclose(p.grad, q.grad.numpy(), rtol=1e-12) for p, q in zip(ours, theirs))


def test_float16_gradients_are_measured_and_scaled_in_single_precision(record_property):
    rng = np.random.default_rng(0)
    for _ in range(100):
        w = leaf(np.zeros(int(rng.integers(1, 3000))), np.float16)
        gradient = rng.normal(size=w.shape) * 10.0 ** rng.uniform(-2, 3.9)
        w.grad = np.clip(gradient, -6e4, 6e4).astype(np.float16)
        before = w.grad.astype(float)
        norm = np.linalg.norm(before)
        limit = norm * rng.uniform(0.01, 0.5)
        assert optim.clip_grad_norm([w], limit) == pytest.approx(norm, rel=1e-6)
        assert w.grad.dtype == np.float16
        np.testing.assert_allclose(w.grad, before * (limit / norm), rtol=1e-3, atol=1e-7)
    record_property("float16 gradients clipped", 100)


def recorded():
    w = leaf([1.0, 2.0])
    np.sum(w**3).backward(create_graph=True)
    return w, w.grad


@pytest.mark.parametrize(
    "clip", [lambda w: optim.clip_grad_norm(w, 1.0), lambda w: optim.clip_grad_value(w, 5.0)]
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_recorded_gradient_is_not_written_into(clip, dtype):
    w = leaf([1.0, 2.0], dtype)
    np.sum(w**3).backward(create_graph=True)
    gradient = w.grad
    before = gradient.data.copy()
    clip(w)
    assert np.array_equal(gradient.data, before)
    assert not np.array_equal(w.grad.data, before)
    assert w.grad.dtype == dtype
    w.zero_grad()
    np.sum(gradient).backward()
    assert np.allclose(w.grad, 6 * w.data)


def test_second_derivative_of_a_recorded_gradient_that_was_clipped():
    w = leaf(2.0)
    np.log(w).backward(create_graph=True)  # 1/w, whose slope is -1/w²
    gradient = w.grad
    optim.clip_grad_norm(w, 0.1)
    assert w.grad.item() == pytest.approx(0.1, rel=1e-5)
    w.zero_grad()
    gradient.backward()
    assert w.grad == -0.25


def test_gradients_flow_through_clipping():
    def of(x):
        w = ag.Tensor(x, requires_grad=True)
        np.sum(w**3).backward(create_graph=True)
        return w

    x = np.array([1.0, 2.0])
    for clip, clipped in (
        (lambda w: optim.clip_grad_norm(w, 1.0), lambda g: g / (np.sqrt(np.sum(g * g)) + 1e-6)),
        (lambda w: optim.clip_grad_value(w, 5.0), lambda g: np.clip(g, -5.0, 5.0)),
    ):
        w = of(x)
        clip(w)
        gradient, w.grad = w.grad, None
        gradient[0].backward()
        slope = ag.grad(lambda x, clipped=clipped: clipped(3 * x**2)[0])(x)
        assert np.allclose(w.grad, slope, rtol=1e-12)


def test_recorded_gradients_beside_arrays_are_clipped_together():
    w, _ = recorded()
    v = leaf([1.0])
    v.grad = np.array([4.0])
    norm = np.sqrt(9 + 144 + 16)
    assert optim.clip_grad_norm([w, v], 1.0) == pytest.approx(norm)
    assert np.allclose(w.grad.data, np.array([3, 12]) / norm, rtol=1e-6)
    assert np.allclose(v.grad, 4 / norm, rtol=1e-6)
