"""Tensors, transforms and optimisers of arrays that are no ndarrays: the kind is kept."""

from __future__ import annotations

import copy
import math
import operator
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite.engine.arrays import as_arrays, in_kind, kind
from tests.duck import Duck, held

nan = np.nan


def duck_and_ndarray(*values: float) -> list[tuple[Callable[[Any], Any], Any]]:
    """Return what makes an array of a kind and takes its values back, for two kinds."""
    array = np.array(values)
    return [(lambda a: a, array), (held, Duck(array))]


# ---------------------------------------------------------------------------- the Duck is strict


@pytest.mark.parametrize(
    "use",
    [
        np.asarray, np.array, bool, float, int, complex, operator.index, math.sin,
        lambda d: d.item(), lambda d: d.tolist(), np.array2string,
        lambda d: "yes" if d == 1 else "no",
        lambda d: "yes" if np.allclose(d, 1) else "no",
        lambda d: [1, 2][d],
    ],
)  # fmt: skip
def test_a_duck_does_not_give_its_values_away(use: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match="does not give its values away"):
        use(Duck(1.0))


@pytest.mark.parametrize("use", [
    lambda d: d + np.ones(2),
    lambda d: np.ones(2) + d,
    lambda d: np.stack([d, np.ones(2)]),
    lambda d: np.where(d > 1, d, np.ones(2)),
    lambda d: d[np.array([0, 1])],
    lambda d: d[(np.array([True, False]),)],
    lambda d: d.take(np.array([0, 1])),
    lambda d: np.add.at(d, np.array([0, 1]), 1.0),
])  # fmt: skip
def test_a_duck_meets_no_ndarray(use: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"meets an ndarray of shape \(2,\)"):
        use(Duck([1.0, 2.0]))


@pytest.mark.parametrize("use", [
    lambda d: np.add(d, 1, out=np.zeros(2)),
    lambda d: np.sum(d, out=np.zeros(())),
    lambda d: np.add.at(np.zeros(2), [0], d),
    lambda d: operator.iadd(np.zeros(2), d),
])  # fmt: skip
def test_a_duck_is_written_into_no_ndarray(use: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"must be a Duck|cannot write Ducks"):
        use(Duck([1.0, 2.0]))


def test_a_duck_has_no_memory_to_look_at() -> None:
    for name in ("base", "flags", "strides", "data", "ctypes", "setflags", "nbytes", "view"):
        assert not hasattr(Duck(1.0), name)
    with pytest.raises(AttributeError, match="nbytes"):
        Duck(1.0).nbytes  # noqa: B018


# ---------------------------------------------------------------------------- kinds


def test_what_is_made_like_its_neighbours() -> None:
    duck = Duck([1.0, 2.0])
    assert kind(1.0, np.ones(2), [3], ag.Tensor([1.0])) is None
    assert kind(np.ones(2), ag.Tensor(duck)) is not None
    for value in as_arrays([[1.0], 2.0, duck]):
        assert isinstance(value, Duck)
    assert all(isinstance(value, np.ndarray) for value in as_arrays([[1.0], np.ones(2), 3]))
    assert isinstance(in_kind(np.ones(3), duck), Duck)
    assert isinstance(np.arange(3, like=kind(duck)), Duck)
    with pytest.raises(TypeError, match="does not give its values away"):
        in_kind(duck, np.ones(2))


def test_a_tensor_keeps_a_copy_of_its_own_kind() -> None:
    given = Duck([1.0, 2.0])
    t = ag.Tensor(given, requires_grad=True)
    given[0] = 5.0
    assert isinstance(t.data, Duck)
    np.testing.assert_array_equal(held(t.data), [1, 2])
    single = ag.Tensor(given, dtype=np.float32)
    assert isinstance(single.data, Duck)
    assert (single.dtype, single.nbytes, single.shape, single.size) == (np.float32, 8, (2,), 2)
    assert isinstance(t.detach().data, Duck)
    assert isinstance(ag.Tensor(t.detach()).data, Duck)


