"""The checks that every derivative must pass, and the cases made for them out of the table.

Each check takes a :class:`~tests.sample.Sample` and raises AssertionError saying what is wrong:

======================== ===========================================================================
:func:`check_value`      value, dtype and structure are those that NumPy gives
:func:`check_first`      gradients against numeric ones (complex step where analytic, else
                         Richardson extrapolation in extended precision), in a random direction;
                         nothing written to, nothing shared, the same bits twice
:func:`check_second`     the same for the gradient as a function of arguments and cotangent
:func:`check_transpose`  of linear functions, on integers, bit by bit
:func:`check_float32`    float32 in, float32 out, and float32 inside each rule
:func:`check_layouts`    Fortran order, negative strides, strides of 0
======================== ===========================================================================
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

import autograd_lite as ag
from autograd_lite.engine.names import name_of
from autograd_lite.engine.recording import bare, node_of
from autograd_lite.engine.results import Outputs, _result
from autograd_lite.engine.table import TABLE, Primitive
from autograd_lite.engine.tape import Node, reachable
from autograd_lite.transforms.trees import flatten
from tests.sample import Sample

COMPLEX_STEP = 1e-150
_STEPS = (2e-2, 1e-3, 5e-5)
_LEVELS = 6
# They have complex loops, but no complex derivative, or (expi) one too coarse for tiny steps.
_NOT_ANALYTIC = {"sign", "conjugate", "maximum", "minimum", "fmax", "fmin", "rint", "expi"}
_LINEAR_UFUNCS = {np.add, np.subtract, np.negative, np.positive, np.conjugate}
# Linear in each argument while the others are held.
BILINEAR = {
    np.multiply, np.matmul, np.dot, np.vdot, np.inner, np.outer, np.tensordot, np.einsum, np.kron,
    np.cross, np.convolve, np.correlate, np.vecdot, np.linalg.outer, np.linalg.matmul,
    np.linalg.tensordot, np.linalg.vecdot, np.linalg.cross, np.linalg.multi_dot,
}  # fmt: skip


# ---------------------------------------------------------------------------- cases from the table

_SHAPES = {
    1: [((2, 3),), ((),), ((1,),), ((0, 2),)],
    2: [
        ((2, 3), (2, 3)), ((), ()), ((), (2, 3)), ((2, 3), ()), ((3,), (2, 3)), ((2, 3), (3,)),
        ((2, 1), (1, 3)), ((1, 1), (2, 3)), ((3, 1, 2), (2, 1)), ((1,), ()), ((0, 2), (1, 2)),
    ],
    3: [((2, 3), (2, 3), (2, 3)), ((), (3,), (2, 1)), ((2, 1), (1, 3), ()), ((0,), (1,), ())],
}  # fmt: skip


def ufunc_samples(primitive: Primitive) -> Iterator[Sample]:
    """Yield a sample of a ufunc for each choice of shapes, its arguments drawn from its domain."""
    ufunc = primitive.function
    rng = np.random.default_rng(zlib.crc32(primitive.name.encode()))
    low, high = primitive.domain or (-2.0, 2.0)
    for shapes in _SHAPES[ufunc.nin]:
        args: list[Any] = []
        for i, shape in enumerate(shapes):
            if _takes_floats(ufunc, i):
                args.append(np.asarray(rng.uniform(low, high, shape)))
            else:
                args.append(np.asarray(rng.integers(-3, 4, shape)))
            if i >= len(primitive.rules) or primitive.rules[i] is None:
                args[i] = _Held(args[i])
        analytic = ufunc.__name__ not in _NOT_ANALYTIC and any(
            set(t.replace("->", "")) == {"D"} for t in ufunc.types
        )
        yield Sample(ufunc, *args, linear=ufunc in _LINEAR_UFUNCS, analytic=analytic)


class _Held:
    """An array argument that a function has no derivative in."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __repr__(self) -> str:
        return f"{self.array.dtype}{list(self.array.shape)}"


def _takes_floats(ufunc: np.ufunc, i: int) -> bool:
    return any(t[i] in "dg" for t in ufunc.types)


def is_elementwise(function: Callable[..., Any]) -> bool:
    """Whether cases are made from arity, domain and shapes, so that no sample is needed."""
    entry = TABLE.get(function)
    return isinstance(entry, Primitive) and entry.elementwise


