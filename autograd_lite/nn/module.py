"""Modules: objects that hold parameters and other modules, and are called like functions.

The attributes of a module register themselves: a leaf tensor is a parameter, a NumPy array of
numbers a buffer (saved, not trained), a module a sub-module; lists, tuples and dictionaries are
looked into, at any depth. Their dotted names (``0.weight``, ``encoder.norm.bias``) are those of
PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self, overload

import numpy as np

from autograd_lite.engine.nodes import births, note_of
from autograd_lite.engine.recording import bare, node_of
from autograd_lite.engine.tensor import Result, Tensor, overwritable


class Mismatch(NamedTuple):
    """The names that :meth:`Module.load_state_dict` did not find or did not use.

    Attributes
    ----------
    missing, unexpected : list of str

    Examples
    --------
    >>> layer = ag.nn.Linear(2, 1, rng=np.random.default_rng(0))
    >>> layer.load_state_dict({"bias": np.zeros(1), "scale": 2.0}, strict=False)
    Mismatch(missing=['weight'], unexpected=['scale'])
    """

    missing: list[str]
    unexpected: list[str]


class Module:
    """A part of a model; subclasses set attributes in ``__init__`` and define ``forward``.

    Attributes
    ----------
    training : bool
        Whether it is being trained, which Dropout and BatchNorm read; see :meth:`train`.

    Examples
    --------
    >>> class Line(ag.nn.Module):
    ...     def __init__(self):
    ...         self.slope = ag.Tensor([2.0], requires_grad=True)
    ...
    ...     def forward(self, x):
    ...         return self.slope * x
    >>> Line()
    Line: slope (1,), 1 parameter
    """

    training: bool = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the module's output; what calling the module calls."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward(self, ...)")

    def __call__(self, *args: Any, **kwargs: Any) -> Result:
        """Return the module's output."""
        __tracebackhide__ = True
        began = next(births)
        output = self.forward(*args, **kwargs) if kwargs else self.forward(*args)
        ended = next(births)
        if output.__class__ is not Tensor:
            _sign(output, self, began)
        elif (node := output._node) is not None and node.birth > began:
            fresh = node.birth + 1 == ended  # no module called within has returned it
            note = note_of(node)
            note.returned_by = self, began, None if fresh else note.returned_by
        return output

    # ------------------------------------------------------------------------ what it holds

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """Yield this module, named ``""``, and all below it, each once, with their dotted names."""
        return _once([("", self), *self._named(Module)])

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def children(self) -> Iterator[Module]:
        """Yield the modules that this one holds itself, also in lists and dictionaries, once."""
        held = ((name, v) for name, v in _attributes(self) if isinstance(v, Module))
        return (module for _, module in _once(held))

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call a function with each module once, the parts before the whole; return self.

        Examples
        --------
        >>> def start_at_zero(module):
        ...     if isinstance(module, ag.nn.Linear):
        ...         ag.nn.init.zeros_(module.bias)
        >>> rng = np.random.default_rng(0)
        >>> model = ag.nn.Sequential(ag.nn.Linear(2, 1, rng=rng)).apply(start_at_zero)
        >>> model[0].bias
        Tensor([0.], dtype=float32, requires_grad=True)
        """
        for module in reversed(list(self.modules())):
            function(module)
        return self

    def _held(self, prefix: str = "", around: tuple[int, ...] = ()) -> Iterator[tuple[str, Any]]:
        """Yield all that is held, under each of its names: the module's own before others'."""
        around = (*around, id(self))
        items = [(f"{prefix}{name}", value) for name, value in _attributes(self)]
        yield from (item for item in items if not isinstance(item[1], Module))
        for name, value in items:
            if isinstance(value, Module) and id(value) not in around:
                yield name, value
                yield from value._held(f"{name}.", around)

    def _named(self, kind: type) -> Iterator[tuple[str, Any]]:
        for name, value in self._held():
            numbers = not isinstance(value, np.ndarray) or value.dtype.kind in "fiubc"
            leaf = not isinstance(value, Tensor) or value.is_leaf
            if isinstance(value, kind) and numbers and leaf:
                yield name, value

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yield each parameter once, with its dotted name (the first, if it has several)."""
        return _once(self._named(Tensor))

    def parameters(self) -> Iterator[Tensor]:
        """Yield each parameter once."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield each buffer once, with its dotted name."""
        return _once(self._named(np.ndarray))

    def generators(self) -> list[np.random.Generator]:
        """Return the random generators that the modules draw from, each once."""
        return [generator for _, generator in _once(self._named(np.random.Generator))]

    # ------------------------------------------------------------------------ state

    def state_dict(self) -> dict[str, Any]:
        """Return copies of all parameters and buffers, as arrays, by dotted name."""
        state = [*self._named(Tensor), *self._named(np.ndarray)]
        return {name: np.array(bare(value), order="C") for name, value in state}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> Mismatch:
        """Copy values into the parameters and buffers.

        Parameters
        ----------
        state : mapping of str to array
            As :meth:`state_dict` returns it, or weights of the same names from PyTorch. Of what is
            held under several names, one is enough.
        strict : bool
            Whether names must agree; otherwise those that do are loaded. Shapes always must.

        Raises
        ------
        ValueError
            If names or shapes do not fit, or one array that is held under several names has
            several values: the message lists them all, and nothing has changed.
        """
        if not isinstance(state, Mapping):
            raise TypeError(
                f"load_state_dict: expected a mapping of names to arrays, not {state!r:.80}"
            )
        own = dict([*self._named(Tensor), *self._named(np.ndarray)])
        arrays = {name: np.asarray(bare(value)) for name, value in state.items()}
        both = [name for name in own if name in arrays]
        first: dict[int, str] = {}  # name under which a value is found, of several
        for name in both:
            first.setdefault(id(own[name]), name)
        missing = [name for name, value in own.items() if id(value) not in first]
        found = Mismatch(missing, [name for name in arrays if name not in own])
        named = found._asdict().items() if strict else ()
        problems = [f"{what}: {', '.join(names)}" for what, names in named if names]
        for name in both:
            old, new = bare(own[name]), arrays[name]
            other = first[id(own[name])]
            if new.shape != old.shape:
                problems.append(f"{name}: expected {old.shape}, got {new.shape}")
            elif new.dtype.kind not in "fiub":
                problems.append(f"{name}: expected real numbers, got {new.dtype}")
            elif not np.array_equal(new, arrays[other], equal_nan=True):
                problems.append(f"{name} is the same as {other} here, and has other values")
            elif old is own[name] and not old.flags.writeable and not np.array_equal(old, new):
                problems.append(f"{name}: it is read-only, and would change")
        if problems:
            raise ValueError(f"load_state_dict of {type(self).__name__}: " + "; ".join(problems))
        for name in both:
            target = own[name]
            if isinstance(target, Tensor):
                overwritable(target)[...] = arrays[name]
            elif target.flags.writeable:
                target[...] = arrays[name]
        return found

    # ------------------------------------------------------------------------ modes

    def train(self, mode: bool = True) -> Self:
        """Set the training mode of all modules, which Dropout and BatchNorm read; return self."""
        for _, module in self.named_modules():
            module.training = bool(mode)
        return self

    def eval(self) -> Self:
        """Leave the training mode; return self."""
        return self.train(False)

    def requires_grad_(self, wanted: bool = True) -> Self:
        """Set whether the parameters are trained: those that are not get no gradient; return self.

        Statistics are frozen by :meth:`eval`.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> model = ag.nn.Sequential(ag.nn.Linear(2, 2, rng=rng), ag.nn.Linear(2, 1, rng=rng))
        >>> frozen = model[0].requires_grad_(False)
        >>> [name for name, p in model.named_parameters() if p.requires_grad]
        ['1.weight', '1.bias']
        """
        for parameter in self.parameters():
            if parameter.dtype.kind == "f":
                parameter.requires_grad = wanted
        return self

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    # ------------------------------------------------------------------------ as text

    def __repr__(self) -> str:
        return "\n".join(_tree(self, "", "", set()))


