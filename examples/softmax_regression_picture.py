"""Draw gradient descent on softmax regression: probabilities over iterations, boundaries."""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import autograd_lite as ag

COLOURS = np.array([[0.12, 0.47, 0.71], [0.85, 0.33, 0.10], [0.17, 0.63, 0.17]])


def blobs(rng):
    """Return 90 points around three centres, and which centre each belongs to."""
    labels = np.repeat([0, 1, 2], 30)
    centres = np.array([[0.0, 2.0], [-1.7, -1.0], [1.7, -1.0]])
    return centres[labels] + rng.normal(0, 0.9, (90, 2)), labels


def descend(x, labels, steps, lr):
    """Return weights and biases, losses, and the probabilities of the labels, at each step."""
    W = ag.Tensor(np.zeros((2, 3)), requires_grad=True)
    b = ag.Tensor(np.zeros(3), requires_grad=True)
    optimizer = ag.optim.SGD([W, b], lr=lr)
    trail, losses, probabilities = [], [], []
    for _ in range(steps):
        optimizer.zero_grad()
        logits = x @ W + b
        loss = ag.cross_entropy(logits, labels)
        loss.backward()
        trail.append((W.detach().numpy().copy(), b.detach().numpy().copy()))
        losses.append(loss.item())
        probabilities.append(ag.softmax(logits.data)[np.arange(len(x)), labels])
        optimizer.step()
    return trail, np.array(losses), np.array(probabilities)


def main():
    """Descend, and save the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    x, labels = blobs(np.random.default_rng(options.seed))
    trail, losses, probabilities = descend(x, labels, options.steps, lr=0.5)

    figure = Figure(figsize=(12, 6.4), layout="constrained")
    above, below = figure.subfigures(2, 1)
    left, right = above.subplots(1, 2)
    left.semilogx(np.arange(1, len(losses) + 1), losses, color="black")
    left.set(xlabel="iteration", ylabel="cross-entropy")
    for p, label in zip(probabilities.T, labels):
        right.semilogx(np.arange(1, len(p) + 1), p, color=COLOURS[label], alpha=0.4, lw=0.8)
    right.set(xlabel="iteration", ylabel="probability of the right class", ylim=(0, 1))

    side = np.linspace(-4.5, 4.5, 200)
    grid = np.stack(np.meshgrid(side, side), axis=-1)
    for axes, k in zip(below.subplots(1, 4), [1, 3, 15, len(trail) - 1]):
        W, b = trail[min(k, len(trail) - 1)]
        p = ag.softmax(grid @ W + b)
        axes.imshow(1 - p @ (1 - COLOURS) * 0.6, extent=(-4.5, 4.5, -4.5, 4.5), origin="lower")
        axes.contour(side, side, np.argmax(p, axis=-1), levels=[0.5, 1.5], colors="black")
        axes.scatter(*x.T, c=COLOURS[labels], edgecolor="white", s=22)
        axes.set(title=f"iteration {k}", xticks=[], yticks=[])
    Path("out").mkdir(exist_ok=True)
    figure.savefig("out/softmax_regression.png")
    print(f"loss {losses[0]:.4f} to {losses[-1]:.4f} in {len(losses)} iterations")
    print("drawn: out/softmax_regression.png")


if __name__ == "__main__":
    main()
