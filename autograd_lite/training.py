"""A plain training loop, with what training needs around it, and exact resumption.

A checkpoint holds parameters and buffers, the optimiser's and the schedule's state, the position in
the data, the state of every random generator of the model, and the history: a run that is killed at
any moment and started again ends with the same bits as one that was not, on the same machine and
versions.
"""

from __future__ import annotations

import csv
import inspect
import math
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from autograd_lite import checkpoint as checkpoints
from autograd_lite.data import Batches
from autograd_lite.engine.modes import no_grad
from autograd_lite.engine.recording import bare
from autograd_lite.engine.tensor import Tensor
from autograd_lite.nn.arguments import choice, count, positive
from autograd_lite.nn.module import Module
from autograd_lite.optim import LBFGS, Optimizer, ReduceLROnPlateau, Schedule, clip_grad_norm

Metric = Callable[[Any, Any], float]


class History(dict[str, list[float]]):
    """What :func:`fit` returns: a list for each quantity, with an entry for each epoch.

    An entry is nan where an epoch did not measure the quantity: a run may be resumed with other
    validation data or metrics.

    Examples
    --------
    >>> history = ag.training.History(epoch=[1, 2], loss=[0.5, 0.3])
    >>> history["loss"][-1]
    0.3
    """

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a table with one row for each epoch, and the names in the first.

        Parameters
        ----------
        path : path
            Of the CSV file, which is overwritten.

        Raises
        ------
        ValueError
            If the lists differ in length.
        """
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(self)
            writer.writerows(zip(*self.values(), strict=True))


def accuracy(logits: Any, target: Any) -> float:
    """Return the share of rows whose largest logit is that of the label.

    Parameters
    ----------
    logits : array_like or Tensor of shape (..., classes)
        Or probabilities, of two classes or more.
    target : array_like of int of shape (...)
        The labels.

    Raises
    ------
    ValueError
        If the shapes or the type of the labels differ from these.

    Examples
    --------
    >>> ag.training.accuracy(np.array([[2.0, 1.0], [0.0, 3.0]]), [0, 0])
    0.5
    """
    scores, labels = np.asarray(bare(logits)), np.asarray(bare(target))
    shape = scores.shape
    if shape[-1:] < (2,) or labels.shape != shape[:-1] or labels.dtype.kind not in "iub":
        raise ValueError(
            f"training.accuracy: expected logits of shape (..., classes >= 2) and integer labels "
            f"of shape (...), got {shape} and {labels.shape} of {labels.dtype}"
        )
    return float(np.mean(np.argmax(scores, axis=-1) == labels))


def evaluate(
    model: Callable[..., Any],
    loss: Callable[[Any, Any], Any],
    data: Iterable[Any],
    metrics: Mapping[str, Metric] | None = None,
) -> dict[str, float]:
    """Return the means of the loss and of metrics over batches, by the batches' lengths.

    Parameters
    ----------
    model : Module or callable
        Evaluated in evaluation mode, recording nothing.
    loss : callable
        ``loss(prediction, target)``, a mean over its batch.
    data : iterable of (x, target)
        Such as :class:`ag.data.Batches`.
    metrics : dict of str to callable, optional
        ``metric(prediction, target)``, given arrays.

    Returns
    -------
    dict of str to float
        ``"loss"`` and each metric by its name.

    Raises
    ------
    TypeError
        If a batch is not a pair.
    ValueError
        If there are no batches.

    Examples
    --------
    >>> model = ag.nn.Linear(2, 3, rng=np.random.default_rng(0))
    >>> x, labels = np.eye(2, dtype=np.float32), np.array([0, 1])
    >>> data = ag.data.Batches(x, labels, shuffle=False)
    >>> scores = ag.evaluate(model, ag.cross_entropy, data, {"accuracy": ag.training.accuracy})
    >>> list(scores)
    ['loss', 'accuracy']
    """
    measures = _measures("evaluate", loss, metrics)
    totals = dict.fromkeys(measures, 0.0)
    count = 0
    modules = [part for _, part in model.named_modules()] if isinstance(model, Module) else []
    modes = [part.training for part in modules]
    if isinstance(model, Module):
        model.eval()
    try:
        with no_grad():
            for x, target in _pairs(data, "evaluate: the data"):
                prediction = bare(model(x))
                count += len(target)
                for name, measure in measures.items():
                    totals[name] += float(bare(measure(prediction, target))) * len(target)
    finally:
        for part, mode in zip(modules, modes):
            part.training = mode
    return {name: total / count for name, total in totals.items()}


def _measures(
    caller: str, loss: Any, metrics: Mapping[str, Metric] | None
) -> dict[str, Callable[[Any, Any], Any]]:
    """Return the loss and the metrics by name, checked."""
    metrics = {} if metrics is None else metrics
    named = isinstance(metrics, Mapping)
    if not named or not all(_takes(m, None, None) for m in (loss, *metrics.values())):
        raise TypeError(
            f"{caller}: loss must be a function of (prediction, target), and metrics a dictionary "
            f"of such, as {{'accuracy': ag.training.accuracy}}; got {loss!r} and {metrics!r}"
        )
    return {"loss": loss, **metrics}


def _takes(function: Any, *arguments: Any) -> bool:
    """Return whether a function can be called with these, as far as its signature says."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # a built-in function that has none
        return callable(function)
    return True


