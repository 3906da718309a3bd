"""The norm of all gradients together, and limits to it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from autograd_lite.engine.recording import bare, node_of
from autograd_lite.engine.tensor import Tensor
from autograd_lite.nn.arguments import positive, working


def _with_gradients(params: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """Return those that have one; one tensor is a parameter, not the sequence of its rows."""
    params = [params] if isinstance(params, Tensor) else list(params)
    if not all(isinstance(p, Tensor) for p in params):
        raise TypeError("optim: gradients are those of tensors, such as model.parameters()")
    return [p for p in params if p.grad is not None]


def _norm(params: list[Tensor]) -> float:
    gradients = [bare(p.grad).reshape(-1) for p in params]
    gradients = [g.astype(working(g.dtype), copy=False) for g in gradients]
    total = sum(float(np.vdot(g, g)) for g in gradients)
    if math.isfinite(total):
        return math.sqrt(total)
    largest = max(float(np.abs(g).max(initial=0)) for g in gradients)
    if not math.isfinite(largest):
        return largest
    return largest * math.sqrt(sum(float(np.sum(np.square(g / largest))) for g in gradients))


def grad_norm(params: Tensor | Iterable[Tensor]) -> float:
    """Return the Euclidean norm of all gradients together; nan or inf only if an element is.

    Parameters
    ----------
    params : Tensor, or iterable of Tensor
        Those without a gradient are skipped.

    Examples
    --------
    >>> w = ag.Tensor([1.0, 1.0], requires_grad=True)
    >>> w.grad = np.array([3e200, 4e200])  # whose squares overflow
    >>> round(ag.optim.grad_norm([w]) / 1e200, 9)
    5.0
    """
    return _norm(_with_gradients(params))


def clip_grad_norm(params: Tensor | Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients, in place, so that their common norm is at most ``max_norm``.

    Parameters
    ----------
    params : Tensor, or iterable of Tensor
        Those without a gradient are skipped.
    max_norm : float
        Positive.

    Returns
    -------
    float
        The norm before.

    Raises
    ------
    FloatingPointError
        If a gradient holds nan or inf; nothing has changed then.
    ValueError
        If ``max_norm`` is not positive.

    Notes
    -----
    Source: Pascanu, Mikolov and Bengio (2013). As in PyTorch, 1e-6 is added to the norm that is
    divided by. Gradients that are tensors (``create_graph=True``) are replaced by new ones, through
    whose scaling gradients flow.

    Examples
    --------
    >>> w = ag.Tensor([1.0, 1.0], requires_grad=True)
    >>> w.grad = np.array([3.0, 4.0])
    >>> ag.optim.clip_grad_norm([w], 1.0)
    5.0
    >>> w.grad.round(6)
    array([0.6, 0.8])
    """
    positive("optim.clip_grad_norm", max_norm=max_norm)
    params = _with_gradients(params)
    norm = _norm(params)
    if not math.isfinite(norm):
        raise FloatingPointError(f"optim.clip_grad_norm: the norm of the gradients is {norm}")
    scale: Any = max_norm / (norm + 1e-6)
    if scale < 1:
        if any(node_of(p.grad) is not None for p in params):  # the scale depends on them, too
            share = np.sqrt(sum(np.sum(np.square(p.grad / norm)) for p in params))
            scale = max_norm / (norm * share + 1e-6)
        for p in params:
            if isinstance(p.grad, Tensor):
                p.grad = p.grad * scale
            else:
                wide = working(p.grad.dtype)
                np.multiply(p.grad, bare(scale), out=p.grad, dtype=wide, casting="same_kind")
    return norm


def clip_grad_value(params: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit every element of the gradients, in place, to ``-clip_value`` to ``clip_value``.

    Parameters
    ----------
    params : Tensor, or iterable of Tensor
        Those without a gradient are skipped.
    clip_value : float
        Positive.

    Raises
    ------
    ValueError
        If it is not.

    Examples
    --------
    >>> w = ag.Tensor([1.0, 1.0, 1.0], requires_grad=True)
    >>> w.grad = np.array([-3.0, 0.5, 4.0])
    >>> ag.optim.clip_grad_value([w], 1.0)
    >>> w.grad
    array([-1. ,  0.5,  1. ])
    """
    positive("optim.clip_grad_value", clip_value=clip_value)
    for p in _with_gradients(params):
        if isinstance(p.grad, Tensor):
            p.grad = np.clip(p.grad, -clip_value, clip_value)
        else:
            np.clip(p.grad, -clip_value, clip_value, out=p.grad)
