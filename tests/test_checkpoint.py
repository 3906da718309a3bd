from __future__ import annotations

import io
import itertools
import json
import multiprocessing
import os
import pickle
import sys
import time
import zipfile

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite import checkpoint, nn

FORMATS = [".npz", ".safetensors"]


@pytest.fixture(params=FORMATS)
def path(request, tmp_path):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    return tmp_path / f"state{request.param}"


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return type(a) is type(b) and (a == b or a != a)


STATE = {
    "weights": {"0.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "0.bias": np.zeros(0)},
    "bytes": np.arange(5, dtype=np.uint8),
    "mask": np.array([True, False]),
    "scalar": np.array(3.5),
    "numbers": [1, 2.5, float("nan"), float("inf"), 2**127, "text", None, True],
    "nested": [{"a": np.int64([[1], [2]])}, {}],
    "half": np.array([1.5], np.float16),
}


def test_round_trip(path):
    ag.save(path, STATE)
    assert same(ag.load(path), STATE)


def test_a_model_becomes_its_state_dictionary(path):
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(3, 2, rng=rng), nn.BatchNorm1d(2))
    ag.save(path, model)
    other = nn.Sequential(nn.Linear(3, 2, rng=rng), nn.BatchNorm1d(2))
    other.load_state_dict(ag.load(path))
    assert same(other.state_dict(), model.state_dict())
    ag.save(path, {"model": model, "tensor": model[0].weight, "one": np.float32(2)})
    loaded = ag.load(path)
    assert same(loaded["model"], model.state_dict())
    assert same(loaded["tensor"], model[0].weight.detach().numpy())
    assert same(loaded["one"], np.array(2, np.float32))


def test_arrays_that_are_not_contiguous_keep_their_values(path):
    a = np.arange(24.0).reshape(2, 3, 4)
    state = {"t": a.T, "s": a[:, ::2, ::-1], "f": np.asfortranarray(a), "big": a.astype(">f8")}
    ag.save(path, state)
    loaded = ag.load(path)
    assert all(np.array_equal(loaded[name], value) for name, value in state.items())


def test_names_that_collide_keep_their_values(path):
    state = {"a.b": np.zeros(1), "a": {"b": np.ones(1)}, "autograd_lite.json": np.full(1, 2.0)}
    ag.save(path, state)
    assert same(ag.load(path), state)


def test_the_same_state_gives_the_same_bytes(path):
    ag.save(path, STATE)
    first = path.read_bytes()
    ag.save(path, STATE)
    assert path.read_bytes() == first


def test_npz_is_readable_by_numpy(tmp_path):
    ag.save(tmp_path / "a.npz", {"w": np.arange(3), "n": 1})
    with np.load(tmp_path / "a.npz") as archive:
        assert np.array_equal(archive["w"], np.arange(3))


def test_what_cannot_be_saved_is_named_before_anything_is_written(path):
    ag.save(path, {"w": np.ones(1)})
    before = path.read_bytes()
    for state, message in [
        ({"a": {"b": np.array([{}])}}, r"ag\.save: a\.b has the dtype object"),
        ({"a": [1, {1, 2}]}, r"ag\.save: a\.1 is a set; only arrays, tensors, modules"),
        ({1: 2}, r"ag\.save: keys must be strings, got 1 in state"),
        ({"c": np.array(1j)}, r"ag\.save: c has the dtype complex128"),
        ({"m": np.ma.array([1, 2], mask=[0, 1])}, r"ag\.save: m: the mask of a masked array would"),
    ]:
        with pytest.raises(TypeError, match=message):
            ag.save(path, state)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_other_endings_and_missing_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"model\.pt must end in \.npz or \.safetensors"):
        ag.save(tmp_path / "model.pt", {})
    with pytest.raises(FileNotFoundError):
        ag.load(tmp_path / "none.npz")
    with pytest.raises(OSError, match="No such file"):
        ag.save(tmp_path / "none" / "a.npz", {})


def flips(path, count):
    """Return how many of some random single-bit changes of a file are refused."""
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for bit in rng.choice(8 * len(data), size=count, replace=count > 8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            ag.load(path)
        except ValueError as error:
            refused += "is damaged or was not written by ag.save" in str(error)
    return refused


def test_flipped_bits_are_refused(path):
    ag.save(path, STATE)
    assert flips(path, 100) == 100


@pytest.mark.slow
def test_a_thousand_flipped_bits_are_refused(path):
    ag.save(path, {"w": np.random.default_rng(0).normal(size=30), "step": 3})
    assert flips(path, 1000) == 1000


def test_truncated_and_foreign_files_are_refused(path):
    ag.save(path, STATE)
    data = path.read_bytes()
    for n in (0, 1, 10, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:n])
        with pytest.raises(ValueError, match="is damaged"):
            ag.load(path)


