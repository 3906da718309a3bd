"""Losses as modules, by PyTorch's names: settings made once, and how much a batch counts.

The mean of a loss is over what counts: elements, rows that are not ignored, class weights.
:func:`ag.fit` and :func:`ag.evaluate` ask a loss module for that number, so that batches are put
together as if they were one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from autograd_lite.engine.recording import bare
from autograd_lite.nn import functions as F
from autograd_lite.nn.arguments import choice, positive
from autograd_lite.nn.module import Module

Reduction = Literal["mean", "sum", "none"]


class Loss(Module):
    """What all loss modules share: called with prediction and target, and the count of a mean.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        As in the function of the loss; :func:`ag.fit` takes means.

    Examples
    --------
    A loss of one's own defines ``forward`` and, where its mean is not over the elements of the
    target, ``count``:

    >>> class Seen(ag.nn.Loss):
    ...     def forward(self, prediction, target):
    ...         seen = ~np.isnan(target)
    ...         error = np.square(prediction - np.nan_to_num(target)) * seen
    ...         return np.sum(error) / max(np.sum(seen), 1)
    ...
    ...     def count(self, prediction, target):
    ...         return np.sum(~np.isnan(target))
    >>> float(Seen()(np.array([1.0, 2.0]), np.array([3.0, np.nan])))
    4.0
    """

    _function: Callable[..., Any]  # its keywords are the attributes of the module
    _reductions: tuple[str, ...] = ("mean", "sum", "none")

    def __init__(self, reduction: Any = "mean") -> None:
        choice(type(self).__name__, self._reductions, reduction=reduction)
        self.reduction = reduction

    def forward(self, prediction: Any, target: Any) -> Any:
        """Return what the function of the loss gives with the module's settings."""
        settings = {name: value for name, value in vars(self).items() if name != "training"}
        return type(self)._function(prediction, target, **settings)

    def count(self, prediction: Any, target: Any) -> float:
        """Return the number that the mean of this batch divides by."""
        return float(np.size(bare(target)))


class CrossEntropyLoss(Loss):
    """:func:`cross_entropy` as a module, which counts rows by the weights of their labels.

    Parameters
    ----------
    weight, ignore_index, label_smoothing, reduction, axis
        As for :func:`cross_entropy`: the classes are along the last axis, and no label is ignored
        unless ``ignore_index`` says so (PyTorch: axis 1, and -100).

    Examples
    --------
    >>> loss = ag.nn.CrossEntropyLoss(ignore_index=-1)
    >>> z, labels = np.zeros((3, 2)), np.array([0, -1, 1])
    >>> loss(z, labels).round(6), loss.count(z, labels)
    (np.float64(0.693147), 2.0)
    """

    _function = staticmethod(F.cross_entropy)

    def __init__(
        self,
        weight: ArrayLike | None = None,
        *,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        reduction: Reduction = "mean",
        axis: int = -1,
    ) -> None:
        super().__init__(reduction)
        self.weight = None if weight is None else np.array(weight, float)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.axis = axis

    def count(self, prediction: Any, target: Any) -> float:
        """Return the sum of the weights of the labels that are not ignored."""
        labels, shape = np.asarray(bare(target)), np.shape(bare(prediction))
        if labels.ndim == len(shape):  # soft targets
            return float(labels.size // shape[self.axis])
        if self.ignore_index is not None:
            labels = labels[labels != self.ignore_index]
        return float(labels.size if self.weight is None else self.weight[labels].sum())


class BCEWithLogitsLoss(Loss):
    """:func:`binary_cross_entropy_with_logits` as a module.

    Parameters
    ----------
    pos_weight, reduction
        As there.

    Examples
    --------
    >>> ag.nn.BCEWithLogitsLoss()([0.0, 40.0], [1.0, 1.0]).round(6)
    np.float64(0.346574)
    """

    _function = staticmethod(F.binary_cross_entropy_with_logits)

    def __init__(self, pos_weight: Any = None, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.pos_weight = None if pos_weight is None else np.array(pos_weight, float)


class MSELoss(Loss):
    """:func:`mse_loss` as a module.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        Over all elements.

    Examples
    --------
    >>> ag.nn.MSELoss()([1.0, 2.0], [1.0, 4.0])
    np.float64(2.0)
    """

    _function = staticmethod(F.mse_loss)


class L1Loss(Loss):
    """:func:`l1_loss` as a module.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        Over all elements.

    Examples
    --------
    >>> ag.nn.L1Loss()([1.0, 2.0], [1.0, 4.0])
    np.float64(1.0)
    """

    _function = staticmethod(F.l1_loss)


class HuberLoss(Loss):
    """:func:`huber_loss` as a module.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        Over all elements.
    delta : float
        Where the parabola goes over into straight lines.

    Raises
    ------
    ValueError
        If ``delta`` is not positive.

    Examples
    --------
    >>> ag.nn.HuberLoss(delta=1.0)([3.0], [0.0])
    np.float64(2.5)
    """

    _function = staticmethod(F.huber_loss)

    def __init__(self, reduction: Reduction = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        positive("HuberLoss", delta=delta)
        self.delta = float(delta)


class KLDivLoss(Loss):
    """:func:`kl_div` as a module.

    Parameters
    ----------
    reduction : {"mean", "batchmean", "sum", "none"}
        As in :func:`kl_div`.
    log_target : bool
        Whether targets are logarithms of probabilities.

    Examples
    --------
    >>> p, q = np.array([[0.5, 0.5, 0.0]]), np.array([[0.25, 0.5, 0.25]])
    >>> (ag.nn.KLDivLoss("batchmean")(np.log(q), p) / np.log(2)).round(12)
    np.float64(0.5)
    """

    _function = staticmethod(F.kl_div)

    _reductions = ("mean", "batchmean", "sum", "none")

    def __init__(self, reduction: Any = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def count(self, prediction: Any, target: Any) -> float:
        """Return the number of rows for ``"batchmean"``, else of elements."""
        return float(len(target)) if self.reduction == "batchmean" else np.size(bare(target))
