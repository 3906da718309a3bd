from __future__ import annotations

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite import nn


@pytest.fixture
def rng():
    return np.random.default_rng(0)


class Pair(nn.Module):
    def __init__(self, rng):
        self.first = nn.Linear(2, 3, rng=rng)
        self.rest = [nn.Linear(3, 3, rng=rng), nn.BatchNorm1d(3)]
        self.named = {"out": nn.Linear(3, 1, rng=rng)}
        self.scale = ag.Tensor([2.0], requires_grad=True)
        self.offset = np.zeros(1)
        self.note = "text"

    def forward(self, x):
        for layer in (self.first, *self.rest, self.named["out"]):
            x = layer(x)
        return x * self.scale + self.offset


def test_attributes_lists_and_dictionaries_register(rng):
    names = [name for name, _ in Pair(rng).named_parameters()]
    assert names == [
        "scale",
        "first.weight",
        "first.bias",
        "rest.0.weight",
        "rest.0.bias",
        "rest.1.weight",
        "rest.1.bias",
        "named.out.weight",
        "named.out.bias",
    ]
    state = Pair(rng).state_dict()
    assert set(state) - set(names) == {
        "offset",
        "rest.1.running_mean",
        "rest.1.running_var",
        "rest.1.num_batches_tracked",
    }


def test_collections_in_collections_register(rng):
    class Nested(nn.Module):
        def __init__(self):
            self.ls = [nn.Linear(2, 2, rng=rng), [nn.Linear(2, 2, bias=False, rng=rng)]]
            self.tables = {"a": {"b": ag.Tensor([1.0], requires_grad=True)}, "c": (np.ones(2),)}
            self.drop = {"later": [(nn.Dropout(rng=rng),)]}
            self.ring = [ag.Tensor([2.0], requires_grad=True)]
            self.ring.append(self.ring)

        def forward(self, x):
            return self.ls[1][0](self.ls[0](x)) * self.tables["a"]["b"]

    model = Nested()
    names = ["tables.a.b", "ring.0", "ls.0.weight", "ls.0.bias", "ls.1.0.weight"]
    assert [name for name, _ in model.named_parameters()] == names
    assert list(model.state_dict()) == [*names, "tables.c.0"]
    assert [name for name, _ in model.named_modules()] == ["", "ls.0", "ls.1.0", "drop.later.0.0"]
    assert not model.eval().drop["later"][0][0].training
    assert model.generators() == [rng]
    before = model.state_dict()
    np.sum(model(np.ones((1, 2)))).backward()
    ag.optim.SGD(model.parameters(), lr=0.1).step()
    after = model.state_dict()
    assert not np.array_equal(before["ls.1.0.weight"], after["ls.1.0.weight"])
    assert model.load_state_dict(before) == ([], [])
    assert "  ls.1.0: Linear(" in repr(model)


def test_a_shared_parameter_is_listed_once_and_saved_under_both_names(rng):
    model = nn.Sequential(nn.Linear(2, 2, rng=rng), nn.Linear(2, 2, rng=rng))
    model[1].weight = model[0].weight
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert "1.weight" in model.state_dict()


def test_a_shared_module_is_listed_once_and_saved_under_both_names(rng):
    class Twice(nn.Module):
        def __init__(self):
            self.inner = nn.Sequential(nn.BatchNorm1d(2))
            self.again = self.inner[0]
            self.itself = [self]

    model = Twice()
    assert [name for name, _ in model.named_modules()] == ["", "inner", "inner.0"]
    assert [name for name, _ in model.named_parameters()] == ["inner.0.weight", "inner.0.bias"]
    assert len(list(model.named_buffers())) == 3
    state = model.state_dict()
    assert len(state) == 10
    model.inner[0](np.array([[1.0, 2.0], [3.0, 5.0]]))
    assert not np.array_equal(model.state_dict()["again.running_mean"], state["again.running_mean"])
    assert model.load_state_dict(state) == ([], [])
    assert np.array_equal(model.inner[0].running_mean, state["inner.0.running_mean"])


@pytest.mark.peer
def test_shared_modules_have_the_names_of_torch(rng):
    torch = pytest.importorskip("torch")
    ours, theirs = nn.Linear(2, 2, rng=rng), torch.nn.Linear(2, 2)
    ours = nn.Sequential(ours, nn.Sequential(nn.ReLU(), ours), ours)
    theirs = torch.nn.Sequential(theirs, torch.nn.Sequential(torch.nn.ReLU(), theirs), theirs)
    assert set(ours.state_dict()) == set(theirs.state_dict())
    for kind in ("named_parameters", "named_modules"):
        names = [[name for name, _ in getattr(model, kind)()] for model in (ours, theirs)]
        assert names[0] == names[1]
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})


