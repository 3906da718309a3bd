"""L-BFGS finds minima, and each of its line searches meets its conditions."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite import optim


def leaf(values, dtype=np.float64):
    return ag.Tensor(np.asarray(values, dtype), requires_grad=True)


def rosenbrock(w):
    return np.sum(100 * np.square(w[1:] - np.square(w[:-1])) + np.square(1 - w[:-1]))


def closure_of(f, w, trace=None):
    def closure():
        loss = f(w)
        loss.backward()
        if trace is not None:
            trace.append(loss.item())
        return loss

    return closure


def test_lbfgs_finds_the_minimum_of_rosenbrock():
    w = leaf(np.full(10, -1.2))
    optimizer = optim.LBFGS([w], max_iter=200, tolerance_change=1e-15)
    assert optimizer.step(closure_of(rosenbrock, w)) < 1e-15
    assert np.allclose(w.detach().numpy(), 1, atol=1e-7)
    assert optimizer.n_eval < 120
    assert w.grad is None


def test_lbfgs_in_many_calls_is_the_same_as_in_one():
    one, many = leaf(np.full(4, -1.2)), leaf(np.full(4, -1.2))
    optim.LBFGS([one], max_iter=30).step(closure_of(rosenbrock, one))
    optimizer = optim.LBFGS([many], max_iter=1)
    for _ in range(30):
        state = optimizer.state_dict()
        optimizer = optim.LBFGS([many], max_iter=1)
        optimizer.load_state_dict(state)
        optimizer.step(closure_of(rosenbrock, many))
    assert np.array_equal(one.detach().numpy(), many.detach().numpy())


def test_lbfgs_minimises_an_ill_conditioned_quadratic_in_few_steps():
    values = np.array([1.0, 10.0, 100.0])
    w = leaf([1.0, 1.0, 1.0])
    optimizer = optim.LBFGS([w], max_iter=100, tolerance_change=0)
    optimizer.step(closure_of(lambda w: np.sum(values * w * w), w))
    assert np.abs(w.detach().numpy()).max() < 1e-8
    assert optimizer.n_iter <= 20


def test_lbfgs_stops_with_a_message_where_the_loss_is_nan():
    w = leaf([-1.0])
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(FloatingPointError, match=r"LBFGS\.step: the loss is nan to begin with"),
    ):
        optim.LBFGS([w]).step(closure_of(lambda w: np.sum(np.log(w)), w))


def test_lbfgs_says_that_its_closure_computed_no_gradient():
    w = leaf([1.0])
    with pytest.raises(
        ValueError, match=r"LBFGS\.step: the closure left no gradient; it must call"
    ):
        optim.LBFGS([w]).step(lambda: np.sum(w * w))


def test_lbfgs_backs_away_from_nan():
    w = leaf([0.01])
    with np.errstate(invalid="ignore"):
        optim.LBFGS([w], max_iter=50).step(closure_of(lambda w: np.sum(w - np.log(w)), w))
    assert w.item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("start", [-2.5, -0.7, 0.3, 1.9])
@pytest.mark.parametrize("lr", [1e-3, 0.1, 1.0, 7.0, 60.0, 1e3])
def test_a_line_search_meets_the_strong_wolfe_conditions(start, lr):
    def f(w):
        return np.sum(np.square(w) + 1.5 * np.cos(4 * w) + 0.1 * np.exp(w))

    before, w = leaf([start]), leaf([start])
    f(before).backward()
    with np.errstate(over="ignore"):  # the longest first steps
        optim.LBFGS([w], lr=lr, max_iter=1).step(closure_of(f, w))
    moved = (w._values - start) @ before.grad
    value = f(w)
    value.backward()
    assert value.item() <= f(before).item() + 1e-4 * moved
    assert abs(w.grad[0]) <= 0.9 * abs(before.grad[0])


@pytest.mark.peer
def test_lbfgs_and_its_line_search_follow_torch():
    torch = pytest.importorskip("torch")
    settings = {"max_iter": 50, "tolerance_grad": 0, "tolerance_change": 0}
    w, v = leaf(np.full(10, -1.2)), torch.full((10,), -1.2, dtype=torch.float64, requires_grad=True)
    ours, theirs = [], []

    def f(w):
        return (100 * (w[1:] - w[:-1] ** 2) ** 2 + (1 - w[:-1]) ** 2).sum()

    def closure():
        ours.append(w.detach().numpy().copy())
        loss = f(w)
        loss.backward()
        return loss

    def other():
        optimizer.zero_grad()
        theirs.append(v.detach().numpy().copy())
        loss = f(v)
        loss.backward()
        return loss

    optim.LBFGS([w], **settings).step(closure)
    optimizer = torch.optim.LBFGS([v], **settings, max_eval=999, line_search_fn="strong_wolfe")
    optimizer.step(other)
    assert len(ours) == len(theirs) > 50  # every trial of the line search too
    assert np.allclose(ours, theirs, atol=1e-6)


@pytest.mark.peer
@pytest.mark.parametrize("lr", [0.03, 0.3, 4.0, 7.0, 30.0])
def test_line_searches_there_and_back_follow_torch(lr):
    torch = pytest.importorskip("torch")
    settings = {"lr": lr, "max_iter": 1, "tolerance_grad": 0, "tolerance_change": 1e-12}

    def trials(p, optimizer, cos, sin):
        found = []

        def closure():
            p.grad = None
            found.append(p.item())
            loss = (p * p + 1.5 * cos(4 * p) + sin(11 * p)).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        return found

    longest = 0
    for start in np.linspace(-3, 3, 25):
        p, q = leaf([start]), torch.tensor([start], requires_grad=True)
        other = torch.optim.LBFGS([q], **settings, line_search_fn="strong_wolfe", max_eval=999)
        ours = trials(p, optim.LBFGS([p], **settings), np.cos, np.sin)
        assert np.allclose(ours, trials(q, other, torch.cos, torch.sin), atol=1e-7)
        longest = max(longest, len(ours))
    assert longest > 4


def test_lbfgs_finds_the_minimum_of_float16_parameters():
    w = ag.Tensor(np.array([30.0, -40.0], np.float16), requires_grad=True)

    def closure():
        loss = np.sum(np.square(w.astype(np.float32) - np.array([100.0, 200.0], np.float32)))
        loss.backward()
        return loss

    optim.LBFGS([w]).step(closure)
    assert np.array_equal(w.numpy(), [100, 200])