def test_values_and_gradients_that_are_set_become_of_the_kind() -> None:
    t = ag.Tensor(Duck([1.0, 2.0]), requires_grad=True)
    t.data = np.array([3.0, 4.0])
    t.grad = [1, 0]
    assert isinstance(t.data, Duck)
    assert isinstance(t.grad, Duck)
    assert t.grad.dtype == float
    np.sum(t * t).backward()
    np.testing.assert_array_equal(held(t.grad), [7, 8])
    plain = ag.Tensor([1.0, 2.0], requires_grad=True)
    for name in ("data", "grad"):
        with pytest.raises(TypeError, match="does not give its values away"):
            setattr(plain, name, Duck([1.0, 2.0]))
    with pytest.raises(ValueError, match="expected values of shape"):
        t.data = Duck([1.0])


def test_repr_names_kind_shape_and_dtype() -> None:
    t = ag.Tensor(Duck(np.ones((2, 3), np.float32)), requires_grad=True, name="w")
    expected = "Tensor(tests.Duck, shape=(2, 3), dtype=float32, requires_grad=True, name='w')"
    assert repr(t) == f"{t}" == expected
    for ask in (float, bool, lambda t: t.item(), lambda t: f"{t:.2f}", np.asarray):
        with pytest.raises(TypeError):
            ask(t.detach())


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies(duplicate: Callable[[Any], Any]) -> None:
    t = ag.Tensor(Duck([1.0, 2.0]), requires_grad=True, name="w")
    np.sum(t * t).backward()
    again = duplicate(t)
    assert (again.name, again.requires_grad) == ("w", True)
    assert isinstance(again.data, Duck)
    np.testing.assert_array_equal(held(again.grad), [2, 4])
    again.data[0] = 9.0
    np.testing.assert_array_equal(held(t.data), [1, 2])


# ---------------------------------------------------------------------------- gradients


def test_gradients_are_of_the_kind_and_nobody_elses() -> None:
    a, b = (ag.Tensor(Duck([1.0, 2.0]), requires_grad=True) for _ in range(2))
    total = a + b
    given = Duck([1.0, 10.0])
    total.backward(given)
    for t in (a, b):
        assert isinstance(t.grad, Duck)
    a.grad[0] = 7.0
    np.testing.assert_array_equal(held(b.grad), [1, 10])
    np.testing.assert_array_equal(held(given), [1, 10])
    total.backward([1.0, 1.0])
    np.testing.assert_array_equal(held(b.grad), [2, 11])
    with pytest.raises(ValueError, match="gradient has shape"):
        total.backward(Duck([1.0]))


def test_the_cotangent_of_a_leaf_arrives_as_the_leafs_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    x = Duck([1.0, 2.0])
    w = ag.Tensor(3.0, requires_grad=True)
    with pytest.raises(TypeError, match="does not give its values away"):
        np.sum(w * x).backward()
    assert w.grad is None
    # An array that may be converted is.
    monkeypatch.setattr(Duck, "__array__", lambda self, *_, **__: self._held.copy())
    loss = np.sum(w * x)
    loss.backward()
    loss.backward()
    gradient = ag.grad(lambda w: np.sum(w * x))(np.ones(1))
    assert type(w.grad) is type(gradient) is np.ndarray
    np.testing.assert_array_equal(w.grad, 6)
    np.testing.assert_array_equal(gradient, [3])
    assert ag.grad(lambda w: np.sum(w * x))(1.0) == 3


def test_no_path() -> None:
    gradient = ag.grad(lambda x, y: np.sum(x), 1)(Duck([1.0]), Duck([1.0, 2.0]))
    assert isinstance(gradient, Duck)
    np.testing.assert_array_equal(held(gradient), [0, 0])


def test_an_inplace_sum_of_paths_changes_no_other_cotangent() -> None:
    for back, x in duck_and_ndarray(1.0, 2.0):
        t = ag.Tensor(x, requires_grad=True)
        u = t * 2.0
        np.sum(u + u * t + u + u[::-1] * t).backward()
        np.testing.assert_array_equal(back(t.grad), [16, 16])


# ---------------------------------------------------------------------------- transforms


def f(x: Any) -> Any:
    return np.sum(np.tanh(x) * x[::-1])


