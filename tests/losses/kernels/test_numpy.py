"""The accuracy of the softmax kernels, in ulps against mpmath, in every regime of logits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mpmath
import numpy as np
import pytest

from autograd_lite.losses import kernels

DTYPES = [np.float32, np.float64]
GAPS = {np.float32: (5, 10, 17, 20, 40, 80), np.float64: (20, 38, 60, 100, 300, 700)}
SCALES = {np.float32: (0.1, 1, 3, 10, 30, 100), np.float64: (0.1, 1, 3, 10, 30, 100, 500)}

# Ulps of loss, gradient at the label, worst gradient elsewhere. Measured over the slow sweep: 4.2,
# 3.8 and 5.4 for float32, 3.0, 3.4 and 4.9 for float64.
BOUNDS = {np.float32: (4.5, 4.5, 6.0), np.float64: (3.5, 4.0, 5.5)}
SOFT = 4  # that of soft targets' gradients, in units of the larger of p and y


@pytest.fixture(autouse=True)
def _precise() -> Iterator[None]:
    with mpmath.workprec(160):
        yield


def exact(z: np.ndarray, y: np.ndarray) -> tuple[Any, list[Any]]:
    """Return the loss of a row and its gradient for targets y, from the definition.

    Only sums of positive terms are small, so that 160 bits are plenty.
    """
    z, y = [mpmath.mpf(float(v)) for v in z], [mpmath.mpf(float(v)) for v in y]
    top, largest = max(z), int(np.argmax(y))
    first = z.index(top)
    e = [mpmath.exp(v - top) for v in z]
    total, mass = mpmath.fsum(e), mpmath.fsum(y)
    t = mpmath.fsum(v for j, v in enumerate(e) if j != first)
    loss = mass * mpmath.log1p(t) + mpmath.fsum(w * (top - v) for w, v in zip(y, z) if w)
    slopes = [mass * v / total - w for w, v in zip(y, e)]
    rest = mpmath.fsum(v for j, v in enumerate(e) if j != largest)
    others = mpmath.fsum(w for j, w in enumerate(y) if j != largest)
    slopes[largest] = (e[largest] * others - y[largest] * rest) / total
    return loss, slopes


def difference(computed: np.ndarray, true: list[Any]) -> np.ndarray:
    """Return numbers less the true ones, which are mpmath's, rounded once."""
    high = [float(t) for t in true]
    low = [float(t - h) for t, h in zip(true, high)]
    return computed.astype(float) - high - low


def ulps(computed: np.ndarray, true: list[Any]) -> np.ndarray:
    """Return how many ulps numbers are off."""
    rounded = np.array(true, float)
    with np.errstate(over="ignore", invalid="ignore"):
        size = np.spacing(np.abs(rounded.astype(computed.dtype))).astype(float)
        off = np.abs(difference(computed, true)) / size
    finite = np.isfinite(computed) & np.isfinite(rounded)
    return np.where(finite, off, np.where(computed == rounded, 0, np.inf))


def one_hot(label: int, classes: int) -> np.ndarray:
    return np.eye(1, classes, label)[0]


