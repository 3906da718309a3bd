"""Explain backpropagation step by step, on a softmax classifier with two inputs and two classes."""

import argparse
from pathlib import Path

import numpy as np

import autograd_lite as ag


def two_paths():
    """Return an expression in which one variable is used twice."""
    x = ag.Tensor(3.0, requires_grad=True, name="x")
    y = x * x + 2.0 * x
    y.name = "y"
    return y


def classifier():
    """Return the loss of a classifier on three rows, its bias repeated by broadcasting."""
    x = np.array([[1.9, 0.4], [0.5, -1.0], [-0.3, 0.8]])
    W = ag.Tensor([[0.1, 0.5], [0.1, 0.5]], requires_grad=True, name="W")
    b = ag.Tensor([0.0, 0.0], requires_grad=True, name="b")
    labels = np.array([0, 1, 1])
    with ag.recording():  # so that the page can move entries and compute the loss again
        loss = ag.cross_entropy(x @ W + b, labels)
    loss.name = "loss"
    return ag.graph(loss, names={"x": x, "labels": labels})


def where_a_nan_is_born():
    """Return what find_nonfinite says of the standard deviation of equal numbers."""
    x = ag.Tensor([2.0, 2.0], requires_grad=True, name="x")
    try:
        with ag.find_nonfinite():
            np.sqrt(np.mean((x - np.mean(x)) ** 2)).backward()
    except FloatingPointError as error:
        return str(error)


def main():
    """Print the explanations, and save the page to step through."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out"), help="the folder (default: out)")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)

    print(ag.explain(two_paths()))
    print()
    loss = classifier()
    print(loss.explain())
    print()
    print(where_a_nan_is_born())
    try:
        print("to step through:", loss.save(out / "explain_backprop.html"))
    except RuntimeError as no_engine:
        print(no_engine)


if __name__ == "__main__":
    main()