class Bomb:
    def __reduce__(self):
        return os.abort, ()


def test_load_never_reaches_pickle(tmp_path, monkeypatch):
    reached = []

    def refuse(*args, **kwargs):
        reached.append(args)
        raise AssertionError("pickle was reached")

    signed = tmp_path / "signed.npz"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        with archive.open("x.npy", "w") as file:
            np.lib.format.write_array(file, np.array([Bomb()]), allow_pickle=True)
        archive.comment = b"0" * 64
    data = buffer.getvalue()[:-64]
    import hashlib

    signed.write_bytes(data + hashlib.sha256(data).hexdigest().encode())
    bare = tmp_path / "bare.npz"
    bare.write_bytes(pickle.dumps(Bomb()))
    plain = tmp_path / "plain.npz"
    np.savez(plain, x=np.array([Bomb()]))
    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(pickle, "Unpickler", refuse)
    for file in (signed, bare, plain):
        with pytest.raises(ValueError, match="is damaged or was not written by"):
            ag.load(file)
    assert not reached


def test_the_previous_file_takes_over_and_says_so(path):
    ag.save(path, {"n": 1}, keep_previous=True)
    ag.save(path, {"n": 2}, keep_previous=True)
    assert ag.load(path) == {"n": 2}
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.warns(
        UserWarning, match="is damaged .* loaded the previous one, .*previous.* delete"
    ):
        assert ag.load(path) == {"n": 1}
    path.unlink()
    assert checkpoint.exists(path)
    with pytest.warns(UserWarning, match="No such file .* loaded the previous one"):
        assert ag.load(path) == {"n": 1}


def test_the_file_is_there_at_every_moment_with_and_without_links(path, monkeypatch):
    ag.save(path, {"n": 1}, keep_previous=True)
    replace, seen = os.replace, []

    def watched(source, target):
        replace(source, target)
        seen.append(path.exists())

    monkeypatch.setattr(os, "replace", watched)
    ag.save(path, {"n": 2}, keep_previous=True)
    assert seen == [True, True]

    def refuse(source, target):
        raise OSError("no hard links")

    monkeypatch.setattr(os, "link", refuse)
    ag.save(path, {"n": 3}, keep_previous=True)
    assert seen[2:] == [True, True]
    path.unlink()
    with pytest.warns(UserWarning, match="loaded the previous one"):
        assert ag.load(path) == {"n": 2}


def save_again_and_again(path, number, links):
    """Save until killed; without hard links, if so wanted."""
    if not links:

        def refuse(source, target):
            raise OSError("no hard links")

        os.link = refuse
    for i in itertools.count():
        ag.save(path, {"from": number, "i": i, "w": np.full(300, i)}, keep_previous=True)


def load_beside_savers(path, *, times, savers, links):
    """Load while processes save to the same file, until both have been done so often."""
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=save_again_and_again, args=(path, number, links))
        for number in range(savers)
    ]
    for process in processes:
        process.start()
    try:
        while not path.exists():
            time.sleep(0.01)
        loads, saves = 0, [-1] * savers
        while loads < times or sum(saves) < times or min(saves) < 2:
            state = ag.load(path)  # a fall back to the previous one would warn: an error
            assert (state["w"] == state["i"]).all()
            assert state["i"] >= saves[state["from"]]
            saves[state["from"]] = state["i"]
            loads += 1
            assert all(process.is_alive() for process in processes)
    finally:
        for process in processes:
            process.kill()
            process.join()


def test_a_file_that_two_replace_can_be_loaded(tmp_path):
    load_beside_savers(tmp_path / "a.npz", times=20, savers=2, links=False)


@pytest.mark.slow
@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_is_being_replaced_can_be_loaded_for_long(path, links):
    load_beside_savers(path, times=300, savers=3, links=links)


def test_a_failing_write_leaves_the_old_file(path, monkeypatch):
    ag.save(path, {"n": 1})

    def full(descriptor):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        ag.save(path, {"n": 2})
    monkeypatch.undo()
    assert os.listdir(path.parent) == [path.name]
    assert ag.load(path) == {"n": 1}


