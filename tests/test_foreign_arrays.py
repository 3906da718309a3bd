"""Arrays of other kinds and libraries: what each does in each place.

Each is taken as its values by position, or refused by name with what to pass in its place. No
change of it afterwards changes a gradient. ``python -m pytest -m peer`` adds other libraries'.
"""

from __future__ import annotations

import array
import collections
import re
import warnings
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite.engine.names import name_of
from autograd_lite.engine.table import TABLE
from tests.harness import is_elementwise, ufunc_samples
from tests.sample import Sample
from tests.samples import SAMPLES

LABELS = [2, 0, 1]  # which are an index, and numbers too
NUMBERS = [1.5, 0.5, 2.0]
W = np.array([0.5, 0.25, 2.0])
Z = np.array([[0.0, 1.0, 2.0], [0.5, -1.0, 0.0], [1.0, 1.0, 3.0]])


class Holder:
    """An object that has nothing but values."""

    def __init__(self, values: Any) -> None:
        self.values = np.array(values)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.values if dtype is None else self.values.astype(dtype)

    def __setitem__(self, i: int, value: Any) -> None:
        self.values[i] = value


class Labelled(Holder):
    """An object that answers NumPy's ufuncs itself, and is indexed by labels, last one first."""

    @property
    def dtype(self) -> Any:
        return self.values.dtype

    @property
    def shape(self) -> Any:
        return self.values.shape

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, label: int) -> Any:
        return self.values[len(self.values) - 1 - label]

    @property
    def iloc(self) -> Any:
        return self.values

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(a, ag.Tensor) for a in args):
            return NotImplemented
        own = [a.values if isinstance(a, Labelled) else a for a in args]
        return Labelled(getattr(ufunc, method)(*own, **kwargs))


class Plain(np.ndarray):
    """A subclass whose arithmetic is NumPy's."""


class Measured(np.ndarray):
    """A subclass with an arithmetic of its own."""

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(a, ag.Tensor) for a in args):
            return NotImplemented
        own = [np.asarray(a) if isinstance(a, Measured) else a for a in args]
        return getattr(ufunc, method)(*own, **kwargs)


def _buffer(values: Any) -> memoryview:
    return memoryview(np.array(values))


# What gives an array of each kind, from a list of numbers.
KINDS: dict[str, Callable[[Any], Any]] = {
    "list": list,
    "tuple": tuple,
    "deque": collections.deque,
    "array.array": lambda v: array.array("d" if isinstance(v[0], float) else "q", v),
    "memoryview": _buffer,
    "object with __array__": Holder,
    "object with labels": Labelled,
    "np.recarray": lambda v: np.array(v).view(np.recarray),
    "subclass": lambda v: np.array(v).view(Plain),
    "subclass with an arithmetic": lambda v: np.array(v).view(Measured),
    "masked array": lambda v: np.ma.array(v, mask=[True] + [False] * (len(v) - 1)),
    "np.matrix": lambda v: _matrix(v),
    "timedelta64": lambda v: np.array([int(x) for x in v], "m8[s]"),
    "datetime64": lambda v: np.array([int(x) for x in v], "M8[s]"),
    "text": lambda v: np.array([str(x) for x in v]),
    "objects": lambda v: np.array(v, object),
    "decimals": lambda v: [Decimal(x) for x in v],
    "fractions": lambda v: [Fraction(x) for x in v],
}


