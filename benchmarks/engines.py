"""The libraries compared: how each computes the cross-entropy, a chain of operations, a step.

Each library is imported only by the functions that use it.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import autograd_lite as ag

Run = Callable[[], Any]
NAMES = {"torch": "PyTorch", "jax": "JAX", "autograd": "HIPS autograd", "mygrad": "MyGrad"}


def version(package: str) -> str | None:
    """Return the installed version of a package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def installed() -> dict[str, str]:
    """Return the versions of the other libraries that are installed, by name."""
    found = {NAMES[p]: v for p in NAMES if (v := version(p))}
    if "PyTorch" in found:
        import torch

        torch.set_num_threads(1)
    return found


# ---------------------------------------------------------------------------- cross-entropy


def ours_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> Run:
    """Return a run of the fused loss, forward and backward from the logits."""
    z = ag.Tensor(logits, requires_grad=True)

    def run() -> Any:
        z.grad = None
        ag.cross_entropy(z, labels).backward()
        return z.grad

    return run


def torch_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> Run:
    """Return the same run in eager PyTorch."""
    import torch

    z = torch.tensor(logits, requires_grad=True)
    k = torch.tensor(labels)

    def run() -> Any:
        z.grad = None
        torch.nn.functional.cross_entropy(z, k).backward()
        return z.grad

    return run


def jax_cross_entropy(formula: str) -> Callable[[np.ndarray, np.ndarray], Run]:
    """Return a function that returns the same run in JAX, jitted, by one of two formulas.

    ``log_softmax`` takes its entry at the label; ``logsumexp`` subtracts the logit, as Optax
    does for integer labels: faster, and less accurate with an offset.
    """

    def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> Run:
        import jax
        import jax.numpy as jnp

        def loss(z: Any, k: Any) -> Any:
            if formula == "log_softmax":
                z = jax.nn.log_softmax(z)
                return -jnp.take_along_axis(z, k[:, None], axis=1).mean()
            label = jnp.take_along_axis(z, k[:, None], axis=1)[:, 0]
            return (jax.nn.logsumexp(z, axis=1) - label).mean()

        step = jax.jit(jax.value_and_grad(loss))
        z, k = jnp.array(logits), jnp.array(labels)
        return lambda: jax.block_until_ready(step(z, k))[1]

    return cross_entropy


def autograd_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> Run:
    """Return the same run in HIPS autograd, which has no such loss: logsumexp less the label."""
    import autograd
    import autograd.numpy as anp
    from autograd.scipy.special import logsumexp

    rows = np.arange(len(labels))
    step = autograd.grad(lambda z: anp.mean(logsumexp(z, axis=1) - z[rows, labels]))
    return lambda: step(logits)


def mygrad_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> Run:
    """Return the same run in MyGrad."""
    import mygrad

    z = mygrad.tensor(logits)

    def run() -> Any:
        mygrad.nnet.losses.softmax_crossentropy(z, labels).backward()
        return z.grad

    return run


CROSS_ENTROPIES: dict[str, Callable[[np.ndarray, np.ndarray], Run]] = {
    "PyTorch": torch_cross_entropy,
    "JAX log_softmax": jax_cross_entropy("log_softmax"),
    "JAX logsumexp": jax_cross_entropy("logsumexp"),
    "HIPS autograd": autograd_cross_entropy,
    "MyGrad": mygrad_cross_entropy,
}


IN_NUMPY = ("HIPS autograd", "MyGrad")


def peers_of(names: Iterable[str]) -> list[str]:
    """Return the entries of ``CROSS_ENTROPIES`` of the libraries named."""
    return [entry for entry in CROSS_ENTROPIES if entry.startswith(tuple(names))]


# ---------------------------------------------------------------------------- a chain of operations


def chain(
    tanh: Callable[[Any], Any], total: Callable[[Any], Any], x: Any, w: Any, b: Any, length: int
) -> Any:
    """Return ``length`` times ``tanh(x * w + b)``, summed: three operations each."""
    for _ in range(length):
        x = tanh(x * w + b)
    return total(x)


