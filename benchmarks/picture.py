"""The picture of ``--plot``: fused against unfused, in time and in error."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

COLOURS = {"fused": "#0072b2", "unfused": "#e69f00"}  # told apart by every kind of colour vision
WIDTH = 0.38


def draw(figures: dict[str, Any], path: Path) -> None:
    """Write a picture of the rows of ``fused`` to a file, in the format of its extension."""
    try:
        import matplotlib
    except ImportError:
        raise SystemExit(
            "--plot needs matplotlib: python -m pip install matplotlib (or the extra 'plot')"
        ) from None
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    if "fused" not in figures:
        raise SystemExit("--plot draws the benchmark 'fused': name it, or leave the names out")
    rows = [row for row in figures["fused"] if row["dtype"] == "float32"]
    chart, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
    times = {
        (f"{row['batch']} × {row['classes']}", row["loss"]): 1e6 * row["time"].median
        for row in rows
        if row["logits"] == "ordinary"
    }
    bars(left, times, "{:,.0f}")
    left.set(ylabel="µs", title="Time, forward and backward")
    for axes, column in ((middle, "loss in ulps"), (right, "gradient in ulps")):
        worst: dict[tuple[str, str], float] = {}
        for row in rows:
            key = row["logits"].replace(", ", ",\n"), row["loss"]
            both = worst.get(key, 0.0), row[column]
            worst[key] = math.nan if any(map(math.isnan, both)) else max(both)
        bars(axes, worst, "{:.2g}")
        axes.set(ylabel="ulps", title=f"Largest error of the {column.split()[0]}")
    left.legend(frameon=False, loc="upper left")
    chart.suptitle("Softmax cross-entropy, float32")
    chart.savefig(path, dpi=150)
    plt.close(chart)


def bars(axes: Any, values: dict[tuple[str, str], float], label: str) -> None:
    """Draw a pair of bars for each group, on a logarithmic scale; nan as high as the axis."""
    groups = list(dict.fromkeys(group for group, _ in values))
    finite = [v for v in values.values() if v > 0]
    bottom = 10.0 ** math.floor(math.log10(min(finite)))
    top = 10.0 ** math.ceil(math.log10(max(finite)) + 0.3)
    axes.set_yscale("log")
    axes.set_ylim(bottom, top)
    for side, (loss, colour) in zip((-0.5, 0.5), COLOURS.items()):
        heights = [values[group, loss] for group in groups]
        drawn = axes.bar(
            [place + side * WIDTH for place in range(len(groups))],
            [top if math.isnan(h) else max(h, bottom) for h in heights],
            WIDTH - 0.02,
            color=colour,
            label=loss,
        )
        texts = ["" if math.isnan(h) else label.format(h) for h in heights]
        axes.bar_label(drawn, texts, fontsize=8, padding=2)
        for bar, height in zip(drawn, heights):
            if math.isnan(height):
                bar.set(facecolor="none", edgecolor=colour, hatch="//")
                place = bar.get_x() + bar.get_width() / 2
                white = {"facecolor": "white", "edgecolor": "none", "pad": 1}
                axes.text(place, math.sqrt(bottom * top), "nan", ha="center", bbox=white)
    axes.set_xticks(range(len(groups)), groups, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
