"""Rules of linear algebra.

Conventions
-----------
* cholesky, eigh and eigvalsh read one triangle of a matrix that stands for a symmetric one. Their
  cotangent is symmetric: it gives the derivative along symmetric changes, and each of two mirrored
  elements has half of what changing both would bring.
* The vectors of eigh, eig and svd are defined up to sign, and for equal values up to a rotation.
  The derivative is that of the vectors NumPy chose. Where two values are equal that of the vectors
  is nan, even for a function that does not depend on the choice; that of the values alone is not.
* The derivative of a singular value at 0 is 0, where the vectors are not used.
* The derivative of det is the matrix of cofactors, also where the matrix is singular.
* pinv and lstsq are differentiated at constant rank.

Sources: Giles (2008), An extended collection of matrix derivative results for forward and reverse
mode algorithmic differentiation, for det, inv, solve, eigh; Golub and Pereyra (1973) for pinv;
Murray (2016) for cholesky; Walter and Lehmann (2010) for qr; Townsend (2016) for svd; Boeddeker et
al. (2017) for eig.
"""

from __future__ import annotations

import functools
import math
import operator
import string
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from autograd_lite.engine.arrays import as_arrays, expect, kind, of_dtype, possibly
from autograd_lite.engine.primitives import composite, primitive
from autograd_lite.engine.recording import bare
from autograd_lite.engine.table import constant, derivative, enter_composite
from autograd_lite.rules.shapes import embedded

# ---------------------------------------------------------------------------- products


def _matmul_x(g: Any, like: Any, y: Any) -> Any:
    """Return the cotangent of ``x`` in ``x @ y``: ``g @ yᵀ``."""
    if y.ndim == 1:
        return g[..., None] * y
    if like.ndim == 1:
        return (y @ g[..., None])[..., 0]
    return g @ y.swapaxes(-1, -2)


def _matmul_y(g: Any, like: Any, x: Any) -> Any:
    """Return the cotangent of ``y`` in ``x @ y``: ``xᵀ @ g``."""
    if x.ndim == 1:
        return x * g if like.ndim == 1 else x[:, None] * g[..., None, :]
    if like.ndim == 1:
        return (g[..., None, :] @ x)[..., 0, :]
    return x.swapaxes(-1, -2) @ g


@composite(np.dot)
def dot(a: Any, b: Any) -> Any:
    """Return the product over the last axis of ``a`` and the second last (or only) one of ``b``."""
    a, b = as_arrays((a, b))
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return a @ b if b.ndim <= 2 else np.tensordot(a, b, (-1, -2))


@composite(np.inner)
def inner(a: Any, b: Any) -> Any:
    """Return the product over the last axes, of a number all products."""
    a, b = as_arrays((a, b))
    return np.tensordot(a, b, (-1, -1)) if a.ndim and b.ndim else a * b


@composite(np.outer)
def outer(a: Any, b: Any) -> Any:
    """Return the products of each element with each, as a matrix."""
    a, b = as_arrays((a, b))
    return a.reshape(-1, 1) * b.reshape(-1)


def _convolve_a(g: Any, like: Any, v: Any) -> Any:
    """Return the cotangent of one array, given the other: ``Σ g_{k+i} v_i``."""
    return _convolve(g, v[::-1])[v.size - 1 :][: like.size]


@primitive(_convolve_a, lambda g, like, a: _convolve_a(g, like, a))
def _convolve(a: Any, v: Any) -> Any:
    return np.convolve(a, v)