def _matrix(values: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is not recommended
        return np.matrix(values)


def _pandas(make: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    return lambda v: make(pytest.importorskip("pandas"), v)


def _nullable(pd: Any, v: Any) -> Any:
    return pd.array(v, dtype="Float64" if isinstance(v[0], float) else "Int64")


def _torch(v: Any, **options: Any) -> Any:
    return pytest.importorskip("torch").tensor(v, **options)


PEERS: dict[str, Callable[[Any], Any]] = {
    "pandas.Series": _pandas(lambda pd, v: pd.Series(v)),
    "pandas.Series, text index": _pandas(lambda pd, v: pd.Series(v, index=list("cab"))),
    "pandas.Series, reversed index": _pandas(lambda pd, v: pd.Series(v, index=[2, 1, 0])),
    "pandas.Index": _pandas(lambda pd, v: pd.Index(v)),
    "pandas extension array": _pandas(_nullable),
    "pandas.Series, nullable": _pandas(lambda pd, v: pd.Series(_nullable(pd, v))),
    "column of a DataFrame": _pandas(lambda pd, v: pd.DataFrame({"x": v, "y": v})["x"]),
    "pandas extension array, missing": _pandas(lambda pd, v: _nullable(pd, [*v[:-1], None])),
    "pandas.Series, category": _pandas(lambda pd, v: pd.Series(list("abc"), dtype="category")),
    "torch.Tensor": _torch,
    "torch.Tensor, requires_grad": lambda v: _torch([float(x) for x in v], requires_grad=True),
    "jax.Array": lambda v: pytest.importorskip("jax").numpy.asarray(v),
    "xarray.DataArray": lambda v: pytest.importorskip("xarray").DataArray(v),
}

# The places: a function of a tensor and an array, and what the array holds there.
NUMBER_PLACES: dict[str, Callable[[Any, Any], Any]] = {
    "right operand *": lambda w, x: w * x,
    "right operand -": lambda w, x: w - x,
    "right operand @": lambda w, x: w @ x,
    "right operand **": lambda w, x: np.abs(w) ** x,
    "right operand >": lambda w, x: np.where(w > x, w, 0.0),
    "left operand *": lambda w, x: x * w,
    "left operand -": lambda w, x: x - w,
    "left operand /": lambda w, x: x / w,
    "left operand @": lambda w, x: x @ w,
    "left operand <": lambda w, x: np.where(x < w, w, 0.0),
    "left operand ==": lambda w, x: np.where(x == w, w, 0.0),
    "ufunc, right": lambda w, x: np.multiply(w, x),
    "ufunc, left": lambda w, x: np.multiply(x, w),
    "ufunc, comparison": lambda w, x: np.where(np.less(w, x), w, 0.0),
    "np.where": lambda w, x: np.where(W > 0.3, w, x),
    "np.dot": lambda w, x: np.dot(w, x) + np.dot(x, w),
    "np.outer": lambda w, x: np.outer(w, x),
    "np.concatenate": lambda w, x: np.concatenate([w, x]) ** 2,
    "np.stack": lambda w, x: np.stack([x, w]) ** 2,
    "np.einsum": lambda w, x: np.einsum("i,i->i", x, w),
    "np.clip": lambda w, x: np.clip(w, x, 5.0),
    "np.maximum": lambda w, x: np.maximum(x, w),
    "np.interp": lambda w, x: np.interp(w, [0.0, 1.0, 3.0], x),
    "np.average": lambda w, x: np.average(w, weights=x),
    "mean squared error": lambda w, x: np.mean((w * x - x) ** 2),
    "nn.mse_loss": lambda w, x: ag.nn.mse_loss(w, x),
    "layer's input": lambda w, x: w[:2] * ag.nn.Linear(3, 2, rng=np.random.default_rng(0))(x),
    "class weights": lambda w, x: ag.cross_entropy(w * Z, [2, 0, 1], weight=x),
    "Batches": lambda w, x: sum(
        np.sum(w[:1] * batch**2)
        for batch in ag.data.Batches(x, batch_size=2, rng=np.random.default_rng(0))
    ),
    "Tensor(...)": lambda w, x: w * ag.Tensor(x),
    "tensor.data = ...": lambda w, x: w * _with_data(x),
    "argument of vjp": lambda w, x: w * ag.vjp(np.square, np.ones(3))[1](x)[0],
}
INDEX_PLACES: dict[str, Callable[[Any, Any], Any]] = {
    "index": lambda w, i: w[i] ** 2,
    "index in a tuple": lambda w, i: (w * Z)[0, i] ** 2,
    "np.take": lambda w, i: np.take(w, i) ** 2,
    "label": lambda w, i: ag.cross_entropy(w * Z, i),
    "label, unfused": lambda w, i: ag.unfused_cross_entropy(w * Z, i),
    "nn.Embedding": lambda w, i: w[0] * ag.nn.Embedding(3, 2, rng=np.random.default_rng(0))(i),
}
PLACES = {**NUMBER_PLACES, **INDEX_PLACES}


def _with_data(values: Any) -> ag.Tensor:
    t = ag.Tensor(np.zeros(3))
    t.data = values
    return t


MASK = r"the mask of a masked array would be lost; pass array\.filled\(value\)"
MATRIX = r"np\.matrix multiplies in its own way; pass np\.asarray\(matrix\) instead"
ARITHMETIC = "has an arithmetic of its own, which would be lost; pass np.asarray of it"
TIMES = r"pass times as numbers, \(t - start\) / np.timedelta64\(1, 's'\)"
NO_NUMBERS = "pass numbers, such as np.asarray\\(values, float\\)"
BY_PANDAS = r"write np\.asarray\(x\) for the array x of pandas"
# What each kind does: taken as its values where nothing is said; else the error's words, everywhere
# or in some places. The other words are NumPy's, PyTorch's and this package's for no numbers.
ELSEWHERE = (
    "expected real numbers|expected integers|must be integers|must be numbers|must be numeric|"
    "must hold real numbers|used as indices|valid indices|Cannot cast|requires that dtype|"
    "cannot be cast|invalid literal|weights must be|target must|expected labels|floating-point|"
    "only integer|not supported|returned builtins|could not convert|object arrays"
)
REFUSED: dict[str, str | dict[str, str]] = {
    "masked array": MASK,
    "np.matrix": rf"{MATRIX}|same number of dimensions|cotangent is of shape \(1, 3\)",
    "subclass with an arithmetic": ARITHMETIC,
    "timedelta64": f"{TIMES}|{ELSEWHERE}",
    "datetime64": f"{TIMES}|{ELSEWHERE}",
    "text": f"{NO_NUMBERS}|{ELSEWHERE}",
    "objects": f"{NO_NUMBERS}|{ELSEWHERE}",
    "decimals": f"{NO_NUMBERS}|{ELSEWHERE}|the cotangent is a list|unsupported operand",
    "fractions": f"{NO_NUMBERS}|{ELSEWHERE}|the cotangent is a list",
    "list": {"argument of vjp": "the cotangent is a list of 3, but the value is of shape"},
    "tuple": {
        "index": "too many indices",
        "argument of vjp": "the cotangent is a tuple of 3, but the value is of shape",
    },
    "pandas.Series": {"left operand @": BY_PANDAS},
    "pandas.Series, text index": {"left operand @": BY_PANDAS},
    "pandas.Series, reversed index": {"left operand @": BY_PANDAS},
    "column of a DataFrame": {"left operand @": BY_PANDAS},
    "pandas.Series, nullable": {"left operand @": BY_PANDAS},
    "pandas.Index": {"ufunc, left": BY_PANDAS, "np.maximum": BY_PANDAS},
    "pandas extension array, missing": {  # numbers become nan, and integers are none
        "class weights": "must be finite and not negative",
        **dict.fromkeys(INDEX_PLACES, f"{NO_NUMBERS}|{ELSEWHERE}"),
    },
    "pandas.Series, category": f"{NO_NUMBERS}|{ELSEWHERE}|{BY_PANDAS}|unsupported operand",
    "torch.Tensor, requires_grad": r"Use tensor\.detach\(\)\.numpy\(\) instead",
    "xarray.DataArray": {"left operand @": "dot only operates on DataArrays"},
}


def _outcome(place: str, x: Any) -> tuple[Any, Any, Callable[[], Any]]:
    """Return the value, the tensor it is differentiated in, and what computes the gradient."""
    w = ag.Tensor(W, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy, about time units
        value = PLACES[place](w, x)
    assert isinstance(getattr(value, "data", None), (np.ndarray, np.generic, ag.Tensor))
    if not isinstance(value, ag.Tensor):  # xarray keeps a tensor that it stands to the left of
        value = value.data
    assert isinstance(value.data, (np.ndarray, np.generic))
    return value, w, lambda: (np.sum(value).backward(), w.grad)[1]


def _check(kind: str, make: Callable[[Any], Any], place: str) -> None:
    numbers = LABELS if place in INDEX_PLACES else NUMBERS
    words = REFUSED.get(kind)
    if isinstance(words, dict):
        words = words.get(place)
    if kind in ("objects", "decimals", "fractions"):  # which some functions take as numbers
        try:
            value, _, gradient = _outcome(place, make(numbers))
        except (TypeError, ValueError, IndexError) as error:
            assert re.search(str(words), str(error))  # noqa: PT017
            return
        expected, _, right = _outcome(place, np.array(numbers))
        np.testing.assert_array_equal(value.data, expected.data)
        np.testing.assert_array_equal(gradient(), right())
    elif words is not None:
        with pytest.raises((TypeError, ValueError, IndexError, RuntimeError), match=words):
            _outcome(place, make(numbers))[2]()
    else:
        _taken(make, place, [*numbers[:-1], np.nan] if "missing" in kind else numbers)


def _taken(make: Callable[[Any], Any], place: str, numbers: Any) -> None:
    """Assert that an array gives what its values give, and that its changes are not too late."""
    x = make(numbers)
    value, _, gradient = _outcome(place, x)
    values = np.array(numbers, np.asarray(x).dtype)
    expected, _, right = _outcome(place, values)
    np.testing.assert_array_equal(value.data, expected.data)
    slope = right()
    np.testing.assert_array_equal(gradient(), slope)

    _, w, gradient = _outcome(place, x)
    try:
        x[0] = 0
    except (TypeError, KeyError, ValueError):  # cannot be changed
        pass
    try:
        np.testing.assert_array_equal(gradient(), slope)
    except RuntimeError as error:
        assert "was changed between the call" in str(error)  # noqa: PT017
        assert w.grad is None


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_each_kind_does_in_each_place(kind: str, place: str) -> None:
    _check(kind, KINDS[kind], place)


@pytest.mark.peer
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", PEERS)
def test_what_other_libraries_arrays_do_in_each_place(kind: str, place: str) -> None:
    _check(kind, PEERS[kind], place)


@pytest.mark.peer
def test_data_frame() -> None:
    pd = pytest.importorskip("pandas")
    df = pd.DataFrame({"x": NUMBERS, "y": [1.0, 2.0, 3.0]}, index=[2, 1, 0])
    x, y = df["x"].to_numpy().copy(), df["y"].to_numpy().copy()
    w = ag.Tensor(W, requires_grad=True)
    loss = np.mean((w * df["x"] - df["y"]) ** 2)
    loss.backward()
    np.testing.assert_allclose(w.grad, 2 / 3 * (W * x - y) * x)
    table = df.to_numpy().copy()
    for compute, expected in (
        (lambda v: v * df, lambda v: v * table),
        (lambda v: df - v, lambda v: table - v),
        (lambda v: v @ df.T, lambda v: v @ table.T),
        (lambda v: (v * np.ones((3, 2)))[df > 1], lambda v: (v * np.ones((3, 2)))[table > 1]),
        (lambda v: ag.softmax(v * df), lambda v: ag.softmax(v * table)),
        (lambda v: ag.cross_entropy(v * np.ones((3, 2)), df / 5), None),
    ):
        v = np.array([1.0, 2.0])
        wanted = expected or (lambda v: ag.cross_entropy(v * np.ones((3, 2)), table / 5))
        slope = ag.grad(lambda v, f=compute: np.sum(f(v) ** 2))(v)
        np.testing.assert_array_equal(slope, ag.grad(lambda v, f=wanted: np.sum(f(v) ** 2))(v))
    model = ag.nn.Linear(2, 1, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(model(df).data, model(table).data)
    for features, target in ag.data.Batches(df, df["y"], batch_size=3, shuffle=False):
        np.testing.assert_array_equal(features, table)
        np.testing.assert_array_equal(target, y)
    with pytest.raises(TypeError, match=BY_PANDAS):
        df @ ag.Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match=BY_PANDAS):
        np.matmul(df, ag.Tensor([1.0, 2.0], requires_grad=True))
    with pytest.raises(TypeError, match=r"respect to DataFrame; pass floating-point values, such"):
        ag.grad(np.sum)(df)


@pytest.mark.peer
def test_argument_of_a_transform_that_is_another_librarys() -> None:
    pd, torch = pytest.importorskip("pandas"), pytest.importorskip("torch")
    series = pd.Series(NUMBERS, index=[2, 1, 0])
    gradient = ag.grad(lambda x: np.sum(x**3))(series)
    assert type(gradient) is np.ndarray
    np.testing.assert_allclose(gradient, 3 * np.array(NUMBERS) ** 2)
    with pytest.raises(TypeError, match=r"ag\.grad: cannot differentiate .* torch\.float64; pass"):
        ag.grad(np.sum)(torch.tensor(NUMBERS, dtype=torch.float64))


def test_view_of_a_memory_map_is_read_where_it_is(tmp_path: Any) -> None:
    x = np.memmap(tmp_path / "x", float, "w+", shape=3)
    x[:] = NUMBERS
    w = ag.Tensor(W, requires_grad=True)
    loss = np.sum(w * x)
    loss.backward()
    np.testing.assert_array_equal(w.grad, NUMBERS)
    x[0] = 100
    with pytest.raises(RuntimeError, match="was changed between the call"):
        loss.backward()


OPERANDS: dict[Any, list[Sample]] = {}
for _sample in (
    *(s for f in TABLE if is_elementwise(f) for s in ufunc_samples(TABLE[f])),
    *SAMPLES,
):
    _module = getattr(_sample.function, "__module__", None) or ""
    _public = isinstance(_sample.function, np.ufunc) or _module.startswith(("numpy", "scipy"))
    if len(_sample.arrays) > 1 and _public:
        OPERANDS.setdefault(_sample.function, []).append(_sample)


@pytest.mark.parametrize("kind", [Holder, Labelled])
@pytest.mark.parametrize("samples", OPERANDS.values(), ids=[name_of(f) for f in OPERANDS])
def test_operands_of_every_function(kind: Any, samples: list[Sample]) -> None:
    """With one array a tensor and the others foreign, the same as with ndarrays."""
    for sample in samples:
        if sample.function in (np.select, np.full_like, np.full):
            continue  # NumPy looks at some of their arguments alone, also with ndarrays
        arrays = sample.arrays
        for k in range(len(arrays)):
            results = []
            for make in (lambda a: a, kind):
                w = ag.Tensor(arrays[k], requires_grad=True)
                value = sample(*(w if i == k else make(a) for i, a in enumerate(arrays)))
                parts = value if isinstance(value, (tuple, list)) else [value]
                tensors = [part for part in parts if isinstance(part, ag.Tensor)]
                assert tensors
                sum(np.sum(part**2) for part in tensors).backward()
                bare = [part.data if isinstance(part, ag.Tensor) else part for part in parts]
                results.append([*bare, w.grad])
            for got, wanted in zip(*results, strict=True):
                np.testing.assert_array_equal(got, wanted, err_msg=str(sample))
