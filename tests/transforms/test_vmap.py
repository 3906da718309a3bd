"""vmap itself: axes, messages, nesting, closures, and what else looks on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite.graphs.watch import NonfiniteError
from autograd_lite.transforms import batch
from autograd_lite.transforms.matrices import _piece
from tests.sample import normal

X, W = normal(5, 3), normal(4, 3)
LABELS = np.array([0, 3, 1, 2, 2])


def loss_of(w: Any, x: Any) -> Any:
    return np.sum(np.tanh(w @ x) ** 2)


def each(f: Callable[..., Any], *rows: Any) -> np.ndarray:
    return np.stack([np.asarray(f(*row)) for row in zip(*rows)])


# ---------------------------------------------------------------------------- axes and structure


@pytest.mark.parametrize("out_axis", [0, 1, 2, -1, -3])
@pytest.mark.parametrize("in_axis", [0, 1, 2, -1])
def test_any_axis_in_and_out(in_axis: int, out_axis: int) -> None:
    a = normal(3, 4, 5)
    got = ag.vmap(lambda m: m.T, in_axis, out_axis)(a)
    rows = np.moveaxis(a, in_axis, 0)
    np.testing.assert_array_equal(got, np.moveaxis(rows.swapaxes(1, 2), 0, out_axis))
    got[...] = 0  # the caller's own
    assert a.any()


def test_axes_nested_like_arguments_and_results() -> None:
    def f(p: Any, x: Any, scale: Any) -> Any:
        return {"y": p["w"] @ x, "b": [p["b"], scale]}

    p = {"w": normal(4, 3, 5), "b": np.arange(4.0)}
    axes = ({"w": 2, "b": None}, 1, None)
    got = ag.vmap(f, axes, {"y": 1, "b": None})(p, X.T, 2.0)
    np.testing.assert_allclose(got["y"], np.einsum("ijk,kj->ik", p["w"], X))
    assert got["b"][0] is p["b"]
    assert got["b"][1] == 2.0
    repeated = ag.vmap(f, axes)(p, X.T, 2.0)["b"]
    np.testing.assert_array_equal(repeated[0], [p["b"]] * 5)
    np.testing.assert_array_equal(repeated[1], [2.0] * 5)


def test_arguments_by_keyword_are_mapped_along_their_first_axis() -> None:
    got = ag.vmap(lambda x, y: x * y, in_axes=1)(X.T, y=X)
    np.testing.assert_array_equal(got, X * X)


def test_tensors_give_tensors_and_arrays_arrays() -> None:
    assert type(ag.vmap(np.exp)(X)) is np.ndarray
    for requires_grad in (False, True):
        got = ag.vmap(np.exp)(ag.Tensor(X, requires_grad))
        assert type(got) is ag.Tensor
        assert got.requires_grad == requires_grad
        np.testing.assert_array_equal(got.data, np.exp(X))
    with ag.no_grad():
        assert not ag.vmap(np.exp)(ag.Tensor(X, requires_grad=True)).requires_grad


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ag.vmap(np.dot)(X, W), r"must have one length, but they have 5 .*, 4 .argument 1"),
        (lambda: ag.vmap(np.exp, None)(X), "maps no argument; give at least one"),
        (
            lambda: ag.vmap(np.exp, 2)(X),
            r"in_axes 2 is out of range for argument 0 of shape \(5, 3",
        ),
        (lambda: ag.vmap(np.exp)(2.0), r"in_axes 0 is out of range .* shape \(\); pass None"),
        (lambda: ag.vmap(np.exp, 0, 2)(X), r"out_axes 2 is out of range for a result of shape \(3"),
        (lambda: ag.vmap(np.exp, 0, None)(X), "differs from one example to another"),
        (lambda: ag.vmap(np.dot, (0,))(X, X), "in_axes has 1 entries for 2 positional arguments"),
        (lambda: ag.vmap(np.exp, ({"a": 0},))(X), "must be integers or None, nested like the arg"),
        (lambda: ag.vmap(np.exp, 0, (0, 0))(X), "out_axes must be .* nested like the results"),
    ],
)
def test_what_cannot_be_mapped_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


ASKING: dict[str, Callable[[Any], Any]] = {
    r"bool\(\) .*np.where\(condition": lambda x: x if x[0] > 0 else -x,
    r"float\(\) .*use np functions": lambda x: float(x[0]),
    r"int\(\) .*astype\(int\)": lambda x: int(x[0]),
    r"\.item\(\)": lambda x: x[0].item(),
    r"\.tolist\(\)": lambda x: x.tolist(),
    r"operator.index\(\) .*ag.Tensor\(array\)": lambda x: list(range(x[0].astype(int))),
    r"np.asarray .*@ag.primitive": lambda x: np.asarray(x),
    r"np.add: out= .*bind the result": lambda x: np.add(x, x, out=np.zeros(3)),
    r"setitem inside ag.vmap writes": lambda x: ag.vmap(lambda y: y.__setitem__(0, x[0]))(W),
    r"np.copyto inside ag.vmap writes": lambda x: np.copyto(np.zeros(3), x),
    "returned None; is its return": lambda x: None,
    "must return arrays, not": lambda x: "text",
}


@pytest.mark.parametrize("message", ASKING)
def test_a_value_that_is_asked_for_names_operation_and_remedy(message: str) -> None:
    with pytest.raises(TypeError, match=message):
        ag.vmap(ASKING[message])(X)


def test_examples_of_unequal_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"every example must give .* same shape, not \(\d,\) and"):
        ag.vmap(lambda x: x[x > 0])(X)
    fixed = np.array([[3.0, 1, 2], [1, 0, 5]])
    np.testing.assert_array_equal(ag.vmap(lambda x: x[x > 1])(fixed[:1]), [[3, 2]])


def test_no_examples_give_empty_results() -> None:
    assert ag.vmap(lambda x: W @ x)(np.zeros((0, 3))).shape == (0, 4)
    assert ag.vmap(lambda x: np.convolve(x, x))(np.zeros((0, 3))).shape == (0, 5)


def test_arrays_made_inside_can_be_written_to() -> None:
    def reversed_by_hand(x: Any) -> Any:
        out = np.zeros_like(x)
        for i in range(len(x)):
            out[i] = x[len(x) - 1 - i]
        return out

    np.testing.assert_array_equal(ag.vmap(reversed_by_hand)(X), X[:, ::-1])


# ---------------------------------------------------------------------------- with the others


def test_it_nests_with_itself() -> None:
    every = ag.vmap(lambda a: ag.vmap(lambda b: np.dot(a, b))(X))(X)
    np.testing.assert_allclose(every, X @ X.T)
    three = ag.vmap(lambda a: ag.vmap(lambda b: ag.vmap(lambda c: a @ (b * c))(X))(X))(X)
    np.testing.assert_allclose(three, np.einsum("ai,bi,ci->abc", X, X, X))


TRANSFORMS: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "grad": lambda f: ag.grad(lambda x: np.sum(f(x))),
    "elementwise_grad": ag.elementwise_grad,
    "jacobian": ag.jacobian,
    "hessian": lambda f: ag.hessian(lambda x: np.sum(f(x) ** 2)),
    "jvp": lambda f: lambda x: ag.jvp(f, (x,), (x * x,))[1],
    "vjp": lambda f: lambda x: ag.vjp(f, x)[1](f(x))[0],
    "hvp": lambda f: lambda x: ag.hvp(lambda x: np.sum(f(x) ** 2), (x,), (x,))[0],
    "third": lambda f: ag.jacobian(ag.hessian(lambda x: np.sum(f(x)))),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_it_nests_with_every_transform_in_either_order(name: str) -> None:
    transform = TRANSFORMS[name]

    def f(x: Any) -> Any:
        return np.tanh(W @ x) * np.sum(x)

    np.testing.assert_allclose(
        ag.vmap(transform(f))(X), each(lambda x: transform(f)(x), X), rtol=1e-10, atol=1e-12
    )
    outside = transform(ag.vmap(f))(X)
    loop = transform(lambda xs: np.stack([f(x) for x in xs]))(X)
    np.testing.assert_allclose(outside, loop, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_closures_over_tensors_add_up(order: int) -> None:
    def mapped(w: Any) -> Any:
        def inner(x: Any) -> Any:
            twice = 2 * w  # the same for all, used alone, with an example, and returned
            return twice, np.sum(np.sin(twice @ x)), w

        a, b, c = ag.vmap(inner)(X[:2])
        return np.sum(a**2) + np.sum(b**2) * np.sum(np.sin(w)) + np.sum(c**3)

    def looped(w: Any) -> Any:
        rows = [(2 * w, np.sum(np.sin(2 * w @ x)), w) for x in X[:2]]
        a, b, c = (np.stack(column) for column in zip(*rows))
        return np.sum(a**2) + np.sum(b**2) * np.sum(np.sin(w)) + np.sum(c**3)

    got, expected = mapped, looped
    for _ in range(order):
        got, expected = ag.jacobian(got), ag.jacobian(expected)
    w = W[:2]
    np.testing.assert_allclose(got(w), expected(w), rtol=1e-9, atol=1e-10)


def test_closures_over_batches_and_tensors_at_two_levels() -> None:
    def f(w: Any, xs: Any) -> Any:
        def of_one(x: Any) -> Any:
            return ag.vmap(lambda row: np.tanh(row @ x) * np.sum(w * x))(w)

        return np.sum(ag.vmap(of_one)(xs) ** 2)

    def looped(w: Any, xs: Any) -> Any:
        return sum(np.sum((np.tanh(w @ x) * np.sum(w * x)) ** 2) for x in xs)

    for k in (0, 1):
        got, expected = ag.grad(f, k)(W, X), ag.grad(looped, k)(W, X)
        np.testing.assert_allclose(got, expected, rtol=1e-10)


def test_a_backward_inside_reaches_tensors_made_inside() -> None:
    def f(x: Any) -> Any:
        t = ag.Tensor(x, requires_grad=True)
        np.sum(t**3).backward()
        return t.grad

    np.testing.assert_allclose(ag.vmap(f)(X), 3 * X**2)


def test_a_backward_inside_to_a_tensor_outside_is_refused() -> None:
    w = ag.Tensor(W, requires_grad=True)
    with pytest.raises(TypeError, match=r"backward inside ag.vmap .* use ag.grad"):
        ag.vmap(lambda x: loss_of(w, x).backward())(X)
    assert w.grad is None
    with ag.no_grad(), pytest.raises(TypeError, match=r"Tensor.data inside ag.vmap"):
        ag.vmap(lambda x: setattr(w, "data", w.data * x[0]))(X)


# ---------------------------------------------------------------------------- losses and modules


@pytest.mark.parametrize("loss", [ag.cross_entropy, ag.unfused_cross_entropy])
def test_losses_and_gradients_of_each_example(loss: Callable[..., Any]) -> None:
    def f(w: Any, x: Any, label: Any) -> Any:
        return loss(w @ x, label)

    losses = ag.vmap(f, (None, 0, 0))(W, X, LABELS)
    np.testing.assert_allclose(losses, loss(X @ W.T, LABELS, reduction="none"), rtol=1e-14)
    gradients = ag.vmap(ag.grad(f), (None, 0, 0))(W, X, LABELS)
    np.testing.assert_allclose(gradients, each(lambda *a: ag.grad(f)(W, *a), X, LABELS), rtol=1e-12)


def test_labels_of_a_batch_are_checked() -> None:
    with pytest.raises(IndexError, match="label 7 at row 2 is out of range for 4 classes"):
        ag.vmap(lambda x, y: ag.cross_entropy(W @ x, y))(X, np.array([0, 1, 7, 2, 3]))


def test_modules_closed_over() -> None:
    rng = np.random.default_rng(0)
    model = ag.nn.Sequential(
        ag.nn.Linear(3, 6, rng=rng), ag.nn.LayerNorm(6), ag.nn.ReLU(), ag.nn.Linear(6, 4, rng=rng)
    )

    def of_one(x: Any, y: Any) -> Any:
        return ag.cross_entropy(model(x), y)

    ag.vmap(of_one)(X, LABELS).sum().backward()
    got = [p.grad for p in model.parameters()]
    model.zero_grad()
    ag.cross_entropy(model(X), LABELS, reduction="sum").backward()
    for d, p in zip(got, model.parameters()):
        np.testing.assert_allclose(d, p.grad, rtol=1e-4, atol=1e-6)


def test_an_embedding_is_looked_up_for_all_examples_at_once(monkeypatch: Any) -> None:
    table = normal(7, 4)
    words = np.array([[0, 6, 6], [3, 2, 0]])
    monkeypatch.setattr(batch, "one_by_one", None)
    f = ag.grad(lambda t, ids: np.sum(t[ids] ** 3))
    got = ag.vmap(f, (None, 0))(table, words)
    np.testing.assert_allclose(got, each(lambda ids: f(table, ids), words))


# ---------------------------------------------------------------------------- functions of the user


def test_a_primitive_that_looks_at_values_is_looped_over() -> None:
    @ag.primitive(lambda g, x: g * np.array([float(v) > 0 for v in x]))
    def rectified(x: Any) -> Any:
        return np.array([max(float(v), 0.0) for v in x])

    np.testing.assert_array_equal(ag.vmap(rectified)(X), np.maximum(X, 0))
    got = ag.vmap(ag.grad(lambda x: np.sum(rectified(x) ** 2)))(X)
    np.testing.assert_array_equal(got, 2 * np.maximum(X, 0))
    with pytest.raises(ZeroDivisionError):
        ag.vmap(ag.primitive(None)(lambda x: 1 // 0))(X)


def test_an_error_is_that_of_one_example() -> None:
    with pytest.raises(ValueError, match=r"of shapes \(4, 2\) and \(3,\)"):
        ag.vmap(ag.grad(lambda x: np.sum(W[:, :2] @ x)))(X)


# ---------------------------------------------------------------------------- what looks on


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_find_nonfinite_names_the_cell() -> None:
    w = ag.Tensor(np.ones(2), requires_grad=True)
    x = np.array([[1.0, 4.0], [0.0, 1.0]])
    with (
        ag.find_nonfinite(),
        pytest.raises(ag.graphs.watch.NonfiniteError, match=r"np\.log") as info,
    ):
        ag.vmap(lambda x: np.log(w * x))(x)
    assert "[1, 0]" in str(info.value)
    with (
        ag.find_nonfinite(),
        pytest.raises(NonfiniteError, match=r"np\.sqrt, back"),
    ):
        np.sum(ag.vmap(lambda x: np.sqrt(w * x))(x)).backward()


def test_graphs_show_what_is_mapped() -> None:
    w = ag.Tensor(np.ones(3), requires_grad=True, name="w")
    loss = np.sum(ag.vmap(lambda x: np.sum(np.tanh(w * x)))(X))
    text = str(ag.explain(loss))
    for word in ("np.tanh", "vmap"):
        assert word in text
    assert "tanh" in ag.graph(loss, grads=True).to_dot()


def test_no_path_no_nan() -> None:
    def f(x: Any) -> Any:
        return np.stack([x[0] ** 2, 1 / x[1]])

    x = np.array([3.0, 0.0])
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(ag.jacobian(f)(x), [[6, 0], [0, -np.inf]])
        rows = np.array([x, x + 1])
        got = ag.vmap(ag.grad(lambda x: np.where(x[1] == 0, x[0] ** 2, np.sum(f(x)))))(rows)
    np.testing.assert_array_equal(got, [[6, 0], [8, -1]])


def test_an_array_that_changed_is_refused() -> None:
    w, x = ag.Tensor(W, requires_grad=True), X.copy()
    total = np.sum(ag.vmap(lambda x: np.sum(w @ x))(x))
    x[0] = 0
    with pytest.raises(RuntimeError, match="was changed between the call and the computation"):
        total.backward()


def test_threads_do_not_meet() -> None:
    results: dict[int, Any] = {}

    def work(k: int) -> None:
        for _ in range(20):
            results[k] = ag.vmap(ag.grad(lambda x: loss_of(W * k, x)))(X)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(4):
        expected = each(ag.grad(lambda x, k=k: loss_of(W * k, x)), X)
        np.testing.assert_allclose(results[k], expected, rtol=1e-10, atol=1e-14)


# ---------------------------------------------------------------------------- Jacobians in pieces


def test_a_jacobian_in_pieces_is_the_same(monkeypatch: Any) -> None:
    def f(x: Any) -> Any:
        return np.tanh(W @ x) * np.sum(x)

    whole = ag.jacobian(f)(X[0])
    for largest in (1, 50, 100):
        monkeypatch.setattr("autograd_lite.transforms.matrices.LARGEST", largest)
        np.testing.assert_allclose(ag.jacobian(f)(X[0]), whole, rtol=1e-14)


def test_a_piece_stays_within_its_bounds() -> None:
    wide = ag.Tensor(np.zeros(1 << 14), requires_grad=True)._node
    assert wide is not None
    assert _piece([wide]) == 16  # 2 MiB in one array
    assert _piece([wide] * (1 << 13)) == 1  # of which there may be many: 256 MiB together
    assert _piece([]) >= 1
