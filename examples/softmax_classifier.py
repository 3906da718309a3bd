"""Train a softmax classifier by gradient descent, and hold its gradient against the closed form."""

import argparse
from pathlib import Path

import numpy as np

import autograd_lite as ag


def load(data):
    """Return the features of every row, and its class as a number."""
    if data == "digits":
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            install = 'python -m pip install -e ".[examples]"'
            raise SystemExit(f"--data digits needs scikit-learn: {install}") from None
        return load_digits(return_X_y=True)
    path = Path(__file__).parent / "data" / "iris.csv"
    rows = np.loadtxt(path, delimiter=",", skiprows=1, dtype=str)
    return rows[:, :-1].astype(float), np.unique(rows[:, -1], return_inverse=True)[1]


def difference(loss, x, labels, W, b):
    """Return how far backpropagation and X.T @ (p - y) / N are apart, in ulps.

    An ulp is the float64 spacing at the sum of the magnitudes of the N terms that a cell adds up.
    The closed form takes its exponentials in extended precision and rounds (p - y) / N once.
    """
    logits = np.asarray(x @ W.data + b.data, np.longdouble)
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    p, y = e / e.sum(axis=1, keepdims=True), np.eye(len(b))[labels]
    slope = ((p - y) / len(x)).astype(float)
    W.zero_grad()
    b.zero_grad()
    loss(x @ W + b, labels).backward()
    return np.max(np.abs(W.grad - x.T @ slope) / np.spacing(np.abs(x).T @ np.abs(slope)))


def main():
    """Train, print how it goes and how well it went, and draw the graph of the loss."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=["iris", "digits"], default="iris")
    x, labels = load(parser.parse_args().data)
    test = np.arange(len(x)) % 3 == 0  # every third row is kept for testing
    spread = x[~test].std(axis=0)
    x = (x - x[~test].mean(axis=0)) / np.where(spread == 0, 1, spread)

    W = ag.Tensor(np.zeros((x.shape[1], labels.max() + 1)), requires_grad=True, name="W")
    b = ag.Tensor(np.zeros(labels.max() + 1), requires_grad=True, name="b")
    for step in range(301):
        loss = ag.cross_entropy(x[~test] @ W + b, labels[~test])
        if step % 50 == 0:
            print(f"step {step:3d}   loss {loss.item():.4f}")
        W.zero_grad()
        b.zero_grad()
        loss.backward()
        W.data -= 0.5 * W.grad
        b.data -= 0.5 * b.grad
    right = np.argmax(x @ W.data + b.data, axis=1) == labels
    print(f"accuracy   train {right[~test].mean():.3f}   test {right[test].mean():.3f}")

    print("backpropagation against X.T @ (p - y) / N, in ulps of what a cell adds up, at most")
    for name, loss in ("fused", ag.cross_entropy), ("unfused", ag.unfused_cross_entropy):
        print(f"{name:>9} {difference(loss, x[~test], labels[~test], W, b):.2f}")

    Path("out").mkdir(exist_ok=True)
    x_train, y_train = x[~test], labels[~test]  # what the picture calls them
    loss = ag.cross_entropy(x_train @ W + b, y_train)
    try:
        for kind in ("dot", "svg"):
            print("drawn:", ag.graph(loss, grads=True).save(f"out/softmax_classifier.{kind}"))
    except RuntimeError as no_engine:
        print(no_engine)


if __name__ == "__main__":
    main()
