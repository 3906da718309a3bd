"""Optimisers follow their formulas and PyTorch, in place, and resume bit by bit."""

from __future__ import annotations

import math

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite import optim
from autograd_lite.optim import optimizers


def leaf(values, dtype=np.float64):
    return ag.Tensor(np.asarray(values, dtype), requires_grad=True)


def run(optimizer, parameters, steps, rng):
    """Take steps along the gradients of a bumpy function, returning the parameters after each."""
    trace = []
    targets = [rng.normal(size=p.shape) for p in parameters]
    for _ in range(steps):
        optimizer.zero_grad()
        loss = sum(np.sum(np.square(p - t) + np.cos(3 * p)) for p, t in zip(parameters, targets))
        loss.backward()
        optimizer.step()
        trace.append([p._values.copy() for p in parameters])
    return trace


# ---------------------------------------------------------------------------- against formulas


def sgd(p, g, s, t, lr, momentum=0.0, weight_decay=0.0, nesterov=False):
    g = g + weight_decay * p
    s["v"] = momentum * s.get("v", 0) + g
    return p - lr * (g + momentum * s["v"] if nesterov else s["v"])


def adam(p, g, s, t, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
    p = p * (1 - lr * weight_decay) if decoupled else p
    g = g if decoupled else g + weight_decay * p
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g * g
    m, v = s["m"] / (1 - betas[0] ** t), s["v"] / (1 - betas[1] ** t)
    return p - lr * m / (np.sqrt(v) + eps)


def adamw(*args, weight_decay=1e-2, **kwargs):
    return adam(*args, weight_decay=weight_decay, decoupled=True, **kwargs)


def rmsprop(p, g, s, t, lr, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0):
    g = g + weight_decay * p
    s["s"] = alpha * s.get("s", 0) + (1 - alpha) * g * g
    s["v"] = momentum * s.get("v", 0) + g / (np.sqrt(s["s"]) + eps)
    return p - lr * s["v"]


def adagrad(p, g, s, t, lr, lr_decay=0.0, weight_decay=0.0, eps=1e-10):
    g = g + weight_decay * p
    s["s"] = s.get("s", 0) + g * g
    return p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s["s"]) + eps)


def lion(p, g, s, t, lr, betas=(0.9, 0.99), weight_decay=0.0):
    m = s.get("m", np.zeros_like(p))
    s["m"] = betas[1] * m + (1 - betas[1]) * g
    return p * (1 - lr * weight_decay) - lr * np.sign(betas[0] * m + (1 - betas[0]) * g)


CASES = [
    (optim.SGD, sgd, {"lr": 0.05}),
    (optim.SGD, sgd, {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1}),
    (optim.SGD, sgd, {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True}),
    (optim.Adam, adam, {"lr": 0.1}),
    (optim.Adam, adam, {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    (optim.AdamW, adamw, {"lr": 0.1}),
    (optim.AdamW, adamw, {"lr": 0.1, "weight_decay": 0.3}),
    (optim.RMSprop, rmsprop, {"lr": 0.05}),
    (optim.RMSprop, rmsprop, {"lr": 0.02, "alpha": 0.9, "momentum": 0.5, "weight_decay": 0.1}),
    (optim.Adagrad, adagrad, {"lr": 0.5}),
    (optim.Adagrad, adagrad, {"lr": 0.5, "lr_decay": 0.1, "weight_decay": 0.1}),
    (optim.Lion, lion, {"lr": 0.05, "weight_decay": 0.1}),
]
IDS = [f"{c[0].__name__}-{i}" for i, c in enumerate(CASES)]


@pytest.mark.parametrize(("kind", "formula", "settings"), CASES, ids=IDS)
def test_fifty_steps_follow_the_formula(kind, formula, settings, monkeypatch):
    monkeypatch.setattr(optimizers, "_BLOCK", 7)  # so that these parameters are several blocks
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(4, 5)), rng.normal(size=3), rng.normal(size=())]
    parameters = [leaf(v) for v in values]
    trace = run(kind(parameters, **settings), parameters, 50, np.random.default_rng(1))
    targets = np.random.default_rng(1)
    targets = [targets.normal(size=v.shape) for v in values]
    states = [{} for _ in values]
    for t, after in enumerate(trace, 1):
        for i, (v, target) in enumerate(zip(values, targets)):
            g = 2 * (v - target) - 3 * np.sin(3 * v)
            values[i] = formula(v, g, states[i], t, **settings)
            assert np.allclose(after[i], values[i], rtol=1e-10, atol=1e-12)