def _sign(output: Any, module: Module, began: int) -> None:
    """Let what a module computed say so: graphs see from it what was computed within the call."""
    if isinstance(output, Tensor):
        node = node_of(output)
        if node is not None and node.birth > began:
            note = note_of(node)
            note.returned_by = module, began, note.returned_by
    elif isinstance(output, (tuple, list, dict)):
        for item in output.values() if isinstance(output, dict) else output:
            _sign(item, module, began)


def _once(pairs: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield each object once, with its first name."""
    seen: set[int] = set()
    for name, value in pairs:
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value


def _attributes(module: Module) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of a module, and the items of those that are collections."""
    return _items("", vars(module), ())


def _items(prefix: str, collection: Any, around: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    """Yield items at any depth; a collection within itself is left out."""
    pairs = collection.items() if isinstance(collection, dict) else enumerate(collection)
    for key, item in pairs:
        if not isinstance(item, (list, tuple, dict)):
            yield f"{prefix}{key}", item
        elif id(item) not in around:
            yield from _items(f"{prefix}{key}.", item, (*around, id(item)))


def _tree(module: Module, indent: str, name: str, seen: set[int]) -> Iterator[str]:
    """Yield the lines of a module's description; a module met before is not described again."""
    settings = ", ".join(
        f"{key}={value!r}"
        for key, value in vars(module).items()
        if not key.startswith("_") and key != "training"
        if isinstance(value, (bool, int, float, str)) or _is_pair(value)
    )
    head = type(module).__name__ + (f"({settings})" if settings else "")
    if id(module) in seen:
        yield f"{indent}{name}{head}, shared"
        return
    seen.add(id(module))
    own = [
        f"{key} {value.shape}"
        for key, value in _attributes(module)
        if isinstance(value, Tensor) and value.is_leaf
    ]
    count = sum(math.prod(parameter.shape) for parameter in module.parameters())
    if count:
        own.append(f"{count:,} parameter{'s' if count > 1 else ''}")
    yield f"{indent}{name}{head}" + (f": {', '.join(own)}" if own else "")
    for key, value in _attributes(module):
        if isinstance(value, Module):
            yield from _tree(value, indent + "  ", f"{key}: ", seen)


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, int) for item in value)


