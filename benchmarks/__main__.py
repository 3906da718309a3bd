"""Run the benchmarks: ``python -m benchmarks [fused|speed|...|head|transforms ...]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import engines, fused, mapped, tables, timing

KINDS = {
    "fused": "fused against unfused cross-entropy",
    "speed": "the fused loss, forward and backward, float32",
    "accuracy": "error of the gradient, in ulps",
    "ops": "one recorded operation",
    "step": "a training step",
    "head": "classifier head and loss without all logits",
    "transforms": "Jacobian, Hessian, gradients of each example, float32",
}


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    listing = "\n".join(f"  {name:10} {text}" for name, text in KINDS.items())
    p = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time autograd_lite, on one core with one thread.\n\nbenchmarks:\n" + listing,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("kinds", nargs="*", metavar="BENCHMARK", help="which to run (default: all)")
    p.add_argument(
        "--peers", action="store_true", help="beside PyTorch, JAX, HIPS autograd, MyGrad"
    )
    p.add_argument("--quick", action="store_true", help="fewer sizes and calls: under 30 s")
    p.add_argument("--batch", type=int, help="rows, with --classes: your own size only")
    p.add_argument("--classes", type=int, help="classes, with --batch")
    p.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    p.add_argument("--plot", type=Path, metavar="FILE", help="also draw fused against unfused")
    return p


def rows_of(
    kind: str, own_size: tuple[int, int] | None, peers: list[str], quick: bool
) -> tuple[int, Iterator[dict[str, Any]]]:
    """Return how many rows one benchmark has, and the rows."""
    seconds = 0.1 if quick else 1.0
    if kind == "fused":
        sizes = (own_size,) if own_size else fused.SIZES[: 2 if quick else None]
        return 4 * len(sizes) * len(fused.REGIMES), fused.rows(sizes, seconds / 2)
    if kind == "speed":
        small = tuple(size for size in tables.SIZES if size[0] * size[1] <= 128_000)
        sizes = (own_size,) if own_size else small if quick else tables.SIZES
        return len(sizes), tables.cross_entropy_rows(sizes, peers, seconds)
    if kind == "accuracy":
        return 2 * len(tables.LEADS), tables.accuracy_rows(peers)
    if kind == "ops":
        return 1, tables.operation_rows(peers, seconds)
    if kind == "step":
        return len(tables.STEPS), tables.step_rows(peers, seconds)
    if kind == "transforms":
        return 2 * len(mapped.SIZES) + 1, mapped.rows(peers, seconds)
    size = (2048, 64, 4000) if quick else (4096, 256, 32000)
    return 2, tables.head_rows(seconds, *size)


def with_progress(
    count: int, rows: Iterator[dict[str, Any]], kind: str
) -> Iterator[dict[str, Any]]:
    """Return the rows, with a progress bar on a terminal."""
    if sys.stderr.isatty():
        try:
            from tqdm import tqdm
        except ImportError:
            return rows
        return iter(tqdm(rows, desc=kind, total=count, leave=False))
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for, print Markdown tables; return 0."""
    p = parser()
    options = p.parse_args(arguments)
    unknown = set(options.kinds) - set(KINDS)
    if unknown:
        p.error(f"unknown benchmark {', '.join(sorted(unknown))}; there is {', '.join(KINDS)}")
    if (options.batch is None) != (options.classes is None):
        p.error("--batch and --classes go together")
    own_size = None if options.batch is None else (options.batch, options.classes)
    if own_size and min(own_size) < 1:
        p.error("--batch and --classes must be positive")
    kinds = options.kinds or (["fused", "speed"] if own_size else list(KINDS))
    timing.pin_to_one_core()
    versions = engines.installed() if options.peers else {}
    note = timing.machine() + "".join(f", {name} {v}" for name, v in versions.items())
    print(f"{note}\nMedians (and quartiles) of calls made in turn: processor time, one thread.\n")
    figures: dict[str, Any] = {"machine": note}
    for kind in kinds:
        count, rows = rows_of(kind, own_size, list(versions), options.quick)
        figures[kind] = list(with_progress(count, rows, kind))
        print(f"### {kind}: {KINDS[kind]}\n\n{timing.markdown(figures[kind])}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1, default=asdict) + "\n")
    if options.plot:
        from .picture import draw

        draw(figures, options.plot)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
