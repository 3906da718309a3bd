"""The engine by itself: bare arrays and nodes, no tensors."""

from __future__ import annotations

import itertools
import math
import operator
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autograd_lite.engine import tape
from autograd_lite.engine.names import name_of
from autograd_lite.engine.table import TABLE, Constant, Primitive, derivative
from autograd_lite.engine.tape import Leaf, Node, pullback, reachable

# What the engine is tested with: a table of its own functions.


def _add(x: Any, y: Any) -> Any:
    return x + y


def _mul(x: Any, y: Any) -> Any:
    return x * y


def _exp(x: Any) -> Any:
    return np.exp(x)


@pytest.fixture(autouse=True)
def _own_functions() -> Any:
    before = dict(TABLE)
    derivative(_add, lambda g: g, lambda g: g, broadcasts=True)
    derivative(_mul, lambda g, y: g * y, lambda g, x: g * x, broadcasts=True)
    derivative(_exp, lambda g, ans: g * ans)
    yield
    TABLE.clear()
    TABLE.update(before)


def _call(function: Any, *pairs: tuple[Any, Node | None]) -> tuple[Any, Node]:
    """Record a call by hand: (value, node or None) for each argument gives (result, node)."""
    entry: Any = TABLE[function]
    values = [value for value, _ in pairs]
    parents = [node for _, node in pairs if node is not None]
    tracked = sum(1 << i for i, (_, node) in enumerate(pairs) if node is not None)
    plan = entry.plan(tracked)
    ans = function(*values)
    saved = plan.keep(values, ans, None, parents)
    return ans, Node(plan, parents, saved, None, ans.shape, ans.dtype, False)


def _variable(value: Any) -> tuple[Any, Node]:
    array = np.asarray(value, float)
    return array, Leaf(array)


# ---------------------------------------------------------------------------- the pullback


def test_product_rule() -> None:
    x, y = _variable([1.0, 2.0]), _variable([3.0, 4.0])
    z = _call(_mul, x, y)
    found = pullback(z[1], np.ones(2))
    np.testing.assert_array_equal(found[x[1]], [3, 4])
    np.testing.assert_array_equal(found[y[1]], [1, 2])


def test_several_paths_add_up_and_each_node_is_visited_once() -> None:
    visits = []

    def traced(g: Any, y: Any) -> Any:
        visits.append(1)
        return g * y

    derivative(_mul, traced, lambda g, x: g * x, broadcasts=True)
    x = _variable([2.0])
    square = _call(_mul, x, x)
    fourth = _call(_mul, square, square)
    total = _call(_add, fourth, square)
    found = pullback(total[1], np.ones(1))
    np.testing.assert_array_equal(found[x[1]], [4 * 8 + 2 * 2])
    assert len(visits) == 2


def test_only_what_leads_to_a_target_is_visited() -> None:
    def never(g: Any) -> Any:
        raise AssertionError("this argument leads to no target")

    derivative(_add, lambda g: g, never, broadcasts=True)
    x, y = _variable(1.0), _variable(2.0)
    z = _call(_add, _call(_exp, x), _call(_exp, y))
    found = pullback(z[1], np.ones(()), [x[1]])
    assert set(found) == {x[1]}
    np.testing.assert_allclose(found[x[1]], math.e)


def test_stops_at_targets_that_are_results() -> None:
    x = _variable(1.0)
    middle = _call(_exp, x)
    z = _call(_mul, middle, middle)
    found = pullback(z[1], np.ones(()), [middle[1]])
    assert set(found) == {middle[1]}
    np.testing.assert_allclose(found[middle[1]], 2 * math.e)


def test_target_that_the_root_does_not_depend_on_is_absent() -> None:
    x, y = _variable(1.0), _variable(1.0)
    assert pullback(_call(_exp, x)[1], np.ones(()), [y[1]]) == {}


def test_root_that_is_a_target() -> None:
    x = _variable([1.0])
    assert pullback(x[1], np.ones(1), [x[1]])[x[1]] == [1]


def test_reachable_is_oldest_first() -> None:
    x = _variable(1.0)
    a = _call(_exp, x)
    b = _call(_exp, a)
    c = _call(_add, b, a)
    assert reachable(c[1]) == [x[1], a[1], b[1], c[1]]
    assert reachable(c[1], [a[1]]) == [a[1], b[1], c[1]]