@pytest.mark.peer
def test_weights_exchange_with_torch(tmp_path):
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("safetensors.torch")
    rng = np.random.default_rng(0)
    ours = nn.Sequential(
        nn.Conv2d(1, 4, 3, rng=rng), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(36, 8, rng=rng), nn.BatchNorm1d(8), nn.GELU(), nn.LayerNorm(8),
        nn.Linear(8, 3, rng=rng),
    )  # fmt: skip
    T = torch.nn
    theirs = T.Sequential(
        T.Conv2d(1, 4, 3), T.ReLU(), T.MaxPool2d(2), T.Flatten(),
        T.Linear(36, 8), T.BatchNorm1d(8), T.GELU(), T.LayerNorm(8), T.Linear(8, 3),
    )  # fmt: skip
    x = rng.normal(size=(5, 1, 8, 8)).astype(np.float32)
    ours(x)  # moves the running statistics
    theirs(torch.tensor(x * 2))
    ours.eval()
    theirs.eval()

    def agree():
        with torch.no_grad():
            wanted = theirs(torch.tensor(x)).numpy()
        return np.allclose(ours(x).detach().numpy(), wanted, atol=1e-6)

    assert not agree()
    library.save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    before = ours.state_dict()
    ours.load_state_dict(ag.load(tmp_path / "theirs.safetensors"))
    assert agree()
    ours.load_state_dict(before)
    assert not agree()
    ag.save(tmp_path / "ours.safetensors", ours)
    theirs.load_state_dict(library.load_file(tmp_path / "ours.safetensors"))
    assert agree()


def test_other_programs_digests_are_no_matter(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    theirs = {"w": np.arange(3.0)}
    library.save_file(theirs, tmp_path / "theirs.safetensors", {"modelspec.hash_sha256": "0" * 64})
    np.testing.assert_array_equal(ag.load(tmp_path / "theirs.safetensors")["w"], theirs["w"])


def foreign(path, dtype, data):
    """Write a safetensors file by hand, with two elements of a type that NumPy may lack."""
    header = {"w": {"dtype": dtype, "shape": [2], "data_offsets": [0, len(data)]}}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_bfloat16_of_other_programs_becomes_float32(tmp_path):
    pytest.importorskip("safetensors")
    values = np.array([-1.5, 2.0**100], np.float32)  # exact in bfloat16
    foreign(
        tmp_path / "a.safetensors", "BF16", (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    )
    loaded = ag.load(tmp_path / "a.safetensors")["w"]
    assert loaded.dtype == np.float32
    assert np.array_equal(loaded, values)
    loaded[0] = 1  # may be written to


def test_a_type_that_numpy_lacks_is_named(tmp_path):
    pytest.importorskip("safetensors")
    foreign(tmp_path / "a.safetensors", "F8_E4M3", b"12")
    message = "NumPy lacks the type F8_E4M3 of its w; have the program that wrote it convert it"
    with pytest.raises(ValueError, match=message):
        ag.load(tmp_path / "a.safetensors")


# ---------------------------------------------------------------------------- files of others


@pytest.mark.parametrize(
    ("names", "metadata"),
    [
        (["autograd_lite"], None),
        (["autograd_lite.weight", "sha256"], {"format": "np"}),
        (["w"], {"format": "np", "made_by": "a script with autograd_lite"}),
        (["w"], {"autograd_lite": "1.0"}),
        (["w"], {"sha256": "0" * 64, "tree": "none"}),
        (["w"], {"note": json.dumps({"sha256": "0" * 64})}),
        (["tree"], {"autograd_lite": "", "sha256": "abc"}),
    ],
)
def test_names_of_other_programs_that_are_like_ours_are_no_matter(names, metadata, tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    theirs = {name: np.arange(3.0) + i for i, name in enumerate(names)}
    library.save_file(theirs, tmp_path / "theirs.safetensors", metadata)
    loaded = ag.load(tmp_path / "theirs.safetensors")
    assert same(loaded, theirs)
    ag.save(tmp_path / "ours.safetensors", {**theirs, "tree": "sha256"})
    assert same(ag.load(tmp_path / "ours.safetensors"), {**theirs, "tree": "sha256"})


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_file_of_savez_is_told_to_be_read_by_numpy(save, tmp_path):
    save(tmp_path / "theirs.npz", w=np.arange(3.0))
    message = r"theirs\.npz .* was not written by ag\.save: .* np\.savez; read it with np\.load"
    with pytest.raises(ValueError, match=message):
        ag.load(tmp_path / "theirs.npz")


@pytest.mark.skipif(sys.platform == "win32", reason="has no such permissions")
@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_a_file_keeps_its_permissions(path, mode, links, monkeypatch):
    if not links:

        def refuse(*args):
            raise OSError("no hard links here")

        monkeypatch.setattr(os, "link", refuse)
    ag.save(path, {"w": np.zeros(3)})
    path.chmod(mode)
    opened = []
    monkeypatch.setattr(os, "fsync", lambda file: opened.append(os.stat(file).st_mode & 0o777))
    for _ in range(2):
        ag.save(path, STATE, keep_previous=True)
        previous = path.with_name(f"state.previous{path.suffix}")
        assert path.stat().st_mode & 0o777 == previous.stat().st_mode & 0o777 == mode
    assert mode in opened  # while it was being written
