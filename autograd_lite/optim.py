"""Optimisers, by PyTorch's names and defaults; learning-rate schedules; gradient clipping.

A step writes into the parameters' own arrays, block by block, so that all temporaries stay in the
processor's cache and none has the size of a parameter. A graph made before the step that would
still need the old values refuses to be differentiated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from autograd_lite.engine.recording import bare
from autograd_lite.engine.tensor import Tensor, overwritable
from autograd_lite.nn.arguments import choice, count, positive, require

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
        self.groups: list[dict[str, Any]] = []
        for group in groups:
            if not {"params"} <= group.keys() <= {"params", *settings}:
                raise TypeError(
                    f"{name}: a group needs 'params' and may set {', '.join(settings)}; "
                    f"got {', '.join(group)}"
                )
            tensors = group["params"]
            tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
            self.groups.append({**settings, **group, "params": tensors})
            self._check(self.groups[-1])
        parameters = self._parameters()
        if not parameters:
            raise ValueError(f"{name}: there are no parameters")
        for p in parameters:
            if not isinstance(p, Tensor) or not p.is_leaf or p.dtype.kind != "f":
                raise TypeError(
                    f"{name}: parameters must be floating-point leaf tensors, such as "
                    f"model.parameters(), not {p!r:.80}"
                )
        if len({id(p) for p in parameters}) < len(parameters):
            raise ValueError(f"{name}: a parameter occurs twice")
        self.state: dict[int, dict[str, Any]] = {}
        self._scratch: dict[Any, Any] = {}

    def _check(self, group: Mapping[str, Any]) -> None:
        """Raise ValueError for a setting out of its range."""
        for key, (what, fits) in _CHECKS.items():
            if key in group:
                require(type(self).__name__, what, fits, **{key: group[key]})

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
        for name in slots:
            if name not in state:
                state[name] = np.zeros(p.shape, p.dtype)
        array = overwritable(p)
        arrays = [array, bare(p.grad), *[state[name] for name in slots]]
        arrays = [a.reshape(-1) for a in arrays]  # views, but of arrays in another memory order
        scratch = self._scratch.get(array.dtype)
        if scratch is None:
            scratch = self._scratch[array.dtype] = np.empty((2, _BLOCK), array.dtype)
        decay = group.get("weight_decay", 0)
        for start in range(0, array.size, _BLOCK):
            x, g, *rest = [a[start : start + _BLOCK] for a in arrays]
            a, b = scratch[0, : len(x)], scratch[1, : len(x)]
            if decay and self._decoupled:
                x *= 1 - group["lr"] * decay
            elif decay:
                g = np.add(g, np.multiply(x, decay, out=b), out=b)
            direction, rate = self._direction(group, state["step"], g, *rest, a)
            x -= np.multiply(direction, rate, out=a)
        if not array.flags.c_contiguous:
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
        """Go back to a state.

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


def _copied(state: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in state.items()}


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


# ---------------------------------------------------------------------------- L-BFGS


class _Point(NamedTuple):
    """A point on the line that is searched: its place, and value, gradient and slope there."""

    t: float
    f: float
    g: Any
    slope: float


