"""Kill a training run many times at random moments and compare its end with an undisturbed one.

Run as ``python -m tests.kill_runs FOLDER KILLS``; it prints one line and fails if a checkpoint is
ever unreadable, so that the previous one is needed, or the final weights differ in a bit.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from pathlib import Path

import numpy as np

import autograd_lite as ag
from autograd_lite import checkpoint, nn

CHAIN = 10  # kills of one run


def train(path: Path | None) -> dict[str, np.ndarray]:
    """Train, or go on training, a small model with everything random in it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 6)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0)
    model = nn.Sequential(
        nn.Linear(6, 8, rng=rng), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3, rng=rng),
        nn.Linear(8, 3, rng=rng),
    )  # fmt: skip
    optimizer = ag.optim.Adam(model.parameters(), lr=0.01)
    ag.fit(
        model,
        ag.cross_entropy,
        ag.data.Batches(x, y, batch_size=8, rng=rng),
        optimizer,
        epochs=24,
        validation=ag.data.Batches(x, y, batch_size=40, shuffle=False),
        schedule=ag.optim.CosineAnnealingLR(optimizer, 60),
        schedule_every="step",
        accumulate=2,
        patience=20,
        checkpoint=path,
        checkpoint_every=1,
        progress=False,
    )
    return {**model.state_dict(), **optimizer.state_dict()["state"]["0"]}


def lives(path: Path, rng: np.random.Generator, longest: float) -> int:
    """Train in processes that are killed, then to the end; return the number of kills."""
    kills = 0
    while kills < CHAIN:
        child = os.fork()
        if child == 0:
            train(path)
            os._exit(0)
        time.sleep(rng.uniform(0, longest))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        kills += 1
        if checkpoint.exists(path):
            ag.load(path)
        if os.WIFEXITED(status):
            break  # it had already finished
    return kills


def main(folder: str, wanted: int) -> None:
    """Reach a number of kills in as many runs as it takes."""
    warnings.simplefilter("ignore")  # about a fork where there are threads
    warnings.filterwarnings("error", ".*loaded the previous one")
    start = time.perf_counter()
    undisturbed = train(None)
    train(Path(folder) / "timing.npz")
    longest = (time.perf_counter() - start) / 4
    rng = np.random.default_rng()
    kills = runs = 0
    while kills < wanted:
        runs += 1
        path = Path(folder) / f"run{runs}.npz"
        kills += lives(path, rng, longest)
        final = train(path)
        for name, value in undisturbed.items():
            assert np.array_equal(value, final[name]), name
    print(f"{kills} kills in {runs} runs: every checkpoint readable, every end bit-identical")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
