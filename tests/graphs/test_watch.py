"""find_nonfinite names the operation at which a nan or inf is born."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite.engine.modes import mode
from autograd_lite.graphs import NonfiniteError


def leaf(*values: float, dtype: Any = float) -> ag.Tensor:
    return ag.Tensor(values, requires_grad=True, dtype=dtype)


def backward(y: ag.Tensor) -> None:
    np.sum(y).backward()


# What is done, the operation that must be named, the cell and an operand, a word of the cure.
FORWARD: list[tuple[str, Callable[[], Any], str, str, str, str]] = [
    ("log of a negative", lambda: np.log(leaf(1, -1)), "np.log", "nan at [1]", "x = -1", "maximum"),
    ("log of zero", lambda: np.log(leaf(0, 1)), "np.log", "-inf at [0]", "x = 0", "log_softmax"),
    ("log2 of zero", lambda: np.log2(leaf(0)), "np.log2", "-inf", "x = 0", "positive"),
    ("log10", lambda: np.log10(leaf(-2)), "np.log10", "nan", "x = -2", "positive"),
    ("log1p", lambda: np.log1p(leaf(-1)), "np.log1p", "-inf", "x = -1", "above -1"),
    ("sqrt", lambda: np.sqrt(leaf(4, -4)), "np.sqrt", "nan at [1]", "x = -4", "maximum(x, 0)"),
    ("exp overflow", lambda: np.exp(leaf(1000)), "np.exp", "inf", "x = 1000", "logsumexp"),
    ("exp2 overflow", lambda: np.exp2(leaf(2000)), "np.exp2", "inf", "x = 2000", "softmax"),
    ("sinh overflow", lambda: np.sinh(leaf(-800)), "np.sinh", "-inf", "x = -800", "largest"),
    (
        "float32 exp",
        lambda: np.exp(leaf(89, dtype=np.float32)),
        "np.exp",
        "inf at [0]",
        "x = 89",
        "Subtract",
    ),
    ("0 / 0", lambda: leaf(0) / leaf(0), "np.divide", "nan", "x = 0, y = 0", "np.where(y == 0"),
    ("1 / 0", lambda: 1 / leaf(2, 0), "np.divide", "inf at [1]", "x = 1, y = 0", "denominator"),
    ("reciprocal", lambda: np.reciprocal(leaf(0)), "np.reciprocal", "inf", "x = 0", "denominator"),
    ("x ** -1", lambda: leaf(0) ** -1.0, "np.power", "inf", "x = 0, y = -1", "base"),
    ("a root by power", lambda: leaf(-8) ** 0.5, "np.power", "nan", "x = -8", "above 0"),
    ("power overflow", lambda: leaf(1e200) ** 2, "np.power", "inf", "x = 1e+200, y = 2", "range"),
    ("arcsin", lambda: np.arcsin(leaf(1.5)), "np.arcsin", "nan", "x = 1.5", "np.clip"),
    ("arccos", lambda: np.arccos(leaf(-1.5)), "np.arccos", "nan", "x = -1.5", "np.clip"),
    ("arccosh", lambda: np.arccosh(leaf(0.5)), "np.arccosh", "nan", "x = 0.5", "np.clip"),
    ("arctanh", lambda: np.arctanh(leaf(1)), "np.arctanh", "inf", "x = 1", "np.clip"),
    ("multiply", lambda: leaf(1e200) * leaf(1e200), "np.multiply", "inf", "1e+200", "scale"),
    ("square", lambda: np.square(leaf(1e200)), "np.square", "inf", "1e+200", "scale"),
    (
        "sum in float16",
        lambda: np.sum(leaf(6e4, 6e4, dtype=np.float16)),
        "np.sum",
        "inf",
        "6e+04",
        "wider dtype",
    ),
    (
        "a cell of a product of matrices",
        lambda: leaf(1, 1).reshape(2, 1) @ leaf(1, 1e200).reshape(1, 2) * 1.0 @ leaf(0, 1e200),
        "np.matmul",
        "inf at [0]",
        "(2,)",
        "scale",
    ),
    ("prod", lambda: np.prod(leaf(1e200, 1e200)), "np.prod", "inf", "= 1e+200", "scale"),
    (
        "by broadcasting",
        lambda: leaf(1, 2).reshape(2, 1) / leaf(3, 0, 1),
        "np.divide",
        "inf at [0, 1]",
        "x = 1, y = 0",
        "denominator",
    ),
    (
        "chained: the first, not the loudest",
        lambda: np.sum(np.exp(np.log(leaf(2, -3)) * 2.0) / 0.5),
        "np.log",
        "nan at [1]",
        "x = -3",
        "positive",
    ),
    (
        "inside where, the branch not taken",
        lambda: np.where(np.array([True, False]), np.sqrt(leaf(1, -1)), 0.0),
        "np.sqrt",
        "nan at [1]",
        "x = -1",
        "maximum",
    ),
    (
        "without a gradient",
        lambda: np.log(ag.Tensor([0.0])) * leaf(1),
        "np.log",
        "-inf at [0]",
        "x = 0",
        "positive",
    ),
    (
        "in a softmax by hand",
        lambda: np.exp(leaf(800, 1)) / np.sum(np.exp(leaf(800, 1))),
        "np.exp",
        "inf at [0]",
        "x = 800",
        "ag.softmax",
    ),
    (
        "in a transform",
        lambda: ag.grad(lambda x: np.sum(np.log(x)))(np.array([1.0, 0.0])),
        "np.log",
        "-inf at [1]",
        "x = 0",
        "positive",
    ),
]
x0 = np.array([4.0, 0.0])
BACKWARD: list[tuple[str, Callable[[], Any], str, str, str, str]] = [
    (
        "sqrt at 0",
        lambda: backward(np.sqrt(leaf(4, 0))),
        "np.sqrt",
        "inf at [1]",
        "ans = 0",
        "1e-12",
    ),
    ("cbrt at 0", lambda: backward(np.cbrt(leaf(0))), "np.cbrt", "inf", "ans = 0", "np.cbrt(x +"),
    ("x ** 0.5", lambda: backward(leaf(0) ** 0.5), "np.power", "inf", "x = 0, y = 0.5", "below 1"),
    ("arcsin at 1", lambda: backward(np.arcsin(leaf(1))), "np.arcsin", "inf", "x = 1", "edge"),
    ("arccos at -1", lambda: backward(np.arccos(leaf(-1))), "np.arccos", "-inf", "x = -1", "edge"),
    ("arccosh", lambda: backward(np.arccosh(leaf(1))), "np.arccosh", "inf", "x = 1", "edge"),
    (
        "chained",
        lambda: backward(np.exp(np.sqrt(np.sum(leaf(0, 0) ** 2) * 1.0) * 2.0)),
        "np.sqrt",
        "inf",
        "g = 2, ans = 0",
        "under the root",
    ),
    (
        "the branch that where takes",
        lambda: backward(np.where(x0 >= 0, np.sqrt(leaf(*x0)), 0.0)),
        "np.sqrt",
        "inf at [1]",
        "g = 1, ans = 0",
        "1e-12",
    ),
    (
        "a cotangent that overflows",
        lambda: backward(leaf(1e-200) * 1e200 * 1e200),
        "np.multiply",
        "inf at [0]",
        "g = 1e+200",
        "scale",
    ),
    (
        "small divisor",
        lambda: backward(1e-10 / leaf(1e-170)),
        "np.divide",
        "-inf",
        "y = 1e-170",
        "denominator",
    ),
    (
        "0 times inf without where",
        lambda: backward(np.sqrt(leaf(0)) * 0.0),
        "np.sqrt",
        "nan",
        "g = 0, ans = 0",
        "infinite at 0",
    ),
    (
        "recorded derivatives",
        lambda: np.sum(np.sqrt(leaf(0))).backward(create_graph=True),
        "np.sqrt",
        "inf",
        "ans = 0",
        "under the root",
    ),
    (
        "second derivatives",
        lambda: ag.grad(ag.grad(lambda x: x**1.5))(0.0),
        "np.power",
        "inf",
        "x = 0, y = 0.5",
        "infinite slope",
    ),
    (
        "a standard deviation by hand",
        lambda: backward(np.sqrt(np.mean((leaf(3, 3) - 3.0) ** 2.0))),
        "np.sqrt",
        "inf",
        "ans = 0",
        "under the root",
    ),
]
IDS = [case[0] for case in FORWARD]


def message(action: Callable[[], Any]) -> str:
    with (
        np.errstate(all="ignore"),
        pytest.raises(NonfiniteError) as caught,
        ag.find_nonfinite(),
    ):
        action()
    assert mode.get().observers == ()
    return str(caught.value)


def test_there_are_enough_cases() -> None:
    assert len(FORWARD) + len(BACKWARD) >= 45


@pytest.mark.parametrize(
    ("action", "function", "cell", "operand", "cure"), [c[1:] for c in FORWARD], ids=IDS
)
def test_forward(
    action: Callable[[], Any], function: str, cell: str, operand: str, cure: str
) -> None:
    text = message(action)
    said, _, advice = text.partition("; ")
    assert said.startswith(f"{function}: the result is {cell}")
    assert operand in said.partition(", from ")[2]
    assert cure in advice
    assert f"{__file__}, line {action.__code__.co_firstlineno}." in text


@pytest.mark.parametrize(
    ("action", "function", "cell", "operand", "cure"),
    [c[1:] for c in BACKWARD],
    ids=[c[0] for c in BACKWARD],
)
def test_backward(
    action: Callable[[], Any], function: str, cell: str, operand: str, cure: str
) -> None:
    text = message(action)
    said, _, advice = text.partition("; ")
    assert re.match(rf"{re.escape(function)}, backward: the cotangent of \w+ is ", said)
    assert cell in said.partition(", from ")[0]
    assert operand in said.partition(", from ")[2]
    assert ", by the rule " in said
    assert cure in advice
    assert __file__ in text


@pytest.mark.parametrize(
    "action",
    [
        lambda: backward(np.where(x0 > 0, np.sqrt(leaf(*x0)), 0.0)),
        lambda: backward(np.where(x0 > 0, 1 / np.where(x0 > 0, leaf(*x0), 1.0), 0.0)),
        lambda: backward(np.exp(-leaf(np.inf, 1.0))),
        lambda: backward(np.exp(leaf(-np.inf, 1.0))),
        lambda: backward(np.exp(np.where(x0 > 0, -np.inf, leaf(*x0)))),
        lambda: np.where(x0 > 0, np.nan, leaf(*x0)),
        lambda: ag.cross_entropy(
            np.array([[np.nan], [1.0]]) * leaf(1, 2), [7, 0], ignore_index=7
        ).backward(),
        lambda: ag.cross_entropy(leaf(0, -np.inf), 0).backward(),
        lambda: ag.cross_entropy(leaf(1000, -1000), 1).backward(),
        lambda: np.linalg.norm(leaf(0, 0)).backward(),
        lambda: np.log(np.zeros(1)),  # no tensor
    ],
)
def test_what_is_well_or_was_not_finite_before_passes(action: Callable[[], Any]) -> None:
    with np.errstate(all="ignore"), ag.find_nonfinite():
        action()


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (
            lambda: backward(leaf(np.inf, 1.0) * 2.0),
            "np.multiply: the result is inf at [0], from x = inf, y = 2; {}. The inf was in x",
        ),
        (
            lambda: backward(np.where(x0 > 0, -np.inf, leaf(*x0))),
            "np.where: the result is -inf at [0], from condition of shape (2,) between 0 and 1, "
            "x = -inf, y of shape (2,) between 0 and 4; {}. The inf was in x",
        ),
        (
            lambda: backward(np.exp(leaf(1, 2)) * np.array([np.nan, 1.0])),
            "np.multiply: the result is nan at [0], from x = 2.718, y = nan; {}. The nan was in y",
        ),
        (
            lambda: ag.no_grad()(np.sum)(np.log(leaf(np.nan, 1.0)) * 2.0),
            "np.log: the result is nan at [0], from x = nan; {}. The nan was in x",
        ),
        (
            lambda: backward(leaf(1, 2) * np.array([-np.inf, 0.0]) + np.array([0.0, np.nan])),
            "np.add: the result is nan at [1], from x = 0, y = nan; {}. The nan was in y",
        ),
    ],
)
def test_what_the_data_hold_is_named_where_it_is_read(action: Any, said: str) -> None:
    place = f"{__file__}, line {action.__code__.co_firstlineno}"
    text = message(action)
    assert text.startswith(said.format(place))
    assert text.endswith(" before: in the data, or computed outside find_nonfinite.")


def test_a_graph_made_outside_is_watched_on_its_way_back() -> None:
    y = np.sum(np.sqrt(leaf(0)))
    text = message(y.backward)
    assert "computed outside find_nonfinite" in text
    y.backward()  # outside, nothing is watched


def test_a_cotangent_that_is_not_finite_is_nobodys_fault() -> None:
    x = leaf(1, 2)
    with ag.find_nonfinite():
        (x * 2.0).backward(np.array([np.inf, 1.0]))
    assert x.grad.tolist() == [np.inf, 2]


def test_of_several_births_the_first_is_named() -> None:
    y = np.sum(np.sqrt(leaf(0)))
    assert message((y + np.sum(np.cbrt(leaf(0)))).backward).startswith("np.cbrt, backward")


def test_no_gradient_is_stored_when_it_raises() -> None:
    x = leaf(0, 1)
    y = np.sum(np.sqrt(x))
    message(y.backward)
    assert x.grad is None


def test_it_works_beside_recording_and_other_threads_are_left_alone() -> None:
    with np.errstate(all="ignore"), ag.recording():
        x = leaf(*np.ones(1000))
        with ag.find_nonfinite():
            y = np.exp(x)
            other = threading.Thread(target=lambda: np.log(leaf(1)))
            other.start()
            other.join()
            with pytest.raises(NonfiniteError, match=r"np.log: the result is nan at \[0\]"):
                np.log(y - 100.0)
        assert np.isnan(np.log(leaf(-1)).data)
    assert ag.graph(np.sum(y)).nodes[1].value.mean == pytest.approx(np.e)


def test_it_can_be_entered_again_after_an_error() -> None:
    for _ in range(2):
        assert message(lambda: np.log(leaf(0))).startswith("np.log")
        assert message(lambda: backward(np.sqrt(leaf(0)))).startswith("np.sqrt, backward")


def test_it_goes_on_watching_after_a_pullback_that_failed() -> None:
    x = np.ones(2)
    loss = np.sum(leaf(1, 2) * x)
    x[0] = 5
    with ag.find_nonfinite(), np.errstate(all="ignore"):
        with pytest.raises(RuntimeError, match="was changed"):
            loss.backward()
        with pytest.raises(NonfiniteError, match=r"np\.log"):
            np.log(leaf(0))


def test_what_is_not_recorded_is_watched_too() -> None:
    x = leaf(2, -1)

    def no_gradient() -> Any:
        with ag.no_grad():
            return np.log(x)

    line = no_gradient.__code__.co_firstlineno + 2
    assert message(no_gradient).startswith("np.log: the result is nan at [1], from x = -1; ")
    assert f"{__file__}, line {line}." in message(no_gradient)
    assert message(lambda: ag.no_grad()(ag.grad(lambda x: np.log(x)))(0.0)).startswith("np.log")
    large = leaf(1e200, 1e200)
    product = message(lambda: ag.no_grad()(np.einsum)("i,i->", large, large))
    assert "from operands[1] = 1e+200, operands[2] = 1e+200; " in product
    with ag.find_nonfinite(), ag.no_grad():
        assert not np.exp(x).requires_grad  # it is watched, not recorded


def test_a_nan_is_found_in_evaluation() -> None:
    model = ag.nn.Sequential(ag.nn.Linear(2, 2, rng=np.random.default_rng(0)), np.sqrt)
    data = [(np.array([[1.0, 2.0], [-30.0, -40.0]], np.float32), np.array([0, 1]))]
    assert "np.sqrt: the result is nan" in message(
        lambda: ag.evaluate(model, ag.cross_entropy, data)
    )
