"""The cross-entropies as functions of tensors: options, conventions, errors, any order, memory."""

from __future__ import annotations

import itertools
import re
import tracemalloc
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite.engine.recording import node_of
from autograd_lite.engine.tape import reachable

LOSSES = [ag.cross_entropy, ag.unfused_cross_entropy]
inf, nan = np.inf, np.nan


def gradient(loss: Any, z: Any, *args: Any, **options: Any) -> Any:
    x = ag.Tensor(z, requires_grad=True)
    loss(x, *args, **options).backward()
    return x.grad


def nodes(output: Any) -> list[str]:
    """Return the names of the calls that a tensor was made by, oldest first."""
    return [n.plan.primitive.name for n in reachable(node_of(output)) if n.plan is not None]


# ---------------------------------------------------------------------------- one node


def test_the_fused_loss_is_one_node_with_a_public_name() -> None:
    z, w = ag.Tensor(np.ones((2, 3)), True), ag.Tensor(np.ones((4, 3)), True)
    assert nodes(ag.cross_entropy(z, [0, 1])) == ["ag.cross_entropy"]
    assert nodes(ag.cross_entropy(z, [0, 1], weight=[1, 2, 3], ignore_index=0)) == [
        "ag.cross_entropy"
    ]
    options: dict[str, Any] = {"label_smoothing": 0.1, "reduction": "none", "axis": 0}
    assert nodes(ag.cross_entropy(z, [0, 1, 1], **options)) == ["ag.cross_entropy"]
    assert nodes(ag.cross_entropy(z, np.full((2, 3), 1 / 3))) == ["ag.cross_entropy"]
    # reshape serves x of more dimensions
    assert nodes(ag.linear_cross_entropy(z, w, [0, 1])) == ["np.reshape", "ag.linear_cross_entropy"]
    assert nodes(ag.softmax(z)) == ["ag.softmax"]
    assert nodes(ag.log_softmax(z)) == ["ag.log_softmax"]
    assert nodes(ag.logsumexp(z)) == ["ag.logsumexp"]
    assert len(nodes(ag.unfused_cross_entropy(z, [0, 1]))) > 5


def test_the_closed_form_of_softmax_regression() -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(20, 5)), rng.integers(3, size=20)
    w = ag.Tensor(rng.normal(size=(5, 3)), requires_grad=True)
    ag.cross_entropy(x @ w, labels).backward()
    p = ag.softmax(x @ w.data)
    np.testing.assert_allclose(w.grad, x.T @ (p - np.eye(3)[labels]) / 20, rtol=1e-13)


def test_the_hessian_of_a_row() -> None:
    z = np.array([0.3, -1.2, 0.8])
    p = ag.softmax(z)
    hessian = ag.hessian(lambda t: ag.cross_entropy(t, 1))(z)
    np.testing.assert_allclose(hessian, np.diag(p) - np.outer(p, p), rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_results_have_the_dtype_of_the_logits(dtype: Any, reduction: Any) -> None:
    z = np.array([[1.0, 2.0, 4.0], [0.0, 0.5, 0.25]], dtype)
    for target in ([2, 0], np.full((2, 3), 0.25)):
        x = ag.Tensor(z, requires_grad=True)
        loss = ag.cross_entropy(x, target, reduction=reduction, weight=[1.0, 2.0, 0.5])
        assert loss.dtype == dtype
        assert loss.shape == ((2,) if reduction == "none" else ())
        loss.backward(np.ones(loss.shape, dtype))
        assert x.grad.dtype == dtype
        plain = ag.cross_entropy(z, target, reduction=reduction, weight=[1.0, 2.0, 0.5])
        assert plain.dtype == dtype
        np.testing.assert_array_equal(plain, loss.data)


def test_float16_means_over_many_rows_do_not_overflow() -> None:
    z = np.zeros((40_000, 8), np.float16)
    loss = ag.cross_entropy(z, np.zeros(40_000, int))
    assert loss == np.float16(np.log(8))
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert ag.cross_entropy(z, np.zeros(40_000, int), reduction="sum") == inf


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.int32, np.uint32, np.uint64])
def test_labels_of_any_integer_type(kind: Any) -> None:
    z = np.random.default_rng(1).normal(size=(4, 3))
    labels = np.array([2, 0, 1, 1])
    assert ag.cross_entropy(z, labels.astype(kind)) == ag.cross_entropy(z, labels)
    assert ag.cross_entropy(z, ag.Tensor(labels)) == ag.cross_entropy(z, labels)
    assert ag.cross_entropy(z, labels.tolist()) == ag.cross_entropy(z, labels)


# ---------------------------------------------------------------------------- options


