from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import sparse

from autograd_lite.data import Batches, train_test_split


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_an_epoch_hands_out_everything_once_and_together(rng):
    x, y = np.arange(10.0), np.arange(10)
    data = Batches(x, y, batch_size=4, rng=rng)
    batches = list(data)
    assert [len(a) for a, _ in batches] == [4, 4, 2]
    assert all(np.array_equal(a, b) for a, b in batches)
    assert np.array_equal(np.sort(np.concatenate([a for a, _ in batches])), x)
    assert len(data) == 3


@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_may_be_written_to_if_their_array_may(rng, shuffle):
    x = np.arange(6.0).reshape(3, 2)
    data = Batches(x, batch_size=3, shuffle=shuffle, rng=rng)
    assert next(iter(data)).flags.writeable
    x.setflags(write=False)
    [batch] = data
    assert not batch.flags.writeable
    assert np.array_equal(np.sort(batch, axis=0), x)


def test_each_epoch_has_an_order_of_its_own(rng):
    data = Batches(np.arange(100), batch_size=100, rng=rng)
    first = next(iter(data))
    [again] = data
    [second] = data
    assert np.array_equal(first, again)  # the first loop was broken off
    assert not np.array_equal(first, second)


def test_without_shuffling_batches_are_in_order_and_need_no_generator():
    assert [b.tolist() for b in Batches(np.arange(5), batch_size=2, shuffle=False)] == [
        [0, 1],
        [2, 3],
        [4],
    ]
    dropped = Batches(np.arange(5), batch_size=2, shuffle=False, drop_last=True)
    assert [b.tolist() for b in dropped] == [[0, 1], [2, 3]]
    assert len(dropped) == 2


def test_sequences_of_items_and_pairs(rng):
    assert next(iter(Batches([[1, 2], [3, 4]], batch_size=2, shuffle=False))).tolist() == [
        [1, 2],
        [3, 4],
    ]

    class Squares:
        def __len__(self):
            return 5

        def __getitem__(self, i):
            return np.float32(i), i * i

    x, y = next(iter(Batches(Squares(), batch_size=5, rng=rng)))
    assert x.dtype == np.float32
    assert np.array_equal(x * x, y)


def test_what_is_indexed_by_label_is_taken_by_place(rng):
    class Column:
        """What pandas does: indexed by label, unless with iloc."""

        shape = (3,)
        iloc = None

        def __len__(self):
            return 3

        def __getitem__(self, labels):
            return np.array([30, 20, 10])[labels]

        def __array__(self, dtype=None, copy=None):
            return np.array([10, 20, 30])

    x, y = next(iter(Batches(np.array([1, 2, 3]), Column(), batch_size=3, rng=rng)))
    assert np.array_equal(10 * x, y)


@pytest.mark.parametrize("stop", [0, 1, 3, 4, 5, 7])
def test_resuming_goes_on_where_it_was(stop):
    def made():
        return Batches(np.arange(10), batch_size=3, rng=np.random.default_rng(3))

    def run(data, n):
        found = []
        while len(found) < n:
            for batch in data:
                found.append(batch.tolist())
                if len(found) == n:
                    break
        return found

    whole = run(made(), 12)
    data = made()
    found = run(data, stop)
    state = json.loads(json.dumps(data.state_dict()))
    other = Batches(np.arange(10), batch_size=3, rng=np.random.default_rng(99))
    other.load_state_dict(state)
    assert found + run(other, 12 - stop) == whole


def test_a_loop_that_another_has_followed_does_not_go_on(rng):
    message = r"Batches: this loop cannot go on, as another over the same Batches .* make Batches"

    def nested(data, whole):
        for number, _ in enumerate(data):
            assert number == 0
            for _ in data:
                if not whole:
                    break

    for whole in (True, False):
        data = Batches(np.arange(6), batch_size=2, rng=rng)
        with pytest.raises(RuntimeError, match=message):
            nested(data, whole)
        assert (data.epoch, data.position) == ((1, 0) if whole else (0, 1))
        assert sorted(np.concatenate(list(data)).tolist()) == [0, 1, 2, 3, 4, 5]
    data = Batches(np.arange(6), batch_size=2, shuffle=False)
    first, second = iter(data), iter(data)
    assert next(first).tolist() == next(second).tolist() == [0, 1]
    with pytest.raises(RuntimeError, match=message):
        next(first)
    assert next(second).tolist() == [2, 3]
    data.load_state_dict(data.state_dict())
    with pytest.raises(RuntimeError, match="load_state_dict"):
        next(second)
    assert [batch.tolist() for batch in data] == [[4, 5]]


