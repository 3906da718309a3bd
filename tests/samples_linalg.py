"""Samples of linear algebra."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.sample import Sample, normal, well_conditioned


def of_symmetric(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of the symmetric part of a matrix: what the rule differentiates."""

    @functools.wraps(function)
    def symmetrised(a: Any, *args: Any, **kwargs: Any) -> Any:
        return function((a + a.swapaxes(-1, -2)) / 2, *args, **kwargs)

    return symmetrised


def with_real_results(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of real results: NumPy 2.5 gives complex ones with imaginary parts of 0."""

    @functools.wraps(function)
    def real(a: Any) -> Any:
        ans = function(a)
        return type(ans)(*map(np.real, ans)) if isinstance(ans, tuple) else np.real(ans)

    return real


def _singular() -> np.ndarray:
    """Return matrices of ranks 2 and 1, and one that is singular but for rounding."""
    return np.array(
        [
            [[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 1.0, 3.0]],
            [[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [-1.0, -2.0, -3.0]],
            [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]],
        ]
    )


def _tall() -> np.ndarray:
    """Return two matrices of full rank, with well separated singular values."""
    return well_conditioned(2, 4)[..., :3]


_linalg = np.linalg
SAMPLES = [
    # products
    Sample(np.matmul, normal(2, 3), normal(3, 4), analytic=True),
    Sample(np.matmul, normal(3), normal(3), analytic=True),
    Sample(np.matmul, normal(3), normal(2, 3, 4), analytic=True),
    Sample(np.matmul, normal(2, 4, 3), normal(3), analytic=True),
    Sample(np.matmul, normal(2, 1, 2, 3), normal(3, 3, 1), analytic=True),
    Sample(_linalg.matmul, normal(2, 3), normal(3, 1), analytic=True),
    Sample(np.vecdot, normal(2, 3), normal(3)),
    Sample(np.dot, normal(2, 3), normal(3, 2), analytic=True),
    Sample(np.dot, normal(), normal(2, 3), analytic=True),
    Sample(np.dot, normal(2, 3), normal(3), analytic=True),
    Sample(np.dot, normal(2, 2, 3), normal(2, 3, 2), analytic=True),
    Sample(np.vdot, normal(2, 3), normal(3, 2)),
    Sample(np.inner, normal(2, 3), normal(4, 3), analytic=True),
    Sample(np.inner, normal(3), normal(), analytic=True),
    Sample(np.outer, normal(2, 2), normal(3), analytic=True),
    Sample(_linalg.outer, normal(2), normal(3), analytic=True),
    Sample(np.tensordot, normal(2, 3, 4), normal(3, 4, 2), analytic=True),
    Sample(np.tensordot, normal(2, 3), normal(2), axes=0, analytic=True),
    Sample(np.tensordot, normal(2, 3, 4), normal(4, 5, 2), axes=([0, -1], [2, 0]), analytic=True),
    Sample(_linalg.tensordot, normal(2, 3), normal(3, 2), axes=(1, 0), analytic=True),
    Sample(np.kron, normal(2, 3), normal(3, 2), analytic=True),
    Sample(np.kron, normal(3), normal(2, 2, 2), analytic=True),
    Sample(np.cross, normal(2, 3), normal(3), analytic=True),
    Sample(np.cross, normal(3, 2), normal(2, 3), axisa=0, axisc=0, analytic=True),
    Sample(np.cross, normal(3, 2), normal(3, 2), axis=0, analytic=True),
    Sample(_linalg.cross, normal(2, 3), normal(2, 3), analytic=True),
    Sample(_linalg.vecdot, normal(3, 2), normal(3, 1), axis=0),
    Sample(_linalg.multi_dot, [normal(2, 3), normal(3, 1), normal(1, 4)], analytic=True),
    Sample(_linalg.multi_dot, [normal(2), normal(2, 3), normal(3)], analytic=True),
    Sample(_linalg.matrix_power, well_conditioned(2, 3), 5, analytic=True),
    Sample(_linalg.matrix_power, well_conditioned(3), -2, analytic=True),
    Sample(_linalg.matrix_power, well_conditioned(3), 0),
    # einsum
    Sample(np.einsum, "ij,jk->ik", normal(2, 3), normal(3, 4), analytic=True),
    Sample(np.einsum, "ij,jk", normal(2, 3), normal(3, 4), analytic=True),
    Sample(np.einsum, "b, a", normal(2), normal(3), analytic=True),
    Sample(np.einsum, "ii", normal(3, 3), linear=True),
    Sample(np.einsum, "iji->j", normal(2, 3, 2), linear=True),
    Sample(np.einsum, "ij->ji", normal(2, 3), linear=True),
    Sample(np.einsum, "ij,kk,l->i", normal(2, 3), normal(2, 2), normal(2), analytic=True),
    Sample(np.einsum, "...ij,...jk->...ik", normal(2, 2, 3), normal(3, 2), analytic=True),
    Sample(np.einsum, "i...,i", normal(2, 3, 2), normal(2), analytic=True),
    Sample(np.einsum, "...i,...i->i...", normal(3, 1, 2), normal(4, 2), analytic=True),
    Sample(np.einsum, "ij,ij->", normal(1, 3), normal(2, 3), analytic=True),
    Sample(np.einsum, "ij,ij->j", normal(0, 2), normal(1, 2)),
    Sample(np.einsum, "i,i,i", normal(3), normal(3), normal(3), analytic=True),
    Sample(np.einsum, "ab,bc,cd->ad", normal(2, 3), normal(3, 2), normal(2, 2), optimize=True),
    Sample(np.einsum, normal(2, 3), [0, 1], normal(3, 2), [1, 30], [30, 0], analytic=True),
    Sample(np.einsum, normal(2, 3), [7, 1], normal(3, 2), [1, 2], analytic=True),
    Sample(np.einsum, normal(2, 3), [..., 0], normal(3), [0], [...], analytic=True),
    # inverses and determinants
    Sample(_linalg.inv, well_conditioned(2, 3), analytic=True),
    Sample(_linalg.solve, well_conditioned(3), normal(3, 2), analytic=True),
    Sample(_linalg.solve, well_conditioned(2, 3), normal(3), analytic=True),
    Sample(_linalg.solve, well_conditioned(3), normal(2, 3, 1), analytic=True),
    Sample(_linalg.det, well_conditioned(2, 3), analytic=True),
    Sample(_linalg.det, _singular(), analytic=True),
    Sample(_linalg.slogdet, -well_conditioned(2, 3)),
    Sample(_linalg.pinv, _tall()),
    Sample(_linalg.pinv, _tall().swapaxes(-1, -2)),
    Sample(_linalg.lstsq, _tall()[0], normal(4)),
    Sample(_linalg.lstsq, _tall()[0], normal(4, 2)),
    Sample(_linalg.lstsq, _tall()[0].T, normal(3)),
    Sample(_linalg.tensorinv, well_conditioned(4).reshape(2, 2, 4), analytic=True),
    Sample(_linalg.tensorsolve, well_conditioned(4).reshape(2, 2, 4), normal(2, 2), analytic=True),
    Sample(
        _linalg.tensorsolve, well_conditioned(4).reshape(2, 4, 2), normal(4), (0,), analytic=True
    ),
    Sample(_linalg.cond, _tall()),
    Sample(_linalg.cond, well_conditioned(2, 3), -2),
    Sample(_linalg.cond, well_conditioned(3), "fro"),
    Sample(np.convolve, normal(4), normal(3)),
    Sample(np.convolve, normal(3), normal(4), "same"),
    Sample(np.convolve, normal(5), normal(2), "valid"),
    Sample(np.correlate, normal(5), normal(2)),
    Sample(np.correlate, normal(2), normal(5), "same"),
    Sample(np.correlate, normal(2), normal(4), "full"),
    # factors
    Sample(of_symmetric(_linalg.cholesky), well_conditioned(2, 3)),
    Sample(of_symmetric(_linalg.cholesky), well_conditioned(3), upper=True),
    Sample(of_symmetric(_linalg.eigh), well_conditioned(2, 3)),
    Sample(of_symmetric(_linalg.eigh), well_conditioned(3), "U"),
    Sample(of_symmetric(_linalg.eigvalsh), well_conditioned(2, 3)),
    Sample(with_real_results(_linalg.eig), well_conditioned(2, 3)),
    Sample(with_real_results(_linalg.eigvals), well_conditioned(3)),
    Sample(_linalg.svd, well_conditioned(2, 3), full_matrices=False),
    Sample(_linalg.svd, _tall(), full_matrices=False),
    Sample(_linalg.svd, _tall().swapaxes(-1, -2), full_matrices=False),
    Sample(_linalg.svd, _tall(), compute_uv=False),
    Sample(_linalg.svdvals, _tall()),
    Sample(_linalg.qr, _tall()),
    Sample(_linalg.qr, _tall().swapaxes(-1, -2)),
    Sample(_linalg.qr, _tall()[0], mode="r"),
]
if hasattr(np, "matvec"):
    SAMPLES += [
        Sample(np.matvec, normal(2, 2, 3), normal(3)),
        Sample(np.matvec, normal(2, 3), normal(2, 1, 3)),
        Sample(np.vecmat, normal(2), normal(2, 2, 3)),
        Sample(np.vecmat, normal(2, 1, 2), normal(2, 3)),
    ]
