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


# ---------------------------------------------------------------------------- several schedules


def sgd(lr=0.5, groups=1):
    return optim.SGD([{"params": [leaf([1.0])], "lr": lr / (1 + i)} for i in range(groups)])


def test_two_schedules_of_one_optimizer_multiply():
    optimizer = sgd(1.0)
    warmup, falls = optim.LinearLR(optimizer, 0.25, 3), optim.StepLR(optimizer, 2, 0.1)
    found = [optimizer.groups[0]["lr"]]
    for _ in range(5):
        warmup.step()
        falls.step()
        found.append(optimizer.groups[0]["lr"])
    assert np.allclose(found, [0.25, 0.5, 0.075, 0.1, 0.01, 0.01], rtol=1e-14)


@pytest.mark.parametrize("order", [1, -1])
def test_a_sequence_begins_with_the_first_rate_whatever_was_made_first(order):
    optimizer = sgd(1.0)
    makers = [lambda: optim.LinearLR(optimizer, 0.25, 3), lambda: optim.StepLR(optimizer, 2, 0.5)]
    made = [make() for make in makers[::order]][::order]
    schedule = optim.SequentialLR(optimizer, made, [3])
    assert rates(schedule, 7) == [0.25, 0.5, 0.75, 1.0, 1.0, 0.5, 0.5, 0.25]


def test_schedules_put_together_show_their_parts():
    optimizer = sgd(1.0)
    chain = optim.ChainedScheduler([optim.StepLR(optimizer, 2), optim.LinearLR(optimizer, 0.5, 3)])
    chain.step()
    parts = "StepLR(step_size=2, gamma=0.1) of SGD: lr now 0.666667, LinearLR(start_factor=0.5, "
    assert repr(chain).startswith(f"ChainedScheduler(schedulers=[{parts}")
    optimizer = sgd(1.0)
    after = optim.SequentialLR(optimizer, [optim.StepLR(optimizer, 2)], [])
    assert repr(after).startswith("SequentialLR(schedulers=[StepLR(step_size=2, gamma=0.1) of SGD")
    assert repr(after).endswith("milestones=[]) of SGD: lr now 1")


def test_a_rate_set_by_hand_is_gone_on_from():
    optimizer = sgd(1.0)
    schedule = optim.CosineAnnealingLR(optimizer, 4, eta_min=0.1)
    schedule.step()
    optimizer.groups[0]["lr"] = 0.3
    found = rates(schedule, 3)
    slope = (0.3 - 0.1) / (1 + math.sqrt(0.5))
    assert np.allclose(found, [0.3, 0.1 + slope, 0.1 + slope * (1 - math.sqrt(0.5)), 0.1])


@pytest.mark.parametrize("base", [0.0, 0.1])
def test_a_rate_set_by_hand_falls_also_where_the_schedule_had_none_to_move(base):
    optimizer = sgd(base)
    schedule = optim.CosineAnnealingLR(optimizer, 4, eta_min=base)
    assert rates(schedule, 2) == [base] * 3
    optimizer.groups[0]["lr"] = base + 1.0
    falling = [base + 1, base + 1 - math.sqrt(0.5), base]
    assert np.allclose(rates(schedule, 2), falling, rtol=1e-15, atol=1e-15)


def test_a_group_that_is_added_later_joins_in_with_its_rate():
    optimizer = sgd(1.0)
    schedule = optim.StepLR(optimizer, 2, 0.5)
    schedule.step()
    optimizer.add_param_group({"params": [leaf([2.0])], "lr": 0.1})
    state = schedule.state_dict(), optimizer.state_dict()
    for expected in ([0.5, 0.05], [0.5, 0.05], [0.25, 0.025]):
        schedule.step()
        assert lrs(optimizer) == expected
    again = sgd(1.0)
    other = optim.StepLR(again, 2, 0.5)
    again.add_param_group({"params": leaf([2.0])})
    other.load_state_dict(state[0])
    again.load_state_dict(state[1])
    assert lrs(again) == [1.0, 0.1]
    other.step()
    assert lrs(again) == [0.5, 0.05]


