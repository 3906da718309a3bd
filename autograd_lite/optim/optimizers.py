"""Optimisers that step along a gradient: what they share, and each one's direction.

A step writes into the parameters' own arrays, block by block, so that all temporaries stay in the
processor's cache and none has the size of a parameter. Slots and arithmetic are at least of
single precision, also of float16 parameters, whose squares would overflow. A graph made before the
step refuses to be differentiated after it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from autograd_lite.engine.arrays import kind
from autograd_lite.engine.recording import bare
from autograd_lite.engine.tensor import Tensor, overwritable
from autograd_lite.nn.arguments import require, shown, working

_BLOCK = 1 << 16  # elements updated at a time
_SIZE = ("finite and at least 0", lambda value: 0 <= value < math.inf)
_SHARE = ("from 0 to below 1", lambda value: 0 <= value < 1)
_SHARES = (
    "two numbers from 0 to below 1",
    lambda values: len(values) == 2 and all(0 <= value < 1 for value in values),
)
_CHECKS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(("lr", "lr_decay", "weight_decay", "eps"), _SIZE),
    **dict.fromkeys(("momentum", "alpha"), _SHARE),
    "betas": _SHARES,
}


class Optimizer:
    """What all optimisers share: parameter groups, per-parameter arrays ("slots"), their state.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        The leaf tensors to update; or groups ``{"params": [...], "lr": ...}`` with settings of
        their own.
    settings : dict
        The settings of groups that have none of their own.

    Attributes
    ----------
    defaults : dict
        The settings of groups that have none of their own.
    groups : list of dict
        The settings of each group and, under ``"params"``, its tensors.
    state : dict
        For each parameter, by its place, the number of steps and the slots.

    Raises
    ------
    TypeError
        If a parameter is no floating-point leaf tensor, or a group has an unknown setting.
    ValueError
        If there are no parameters, one occurs twice, or a setting is out of its range.

    Examples
    --------
    A rate of its own for some of the parameters:

    >>> w, b = ag.Tensor(np.ones((3, 2)), True), ag.Tensor(np.zeros(2), True)
    >>> groups = [{"params": [w]}, {"params": [b], "lr": 0.1}]
    >>> optimizer = ag.optim.SGD(groups, lr=0.01)
    >>> [group["lr"] for group in optimizer.groups]
    [0.01, 0.1]
    """

    slots: tuple[str, ...] = ()
    _decoupled = False  # whether weight decay shrinks the parameter itself

    def __init__(self, params: Any, **settings: Any) -> None:
        name = type(self).__name__
        if isinstance(params, (Tensor, Mapping)) or not hasattr(params, "__iter__"):
            raise TypeError(
                f"{name}: params must be tensors, such as model.parameters(), or groups"
            )
        items = list(params)
        groups = items if items and isinstance(items[0], Mapping) else [{"params": items}]
        self.defaults = settings
        self.groups: list[dict[str, Any]] = []
        self.state: dict[int, dict[str, Any]] = {}
        self._scratch: dict[Any, Any] = {}
        for group in groups:
            self.add_param_group(group)
        if not self._parameters():
            raise ValueError(f"{name}: there are no parameters")

    def add_param_group(self, group: Any) -> None:
        """Take more parameters on, as a group of their own.

        Parameters
        ----------
        group : dict
            ``{"params": [...], "lr": ...}``; the settings that it leaves out are those that the
            optimiser was made with. A schedule goes on from the group's own rate.

        Raises
        ------
        TypeError, ValueError
            As for the groups of a new optimiser; nothing has changed then.

        Examples
        --------
        >>> head, body = (ag.Tensor(np.ones(2), requires_grad=True) for _ in range(2))
        >>> optimizer = ag.optim.SGD([head], lr=0.1)
        >>> optimizer.add_param_group({"params": [body], "lr": 0.01})
        >>> [group["lr"] for group in optimizer.groups]
        [0.1, 0.01]
        """
        name, settings = type(self).__name__, self.defaults
        keys = set(group) if isinstance(group, Mapping) else set()
        if not {"params"} <= keys <= {"params", *settings}:
            got = ", ".join(keys) or repr(group)
            raise TypeError(
                f"{name}: a group needs 'params' and may set {', '.join(settings)}; got {got:.80}"
            )
        tensors = group["params"]
        tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
        for p in tensors:
            if not isinstance(p, Tensor) or not p.is_leaf or p.dtype.kind != "f":
                raise TypeError(
                    f"{name}: parameters must be floating-point leaf tensors, such as "
                    f"model.parameters(), not {p!r:.80}"
                )
        parameters = [*self._parameters(), *tensors]
        if len({id(p) for p in parameters}) < len(parameters):
            raise ValueError(f"{name}: a parameter occurs twice")
        new = {**settings, **group, "params": tensors}
        self._check(new)
        self.groups.append(new)

    def _check(self, group: Mapping[str, Any]) -> None:
        """Raise ValueError for a setting out of its range."""
        for key, (what, fits) in _CHECKS.items():
            if key in group:
                require(type(self).__name__, what, fits, **{key: group[key]})

    def __repr__(self) -> str:
        name, parts = type(self).__name__, []
        for group in self.groups:
            tensors, numbers = len(group["params"]), sum(p.size for p in group["params"])
            size = f"{tensors} tensor{'s' * (tensors != 1)}, {numbers} parameters"
            settings = {**group, **self._settings()}
            del settings["params"]
            parts.append((shown(settings), size))
        if len(parts) == 1:
            return f"{name}({parts[0][0]}): {parts[0][1]}"
        lines = [f"  {i}: {settings}: {size}" for i, (settings, size) in enumerate(parts)]
        return "\n".join([f"{name}: {len(parts)} groups", *lines])

    def _settings(self) -> dict[str, Any]:
        """Return settings that are not a group's."""
        return {}

    def _parameters(self) -> list[Any]:
        return [p for group in self.groups for p in group["params"]]

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self._parameters():
            p.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        place = -1
        for group in self.groups:
            for p in group["params"]:
                place += 1
                if p.grad is not None:
                    self._step(group, p, place)

    def _step(self, group: dict[str, Any], p: Tensor, place: int) -> None:
        state = self.state.setdefault(place, {"step": 0})
        state["step"] += 1
        # A momentum may come later, by load_state_dict or by hand; slots start from 0.
        slots = (*self.slots, "momentum_buffer") if group.get("momentum") else self.slots
        array = overwritable(p)
        scratch = self._scratch.get((type(array), array.dtype))
        if scratch is None:
            scratch = np.empty((2, _BLOCK), working(array.dtype), like=kind(array))
            self._scratch[type(array), array.dtype] = scratch
        dtype = scratch.dtype
        for name in slots:
            if name not in state:
                state[name] = np.zeros(p.shape, dtype, like=kind(p))
        arrays = [array, bare(p.grad), *[state[name] for name in slots]]
        if dtype is not array.dtype:
            arrays = [a if a.dtype == dtype else a.astype(dtype) for a in arrays]
        arrays = [a.reshape(-1) for a in arrays]  # views, but of arrays in another memory order
        decay = group.get("weight_decay", 0)
        for start in range(0, array.size, _BLOCK):
            whole = array.size <= _BLOCK
            x, g, *rest = arrays if whole else [a[start : start + _BLOCK] for a in arrays]
            a, b = scratch[0, : x.size], scratch[1, : x.size]
            if decay and self._decoupled:
                x *= 1 - group["lr"] * decay
            elif decay:
                g = np.add(g, np.multiply(x, decay, out=b), out=b)
            direction, rate = self._direction(group, state["step"], g, *rest, a)
            x -= np.multiply(direction, rate, out=a)
        own = array.__class__ is np.ndarray and array.flags.c_contiguous
        if dtype is not array.dtype or not own:
            array[...] = arrays[0].reshape(array.shape)

    def _direction(self, group: Mapping[str, Any], step: int, *arrays: Any) -> tuple[Any, float]:
        """Return what one block of a parameter moves against, and the factor of that.

        The arrays are the gradient, the slots, which are updated in place, and one to write into.
        """
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Return copies of settings and slots; together with the parameters, all that counts."""
        groups = [{k: v for k, v in group.items() if k != "params"} for group in self.groups]
        return {
            "optimizer": type(self).__name__,
            "groups": groups,
            "state": {str(place): _copied(state) for place, state in self.state.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a state, the settings included: a learning rate given since does not count.

        Raises
        ------
        ValueError
            If it is of another optimiser, or other groups or shapes; nothing has changed then.
        """
        name = type(self).__name__
        if state.get("optimizer") != name or not {"groups", "state"} <= state.keys():
            raise ValueError(
                f"{name}.load_state_dict: this is the state of {state.get('optimizer')}, "
                f"with {', '.join(state)}; it needs optimizer={name!r}, groups and state"
            )
        if len(state["groups"]) != len(self.groups):
            raise ValueError(
                f"{name}.load_state_dict: expected {len(self.groups)} parameter groups, "
                f"got {len(state['groups'])}"
            )
        parameters = self._parameters()
        for place, slots in state["state"].items():
            shape = parameters[int(place)].shape if int(place) < len(parameters) else None
            shapes = {key: np.shape(value) for key, value in slots.items() if key != "step"}
            if not {"step", *self.slots} <= slots.keys() or set(shapes.values()) - {shape}:
                raise ValueError(
                    f"{name}.load_state_dict: parameter {place} of shape {shape} needs "
                    f"{', '.join(('step', *self.slots))}; the state has {', '.join(slots)}, of "
                    f"shapes {shapes}"
                )
        for group, settings in zip(self.groups, state["groups"]):
            group.update(settings)
        self.state = {int(place): _copied(slots) for place, slots in state["state"].items()}
        for place, slots in self.state.items():
            dtype = working(parameters[place].dtype)
            slots.update({k: v.astype(dtype, copy=False) for k, v in slots.items() if k != "step"})