class LBFGS(Optimizer):
    """Limited-memory BFGS with a line search for the strong Wolfe conditions.

    For smooth functions that can be evaluated exactly, on all data at once. Source: Nocedal and
    Wright, Numerical Optimization (2006), algorithms 7.4 and 3.5.

    Parameters
    ----------
    params : iterable of Tensor
        One group.
    lr : float
        The first step tried in each iteration.
    max_iter : int
        Iterations in each call of :meth:`step`.
    tolerance_grad, tolerance_change : float
        Stop when no partial derivative, or when neither the value nor any parameter changes by
        more.
    history_size : int
        Number of curvature pairs.

    Raises
    ------
    ValueError
        If there are several groups, or a number is not positive.

    Examples
    --------
    >>> w = ag.Tensor([3.0, 5.0], requires_grad=True)
    >>> def loss():
    ...     value = np.sum(np.square(w - np.array([1.0, 2.0])))
    ...     value.backward()
    ...     return value
    >>> final = ag.optim.LBFGS([w]).step(loss)
    >>> np.round(w.detach().numpy(), 6)
    array([1., 2.])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        max_iter: int = 20,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
    ) -> None:
        super().__init__(params, lr=lr)
        if len(self.groups) > 1:
            raise ValueError("LBFGS: parameter groups are not supported")
        count("LBFGS", max_iter=max_iter, history_size=history_size)
        self.max_iter = max_iter
        self.tolerance_grad = tolerance_grad
        self.tolerance_change = tolerance_change
        self.history_size = history_size
        self.n_iter = 0
        self.n_eval = 0
        size = sum(p.size for p in self._parameters())
        self._steps = np.empty((0, size), self._parameters()[0].dtype)
        self._changes = self._steps  # of the gradient, one row for each step
        self._inverse = self._steps[:, :0]  # of the upper triangle of steps @ changes.T

    def step(self, closure: Callable[[], Any] | None = None) -> float:  # type: ignore[override]
        """Take up to ``max_iter`` iterations.

        Parameters
        ----------
        closure : callable
            Computes the loss, calls its backward, and returns it; gradients are cleared before.

        Returns
        -------
        float
            The loss at the new parameters, whose gradients are those last computed there.
        """
        if closure is None:
            raise TypeError("LBFGS.step: needs a closure that computes the loss and its gradient")
        x = np.concatenate([bare(p).reshape(-1) for p in self._parameters()])
        f, g = self._evaluate(closure, x)
        if not math.isfinite(f):
            raise FloatingPointError(f"LBFGS.step: the loss is {f} to begin with")
        for _ in range(self.max_iter):
            if np.abs(g).max() <= self.tolerance_grad:
                break
            d = self._descent(g)
            slope = float(g @ d)
            if not slope < 0:
                break
            t = self.groups[0]["lr"] * (
                1.0 if self.n_iter else min(1.0, 1 / float(np.abs(g).sum()))
            )
            end = self._search(closure, x, d, t, _Point(0.0, f, g, slope))
            step, change = d * end.t, end.g - g
            product = float(step @ change)
            if product > np.finfo(x.dtype).eps * float(change @ change):
                self._remember(step, change, product)
            x = x + step
            self.n_iter += 1
            small = abs(end.f - f) <= self.tolerance_change * max(1.0, abs(f))
            f, g = end.f, end.g
            if small or np.abs(step).max() <= self.tolerance_change:
                break
        self._assign(x)
        return f

    def _assign(self, x: Any) -> None:
        start = 0
        for p in self._parameters():
            overwritable(p)[...] = x[start : start + p.size].reshape(p.shape)
            p.grad = None
            start += p.size

    def _evaluate(self, closure: Callable[[], Any], x: Any) -> tuple[float, Any]:
        """Return the loss and its gradient at ``x``."""
        self._assign(x)
        loss = closure()
        self.n_eval += 1
        if all(p.grad is None for p in self._parameters()):
            raise ValueError(
                "LBFGS.step: the closure left no gradient; it must call the loss's backward()"
            )
        gradients = [
            np.zeros(p.size, p.dtype) if p.grad is None else bare(p.grad).reshape(-1)
            for p in self._parameters()
        ]
        return float(bare(loss)), np.concatenate(gradients)

    def _descent(self, g: Any) -> Any:
        """Return minus the gradient times the approximate inverse Hessian.

        In the compact form of Byrd, Nocedal and Schnabel (1994), theorem 2.2: a few products of
        matrices whatever the number of pairs.
        """
        if not len(self._steps):
            return -g
        steps, changes, inverse = self._steps, self._changes, self._inverse
        scale = 1 / (inverse[-1, -1] * (changes[-1] @ changes[-1]))
        u = inverse @ (steps @ g)
        v = u / inverse.diagonal() + scale * (changes @ (u @ changes - g))
        return (scale * u) @ changes - (v @ inverse) @ steps - scale * g

    def _remember(self, step: Any, change: Any, product: float) -> None:
        """Add a pair, with a column of the inverse; drop the oldest pair if there are too many."""
        k, most = len(self._steps), self.history_size
        inverse = np.zeros((k + 1, k + 1), step.dtype)
        inverse[:k, :k] = self._inverse
        inverse[:k, k] = self._inverse @ (self._steps @ change) / -product
        inverse[k, k] = 1 / product
        self._inverse = inverse[-most:, -most:]
        self._steps = np.vstack([self._steps, step])[-most:]
        self._changes = np.vstack([self._changes, change])[-most:]

    def _search(
        self, closure: Callable[[], Any], x: Any, d: Any, t: float, start: _Point
    ) -> _Point:
        """Return a point along ``d`` that meets the strong Wolfe conditions, or the best found."""

        def at(t: float) -> _Point:
            f, g = self._evaluate(closure, x + t * d)
            return _Point(t, f, g, float(g @ d))

        low, high, stuck = start, None, False
        size = float(np.abs(d).max())
        for _ in range(50):
            new, last = at(t), low
            if not new.f <= start.f + 1e-4 * t * start.slope or new.f >= low.f:
                high = new
            elif abs(new.slope) <= -0.9 * start.slope:
                return new
            else:
                if new.slope * (1 if high is None else high.t - low.t) >= 0:
                    high = low
                low = new
            if high is None:  # not far enough
                t = _interpolated(last, new, new.t + 0.01 * (new.t - last.t), 10 * new.t)
                continue
            left, right = sorted((low.t, high.t))
            if (right - left) * size <= self.tolerance_change:
                break
            t = _interpolated(low, high, left, right)
            # A trial next to an end, twice in a row or at the end itself, gets nowhere.
            margin = 0.1 * (right - left)
            close = min(t - left, right - t) < margin
            if close and (stuck or t in (left, right)):
                t = left + margin if t - left < right - t else right - margin
                close = False
            stuck = close
        return low

    def state_dict(self) -> dict[str, Any]:
        """Return the settings and copies of the steps and changes of the gradient."""
        arrays = {"steps": self._steps, "changes": self._changes, "inverse": self._inverse}
        return {**super().state_dict(), "n_iter": self.n_iter, **_copied(arrays)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a state; see :meth:`Optimizer.load_state_dict`."""
        if state.get("optimizer") == "LBFGS" and state["steps"].shape[1] != self._steps.shape[1]:
            raise ValueError(
                f"LBFGS.load_state_dict: expected {self._steps.shape[1]} elements in all, "
                f"got {state['steps'].shape[1]}"
            )
        super().load_state_dict(state)
        self._steps, self._changes = state["steps"].copy(), state["changes"].copy()
        self._inverse = state["inverse"].copy()
        self.n_iter = state["n_iter"]


