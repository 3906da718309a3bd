"""What a training measured, epoch by epoch, as lists, a table and a figure."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from typing import Any


class History(dict[str, list[float]]):
    """What :func:`fit` returns: a list for each quantity, with an entry for each epoch.

    An entry is nan where an epoch did not measure the quantity: a run may be resumed with other
    validation data or metrics.

    Examples
    --------
    >>> history = ag.training.History(epoch=[1, 2], loss=[0.5, 0.3])
    >>> history["loss"][-1]
    0.3
    >>> history
    epoch  loss
        1   0.5
        2   0.3
    """

    def __repr__(self) -> str:
        columns = [[name, *_shown(name, values)] for name, values in self.items()]
        widths = [max(map(len, column)) for column in columns]
        rows = zip(*columns)
        lines = ["  ".join(f"{t:>{w}}" for t, w in zip(row, widths)).rstrip() for row in rows]
        return "\n".join(lines) or "an empty history"

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a table with one row for each epoch, and the names in the first.

        Parameters
        ----------
        path : path
            Of the CSV file, which is overwritten.

        Raises
        ------
        ValueError
            If the lists differ in length.
        """
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(self)
            writer.writerows(zip(*self.values(), strict=True))


def _shown(name: str, values: Sequence[float]) -> list[str]:
    """Return numbers as a table shows them: of more than 20, the first 5 and the last 15."""
    texts = [f"{value:g}" if name == "epoch" else f"{value:.4g}" for value in values]
    return texts if len(texts) <= 20 else [*texts[:5], "...", *texts[-15:]]


def plot_history(history: Mapping[str, Sequence[float]]) -> Any:
    """Return a matplotlib figure of a history: losses on the left, all else on the right.

    Parameters
    ----------
    history : dict of str to sequence of float
        As :func:`fit` returns it; ``"epoch"`` is the abscissa, ``"lr"`` is left out.

    Raises
    ------
    ImportError
        Without matplotlib: the extra ``plot``.

    Examples
    --------
    >>> figure = ag.plot_history({"epoch": [1, 2], "loss": [0.5, 0.3], "val_accuracy": [0.8, 0.9]})
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "ag.plot_history needs matplotlib: pip install autograd_lite[plot]"
        ) from error
    names = [name for name in history if name not in ("epoch", "lr")]
    sides = [[n for n in names if n.endswith("loss")], [n for n in names if not n.endswith("loss")]]
    sides = [side for side in sides if side]
    figure = Figure(figsize=(5 * max(len(sides), 1), 3.5), layout="constrained")
    for i, side in enumerate(sides):
        axes = figure.add_subplot(1, len(sides), i + 1)
        for name in side:
            axes.plot(history["epoch"], history[name], marker=".", label=name)
        axes.set_xlabel("epoch")
        axes.legend()
        axes.grid(alpha=0.3)
    return figure