@pytest.mark.peer
@pytest.mark.parametrize(("kind", "formula", "settings"), CASES[:-1], ids=IDS[:-1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fifty_steps_follow_torch(kind, formula, settings, dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(4, 5)).astype(dtype), rng.normal(size=3).astype(dtype)]
    ours = [leaf(v, dtype) for v in values]
    theirs = [torch.tensor(v, requires_grad=True) for v in values]
    optimizer = kind(ours, **settings)
    other = getattr(torch.optim, kind.__name__)(theirs, **settings)
    for _ in range(50):
        for p, q in zip(ours, theirs):
            g = rng.normal(size=p.shape).astype(dtype)
            p.grad, q.grad = g, torch.tensor(g)
        optimizer.step()
        other.step()
        for p, q in zip(ours, theirs):
            assert np.allclose(p._values, q.detach().numpy(), rtol=1e-6, atol=1e-6)


# ---------------------------------------------------------------------------- behaviour


@pytest.mark.parametrize(("kind", "formula", "settings"), CASES, ids=IDS)
def test_float32_and_memory_order_are_kept(kind, formula, settings):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 5)).astype(np.float32)
    p, q = leaf(values, np.float32), leaf(np.asfortranarray(values), np.float32)
    assert not q._values.flags.c_contiguous
    before = q._values
    a = run(kind([p], **settings), [p], 5, np.random.default_rng(1))
    b = run(kind([q], **settings), [q], 5, np.random.default_rng(1))
    assert np.array_equal(a[-1][0], b[-1][0])
    assert p.dtype == np.float32
    assert q._values is before


def test_a_step_writes_into_the_parameters_own_array():
    w = leaf([1.0, 2.0])
    array = w.data
    np.sum(w * w).backward()
    optim.SGD([w], lr=0.25).step()
    assert np.array_equal(array, [0.5, 1.0])


def test_a_step_allocates_nothing_of_the_size_of_a_parameter():
    import tracemalloc

    w = ag.Tensor(np.ones(1_000_000, np.float32), requires_grad=True)
    w.grad = np.ones(1_000_000, np.float32)
    for kind, _, settings in CASES:
        optimizer = kind([w], **settings)
        optimizer.step()
        tracemalloc.start()
        optimizer.step()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100_000, kind


def test_an_older_graph_refuses_where_it_needs_the_old_values():
    w = leaf([1.0, 2.0])
    loss, linear = np.sum(w * w), np.sum(w * np.ones(2))
    loss.backward()
    optim.SGD([w], lr=0.1).step()
    with pytest.raises(
        RuntimeError, match=r"np\.multiply: its leaf of shape \(2,\) was updated in place"
    ):
        loss.backward()
    with pytest.raises(RuntimeError, match="updated in place"):
        loss.backward(create_graph=True)
    with pytest.raises(RuntimeError, match="compute it again for each loss"):
        linear.backward()  # which reads none of them, but is the loss of a leaf that is no more
    w.grad = None
    np.sum(w * w).backward()
    assert np.array_equal(w.grad, 2 * w.detach().numpy())