def fit(
    model: Module,
    loss: Callable[[Any, Any], Any],
    data: Iterable[Any],
    optimizer: Optimizer,
    *,
    epochs: int,
    validation: Iterable[Any] | None = None,
    metrics: Mapping[str, Metric] | None = None,
    schedule: Schedule | None = None,
    schedule_every: Literal["epoch", "step"] = "epoch",
    patience: int | None = None,
    accumulate: int = 1,
    max_norm: float | None = None,
    callbacks: Sequence[Callable[[Module, History], Any]] = (),
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    progress: bool = True,
) -> History:
    """Train a model.

    Parameters
    ----------
    model : Module
        Called with each batch's ``x``.
    loss : callable
        ``loss(prediction, target)``: a single number, the mean over the batch.
    data : iterable of (x, target)
        Such as :class:`ag.data.Batches`; looped over once for each epoch.
    optimizer : Optimizer
        Holding the model's parameters; any but LBFGS.
    epochs : int
        How many in all, those before a resumption included.
    validation : iterable of (x, target), optional
        Evaluated after each epoch.
    metrics : dict of str to callable, optional
        ``metric(prediction, target)``, given arrays, on the validation data.
    schedule : Schedule, optional
        Moved on after each epoch or step. ReduceLROnPlateau watches the validation loss, or the
        training loss where there is none.
    schedule_every : {"epoch", "step"}
        See ``schedule``.
    patience : int, optional
        Stop after so many epochs without a lower validation loss, and go back to the best weights.
        A run that stopped goes on from its checkpoint with more patience.
    accumulate : int
        The number of batches whose mean gradient makes one step.
    max_norm : float, optional
        Limit of the common norm of the gradients of the parameters that the optimizer holds.
    callbacks : sequence of callable
        ``callback(model, history)`` after each epoch; a true result stops the training.
    checkpoint : path, optional
        Where to save the run, and resume it from if there is something; ``.npz`` or
        ``.safetensors``. The data must be Batches.
    checkpoint_every : int, optional
        Save after so many steps, beside each epoch.
    progress : bool
        Show a bar (with tqdm) or lines.

    Returns
    -------
    History
        ``epoch, loss, lr`` and, with validation, ``val_loss`` and ``val_`` each metric.

    Raises
    ------
    FloatingPointError
        If the loss or a gradient is nan or infinite: the message names the step, and it is not
        taken, nor do its batches count in the buffers. If the validation loss is: the message names
        the epoch.
    TypeError, ValueError
        If the arguments do not fit together (before anything is trained), the loss is no single
        number that depends on the parameters, or there are no batches, as when an iterator is
        exhausted.

    Notes
    -----
    Ctrl-C stops after the current step, saves, and returns; a second one stops at once.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(64, 1)).astype(np.float32)
    >>> model = ag.nn.Linear(1, 1, rng=rng)
    >>> optimizer = ag.optim.SGD(model.parameters(), lr=0.1)
    >>> data = ag.data.Batches(x, 3 * x, batch_size=16, rng=rng)
    >>> history = ag.fit(model, ag.nn.mse_loss, data, optimizer, epochs=20, progress=False)
    >>> history["loss"][-1] < 1e-3
    True
    """
    optional = {"patience": patience, "checkpoint_every": checkpoint_every}
    count("fit", 0, epochs=epochs)
    count("fit", accumulate=accumulate, **{k: v for k, v in optional.items() if v is not None})
    limit = math.inf if max_norm is None else max_norm
    positive("fit", max_norm=limit)
    _measures("fit", loss, metrics)
    if validation is None and (metrics or patience is not None):
        raise ValueError("fit: metrics and patience need validation data; give validation=")
    for name, batches in (("the data", data), ("the validation data", validation)):
        if isinstance(batches, Batches) and hasattr(batches.arrays[0], "shape"):
            _pair(batches.arrays, f"fit: {name}")  # as many as a batch has; items may be pairs
        elif isinstance(batches, (list, tuple)) and batches:
            _pair(batches[0], f"fit: {name}")
    _check_callbacks(callbacks)
    run = _Run(model, data, optimizer, schedule, schedule_every, checkpoint)
    display = _Display(epochs, data) if progress else None
    with _interruptible() as interrupted, _put_back(run):
        if run.epoch < epochs and run.over(patience):
            print(f"fit: this run was stopped after epoch {run.epoch}, and stays so")
        while run.epoch < epochs and not run.over(patience) and not interrupted:
            model.train()
            run.zero_grad()
            for x, target in _pairs(data, f"fit: the data of epoch {run.epoch + 1}", run.seen):
                run.note_buffers()
                run.batch += 1
                value = loss(model(x), target)
                run.total += run.checked_loss(value, x, target) * len(target)
                run.seen += len(target)
                value.backward()
                del value  # the graph with it, before the next one is recorded
                run.waiting += 1
                if run.waiting == accumulate:
                    run.step(limit)
                    if checkpoint_every and run.steps % checkpoint_every == 0:
                        run.save()
                    if interrupted:
                        break
                if display:
                    display.advance()
            else:
                if run.waiting:
                    run.step(limit)
                row = run.end_epoch()
                if validation is not None:
                    if isinstance(validation, Batches):
                        validation.epoch = run.epoch  # so that a resumed run has the same order
                    named = _pairs(validation, f"fit: the validation data after epoch {run.epoch}")
                    scores = evaluate(model, loss, named, metrics)
                    if not math.isfinite(scores["loss"]):
                        raise FloatingPointError(
                            f"fit: the validation loss is {scores['loss']} after epoch {run.epoch};"
                            f" look for values that are not finite in the validation data"
                        )
                    row.update({f"val_{name}": score for name, score in scores.items()})
                run.record(row, patience)
                if display:
                    display.end(row)
                for callback in callbacks:
                    run.stopped = bool(callback(model, run.history)) or run.stopped
                run.save()
        if interrupted:
            run.save()
            print(f"fit: interrupted after step {run.steps}; the model is as that step left it")
    if run.best is not None and not interrupted:
        model.load_state_dict(run.best)
    return run.history


