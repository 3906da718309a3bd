"""Every form in which a call may be written gives the same bits.

From each sample the forms are made that the function's own signature allows: so many arguments by
position, the rest by keyword; and each option that the sample leaves out, written out at its
default by keyword and by position. NumPy is asked whether it takes the form. Value, gradient and,
for a share, the gradient of the gradient must be those of the call by position.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite.engine.methods import ArrayMethods
from autograd_lite.engine.names import name_of
from autograd_lite.engine.recording import bare
from autograd_lite.engine.signatures import Signature
from autograd_lite.engine.table import TABLE, Composite
from autograd_lite.transforms.trees import flatten
from tests import samples_layers
from tests.harness import _Held, _replaced, is_elementwise, ufunc_samples
from tests.sample import Sample, distinct, normal, positive
from tests.samples import SAMPLES

pytestmark = pytest.mark.filterwarnings("ignore:numpy.fix is deprecated:DeprecationWarning")

Form = tuple[tuple[Any, ...], dict[str, Any]]
_P = inspect.Parameter
_UFUNC_OPTIONS = {"casting": "same_kind", "order": "K", "dtype": None, "subok": True}


# ---------------------------------------------------------------------------- forms


def parameters_of(function: Callable[..., Any], sample: Sample) -> list[inspect.Parameter]:
    """Return what a function takes; where it does not say, the arguments as the sample has them."""
    if isinstance(function, np.ufunc):
        options = {"where": True} if function.signature is None else {}
        return [
            *(_P(f"x{i}", _P.POSITIONAL_ONLY) for i in range(function.nin)),
            _P("out", _P.KEYWORD_ONLY, default=None),
            *(
                _P(name, _P.KEYWORD_ONLY, default=value)
                for name, value in (options | _UFUNC_OPTIONS).items()
            ),
        ]
    if says(function):
        return list(inspect.signature(function).parameters.values())
    return [
        *(_P(f"x{i}", _P.POSITIONAL_ONLY) for i in range(len(sample.args))),
        *(_P(name, _P.KEYWORD_ONLY) for name in sample.kwargs),
    ]


def says(function: Callable[..., Any]) -> bool:
    """Whether a function says what it takes; some of those in C do not, before NumPy 2.4."""
    try:
        return bool(inspect.signature(function))
    except ValueError:
        return False


def forms(sample: Sample, parameters: Sequence[inspect.Parameter]) -> Iterator[Form]:
    """Yield the forms of a sample's call, the one with the most by position first."""
    for args, kwargs in _forms(sample, parameters):
        if not any(value is np._NoValue for value in (*args, *kwargs.values())):
            yield args, kwargs  # what stands for a default is NumPy's own affair