class Sequential(Module):
    """Modules (or functions) applied one after the other; a slice is a Sequential of some.

    Parameters
    ----------
    *modules : Module or callable
        Named ``0``, ``1``, ... in the state dictionary.

    Raises
    ------
    TypeError
        If one is not callable.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> model = ag.nn.Sequential(ag.nn.Linear(4, 8, rng=rng), np.tanh, ag.nn.Linear(8, 3, rng=rng))
    >>> model(np.ones((2, 4))).shape
    (2, 3)
    """

    def __init__(self, *modules: Callable[..., Any]) -> None:
        for i, module in enumerate(modules):
            if not callable(module):
                raise TypeError(
                    f"Sequential: argument {i} must be a Module or function, not {module!r}"
                )
        vars(self).update({str(i): module for i, module in enumerate(modules)})

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return (module for name, module in vars(self).items() if name.isdigit())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @overload
    def __getitem__(self, i: slice) -> Sequential: ...
    @overload
    def __getitem__(self, i: int) -> Any: ...
    def __getitem__(self, i: int | slice) -> Any:
        modules = list(self)
        return Sequential(*modules[i]) if isinstance(i, slice) else modules[i]

    def forward(self, x: Any) -> Any:
        """Return the output of the last module."""
        __tracebackhide__ = True
        for module in self:
            x = module(x)
        return x