def _copied(state: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.copy() if hasattr(v, "shape") else v for k, v in state.items()}


class SGD(Optimizer):
    """Gradient descent, with momentum (Polyak's or Nesterov's) and weight decay.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        See :class:`Optimizer`.
    lr, momentum, weight_decay : float
        The step is ``lr * v``, where ``v = momentum * v + gradient + weight_decay * parameter``.
    nesterov : bool
        Step by ``gradient + momentum * v`` instead (Sutskever et al., 2013).

    Examples
    --------
    >>> w = ag.Tensor([4.0], requires_grad=True)
    >>> optimizer = ag.optim.SGD([w], lr=0.25)
    >>> np.sum(w * w).backward()
    >>> optimizer.step()
    >>> w
    Tensor([2.], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        settings = {"momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
        super().__init__(params, lr=lr, **settings)

    def _check(self, group: Mapping[str, Any]) -> None:
        super()._check(group)
        if group["nesterov"] and not group["momentum"]:
            raise ValueError("SGD: nesterov needs a momentum above 0")

    def _direction(self, group: Mapping[str, Any], step: int, *arrays: Any) -> tuple[Any, float]:
        g, *slots, a = arrays
        if slots:
            v = _decayed_sum(slots[0], group["momentum"], g)
            nesterov = group["nesterov"]
            g = np.add(g, np.multiply(v, group["momentum"], out=a), out=a) if nesterov else v
        return g, group["lr"]


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015); ``weight_decay`` is added to the gradient.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        See :class:`Optimizer`.
    lr : float
        Step size.
    betas : (float, float)
        Decay of the running means of the gradient and its square.
    eps : float
        Added to the square root of the latter.
    weight_decay : float
        Factor of the parameter.

    Notes
    -----
    Step n is ``lr * m / (1 - beta1**n)`` over ``sqrt(v / (1 - beta2**n)) + eps``, for running means
    ``m`` of the gradient and ``v`` of its square that start at 0: algorithm 1 of the paper.

    Examples
    --------
    The first step has the size ``lr``, however large the gradient is:

    >>> w = ag.Tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = ag.optim.Adam([w], lr=0.125)
    >>> np.sum(w * np.array([1.0, 1000.0])).backward()
    >>> optimizer.step()
    >>> w.detach().numpy().round(6)
    array([0.875, 1.875])
    """

    slots = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _direction(self, group: Mapping[str, Any], step: int, *arrays: Any) -> tuple[Any, float]:
        g, m, v, a = arrays
        beta1, beta2 = group["betas"]
        np.subtract(g, m, out=a)
        a *= 1 - beta1
        m += a
        _add_square(v, g, beta2, a)
        # The corrections for the start from 0 are left to the step size and eps.
        root = math.sqrt(1 - beta2**step)
        _over_root(m, v, group["eps"] * root, a)
        return a, group["lr"] * root / (1 - beta1**step)


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameter itself (Loshchilov and Hutter, 2019).

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        See :class:`Optimizer`.
    lr, betas, eps
        As for :class:`Adam`.
    weight_decay : float
        Each step first multiplies the parameter by ``1 - lr * weight_decay``.

    Examples
    --------
    >>> w = ag.Tensor([1.0], requires_grad=True)
    >>> optimizer = ag.optim.AdamW([w], lr=0.5, weight_decay=0.25)
    >>> w.grad = np.zeros(1)
    >>> optimizer.step()
    >>> w
    Tensor([0.875], requires_grad=True)
    """

    _decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)


class RMSprop(Optimizer):
    """The gradient over the root of the running mean of its square (Tieleman and Hinton, 2012).

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        See :class:`Optimizer`.
    lr, alpha, eps : float
        Step size, decay of the running mean, and what is added to the root.
    weight_decay, momentum : float
        As for :class:`SGD`.

    Examples
    --------
    >>> w = ag.Tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = ag.optim.RMSprop([w], lr=0.125, alpha=0.75)
    >>> np.sum(w * np.array([1.0, 1000.0])).backward()
    >>> optimizer.step()
    >>> w.detach().numpy().round(6)
    array([0.75, 1.75])
    """

    slots = ("square_avg",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
    ) -> None:
        settings = {"weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, lr=lr, alpha=alpha, eps=eps, **settings)

    def _direction(self, group: Mapping[str, Any], step: int, *arrays: Any) -> tuple[Any, float]:
        g, square, *slots, a = arrays
        _add_square(square, g, group["alpha"], a)
        _over_root(g, square, group["eps"], a)
        return _decayed_sum(slots[0], group["momentum"], a) if slots else a, group["lr"]


class Adagrad(Optimizer):
    """The gradient over the root of the sum of its squares (Duchi, Hazan and Singer, 2011).

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        See :class:`Optimizer`.
    lr, lr_decay : float
        The n-th step has the size ``lr / (1 + (n - 1) * lr_decay)``.
    weight_decay, eps : float
        Factor of the parameter; what is added to the root.

    Examples
    --------
    >>> w = ag.Tensor([1.0], requires_grad=True)
    >>> optimizer = ag.optim.Adagrad([w], lr=0.5)
    >>> for gradient in (3.0, 4.0):  # steps of 3 / 3 and 4 / 5 of the rate
    ...     w.grad = np.array([gradient])
    ...     optimizer.step()
    >>> w.detach().numpy().round(6)
    array([0.1])
    """

    slots = ("sum",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(params, lr=lr, lr_decay=lr_decay, weight_decay=weight_decay, eps=eps)

    def _direction(self, group: Mapping[str, Any], step: int, *arrays: Any) -> tuple[Any, float]:
        g, total, a = arrays
        total += np.multiply(g, g, out=a)
        _over_root(g, total, group["eps"], a)
        return a, group["lr"] / (1 + (step - 1) * group["lr_decay"])


class Lion(Optimizer):
    """The sign of an interpolated momentum (Chen et al., 2023).

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        See :class:`Optimizer`.
    lr, weight_decay : float
        Step size; the parameter shrinks by ``lr * weight_decay``.
    betas : (float, float)
        The momentum's share in the step, and in the new momentum.

    Examples
    --------
    >>> w = ag.Tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = ag.optim.Lion([w], lr=0.25)
    >>> np.sum(w * np.array([1.0, -1000.0])).backward()
    >>> optimizer.step()
    >>> w
    Tensor([0.75, 2.25], requires_grad=True)
    """

    slots = ("exp_avg",)
    _decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, weight_decay=weight_decay)

    def _direction(self, group: Mapping[str, Any], step: int, *arrays: Any) -> tuple[Any, float]:
        g, m, a = arrays
        beta1, beta2 = group["betas"]
        m -= g
        np.multiply(m, beta1, out=a)
        a += g
        _decayed_sum(m, beta2, g)
        return np.sign(a, out=a), group["lr"]


def _decayed_sum(total: Any, decay: float, new: Any) -> Any:
    """Return ``decay * total + new``, written into the total."""
    total *= decay
    total += new
    return total


def _add_square(mean: Any, g: Any, decay: float, a: Any) -> None:
    """Add the square of a gradient to a running mean; ``a`` is written into."""
    np.multiply(g, g, out=a)
    a *= 1 - decay
    _decayed_sum(mean, decay, a)


def _over_root(x: Any, square: Any, eps: float, a: Any) -> None:
    """Write ``x / (sqrt(square) + eps)`` into ``a``."""
    np.sqrt(square, out=a)
    a += eps
    np.divide(x, a, out=a)