def _forms(sample: Sample, parameters: Sequence[inspect.Parameter]) -> Iterator[Form]:
    signature = inspect.Signature([p for p in parameters if p.kind is not p.VAR_KEYWORD])
    taken = set(signature.parameters)
    more = {name: value for name, value in sample.kwargs.items() if name not in taken}
    own = {name: value for name, value in sample.kwargs.items() if name in taken}
    given = dict(signature.bind(*sample.args, **own).arguments)
    options = {
        p.name: p.default
        for p in signature.parameters.values()
        if p.name not in given and p.default is not p.empty
    }
    first = [p for p in signature.parameters.values() if p.kind is p.POSITIONAL_ONLY]
    either = [p for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    leading = [p.name for p in (*first, *either)]
    operands = next(
        (p.name for p in signature.parameters.values() if p.kind is p.VAR_POSITIONAL), None
    )

    def written(values: dict[str, Any], count: int) -> Form:
        """Return the call with so many by position, what is left out among them at its default."""
        filled = options | values
        args = [filled[name] for name in leading[:count]]
        rest = {name: v for name, v in values.items() if name not in (*leading[:count], operands)}
        if operands is not None:
            args += values.get(operands, ())
        return tuple(args), rest | more

    last = max((i for i, name in enumerate(leading) if name in given), default=-1) + 1
    yield written(given, last)
    yield sample.args, sample.kwargs
    if not (operands and given.get(operands)):  # operands leave nothing before them to a keyword
        for count in range(len(first), last):
            yield written(given, count)
    for name, default in options.items():
        with_it = given | {name: default}
        if not (operands and given.get(operands) and name in leading):
            yield written(with_it, last)
        if name in leading:
            yield written(with_it, leading.index(name) + 1)


# ---------------------------------------------------------------------------- comparing


def outcome(call: Callable[..., Any], form: Form, second: bool) -> list[np.ndarray]:
    """Return a call's values, their gradients and, if asked for, those of the gradients."""
    tensors: list[ag.Tensor] = []
    args, kwargs = with_tensors(form, tensors)
    with np.errstate(all="ignore"):
        outputs = flatten(call(*args, **kwargs))[0]
        results = [bare(output) for output in outputs]
        for _ in range(1 + second):
            tracked = [t for t in outputs if isinstance(t, ag.Tensor) and t.requires_grad]
            for t in tensors:
                t.grad = None
            for t in tracked:
                weights = np.linspace(0.5, 1.5, t.size).reshape(t.shape).astype(t.dtype)
                t.backward(weights, create_graph=second)
            outputs = [t.grad for t in tensors if t.grad is not None]
            results += [bare(g) for g in outputs]
    return [np.asarray(result) for result in results]


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays hold the same numbers, with the same signs and nan at the same places."""
    return (
        a.shape == b.shape
        and a.dtype == b.dtype
        and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        and (a.dtype.kind != "f" or np.array_equal(np.signbit(a), np.signbit(b)))
    )


def with_tensors(form: Form, tensors: list[ag.Tensor]) -> Form:
    """Return a form with tensors for its float arrays, added to a list in a fixed order."""
    made: dict[int, ag.Tensor] = {}

    def tensor(array: np.ndarray) -> ag.Tensor:
        if id(array) not in made:
            made[id(array)] = ag.Tensor(array, requires_grad=True)
        return made[id(array)]

    def replaced(value: Any) -> Any:
        if isinstance(value, _Held):
            return value.array
        return _replaced(value, iter([tensor(a) for a in Sample(len, value).arrays]))

    args = tuple(map(replaced, form[0]))
    kwargs = {name: replaced(value) for name, value in form[1].items()}
    tensors += [made[key] for key in sorted(made)]
    return args, kwargs


def is_taken(function: Callable[..., Any], form: Form) -> bool:
    """Whether NumPy takes the form, of arrays."""
    args = tuple(a.array if isinstance(a, _Held) else a for a in form[0])
    try:
        with np.errstate(all="ignore"):
            function(*args, **form[1])
    except TypeError:
        return False
    return True


def shown(name: str, form: Form) -> str:
    return f"{name}{Sample(len, *form[0])!r}".replace("len", "", 1) + f" and {sorted(form[1])}"


class Tally:
    """How many functions and forms were tried, and what differed."""

    def __init__(self) -> None:
        self.functions: set[str] = set()
        self.forms = self.second = self.refused = 0
        self.differing: list[str] = []

    def __str__(self) -> str:
        return (
            f"{len(self.functions)} functions, {self.forms} forms, of {self.second} the second "
            f"derivative too, {len(self.differing)} differing; {self.refused} that NumPy refuses"
        )

    def compare(
        self,
        name: str,
        call: Callable[..., Any],
        every: Sequence[Form],
        *,
        plain: Callable[..., Any] | None = None,
        second: bool = True,
    ) -> None:
        """Compare every form of a call with the first, and that with ``plain``, of arrays."""
        self.functions.add(name)
        if plain is not None and is_taken(plain, every[0]):
            values = outcome(call, every[0], False)
            for a, b in zip(values, flatten(plain(*every[0][0], **every[0][1]))[0]):
                np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15, err_msg=name)
        expected = {twice: outcome(call, every[0], twice) for twice in (False, second)}
        for number, form in enumerate(every[1:]):
            if not is_taken(plain or call, form):
                self.refused += 1
                continue
            twice = second and number % 4 == 0
            self.try_form(name, call, form, expected[twice], twice)

    def try_form(
        self,
        name: str,
        call: Callable[..., Any],
        form: Form,
        expected: Sequence[np.ndarray],
        twice: bool,
    ) -> None:
        """Compare one form of a call with what is expected."""
        self.forms += 1
        self.second += twice
        try:
            found = outcome(call, form, twice)
        except Exception as error:
            self.differing.append(f"{shown(name, form)} raises {error}")
            return
        if len(found) != len(expected) or not all(map(same, found, expected)):
            self.differing.append(shown(name, form))

    def check(self, functions: int, forms: int) -> None:
        """Fail if anything differed, or less was tried than should have been."""
        assert not self.differing, "\n".join(self.differing)
        assert len(self.functions) >= functions
        assert self.forms >= forms
        assert self.refused < self.forms / 50


def table_samples() -> Iterator[Sample]:
    """Yield the samples of functions of the table, as users call them."""
    for function in TABLE:
        if is_elementwise(function):
            yield next(iter(ufunc_samples(TABLE[function])))
    for sample in (*SAMPLES, *samples_layers.SAMPLES):
        function = getattr(sample.function, "__wrapped__", sample.function)
        if sample.function in TABLE and function is not np.full:  # which takes one with like= alone
            yield sample
        elif function in TABLE:
            yield Sample(function, *sample.args, **sample.kwargs)


# ---------------------------------------------------------------------------- functions


def test_every_form_of_a_function_gives_the_same_bits(record_property):
    tally = Tally()
    for sample in table_samples():
        every = list(forms(sample, parameters_of(sample.function, sample)))
        name, second = name_of(sample.function), sample.order > 1
        tally.compare(name, sample.function, every, second=second)
    record_property("forms of calls of functions", str(tally))
    tally.check(270, 2000)


def test_formulas_take_numpys_names_in_numpys_order():
    wrong = []
    for entry in TABLE.values():
        if isinstance(entry, Composite):
            own, formula = entry.signature, entry.taken
            leading = formula.names[: formula.positional]
            # of np.pad and, before NumPy 2.1, np.clip, some are among **others
            unknown = {*(leading if own.others else formula.names)} - {*own.names}
            if unknown or leading != own.names[: formula.positional]:
                wrong.append(f"{entry.name}: {formula.names}, NumPy has {own.names}")
    assert not wrong, "\n".join(wrong)


# ---------------------------------------------------------------------------- methods

_x, _square = distinct(2, 3), distinct(3, 3)
PLAIN_METHODS = [  # of functions that have no samples: their results carry no derivative
    Sample(np.argmax, _x, axis=1, keepdims=True),
    Sample(np.argmin, _x, axis=0),
    Sample(np.argsort, _x, axis=0, kind="stable"),
    Sample(np.argpartition, _x, 1, axis=-1),
    Sample(np.any, _x, axis=1),
    Sample(np.all, _x, axis=1, keepdims=True),
    Sample(np.searchsorted, np.sort(distinct(5)), [0.1, 0.3], side="right"),
    Sample(np.nonzero, _x),
]
_choices = [normal(3), normal(3)]
OTHER_METHODS: dict[str, list[list[Form]]] = {  # whose arguments are not those of the function
    "reshape": [
        [((3, 2), {}), (((3, 2),), {}), ((3, 2), {"order": "C"}), ((3, -1), {"copy": None})],
        [((3, 2), {"order": "F"}), (((3, 2),), {"order": "F"})],
    ],
    "transpose": [[((), {}), ((None,), {}), ((1, 0), {}), (((1, 0),), {})]],
    "compress": [
        [(([1, 0, 1], 1), {}), (([1, 0, 1],), {"axis": 1}), (([1, 0, 1], 1, None), {})],
        [(([1, 0, 1],), {}), ((), {"condition": [1, 0, 1]}), (([1, 0, 1], None), {"out": None})],
    ],
    "choose": [[((_choices,), {}), ((), {"choices": _choices}), ((_choices, None, "raise"), {})]],
    "astype": [
        [(("f4",), {}), ((np.float32,), {"copy": False}), ((), {"dtype": "f4"})],
        [(("f4", "K", "same_kind"), {}), (("f4", "K", "unsafe", True, True), {})],
    ],
    "clip": [
        [((-0.3, 0.4), {}), ((-0.3,), {"max": 0.4}), ((), {"min": -0.3, "max": 0.4})],
        [((-0.3, 0.4, None), {}), ((-0.3,), {"out": None, "max": 0.4})],
        [((None, 0.4), {}), ((), {"max": 0.4}), ((), {"min": None, "max": 0.4})],
    ],
    "flatten": [
        [(("F",), {}), ((), {"order": "F"})],
        [((), {}), (("C",), {}), ((), {"order": "C"})],
    ],
    "copy": [[((), {}), (("C",), {}), ((), {"order": "C"})]],
    "abs": [[((), {}), ((), {})]],
    "conj": [[((), {}), ((), {})]],
}


def method_names() -> set[str]:
    """Return the names of the methods written once for every class of array."""
    refusing, attributes = {"sort", "partition"}, {"T", "mT", "real", "imag", "flat"}
    return {name for name in vars(ArrayMethods) if not name.startswith("_")} - refusing - attributes


def method(name: str) -> Callable[..., Any]:
    """Return a function that calls the method of its first argument."""

    def call(array: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(array, name)(*args, **kwargs)

    return call


def test_every_form_of_a_method_gives_the_same_bits(record_property):
    tally, names = Tally(), method_names()
    for sample in (*table_samples(), *PLAIN_METHODS):
        function, name = sample.function, sample.function.__name__
        if name not in names - {*OTHER_METHODS} or getattr(np, name, None) is not function:
            continue
        parameters = parameters_of(function, sample)
        if isinstance(function, np.ufunc):
            parameters = parameters[:1]  # a method takes no options of a ufunc
        every = [form for form in forms(sample, parameters) if form[0]]
        plain = method(name) if hasattr(np.ndarray, name) else function
        tally.compare(name, method(name), every, plain=plain, second=sample.order > 1)
    for name, groups in OTHER_METHODS.items():
        array = ag.Tensor([1, 0, 1]) if name == "choose" else _x
        plain = method(name) if hasattr(np.ndarray, name) else np.absolute
        for spellings in groups:
            every = [((array, *args), kwargs) for args, kwargs in spellings]
            tally.compare(name, method(name), every, plain=plain)
    record_property("forms of calls of methods", str(tally))
    assert tally.functions == names
    tally.check(41, 200)


def test_a_cast_that_is_not_allowed_is_refused():
    t = ag.Tensor([1.5], requires_grad=True)
    with pytest.raises(TypeError, match=r"Cannot cast .* according to the rule 'safe'"):
        t.astype(np.float32, casting="safe")


@pytest.mark.parametrize("copy", [False, True])
def test_a_cast_copies_unless_it_may_not(copy):
    t = ag.Tensor([1.5], requires_grad=True)
    assert np.shares_memory(t._values, t.astype(float, copy=copy)._values) != copy


# ---------------------------------------------------------------------------- users' functions


@pytest.fixture
def table():
    """Forget afterwards what a test enters."""
    before = dict(TABLE)
    yield TABLE
    TABLE.clear()
    TABLE.update(before)


def users_samples() -> list[Sample]:
    """Return samples of primitives, in every kind of parameter; what each rule reads differs."""

    @ag.primitive(lambda g, y: g * y, lambda g, x: g * x)
    def product(x, y):
        return x * y

    @ag.primitive(
        lambda g, y, first, second: g * y * first / second,
        lambda g, x, first, second: g * x * first / second,
    )
    def with_options(x, y, first=2.0, second=3.0):
        return x * y * first / second

    @ag.primitive(
        lambda g, x, n, scale, shift: g * n * (x + shift) ** (n - 1) * scale, ignores=["note"]
    )
    def shifted_power(x, n, /, scale=1.0, *, shift, note="none"):
        return (x + shift) ** n * scale

    @ag.primitive(lambda g, argnum, weights, shift: g * weights[argnum] + 0 * shift)
    def weighted(*operands, weights, shift=0.0):
        return sum(w * x for w, x in zip(weights, operands)) + shift

    @ag.primitive(
        lambda g, operands, power: g * sum(operands) * power,
        lambda g, argnum, operands, x, power: g * x * power * (1 + 0 * operands[argnum - 1]),
    )
    def times_sum(x, *operands, power=1.0):
        return x * sum(operands) * power

    @ag.primitive(None, lambda g, order, x: g * order * x ** (order - 1))
    def of_the_second(order, x):
        return x**order

    @ag.primitive(
        lambda g, residual, x, factor: g * (factor if residual is None else residual) + 0 * x,
        recorded=lambda tracked, x, factor, offset: (x * factor + offset, factor),
        ignores=["offset"],
    )
    def recorded_with_more(x, *, factor, offset=0.0):
        return x * factor + offset

    a, b, c = normal(3), normal(3), normal(3)
    return [
        Sample(product, a, b),
        Sample(with_options, a, b),
        Sample(with_options, a, b, 5.0),
        Sample(with_options, a, b, second=7.0),
        Sample(with_options, a, b, 5.0, 7.0),
        Sample(shifted_power, positive(3), 3, shift=0.5),
        Sample(shifted_power, positive(3), 3, 2.0, shift=0.5, note="some"),
        Sample(weighted, a, b, c, weights=(1.0, 2.0, 4.0)),
        Sample(weighted, a, b, weights=(1.0, 2.0), shift=0.5),
        Sample(times_sum, a, b, c),
        Sample(times_sum, a, b, power=2.0),
        Sample(of_the_second, 3, a),
        Sample(recorded_with_more, a, factor=2.0),
        Sample(recorded_with_more, a, factor=2.0, offset=1.0),
    ]


@pytest.mark.usefixtures("table")
def test_every_form_of_a_primitive_gives_the_same_bits(record_property):
    tally = Tally()
    for sample in users_samples():
        every = list(forms(sample, parameters_of(sample.function, sample)))
        tally.compare(sample.function.__name__, sample.function, every)
    record_property("forms of calls of primitives", str(tally))
    tally.check(7, 45)


@pytest.mark.usefixtures("table")
def test_a_users_formula_takes_every_form_that_it_supports():
    @ag.composite(np.vander)
    def vander(x, N=None, increasing=False):
        powers = range(len(x) if N is None else N)
        return np.stack([x**k for k in (powers if increasing else powers[::-1])], axis=-1)

    x = ag.Tensor([2.0, 3.0], requires_grad=True)
    for call in (
        lambda: np.vander(x, 3, True),
        lambda: np.vander(x, 3, increasing=True),
        lambda: np.vander(x=x, increasing=True, N=3),
    ):
        assert call().data.tolist() == [[1, 2, 4], [1, 3, 9]]
    for call in (lambda: np.vander(x), lambda: np.vander(x, None), lambda: np.vander(x=x)):
        assert call().data.tolist() == [[2, 1], [3, 1]]


# ---------------------------------------------------------------------------- wrong calls


def wrong_calls(sample: Sample, parameters: Sequence[inspect.Parameter]) -> Iterator[Form]:
    """Yield a sample's call with an argument missing, one too many, twice, and of no name."""
    args, kwargs = next(forms(sample, parameters))
    leading = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = sum(p.default is p.empty for p in leading)
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    most = len(leading) + getattr(sample.function, "nout", 0)  # those of a ufunc may follow
    if required:
        yield args[: required - 1], {}
        yield (), {p.name: v for p, v in zip(leading[1:], args[1:])}
    if not variadic:
        yield (*args, *[None] * (most - len(args) + 1)), kwargs
    yield args, kwargs | {"nonsense": 1}
    if leading and leading[0].kind is not _P.POSITIONAL_ONLY:
        yield args, kwargs | {leading[0].name: args[0]}


def answers(name: str, call: Callable[..., Any], form: Form) -> str:
    """Return what is wrong with the answer to a wrong call, if anything."""
    args, kwargs = with_tensors(form, [])
    try:
        call(*args, **kwargs)
    except TypeError as error:
        message = str(error)
        own = re.search(rf"\b{re.escape(name)}\b", message)
        if own and not re.search(r"<lambda>|dispatcher|formula|by_position|recorded\(", message):
            return ""
        return f"{shown(name, form)}: {message}"
    except Exception as error:
        return f"{shown(name, form)}: {type(error).__name__}: {error}"
    return f"{shown(name, form)} is accepted"


@pytest.mark.usefixtures("table")
def test_a_wrong_call_raises_and_names_the_function(record_property):
    tried, wrong = 0, []
    for sample in (*table_samples(), *users_samples()):
        function = sample.function
        if (getattr(function, "__module__", "") or "").startswith(("autograd_lite", "_operator")):
            continue
        if not isinstance(function, np.ufunc) and not says(function):
            continue
        parameters = parameters_of(function, sample)
        for form in wrong_calls(sample, parameters):
            if form[0] and not any(a.arrays for a in [Sample(len, *form[0], **form[1])]):
                continue
            tried += 1
            wrong.append(answers(function.__name__, function, form))
            name = function.__name__
            if name in method_names() - {*OTHER_METHODS} and getattr(np, name, 0) is function:
                if form[0] and isinstance(form[0][0], np.ndarray):
                    tried += 1
                    wrong.append(answers(name, method(name), form))
    record_property("wrong calls", tried)
    assert not any(wrong), "\n".join(filter(None, wrong))
    assert tried > 1000


MESSAGES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "missing": (lambda t: t.swapaxes(axis1=0), "np.swapaxes: its argument axis2 is missing"),
    "missing, by keyword": (
        lambda t: t.swapaxes(axis2=0),
        "np.swapaxes: its argument axis1 is missing",
    ),
    "too many": (
        lambda t: t.cumsum(0, None, None, 1),
        "np.cumsum of shape (3, 3): cumsum() takes from 1 to 4 positional arguments",
    ),
    "twice": (lambda t: t.sum(0, axis=0), "np.sum got its argument axis twice"),
    "no such name": (
        lambda t: t.repeat(2, axes=0),
        "np.repeat has no argument axes=; it takes a, repeats, axis",
    ),
    "of a formula, missing": (lambda t: t.take(), "np.take: its argument indices is missing"),
    "of a formula, twice": (
        lambda t: t.take(0, indices=1),
        "np.take got its argument indices twice",
    ),
    "of a formula, not covered": (
        lambda t: np.quantile(t, 0.5, method="lower"),
        "np.quantile: no derivative rule covers the argument method=",
    ),
    "of a formula, not covered, by position": (
        lambda t: np.quantile(t, 0.5, 0, None, False, "lower"),
        "np.quantile: no derivative rule covers the argument method=",
    ),
    "of a function with others": (
        lambda t: np.pad(t, 1, "constant", end_values=1),
        "np.pad: no derivative rule covers the argument end_values=",
    ),
    "another option of a ufunc": (
        lambda t: np.vecdot(t, t, axis=0),
        "np.vecdot: no derivative rule covers axis=",
    ),
    "an option of a ufunc": (
        lambda t: np.exp(t, order="F"),
        "np.exp: no derivative rule covers order=",
    ),
}