def _interpolated(a: _Point, b: _Point, low: float, high: float) -> float:
    """Return where the cubic through two points with their slopes is least, within bounds.

    Nocedal and Wright (2006), equation 3.59; the middle where there is no minimum.
    """
    if a.t != b.t and math.isfinite(a.f + b.f + a.slope + b.slope):
        if a.t > b.t:
            a, b = b, a
        d1 = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t)
        square = d1 * d1 - a.slope * b.slope
        if square >= 0:
            d2 = math.sqrt(square)
            divisor = b.slope - a.slope + 2 * d2
            if divisor:
                t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / divisor)
                if math.isfinite(t):  # the square may have overflowed
                    return min(max(t, low), high)
    return (low + high) / 2


# ---------------------------------------------------------------------------- schedules


_BETWEEN = ("between 0 and 1", lambda value: 0 < value < 1)
_COUNTS = ("step_size", "total_iters", "T_max", "total_steps")


@dataclass(eq=False)
class Schedule:
    """A learning rate for each step: closed formulas of the number of :meth:`step` calls.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups' ``lr`` is set: now, and by every step.

    Examples
    --------
    A schedule of one's own is a formula:

    >>> class InverseRoot(ag.optim.Schedule):
    ...     def lr(self, base, count):
    ...         return base / (1 + count) ** 0.5
    >>> optimizer = ag.optim.SGD([ag.Tensor([1.0], requires_grad=True)], lr=0.5)
    >>> schedule = InverseRoot(optimizer)
    >>> for _ in range(3):
    ...     schedule.step()
    >>> optimizer.groups[0]["lr"]
    0.25
    """

    optimizer: Optimizer

    def __post_init__(self) -> None:
        """Check the settings and set the first rate."""
        name, optimizer = type(self).__name__, self.optimizer
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{name}: expected an optimiser, not {optimizer!r}")
        counts = {key: getattr(self, key) for key in _COUNTS if hasattr(self, key)}
        require(name, "at least 1", lambda value: value >= 1, **counts)
        self.base = [float(group["lr"]) for group in optimizer.groups]
        self.count = 0
        self._set()

    def lr(self, base: float, count: int) -> float:
        """Return the learning rate after so many steps, where it was ``base``."""
        raise NotImplementedError

    def _set(self) -> None:
        for group, base in zip(self.optimizer.groups, self.base):
            group["lr"] = self.lr(base, self.count)

    def step(self) -> None:
        """Move on by one."""
        self.count += 1
        self._set()

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` needs."""
        return {"schedule": type(self).__name__, "base": list(self.base), "count": self.count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a state.

        Raises
        ------
        ValueError
            If it is of another schedule or number of groups.
        """
        name = type(self).__name__
        groups = len(state.get("base", ()))
        if state.get("schedule") != name or groups != len(self.optimizer.groups):
            raise ValueError(
                f"{name}.load_state_dict: this is the state of {state.get('schedule')} "
                f"with {groups} groups"
            )
        self.base = list(state["base"])
        self.count = state["count"]


@dataclass(eq=False)
class StepLR(Schedule):
    """``lr * gamma ** (count // step_size)`` after ``count`` steps.

    Parameters
    ----------
    optimizer : Optimizer
        See :class:`Schedule`.
    step_size : int
        The steps between two falls.
    gamma : float
        The factor of each fall.

    Raises
    ------
    ValueError
        If ``step_size`` is not positive.

    Examples
    --------
    >>> optimizer = ag.optim.SGD([ag.Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = ag.optim.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> [schedule.lr(1.0, count) for count in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    step_size: int
    gamma: float = 0.1

    def lr(self, base: float, count: int) -> float:
        """Return the learning rate after so many steps."""
        return base * self.gamma ** (count // self.step_size)


@dataclass(eq=False)
class LinearLR(Schedule):
    """A warm-up: ``lr`` times a factor that goes from ``start_factor`` to 1 in ``total_iters``.

    Parameters
    ----------
    optimizer : Optimizer
        See :class:`Schedule`.
    start_factor : float
        The first factor.
    total_iters : int
        The steps until it is 1, where it stays.

    Raises
    ------
    ValueError
        If ``total_iters`` is not positive.

    Examples
    --------
    >>> optimizer = ag.optim.SGD([ag.Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = ag.optim.LinearLR(optimizer, start_factor=0.25, total_iters=3)
    >>> [schedule.lr(1.0, count) for count in range(5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """

    start_factor: float = 1 / 3
    total_iters: int = 5

    def lr(self, base: float, count: int) -> float:
        """Return the learning rate after so many steps."""
        done = min(count / self.total_iters, 1)
        return base * (self.start_factor + (1 - self.start_factor) * done)


@dataclass(eq=False)
class CosineAnnealingLR(Schedule):
    """Half a cosine from ``lr`` down to ``eta_min`` in ``T_max`` steps, where it stays.

    Source: Loshchilov and Hutter (2017), equation 5, without restarts.

    Parameters
    ----------
    optimizer : Optimizer
        See :class:`Schedule`.
    T_max : int
        The steps that the cosine takes.
    eta_min : float
        The last rate.
    warmup : int
        Steps before, in which the rate rises linearly from almost 0.

    Raises
    ------
    ValueError
        If ``T_max`` is not positive.

    Examples
    --------
    >>> optimizer = ag.optim.SGD([ag.Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = ag.optim.CosineAnnealingLR(optimizer, T_max=4, warmup=1)
    >>> [round(schedule.lr(1.0, count), 3) for count in range(7)]
    [0.5, 1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    T_max: int
    eta_min: float = 0.0
    warmup: int = 0

    def lr(self, base: float, count: int) -> float:
        """Return the learning rate after so many steps."""
        if count < self.warmup:
            return base * (count + 1) / (self.warmup + 1)
        return _cosine(base, self.eta_min, (count - self.warmup) / self.T_max)

    def __post_init__(self) -> None:
        require("CosineAnnealingLR", "at least 0", lambda v: v >= 0, warmup=self.warmup)
        super().__post_init__()


@dataclass(eq=False)
class OneCycleLR(Schedule):
    """Up to ``max_lr`` and down again along cosines (Smith and Topin, 2018).

    Momenta are left alone.

    Parameters
    ----------
    optimizer : Optimizer
        See :class:`Schedule`; its own rate is not used.
    max_lr : float
        The highest rate.
    total_steps : int
        The steps of the whole cycle.
    pct_start : float
        The share of them that goes up.
    div_factor, final_div_factor : float
        The first rate is ``max_lr / div_factor``, the last the first over ``final_div_factor``.

    Raises
    ------
    ValueError
        If ``pct_start`` is not between 0 and 1, or ``total_steps`` not positive.

    Examples
    --------
    >>> optimizer = ag.optim.SGD([ag.Tensor([1.0], requires_grad=True)])
    >>> schedule = ag.optim.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    >>> [round(schedule.lr(0.0, count), 3) for count in range(10)]
    [0.04, 0.52, 1.0, 0.95, 0.812, 0.611, 0.389, 0.188, 0.05, 0.0]
    """

    max_lr: float
    total_steps: int
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def __post_init__(self) -> None:
        """Check the settings and set the first rate."""
        require("OneCycleLR", *_BETWEEN, pct_start=self.pct_start)
        super().__post_init__()

    def lr(self, base: float, count: int) -> float:
        """Return the learning rate after so many steps."""
        first = self.max_lr / self.div_factor
        top = self.pct_start * self.total_steps - 1
        if count < top:
            return _cosine(first, self.max_lr, count / top)
        done = (count - top) / (self.total_steps - 1 - top)
        return _cosine(self.max_lr, first / self.final_div_factor, done)


@dataclass(eq=False)
class ReduceLROnPlateau(Schedule):
    """``lr`` times ``factor`` whenever a value has not improved for more than ``patience`` steps.

    An improvement is one by more than the share ``threshold`` of the best value; nan is none.

    Parameters
    ----------
    optimizer : Optimizer
        See :class:`Schedule`.
    mode : {"min", "max"}
        Whether the value should fall or rise.
    factor : float
        Between 0 and 1.
    patience : int
        Steps without an improvement that are put up with.
    threshold : float
        See above.
    min_lr : float
        Below which the rate does not fall.

    Raises
    ------
    ValueError
        If ``mode`` or ``factor`` is none of these.

    Examples
    --------
    >>> optimizer = ag.optim.SGD([ag.Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = ag.optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (0.9, 0.8, 0.8, 0.8):
    ...     schedule.step(loss)
    >>> optimizer.groups[0]["lr"]
    0.5
    """

    mode: Literal["min", "max"] = "min"
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    min_lr: float = 0.0
    best: float | None = field(default=None, init=False)
    bad: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Check the settings and set the first rate."""
        choice("ReduceLROnPlateau", ("min", "max"), mode=self.mode)
        require("ReduceLROnPlateau", *_BETWEEN, factor=self.factor)
        super().__post_init__()

    def lr(self, base: float, count: int) -> float:
        """Return the learning rate after so many reductions."""
        return max(base * self.factor**count, min(base, self.min_lr))

    def step(self, value: float | None = None) -> None:
        """Take note of the value that should improve."""
        if value is None:
            raise TypeError("ReduceLROnPlateau.step: needs the value that should improve")
        value = float(value)
        sign = 1 if self.mode == "min" else -1
        if self.best is None:  # the first may be nan, or infinitely bad
            better = sign * value < math.inf
        else:
            better = sign * (self.best - value) > self.threshold * abs(self.best)
        if better:
            self.best, self.bad = value, 0
        else:
            self.bad += 1
        if self.bad > self.patience:
            self.bad = 0
            super().step()

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` needs."""
        return {**super().state_dict(), "best": self.best, "bad": self.bad}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a state; see :meth:`Schedule.load_state_dict`."""
        super().load_state_dict(state)
        self.best, self.bad = state["best"], state["bad"]


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(done, 1.0))) / 2


