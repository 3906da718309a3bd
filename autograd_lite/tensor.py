"""The tensor: a NumPy array that records what NumPy does to it.

A call reaches the table of rules in one of three ways (an operator or method, a ufunc through
``__array_ufunc__``, any other NumPy function through ``__array_function__``), all of which end in
:func:`call`. What the table does not know is refused by name: nothing is ever detached silently.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import operator
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from autograd_lite.tape import (
    LATE_RULES,
    TABLE,
    Composite,
    Constant,
    Node,
    Plan,
    Primitive,
    Rule,
    births,
    derivative,
    enter_composite,
    fingerprint,
    is_frozen,
    leaf,
    like_sequence,
    name_of,
    overwrite,
    part,
    pullback,
)

F = TypeVar("F", bound=Callable[..., Any])

# Whether calls are recorded; or what is told of each, with its node (None where nothing is
# tracked), the entry of the table, the arguments and the result.
Listener = Callable[[Node | None, Primitive, Sequence[Any], Any], None]
_recording: ContextVar[bool | Listener] = ContextVar("autograd_lite_recording", default=True)
SMALL = 1024  # bytes of a result up to which graphs can show it without having been asked before
# What each no_grad entered here will put back: not in the object, which others may use as well.
_before_no_grad: ContextVar[tuple[bool | Listener, ...]] = ContextVar(
    "autograd_lite_before_no_grad", default=()
)
_storing_gradients = threading.Lock()
_NO_KEYWORDS: dict[str, Any] = {}
_new = object.__new__


def _unary(function: np.ufunc) -> Callable[[Tensor], Any]:
    return lambda tensor: call(function, (tensor,))


def _binary(function: np.ufunc) -> tuple[Callable[[Tensor, Any], Any], ...]:
    """Return an operator from the left, from the right, and in place."""
    return (
        lambda tensor, other: call(function, (tensor, other)),
        lambda tensor, other: call(function, (other, tensor)),
        lambda tensor, other: tensor._updated(function, other),
    )


def _comparison(function: np.ufunc) -> Callable[[object, Any], Any]:
    return lambda tensor, other: call(function, (tensor, other))


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method that hands the tensor to a function, as the first argument."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        return call(function, (self, *args), kwargs)

    method.__doc__ = f"Return ``{name_of(function)}`` of the tensor."
    return method


class Tensor:
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

    __slots__ = ("__weakref__", "_name", "_node", "_values")
    _values: Any  # not "_data", which masked arrays would take without asking
    _node: Node | None
    _name: str | None

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
        self._values = np.array(ordinary(data, "Tensor"), dtype=dtype)
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
            self._values.setflags(write=False)  # see _is_own

    # ------------------------------------------------------------------------ attributes

    @property
    def data(self) -> Any:
        """The values, as an array.

        Those of a leaf may be written to, or replaced by values of the same shape; those of a
        recorded result are read-only, and those of a view of another tensor may be.
        """
        node = self._node
        if node is None:
            self._thaw()
        elif isinstance(self._values, np.ndarray):
            if node.parents:
                self._values.setflags(write=False)
            elif not node.exposed:
                # What graphs hold of a leaf stays theirs; from now on it is checked for changes.
                self._values = node.value = self._values.copy()
                node.exposed = True
        return self._values

    @data.setter
    def data(self, values: ArrayLike) -> None:
        if not self.is_leaf:
            raise ValueError(
                "Tensor.data: the values of a recorded result cannot be replaced; "
                "compute a new tensor, or detach() this one first"
            )
        new = np.asarray(ordinary(values, "Tensor.data"), dtype=self.dtype)
        if new.shape != self.shape:
            raise ValueError(
                f"Tensor.data: expected values of shape {self.shape}, got {new.shape}; "
                f"make a new Tensor for another shape"
            )
        if new is not self._values:
            self._values = new.copy()
            if self._node is not None:
                self._node.value = self._values
                self._node.exposed = False

    def _thaw(self) -> None:
        """Let others write to the values; graphs that read them so far keep those they read."""
        if _is_own(self._values):
            self._values = self._values.copy()

    @property
    def name(self) -> str | None:
        """The name in messages and graphs."""
        return self._name

    @name.setter
    def name(self, name: str | None) -> None:
        self._name = name
        if self._node is not None:
            self._node.name = name

    @property
    def grad(self) -> Any:
        """The gradient that :meth:`backward` stored: an array of the tensor's own.

        A tensor under ``create_graph=True``; None before the first backward, and for results.
        """
        node = self._node
        return None if node is None or node.parents else node.grad

    @grad.setter
    def grad(self, gradient: Any) -> None:
        node = self._node
        if node is None or node.parents:
            if gradient is not None:
                raise ValueError("Tensor.grad: only a leaf with requires_grad=True has a gradient")
            return
        if gradient is not None and np.shape(gradient) != self.shape:
            raise ValueError(f"Tensor.grad: expected shape {self.shape}, got {np.shape(gradient)}")
        if gradient is not None and not isinstance(gradient, Tensor):
            gradient = np.asarray(gradient)
            if gradient.dtype.kind not in "fiub":
                raise TypeError(f"Tensor.grad: expected real numbers, got {gradient.dtype}")
            gradient = gradient.astype(self.dtype, copy=False)
        node.grad = gradient

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to or through this tensor."""
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
            exposed = not _is_own(self._values)
            self._thaw()
            self._track(exposed)
        else:
            self._node = None

    def _track(self, exposed: bool) -> None:
        """Give the tensor the node of a leaf; ``exposed`` if others may write to its values."""
        if self.dtype.kind != "f":
            raise TypeError(
                f"Tensor: requires_grad needs floating-point data, not {self.dtype}; "
                f"pass dtype=float"
            )
        self._node = leaf(self._values, self.name, exposed=exposed)

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded call produced this tensor."""
        return self._node is None or not self._node.parents

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
        return self._values.nbytes  # type: ignore[no-any-return]

    @property
    def dtype(self) -> Any:
        """The data type of the elements."""
        return self._values.dtype

    @property
    def T(self) -> Any:
        """The tensor with its axes reversed."""
        return call(np.transpose, (self,))

    @property
    def mT(self) -> Any:
        """The tensor with its last two axes swapped."""
        return call(np.matrix_transpose, (self,))

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
            If no gradient is required here, or ``gradient`` is missing or has the wrong shape.
        RuntimeError
            If an array that a rule needs was changed since it was read.

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
        if self._node is None:
            raise ValueError(
                "Tensor.backward: this tensor does not depend on any tensor with "
                "requires_grad=True, or was computed under no_grad"
            )
        g = cotangent_for(self, gradient, "Tensor.backward")
        if create_graph:
            found = pullback(self._node, g if isinstance(g, Tensor) else wrap(g, None), see=wrap)
        else:
            found = pullback(self._node, bare(g))
        with _storing_gradients:
            for node in found:  # all before any is stored: one may raise
                if node.grad is not None:
                    total = node.grad + found[node]
                    found[node] = total if isinstance(total, Tensor) else np.asarray(total)
                elif not create_graph:
                    found[node] = unshared(found, node)
            for node, total in found.items():
                node.grad = total

    def zero_grad(self) -> None:
        """Forget the gradient: ``.grad`` becomes None."""
        self.grad = None

    def detach(self) -> Tensor:
        """Return a tensor of the same values (not copied) that gradients do not reach."""
        return wrap(self.data, None)

    def numpy(self) -> Any:
        """Return the values as an array, not copied; the same as ``data``."""
        return self.data

    def item(self, *place: Any) -> Any:
        """Return the single value of a one-element tensor, or that at a place, as a number."""
        return self._values.item(*place)

    def tolist(self) -> Any:
        """Return the values as nested lists of Python numbers."""
        return self._values.tolist()

    # ------------------------------------------------------------------------ NumPy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        if method == "__call__" and not kwargs:
            return call(ufunc, args)
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
        return call(function, args, kwargs)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return np  # whose functions take tensors

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Any:
        if self._node is not None:
            raise TypeError(
                f"{_outermost_function('np.asarray or np.array')} of a tensor that requires a "
                f"gradient would lose its derivative; use tensor.data if that is meant, np.stack "
                f"to join tensors"
            )
        return np.array(self.data, dtype=dtype, copy=copy)

    # ------------------------------------------------------------------------ Python's protocols

    def __repr__(self) -> str:
        values = np.array2string(np.asarray(self._values), separator=", ", prefix="Tensor(")
        extras = [f"dtype={self.dtype}"] if self.dtype not in (float, int, bool) else []
        extras += ["requires_grad=True"] if self.requires_grad else []
        extras += [f"name={self.name!r}"] if self.name else []
        return f"Tensor({', '.join([values, *extras])})"

    def __format__(self, spec: str) -> str:
        return format(self._values.item(), spec) if spec else repr(self)

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(len(self)))

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
                f"(math functions call it too); use tensor.item() if that is meant, np functions "
                f"otherwise"
            )
        return self._values.item()

    def __reduce__(self) -> Any:
        if not self.is_leaf:
            raise TypeError(
                "a recorded result cannot be pickled or copied without its graph; "
                "use tensor.detach() to keep its values"
            )
        return _rebuilt, (self._values, self.requires_grad, self.name, self.grad)

    __hash__ = object.__hash__

    def __getitem__(self, index: Any) -> Any:
        return call(operator.getitem, (self, bare(index)))

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "a tensor does not support item assignment, which would change values that rules need; "
            "use np.where, np.concatenate or np.stack to build a new one, or write to tensor.data"
        )

    # ------------------------------------------------------------------------ operators

    __neg__ = _unary(np.negative)
    __pos__ = _unary(np.positive)
    __abs__ = _unary(np.absolute)

    __add__, __radd__, __iadd__ = _binary(np.add)
    __sub__, __rsub__, __isub__ = _binary(np.subtract)
    __mul__, __rmul__, __imul__ = _binary(np.multiply)
    __truediv__, __rtruediv__, __itruediv__ = _binary(np.divide)
    __floordiv__, __rfloordiv__, __ifloordiv__ = _binary(np.floor_divide)
    __mod__, __rmod__, __imod__ = _binary(np.remainder)
    __pow__, __rpow__, __ipow__ = _binary(np.power)
    __matmul__, __rmatmul__, __imatmul__ = _binary(np.matmul)

    __lt__ = _comparison(np.less)
    __le__ = _comparison(np.less_equal)
    __gt__ = _comparison(np.greater)
    __ge__ = _comparison(np.greater_equal)
    __eq__ = _comparison(np.equal)
    __ne__ = _comparison(np.not_equal)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __round__(self, digits: int = 0) -> Any:
        return call(np.round, (self, digits))

    def _updated(self, function: Callable[..., Any], other: Any) -> Any:
        """Return ``self op= other``: a new tensor, or under no_grad a leaf with new values."""
        if self._node is None or not self.is_leaf:
            return call(function, (self, other))
        if _recording.get():
            raise TypeError(
                f"{name_of(function)} in place on a leaf that requires a gradient cuts it off; "
                f"update its values under `with ag.no_grad():` or through tensor.data, "
                f"or bind the result to another name"
            )
        self.data = function(self._values, bare(other))
        return self

    # ------------------------------------------------------------------------ methods

    exp = _method(np.exp)
    log = _method(np.log)
    sqrt = _method(np.sqrt)
    tanh = _method(np.tanh)
    abs = _method(np.absolute)
    sum = _method(np.sum)
    prod = _method(np.prod)
    mean = _method(np.mean)
    var = _method(np.var)
    std = _method(np.std)
    max = _method(np.max)
    min = _method(np.min)
    argmax = _method(np.argmax)
    argmin = _method(np.argmin)
    cumsum = _method(np.cumsum)
    cumprod = _method(np.cumprod)
    any = _method(np.any)
    all = _method(np.all)
    clip = _method(np.clip)
    round = _method(np.round)
    trace = _method(np.trace)
    diagonal = _method(np.diagonal)
    conj = _method(np.conjugate)
    conjugate = _method(np.conjugate)
    dot = _method(np.dot)
    take = _method(np.take)
    repeat = _method(np.repeat)
    choose = _method(np.choose)
    swapaxes = _method(np.swapaxes)
    squeeze = _method(np.squeeze)
    ravel = _method(np.ravel)
    flatten = _method(np.ravel)
    copy = _method(np.copy)
    argsort = _method(np.argsort)
    argpartition = _method(np.argpartition)
    searchsorted = _method(np.searchsorted)
    nonzero = _method(np.nonzero)

    def reshape(self, *shape: Any, **kwargs: Any) -> Any:
        """Return ``np.reshape`` of the tensor; the shape may be given as separate numbers."""
        return call(np.reshape, (self, shape[0] if len(shape) == 1 else shape), kwargs)

    def transpose(self, *axes: Any) -> Any:
        """Return ``np.transpose`` of the tensor; the axes may be given as separate numbers."""
        return call(np.transpose, (self, axes[0] if len(axes) == 1 else axes or None))

    def compress(self, condition: Any, axis: int | None = None) -> Any:
        """Return ``np.compress`` of the tensor."""
        return call(np.compress, (condition, self, axis))

    def astype(self, dtype: DTypeLike) -> Any:
        """Return the tensor in another floating-point dtype."""
        return call(np.astype, (self, np.dtype(dtype)))

    def sort(self, *args: Any, **kwargs: Any) -> None:
        """Refuse to sort in place; ``np.sort`` returns a sorted tensor."""
        raise TypeError("Tensor.sort would change the tensor in place; use np.sort(tensor)")

    def partition(self, *args: Any, **kwargs: Any) -> None:
        """Refuse to partition in place; ``np.partition`` returns a partitioned tensor."""
        raise TypeError("Tensor.partition would change the tensor in place; use np.partition")


# ---------------------------------------------------------------------------- recording


def call(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any] = _NO_KEYWORDS
) -> Any:
    """Apply a function of the table to arrays and tensors, and record it.

    Arrays give arrays; with a tensor among the arguments the result is a tensor.
    """
    primitive = TABLE.get(function)
    if primitive.__class__ is not Primitive:
        return _call_other(function, primitive, args, kwargs)
    if kwargs:
        args, kwargs = _tensors_by_position(primitive, args, kwargs)
    arguments = list(args)
    parents = []
    tracked = 0  # bit i: argument i requires a gradient
    exposed = 0  # bit i: somebody else may write to argument i
    for i, argument in enumerate(args):
        if isinstance(argument, Tensor):
            arguments[i] = values = argument._values
            node = argument._node
            if node is None:
                if not _is_own(values):
                    exposed |= 1 << i
            else:
                parents.append(node)
                tracked |= 1 << i
                if node.exposed:
                    exposed |= 1 << i
        elif isinstance(argument, np.ndarray):
            exposed |= 1 << i
            if argument.__class__ is not np.ndarray:
                ordinary(argument, primitive.name)
        elif primitive.ufunc:
            if not isinstance(argument, (float, int)) and not hasattr(argument, "dtype"):
                arguments[i] = np.array(argument)  # copied: its owner may change it later
        elif isinstance(argument, tuple):  # which may be an index with arrays
            exposed |= 1 << i
        elif argument.__class__ is list:
            arguments[i] = np.array(argument) if primitive.broadcasts else list(argument)
    if not tracked or not (listener := _recording.get()):
        ans = _applied(primitive, arguments, kwargs)
        if not any(isinstance(a, Tensor) for a in args):
            return ans
        if callable(listener := _recording.get()):
            listener(None, primitive, arguments, ans)
        return _untracked(ans)
    try:
        plan = primitive.plans[tracked]
    except KeyError:
        plan = primitive.plan(tracked)
    values = arguments if primitive.simple else primitive.bind(arguments, kwargs)
    residual = None
    try:
        if primitive.recorded is not None:
            ans, residual = primitive.recorded(plan.argnums, *arguments, **kwargs)
        elif kwargs:
            ans = primitive.function(*arguments, **kwargs)
        else:
            ans = primitive.function(*arguments)
    except Exception as error:
        _name_shapes(error, primitive, arguments)
        raise
    if plan.views:
        if ans.__class__ is not np.ndarray:
            if isinstance(ans, Tensor):
                raise TypeError(
                    f"{primitive.name} computed with a tensor that is not one of its arguments "
                    f"itself; pass every tensor as an argument of its own, not in a list, dict or "
                    f"closure"
                )
            ordinary(ans, primitive.name)
        for argument in arguments:
            if argument is ans:
                ans = ans.view()  # so that no two tensors hold one array object
                break
    saved = plan.keep([*values, ans, residual, *parents]) if plan.sources else ()
    prints = _fingerprints(plan, exposed, saved) if exposed & plan.reads else None
    try:
        dtype = ans.dtype
        kind = dtype.kind
    except AttributeError:
        return _separate(ans, plan, parents, saved, prints, values)
    if kind != "f":
        raise TypeError(
            f"{primitive.name} gives {dtype} here; only real floating-point results have a gradient"
        )
    tensor = _new(Tensor)
    tensor._values = ans
    # Node(...), written out: the call is a tenth of what recording costs.
    tensor._node = node = _new(Node)
    node.plan = plan
    node.parents = parents
    node.saved = saved
    node.prints = prints
    node.shape = ans.shape
    node.dtype = dtype
    node.exposed = view = plan.views and ans.base is not None
    node.birth = next(births)
    tensor._name = None
    if plan.notes and ans.nbytes <= SMALL:
        if plan.elementwise:  # computed again by who wants it
            node.arguments = values
        elif not view or getattr(ans.base, "nbytes", SMALL) < SMALL:
            node.value = ans
    if listener is not True:
        listener(node, primitive, values, ans)
    return tensor


def _call_other(
    function: Callable[..., Any], entry: Any, args: Sequence[Any], kwargs: dict[str, Any]
) -> Any:
    if isinstance(entry, Composite):
        for name in kwargs:
            if name not in entry.parameters:
                raise TypeError(
                    f"{entry.name}: no derivative rule covers the argument {name}=; "
                    f"leave it out, or compute that part with other functions"
                )
        try:
            return entry.formula(*args, **kwargs)
        except (ValueError, IndexError, TypeError) as error:
            _name(error, entry.name)
            raise
    if isinstance(entry, Constant):
        return function(*bare(tuple(args)), **bare(kwargs))
    for library in LATE_RULES.keys() & sys.modules.keys():
        importlib.import_module(LATE_RULES.pop(library))
        return call(function, args, kwargs)
    name = _outermost_function(name_of(function))
    raise TypeError(
        f"{name} has no derivative rule; add one with ag.derivative({name}, ...), or call it on "
        f"tensor.data if no derivative is wanted"
    )


def _applied(primitive: Primitive, arguments: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Return the result alone, where nothing is to be recorded."""
    try:
        return primitive.function(*arguments, **kwargs)
    except Exception as error:
        _name_shapes(error, primitive, arguments)
        raise


