"""Samples: a call of a function of the table, from which its derivative tests are generated.

Ufuncs need none: theirs come from arity, domain and shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from autograd_lite.engine.names import name_of

_rng = np.random.default_rng(20)


class Sample:
    """One call ``function(*args, **kwargs)`` to test the derivative of.

    The float arrays among the arguments, also inside lists and tuples, are differentiated;
    everything else is passed on as it is.

    Parameters
    ----------
    function : callable
        A function of the table.
    *args, **kwargs
        Its arguments. One that is called ``linear``, ``analytic`` or ``order`` goes by position.
    linear : bool
        Whether the function is linear in all its arrays jointly; its transpose is then tested
        bit by bit on small integers.
    analytic : bool
        Whether the NumPy function takes complex arrays, so that the complex step applies.
    order : int
        The order up to which derivatives are tested; below 2 only with a comment saying why.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *args: Any,
        linear: bool = False,
        analytic: bool = False,
        order: int = 2,
        **kwargs: Any,
    ) -> None:
        if not isinstance(order, int):
            raise TypeError(f"Sample: pass the order {order!r} of {function.__name__} by position")
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.linear = linear
        self.analytic = analytic
        self.order = order
        self.numeric: dict[int, Any] = {}  # slopes in each array that a check has computed

    @property
    def arrays(self) -> list[np.ndarray]:
        """The arrays that are differentiated, in order."""
        return list(_float_arrays((*self.args, *self.kwargs.values())))

    def __call__(self, *arrays: Any) -> Any:
        """Return the function's result with other arrays (or tensors) in place of its own."""
        others = iter(arrays)
        args = _replaced(self.args, others)
        kwargs = {name: _replaced(value, others) for name, value in self.kwargs.items()}
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        parts = [_brief(a) for a in self.args]
        parts += [f"{name}={_brief(value)}" for name, value in self.kwargs.items()]
        return f"{name_of(self.function)}({', '.join(parts)})"


def _is_float_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _float_arrays(value: Any) -> Iterator[np.ndarray]:
    if _is_float_array(value):
        yield value
    elif type(value) in (list, tuple):
        for item in value:
            yield from _float_arrays(item)


def _replaced(value: Any, others: Iterator[Any]) -> Any:
    if _is_float_array(value):
        return next(others)
    if type(value) in (list, tuple):
        return type(value)([_replaced(item, others) for item in value])
    return value


def _brief(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    if type(value) in (list, tuple):
        left, right = "[]" if type(value) is list else "()"
        return f"{left}{', '.join(map(_brief, value))}{right}"
    return repr(value)


def since(version: str) -> bool:
    """Whether NumPy is of this version (major and minor) or newer."""
    return tuple(map(int, np.__version__.split(".")[:2])) >= tuple(map(int, version.split(".")))


# ---------------------------------------------------------------------------- arguments


def normal(*shape: int) -> np.ndarray:
    """Return normally distributed numbers."""
    return np.asarray(_rng.standard_normal(shape))


def positive(*shape: int) -> np.ndarray:
    """Return numbers between 0.2 and 2."""
    return np.asarray(_rng.uniform(0.2, 2, shape))


def distinct(*shape: int) -> np.ndarray:
    """Return numbers of both signs, in no order, free of near ties.

    They are 0.18 apart, their absolute values 0.08, and the least of these is 0.04. They lie off a
    regular grid, so that sums of them do not tie either.
    """
    size = int(np.prod(shape))
    grid = (_rng.permutation(size) - size // 2 + 0.25) * 0.2
    return np.asarray(grid + _rng.uniform(-0.01, 0.01, size)).reshape(shape)


def well_conditioned(*shape: int) -> np.ndarray:
    """Return square matrices with well separated eigenvalues: ``(n,)`` or ``(batch..., n)``."""
    *batch, n = shape
    return _rng.uniform(-0.3, 0.3, (*batch, n, n)) + np.diag(np.arange(1.0, n + 1))
