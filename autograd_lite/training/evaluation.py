"""Losses and metrics over batches of data."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from autograd_lite.engine.modes import no_grad
from autograd_lite.engine.recording import bare
from autograd_lite.nn import Loss, Module  # the whole: threads may import its parts meanwhile

Metric = Callable[[Any, Any], float]


def accuracy(logits: Any, target: Any) -> float:
    """Return the share of rows whose largest logit is that of the label.

    Parameters
    ----------
    logits : array_like or Tensor of shape (..., classes)
        Or probabilities, of two classes or more. Of no rows, the share is 0.
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
    return float(np.mean(np.argmax(scores, axis=-1) == labels)) if labels.size else 0.0


def evaluate(
    model: Callable[..., Any],
    loss: Callable[[Any, Any], Any],
    data: Iterable[Any],
    metrics: Mapping[str, Metric] | None = None,
) -> dict[str, float]:
    """Return the means of the loss and of metrics over all data, whatever the batches.

    Parameters
    ----------
    model : Module or callable
        Evaluated in evaluation mode, recording nothing; its modules' modes stay as they were.
    loss : callable
        ``loss(prediction, target)``: a mean over its batch, which counts by its number of rows; or
        ``(sum, count)``; or a loss module, which knows its count. See :func:`fit`.
    data : iterable of (x, target)
        Such as :class:`ag.data.Batches`.
    metrics : dict of str to callable, optional
        ``metric(prediction, target)``, given arrays; it may return ``(sum, count)`` too.

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
    measures = measures_of("evaluate", loss, metrics)
    totals, counts = dict.fromkeys(measures, 0.0), dict.fromkeys(measures, 0.0)
    before = modes(model)
    if isinstance(model, Module):
        model.eval()
    try:
        with no_grad():
            for x, target in pairs(data, "evaluate: the data"):
                prediction = bare(model(x))
                for name, measure in measures.items():
                    value, count = measured(measure, prediction, target)
                    totals[name] += float(bare(value)) * count
                    counts[name] += count
    finally:
        put_back(before)
    return {name: totals[name] / counts[name] if counts[name] else 0.0 for name in measures}


def measured(measure: Callable[[Any, Any], Any], prediction: Any, target: Any) -> tuple[Any, float]:
    """Return a mean over a batch, and how much of what is averaged the batch holds."""
    value = measure(prediction, target)
    if isinstance(measure, Loss):
        return value, float(measure.count(prediction, target))
    if not isinstance(value, tuple) or len(value) != 2:
        return value, float(len(target))
    total, count = value[0], float(bare(value[1]))
    return (total / count if count else total), count


def modes(model: Any) -> list[tuple[Module, bool]]:
    """Return all modules of a model with their training modes."""
    parts = model.named_modules() if isinstance(model, Module) else ()
    return [(part, part.training) for _, part in parts]


def put_back(before: list[tuple[Module, bool]]) -> None:
    """Set the training modes that modules had."""
    for part, mode in before:
        part.training = mode


def measures_of(
    caller: str, loss: Any, metrics: Mapping[str, Metric] | None
) -> dict[str, Callable[[Any, Any], Any]]:
    """Return the loss and the metrics by name, checked."""
    metrics = {} if metrics is None else metrics
    named = isinstance(metrics, Mapping)
    if not named or not all(takes(m, None, None) for m in (loss, *metrics.values())):
        raise TypeError(
            f"{caller}: loss must be a function of (prediction, target), and metrics a dictionary "
            f"of such, as {{'accuracy': ag.training.accuracy}}; got {loss!r} and {metrics!r}"
        )
    if isinstance(loss, Loss) and "mean" not in loss.reduction:
        raise ValueError(f"{caller}: the loss must be a mean, not of reduction={loss.reduction!r}")
    return {"loss": loss, **metrics}


def takes(function: Any, *arguments: Any) -> bool:
    """Return whether a function can be called with these, as far as its signature says."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # a built-in function that has none
        return callable(function)
    return True


def pair(batch: Any, name: str) -> Any:
    """Return a batch, checked to be a pair."""
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise TypeError(
            f"{name} must be pairs (x, target), one a batch: give ag.data.Batches(x, target), or "
            f"[(x, target)] for a single batch"
        )
    return batch


def pairs(data: Iterable[Any], name: str, seen: int = 0) -> Iterator[tuple[Any, Any]]:
    """Yield batches, of which there must be some, unless some were seen before."""
    for batch in data:
        x, target = pair(batch, name)
        seen += len(target)
        yield x, target
    if not seen:
        raise ValueError(
            f"{name} gave no batches; an iterator gives its own only once: pass a list or Batches"
        )