def test_results_kept_as_attributes_are_no_parameters(rng):
    model = nn.Linear(2, 2, rng=rng)
    model.last = model(np.ones(2))
    assert [name for name, _ in model.named_parameters()] == ["weight", "bias"]


def test_state_dict_is_a_snapshot_that_load_state_dict_restores(rng):
    model = Pair(rng)
    before = model.state_dict()
    x = rng.normal(size=(4, 2))
    model(x)  # moves the running statistics
    for p in model.parameters():
        p.grad = np.ones(p.shape)
    ag.optim.SGD(model.parameters(), lr=1.0).step()  # in place
    assert not np.array_equal(before["first.weight"], model.state_dict()["first.weight"])
    assert model.load_state_dict(before) == ([], [])
    after = model.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert [after[name].dtype for name in before] == [before[name].dtype for name in before]


def test_strict_loading_lists_every_problem_and_changes_nothing(rng):
    model = Pair(rng)
    before = model.state_dict()
    state = {**before, "extra": np.ones(1), "first.weight": np.ones((5, 2))}
    state["named.out.bias"] = np.array(["x"])
    del state["scale"]
    state["first.bias"] = before["first.bias"] + 1
    with pytest.raises(
        ValueError, match=r"load_state_dict of Pair: missing: scale; unexpected: extra"
    ) as e:
        model.load_state_dict(state)
    assert "first.weight: expected (3, 2), got (5, 2)" in str(e.value)
    assert "named.out.bias: expected real numbers" in str(e.value)
    assert all(np.array_equal(before[n], v) for n, v in model.state_dict().items())
    with pytest.raises(TypeError, match=r"expected a mapping of names to arrays, not \[1\]"):
        model.load_state_dict([1])


def test_buffers_that_are_read_only_may_not_change(rng):
    class Fixed(nn.Module):
        def __init__(self, value):
            self.table, self.scale = np.full(2, value), np.ones(1)
            self.table.setflags(write=False)

    model = Fixed(1.0)
    state = model.state_dict()
    model.scale[:] = 5
    assert model.load_state_dict(state) == ([], [])
    assert model.scale == 1
    with pytest.raises(ValueError, match="table: it is read-only, and would change"):
        model.load_state_dict({**Fixed(2.0).state_dict(), "scale": np.zeros(1)})
    assert model.scale == 1


def test_arrays_of_names_are_no_buffers(rng):
    model = nn.Linear(2, 2, rng=rng)
    model.classes, model.things = np.array(["cat", "dog"]), np.array([None])
    assert list(model.state_dict()) == ["weight", "bias"]
    model.load_state_dict(model.state_dict())


def test_loading_that_is_not_strict_says_what_it_left_out(rng):
    model = nn.Linear(2, 1, rng=rng)
    found = model.load_state_dict({"weight": np.ones((1, 2)), "other": 1.0}, strict=False)
    assert found.missing == ["bias"]
    assert found.unexpected == ["other"]
    assert np.array_equal(model.weight.numpy(), np.ones((1, 2)))


def test_loading_refuses_an_older_graph_instead_of_a_wrong_gradient(rng):
    model = nn.Linear(2, 1, rng=rng)
    x = ag.Tensor(np.ones((1, 2)), requires_grad=True)
    loss = np.sum(model(x))
    model.load_state_dict({"weight": np.ones((1, 2)), "bias": np.ones(1)})
    with pytest.raises(RuntimeError, match="updated in place"):
        loss.backward()


def test_train_and_eval_reach_every_module(rng):
    model = Pair(rng)
    assert model.eval() is model
    assert not model.rest[1].training
    assert model.train().rest[1].training


def test_generators_are_found_once(rng):
    model = nn.Sequential(nn.Dropout(rng=rng), nn.Dropout(rng=rng))
    assert model.generators() == [rng]


def test_zero_grad(rng):
    model = nn.Linear(2, 1, rng=rng)
    np.sum(model(np.ones((3, 2)))).backward()
    assert model.weight.grad is not None
    model.zero_grad()
    assert model.weight.grad is None


def test_repr_is_a_tree_with_shapes_and_counts(rng):
    model = nn.Sequential(
        nn.Linear(64, 100, rng=rng), nn.ReLU(), np.tanh, nn.Linear(100, 10, rng=rng)
    )
    assert repr(model).splitlines() == [
        "Sequential: 7,510 parameters",
        "  0: Linear(in_features=64, out_features=100): "
        "weight (100, 64), bias (100,), 6,500 parameters",
        "  1: ReLU",
        "  3: Linear(in_features=100, out_features=10): "
        "weight (10, 100), bias (10,), 1,010 parameters",
    ]


