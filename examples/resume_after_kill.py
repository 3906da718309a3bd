"""Kill a training run three times, resume it, and compare its weights bit by bit."""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import autograd_lite as ag
from autograd_lite import nn


def train(checkpoint, pause=0.0):
    """Train, or resume, a model with dropout and shuffled batches; return its weights."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 8)).astype(np.float32)
    y = (np.sin(3 * x[:, 0]) + x[:, 1] > 0).astype(int)
    model = nn.Sequential(
        nn.Linear(8, 32, rng=rng),
        nn.ReLU(),
        nn.Dropout(0.2, rng=rng),
        nn.Linear(32, 2, rng=rng),
    )
    optimizer = ag.optim.Adam(model.parameters(), lr=0.01)
    ag.fit(
        model,
        ag.cross_entropy,
        ag.data.Batches(x, y, batch_size=50, rng=rng),
        optimizer,
        epochs=40,
        schedule=ag.optim.CosineAnnealingLR(optimizer, 40),
        checkpoint=checkpoint,
        checkpoint_every=3,
        callbacks=[lambda model, history: time.sleep(pause)],
        progress=False,
    )
    return model.state_dict()


def main():
    """Train undisturbed, then with interruptions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--train", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:  # in the process that is killed, slowly enough to be hit
        train(options.train, pause=0.02)
        return
    Path("out").mkdir(exist_ok=True)
    path = Path("out/resume_after_kill.npz")
    for old in (path, path.with_name("resume_after_kill.previous.npz")):
        old.unlink(missing_ok=True)
    undisturbed = train(None)
    for _ in range(options.kills):
        process = subprocess.Popen([sys.executable, __file__, "--train", str(path)])
        before = ag.load(path)["steps"] if path.exists() else 0
        while process.poll() is None and (
            not path.exists() or ag.load(path)["steps"] < before + 60
        ):
            time.sleep(0.01)
        process.kill()
        process.wait()
        print(f"killed after step {ag.load(path)['steps']}")
    resumed = train(path)
    print(f"finished after step {ag.load(path)['steps']}")
    for name, weights in undisturbed.items():
        assert weights.tobytes() == resumed[name].tobytes(), name
    print("the weights are those of the undisturbed run, bit by bit")


if __name__ == "__main__":
    main()
