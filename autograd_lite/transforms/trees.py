"""Trees: nested dicts, lists and tuples whose leaves are arrays, floats or tensors.

Two trees match where they are nested alike: the entries of dictionaries by key, in any order, those
of lists and tuples by position.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from autograd_lite.engine.arrays import as_array

Tree = Any  # an array, float or tensor, or a nested dict, list or tuple of them
Function = Callable[..., Any]


def flatten(tree: Tree, caller: str = "ag") -> tuple[list[Any], Callable[[Sequence[Any]], Tree]]:
    """Return the leaves of nested dicts, lists and tuples, and a function that nests others so.

    It keeps their classes; of one that it cannot make again it says so, naming the caller.
    """
    if not isinstance(tree, (dict, list, tuple)):
        return [tree], lambda leaves: leaves[0]
    parts = [flatten(branch, caller) for branch in _branches(tree)]

    def rebuild(leaves: Sequence[Any]) -> Tree:
        rest = iter(leaves)
        return _like(tree, [again([next(rest) for _ in own]) for own, again in parts], caller)

    return [item for own, _ in parts for item in own], rebuild


def _branches(tree: Any) -> list[Any]:
    return list(tree.values()) if isinstance(tree, dict) else list(tree)


def _like(tree: Any, branches: list[Any], caller: str) -> Any:
    """Return a dict, list or tuple of the class of another, and its keys, with other branches.

    Raises
    ------
    TypeError
        If it is of a class that its entries alone do not make again.
    """
    kind = type(tree)
    entries: Any = dict(zip(tree, branches)) if isinstance(tree, dict) else branches
    if kind in (dict, list, tuple):
        return kind(entries)
    base = next(base for base in (dict, list, tuple) if isinstance(tree, base))
    try:
        if hasattr(kind, "_make"):
            made = tree._make(entries)
        elif isinstance(tree, defaultdict):
            made = kind(tree.default_factory, entries)
        else:
            made = kind(entries)
        same = list(map(id, _branches(made))) == list(map(id, branches))
        same = same and (base is not dict or list(made) == list(tree))
        if type(made) is kind and same and _attributes(made) == _attributes(tree):
            return made
    except Exception:  # of a constructor that wants something else
        pass
    raise TypeError(
        f"{caller}: a {kind.__name__} cannot be made again from its entries, with derivatives in "
        f"their places; pass a {base.__name__} that holds the same"
    )


def _attributes(tree: Any) -> Any:
    """Return what an object holds beside its entries: names, with what is no entry of it."""
    own = {id(branch) for branch in _branches(tree)}
    state = object.__getstate__(tree)
    parts = [part for part in (state if isinstance(state, tuple) else (state,)) if part]
    return [
        {name: None if id(value) in own else value for name, value in part.items()}
        for part in parts
    ]


def is_float(value: Any) -> bool:
    """Whether a leaf is a floating-point number, array or tensor."""
    return isinstance(value, float) or getattr(getattr(value, "dtype", None), "kind", "") == "f"


def arguments_and(caller: str, what: str, given: Any, model: str, like: Any) -> list[Any]:
    """Return the leaves of vectors that match arguments: both tuples, one entry per argument."""
    if not isinstance(given, (tuple, list)) or not isinstance(like, (tuple, list)):
        raise TypeError(f"{caller}: pass the arguments, and the {what}, as tuples: (x,) for one")
    return matched(caller, what, given, model, like)


def matched(
    caller: str,
    what: str,
    given: Tree,
    model: str,
    like: Tree,
    varies: Callable[[Any], bool] = is_float,
) -> list[Any]:
    """Return the leaves of a tree that matches another, in the other's order.

    None stands for nothing beside what does not vary.

    Raises
    ------
    ValueError
        If the trees are not nested alike, with the same keys and shapes; it names the place.
    """
    here = f"{caller}: {what}"
    if isinstance(like, (dict, list, tuple)) or isinstance(given, (dict, list, tuple)):
        if _keys(given) != _keys(like):
            raise ValueError(f"{here} is {_described(given)}, but {model} is {_described(like)}")
        keys = like if isinstance(like, dict) else range(len(like))
        leaves = []
        for k in keys:
            place = f"[{k!r}]"
            leaves += matched(caller, what + place, given[k], model + place, like[k], varies)
        return leaves
    if given is None:
        if not varies(like):
            return [None]
        raise ValueError(f"{here} is None; where there is none, pass zeros: np.zeros_like of it")
    if as_array(given).shape != as_array(like).shape:
        raise ValueError(f"{here} is {_described(given)}, but {model} is {_described(like)}")
    return [given]


def _keys(tree: Tree) -> Any:
    """Return the keys of a dictionary, the length of a list or tuple, None of a leaf."""
    if isinstance(tree, dict):
        return frozenset(tree)
    return len(tree) if isinstance(tree, (list, tuple)) else None


def _described(tree: Tree) -> str:
    if isinstance(tree, dict):
        return f"a {type(tree).__name__} with the keys {', '.join(map(repr, tree)) or '(none)'}"
    if isinstance(tree, (list, tuple)):
        return f"a {type(tree).__name__} of {len(tree)}"
    return f"of shape {as_array(tree).shape}"
