from __future__ import annotations

import math

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite.nn import init


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def weights(*shape):
    return ag.Tensor(np.zeros(shape, np.float32), requires_grad=True)


@pytest.mark.parametrize(
    ("fill", "variance"),
    [
        (init.xavier_uniform_, 2 / 700),
        (init.xavier_normal_, 2 / 700),
        (init.kaiming_uniform_, 2 / 400),
        (init.kaiming_normal_, 2 / 400),
        (
            lambda t, rng: init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu", rng=rng),
            2 / 300,
        ),
        (lambda t, rng: init.kaiming_uniform_(t, a=math.sqrt(5), rng=rng), 1 / 1200),
        (lambda t, rng: init.uniform_(t, -1, 2, rng=rng), 9 / 12),
        (lambda t, rng: init.normal_(t, 5, 0.5, rng=rng), 0.25),
    ],
)
def test_variances(fill, variance, rng):
    tensor = (
        weights(300, 100, 2, 2) if variance in (2 / 400, 2 / 300, 1 / 1200) else weights(300, 400)
    )
    if variance == 2 / 300:
        tensor = weights(300, 400)
    assert fill(tensor, rng=rng) is tensor
    assert tensor.dtype == np.float32
    assert tensor.detach().numpy().var() == pytest.approx(variance, rel=0.02)


def test_constants():
    assert np.all(init.ones_(weights(2, 2)).numpy() == 1)
    assert np.all(init.zeros_(init.constant_(weights(3), 7.0)).numpy() == 0)


def test_gains():
    assert init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("leaky_relu", 1.0) == 1
    with pytest.raises(
        ValueError, match=r"calculate_gain: nonlinearity must be 'linear', 'sigmoid'"
    ):
        init.calculate_gain("step")


def test_bad_arguments_are_named(rng):
    with pytest.raises(
        TypeError, match=r"nn\.init\.uniform_: rng must be a numpy\.random\.Generator"
    ):
        init.uniform_(weights(2), rng=None)
    with pytest.raises(
        ValueError, match=r"xavier_normal_: needs at least 2 axes \(out, in, \.\.\.\), got \(3,\)"
    ):
        init.xavier_normal_(weights(3), rng=rng)
    with pytest.raises(TypeError, match=r"nn\.init\.zeros_: expected a leaf Tensor, not ndarray"):
        init.zeros_(np.ones(3))
    with pytest.raises(ValueError, match="mode must be 'fan_in' or 'fan_out', got 'fan'"):
        init.kaiming_normal_(weights(2, 2), mode="fan", rng=rng)
