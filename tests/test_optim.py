from __future__ import annotations

import math

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite import optim


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
    monkeypatch.setattr(optim, "_BLOCK", 7)  # so that these parameters are several blocks
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


# ---------------------------------------------------------------------------- L-BFGS


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


# ---------------------------------------------------------------------------- schedules


def rates(schedule, n):
    found = [schedule.optimizer.groups[0]["lr"]]
    for _ in range(n):
        schedule.step()
        found.append(schedule.optimizer.groups[0]["lr"])
    return found


def test_schedules():
    def optimizer():
        return optim.SGD([leaf([1.0])], lr=1.0)

    assert np.allclose(rates(optim.StepLR(optimizer(), 2, 0.5), 5), [1, 1, 0.5, 0.5, 0.25, 0.25])
    linear = rates(optim.LinearLR(optimizer(), 0.5, 2), 4)
    assert np.allclose(linear, [0.5, 0.75, 1, 1, 1])
    cosine = rates(optim.CosineAnnealingLR(optimizer(), 4, 0.2), 6)
    half = 0.2 + 0.8 * (1 + math.sqrt(0.5)) / 2
    assert np.allclose(cosine, [1, half, 0.6, 1.2 - half, 0.2, 0.2, 0.2])
    one = rates(optim.OneCycleLR(optimizer(), 2.0, 10, pct_start=0.1), 9)
    assert one[0] == 2  # the way up has no step
    assert np.all(np.diff(one) < 0)
    assert one[-1] == pytest.approx(8e-6)
    warm = rates(optim.CosineAnnealingLR(optimizer(), 2, warmup=3), 5)
    assert np.allclose(warm, [0.25, 0.5, 0.75, 1, 0.5, 0])


def test_plateau():
    optimizer = optim.SGD([leaf([1.0])], lr=1.0)
    schedule = optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, min_lr=0.3)
    found = []
    for value in (3, 2, 2, 2, 1, 1, 1, 1, 1):
        schedule.step(value)
        found.append(optimizer.groups[0]["lr"])
    assert found == [1, 1, 1, 0.5, 0.5, 0.5, 0.3, 0.3, 0.3]
    with pytest.raises(TypeError, match="needs the value that should improve"):
        schedule.step()


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_plateau_never_takes_nan_or_the_worst_for_the_best(mode, bad):
    sign = 1 if mode == "min" else -1
    optimizer = optim.SGD([leaf([1.0])], lr=1.0)
    schedule = optim.ReduceLROnPlateau(optimizer, mode, factor=0.5, patience=1)
    for value in (bad, 1, 0.5, 0.25, math.nan, 0.12, bad, 0.06, 0.03, 0.01):
        schedule.step(sign * value)
        assert optimizer.groups[0]["lr"] == 1
    assert schedule.best == sign * 0.01
    for _ in range(2):
        schedule.step(bad * sign)
    assert optimizer.groups[0]["lr"] == 0.5
    fresh = optim.ReduceLROnPlateau(optim.SGD([leaf([1.0])], lr=1.0), mode, 0.5, patience=1)
    for _ in range(2):
        fresh.step(bad * sign)
    assert fresh.optimizer.groups[0]["lr"] == 0.5


def test_schedules_resume_and_check_their_arguments():
    optimizer = optim.SGD([leaf([1.0])], lr=1.0)
    for make in (
        lambda o: optim.StepLR(o, 2),
        lambda o: optim.LinearLR(o),
        lambda o: optim.CosineAnnealingLR(o, 10),
        lambda o: optim.OneCycleLR(o, 1.0, 20),
    ):
        schedule = make(optim.SGD([leaf([1.0])], lr=1.0))
        rates(schedule, 3)
        other = make(optim.SGD([leaf([1.0])], lr=1.0))
        other.load_state_dict(schedule.state_dict())
        assert rates(schedule, 6)[1:] == rates(other, 6)[1:]
    with pytest.raises(
        ValueError, match=r"StepLR\.load_state_dict: this is the state of OneCycleLR"
    ):
        optim.StepLR(optimizer, 2).load_state_dict(schedule.state_dict())
    with pytest.raises(ValueError, match="this is the state of StepLR with 0 groups"):
        optim.StepLR(optimizer, 2).load_state_dict({"schedule": "StepLR"})
    with pytest.raises(ValueError, match="StepLR: step_size must be at least 1, got 0"):
        optim.StepLR(optimizer, 0)
    with pytest.raises(ValueError, match="StepLR: step_size must be at least 1, got 'a'"):
        optim.StepLR(optimizer, "a")
    with pytest.raises(ValueError, match="CosineAnnealingLR: warmup must be at least 0, got -1"):
        optim.CosineAnnealingLR(optimizer, 10, warmup=-1)
    with pytest.raises(ValueError, match="OneCycleLR: pct_start must be between 0 and 1, got 1"):
        optim.OneCycleLR(optimizer, 1.0, 10, pct_start=1)
    with pytest.raises(
        ValueError, match="ReduceLROnPlateau: mode must be 'min' or 'max', got 'up'"
    ):
        optim.ReduceLROnPlateau(optimizer, mode="up")
    with pytest.raises(TypeError, match="StepLR: expected an optimiser, not 3"):
        optim.StepLR(3, 1)


@pytest.mark.peer
def test_schedules_follow_torch():
    torch = pytest.importorskip("torch")
    S = torch.optim.lr_scheduler
    pairs = [
        (lambda o: optim.StepLR(o, 7, 0.3), lambda o: S.StepLR(o, 7, 0.3)),
        (lambda o: optim.LinearLR(o, 0.2, 9), lambda o: S.LinearLR(o, 0.2, total_iters=9)),
        (
            lambda o: optim.CosineAnnealingLR(o, 50, 0.01),
            lambda o: S.CosineAnnealingLR(o, 50, 0.01),
        ),
        (
            lambda o: optim.OneCycleLR(o, 2.0, 51),
            lambda o: S.OneCycleLR(o, 2.0, 51, cycle_momentum=False),
        ),
    ]
    for ours, theirs in pairs:
        mine = rates(ours(optim.SGD([leaf([1.0])], lr=0.5)), 49)
        optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.5)
        schedule = theirs(optimizer)
        other = [optimizer.param_groups[0]["lr"]]
        for _ in range(49):
            optimizer.step()
            schedule.step()
            other.append(optimizer.param_groups[0]["lr"])
        assert np.allclose(mine, other, rtol=1e-9)
    mine, other = optim.SGD([leaf([1.0])], lr=0.5), torch.optim.SGD([torch.ones(1)], lr=0.5)
    ours, theirs = optim.ReduceLROnPlateau(mine, patience=3), S.ReduceLROnPlateau(other, patience=3)
    for value in np.random.default_rng(0).random(40):
        ours.step(value)
        theirs.step(value)
        assert mine.groups[0]["lr"] == pytest.approx(other.param_groups[0]["lr"])


# ---------------------------------------------------------------------------- gradients


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