def errors(z: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """Return the largest errors, in ulps: loss, gradient at the label, gradient elsewhere."""
    losses, gradient = kernels.cross_entropy(z, labels, 1, summed=False)
    assert gradient is not None
    assert losses.dtype == gradient.dtype == z.dtype
    worst = [0.0, 0.0, 0.0]
    for i, k in enumerate(labels):
        loss, slopes = exact(z[i], one_hot(k, z.shape[1]))
        worst[0] = max(worst[0], *ulps(losses[[i]], [loss]))
        off = ulps(gradient[i], slopes)
        worst[1] = max(worst[1], off[k])
        worst[2] = max(worst[2], np.max(np.delete(off, k), initial=0))
    return worst[0], worst[1], worst[2]


def regimes(
    dtype: Any, rng: np.random.Generator, sizes: tuple[tuple[int, int], ...]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield named logits and labels; one regime's rows are computed together."""
    for rows, classes in sizes:
        normal = rng.normal(size=(rows, classes))
        labels = rng.integers(classes, size=rows)
        each = np.arange(rows)
        yield f"N(0, 1), {classes} classes", normal.astype(dtype), labels
        wide = (5 * normal).astype(dtype)
        yield f"N(0, 25), label = argmax, {classes}", wide, wide.argmax(axis=1)
        yield f"1e4 + N(0, 1), {classes}", (1e4 + normal).astype(dtype), labels
        yield f"60 + N(0, 1), {classes}", (60 + normal).astype(dtype), labels
        yield f"-30 + N(0, 1), {classes}", (-30 + normal).astype(dtype), labels
        spread = rng.uniform(-1e4, 1e4, size=(rows, classes)).astype(dtype)
        yield f"U(-1e4, 1e4), {classes}", spread, labels
        for gap in GAPS[dtype]:
            ahead = normal.copy()
            ahead[each, labels] = normal.max(axis=1) + gap
            yield f"label ahead by {gap}, {classes}", ahead.astype(dtype), labels
            behind = normal.copy()
            behind[each, labels] = normal.max(axis=1) - gap
            yield f"label behind by {gap}, {classes}", behind.astype(dtype), labels
        low, high = (30, 100) if dtype == np.float32 else (400, 800)
        overflow = low + normal
        overflow[each, labels] = high
        yield f"only the label overflows, {classes}", overflow.astype(dtype), labels
        masked = normal.copy()
        masked[:, ::2] = -np.inf
        masked[each, labels] = normal[each, labels]
        yield f"half the classes masked, {classes}", masked.astype(dtype), labels
        alone = np.full((rows, classes), -np.inf)
        alone[each, labels] = 3
        yield f"only the label is finite, {classes}", alone.astype(dtype), labels
        if classes > 1:
            hidden = normal.copy()
            hidden[each, labels] = -np.inf
            yield f"the label is masked, {classes}", hidden.astype(dtype), labels
        yield f"all equal, {classes}", np.full((rows, classes), 1e4, dtype), labels
        ties = np.round(normal)
        yield f"ties for the maximum, {classes}", ties.astype(dtype), ties.argmax(axis=1)
        for scale in SCALES[dtype]:
            stress = (scale * normal).astype(dtype)
            yield f"scale {scale}, {classes}", stress, labels


def check(dtype: Any, sizes: tuple[tuple[int, int], ...], seed: int) -> None:
    for name, z, labels in regimes(dtype, np.random.default_rng(seed), sizes):
        found = errors(z, labels)
        assert np.all(np.array(found) <= BOUNDS[dtype]), f"{name}: {found} ulps"


@pytest.mark.parametrize("dtype", DTYPES)
def test_losses_and_gradients_are_right_to_a_few_ulps_in_every_regime(dtype: Any) -> None:
    check(dtype, ((3, 1), (12, 2), (8, 3), (6, 10), (1, 70)), seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_bounds_hold_over_many_rows_and_many_classes(dtype: Any, seed: int) -> None:
    check(dtype, ((100, 2), (60, 3), (40, 10), (8, 100), (2, 700), (4, 1000), (1, 1001)), seed)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_bounds_hold_for_a_hundred_thousand_classes(dtype: Any) -> None:
    rng = np.random.default_rng(3)
    z, labels = rng.normal(size=(1, 100_000)).astype(dtype), np.array([7])
    assert np.all(np.array(errors(z, labels)) <= BOUNDS[dtype])
    assert np.all(np.array(errors(1000 + z, labels)) <= BOUNDS[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_both_ways_to_the_exponentials_are_right_within_one_array(dtype: Any) -> None:
    # Three blocks or more; the last holds what plain exponentials cannot do.
    rng = np.random.default_rng(4)
    z = rng.normal(size=(30_000, 10)).astype(dtype)
    labels = rng.integers(10, size=30_000)
    z[-1, :5] = 300
    rows = np.array([0, 1, 15_000, 29_998, 29_999])
    losses, gradient = kernels.cross_entropy(z, labels, 1, summed=False)
    alone = kernels.cross_entropy(z[rows], labels[rows], 1, summed=False)
    for i, row in enumerate(rows):
        loss, slopes = exact(z[row], one_hot(labels[row], 10))
        assert ulps(losses[[row]], [loss]) < 4
        assert np.all(ulps(gradient[row], slopes) < 6)
        np.testing.assert_allclose(alone[1][i], gradient[row], rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [2, 10, 70])
@pytest.mark.parametrize("kind", ["soft", "nearly one-hot", "smoothing", "tiny smoothing"])
def test_soft_targets_and_smoothing_keep_their_digits(dtype: Any, classes: int, kind: str) -> None:
    rng = np.random.default_rng(5)
    u = np.finfo(dtype).eps
    rows = 4
    labels = rng.integers(classes, size=rows)
    for offset in (0, 1e4):
        for lead in (0, 5, 20):
            z = rng.normal(size=(rows, classes))
            z[np.arange(rows), labels] = z.max(axis=1) + lead
            z = (z + offset).astype(dtype)
            smoothing = {"smoothing": 0.1, "tiny smoothing": 1e-6}.get(kind, 0.0)
            if kind == "soft":
                y = rng.dirichlet(np.ones(classes), size=rows).astype(dtype)
            elif kind == "nearly one-hot":
                y = np.full((rows, classes), 1e-12, dtype)
                y[np.arange(rows), labels] = 1
            else:  # the very targets that the kernel computes
                y = np.full((rows, classes), smoothing / classes, dtype)
                y[np.arange(rows), labels] += 1 - smoothing
            target = labels if smoothing else y
            losses, gradient = kernels.cross_entropy(
                z, target, 1, smoothing=smoothing, summed=False
            )
            for i in range(rows):
                loss, slopes = exact(z[i], y[i])
                assert ulps(losses[[i]], [loss]) < 6
                # p - y is ill-conditioned where p is close to y: the error is that of p and y.
                sizes = np.maximum(np.abs(np.array(slopes, float)), y[i])
                assert np.all(np.abs(difference(gradient[i], slopes)) <= SOFT * u * sizes)
                # Not so at the largest target, if the row is not near its optimum.
                if kind in ("nearly one-hot", "tiny smoothing") and lead == 20:
                    assert ulps(gradient[i], slopes)[labels[i]] < 20


def test_a_saturated_row_under_a_tiny_smoothing_keeps_its_gradient() -> None:
    z = np.array([[20.0, 0.0, 0.0]], np.float32)
    _, gradient = kernels.cross_entropy(z, np.array([0]), 1, smoothing=1e-6)
    y = np.full(3, np.float32(1e-6 / 3), np.float32)
    y[0] += np.float32(1 - 1e-6)
    slopes = exact(z[0], y)[1]
    assert abs(float(gradient[0, 0] / slopes[0] - 1)) < 1e-6


# ---------------------------------------------------------------------------- types and layouts


def test_float16_is_computed_in_float32() -> None:
    rng = np.random.default_rng(6)
    z = rng.normal(size=(50, 7)).astype(np.float16)
    labels = rng.integers(7, size=50)
    losses, gradient = kernels.cross_entropy(z, labels, 1, summed=False)
    wide = kernels.cross_entropy(z.astype(np.float32), labels, 1, summed=False)
    assert losses.dtype == np.float32
    assert gradient.dtype == np.float16
    np.testing.assert_array_equal(losses, wide[0])
    np.testing.assert_array_equal(gradient, wide[1].astype(np.float16))


def test_longdouble_keeps_its_digits() -> None:
    if np.finfo(np.longdouble).eps > 1e-18:
        pytest.skip("longdouble is float64 here")
    z = np.array([[60.0, 0.1, 0.2], [0.3, 0.1, 0.2]], np.longdouble)
    losses, gradient = kernels.cross_entropy(z, np.array([0, 0]), 1, summed=False)
    for i in range(2):
        loss, slopes = exact_longdouble(z[i])
        assert abs(losses[i] / loss - 1) < 1e-18
        assert np.all(abs(gradient[i] / slopes - 1) < 1e-18)


def exact_longdouble(z: np.ndarray) -> tuple[Any, Any]:
    """Return loss and gradient for the label 0."""
    e = [mpmath.exp(mpmath.mpf(float(v)) + mpmath.mpf(float(v - float(v)))) for v in z]
    loss = mpmath.log1p((e[1] + e[2]) / e[0])
    total = mpmath.fsum(e)
    slopes = [-(e[1] + e[2]) / total, e[1] / total, e[2] / total]
    return longdouble(loss), np.array([longdouble(s) for s in slopes])


def longdouble(value: Any) -> Any:
    high = float(value)
    return np.longdouble(high) + np.longdouble(float(value - high))


LAYOUTS = {
    "class axis first": lambda z: np.moveaxis(np.ascontiguousarray(np.moveaxis(z, 1, 0)), 0, 1),
    "every other class": lambda z: np.repeat(z, 2, axis=1)[:, ::2],
    "every other row": lambda z: np.repeat(z, 2, axis=0)[::2],
    "reversed": lambda z: z[:, ::-1].copy()[:, ::-1],
    "other byte order": lambda z: z.astype(z.dtype.newbyteorder()),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(40, 3), (7000, 10), (300, 700)])
def test_the_memory_layout_does_not_matter(layout: str, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(7)
    z = rng.normal(size=shape)
    labels = rng.integers(shape[1], size=shape[0])
    loss, gradient = kernels.cross_entropy(z, labels, 1)
    other = LAYOUTS[layout](z)
    np.testing.assert_array_equal(other, z)
    other_loss, other_gradient = kernels.cross_entropy(other, labels, 1)
    np.testing.assert_allclose(other_loss, loss, rtol=1e-13)
    np.testing.assert_allclose(other_gradient, gradient, rtol=1e-13)
    np.testing.assert_allclose(kernels.softmax(other, 1), kernels.softmax(z, 1), rtol=1e-13)


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
@pytest.mark.parametrize("offset", [0.0, 500.0])
def test_any_axis_holds_the_classes(axis: int, offset: float) -> None:
    rng = np.random.default_rng(8)
    z = offset + rng.normal(size=(30, 40, 21, 3))
    flat = np.moveaxis(z, axis, -1).reshape(-1, z.shape[axis])
    labels = rng.integers(z.shape[axis], size=flat.shape[0])
    rows_shape = z.shape[:axis] + z.shape[axis + 1 :]
    losses, gradient = kernels.cross_entropy(z, labels.reshape(rows_shape), axis, summed=False)
    flat_losses, flat_gradient = kernels.cross_entropy(flat, labels, 1, summed=False)
    np.testing.assert_allclose(losses.reshape(-1), flat_losses, rtol=1e-13)
    moved = np.moveaxis(gradient, axis, -1).reshape(flat.shape)
    np.testing.assert_allclose(moved, flat_gradient, rtol=1e-12, atol=1e-300)
    for function in (kernels.softmax, kernels.log_softmax):
        moved = np.moveaxis(function(z, axis), axis, -1).reshape(flat.shape)
        np.testing.assert_allclose(moved, function(flat, 1), rtol=1e-13)
    np.testing.assert_allclose(
        kernels.logsumexp(z, axis).reshape(-1), kernels.logsumexp(flat, 1), rtol=1e-13
    )


def test_logits_that_skip_the_last_step_are_not_copied() -> None:
    import tracemalloc

    z = np.random.default_rng(9).normal(size=(4, 129, 4000)).astype(np.float32)[:, :-1]
    labels = np.zeros((4, 128), int)
    kernels.cross_entropy(z, labels, 2)
    tracemalloc.start()
    kernels.cross_entropy(z, labels, 2, want_gradient=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.4 * z.nbytes


def test_the_buffer_size_and_the_error_state_of_numpy_are_left_as_they_were() -> None:
    before = np.getbufsize(), np.geterr()
    kernels.cross_entropy(np.full((3, 2000), 800.0), np.array([1, 2, 3]), 1)
    kernels.softmax(np.full((3, 2000), -np.inf), 1)
    assert (np.getbufsize(), np.geterr()) == before


# ---------------------------------------------------------------------------- softmax and its logs


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_and_its_logs_are_right_to_a_few_ulps(dtype: Any) -> None:
    sizes = ((3, 1), (6, 2), (5, 10), (1, 70))
    for name, z, _ in regimes(dtype, np.random.default_rng(10), sizes):
        p, log_p = kernels.softmax(z, 1), kernels.log_softmax(z, 1)
        log_sum = kernels.logsumexp(z, 1)
        for i, row in enumerate(z):
            values = [mpmath.mpf(float(v)) for v in row]
            top = max(values)
            e = [mpmath.exp(v - top) for v in values]
            total = mpmath.fsum(e)
            rest = mpmath.log1p(mpmath.fsum(v for j, v in enumerate(e) if j != row.argmax()))
            assert np.all(ulps(p[i], [v / total for v in e]) < 6), name
            true = [v - top - rest for v in values]
            assert np.all(ulps(log_p[i], true) < 4.5), name
            assert abs(float(log_sum[i] - (top + rest))) <= 3 * np.spacing(
                dtype(max(abs(float(top)), float(rest)))
            ), name


def test_special_rows() -> None:
    inf, nan = np.inf, np.nan
    z = np.array([[nan, 1, 2], [inf, 1, 2], [-inf, -inf, -inf], [-inf, 0, 0], [1, 2, 3]])
    plain = np.array([[1.0, 2.0, 3.0]])
    p = kernels.softmax(z, 1)
    assert np.isnan(p[:3]).all()
    np.testing.assert_array_equal(p[3], [0, 0.5, 0.5])
    np.testing.assert_allclose(p[4], kernels.softmax(plain, 1)[0], rtol=1e-15)
    log_p = kernels.log_softmax(z, 1)
    assert np.isnan(log_p[:3]).all()
    np.testing.assert_array_equal(log_p[3], [-inf, -np.log(2), -np.log(2)])
    np.testing.assert_array_equal(kernels.logsumexp(z, 1)[:4], [nan, inf, -inf, np.log(2)])
    losses, gradient = kernels.cross_entropy(z, np.array([1, 1, 1, 0, 2]), 1, summed=False)
    np.testing.assert_array_equal(losses[:4], [nan, nan, nan, inf])
    assert np.isnan(gradient[:3]).all()
    np.testing.assert_array_equal(gradient[3], [-1, 0.5, 0.5])
    assert np.isfinite(gradient[4]).all()
    np.testing.assert_allclose(
        losses[4], kernels.cross_entropy(plain, np.array([2]), 1)[0], rtol=1e-15
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_loss_is_the_same_whether_a_gradient_is_formed_or_not(dtype: type) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        # With the larger offsets and scales, the plain exponentials of a row add up to little.
        offset, scale = rng.choice([0.0, -4.0, -30.0, -90.0]), rng.choice([1.0, 10.0, 100.0])
        z = (offset + scale * rng.normal(size=(150, 3))).astype(dtype)
        labels = rng.integers(0, 3, 150)
        for summed in (True, False):
            with_it, _ = kernels.cross_entropy(z, labels, 1, summed=summed)
            without, no = kernels.cross_entropy(z, labels, 1, summed=summed, want_gradient=False)
            assert no is None
            assert with_it.dtype == without.dtype
            np.testing.assert_array_equal(with_it, without)