def with_arrays(sample: Sample, arrays: Sequence[Any]) -> Sample:
    """Return the same call on other arrays."""
    others = iter(arrays)
    replaced = [_replaced(value, others) for value in (*sample.args, *sample.kwargs.values())]
    new = Sample(
        sample.function,
        *replaced[: len(sample.args)],
        linear=sample.linear,
        analytic=sample.analytic,
        order=sample.order,
    )
    new.kwargs = dict(zip(sample.kwargs, replaced[len(sample.args) :]))
    return new


def _replaced(value: Any, others: Iterator[Any]) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return next(others)
    if type(value) in (list, tuple):
        return type(value)([_replaced(item, others) for item in value])
    return value


def applied(sample: Sample, arrays: Sequence[Any]) -> Any:
    """Return the result of a call on other arrays, or tensors."""
    others = iter(arrays)
    args = [_replaced(value, others) for value in sample.args]
    kwargs = {name: _replaced(value, others) for name, value in sample.kwargs.items()}
    return sample.function(*[a.array if isinstance(a, _Held) else a for a in args], **kwargs)


def degenerate(sample: Sample) -> Iterator[Sample]:
    """Yield the call on empty, one-element and 0-d arrays, where NumPy accepts them."""
    cuts: list[tuple[str, Callable[[np.ndarray], np.ndarray]]] = [
        ("empty first axis", lambda a: a[:0] if a.ndim else a),
        ("empty last axis", lambda a: a[..., :0] if a.ndim else a),
        ("first axis of one", lambda a: a[:1] if a.ndim else a),
        ("last axis of one", lambda a: a[..., :1] if a.ndim else a),
        ("one element", lambda a: a[(slice(1),) * a.ndim]),
        ("0-d", lambda a: a.reshape(-1)[0].reshape(()) if a.size else a),
    ]
    seen = [[a.shape for a in sample.arrays]]
    for _, cut in cuts:
        smaller = with_arrays(sample, [np.array(cut(a)) for a in sample.arrays])
        shapes = [a.shape for a in smaller.arrays]
        if shapes in seen:  # such cuts of a vector are the same
            continue
        seen.append(shapes)
        try:
            with np.errstate(all="ignore"):
                value = applied(smaller, smaller.arrays)
        except Exception:  # NumPy does not take such arguments here, in whatever words
            continue
        if _is_refused(smaller):
            continue
        if all(np.isfinite(v).all() for v in _float_outputs(value)):
            yield smaller


def _is_refused(sample: Sample) -> bool:
    """Whether the function says that it has no derivative on arrays of such shapes."""
    try:
        with np.errstate(all="ignore"):
            applied(sample, [ag.Tensor(a, requires_grad=True) for a in sample.arrays])
    except ValueError as error:
        return "no derivative" in str(error)
    return False


# ---------------------------------------------------------------------------- numeric derivatives


def slope(phi: Callable[[Any], Any], real: type) -> Any:
    """Return phi'(0), phi a function from numbers of a precision to arrays of them.

    Central differences at halved steps, extrapolated to step 0; smaller first steps are tried until
    the extrapolation converges, as it does not across a kink.
    """
    best, best_error = None, np.inf
    for first in _STEPS:
        row: list[Any] = []
        for level in range(_LEVELS):
            h = real(first) / 2**level
            new = [(phi(h) - phi(-h)) / (2 * h)]
            for k, old in enumerate(row):
                new.append(new[k] + (new[k] - old) / (4 ** (k + 1) - 1))
            if row:
                error = np.max(np.abs(new[-1] - row[-1]), initial=0)
                if error < best_error or best is None:
                    best, best_error = new[-1], error
                if best_error <= 10 * np.finfo(real).eps / first * np.max(np.abs(best), initial=1):
                    return best
            row = new
    return best


def _precision(sample: Sample) -> type:
    """Return the most precise real type in which NumPy computes the function."""
    try:
        value = applied(sample, [a.astype(np.longdouble) for a in sample.arrays])
    except TypeError:  # LAPACK and most of SciPy have no extended precision
        return np.float64
    extended = all(v.dtype == np.longdouble for v in _float_outputs(value))
    return np.longdouble if extended else np.float64


# ---------------------------------------------------------------------------- helpers


def _outputs(value: Any) -> list[Any]:
    return [bare(v) for v in flatten(value)[0]]


