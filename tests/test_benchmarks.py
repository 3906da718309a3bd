"""The benchmarks run, and what they print is what was measured."""

from __future__ import annotations

import json
import math
import os
import re
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite.transforms.trees import flatten
from benchmarks import engines, fused, mapped, picture, tables, timing
from benchmarks.__main__ import KINDS, main


@pytest.fixture(autouse=True)
def _not_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "pin_to_one_core", lambda: None)
    monkeypatch.setattr(timing, "BURST", 1e-4)


@pytest.fixture
def _briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (fused, mapped, tables):
        monkeypatch.setattr(module, "in_turn", lambda calls, _: timing.in_turn(calls, 0.01))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


@pytest.mark.usefixtures("_briefly")
def test_a_size_of_ones_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data, chart = tmp_path / "figures.json", tmp_path / "chart.png"
    size = ("--batch", "16", "--classes", "5")
    out = run(capsys, "fused", *size, "--quick", "--json", str(data), "--plot", str(chart))
    figures = json.loads(data.read_text())
    rows = figures["fused"]
    assert figures["machine"] in out
    assert f"NumPy {np.__version__}" in figures["machine"]
    assert len(rows) == 4 * len(fused.REGIMES)
    assert out.count("\n| 16 ") == len(rows)
    assert {(r["batch"], r["classes"]) for r in rows} == {(16, 5)}
    for r in rows:
        assert 0 < r["time"]["lower"] <= r["time"]["median"] <= r["time"]["upper"]
        assert r["peak bytes"] > 0
        if r["loss"] == "fused":
            assert r["nodes"] == 1
            assert r["loss in ulps"] < 5
            assert r["gradient in ulps"] < 7
        else:
            assert r["nodes"] > 5
    bad = {
        r["logits"] for r in rows if r["gradient in ulps"] > 1e6 or math.isnan(r["loss in ulps"])
    }
    assert bad == {"saturated"}
    assert chart.read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("_briefly")
@pytest.mark.parametrize("kind", ["accuracy", "ops", "step", "transforms"])
def test_the_other_tables(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    out = run(capsys, kind, "--quick")
    assert f"### {kind}: {KINDS[kind]}" in out
    lines = [line for line in out.splitlines() if line.startswith("|")]
    assert len(lines) > 3
    assert len({line.count("|") for line in lines}) == 1


def test_the_head(capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(tables.head_rows(0.01, 256, 8, 4000))
    assert [r["head"] for r in rows] == ["linear_cross_entropy", "x @ w.T, cross_entropy"]
    assert all(r["memory / logits"] > 0 for r in rows)


@pytest.mark.slow
def test_quick_ends_in_half_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    start = time.perf_counter()
    out = run(capsys, "--quick")
    assert time.perf_counter() - start < 30
    for kind in KINDS:
        assert f"### {kind}: " in out


@pytest.mark.peer
def test_the_peers_compute_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    names = list(engines.installed())
    assert "PyTorch" in names
    logits, labels = fused.problem(8, 3, np.float32, "ordinary")
    ours = engines.ours_cross_entropy(logits, labels)()
    for name in engines.peers_of(names):
        theirs = np.asarray(engines.CROSS_ENTROPIES[name](logits, labels)())
        np.testing.assert_allclose(theirs, ours, rtol=1e-5)
    out = run(capsys, "speed", "--peers", "--batch", "8", "--classes", "3", "--quick")
    assert "PyTorch" in out
    rng = np.random.default_rng(0)
    x, w, b = (rng.normal(size=4) for _ in range(3))
    ours = engines.ours_chain(x, w, b, 3)()
    for name in set(names) & set(engines.CHAINS):
        theirs = np.asarray(engines.CHAINS[name](x, w, b, 3)())
        assert theirs.shape == ours.shape


def test_by_hand_and_ours_compute_the_same_step() -> None:
    rng = np.random.default_rng(1)
    x, labels = rng.normal(size=(20, 6)), rng.integers(3, size=20)
    w, b = rng.normal(size=(6, 3)), np.zeros(3)
    ours, by_hand = engines.ours_step(x, labels, w, b)(), engines.by_hand_step(x, labels, w, b)()
    np.testing.assert_allclose(ours[0].data, by_hand[0], rtol=1e-13)
    for found, expected in zip(ours[1:], by_hand[1:]):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-15)


def test_bad_arguments_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["speeed"], "unknown benchmark speeed; there is fused, speed"),
        (["--batch", "3"], "--batch and --classes go together"),
        (["--batch", "0", "--classes", "3"], "--batch and --classes must be positive"),
    ):
        with pytest.raises(SystemExit):
            main(arguments)
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit, match="draws the benchmark 'fused'"):
        picture.draw({}, Path("unwritten.png"))