def test_contributions_do_not_write_into_each_other() -> None:
    x, y = _variable([1.0, 2.0]), _variable([1.0, 2.0])
    s = _call(_add, x, y)
    t = _call(_add, s, x)
    u = _call(_add, t, x)
    g = np.ones(2)
    g.setflags(write=False)
    found = pullback(u[1], g)
    np.testing.assert_array_equal(found[x[1]], [3, 3])
    np.testing.assert_array_equal(found[y[1]], [1, 1])
    np.testing.assert_array_equal(g, 1)


def test_sums_are_written_only_into_what_was_allocated_for_them() -> None:
    a, b, c, e = (_variable([1.0, 2.0]) for _ in range(4))
    product = _call(_mul, c, c)
    u = _call(_add, a, c)
    w = _call(_add, a, b)
    total = _call(_add, _call(_add, _call(_add, u, e), w), product)
    g = np.ones(2)
    found = pullback(total[1], g)  # which addition hands to a, b, c and e alike
    np.testing.assert_array_equal(found[a[1]], [2, 2])
    np.testing.assert_array_equal(found[b[1]], [1, 1])
    np.testing.assert_array_equal(found[c[1]], [3, 5])
    np.testing.assert_array_equal(found[e[1]], [1, 1])
    np.testing.assert_array_equal(g, 1)


def test_cotangents_have_the_dtype_of_the_argument() -> None:
    x = np.ones(2, np.float32)
    y = np.ones(2)
    nx, ny = Leaf(x), Leaf(y)
    z = _call(_mul, (x, nx), (y, ny))
    found = pullback(z[1], np.ones(2))
    assert found[nx].dtype == np.float32
    assert found[ny].dtype == np.float64


def _lengths(rank: int) -> list[tuple[int, ...]]:
    """Return all shapes of a rank that broadcast to that many of (2, 0, 3, 1)'s last lengths."""
    return list(itertools.product(*[(1, n) for n in (2, 0, 3, 1)[4 - rank :]]))


ALL_SHAPES = [shape for rank in range(5) for shape in _lengths(rank)]
ALL_SHAPES += [tuple(n or 4 for n in shape) for shape in ALL_SHAPES if 0 in shape]


def test_what_broadcasting_repeated_is_summed_for_all_pairs_of_shapes() -> None:
    pairs = 0
    for a, b in itertools.product(sorted(set(ALL_SHAPES)), repeat=2):
        try:
            shape = np.broadcast_shapes(a, b)
        except ValueError:
            continue
        g = np.arange(1.0, math.prod(shape) + 1).reshape(shape)
        x, y = _variable(np.zeros(a)), _variable(np.zeros(b))
        found = pullback(_call(_add, x, y)[1], g)
        for own, (value, node) in ((a, x), (b, y)):
            # The sum over every cell of the result that a cell of the argument was repeated in.
            places = np.broadcast_to(np.arange(value.size).reshape(own), shape)
            sums = np.bincount(places.reshape(-1), g.reshape(-1), minlength=value.size)
            np.testing.assert_array_equal(found[node], sums.reshape(own))
        pairs += 1
    assert pairs > 400


def test_wrong_shape_is_refused_unless_the_function_broadcasts() -> None:
    derivative(_exp, lambda g: g[None])
    x = _variable([1.0, 2.0])
    with pytest.raises(
        ValueError,
        match=r"the derivative rule of _exp returned a cotangent of shape \(1, 2\) for an argument "
        r"of shape \(2,\)",
    ):
        pullback(_call(_exp, x)[1], np.ones(2))


def test_engine_knows_no_tensors() -> None:
    code = (
        "import autograd_lite.engine.tape, sys; print('autograd_lite.engine.tensor' in sys.modules)"
    )
    folder = str(Path(tape.__file__).parents[1])
    bare_package = (
        "import sys, types\npackage = types.ModuleType('autograd_lite')\n"
        f"package.__path__ = [{folder!r}]\nsys.modules['autograd_lite'] = package\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", bare_package + code], capture_output=True, text=True, check=True
    ).stdout
    assert output.strip() == "False"


# ---------------------------------------------------------------------------- the table


def test_rules_read_what_they_name() -> None:
    with pytest.raises(
        TypeError, match="the rule of _exp reads w; it may read g, like, argnum, ans"
    ):
        derivative(_exp, lambda g, w: g)
    with pytest.raises(TypeError, match="the rule of _exp must take g first, not x"):
        derivative(_exp, lambda x: x)


