from __future__ import annotations

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite import nn

ACTIVATIONS = [
    nn.relu,
    nn.leaky_relu,
    nn.gelu,
    lambda x: nn.gelu(x, "tanh"),
    nn.tanh,
    nn.sigmoid,
    nn.softplus,
    lambda x: nn.softplus(x, 3.0),
    nn.silu,
]
MODULES = [
    nn.ReLU(),
    nn.LeakyReLU(),
    nn.GELU(),
    nn.GELU("tanh"),
    nn.Tanh(),
    nn.Sigmoid(),
    nn.Softplus(),
    nn.Softplus(3.0),
    nn.SiLU(),
]
LOSSES = [nn.mse_loss, nn.l1_loss, nn.huber_loss, nn.kl_div]


def test_gradients_of_activations_to_second_order():
    x = np.array([-30.0, -3.1, -0.7, 0.4, 2.2, 30.0])
    for function in ACTIVATIONS:
        ag.check_grads(function, x)


def test_modules_are_the_functions():
    x = np.linspace(-3, 3, 7)
    for function, module in zip(ACTIVATIONS, MODULES):
        assert np.array_equal(function(x), module(x))


@pytest.mark.parametrize("function", ACTIVATIONS)
def test_activations_keep_float32_nan_and_shape(function):
    x = ag.Tensor(np.array([[-1.0, 2.0, np.nan]], np.float32), requires_grad=True)
    y = function(x)
    assert y.dtype == np.float32
    assert y.shape == x.shape
    assert np.isnan(y.detach().numpy()[0, 2])
    np.sum(y).backward()
    assert x.grad.dtype == np.float32


def test_activations_convert_integers_and_refuse_the_rest():
    assert nn.sigmoid([0]).dtype == float
    with pytest.raises(TypeError, match=r"nn\.relu: expected real numbers, got complex128"):
        nn.relu(1j)
    with pytest.raises(TypeError, match=r"nn\.gelu: expected real numbers, got <U1"):
        nn.gelu("a")
    with pytest.raises(ValueError, match="approximate must be 'none' or 'tanh'"):
        nn.gelu(1.0, "erf")
    with pytest.raises(ValueError, match="beta must be positive"):
        nn.Softplus(0.0)


def test_derivative_of_relu_at_0_is_0():
    assert ag.grad(lambda x: nn.relu(x))(0.0) == 0


def _ulps(ours, exact):
    exact = np.array([float(v) for v in exact])
    return np.max(np.abs(ours - exact) / np.spacing(np.abs(exact)))


def test_tails_are_accurate_to_the_last_digits():
    mp = pytest.importorskip("mpmath")
    mp.mp.dps = 60
    x = np.array([-30.0, -12.5, -5.0, -1.0, -1e-9, 1e-9, 0.5, 3.0, 20.0, 40.0])
    exact = [mp.mpf(v) for v in x]
    assert _ulps(nn.sigmoid(x), [1 / (1 + mp.exp(-v)) for v in exact]) <= 3
    assert _ulps(nn.softplus(x), [mp.log1p(mp.exp(v)) for v in exact]) <= 3
    slope = ag.elementwise_grad(nn.sigmoid)(x)
    assert _ulps(slope, [mp.exp(-v) / (1 + mp.exp(-v)) ** 2 for v in exact]) <= 6


def test_gelu_agrees_with_40_digits():
    mp = pytest.importorskip("mpmath")
    mp.mp.dps = 40
    x = np.concatenate([np.linspace(-36, 8, 331), [-1e-300, 0.0, 1e-300]])
    exact = np.array([float(mp.mpf(v) * mp.ncdf(mp.mpf(v))) for v in x])
    # exp(-z * z) magnifies the rounding of z * z by up to its value, in the far left tail
    tolerance = np.finfo(float).eps * (4 + x * x)
    assert np.all(np.abs(nn.gelu(x) - exact) <= tolerance * np.abs(exact))
    single = x[x > -12].astype(np.float32)
    exact = np.array([float(mp.mpf(float(v)) * mp.ncdf(mp.mpf(float(v)))) for v in single])
    tolerance = np.finfo(np.float32).eps * (6 + single * single)
    assert np.all(np.abs(nn.gelu(single) - exact) <= tolerance * np.abs(exact))