@pytest.mark.parametrize("mistake", MESSAGES)
def test_messages(mistake):
    call, message = MESSAGES[mistake]
    with pytest.raises(TypeError) as caught:
        call(ag.Tensor(_square, requires_grad=True))
    assert str(caught.value).startswith(message)


@pytest.mark.usefixtures("table")
def test_keyword_only_and_positional_only_are_kept_apart():
    last = users_samples()[-1].function
    t = ag.Tensor([1.0], requires_grad=True)
    with pytest.raises(TypeError, match="recorded_with_more takes 1 argument by position, not 2"):
        last(t, 2.0)
    with pytest.raises(TypeError, match="recorded_with_more: its argument factor is missing"):
        last(t)

    @ag.primitive(lambda g, argnum, weights: g * weights[argnum])
    def total(*operands, weights):
        return sum(w * x for w, x in zip(weights, operands))

    with pytest.raises(TypeError, match="total: its argument weights is missing"):
        total(t, t)
    with pytest.raises(TypeError, match="total has no argument operands=; it takes "):
        total(operands=t, weights=[1.0])

    @ag.primitive(lambda g: g)
    def same_as(x, /, y=1.0):
        return x + 0

    with pytest.raises(TypeError, match="same_as: its argument x is missing"):
        same_as(x=t)