def test_missing_rule_names_the_argument() -> None:
    derivative(_mul, lambda g, y: g * y)
    with pytest.raises(TypeError, match="_mul has no derivative with respect to its argument y"):
        _call(_mul, (np.ones(2), None), _variable([1.0, 2.0]))


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (np.exp, "np.exp"),
        (np.sum, "np.sum"),
        (np.linalg.norm, "np.linalg.norm"),
        (np.fft.fft, "np.fft.fft"),
        (operator.getitem, "indexing"),
        (_exp, "_exp"),
    ],
)
def test_names(function: Any, name: str) -> None:
    assert name_of(function) == name


# What each function keeps for its rules: an argument by its name, "ans", or nothing ("").
KEEPS = {
    np.add: "", np.subtract: "", np.negative: "", np.positive: "", np.degrees: "",
    np.multiply: "x y", np.divide: "ans y", np.matmul: "x y", np.hypot: "ans x y",
    np.exp: "ans", np.exp2: "ans", np.sqrt: "ans", np.cbrt: "ans", np.tanh: "ans", np.tan: "ans",
    np.reciprocal: "ans", np.log: "x", np.log1p: "x", np.sin: "x", np.cos: "x", np.square: "x",
    np.absolute: "x", np.sign: "", np.floor: "", np.arctan2: "x y", np.maximum: "x y",
    np.where: "condition", np.sum: "axis keepdims", np.mean: "axis keepdims",
    np.max: "a ans axis keepdims", np.cumsum: "axis",
    np.reshape: "order", np.transpose: "axes", np.swapaxes: "axis1 axis2", np.squeeze: "",
    np.expand_dims: "", np.broadcast_to: "", operator.getitem: "b",
    np.linalg.inv: "ans",
}  # fmt: skip


@pytest.mark.parametrize("function", KEEPS, ids=name_of)
def test_what_a_call_keeps(function: Any) -> None:
    entry = TABLE[function]
    assert isinstance(entry, Primitive)
    tracked = sum(1 << i for i, rule in enumerate(entry.rules) if rule is not None)
    plan = entry.plan(tracked)
    kept = {
        source if isinstance(source, str) else entry.parameters[source]
        for source in plan.sources
        if source is not None
    }
    assert kept == set(KEEPS[function].split())


def test_one_tracked_operand_keeps_only_the_other() -> None:
    entry: Any = TABLE[np.multiply]
    assert entry.plan(0b01).sources == (1,)
    assert entry.plan(0b10).sources == (0,)


def test_no_elementwise_rule_reads_more_than_it_needs() -> None:
    """Beside a result, only functions of a singular or cancelling nature read an argument too."""
    for entry in TABLE.values():
        if isinstance(entry, Primitive) and entry.elementwise and entry.function.nin == 1:
            sources = entry.plan(1).sources
            assert len([s for s in sources if s is not None]) <= 2, entry.name


def test_table_covers_enough() -> None:
    names = {name_of(f) for f in TABLE}
    assert len([n for n in names if n.startswith("np.")]) >= 150
    assert any(isinstance(entry, Constant) for entry in TABLE.values())


def test_optional_arguments_that_no_rule_reads_are_refused() -> None:
    def scaled(x: Any, factor: float = 1.0, note: str = "") -> Any:
        return x * factor

    derivative(scaled, lambda g, factor: g * factor, ignores=["note"])
    entry: Any = TABLE[scaled]
    arguments = entry.bind([1.0], {"factor": 2.0, "note": "n"})
    assert arguments == entry.settled(arguments) == [1.0, 2.0, "n"]
    derivative(scaled, lambda g: g)
    entry = TABLE[scaled]
    with pytest.raises(TypeError, match="no derivative rule covers the argument factor="):
        entry.settled(entry.bind([1.0], {"factor": 2.0}))
    with pytest.raises(TypeError, match="no derivative rule covers the argument factor="):
        entry.settled(entry.bind([1.0, 2.0], {}))


def test_a_rule_does_not_read_an_argument_of_a_reserved_name() -> None:
    def scaled(x: Any, ans: Any) -> Any:
        return x * ans

    with pytest.raises(TypeError, match="reads ans, which it could not tell from the argument"):
        derivative(scaled, lambda g, ans: g * ans)