def _is_real(value: Any) -> bool:
    return getattr(getattr(value, "dtype", None), "kind", "") in "fc" or type(value) is float


def _float_outputs(value: Any) -> list[Any]:
    return [np.asarray(v) for v in _outputs(value) if _is_real(v)]


def _direction(rng: np.random.Generator, shape: Any) -> np.ndarray:
    """Return numbers of size about 1 and of either sign, so that no two of them play alike."""
    return np.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape))


def _cotangents(rng: np.random.Generator, value: Any) -> Any:
    """Return a random cotangent for each output, of its shape and dtype, structured alike."""
    outputs, rebuild = flatten(value)
    return rebuild(
        [
            _direction(rng, np.shape(v)).astype(v.dtype) if _is_real(v) else np.zeros_like(v)
            for v in map(bare, outputs)
        ]
    )


def _dotted(cotangents: Any, value: Any) -> Any:
    """Return the sum of products of the floating-point outputs with their cotangents."""
    return sum(np.sum(term) for term in _terms(cotangents, value))


def _terms(cotangents: Any, value: Any) -> list[Any]:
    pairs = zip(flatten(cotangents)[0], _outputs(value))
    return [np.asarray(v) * u for u, v in pairs if _is_real(v)]


def _size(terms: Sequence[Any]) -> Any:
    """Return the sum of the absolute values of terms, inside sums of which rounding happens."""
    return sum(np.sum(np.abs(term)) for term in terms)


def _vjp(sample: Sample, arrays: Sequence[Any]) -> tuple[Any, Callable[[Any], Any]]:
    return ag.vjp(lambda *a: applied(sample, a), *arrays)


class _Tolerance(NamedTuple):
    """What a numeric derivative is good for.

    ``relative`` to the derivative's terms; ``floor`` relative to the terms of the function that is
    differentiated, whose rounding no derivative of nearly 0 can be better than.
    """

    relative: float
    floor: float

    def allows(self, a: Any, b: Any, terms: Any, function_terms: Any) -> bool:
        """Whether two derivatives agree."""
        allowed = self.relative * max(terms, abs(b)) + self.floor * max(function_terms, 0.1)
        return bool(abs(a - b) <= allowed)


_COMPLEX = _Tolerance(1e-12, 1e-14)
_EXTENDED = _Tolerance(1e-11, 1e-14)
_DOUBLE = _Tolerance(1e-9, 1e-10)


def _tolerance(real: type) -> _Tolerance:
    # Where long double is double (not on x86-64), there is no extended precision.
    return _EXTENDED if np.finfo(real).eps < 1e-17 else _DOUBLE


