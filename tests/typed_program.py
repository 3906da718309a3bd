"""A program as users write them, for type checkers: mypy and Pyright find nothing to say about it.

``assert_type`` holds what they, and so an editor, know of each value. It runs, too.
"""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import autograd_lite as ag

rng = np.random.default_rng(0)
x = rng.normal(size=(8, 3)).astype(np.float32)
y = rng.integers(0, 2, size=8)


def operators_and_methods(t: ag.Tensor) -> None:
    assert_type(t + 1, ag.Tensor)
    assert_type(2 * t, ag.Tensor)
    assert_type(-t / 2, ag.Tensor)
    assert_type(t @ t.T, ag.Tensor)
    assert_type(t**2, ag.Tensor)
    assert_type(t[0], ag.Tensor)
    assert_type(t.sum(axis=0), ag.Tensor)
    assert_type(t.reshape(-1).mean(), ag.Tensor)
    assert_type(t.exp().clip(0, 1).astype(float), ag.Tensor)
    assert_type(divmod(t, 2), tuple[ag.Tensor, ag.Tensor])
    assert_type(t > 0, NDArray[np.bool])
    assert_type(t == t, NDArray[np.bool])
    assert_type(t.argsort(axis=0), NDArray[np.intp])
    assert_type(t.shape, tuple[int, ...])
    assert_type(t.data, NDArray[Any])
    assert_type(t.numpy(), NDArray[Any])
    assert_type(t.dtype, np.dtype[Any])
    assert_type(t.detach(), ag.Tensor)
    for row in t:
        assert_type(row, ag.Tensor)
    u = 2 * t
    u += 1
    assert_type(u, ag.Tensor)


def descend(weights: ag.Tensor, steps: int = 3, lr: float = 0.1) -> float:
    """Return the last loss of some steps of gradient descent, written by hand."""
    loss = 0.0
    for _ in range(steps):
        error = np.mean((x @ weights - y) ** 2)
        error.backward()
        weights.data -= lr * weights.grad
        weights.zero_grad()
        loss = error.item()
    return loss


def fit_line(slope: ag.Tensor) -> ag.Tensor:
    """Return a loss whose type is known throughout: a tensor comes first, methods follow."""
    error = slope * x[:, 0] - y
    loss = (error**2).mean()
    assert_type(loss, ag.Tensor)
    ((x[:, 0] * slope - y) ** 2).mean().backward()
    return loss


def classify(weights: ag.Tensor) -> NDArray[Any]:
    """Return the gradient of the cross-entropy, and know what the losses return."""
    logits = ag.Tensor(x) @ weights
    assert_type(ag.softmax(logits), ag.Tensor)
    assert_type(ag.softmax(x), NDArray[Any])
    assert_type(ag.log_softmax(logits, axis=0).sum(), ag.Tensor)
    assert_type(ag.nn.relu(logits), ag.Tensor)
    assert_type(ag.nn.sigmoid(x), NDArray[Any])
    loss = ag.cross_entropy(x @ weights, y)
    assert_type(loss, ag.Tensor | Any)
    loss.backward()
    gradient: NDArray[Any] = weights.grad
    return gradient


class Classifier(ag.nn.Module):
    def __init__(self) -> None:
        self.hidden = ag.nn.Linear(3, 4, rng=rng)
        self.head = ag.nn.Sequential(ag.nn.ReLU(), ag.nn.Linear(4, 2, rng=rng))

    def forward(self, inputs: NDArray[Any] | ag.Tensor) -> ag.Tensor:
        return self.head(self.hidden(inputs))


def train(model: Classifier) -> ag.training.History:
    assert_type(model(x), ag.Tensor | Any)
    assert_type(model.hidden.weight, ag.Tensor)
    assert_type(model.head[1:], ag.nn.Sequential)
    optimizer = ag.optim.Adam(model.parameters(), lr=1e-2)
    batches = ag.data.Batches(x, y, batch_size=4, rng=rng)
    return ag.fit(model, ag.cross_entropy, batches, optimizer, epochs=2, progress=False)


def misspelt() -> bool:
    try:
        ag.sofmax  # type: ignore[attr-defined]  # noqa: B018
    except AttributeError:
        return True
    return False


def main() -> None:
    operators_and_methods(ag.Tensor(np.eye(3), requires_grad=True))
    print(descend(ag.Tensor(np.zeros(3), requires_grad=True)))
    print(fit_line(ag.Tensor(1.0, requires_grad=True)).item() > 0)
    print(classify(ag.Tensor(np.zeros((3, 2)), requires_grad=True)).shape)
    print(len(train(Classifier())["loss"]))
    print(misspelt(), assert_type(ag.__version__, str) != "")


if __name__ == "__main__":
    main()
