"""Warnings are about the user's line, and tracebacks show it without the frames between."""

from __future__ import annotations

import re
import traceback
import unittest
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite.engine import recording
from autograd_lite.engine.table import TABLE


def leaf(*values: float) -> ag.Tensor:
    return ag.Tensor(values, requires_grad=True)


# What NumPy warns of, by way of an operator, a method, a ufunc, and a function written in others.
WARNED: dict[str, tuple[Callable[[], Any], str]] = {
    "a ufunc": (lambda: np.log(leaf(0.0)), "divide by zero encountered in log"),
    "a method": (lambda: leaf(1000.0).exp(), "overflow encountered in exp"),
    "an operator": (lambda: 1 / leaf(0.0), "divide by zero encountered in divide"),
    "not recorded": (lambda: np.sqrt(ag.Tensor([-1.0])), "invalid value encountered in sqrt"),
    "no array": (lambda: np.log(leaf(0.0)[0]), "divide by zero encountered in log"),
    "matrices": (lambda: leaf(1e308, 1e308) @ np.ones((2, 1)), "overflow encountered in matmul"),
}


@pytest.mark.parametrize("action", ["always", "default"])
@pytest.mark.parametrize("name", WARNED)
def test_numpys_warnings_are_about_the_users_line(name: str, action: Any) -> None:
    compute, message = WARNED[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter(action)
        compute()
    assert [(str(w.message), w.category, w.filename) for w in caught] == [
        (message, RuntimeWarning, __file__)
    ]
    assert caught[0].lineno == compute.__code__.co_firstlineno


def test_each_line_is_warned_of_once() -> None:
    zero = leaf(0.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            np.log(zero)
            np.log(zero)
    start = test_each_line_is_warned_of_once.__code__.co_firstlineno
    assert [w.lineno - start for w in caught] == [5, 6]


def test_several_warnings_of_one_call_all_come() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        (leaf(1.0, 0.0) / np.zeros(2)).sum()
    assert [str(w.message) for w in caught] == [
        "divide by zero encountered in divide",
        "invalid value encountered in divide",
    ]


@pytest.mark.filterwarnings("error")
def test_a_warning_that_is_an_error_names_the_operation_and_stands_alone() -> None:
    with pytest.raises(RuntimeWarning, match=r"^divide by zero encountered in log") as caught:
        np.log(leaf(0.0))
    assert caught.value.__context__ is None
    assert caught.value.__notes__ == ["in np.log of shape (1,)"]


def test_an_errors_own_cause_stays() -> None:
    @ag.primitive(lambda g: g)
    def refusing(x: Any) -> Any:
        raise TypeError("not this") from KeyError("because")

    with pytest.raises(TypeError, match=r"refusing of shape .*: not this") as caught:
        refusing(leaf(1.0))
    assert isinstance(caught.value.__cause__, KeyError)


def test_what_a_users_function_warns_of_its_caller_is_about_the_users_line() -> None:
    @ag.primitive(lambda g: g)
    def careful(x: Any) -> Any:
        warnings.warn("not quite", stacklevel=2)
        return x + 0

    def user() -> Any:
        return careful(leaf(1.0))

    with pytest.warns(UserWarning, match="^not quite$") as caught:
        assert user().requires_grad
    assert caught[0].filename == __file__
    assert caught[0].lineno == user.__code__.co_firstlineno + 1


def test_a_formula_may_warn_of_its_caller() -> None:
    def function(x: Any) -> Any:
        return x

    @ag.composite(function)
    def formula(x: Any) -> Any:
        warnings.warn("not quite", stacklevel=2)
        return 2 * x

    with pytest.warns(UserWarning, match="^not quite$"):
        recording.call(function, (leaf(1.0),))
    del TABLE[function]


def test_the_users_errstate_holds() -> None:
    zero, told = leaf(0.0), []
    with np.errstate(divide="ignore"):
        np.log(zero)
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError, match="divide by zero"):
        np.log(zero)
    with np.errstate(divide="call", call=lambda kind, flags: told.append(kind)):
        np.log(zero)
    assert told == ["divide by zero"]
    assert np.geterr()["divide"] == "warn"


def test_the_users_callback_is_told_beside_a_warning() -> None:
    told: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with np.errstate(invalid="call", call=lambda kind, flags: told.append(kind)):
            leaf(1.0, 0.0) / np.zeros(2)
    assert [str(w.message) for w in caught] == ["divide by zero encountered in divide"]
    assert told == ["invalid value"]


def test_a_unittest_sees_the_warnings() -> None:
    warnings.simplefilter("ignore", DeprecationWarning)  # of modules, which it asks all
    case = unittest.TestCase()
    for _ in range(2):  # it empties all registries of warnings when it begins
        with case.assertWarns(RuntimeWarning) as caught:
            np.log(leaf(0.0))
        assert caught.filename == __file__


def test_a_ufunc_that_refuses_its_arguments_says_so() -> None:
    with pytest.raises(TypeError, match=r"^np.ldexp of shape \(1,\): ufunc 'ldexp' not supported"):
        np.ldexp(leaf(1.0), 0.5)


class Scaled(ag.nn.Module):
    """A module of a user's own, between those of the package."""

    def __init__(self) -> None:
        self.inner = ag.nn.Linear(3, 2, rng=np.random.default_rng(0))

    def forward(self, x: Any) -> Any:
        return self.inner(2 * x)


def total(x: Any) -> Any:
    return np.sum(x + np.ones(3))


MATRIX = ag.Tensor(np.ones((2, 2)), requires_grad=True)
# What goes wrong, and the functions of the user's that tracebacks must still show.
WRONG: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "operator": (lambda: MATRIX + np.ones(3), []),
    "method": (lambda: MATRIX.reshape(3), []),
    "method with an unknown argument": (lambda: MATRIX.sum(where=False), []),
    "NumPy function": (lambda: np.sum(MATRIX, axis=7), []),
    "formula": (lambda: np.stack([MATRIX, np.ones(3)]), []),
    "function without a rule": (lambda: np.polyfit(MATRIX, [1.0, 2.0], 1), []),
    "index": (lambda: MATRIX[7], []),
    "loss": (lambda: ag.cross_entropy(MATRIX, [0, 7]), []),
    "backward": (lambda: MATRIX.backward(), []),
    "module": (lambda: ag.nn.Sequential(Scaled())(np.ones((1, 7))), ["forward"]),
    "transform": (lambda: ag.grad(np.exp)(np.ones(3)), []),
    "function in a transform": (lambda: ag.grad(total)(np.ones(2)), ["total"]),
    "function in a Hessian": (lambda: ag.hessian(total)(np.ones(2)), ["total"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_traceback_shows_the_users_lines_and_where_it_was_raised(name: str) -> None:
    compute, own = WRONG[name]
    with pytest.raises((ValueError, TypeError, IndexError)) as caught:
        compute()
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    seen = [f for f in frames[2:-1] if not f.f_locals.get("__tracebackhide__")]
    assert [frame.f_code.co_name for frame in seen] == own
    assert len(frames) > 2  # or there was nothing to hide


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_scipys_functions_that_there_are_here_are_named(name: str) -> None:
    special = pytest.importorskip("scipy.special")
    message = (
        f"scipy.special.{name} of a tensor that requires a gradient would lose its derivative; "
        f"use ag.{name}, or tensor.data if the values alone are meant"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        getattr(special, name)(MATRIX)


@pytest.mark.parametrize("name", ["plot", "hist", "imshow", "matshow", "pcolormesh"])
@pytest.mark.parametrize("tensor", [MATRIX, MATRIX * 1], ids=["leaf", "result"])
def test_plotting_says_what_to_plot(name: str, tensor: ag.Tensor) -> None:
    figure = pytest.importorskip("matplotlib.figure")
    axes = figure.Figure().add_subplot()
    message = (
        f"plt.{name} of a tensor that requires a gradient would lose its derivative; "
        f"plot its values, tensor.data"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$") as caught:
        getattr(axes, name)(tensor)
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert [f for f in frames[1:-1] if not f.f_locals.get("__tracebackhide__")] == []
    getattr(axes, name)(tensor.data)