def _check_callbacks(callbacks: Any) -> None:
    if not isinstance(callbacks, Sequence) or not all(_takes(c, None, None) for c in callbacks):
        raise TypeError(
            f"fit: callbacks must be a list of functions of (model, history), not {callbacks!r}"
        )


class _Run:
    """A training: its parts, and what changes, which is all that a checkpoint holds."""

    _KEPT = ("epoch", "steps", "batch", "seen", "total", "bad", "stopped", "best", "best_loss")

    def __init__(
        self, model: Any, data: Any, optimizer: Any, schedule: Any, every: str, path: Any
    ) -> None:
        if not isinstance(model, Module):
            raise TypeError(f"fit: the model must be a Module, not {type(model).__name__}")
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
        self.total = 0.0
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
                f"parameters, got {value!r:.80}"
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
        """Take a step along the mean gradient of the batches that wait for it.

        Raises
        ------
        FloatingPointError
            If it is not finite; the step is not taken.
        """
        for p in self.held:
            if self.waiting > 1 and p.grad is not None:
                p.grad /= self.waiting
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
        state["versions"] = {"numpy": np.__version__}
        for name, part in self.parts.items():
            state[name] = part.state_dict() if part is not None else None
        checkpoints.save(self.path, state, keep_previous=True)

    def _resume(self, state: Any) -> None:
        needed = {*self._KEPT, *self.parts, "history", "generators", "versions"}
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

    def where(self) -> str:
        """Return where the run is, for messages."""
        return f"epoch {self.epoch + 1}, step {self.steps + 1} (batch {self.batch})"

    def end_epoch(self) -> dict[str, float]:
        """Return what the epoch gave, and begin another."""
        self.epoch += 1
        rate = float(self.optimizer.groups[0]["lr"])
        row = {"epoch": self.epoch, "loss": self.total / self.seen, "lr": rate}
        self.batch = self.seen = 0
        self.total = 0.0
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