def _frozen(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array


# ---------------------------------------------------------------------------- the checks


def check_value(sample: Sample) -> None:
    """Check that a tensor's result is NumPy's: bit for bit, or within rounding for a formula."""
    arrays = sample.arrays
    expected = applied(sample, arrays)
    got = applied(sample, [ag.Tensor(a, requires_grad=True) for a in arrays])
    assert isinstance(got, (list, tuple)) == isinstance(expected, (list, tuple)), (
        f"{sample}: gives {type(got).__name__}, NumPy gives {type(expected).__name__}"
    )
    mine, theirs = _outputs(got), _outputs(expected)
    assert len(mine) == len(theirs), f"{sample}: {len(mine)} results, NumPy has {len(theirs)}"
    exact = isinstance(TABLE.get(sample.function), Primitive)
    for a, b in zip(mine, theirs):
        kind, wanted = ((np.asarray(v).dtype, np.shape(v)) for v in (a, b))
        assert kind == wanted, (
            f"{sample}: gives {kind[0]}{kind[1]}, NumPy gives {wanted[0]}{wanted[1]}"
        )
        if exact:
            same = np.array_equal(a, b, equal_nan=_is_real(b))
        else:
            same = np.allclose(a, b, rtol=1e-13, atol=1e-14, equal_nan=True)
        assert same, f"{sample}: gives {a}, NumPy gives {b}"


def check_first(sample: Sample, *, explain: bool = True) -> None:
    """Check the gradient in each argument, and that computing it touches nothing else.

    A failure names the worst cell, if it is to be explained.
    """
    rng = np.random.default_rng(0)
    arrays = [_frozen(a.copy()) for a in sample.arrays]
    value, pull = _vjp(sample, arrays)
    u = _cotangents(rng, value)
    for cotangent in flatten(u)[0]:
        _frozen(cotangent)
    gradients = pull(u)
    check_owned(sample, arrays, gradients, flatten(u)[0], value)
    again = pull(u)
    for k, (a, d, d2) in enumerate(zip(arrays, gradients, again)):
        assert (d.dtype, d.shape) == (a.dtype, a.shape), (
            f"{sample}: gradient {k} is {d.dtype}{d.shape}, the array {a.dtype}{a.shape}"
        )
        assert d.tobytes() == d2.tobytes(), f"{sample}: gradient {k} differs when pulled again"
        v = _direction(rng, a.shape)
        if k not in sample.numeric:  # which no rule has a part in
            sample.numeric[k] = numeric_along(sample, arrays, k, v, u)
        expected, tolerance = sample.numeric[k]
        got = np.sum(d * v)
        if not tolerance.allows(got, expected, _size([d * v]), _size(_terms(u, value))):
            raise AssertionError(
                f"{sample}: order 1, array {k}: backpropagation gives {got:.15g} along a random "
                f"direction, numerically it is {expected:.15g} ({tolerance}); "
                + (worst_cell(sample, arrays, k, d, u) if explain else "")
            )


def numeric_along(
    sample: Sample, arrays: Sequence[np.ndarray], k: int, v: np.ndarray, u: Any
) -> tuple[Any, _Tolerance]:
    """Return the derivative of <u, f> along a direction in one array, and how exact it is."""
    if sample.analytic:
        moved = [a.astype(complex) for a in arrays]
        moved[k] = moved[k] + 1j * COMPLEX_STEP * v
        return np.imag(_dotted(u, applied(sample, moved))) / COMPLEX_STEP, _COMPLEX
    real = _precision(sample)
    precise = [a.astype(real) for a in arrays]

    def phi(t: Any) -> Any:
        return _dotted(
            u,
            applied(
                sample, [np.asarray(a + t * v) if i == k else a for i, a in enumerate(precise)]
            ),
        )

    with np.errstate(all="ignore"):
        return slope(phi, real), _tolerance(real)


def worst_cell(sample: Sample, arrays: Sequence[np.ndarray], k: int, d: Any, u: Any) -> str:
    """Return words for the cell of a gradient that is furthest from the numeric one."""
    worst, words = -1.0, "it has no cells"
    for cell in np.ndindex(d.shape):
        unit = np.zeros(d.shape)
        unit[cell] = 1
        expected, _ = numeric_along(sample, arrays, k, unit, u)
        if not abs(d[cell] - expected) <= worst:
            worst = abs(d[cell] - expected)
            words = f"worst is cell {cell}: {d[cell]:.15g} for {expected:.15g}"
    return words


def check_owned(
    sample: Sample,
    arrays: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    cotangents: Sequence[np.ndarray],
    value: Any,
) -> None:
    """Check that each gradient is an array of its own that the caller may write to."""
    others = [*arrays, *cotangents, *_float_outputs(value)]
    for k, d in enumerate(gradients):
        assert isinstance(d, np.ndarray), f"{sample}: gradient {k} is a {type(d).__name__}"
        assert d.flags.writeable, f"{sample}: gradient {k} is read-only"
        assert 0 not in d.strides or d.size <= 1, f"{sample}: gradient {k} repeats its cells"
        for other in (*others, *gradients[:k]):
            assert not np.may_share_memory(d, other) or not np.shares_memory(d, other), (
                f"{sample}: gradient {k} shares memory with another array"
            )


def check_second(sample: Sample, seed: int = 1) -> None:
    """Check the derivative of each gradient in all the arrays and the cotangent jointly."""
    rng = np.random.default_rng(seed)
    arrays = sample.arrays
    u = _cotangents(rng, applied(sample, arrays))
    leaves, rebuild = flatten(u)
    points = [*arrays, *(v for v in leaves if _is_real(v))]
    count = len(arrays)
    vs = [_direction(rng, a.shape) for a in arrays]
    along = [_direction(rng, p.shape) for p in points]

    def gradients(*p: Any) -> Any:
        given = iter(p[count:])
        cotangents = rebuild([next(given) if _is_real(v) else v for v in leaves])
        return ag.vjp(lambda *a: applied(sample, a), *p[:count])[1](cotangents)

    firsts, pull = ag.vjp(gradients, *points)
    got, sizes = [], []
    for k in range(count):
        zeros = [np.zeros(a.shape) for a in arrays]
        zeros[k] = vs[k]
        seconds = pull(tuple(zeros))
        for d, p in zip(seconds, points):
            assert d.shape == p.shape, f"{sample}: a second derivative has shape {d.shape}"
        got.append(sum(np.sum(d * w) for d, w in zip(seconds, along)))
        sizes.append(_size([d * w for d, w in zip(seconds, along)]))
    real = _precision(sample)
    try:
        gradients(*[p.astype(real) for p in points])
    except TypeError:  # a rule calls a function that has no extended precision
        real = np.float64
    precise = [p.astype(real) for p in points]

    def phi(t: Any) -> Any:
        ds = gradients(*[p + t * w for p, w in zip(precise, along)])
        return np.array([np.sum(d * v) for d, v in zip(ds, vs)], real)

    with np.errstate(all="ignore"):
        expected = slope(phi, real)
    tolerance = _tolerance(real)
    for k in range(count):
        assert tolerance.allows(got[k], expected[k], sizes[k], _size([firsts[k] * vs[k]])), (
            f"{sample}: order 2, the gradient in array {k} has derivative {got[k]:.15g} along a "
            f"random direction, numerically it is {expected[k]:.15g} ({tolerance})"
        )


def check_transpose(sample: Sample, seed: int = 2) -> None:
    """Check <A x, u> == <x, transposed A u> exactly, on integers.

    They are multiples of 5040, so that means of up to ten of them are whole too.
    """
    rng = np.random.default_rng(seed)

    def integers(shape: Any) -> np.ndarray:
        return 5040.0 * rng.integers(-4, 5, shape)

    arrays = [integers(a.shape) for a in sample.arrays]
    value, pull = _vjp(sample, arrays)
    outputs, rebuild = flatten(value)
    u = rebuild([integers(np.shape(v)) for v in outputs])
    left = _dotted(u, value)
    if sample.function in BILINEAR:
        for a, d in zip(arrays, pull(u)):
            assert left == np.sum(a * d), f"{sample}: <f(x), u> = {left}, <x, g> = {np.sum(a * d)}"
    else:
        right = sum(np.sum(a * d) for a, d in zip(arrays, pull(u)))
        assert left == right, f"{sample}: <A x, u> = {left}, but <x, transposed A u> = {right}"


def is_linear(sample: Sample) -> bool:
    """Whether the exact test applies."""
    return sample.linear or sample.function in BILINEAR


def check_float32(sample: Sample, seed: int = 3) -> None:
    """Check that float32 stays float32, in results, gradients and within rules."""
    rng = np.random.default_rng(seed)
    arrays = [a.astype(np.float32) for a in sample.arrays]
    expected = applied(sample, arrays)
    tensors = [ag.Tensor(a, requires_grad=True) for a in arrays]
    result = applied(sample, tensors)
    for a, b in zip(_outputs(result), _outputs(expected)):
        assert np.asarray(a).dtype == np.asarray(b).dtype, (
            f"{sample}: of float32 gives {np.asarray(a).dtype}, NumPy gives {np.asarray(b).dtype}"
        )
    value, pull = _vjp(sample, arrays)
    u = _cotangents(rng, value)
    wide = [a.astype(float) for a in arrays]
    exact = _vjp(sample, wide)[1](_widened(u))
    for k, (d, e) in enumerate(zip(pull(u), exact)):
        assert d.dtype == np.float32, f"{sample}: gradient {k} of float32 is {d.dtype}"
        assert np.allclose(d, e, rtol=1e-3, atol=1e-4 * np.max(np.abs(e), initial=1)), (
            f"{sample}: gradient {k} is {d} in float32, {e} in float64"
        )
    for name, dtype in rule_dtypes(result):
        assert dtype == np.float32, (
            f"{sample}: a rule of {name} turns float32 into {dtype} (write math.log(2), "
            f"not np.log(2), and no array of Python floats)"
        )


def _widened(u: Any) -> Any:
    leaves, rebuild = flatten(u)
    return rebuild([v.astype(float) for v in leaves])


def rule_dtypes(result: Any) -> Iterator[tuple[str, Any]]:
    """Yield what each rule of a result's last call returns for a float32 cotangent, uncast."""
    for output in flatten(result)[0]:
        node = node_of(output)
        if node is None or node.plan is None or node.dtype != np.float32:
            continue
        g: Any = np.ones(node.shape, np.float32)
        if node.plan.primitive is TABLE[_result]:
            g = node.plan.rules[0][0](g, *node.saved)
            node = node.parents[0]
        for rule, pick in node.plan.rules:
            d = rule(g, *(node.saved if pick is None else pick(node.saved)))
            if not isinstance(d, Outputs):
                yield node.plan.primitive.name, d.dtype


def check_layouts(sample: Sample, seed: int = 4) -> None:
    """Check that gradients do not depend on how arrays and cotangents lie in memory."""
    rng = np.random.default_rng(seed)
    arrays = sample.arrays
    value, pull = _vjp(sample, arrays)
    u = _cotangents(rng, value)
    expected = pull(u)
    for name, lay in (("Fortran order", _fortran), ("negative strides", _reversed)):
        laid = [lay(a) for a in arrays]
        leaves, rebuild = flatten(u)
        other, pull_other = _vjp(sample, laid)
        gradients = pull_other(rebuild([lay(v) for v in leaves]))
        for a, b in zip(_float_outputs(other), _float_outputs(value)):
            assert np.allclose(a, b, rtol=1e-12, atol=1e-13), f"{sample}: {name} changes the value"
        _alike(sample, gradients, expected, name)
    outputs, rebuild = flatten(value)
    ones = rebuild([np.ones(np.shape(v), bare(v).dtype) for v in outputs])
    strided = rebuild([np.broadcast_to(bare(v).dtype.type(1), np.shape(v)) for v in outputs])
    _alike(sample, pull(strided), pull(ones), "strides of 0 in the cotangent")
    if is_elementwise(sample.function):
        repeated = [np.broadcast_to(a[..., :1], a.shape) if a.ndim else a for a in arrays]
        _, pull_repeated = _vjp(sample, repeated)
        _, pull_copied = _vjp(sample, [a.copy() for a in repeated])
        _alike(sample, pull_repeated(u), pull_copied(u), "strides of 0")


def _alike(sample: Sample, gradients: Any, expected: Any, layout: str) -> None:
    for k, (d, e) in enumerate(zip(gradients, expected)):
        size = np.max(np.abs(e), initial=0)
        same = d.shape == e.shape and np.allclose(d, e, rtol=1e-11, atol=1e-12 * size)
        assert same, f"{sample}: {layout} changes gradient {k}"
        assert d.flags.writeable, f"{sample}: {layout} gives a read-only gradient {k}"


def _fortran(a: np.ndarray) -> np.ndarray:
    return np.array(a, order="F")


def _reversed(a: np.ndarray) -> np.ndarray:
    """Return the same values in memory that runs backwards along every axis."""
    return np.flip(np.flip(a).copy()) if a.ndim else a


def check_all(sample: Sample) -> None:
    """Run every check that applies, the cheapest first."""
    check_first(sample)
    if is_linear(sample):
        check_transpose(sample)
    if sample.order >= 2:
        check_second(sample)
    check_value(sample)
    check_float32(sample)
    check_layouts(sample)


# ---------------------------------------------------------------------------- what a case exercises


def touched(sample: Sample) -> set[Primitive]:
    """Return the entries of the table that a call, its gradient and that one's gradient record."""
    tensors = [ag.Tensor(a, requires_grad=True) for a in sample.arrays]
    roots: list[Node] = []
    result = applied(sample, tensors)
    for output in flatten(result)[0]:
        if node_of(output) is None:
            continue
        g = ag.Tensor(np.ones(output.shape, output.dtype), requires_grad=True)
        roots.append(output._node)
        output.backward(g, create_graph=True)
        roots += [t.grad._node for t in (*tensors, g) if isinstance(t.grad, ag.Tensor)]
    nodes = itertools.chain.from_iterable(reachable(r) for r in roots if r is not None)
    return {node.plan.primitive for node in nodes if node.plan is not None}


def entry_name(function: Callable[..., Any]) -> str:
    """Return the name that the table has for a function."""
    entry = TABLE[function]
    return name_of(function) if isinstance(entry, Primitive) else entry.name
