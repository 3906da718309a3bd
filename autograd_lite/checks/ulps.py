"""Differences in units of the spacing of floating-point numbers."""

from __future__ import annotations

from typing import Any

import numpy as np


def ulp_distance(a: Any, b: Any) -> float:
    """Return the largest difference of two arrays in units of the spacing at the larger element.

    The spacing is that of ``b``'s dtype; equal infinities and nan in both do not differ.

    Parameters
    ----------
    a, b : array_like
        Of shapes that broadcast.

    Examples
    --------
    >>> ag.checks.ulp_distance(0.1 + 0.2, 0.3)
    1.0
    """
    return float(np.max(ulps_between(np.asarray(a), np.asarray(b)), initial=0))


def ulps_between(a: Any, b: Any) -> Any:
    """Return the difference of each two elements; inf where nan is in one of them alone."""
    with np.errstate(all="ignore"):
        larger = np.maximum(np.abs(a), np.abs(b)).astype(b.dtype)
        difference = np.abs(a.astype(np.longdouble) - b.astype(np.longdouble))
        ulps = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, difference / np.spacing(larger))
    return np.where(np.isnan(ulps), np.inf, ulps)
