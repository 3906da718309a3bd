"""Fair timing: competitors take turns in short bursts, in one process on one core."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

BURST = 0.02  # seconds

# The processor time of this process, where it is fine-grained, does not count what others take of
# the core meanwhile. It counts every thread, so nobody gains by using several.
clock = time.process_time if sys.platform == "linux" else time.perf_counter


def pin_to_one_core() -> int | None:
    """Keep this process on its last allowed core, where the system can; return which."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def machine() -> str:
    """Return a line that names the processor, Python and NumPy."""
    processor = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            models = [line.split(":")[1].strip() for line in file if "model name" in line]
        processor = models[0] if models else processor
    except OSError:
        pass
    return f"{processor}, Python {platform.python_version()}, NumPy {np.__version__}"


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: the median of many, and the quartiles."""

    median: float
    lower: float
    upper: float
    calls: int

    def __str__(self) -> str:
        return f"{duration(self.median)} ({duration(self.lower)} to {duration(self.upper)})"

    def over(self, count: int) -> Timing:
        """Return the time of one of so many things that a call does."""
        return Timing(self.median / count, self.lower / count, self.upper / count, self.calls)


def in_turn(functions: dict[str, Callable[[], Any]], seconds: float) -> dict[str, Timing]:
    """Time functions in turn, in bursts of some 20 ms, for about so many seconds each."""
    samples: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    start = clock()
    rounds = 0
    while rounds < 3 or clock() - start < seconds * len(functions):
        rounds += 1
        for name, function in functions.items():
            burst_end = clock() + BURST
            while True:
                before = clock()
                function()
                after = clock()
                samples[name].append(after - before)
                if after >= burst_end:
                    break
    timings = {}
    for name, values in samples.items():
        ordered = sorted(values)
        count = len(ordered)
        timings[name] = Timing(
            statistics.median(ordered), ordered[count // 4], ordered[3 * count // 4], count
        )
    return timings


def peak_bytes(function: Callable[[], Any]) -> int:
    """Return the most memory that a call allocates beyond what was there before."""
    function()
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def duration(seconds: float) -> str:
    """Return a time with a unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def amount(count: float) -> str:
    """Return a number of bytes with a unit that suits it."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} B"


def number(value: float) -> str:
    """Return a number to three digits, without an exponent where that is short."""
    return f"{value:.0f}" if 1000 <= value < 1e5 else f"{value:.3g}"


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return rows as a Markdown table.

    Times show their quartiles, columns named ``... bytes`` a unit, other numbers three digits.
    """
    headings = list(dict.fromkeys(column for row in rows for column in row))

    def cell(column: str, value: Any) -> str:
        if column.endswith("bytes"):
            return amount(value)
        return number(value) if isinstance(value, float) else str(value)

    cells = [[cell(column, row.get(column, "-")) for column in headings] for row in rows]
    widths = [max(len(h), *(len(row[i]) for row in cells)) for i, h in enumerate(headings)]

    def line(items: list[str]) -> str:
        return "| " + " | ".join(item.ljust(w) for item, w in zip(items, widths)) + " |"

    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    return "\n".join([line(headings), rule, *(line(row) for row in cells), ""])