def _name_shapes(error: Exception, primitive: Primitive, arguments: Sequence[Any]) -> None:
    """Put the function's name and the shapes of its arguments before an error's message."""
    shapes = [str(np.shape(a)) for a in arguments if hasattr(a, "shape")]
    _name(error, f"{primitive.name} of shape{'s' * (len(shapes) != 1)} {' and '.join(shapes)}")


def _name(error: Exception, name: str) -> None:
    """Put the name of what raised an error before its message, or below it."""
    if type(error) in (ValueError, IndexError, TypeError, np.linalg.LinAlgError):
        if not str(error).startswith(name.partition(" ")[0]):
            error.args = (f"{name}: {error}",)
    else:
        error.add_note(f"in {name}")


def _outermost_function(default: str) -> str:
    """Return the name of the outermost of NumPy's, SciPy's or this package's running functions."""
    frame, name = sys._getframe(2), default
    while frame.f_back is not None:
        root, _, rest = frame.f_globals.get("__name__", "").partition(".")
        if root not in ("numpy", "scipy", "autograd_lite"):
            break
        own = frame.f_code.co_name
        if not own.startswith(("_", "<")) and own not in _DISPATCH:
            part = rest.partition(".")[0]
            short = "np" if part == "rules" else _SHORT[root]
            name = f"{short}.{part}.{own}" if part in _PUBLIC_PARTS else f"{short}.{own}"
        frame = frame.f_back
    return name


