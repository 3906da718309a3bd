"""Learning-rate schedules: closed formulas of the number of steps.

Several schedules of one optimiser multiply, as in PyTorch: each goes on from the rate that it
finds, whether another schedule or the user's own hand has scaled it meanwhile. A schedule that
cannot (OneCycleLR sets rates of its own) raises where it finds another's.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from autograd_lite.nn.arguments import choice, require, shown
from autograd_lite.optim.optimizers import Optimizer

_BETWEEN = ("between 0 and 1", lambda value: 0 < value < 1)
_COUNTS = ("step_size", "total_iters", "T_max", "total_steps")
_FAR = 2.0**100  # a base so large that a slope measured up to it has all its digits
_made = itertools.count()


@dataclass(eq=False, repr=False)
class Schedule:
    """A learning rate for each step: closed formulas of the number of :meth:`step` calls.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups' ``lr`` is set: now, and by every step. Where several schedules of one
        optimiser take their steps, the factors multiply; a group that is added later joins in with
        the rate that it has.

    Examples
    --------
    A schedule of one's own is a formula:

    >>> class InverseRoot(ag.optim.Schedule):
    ...     def lr(self, base, count):
    ...         return base / (1 + count) ** 0.5
    >>> optimizer = ag.optim.SGD([ag.Tensor([1.0], requires_grad=True)], lr=0.5)
    >>> schedule = InverseRoot(optimizer)
    >>> for _ in range(3):
    ...     schedule.step()
    >>> optimizer.groups[0]["lr"]
    0.25
    """

    optimizer: Optimizer

    def __post_init__(self) -> None:
        """Check the settings and set the first rate."""
        name, optimizer = type(self).__name__, self.optimizer
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{name}: expected an optimiser, not {optimizer!r}")
        counts = {key: getattr(self, key) for key in _COUNTS if hasattr(self, key)}
        require(name, "at least 1", lambda value: value >= 1, **counts)
        self.made = next(_made)
        self.base = [float(group["lr"]) for group in optimizer.groups]
        self.count = 0
        self._set()

    def __repr__(self) -> str:
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        of = type(own.pop("optimizer")).__name__
        rates = ", ".join(f"{group['lr']:.6g}" for group in self.optimizer.groups)
        return f"{type(self).__name__}({shown(own)}) of {of}: lr now {rates}"

    def lr(self, base: float, count: int) -> float:
        """Return the learning rate after so many steps, where it was ``base``."""
        raise NotImplementedError

    def _set(self) -> None:
        for group, base in zip(self.optimizer.groups, self.base):
            group["lr"] = self.lr(base, self.count)

    def _bases(self) -> list[float]:
        """Return the base of each group; one that was added has the rate that it came with."""
        self.base += [float(group["lr"]) for group in self.optimizer.groups[len(self.base) :]]
        return self.base

    def step(self) -> None:
        """Move on by one, from the rates that are found.

        Raises
        ------
        RuntimeError
            If something else has set a rate, and the formula does not scale what it finds.
        """
        bases = [self._rebased(i, base) for i, base in enumerate(self._bases())]
        self.count += 1
        for group, base in zip(self.optimizer.groups, bases):
            if base is not None:
                group["lr"] = self.lr(base, self.count)
        self.base = [old if base is None else base for base, old in zip(bases, self.base)]

    def _rebased(self, place: int, base: float) -> float | None:
        """Return the base from which a group's present rate follows; None if the step is idle.

        That is another base than before where something else has scaled the rate meanwhile.
        """
        found, own = self.optimizer.groups[place]["lr"], self.lr(base, self.count)
        if found == own:
            return base
        least, most = ends = [self.lr(b, self.count) for b in (0.0, _FAR)]
        if ends == [self.lr(b, self.count + 1) for b in (0.0, _FAR)]:
            return None
        slope = (most - least) / _FAR  # formulas are linear in the base
        other = (found - least) / slope if slope else base
        if not math.isclose(self.lr(other, self.count), found, rel_tol=1e-9, abs_tol=1e-300):
            name = type(self).__name__
            raise RuntimeError(
                f"{name}.step: the rate of group {place} is {found}, and this schedule had set "
                f"{own}; it does not scale what another schedule, add_param_group or you have set: "
                f"use {name} alone, or within a SequentialLR"
            )
        return other

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` needs."""
        base = list(self._bases())
        return {
            "schedule": type(self).__name__,
            "base": base,
            "count": self.count,
            "lr": [float(group["lr"]) for group in self.optimizer.groups],
            "formula": [self.lr(b, self.count) for b in base],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a state, and set the rates: those it was saved with.

        With other settings than then, such as a longer ``T_max``, the rates that these give. It is
        no matter whether the optimiser's own state is loaded before or after.

        Raises
        ------
        ValueError
            If it is of another schedule or number of groups.
        """
        name = type(self).__name__
        groups = len(state.get("base", ()))
        if state.get("schedule") != name or groups != len(self.optimizer.groups):
            raise ValueError(
                f"{name}.load_state_dict: this is the state of {state.get('schedule')} "
                f"with {groups} groups"
            )
        self.base = list(state["base"])
        self.count = state["count"]
        saved = [self.lr(base, self.count) for base in self.base] == list(state["formula"])
        self._set()
        for group, rate in zip(self.optimizer.groups, state["lr"] if saved else ()):
            group["lr"] = rate


@dataclass(eq=False, repr=False)
class StepLR(Schedule):
    """``lr * gamma ** (count // step_size)`` after ``count`` steps.

    Parameters
    ----------
    optimizer : Optimizer
        See :class:`Schedule`.
    step_size : int
        The steps between two falls.
    gamma : float
        The factor of each fall.

    Raises
    ------
    ValueError
        If ``step_size`` is not positive.

    Examples
    --------
    >>> optimizer = ag.optim.SGD([ag.Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = ag.optim.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> [schedule.lr(1.0, count) for count in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    step_size: int
    gamma: float = 0.1

    def lr(self, base: float, count: int) -> float:
        """Return the learning rate after so many steps."""
        return base * self.gamma ** (count // self.step_size)


@dataclass(eq=False, repr=False)
class LinearLR(Schedule):
    """A warm-up: ``lr`` times a factor that goes from ``start_factor`` to 1 in ``total_iters``.

    Parameters
    ----------
    optimizer : Optimizer
        See :class:`Schedule`.
    start_factor : float
        The first factor.
    total_iters : int
        The steps until it is 1, where it stays.

    Raises
    ------
    ValueError
        If ``total_iters`` is not positive.

    Examples
    --------
    >>> optimizer = ag.optim.SGD([ag.Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = ag.optim.LinearLR(optimizer, start_factor=0.25, total_iters=3)
    >>> [schedule.lr(1.0, count) for count in range(5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """

    start_factor: float = 1 / 3
    total_iters: int = 5

    def lr(self, base: float, count: int) -> float:
        """Return the learning rate after so many steps."""
        done = min(count / self.total_iters, 1)
        return base * (self.start_factor + (1 - self.start_factor) * done)


@dataclass(eq=False, repr=False)
class CosineAnnealingLR(Schedule):
    """Half a cosine from ``lr`` down to ``eta_min`` in ``T_max`` steps, where it stays.

    Source: Loshchilov and Hutter (2017), equation 5, without restarts.

    Parameters
    ----------
    optimizer : Optimizer
        See :class:`Schedule`.
    T_max : int
        The steps that the cosine takes.
    eta_min : float
        The last rate.
    warmup : int
        Steps before, in which the rate rises linearly from almost 0.

    Raises
    ------
    ValueError
        If ``T_max`` is not positive.

    Examples
    --------
    >>> optimizer = ag.optim.SGD([ag.Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = ag.optim.CosineAnnealingLR(optimizer, T_max=4, warmup=1)
    >>> [round(schedule.lr(1.0, count), 3) for count in range(7)]
    [0.5, 1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    T_max: int
    eta_min: float = 0.0
    warmup: int = 0

    def lr(self, base: float, count: int) -> float:
        """Return the learning rate after so many steps."""
        if count < self.warmup:
            return base * (count + 1) / (self.warmup + 1)
        return _cosine(base, self.eta_min, (count - self.warmup) / self.T_max)

    def __post_init__(self) -> None:
        require("CosineAnnealingLR", "at least 0", lambda v: v >= 0, warmup=self.warmup)
        super().__post_init__()


@dataclass(eq=False, repr=False)
class OneCycleLR(Schedule):
    """Up to ``max_lr`` and down again along cosines (Smith and Topin, 2018).

    Momenta are left alone.

    Parameters
    ----------
    optimizer : Optimizer
        See :class:`Schedule`; its own rate is not used.
    max_lr : float
        The highest rate.
    total_steps : int
        The steps of the whole cycle.
    pct_start : float
        The share of them that goes up.
    div_factor, final_div_factor : float
        The first rate is ``max_lr / div_factor``, the last the first over ``final_div_factor``.

    Raises
    ------
    ValueError
        If ``pct_start`` is not between 0 and 1, or ``total_steps`` not positive.

    Examples
    --------
    >>> optimizer = ag.optim.SGD([ag.Tensor([1.0], requires_grad=True)])
    >>> schedule = ag.optim.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    >>> [round(schedule.lr(0.0, count), 3) for count in range(10)]
    [0.04, 0.52, 1.0, 0.95, 0.812, 0.611, 0.389, 0.188, 0.05, 0.0]
    """

    max_lr: float
    total_steps: int
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def __post_init__(self) -> None:
        """Check the settings and set the first rate."""
        require("OneCycleLR", *_BETWEEN, pct_start=self.pct_start)
        super().__post_init__()

    def lr(self, base: float, count: int) -> float:
        """Return the learning rate after so many steps."""
        first = self.max_lr / self.div_factor
        top = self.pct_start * self.total_steps - 1
        if count < top:
            return _cosine(first, self.max_lr, count / top)
        done = (count - top) / (self.total_steps - 1 - top)
        return _cosine(self.max_lr, first / self.final_div_factor, done)


@dataclass(eq=False, repr=False)
class ReduceLROnPlateau(Schedule):
    """``lr`` times ``factor`` whenever a value has not improved for more than ``patience`` steps.

    An improvement is one by more than the share ``threshold`` of the best value; nan is none.

    Parameters
    ----------
    optimizer : Optimizer
        See :class:`Schedule`.
    mode : {"min", "max"}
        Whether the value should fall or rise.
    factor : float
        Between 0 and 1.
    patience : int
        Steps without an improvement that are put up with.
    threshold : float
        See above.
    min_lr : float
        Below which the rate does not fall.

    Raises
    ------
    ValueError
        If ``mode`` or ``factor`` is none of these.

    Examples
    --------
    >>> optimizer = ag.optim.SGD([ag.Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = ag.optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (0.9, 0.8, 0.8, 0.8):
    ...     schedule.step(loss)
    >>> optimizer.groups[0]["lr"]
    0.5
    """

    mode: Literal["min", "max"] = "min"
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    min_lr: float = 0.0
    best: float | None = field(default=None, init=False)
    bad: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Check the settings and set the first rate."""
        choice("ReduceLROnPlateau", ("min", "max"), mode=self.mode)
        require("ReduceLROnPlateau", *_BETWEEN, factor=self.factor)
        super().__post_init__()

    def lr(self, base: float, count: int) -> float:
        """Return the learning rate after so many reductions."""
        return max(base * self.factor**count, min(base, self.min_lr))

    def step(self, value: float | None = None) -> None:
        """Take note of the value that should improve."""
        if value is None:
            raise TypeError("ReduceLROnPlateau.step: needs the value that should improve")
        value = float(value)
        sign = 1 if self.mode == "min" else -1
        if self.best is None:  # the first may be nan, or infinitely bad
            better = sign * value < math.inf
        else:
            better = sign * (self.best - value) > self.threshold * abs(self.best)
        if better:
            self.best, self.bad = value, 0
        else:
            self.bad += 1
        if self.bad > self.patience:
            self.bad = 0
            super().step()

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` needs."""
        return {**super().state_dict(), "best": self.best, "bad": self.bad}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a state; see :meth:`Schedule.load_state_dict`."""
        super().load_state_dict(state)
        self.best, self.bad = state["best"], state["bad"]


def _is_joinable(value: Any) -> bool:
    plain = isinstance(value, Schedule) and not isinstance(value, ReduceLROnPlateau)
    return plain and not value.count


class _Joined(Schedule):
    """A formula made of those of other schedules, which it takes over from."""

    schedulers: Sequence[Schedule]

    def __post_init__(self) -> None:
        """Check the schedules, undo what they set when they were made, and set the first rate."""
        name, schedules = type(self).__name__, self.schedulers
        if not schedules or not all(_is_joinable(schedule) for schedule in schedules):
            raise ValueError(
                f"{name}: expected schedules that have not been stepped, and no ReduceLROnPlateau "
                f"(whose step needs a value); got {schedules!r:.200}"
            )
        if any(s.optimizer is not self.optimizer for s in schedules):
            raise ValueError(f"{name}: the schedules must be of one optimiser")
        first = min(schedules, key=lambda schedule: schedule.made)
        for group, base in zip(self.optimizer.groups, first.base):
            group["lr"] = base
        super().__post_init__()


@dataclass(eq=False, repr=False)
class SequentialLR(_Joined):
    """One schedule after the other, each counting from 0 and from the optimiser's first rate.

    Parameters
    ----------
    optimizer : Optimizer
        See :class:`Schedule`.
    schedulers : sequence of Schedule
        Made for this optimiser, and not stepped: this one takes over. All but ReduceLROnPlateau.
    milestones : sequence of int
        The numbers of steps after which the second, the third, ... begins.

    Raises
    ------
    ValueError
        If they do not fit together.

    Examples
    --------
    >>> optimizer = ag.optim.SGD([ag.Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> warmup = ag.optim.LinearLR(optimizer, start_factor=0.25, total_iters=3)
    >>> cosine = ag.optim.CosineAnnealingLR(optimizer, T_max=4)
    >>> schedule = ag.optim.SequentialLR(optimizer, [warmup, cosine], milestones=[3])
    >>> [round(schedule.lr(1.0, count), 3) for count in range(8)]
    [0.25, 0.5, 0.75, 1.0, 0.854, 0.5, 0.146, 0.0]
    """

    schedulers: Sequence[Schedule]
    milestones: Sequence[int]

    def __post_init__(self) -> None:
        """Check that there is a milestone for each schedule but the first."""
        marks = [0, *self.milestones]
        if len(marks) != len(self.schedulers) or sorted(set(marks)) != marks:
            raise ValueError(
                f"SequentialLR: {len(self.schedulers)} schedules need "
                f"{len(self.schedulers) - 1} milestones, rising from 1, got {self.milestones!r}"
            )
        super().__post_init__()

    def lr(self, base: float, count: int) -> float:
        """Return the learning rate after so many steps."""
        k = bisect_right(self.milestones, count)
        return self.schedulers[k].lr(base, count - (self.milestones[k - 1] if k else 0))


@dataclass(eq=False, repr=False)
class ChainedScheduler(_Joined):
    """Several schedules that step together; their factors multiply.

    Parameters
    ----------
    schedulers : sequence of Schedule
        Made for one optimiser, and not stepped: this one takes over. Those that are factors of the
        optimiser's rate: no OneCycleLR, nor a cosine to another end than 0.
    optimizer : Optimizer, optional
        That one.

    Raises
    ------
    ValueError
        If they do not fit together.

    Examples
    --------
    >>> optimizer = ag.optim.SGD([ag.Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> warmup = ag.optim.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> falls = ag.optim.StepLR(optimizer, step_size=3, gamma=0.1)
    >>> schedule = ag.optim.ChainedScheduler([warmup, falls])
    >>> for _ in range(3):
    ...     schedule.step()
    >>> optimizer.groups[0]["lr"]
    0.1
    """

    schedulers: Sequence[Schedule]

    def __init__(self, schedulers: Sequence[Schedule], optimizer: Any = None) -> None:
        self.schedulers = schedulers
        self.optimizer = optimizer or getattr(next(iter(schedulers), 0), "optimizer", optimizer)
        self.__post_init__()
        for schedule in schedulers:
            if schedule.lr(0.0, 1):
                raise ValueError(f"ChainedScheduler: {schedule} is no factor of the rate")

    def lr(self, base: float, count: int) -> float:
        """Return the learning rate after so many steps."""
        for schedule in self.schedulers:
            base = schedule.lr(base, count)
        return base


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(done, 1.0))) / 2
