from __future__ import annotations

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite import nn


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def _check_layer(layer, x):
    """Check the layer's gradients in input and parameters to second order."""
    parameters = list(layer.parameters())
    names = [name for name, _ in layer.named_parameters()]

    def f(x, *values):
        for name, value in zip(names, values):
            setattr(layer, name, value)
        return layer(x)

    ag.check_grads(f, x, *[p.detach().numpy().copy() for p in parameters])


def test_linear(rng):
    layer = nn.Linear(3, 2, rng=rng, dtype=float)
    for shape in ((3,), (4, 3), (2, 2, 3)):
        x = rng.normal(size=shape)
        wanted = x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        assert np.allclose(layer(x).detach().numpy(), wanted)
        _check_layer(nn.Linear(3, 2, rng=rng, dtype=float), x)
    _check_layer(nn.Linear(3, 2, bias=False, rng=rng, dtype=float), x)


def test_parameters_are_float32_by_default_and_stay_so(rng):
    layer = nn.Linear(3, 2, rng=rng)
    out = layer(np.ones((4, 3), np.float32))
    assert out.dtype == np.float32
    np.sum(out).backward()
    assert layer.weight.grad.dtype == layer.bias.grad.dtype == np.float32
    assert layer.weight.grad.flags.c_contiguous


def test_bad_arguments_are_named(rng):
    with pytest.raises(ValueError, match="Linear: in_features must be an integer of at least 1"):
        nn.Linear(0, 2, rng=rng)
    with pytest.raises(TypeError, match=r"Linear: rng must be a numpy.random.Generator, such as"):
        nn.Linear(2, 2, rng=0)
    with pytest.raises(TypeError, match="Linear: dtype must be floating-point, got int64"):
        nn.Linear(2, 2, rng=rng, dtype=int)
    with pytest.raises(
        ValueError, match=r"Linear: expected input of shape \(..., 2\), got \(4, 3\)"
    ):
        nn.Linear(2, 2, rng=rng)(np.ones((4, 3)))
    with pytest.raises(ValueError, match="Dropout: p must be from 0 to below 1, got 1"):
        nn.Dropout(1, rng=rng)
    with pytest.raises(ValueError, match="Dropout: p must be from 0 to below 1, got 'a'"):
        nn.Dropout("a", rng=rng)
    with pytest.raises(TypeError, match="Dropout: rng must be"):
        nn.Dropout(0.5, rng=None)
    with pytest.raises(ValueError, match="LayerNorm: normalized_shape must name at least one axis"):
        nn.LayerNorm(())
    with pytest.raises(
        ValueError, match=r"LayerNorm: expected input of shape \(..., 3\), got \(3, 4\)"
    ):
        nn.LayerNorm(3)(np.ones((3, 4)))
    with pytest.raises(ValueError, match="BatchNorm1d: momentum must be between 0 and 1, got None"):
        nn.BatchNorm1d(3, momentum=None)
    with pytest.raises(ValueError, match=r"BatchNorm1d: expected input of shape \(batch, 3\) or"):
        nn.BatchNorm1d(3)(np.ones((2, 4)))
    with pytest.raises(ValueError, match="training needs more than one value per feature"):
        nn.BatchNorm1d(3)(np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"Flatten\(1, -1\): no such axes in shape \(\)"):
        nn.Flatten()(1.0)
    with pytest.raises(ValueError, match=r"Flatten\(1, -1\): no such axes in shape \(3,\)"):
        nn.Flatten()(np.ones(3))
    with pytest.raises(ValueError, match=r"Flatten\(2, 1\): no such axes in shape \(3, 4, 5\)"):
        nn.Flatten(2, 1)(np.ones((3, 4, 5)))


def test_initial_values_are_those_of_torch(rng):
    layer = nn.Linear(100, 300, rng=rng)
    weight = layer.weight.numpy()
    assert np.abs(weight).max() <= 0.1
    assert weight.var() == pytest.approx(0.01 / 3, rel=0.02)
    assert np.abs(layer.bias.numpy()).max() > 0.09
    table = nn.Embedding(200, 50, padding_idx=3, rng=rng).weight.numpy()
    assert not table[3].any()
    assert table.std() == pytest.approx(1, rel=0.03)


