"""Where a pullback begins and ends: the cotangent it starts from, and what a leaf stores."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from autograd_lite.engine import recording
from autograd_lite.engine.arrays import copied, in_kind, is_batch, kind, ordinary
from autograd_lite.engine.nodes import Leaf, Node


def cotangent_for(output: Any, gradient: Any, caller: str) -> Any:
    """Return the cotangent to start from, checked against the output."""
    if gradient is None:
        shape, dtype = output.shape, output.dtype
        if shape == () and isinstance(output._values, (np.ndarray, np.generic)):
            return dtype.type(1)
        if output.size != 1:
            raise ValueError(
                f"{caller}: the output has shape {shape}, not a single number; "
                f"give a gradient of that shape, or reduce it (np.sum) first"
            )
        return np.ones(shape, dtype, like=kind(output))
    g = gradient
    if not isinstance(g, recording.Tensor):
        g = in_kind(ordinary(g, caller), output)
    if g.dtype.kind not in "fiub":
        raise TypeError(f"{caller}: the gradient must hold real numbers, not {g.dtype}")
    if g.shape != output.shape:
        raise ValueError(
            f"{caller}: the gradient has shape {g.shape}, but the output has shape {output.shape}"
        )
    return g if g.dtype == output.dtype else g.astype(output.dtype)


def unshared(found: dict[Node, Any], node: Node, model: Any) -> Any:
    """Return a cotangent that a pullback found as an array of a kind that nobody else holds.

    Copied, unless the dictionary's reference is the only one (the call makes the second) and the
    array is no view of another, in the leaf's dtype: a sum has the machine's order of bytes.
    """
    if not found[node].__class__ is np.ndarray is model.__class__:
        if kind(model, found[node]) is not None:
            return copied(in_kind(found[node], model))
    elif (
        sys.getrefcount(found[node]) == 2
        and found[node].base is None
        and found[node].dtype is node.dtype
    ):
        return found[node]
    return np.array(found[node], node.dtype)


def of_leaf(total: Any, dtype: Any, model: Any) -> Any:
    """Return a sum of gradients as an array of a leaf's kind and dtype; a tensor as it is."""
    if isinstance(total, recording.Tensor):
        return total
    total = in_kind(total, model)
    return total if total.dtype == dtype else total.astype(dtype)


def retired(leaf: Leaf) -> RuntimeError:
    """Return the error of a gradient that has no place."""
    return RuntimeError(
        f"Tensor.backward: requires_grad of the leaf of shape {leaf.shape}"
        f"{f' named {leaf.name!r}' * bool(leaf.name)} was switched off after the call that "
        f"read it, so that its gradient would be lost; switch it on again, or compute the loss "
        f"again"
    )


def keep_out(values: Any, own: Any, caller: str) -> None:
    """Refuse values that differ between the examples of a vmap, for an array that they share."""
    if is_batch(values) and not is_batch(own):
        raise TypeError(
            f"{caller} inside ag.vmap of a tensor from outside, which all examples share: each has "
            f"a value of its own for it; use ag.grad, and return the value"
        )
