from __future__ import annotations

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite import nn
from autograd_lite.nn.convolution import _columns, _images, _Windows


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def naive_convolution(x, weight, bias, stride, padding):
    """Return a convolution by its definition, one output pixel at a time."""
    x = np.pad(x, [(0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2])
    kernel = weight.shape[2:]
    rows = range(0, x.shape[2] - kernel[0] + 1, stride[0])
    columns = range(0, x.shape[3] - kernel[1] + 1, stride[1])
    out = np.empty((len(x), len(weight), len(rows), len(columns)))
    for n in range(len(x)):
        for o in range(len(weight)):
            for i, top in enumerate(rows):
                for j, left in enumerate(columns):
                    window = x[n, :, top : top + kernel[0], left : left + kernel[1]]
                    out[n, o, i, j] = np.sum(window * weight[o]) + bias[o]
    return out


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 1, 1), ((2, 3), (2, 1), (0, 2)), (1, 3, 0)]
)
def test_convolution_is_its_definition(rng, kernel, stride, padding):
    layer = nn.Conv2d(2, 3, kernel, stride, padding, rng=rng, dtype=float)
    x = rng.normal(size=(2, 2, 6, 5))
    weight, bias = layer.weight.detach().numpy().copy(), layer.bias.detach().numpy().copy()
    wanted = naive_convolution(x, weight, bias, layer.stride, layer.padding)
    assert np.allclose(layer(x).detach().numpy(), wanted, atol=1e-14)
    check_layer(layer, x[:, :, :4, :3], order=1)


def check_layer(layer, x, order):
    """Check a convolution's gradients in images and parameters."""
    parameters = [p.detach().numpy().copy() for p in layer.parameters()]

    def f(x, weight, bias=None):
        layer.weight, layer.bias = weight, bias
        return layer(x)

    ag.check_grads(f, x, *parameters, order=order)


def test_convolution_is_differentiable_twice(rng):
    layer = nn.Conv2d(2, 2, 2, (2, 1), (1, 0), bias=False, rng=rng, dtype=float)
    check_layer(layer, rng.normal(size=(1, 2, 3, 2)), order=2)


@pytest.mark.parametrize(
    "geometry",
    [
        ((2, 3), (2, 1), (1, 0), (3, 3)),
        ((3, 3), (1, 1), (1, 1), (5, 5)),
        ((1, 1), (3, 3), (0, 0), (2, 2)),
    ],
)
def test_columns_and_images_are_each_others_transpose(rng, geometry):
    x = rng.integers(-4, 5, (2, 3, 5, 5)).astype(float)
    columns = _columns(x, _Windows(*geometry))
    g = rng.integers(-4, 5, columns.shape).astype(float)
    assert np.sum(columns * g) == np.sum(x * _images(g, x.shape, _Windows(*geometry)))


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), nn.AvgPool2d((2, 3), 1)])
def test_pooling_gradients(rng, pool):
    x = rng.permutation(2 * 2 * 5 * 5).reshape(2, 2, 5, 5) * 0.1
    ag.check_grads(pool, x, order=1)
    ag.check_grads(pool, x[:1, :1, :3, :4])


def test_pooling_values():
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    assert np.array_equal(nn.MaxPool2d(2)(x)[0, 0], [[5, 7], [13, 15]])
    assert np.array_equal(nn.AvgPool2d(2)(x)[0, 0], [[2.5, 4.5], [10.5, 12.5]])
    assert np.array_equal(nn.MaxPool2d(3, 1, 1)(-1 - x)[0, 0, 0], [-1, -1, -2, -3])
    assert np.array_equal(nn.AvgPool2d(2, 2, 1)(np.ones((1, 1, 2, 2)))[0, 0], [[0.25] * 2] * 2)


def test_pixels_that_tie_share_the_gradient():
    x = ag.Tensor(np.zeros((1, 1, 2, 2)), requires_grad=True)
    np.sum(nn.MaxPool2d(2)(x)).backward()
    assert np.array_equal(x.grad[0, 0], [[0.25] * 2] * 2)


def test_float32_stays(rng):
    model = nn.Sequential(nn.Conv2d(1, 2, 3, rng=rng), nn.ReLU(), nn.MaxPool2d(2), nn.AvgPool2d(2))
    out = model(np.ones((2, 1, 10, 10), np.float32))
    assert out.dtype == np.float32
    np.sum(out).backward()
    assert model[0].weight.grad.dtype == np.float32


def test_bad_arguments_are_named(rng):
    with pytest.raises(
        ValueError, match="Conv2d: kernel_size must be an integer of at least 1, or two"
    ):
        nn.Conv2d(1, 1, 0, rng=rng)
    with pytest.raises(ValueError, match="Conv2d: padding must be an integer of at least 0"):
        nn.Conv2d(1, 1, 3, padding=(1, 1, 1), rng=rng)
    for size in ("same", None, 1.5):
        with pytest.raises(ValueError, match="padding must be an integer of at least 0, or two of"):
            nn.Conv2d(1, 1, 3, padding=size, rng=rng)
    layer = nn.Conv2d(2, 1, 3, rng=rng)
    with pytest.raises(
        ValueError, match=r"expected input of shape \(batch, 2, height, width\), got \(1, 8, 8\)"
    ):
        layer(np.ones((1, 8, 8)))
    with pytest.raises(ValueError, match="images of 2 x 8 with padding"):
        layer(np.ones((1, 2, 2, 8)))
    with pytest.raises(
        ValueError, match=r"MaxPool2d: padding \(2, 2\) must be at most half the kernel"
    ):
        nn.MaxPool2d(3, padding=2)