# ---------------------------------------------------------------------------- gradients


def _gradients(params: Tensor | Iterable[Tensor]) -> list[Any]:
    """Return the gradients' arrays; one tensor is a parameter, not the sequence of its rows."""
    params = [params] if isinstance(params, Tensor) else list(params)
    if not all(isinstance(p, Tensor) for p in params):
        raise TypeError("optim: gradients are those of tensors, such as model.parameters()")
    return [bare(p.grad) for p in params if p.grad is not None]


def _norm(gradients: list[Any]) -> float:
    gradients = [g.reshape(-1) for g in gradients]
    total = sum(float(np.vdot(g, g)) for g in gradients)
    if math.isfinite(total):
        return math.sqrt(total)
    largest = max(float(np.abs(g).max(initial=0)) for g in gradients)
    if not math.isfinite(largest):
        return largest
    return largest * math.sqrt(sum(float(np.sum(np.square(g / largest))) for g in gradients))


def grad_norm(params: Tensor | Iterable[Tensor]) -> float:
    """Return the Euclidean norm of all gradients together; nan or inf only if an element is.

    Parameters
    ----------
    params : Tensor, or iterable of Tensor
        Those without a gradient are skipped.

    Examples
    --------
    >>> w = ag.Tensor([1.0, 1.0], requires_grad=True)
    >>> w.grad = np.array([3e200, 4e200])  # whose squares overflow
    >>> round(ag.optim.grad_norm([w]) / 1e200, 9)
    5.0
    """
    return _norm(_gradients(params))


