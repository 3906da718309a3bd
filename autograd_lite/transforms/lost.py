"""What reading values out of tensors loses: a derivative, which is then said, not silently zero.

Values may be read, to print them or to choose a branch. Where nothing that a function returns was
recorded although values were read, the function is called once more, a little elsewhere: if it
returns something else there, it depends on its argument, by way of those values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autograd_lite.engine.recording import bare
from autograd_lite.transforms.trees import Tree, flatten, is_float

Read = tuple[str, str, int]  # how, and in which file and line


def check_not_read_out(caller: str, read: Read, value: Tree, elsewhere: Tree) -> None:
    """Raise TypeError if a function returns something else elsewhere, having read values out."""
    if not _same(flatten(value)[0], flatten(elsewhere)[0]):
        how, file, line = read
        raise TypeError(
            f"{caller}: what the function returns depends on its argument only through values read "
            f"by .{how} ({file}, line {line}), which have no derivative, so that it would be zero; "
            f"compute with the tensor itself, or with tensor.detach() where zero is meant"
        )


def moved(value: Any) -> Any:
    """Return an argument a little elsewhere; integers and others as they are."""
    if not is_float(value):
        return value
    array = np.asarray(bare(value))
    step = np.sqrt(np.finfo(array.dtype).eps) * np.linspace(1, 2, array.size).reshape(array.shape)
    return (array + step * (1 + np.abs(array))).astype(array.dtype)


def _same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    pairs = [(np.asarray(bare(a)), np.asarray(bare(b))) for a, b in zip(some, others)]
    return len(some) == len(others) and all(np.array_equal(*p, equal_nan=True) for p in pairs)