_SHORT = {"numpy": "np", "scipy": "scipy", "autograd_lite": "ag"}
_PUBLIC_PARTS = ("linalg", "fft", "special", "random", "nn", "optim")
_DISPATCH = ("call", "decorate", "wrapped")


def _tensors_by_position(
    primitive: Primitive, args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[Sequence[Any], dict[str, Any]]:
    """Return the same call with the tensors among the keywords moved to their positions."""
    if not any(isinstance(value, Tensor) for value in kwargs.values()):
        return args, kwargs
    args, kwargs = list(args), dict(kwargs)
    for name in primitive.parameters[len(args) :]:
        if name not in kwargs:  # what comes after must not take its place
            break
        args.append(kwargs.pop(name))
    if any(isinstance(value, Tensor) for value in kwargs.values()):
        raise TypeError(f"{primitive.name}: pass its tensors by position, not by keyword")
    return args, kwargs


def _fingerprints(plan: Plan, exposed: int, saved: Sequence[Any]) -> Any:
    """Return (array, shape, fingerprint, argument) for arrays that rules read, others may change.

    Nobody else can write to the results of recorded calls (``Tensor.data`` gives them read-only),
    unless they are views. Frozen arrays have no fingerprint: they must be frozen still.
    """
    prints: list[tuple[Any, Any, bytes | None, int]] = []
    items: Sequence[Any]
    for place, source in plan.arguments:
        value = saved[place]
        if source == plan.primitive.variadic:
            items = [item for k, item in enumerate(value) if exposed >> source + k & 1]
        elif exposed >> source & 1:
            items = value if isinstance(value, tuple) else [value]
        else:
            continue
        for array in items:
            if isinstance(array, np.ndarray):
                content = None if is_frozen(array) else fingerprint(array)
                prints.append((array, array.shape, content, source))
    return prints or None


def _is_own(values: Any) -> bool:
    """Whether values are those of a tensor without a node that nobody has asked for: read-only."""
    return isinstance(values, np.ndarray) and values.base is None and not values.flags.writeable


def wrap(array: Any, node: Node | None) -> Tensor:
    """Return a tensor that holds the very array, or a view of it that says it is not the owner."""
    if node is None and _is_own(array):
        array = array.view()
    tensor = _new(Tensor)
    tensor._values = array
    tensor._node = node
    tensor._name = None
    return tensor


def _untracked(ans: Any) -> Any:
    """Return results as tensors that require no gradient."""
    if isinstance(ans, (tuple, list)):
        return like_sequence(ans, [wrap(result, None) for result in ans])
    return wrap(ans, None)


def _separate(
    outputs: Any,
    plan: Plan,
    parents: Sequence[Node],
    saved: Sequence[Any],
    prints: Any,
    arguments: Sequence[Any],
) -> Any:
    """Return a tensor for each of several results of one recorded call."""
    if not isinstance(outputs, (tuple, list)) or not all(
        isinstance(getattr(result, "dtype", None), np.dtype) for result in outputs
    ):
        kind = type(outputs)
        raise TypeError(
            f"{plan.primitive.name} returned {kind.__module__}.{kind.__name__}; it must return an "
            f"array, or a tuple or list of arrays (np.asarray makes one of a number)"
        )
    shapes = tuple(np.shape(result) for result in outputs)
    dtypes = tuple(result.dtype for result in outputs)
    for dtype in dtypes:
        if dtype.kind == "c":
            raise TypeError(
                f"{plan.primitive.name} gives {dtype} here; only real results have a gradient"
            )
    node = Node(plan, parents, saved, prints, shapes, dtypes, True)
    if callable(listener := _recording.get()):
        listener(node, plan.primitive, arguments, outputs)
    return like_sequence(
        outputs, [wrap(result, part(node, result, i)) for i, result in enumerate(outputs)]
    )


def ordinary(array: Any, caller: str) -> Any:
    """Return anything but an array of a kind whose arithmetic the rules do not know."""
    if not isinstance(array, _OTHER_ARITHMETIC):
        return array
    if isinstance(array, np.matrix):
        raise TypeError(
            f"{caller}: np.matrix multiplies in its own way; pass np.asarray(matrix) instead"
        )
    raise TypeError(
        f"{caller}: the mask of a masked array would be lost; pass array.filled(value), or "
        f"the values with np.where"
    )


_OTHER_ARITHMETIC = (np.matrix, np.ma.MaskedArray)


def as_array(value: Any) -> Any:
    """Return a list or number as an array, and an array or tensor as it is."""
    return value if hasattr(value, "shape") else np.asarray(value)


def bare(value: Any) -> Any:
    """Return a value with the tensors in it, also inside lists, tuples and dicts, as arrays."""
    if isinstance(value, Tensor):
        return value._values
    if type(value) in (list, tuple):
        return type(value)([bare(item) for item in value])
    if type(value) is dict:
        return {key: bare(item) for key, item in value.items()}
    return value


def overwritable(leaf: Tensor) -> Any:
    """Return the array of a leaf, to be written into at once, as an optimiser does.

    No copy is made, and the array is not watched for changes; instead, a graph that read it before
    refuses to be differentiated. The caller must not keep the array.
    """
    if leaf._node is None:
        leaf._thaw()
    else:
        overwrite(leaf._node)
    return leaf._values


def node_of(value: Any) -> Node | None:
    """Return the node of a tensor; None for anything else and where no gradient is required."""
    return value._node if isinstance(value, Tensor) else None


def cotangent_for(output: Tensor, gradient: Any, caller: str) -> Any:
    """Return the cotangent to start from, checked against the output."""
    if gradient is None:
        shape, dtype = output.shape, output.dtype
        if shape == ():
            return dtype.type(1)
        if output.size != 1:
            raise ValueError(
                f"{caller}: the output has shape {shape}, not a single number; "
                f"give a gradient of that shape, or reduce it (np.sum) first"
            )
        return np.ones(shape, dtype)
    g = gradient if isinstance(gradient, Tensor) else np.asarray(ordinary(gradient, caller))
    if g.dtype.kind not in "fiub":
        raise TypeError(f"{caller}: the gradient must hold real numbers, not {g.dtype}")
    if g.shape != output.shape:
        raise ValueError(
            f"{caller}: the gradient has shape {g.shape}, but the output has shape {output.shape}"
        )
    return g if g.dtype == output.dtype else g.astype(output.dtype)


def unshared(found: dict[Node, Any], node: Node) -> Any:
    """Return a cotangent that a pullback found as an array that nobody else holds.

    Copied, unless the dictionary's reference is the only one (the call makes the second) and the
    array is no view of another.
    """
    if (
        sys.getrefcount(found[node]) == 2
        and isinstance(found[node], np.ndarray)
        and found[node].base is None
    ):
        return found[node]
    return np.array(found[node])


def _rebuilt(data: Any, requires_grad: bool, name: str | None, grad: Any) -> Tensor:
    tensor = Tensor(data, requires_grad, name=name)
    tensor.grad = grad
    return tensor


# ---------------------------------------------------------------------------- modes


class _Unrecorded:
    """A listener that is told of calls although they are not recorded: it counts as false."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener

    def __call__(self, *call: Any) -> None:
        self.listener(*call)

    def __bool__(self) -> bool:
        return False


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Record, and tell a listener of each call, beside one that is told already."""
    outer = _recording.get()

    def both(*call: Any) -> None:
        outer(*call)  # type: ignore[operator]
        listener(*call)

    token = _recording.set(both if callable(outer) else listener)
    try:
        yield
    finally:
        _recording.reset(token)


def is_recording() -> bool:
    """Whether calls are recorded here: not under ``no_grad``."""
    return bool(_recording.get())


@contextmanager
def recording_on() -> Iterator[None]:
    """Record also inside ``no_grad``: what a transform needs while it runs."""
    now = _recording.get()
    token = _recording.set(now.listener if isinstance(now, _Unrecorded) else now or True)
    try:
        yield
    finally:
        _recording.reset(token)


class no_grad:
    """Record nothing: a context manager and a decorator.

    It holds for the current thread or asynchronous task alone, and ends also when an exception
    leaves it. ``no_grad()`` takes nothing; a ``function`` decorated with it records nothing.

    Examples
    --------
    >>> w = ag.Tensor([1.0, 2.0], requires_grad=True)
    >>> with ag.no_grad():
    ...     w -= 0.5
    >>> w
    Tensor([0.5, 1.5], requires_grad=True)
    """

    def __init__(self, *function: Any) -> None:
        if function:
            raise TypeError(
                "no_grad takes no arguments; write @ag.no_grad() to decorate a function"
            )

    def __enter__(self) -> None:
        before = _recording.get()
        _before_no_grad.set((*_before_no_grad.get(), before))
        _recording.set(_Unrecorded(before) if callable(before) else False)

    def __exit__(self, *exception: object) -> None:
        *outer, before = _before_no_grad.get()
        _before_no_grad.set(tuple(outer))
        _recording.set(before)

    def __call__(self, function: F) -> F:
        """Return the function with nothing recorded while it runs."""
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            raise TypeError(
                "no_grad cannot decorate a coroutine or generator function, which runs after the "
                "call returns; write `with ag.no_grad():` inside it"
            )

        @functools.wraps(function)
        def without_recording(*args: Any, **kwargs: Any) -> Any:
            with no_grad():
                return function(*args, **kwargs)

        return without_recording  # type: ignore[return-value]


# ---------------------------------------------------------------------------- the user's own rules


def primitive(*rules: Rule | None, **options: Any) -> Callable[[F], F]:
    """Return a decorator that makes a function of arrays differentiable by the given rules.

    Parameters
    ----------
    *rules, **options
        As for :func:`derivative`: one rule for each leading argument.

    Examples
    --------
    >>> @ag.primitive(lambda g, ans: g * ans * (1 - ans))
    ... def logistic(x):
    ...     return 1 / (1 + np.exp(-x))
    >>> ag.grad(logistic)(0.0)
    0.25
    """

    def decorate(function: F) -> F:
        if not callable(function):
            raise TypeError(
                "ag.primitive takes derivative rules and decorates a function: "
                "ag.primitive(rule)(function)"
            )

        @functools.wraps(function)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            return call(recorded, args, kwargs)

        derivative(recorded, *rules, **options)
        entry = TABLE[recorded]
        assert isinstance(entry, Primitive)
        entry.function = function
        return recorded  # type: ignore[return-value]

    return decorate


def composite(function: Callable[..., Any]) -> Callable[[F], F]:
    """Return a decorator that makes a formula the derivative of a function.

    The formula replaces the function for tensors; it takes the function's arguments, those that it
    supports, under the same names, and is written in functions that have derivatives.

    Parameters
    ----------
    function : callable
        The NumPy function that the formula computes.

    Examples
    --------
    >>> @ag.composite(np.vander)
    ... def vander(x, N):
    ...     return np.stack([x**k for k in reversed(range(N))], axis=-1)
    >>> ag.jvp(lambda x: np.vander(x, 3), (np.array([2.0, 3.0]),), (np.ones(2),))[1]
    array([[4., 1., 0.],
           [6., 1., 0.]])
    """

    def decorate(formula: F) -> F:
        enter_composite(function, formula)
        return formula

    return decorate
