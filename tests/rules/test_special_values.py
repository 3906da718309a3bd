"""The stated convention at every special point: ties, kinks, zeros, poles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag

inf, nan = np.inf, np.nan
tiny = 1e-170  # its square underflows
near = 1 - 1e-9  # to 1, from which its square is not exactly as far

# What is computed, of what, and the gradient of its sum.
CONVENTIONS: dict[str, tuple[Callable[..., Any], list[Any], list[Any]]] = {
    # Ties share evenly, so that what the tied elements get adds up to the cotangent.
    "max": (np.max, [[1.0, 3.0, 3.0, 2.0]], [[0, 0.5, 0.5, 0]]),
    "max, axis": (lambda x: np.max(x, axis=1), [[[2.0, 2.0], [1.0, 5.0]]], [[[0.5, 0.5], [0, 1]]]),
    "min": (np.min, [[1.0, 1.0, 1.0, 2.0]], [[1 / 3, 1 / 3, 1 / 3, 0]]),
    "nanmax": (np.nanmax, [[3.0, nan, 3.0]], [[0.5, 0, 0.5]]),
    "ptp of a constant": (np.ptp, [[2.0, 2.0]], [[0, 0]]),
    "maximum": (np.maximum, [[1.0, 2.0, 3.0], [2.0, 2.0, 2.0]], [[0, 0.5, 1], [1, 0.5, 0]]),
    "minimum": (np.minimum, [[1.0, 2.0, 3.0], [2.0, 2.0, 2.0]], [[1, 0.5, 0], [0, 0.5, 1]]),
    "maximum of one tensor twice": (lambda x: np.maximum(x, x), [2.0], [1]),
    "maximum(x, 0)": (lambda x: np.maximum(x, 0), [[-1.0, 0.0, 1.0]], [[0, 0.5, 1]]),
    "median beside infinities": (np.median, [[0.0, -inf, inf]], [[1, 0, 0]]),
    "max of nan": (np.max, [[3.0, nan, nan]], [[0, 0.5, 0.5]]),
    "min of nan": (np.min, [[3.0, nan]], [[0, 1]]),
    "maximum with nan": (np.maximum, [[nan, 1.0], [1.0, nan]], [[1, 1], [1, 1]]),
    "minimum with nan": (np.minimum, [[nan, 1.0], [1.0, nan]], [[1, 1], [1, 1]]),
    "fmax with nan": (np.fmax, [[nan, 1.0, 2.0], [1.0, nan, 2.0]], [[0, 1, 0.5], [1, 0, 0.5]]),
    "fmin with nan": (np.fmin, [[nan, 1.0, 2.0], [1.0, nan, 2.0]], [[0, 1, 0.5], [1, 0, 0.5]]),
    "clip": (lambda x: np.clip(x, 0, 1), [[-1.0, 0.0, 0.4, 1.0, 2.0]], [[0, 0.5, 1, 0.5, 0]]),
    "median of equals": (np.median, [[1.0, 2.0, 2.0, 3.0]], [[0, 0.5, 0.5, 0]]),
    # Kinks and steps.
    "abs": (np.abs, [[-2.0, 0.0, 2.0]], [[-1, 0, 1]]),
    "fabs": (np.fabs, [[-2.0, 0.0, 2.0]], [[-1, 0, 1]]),
    "copysign": (lambda x: np.copysign(x, -1.0), [[-2.0, 0.0, 2.0]], [[1, 0, -1]]),
    "sign": (np.sign, [[-2.0, 0.0, 2.0]], [[0, 0, 0]]),
    "floor at a step": (np.floor, [[-1.0, 0.5]], [[0, 0]]),
    "round at a step": (np.round, [[0.5, 1.5]], [[0, 0]]),
    "floor_divide": (np.floor_divide, [[4.0, 5.0], [2.0, 2.0]], [[0, 0], [0, 0]]),
    "remainder at a step": (np.remainder, [[4.0, -5.0], [2.0, 3.0]], [[1, 1], [-2, 2]]),
    "fmod": (np.fmod, [[1.0, -5.0], [0.1, 3.0]], [[1, 1], [-9, 1]]),
    "heaviside": (np.heaviside, [[-1.0, 0.0, 1.0], [0.5, 0.5, 0.5]], [[0, 0, 0], [0, 1, 0]]),
    # Norms at 0.
    "norm": (np.linalg.norm, [[0.0, 0.0]], [[0, 0]]),
    "norm, rows": (
        lambda x: np.linalg.norm(x, axis=1),
        [[[0.0, 0.0], [3.0, 4.0]]],
        [[[0, 0], [0.6, 0.8]]],
    ),
    "norm squared": (lambda x: np.linalg.norm(x) ** 2, [[0.0, 0.0]], [[0, 0]]),
    "3-norm": (lambda x: np.linalg.norm(x, 3), [[0.0, 0.0]], [[0, 0]]),
    "1-norm": (lambda x: np.linalg.norm(x, 1), [[0.0, 2.0]], [[0, 1]]),
    "inf-norm": (lambda x: np.linalg.norm(x, inf), [[0.0, 0.0]], [[0, 0]]),
    "std of a constant": (np.std, [[2.0, 2.0]], [[0, 0]]),
    "std of a constant that rounds": (np.std, [[0.1, 0.1, 0.1]], [[0, 0, 0]]),
    "std of one": (np.std, [[0.1]], [[0]]),
    "nanstd of a constant": (np.nanstd, [[2.0, nan, 2.0]], [[0, 0, 0]]),
    "var of a constant": (np.var, [[2.0, 2.0]], [[0, 0]]),
    "hypot": (np.hypot, [[0.0, tiny, 3e200], [0.0, 0.0, 4e200]], [[0, 1, 0.6], [0, 0, 0.8]]),
    # Products that leave factors out.
    "prod, no zero": (np.prod, [[2.0, 3.0, 4.0]], [[12, 8, 6]]),
    "prod, one zero": (np.prod, [[2.0, 0.0, 4.0]], [[0, 8, 0]]),
    "prod, two zeros": (np.prod, [[2.0, 0.0, 0.0]], [[0, 0, 0]]),
    "cumprod, one zero": (np.cumprod, [[2.0, 0.0, 4.0]], [[1, 2 + 8, 0]]),
    "cumprod, two zeros": (np.cumprod, [[2.0, 0.0, 0.0]], [[1, 2, 0]]),
    # Powers.
    "x**0": (lambda x: x**0, [[0.0, -2.0, 2.0]], [[0, 0, 0]]),
    "x**0.0": (lambda x: x**0.0, [[0.0, -2.0, 2.0]], [[0, 0, 0]]),
    "x**1": (lambda x: x**1, [[0.0, -2.0]], [[1, 1]]),
    "x**2": (lambda x: x**2, [[0.0, -2.0]], [[0, -4]]),
    "x**y": (np.power, [[0.0, 0.0, 2.0], [0.0, 2.0, 0.0]], [[0, 0, 0], [0, 0, np.log(2)]]),
    "0**y": (lambda y: 0.0**y, [[0.0, 1.0, 2.0]], [[0, 0, 0]]),
    "(-2)**y, y constant": (lambda x: x ** np.array([2.0, 3.0]), [[-2.0, -2.0]], [[-4, 12]]),
    "square": (np.square, [[0.0]], [[0]]),
    # Poles and branch points.
    "sqrt": (np.sqrt, [[0.0, 4.0]], [[inf, 0.25]]),
    "cbrt": (np.cbrt, [[0.0, 8.0]], [[inf, 1 / 12]]),
    "log": (np.log, [[0.0, 4.0]], [[inf, 0.25]]),
    "log1p": (np.log1p, [[-1.0, 1e-20]], [[inf, 1]]),
    "expm1": (np.expm1, [[-40.0, 0.0]], [[np.exp(-40), 1]]),
    "arcsin": (np.arcsin, [[1.0, -1.0]], [[inf, inf]]),
    "arcsin near 1": (np.arcsin, [[near]], [[((1 - near) * (1 + near)) ** -0.5]]),
    "arctanh near 1": (np.arctanh, [[near]], [[1 / ((1 - near) * (1 + near))]]),
    "arccosh of a large number": (np.arccosh, [[1e200]], [[1e-200]]),
    "arcsinh of a large number": (np.arcsinh, [[1e200]], [[1e-200]]),
    "arctan2 of small numbers": (np.arctan2, [[tiny], [tiny]], [[0.5 / tiny], [-0.5 / tiny]]),
    "sinc": (np.sinc, [[0.0, 1e-9, 1.0]], [[0, -(np.pi**2) / 3 * 1e-9, -1]]),
    "logaddexp": (np.logaddexp, [[1e4, 0.0], [0.0, 0.0]], [[1, 0.5], [0, 0.5]]),
    "logaddexp of -inf": (np.logaddexp, [[-inf, -inf], [-inf, 0.0]], [[0.5, 0], [0.5, 1]]),
    # A branch that is not taken leaves no trace.
    "where around sqrt": (
        lambda x: np.where(x > 0, np.sqrt(np.where(x > 0, x, 1)), 0),
        [[0.0, 4.0]],
        [[0, 0.25]],
    ),
    "where after sqrt": (lambda x: np.where(x > 0, np.sqrt(x), 0), [[0.0, 4.0]], [[0, 0.25]]),
    "where after log": (lambda x: np.where(x > 0, x * np.log(x), 0), [[0.0, 1.0]], [[0, 1]]),
    "where after divide": (lambda x: np.where(x == 0, 1, np.sin(x) / x), [[0.0]], [[0]]),
    "sqrt, taken": (lambda x: np.where(x >= 0, np.sqrt(x), 0), [[0.0]], [[inf]]),
    "nan_to_num": (np.nan_to_num, [[nan, inf, -inf, 1.0]], [[0, 0, 0, 1]]),
    "nansum": (np.nansum, [[nan, 2.0]], [[0, 1]]),
    "nanmean": (np.nanmean, [[nan, 2.0, 4.0]], [[0, 0.5, 0.5]]),
    "nanprod": (np.nanprod, [[nan, 2.0, 0.0]], [[0, 0, 2]]),
    "repeated index": (lambda x: x[np.array([0, 2, 0, 0])], [[1.0, 2.0, 3.0]], [[3, 0, 1]]),
    "repeated index, weighted": (
        lambda x: x[[1, 1, -1]] * np.array([1.0, 10.0, 100.0]),
        [[1.0, 2.0]],
        [[0, 111]],
    ),
}


def gradients(f: Callable[..., Any], args: list[Any], dtype: Any = float) -> list[Any]:
    tensors = [ag.Tensor(a, requires_grad=True, dtype=dtype) for a in args]
    with np.errstate(all="ignore"):  # as for arrays, sqrt(-1) or log(0) may warn
        np.sum(f(*tensors)).backward()
    return [t.grad for t in tensors]


@pytest.mark.parametrize("name", CONVENTIONS)
def test_convention(name: str) -> None:
    f, args, expected = CONVENTIONS[name]
    for found, wanted in zip(gradients(f, args), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-15, atol=0)


# At these points every second derivative is stated too: no nan comes out of a second use.
SECOND: dict[str, tuple[Callable[..., Any], Any, Any]] = {
    "abs": (np.abs, 0.0, 0),
    "norm": (np.linalg.norm, [0.0, 0.0], [0, 0]),
    "3-norm": (lambda x: np.linalg.norm(x, 3), [0.0, 0.0], [0, 0]),
    "std": (np.std, [0.1, 0.1, 0.1], [0, 0, 0]),
    "hypot": (lambda x: np.hypot(x, x), 0.0, 0),
    "x**0": (lambda x: x**0, 0.0, 0),
    "x**1": (lambda x: x**1, 0.0, 0),
    "x**2": (lambda x: x**2, 0.0, 2),
    "x**2.0, an array": (lambda x: x ** np.array([2.0]), [0.0], [2]),
    "sinc": (np.sinc, 0.0, -(np.pi**2) / 3),
    "prod, one zero": (np.prod, [2.0, 0.0, 4.0], [4, 6, 2]),  # row sums of the Hessian
    "prod, two zeros": (np.prod, [2.0, 0.0, 0.0], [0, 2, 2]),
    "cumprod, two zeros": (np.cumprod, [2.0, 0.0, 0.0], [1, 1 + 2, 2]),
    "logaddexp": (lambda x: np.logaddexp(x, 0), 1e4, 0),
    "maximum": (lambda x: np.maximum(x, 0) ** 2, 0.0, 0.5),
}


@pytest.mark.parametrize("name", SECOND)
def test_second_derivative(name: str) -> None:
    f, point, expected = SECOND[name]
    x = ag.Tensor(point, requires_grad=True)
    np.sum(f(x)).backward(create_graph=True)
    first = x.grad
    x.zero_grad()
    if first.requires_grad:
        np.sum(first).backward()
    found = np.zeros(x.shape) if x.grad is None else x.grad
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=0)


def test_a_constant_exponent_makes_no_warning() -> None:
    x = ag.Tensor([-2.0, 0.0], requires_grad=True)
    np.sum(x**2.0 + x**3).backward()  # warnings are errors
    np.testing.assert_array_equal(x.grad, [8.0, 0.0])


def test_a_real_infinity_on_the_taken_path_stays_visible() -> None:
    x = ag.Tensor([0.0], requires_grad=True)
    np.sum(np.sqrt(x) * x).backward()
    assert np.isnan(x.grad).all()


def test_prod_is_exact_where_quotients_would_round() -> None:
    values = np.array([3.0, 7.0, 11.0, 1e-300])
    (found,) = gradients(np.prod, [values])
    others = [np.prod(np.delete(values, i)) for i in range(4)]
    np.testing.assert_allclose(found, others, rtol=4e-16)


@pytest.mark.parametrize("name", ["max", "std of a constant", "norm, rows", "prod, one zero"])
def test_float32_stays(name: str) -> None:
    f, args, expected = CONVENTIONS[name]
    for found, wanted in zip(gradients(f, args, np.float32), expected, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_scipy_conventions() -> None:
    special = pytest.importorskip("scipy.special")
    rows = {
        "xlogy": (
            special.xlogy,
            [[0.0, 0.0, 2.0], [0.0, 2.0, 2.0]],
            [[0, np.log(2), np.log(2)], [0, 0, 1]],
        ),
        "xlog1py": (special.xlog1py, [[0.0, 0.0], [-1.0, 1.0]], [[0, np.log(2)], [0, 0]]),
        "expit": (special.expit, [[800.0, 40.0, -40.0]], [[0, np.exp(-40), np.exp(-40)]]),
        "log_expit": (special.log_expit, [[-800.0, 0.0]], [[1, 0.5]]),
        "log_ndtr": (special.log_ndtr, [[-1e8, -1e3, 50.0]], [[1e8, 1e3 + 1 / (1e3 + 2 / 1e3), 0]]),
        "j1": (special.j1, [[0.0]], [[0.5]]),
        "i1": (special.i1, [[0.0]], [[0.5]]),
    }
    for f, args, expected in rows.values():
        for found, wanted in zip(gradients(f, args), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-14)


def test_the_second_derivative_of_log_ndtr_is_right_far_out() -> None:
    special = pytest.importorskip("scipy.special")
    second = ag.elementwise_grad(ag.elementwise_grad(special.log_ndtr))
    found = second(np.array([-1e3, 50.0]))
    np.testing.assert_allclose(found, [-1 + 1e-6 - 6e-12, 0], rtol=1e-9)


@pytest.mark.parametrize("f", [np.mean, np.average, lambda x: np.var(x - 1)])
def test_counts_beyond_float16(f: Callable[..., Any]) -> None:
    x = np.tile(np.array([0.5, 1.5], np.float16), 35_000)
    wide = ag.grad(f)(x.astype(np.float32))
    np.testing.assert_allclose(ag.grad(f)(x), wide, rtol=2e-2)  # subnormal: 8 bits are left
