"""Every NumPy function of the table gives NumPy's own values, dtypes and errors, in random calls.

Where nothing asks for a gradient that is NumPy's own function of the values. Where something does,
a formula may stand for it, which is held to NumPy's value here: to the last bit, or to the rounding
that ROUNDED says why it has.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite.engine.names import name_of
from autograd_lite.engine.recording import bare
from autograd_lite.engine.table import TABLE, enter_composite
from tests.calls import Call, calls, templates

TEMPLATES = templates()
# What a call that requires a gradient is refused for, though NumPy has a value: says the message.
REFUSALS = re.compile(
    "no derivative rule covers|has no derivative|only real floating-point results have|"
    "would lose its derivative|cannot hold a tensor's|only real results have|"
    "are arbitrary and have no derivative|append a 0 to those of 2|output array is read-only|"
    "assignment destination is read-only"
)
INTERNAL = re.compile(
    r"<lambda>|<locals>|NoneType|list index|autograd_lite\.|\bself\b|np\._|getset|_bound|\b_p_norm"
)
# Units in the last place of the largest element by which a formula may differ, and why.
ROUNDED: dict[str, tuple[int, str]] = {
    "np.average": (4, "products and sum are rounded one by one"),
    "np.corrcoef": (4, "the quotient by both deviations is not limited to 1 afterwards"),
    "np.cov": (4, "the product is NumPy's of a contiguous copy"),
    "np.dot": (16, "one product of matrices for all, which BLAS adds up in blocks"),
    "np.inner": (16, "as np.dot"),
    "np.tensordot": (16, "as np.dot"),
    "np.gradient": (4000, "the mean of neighbouring slopes, for NumPy's weighted sum of values"),
    "np.linalg.cond": (200, "singular values by the decomposition with vectors"),
    "np.linalg.svd": (64, "as np.linalg.cond"),
    "np.linalg.svdvals": (64, "as np.linalg.cond"),
    "np.linalg.matrix_norm": (64, "as np.linalg.cond"),
    "np.linalg.norm": (64, "as np.linalg.cond; several sums of squares"),
    "np.linalg.vector_norm": (64, "sums of squares of elements in another order"),
    "np.linalg.lstsq": (4000, "by the pseudo-inverse, which has a derivative"),
    "np.linalg.matrix_power": (200, "squared in another order"),
    "np.linalg.multi_dot": (64, "another order of products, as cheap"),
    "np.linalg.qr": (64, "of more columns than rows, the last by a product"),
    "np.linalg.tensorinv": (64, "as np.dot"),
    "np.percentile": (4, "q is divided by 100 first"),
    "np.quantile": (4, "the weight is rounded to the result's dtype"),
}


def _finite(call: Call) -> bool:
    arrays = [a for a in call.arrays if a.dtype.kind == "f"]
    return all(np.isfinite(a).all() for a in arrays)


def _increasing(call: Call) -> bool:
    points = [
        np.asarray(a, float) for a in (*call.args[1:2], *[call.kwargs.get("xp")]) if np.ndim(a) == 1
    ]
    return all((a[1:] > a[:-1]).all() for a in points)


# Calls that are left out, and why.
EXPLAINED: dict[str, tuple[Callable[[Call], bool], str]] = {
    "np.interp": (lambda c: not _increasing(c) or not _finite(c), "NumPy asks for rising points"),
    "np.quantile": (lambda c: not _finite(c), "beside an infinity that has no weight, no nan"),
    "np.percentile": (lambda c: not _finite(c), "as np.quantile"),
    "np.partition": (lambda c: True, "the order within the parts is open"),
    "np.gradient": (
        lambda c: (
            not _finite(c)
            or len({a.dtype for a in c.arrays}) > 1
            or any(type(v) is int and v == 0 for v in c.args[1:])
        ),
        "coordinates are rounded to the result's dtype; equal ones divide by 0",
    ),
    "np.linalg.cross": (
        lambda c: c.kwargs.get("axis", 0) is None,
        "no axis is the last one since NumPy 2.5, and an error before",
    ),
    "np.median": (lambda c: c.kwargs.get("axis") == (), "of nothing along no axis, NumPy fails"),
    "np.linspace": (
        lambda c: any(type(v) is int and v == 0 for v in (*c.args[2:], *c.kwargs.values())),
        "of no numbers, NumPy's step is no array",
    ),
    "np.unstack": (lambda c: type(c.kwargs.get("axis")) is tuple, "an axis is one number"),
    "np.meshgrid": (lambda c: isinstance(c.kwargs.get("copy"), np.ndarray), "copy= does nothing"),
    "np.cov": (lambda c: object in map(type, c.args), "an empty matrix beside an object"),
    "np.linalg.tensorsolve": (
        lambda c: any(type(v) is tuple and v == (0, 0) for v in (*c.args, *c.kwargs.values())),
        "one axis named twice",
    ),
    "np.linalg.norm": (
        lambda c: any(type(v) is float for v in c.args[2:]),
        "an axis is no fraction",
    ),
}


class Outcome:
    """What came of a call: a value, or an error."""

    def __init__(self, compute: Callable[[], Any]) -> None:
        self.error: Exception | None = None
        self.value: Any = None
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.value = compute()
        except Exception as error:
            self.error = error

    def __repr__(self) -> str:
        return repr(self.value) if self.error is None else f"raises {self.error!r}"

    @property
    def parts(self) -> list[np.ndarray]:
        """The arrays of the value, those in tuples and lists one after another."""
        return list(_parts(self.value))

    @property
    def tracked(self) -> list[ag.Tensor]:
        """The tensors of the value that require a gradient."""
        values = self.value if isinstance(self.value, (tuple, list)) else [self.value]
        return [v for v in values if isinstance(v, ag.Tensor) and v.requires_grad]


def _parts(value: Any) -> Iterator[np.ndarray]:
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from _parts(item)
    else:
        yield np.asarray(bare(value))


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are the same to the last bit; nan is nan."""
    return (
        a.shape == b.shape
        and a.dtype == b.dtype
        and bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"))
    )