def test_sequential(rng):
    model = nn.Sequential(nn.Linear(2, 3, rng=rng), np.tanh)
    assert len(model) == 2
    assert model[1] is np.tanh
    assert model(np.ones((1, 2))).shape == (1, 3)
    first = model[:1]
    assert isinstance(first, nn.Sequential)
    assert list(first) == [model[0]]
    with pytest.raises(
        TypeError, match="Sequential: argument 1 must be a Module or function, not 3"
    ):
        nn.Sequential(np.tanh, 3)


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="Module defines no forward"):
        nn.Module()(1)


def test_tensors_that_are_not_trained_are_loaded_too() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            self.by = ag.Tensor([1.0, 2.0])

    module = Scaled()
    module.load_state_dict({"by": np.array([3.0, 4.0])})
    np.testing.assert_array_equal(module.by.data, [3, 4])


# ---------------------------------------------------------------------------- walking over modules


class Tied(nn.Module):
    """An embedding whose table is the last layer's weight too, and a list of others."""

    def __init__(self, rng):
        self.table = nn.Embedding(4, 2, rng=rng)
        self.blocks = [nn.Sequential(nn.Linear(2, 2, rng=rng), nn.Dropout(0.1, rng=rng))]
        self.out = nn.Linear(2, 4, rng=rng)
        self.out.weight = self.table.weight
        self.again = self.blocks[0]


def test_modules_and_children_are_found_once(rng):
    model = Tied(rng)
    block = model.blocks[0]
    assert list(model.modules()) == [model, model.table, block, block[0], block[1], model.out]
    assert list(model.children()) == [model.table, block, model.out]
    assert list(block[0].children()) == []


def test_a_function_is_applied_to_the_parts_before_the_whole_and_once(rng):
    model = Tied(rng)
    model.blocks[0].around = [model]  # a circle
    seen = []
    assert model.apply(seen.append) is model
    block = model.blocks[0]
    assert seen == [model.out, block[1], block[0], block, model.table, model]


@pytest.mark.peer
def test_walks_are_those_of_torch(rng):
    torch = pytest.importorskip("torch")

    def built(part, sequential, relu):
        return sequential(part(2, 3), sequential(relu(), part(3, 3), sequential(part(3, 1))))

    ours = built(lambda n, m: nn.Linear(n, m, rng=rng), nn.Sequential, nn.ReLU)
    theirs = built(torch.nn.Linear, torch.nn.Sequential, torch.nn.ReLU)
    walks = []
    for model in (ours, theirs):
        applied = []
        model.apply(lambda module, applied=applied: applied.append(type(module).__name__))
        kinds = [[type(m).__name__ for m in walk()] for walk in (model.modules, model.children)]
        assert applied[-1] == "Sequential"
        walks.append([*kinds, sorted(applied)])
        model.requires_grad_(False)
        walks[-1].append([p.requires_grad for p in model.parameters()])
    assert walks[0] == walks[1]


def test_frozen_parameters_get_no_gradient_and_take_no_step(rng):
    model = nn.Sequential(nn.Linear(2, 2, rng=rng), nn.Linear(2, 1, rng=rng))
    model[0].places = ag.Tensor([1, 2])  # integers have no gradient at any time
    optimizer = ag.optim.Adam(p for p in model.parameters() if p.dtype.kind == "f")
    assert model[0].requires_grad_(False) is model[0]
    before = model.state_dict()
    for _ in range(2):
        optimizer.zero_grad()
        np.sum(model(np.ones((3, 2)))).backward()
        optimizer.step()
    after = model.state_dict()
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"1.weight", "1.bias"}
    model.requires_grad_()
    np.sum(model(np.ones((3, 2)))).backward()
    assert model[0].weight.grad is not None


# ---------------------------------------------------------------------------- tied weights


def test_tied_weights_may_be_given_once_and_not_differently(rng):
    model, other = Tied(rng), Tied(rng)
    state = other.state_dict()
    names = [n for n, v in state.items() if v.shape == (4, 2)]
    assert names == ["table.weight", "out.weight"]
    for left_out in names:
        model.requires_grad_()
        once = {name: value for name, value in state.items() if name != left_out}
        model.load_state_dict({name: np.zeros_like(value) for name, value in state.items()})
        assert model.load_state_dict(once) == ([], [])
        assert np.array_equal(model.out.weight.numpy(), state["out.weight"])
    neither = {name: value for name, value in state.items() if name not in names}
    with pytest.raises(ValueError, match=r"missing: table\.weight, out\.weight"):
        model.load_state_dict(neither)
    before = model.state_dict()
    unlike = {**state, "out.weight": state["out.weight"] + 1}
    expected = r"out\.weight is the same as table\.weight here, and has other values"
    for strict in (True, False):
        with pytest.raises(ValueError, match=expected):
            model.load_state_dict(unlike, strict=strict)
    assert all(np.array_equal(before[name], value) for name, value in model.state_dict().items())
