"""Trees of arguments: matched by key, kept in their classes, refused by name where they differ."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite.transforms.trees import flatten


class Pair(NamedTuple):
    left: Any
    right: Any


class Named(dict):
    """Entries that are attributes, too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.__dict__ = self


class Asking(dict):
    """Entries that are asked for as attributes."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


class Measured(dict):
    def __init__(self, entries: Any, unit: str = "m") -> None:
        super().__init__(entries)
        self.unit = unit


class Slotted(list):
    __slots__ = ("note",)


class Layers(list):
    pass


class Wanting(tuple):
    def __new__(cls, first: Any, second: Any) -> Wanting:
        return super().__new__(cls, (first, second))


def _slotted() -> Slotted:
    made = Slotted([1.0, 2.0])
    made.note = "kept"
    return made


# ---------------------------------------------------------------------------- random trees


class Generator:
    """Random trees, with what shuffles the dictionaries of one and what damages it."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def tree(self, depth: int = 3) -> Any:
        kind = self.rng.integers(8 if depth else 2)
        if kind == 0:
            return float(self.rng.normal())
        if kind == 1:
            return self.rng.normal(size=tuple(self.rng.integers(1, 3, self.rng.integers(3))))
        branches = [self.tree(depth - 1) for _ in range(self.rng.integers(1, 4))]
        keys = self.rng.permutation(["a", "b", "c"])[: len(branches)].tolist()
        if kind == 2:
            return branches
        if kind == 3:
            return tuple(branches)
        if kind == 4:
            return Pair(branches[0], branches[-1])
        if kind == 5:
            return OrderedDict(zip(keys, branches))
        return dict(zip(keys, branches))

    def reordered(self, tree: Any) -> Any:
        """Return the same entries, those of dictionaries in another order."""
        if isinstance(tree, dict):
            keys = self.rng.permutation(list(tree)).tolist()
            return {key: self.reordered(tree[key]) for key in keys}
        if isinstance(tree, Pair):
            return Pair(*map(self.reordered, tree))
        if isinstance(tree, (list, tuple)):
            return type(tree)(map(self.reordered, tree))
        return tree

    def damaged(self, tree: Any) -> Any:
        """Return a tree that is nested otherwise in one place, or lacks a leaf there."""
        branches = isinstance(tree, (dict, list, tuple))
        if not branches or self.rng.random() < 0.3:
            wrong = [None, {"other": tree}, [tree], np.zeros(7)]
            return wrong[self.rng.integers(len(wrong))]
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        k = keys[self.rng.integers(len(keys))]
        if isinstance(tree, dict):
            if self.rng.random() < 0.3:
                return {("z" if key == k else key): value for key, value in tree.items()}
            return {**tree, k: self.damaged(tree[k])}
        items = list(tree)
        items[k] = self.damaged(items[k])
        return items


def _leaves(tree: Any) -> dict[str, Any]:
    """Return the leaves by their paths: written by hand, without the package's own functions."""
    if isinstance(tree, dict):
        return {f"{k!r}.{path}": v for k, b in tree.items() for path, v in _leaves(b).items()}
    if isinstance(tree, (list, tuple)):
        return {f"{k}.{path}": v for k, b in enumerate(tree) for path, v in _leaves(b).items()}
    return {"": tree}


def _weighted(tree: Any) -> Any:
    """Return a number to which each leaf adds by a weight that its path alone decides."""
    total: Any = 0.0
    for path, value in _leaves(tree).items():
        total = total + _weight(path) * np.sum(value**3)
    return total


def _weight(path: str) -> float:
    return 1 + sum(map(ord, path)) % 7


SEEDS = range(60)