@composite(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """Return the sums ``Σ a_i v_{k-i}``: all, or the middle ones, or those of whole overlap."""
    a, v = np.atleast_1d(*as_arrays((a, v)))
    short, long = sorted((a.size, v.size))
    places = {
        "full": slice(None),
        "same": slice((short - 1) // 2, (short - 1) // 2 + long),
        "valid": slice(short - 1, long),
    }
    expect(mode in places)
    return _convolve(a, v)[places[mode]]


@composite(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """Return the sums ``Σ a_{k+i} v_i``, in the modes of convolve."""
    a, v = as_arrays((a, v))
    expect(a.ndim == v.ndim == 1)
    if v.size > a.size:
        return convolve(v, a[::-1], mode)[::-1]
    return convolve(a, v[::-1], mode)


@composite(np.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Return the product over pairs of axes, or over so many last and first axes."""
    a, b = as_arrays((a, b))
    if isinstance(axes, (int, np.integer)):
        axes = range(a.ndim - axes, a.ndim), range(axes)
    over_a, over_b = (list(normalize_axis_tuple(which, x.ndim)) for x, which in zip((a, b), axes))
    summed = [a.shape[i] for i in over_a]
    expect(summed == [b.shape[i] for i in over_b])
    free_a = [i for i in range(a.ndim) if i not in over_a]
    free_b = [i for i in range(b.ndim) if i not in over_b]
    rows, columns = [a.shape[i] for i in free_a], [b.shape[i] for i in free_b]
    x = a.transpose(free_a + over_a).reshape(math.prod(rows), math.prod(summed))
    y = b.transpose(over_b + free_b).reshape(math.prod(summed), math.prod(columns))
    return (x @ y).reshape(rows + columns)


@composite(np.kron)
def kron(a: Any, b: Any) -> Any:
    """Return the Kronecker product: every element of ``a`` times the whole of ``b``."""
    a, b = as_arrays((a, b))
    ndim = max(a.ndim, b.ndim)
    shape_a, shape_b = ((1,) * (ndim - x.ndim) + x.shape for x in (a, b))
    x = a.reshape([n for i in shape_a for n in (i, 1)])
    y = b.reshape([n for i in shape_b for n in (1, i)])
    return (x * y).reshape([i * k for i, k in zip(shape_a, shape_b)])


@composite(np.cross)
def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    """Return the vector product of vectors of 3 components."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = as_arrays((a, b))
    a = np.moveaxis(a, normalize_axis_index(axisa, a.ndim), -1)
    b = np.moveaxis(b, normalize_axis_index(axisb, b.ndim), -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ValueError(
            f"np.cross: the vectors must have 3 components, not {a.shape[-1]} and {b.shape[-1]}; "
            f"append a 0 to those of 2"
        )
    (a1, a2), (b1, b2) = ([np.roll(x, -by, axis=-1) for by in (1, 2)] for x in (a, b))
    ans = a1 * b2 - a2 * b1
    return np.moveaxis(ans, -1, normalize_axis_index(axisc, ans.ndim))


@composite(np.linalg.multi_dot)
def multi_dot(arrays: Any) -> Any:
    """Return a product of matrices (or of a vector at either end), the cheapest products first."""
    matrices = as_arrays(arrays)
    shapes = [a.shape for a in matrices]
    ndims = [len(shape) for shape in shapes]
    expect(len(ndims) > 1 and {*ndims[1:-1]} <= {2} and {*ndims} <= {1, 2})
    rows = [shape[0] for shape in shapes[1:]]
    return _product(matrices, (math.prod(shapes[0][:-1]), *rows, math.prod(shapes[-1][1:])))


def _product(matrices: Sequence[Any], lengths: tuple[int, ...]) -> Any:
    """Return a product of matrices, given how many rows each has, and columns the last."""
    if len(matrices) == 1:
        return matrices[0]
    _, k = _cheapest(lengths)
    return _product(matrices[:k], lengths[: k + 1]) @ _product(matrices[k:], lengths[k:])


@functools.cache
def _cheapest(lengths: tuple[int, ...]) -> tuple[int, int]:
    """Return the fewest multiplications for a product of matrices, and where to split it."""
    if len(lengths) == 2:
        return 0, 0
    outer = lengths[0] * lengths[-1]
    return min(
        (_cheapest(lengths[: k + 1])[0] + outer * lengths[k] + _cheapest(lengths[k:])[0], k)
        for k in range(1, len(lengths) - 1)
    )


@composite(np.linalg.matrix_power)
def matrix_power(a: Any, n: int) -> Any:
    """Return the n-th power of square matrices, for negative n that of their inverses."""
    n = operator.index(n)
    expect(a.ndim > 1 and a.shape[-1] == a.shape[-2])
    if n < 0:
        return matrix_power(np.linalg.inv(a), -n)
    if n == 0:
        return of_dtype(np.where(False, a, np.eye(a.shape[-1], like=kind(a))), a.dtype)
    if n == 1:
        return np.copy(a)
    root = matrix_power(a, n // 2)
    return root @ root @ a if n % 2 else root @ root


# ---------------------------------------------------------------------------- einsum

_LETTERS = string.ascii_uppercase + string.ascii_lowercase


def _einsum_operand(
    g: Any, argnum: int, like: Any, operands: Any, subscripts: str, optimize: Any
) -> Any:
    """Return the cotangent of an operand: the einsum of ``g`` and the others to its subscripts.

    A subscript that none of them has in full length is given to ones. The operand repeats none.
    """
    terms = list(_terms(subscripts, tuple(x.ndim for x in operands)))
    factors = [*operands, g]
    own, _ = terms.pop(argnum), factors.pop(argnum)
    known = {pair for term, x in zip(terms, factors) for pair in zip(term, x.shape)}
    for label, length in zip(own, like.shape):
        if (label, length) not in known:
            terms.append(label)
            factors.append(np.ones(length, g.dtype, like=kind(g)))
    # A path would be that of other operands. All at once, those added would cost far more.
    lengths = dict(pair for term, x in zip(terms, factors) for pair in zip(term, x.shape))
    costly = len(factors) > len(operands) and math.prod(lengths.values()) > 20_000
    optimize = costly or optimize is not False
    return _einsum(*factors, subscripts=f"{','.join(terms)}->{own}", optimize=optimize)


@primitive(_einsum_operand, broadcasts=True)
def _einsum(*operands: Any, subscripts: str, optimize: Any) -> Any:
    return np.einsum(subscripts, *operands, optimize=optimize)


@functools.lru_cache(maxsize=1024)
def _terms(subscripts: str, ndims: tuple[int, ...]) -> list[str]:
    """Return the subscripts of each operand and of the output, letters in place of ellipses."""
    inputs, arrow, output = "".join(subscripts.split()).partition("->")
    labels = inputs.replace("...", "").replace(",", "")
    if not arrow:
        output = "..." + "".join(label for label in _LETTERS if labels.count(label) == 1)
    terms = inputs.split(",")
    hidden = [ndim - len(term.replace("...", "")) for ndim, term in zip(ndims, terms)]
    unused = [label for label in _LETTERS if label not in labels][: max(hidden)]
    return [
        term.replace("...", "".join(unused[len(unused) - count :]))
        for term, count in zip([*terms, output], [*hidden, len(unused)])
    ]


def _without_repeats(a: Any, term: str) -> tuple[Any, str]:
    """Return an operand's diagonal over axes with one subscript, and the subscripts it then has."""
    for label in term:
        i, k = term.find(label), term.rfind(label)
        if i < k < a.ndim and a.shape[i] == a.shape[k]:  # if not, NumPy will say so
            a = np.diagonal(a, axis1=i, axis2=k)
            term = term[:i] + term[i + 1 : k] + term[k + 1 :] + label
    return a, term


@composite(np.einsum)
def einsum(*operands: Any, optimize: Any = False) -> Any:
    """Return the sum of products that subscripts describe, in any form that NumPy takes."""
    subscripts, *arrays = operands
    if not isinstance(subscripts, str):
        count = len(operands) // 2
        arrays = list(operands[: 2 * count : 2])
        terms = [
            "".join("..." if i is ... else _LETTERS[range(52).index(i)] for i in term)
            for term in (*operands[1 : 2 * count : 2], *operands[2 * count :])
        ]
        subscripts = "->".join([",".join(terms[:count]), *terms[count:]])
    arrays = as_arrays(arrays)
    *terms, output = _terms(subscripts, tuple(a.ndim for a in arrays))
    expect(len(terms) == len(arrays))
    parts = [_without_repeats(a, term) for a, term in zip(arrays, terms)]
    if [term for _, term in parts] != terms[: len(parts)]:
        arrays = [a for a, _ in parts]
        subscripts = f"{','.join(term for _, term in parts)}->{output}"
    return _einsum(*arrays, subscripts=subscripts, optimize=optimize)


# ---------------------------------------------------------------------------- inverses


def _t(a: Any) -> Any:
    """Return ``aᵀ``, the transpose of each matrix."""
    return a.swapaxes(-1, -2)


def _solve_a(g: Any, like: Any, ans: Any, a: Any) -> Any:
    """Return the cotangent of ``a`` in ``a⁻¹ b``: ``-a⁻ᵀ @ g @ ansᵀ`` (Giles, 2.3.1)."""
    if ans.ndim < like.ndim:  # a vector
        return -np.linalg.solve(_t(a), g[..., None]) * ans[..., None, :]
    return -np.linalg.solve(_t(a), g) @ _t(ans)


def _solve_b(g: Any, like: Any, a: Any) -> Any:
    """Return the cotangent of ``b`` in ``a⁻¹ b``: ``a⁻ᵀ @ g``."""
    if like.ndim == 1:
        return np.linalg.solve(_t(a), g[..., None])[..., 0]
    return np.linalg.solve(_t(a), g)


def _cofactors(a: Any) -> Any:
    """Return the matrix of cofactors, without dividing by the determinant.

    Of small matrices these are the signed determinants with a row and a column left out. Of large
    ones, ``u diag(p) vᵀ`` up to sign, where ``p_i`` is the product of the other singular values;
    the derivative of that is nan where two of them are equal.
    """
    n = a.shape[-1]
    if n > 16:
        u, s, vt = _svd(a)
        others = np.prod(np.where(np.eye(n, dtype=bool, like=kind(a)), 1, s[..., None, :]), axis=-1)
        sign = np.sign(np.linalg.det(bare(u)) * np.linalg.det(bare(vt)))
        return u * (others * sign[..., None])[..., None, :] @ vt
    i = np.arange(n, like=kind(a))
    rest = i[:-1] + (i[:-1] >= i[:, None])
    minors = a[..., rest[:, None, :, None], rest[None, :, None, :]]
    cofactors = np.linalg.det(minors)
    odd = (i[:, None] + i) % 2 == 1
    return np.where(odd, -cofactors, cofactors)


def _det(g: Any, ans: Any, a: Any) -> Any:
    """Return ``g * ans * a⁻ᵀ``, that is by the cofactors of ``a`` (Giles, 2.2.4).

    Where a matrix is singular, or too nearly so for its inverse, they are worked out otherwise.
    """
    plain = bare(a)
    if plain.size and possibly(np.linalg.cond(plain, 1) > np.finfo(plain.dtype).eps ** -0.5):
        return g[..., None, None] * _cofactors(a)
    return (g * ans)[..., None, None] * _t(np.linalg.inv(a))


def _pinv(g: Any, ans: Any, a: Any) -> Any:
    """Return the cotangent of a pseudo-inverse ``p``, at constant rank (Golub and Pereyra, 4.12).

    ``-pᵀ g pᵀ + (1 - a p) gᵀ p pᵀ + pᵀ p gᵀ (1 - p a)``
    """
    p, pt, gt = ans, _t(ans), _t(g)
    left, right = gt @ p @ pt, pt @ p @ gt
    return -(pt @ g @ pt) + left - a @ (p @ left) + right - (right @ p) @ a


@composite(np.linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    """Return the inverse in the sense of tensordot over the last axes after the first ``ind``."""
    expect(ind > 0 and a.ndim > 0)
    n = math.prod(a.shape[ind:])
    return np.linalg.inv(a.reshape(n, -1)).reshape(a.shape[ind:] + a.shape[:ind])


@composite(np.linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """Return ``x`` with ``np.tensordot(a, x, x.ndim) == b``."""
    a, b = as_arrays((a, b))
    moved = [] if axes is None else list(axes)
    a = a.transpose([i for i in range(a.ndim) if i not in moved] + moved)
    unknowns = a.shape[b.ndim - a.ndim :]
    return np.linalg.solve(a.reshape(b.size, math.prod(unknowns)), b.reshape(-1)).reshape(unknowns)


@primitive(_pinv, name="np.linalg.pinv")
def _pseudo_inverse(a: Any, rcond: float) -> Any:
    return np.linalg.pinv(a, rcond)


@composite(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """Return the least-squares solution, the sums of squared residuals, the rank and the values.

    The residuals are empty, as NumPy's are, unless the columns are independent and fewer than the
    rows. The solution is differentiated at constant rank.
    """
    a, b = as_arrays((a, b))
    plain, residuals, rank, _ = np.linalg.lstsq(bare(a), bare(b), rcond)
    if rcond is not None and possibly(rank < min(a.shape)):
        raise ValueError(
            "np.linalg.lstsq: no derivative rule covers rcond= where it lowers the rank"
        )
    a, b = of_dtype(a, plain.dtype), of_dtype(b, plain.dtype)
    least = max(a.shape) * np.finfo(plain.dtype).eps if rcond is None else rcond
    x = _pseudo_inverse(a, least) @ b
    if residuals.size:
        difference = b - a @ x
        residuals = np.sum(difference * difference, axis=0, keepdims=b.ndim == 1)
    return x, residuals, rank, np.linalg.svd(a, compute_uv=False)


@composite(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    """Return the condition number: the norm of a matrix times that of its inverse."""
    if p in (None, 2, -2):
        s = np.linalg.svd(x, compute_uv=False)
        largest, least = s[..., 0], s[..., -1]
        return np.where(largest == 0, math.inf, least / largest if p == -2 else largest / least)
    axes = (-2, -1)
    try:
        return np.linalg.norm(x, p, axes) * np.linalg.norm(np.linalg.inv(x), p, axes)
    except np.linalg.LinAlgError:
        singular = np.isinf(np.linalg.cond(bare(x), p))
        regular = np.where(singular[..., None, None], np.eye(x.shape[-1], dtype=x.dtype), x)
        return np.where(singular, math.inf, cond(regular, p))


# ---------------------------------------------------------------------------- factors


def _gaps(w: Any) -> Any:
    """Return the differences of values: in row i and column j ``w_j - w_i``, and 1 for i = j."""
    return w[..., None, :] - w[..., :, None] + np.eye(w.shape[-1], dtype=w.dtype, like=kind(w))


def _cholesky(g: Any, ans: Any, upper: Any) -> Any:
    """Return the cotangent of ``a`` in ``a = l lᵀ``: that of symmetric changes (Murray, eq. 10).

    ``l⁻ᵀ Φ(lᵀ g) l⁻¹`` made symmetric, where Φ takes the lower triangle and halves the diagonal.
    """
    lt, g = (ans, _t(g)) if upper else (_t(ans), g)
    product = lt @ g
    phi = (np.tril(product) + np.tril(product, -1)) / 2
    inner = np.linalg.solve(lt, _t(np.linalg.solve(lt, phi)))
    return (inner + _t(inner)) / 2


def _eigh(g: Any, ans: Any) -> Any:
    """Return the cotangent of symmetric ``a`` in ``a = v diag(w) vᵀ`` (Giles, 3.1).

    ``v (diag(g_w) + (vᵀ g_v) / (w_j - w_i)) vᵀ``, of which only the symmetric part counts.
    """
    (w, v), (g_w, g_v) = ans, g
    inner = embedded(g_w, 0, w.shape[-1], w.shape[-1])
    if 1 in g.parts:
        product = _t(v) @ g_v
        inner = inner + (product - _t(product)) / 2 / _gaps(w)
    return v @ inner @ _t(v)


def _eig(g: Any, ans: Any) -> Any:
    """Return the cotangent of ``a`` in ``a v = v diag(w)``, with columns of norm 1.

    ``v⁻ᵀ (diag(g_w) + (vᵀ g_v - vᵀ v diag(vᵀ g_v)) / (w_j - w_i)) vᵀ`` (Boeddeker et al., 4.77).
    """
    (w, v), (g_w, g_v) = ans, g
    n = w.shape[-1]
    inner = embedded(g_w, 0, n, n)
    if 1 in g.parts:
        along = np.sum(v * g_v, axis=-2)
        turned = _t(v) @ g_v - _t(v) @ v * along[..., None, :]
        inner = inner + turned * (1 - np.eye(n, dtype=w.dtype, like=kind(w))) / _gaps(w)
    return np.linalg.solve(_t(v), inner @ _t(v))


@primitive(_eig, name="np.linalg.eig")
def _real_eig(a: Any) -> Any:
    """Return values and vectors, real where no imaginary part is left: NumPy 2.5 has complex."""
    ans: Any = np.linalg.eig(a)
    if ans.eigenvalues.dtype.kind != "c" or ans.eigenvalues.imag.any():
        return ans
    return ans._make(part.real.copy() for part in ans)


def _svd_a(g: Any, ans: Any) -> Any:
    """Return the cotangent of ``a`` in ``a = u diag(s) vᵀ``, ``u`` and ``v`` of few columns.

    ``u ((F∘(uᵀg_u - g_uᵀu)) s + diag(g_s) + s (F∘(vᵀg_v - g_vᵀv))) vᵀ`` with
    ``F = 1 / (s_j² - s_i²)``, and for what ``u`` and ``v`` do not span,
    ``(1 - u uᵀ) g_u s⁻¹ vᵀ + u s⁻¹ g_vᵀ (1 - v vᵀ)`` (Townsend, eq. 32).
    """
    (u, s, vt), (g_u, g_s, g_vt) = ans, g
    if g.parts.keys() == {1}:
        return u * (g_s * np.sign(s))[..., None, :] @ vt
    v, g_v, n = _t(vt), _t(g_vt), s.shape[-1]
    row, column = s[..., None, :], s[..., :, None]
    squares = _gaps(s) * (row + column + np.eye(n, dtype=s.dtype, like=kind(s)))
    inner, beyond = embedded(g_s, 0, n, n), 0
    if 0 in g.parts:
        product = _t(u) @ g_u
        inner = inner + (product - _t(product)) / squares * row
        if u.shape[-2] > n:
            beyond = (g_u - u @ product) / row @ vt
    if 2 in g.parts:
        product = vt @ g_v
        inner = inner + column * ((product - _t(product)) / squares)
        if v.shape[-2] > n:
            beyond = beyond + u @ _t((g_v - v @ product) / row)
    return u @ inner @ vt + beyond


@primitive(_svd_a)
def _svd(a: Any) -> Any:
    """Return the singular value decomposition with as few vectors as there are values."""
    return np.linalg.svd(a, full_matrices=False)


@composite(np.linalg.svd)
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """Return singular vectors and values, or the values alone."""
    expect(a.ndim > 1)
    if not compute_uv:
        return _svd(a)[1]
    if full_matrices and a.shape[-1] != a.shape[-2]:
        raise ValueError(
            f"np.linalg.svd: of shape {a.shape} the vectors beyond the smaller length are "
            f"arbitrary and have no derivative; pass full_matrices=False"
        )
    return _svd(a)


def _qr_a(g: Any, ans: Any) -> Any:
    """Return the cotangent of ``a`` in ``a = q r``, for at least as many rows as columns.

    ``(g_q + q M) r⁻ᵀ``, where ``M`` has the lower triangle of ``r g_rᵀ - g_qᵀ q`` and is symmetric
    (Walter and Lehmann, eq. 4.4).
    """
    (q, r), (g_q, g_r) = ans, g
    product = r @ _t(g_r) - _t(g_q) @ q
    symmetric = np.tril(product) + _t(np.tril(product, -1))
    return _t(np.linalg.solve(r, _t(g_q + q @ symmetric)))


@primitive(_qr_a)
def _qr(a: Any) -> Any:
    """Return orthonormal columns and the triangle, for at least as many rows as columns."""
    return np.linalg.qr(a)


@composite(np.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    """Return orthonormal columns and an upper triangle whose product is the matrix."""
    expect(a.ndim > 1)
    rows, columns = a.shape[-2:]
    if mode not in ("reduced", "r") and not (mode == "complete" and rows <= columns):
        raise ValueError(
            f"np.linalg.qr: no derivative rule covers mode={mode!r} for shape {a.shape}; "
            f"use 'reduced' or 'r'"
        )
    ans = _qr(a[..., :rows] if columns > rows else a)
    if columns > rows:
        q, r = ans
        ans = ans._replace(R=np.concatenate([r, _t(q) @ a[..., rows:]], axis=-1))
    return ans.R if mode == "r" else ans


# fmt: off
derivative(np.matmul,           _matmul_x, _matmul_y)
derivative(np.vecdot,           lambda g, y: g[..., None] * y, lambda g, x: g[..., None] * x)
if hasattr(np, "matvec"):  # since NumPy 2.2
    derivative(np.matvec,       lambda g, y: g[..., None] * y[..., None, :],
                                lambda g, x: (g[..., None, :] @ x)[..., 0, :])
    derivative(np.vecmat,       lambda g, y: (y @ g[..., None])[..., 0],
                                lambda g, x: x[..., None] * g[..., None, :])
derivative(np.linalg.inv,       lambda g, ans: -(_t(ans) @ g @ _t(ans)))
derivative(np.linalg.solve,     _solve_a, _solve_b, broadcasts=True)
derivative(np.linalg.det,       _det)
# of the sign, no derivative; of the logarithm, a⁻ᵀ
derivative(np.linalg.slogdet,   lambda g, a: g[1][..., None, None] * _t(np.linalg.inv(a)))
derivative(np.linalg.pinv,      _pinv)
derivative(np.linalg.cholesky,  _cholesky)
derivative(np.linalg.eigh,      _eigh, ignores=["UPLO"])

# ---------------------------------------------------------------------------- formulas of one line
enter_composite(np.vdot, lambda a, b: np.matmul(*[x.reshape(-1) for x in as_arrays((a, b))]))
enter_composite(np.linalg.outer, lambda x1, x2, /: np.einsum("i,j->ij", x1, x2))
enter_composite(np.linalg.matmul, lambda x1, x2, /: np.matmul(x1, x2))
enter_composite(np.linalg.tensordot, lambda x1, x2, /, *, axes=2: np.tensordot(x1, x2, axes))
enter_composite(np.linalg.cross, lambda x1, x2, /, *, axis=-1: np.cross(x1, x2, axis, axis, axis))
enter_composite(np.linalg.vecdot, lambda x1, x2, /, *, axis=-1: np.vecdot(
                                     *(np.moveaxis(x, operator.index(axis), -1) for x in (x1, x2))))
enter_composite(np.linalg.svdvals, lambda x, /: np.linalg.svd(x, compute_uv=False))
enter_composite(np.linalg.eigvalsh, lambda a, UPLO="L": np.linalg.eigh(a, UPLO)[0])
enter_composite(np.linalg.eig, lambda a: _real_eig(a))
enter_composite(np.linalg.eigvals, lambda a: _real_eig(a)[0])
# fmt: on

constant(np.linalg.matrix_rank, np.einsum_path)