def test_embedding(rng):
    layer = nn.Embedding(5, 2, padding_idx=4, rng=rng)
    index = np.array([[0, 3, 3], [4, 0, 3]])
    out = layer(index)
    assert np.array_equal(out.detach().numpy(), layer.weight.detach().numpy()[index])
    np.sum(out).backward()
    assert np.array_equal(layer.weight.grad, [[2, 2], [0, 0], [0, 0], [3, 3], [0, 0]])
    with pytest.raises(IndexError, match="Embedding: index -1 is out of range for 5 vectors"):
        layer([0, -1])
    with pytest.raises(TypeError, match="Embedding: expected integers, got float64"):
        layer([0.0])
    with pytest.raises(ValueError, match=r"padding_idx must be in range\(0, 5\), got 5"):
        nn.Embedding(5, 2, padding_idx=5, rng=rng)
    with pytest.raises(ValueError, match=r"padding_idx must be in range\(0, 5\), got 1\.5"):
        nn.Embedding(5, 2, padding_idx=1.5, rng=rng)
    assert not nn.Embedding(5, 2, padding_idx=np.int64(1), rng=rng).weight.numpy()[1].any()


def test_layer_norm_takes_any_integer_or_several():
    for shape in (3, np.int64(3), [3], (3,)):
        assert nn.LayerNorm(shape).normalized_shape == (3,)


def test_normalisation_gradients(rng):
    _check_layer(nn.LayerNorm(3, dtype=float), rng.normal(size=(2, 3)))
    _check_layer(nn.LayerNorm((2, 3), dtype=float), rng.normal(size=(2, 2, 3)))
    _check_layer(nn.BatchNorm1d(2, dtype=float), rng.normal(size=(3, 2)))
    _check_layer(nn.BatchNorm1d(2, dtype=float), rng.normal(size=(2, 2, 3)))
    _check_layer(nn.BatchNorm1d(2, dtype=float).eval(), rng.normal(size=(3, 2)))


def test_batch_norm_tracks_statistics_in_training_alone(rng):
    layer = nn.BatchNorm1d(2)
    x = rng.normal(2, 3, size=(50, 2)).astype(np.float32)
    out = layer(x).detach().numpy()
    assert np.allclose(out.mean(axis=0), 0, atol=1e-6)
    assert np.allclose(layer.running_mean, 0.1 * x.mean(axis=0), rtol=1e-6)
    assert np.allclose(layer.running_var, 0.9 + 0.1 * x.var(axis=0, ddof=1), rtol=1e-6)
    assert layer.num_batches_tracked == 1
    before = layer.state_dict()
    assert "num_batches_tracked" in before
    layer.eval()(x)
    assert all(np.array_equal(before[name], v) for name, v in layer.state_dict().items())
    assert layer(x).dtype == np.float32


def test_dropout(rng):
    layer = nn.Dropout(0.25, rng=rng)
    x = ag.Tensor(np.ones((200, 200), np.float32), requires_grad=True)
    out = layer(x)
    assert out.dtype == np.float32
    assert set(np.unique(out.detach().numpy())) == {0, np.float32(4 / 3)}
    assert np.mean(out.detach().numpy() == 0) == pytest.approx(0.25, abs=0.01)
    np.sum(out).backward()
    assert np.array_equal(x.grad, out.detach().numpy())
    assert layer.eval()(x) is x