def clip_grad_norm(params: Tensor | Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients, in place, so that their common norm is at most ``max_norm``.

    Parameters
    ----------
    params : Tensor, or iterable of Tensor
        Those without a gradient are skipped.
    max_norm : float
        Positive.

    Returns
    -------
    float
        The norm before.

    Raises
    ------
    FloatingPointError
        If a gradient holds nan or inf; nothing has changed then.
    ValueError
        If ``max_norm`` is not positive.

    Notes
    -----
    Source: Pascanu, Mikolov and Bengio (2013). As in PyTorch, 1e-6 is added to the norm that is
    divided by.

    Examples
    --------
    >>> w = ag.Tensor([1.0, 1.0], requires_grad=True)
    >>> w.grad = np.array([3.0, 4.0])
    >>> ag.optim.clip_grad_norm([w], 1.0)
    5.0
    >>> w.grad.round(6)
    array([0.6, 0.8])
    """
    positive("optim.clip_grad_norm", max_norm=max_norm)
    gradients = _gradients(params)
    norm = _norm(gradients)
    if not math.isfinite(norm):
        raise FloatingPointError(f"optim.clip_grad_norm: the norm of the gradients is {norm}")
    scale = max_norm / (norm + 1e-6)
    if scale < 1:
        for g in gradients:
            np.multiply(g, scale, out=g)
    return norm


def clip_grad_value(params: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit every element of the gradients, in place, to ``-clip_value`` to ``clip_value``.

    Parameters
    ----------
    params : Tensor, or iterable of Tensor
        Those without a gradient are skipped.
    clip_value : float
        Positive.

    Raises
    ------
    ValueError
        If it is not.

    Examples
    --------
    >>> w = ag.Tensor([1.0, 1.0, 1.0], requires_grad=True)
    >>> w.grad = np.array([-3.0, 0.5, 4.0])
    >>> ag.optim.clip_grad_value([w], 1.0)
    >>> w.grad
    array([-1. ,  0.5,  1. ])
    """
    positive("optim.clip_grad_value", clip_value=clip_value)
    for g in _gradients(params):
        np.clip(g, -clip_value, clip_value, out=g)
