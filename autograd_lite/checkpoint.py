"""Saving and loading: arrays in nested dictionaries and lists, never pickle.

A file is written beside its target, flushed to the disk and renamed over it, so that the target is
at every moment either the old file or the new one, whoever reads it meanwhile; of several that save
into one folder, one after the other does. A file carries a SHA-256 digest of all its bytes,
without which it is not read. Both formats hold the arrays under dotted names, readable by
``np.load`` and by any safetensors library, and the structure around them as JSON.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from autograd_lite.engine.arrays import ordinary
from autograd_lite.engine.recording import bare
from autograd_lite.engine.tensor import Tensor
from autograd_lite.nn.module import Module

__all__ = ["exists", "load", "save"]


def __dir__() -> list[str]:
    return __all__


if sys.platform != "win32":
    import fcntl

_ARRAY = "$array"  # {"$array": name} stands for an array in the JSON
_TREE, _DIGEST = "autograd_lite", "sha256"
_BLANK = "0" * 64


def save(path: str | os.PathLike[str], state: Any, *, keep_previous: bool = False) -> None:
    """Write a model, or arrays in nested dictionaries and lists, to a file.

    Parameters
    ----------
    path : path
        Its ending chooses the format: ``.npz``, or ``.safetensors`` (needs that package). A file
        that is written over keeps its permissions.
    state : Module, or dict or list
        Of arrays, tensors, modules, numbers, strings, booleans, None; keys are strings.
    keep_previous : bool
        Whether to keep a file that is there already, as ``NAME.previous.npz``.

    Raises
    ------
    TypeError
        For anything else in the state; nothing has been written then.
    OSError
        If writing fails; the old file is still there.

    Examples
    --------
    >>> ag.save("/tmp/weights.npz", {"w": np.arange(3.0), "step": 7})
    >>> ag.load("/tmp/weights.npz")
    {'w': array([0., 1., 2.]), 'step': 7}
    """
    target = Path(os.path.realpath(path))
    encode = _format(target)[0]
    arrays: dict[str, Any] = {}
    tree = json.dumps(_flattened(state, "", arrays))
    data = encode(arrays, tree)
    temporary = target.with_name(target.name + ".tmp")
    with _alone_in(target.parent):
        try:
            with open(temporary, "wb") as file:
                if target.exists():
                    shutil.copymode(target, temporary)  # before there is anything to read
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if keep_previous and target.exists():
                _keep(target)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _alone_in(path: Path) -> Iterator[None]:
    """Save into a folder when nobody else does, and see its renames to the disk."""
    if sys.platform == "win32":
        yield
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # network file systems may have no such locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
        os.fsync(folder)
    finally:
        with suppress(OSError):  # closing alone would not unlock, if a process forked meanwhile
            fcntl.flock(folder, fcntl.LOCK_UN)
        os.close(folder)


def _keep(target: Path) -> None:
    """Make a file the previous one, leaving it in place too."""
    spare = target.with_name(target.name + ".kept")
    spare.unlink(missing_ok=True)
    try:
        os.link(target, spare)
    except OSError:  # no hard links here
        shutil.copy(target, spare)
    os.replace(spare, _previous(target))


def load(path: str | os.PathLike[str]) -> Any:
    """Return what :func:`save` wrote, arrays in place of tensors and modules.

    Where the file is damaged or missing but the previous one was kept, that is returned, with a
    warning. A ``.safetensors`` file of another program gives its arrays by name, unverified; those
    of bfloat16, which NumPy lacks, as float32, exactly. Neither format can hold code: pickle is
    never reached.

    Parameters
    ----------
    path : path
        Ends in ``.npz`` or ``.safetensors``.

    Returns
    -------
    dict or list
        Of arrays, numbers and so on, nested as they were saved; tuples have become lists.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or in another format, such as that of ``np.savez``, or has arrays of
        a type that NumPy lacks.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> model, other = ag.nn.Linear(2, 1, rng=rng), ag.nn.Linear(2, 1, rng=rng)
    >>> ag.save("/tmp/model.npz", model)
    >>> other.load_state_dict(ag.load("/tmp/model.npz"))
    Mismatch(missing=[], unexpected=[])
    >>> bool(np.all(other.weight == model.weight))
    True
    """
    target = Path(os.path.realpath(path))
    decode = _format(target)[1]
    try:
        return _read(target, decode)
    except (ValueError, FileNotFoundError) as error:
        previous = _previous(target)
        if not previous.exists():
            raise
        state = _read(previous, decode)
        warnings.warn(
            f"{error}; loaded the previous one, {previous} (to start afresh, delete that too)",
            stacklevel=2,
        )
        return state


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether there is a file, or a previous one, to load.

    Parameters
    ----------
    path : path
        As for :func:`load`.

    Raises
    ------
    ValueError
        If it ends in neither ``.npz`` nor ``.safetensors``.

    Examples
    --------
    >>> ag.checkpoint.exists("/tmp/no_such_model.npz")
    False
    """
    target = Path(os.path.realpath(path))
    _format(target)
    return target.exists() or _previous(target).exists()


def _previous(path: Path) -> Path:
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def _read(path: Path, decode: Any) -> Any:
    data = path.read_bytes()
    try:
        arrays, tree = decode(data)
    except Exception as error:
        raise ValueError(f"{path} is damaged or was not written by ag.save: {error}") from error
    return dict(arrays) if tree is None else _rebuilt(json.loads(tree), arrays)