def test_an_older_graph_refuses_also_for_other_targets_and_through_views():
    w, x = leaf([[1.0, 2.0]]), leaf([[3.0, 4.0]])
    _, pull = ag.vjp(lambda x: x * w, x)
    through_view = np.sum(x @ w.T)
    w.grad = np.ones((1, 2))
    optim.SGD([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="updated in place"):
        pull(np.ones((1, 2)))
    with pytest.raises(RuntimeError, match=r"np\.transpose: its leaf .* was updated in place"):
        through_view.backward()


def test_a_step_of_another_model_disturbs_nothing():
    w, other = leaf([1.0]), leaf([1.0])
    loss = np.sum(w * w)
    other.grad = np.ones(1)
    optim.SGD([other], lr=0.1).step()
    loss.backward()
    assert w.grad == 2


def test_parameters_without_gradient_are_left_alone():
    w, frozen = leaf([1.0]), ag.Tensor([1.0])
    optimizer = optim.Adam([w, frozen])
    optimizer.step()
    assert optimizer.state == {}
    assert w.item() == frozen.item() == 1


def test_groups_have_settings_of_their_own():
    a, b = leaf([1.0]), leaf([1.0])
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.25)
    a.grad, b.grad = np.ones(1), np.ones(1)
    optimizer.step()
    assert (a.item(), b.item()) == (0.75, 0.5)


def test_bad_arguments_are_named():
    w = leaf([1.0])
    with pytest.raises(ValueError, match="Adam: lr must be finite and at least 0, got -1"):
        optim.Adam([w], lr=-1)
    with pytest.raises(
        ValueError, match=r"Adam: betas must be two numbers from 0 to below 1, got \(0\.9, 1\.0\)"
    ):
        optim.Adam([w], betas=(0.9, 1.0))
    for betas in (0.9, (0.9,), (0.9, 0.99, 0.999), (0.9, None)):
        with pytest.raises(ValueError, match="Adam: betas must be two numbers from 0 to below 1"):
            optim.Adam([w], betas=betas)
    for lr in ("0.1", None, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"SGD: lr must be finite and at least 0, got {lr!r}"):
            optim.SGD([w], lr=lr)
    with pytest.raises(ValueError, match="LBFGS: max_iter must be an integer of at least 1, got 0"):
        optim.LBFGS([w], max_iter=0)
    with pytest.raises(ValueError, match="SGD: nesterov needs a momentum above 0"):
        optim.SGD([w], nesterov=True)
    with pytest.raises(
        TypeError, match=r"SGD: params must be tensors, such as model\.parameters\(\), or"
    ):
        optim.SGD(w)
    with pytest.raises(ValueError, match="SGD: there are no parameters"):
        optim.SGD([])
    with pytest.raises(TypeError, match="SGD: parameters must be floating-point leaf tensors"):
        optim.SGD([w * 2])
    with pytest.raises(TypeError, match=r"such as model\.parameters\(\), not Tensor\(\[") as caught:
        optim.SGD([leaf(np.ones(1000)) * 2])
    assert len(str(caught.value)) < 200
    with pytest.raises(ValueError, match="SGD: a parameter occurs twice"):
        optim.SGD([w, w])
    with pytest.raises(TypeError, match="SGD: a group needs 'params' and may set lr, momentum"):
        optim.SGD([{"params": [w], "rate": 1}])
    with pytest.raises(ValueError, match="LBFGS: parameter groups are not supported"):
        optim.LBFGS([{"params": [w]}, {"params": [leaf([2.0])]}])
    with pytest.raises(TypeError, match=r"LBFGS\.step: needs a closure"):
        optim.LBFGS([w]).step()


@pytest.mark.parametrize(("kind", "formula", "settings"), CASES, ids=IDS)
def test_state_goes_on_bit_by_bit(kind, formula, settings):
    rng = np.random.default_rng(0)
    p = leaf(rng.normal(size=(4, 5)), np.float32)
    optimizer = kind([p], **settings)
    run(optimizer, [p], 5, np.random.default_rng(1))
    q = leaf(p._values, np.float32)
    other = kind([q])
    other.load_state_dict(optimizer.state_dict())
    a = run(optimizer, [p], 5, np.random.default_rng(2))
    b = run(other, [q], 5, np.random.default_rng(2))
    assert all(np.array_equal(x[0], y[0]) for x, y in zip(a, b))


