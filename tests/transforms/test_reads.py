"""A result that values were read out for has lost its derivative: said, never a silent zero."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag

X = np.array([0.5, 2.0])

LOST: dict[str, tuple[Callable[[Any], Any], str]] = {
    "item": (lambda x: x.sum().item(), "item()"),
    "item at a place": (lambda x: x.item(0) ** 2, "item()"),
    "tolist": (lambda x: sum(x.tolist()), "tolist()"),
    "numpy": (lambda x: np.sum(x.numpy() ** 2), "numpy()"),
    "data": (lambda x: np.sum(np.exp(x.data)), "data"),
    "a new tensor": (lambda x: np.sum(ag.Tensor(x.data) ** 2), "data"),
}
ZERO: dict[str, Callable[[Any], Any]] = {
    "a constant": lambda x: 3.0,
    "a constant, printed beside": lambda x: (print(x, x.data, f"{x[0]:.3f}"), 3.0)[1],
    "a constant branch": lambda x: 0.0 if x[0].item() > 0 else np.sum(x),
    "detached on purpose": lambda x: np.sum(x.detach() ** 2),
    "detached, then read": lambda x: np.sum(x.detach().numpy() ** 2),
    "not recorded on purpose": ag.no_grad()(lambda x: np.sum(x**2)),
    "a step": lambda x: np.sum(x.data > 1),
    "where the greatest is": lambda x: float(np.argmax(x)),
    "how many are right": lambda x: (np.round(x) == 2.0).mean().item(),
}
KEPT: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "a branch": (lambda x: np.sum(x) if x.sum().item() > 0 else 0.0, [1, 1]),
    "a comparison": (lambda x: np.sum(x * x) if x[0] > 0 else 0.0, 2 * X),
    "a factor that is held": (lambda x: x.sum().item() * np.sum(x), [2.5, 2.5]),
}
TRANSFORMS: dict[str, Callable[[Any], Any]] = {
    "grad": lambda f: ag.grad(f)(X),
    "value_and_grad": lambda f: ag.value_and_grad(f)(X)[1],
    "elementwise_grad": lambda f: ag.elementwise_grad(f)(X),
    "jacobian": lambda f: ag.jacobian(f)(X),
    "vjp": lambda f: ag.vjp(f, X)[1](1.0)[0],
    "hvp": lambda f: ag.hvp(f, (X,), (X,))[0],
}


@pytest.mark.parametrize("name", LOST)
def test_a_derivative_that_values_read_out_lost_is_an_error(name: str) -> None:
    f, how = LOST[name]
    message = (
        f"ag.grad: what the function returns depends on its argument only through values read by "
        f".{how} ({__file__}, line {f.__code__.co_firstlineno}), which have no derivative, so that "
        f"it would be zero; compute with the tensor itself, or with tensor.detach() where zero is "
        f"meant"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        ag.grad(f)(X)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_every_transform_says_so(transform: str) -> None:
    with pytest.raises(TypeError, match=rf"^ag.{transform}: what the function returns depends"):
        TRANSFORMS[transform](LOST["item"][0])


@pytest.mark.parametrize("x", [0.5, X.astype(np.float32), ag.Tensor(X), [0.5, {"a": X}]])
def test_arguments_of_every_kind(x: Any) -> None:
    def f(x: Any) -> float:
        return float(np.sum(x.data if hasattr(x, "data") else x[1]["a"].data))

    with pytest.raises(TypeError, match=r"^ag.grad: what the function returns depends .* \.data"):
        ag.grad(f)(x)


@pytest.mark.parametrize("name", ZERO)
def test_what_does_not_depend_keeps_its_zero(name: str) -> None:
    np.testing.assert_array_equal(ag.grad(ZERO[name])(X), [0, 0])


@pytest.mark.parametrize("name", KEPT)
def test_values_may_be_read_beside_what_is_recorded(name: str) -> None:
    f, gradient = KEPT[name]
    np.testing.assert_array_equal(ag.grad(f)(X), gradient)


def test_a_result_that_is_read_may_stand_beside_one_that_is_recorded() -> None:
    (loss, number), pull = ag.vjp(lambda x: (np.sum(x * x), np.sum(x).item()), X)
    assert (float(loss), number) == (4.25, 2.5)
    np.testing.assert_array_equal(pull((1.0, None))[0], 2 * X)


def test_values_are_read_outside_of_transforms_as_before() -> None:
    w = ag.Tensor(X, requires_grad=True)
    assert (w * 2).tolist() == [1, 4]
    assert w.sum().item() == 2.5
    ag.grad(lambda x: np.sum(x * w))(X)
    assert w.data[1] == 2