# ---------------------------------------------------------------------------- structure


def _flattened(value: Any, name: str, arrays: dict[str, Any]) -> Any:
    """Return the JSON of a state, its arrays entered under their dotted names."""
    if isinstance(value, Module):
        value = value.state_dict()
    if isinstance(value, (np.ndarray, np.generic, Tensor)):
        array = np.asarray(bare(ordinary(value, f"ag.save: {name or 'the array'}")))
        if array.dtype.kind not in "fiub":
            raise TypeError(f"ag.save: {name or 'the array'} has the dtype {array.dtype}")
        name = name or "array"
        while name in arrays or name in (f"{_TREE}.json", "__metadata__"):
            name += "'"
        # Both writers need rows in order (np.ascontiguousarray would make 0-d arrays 1-d).
        arrays[name] = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
        return {_ARRAY: name}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or key == _ARRAY:
                raise TypeError(f"ag.save: keys must be strings, got {key!r} in {name or 'state'}")
        return {k: _flattened(v, f"{name}.{k}".lstrip("."), arrays) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_flattened(v, f"{name}.{i}".lstrip("."), arrays) for i, v in enumerate(value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"ag.save: {name or 'the state'} is a {type(value).__name__}; only arrays, tensors, "
        f"modules, numbers, strings and None can be saved, in dictionaries and lists"
    )


def _rebuilt(tree: Any, arrays: Mapping[str, Any]) -> Any:
    if isinstance(tree, dict):
        if _ARRAY in tree:
            return arrays[tree[_ARRAY]]
        return {key: _rebuilt(value, arrays) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_rebuilt(value, arrays) for value in tree]
    return tree


# ---------------------------------------------------------------------------- formats


def _npz(arrays: Mapping[str, Any], tree: str) -> bytes:
    """Return a zip file of .npy files whose comment, its very end, is the digest."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        text = np.frombuffer(tree.encode(), np.uint8)
        for name, array in {**arrays, f"{_TREE}.json": text}.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
        archive.comment = _BLANK.encode()
    data = buffer.getvalue()[: -len(_BLANK)]
    return data + hashlib.sha256(data).hexdigest().encode()


def _from_npz(data: bytes) -> tuple[dict[str, Any], str]:
    if hashlib.sha256(data[: -len(_BLANK)]).hexdigest().encode() != data[-len(_BLANK) :]:
        if f"{_TREE}.json".encode() not in data and zipfile.ZipFile(io.BytesIO(data)).namelist():
            raise ValueError("it looks like a file of np.savez; read it with np.load")
        raise ValueError("its digest is not that of its content")
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return arrays, arrays.pop(f"{_TREE}.json").tobytes().decode()


def _safetensors(arrays: Mapping[str, Any], tree: str) -> bytes:
    """Return a safetensors file; its digest, in the metadata, is of the file with zeros there."""
    note = json.dumps({_DIGEST: _BLANK, "tree": tree})
    data: bytes = _library().numpy.save(dict(arrays), {_TREE: note})
    return data.replace(_field(_BLANK), _field(hashlib.sha256(data).hexdigest()), 1)


def _from_safetensors(data: bytes) -> tuple[dict[str, Any], str | None]:
    arrays = {name: _array(name, item) for name, item in _library().deserialize(data)}
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    metadata = header.get("__metadata__", {})
    # Any two of the three, for damage to one of them must not make the file another program's.
    marks = [(key == _TREE, _DIGEST in text, '"tree"' in text) for key, text in metadata.items()]
    if not any(sum(mark) > 1 for mark in marks):
        return arrays, None
    note = json.loads(metadata[_TREE])
    blank = data.replace(_field(note[_DIGEST]), _field(_BLANK), 1)
    if len(note[_DIGEST]) != 64 or hashlib.sha256(blank).hexdigest() != note[_DIGEST]:
        raise ValueError("its digest is not that of its content")
    return arrays, note["tree"]


def _array(name: str, item: Mapping[str, Any]) -> Any:
    """Return an array, given its bytes, shape, and safetensors' name of its type, such as F32."""
    dtype, shape, data = item["dtype"], item["shape"], item["data"]
    if dtype == "BF16":  # the upper halves of float32
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").reshape(shape)
    try:
        own = "?" if dtype == "BOOL" else f"<{dtype[0].lower()}{int(dtype[1:]) // 8}"
        return np.frombuffer(data, own).reshape(shape)
    except ValueError:
        raise ValueError(
            f"NumPy lacks the type {dtype} of its {name}; have the program that wrote it convert "
            f"it to float32"
        ) from None


def _field(digest: str) -> bytes:
    return f'{_DIGEST}\\": \\"{digest}'.encode()


def _library() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "ag.save and ag.load of .safetensors need the package safetensors: "
            "pip install autograd_lite[safetensors]"
        ) from error
    return safetensors


def _format(path: Path) -> tuple[Any, Any]:
    """Return the functions that encode and decode a file of this ending."""
    formats = {".npz": (_npz, _from_npz), ".safetensors": (_safetensors, _from_safetensors)}
    if path.suffix not in formats:
        raise ValueError(f"ag.save and ag.load: {path.name} must end in .npz or .safetensors")
    if path.suffix == ".safetensors":
        _library()
    return formats[path.suffix]