def test_a_state_that_does_not_fit_is_refused():
    w = leaf([1.0])
    w.grad = np.ones(1)
    optimizer = optim.Adam([w])
    optimizer.step()
    state = optimizer.state_dict()
    with pytest.raises(ValueError, match=r"SGD\.load_state_dict: this is the state of Adam"):
        optim.SGD([w]).load_state_dict(state)
    with pytest.raises(ValueError, match="expected 2 parameter groups, got 1"):
        optim.Adam([{"params": [w]}, {"params": [leaf([1.0])]}]).load_state_dict(state)
    with pytest.raises(
        ValueError, match=r"state of Adam, with optimizer; it needs .* groups and s"
    ):
        optim.Adam([w]).load_state_dict({"optimizer": "Adam"})
    other = optim.Adam([leaf([1.0, 2.0])], lr=7.0)
    with pytest.raises(
        ValueError, match=r"parameter 0 of shape \(2,\) needs step, exp_avg, .* {'exp_avg': \(1,\)"
    ):
        other.load_state_dict(state)
    assert other.state == {}
    assert other.groups[0]["lr"] == 7
    del state["state"]["0"]["exp_avg"]
    with pytest.raises(
        ValueError, match=r"needs step, exp_avg, exp_avg_sq; the state has step, exp_avg_sq, of"
    ):
        optim.Adam([w]).load_state_dict(state)
    optimizer = optim.SGD([w], momentum=0.9)
    optimizer.step()
    with pytest.raises(ValueError, match=r"of shape \(2,\) .* {'momentum_buffer': \(1,\)}"):
        optim.SGD([leaf([1.0, 2.0])]).load_state_dict(optimizer.state_dict())


def test_momentum_may_come_go_and_differ_between_groups():
    a, b = leaf([0.0]), leaf([0.0])
    optimizer = optim.SGD([{"params": [a]}, {"params": [b], "momentum": 0.5}], lr=1.0)

    def step():
        a.grad, b.grad = np.ones(1), np.ones(1)
        optimizer.step()
        return a.item(), b.item()

    assert [step(), step()] == [(-1, -1), (-2, -2.5)]
    assert "momentum_buffer" not in optimizer.state[0]
    optimizer.groups[0]["momentum"] = 0.5
    # Saved before the first step with momentum, when there is nothing yet to save of it.
    state = optimizer.state_dict()
    optimizer = optim.SGD([{"params": [a]}, {"params": [b]}], lr=1.0)
    optimizer.load_state_dict(state)
    assert [step(), step()] == [(-3, -4.25), (-4.5, -6.125)]
    optimizer.groups[0]["momentum"] = 0.0
    assert step()[0] == -5.5


def test_rmsprop_keeps_a_momentum_only_if_it_has_one():
    w = leaf([0.0])
    optimizer = optim.RMSprop([w])
    w.grad = np.ones(1)
    optimizer.step()
    assert list(optimizer.state[0]) == ["step", "square_avg"]
    optimizer.groups[0]["momentum"] = 0.5
    optimizer.step()
    assert "momentum_buffer" in optimizer.state[0]


def test_an_optimiser_shows_its_settings_and_size() -> None:
    w, b = ag.Tensor(np.ones((3, 2)), True), ag.Tensor(np.zeros(2), True)
    assert repr(ag.optim.Adam([w, b], lr=1e-3)) == (
        "Adam(lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0): 2 tensors, 8 parameters"
    )
    groups = [{"params": [w], "momentum": 0.5}, {"params": b, "lr": 0.25}]
    assert repr(ag.optim.SGD(groups, lr=1 / 3)) == (
        "SGD: 2 groups\n"
        "  0: lr=0.333333, momentum=0.5, weight_decay=0, nesterov=False: 1 tensor, 6 parameters\n"
        "  1: lr=0.25, momentum=0, weight_decay=0, nesterov=False: 1 tensor, 2 parameters"
    )
    assert repr(ag.optim.LBFGS([b], history_size=7)) == (
        "LBFGS(lr=1, max_iter=20, tolerance_grad=1e-07, tolerance_change=1e-09, history_size=7): "
        "1 tensor, 2 parameters"
    )


