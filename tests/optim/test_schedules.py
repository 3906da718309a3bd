"""Learning rates follow their formulas, resume, and follow PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite import optim


def leaf(values, dtype=np.float64):
    return ag.Tensor(np.asarray(values, dtype), requires_grad=True)


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


def test_a_schedule_shows_its_settings_and_the_rate() -> None:
    parameters = [ag.Tensor([1.0], True), ag.Tensor([1.0], True)]
    optimizer = ag.optim.SGD([{"params": p, "lr": 0.5 * (i + 1)} for i, p in enumerate(parameters)])
    schedule = ag.optim.StepLR(optimizer, step_size=1, gamma=1 / 3)
    schedule.step()
    assert repr(schedule) == (
        "StepLR(step_size=1, gamma=0.333333) of SGD: lr now 0.166667, 0.333333"
    )
    plateau = ag.optim.ReduceLROnPlateau(ag.optim.SGD(parameters, lr=0.5), patience=3)
    assert repr(plateau) == (
        "ReduceLROnPlateau(mode='min', factor=0.1, patience=3, threshold=0.0001, min_lr=0) of SGD: "
        "lr now 0.5"
    )


def test_a_schedule_of_ones_own_shows_itself_too() -> None:
    class Halving(ag.optim.Schedule):
        def lr(self, base: float, count: int) -> float:
            return base / 2**count

    optimizer = ag.optim.SGD([ag.Tensor([1.0], True)], lr=0.5)
    assert repr(Halving(optimizer)) == "Halving() of SGD: lr now 0.5"
