"""Functions of arrays, as the checks call them: on copies, in some precision, the same twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autograd_lite.engine.recording import bare
from autograd_lite.engine.tensor import Tensor
from autograd_lite.transforms.trees import Function, Tree, flatten, is_float


def mapped(function: Callable[[Any], Any], tree: Tree) -> Tree:
    """Return a tree with a function applied to its leaves."""
    leaves, rebuild = flatten(tree)
    return rebuild([function(leaf) for leaf in leaves])


def arrays_of(args: Sequence[Tree]) -> list[Tree]:
    """Return arguments with their tensors, floats and lists of floats as arrays."""
    listed = [np.array(v) if isinstance(v, list) and all(map(_is_number, v)) else v for v in args]
    return mapped(lambda v: np.asarray(bare(v)) if is_float(v) else bare(v), listed)  # type: ignore[no-any-return]


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, list) and all(map(_is_number, value)))


def cast(tree: Tree, dtype: Any) -> Tree:
    """Return a copy of a tree with its floating-point arrays in another precision."""
    return mapped(lambda v: v.astype(dtype) if is_float(v) else v, tree)


def precise(f: Callable[[Any], Any]) -> Any:
    """Return ``f(dtype)`` of the highest precision that it accepts; LAPACK, for one, has double."""
    with np.errstate(all="ignore"):
        try:
            return f(np.longdouble)
        except TypeError:
            return f(np.float64)


def outputs_of(
    caller: str, what: str, f: Function, args: Sequence[Tree], kinds: str = "f"
) -> list[Any]:
    """Return what a function of arrays returns, called twice to see that it is the same again."""

    def once() -> list[Any]:
        own = mapped(lambda v: v.copy() if isinstance(v, np.ndarray) else v, list(args))
        return [np.asarray(bare(v)) for v in flatten(f(*own))[0]]

    try:
        first, second = once(), once()
    except (TypeError, AttributeError) as error:
        tensors = mapped(lambda v: Tensor(v, requires_grad=True) if is_float(v) else v, list(args))
        f(*tensors)  # which raises, too, if it is not for want of tensors
        raise TypeError(
            f"{caller}: {what} works on tensors, but not on arrays ({error}); compute with the "
            f"argument itself in place of its .data, since numeric derivatives are made of arrays"
        ) from error
    for i, (a, b) in enumerate(zip(first, second)):
        if a.dtype == object and a.shape == () and a.item() is None:
            raise TypeError(f"{caller}: {what} returned None; is its return statement missing?")
        if a.dtype.kind not in kinds:
            raise TypeError(
                f"{caller}: output {i} of {what} is {a.dtype} and must be real and floating-point, "
                f"since integers jump and complex ones are not supported; leave it out"
            )
        if not np.array_equal(a, b, equal_nan=True):
            how = f"shapes {a.shape} and {b.shape}"
            if a.shape == b.shape:
                how = f"by {np.nanmax(np.abs(a - b)):.3g}"
            raise ValueError(
                f"{caller}: output {i} of {what} differs ({how}) when it is called again with the "
                f"same arguments; to draw random numbers, make the generator inside it from a "
                f"fixed seed, or draw them once, outside"
            )
    return first
