"""The training loop: epochs of batches, steps, validation, Ctrl-C."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from autograd_lite.data import Batches
from autograd_lite.nn.arguments import count, positive
from autograd_lite.nn.module import Module
from autograd_lite.optim import Optimizer, Schedule
from autograd_lite.training.evaluation import (
    Metric,
    evaluate,
    measures_of,
    modes,
    pair,
    pairs,
    put_back,
    takes,
)
from autograd_lite.training.history import History
from autograd_lite.training.progress import Display
from autograd_lite.training.runs import Run


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
        ``loss(prediction, target)``: a single number, the mean over the batch; see the notes.
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
        The number of batches that make one step: that of a single batch of all their rows.
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
        If the arguments do not fit together (before anything is trained), the model is in
        evaluation mode, the loss is no single
        number that depends on the parameters, or there are no batches, as when an iterator is
        exhausted.

    Notes
    -----
    Ctrl-C stops after the current step, saves, and returns; a second one stops at once.

    Modules in evaluation mode (``model.norm.eval()``) stay there, and so do frozen statistics. The
    model itself must be in training mode, as it is at first.

    Batches that are put together, to one step or to the loss of an epoch, count by their number of
    rows. Where not all rows count, the loss says so: loss modules do, such as
    ``ag.nn.CrossEntropyLoss(ignore_index=-1)``, and a function may return a sum and how many it is
    of:

    >>> def loss(logits, labels):
    ...     total = ag.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
    ...     return total, np.sum(labels != -1)

    A run that is resumed with other settings of the optimiser than it was begun with, such as its
    ``lr``, goes on with these and says so; a schedule scales the new rate.

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
    limit = math.inf if max_norm is None else max_norm
    _check_numbers(epochs, accumulate, limit, patience=patience, checkpoint_every=checkpoint_every)
    _check_parts(loss, data, validation, metrics, patience, callbacks)
    run = Run(model, data, optimizer, schedule, schedule_every, checkpoint)
    display = Display(epochs, data) if progress else None
    with _interruptible() as interrupted, _put_back(run):
        if run.epoch < epochs and run.over(patience):
            print(f"fit: this run was stopped after epoch {run.epoch}, and stays so")
        while run.epoch < epochs and not run.over(patience) and not interrupted:
            run.zero_grad()
            for x, target in pairs(data, f"fit: the data of epoch {run.epoch + 1}", run.seen):
                run.backward(loss, x, target, accumulate > 1)
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
                    row.update(_validated(run, loss, validation, metrics))
                run.record(row, patience)
                if display:
                    display.end(row)
                _call(callbacks, run)
                run.save()
        if interrupted:
            run.save()
            print(f"fit: interrupted after step {run.steps}; the model is as that step left it")
    if run.best is not None and not interrupted:
        model.load_state_dict(run.best)
    return run.history


def _check_numbers(epochs: int, accumulate: int, limit: float, **optional: int | None) -> None:
    count("fit", 0, epochs=epochs)
    count("fit", accumulate=accumulate, **{k: v for k, v in optional.items() if v is not None})
    positive("fit", max_norm=limit)


def _check_parts(
    loss: Any, data: Any, validation: Any, metrics: Any, patience: int | None, callbacks: Any
) -> None:
    measures_of("fit", loss, metrics)
    if validation is None and (metrics or patience is not None):
        raise ValueError("fit: metrics and patience need validation data; give validation=")
    for name, batches in (("the data", data), ("the validation data", validation)):
        if isinstance(batches, Batches) and hasattr(batches.arrays[0], "shape"):
            pair(batches.arrays, f"fit: {name}")  # as many as a batch has; items may be pairs
        elif isinstance(batches, (list, tuple)) and batches:
            pair(batches[0], f"fit: {name}")
    if not isinstance(callbacks, Sequence) or not all(takes(c, None, None) for c in callbacks):
        raise TypeError(
            f"fit: callbacks must be a list of functions of (model, history), not {callbacks!r}"
        )


def _call(callbacks: Sequence[Callable[[Module, History], Any]], run: Run) -> None:
    """Call the callbacks; one that leaves the model in evaluation mode only looked at it."""
    before = modes(run.model)
    for callback in callbacks:
        run.stopped = bool(callback(run.model, run.history)) or run.stopped
    if not run.model.training:
        put_back(before)


def _validated(
    run: Run,
    loss: Callable[[Any, Any], Any],
    validation: Iterable[Any],
    metrics: Mapping[str, Metric] | None,
) -> dict[str, float]:
    """Return the loss and the metrics on the validation data, as columns of the history."""
    if isinstance(validation, Batches):
        validation.epoch = run.epoch  # so that a resumed run has the same order
    named = pairs(validation, f"fit: the validation data after epoch {run.epoch}")
    scores = evaluate(run.model, loss, named, metrics)
    if not math.isfinite(scores["loss"]):
        raise FloatingPointError(
            f"fit: the validation loss is {scores['loss']} after epoch {run.epoch};"
            f" look for values that are not finite in the validation data"
        )
    return {f"val_{name}": score for name, score in scores.items()}


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
def _put_back(run: Run) -> Iterator[None]:
    """Put buffers back as they were noted, when the step of the batches since is refused."""
    try:
        yield
    except FloatingPointError:
        for name, buffer in run.model.named_buffers():
            noted = run.noted.get(name)
            if noted is not None and buffer.shape == noted.shape and buffer.flags.writeable:
                buffer[...] = noted
        raise
