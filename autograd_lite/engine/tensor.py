"""The tensor: a NumPy array that records what NumPy does to it.

A call reaches the table of rules in one of three ways (an operator or method, a ufunc through
``__array_ufunc__``, any other NumPy function through ``__array_function__``), all of which end in
:func:`call`. What the table does not know is refused by name: nothing is ever detached silently.
"""

from __future__ import annotations

import operator
import sys
import threading
from collections.abc import Callable
from types import NoneType
from typing import Any, Union

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from autograd_lite.engine import recording
from autograd_lite.engine.arrays import MASKED, copied, in_kind, is_foreign, ordinary
from autograd_lite.engine.changes import hand_out, is_own, move, was_written_to
from autograd_lite.engine.cotangents import cotangent_for, keep_out, of_leaf, retired, unshared
from autograd_lite.engine.methods import ArrayMethods
from autograd_lite.engine.modes import is_recording, mode, reads
from autograd_lite.engine.names import derivative_lost, name_of, outermost_function
from autograd_lite.engine.nodes import Leaf, note_of
from autograd_lite.engine.places import user_line, warn
from autograd_lite.engine.recording import Recorded, as_tensors, bare, call, known, node_of, wrap
from autograd_lite.engine.signatures import REQUIRED, is_default
from autograd_lite.engine.table import TABLE, Constant
from autograd_lite.engine.tape import pullback

_UFUNC_OPTIONS = {"where": True, "casting": "same_kind", "order": "K", "dtype": None, "subok": True}
_storing_gradients = threading.Lock()


