"""Rules of ufuncs of scipy.special, which reach the table as NumPy's do.

Conventions: the derivatives of ``xlogy(x, y)`` and ``xlog1py(x, y)`` are 0 where the logarithm is
of 0 and ``x`` is 0. The orders of Bessel functions, and the shapes of the incomplete gamma and
beta functions, are not differentiated.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import scipy.special

from autograd_lite.engine.primitives import primitive
from autograd_lite.engine.table import constant, derivative

# With SCIPY_ARRAY_API=1 SciPy has functions around its ufuncs; arrays, and tensors, get to these.
sp = SimpleNamespace(
    **{name: getattr(value, "__wrapped__", value) for name, value in vars(scipy.special).items()}
)
_TWO_BY_ROOT_PI = 2 / math.sqrt(math.pi)
_ROOT_PI_BY_TWO = math.sqrt(math.pi) / 2
_ROOT_TWO_PI = math.sqrt(2 * math.pi)


def _polygamma_x(g: Any, n: Any, x: Any) -> Any:
    """Return the cotangent of ``x``: the next derivative of digamma."""
    return g * _polygamma(n + 1, x)


@primitive(None, _polygamma_x)
def _polygamma(n: int, x: Any) -> Any:
    """Return the n-th derivative of digamma."""
    return (-((-1.0) ** n) * math.factorial(n) * sp.zeta(n + 1, x)).astype(x.dtype)


def _log_ndtr(g: Any, ans: Any, x: Any) -> Any:
    """Return the cotangent: the density over ``ndtr``, by erfcx below 0, where both may vanish."""
    below = 2 / _ROOT_TWO_PI / sp.erfcx(np.minimum(x, 0) * -math.sqrt(0.5))
    return g * np.where(x < 0, below, np.exp(-x * x / 2 - ans) / _ROOT_TWO_PI)


def _kept(x: Any, y: Any, zero: int) -> Any:
    """Return ``y``, changed so that the logarithm is 0, not -inf, where ``x`` is 0 too."""
    return np.where((x == 0) & (y == zero), zero + 1, y)


# fmt: off
# ---------------------------------------------------------------------------- logistic
derivative(sp.expit,     lambda g, ans, x: g * ans * sp.expit(-x))  # 1 - ans would lose digits
derivative(sp.log_expit, lambda g, x: g * sp.expit(-x))
derivative(sp.logit,     lambda g, x: g / (x * (1 - x)),              domain=(0.1, 0.9))

# ---------------------------------------------------------------------------- error functions
derivative(sp.erf,       lambda g, x: g * (_TWO_BY_ROOT_PI * np.exp(-x * x)))
derivative(sp.erfc,      lambda g, x: -g * (_TWO_BY_ROOT_PI * np.exp(-x * x)))
# erfcx and dawsn lose about 2 x² units in the last place per order
derivative(sp.erfcx,     lambda g, ans, x: g * (2 * x * ans - _TWO_BY_ROOT_PI))
derivative(sp.erfi,      lambda g, x: g * (_TWO_BY_ROOT_PI * np.exp(x * x)), domain=(-1, 1))
derivative(sp.dawsn,     lambda g, ans, x: g * (1 - 2 * x * ans))
derivative(sp.erfinv,    lambda g, ans: g * (_ROOT_PI_BY_TWO * np.exp(ans * ans)),
                         domain=(-0.8, 0.8))
derivative(sp.erfcinv,   lambda g, ans: -g * (_ROOT_PI_BY_TWO * np.exp(ans * ans)),
                         domain=(0.2, 1.8))
derivative(sp.ndtr,      lambda g, x: g * (np.exp(-x * x / 2) / _ROOT_TWO_PI))
derivative(sp.log_ndtr,  _log_ndtr)
derivative(sp.ndtri,     lambda g, ans: g * (_ROOT_TWO_PI * np.exp(ans * ans / 2)),
                         domain=(0.1, 0.9))

# ---------------------------------------------------------------------------- gamma and beta
derivative(sp.gammaln,   lambda g, x: g * sp.digamma(x),              domain=(0.5, 3))
derivative(sp.loggamma,  lambda g, x: g * sp.digamma(x),              domain=(0.5, 3))
derivative(sp.gamma,     lambda g, ans, x: g * (ans * sp.digamma(x)), domain=(0.5, 3))
derivative(sp.digamma,   lambda g, x: g * _polygamma(1, x),            domain=(0.5, 3))
derivative(sp.betaln,    lambda g, x, y: g * (sp.digamma(x) - sp.digamma(x + y)),
                         lambda g, x, y: g * (sp.digamma(y) - sp.digamma(x + y)), domain=(0.5, 3))
derivative(sp.beta,      lambda g, ans, x, y: g * ans * (sp.digamma(x) - sp.digamma(x + y)),
                         lambda g, ans, x, y: g * ans * (sp.digamma(y) - sp.digamma(x + y)),
                         domain=(0.5, 3))
derivative(sp.gammainc,  None, lambda g, x, y: g * np.exp(sp.xlogy(x - 1, y) - y - sp.gammaln(x)),
                         domain=(0.5, 3))
derivative(sp.gammaincc, None, lambda g, x, y: -g * np.exp(sp.xlogy(x - 1, y) - y - sp.gammaln(x)),
                         domain=(0.5, 3))
derivative(sp.betainc,   None, None, lambda g, x, y, z: g * np.exp(
                             sp.xlogy(x - 1, z) + sp.xlog1py(y - 1, -z) - sp.betaln(x, y)),
                         domain=(0.2, 0.8))

# ---------------------------------------------------------------------------- logarithms
derivative(sp.xlogy,     lambda g, x, y: g * np.log(_kept(x, y, 0)),
                         lambda g, x, y: g * x / _kept(x, y, 0),      domain=(0.2, 2))
derivative(sp.xlog1py,   lambda g, x, y: g * np.log1p(_kept(x, y, -1)),
                         lambda g, x, y: g * x / (1 + _kept(x, y, -1)), domain=(-0.8, 2))
derivative(sp.entr,      lambda g, x: -g * (np.log(x) + 1),           domain=(0.2, 2))
derivative(sp.rel_entr,  lambda g, x, y: g * (np.log(x / y) + 1),
                         lambda g, x, y: -g * x / y,                  domain=(0.2, 2))
derivative(sp.kl_div,    lambda g, x, y: g * np.log(x / y),
                         lambda g, x, y: g * (1 - x / y),             domain=(0.2, 2))
derivative(sp.boxcox,    lambda g, x, y: g * x ** (y - 1), None,      domain=(0.2, 2))
derivative(sp.inv_boxcox, lambda g, ans, y: g * ans ** (1 - y), None, domain=(0.2, 2))

# ---------------------------------------------------------------------------- exponentials
derivative(sp.exp2,      lambda g, ans: g * (ans * math.log(2)))
derivative(sp.exp10,     lambda g, ans: g * (ans * math.log(10)))
derivative(sp.expm1,     lambda g, x: g * np.exp(x))
derivative(sp.log1p,     lambda g, x: g / (1 + x),                    domain=(-0.8, 2))
derivative(sp.cbrt,      lambda g, ans: g / (3 * ans * ans),          domain=(0.2, 2))
derivative(sp.cosm1,     lambda g, x: -g * np.sin(x))
derivative(sp.exp1,      lambda g, x: -g * np.exp(-x) / x,            domain=(0.2, 2))
derivative(sp.expi,      lambda g, x: g * np.exp(x) / x,              domain=(0.2, 2))
derivative(sp.pseudo_huber, None, lambda g, x, y: g * y / np.hypot(1, y / x), domain=(0.2, 2))
derivative(sp.huber,     None, lambda g, x, y: g * np.clip(y, -x, x), domain=(0.2, 2))
derivative(sp.round,     lambda g: np.where(False, g, 0))

# ---------------------------------------------------------------------------- Bessel functions
derivative(sp.j0,        lambda g, x: -g * sp.j1(x))
derivative(sp.j1,        lambda g, x: g * (sp.j0(x) - sp.jv(2, x)) / 2)
derivative(sp.y0,        lambda g, x: -g * sp.y1(x),                  domain=(0.5, 3))
derivative(sp.y1,        lambda g, x: g * (sp.y0(x) - sp.yv(2, x)) / 2, domain=(0.5, 3))
derivative(sp.i0,        lambda g, x: g * sp.i1(x))
derivative(sp.i1,        lambda g, x: g * (sp.i0(x) + sp.iv(2, x)) / 2)
derivative(sp.i0e,       lambda g, ans, x: g * (sp.i1e(x) - np.sign(x) * ans))
derivative(sp.i1e,       lambda g, ans, x: g * ((sp.i0e(x) + sp.ive(2, x)) / 2 - np.sign(x) * ans))
derivative(sp.k0,        lambda g, x: -g * sp.k1(x),                  domain=(0.5, 3))
derivative(sp.k1,        lambda g, x: -g * (sp.k0(x) + sp.kv(2, x)) / 2, domain=(0.5, 3))
derivative(sp.jv,        None, lambda g, x, y: g * (sp.jv(x - 1, y) - sp.jv(x + 1, y)) / 2,
                         domain=(0.5, 3))
derivative(sp.yv,        None, lambda g, x, y: g * (sp.yv(x - 1, y) - sp.yv(x + 1, y)) / 2,
                         domain=(0.5, 3))
derivative(sp.iv,        None, lambda g, x, y: g * (sp.iv(x - 1, y) + sp.iv(x + 1, y)) / 2,
                         domain=(0.5, 3))
derivative(sp.kv,        None, lambda g, x, y: -g * (sp.kv(x - 1, y) + sp.kv(x + 1, y)) / 2,
                         domain=(0.5, 3))
derivative(sp.ive,       None, lambda g, ans, x, y: g * (
                             (sp.ive(x - 1, y) + sp.ive(x + 1, y)) / 2 - np.sign(y) * ans),
                         domain=(0.5, 3))
# fmt: on

constant(sp.gammasgn)
