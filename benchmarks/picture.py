"""The picture of ``--plot``: fused against unfused, in time and in error of the gradient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

BLUE, ORANGE = "#0072b2", "#e69f00"  # told apart by every kind of colour vision


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
    rows = figures["fused"]
    sizes = list(dict.fromkeys(f"{r['batch']} × {r['classes']}" for r in rows))
    regimes = list(dict.fromkeys(r["logits"] for r in rows))
    chart, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for offset, (loss, colour) in enumerate((("fused", BLUE), ("unfused", ORANGE))):
        times = [
            min(
                r["time"].median
                for r in rows
                if f"{r['batch']} × {r['classes']}" == size
                and (r["loss"], r["dtype"], r["logits"]) == (loss, "float32", "ordinary")
            )
            for size in sizes
        ]
        places = [i + (offset - 0.5) * 0.38 for i in range(len(sizes))]
        bars = left.bar(places, [1e6 * t for t in times], 0.36, color=colour, label=loss)
        left.bar_label(bars, fmt="{:,.0f}", fontsize=8, padding=2)
        errors = [
            max(
                r["error in ulps"]
                for r in rows
                if (r["loss"], r["dtype"], r["logits"]) == (loss, "float32", regime)
            )
            for regime in regimes
        ]
        places = [i + (offset - 0.5) * 0.38 for i in range(len(regimes))]
        bars = right.bar(places, [max(e, 0.1) for e in errors], 0.36, color=colour, label=loss)
        right.bar_label(bars, [f"{e:.2g}" for e in errors], fontsize=8, padding=2)
    left.set(yscale="log", ylabel="µs, forward and backward", title="Time (float32)")
    left.set_xticks(range(len(sizes)), sizes)
    right.set(yscale="log", ylabel="ulps", title="Largest error of the gradient (float32)")
    right.set_xticks(range(len(regimes)), regimes)
    for axes in (left, right):
        axes.margins(y=0.15)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    chart.savefig(path, dpi=150)
    plt.close(chart)