# ---------------------------------------------------------------------------- losses


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    return rng.normal(size=(4, 3)), rng.uniform(0.1, 0.9, size=(4, 3))


@pytest.mark.parametrize("loss", [*LOSSES, nn.binary_cross_entropy_with_logits])
def test_gradients_of_losses_to_second_order(loss, pair):
    x, y = pair
    for reduction in ("mean", "sum", "none"):
        ag.check_grads(lambda x, y, r=reduction: loss(x, y, reduction=r), x[:2], y[:2])


@pytest.mark.parametrize("loss", [*LOSSES, nn.binary_cross_entropy_with_logits])
def test_losses_never_broadcast_and_name_a_bad_reduction(loss, pair):
    x, y = pair
    with pytest.raises(
        ValueError, match=r"the target has shape \(4, 1\), but the prediction has shape"
    ):
        loss(x, y[:, :1])
    with pytest.raises(ValueError, match="reduction must be 'mean', 'sum' or 'none', got 'max'"):
        loss(x, y, reduction="max")


@pytest.mark.parametrize("loss", [*LOSSES, nn.binary_cross_entropy_with_logits])
def test_losses_keep_float32_whatever_the_target_is(loss, pair):
    x, y = pair
    assert loss(x.astype(np.float32), y).dtype == np.float32


def test_values_of_losses():
    x, y = np.array([0.0, 1.0, 4.0]), np.array([0.0, 3.0, 4.5])
    assert np.array_equal(nn.mse_loss(x, y, reduction="none"), [0, 4, 0.25])
    assert np.array_equal(nn.l1_loss(x, y, reduction="none"), [0, 2, 0.5])
    assert np.array_equal(nn.huber_loss(x, y, reduction="none"), [0, 1.5, 0.125])
    assert np.array_equal(nn.huber_loss(x, y, delta=3.0, reduction="none"), [0, 2, 0.125])
    with pytest.raises(ValueError, match="delta must be positive"):
        nn.huber_loss(x, y, delta=0)


def test_kl_div_is_0_times_log_0_where_the_target_is_0():
    p = np.array([[0.5, 0.5, 0.0]])
    x = ag.Tensor([[np.log(0.25), np.log(0.75), -np.inf]], requires_grad=True)
    loss = nn.kl_div(x, p, reduction="batchmean")
    assert loss.item() == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(2 / 3))
    loss.backward()
    assert np.array_equal(x.grad, -p)
    impossible = ag.Tensor([[np.log(0.5), np.log(0.5), -np.inf]], requires_grad=True)
    x.grad = None
    same = nn.kl_div(x, impossible, log_target=True, reduction="batchmean")
    assert same.item() == pytest.approx(loss.item(), rel=1e-14)
    same.backward()
    assert np.allclose(x.grad, -p, rtol=1e-15)
    assert np.isfinite(impossible.grad).all()
    q, target = np.log([[0.2, 0.3, 0.5]]), np.log([[0.1, 0.6, 0.3]])
    both = [nn.kl_div(q, np.exp(target)), nn.kl_div(q, target, log_target=True)]
    assert np.allclose(both[0], both[1], rtol=1e-14)


def test_binary_cross_entropy_keeps_its_digits():
    mp = pytest.importorskip("mpmath")
    mp.mp.dps = 200
    x = np.array([-40.0, -3.0, 0.0, 1e-9, 5.0, 37.0, 300.0])
    for y in (0.0, 1.0, 0.3):
        z = ag.Tensor(x, requires_grad=True)
        losses = nn.binary_cross_entropy_with_logits(z, np.full(7, y), reduction="none")
        exact = [
            (1 - mp.mpf(y)) * mp.log1p(mp.exp(v)) + mp.mpf(y) * mp.log1p(mp.exp(-v))
            for v in map(mp.mpf, x)
        ]
        assert _ulps(losses.detach().numpy(), exact) <= 3
        losses.backward(np.ones(7))
        slope = [1 / (1 + mp.exp(-v)) - mp.mpf(y) for v in map(mp.mpf, x)]
        if y in (0, 1):  # a difference of softer targets cancels for good where it changes sign
            assert _ulps(z.grad, slope) <= 4


