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
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from autograd_lite.rules.shapes import embedded
from autograd_lite.tape import constant, derivative
from autograd_lite.tensor import as_array, bare, composite, primitive

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
    a, b = as_array(a), as_array(b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return a @ b if b.ndim <= 2 else np.tensordot(a, b, (-1, -2))


@composite(np.inner)
def inner(a: Any, b: Any) -> Any:
    """Return the product over the last axes."""
    a, b = as_array(a), as_array(b)
    return np.tensordot(a, b, (-1, -1)) if a.ndim and b.ndim else a * b


@composite(np.vdot)
def vdot(a: Any, b: Any) -> Any:
    """Return the product of two arrays taken as vectors."""
    return as_array(a).reshape(-1) @ as_array(b).reshape(-1)


@composite(np.outer)
def outer(a: Any, b: Any) -> Any:
    """Return every product of an element of ``a`` with one of ``b``."""
    return as_array(a).reshape(-1, 1) * as_array(b).reshape(1, -1)


@composite(np.linalg.outer)
def linalg_outer(x1: Any, x2: Any, /) -> Any:
    """Return every product of elements of two vectors."""
    x1, x2 = as_array(x1), as_array(x2)
    if x1.ndim != 1 or x2.ndim != 1:
        raise ValueError(f"np.linalg.outer: needs vectors, not shapes {x1.shape} and {x2.shape}")
    return outer(x1, x2)


@composite(np.linalg.matmul)
def linalg_matmul(x1: Any, x2: Any, /) -> Any:
    """Return the matrix product."""
    return np.matmul(x1, x2)


def _convolve_a(g: Any, like: Any, v: Any) -> Any:
    """Return the cotangent of one array, given the other: ``Σ g_{k+i} v_i``."""
    return _convolve(g, v[::-1])[v.size - 1 :][: like.size]


@primitive(_convolve_a, lambda g, like, a: _convolve_a(g, like, a))
def _convolve(a: Any, v: Any) -> Any:
    return np.convolve(a, v)


@composite(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """Return the sums ``Σ a_i v_{k-i}``: all, or the middle ones, or those of whole overlap."""
    a, v = np.atleast_1d(as_array(a), as_array(v))
    short, long = sorted((a.size, v.size))
    places = {
        "full": slice(None),
        "same": slice((short - 1) // 2, (short - 1) // 2 + long),
        "valid": slice(short - 1, long),
    }
    if mode not in places:
        raise ValueError(f'np.convolve: mode must be "full", "same" or "valid", not {mode!r}')
    return _convolve(a, v)[places[mode]]


@composite(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """Return the sums ``Σ a_{k+i} v_i``, in the modes of convolve."""
    a, v = np.atleast_1d(as_array(a), as_array(v))
    if v.size > a.size:
        return convolve(v, a[::-1], mode)[::-1]
    return convolve(a, v[::-1], mode)


@composite(np.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Return the product over pairs of axes, or over so many last and first axes."""
    a, b = as_array(a), as_array(b)
    if isinstance(axes, (int, np.integer)):
        axes = range(a.ndim - axes, a.ndim), range(axes)
    over_a, over_b = (list(normalize_axis_tuple(which, x.ndim)) for x, which in zip((a, b), axes))
    if [a.shape[i] for i in over_a] != [b.shape[i] for i in over_b]:
        raise ValueError(
            f"np.tensordot of shapes {a.shape} and {b.shape}: axes {over_a} and {over_b} "
            f"must have the same lengths"
        )
    free_a = [i for i in range(a.ndim) if i not in over_a]
    free_b = [i for i in range(b.ndim) if i not in over_b]
    length = math.prod(a.shape[i] for i in over_a)
    rows, columns = [a.shape[i] for i in free_a], [b.shape[i] for i in free_b]
    x = a.transpose(free_a + over_a).reshape(math.prod(rows), length)
    y = b.transpose(over_b + free_b).reshape(length, math.prod(columns))
    return (x @ y).reshape(rows + columns)


@composite(np.linalg.tensordot)
def linalg_tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    """Return the product over pairs of axes."""
    return tensordot(x1, x2, axes)


@composite(np.kron)
def kron(a: Any, b: Any) -> Any:
    """Return the Kronecker product: every element of ``a`` times the whole of ``b``."""
    a, b = as_array(a), as_array(b)
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
    a, b = np.moveaxis(as_array(a), axisa, -1), np.moveaxis(as_array(b), axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ValueError(
            f"np.cross: the vectors must have 3 components, not {a.shape[-1]} and {b.shape[-1]}; "
            f"append a 0 to those of 2"
        )
    ans = _rolled(a, 1) * _rolled(b, 2) - _rolled(a, 2) * _rolled(b, 1)
    return np.moveaxis(ans, -1, axisc)


def _rolled(a: Any, by: int) -> Any:
    """Return vectors with their components moved forward, the first ones put last."""
    return np.concatenate([a[..., by:], a[..., :by]], axis=-1)


@composite(np.linalg.cross)
def linalg_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Return the vector product of vectors of 3 components."""
    return cross(x1, x2, axis=axis)


@composite(np.linalg.vecdot)
def linalg_vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Return the products of vectors along an axis."""
    return np.vecdot(np.moveaxis(as_array(x1), axis, -1), np.moveaxis(as_array(x2), axis, -1))


@composite(np.linalg.multi_dot)
def multi_dot(arrays: Any) -> Any:
    """Return a product of matrices (or of a vector at either end), the cheapest products first."""
    matrices = [as_array(a) for a in arrays]
    if len(matrices) < 2:
        raise ValueError("np.linalg.multi_dot: needs at least two arrays")
    first, last = matrices[0].ndim == 1, matrices[-1].ndim == 1
    if first:
        matrices[0] = matrices[0].reshape(1, -1)
    if last:
        matrices[-1] = matrices[-1].reshape(-1, 1)
    if any(a.ndim != 2 for a in matrices):
        raise ValueError(
            f"np.linalg.multi_dot: needs matrices, and vectors at the ends alone, not shapes "
            f"{', '.join(str(np.shape(a)) for a in arrays)}"
        )
    lengths = (*(a.shape[0] for a in matrices), matrices[-1].shape[1])
    ans = _chain(matrices, lengths, 0, len(matrices))
    return ans[0 if first else slice(None), 0 if last else slice(None)]


def _chain(matrices: Sequence[Any], lengths: tuple[int, ...], i: int, j: int) -> Any:
    """Return the product of the matrices i to j - 1."""
    if j - i == 1:
        return matrices[i]
    _, k = _cheapest(lengths, i, j)
    return _chain(matrices, lengths, i, k) @ _chain(matrices, lengths, k, j)


@functools.cache
def _cheapest(lengths: tuple[int, ...], i: int, j: int) -> tuple[int, int]:
    """Return the fewest multiplications for the matrices i to j - 1, and where to split them."""
    if j - i == 1:
        return 0, i
    return min(
        (
            _cheapest(lengths, i, k)[0]
            + _cheapest(lengths, k, j)[0]
            + lengths[i] * lengths[k] * lengths[j],
            k,
        )
        for k in range(i + 1, j)
    )


@composite(np.linalg.matrix_power)
def matrix_power(a: Any, n: int) -> Any:
    """Return the n-th power of square matrices, for negative n that of their inverses."""
    n = operator.index(n)
    if n == 0:
        return np.where(False, a, np.eye(a.shape[-1], dtype=a.dtype))
    base, ans = a if n > 0 else np.linalg.inv(a), None
    for bit in f"{abs(n):b}":
        if ans is not None:
            ans = ans @ ans
        if bit == "1":
            ans = +base if ans is None else ans @ base
    return ans


# ---------------------------------------------------------------------------- einsum


def _einsum_operand(
    g: Any, argnum: int, operands: Any, terms: Sequence[str], output: str, optimize: Any
) -> Any:
    """Return the cotangent of an operand: the einsum of ``g`` and the others to its subscripts."""
    others = [k for k in range(len(operands)) if k != argnum]
    return _einsum(
        g,
        *(operands[k] for k in others),
        terms=[output, *(terms[k] for k in others)],
        output=terms[argnum],
        optimize=optimize is not False,  # a path would be that of other operands
    )


@primitive(_einsum_operand)
def _einsum(*operands: Any, terms: Sequence[str], output: str, optimize: Any) -> Any:
    """Return ``np.einsum`` of operands none of which repeats a subscript.

    Every subscript is that of another operand or of the output too, and has one length.
    """
    return np.einsum(f"{','.join(terms)}->{output}", *operands, optimize=optimize)


class _Step(NamedTuple):
    """What is done to an operand of einsum first."""

    diagonals: tuple[tuple[int, int], ...]  # pairs of axes with the same subscript
    shape: tuple[int, ...] | None  # without axes of length 1 that are to be broadcast
    summed: tuple[int, ...]  # axes whose subscript is nowhere else


@composite(np.einsum)
def einsum(*operands: Any, optimize: Any = False) -> Any:
    """Return the sum of products that subscripts describe, in any form that NumPy takes.

    Repeated subscripts, sums over one operand's own axes and axes of length 1 that are broadcast
    are dealt with first.
    """
    subscripts: Any = operands[0]
    if isinstance(subscripts, str):
        arrays = [as_array(a) for a in operands[1:]]
    else:
        count = len(operands) // 2 * 2
        arrays = [as_array(a) for a in operands[:count:2]]
        subscripts = tuple(map(tuple, operands[1:count:2])), *map(tuple, operands[count:])
    steps, terms, output = _einsum_plan(subscripts, tuple(a.shape for a in arrays))
    for i, step in enumerate(steps):
        for pair in step.diagonals:
            arrays[i] = np.diagonal(arrays[i], 0, *pair)
        if step.shape is not None:
            arrays[i] = arrays[i].reshape(step.shape)
        if step.summed:
            arrays[i] = arrays[i].sum(axis=step.summed)
    if len(arrays) == 1:
        return arrays[0].transpose([terms[0].index(label) for label in output])
    return _einsum(*arrays, terms=terms, output=output, optimize=optimize)


@functools.lru_cache(maxsize=1024)
def _einsum_plan(
    subscripts: Any, shapes: tuple[tuple[int, ...], ...]
) -> tuple[list[_Step], list[str], str]:
    """Return the step for each operand, the subscripts it then has, and the output's."""
    terms, output = _subscripts(subscripts, shapes)
    lengths: dict[int, int] = {}
    for term, shape in zip(terms, shapes):
        for label, length in zip(term, shape):
            if lengths.get(label, 1) == 1:
                lengths[label] = length
    for label in output:
        if label not in lengths or output.count(label) > 1:
            raise ValueError("np.einsum: the output repeats a subscript, or has one of its own")
    simplified = [_simplified(shape, term, lengths) for shape, term in zip(shapes, terms)]
    terms = [term for _, _, term in simplified]
    steps = []
    for i, (diagonals, kept, term) in enumerate(simplified):
        elsewhere = {label for other in (*terms[:i], *terms[i + 1 :], output) for label in other}
        own = tuple(axis for axis, label in enumerate(term) if label not in elsewhere)
        steps.append(_Step(diagonals, kept, own))
        terms[i] = [label for label in term if label in elsewhere]
    letters = dict(zip(lengths, string.ascii_letters))
    written = ["".join(letters[label] for label in term) for term in (*terms, output)]
    return steps, written[:-1], written[-1]


def _subscripts(
    subscripts: Any, shapes: tuple[tuple[int, ...], ...]
) -> tuple[list[list[int]], list[int]]:
    """Return the subscripts of each operand, and of the output, as numbers.

    An ellipsis stands for the numbers that end in -1.
    """
    given: Any
    if isinstance(subscripts, str):
        inputs, arrow, written = "".join(subscripts.split()).partition("->")
        given = [_numbers(term) for term in inputs.split(",")]
        outputs = [_numbers(written)] if arrow else []
    else:
        given, *outputs = subscripts
        if any(label is not ... and label < 0 for term in (*given, *outputs) for label in term):
            raise ValueError("np.einsum: subscripts must not be negative")
    if len(given) != len(shapes):
        raise ValueError(
            f"np.einsum: subscripts for {len(given)} operands, but {len(shapes)} given"
        )
    terms = []
    for shape, term in zip(shapes, given):
        hidden = len(shape) - len(term) + 1 if ... in term else 0
        if hidden < 0 or (... not in term and len(term) != len(shape)):
            raise ValueError(f"np.einsum: {len(term)} subscripts for an operand of shape {shape}")
        terms.append(_expanded(term, hidden))
    every = [label for term in terms for label in term]
    hidden = max(0, -min(every, default=0))
    once = sorted(label for label in every if label >= 0 and every.count(label) == 1)
    output = outputs[0] if outputs else [..., *once]
    if hidden and ... not in output:
        raise ValueError("np.einsum: the output must have an ellipsis (...), as the operands do")
    return terms, _expanded(output, hidden)


def _numbers(term: str) -> list[Any]:
    """Return subscripts as numbers in alphabetic order, an ellipsis as itself."""
    left, dots, right = term.partition("...")
    return [*map(ord, left), *([...] if dots else []), *map(ord, right)]


def _expanded(term: Sequence[Any], hidden: int) -> list[int]:
    """Return subscripts with an ellipsis replaced by those of the axes it stands for."""
    return [
        number
        for label in term
        for number in (range(-hidden, 0) if label is ... else (operator.index(label),))
    ]


def _simplified(
    shape: tuple[int, ...], term: list[int], lengths: dict[int, int]
) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...] | None, list[int]]:
    """Return an operand's diagonals to take, its shape without axes to be broadcast, its rest."""
    given, diagonals = shape, []
    for label in dict.fromkeys(term):
        while term.count(label) > 1:
            i = term.index(label)
            k = term.index(label, i + 1)
            if shape[i] != shape[k]:
                raise ValueError(
                    f"np.einsum: a repeated subscript for axes of lengths {shape[i]} and {shape[k]}"
                )
            diagonals.append((i, k))
            shape = (*shape[:i], *shape[i + 1 : k], *shape[k + 1 :], shape[i])
            term = [*term[:i], *term[i + 1 : k], *term[k + 1 :], label]
    kept = [i for i, label in enumerate(term) if shape[i] == lengths[label]]
    if any(length != 1 for i, length in enumerate(shape) if i not in kept):
        raise ValueError(f"np.einsum: an operand of shape {given} does not fit the other operands")
    smaller = tuple(shape[i] for i in kept)
    return tuple(diagonals), None if smaller == shape else smaller, [term[i] for i in kept]


# ---------------------------------------------------------------------------- inverses


def _t(a: Any) -> Any:
    """Return the transpose of each matrix."""
    return a.swapaxes(-1, -2)


def _solve_a(g: Any, like: Any, ans: Any, a: Any) -> Any:
    """Return the cotangent of ``a`` in ``x = a⁻¹ b``: ``-a⁻ᵀ g xᵀ`` (Giles, 2.3.1)."""
    if ans.ndim < like.ndim:  # a vector
        return -np.linalg.solve(_t(a), g[..., None]) * ans[..., None, :]
    return -np.linalg.solve(_t(a), g) @ _t(ans)


def _solve_b(g: Any, like: Any, a: Any) -> Any:
    """Return the cotangent of ``b`` in ``x = a⁻¹ b``: ``a⁻ᵀ g``."""
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
        others = np.prod(np.where(np.eye(n, dtype=bool), 1, s[..., None, :]), axis=-1)
        sign = np.sign(np.linalg.det(bare(u)) * np.linalg.det(bare(vt)))
        return u * (others * sign[..., None])[..., None, :] @ vt
    rest = np.arange(n)[None, :-1] + (np.arange(n)[None, :-1] >= np.arange(n)[:, None])
    minors = a[..., rest[:, None, :, None], rest[None, :, None, :]]
    cofactors = np.linalg.det(minors)
    odd = np.add.outer(np.arange(n), np.arange(n)) % 2 == 1
    return np.where(odd, -cofactors, cofactors)


def _det(g: Any, ans: Any, a: Any) -> Any:
    """Return the cotangent of a determinant: the cofactors, ``ans a⁻ᵀ`` (Giles, 2.2.4).

    Where a matrix is singular, or too nearly so for its inverse, they are worked out otherwise.
    """
    plain = bare(a)
    with np.errstate(all="ignore"):
        near = plain.size and np.max(np.linalg.cond(plain, 1)) > np.finfo(plain.dtype).eps ** -0.5
    if near:
        return g[..., None, None] * _cofactors(a)
    return (g * ans)[..., None, None] * _t(np.linalg.inv(a))


def _slogdet(g: Any, a: Any) -> Any:
    """Return the cotangent of a logarithm of a determinant: ``a⁻ᵀ``; the sign has none."""
    _, g_log = g
    return g_log[..., None, None] * _t(np.linalg.inv(a))


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
    n = math.prod(a.shape[:ind])
    return np.linalg.inv(a.reshape(n, n)).reshape(a.shape[ind:] + a.shape[:ind])


@composite(np.linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """Return ``x`` with ``np.tensordot(a, x, x.ndim) == b``."""
    a, b = as_array(a), as_array(b)
    moved = [] if axes is None else list(normalize_axis_tuple(axes, a.ndim))
    a = a.transpose([i for i in range(a.ndim) if i not in moved] + moved)
    unknowns = a.shape[b.ndim :]
    return np.linalg.solve(a.reshape(b.size, math.prod(unknowns)), b.reshape(-1)).reshape(unknowns)


@composite(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """Return the least-squares solution, the sums of squared residuals, the rank and the values.

    The residuals are empty, as NumPy's are, unless the columns are independent and fewer than the
    rows. The solution is differentiated at constant rank.
    """
    a, b = as_array(a), as_array(b)
    _, residuals, rank, _ = np.linalg.lstsq(bare(a), bare(b), rcond)
    if rank < min(a.shape) and rcond is not None:
        raise ValueError(
            "np.linalg.lstsq: no derivative rule covers rcond= where it lowers the rank"
        )
    x = np.linalg.pinv(a) @ b
    if residuals.size:
        difference = b - a @ x
        residuals = np.sum(difference * difference, axis=0, keepdims=b.ndim == 1)
    return x, residuals, rank, np.linalg.svd(a, compute_uv=False)


@composite(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    """Return the condition number: the norm of a matrix times that of its inverse."""
    if p in (None, 2, -2):
        s = np.linalg.svd(x, compute_uv=False)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    axes = (-2, -1)
    return np.linalg.norm(x, p, axes) * np.linalg.norm(np.linalg.inv(x), p, axes)


# ---------------------------------------------------------------------------- factors


def _gaps(w: Any) -> Any:
    """Return the differences of values: in row i and column j ``w_j - w_i``, and 1 for i = j."""
    return w[..., None, :] - w[..., :, None] + np.eye(w.shape[-1], dtype=w.dtype)


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
        inner = inner + turned * (1 - np.eye(n, dtype=w.dtype)) / _gaps(w)
    return np.linalg.solve(_t(v), inner @ _t(v))


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
    squares = _gaps(s) * (row + column + np.eye(n, dtype=s.dtype))
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
    if not compute_uv:
        return _svd(a)[1]
    if full_matrices and a.shape[-1] != a.shape[-2]:
        raise ValueError(
            f"np.linalg.svd: of shape {a.shape} the vectors beyond the smaller length are "
            f"arbitrary and have no derivative; pass full_matrices=False"
        )
    return _svd(a)


@composite(np.linalg.svdvals)
def svdvals(x: Any, /) -> Any:
    """Return singular values."""
    return _svd(x)[1]


@composite(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """Return the eigenvalues of symmetric matrices."""
    return np.linalg.eigh(a, UPLO)[0]  # type: ignore[call-overload]


@composite(np.linalg.eigvals)
def eigvals(a: Any) -> Any:
    """Return eigenvalues, where they are real."""
    return np.linalg.eig(a)[0]


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
derivative(np.linalg.slogdet,   _slogdet)
derivative(np.linalg.pinv,      _pinv)
derivative(np.linalg.cholesky,  _cholesky)
derivative(np.linalg.eigh,      _eigh, ignores=["UPLO"])
derivative(np.linalg.eig,       _eig)
# fmt: on

constant(np.linalg.matrix_rank, np.einsum_path)