def option_cases() -> list[dict[str, Any]]:
    weights = np.array([0.5, 2.0, 0.0, 1.5])
    return [
        {"weight": weight, "ignore_index": ignore, "label_smoothing": smoothing, "reduction": how}
        for weight, ignore, smoothing, how in itertools.product(
            (None, weights), (None, 1, -100), (0.0, 0.1, 1.0), ("mean", "sum", "none")
        )
    ]


def shortened(options: dict[str, Any]) -> str:
    return ",".join(str(v) for v in options.values())


@pytest.mark.parametrize("options", option_cases(), ids=shortened)
def test_fused_and_unfused_agree_and_so_does_the_linear_loss(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(2)
    z, labels = rng.normal(size=(2, 4, 3)), rng.integers(4, size=(2, 3))
    if options["ignore_index"] == -100:
        labels[0, 1] = -100
    ours, unfused = (
        ag.value_and_grad(lambda t, f=f: np.sum(f(t, labels, axis=1, **options)))(z) for f in LOSSES
    )
    np.testing.assert_allclose(ours[0], unfused[0], rtol=1e-13)
    np.testing.assert_allclose(ours[1], unfused[1], rtol=1e-12, atol=1e-15)
    weights = {"class_weight" if k == "weight" else k: v for k, v in options.items()}
    x, w, b = rng.normal(size=(2, 3, 5)), rng.normal(size=(4, 5)), rng.normal(size=4)

    def linear(x: Any, w: Any, b: Any) -> Any:
        return np.sum(ag.linear_cross_entropy(x, w, labels, bias=b, chunk=2, **weights))

    def pair(x: Any, w: Any, b: Any) -> Any:
        return np.sum(ag.cross_entropy(x @ w.T + b, labels, **options))

    found, expected = (ag.value_and_grad(f, (0, 1, 2))(x, w, b) for f in (linear, pair))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-13)
    for a, e in zip(found[1], expected[1]):
        np.testing.assert_allclose(a, e, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("options", option_cases()[::7], ids=shortened)
def test_derivatives_of_third_order(options: dict[str, Any]) -> None:
    z, labels = np.random.default_rng(3).normal(size=(4, 2)), np.array([1, 3])
    ag.check_grads(lambda t: ag.cross_entropy(t, labels, axis=0, **options), z, order=3)


@pytest.mark.parametrize("options", option_cases()[4::13], ids=shortened)
def test_second_derivatives_of_the_unfused_loss(options: dict[str, Any]) -> None:
    z, labels = np.random.default_rng(3).normal(size=(4, 2)), np.array([1, 3])
    ag.check_grads(lambda t: ag.unfused_cross_entropy(t, labels, axis=0, **options), z)


@pytest.mark.parametrize(
    ("weight", "smoothing", "reduction"),
    [(None, 0.0, "mean"), ([0.5, 2.0, 1.5], 0.0, "sum"), ([0.5, 2.0, 1.5], 0.2, "none")],
)
def test_soft_targets_are_differentiable_to_third_order(
    weight: Any, smoothing: float, reduction: Any
) -> None:
    rng = np.random.default_rng(4)
    z, y = rng.normal(size=(2, 3)), rng.dirichlet(np.ones(3), size=2)
    for loss, order in ((ag.cross_entropy, 3), (ag.unfused_cross_entropy, 1)):

        def f(z: Any, y: Any, loss: Any = loss) -> Any:
            return loss(z, y, weight=weight, label_smoothing=smoothing, reduction=reduction)

        ag.check_grads(f, z, y, order=order)


# With weights, PyTorch weighs the smoothing, too: see the test after the next.
LIKE_PYTORCH = [o for o in option_cases() if o["weight"] is None or not o["label_smoothing"]]


@pytest.mark.peer
@pytest.mark.parametrize("options", LIKE_PYTORCH, ids=shortened)
def test_values_and_gradients_are_those_of_pytorch(options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(6)
    weight, ignore = options["weight"], options["ignore_index"]
    for shape, axis in (((6, 4), 1), ((4,), 0), ((2, 4, 3), 1), ((2, 4, 3, 2), 1)):
        z = 3 * rng.normal(size=shape)
        labels = rng.integers(4, size=shape[:axis] + shape[axis + 1 :])
        if ignore == -100 and labels.ndim:
            labels[..., 0] = -100
        x = torch.tensor(z, requires_grad=True)
        theirs = torch.nn.functional.cross_entropy(
            x,
            torch.tensor(labels),
            weight=None if weight is None else torch.tensor(weight),
            ignore_index=-1 if ignore is None else ignore,
            label_smoothing=options["label_smoothing"],
            reduction=options["reduction"],
        )
        if not torch.isfinite(theirs).all():  # nothing counts: 0 by 0
            continue
        theirs.sum().backward()
        t = ag.Tensor(z, requires_grad=True)
        ours = ag.cross_entropy(t, labels, axis=axis, **options)
        np.sum(ours).backward()
        np.testing.assert_allclose(ours.data, theirs.detach().numpy(), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(t.grad, x.grad.numpy(), rtol=1e-10, atol=1e-15)
        if axis == 1 and len(shape) > 2:  # any axis will do
            moved, rows = np.moveaxis(z, 1, 0), labels
            np.testing.assert_allclose(
                ag.cross_entropy(moved, rows, axis=0, **options), ours.data, rtol=1e-13
            )


@pytest.mark.peer
@pytest.mark.parametrize(("smoothing", "weighted"), [(0.0, False), (0.0, True), (0.1, False)])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_soft_targets_are_those_of_pytorch(
    smoothing: float, weighted: bool, reduction: Any
) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(7)
    weight = np.array([0.5, 2.0, 0.0, 1.5]) if weighted else None
    for shape in ((5, 4), (2, 4, 3)):
        z = rng.normal(size=shape)
        y = np.moveaxis(rng.dirichlet(np.ones(4), size=(shape[0], *shape[2:])), -1, 1)
        x, t = torch.tensor(z, requires_grad=True), torch.tensor(y, requires_grad=True)
        theirs = torch.nn.functional.cross_entropy(
            x,
            t,
            weight=None if weight is None else torch.tensor(weight),
            label_smoothing=smoothing,
            reduction=reduction,
        )
        theirs.sum().backward()
        value, gradients = ag.value_and_grad(
            lambda z, y: np.sum(
                ag.cross_entropy(
                    z, y, axis=1, weight=weight, label_smoothing=smoothing, reduction=reduction
                )
            ),
            (0, 1),
        )(z, y)
        np.testing.assert_allclose(value, theirs.sum().item(), rtol=1e-12)
        np.testing.assert_allclose(gradients[0], x.grad.numpy(), rtol=1e-10, atol=1e-14)
        difference = gradients[1] - t.grad.numpy()
        if smoothing:  # where a row's sum stays 1, its mean slope does not matter
            difference -= difference.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(difference, 0, atol=1e-14)


def smoothed(y: Any, smoothing: float) -> Any:
    """Return rows with a share of each row's sum spread evenly."""
    return (1 - smoothing) * y + smoothing * y.mean(axis=-1, keepdims=True)


@pytest.mark.peer
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("smoothing", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("hard", [True, False])
def test_weights_with_smoothing_beside_those_of_pytorch(
    loss: Any, smoothing: float, hard: bool
) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(8)
    for _ in range(10):
        z, labels, weight = rng.normal(size=(6, 4)), rng.integers(4, size=6), rng.random(4)
        y = np.eye(4)[labels] if hard else rng.dirichlet(np.ones(4), size=6)

        def theirs(target: Any, z: Any = z, **options: Any) -> Any:
            return torch.nn.functional.cross_entropy(
                torch.tensor(z), torch.tensor(target), reduction="none", **options
            ).numpy()

        pytorchs = theirs(
            labels if hard else y, weight=torch.tensor(weight), label_smoothing=smoothing
        )
        ours = loss(z, y, weight=weight, label_smoothing=smoothing, reduction="none")
        # Weighed first, smoothed then: PyTorch's loss of such soft targets.
        np.testing.assert_allclose(ours, theirs(smoothed(weight * y, smoothing)), rtol=1e-12)
        # PyTorch's own convention: smoothed rows as soft targets.
        given = loss(z, smoothed(y, smoothing), weight=weight, reduction="none")
        np.testing.assert_allclose(given, pytorchs, rtol=1e-12)
        assert not np.allclose(ours, pytorchs, rtol=1e-3)
    if hard:
        total = weight[labels].sum()
        mean = loss(z, labels, weight=weight, label_smoothing=smoothing)
        np.testing.assert_allclose(mean, ours.sum() / total, rtol=1e-12)


@pytest.mark.parametrize("options", option_cases(), ids=shortened)
def test_labels_and_one_hot_rows_are_one_loss(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(10)
    z, labels = 2 * rng.normal(size=(9, 4)), rng.integers(4, size=9)
    x, w = rng.normal(size=(9, 5)), rng.normal(size=(4, 5))
    y = np.eye(4)[labels]
    soft = dict(options)
    if soft.pop("ignore_index") == 1:
        y[labels == 1] = 0
    counts = y if options["weight"] is None else y * options["weight"]
    # The mean of soft targets is over all rows, as in PyTorch.
    factor = len(y) / counts.sum() if options["reduction"] == "mean" else 1.0
    for loss in LOSSES:
        a, slope = ag.value_and_grad(lambda z, f=loss: np.sum(f(z, labels, **options)))(z)
        b, other = ag.value_and_grad(lambda z, f=loss: np.sum(f(z, y, **soft)) * factor)(z)
        np.testing.assert_allclose(a, b, rtol=1e-13)
        np.testing.assert_allclose(slope, other, rtol=1e-11, atol=1e-15)
    for o in (options, soft):
        o["class_weight"] = o.pop("weight")
    np.testing.assert_allclose(
        ag.linear_cross_entropy(x, w, labels, **options),
        ag.linear_cross_entropy(x, w, y, **soft) * factor,
        rtol=1e-13,
    )


def test_weights_and_smoothing_weigh_whole_rows() -> None:
    z, labels, weight = np.array([[1.0, 2.0, 4.0], [0.0, 1.0, 0.0]]), [0, 2], [0.5, 1.0, 3.0]
    options: dict[str, Any] = {"label_smoothing": 0.1, "reduction": "none"}
    rows = ag.cross_entropy(z, labels, **options)
    for target in (labels, np.eye(3)[labels]):
        np.testing.assert_allclose(
            ag.cross_entropy(z, target, weight=weight, **options), [0.5 * rows[0], 3 * rows[1]]
        )
    mean = ag.cross_entropy(z, labels, weight=weight, label_smoothing=0.1)
    np.testing.assert_allclose(mean, (0.5 * rows[0] + 3 * rows[1]) / 3.5)


@pytest.mark.parametrize("hard", [True, False])
def test_the_best_prediction_is_the_smoothed_target_whatever_the_weights(hard: bool) -> None:
    best = np.log([0.95, 0.05])
    target = [0] if hard else np.array([[1.0, 0.0]])
    slope = ag.grad(
        lambda z: ag.cross_entropy(z[None], target, weight=[1.0, 99.0], label_smoothing=0.1)
    )(best)
    np.testing.assert_allclose(slope, 0, atol=1e-15)


# ---------------------------------------------------------------------------- conventions


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_nothing_to_average_is_zero(loss: Any, reduction: Any) -> None:
    z = np.array([[1.0, nan], [2.0, 3.0]])
    cases = [({"ignore_index": 7}, [7, 7]), ({"weight": [1.0, 0.0]}, [1, 1])]
    for options, labels in cases:
        assert loss(z, labels, reduction=reduction, **options) == 0
        assert np.all(gradient(loss, z, labels, reduction=reduction, **options) == 0)
    empty = np.zeros((0, 3))
    assert loss(empty, np.zeros(0, int), reduction=reduction) == 0
    assert gradient(loss, empty, np.zeros(0, int), reduction=reduction).shape == (0, 3)
    assert loss(empty, empty, reduction=reduction) == 0
    assert loss(np.zeros((3, 0, 2)), np.zeros((0, 2), int), axis=0, reduction=reduction) == 0


def test_without_a_reduction_an_empty_batch_gives_no_losses() -> None:
    empty = np.zeros((0, 3), np.float32)
    loss = ag.cross_entropy(empty, np.zeros(0, int), reduction="none")
    assert loss.shape == (0,)
    assert loss.dtype == np.float32
    loss = ag.linear_cross_entropy(empty, np.ones((4, 3), np.float32), np.zeros(0, int))
    assert loss == 0


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("bad", [nan, inf, -inf])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_ignored_rows_are_inert_in_every_order(
    reduction: Any, bad: float, smoothing: float
) -> None:
    rng = np.random.default_rng(9)
    z, labels = rng.normal(size=(3, 4)), np.array([1, -5, 2])
    z[1] = bad

    def f(z: Any, labels: Any = labels) -> Any:
        loss = ag.cross_entropy(
            z, labels, ignore_index=-5, label_smoothing=smoothing, reduction=reduction
        )
        return np.sum(loss * loss)

    def pushed(f: Any) -> Any:
        return lambda z: np.sum(f(z) ** 2)

    first = ag.grad(f)
    second = ag.grad(pushed(first))
    third = ag.grad(pushed(second))
    kept = z[[0, 2]]
    for derivative in (first, second, third):
        found = derivative(z)
        assert np.all(found[1] == 0)
        f.__defaults__ = (labels[[0, 2]],)
        np.testing.assert_allclose(found[[0, 2]], derivative(kept), rtol=1e-12)
        f.__defaults__ = (labels,)


def test_a_row_without_soft_targets_is_inert() -> None:
    z, y = np.array([[nan, 1.0], [0.0, 1.0]]), np.array([[0.0, 0.0], [0.5, 0.5]])
    x = ag.Tensor(z, requires_grad=True)
    loss = ag.cross_entropy(x, y, reduction="none")
    assert loss.data[0] == 0
    loss.backward(np.ones(2))
    assert np.all(x.grad[0] == 0)
    assert np.isfinite(x.grad[1]).all()
    second = ag.grad(lambda t: np.sum(ag.grad(lambda u: ag.cross_entropy(u, y))(t)[:, 0]))(z)
    assert np.all(second[0] == 0)
    assert np.isfinite(second).all()


def test_a_masked_class_takes_no_part() -> None:
    z = np.array([[-inf, 1.0, 2.0]])
    rest = z[:, 1:]
    assert ag.cross_entropy(z, [2]) == ag.cross_entropy(rest, [1])
    np.testing.assert_array_equal(gradient(ag.cross_entropy, z, [2])[:, 0], [0])
    y = np.array([[0.0, 0.25, 0.75]])
    np.testing.assert_allclose(ag.cross_entropy(z, y), ag.cross_entropy(rest, y[:, 1:]), rtol=1e-15)
    found = gradient(ag.cross_entropy, z, y)
    assert found[0, 0] == 0
    np.testing.assert_allclose(found[:, 1:], gradient(ag.cross_entropy, rest, y[:, 1:]), rtol=1e-14)
    hessian = ag.hessian(lambda t: ag.cross_entropy(t, [2]))(z).reshape(3, 3)
    assert np.all(hessian[0] == 0)
    assert np.all(hessian[:, 0] == 0)
    assert np.all(hessian[1:, 1:] != 0)
    assert ag.cross_entropy(z, [2], label_smoothing=0.1) == inf  # its share there is not 0
    assert ag.cross_entropy(z, [0]) == inf
    assert np.isfinite(gradient(ag.cross_entropy, z, [0])).all()


def test_a_nearly_certain_row_has_a_loss_and_a_gradient() -> None:
    z = np.array([[40.0, 0.0]], np.float32)
    x = ag.Tensor(z, requires_grad=True)
    loss = ag.cross_entropy(x, [0])
    loss.backward()
    np.testing.assert_allclose(loss.item(), 4.248354255291589e-18, rtol=1e-6)
    np.testing.assert_allclose(x.grad, [[-4.248354e-18, 4.248354e-18]], rtol=1e-6)
    assert ag.unfused_cross_entropy(z, [0]) == 0  # as in other libraries


# ---------------------------------------------------------------------------- bad input

Z = np.zeros((3, 4))
BAD_INPUT: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    ([0, 4, 1], {}, IndexError, "label 4 at row 1 is out of range for 4 classes"),
    (
        [0, 1, -1],
        {},
        IndexError,
        "label -1 at row 2 is out of range for 4 classes; pass ignore_ind",
    ),
    ([0, 1, -1], {"ignore_index": -2}, IndexError, "label -1 at row 2"),
    (np.array([2**64 - 1, 0, 0], np.uint64), {}, IndexError, "label 18446744073709551615 at row 0"),
    ([0.0, 1.0, 2.0], {}, TypeError, "class labels must be integers, not float64; use astype"),
    ([True, False, True], {}, TypeError, "class labels must be integers, not bool"),
    ([0, 1], {}, ValueError, r"logits of shape \(3, 4\) need labels of shape \(3,\) .* not \(2,\)"),
    (0, {}, ValueError, r"need labels of shape \(3,\)"),
    (
        np.ones((3, 5)),
        {},
        ValueError,
        r"soft targets must have the logits' shape \(3, 4\), not \(3",
    ),
    (np.full((3, 4), nan), {}, ValueError, "the soft targets hold nan or inf"),
    (np.full((3, 4), inf), {}, ValueError, "the soft targets hold nan or inf"),
    (np.full((3, 4), 1j), {}, TypeError, "soft targets must be numbers, not complex128"),
    (np.ones((3, 4)), {"ignore_index": 1}, ValueError, "ignore_index needs class labels; give ign"),
    (
        [0, 1, 2],
        {"weight": [1, 1, 1]},
        ValueError,
        r"weights have shape \(3,\), but there are 4 cla",
    ),
    ([0, 1, 2], {"weight": [1, 1, 1, -1]}, ValueError, "weights must be finite and not negative"),
    ([0, 1, 2], {"weight": [1, 1, 1, nan]}, ValueError, "weights must be finite and not negative"),
    ([0, 1, 2], {"weight": [1, 1, 1, inf]}, ValueError, "weights must be finite and not negative"),
    ([0, 1, 2], {"label_smoothing": 1.5}, ValueError, r"must lie in \[0, 1\], not 1.5"),
    ([0, 1, 2], {"label_smoothing": -0.1}, ValueError, r"must lie in \[0, 1\], not -0.1"),
    ([0, 1, 2], {"label_smoothing": nan}, ValueError, r"must lie in \[0, 1\], not nan"),
    ([0, 1, 2], {"label_smoothing": None}, ValueError, r"must lie in \[0, 1\], not None"),
    (
        [0, 1, 2],
        {"reduction": "average"},
        ValueError,
        """be "mean", "sum" or "none", not 'average'""",
    ),
]


@pytest.mark.parametrize(("target", "options", "error", "message"), BAD_INPUT)
def test_bad_input_is_refused_by_name(
    target: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    for z in (Z, ag.Tensor(Z, requires_grad=True)):
        for loss in LOSSES:
            with pytest.raises(error, match=f"ag.{loss.__name__}: .*{message}"):
                loss(z, target, **options)
        options = {"class_weight" if k == "weight" else k: v for k, v in options.items()}
        with pytest.raises(error, match=f"ag.linear_cross_entropy: .*{message}"):
            ag.linear_cross_entropy(np.ones((3, 2)), np.ones((4, 2)), target, **options)
        options = {"weight" if k == "class_weight" else k: v for k, v in options.items()}


@pytest.mark.parametrize("loss", LOSSES)
def test_bad_logits_are_refused_by_name(loss: Any) -> None:
    name = f"ag.{loss.__name__}"
    with pytest.raises(
        TypeError, match=f"{name}: expected floating-point values, not int64; use as"
    ):
        loss([[1, 2]], [0])
    with pytest.raises(TypeError, match=f"{name}: expected floating-point values, not complex128"):
        loss([[1j, 2]], [0])
    with pytest.raises(ValueError, match=rf"{name}: axis 2 is out of range for shape \(3, 4\)"):
        loss(Z, [0, 1, 2], axis=2)
    with pytest.raises(ValueError, match=f"{name}: axis -1 is out of range"):
        loss(1.0, 0)
    with pytest.raises(
        ValueError, match=rf"{name}: there are no classes along axis 1 of shape \(3, "
    ):
        loss(np.zeros((3, 0)), [0, 0, 0])


def test_a_label_out_of_range_is_found_in_any_number_of_dimensions() -> None:
    labels = np.zeros((2, 3), int)
    labels[1, 2] = 9
    with pytest.raises(IndexError, match=r"label 9 at row \(1, 2\) is out of range for 4 classes"):
        ag.cross_entropy(np.zeros((2, 4, 3)), labels, axis=1)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_row_of_zeros_is_inert_under_smoothing_too(loss: Any) -> None:
    z, y = np.array([[3.0, 1.0], [1.0, 2.0]]), np.array([[0.0, 0.0], [1.0, 0.0]])
    slope = ag.grad(lambda z: loss(z, y, label_smoothing=0.1, reduction="sum"))(z)
    alone = ag.grad(lambda z: loss(z, y[1:], label_smoothing=0.1, reduction="sum"))(z[1:])
    np.testing.assert_allclose(slope, [[0, 0], *alone], rtol=1e-14)


@pytest.mark.parametrize("loss", LOSSES)
def test_what_would_be_ignored_silently_is_refused(loss: Any) -> None:
    for index in ([0, 1], 1.5, "a"):
        with pytest.raises(TypeError, match="cross_entropy: ignore_index must be an integer, not"):
            loss(Z, [0, 1, 2], ignore_index=index)


@pytest.mark.parametrize(
    ("shape", "axis", "target", "remedy"),
    [
        ((3, 1), -1, [0, 0, 0], "z[:, 0]"),
        ((3, 1), 1, [0, 1, 1], "z[:, 0]"),
        ((3, 1), 1, [[0], [1], [1]], "z"),
        ((3, 1), 1, [[0.0], [1.0], [1.0]], "z"),
        ((2, 1, 2), 1, [[0, 1], [1, 1]], "np.squeeze(z, 1)"),
        ((1, 3), 0, [0, 1, 1], "np.squeeze(z, 0)"),
        ((1,), 0, 1, "np.squeeze(z, 0)"),
    ],
)
def test_one_class_is_told_to_be_binary_labels(
    shape: tuple[int, ...], axis: int, target: Any, remedy: str
) -> None:
    z = np.random.default_rng(0).normal(size=shape)
    said = (
        f"logits of shape {shape} have one class, whose loss is always 0; for labels 0 and 1 use "
        f"ag.nn.binary_cross_entropy_with_logits({remedy}, y)"
    )
    for loss in LOSSES:
        with pytest.raises(ValueError, match=re.escape(f".{loss.__name__}: {said}")):
            loss(z, target, axis=axis)
    names = {"np": np, "ag": ag, "z": z, "y": np.array(target)}
    assert eval(said[said.index("ag.nn") :], names) > 0


def test_class_weights_that_require_a_gradient_are_refused() -> None:
    weight = ag.Tensor(np.ones(4), requires_grad=True)
    with pytest.raises(TypeError, match=r"no derivative in weight or label_s.* weight\.detach\(\)"):
        ag.cross_entropy(Z, [0, 1, 2], weight=weight)
    plain = ag.cross_entropy(Z, [0, 1, 2], weight=ag.Tensor(np.ones(4)))
    np.testing.assert_allclose(plain, np.log(4), rtol=1e-15)


def test_warnings_are_left_to_the_results() -> None:
    # Warnings are errors here.
    z = np.array([[1e4, -1e4], [inf, 0.0], [-inf, -inf], [nan, 0.0], [800.0, 0.0]])
    for target in (np.zeros(5, int), np.full((5, 2), 0.5)):
        ag.cross_entropy(z, target, reduction="none")
    ag.softmax(z), ag.log_softmax(z), ag.logsumexp(z)


# ---------------------------------------------------------------------------- backward


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_second_backward_gives_the_same_bits(reduction: Any, dtype: Any) -> None:
    rng = np.random.default_rng(10)
    z, labels = rng.normal(size=(50, 7)).astype(dtype), rng.integers(7, size=50)
    for target in (labels, rng.dirichlet(np.ones(7), size=50).astype(dtype)):
        x = ag.Tensor(z, requires_grad=True)
        loss = ag.cross_entropy(x, target, reduction=reduction)
        g = (1 + rng.random(loss.shape)).astype(dtype)
        loss.backward(g)
        first = x.grad
        x.grad = None
        loss.backward(g)
        assert x.grad is not first
        np.testing.assert_array_equal(x.grad, first)
        x.grad = None
        loss.backward(g, create_graph=True)
        np.testing.assert_array_equal(x.grad.data, first)


def test_logits_that_change_between_two_backward_calls_are_noticed() -> None:
    logits = ag.Tensor(np.zeros((2, 3)), requires_grad=True)
    loss = ag.cross_entropy(logits, [0, 1])
    loss.backward()
    first = logits.grad
    np.testing.assert_allclose(first[0], [-1 / 3, 1 / 6, 1 / 6])
    logits._values[0, 0] = 5  # which nobody should do
    message = "ag.cross_entropy: an array it read was changed between the call and the computation"
    for create_graph in (False, True):
        with pytest.raises(RuntimeError, match=message):
            loss.backward(create_graph=create_graph)
    assert logits.grad is first


def test_the_first_gradient_is_that_of_the_loss_whatever_happens_to_the_logits() -> None:
    logits = ag.Tensor(np.zeros((2, 3)), requires_grad=True)
    loss = ag.cross_entropy(logits, [0, 1])
    logits._values[:] = 5
    loss.backward()
    np.testing.assert_allclose(logits.grad[0], [-1 / 3, 1 / 6, 1 / 6])


def test_soft_targets_that_change_are_noticed() -> None:
    y = np.full((2, 3), 1 / 3)
    x = ag.Tensor(np.eye(2, 3), requires_grad=True)
    loss = ag.cross_entropy(x, y)
    loss.backward()
    y[0] = [1, 0, 0]
    with pytest.raises(
        RuntimeError, match=r"ag.cross_entropy: .* compute the gradient first, or pas"
    ):
        loss.backward()


def test_the_arrays_given_are_not_written_to() -> None:
    rng = np.random.default_rng(11)
    for shift in (0, 1e4):
        z, labels = shift + rng.normal(size=(5, 3)), rng.integers(3, size=5)
        y = rng.dirichlet(np.ones(3), size=5)
        arrays = z, labels, y
        copies = [a.copy() for a in arrays]
        for target in (labels, y):
            gradient(ag.cross_entropy, z, target, ignore_index=None)
            ag.softmax(z), ag.log_softmax(z), ag.logsumexp(z)
        for a, b in zip(arrays, copies):
            np.testing.assert_array_equal(a, b)


# ---------------------------------------------------------------------------- rows left out

_LEFT_OUT: dict[str, tuple[Any, dict[str, Any]]] = {
    "labels": ([0, 1, 2], {}),
    "smoothing": ([0, 1, 2], {"label_smoothing": 0.1}),
    "class weights": ([0, 1, 2], {"weight": [1.0, 2.0, 0.5]}),
    "ignored rows": ([0, 1, 2], {"ignore_index": 0}),
    "soft targets": (np.array([[0.2, 0.3, 0.5], [1, 0, 0], [0.1, 0.1, 0.8]]), {}),
}


@pytest.mark.parametrize("case", _LEFT_OUT)
@pytest.mark.parametrize("bad", [nan, inf])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_row_left_out_of_the_losses_gets_zeros_whatever_it_holds(case, bad, axis) -> None:
    y, options = _LEFT_OUT[case]
    z = np.array([[1.0, 2.0, 3.0], [bad, 0.0, 1.0], [0.0, 1.0, -1.0]])
    rows = [0, 2]

    def taken(z: Any, y: Any = y) -> Any:
        laid = (z, y) if axis else (z.T, np.transpose(y))
        losses = ag.cross_entropy(*laid, axis=axis, reduction="none", **options)
        return np.sum(losses[rows])

    def squares(f: Any) -> Any:
        return lambda z: np.sum(ag.grad(f)(z) ** 2)

    finite = np.where(np.isfinite(z), z, 0.0)
    for function in (taken, squares(taken)):
        expected = ag.grad(function)(finite)
        np.testing.assert_array_equal(expected[1], 0)
        assert np.abs(expected[rows]).max() > 0.01
        np.testing.assert_allclose(ag.grad(function)(z), expected, rtol=1e-13)
    product = ag.hvp(taken, (z,), (np.ones((3, 3)) * [1, 2, 3],))[0]
    np.testing.assert_allclose(
        product, ag.hvp(taken, (finite,), (np.ones((3, 3)) * [1, 2, 3],))[0], rtol=1e-13
    )
    if case == "soft targets":
        slope = ag.grad(lambda y: taken(z, y))(y)
        np.testing.assert_allclose(slope, ag.grad(lambda y: taken(finite, y))(y), rtol=1e-13)


def test_a_row_that_is_taken_keeps_its_nan() -> None:
    z = np.array([[1.0, 2.0], [nan, 0.0], [0.0, 1.0]])
    slope = ag.grad(lambda z: np.sum(ag.cross_entropy(z, [0, 1, 0], reduction="none")[1:]))(z)
    np.testing.assert_array_equal(np.isnan(slope), [[False, False], [True, True], [False, False]])
    np.testing.assert_array_equal(slope[0], 0)


def test_a_row_with_a_cotangent_of_zero_is_left_out() -> None:
    z = np.array([[1.0, 2.0], [nan, 0.0], [0.0, 1.0]])
    pull = ag.vjp(lambda z: ag.cross_entropy(z, [0, 1, 0], reduction="none"), z)[1]
    (slope,) = pull(np.array([1.0, 0.0, 2.0]))
    assert np.isfinite(slope).all()
    np.testing.assert_array_equal(slope[1], 0)


# ---------------------------------------------------------------------------- memory


@pytest.mark.parametrize(("rows", "classes"), [(60_000, 10), (1024, 1000), (256, 32_000)])
def test_the_gradient_is_all_the_memory_that_is_needed(rows: int, classes: int) -> None:
    rng = np.random.default_rng(12)
    x = ag.Tensor(rng.normal(size=(rows, classes)).astype(np.float32), requires_grad=True)
    labels = rng.integers(classes, size=rows)
    ag.cross_entropy(x, labels).backward()
    x.grad = None
    tracemalloc.start()
    ag.cross_entropy(x, labels).backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert x.grad.nbytes <= peak < 1.15 * x.nbytes


def test_the_loss_alone_needs_no_memory_like_the_logits() -> None:
    z = np.random.default_rng(13).normal(size=(4096, 1000)).astype(np.float32)
    labels = np.zeros(4096, int)
    tracemalloc.start()
    ag.cross_entropy(z, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.2 * z.nbytes  # two blocks of 1 MiB


def test_unfused_soft_target_of_zero_has_no_share_of_a_masked_class() -> None:
    z, y = np.array([[1.0, -np.inf, 2.0]]), np.array([[1.0, 0.0, 0.0]])
    assert ag.unfused_cross_entropy(z, y) == pytest.approx(ag.cross_entropy(z, y), rel=1e-14)
    t = ag.Tensor(z, requires_grad=True)
    ag.unfused_cross_entropy(t, y).backward()
    p = np.exp(z - 2) / (1 + np.exp(-1))
    np.testing.assert_allclose(t.grad, p - y, rtol=1e-14)


def test_unfused_row_that_does_not_count_may_be_infinite() -> None:
    z = np.array([[0.0, -np.inf], [1.0, 2.0]])
    loss = ag.unfused_cross_entropy(z, [1, 0], ignore_index=1)
    assert loss == pytest.approx(ag.cross_entropy(z, [1, 0], ignore_index=1))