def near(name: str) -> Callable[[np.ndarray, np.ndarray], bool]:
    """Return whether two results of a function are the same but for the rounding that it may have.

    What overflows on the way may do so in one and not in the other.
    """
    ulps, _ = ROUNDED.get(name, (0, ""))

    def close(a: np.ndarray, b: np.ndarray) -> bool:
        if same(a, b):
            return True
        if not ulps or a.shape != b.shape or a.dtype != b.dtype or a.dtype.kind != "f":
            return False
        both = np.isfinite(a) & np.isfinite(b)
        largest = np.max(np.abs(b[both]), initial=0)
        with np.errstate(all="ignore"):
            return bool((np.abs(a - b)[both] <= ulps * np.finfo(b.dtype).eps * largest).all())

    return close


class Tally:
    """How many calls were compared, and what differed."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.differing: list[str] = []
        self.functions: set[str] = set()

    def __str__(self) -> str:
        counts = ", ".join(f"{n:,} {what}" for what, n in self.counts.items())
        return f"{len(self.functions)} functions, {counts}; {len(self.differing)} differing"

    def compare(self, call: Call) -> None:
        """Compare a call of tensors, of each way of needing no gradient and needing one."""
        name = name_of(call.function)
        numpy = Outcome(lambda: call.of(np.copy))
        if numpy.error is None and any(p.dtype.kind not in "fiub" for p in numpy.parts):
            return
        self.functions.add(name)
        self.counts["calls"] += 1
        self.counts["that NumPy refuses"] += numpy.error is not None
        if self.counts["calls"] % 2:
            found = Outcome(lambda: call.of(ag.Tensor))
        else:
            found = Outcome(lambda: ag.no_grad()(call.of)(lambda a: _tracked(a, [])))
        # A tensor is not written to, and np.asarray of one that requires a gradient always refused.
        if not re.search("read-only|would lose its derivative", str(found.error)):
            self.judge("without a gradient", call, found, numpy, same)
        excuse, _ = EXPLAINED.get(name, (lambda call: False, ""))
        tensors: list[ag.Tensor] = []
        found = Outcome(lambda: call.of(lambda a: _tracked(a, tensors)))
        if tensors and not excuse(call):
            self.with_gradient(name, call, found, numpy)

    def with_gradient(self, name: str, call: Call, found: Outcome, numpy: Outcome) -> None:
        """Compare what came of a call that requires a gradient, and pull it back."""
        if found.error is not None and REFUSALS.search(str(found.error)):
            self.counts["refused by name"] += 1
            return
        self.judge("with a gradient", call, found, numpy, near(name))
        if found.error is not None or not found.tracked:
            return
        self.counts["with a gradient"] += 1
        self.counts["of them exact"] += all(map(same, found.parts, numpy.parts))
        for tensor in found.tracked:
            back = Outcome(lambda t=tensor: t.backward(np.ones(t.shape, t.dtype)))
            singular = isinstance(back.error, np.linalg.LinAlgError)
            if back.error is not None and not (singular and "np." in str(back.error)):
                self.differing.append(f"{call!r}, backward: {back}")

    def judge(
        self,
        way: str,
        call: Call,
        found: Outcome,
        numpy: Outcome,
        close: Callable[[np.ndarray, np.ndarray], bool],
    ) -> None:
        """Note how an outcome differs from NumPy's, and a message that names an internal."""
        said = str(found.error or "")
        if (found.error is None) != (numpy.error is None):
            self.differing.append(f"{call!r} {way}: {found}, but NumPy: {numpy}")
        elif found.error is None:
            a, b = found.parts, numpy.parts
            if len(a) != len(b) or not all(map(close, a, b)):
                self.differing.append(f"{call!r} {way}: {found}, but NumPy: {numpy}")
        elif INTERNAL.search(said) and not INTERNAL.search(str(numpy.error)):
            self.differing.append(f"{call!r} {way} says {said}")


