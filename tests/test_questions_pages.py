"""The five questions: their numbers, and which cells of the claimed gradients are wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from examples.questions import SUBJECTS
from examples.questions.__main__ import main

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def printed(subject: str, capsys: pytest.CaptureFixture[str], folder: Path) -> str:
    import_module(f"examples.questions.{subject}").answer(folder)
    return capsys.readouterr().out


def tables(page: str) -> list[str]:
    """Return the reports among the blocks of a page."""
    return [block for block in BLOCK.findall(page) if "claimed" in block]


def wrong_cells(table: str) -> dict[str, float]:
    """Return the cells marked as wrong, and by how much they are."""
    found = re.findall(r"^ *(\[[\d,]*\])  WRONG .* ([-+][\d.e+-]+)$", table, re.MULTILINE)
    return {cell: float(size) for cell, size in found}


@pytest.fixture
def page(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> str:
    return printed(request.param, capsys, tmp_path)


def of(subject: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", [subject], indirect=True, ids=[""])


@of("who_lowers_the_others")
def test_the_gradient_reaches_the_other_classes(page: str) -> None:
    assert "\nfused: loss 1.203973, dL/dz\n[-0.7  0.6  0.1]\n" in page  # -log 0.3
    right, belief = tables(page)
    assert wrong_cells(right) == {}
    assert "agrees with backpropagation" in right
    assert wrong_cells(belief) == {"[1]": -0.6, "[2]": -0.1}
    assert "cells are left at zero that the loss reaches too" in belief
    rows = re.findall(r"^step +\d+ +ŷ = \((.*)\)$", page, re.MULTILINE)
    shown = [[float(p) for p in row.split(", ")] for row in rows]
    assert shown[0] == [0.3, 0.6, 0.1]
    assert all(abs(sum(row) - 1) < 2e-4 for row in shown)
    assert [row[0] for row in shown] == sorted(row[0] for row in shown)
    assert shown[-1][0] > 0.98
    assert "the right class's probability rose at every step: True" in page


@of("iris_weights")
def test_both_claims_about_iris_are_wrong_in_the_other_column(page: str) -> None:
    assert "z = (0.23, 1.15)" in page
    assert "ŷ = (0.284958, 0.715042)" in page
    assert "loss 1.255414" in page
    assert "1.255413 is quoted" in " ".join(page.split())
    question, reply, right = tables(page)
    for claim in (question, reply):
        assert wrong_cells(claim) == {"[0,1]": -1.35858, "[1,1]": -0.286017}
        assert "wrong in 2 of 4 cells" in claim
        assert "left at zero" in claim
    assert wrong_cells(right) == {}
    assert "(1.358580, 0.286017)" in page  # ŷ₁ x


@of("which_neuron")
def test_the_gradient_sums_to_zero_not_one(page: str) -> None:
    right, softmax = tables(page)
    assert wrong_cells(right) == {}
    assert wrong_cells(softmax) == {"[2]": 1.0}
    assert "p in place of p - y" in softmax
    assert re.findall(r"in (\d+)%$", page, re.MULTILINE) == ["100", "100"]
    assert "label 2: only −log ŷ₂" in " ".join(page.split())  # counted as the cells are


@of("probability_minus_target")
def test_probability_minus_target_is_right(page: str) -> None:
    right, flipped, transposed = tables(page)
    assert wrong_cells(right) == {}
    assert len(wrong_cells(flipped)) == 9
    assert "Likely cause: the sign is flipped." in flipped
    assert len(wrong_cells(transposed)) == 6
    assert "Likely cause: the matrix is transposed." in transposed
    assert "every |dC/dw| is below 1e-15: True" in page


@of("zero_for_other_classes")
def test_the_claim_of_zeros_is_wrong_in_every_cell(page: str) -> None:
    assert "dL/dz\n[ 0.1  0.2  0.1 -0.6  0.2]\n" in page
    claim, right, in_probabilities = tables(page)
    assert wrong_cells(claim) == {"[0]": -0.1, "[1]": -0.2, "[2]": -0.1, "[3]": 1.2, "[4]": -0.2}
    assert "the sign is flipped, and cells are left at zero" in claim
    assert wrong_cells(right) == wrong_cells(in_probabilities) == {}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_fused_and_unfused_agree_and_the_graph_is_drawn(
    subject: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = printed(subject, capsys, tmp_path)
    assert float(re.findall(r"the gradients differ by (.*) ulp at most", page)[0]) <= 8
    asked, answered = page.index("\n> "), page.index("\n\n**")
    assert asked < answered < page.index("```")  # the answer in words, before what shows it
    assert "cross_entropy" in (tmp_path / f"{subject}.svg").read_text(encoding="utf-8")


def test_one_page_can_be_asked_for_by_name(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.questions", "iris_weights", "--pictures", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n## ") + done.stdout.startswith("## ") == 1


def test_a_page_that_does_not_exist_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["questions", "iris"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    message = "no page is called 'iris'; there are who_lowers_the_others, iris_weights"
    assert message in capsys.readouterr().err
