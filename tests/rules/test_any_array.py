"""The rules on arrays that are no ndarrays: every function of the table, on a strict one.

Value, gradients and second derivatives are those of ndarrays, bit for bit, and Ducks themselves;
a Duck raises where a rule asks for a value or mixes it with an ndarray.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite.engine.table import TABLE, Constant
from autograd_lite.losses import fused, unfused
from autograd_lite.rules import elementwise, linalg, reductions
from autograd_lite.transforms.trees import flatten
from tests.duck import Duck, as_ducks, held
from tests.harness import _Held, applied, entry_name
from tests.rules.test_generated import CASES, check_each, each_function
from tests.sample import Sample, normal

nan, inf = np.nan, np.inf

# What the samples have not: masks with something in them, where a rule asks `possibly` of one.
SPECIAL = [
    *(
        Sample(f, np.array([1.0, 2.0, -3.0]), np.array([1.0, 3.0, -3.0]))
        for f in (np.maximum, np.minimum, np.fmax, np.fmin)
    ),
    *(
        Sample(f, np.array([0.0, 2.0, 0.0, 0.0]), np.array([0.0, 0.0, 2.0, 1.0]))
        for f in (np.power, np.float_power)
    ),
    Sample(np.max, np.array([[1.0, 3.0, 3.0], [nan, 1.0, nan]]), 1),
    Sample(np.nanmin, np.array([[1.0, 3.0, 1.0], [nan, 1.0, nan]]), 1),
    Sample(np.std, np.array([[0.1, 0.1, 0.1], [1.0, 2.0, 4.0]]), 1),
    Sample(np.median, np.array([[1.0, -inf, inf], [2.0, nan, 1.0]]), 1),
    Sample(np.quantile, np.array([[1.0, 5.0, inf], [2.0, 3.0, 1.0]]), [0.2, 0.5], axis=1),
    Sample(np.linalg.det, np.stack([np.eye(3), np.ones((3, 3))])),
    Sample(ag.cross_entropy, np.array([[1.0, -inf, 0.0], [500.0, 0.0, 1.0]]), np.array([2, 0])),
    Sample(
        ag.cross_entropy, np.array([[nan, 1.0], [3.0, 0.0]]), np.array([-1, 0]), ignore_index=-1
    ),
    Sample(ag.cross_entropy, normal(3, 2), np.array([0, 1, 0]), weight=[0.5, 2.0]),
    Sample(ag.cross_entropy, normal(2, 2), np.array([[0.0, 0.0], [0.5, 0.5]])),
    Sample(ag.unfused_cross_entropy, np.array([[1.0, -inf]]), np.array([[1.0, 0.0]])),
]

# Elsewhere the results are the same to the bit.
ROUNDED = {
    "det": "of ndarrays the inverse gives the cofactors, where the matrix allows",
    "lstsq": "what broadcasting repeated in ndarrays is summed by BLAS, in another order",
    "matmul": "what broadcasting repeated in ndarrays is summed by BLAS, in another order",
    "outer": "what broadcasting repeated in ndarrays is summed by BLAS, in another order",
    "softmax": "ndarrays have kernels of their own, which work in blocks",
    "log_softmax": "ndarrays have kernels of their own, which work in blocks",
    "logsumexp": "ndarrays have kernels of their own, which work in blocks",
    "cross_entropy": "ndarrays have kernels of their own, which work in blocks",
    "linear_cross_entropy": "ndarrays have kernels of their own, which work in blocks",
}

if np.lib.NumpyVersion(np.__version__) < "2.4.0":
    of_old = "before NumPy 2.4, a power of an array depends on where it lies in memory"
    ROUNDED |= {"p_norm": of_old, "_p_norm": of_old, "norm": of_old, "vector_norm": of_old}

# What another array is refused, and why.
REFUSED = {
    np.array2string: "gives the values as text",
    np.array_repr: "gives the values as text",
    np.array_str: "gives the values as text",
}


# ---------------------------------------------------------------------------- with a derivative


def _inner(function: Callable[..., Any]) -> Callable[..., Any]:
    return getattr(function, "__wrapped__", function)


def with_ducks(sample: Sample) -> Sample:
    """Return the call with Ducks in place of the arrays that are not differentiated."""

    def others(value: Any) -> Any:
        if isinstance(value, _Held):
            return Duck(value.array)
        if type(value) in (list, tuple):
            return type(value)([others(item) for item in value])
        floats = isinstance(value, np.ndarray) and value.dtype.kind == "f"
        return value if floats else as_ducks(value)

    new = copy.copy(sample)
    new.args = tuple(map(others, sample.args))
    new.kwargs = {name: others(value) for name, value in sample.kwargs.items()}
    return new


def numbers(*shape: int, dtype: Any = float) -> np.ndarray:
    """Return numbers about 1, of no pattern."""
    return np.asarray(np.random.default_rng(5).uniform(0.5, 1.5, shape)).astype(dtype)


def results(sample: Sample, arrays: Sequence[Any], own: Callable[[Any], Any]) -> list[Any]:
    """Return what a call gives, then its gradients and second derivatives in several ways.

    ``own`` makes an array of the kind that the call is tried with.
    """
    value, pull = ag.vjp(lambda *a: applied(sample, a), *arrays)
    leaves, rebuild = flatten(value)
    u = rebuild([own(numbers(*v.shape, dtype=v.dtype)) for v in leaves])
    found = [*leaves, *pull(u)]
    tensors = [ag.Tensor(a, requires_grad=True) for a in arrays]
    outputs, _ = flatten(applied(sample, tensors))
    for order in (1, 2):
        outputs = [v for v in outputs if isinstance(v, ag.Tensor) and v.requires_grad]
        if order > sample.order or not outputs:
            break
        for v in outputs:
            v.backward(own(numbers(*v.shape, dtype=v.dtype)), create_graph=order < sample.order)
        outputs = [t.grad for t in tensors]
        found += [v.data if isinstance(v, ag.Tensor) else v for v in outputs]
        for t in tensors:
            t.zero_grad()
    if sample.order > 1:
        gradients, pull_again = ag.vjp(
            lambda *a: ag.vjp(lambda *b: applied(sample, b), *a)[1](u), *arrays
        )
        found += pull_again(tuple(own(numbers(*v.shape, dtype=v.dtype)) for v in gradients))
    return found


def check_on_ducks(sample: Sample) -> None:
    expected = results(sample, sample.arrays, lambda a: a)
    got = results(with_ducks(sample), [Duck(a) for a in sample.arrays], Duck)
    compare(sample, got, expected)


def compare(sample: Sample, got: Sequence[Any], expected: Sequence[Any]) -> None:
    assert len(got) == len(expected)
    name = getattr(sample.function, "__name__", "")
    for i, (a, b) in enumerate(zip(got, expected)):
        if b is None:  # no path leads to the argument
            assert a is None
            continue
        assert isinstance(a, Duck), f"{sample}: result {i} is of {type(a)}"
        a, b = held(a), np.asarray(b)
        assert (a.dtype, a.shape) == (b.dtype, b.shape), f"{sample}: result {i}"
        if name in ROUNDED:
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
        else:
            np.testing.assert_array_equal(a, b, strict=True)


# NumPy 2.5 gives complex results, and whether these are real cannot be asked.
EIGEN = {np.linalg.eig, np.linalg.eigvals} if np.lib.NumpyVersion(np.__version__) >= "2.5.0" else ()


@each_function([s for s in [*CASES, *SPECIAL] if _inner(s.function) not in EIGEN])
@pytest.mark.filterwarnings("ignore:(invalid value|divide by zero):RuntimeWarning")
def test_three_orders(cases: list[Sample]) -> None:
    check_each(check_on_ducks, cases)


# ---------------------------------------------------------------------------- shortcuts

ASKING = (elementwise, reductions, linalg, fused, unfused)  # modules that ask `possibly`
SHORTCUTS = {
    np.maximum, np.minimum, np.fmax, np.fmin, np.power, np.float_power, np.clip, np.max, np.min,
    np.amax, np.amin, np.nanmax, np.nanmin, np.ptp, np.median, np.quantile, np.percentile,
    np.linalg.norm, np.linalg.matrix_norm, np.linalg.det, ag.cross_entropy,
    ag.unfused_cross_entropy, ag.linear_cross_entropy,
}  # fmt: skip


@each_function([s for s in (*CASES, *SPECIAL) if s.function in SHORTCUTS])
@pytest.mark.filterwarnings("ignore:(invalid value|divide by zero):RuntimeWarning")
def test_both_ways_of_a_shortcut_are_right(
    cases: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = [results(sample, sample.arrays, lambda a: a) for sample in cases]
    asked = []
    for module in ASKING:
        monkeypatch.setattr(module, "possibly", lambda mask: asked.append(mask) or True)
    for sample, expected in zip(cases, usual):
        got = results(sample, sample.arrays, lambda a: a)
        compare(sample, [None if v is None else Duck(v) for v in got], expected)
    assert asked


# ---------------------------------------------------------------------------- without a derivative

_x, _y = np.array([[3.0, 1.0, 2.0], [0.5, nan, 4.0]]), np.array([[3.0, 2.0, 2.0], [0.0, 1.0, 4.0]])
_sorted = np.array([0.0, 1.0, 2.0])
CONSTANTS: dict[Callable[..., Any], tuple[Any, ...]] = {
    np.isclose: (_x, _y),
    np.allclose: (_x, _y),
    np.array_equal: (_x, _y),
    np.array_equiv: (_x, _y),
    np.isneginf: (_x,),
    np.isposinf: (_x,),
    np.isreal: (_x,),
    np.iscomplex: (_x,),
    np.isrealobj: (_x,),
    np.iscomplexobj: (_x,),
    np.searchsorted: (_sorted, _y),
    np.digitize: (_y, _sorted),
    np.isin: (_x, _y),
    np.zeros_like: (_x,),
    np.ones_like: (_x,),
    np.empty_like: (_x[:0],),
    np.argsort: (_y,),
    np.argpartition: (_y, 1),
    np.lexsort: ((_y[0], _x[0]),),
    np.nonzero: (_y,),
    np.flatnonzero: (_y,),
    np.argwhere: (_y,),
    np.tril_indices_from: (_y[:, :2],),
    np.triu_indices_from: (_y[:, :2],),
    np.diag_indices_from: (_y[:, :2],),
    np.shape: (_x,),
    np.ndim: (_x,),
    np.size: (_x,),
    np.result_type: (_x, 1),
    np.can_cast: (_x, np.float32),
    np.min_scalar_type: (_x,),
    np.common_type: (_x, _y),
    np.shares_memory: (_x, _y),
    np.may_share_memory: (_x, _y),
    np.linalg.matrix_rank: (_y,),
    np.einsum_path: ("ij,ij->i", _x, _y),
    np.argmax: (_y, 1),
    np.argmin: (_y,),
    np.nanargmax: (_x, 0),
    np.nanargmin: (_x,),
    np.any: (_y, 0),
    np.all: (_y,),
    np.count_nonzero: (_y,),
}
# What they are asked is in shapes and dtypes; the others give arrays of the kind.
GIVE_PYTHON = {
    np.isrealobj, np.iscomplexobj, np.shape, np.ndim, np.size, np.result_type, np.can_cast,
    np.min_scalar_type, np.common_type, np.shares_memory, np.may_share_memory, np.einsum_path,
}  # fmt: skip
_constants = [f for f, entry in TABLE.items() if isinstance(entry, Constant) and f not in REFUSED]


def constant_arguments(function: Callable[..., Any]) -> tuple[Any, ...]:
    """Return arguments for a function without a derivative, of integers if need be."""
    if not isinstance(function, np.ufunc):
        return CONSTANTS[function]
    floats = any(set(types.partition("->")[0]) == {"d"} for types in function.types)
    return ((_x, _y) if floats else (np.array([5, 3, 8]), np.array([1, 2, 0])))[: function.nin]


@pytest.mark.parametrize("function", _constants, ids=entry_name)
def test_what_has_no_derivative_gives_its_result(function: Callable[..., Any]) -> None:
    args = constant_arguments(function)
    expected = function(*args)
    tensors = [ag.Tensor(Duck(a)) if isinstance(a, np.ndarray) else as_ducks(a) for a in args]
    got = function(*tensors)
    if function in GIVE_PYTHON:
        assert repr(got) == repr(expected)
        return
    several = isinstance(expected, tuple)
    for a, b in zip(got if several else [got], expected if several else [expected], strict=True):
        assert isinstance(a, Duck)
        np.testing.assert_array_equal(held(a), np.asarray(b), strict=True)


# ---------------------------------------------------------------------------- the rest raises


@pytest.mark.parametrize("function", REFUSED, ids=entry_name)
def test_the_rest_raises(function: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="does not give its values away"):
        function(ag.Tensor(Duck(_x)))


def test_results_that_may_be_complex_raise() -> None:
    for function in EIGEN:
        with pytest.raises(TypeError, match="does not give its values away"):
            function(ag.Tensor(Duck(np.eye(2)), requires_grad=True))


def test_nineteen_of_twenty_functions_run_at_all_orders() -> None:
    tried = {getattr(s.function, "__wrapped__", s.function) for s in CASES if s.order >= 2}
    tried |= {s.function for s in CASES if s.order >= 2}
    public = {f for f in TABLE if not getattr(f, "__module__", "numpy").startswith("autograd_lite")}
    with_derivative = {f for f in public if not isinstance(TABLE[f], Constant)}
    missing = {entry_name(f) for f in with_derivative - tried}
    assert len(missing) <= 0.05 * len(with_derivative), missing
    assert len(with_derivative) > 250
    assert len(REFUSED) <= 0.05 * len(public)


def test_what_has_to_look_at_values_to_be_refused_is_refused() -> None:
    a, b = (ag.Tensor(Duck(v), requires_grad=True) for v in (np.eye(3)[:, :2], np.ones(3)))
    with pytest.raises(ValueError, match="no derivative rule covers rcond="):
        np.linalg.lstsq(a, b, rcond=1e-3)


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t * np.ones(2),
        lambda t: np.concatenate([t, np.ones(2)]),
        lambda t: t[np.array([0, 1])],
        lambda t: np.take(t, np.array([0, 1])),
        lambda t: np.where(np.array([True, False]), t, 0),
        lambda t: ag.cross_entropy(t, np.array([0.5, 0.5])),
    ],
)
def test_kinds_do_not_mix_silently(call: Callable[[Any], Any]) -> None:
    t = ag.Tensor(Duck([1.0, 2.0]), requires_grad=True)
    with pytest.raises(TypeError, match=r"a Duck meets an ndarray of shape \(2,\)"):
        call(t)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda t: t * [1.0, 2.0], [1, 2]),
        (lambda t: np.concatenate([t, [1.0, 2.0]])[1:], [0, 1]),
        (lambda t: t[[1, 1]], [0, 2]),
        (lambda t: np.where([True, False], t, 0), [1, 0]),
        (lambda t: np.average(t, weights=[1.0, 3.0]), [0.25, 0.75]),
        (lambda t: np.interp([0.5, 1.0], [0.0, 1.0], t), [0.5, 1.5]),
        (lambda t: np.dot([2.0, 3.0], t), [2, 3]),
        (lambda t: np.diff(t, prepend=0.0), [0, 1]),
    ],
)
def test_lists_become_arrays_of_the_kind(call: Callable[[Any], Any], expected: Any) -> None:
    t = ag.Tensor(Duck([1.0, 2.0]), requires_grad=True)
    np.sum(call(t)).backward()
    np.testing.assert_array_equal(held(t.grad), expected)


# ---------------------------------------------------------------------------- losses


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_label_out_of_range_makes_the_loss_nan(reduction: Any) -> None:
    z = Duck(np.zeros((3, 2)))
    loss = held(ag.cross_entropy(z, [0, 2, 1], reduction=reduction))
    np.testing.assert_array_equal(np.isnan(loss), True if reduction == "mean" else [0, 1, 0])


def test_a_list_of_labels_becomes_an_array_of_the_kind() -> None:
    z = np.array([[1.0, 2.0], [0.5, 0.0]])
    options = {"weight": [0.5, 2.0], "ignore_index": 0}
    gradient = ag.grad(lambda z: ag.cross_entropy(z, [0, 1], **options))
    np.testing.assert_allclose(held(gradient(Duck(z))), gradient(z), rtol=1e-15)


def test_half_precision_is_computed_in_single() -> None:
    z = np.array([[11.0, 0.0, -3.0]], np.float16)
    for f in (ag.softmax, ag.log_softmax, ag.logsumexp, lambda z: ag.cross_entropy(z, [1])):
        got, expected = held(f(Duck(z))), f(z)
        np.testing.assert_array_equal(got, np.asarray(expected), strict=True)
