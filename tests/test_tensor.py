"""The tensor: attributes, operators from either side, methods, and what it refuses."""

from __future__ import annotations

import math
import operator
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite.engine.table import TABLE


def _variable(*values: Any, name: str | None = None) -> ag.Tensor:
    return ag.Tensor(list(values) or [1.0, 2.0, 3.0], requires_grad=True, dtype=float, name=name)


# ---------------------------------------------------------------------------- attributes


def test_attributes() -> None:
    t = ag.Tensor([[1, 2, 3]], requires_grad=True, dtype=np.float32, name="weights")
    assert (t.shape, t.ndim, t.size, t.dtype, t.nbytes) == ((1, 3), 2, 3, np.float32, 12)
    assert t.requires_grad
    assert t.is_leaf
    assert t.name == "weights"
    assert t.grad is None
    assert t.T.shape == (3, 1)
    assert len(t) == 1
    assert t.tolist() == [[1, 2, 3]]
    assert repr(t) == ("Tensor([[1., 2., 3.]], dtype=float32, requires_grad=True, name='weights')")


def test_data_is_copied() -> None:
    values = np.ones(3)
    t = ag.Tensor(values)
    values[0] = 7
    np.testing.assert_array_equal(t.data, 1)


def test_data_is_replaced_by_a_copy() -> None:
    t = _variable()
    values = np.zeros(3)
    t.data = values
    values[0] = 7
    np.testing.assert_array_equal(t.data, 0)
    t.data[1] = 5
    np.testing.assert_array_equal(t.data, [0, 5, 0])


def test_a_leaf_that_an_update_made_a_result_is_warned_of_where_its_grad_is_read() -> None:
    def train(W: Any) -> None:
        for _ in range(2):
            np.sum(W * W).backward()
            W = W - 0.1 * W.grad

    message = (
        "Tensor.grad of a result (of np.subtract) is always None: backward stores the gradients of "
        "leaves alone; update a leaf W by `W.data -= rate * W.grad` or an optimiser, so that it "
        "stays one; ag.graph(loss, grads=True) shows the gradients of results"
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(message)}$") as caught:
        with pytest.raises(TypeError, match="NoneType"):
            train(_variable())
    assert [(w.filename, w.lineno) for w in caught] == [
        (__file__, train.__code__.co_firstlineno + 3)
    ]


def test_the_grad_of_one_of_several_results_names_their_function() -> None:
    first, _ = np.split(ag.Tensor(np.ones(4), requires_grad=True), 2)
    with pytest.warns(UserWarning, match=r"^Tensor.grad of a result \(of np.split\)"):
        assert first.grad is None


def test_what_does_not_require_a_gradient_has_none_without_a_word() -> None:
    assert ag.Tensor([1.0]).grad is None
    assert (_variable() * 2).detach().grad is None


def test_result_is_no_leaf() -> None:
    t = _variable()
    y = t * 2
    assert y.requires_grad
    assert not y.is_leaf
    with pytest.warns(UserWarning, match="Tensor.grad of a result") as caught:
        assert y.grad is None
    assert caught[0].filename == __file__
    assert not y.detach().requires_grad
    assert ag.Tensor(y.detach()).is_leaf


def test_item_and_formatting() -> None:
    t = _variable(2.5)
    assert t.item() == 2.5
    assert f"{np.sum(t):.2f}" == "2.50"
    assert f"{t}" == repr(t)


def test_untracked_tensor_is_an_array_to_numpy() -> None:
    t = ag.Tensor([1.0, 2.0])
    assert type(np.asarray(t)) is np.ndarray
    assert float(np.sum(t)) == 3.0
    assert not np.exp(t).requires_grad


def test_comparisons_give_plain_arrays() -> None:
    t = _variable()
    for result in (t < 2, t <= 2, t > 2, t >= 2, t == 2, t != 2, np.isnan(t), np.argmax(t)):
        assert not isinstance(result, ag.Tensor)
    np.testing.assert_array_equal(t == t, True)
    assert np.shape(t) == (3,)
    assert np.ndim(t) == 1
    assert t.argmax() == 2


def test_iteration_and_unpacking() -> None:
    t = _variable()
    a, b, c = t
    (a * b + c).backward()
    np.testing.assert_array_equal(t.grad, [2, 1, 1])


# ---------------------------------------------------------------------------- operators

BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
    "%": operator.mod,
    "//": operator.floordiv,
}
OTHERS: dict[str, Callable[[], Any]] = {
    "int": lambda: 2,
    "float": lambda: 2.5,
    "np.float64": lambda: np.float64(2.5),
    "0-d array": lambda: np.array(2.5),
    "array": lambda: np.array([1.5, 2.5, 0.5]),
    "integer array": lambda: np.array([3, 2, 1]),
    "row": lambda: np.array([[1.5, 2.5, 0.5]]),
    "untracked tensor": lambda: ag.Tensor([1.5, 2.5, 0.5]),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("symbol", BINARY)
def test_operators_from_either_side(symbol: str, kind: str) -> None:
    operate, other = BINARY[symbol], OTHERS[kind]()
    plain = np.asarray(other)
    for compute in (lambda x, o: operate(x, o), lambda x, o: operate(o, x)):
        t = _variable()
        result = compute(t, other)
        assert type(result) is ag.Tensor
        np.testing.assert_array_equal(result.data, compute(t.data, plain))
        assert result.dtype == compute(t.data, plain).dtype
        result.backward(np.ones(result.shape))
        h = 1e-150
        if symbol in "%//":
            continue  # no complex step for these; the generated tests have them
        expected = np.imag(compute(t.data + 1j * h, plain)) / h
        np.testing.assert_allclose(t.grad, expected.reshape(3), rtol=1e-13)


MATRICES = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((4, 3), (3, 2)),
    ((5, 4, 3), (3, 2)),
    ((3,), (5, 3, 2)),
]