def test_a_plateau_goes_on_from_the_rate_that_it_finds():
    optimizer = sgd(1.0)
    schedule = optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, min_lr=0.1)
    schedule.step(1.0)
    for expected in (0.4, 0.2, 0.1, 0.1):
        if expected == 0.4:
            optimizer.groups[0]["lr"] = 0.8
        schedule.step(1.0)
        assert optimizer.groups[0]["lr"] == pytest.approx(expected, rel=1e-15)


def test_a_schedule_that_sets_rates_of_its_own_refuses_another():
    optimizer = sgd(1.0)
    falls, cycle = optim.StepLR(optimizer, 1, 0.5), optim.OneCycleLR(optimizer, 1.0, 10)
    falls.step()
    with pytest.raises(RuntimeError, match=r"OneCycleLR\.step: the rate of group 0 is 0\.02"):
        cycle.step()

    class Limited(optim.Schedule):
        def lr(self, base, count):
            return min(base, 0.5) / (1 + count)

    optimizer = sgd(1.0)
    limited = Limited(optimizer)
    optimizer.groups[0]["lr"] = 0.75
    with pytest.raises(RuntimeError, match="use Limited alone, or within a SequentialLR"):
        limited.step()


def test_schedules_that_cannot_be_put_together_are_named():
    optimizer, other = sgd(), sgd()
    step, linear = optim.StepLR(optimizer, 2), optim.LinearLR(optimizer)
    with pytest.raises(ValueError, match="SequentialLR: 0 schedules need -1 milestones"):
        optim.SequentialLR(optimizer, [], [])
    for wrong in ([], [step, 3], [step, optim.ReduceLROnPlateau(optimizer)]):
        with pytest.raises(ValueError, match="ChainedScheduler: expected schedules that have not"):
            optim.ChainedScheduler(wrong)
        if wrong:
            with pytest.raises(ValueError, match="SequentialLR: expected schedules that have not"):
                optim.SequentialLR(optimizer, wrong, [1] * (len(wrong) - 1))
    with pytest.raises(ValueError, match="ChainedScheduler: the schedules must be of one"):
        optim.ChainedScheduler([step, optim.StepLR(other, 2)])
    with pytest.raises(ValueError, match="SequentialLR: the schedules must be of one"):
        optim.SequentialLR(other, [step, linear], [3])
    for marks in ([], [0], [1, 2], [-1]):
        with pytest.raises(ValueError, match="SequentialLR: 2 schedules need 1 milestones"):
            optim.SequentialLR(optimizer, [step, linear], marks)
    for absolute in (
        optim.OneCycleLR(optimizer, 1.0, 10),
        optim.CosineAnnealingLR(optimizer, 10, eta_min=0.1),
    ):
        expected = rf"ChainedScheduler: {type(absolute).__name__}\(.* is no factor of the rate"
        with pytest.raises(ValueError, match=expected):
            optim.ChainedScheduler([step, absolute])
    step.step()
    with pytest.raises(ValueError, match="have not been stepped"):
        optim.SequentialLR(optimizer, [step, linear], [3])


def test_a_schedule_loaded_with_other_settings_follows_these():
    long, short = (optim.CosineAnnealingLR(sgd(1.0), steps) for steps in (20, 10))
    rates(short, 10)
    long.load_state_dict(short.state_dict())
    assert rates(long, 1)[0] == 0.5


# Each makes a schedule of ours or, from the modules that PyTorch has, theirs, and says how many
# steps both have formulas for.
def random_plan(rng):
    steps = int(rng.integers(8, 40))
    how = rng.choice(["alone", "chained", "together", "sequence"])
    kinds = {
        "StepLR": lambda n: {"step_size": int(rng.integers(1, 6)), "gamma": rng.uniform(0.1, 0.9)},
        "LinearLR": lambda n: {
            "start_factor": rng.uniform(0.05, 0.9),
            "total_iters": int(rng.integers(1, 9)),
        },
        "CosineAnnealingLR": lambda n: {
            "T_max": n + int(rng.integers(0, 9)),
            "eta_min": rng.uniform(0, 0.02) * int(rng.integers(2)) * (how != "chained"),
        },
        "OneCycleLR": lambda n: {
            "max_lr": rng.uniform(0.1, 2),
            "total_steps": n + int(rng.integers(1, 9)),
            "pct_start": rng.uniform(0.2, 0.8),
        },
    }
    names = list(kinds) if how == "alone" else list(kinds)[:3]
    some = rng.choice(names, 1 if how == "alone" else int(rng.integers(2, 4)))
    parts = [(str(name), kinds[name](steps)) for name in some]
    marks = sorted(int(m) for m in rng.choice(range(1, steps), len(parts) - 1, replace=False))
    return how, parts, marks, steps


