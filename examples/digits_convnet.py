"""Train a small convolutional network on handwritten digits, moved about by a pixel."""

import argparse
import functools
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import autograd_lite as ag
from autograd_lite import nn


class Moved:
    """Images that come moved by up to one pixel each way, differently every time."""

    def __init__(self, images, rng):
        self.images = np.pad(images, [(0, 0), (0, 0), (1, 1), (1, 1)])
        self.rng = rng
        self.shape = images.shape

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        moved = np.empty((len(index), *self.shape[1:]), self.images.dtype)
        for k, i in enumerate(index):
            down, right = self.rng.integers(0, 3, 2)
            moved[k] = self.images[i, :, down : down + 8, right : right + 8]
        return moved


def main():
    """Train, test, and draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)

    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    x, x_test, y, y_test = ag.data.train_test_split(
        images, labels, test_size=0.2, rng=rng, stratify=labels
    )
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1, rng=rng),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1, rng=rng),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5, rng=rng),
        nn.Linear(512, 10, rng=rng),
    )
    print(model)
    data = ag.data.Batches(Moved(x, rng), y, batch_size=64, rng=rng)
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
    print(f"test accuracy {history['val_accuracy'][-1]:.4f}")
    Path("out").mkdir(exist_ok=True)
    ag.plot_history(history).savefig("out/digits_convnet_curves.png")
    print("drawn: out/digits_convnet_curves.png")


if __name__ == "__main__":
    main()