def _pair(batch: Any, name: str) -> Any:
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise TypeError(
            f"{name} must be pairs (x, target), one a batch: give ag.data.Batches(x, target), or "
            f"[(x, target)] for a single batch"
        )
    return batch


def _pairs(data: Iterable[Any], name: str, seen: int = 0) -> Iterator[tuple[Any, Any]]:
    """Yield batches, of which there must be some, unless some were seen before."""
    for batch in data:
        x, target = _pair(batch, name)
        seen += len(target)
        yield x, target
    if not seen:
        raise ValueError(
            f"{name} gave no batches; an iterator gives its own only once: pass a list or Batches"
        )


@contextmanager
def _interruptible() -> Iterator[list[int]]:
    """Collect the first Ctrl-C in a list, instead of raising; only the main thread can."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: Any) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _put_back(run: _Run) -> Iterator[None]:
    """Put buffers back as they were noted, when the step of the batches since is refused."""
    try:
        yield
    except FloatingPointError:
        for name, buffer in run.model.named_buffers():
            noted = run.noted.get(name)
            if noted is not None and buffer.shape == noted.shape and buffer.flags.writeable:
                buffer[...] = noted
        raise


class _Display:
    """Progress on the screen: a bar for each epoch with tqdm, else a line."""

    def __init__(self, epochs: int, data: Any) -> None:
        self.epochs = epochs
        self.size = len(data) if isinstance(data, Sized) else None
        self.bar: Any = None
        try:
            from tqdm.auto import tqdm
        except ImportError:
            tqdm = None
        self.tqdm = tqdm

    def advance(self) -> None:
        """Show that one more batch is done."""
        if self.tqdm is not None:
            if self.bar is None:
                self.bar = self.tqdm(total=self.size, unit="batch")
            self.bar.update()

    def end(self, row: Mapping[str, float]) -> None:
        """Show what the epoch gave."""
        text = ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "epoch")
        title = f"epoch {int(row['epoch'])}/{self.epochs}"
        if self.bar is None:
            print(f"{title}: {text}")
            return
        self.bar.set_description(title)
        self.bar.set_postfix_str(text)
        self.bar.close()
        self.bar = None


def plot_history(history: Mapping[str, Sequence[float]]) -> Any:
    """Return a matplotlib figure of a history: losses on the left, all else on the right.

    Parameters
    ----------
    history : dict of str to sequence of float
        As :func:`fit` returns it; ``"epoch"`` is the abscissa, ``"lr"`` is left out.

    Raises
    ------
    ImportError
        Without matplotlib: the extra ``plot``.

    Examples
    --------
    >>> figure = ag.plot_history({"epoch": [1, 2], "loss": [0.5, 0.3], "val_accuracy": [0.8, 0.9]})
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "ag.plot_history needs matplotlib: pip install autograd_lite[plot]"
        ) from error
    names = [name for name in history if name not in ("epoch", "lr")]
    sides = [[n for n in names if n.endswith("loss")], [n for n in names if not n.endswith("loss")]]
    sides = [side for side in sides if side]
    figure = Figure(figsize=(5 * max(len(sides), 1), 3.5), layout="constrained")
    for i, side in enumerate(sides):
        axes = figure.add_subplot(1, len(sides), i + 1)
        for name in side:
            axes.plot(history["epoch"], history[name], marker=".", label=name)
        axes.set_xlabel("epoch")
        axes.legend()
        axes.grid(alpha=0.3)
    return figure