def _tracked(array: np.ndarray, tensors: list[ag.Tensor]) -> Any:
    if array.dtype.kind != "f":
        return array
    tensors.append(ag.Tensor(array, requires_grad=True))
    return tensors[-1]


def tally(count: int, seed: int, functions: Sequence[Any] = ()) -> Tally:
    found = Tally()
    for i, (function, made_of) in enumerate(TEMPLATES.items()):
        if function in functions or not functions:
            rng = np.random.default_rng([seed, i])
            for call in calls(function, made_of, count, rng):
                found.compare(call)
    return found


@pytest.mark.parametrize(
    ("count", "seed"),
    [(30, 1), pytest.param(700, 0, marks=pytest.mark.slow)],
)
def test_every_call_gives_numpys_value_or_error(
    count: int, seed: int, record_property: Any
) -> None:
    found = tally(count, seed)
    record_property(f"random calls, {count} of each function", str(found))
    assert not found.differing, "\n".join(found.differing[:40])
    assert len(found.functions) > 195
    assert found.counts["with a gradient"] > 6 * len(found.functions)
    assert found.counts["that NumPy refuses"] < found.counts["calls"] * 0.7


@pytest.mark.parametrize(
    ("function", "wrong"),
    [
        (np.median, lambda a, axis=None, *, keepdims=False: np.mean(a, axis, keepdims=keepdims)),
        (np.trapezoid, lambda y, x=None, dx=1.0, axis=-1: np.sum(y, axis) * dx),
        (np.sort, lambda a, axis=-1, kind=None, *, stable=None: np.flip(a, axis)),
        (np.diff, lambda a, n=1, axis=-1, prepend=None, append=None: np.abs(a)),
    ],
)
def test_a_wrong_formula_is_noticed(
    function: Any, wrong: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TABLE, function, TABLE[function])
    enter_composite(function, wrong)
    assert len(tally(60, 0, [function]).differing) > 5


# ---------------------------------------------------------------------------- found by such calls

