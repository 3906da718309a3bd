"""Train a multilayer perceptron on handwritten digits; draw its curves and confusion matrix."""

import argparse
import functools
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import autograd_lite as ag
from autograd_lite import nn


def confusion_picture(counts):
    """Return a figure of how often each label (row) was taken for each digit (column)."""
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="predicted", ylabel="label")
    axes.imshow(np.log1p(counts), cmap="Blues")
    for (i, j), count in np.ndenumerate(counts):
        if count:
            axes.text(j, i, count, ha="center", va="center", color="white" if i == j else "black")
    axes.set_xticks(range(10))
    axes.set_yticks(range(10))
    return figure


def main():
    """Train, test, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)

    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    x, x_test, y, y_test = ag.data.train_test_split(
        images, labels, test_size=0.2, rng=rng, stratify=labels
    )
    model = nn.Sequential(
        nn.Linear(64, 256, rng=rng),
        nn.GELU(),
        nn.Dropout(0.4, rng=rng),
        nn.Linear(256, 256, rng=rng),
        nn.GELU(),
        nn.Dropout(0.4, rng=rng),
        nn.Linear(256, 10, rng=rng),
    )
    print(model)
    data = ag.data.Batches(x, y, batch_size=64, rng=rng)
    optimizer = ag.optim.AdamW(model.parameters())
    history = ag.fit(
        model,
        functools.partial(ag.cross_entropy, label_smoothing=0.1),
        data,
        optimizer,
        epochs=options.epochs,
        validation=ag.data.Batches(x_test, y_test, batch_size=500, shuffle=False),
        metrics={"accuracy": ag.training.accuracy},
        schedule=ag.optim.OneCycleLR(optimizer, 0.01, options.epochs * len(data)),
        schedule_every="step",
        progress=False,
    )
    predicted = np.argmax(model.eval()(x_test).numpy(), axis=1)
    print(f"test accuracy {np.mean(predicted == y_test):.4f}")

    counts = np.zeros((10, 10), int)
    np.add.at(counts, (y_test, predicted), 1)
    print(counts)
    Path("out").mkdir(exist_ok=True)
    history.to_csv("out/digits_mlp.csv")
    ag.plot_history(history).savefig("out/digits_mlp_curves.png")
    confusion_picture(counts).savefig("out/digits_mlp_confusion.png")
    print("drawn: out/digits_mlp_curves.png, out/digits_mlp_confusion.png")


if __name__ == "__main__":
    main()
