"""Trees: nested dicts, lists and tuples whose leaves are arrays, floats or tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from autograd_lite.engine.arrays import as_array

Tree = Any  # an array, float or tensor, or a nested dict, list or tuple of them
Function = Callable[..., Any]


def flatten(tree: Tree) -> tuple[list[Any], Callable[[Sequence[Any]], Tree]]:
    """Return the leaves of nested dicts, lists and tuples, and a function that nests others so."""
    assemble: Callable[[list[Any]], Tree]
    if isinstance(tree, dict):
        names = list(tree)
        branches, assemble = list(tree.values()), lambda items: dict(zip(names, items))
    elif isinstance(tree, (list, tuple)):
        branches, assemble = list(tree), getattr(tree, "_make", type(tree))
    else:
        return [tree], lambda leaves: leaves[0]
    parts = [flatten(branch) for branch in branches]

    def rebuild(leaves: Sequence[Any]) -> Tree:
        rest = iter(leaves)
        return assemble([again([next(rest) for _ in own]) for own, again in parts])

    return [item for own, _ in parts for item in own], rebuild


def is_float(value: Any) -> bool:
    """Whether a leaf is a floating-point number, array or tensor."""
    return isinstance(value, float) or getattr(getattr(value, "dtype", None), "kind", "") == "f"


def matched(caller: str, what: str, given: Tree, like: Tree) -> list[Any]:
    """Return the leaves of a tree of vectors that has the structure and shapes of another."""
    if not isinstance(given, (tuple, list)) or not isinstance(like, (tuple, list)):
        raise TypeError(f"{caller}: pass the arguments, and the {what}, as tuples: (x,) for one")
    vectors, _ = flatten(list(given))
    shapes = [as_array(vector).shape for vector in vectors]
    wanted = [as_array(model).shape for model in flatten(list(like))[0]]
    if shapes != wanted:
        raise ValueError(f"{caller}: the {what} have shapes {shapes}, the arguments {wanted}")
    return vectors