_i1, _u1 = np.array([100, 100], np.int8), np.array([200, 100], np.uint8)
_f2 = np.ones(70_000, np.float16) / 128
_singular = np.array([[1.0, 2.0], [0.0, 0.0]])
_x = np.linspace(0.5, 3, 24).reshape(2, 3, 4)
FOUND: dict[str, Call] = {
    "trapezoid along the first axis": Call(np.trapezoid, (_x,), {"axis": 0}),
    "trapezoid with several steps": Call(np.trapezoid, (_x,), {"axis": 0, "dx": np.arange(4.0)}),
    "no difference": Call(np.diff, (_x,), {"n": 0, "append": 5}),
    "polyval": Call(np.polyval, ([1.5, 2.0], np.float32([1, 2])), {}),
    "cov": Call(np.cov, (_x[0].astype("g"),), {}),
    "corrcoef": Call(np.corrcoef, (_x[0].astype("g"),), {}),
    **{
        f"{function.__name__} of {a.dtype}": Call(function, (a,), {})
        for function in (
            np.linalg.norm, np.average, np.gradient, np.nanmean, np.nanvar, np.nanstd,
            np.linalg.vector_norm, np.median, np.diff,
        )
        for a in (_i1, _u1, np.array([True, False, True]), _f2, _x[0, 0].astype(">f8"))
    },
    "cond": Call(np.linalg.cond, (np.array([[100, 1], [1, 100]], np.int8),), {}),
    "matrix_norm": Call(np.linalg.matrix_norm, (_i1[None],), {}),
    "unsigned spacings": Call(np.gradient, (_x[0, 0], np.array([9, 5, 3, 1], np.uint8)), {}),
    "unsigned fp": Call(np.interp, (np.array([0.5]), [0.0, 1.0], _u1), {}),
    "an operand too many": Call(np.einsum, ("ii->i", _x[0, :, :3], _x[0, :, :3]), {}),
    "unlike lengths": Call(np.interp, (_x[0], np.arange(3.0), np.arange(4.0)), {}),
    "three axes": Call(np.cov, (_x,), {}),
    "half a degree of freedom": Call(np.cov, (_x[0],), {"ddof": 0.5}),
    "weights that sum to zero": Call(np.average, (_x[0, 0], None, np.array([1.0, -1, 1, -1])), {}),
    "no way to sort": Call(np.sort, (_x,), {"kind": "abc"}),
    "integers as conditions": Call(np.select, ([np.array([1, 0])], [_x[0, 0, :2]]), {}),
    "an axis to pad": Call(np.pad, (_x, {7: 1}), {}),
    "a power of no square": Call(np.linalg.matrix_power, (_x[0], 1), {}),
    "ix_": Call(np.ix_, (_x[0],), {}),
    "median of a number": Call(np.median, (np.array(1.5),), {"axis": 0}),
    "quantile of a number": Call(np.quantile, (np.array(1.5), 0.5), {"axis": 0}),
    "method": Call(np.quantile, (_x, 0.5), {"method": "linear"}),
    "further positions": Call(np.median, (_x, 0, None, False, False), {}),
    "out": Call(np.nanmean, (_x,), {"out": None, "dtype": None}),
    "where": Call(np.sum, (_x,), {"where": True}),
    "cond of a singular matrix": Call(np.linalg.cond, (_singular, 1), {}),
    "cond of zeros": Call(np.linalg.cond, (np.zeros((2, 2)),), {}),
    "median of nothing": Call(np.median, (np.empty(0),), {}),
    "real": Call(lambda t: t.real, (_x,), {}),
    "imag": Call(lambda t: t.imag, (_x,), {}),
    "flat": Call(lambda t: t.flat[5], (_x,), {}),
    "astype without a copy": Call(lambda t: t.astype("f4", copy=False), (_x,), {}),
    "integers": Call(lambda t: np.floor(t).astype(int), (_x,), {}),
    "solve by keyword": Call(np.linalg.solve, (np.eye(2),), {"b": np.ones(2)}),
    "no index": Call(lambda t: t[[]], (_x,), {}),
    "repeat of a number": Call(np.repeat, (np.array(1.5), 3), {"axis": 0}),
    "repeat of nothing": Call(np.repeat, (np.empty((0, 3)), 2), {"axis": 0}),
    "transpose": Call(lambda t: t.transpose(0), (_x[0, 0],), {}),
    "roll": Call(np.roll, (_x, (), ()), {}),
    "reshape as it lies": Call(np.reshape, (np.asfortranarray(_x), -1), {"order": "A"}),
    "ravel as it lies": Call(np.ravel, (_x.transpose(1, 2, 0),), {"order": "K"}),
    "average of two axes": Call(np.average, (_x, (1, 0), np.arange(6.0).reshape(3, 2)), {}),
    "block": Call(np.block, ([[_x[0]], []],), {}),
    "diff of a number": Call(np.diff, (np.array(1.5),), {}),
    "qr": Call(np.linalg.qr, (_x[0, 0],), {}),
    "svd": Call(np.linalg.svd, (_x[0, 0],), {}),
    "power of a number": Call(np.linalg.matrix_power, (np.array(1.5), 2), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_what_such_calls_found(name: str) -> None:
    found = Tally()
    found.compare(FOUND[name])
    assert not found.differing, found.differing
    assert found.counts["calls"] == 1


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
@pytest.mark.parametrize("order", [-1, -2, 0.5])
def test_a_norm_of_low_order_at_zero_has_the_derivative_0(order: float) -> None:
    np.testing.assert_array_equal(ag.grad(lambda x: np.linalg.norm(x, order))(np.zeros(2)), 0)


def test_the_slope_between_unsigned_points_is_that_of_their_numbers() -> None:
    points = np.array([200, 100], np.uint8)
    assert ag.grad(lambda x: np.interp(x, [0.0, 1.0], points))(0.5) == -100


def test_elements_in_the_order_of_memory_get_their_cotangents() -> None:
    array = np.asfortranarray([[1.0, 2.0], [3.0, 4.0]])
    for flat in (lambda x: np.ravel(x, "K"), lambda x: np.reshape(x, -1, order="A")):
        gradient = ag.grad(lambda x: np.sum(flat(x) * np.arange(4)))(array)  # noqa: B023
        np.testing.assert_array_equal(gradient, [[0, 2], [1, 3]])


def test_integers_of_a_floor_are_plain() -> None:
    x = ag.Tensor([1.5, 2.5], requires_grad=True)
    places = np.floor(x).astype(int)
    assert type(places) is np.ndarray
    assert int(np.floor(x[1]).astype(int)) == 2
    assert places.dtype == int
    with pytest.raises(TypeError, match=r"np\.astype gives complex128 here"):
        x.astype(complex)


def test_an_array_may_be_written_to_where_nothing_asks_for_a_gradient() -> None:
    total, t = np.zeros(2), ag.Tensor([1.0, 2.0])
    total += t
    np.add.at(total, [0, 0], t)
    np.copyto(total[1:], t[:1])
    np.testing.assert_array_equal(total, [4, 1])
    assert np.sum(t, out=np.zeros(())) == 3
    assert type(np.exp(t, out=total)) is np.ndarray
    np.testing.assert_array_equal(np.add.accumulate(t).data, [1, 3])
    np.testing.assert_array_equal(np.add(t, 1, dtype="f4").data, [2, 3])
    with pytest.raises(TypeError, match=r"np\.exp: out="):
        np.exp(total, out=t)
    with pytest.raises(TypeError, match=r"np\.add\.at of a tensor"):
        np.add.at(t, [0], 1.0)


MESSAGES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "slogdet": (
        lambda t: np.linalg.slogdet(t * np.zeros((2, 2)))[1].backward(),
        "np.linalg.slogdet, backward: Singular matrix",
    ),
    "np.stack of nested lists": (
        lambda t: np.stack([[t, 1.0], [0.0, t]]),
        "np.stack of a tensor that requires a gradient would lose its derivative; use tensor.data "
        "if that is meant, np.block to join tensors in nested lists",
    ),
    "np.array": (
        lambda t: np.array([t, 2.0, t]),
        "use tensor.data if that is meant, np.stack([t, 2.0, u]) in place of np.array([t, 2.0, u]),"
        " np.block for nested lists",
    ),
    "depth": (lambda t: ag.graph(t * t, depth=-1), "ag.graph: depth counts from 0"),
    "quantile": (lambda t: np.quantile([1.0, 2.0], t), "np.quantile of a tensor that requires"),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages(name: str) -> None:
    call, message = MESSAGES[name]
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        call(ag.Tensor(1.0, requires_grad=True))


def test_what_is_computed_without_a_gradient_is_looked_at_by_its_name() -> None:
    weights = np.array([1e308, 1e308])
    with ag.find_nonfinite(), np.errstate(all="ignore"):
        with pytest.raises(FloatingPointError, match=r"np\.average: .* weights = 1e\+308"):
            np.average(ag.Tensor([1.0, 2.0]), weights=weights)