class Together:
    """Schedules stepped one after the other, by hand."""

    def __init__(self, schedules):
        self.schedules = schedules

    def step(self):
        for schedule in self.schedules:
            schedule.step()

    def state_dict(self):
        return [schedule.state_dict() for schedule in self.schedules]

    def load_state_dict(self, states):
        for schedule, state in zip(self.schedules, states, strict=True):
            schedule.load_state_dict(state)


def built(plan, library, optimizer):
    how, parts, marks, _ = plan
    extra = {"cycle_momentum": False} if library is not optim else {}
    made = [
        getattr(library, name)(optimizer, **settings, **(extra if name == "OneCycleLR" else {}))
        for name, settings in parts
    ]
    if how == "alone":
        return made[0]
    if how == "together" and library is optim:
        return Together(made)
    if how in ("chained", "together"):
        return library.ChainedScheduler(made)
    return library.SequentialLR(optimizer, made, marks)


def resumed(plan, optimizer, schedule, way, groups):
    """Return a fresh optimiser and schedule in the state of these."""
    states = optimizer.state_dict(), schedule.state_dict()
    other = sgd(0.5, groups)
    if way == "optimizer, then made":
        other.load_state_dict(states[0])
        again = built(plan, optim, other)
        again.load_state_dict(states[1])
        return other, again
    again = built(plan, optim, other)
    for part, state in [(other, states[0]), (again, states[1])][:: -1 if way[0] == "s" else 1]:
        part.load_state_dict(state)
    return other, again


WAYS = ["optimizer, then made", "optimizer first", "schedule first"]


def lrs(optimizer):
    return [group["lr"] for group in optimizer.groups]


def test_what_is_restored_in_either_order_is_the_undisturbed_run(record_property):
    rng = np.random.default_rng(0)
    for case in range(200):
        plan, groups = random_plan(rng), int(rng.integers(1, 3))
        optimizer = sgd(0.5, groups)
        schedule = built(plan, optim, optimizer)
        for _ in range(int(rng.integers(plan[-1]))):
            schedule.step()
        other, again = resumed(plan, optimizer, schedule, WAYS[case % 3], groups)
        assert lrs(other) == lrs(optimizer), plan
        for _ in range(3):
            schedule.step()
            again.step()
            assert lrs(other) == lrs(optimizer), plan
    record_property("schedules restored", 200)


@pytest.mark.peer
def test_random_schedules_restored_at_a_random_step_follow_torch(record_property):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    seen = set()
    for case in range(200):
        plan, groups = random_plan(rng), int(rng.integers(1, 3))
        how, _, _, steps = plan
        seen.add((how, WAYS[case % 3]))
        mine = sgd(0.5, groups)
        params = [
            {"params": [torch.ones(1, requires_grad=True)], "lr": 0.5 / (1 + i)}
            for i in range(groups)
        ]
        theirs = torch.optim.SGD(params, lr=0.5)
        ours = built(plan, optim, mine)
        peer = built(plan, torch.optim.lr_scheduler, theirs)
        at = int(rng.integers(steps))
        for step in range(steps):
            expected = [group["lr"] for group in theirs.param_groups]
            np.testing.assert_allclose(lrs(mine), expected, rtol=1e-12, atol=1e-15, err_msg=plan)
            if step == at:
                mine, ours = resumed(plan, mine, ours, WAYS[case % 3], groups)
                np.testing.assert_allclose(lrs(mine), expected, rtol=1e-12, atol=1e-15)
            theirs.step()
            peer.step()
            ours.step()
    assert len(seen) == 12
    record_property("schedules beside PyTorch's", 200)