@pytest.mark.parametrize(("left", "right"), MATRICES)
def test_matmul_from_either_side(left: Any, right: Any) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=left), rng.normal(size=right)
    x, y = ag.Tensor(a, requires_grad=True), ag.Tensor(b, requires_grad=True)
    for result, used in ((x @ b, x), (a @ y, y), (x @ y, x)):
        assert type(result) is ag.Tensor
        np.testing.assert_array_equal(result.data, a @ b)
        used.zero_grad()
        result.backward(np.ones(result.shape))
        v = rng.normal(size=used.shape)
        moved = (v @ b) if used is x else (a @ v)
        np.testing.assert_allclose(np.sum(used.grad * v), np.sum(moved), rtol=1e-12)


def test_unary_operators() -> None:
    t = _variable(-1.0, 2.0)
    np.testing.assert_array_equal((-t).data, [1, -2])
    np.testing.assert_array_equal((+t).data, [-1, 2])
    np.testing.assert_array_equal(abs(t).data, [1, 2])
    np.sum(-t + +t + abs(t)).backward()
    np.testing.assert_array_equal(t.grad, [-1, 1])


def test_array_on_the_left_of_an_in_place_operator_is_refused() -> None:
    total = np.zeros(3)
    for operate in (operator.iadd, operator.imul, operator.isub, operator.itruediv):
        with pytest.raises(TypeError, match=r"out= \(or an in-place operator on an array\)"):
            operate(total, _variable())
    np.testing.assert_array_equal(total, 0)


def test_in_place_operators_on_results_rebind() -> None:
    t = _variable()
    y = z = t * 1.0
    y += 1
    y *= t
    assert y is not z
    np.testing.assert_array_equal(z.data, t.data)
    np.sum(y).backward()
    np.testing.assert_array_equal(t.grad, 2 * t.data + 1)


# ---------------------------------------------------------------------------- methods

METHODS: dict[str, Callable[[Any], Any]] = {
    "sum": lambda t: t.sum(),
    "sum axis": lambda t: t.sum(axis=0),
    "sum keepdims": lambda t: t.sum(1, keepdims=True),
    "mean": lambda t: t.mean(-1),
    "max": lambda t: t.max(axis=1),
    "min": lambda t: t.min(),
    "prod": lambda t: t.prod(axis=0),
    "cumsum": lambda t: t.cumsum(axis=1),
    "var": lambda t: t.var(ddof=1),
    "std": lambda t: t.std(axis=1),
    "reshape": lambda t: t.reshape(3, 2),
    "reshape tuple": lambda t: t.reshape((6,)),
    "reshape -1": lambda t: t.reshape(-1),
    "ravel": lambda t: t.ravel(),
    "flatten": lambda t: t.flatten(),
    "transpose": lambda t: t.transpose(),
    "transpose axes": lambda t: t.transpose(1, 0),
    "transpose tuple": lambda t: t.transpose((1, 0)),
    "T": lambda t: t.T,
    "swapaxes": lambda t: t.swapaxes(0, 1),
    "squeeze": lambda t: t[:, :1].squeeze(axis=1),
    "clip": lambda t: t.clip(1.5, 4.5),
    "dot": lambda t: t.dot(np.arange(3.0)),
    "diagonal": lambda t: t.diagonal(),
    "trace": lambda t: t.trace(),
    "repeat": lambda t: t.repeat(2, axis=0),
    "take": lambda t: t.take([0, 1, 1], axis=1),
    "round": lambda t: t.round(),
    "astype": lambda t: t.astype(np.float32),
    "copy": lambda t: t.copy(),
    "indexing": lambda t: t[1, ::2],
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_those_of_arrays(name: str) -> None:
    t = ag.Tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 7.0]], requires_grad=True)
    result = METHODS[name](t)
    expected = METHODS[name](t.data)
    assert type(result) is ag.Tensor
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result.data, expected)
    result.backward(np.ones(result.shape, result.dtype))
    assert t.grad.shape == t.shape


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "tanh", "abs"])
def test_methods_that_arrays_do_not_have(name: str) -> None:
    t = _variable()
    np.testing.assert_array_equal(getattr(t, name)().data, getattr(np, name)(t.data))


def test_every_method_of_arrays_that_the_table_covers() -> None:
    in_place = {"partition", "resize", "sort"}  # and so unlike the functions of their names
    attributes = {"imag", "real"}
    matrix = np.ones((1, 1))  # whose ptp is listed, and gone, in NumPy 2.0
    methods = {name for name in dir(matrix) if hasattr(matrix, name)}
    covered = {name for name in methods if getattr(np, name, None) in TABLE}
    missing = {name for name in covered - in_place - attributes if not hasattr(ag.Tensor, name)}
    assert not missing


# ---------------------------------------------------------------------------- gradients


def test_backward_adds_up() -> None:
    t = _variable()
    loss = np.sum(t * t)
    loss.backward()
    loss.backward()
    np.testing.assert_array_equal(t.grad, 4 * t.data)
    t.zero_grad()
    assert t.grad is None
    loss.backward()
    np.testing.assert_array_equal(t.grad, 2 * t.data)


def test_backward_with_a_gradient() -> None:
    t = _variable()
    (t * t).backward([1.0, 0.0, -1.0])
    np.testing.assert_array_equal(t.grad, [2, 0, -6])


def test_create_graph() -> None:
    t = _variable()
    np.sum(t**3).backward(create_graph=True)
    first = t.grad
    assert isinstance(first, ag.Tensor)
    t.zero_grad()
    np.sum(first).backward()
    np.testing.assert_array_equal(t.grad, 6 * t.data)


def test_gradients_are_owned() -> None:
    a, b = _variable(), _variable()
    g = np.ones(3)
    (a + b).backward(g)
    assert not np.shares_memory(a.grad, b.grad)
    assert not np.shares_memory(a.grad, g)
    a.grad[:] = 7
    np.testing.assert_array_equal(b.grad, 1)
    np.testing.assert_array_equal(g, 1)


