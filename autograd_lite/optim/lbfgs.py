"""Limited-memory BFGS: a direction from the latest changes of the gradient, and a line search."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from autograd_lite.engine.recording import bare
from autograd_lite.engine.tensor import overwritable
from autograd_lite.nn.arguments import count, widened, working
from autograd_lite.optim.optimizers import Optimizer


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
        count("LBFGS", max_iter=max_iter, history_size=history_size)
        self.max_iter = max_iter
        self.tolerance_grad = tolerance_grad
        self.tolerance_change = tolerance_change
        self.history_size = history_size
        self.n_iter = 0
        self.n_eval = 0
        size = sum(p.size for p in self._parameters())
        self._steps = np.empty((0, size), working(self._parameters()[0].dtype))
        self._changes = self._steps  # of the gradient, one row for each step
        self._inverse = self._steps[:, :0]  # of the upper triangle of steps @ changes.T

    def add_param_group(self, group: Any) -> None:
        """Take the only group; refuse another."""
        if self.groups:
            raise ValueError("LBFGS: parameter groups are not supported")
        super().add_param_group(group)

    def _settings(self) -> dict[str, Any]:
        names = ("max_iter", "tolerance_grad", "tolerance_change", "history_size")
        return {name: getattr(self, name) for name in names}

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
        x = _joined([bare(p) for p in self._parameters()])
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
            np.zeros(p.size, p.dtype) if p.grad is None else bare(p.grad)
            for p in self._parameters()
        ]
        return float(bare(loss)), _joined(gradients)

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
        copies = {name: array.copy() for name, array in arrays.items()}
        return {**super().state_dict(), "n_iter": self.n_iter, **copies}

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


def _joined(arrays: list[Any]) -> Any:
    """Return the elements of all arrays as one vector, at least of single precision."""
    return widened(np.concatenate([array.reshape(-1) for array in arrays]))


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
