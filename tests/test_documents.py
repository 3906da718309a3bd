"""What the documents say, run: the README, and every example."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pages import generate

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "=== end of block ==="
# What has the examples that train for long do what they do, but less of it. (Runs are killed among
# the tests of training.)
BRIEFLY = {
    "character_model": ["--epochs", "1"],
    "digits_convnet": ["--epochs", "1"],
    "digits_mlp": ["--epochs", "1"],
    "resume_after_kill": ["--kills", "0"],
}
ACCURACY = {"digits_convnet": 0.98, "digits_mlp": 0.97}


def run(*args: str, cwd: Path) -> str:
    """Run Python, warnings being errors, and return what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-W", "error", *args],
        cwd=cwd,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def readme_programs() -> list[tuple[str, str]]:
    """Return each Python block of the README and the output shown right after it, if any."""
    fences = list(FENCE.finditer(README))
    return [
        (
            fence[2],
            after[2]
            if after is not None
            and after[1] == "text"
            and not README[fence.end() : after.start()].strip()
            else "",
        )
        for fence, after in zip(fences, [*fences[1:], None])
        if fence[1] == "python"
    ]


def test_the_readme_prints_what_it_says(tmp_path: Path) -> None:
    programs = readme_programs()
    script = f"print({MARK!r})\n".join(code for code, _ in programs)
    (tmp_path / "readme.py").write_text(script, encoding="utf-8")
    outputs = run("readme.py", cwd=tmp_path).split(f"{MARK}\n")
    assert len(outputs) == len(programs) > 3
    for output, (code, shown) in zip(outputs, programs):
        assert generate.settled(output, shown) == shown, code


def test_the_quick_start_has_ten_lines_and_shows_its_output() -> None:
    code, shown = readme_programs()[0]
    assert code.index("import numpy") < code.index("backward")
    assert len([line for line in code.splitlines() if line]) <= 10
    assert shown


def test_the_readmes_commands_are_those_that_are_checked() -> None:
    commands = [fence[2] for fence in FENCE.finditer(README) if fence[1] == "bash"]
    assert commands[:2] == [
        'python -m pip install -e ".[examples]" && python examples/softmax_classifier.py\n',
        'python -m pip install -e ".[dev]" && python -m pytest\n',
    ]
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r"^python -m pip install .*-e \"\.\[dev\]\"$", ci, re.MULTILINE)
    assert re.search(r"^python -m pytest\b", ci, re.MULTILINE)


def test_the_scikit_learn_that_is_installed_is_new_enough_for_the_classifiers() -> None:
    source = (ROOT / "autograd_lite/sklearn.py").read_text(encoding="utf-8")
    needed = re.search(r"scikit-learn ([\d.]+) or later", source)
    asked = re.findall(r"scikit-learn>=([\d.]+)", (ROOT / "pyproject.toml").read_text("utf-8"))
    assert needed
    assert len(asked) > 1
    assert set(asked) == {needed[1]}


def test_the_pythons_that_are_named_are_those_that_are_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [c.rpartition(" ")[2] for c in project["classifiers"] if "Python :: 3." in c]
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    tested = re.search(r"^ +python: \[(.*)\]$", workflow, re.MULTILINE)
    assert tested
    assert re.findall(r"[\d.]+", tested[1]) == named
    assert project["requires-python"] == f">={named[0]}"
    assert re.search(r"^ +- run: \.ci/run$", workflow, re.MULTILINE)


Execute = Callable[..., str]


@pytest.fixture
def execute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Execute:
    """Return a function that runs a program here, where the libraries are loaded already."""

    def executed(path: Path, *arguments: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        monkeypatch.setattr(sys, "argv", [str(path), *arguments])
        runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out

    return executed


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_runs_and_says_what_there_is(
    path: Path, tmp_path: Path, execute: Execute, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 80
    with pytest.raises(SystemExit):
        execute(path, "--help")
    assert "usage:" in capsys.readouterr().out
    output = execute(path, *BRIEFLY.get(path.stem, []))
    assert output
    for drawn in re.findall(r"\bout/\w+\.\w+", output):
        assert (tmp_path / drawn).stat().st_size > 0


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_as_it_is_within_a_minute(path: Path, tmp_path: Path) -> None:
    start = time.perf_counter()
    output = run(str(path), cwd=tmp_path)
    assert time.perf_counter() - start < 60
    accuracy = re.search(r"^test accuracy (.*)$", output, re.MULTILINE)
    assert float(accuracy[1] if accuracy else 1) > ACCURACY.get(path.stem, 0)


@pytest.mark.parametrize("data", ["iris", "digits"])
def test_the_classifier_learns_and_agrees_with_the_closed_form(
    data: str, tmp_path: Path, execute: Execute
) -> None:
    output = execute(ROOT / "examples/softmax_classifier.py", "--data", data)
    losses = [float(n) for n in re.findall(r"^step.*loss (.*)$", output, re.MULTILINE)]
    assert len(losses) > 5
    assert losses == sorted(losses, reverse=True)
    train, test = map(float, re.findall(r"(?:train|test) (0\.\d+|1\.0+)\b", output))
    assert train > 0.93
    assert test > 0.93
    ulps = {name: float(n) for name, n in re.findall(r"^ +(\w+) +([\d.]+)$", output, re.MULTILINE)}
    assert ulps["fused"] <= 4
    assert ulps["unfused"] > ulps["fused"]
    dot = (tmp_path / "out/softmax_classifier.dot").read_text(encoding="utf-8")
    assert dot.startswith("digraph")
    for name in ("W", "b", "cross_entropy"):
        assert name in dot
    svg = (tmp_path / "out/softmax_classifier.svg").read_text(encoding="utf-8")
    assert "<svg" in svg


def test_the_classifier_names_what_to_install_for_the_digits(
    execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)  # as if it were not installed
    with pytest.raises(SystemExit) as stopped:
        execute(ROOT / "examples/softmax_classifier.py", "--data", "digits")
    assert stopped.value.code == (
        '--data digits needs scikit-learn: python -m pip install -e ".[examples]"'
    )


def test_the_iris_measurements_are_complete_and_their_origin_is_named() -> None:
    from sklearn.datasets import load_iris

    lines = (ROOT / "examples/data/iris.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "sepal_length_cm,sepal_width_cm,petal_length_cm,petal_width_cm,species"
    rows = [line.split(",") for line in lines[1:]]
    known = load_iris()
    assert [[float(v) for v in row[:4]] for row in rows] == known.data.tolist()
    assert [row[4] for row in rows] == known.target_names[known.target].tolist()
    origin = (ROOT / "examples/data/README.md").read_text(encoding="utf-8")
    for word in ("Fisher", "UCI", "CC BY 4.0"):
        assert word in origin