def test_leaf_as_its_own_output() -> None:
    t = _variable()
    t.backward([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(t.grad, [1, 2, 3])


def test_shared_subexpressions_count_once_each() -> None:
    x = _variable(2.0)
    y = x * x
    z = y * y + y  # a diamond
    np.sum(z).backward()
    np.testing.assert_array_equal(x.grad, [4 * 8 + 4])


def test_equal_values_are_not_the_same_variable() -> None:
    a, b = _variable(1.0), _variable(1.0)
    np.sum(a * b + a).backward()
    np.testing.assert_array_equal(a.grad, [2])
    np.testing.assert_array_equal(b.grad, [1])


def test_grad_can_be_assigned() -> None:
    t = _variable()
    t.grad = np.zeros(3)
    np.sum(t).backward()
    np.testing.assert_array_equal(t.grad, 1)
    with pytest.raises(ValueError, match=re.escape("Tensor.grad: expected shape (3,), got (2,)")):
        t.grad = np.zeros(2)
    with pytest.raises(ValueError, match="only a leaf with requires_grad=True has a gradient"):
        (t * 2).grad = np.zeros(3)


def test_requires_grad_can_be_switched() -> None:
    t = ag.Tensor([1.0])
    t.requires_grad = True
    np.sum(t * t).backward()
    assert t.grad == [2]
    t.requires_grad = False
    assert not (t * t).requires_grad


@pytest.mark.parametrize("again", [False, True], ids=["off", "off and on"])
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", [None, "w"])
def test_a_leaf_switched_off_after_the_loss_refuses_backward(again, create_graph, name) -> None:
    t, u = ag.Tensor([1.0, 2.0], True, name=name), ag.Tensor([3.0, 4.0], True)
    loss = np.sum(t * t * u)
    t.requires_grad = False
    called = "named 'w' " if name else ""
    with pytest.raises(RuntimeError) as caught:
        loss.backward(create_graph=create_graph)
    assert str(caught.value) == (
        f"Tensor.backward: requires_grad of the leaf of shape (2,) {called}was switched off after "
        f"the call that read it, so that its gradient would be lost; switch it on again, or "
        f"compute the loss again"
    )
    t.requires_grad = again
    assert t.grad is None
    assert u.grad is None  # nothing is stored when it raises
    np.sum(t * t * u).backward(create_graph=create_graph)
    np.testing.assert_array_equal(u.grad.data if create_graph else u.grad, [1, 4])
    assert (t.grad is not None) == again


def test_switching_requires_grad_off_and_on_keeps_the_gradient() -> None:
    t = ag.Tensor([1.0, 2.0], requires_grad=True)
    np.sum(t * t).backward()
    t.requires_grad = True  # no change
    np.testing.assert_array_equal(t.grad, [2, 4])
    t.requires_grad = False
    assert t.grad is None
    t.requires_grad = True
    np.testing.assert_array_equal(t.grad, [2, 4])
    assert "both are as before" in str(ag.Tensor.requires_grad.__doc__)


def test_no_grad_records_nothing() -> None:
    t = _variable()
    with ag.no_grad():
        assert not (t * t).requires_grad
        t -= 1.0
    np.testing.assert_array_equal(t.data, [0, 1, 2])
    assert (t * t).requires_grad

    @ag.no_grad()
    def predict(x: Any) -> Any:
        """Predict."""
        return x * 2

    assert not predict(t).requires_grad
    assert predict.__doc__ == "Predict."


# ---------------------------------------------------------------------------- what is refused


@pytest.fixture
def _gradients_untouched() -> Iterator[list[ag.Tensor]]:
    """Two variables with gradients that the test must leave as they are."""
    variables = [_variable(1.0, 2.0, 3.0), _variable(4.0, 5.0, 6.0)]
    before = []
    for t in variables:
        np.sum(t * t).backward()
        before.append((t.grad, t.grad.copy(), t.data.copy()))
    yield variables
    for t, (grad, values, data) in zip(variables, before):
        assert t.grad is grad
        np.testing.assert_array_equal(t.grad, values)
        np.testing.assert_array_equal(t.data, data)
    assert (variables[0] * 2).requires_grad  # still recording


def _assign(t: Any) -> None:
    t[0] = 1.0


def _assign_slice(t: Any) -> None:
    t[1:] *= 2


def _unknown(x: Any) -> Any:
    return x


REFUSED: dict[str, tuple[Callable[[Any, Any], Any], type[Exception], str]] = {
    "np.asarray": (
        lambda t, u: np.asarray(t),
        TypeError,
        "np.asarray or np.array of a tensor that requires a gradient would lose its derivative; "
        "use tensor.data if that is meant",
    ),
    "np.array of tensors": (lambda t, u: np.array([t, u]), TypeError, "np.stack([t, 2.0, u]) in"),
    "np.asarray of a result": (
        lambda t, u: np.asarray(t * u),
        TypeError,
        "would lose its derivative",
    ),
    "filling an array": (
        lambda t, u: np.zeros(3).__setitem__(slice(None), t),
        TypeError,
        "np.stack([t, 2.0, u]) in place of np.array([t, 2.0, u]), np.block for nested lists, "
        "np.where in place of array[...] = tensor",
    ),
    "filling integers": (lambda t, u: np.zeros(3, int).__setitem__(0, t[0]), TypeError, "int() of"),
    "np.copyto": (
        lambda t, u: np.copyto(np.zeros(3), t),
        TypeError,
        "np.copyto writes into an array, which cannot hold a tensor's derivative; use "
        "np.where, np.stack or np.broadcast_to to build a new array, or tensor.data if no "
        "derivative is wanted",
    ),
    "np.put": (lambda t, u: np.put(np.zeros(3), [0], t[0]), TypeError, "np.put writes into"),
    "np.place": (
        lambda t, u: np.place(np.zeros(3), np.ones(3, bool), t),
        TypeError,
        "np.place writes into an array",
    ),
    "np.putmask": (
        lambda t, u: np.putmask(np.zeros(3), np.ones(3, bool), t),
        TypeError,
        "np.putmask writes into an array",
    ),
    "np.put_along_axis": (
        lambda t, u: np.put_along_axis(np.zeros(3), np.array([0]), t[0], 0),
        TypeError,
        "np.put_along_axis writes into an array",
    ),
    "np.fill_diagonal of a tensor": (
        lambda t, u: np.fill_diagonal(np.outer(t, u), 0.0),
        TypeError,
        "np.fill_diagonal writes into",
    ),
    "float": (
        lambda t, u: float(t[0]),
        TypeError,
        "float() of a tensor that requires a gradient would lose its derivative (math functions "
        "and array[i] = tensor call it too); use tensor.item() if that is meant, else np "
        "functions, and np.stack or np.where to build an array",
    ),
    "math.sin": (lambda t, u: math.sin(t[0]), TypeError, "float() of a tensor"),
    "int": (lambda t, u: int(t[0]), TypeError, "int() of a tensor"),
    "as an index": (lambda t, u: [1, 2][t[0]], TypeError, "operator.index() of a tensor"),
    "out=": (
        lambda t, u: np.exp(t, out=np.empty(3)),
        TypeError,
        "np.exp: out= (or an in-place operator on an array) cannot hold a tensor's result without "
        "losing its derivative; bind the result to a name instead",
    ),
    "out= of a reduction": (lambda t, u: np.sum(t, out=np.empty(())), TypeError, "np.sum: "),
    "out= a tensor": (lambda t, u: np.exp(np.ones(3), out=t), TypeError, "np.exp: out="),
    "where= of a ufunc": (
        lambda t, u: np.exp(t, where=np.array([True, False, True])),
        TypeError,
        "np.exp: no derivative rule covers where=; use np.where(condition, ...) in place of where=",
    ),
    "dtype= of a ufunc": (
        lambda t, u: np.add(t, u, dtype=np.float32),
        TypeError,
        "np.add: no derivative rule covers dtype=",
    ),
    ".at": (
        lambda t, u: np.add.at(np.zeros(3), [0, 1, 1], t),
        TypeError,
        "np.add.at of a tensor has no derivative rule",
    ),
    ".at on a tensor": (lambda t, u: np.add.at(t, [0], 1.0), TypeError, "np.add.at of a tensor"),
    ".accumulate": (lambda t, u: np.add.accumulate(t), TypeError, "np.add.accumulate of a tensor"),
    ".reduceat": (
        lambda t, u: np.add.reduceat(t, [0, 1]),
        TypeError,
        "np.add.reduceat of a tensor",
    ),
    ".reduce": (
        lambda t, u: np.logaddexp.reduce(t),
        TypeError,
        "np.logaddexp.reduce of a tensor has no derivative rule",
    ),
    ".outer": (lambda t, u: np.hypot.outer(t, u), TypeError, "np.hypot.outer of a tensor"),
    "item assignment": (
        lambda t, u: _assign(t),
        TypeError,
        "a tensor does not support item assignment, which would change values that rules need; "
        "use np.where, np.concatenate or np.stack to build a new one, or write to tensor.data",
    ),
    "item assignment in a result": (lambda t, u: _assign(t * u), TypeError, "item assignment"),
    "in-place operator on a slice": (lambda t, u: _assign_slice(t), TypeError, "item assignment"),
    "in-place operator on a leaf": (
        lambda t, u: operator.iadd(t, u),
        TypeError,
        "np.add in place on a leaf that requires a gradient cuts it off; update its values under "
        "`with ag.no_grad():` or through tensor.data, or bind the result to another name",
    ),
    "in-place power": (lambda t, u: operator.ipow(t, 2), TypeError, "np.power in place on a leaf"),
    "in-place remainder": (lambda t, u: operator.imod(t, 2), TypeError, "in place on a leaf"),
    "in-place floor": (lambda t, u: operator.ifloordiv(t, 2), TypeError, "in place on a leaf"),
    "complex data": (
        lambda t, u: ag.Tensor([1j]),
        TypeError,
        "Tensor: complex data is not supported; use its real and imag parts",
    ),
    "complex operand": (
        lambda t, u: t * 1j,
        TypeError,
        "np.multiply gives complex128 here; only real floating-point results have a gradient",
    ),
    "integer requires_grad": (
        lambda t, u: ag.Tensor([1, 2], requires_grad=True),
        TypeError,
        "Tensor: requires_grad needs floating-point data, not int64; pass dtype=float",
    ),
    "integer requires_grad later": (
        lambda t, u: setattr(ag.Tensor([1]), "requires_grad", True),
        TypeError,
        "requires_grad needs floating-point data",
    ),
    "text": (lambda t, u: ag.Tensor(["a"]), TypeError, "Tensor: data must be numeric, not <U1"),
    "objects": (
        lambda t, u: ag.Tensor([None]),
        TypeError,
        "Tensor: data must be numeric, not object",
    ),
    "tensor of a tracked tensor": (
        lambda t, u: ag.Tensor(t),
        TypeError,
        "would lose its derivative; use tensor.detach() if that is meant",
    ),
    "unknown function": (
        lambda t, u: np.fft.fft(t),
        TypeError,
        "np.fft.fft has no derivative rule; add one with ag.derivative(np.fft.fft, ...), "
        "or call it on tensor.data if no derivative is wanted",
    ),
    "unknown ufunc": (
        lambda t, u: np.nextafter(t, u),
        TypeError,
        "np.nextafter has no derivative rule",
    ),
    "argument without a rule": (
        lambda t, u: np.where(t, u, 0.0),
        TypeError,
        "np.where has no derivative with respect to its argument condition; pass the values alone "
        "(tensor.data), or add the rule with derivative(...)",
    ),
    "unknown option": (
        lambda t, u: np.sum(t, where=np.array([True, False, True])),
        TypeError,
        "np.sum: no derivative rule covers the argument where=",
    ),
    "shapes of an operator": (
        lambda t, u: t + np.ones(4),
        ValueError,
        "np.add of shapes (3,) and (4,): ",
    ),
    "shapes of matmul": (
        lambda t, u: np.ones((2, 4)) @ t,
        ValueError,
        "np.matmul of shapes (2, 4) and (3,): ",
    ),
    "shapes without a gradient": (
        lambda t, u: ag.Tensor([1.0, 2.0]) * t,
        ValueError,
        "np.multiply of shapes (2,) and (3,): ",
    ),
    "reshape": (lambda t, u: t.reshape(2, 2), ValueError, "np.reshape of shape (3,): "),
    "index out of bounds": (lambda t, u: t[5], IndexError, "out of bounds"),
    "non-scalar backward": (
        lambda t, u: (t * u).backward(),
        ValueError,
        "Tensor.backward: the output has shape (3,), not a single number; give a gradient of that "
        "shape, or reduce it (np.sum) first",
    ),
    "wrong-shaped gradient": (
        lambda t, u: (t * u).backward(np.ones(4)),
        ValueError,
        "Tensor.backward: the gradient has shape (4,), but the output has shape (3,)",
    ),
    "gradient that would broadcast": (
        lambda t, u: (t * u).backward(1.0),
        ValueError,
        "the gradient has shape (), but the output has shape (3,)",
    ),
    "backward without a graph": (
        lambda t, u: ag.Tensor([1.0]).backward(),
        ValueError,
        "Tensor.backward: this tensor does not depend on any tensor with requires_grad=True, or "
        "was computed under no_grad",
    ),
    "data of another shape": (
        lambda t, u: setattr(t, "data", np.ones(4)),
        ValueError,
        "Tensor.data: expected values of shape (3,), got (4,); make a new Tensor for another shape",
    ),
    "data that would broadcast": (lambda t, u: setattr(t, "data", 1.0), ValueError, "got ()"),
    "data of a result": (
        lambda t, u: setattr(t * u, "data", np.ones(3)),
        ValueError,
        "Tensor.data: the values of a recorded result cannot be replaced",
    ),
    "requires_grad of a result": (
        lambda t, u: setattr(t * u, "requires_grad", False),
        ValueError,
        "Tensor.requires_grad: a recorded result always requires a gradient; use tensor.detach()",
    ),
    "attribute that does not exist": (lambda t, u: setattr(t, "shpae", 1), AttributeError, "shpae"),
    "truth of several": (lambda t, u: bool(t), ValueError, "ambiguous"),
    "iteration over one number": (
        lambda t, u: list(t[0]),
        TypeError,
        "iteration over a 0-d tensor",
    ),
    "no_grad on a generator": (
        lambda t, u: ag.no_grad()(lambda: (yield)),
        TypeError,
        "no_grad cannot decorate a coroutine or generator function",
    ),
    "in-place on an array": (
        lambda t, u: operator.iadd(np.zeros(3), t),
        TypeError,
        "np.add: out= (or an in-place operator on an array) cannot hold a tensor's result",
    ),
    "np.full": (
        lambda t, u: np.full(3, t),
        TypeError,
        "np.full of a tensor that requires a gradient would lose its derivative; use tensor.data "
        "if that is meant, np.full(shape, tensor, like=tensor) to repeat it",
    ),
    "np.full_like": (
        lambda t, u: np.full_like(np.ones(3), t),
        TypeError,
        "np.full_like writes into an array",
    ),
    "np.average of a list": (
        lambda t, u: np.average(t, weights=[t[0], t[1], t[2]]),
        TypeError,
        "np.average of a tensor that requires",
    ),
    "np.sum of a list": (
        lambda t, u: np.sum([t, u]),
        TypeError,
        "np.sum of a tensor that requires",
    ),
    "masked array": (
        lambda t, u: t * np.ma.masked_array([1.0, 2.0, 3.0], [0, 1, 0]),
        TypeError,
        "np.multiply: the mask of a masked array would be lost; pass array.filled(value)",
    ),
    "masked array from the left": (
        lambda t, u: np.ma.masked_array([1.0, 2.0, 3.0], [0, 1, 0]) * t,
        TypeError,
        "np.ma: the mask of a masked array would be lost; pass array.filled(value)",
    ),
    "masked data": (
        lambda t, u: ag.Tensor(np.ma.masked_array([1.0], [1])),
        TypeError,
        "Tensor: the mask of a masked array would be lost",
    ),
    "gradient of a masked array": (
        lambda t, u: ag.grad(np.sum)(np.ma.masked_array([1.0], [1])),
        TypeError,
        "an argument: the mask of a masked array would be lost",
    ),
    "masked gradient": (
        lambda t, u: (t * u).backward(np.ma.masked_array([1.0, 1.0, 1.0], [0, 1, 0])),
        TypeError,
        "Tensor.backward: the mask of a masked array would be lost",
    ),
    "masked new data": (
        lambda t, u: setattr(t, "data", np.ma.masked_array([1.0, 1.0, 1.0], [0, 1, 0])),
        TypeError,
        "Tensor.data: the mask of a masked array would be lost",
    ),
    "matrix": (
        lambda t, u: np.empty((1, 3)).view(np.matrix) * t,
        TypeError,
        "np.matrix multiplies in its own way; pass np.asarray(matrix) instead",
    ),
    "argument of another library's name": (
        lambda t, u: t.mean(dim=0),
        TypeError,
        "np.mean has no argument dim=; it takes a, axis, dtype, out, keepdims, where",
    ),
    "shapes of a stack": (
        lambda t, u: np.stack([t, u[:2]]),
        ValueError,
        "np.stack: np.concatenate of shapes (1, 3) and (1, 2)",
    ),
    "singular matrix": (
        lambda t, u: np.linalg.solve(np.outer(t, t), u),
        np.linalg.LinAlgError,
        "np.linalg.solve of shapes (3, 3) and (3,): Singular matrix",
    ),
    "index out of range": (
        lambda t, u: t[5],
        IndexError,
        "indexing of shape (3,): index 5 is out of bounds",
    ),
    "place out of range": (
        lambda t, u: np.take(t, [5]),
        IndexError,
        "np.take: index 5 is out of bounds for axis 0 with size 3",
    ),
    "operand that is no number": (
        lambda t, u: t + None,
        TypeError,
        "np.add: None of dtype object holds no numbers; pass numbers",
    ),
    "complex gradient": (
        lambda t, u: (t * u).backward([1j, 0, 0]),
        TypeError,
        "Tensor.backward: the gradient must hold real numbers, not complex128",
    ),
    "gradient that is None": (
        lambda t, u: (t * u).backward([None, 0, 0]),
        TypeError,
        "Tensor.backward: the gradient must hold real numbers, not object",
    ),
    "rule of complex numbers": (
        lambda t, u: np.sum(ag.primitive(lambda g: g * 1j)(np.square)(t)).backward(),
        TypeError,
        "the derivative rule of np.square returned complex numbers",
    ),
    "rule that returns nothing": (
        lambda t, u: np.sum(ag.primitive(lambda g: None)(np.square)(t)).backward(),
        TypeError,
        "the derivative rule of np.square returned NoneType, not an array",
    ),
    "rule without parameters": (
        lambda t, u: ag.primitive(lambda: 1)(_unknown),
        TypeError,
        "must take g first, not nothing",
    ),
    "more rules than arguments": (
        lambda t, u: ag.primitive(None, None)(_unknown),
        TypeError,
        "2 rules are given for _unknown, which has 1 arguments",
    ),
    "primitive that returns a number": (
        lambda t, u: ag.primitive(lambda g: g)(lambda x: 1.0)(t),
        TypeError,
        "returned builtins.float; it must return an array, or a tuple or list of arrays",
    ),
    "primitive that returns a dictionary": (
        lambda t, u: ag.primitive(lambda g: g)(lambda x: {"x": x})(t),
        TypeError,
        "returned builtins.dict; it must return an array",
    ),
    "primitive that closes over a tensor": (
        lambda t, u: ag.primitive(lambda g: g)(lambda x: x * u)(t),
        TypeError,
        "computed with a tensor that is not one of its arguments itself; pass every tensor as",
    ),
    "primitive without rules": (
        lambda t, u: ag.primitive(_unknown)(t),
        TypeError,
        "ag.primitive takes derivative rules and decorates a function",
    ),
    "composite without a function": (
        lambda t, u: ag.composite(3)(_unknown),  # type: ignore[arg-type]
        TypeError,
        "ag.composite takes the function that the formula computes, not 3",
    ),
    "no_grad without parentheses": (
        lambda t, u: ag.no_grad(_unknown),
        TypeError,
        "no_grad takes no arguments; ",
    ),
    "tensors by keyword": (
        lambda t, u: np.clip(u, a_min=t, a_max=10.0, casting="safe"),
        TypeError,
        "np.clip: no derivative rule covers the argument casting=",
    ),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_mistakes_are_refused(mistake: str, _gradients_untouched: list[ag.Tensor]) -> None:  # noqa: PT019
    make, error, message = REFUSED[mistake]
    with pytest.raises(error, match=re.escape(message)):
        make(*_gradients_untouched)


def test_failure_in_the_middle_of_backward_changes_no_gradient() -> None:
    def twice(x: Any) -> Any:
        return 2 * x

    def broken(g: Any) -> Any:
        raise KeyError("broken rule")

    double = ag.primitive(broken)(twice)
    a, b = _variable(), _variable()
    np.sum(a * b).backward()
    before = a.grad.copy(), b.grad.copy()
    with pytest.raises(KeyError, match="broken rule"):
        np.sum(double(a) * b).backward()
    np.testing.assert_array_equal(a.grad, before[0])
    np.testing.assert_array_equal(b.grad, before[1])


def test_array_that_changed_leaves_every_gradient() -> None:
    a, b, x = _variable(), _variable(), np.ones(3)
    loss = np.sum(np.exp(a) * b + a * x)
    x[0] = 2
    for _ in range(2):
        with pytest.raises(
            RuntimeError, match=r"np\.multiply: its argument y, an array of shape \(3,\)"
        ):
            loss.backward()
        assert a.grad is None
        assert b.grad is None


# ---------------------------------------------------------------------------- the user's own rules


def test_primitive_names_what_a_rule_may_read() -> None:
    with pytest.raises(
        TypeError, match=r"the rule of cube reads z; it may read g, like, argnum, ans, residual, x"
    ):

        @ag.primitive(lambda g, z: g)
        def cube(x: Any) -> Any:
            return x**3

    with pytest.raises(TypeError, match="the rule of square must take g first, not x"):

        @ag.primitive(lambda x, g: g)
        def square(x: Any) -> Any:
            return x**2


def test_rule_of_wrong_shape_names_the_function() -> None:
    @ag.primitive(lambda g: g[:1])
    def head(x: Any) -> Any:
        return x * 1.0

    with pytest.raises(
        ValueError,
        match=re.escape(
            "the derivative rule of head returned a cotangent of shape (1,) for an argument of "
            "shape (3,)"
        ),
    ):
        np.sum(head(_variable())).backward()


def test_primitive_with_an_option_no_rule_reads() -> None:
    @ag.primitive(lambda g: g * 2)
    def twice(x: Any, offset: float = 0.0) -> Any:
        return 2 * x + offset

    assert twice(np.ones(2), offset=1.0).tolist() == [3, 3]
    with pytest.raises(TypeError, match="twice: no derivative rule covers the argument offset="):
        twice(_variable(), offset=1.0)
    with pytest.raises(TypeError, match="twice: no derivative rule covers the argument offset="):
        twice(_variable(), 1.0)


def test_composite() -> None:
    @ag.composite(np.nanpercentile)
    def formula(a: Any, q: Any) -> Any:
        return np.max(a) * q / 100

    try:
        t = _variable()
        np.nanpercentile(t, 50).backward()
        np.testing.assert_array_equal(t.grad, [0, 0, 0.5])
        with pytest.raises(
            TypeError, match=r"np\.nanpercentile: no derivative rule covers the argument axis="
        ):
            np.nanpercentile(t, 50, axis=0)
    finally:
        del TABLE[np.nanpercentile]


def test_methods_and_protocols_of_numbers() -> None:
    t = ag.Tensor([1.5, -2.25, 3.0], requires_grad=True)
    np.testing.assert_array_equal(t.compress([True, False, True]).data, [1.5, 3.0])
    for quotient, rest in (divmod(t, 2), divmod(7, t)):
        assert quotient.shape == rest.shape == (3,)
    np.testing.assert_array_equal(divmod(t, 2)[1].data, np.divmod(t.data, 2)[1])
    np.testing.assert_array_equal(round(t, 1).data, [1.5, -2.2, 3.0])
    assert t.item(0) == 1.5
    assert [method.__doc__ for method in (ag.Tensor.sum, ag.Tensor.std)] == [
        "Return ``np.sum`` of the array.",
        "Return ``np.std`` of the array.",
    ]


def test_two_rules_for_one_function() -> None:
    def square(x: Any) -> Any:
        return x * x

    right = ag.primitive(lambda g, x: 2 * g * x)(square)
    wrong = ag.primitive(lambda g, x: 3 * g * x)(square)
    assert (ag.grad(right)(1.0), ag.grad(wrong)(1.0), ag.grad(square)(1.0)) == (2.0, 3.0, 2.0)


def test_rule_of_several_results_reads_them_by_number() -> None:
    both = ag.primitive(lambda g: g[0] + 2 * g[1])(lambda x: (x * 1, x * 2))
    assert ag.grad(lambda x: both(x)[1] + 0 * both(x)[0])(1.0) == 2.0
    assert ag.grad(lambda x: both(x)[0])(1.0) == 1.0


def test_an_error_of_the_users_own_function_keeps_its_traceback() -> None:
    def fails(x: Any) -> Any:
        raise ValueError("mine")

    with pytest.raises(ValueError, match=r"fails of shape \(3,\): mine") as caught:
        ag.grad(ag.primitive(lambda g: g)(fails))(np.ones(3))
    assert caught.traceback[-1].name == "fails"


def test_gradient_of_a_single_number_stays_an_array() -> None:
    w = ag.Tensor(2.0, requires_grad=True)
    for _ in range(3):
        (w * w).backward()
        assert type(w.grad) is np.ndarray
    assert w.grad == 12


def test_a_tensor_by_keyword_takes_no_other_arguments_place() -> None:
    @ag.primitive(lambda g, a: g * a, lambda g, x: g * x, lambda g: g)
    def affine(x: Any, a: Any = 1.0, b: Any = 0.0) -> Any:
        return a * x + b

    x, b = ag.Tensor(3.0, requires_grad=True), ag.Tensor(10.0, requires_grad=True)
    affine(x, b=b).backward()
    assert (x.grad, b.grad) == (1, 1)
    affine(x, a=b).backward()
    assert (x.grad, b.grad) == (11, 4)
    with pytest.raises(TypeError, match=r"np\.nan_to_num .* its argument posinf"):
        np.nan_to_num(ag.Tensor([np.inf]), posinf=b)


@pytest.mark.parametrize("bad", ["hello", np.array(1j)])
def test_grad_takes_real_numbers_alone(bad: Any) -> None:
    x = ag.Tensor(1.0, requires_grad=True, dtype=np.float32)
    with pytest.raises(TypeError, match=r"Tensor\.grad: expected real numbers"):
        x.grad = bad
    assert x.grad is None
    x.grad = 2
    assert x.grad.dtype == np.float32


def test_joining_many_tensors_takes_linear_time() -> None:
    def stacked(count: int) -> float:
        tensors = [ag.Tensor(1.0, requires_grad=True) for _ in range(count)]
        seconds = []
        for _ in range(3):
            start = time.process_time()
            np.stack(tensors)
            seconds.append(time.process_time() - start)
        return min(seconds)

    stacked(10)
    assert stacked(8_000) < 9 * stacked(2_000)  # 4 if linear, 16 if quadratic


@pytest.mark.parametrize(
    "write",
    [
        lambda t: np.zeros(3).__setitem__(0, t[0]),
        lambda t: np.zeros(3).__setitem__(0, t),
        lambda t: np.zeros(3, np.float32).__setitem__(0, t[0]),
        lambda t: np.zeros(3).fill(t[0]),
        lambda t: np.fromiter(t, float),
    ],
)
def test_numpys_error_for_one_element_has_the_remedy_as_its_cause(write) -> None:
    # NumPy puts its own words in place of any exception that converting an element raises.
    with pytest.raises(ValueError, match="setting an array element with a sequence") as caught:
        write(_variable())
    assert "np.stack or np.where to build an array" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("call", "slope"),
    [
        (lambda x, t: x.clip(t, 5.0), [1, 0, 0]),
        (lambda x, t: x.clip(t), [1, 0, 0]),
        (lambda x, t: x.clip(-9.0, t), [0, 1, 1]),
        (lambda x, t: x.clip(max=t), [0, 1, 1]),
        (lambda x, t: x.clip(t, t + 1), [1, 0, 1]),
    ],
)
def test_the_clip_method_of_an_array_takes_tensors(call, slope) -> None:
    x, t = np.array([0.0, 2.5, 9.0]), ag.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = call(x, t)
    np.testing.assert_array_equal(y.data, call(x, t.data))
    np.sum(y).backward()
    np.testing.assert_array_equal(t.grad, slope)


def test_a_ufuncs_defaults_may_be_written_out() -> None:
    t = _variable()
    y = np.multiply(t, 3.0, out=None, where=True, dtype=None, casting="same_kind", order="K")
    np.sum(y).backward()
    np.testing.assert_array_equal(t.grad, [3, 3, 3])


def test_full_repeats_a_tensor_through_like() -> None:
    t = _variable()
    y = np.full((2, 3), t, like=t)
    np.testing.assert_array_equal(y.data, [t.data, t.data])
    np.sum(y).backward()
    np.testing.assert_array_equal(t.grad, [2, 2, 2])
    assert np.full(2, t[0], dtype=np.float32, like=t).dtype == np.float32


# ---------------------------------------------------------------------------- what is stored


def test_assigned_gradient_is_a_copy() -> None:
    w = ag.Tensor([3.0, 4.0], requires_grad=True)
    g = np.array([3.0, 4.0])
    w.grad = g
    ag.optim.clip_grad_norm(w, 1.0)
    np.testing.assert_array_equal(g, [3, 4])
    g[:] = 100
    np.testing.assert_allclose(w.grad, [0.6, 0.8], rtol=1e-6)
    other = ag.Tensor(g)
    w.grad = other
    other.data[:] = 7
    np.testing.assert_array_equal(w.grad.data, [100, 100])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize(
    "gradient",
    [
        [1.0, 2.0],
        np.array([1, 2]),
        ag.Tensor([1.0, 2.0]),
        ag.Tensor([1, 2]),
        ag.Tensor([1.0, 2.0], requires_grad=True),
        ag.Tensor([1.0, 2.0], requires_grad=True) * 1.0,
    ],
    ids=["list", "integers", "tensor", "integer tensor", "leaf", "recorded"],
)
def test_assigned_gradient_has_the_dtype_of_its_leaf(dtype: Any, gradient: Any) -> None:
    w = ag.Tensor([1.0, 2.0], requires_grad=True, dtype=dtype)
    w.grad = gradient
    assert w.grad.dtype == dtype
    assert getattr(w.grad, "requires_grad", False) == getattr(gradient, "requires_grad", False)
    np.testing.assert_array_equal(getattr(w.grad, "data", w.grad), [1, 2])
    np.sum(w * w).backward()
    assert w.grad.dtype == dtype


@pytest.mark.parametrize("shape", [(), (1,), (2,)])
@pytest.mark.parametrize("dtype", [">f8", ">f4", "<f8", "<f4", "f2"])
def test_gradient_has_the_dtype_of_its_leaf_to_the_order_of_bytes(shape: Any, dtype: str) -> None:
    w = ag.Tensor(np.full(shape, 2, dtype), requires_grad=True)
    for loss in (np.sum(w * w), w.sum()):
        loss.backward()
        assert w.grad.dtype.str == w.dtype.str
        loss.backward()
        assert w.grad.dtype.str == w.dtype.str
    x = np.full(shape, 2, dtype)
    assert ag.grad(lambda x: np.sum(x * x))(x).dtype.str == x.dtype.str


REFUSED_VALUES: dict[str, tuple[Any, Any]] = {
    "a fraction for an integer": ([1, 2], [1.7, 2.0]),
    "nan for an integer": ([1, 2], [np.nan, 2.0]),
    "too large": (np.array([1, 2], np.int8), [1, 300]),
    "negative": (np.array([1, 2], np.uint8), [1, -1]),
    "a number for a boolean": ([True, False], [2, 0]),
    "complex numbers": ([1.0, 2.0], np.array([1j, 2.0])),
    "text": ([1.0, 2.0], ["1", "2"]),
}


@pytest.mark.parametrize("name", REFUSED_VALUES)
def test_values_that_the_dtype_does_not_hold_are_refused(name: str) -> None:
    before, values = REFUSED_VALUES[name]
    t = ag.Tensor(before)
    with pytest.raises(TypeError, match=r"Tensor\.data: "):
        t.data = values
    np.testing.assert_array_equal(t.data, before)


def test_values_that_the_dtype_holds_are_taken() -> None:
    t = ag.Tensor(np.array([1, 2], np.uint8))
    t.data = [3.0, 255.0]
    assert t.dtype == np.uint8
    np.testing.assert_array_equal(t.data, [3, 255])
    t = ag.Tensor([1.0, 2.0], dtype=np.float32)
    t.data = [0.1, 7]  # rounded, as when it was made
    np.testing.assert_array_equal(t.data, np.array([0.1, 7], np.float32))


def test_requires_grad_off_and_on_loses_no_gradient() -> None:
    w = ag.Tensor([1.0, 2.0], requires_grad=True, name="w")
    np.sum(w * 3.0).backward()
    loss = np.sum(w * w)
    w.requires_grad = False
    assert w.grad is None
    assert not (w * w).requires_grad
    with pytest.raises(
        RuntimeError,
        match=r"leaf of shape \(2,\) named 'w' was switched off .* switch it on again, or compute",
    ):
        loss.backward()
    w.requires_grad = True
    np.testing.assert_array_equal(w.grad, [3, 3])
    loss.backward()
    np.testing.assert_array_equal(w.grad, [5, 7])


def test_gradient_is_forgotten_while_requires_grad_is_off() -> None:
    w = ag.Tensor([1.0, 2.0], requires_grad=True)
    np.sum(w * 3.0).backward()
    w.requires_grad = False
    w.zero_grad()
    with pytest.raises(ValueError, match="only a leaf with requires_grad=True has a gradient"):
        w.grad = np.ones(2)
    w.requires_grad = True
    assert w.grad is None


def test_requires_grad_off_and_on_with_new_values() -> None:
    w = ag.Tensor([1.0, 2.0], requires_grad=True)
    loss = np.sum(w * w)
    w.requires_grad = False
    w.data = [5.0, 6.0]
    w.name = "renamed"
    w.requires_grad = True
    with pytest.raises(RuntimeError, match=r"its leaf .renamed. .* was updated in place"):
        loss.backward()
    np.sum(w * w).backward()
    np.testing.assert_array_equal(w.grad, [10, 12])
    assert "renamed * renamed" in str(ag.explain(w * w))


def test_create_graph_under_no_grad_is_refused() -> None:
    w = ag.Tensor([1.0, 2.0], requires_grad=True)
    loss = np.sum(w**3)
    with (
        ag.no_grad(),
        pytest.raises(
            ValueError, match=r"create_graph=True records the gradients, and under no_grad nothing"
        ),
    ):
        loss.backward(create_graph=True)
    assert w.grad is None
    with ag.no_grad():
        loss.backward()
    np.testing.assert_array_equal(w.grad, [3, 12])