def numpy_chain(x: np.ndarray, w: np.ndarray, b: np.ndarray, length: int) -> Run:
    """Return a run of the chain in NumPy alone, without a derivative."""
    return lambda: chain(np.tanh, np.sum, x, w, b, length)


def ours_chain(x: np.ndarray, w: np.ndarray, b: np.ndarray, length: int) -> Run:
    """Return a run of a chain of operations, forward and backward."""
    weight, bias = ag.Tensor(w, requires_grad=True), ag.Tensor(b, requires_grad=True)

    def run() -> Any:
        weight.grad = bias.grad = None
        start = ag.Tensor(x, requires_grad=True)
        chain(np.tanh, np.sum, start, weight, bias, length).backward()
        return weight.grad

    return run


def torch_chain(x: np.ndarray, w: np.ndarray, b: np.ndarray, length: int) -> Run:
    """Return the same run in eager PyTorch."""
    import torch

    weight, bias = (torch.tensor(v, requires_grad=True) for v in (w, b))

    def run() -> Any:
        weight.grad = bias.grad = None
        start = torch.tensor(x, requires_grad=True)
        chain(torch.tanh, torch.sum, start, weight, bias, length).backward()
        return weight.grad

    return run


def autograd_chain(x: np.ndarray, w: np.ndarray, b: np.ndarray, length: int) -> Run:
    """Return the same run in HIPS autograd."""
    import autograd
    import autograd.numpy as anp

    def loss(x: Any, w: Any, b: Any) -> Any:
        return chain(anp.tanh, anp.sum, x, w, b, length)

    step = autograd.grad(loss, (0, 1, 2))
    return lambda: step(x, w, b)[1]


def mygrad_chain(x: np.ndarray, w: np.ndarray, b: np.ndarray, length: int) -> Run:
    """Return the same run in MyGrad."""
    import mygrad

    weight, bias = mygrad.tensor(w), mygrad.tensor(b)

    def run() -> Any:
        chain(mygrad.tanh, mygrad.sum, mygrad.tensor(x), weight, bias, length).backward()
        return weight.grad

    return run


CHAINS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, int], Run]] = {
    "PyTorch": torch_chain,
    "HIPS autograd": autograd_chain,
    "MyGrad": mygrad_chain,
}


# ---------------------------------------------------------------------------- a training step


def by_hand_step(x: np.ndarray, labels: np.ndarray, w: np.ndarray, b: np.ndarray) -> Run:
    """Return a softmax classifier's loss and gradients by the closed form, in plain NumPy."""
    rows = np.arange(len(labels))

    def run() -> Any:
        z = x @ w + b
        z -= z.max(axis=1, keepdims=True)
        e = np.exp(z)
        s = e.sum(axis=1, keepdims=True)
        loss = np.mean(np.log(s[:, 0]) - z[rows, labels])
        e /= s
        e[rows, labels] -= 1
        e /= len(labels)
        return loss, x.T @ e, e.sum(axis=0)

    return run


def ours_step(x: Any, labels: np.ndarray, w: np.ndarray, b: np.ndarray) -> Run:
    """Return the same through the fused loss and generic backpropagation, x array or tensor."""
    weight, bias = ag.Tensor(w, requires_grad=True), ag.Tensor(b, requires_grad=True)

    def run() -> Any:
        weight.grad = bias.grad = None
        loss = ag.cross_entropy(x @ weight + bias, labels)
        loss.backward()
        return loss, weight.grad, bias.grad

    return run


def torch_step(x: np.ndarray, labels: np.ndarray, w: np.ndarray, b: np.ndarray) -> Run:
    """Return the same in eager PyTorch."""
    import torch

    inputs, k = torch.tensor(x), torch.tensor(labels)
    weight, bias = (torch.tensor(v, requires_grad=True) for v in (w, b))

    def run() -> Any:
        weight.grad = bias.grad = None
        loss = torch.nn.functional.cross_entropy(inputs @ weight + bias, k)
        loss.backward()
        return loss, weight.grad, bias.grad

    return run
