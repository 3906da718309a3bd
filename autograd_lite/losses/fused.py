"""The softmax cross-entropy as one fused node.

With m the largest logit of a row, e_j = exp(z_j - m), s the sum of all e_j, t the sum over every j
but one that attains the maximum, and R the sum over every j but the label k,

    loss = (m - z_k) + log1p(t),    d loss / d z_j = e_j / s,    d loss / d z_k = -R / s.

Both terms of the loss are at least 0, so nothing cancels, and ``p_k - 1`` never appears: a row that
is certain of its label keeps a loss and a gradient that are right to the last digits. The arrays
are worked through in :mod:`autograd_lite.losses.kernels`; this module makes nodes of them.

The gradient is formed together with the loss and kept for the first backward, which it is given
away to; later ones compute it again. Second derivatives come from the rules of the gradient, itself
a function of the table.

Conventions, beside those of PyTorch
------------------------------------
- Where no row counts, or there is none, the mean is 0.
- A row that is ignored, or whose class has the weight 0, or whose soft targets are all 0, has no
  effect, even if its logits are nan.
- A logit of -inf masks its class: probability and gradient are 0, and so is the share of a soft
  target of 0. A positive target there, of label smoothing too, makes the loss inf.
- A row that holds nan or +inf, or nothing but -inf, has the loss nan and a gradient of nan.
- With class weights and label smoothing together, a row is weighed first and smoothed then: it
  counts as often as the weight of its class says, for class labels and one-hot rows alike, and the
  best prediction for it is the smoothed target. PyTorch smooths first and weighs each class's
  share, so that its best prediction depends on the weights: for that, pass smoothed rows as soft
  targets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from autograd_lite.engine.arrays import alike, is_foreign, kind, possibly
from autograd_lite.engine.primitives import primitive
from autograd_lite.engine.recording import bare, call
from autograd_lite.engine.table import derivative
from autograd_lite.engine.tensor import Result, Tensor
from autograd_lite.losses import kernels
from autograd_lite.losses.probabilities import _log_softmax, _softmax
from autograd_lite.losses.targets import Options, Reduction, checked


def cross_entropy(
    logits: ArrayLike | Tensor,
    target: ArrayLike | Tensor,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Result:
    """Return the softmax cross-entropy ``-sum(y * log(softmax(z)))``, as one fused node.

    Parameters
    ----------
    logits : array_like or Tensor
        Floating-point, any number of axes, the classes along ``axis``.
    target : array_like or Tensor
        Class labels: integers, in the shape of the logits without ``axis``. Or soft targets:
        the logits' shape, differentiable too; rows need not sum to 1.
    axis : int
        The axis of the classes.
    weight : array_like, optional
        One factor for each class, finite and not negative. The mean divides by the weights of the
        labels (by the number of rows for soft targets).
    ignore_index : int, optional
        The label of rows that do not count, whatever their logits are.
    label_smoothing : float
        The share of the target, 0 to 1, that is spread evenly over all classes. With ``weight``
        the row is weighed first, by its class, and the share of what it then counts for is spread:
        the same for labels and one-hot rows. PyTorch weighs each class's share of the smoothing.
    reduction : {"mean", "sum", "none"}
        ``"none"`` gives one loss for each row.

    Returns
    -------
    number, array or Tensor
        The loss, in the logits' dtype.

    Raises
    ------
    IndexError
        For a label out of range, naming its row and value. Negative labels do not wrap around.
    TypeError
        For logits or labels of the wrong type.
    ValueError
        For a target of the wrong shape, soft targets or weights that are not finite, negative
        weights, a smoothing outside [0, 1], an unknown reduction.

    Notes
    -----
    The gradient in the logits is (softmax(z) - y) / N. See the module's text for the formula that
    keeps its digits and for the conventions.

    Examples
    --------
    >>> z = ag.Tensor([[2.0, 1.0, 0.0]], requires_grad=True)
    >>> loss = ag.cross_entropy(z, [0])
    >>> loss.backward()
    >>> loss
    Tensor(0.40760596, requires_grad=True)
    >>> z.grad
    array([[-0.33475904,  0.24472847,  0.09003057]])
    """
    __tracebackhide__ = True
    logits, target, options = checked(
        "ag.cross_entropy", logits, target, axis, weight, ignore_index, label_smoothing, reduction
    )
    some = options.counts is not None
    return call(_cross_entropy_of_some if some else _cross_entropy, (logits, target, options))


def _cross_entropy_recorded(
    tracked: Sequence[int], logits: Any, target: Any, options: Options
) -> tuple[Any, dict[str, Any]]:
    """Return the loss, and its gradient for the first backward to take."""
    loss, slope = options.run(logits, target, 0 in tracked)
    return loss, {"slope": slope}


def _logits_cotangent(
    g: Any, ans: Any, logits: Any, target: Any, residual: Any, options: Options
) -> Any:
    """Return ``g * (softmax(logits) - target) / N``, as by exact arithmetic."""
    if residual is None:  # rules are shown tensors
        loss = _cross_entropy(bare(logits), bare(target), options)
        slope = cross_entropy_gradient(logits, target, options)
    else:
        slope = residual.pop("slope", None)
        if slope is not None:
            if not alike(slope, g):
                return slope * options.spread(g)
            if options.rowwise or not isinstance(g, np.generic) or g != 1:
                slope *= options.spread(g)
            return slope
        loss, slope = options.run(logits, target, True)
    check_replayed("ag.cross_entropy", ans, loss)
    return slope * options.spread(g)


def _target_cotangent(g: Any, ans: Any, logits: Any, target: Any, options: Options) -> Any:
    """Return the cotangent of soft targets: ``-g * log_softmax(logits) / N``."""
    loss = _cross_entropy(bare(logits), bare(target), options)
    check_replayed("ag.cross_entropy", ans, loss)
    return _log_softmax(logits, options.axis) * (options.spread(g) * -options.scale)


def _cross_entropy_explained(
    logits: Any, target: Any, options: Options
) -> tuple[str, dict[str, Any]]:
    """Return how the rule reads, and the ŷ and y that it speaks of."""
    y = target
    if y.ndim < logits.ndim:
        others = tuple(i for i in range(logits.ndim) if i != options.axis)
        classes = np.arange(logits.shape[options.axis], like=kind(logits))
        classes = np.expand_dims(classes, others)
        y = (np.expand_dims(target, options.axis) == classes).astype(logits.dtype)
        y = y * (1 - options.smoothing) + options.smoothing / classes.size
    rule = "g * (ŷ - y)" + (" / N" if options.reduction == "mean" else "")
    if options.counts is not None:
        rule += ", each row as often as it counts"
    return rule, {"ŷ": kernels.of(logits).softmax(logits, options.axis), "y": y}


def _fused(selects: bool) -> Callable[[Any, Any, Options], Any]:
    """Return the function of the node, entered into the table."""

    def cross_entropy(logits: Any, target: Any, options: Options) -> Any:
        return options.run(logits, target, False)[0]

    derivative(
        cross_entropy,
        _logits_cotangent,
        None if selects else _target_cotangent,  # rows are ignored by label alone
        recorded=_cross_entropy_recorded,
        explained=_cross_entropy_explained,
        selects=selects,
    )
    return cross_entropy


_cross_entropy = _fused(selects=False)
_cross_entropy_of_some = _fused(selects=True)  # some rows are ignored


def check_replayed(name: str, before: Any, after: Any) -> None:
    """Refuse to differentiate a loss again whose arguments now give another value."""
    if not is_foreign(after) and not np.array_equal(bare(before), after, equal_nan=True):
        raise RuntimeError(
            f"{name}: an array it read was changed between the call and the computation of the "
            f"gradient, which would be wrong; compute the gradient first, or pass {name} a copy"
        )


def _slope_logits_cotangent(g: Any, logits: Any, target: Any, options: Options) -> Any:
    """Return the product with each row's Hessian, ``mass (diag(p) - p pᵀ) / N``."""
    axis = options.axis
    if target.ndim == len(logits.shape):
        mass = target.sum(axis=axis, keepdims=True) * options.scale
        inert = (bare(target) == 0).all(axis=axis, keepdims=True)
    elif options.counts is not None:
        mass = np.expand_dims(options.counts * options.scale, axis)
        inert = mass == 0
    else:
        mass, inert = options.scale, None
    if inert is not None and possibly(inert):
        logits = np.where(inert, 0, logits)  # whatever they hold, nan too
    p = _softmax(logits, axis)
    return p * (g - (p * g).sum(axis=axis, keepdims=True)) * mass


def _slope_target_cotangent(g: Any, logits: Any, target: Any, options: Options) -> Any:
    """Return the cotangent of soft targets in ``((sum y) p - y) / N``."""
    p = _softmax(logits, options.axis)
    return ((p * g).sum(axis=options.axis, keepdims=True) - g) * options.scale


@primitive(_slope_logits_cotangent, _slope_target_cotangent)
def cross_entropy_gradient(logits: Any, target: Any, options: Options) -> Any:
    """Return the gradient of the loss (of the sum of the losses without a reduction)."""
    return options.run(logits, target, True)[1]
