"""A run: the parts of a training, and what changes in it, which is all that a checkpoint holds.

A checkpoint holds parameters and buffers, the optimiser's and the schedule's state, the position in
the data, the state of every random generator of the model, and the history: a run that is killed at
any moment and started again ends with the same bits as one that was not, on the same machine and
versions.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autograd_lite import checkpoint as checkpoints
from autograd_lite.engine.recording import bare
from autograd_lite.engine.tensor import Tensor
from autograd_lite.nn.arguments import choice
from autograd_lite.nn.module import Module
from autograd_lite.optim import LBFGS, Optimizer, ReduceLROnPlateau, clip_grad_norm
from autograd_lite.training.evaluation import measured
from autograd_lite.training.history import History


class Run:
    """A training: its parts, and what changes, which is all that a checkpoint holds."""

    _KEPT = (
        *("epoch", "steps", "batch", "seen", "total", "counted"),
        *("bad", "stopped", "best", "best_loss"),
    )

    def __init__(
        self, model: Any, data: Any, optimizer: Any, schedule: Any, every: str, path: Any
    ) -> None:
        if not isinstance(model, Module):
            raise TypeError(f"fit: the model must be a Module, not {type(model).__name__}")
        if not model.training:
            raise ValueError(
                "fit: the model is in evaluation mode; call model.train() before, and then eval() "
                "of the modules that shall stay there"
            )
        if not isinstance(optimizer, Optimizer) or isinstance(optimizer, LBFGS):
            raise TypeError(
                f"fit: the optimizer must be one of ag.optim, but not LBFGS (call its step with a "
                f"closure instead); got {type(optimizer).__name__}"
            )
        if schedule is not None and getattr(schedule, "optimizer", None) is not optimizer:
            raise TypeError(
                f"fit: the schedule must be one of ag.optim, of the same optimizer; got {schedule}"
            )
        choice("fit", ("epoch", "step"), schedule_every=every)
        if every == "step" and isinstance(schedule, ReduceLROnPlateau):
            raise ValueError("fit: ReduceLROnPlateau moves by epoch: leave out schedule_every")
        self.parts = {"model": model, "optimizer": optimizer, "data": data, "schedule": schedule}
        self.model, self.optimizer, self.schedule, self.every = model, optimizer, schedule, every
        self.held = [p for group in optimizer.groups for p in group["params"]]
        parameters = list(model.parameters())
        self.leaves = list({id(p): p for p in (*self.held, *parameters)}.values())
        if len(self.leaves) == len(self.held) + len(parameters):
            raise ValueError("fit: the optimizer holds no parameter of the model")
        self.has_buffers = any(True for _ in model.named_buffers())
        self.noted: dict[str, np.ndarray] = {}  # the buffers before the batches of this step
        self.generators = model.generators()
        self.path = path
        self.history = History()
        self.epoch = self.steps = self.batch = self.seen = self.bad = 0
        self.waiting = 0  # batches whose gradients have not made a step
        self.weight = 0.0  # how much these count
        self.total = self.counted = 0.0
        self.given = self._settings()
        self.stopped = False
        self.best: dict[str, Any] | None = None
        self.best_loss = math.inf
        if path is None:
            return
        if not hasattr(data, "load_state_dict"):
            raise TypeError("fit: to resume exactly, the data must be ag.data.Batches")
        if not Path(path).resolve().parent.is_dir():
            raise FileNotFoundError(f"fit: make the folder of the checkpoint {path} first")
        if checkpoints.exists(path):
            self._resume(checkpoints.load(path))

    def zero_grad(self) -> None:
        """Forget the gradients, those of parameters that the optimiser does not hold too."""
        for p in self.leaves:
            p.grad = None

    def note_buffers(self) -> None:
        """Note the buffers as they are before the batches of a step."""
        if self.has_buffers and not self.waiting:
            self.noted = {name: buffer.copy() for name, buffer in self.model.named_buffers()}

    def backward(
        self, loss: Callable[[Any, Any], Any], x: Any, target: Any, together: bool
    ) -> None:
        """Add the gradient of one batch, by as much as it counts where others come to it."""
        self.note_buffers()
        self.batch += 1
        value, count = measured(loss, self.model(x), target)
        self.total += self.checked_loss(value, x, target) * count
        self.counted += count
        self.seen += len(target)
        if together:
            self.weight += count
            value.backward(np.full(value.shape, count, value.dtype))
        else:
            value.backward()
        self.waiting += 1

    def checked_loss(self, value: Any, x: Any, target: Any) -> float:
        """Return the loss as a number.

        Raises
        ------
        TypeError
            If it is no single number that depends on the parameters.
        FloatingPointError
            If it is not finite.
        """
        if not isinstance(value, Tensor) or value.size != 1 or not value.requires_grad:
            raise TypeError(
                "fit: loss(prediction, target) must give a single number that depends on the "
                f"parameters, or (sum, count), got {value!r:.80}"
            )
        number = float(value.item())
        if not math.isfinite(number):
            counts = [
                f"{np.size(a) - np.isfinite(a).sum()} values of {name} are not finite"
                for name, a in (("x", bare(x)), ("the target", bare(target)))
                if np.asarray(a).dtype.kind == "f" and not np.isfinite(a).all()
            ]
            counts = counts or ["the batch is finite: try a smaller learning rate or max_norm"]
            raise FloatingPointError(
                f"fit: the loss is {number} at {self.where()}; {'; '.join(counts)}"
            )
        return number

    def step(self, max_norm: float) -> None:
        """Take a step along the gradient of the mean over all that the waiting batches hold.

        Raises
        ------
        FloatingPointError
            If it is not finite; the step is not taken.
        """
        for p in self.held:
            if self.weight and p.grad is not None:
                p.grad /= self.weight
        try:
            clip_grad_norm(self.held, max_norm)
        except FloatingPointError:
            names = {id(p): name for name, p in self.model.named_parameters()}
            bad = [
                names.get(id(p), "a parameter outside the model")
                for p in self.held
                if p.grad is not None and not np.isfinite(bare(p.grad)).all()
            ]
            raise FloatingPointError(
                f"fit: the gradient of {', '.join(bad)} is not finite at {self.where()}, though "
                f"the loss is; the step was not taken"
            ) from None
        self.optimizer.step()
        self.noted = {}
        self.zero_grad()
        self.waiting = 0
        self.weight = 0.0
        self.steps += 1
        if self.every == "step" and self.schedule is not None:
            self.schedule.step()

    def save(self) -> None:
        """Write a checkpoint, where one is wanted."""
        if self.path is None:
            return
        state: dict[str, Any] = {name: getattr(self, name) for name in self._KEPT}
        state["history"] = self.history
        state["generators"] = [g.bit_generator.state for g in self.generators]
        state["given"] = self.given
        state["versions"] = {"numpy": np.__version__}
        for name, part in self.parts.items():
            state[name] = part.state_dict() if part is not None else None
        checkpoints.save(self.path, state, keep_previous=True)

    def _resume(self, state: Any) -> None:
        needed = {*self._KEPT, *self.parts, "history", "generators", "given", "versions"}
        if not isinstance(state, Mapping) or needed - state.keys():
            raise ValueError(
                f"fit: {self.path} holds no run of fit, but something that ag.save wrote; give "
                f"checkpoint= another name, or load that with model.load_state_dict(ag.load(...))"
            )
        if state["versions"]["numpy"] != np.__version__:
            warnings.warn(
                f"the checkpoint was made with NumPy {state['versions']['numpy']}, this is "
                f"{np.__version__}: the last bits may differ from an uninterrupted run's",
                stacklevel=4,
            )
        if len(state["generators"]) != len(self.generators):
            raise ValueError("fit: the checkpoint is of a model with other random generators")
        before = {name: part.state_dict() for name, part in self.parts.items() if part is not None}
        try:
            for name, part in self.parts.items():
                if (part is None) != (state[name] is None):
                    raise ValueError(f"fit: the checkpoint and this call disagree about a {name}")
                if part is not None:
                    part.load_state_dict(state[name])
        except ValueError:
            for name, old in before.items():
                self.parts[name].load_state_dict(old)
            raise
        for generator, saved in zip(self.generators, state["generators"]):
            generator.bit_generator.state = saved
        for name in self._KEPT:
            setattr(self, name, state[name])
        self.history = History(state["history"])
        self._change_settings(state["given"])

    def _settings(self) -> list[dict[str, Any]]:
        """Return the settings of each group as this call was given them."""
        groups = self.optimizer.groups
        given = [{k: v for k, v in group.items() if k != "params"} for group in groups]
        for settings, base in zip(given, self.schedule.base if self.schedule else ()):
            settings["lr"] = base
        return given

    def _change_settings(self, before: list[dict[str, Any]]) -> None:
        """Use the settings that differ from those that the run was given before."""
        for group, old, new in zip(self.optimizer.groups, before, self.given):
            for name, value in new.items():
                if np.array_equal(value, old[name]):  # a tuple is a list in a file
                    continue
                if name == "lr" and self.schedule is not None:
                    was, now = (self.schedule.lr(v[name], self.schedule.count) for v in (old, new))
                    value = group["lr"] * (now / was if was else 1)
                group[name] = value
                print(f"fit: {self.path} goes on with {name}={new[name]}, no longer {old[name]}")

    def where(self) -> str:
        """Return where the run is, for messages."""
        return f"epoch {self.epoch + 1}, step {self.steps + 1} (batch {self.batch})"

    def end_epoch(self) -> dict[str, float]:
        """Return what the epoch gave, and begin another."""
        self.epoch += 1
        rate = float(self.optimizer.groups[0]["lr"])
        loss = self.total / self.counted if self.counted else 0.0
        row = {"epoch": self.epoch, "loss": loss, "lr": rate}
        self.batch = self.seen = 0
        self.total = self.counted = 0.0
        return row

    def record(self, row: Mapping[str, float], patience: int | None) -> None:
        """Add to the history, move the schedule on, and keep the best weights."""
        if isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step(row.get("val_loss", row["loss"]))
        elif self.every == "epoch" and self.schedule is not None:
            self.schedule.step()
        before = len(self.history.get("epoch", ()))
        for name in {**self.history, **row}:
            column = self.history.setdefault(name, [math.nan] * before)
            column.append(row.get(name, math.nan))
        if patience is None:
            return
        if row["val_loss"] < self.best_loss:
            self.best_loss, self.bad = row["val_loss"], 0
            self.best = self.model.state_dict()
        else:
            self.bad += 1

    def over(self, patience: int | None) -> bool:
        """Return whether a callback stopped the run, or patience is at its end."""
        return self.stopped or (patience is not None and self.bad >= patience)