# ---------------------------------------------------------------------------- sizes of numbers


@pytest.mark.parametrize(("kind", "formula", "settings"), CASES, ids=IDS)
def test_float16_parameters_take_the_steps_of_float32(kind, formula, settings, record_property):
    rng = np.random.default_rng(0)
    for case in range(20):
        size, shape = 10.0 ** rng.uniform(-3, 4), [(7,), (3, 5)][case % 2]
        values = rng.normal(size=shape).astype(np.float16)
        half, single = leaf(values, np.float16), leaf(values, np.float32)
        optimizers = kind([half], **settings), kind([single], **settings)
        for _ in range(5):
            gradient = (rng.normal(size=shape) * size).astype(np.float16)
            single.data = half.data.astype(np.float32)
            half.grad, single.grad = gradient, gradient.astype(np.float32)
            for optimizer in optimizers:
                optimizer.step()
            with np.errstate(over="ignore"):
                assert np.array_equal(half.numpy(), single.numpy().astype(np.float16))
        assert half.dtype == np.float16
        assert np.isfinite(half.numpy()).all()
        restored = kind([half], **settings)
        restored.load_state_dict(optimizers[0].state_dict())
        for name, slot in restored.state.get(0, {}).items():
            assert name == "step" or slot.dtype == np.float32
    record_property("float16 runs", 20)


# ---------------------------------------------------------------------------- more groups


@pytest.mark.parametrize(("kind", "formula", "settings"), CASES, ids=IDS)
def test_a_group_added_later_is_stepped_saved_and_restored(kind, formula, settings):
    def made():
        w = leaf([1.0, 2.0]), leaf([[3.0]])
        return w, kind([w[0]], **settings)

    (w, optimizer), (v, other) = made(), made()
    with pytest.raises(ValueError, match="occurs twice"):
        optimizer.add_param_group({"params": [w[0]]})
    with pytest.raises(ValueError, match="lr must be finite and at least 0, got -1"):
        optimizer.add_param_group({"params": [w[1]], "lr": -1})
    with pytest.raises(TypeError, match=r"a group needs 'params' and may set lr.*; got par"):
        optimizer.add_param_group({"parameters": [w[1]]})
    with pytest.raises(TypeError, match=r"a group needs 'params' and may set lr.*; got 3"):
        optimizer.add_param_group(3)
    assert len(optimizer.groups) == 1
    run(optimizer, w[:1], 2, np.random.default_rng(0))
    group = {"params": w[1], "lr": 0.01}
    optimizer.add_param_group(group)
    assert [g["lr"] for g in optimizer.groups] == [settings["lr"], 0.01]
    other.add_param_group({"params": [v[1]], "lr": 7.0})
    run(optimizer, w, 3, np.random.default_rng(1))
    for mine, theirs in zip(w, v):
        theirs.data = mine.data
    other.load_state_dict(optimizer.state_dict())
    assert other.groups[1]["lr"] == 0.01
    one, two = (run(o, p, 3, np.random.default_rng(2)) for o, p in ((optimizer, w), (other, v)))
    assert all(np.array_equal(a, b) for a, b in zip(one[-1], two[-1]))
    assert not np.array_equal(w[1].data, [[3.0]])


def test_lbfgs_takes_no_other_group():
    optimizer = optim.LBFGS([leaf([1.0])])
    with pytest.raises(ValueError, match="LBFGS: parameter groups are not supported"):
        optimizer.add_param_group({"params": [leaf([1.0])]})
