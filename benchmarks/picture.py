"""Pictures: fused against unfused, of ``--plot``; and our time over others', of the documents."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

COLOURS = {"fused": "#0072b2", "unfused": "#e69f00"}  # told apart by every kind of colour vision
WIDTH = 0.38
# Of the documents' picture: for each peer a mark, and its colours on a light and a dark page.
MARKS = {
    "PyTorch": ("M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0", "#c44e00", "#ff9654"),
    "JAX log_softmax": ("M-4 -4h8v8h-8z", "#0072b2", "#56b4e9"),
    "JAX logsumexp": ("M0 -5.5l5.5 9.5h-11z", "#00805c", "#2fc79b"),
}
TICKS = (0.1, 0.2, 0.5, 1, 2, 5)
LEFT, RIGHT, TOP, STEP = 96, 432, 66, 25


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


def ratios(rows: list[dict[str, Any]]) -> str:
    """Return an SVG picture of the rows of ``speed``: for each size our time over each peer's."""
    bottom = TOP + STEP * len(rows)
    shown = [math.log(row[f"/ {peer}"]) for row in rows for peer in MARKS]
    low, high = min(*shown, 0) - 0.15, max(*shown, 0) + 0.15

    def place(ratio: float) -> float:
        return LEFT + (RIGHT - LEFT) * (math.log(ratio) - low) / (high - low)

    def text(x: float, y: float, words: str, anchor: str = "middle") -> str:
        return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}">{words}</text>'

    def mark(peer: str, x: float, y: float) -> str:
        kind = list(MARKS).index(peer)
        return f'<path class="m{kind}" transform="translate({x:.1f} {y})" d="{MARKS[peer][0]}"/>'

    light, dark = (
        "".join(f".m{kind}{{fill:{colour}}}" for kind, colour in enumerate(colours))
        for colours in list(zip(*MARKS.values()))[1:]
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 440 {bottom + 26}" width="560" '
        'role="img" aria-label="Our time over that of PyTorch and JAX, by the size of the logits">',
        "<style>text{font:12px Helvetica,Arial,sans-serif;fill:#1b1b1b}.grid{stroke:#d5d5d5}"
        f".one{{stroke:#5c5f66;stroke-width:1.5}}{light}"
        "@media (prefers-color-scheme:dark){text{fill:#eceef1}.grid{stroke:#3a3d44}"
        f".one{{stroke:#a9b0bb}}{dark}}}</style>",
    ]
    x = 24.0
    for peer in MARKS:
        lines += [mark(peer, x, 14), text(x + 10, 18, peer, "start")]
        x += 36 + 6.5 * len(peer)
    lines.append(text(place(1) - 10, 44, "← faster here", "end"))
    lines.append(text(place(1) + 10, 44, "slower here →", "start"))
    for tick in TICKS:
        if low < math.log(tick) < high:
            kind = "one" if tick == 1 else "grid"
            lines.append(f'<path class="{kind}" d="M{place(tick):.1f} {TOP - 12}V{bottom - 6}"/>')
            lines.append(text(place(tick), bottom + 12, f"{tick:g}"))
    for row, y in zip(rows, range(TOP, bottom, STEP)):
        lines.append(text(LEFT - 12, y + 4, f"{row['batch']} x {row['classes']}", "end"))
        lines += [mark(peer, place(row[f"/ {peer}"]), y) for peer in MARKS]
    return "\n".join([*lines, "</svg>", ""])