class Tensor(Recorded, ArrayMethods):
    """A NumPy array that records the functions applied to it.

    Parameters
    ----------
    data : array_like
        The values; copied.
    requires_grad : bool
        Whether gradients with respect to this tensor are wanted. Needs a floating-point dtype.
    dtype : dtype, optional
        By default that of ``data``.
    name : str, optional
        A name for messages and graphs.

    Raises
    ------
    TypeError
        If ``data`` is complex or not numeric, or not floating-point with ``requires_grad``.

    Examples
    --------
    >>> import numpy as np, autograd_lite as ag
    >>> w = ag.Tensor([1.0, 2.0], requires_grad=True)
    >>> np.sum(w * w * w).backward()
    >>> w.grad
    array([ 3., 12.])
    """

    __pandas_priority__ = 5000  # pandas leaves operators to what is above its data frames, 4000
    __slots__ = ("_switched_off",)  # the leaf until requires_grad is switched on again
    _apply = staticmethod(call)

    def __init__(
        self,
        data: ArrayLike | Tensor,
        requires_grad: bool = False,
        *,
        dtype: DTypeLike | None = None,
        name: str | None = None,
    ) -> None:
        if isinstance(data, Tensor):
            if data._node is not None:
                raise TypeError(
                    "Tensor(...) of a tensor that requires a gradient would lose its derivative; "
                    "use tensor.detach() if that is meant"
                )
            data = data._values
        self._values = copied(ordinary(data, "Tensor"), dtype)
        kind = self._values.dtype.kind
        if kind == "c":
            raise TypeError("Tensor: complex data is not supported; use its real and imag parts")
        if kind not in "fiub":
            raise TypeError(f"Tensor: data must be numeric, not {self._values.dtype}")
        self._node = None
        self._name = name
        if requires_grad:
            self._track(exposed=False)
        else:
            self._freeze()

    # ------------------------------------------------------------------------ attributes

    @property
    def data(self) -> NDArray[Any]:
        """The values, as an array.

        Those of a leaf may be written to, or replaced by values of the same shape; those of a
        recorded result are read-only, and those of a view of another tensor may be.
        """
        if reads.get() is not None:
            self._note_read("data")
        return self._shared()  # type: ignore[no-any-return]

    @data.setter
    def data(self, values: ArrayLike) -> None:
        if not self.is_leaf:
            raise ValueError(
                "Tensor.data: the values of a recorded result cannot be replaced; "
                "compute a new tensor, or detach() this one first"
            )
        given = in_kind(ordinary(bare(values), "Tensor.data"), self._values)
        if given.dtype.kind not in "fiub":
            raise TypeError(f"Tensor.data: expected real numbers, got {given.dtype}")
        with np.errstate(invalid="ignore"):
            new = given if given.dtype == self.dtype else given.astype(self.dtype)
        if self.dtype.kind != "f" and (new != given).any():
            raise TypeError(
                f"Tensor.data: the values are not those of {self.dtype}, the dtype that the tensor "
                f"keeps; round them, or make a new Tensor"
            )
        keep_out(new, self._values, "Tensor.data")
        if new.shape != self.shape:
            raise ValueError(
                f"Tensor.data: expected values of shape {self.shape}, got {new.shape}; "
                f"make a new Tensor for another shape"
            )
        if new is not self._values:
            self._values = copied(new, self.dtype)
            if isinstance(self._node, Leaf):
                move(self._node)
                self._node.value = self._values
                self._node.exposed = False
                self._node.content = None

    def _shared(self) -> Any:
        """Return the values as others may have them: see :attr:`data`."""
        node = self._node
        if node is None:
            self._thaw()
        elif not isinstance(node, Leaf):
            self._freeze()
        else:
            if not node.exposed:
                # What graphs hold of a leaf stays theirs; from now on it is checked for changes.
                self._values = node.value = self._values.copy()
                node.exposed = True
            hand_out(node)
        return self._values

    def _thaw(self) -> None:
        """Let others write to the values; graphs that read them so far keep those they read."""
        if is_own(self._values):
            self._values = self._values.copy()

    def _freeze(self) -> None:
        """Let nobody write to the values: see the module ``changes``."""
        if isinstance(self._values, np.ndarray):
            self._values.setflags(write=False)

    @property
    def name(self) -> str | None:
        """The name in messages and graphs."""
        return self._name

    @name.setter
    def name(self, name: str | None) -> None:
        self._name = name
        if isinstance(self._node, Leaf):
            self._node.name = name
        elif self._node is not None:
            note_of(self._node).name = name

    @property
    def grad(self) -> Gradient:
        """The gradient that :meth:`backward` stored: an array of the tensor's own.

        A tensor under ``create_graph=True``; None before the first backward, and for results, of
        which a UserWarning says so.
        """
        node = self._node
        if isinstance(node, Leaf):
            return node.grad
        if node is not None:
            several = isinstance(node.parents[0].dtype, tuple)
            plan = node.parents[0].plan if several else node.plan
            assert plan is not None
            warn(
                f"Tensor.grad of a result (of {plan.primitive.name}) is always None: backward "
                f"stores the gradients of leaves alone; update a leaf W by "
                f"`W.data -= rate * W.grad` or an optimiser, so that it stays one; "
                f"ag.graph(loss, grads=True) shows the gradients of results"
            )
        return None

    @grad.setter
    def grad(self, gradient: Any) -> None:
        node = self._node
        if not isinstance(node, Leaf):
            if gradient is not None:
                raise ValueError("Tensor.grad: only a leaf with requires_grad=True has a gradient")
            if hasattr(self, "_switched_off"):
                self._switched_off.grad = None
            return
        if gradient is None:
            node.grad = None
            return
        if not isinstance(gradient, Tensor):
            gradient = in_kind(ordinary(gradient, "Tensor.grad"), self._values)
            if gradient.dtype.kind not in "fiub":
                raise TypeError(f"Tensor.grad: expected real numbers, got {gradient.dtype}")
            gradient = copied(gradient, self.dtype)
        elif gradient.is_leaf or gradient.dtype != self.dtype:
            gradient = gradient.astype(self.dtype)  # a copy: who holds a leaf may write to it
        if gradient.shape != self.shape:
            raise ValueError(f"Tensor.grad: expected shape {self.shape}, got {gradient.shape}")
        node.grad = gradient

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to or through this tensor.

        Of a leaf, it can be switched. While it is off, ``.grad`` is None, and what was computed
        from the leaf before refuses to be differentiated: its gradient would have no place. When it
        is on again, both are as before.
        """
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if bool(wanted) == self.requires_grad:
            return
        if not self.is_leaf:
            raise ValueError(
                "Tensor.requires_grad: a recorded result always requires a gradient; "
                "use tensor.detach() for one that does not"
            )
        if wanted:
            exposed = not is_own(self._values)
            self._thaw()
            self._track(exposed)
        else:
            leaf = self._node
            assert isinstance(leaf, Leaf)
            if not leaf.exposed:
                self._freeze()  # what graphs hold of it stays theirs
            else:
                hand_out(leaf)  # may be written to meanwhile
            leaf.retired = True
            self._switched_off = leaf
            self._node = None

    def _track(self, exposed: bool) -> None:
        """Give the tensor the node of a leaf; ``exposed`` if others may write to its values."""
        if self.dtype.kind != "f":
            raise TypeError(
                f"Tensor: requires_grad needs floating-point data, not {self.dtype}; "
                f"pass dtype=float"
            )
        leaf = getattr(self, "_switched_off", None) or Leaf(self._values, self.name)
        if was_written_to(leaf, self._values):
            move(leaf)  # while requires_grad was off
        leaf.value, leaf.name, leaf.exposed, leaf.retired = self._values, self.name, exposed, False
        self._node = leaf

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded call produced this tensor."""
        return self._node is None or isinstance(self._node, Leaf)

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self._values.shape  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._values.ndim  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._values.size  # type: ignore[no-any-return]

    @property
    def nbytes(self) -> int:
        """The number of bytes that the elements take."""
        return self.size * self.dtype.itemsize

    @property
    def dtype(self) -> np.dtype[Any]:
        """The data type of the elements."""
        return self._values.dtype  # type: ignore[no-any-return]

    # ------------------------------------------------------------------------ gradients

    def backward(
        self, gradient: ArrayLike | Tensor | None = None, *, create_graph: bool = False
    ) -> None:
        """Add the gradient of this tensor to the ``.grad`` of every leaf it depends on.

        Parameters
        ----------
        gradient : array_like or Tensor, optional
            The cotangent of this tensor: its shape. May be left out for a single number.
        create_graph : bool
            Record the computation of the gradients too, so that they can be differentiated; each
            ``.grad`` is then a tensor.

        Raises
        ------
        ValueError
            If no gradient is required here, or ``gradient`` is missing or has the wrong shape;
            with ``create_graph=True`` under ``no_grad``.
        RuntimeError
            If an array that a rule needs was changed since it was read, or a leaf's requires_grad
            is switched off.

        Notes
        -----
        The graph stays as long as a tensor of it does: backward may be called again, and adds up.
        When it raises, no ``.grad`` has changed.

        Examples
        --------
        >>> x = ag.Tensor(3.0, requires_grad=True)
        >>> (x * x).backward()
        >>> x.grad
        array(6.)
        """
        __tracebackhide__ = True
        if create_graph and not is_recording():
            raise ValueError(
                "Tensor.backward: create_graph=True records the gradients, and under no_grad "
                "nothing is recorded; call backward outside it"
            )
        if self._node is None:
            raise ValueError(
                "Tensor.backward: this tensor does not depend on any tensor with "
                "requires_grad=True, or was computed under no_grad"
            )
        g = cotangent_for(self, gradient, "Tensor.backward")
        if create_graph:
            g = g if isinstance(g, Tensor) else wrap(g, None)
            found = pullback(self._node, g, see=as_tensors)
        else:
            found = pullback(self._node, bare(g))
        with _storing_gradients:
            leaf: Any
            for leaf in found:  # all before any is stored: one may raise
                if leaf.retired:
                    raise retired(leaf)
                if found[leaf].__class__ is not np.ndarray:
                    keep_out(found[leaf], leaf.value, "Tensor.backward")
                if leaf.grad is not None:
                    found[leaf] = of_leaf(leaf.grad + found[leaf], leaf.dtype, leaf.value)
                elif not create_graph:
                    found[leaf] = unshared(found, leaf, leaf.value)
            for leaf, total in found.items():
                leaf.grad = total

    def zero_grad(self) -> None:
        """Forget the gradient: ``.grad`` becomes None."""
        if self.is_leaf:
            self.grad = None

    def detach(self) -> Tensor:
        """Return a tensor of the same values (not copied) that gradients do not reach."""
        return wrap(self._shared(), None)  # type: ignore[no-any-return]

    def numpy(self) -> NDArray[Any]:
        """Return the values as an array, not copied; the same as ``data``."""
        self._note_read("numpy()")
        return self._shared()  # type: ignore[no-any-return]

    def item(self, *place: Any) -> Any:
        """Return the single value of a one-element tensor, or that at a place, as a number."""
        self._note_read("item()")
        return self._values.item(*place)

    def tolist(self) -> Any:
        """Return the values as nested lists of Python numbers."""
        self._note_read("tolist()")
        return self._values.tolist()

    def _note_read(self, how: str) -> None:
        """Note that values leave a tensor whose derivative a transform is computing."""
        if self._node is not None and (seen := reads.get()) is not None:
            seen.append((how, *user_line()))

    # ------------------------------------------------------------------------ NumPy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if kwargs:
            usual = _UFUNC_OPTIONS
            kwargs = {k: v for k, v in kwargs.items() if not is_default(v, usual.get(k, REQUIRED))}
        if method == "__call__" and not kwargs:
            return call(ufunc, args)
        entry, written = TABLE.get(ufunc), kwargs.get("out", args[:1] if method == "at" else ())
        if isinstance(entry, Constant) and method == "__call__":
            return call(ufunc, args, kwargs)
        if entry is not None and not recording.is_differentiated(args, kwargs):
            if not any(isinstance(array, Tensor) for array in written):
                return recording.plainly(entry, getattr(ufunc, method), args, kwargs)
        name = name_of(ufunc)
        if method != "__call__":
            raise TypeError(
                f"{name}.{method} of a tensor has no derivative rule; use the function that "
                f"NumPy has for it (np.sum for np.add.reduce), or call it on tensor.data"
            )
        if "out" in kwargs:
            raise TypeError(
                f"{name}: out= (or an in-place operator on an array) cannot hold a tensor's "
                f"result without losing its derivative; bind the result to a name instead"
            )
        raise TypeError(
            f"{name}: no derivative rule covers {', '.join(f'{k}=' for k in kwargs)}; "
            f"use np.where(condition, ...) in place of where=, astype in place of dtype="
        )

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        __tracebackhide__ = True
        return call(function, args, kwargs)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return np  # whose functions take tensors

    # "Of objects": so that NumPy's stubs leave the type of ``array @ tensor`` open; docs/types.md.
    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[np.object_]:
        if self._node is not None:
            caller = sys._getframe(1).f_globals.get("__name__", "")
            if caller == "numpy.ma.core":
                raise TypeError(f"np.ma: {MASKED}")
            if (library := caller.partition(".")[0]) in ("pandas", "xarray"):
                raise TypeError(
                    f"{library}: as an array, a tensor that requires a gradient would lose its "
                    f"derivative; write np.asarray(x) for the array x of {library} beside it"
                )
            raise derivative_lost("np.asarray or np.array")
        return np.array(self.data, dtype=dtype, copy=copy)

    # ------------------------------------------------------------------------ Python's protocols

    def __repr__(self) -> str:
        foreign = is_foreign(self._values)
        if foreign:  # whose values may not be asked for
            cls = type(self._values)
            values = f"{cls.__module__.split('.')[0]}.{cls.__name__}, shape={self.shape}"
        else:
            values = np.array2string(np.asarray(self._values), separator=", ", prefix="Tensor(")
        unusual = foreign or self.dtype not in (float, int, bool)
        extras = [f"dtype={self.dtype}"] if unusual else []
        extras += ["requires_grad=True"] if self.requires_grad else []
        extras += [f"name={self.name!r}"] if self.name else []
        return f"Tensor({', '.join([values, *extras])})"

    def __format__(self, spec: str) -> str:
        return format(self._values.item(), spec) if spec else repr(self)

    def __len__(self) -> int:
        return len(self._values)

    def __bool__(self) -> bool:
        return bool(self._values)

    def __float__(self) -> float:
        return float(self._number("float"))

    def __int__(self) -> int:
        return int(self._number("int"))

    def __index__(self) -> int:
        return operator.index(self._number("operator.index"))

    def _number(self, function: str) -> Any:
        if self._node is not None:
            raise TypeError(
                f"{function}() of a tensor that requires a gradient would lose its derivative "
                f"(math functions and array[i] = tensor call it too); use tensor.item() if that is "
                f"meant, else np functions, and np.stack or np.where to build an array"
            )
        return self._values.item()

    def __copy__(self) -> Tensor:
        """Return a leaf of its own; of what a transform differentiates, a recorded copy."""
        if type(self._node) in (NoneType, Leaf) or not mode.get().transforms:
            rebuilt, state = self.__reduce__()
            return rebuilt(*state)  # type: ignore[no-any-return]
        return call(np.copy, (self,))  # type: ignore[no-any-return]

    def __deepcopy__(self, memo: Any) -> Tensor:
        return self.__copy__()

    def __reduce__(self) -> Any:
        if type(self._node) not in (NoneType, Leaf):
            if outermost_function("").startswith("plt."):  # which copies what it draws
                raise derivative_lost("")
            raise TypeError(
                "a recorded result cannot be pickled or copied without its graph; "
                "use tensor.detach() to keep its values, np.copy(tensor) for a copy that "
                "gradients flow through"
            )
        if node_of(self.grad) is not None:
            raise TypeError(
                "the .grad of this tensor is recorded (create_graph=True) and cannot be pickled or "
                "copied without its graph; set .grad to its values, tensor.grad.data, or to None"
            )
        return _rebuilt, (self._values, self.requires_grad, self.name, self.grad)

    def __getitem__(self, index: Any) -> Tensor:
        __tracebackhide__ = True
        if index.__class__ is tuple:
            index = known(index, "indexing")
        return call(operator.getitem, (self, bare(index)))  # type: ignore[no-any-return]

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "a tensor does not support item assignment, which would change values that rules need; "
            "use np.where, np.concatenate or np.stack to build a new one, or write to tensor.data"
        )

    def _updated(self, function: Callable[..., Any], other: Any) -> Any:
        """Return ``self op= other``: a new tensor, or under no_grad a leaf with new values."""
        if self._node is None or not self.is_leaf:
            return call(function, (self, other))
        if is_recording():
            raise TypeError(
                f"{name_of(function)} in place on a leaf that requires a gradient cuts it off; "
                f"update its values under `with ag.no_grad():` or through tensor.data, "
                f"or bind the result to another name"
            )
        leaf = self  # what is assigned to self.data, completion would take for its type
        leaf.data = function(self._values, bare(known(other, name_of(function))))
        return leaf


recording.Tensor = Tensor
recording.KNOWN.add(Tensor)

# For type checkers and completion, where Any stands for what would only be in the way: None before
# the first backward; a number or an array where no argument is a tensor. jedi knows no ``X | Any``.
Gradient = Union[NDArray[Any], Any]  # noqa: UP007
Result = Union[Tensor, Any]  # noqa: UP007


def overwritable(leaf: Tensor) -> Any:
    """Return the array of a leaf, to be written into at once, as an optimiser does.

    No copy is made, and the array is not watched for changes; instead, a graph that read it before
    refuses to be differentiated. The caller must not keep the array.
    """
    if leaf._node is None:
        leaf._thaw()
    elif isinstance(leaf._node, Leaf):
        move(leaf._node)
    return leaf._values


def _rebuilt(data: Any, requires_grad: bool, name: str | None, grad: Any) -> Tensor:
    tensor = Tensor(data, requires_grad, name=name)
    tensor.grad = grad
    return tensor
