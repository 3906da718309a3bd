"""Samples of elementwise functions that are no ufuncs."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from autograd_lite.rules.elementwise import sinc_derivative
from tests.sample import Sample, distinct, normal, positive, since


def deprecated(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that the newest NumPy would rather not have called, called silently."""

    @functools.wraps(function)
    def silent(*args: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return function(*args)

    return silent


SAMPLES = [
    Sample(np.where, [[True, False], [False, True]], normal(2, 2), normal(2), linear=True),
    Sample(np.where, [True, False], 1.0, normal(3, 1)),
    Sample(np.clip, distinct(2, 5), -0.4, 0.6),
    Sample(np.clip, distinct(2, 5), distinct(5) - 0.1, 0.6),
    Sample(np.clip, distinct(6), None, 0.2),
    *([Sample(np.clip, distinct(6), max=0.2)] if since("2.1") else []),
    Sample(np.nan_to_num, normal(2, 3), linear=True),
    Sample(np.sinc, normal(2, 3), analytic=True),
    Sample(np.sinc, np.array([0.0, 1e-9, 1e-3, 0.3, 0.4, 4.0])),
    Sample(sinc_derivative, np.array([0.0, 1e-3, -0.9, 1.1, -2.1, 6.0]), 1),
    Sample(sinc_derivative, np.array([0.0, 1e-3, -2.9, 3.1, -4.1, 6.0]), 3),
    Sample(np.unwrap, np.array([0.1, 3.0, -3.0, 0.2, 6.0])),
    Sample(np.round, normal(5)),
    Sample(np.round, normal(2, 3), 1),
    Sample(np.around, normal(2, 3), decimals=1),
    Sample(deprecated(np.fix), normal(2, 3)),
    Sample(np.real, normal(2, 3), linear=True),
    Sample(np.imag, normal(2, 3), linear=True),
    Sample(np.real_if_close, normal(2, 3), linear=True),
    Sample(np.angle, normal(2, 3)),
    Sample(np.polyval, normal(4), normal(2, 3)),
    Sample(np.interp, normal(2, 4), np.array([-0.9, -0.1, 0.2, 0.8]), normal(4)),
    Sample(np.interp, 0.5 * normal(5), np.array([-0.3, 0.1, 0.4]), normal(3), -1.0, 2.0),
    Sample(np.divmod, positive(2, 3), positive(3)),
]