# ---------------------------------------------------------------------------- planted faults


def _places(signature: Signature, kwargs: dict[str, Any]) -> list[int]:
    return sorted(signature.names.index(name) for name in kwargs)


def neighbours_swapped(signature, args, kwargs, values):
    """Give what is given by keyword to the parameter before, and that one's to it."""
    place = _places(signature, kwargs)[-1]
    if place and signature.variadic is None:
        values[place - 1], values[place] = values[place], values[place - 1]
    return values


def left_at_default(signature, args, kwargs, values):
    """Forget the last argument given by keyword, where it may be left out."""
    place = _places(signature, kwargs)[-1]
    if signature.variadic is None and signature.defaults[place] is not inspect.Parameter.empty:
        values[place] = signature.defaults[place]
    return values


def in_the_order_given(signature, args, kwargs, values):
    """Take arguments by keyword for those that follow the ones by position."""
    if signature.variadic is None:
        values[len(args) : len(args) + len(kwargs)] = kwargs.values()
    return values


@pytest.mark.parametrize("fault", [neighbours_swapped, left_at_default, in_the_order_given])
@pytest.mark.usefixtures("table")
def test_wrong_bindings_are_noticed(fault, monkeypatch, record_property):
    bind, planted = Signature.bind, []

    def wrong(self, args, kwargs):
        values = bind(self, args, kwargs)
        if not kwargs:
            return values
        other = fault(self, args, kwargs, list(values))
        if any(a is not b for a, b in zip(values, other)):
            planted.append(self.name)
        return other

    caught: dict[str, int] = {}
    for sample in (*table_samples(), *users_samples()):
        if isinstance(sample.function, np.ufunc):
            continue  # whose arguments go by position
        first, *every = forms(sample, parameters_of(sample.function, sample))
        for form in every:
            if not form[1] or not is_taken(sample.function, form):
                continue
            tally, count = Tally(), len(planted)
            expected = outcome(sample.function, first, False)
            with monkeypatch.context() as patch:
                patch.setattr(Signature, "bind", wrong)
                tally.try_form("", sample.function, form, expected, False)
            if len(planted) > count:
                name = name_of(sample.function)
                caught[name] = caught.get(name, 0) + len(tally.differing)
    missed = [name for name, count in caught.items() if not count]
    record_property(
        f"wrong bindings ({fault.__name__})",
        f"noticed in {sum(caught.values())} forms of {len(caught) - len(missed)} functions, "
        f"in none of {', '.join(missed) or 'no other'}",
    )
    assert len(caught) > 30
    assert len(missed) < len(caught) / 10