@pytest.mark.parametrize("seed", SEEDS)
def test_entries_are_matched_by_key(seed: int) -> None:
    make = Generator(seed)
    primal = make.tree()
    tangent = flatten(primal)[1]([make.rng.normal(size=np.shape(v)) for v in flatten(primal)[0]])
    there, along = _leaves(primal), _leaves(tangent)
    slopes = {path: 3 * _weight(path) * there[path] ** 2 for path in there}
    expected = sum(np.sum(slopes[path] * along[path]) for path in there)

    _, slope = ag.jvp(_weighted, (primal,), (make.reordered(tangent),))
    np.testing.assert_allclose(slope, expected, rtol=1e-12)

    (product,) = ag.hvp(_weighted, (primal,), (make.reordered(tangent),))
    for path, value in _leaves(product).items():
        second = 6 * _weight(path) * there[path] * along[path]
        np.testing.assert_allclose(value, second, rtol=1e-12)

    def cubes(tree: Any) -> Any:
        leaves, again = flatten(tree)
        return again([leaf**3 for leaf in leaves])

    _, pull = ag.vjp(cubes, primal)
    (pulled,) = pull(make.reordered(tangent))
    for path, value in _leaves(pulled).items():
        np.testing.assert_allclose(value, 3 * there[path] ** 2 * along[path], rtol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_gradient_is_nested_as_the_argument(seed: int) -> None:
    primal = Generator(seed).tree()

    def same_classes(one: Any, other: Any) -> None:
        assert type(one) is type(other) or isinstance(other, np.ndarray)
        if isinstance(one, dict):
            assert list(one) == list(other)
            one, other = list(one.values()), list(other.values())
        if isinstance(one, (list, tuple)):
            for a, b in zip(one, other, strict=True):
                same_classes(a, b)

    seen = []

    def f(tree: Any) -> Any:
        seen.append(tree)
        return _weighted(tree)

    same_classes(ag.grad(f)(primal), primal)
    leaves, again = flatten(primal)
    same_classes(flatten(seen[0])[1](leaves), again(leaves))


@pytest.mark.parametrize("seed", SEEDS)
def test_other_nesting_is_refused(seed: int) -> None:
    make = Generator(seed)
    primal = make.tree()
    damaged = make.damaged(primal)
    for name, call in {
        "ag.jvp: tangents[0]": lambda: ag.jvp(_weighted, (primal,), (damaged,)),
        "ag.hvp: vectors[0]": lambda: ag.hvp(_weighted, (primal,), (damaged,)),
        "ag.vjp: the cotangent": lambda: ag.vjp(lambda t: flatten(t)[1](flatten(t)[0]), primal)[1](
            damaged
        ),
    }.items():
        with pytest.raises(ValueError, match=re.escape(name)):
            call()


# ---------------------------------------------------------------------------- by hand


def test_order_of_the_keys_does_not_matter() -> None:
    def f(p: Any) -> Any:
        return 10 * p["a"] + p["b"]

    assert ag.jvp(f, ({"a": 1.0, "b": 2.0},), ({"b": 1.0, "a": 0.0},))[1] == 1
    _, pull = ag.vjp(lambda x: {"a": x, "b": 10 * x}, 3.0)
    assert pull({"b": 1.0, "a": 0.0}) == (10.0,)
    square = lambda p: p["a"] ** 2 + 5 * p["b"] ** 2  # noqa: E731
    (product,) = ag.hvp(square, ({"a": 1.0, "b": 2.0},), ({"b": 1.0, "a": 0.0},))
    assert product == {"a": 0.0, "b": 10.0}


X = np.array([0.3, -0.8, 1.7])
P = {"a": X, "b": 1.0}
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "another key": (
        lambda: ag.jvp(lambda p: p["b"], (P,), ({"a": X, "c": 1.0},)),
        "ag.jvp: tangents[0] is a dict with the keys 'a', 'c', but primals[0] is a dict with the "
        "keys 'a', 'b'",
    ),
    "a dictionary for a list": (
        lambda: ag.hvp(lambda p: p[0] * p[1], ([1.0, 2.0],), ({0: 1.0, 1: 2.0},)),
        "ag.hvp: vectors[0] is a dict with the keys 0, 1, but args[0] is a list of 2",
    ),
    "a list for an array": (
        lambda: ag.jvp(np.exp, (X,), ([1.0, 2.0, 3.0],)),
        "ag.jvp: tangents[0] is a list of 3, but primals[0] is of shape (3,)",
    ),
    "no tangent": (
        lambda: ag.jvp(lambda p: p["b"], (P,), ({"a": X, "b": None},)),
        "ag.jvp: tangents[0]['b'] is None; where there is none, pass zeros",
    ),
    "no cotangent": (
        lambda: ag.vjp(lambda x: (x, {"y": x * x}), 2.0)[1]((1.0, {"y": None})),
        "ag.vjp: the cotangent[1]['y'] is None; where there is none, pass zeros",
    ),
    "no cotangent at all": (
        lambda: ag.vjp(np.exp, 2.0)[1](None),
        "ag.vjp: the cotangent is None",
    ),
    "a cotangent of a constant": (
        lambda: ag.vjp(lambda x: (x, np.ones(2)), 2.0)[1]((1.0, np.ones(3))),
        "ag.vjp: the cotangent[1] is of shape (3,), but the value[1] is of shape (2,)",
    ),
    "one too many": (
        lambda: ag.vjp(lambda x: [x, x], 2.0)[1]([1.0, 1.0, 1.0]),
        "ag.vjp: the cotangent is a list of 3, but the value is a list of 2",
    ),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_trees_that_do_not_match_are_refused(mistake: str) -> None:
    call, message = REFUSED[mistake]
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_integers_have_no_tangent() -> None:
    f = lambda x, n: x * n  # noqa: E731
    for none in (None, 0, np.zeros(())):
        assert ag.jvp(f, (2.0, 3), (1.0, none))[1] == 3
    with pytest.raises(TypeError, match=r"ag\.jvp: there is no derivative in a primal of int"):
        ag.jvp(f, (2.0, 3), (1.0, 1.0))
    _, pull = ag.vjp(lambda x: (x, 3), 2.0)
    assert pull((1.0, None)) == (1.0,)


KEPT: dict[str, Any] = {
    "OrderedDict": OrderedDict(b=1.0, a=2.0),
    "defaultdict": defaultdict(lambda: 7.0, a=1.0, b=2.0),
    "Counter": Counter(a=1.0, b=2.0),  # type: ignore[arg-type]
    "entries as attributes": Named(a=1.0, b=2.0),
    "entries asked for": Asking(a=1.0, b=2.0),
    "an attribute that comes back": Measured({"a": 1.0, "b": 2.0}),
    "a list": Layers([1.0, 2.0]),
    "a named tuple": Pair(1.0, 2.0),
}


@pytest.mark.parametrize("name", KEPT)
def test_subclass_is_kept(name: str) -> None:
    tree = KEPT[name]
    keys = list(tree) if isinstance(tree, dict) else [0, 1]
    seen = []

    def f(p: Any) -> Any:
        seen.append(p)
        product = p[keys[0]] * p[keys[1]]
        return product * p["missing"] if name == "defaultdict" else product

    gradient = ag.grad(f)(tree)
    assert type(gradient) is type(seen[0]) is type(tree)
    first, second = (7 * tree[k] if name == "defaultdict" else tree[k] for k in keys)
    assert [gradient[k] for k in keys] == [second, first]
    if isinstance(tree, dict):
        assert list(gradient) == keys


def test_attributes_that_are_entries_have_their_derivatives() -> None:
    gradient = ag.grad(lambda p: p.a * p.b)(Named(a=3.0, b=5.0))
    assert (gradient.a, gradient.b) == (5.0, 3.0)


@pytest.mark.parametrize(
    ("tree", "name", "base"),
    [
        (Measured({"a": 1.0}, "km"), "Measured", "dict"),
        (_slotted(), "Slotted", "list"),
        (Wanting(1.0, 2.0), "Wanting", "tuple"),
    ],
)
def test_subclass_with_more_than_its_entries_is_refused(tree: Any, name: str, base: str) -> None:
    message = (
        f"ag.grad: a {name} cannot be made again from its entries, with derivatives in their "
        f"places; pass a {base} that holds the same"
    )
    with pytest.raises(TypeError, match=re.escape(message)):
        ag.grad(lambda p: 1.0)(tree)