def test_dropout_draws_from_its_generator_alone():
    x = np.ones(50)
    one, two = (nn.Dropout(rng=np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(one(x), two(x))
    assert not np.array_equal(one(x), two(x * 2) * 3)


def test_flatten():
    x = np.ones((2, 3, 4, 5))
    assert nn.Flatten()(x).shape == (2, 60)
    assert nn.Flatten(1, 2)(x).shape == (2, 12, 5)
    assert nn.Flatten(0, -1)(x).shape == (120,)


@pytest.mark.peer
def test_layers_agree_with_torch_given_its_weights(rng):
    torch = pytest.importorskip("torch")
    pairs = [
        (nn.Linear(4, 3, rng=rng), torch.nn.Linear(4, 3), (5, 4)),
        (nn.LayerNorm(4), torch.nn.LayerNorm(4), (5, 4)),
        (nn.BatchNorm1d(4), torch.nn.BatchNorm1d(4), (5, 4)),
        (nn.BatchNorm1d(4), torch.nn.BatchNorm1d(4), (5, 4, 3)),
        (nn.Conv2d(4, 3, 3, 2, 1, rng=rng), torch.nn.Conv2d(4, 3, 3, 2, 1), (5, 4, 7, 6)),
        (nn.AvgPool2d(3, 2, 1), torch.nn.AvgPool2d(3, 2, 1), (5, 4, 7, 6)),
        (nn.MaxPool2d(3, 2, 1), torch.nn.MaxPool2d(3, 2, 1), (5, 4, 7, 6)),
    ]
    for ours, theirs, shape in pairs:
        ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
        for mode in (True, False):
            ours.train(mode)
            theirs.train(mode)
            values = rng.normal(size=shape).astype(np.float32)
            x = ag.Tensor(values, requires_grad=True)
            t = torch.tensor(values, requires_grad=True)
            out, wanted = ours(x), theirs(t)
            assert np.allclose(out.detach().numpy(), wanted.detach().numpy(), atol=1e-6)
            g = rng.normal(size=out.shape).astype(np.float32)
            ours.zero_grad()
            theirs.zero_grad()
            out.backward(g)
            wanted.backward(torch.tensor(g))
            assert np.allclose(x.grad, t.grad.numpy(), atol=2e-6)
            for p, q in zip(ours.parameters(), theirs.parameters()):
                assert np.allclose(p.grad, q.grad.numpy(), atol=1e-5)
        for name, value in theirs.state_dict().items():
            assert np.allclose(ours.state_dict()[name], value.numpy(), atol=1e-6)


# ---------------------------------------------------------------------------- sizes of numbers


NORMS = {
    "BatchNorm1d": lambda n, dtype: nn.BatchNorm1d(n, dtype=dtype),
    "BatchNorm1d, longer": lambda n, dtype: nn.BatchNorm1d(n, dtype=dtype),
    "LayerNorm": lambda n, dtype: nn.LayerNorm(n, dtype=dtype),
    "LayerNorm, two axes": lambda n, dtype: nn.LayerNorm((n, 4), dtype=dtype),
}
# A type, the sizes of numbers that its running statistics hold, and the relative rounding.
SIZES = {np.float16: (-2, 4.3, 3e-3), np.float32: (-3, 18, 1e-5)}


def _normalised(layer, values):
    """Return a layer's output for an array and the gradient of some sum of it."""
    x = ag.Tensor(values, requires_grad=True)
    out = layer(x)
    np.sum(out * np.cos(np.arange(x.size)).reshape(x.shape).astype(x.dtype)).backward()
    return out.detach().numpy(), x.grad


@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize("dtype", SIZES)
def test_normalised_numbers_of_any_size(kind, dtype, rng, record_property):
    least, most, rtol = SIZES[dtype]
    for _ in range(100):
        n, rows = int(rng.integers(4, 9)), int(rng.integers(4, 40))
        shape = (rows, n, 4) if ", " in kind else (rows, n)
        values = rng.uniform(0.2, 1.0, shape) * rng.choice([-1, 1], shape)
        values = (values * 10.0 ** rng.uniform(least, most)).astype(dtype)
        layer, exact = NORMS[kind](n, dtype), NORMS[kind](n, float)
        found, slope = _normalised(layer, values)
        wanted, right = _normalised(exact, values.astype(float))
        assert found.dtype == slope.dtype == dtype
        np.testing.assert_allclose(found, wanted, rtol=rtol, atol=rtol)
        atol = 9 * rtol * np.abs(right).max() + float(np.finfo(dtype).smallest_subnormal)
        np.testing.assert_allclose(slope, right, rtol=rtol, atol=atol)
        if "Batch" in kind:
            assert layer.running_var.dtype == np.float32
            np.testing.assert_allclose(layer.running_var, exact.running_var, rtol=1e-5)
            layer.eval(), exact.eval()
            found, wanted = layer(values).numpy(), exact(values.astype(float)).numpy()
            assert found.dtype == dtype
            np.testing.assert_allclose(found, wanted, rtol=rtol, atol=rtol)
    record_property("normalised", 100)


@pytest.mark.parametrize("kind", ["LayerNorm", "LayerNorm, two axes"])
@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 30), (np.float32, 37), (float, 300)])
def test_layer_norm_of_numbers_whose_squares_overflow(kind, dtype, size, rng, record_property):
    for _ in range(50):
        layer = NORMS[kind](5, dtype)
        values = rng.normal(size=(7, 5, 4) if "two" in kind else (7, 5)).astype(dtype)
        large = values.copy()
        large[:4] *= dtype(10.0**size)  # the other rows keep their size
        found, slope = _normalised(layer, large)
        layer.eps = 0.0
        wanted, right = _normalised(layer, values)
        np.testing.assert_allclose(found[:4], wanted[:4], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(slope[:4] * 10.0**size, right[:4], rtol=1e-3, atol=1e-4)
        layer.eps = 1e-5
        wanted, right = _normalised(layer, values)
        np.testing.assert_allclose(found[4:], wanted[4:], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(slope[4:], right[4:], rtol=1e-5, atol=1e-6)
        constant = np.full_like(large, 10.0**size)
        assert np.abs(layer(constant).numpy()).max() < 1e3  # the root of what rounding leaves
    record_property("layer norms of huge numbers", 50)


@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e30), (float, 1e200)])
def test_a_variance_beyond_the_type_is_an_error_and_no_step(dtype, size, rng):
    layer = nn.BatchNorm1d(3, dtype=dtype)
    before = layer.state_dict()
    values = rng.normal(size=(5, 3)).astype(dtype)
    values[:, 1] *= dtype(size)
    expected = rf"BatchNorm1d: the variance of feature 1 is beyond the largest {np.dtype(dtype)};"
    with pytest.raises(FloatingPointError, match=expected):
        layer(values)
    assert all(np.array_equal(v, before[k]) for k, v in layer.state_dict().items())
    with pytest.raises(FloatingPointError, match="variance of feature 0 is beyond the largest fl"):
        nn.BatchNorm1d(1)(np.array([[1e30], [-1e30]]))  # of the layer, not of the numbers