TRANSFORMS: dict[str, Callable[[Any, Any], Any]] = {
    "grad": lambda x, v: ag.grad(f)(x),
    "value_and_grad": lambda x, v: ag.value_and_grad(f)(x),
    "grad of grad": lambda x, v: ag.grad(lambda x: np.sum(ag.grad(f)(x) * v))(x),
    "elementwise_grad": lambda x, v: ag.elementwise_grad(np.sinh)(x),
    "vjp": lambda x, v: ag.vjp(np.tanh, x)[1](v),
    "jvp": lambda x, v: ag.jvp(lambda x: np.tanh(x) * x[0], (x,), (v,)),
    "hvp": lambda x, v: ag.hvp(f, (x,), (v,)),
    "jacobian": lambda x, v: ag.jacobian(lambda x: np.tanh(x)[:, None] * x[:2])(x),
    "jacobian of nothing": lambda x, v: ag.jacobian(lambda x: x[:0])(x),
    "hessian": lambda x, v: ag.hessian(f)(x),
    "of a tensor": lambda x, v: ag.grad(f)(ag.Tensor(x)).data,
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_give_the_kind_that_they_are_given(name: str) -> None:
    x, v = np.array([0.5, -1.0, 2.0]), np.array([1.0, 2.0, -1.0])
    expected = TRANSFORMS[name](x, v)
    got = TRANSFORMS[name](Duck(x), Duck(v))
    several = isinstance(expected, tuple)
    for a, b in zip(got if several else [got], expected if several else [expected], strict=True):
        assert isinstance(a, Duck)
        np.testing.assert_array_equal(held(a), np.asarray(b), strict=True)


def test_a_nan_can_reach_where_no_path_leads() -> None:
    # Whether a gradient holds a nan cannot be asked, so the guard that keeps it out stands aside.
    def root(x: Any) -> Any:
        return np.sum(np.where(x > 0, np.sqrt(x), 0))

    with np.errstate(invalid="ignore", divide="ignore"):
        np.testing.assert_array_equal(ag.grad(root)(np.array([-1.0, 4.0])), [0, 0.25])
        np.testing.assert_array_equal(held(ag.grad(root)(Duck([-1.0, 4.0]))), [nan, 0.25])


# ---------------------------------------------------------------------------- optimisers


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: ag.optim.SGD(p, lr=0.1),
        lambda p: ag.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        lambda p: ag.optim.Adam(p, lr=0.1),
        lambda p: ag.optim.AdamW(p, lr=0.1),
        lambda p: ag.optim.RMSprop(p, lr=0.1, momentum=0.5),
        lambda p: ag.optim.Adagrad(p, lr=0.1),
    ],
    ids=["SGD", "SGD with momentum", "Adam", "AdamW", "RMSprop", "Adagrad"],
)
def test_optimisers_step(optimizer: Callable[[Any], Any]) -> None:
    ends = []
    for back, x in duck_and_ndarray(1.0, -2.0, 3.0):
        w = ag.Tensor(x, requires_grad=True)
        steps = optimizer([w])
        for _ in range(3):
            w.grad = None
            np.sum(np.cosh(w)).backward()
            steps.step()
        again = optimizer([w])
        again.load_state_dict(steps.state_dict())
        again.step()
        assert type(w.data) is type(x)
        ends.append(back(w.data))
    np.testing.assert_array_equal(*ends)


def test_a_step_after_the_call_that_read_the_leaf_is_noticed() -> None:
    w = ag.Tensor(Duck([1.0, 2.0]), requires_grad=True)
    loss = np.sum(w * w)
    loss.backward()
    ag.optim.SGD([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="was updated in place"):
        loss.backward()


# ---------------------------------------------------------------------------- users' functions


@ag.primitive(lambda g, x: np.where(x > 0, g, np.zeros_like(g, shape=x.shape)) + np.ones_like(g))
def _kinked(x: Any) -> Any:
    return np.where(x > 0, x, 0) + x


def test_a_rule_of_the_users_own_makes_its_constants_like_their_neighbours() -> None:
    ends = []
    for back, x in duck_and_ndarray(1.0, -2.0):
        gradient = ag.grad(lambda x: np.sum(_kinked(x) * x))
        ends.append([back(gradient(x)), back(ag.jacobian(gradient)(x))])
    for a, b in zip(*ends):
        np.testing.assert_array_equal(a, b, strict=True)