def test_the_chart_puts_each_ratio_on_its_side_of_one() -> None:
    row = {"batch": 32, "classes": 3}
    row |= {f"/ {peer}": ratio for peer, ratio in zip(picture.MARKS, (0.5, 1.0, 4.0))}
    svg = picture.ratios([row])
    ElementTree.fromstring(svg)
    (one,) = re.findall(r'class="one" d="M([\d.]+) ', svg)
    marks = re.findall(r'class="m(\d)" transform="translate\(([\d.]+) 66\)"', svg)
    left, middle, right = (float(x) for _, x in sorted(marks))
    assert left < middle < right
    assert middle == float(one)
    assert right - middle == pytest.approx(2 * (middle - left), abs=0.2)  # twice as far: 4 and 1/2
    assert ">32 x 3</text>" in svg


def test_times_are_taken_in_turn() -> None:
    order: list[str] = []

    def call(name: str, size: int) -> Any:
        return lambda: (order.append(name), sum(range(size)))

    timings = timing.in_turn({"a": call("a", 1_000), "b": call("b", 20_000)}, 0.02)
    assert order[:2] == ["a", "b"]
    assert "".join(order).count("ab") >= 3
    assert 0 < timings["a"].median < timings["b"].median
    assert timings["a"].calls == order.count("a") - 1


def test_peak_memory_counts_the_result() -> None:
    assert 8e6 <= timing.peak_bytes(lambda: np.zeros(1_000_000)) < 8.1e6


def test_units() -> None:
    assert [timing.duration(v) for v in (2.5, 1.5e-3, 2e-6, 3e-8)] == [
        "2.5 s", "1.5 ms", "2 µs", "30 ns",
    ]  # fmt: skip
    assert [timing.amount(v) for v in (3 * 2**30, 1.5 * 2**20, 2048, 10)] == [
        "3 GiB", "1.5 MiB", "2 KiB", "10 B",
    ]  # fmt: skip
    row = {"x": 0.123456, "kept bytes": 2048, "t": timing.Timing(2e-3, 1e-3, 3e-3, 5)}
    table = timing.markdown([row, {"x": 1.0, "kept bytes": 1}])
    assert table.startswith("| x     | kept bytes | t")
    assert "| 0.123 | 2 KiB      | 2 ms (1 ms to 3 ms) |" in table
    assert table.rstrip().endswith("| 1     | 1 B        | -                   |")


def test_what_a_graph_keeps() -> None:
    x = ag.Tensor(np.zeros((4, 5)), requires_grad=True)
    labels = np.zeros(4, int)
    assert fused.kept_bytes(ag.cross_entropy(x, labels), x._values) == labels.nbytes + 4 * 5 * 8
    assert fused.kept_bytes(np.exp(x), x._values) == 4 * 5 * 8


def test_timing_pins_only_where_the_system_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    assert timing.pin_to_one_core() is None


def test_what_transforms_are_compared_with_computes_the_same() -> None:
    for runs in (*mapped.matrix_runs(7, []).values(), mapped.example_runs([])):
        ours, loop = (flatten(run())[0] for run in runs.values())
        for a, b in zip(ours, loop, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.peer
def test_other_libraries_transforms_compute_the_same() -> None:
    names = list(engines.installed())
    for runs in (*mapped.matrix_runs(7, names).values(), mapped.example_runs(names)):
        ours, *others = (run() for run in runs.values())
        assert len(others) == 2
        for other in others:
            for a, b in zip(flatten(ours)[0], flatten(other)[0], strict=True):
                np.testing.assert_allclose(a, np.asarray(b), rtol=1e-4, atol=1e-5)