def test_bad_arguments_are_named(rng):
    with pytest.raises(
        TypeError, match=r"Batches \(to shuffle\): rng must be a numpy\.random\.Generator"
    ):
        Batches(np.arange(3))
    with pytest.raises(ValueError, match="Batches: the lengths differ: 3, 2"):
        Batches(np.arange(3), np.arange(2), rng=rng)
    with pytest.raises(
        ValueError, match="Batches: batch_size must be an integer of at least 1, got 0"
    ):
        Batches(np.arange(3), batch_size=0, rng=rng)
    with pytest.raises(ValueError, match=r"batch_size must be an integer of at least 1, got 2\.0"):
        Batches(np.arange(3), batch_size=2.0, rng=rng)
    with pytest.raises(ValueError, match="Batches: 3 items make no batch of 4"):
        Batches(np.arange(3), batch_size=4, drop_last=True, rng=rng)
    with pytest.raises(TypeError, match="expected one or more arrays or sequences, and no dict"):
        Batches({"x": np.arange(3)}, rng=rng)
    with pytest.raises(TypeError, match="expected one or more arrays or sequences, and no dict"):
        Batches(rng=rng)
    state = Batches(np.arange(3), rng=rng).state_dict()
    with pytest.raises(ValueError, match="the state was saved with length=3, but here it is 4"):
        Batches(np.arange(4), rng=rng).load_state_dict(state)


def test_train_test_split(rng):
    x, y = np.arange(100), np.repeat([0, 1], [90, 10])
    a, b, c, d = train_test_split(x, y, test_size=0.2, rng=rng)
    assert (len(a), len(b)) == (80, 20)
    assert np.array_equal(np.sort(np.concatenate([a, b])), x)
    assert np.array_equal(y[a], c)
    assert np.array_equal(y[b], d)
    _, _, _, d = train_test_split(x, y, test_size=0.2, rng=rng, stratify=y)
    assert np.sum(d) == 2
    _, _, _, d = train_test_split(x, y, test_size=15, rng=rng, stratify=y)
    assert len(d) == 15
    assert np.sum(d) in (1, 2)
    with pytest.raises(ValueError, match=r"test_size=1\.0 of 100 items leaves a part empty"):
        train_test_split(x, test_size=1.0, rng=rng)
    for size in (None, "a", 0, -0.5):
        with pytest.raises(ValueError, match=f"test_size must be positive, got {size!r}"):
            train_test_split(x, test_size=size, rng=rng)
    assert len(train_test_split(x, test_size=np.int64(7), rng=rng)[1]) == 7
    with pytest.raises(ValueError, match=r"expected arrays of one length, got \[100, 3\]"):
        train_test_split(x, y[:3], test_size=0.5, rng=rng)
    with pytest.raises(ValueError, match=r"stratify needs shape \(100,\), got \(3,\)"):
        train_test_split(x, test_size=0.5, rng=rng, stratify=y[:3])


# ---------------------------------------------------------------------------- what kinds of sources


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("shuffle", [True, False])
def test_what_is_written_into_a_batch_stays_out_of_the_data(rng, shuffle, mapped, tmp_path):
    x = np.arange(6.0).reshape(3, 2)
    if mapped:
        x = np.memmap(tmp_path / "x", float, "w+", shape=(3, 2))
        x[...] = np.arange(6.0).reshape(3, 2)
    y = np.arange(3)
    for rows, labels in Batches(x, y, batch_size=2, shuffle=shuffle, rng=rng):
        rows += 100
        labels[...] = -1
    assert np.array_equal(x, np.arange(6.0).reshape(3, 2))
    assert np.array_equal(y, [0, 1, 2])


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ((i for i in range(3)), "generator"),
        (map(abs, [1, 2]), "map"),
        ({1, 2, 3}, "set"),
        ({1: 2}.values(), "dict_values"),
        (3, "int"),
        (np.array(3.0), "ndarray"),
        (sparse.csr_array(np.eye(3)), "csr_array"),
        (sparse.coo_matrix(np.eye(3)), "coo_matrix"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_has_no_items_by_place_is_named(source, kind, rng):
    expected = rf"Batches: cannot take items by their place from {kind}; give arrays or sequences"
    for arrays in ([source], [np.arange(3), source]):
        with pytest.raises(TypeError, match=expected):
            Batches(*arrays, rng=rng)


@pytest.mark.parametrize("shuffle", [True, False])
def test_ragged_items_are_named(shuffle, rng):
    rows = [[1.0, 2.0], [3.0], [4.0, 5.0]]
    for source in (rows, [(np.array(row), i) for i, row in enumerate(rows)]):
        with pytest.raises(ValueError, match=r"items of a batch differ .* \(1,\) and \(2,\)"):
            next(iter(Batches(source, shuffle=shuffle, rng=rng)))


class Rising:
    """A source that, like a data set of h5py, takes rising indices alone."""

    def __init__(self, values):
        self.values = values
        self.shape, self.dtype = values.shape, values.dtype

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        if not isinstance(index, slice) and not np.all(np.diff(index) > 0):
            raise TypeError("Indexing elements must be in increasing order")
        return self.values[index]


def test_a_source_that_demands_rising_indices_is_shuffled_all_the_same():
    x = np.arange(50.0).reshape(25, 2)
    for size in (1, 4, 25):
        for shuffle in (True, False):
            plain, rising = (
                Batches(source, x, batch_size=size, shuffle=shuffle, rng=np.random.default_rng(3))
                for source in (x, Rising(x))
            )
            for (a, _), (b, same) in zip(plain, rising, strict=True):
                assert np.array_equal(a, b)
                assert np.array_equal(b, same)