# ---------------------------------------------------------------------------- nothing


LAYERS = {
    "Linear": (lambda rng: nn.Linear(3, 2, rng=rng), (0, 3), (0, 2)),
    "Linear, rows of rows": (lambda rng: nn.Linear(3, 2, rng=rng), (4, 0, 3), (4, 0, 2)),
    "Conv2d": (lambda rng: nn.Conv2d(2, 3, 3, padding=1, rng=rng), (0, 2, 5, 4), (0, 3, 5, 4)),
    "MaxPool2d": (lambda rng: nn.MaxPool2d(2), (0, 2, 4, 4), (0, 2, 2, 2)),
    "AvgPool2d": (lambda rng: nn.AvgPool2d(2), (0, 2, 4, 4), (0, 2, 2, 2)),
    "BatchNorm1d": (lambda rng: nn.BatchNorm1d(3), (0, 3), (0, 3)),
    "BatchNorm1d, longer": (lambda rng: nn.BatchNorm1d(3), (0, 3, 4), (0, 3, 4)),
    "LayerNorm": (lambda rng: nn.LayerNorm(3), (0, 3), (0, 3)),
    "Dropout": (lambda rng: nn.Dropout(0.5, rng=rng), (0, 3), (0, 3)),
    "Flatten": (lambda rng: nn.Flatten(), (0, 2, 3), (0, 6)),
    **{
        kind.__name__: (lambda rng, kind=kind: kind(), (0, 3), (0, 3))
        for kind in (nn.ReLU, nn.LeakyReLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.SiLU)
    },
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layer", LAYERS)
def test_an_empty_batch_gives_an_empty_result(layer, training, rng):
    make, shape, expected = LAYERS[layer]
    module = make(rng).train(training)
    before = module.state_dict()
    x = ag.Tensor(np.zeros(shape, np.float32), requires_grad=True)
    out = module(x)
    assert out.shape == expected
    assert out.dtype == np.float32
    np.sum(out).backward()
    assert x.grad.shape == shape
    for parameter in module.parameters():
        assert not parameter.grad.any()
    assert all(np.array_equal(v, before[k]) for k, v in module.state_dict().items())


def test_an_embedding_of_no_indices_is_empty(rng):
    table = nn.Embedding(4, 2, padding_idx=0, rng=rng)
    out = table(np.zeros((0, 3), int))
    assert out.shape == (0, 3, 2)
    np.sum(out).backward()
    assert not table.weight.grad.any()
