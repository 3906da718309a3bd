"""Rules of elementwise functions.

Conventions
-----------
* Where arguments of maximum, minimum, fmax, fmin or clip tie, they share the cotangent evenly: so
  that of ``np.maximum(x, 0)`` at 0, or of ``np.clip`` at a bound, is a half. Where the maximum or
  minimum is nan, both have it, so that it is seen.
* The derivative of abs at 0, and of hypot at (0, 0), is 0, and so are their higher derivatives.
* That of ``x ** y`` is 0 in ``x`` where both are 0, and 0 in ``y`` where ``x`` is 0 (and ``y`` is
  not negative).
* logaddexp of two equal infinities shares the cotangent evenly.
* sqrt, cbrt and log at 0 have the infinite derivative that IEEE arithmetic gives.
* Functions that are constant between their jumps (sign, floor, round, heaviside) have derivative 0,
  also at the jumps; fmod and remainder have the derivative between theirs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autograd_lite.engine.arrays import as_array, as_arrays, expect, kind, of_dtype, possibly
from autograd_lite.engine.primitives import composite, primitive
from autograd_lite.engine.recording import bare
from autograd_lite.engine.table import constant, derivative, enter_composite

_NOTHING: Any = np._NoValue


def quotient(x: Any, y: Any) -> Any:
    """Return ``x / y``, 0 and of derivative 0 where ``y`` is 0."""
    zero = y == 0
    return np.where(zero, 0, x / np.where(zero, 1, y))


def _zero(g: Any) -> Any:
    """Return ``0``, for each element of an argument that changes nothing, whatever ``g`` is."""
    return np.where(False, g, 0)


def _power_x(g: Any, x: Any, y: Any) -> Any:
    """Return ``g * y * x ** (y - 1)``, 0 where both are 0."""
    if isinstance(y, (int, float)):
        return g * y * x ** ((y or 2) - 1)  # a Python number leaves float32 as it is
    zero = (x == 0) & (y == 0)
    return g * y * x ** (np.where(zero, 1, y - 1) if possibly(zero) else y - 1)


def _power_y(g: Any, ans: Any, x: Any, y: Any) -> Any:
    """Return ``g * ans * np.log(x)``, 0 where ``x`` is 0 and ``y`` is not negative."""
    if isinstance(x, (int, float)) and x > 0:
        return g * ans * math.log(x)  # a Python number leaves float32 as it is
    return g * ans * np.log(np.where((x == 0) & (y >= 0), 1, x))


def _share(g: Any, wins: Any, ties: Any) -> Any:
    """Return ``np.where(ties, g / 2, np.where(wins, g, 0))``: where two tie, half each."""
    d = np.where(wins, g, 0)
    return np.where(ties, g / 2, d) if possibly(ties) else d


def _lead(x: Any, y: Any) -> Any:
    """Return ``x - y``, 0 where both are the same infinity."""
    return np.where(np.isinf(x) & (x == y), 0, x - y)


def _sinc_derivative_x(g: Any, x: Any, order: Any) -> Any:
    """Return the cotangent of ``x``: the derivative of the next order."""
    return g * sinc_derivative(x, order + 1)


@primitive(_sinc_derivative_x)
def sinc_derivative(x: Any, order: int) -> Any:
    """Return the derivative of an order of ``sin(x) / x``, accurate near 0 too.

    With ``f_n`` the n-th derivative, differentiating ``x f_0 = sin(x)`` n times gives
    ``x f_n = sin⁽ⁿ⁾(x) - n f_{n-1}``, which is used for ``|x| > n``; below, Taylor's series:
    the sum of ``(-1)ᵏ x²ᵏ⁻ⁿ / ((2k + 1) (2k - n)!)``.
    """
    near = np.abs(x) <= max(order, 1)
    far = np.where(near, 1, x)
    sine, cosine = np.sin(far), np.cos(far)
    recurrence = sine / far
    for n in range(1, order + 1):
        sine, cosine = cosine, -sine  # the n-th derivative of the sine, and the next one
        recurrence = (sine - n * recurrence) / far
    small = np.where(near, x, 0)
    first = (order + 1) // 2
    coefficients = [
        (-1) ** k / ((2 * k + 1) * math.factorial(2 * k - order))
        for k in range(first + 20 + 2 * order, first - 1, -1)
    ]
    series = small ** (2 * first - order) * np.polyval(coefficients, small * small)
    return np.where(near, series + 0.0, recurrence).astype(x.dtype)  # 0, not -0, at 0


# fmt: off
# ---------------------------------------------------------------------------- arithmetic
derivative(np.add,         lambda g: g,               lambda g: g)
derivative(np.subtract,    lambda g: g,               lambda g: -g)
derivative(np.multiply,    lambda g, y: g * y,        lambda g, x: g * x)
derivative(np.divide,      lambda g, y: g / y,        lambda g, ans, y: -g * ans / y)
derivative(np.negative,    lambda g: -g)
derivative(np.positive,    lambda g: g)
derivative(np.reciprocal,  lambda g, ans: -g * ans * ans,        domain=(0.2, 2))
derivative(np.square,      lambda g, x: g * (2 * x))
derivative(np.power,       _power_x,                  _power_y,  domain=(0.2, 2))
derivative(np.float_power, _power_x,                  _power_y,  domain=(0.2, 2))
derivative(np.sqrt,        lambda g, ans: g / (2 * ans),         domain=(0.2, 2))
derivative(np.cbrt,        lambda g, ans: g / (3 * ans * ans),   domain=(0.2, 2))
derivative(np.remainder,   lambda g: g, lambda g, x, y: -g * np.floor_divide(x, y), domain=(0.2, 2))
derivative(np.fmod,        lambda g: g,
                           lambda g, x, ans, y: -g * np.rint((x - ans) / y), domain=(0.2, 2))
derivative(np.ldexp,       lambda g, y: np.ldexp(g, y), None)
derivative(np.modf,        lambda g: next(iter(g)))

# ---------------------------------------------------------------------------- exponentials
derivative(np.exp,         lambda g, ans: g * ans)
derivative(np.exp2,        lambda g, ans: g * (ans * math.log(2)))
derivative(np.expm1,       lambda g, x: g * np.exp(x))  # ans + 1 would lose digits below 0
derivative(np.log,         lambda g, x: g / x,                   domain=(0.2, 2))
derivative(np.log2,        lambda g, x: g / (x * math.log(2)),   domain=(0.2, 2))
derivative(np.log10,       lambda g, x: g / (x * math.log(10)),  domain=(0.2, 2))
derivative(np.log1p,       lambda g, x: g / (1 + x),             domain=(-0.8, 2))
# exp(x) / (exp(x) + exp(y)), free of overflow and cancellation in every derivative
derivative(np.logaddexp,   lambda g, x, y: g * np.exp(-np.logaddexp(0, _lead(y, x))),
                           lambda g, x, y: g * np.exp(-np.logaddexp(0, _lead(x, y))))
derivative(np.logaddexp2,  lambda g, x, y: g * np.exp2(-np.logaddexp2(0, _lead(y, x))),
                           lambda g, x, y: g * np.exp2(-np.logaddexp2(0, _lead(x, y))))

# ---------------------------------------------------------------------------- trigonometry
derivative(np.sin,         lambda g, x: g * np.cos(x))
derivative(np.cos,         lambda g, x: -g * np.sin(x))
derivative(np.tan,         lambda g, ans: g * (1 + ans * ans),   domain=(-1, 1))
derivative(np.arcsin,      lambda g, x: g / np.sqrt((1 - x) * (1 + x)),      domain=(-0.8, 0.8))
derivative(np.arccos,      lambda g, x: -g / np.sqrt((1 - x) * (1 + x)),     domain=(-0.8, 0.8))
derivative(np.arctan,      lambda g, x: g / (1 + x * x))
derivative(np.sinh,        lambda g, x: g * np.cosh(x))
derivative(np.cosh,        lambda g, x: g * np.sinh(x))
derivative(np.tanh,        lambda g, ans: g * (1 - ans * ans))
derivative(np.arcsinh,     lambda g, x: g / np.hypot(1, x))
derivative(np.arccosh,     lambda g, x: g / (np.sqrt(x - 1) * np.sqrt(x + 1)), domain=(1.2, 3))
derivative(np.arctanh,     lambda g, x: g / ((1 - x) * (1 + x)), domain=(-0.8, 0.8))
derivative(np.hypot,       lambda g, ans, x: g * quotient(x, ans),
                           lambda g, ans, y: g * quotient(y, ans))
derivative(np.arctan2,     lambda g, x, y: g * (y / np.hypot(x, y)) / np.hypot(x, y),
                           lambda g, x, y: -g * (x / np.hypot(x, y)) / np.hypot(x, y))
derivative(np.sinc,        lambda g, x: g * (math.pi * sinc_derivative(math.pi * x, 1)))
derivative(np.unwrap,      lambda g: g, ignores=["discont", "axis", "period"])
derivative(np.degrees,     lambda g: g * (180 / math.pi))
derivative(np.rad2deg,     lambda g: g * (180 / math.pi))
derivative(np.radians,     lambda g: g * (math.pi / 180))
derivative(np.deg2rad,     lambda g: g * (math.pi / 180))

# ---------------------------------------------------------------------------- kinks
derivative(np.absolute,    lambda g, x: g * np.sign(x))
derivative(np.fabs,        lambda g, x: g * np.sign(x))
derivative(np.copysign,    lambda g, x, y: g * (np.sign(x) * np.copysign(1, y)), _zero)
derivative(np.maximum,     lambda g, x, y: _share(g, ~(x < y), x == y),
                           lambda g, x, y: _share(g, ~(y < x), x == y), selects=True)
derivative(np.minimum,     lambda g, x, y: _share(g, ~(x > y), x == y),
                           lambda g, x, y: _share(g, ~(y > x), x == y), selects=True)
derivative(np.fmax,        lambda g, x, y: _share(g, (x > y) | np.isnan(y), x == y),
                           lambda g, x, y: _share(g, (y > x) | np.isnan(x), x == y), selects=True)
derivative(np.fmin,        lambda g, x, y: _share(g, (x < y) | np.isnan(y), x == y),
                           lambda g, x, y: _share(g, (y < x) | np.isnan(x), x == y), selects=True)
derivative(np.where,       None, lambda g, condition: np.where(condition, g, 0),
                                 lambda g, condition: np.where(condition, 0, g),
                           broadcasts=True, selects=True)
derivative(np.nan_to_num,  lambda g, x: np.where(np.isfinite(x), g, 0),
                           ignores=["nan", "posinf", "neginf"], selects=True)

# ---------------------------------------------------------------------------- steps
for _step in (np.sign, np.floor, np.ceil, np.trunc, np.rint):
    derivative(_step,       _zero)
derivative(np.round,        _zero, ignores=["decimals"])
derivative(np.around,       _zero, ignores=["decimals"])
derivative(np.floor_divide, _zero, _zero, domain=(0.2, 2))
derivative(np.heaviside,    _zero, lambda g, x: np.where(x == 0, g, 0))

# ---------------------------------------------------------------------------- of complex numbers
derivative(np.conjugate,    lambda g: g)
derivative(np.real,         lambda g: g)
derivative(np.real_if_close, lambda g: g, ignores=["tol"])
derivative(np.imag,         _zero)
derivative(np.angle,        _zero, ignores=["deg"])

if hasattr(np, "fix"):  # deprecated since NumPy 2.5
    enter_composite(np.fix, lambda x: np.trunc(x))
enter_composite(np.divmod,  lambda x, y: (np.floor_divide(x, y), np.remainder(x, y)))
# fmt: on


@composite(np.clip)
def clip(
    a: Any, a_min: Any = _NOTHING, a_max: Any = _NOTHING, *, min: Any = None, max: Any = None
) -> Any:
    """Return values limited to an interval."""
    if a_min is a_max is _NOTHING:
        a_min, a_max = min, max
    else:
        expect(_NOTHING is not a_min and _NOTHING is not a_max and min is max is None)
    a = +a if a_min is None else np.maximum(a, a_min)
    return a if a_max is None else np.minimum(a, a_max)


@composite(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """Return the polynomial with coefficients ``p``, that of the highest power first."""
    ans = np.zeros_like(x)
    for coefficient in as_array(p, kind(x)):
        ans = ans * x + coefficient
    return ans


@composite(np.interp)
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None) -> Any:
    """Return the values at ``x`` of the line through the points; at a point, its right segment."""
    x, xp, fp = as_arrays((x, xp, fp))
    if 0 in xp.shape and 0 in x.shape:  # since NumPy 2.5, of nothing that is nothing
        return np.interp(bare(x), bare(xp), bare(fp))
    expect(xp.ndim == 1 and xp.shape == fp.shape and len(xp) > 0)
    expect(np.result_type(x, xp, fp, float).itemsize == 8)
    x, xp, fp = (of_dtype(a, float) for a in (x, xp, fp))
    last = len(xp) - 1
    i = np.clip(np.searchsorted(xp, x, side="right") - 1, 0, max(last - 1, 0))
    j = np.minimum(i + 1, last)
    slope = quotient(fp[j] - fp[i], xp[j] - xp[i])
    inside = slope * (x - xp[i]) + fp[i]
    low = fp[0] if left is None else left
    high = fp[-1] if right is None else right
    return np.where(x < xp[0], low, np.where(x > xp[-1], high, inside))


# Without a derivative: the results are plain arrays.
constant(np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal)
constant(np.isclose, np.allclose, np.array_equal, np.array_equiv)
constant(np.isnan, np.isinf, np.isfinite, np.isneginf, np.isposinf, np.signbit, np.spacing)
constant(np.isreal, np.iscomplex, np.isrealobj, np.iscomplexobj)
constant(np.logical_and, np.logical_or, np.logical_xor, np.logical_not)
constant(np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert, np.bitwise_count)
constant(np.left_shift, np.right_shift, np.gcd, np.lcm)
constant(np.searchsorted, np.digitize, np.isin)
constant(np.zeros_like, np.ones_like, np.empty_like)