def test_binary_cross_entropy_checks_targets_and_weighs_positives():
    with pytest.raises(ValueError, match="every target must be between 0 and 1"):
        nn.binary_cross_entropy_with_logits([0.0, 1.0], [0.0, 1.5])
    with pytest.raises(ValueError, match="every target must be between 0 and 1"):
        nn.binary_cross_entropy_with_logits([0.0], [np.nan])
    for weight in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="every pos_weight must be finite and at least 0"):
            nn.binary_cross_entropy_with_logits([0.0], [1.0], pos_weight=weight)
    x, y = np.array([0.3, -0.2]), np.array([1.0, 0.0])
    plain = nn.binary_cross_entropy_with_logits(x, y, reduction="none")
    weighed = nn.binary_cross_entropy_with_logits(x, y, pos_weight=3.0, reduction="none")
    assert np.allclose(weighed, plain * [3, 1])


@pytest.mark.peer
def test_activations_and_losses_agree_with_torch(pair):
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    x, y = pair
    theirs = [
        F.relu,
        F.leaky_relu,
        F.gelu,
        lambda t: F.gelu(t, approximate="tanh"),
        torch.tanh,
        torch.sigmoid,
        F.softplus,
        lambda t: F.softplus(t, beta=3.0),
        F.silu,
    ]
    for ours, other in zip(ACTIVATIONS, theirs):
        assert np.allclose(ours(x), other(torch.tensor(x)).numpy(), rtol=1e-12, atol=1e-15)
    pairs = [
        (nn.mse_loss, F.mse_loss),
        (nn.l1_loss, F.l1_loss),
        (nn.huber_loss, F.huber_loss),
        (nn.kl_div, F.kl_div),
        (nn.binary_cross_entropy_with_logits, F.binary_cross_entropy_with_logits),
    ]
    for ours, other in pairs:
        for reduction in ("sum", "none"):
            wanted = other(torch.tensor(x), torch.tensor(y), reduction=reduction).numpy()
            assert np.allclose(ours(x, y, reduction=reduction), wanted, rtol=1e-12)


# ---------------------------------------------------------------------------- nothing, and float16


BINARY = nn.binary_cross_entropy_with_logits


@pytest.mark.parametrize("loss", [*LOSSES, BINARY, ag.cross_entropy])
@pytest.mark.parametrize("shape", [(0, 3), (2, 0, 3)])
def test_the_loss_of_no_rows_is_0(loss, shape):
    x = ag.Tensor(np.zeros(shape, np.float32), requires_grad=True)
    for reduction in ("mean", "sum"):
        value = loss(x, np.zeros(shape, np.float32), reduction=reduction)
        assert value.shape == ()
        assert value.dtype == np.float32
        assert value.item() == 0
        x.grad = None
        value.backward()
        assert x.grad.shape == shape
    rows = shape[:-1] if loss is ag.cross_entropy else shape
    assert loss(x, np.zeros(shape, np.float32), reduction="none").shape == rows


def test_linear_cross_entropy_and_kl_div_of_no_rows_are_0():
    w = ag.Tensor(np.ones((2, 3)), requires_grad=True)
    loss = ag.linear_cross_entropy(np.zeros((0, 3)), w, np.zeros(0, int))
    loss.backward()
    assert loss.item() == 0
    assert not w.grad.any()
    assert nn.kl_div(np.zeros((0, 3)), np.zeros((0, 3)), reduction="batchmean") == 0


def test_squared_errors_of_float16_are_added_up_in_float32(record_property):
    rng = np.random.default_rng(0)
    for _ in range(100):
        x, y = (rng.normal(size=50) * 10.0 ** rng.uniform(-1, 2.3) for _ in range(2))
        x, y = np.clip(x, -900, 900).astype(np.float16), y.clip(-900, 900).astype(np.float16)
        z = ag.Tensor(x, requires_grad=True)
        loss = nn.mse_loss(z, y)
        loss.backward()
        error = (x - y).astype(float)
        wanted = np.mean(error**2)
        assert loss.dtype == z.grad.dtype == np.float16
        if wanted < 6e4:
            assert loss.item() == pytest.approx(wanted, rel=2e-3)
        np.testing.assert_allclose(z.grad, error * 2 / 50, rtol=2e-3, atol=1e-7)
    record_property("float16 losses", 100)
