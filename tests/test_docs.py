"""The pages of docs/: programs print what they show, links lead somewhere, nothing is stale."""

from __future__ import annotations

import ast
import doctest
import inspect
import os
import pkgutil
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite.engine.table import TABLE
from tests.pages import generate

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
STALE = "if the new output is right, run: python docs/generate.py"
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture
def _same_table_after() -> Iterator[None]:
    """Leave the rules that a page enters to that page."""
    before = dict(TABLE)
    yield
    TABLE.clear()
    TABLE.update(before)


@pytest.mark.usefixtures("_same_table_after")
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_prints_what_it_says(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    blocks = generate.programs(path.read_text(encoding="utf-8"))
    if not blocks:
        return
    # Not in a process of its own, which starts more slowly than most pages run.
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(generate.program(blocks, tmp_path)))
    outputs = capsys.readouterr().out.split(f"{generate.MARK}\n")
    for output, (code, shown) in zip(outputs, blocks, strict=True):
        expected = shown[2] if shown else ""
        assert generate.settled(output, expected) == expected, f"{code[2]}\n{STALE}"


@pytest.mark.parametrize("path", [ROOT / "README.md", *PAGES], ids=lambda path: path.stem)
def test_a_pages_links_lead_somewhere(path: Path) -> None:
    text = generate.FENCE.sub("", path.read_text(encoding="utf-8"))
    for link in LINK.findall(text):
        if not link.startswith(("https:", "#")):
            assert (path.parent / link.partition("#")[0]).exists(), link


def test_the_calls_of_the_composed_loss_are_counted_in_words_as_in_the_output() -> None:
    text = (DOCS / "softmax_cross_entropy.md").read_text(encoding="utf-8")
    assert "is nine recorded calls" in text
    assert "composed loss: nine calls" in text
    assert "\n```text\n9 np.subtract, " in text


def documented() -> dict[str, Any]:
    """Return the functions and classes that the package or a page of docs/api/ names."""
    found = {f"autograd_lite.{name}": getattr(ag, name) for name in dir(ag)}
    for page in sorted((DOCS / "api").glob("*.md")):
        for path in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            value = pkgutil.resolve_name(path)
            found[path] = value
            if inspect.ismodule(value):
                own = {f"{path}.{name}": v for name, v in vars(value).items()}
                found |= {n: v for n, v in own.items() if getattr(v, "__module__", "") == path}
    public = {n: v for n, v in found.items() if not n.rpartition(".")[2].startswith("_")}
    called = {n: v for n, v in public.items() if inspect.isclass(v) or inspect.isroutine(v)}
    errors = {n for n, v in called.items() if inspect.isclass(v) and issubclass(v, Exception)}
    return {n: v for n, v in called.items() if n not in errors}  # raised in others' examples


DOCUMENTED = documented()


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_a_public_name_says_what_it_takes_and_gives_an_example(name: str) -> None:
    value = DOCUMENTED[name]
    text = inspect.getdoc(value) or ""
    assert re.search(r"^Examples\n-{8}$(?s:.*)^>>> ", text, re.MULTILINE), f"{name} has no example"
    if inspect.isclass(value) and issubclass(value, dict):
        return  # made as a dictionary is
    for parameter in inspect.signature(value).parameters:
        assert re.search(rf"\b{parameter}\b", text), f"{name} does not mention {parameter}"


def test_pictures_do_not_say_where_they_were_made() -> None:
    pictures = [path for kind in ("svg", "json", "html") for path in DOCS.rglob(f"*.{kind}")]
    assert pictures
    for path in pictures:
        text = path.read_text(encoding="utf-8")
        assert "&#10;/" not in text, path.name  # a line of a tip that is an absolute path
        assert str(ROOT) not in text, path.name


@pytest.mark.parametrize("name", ["index", "questions", "backpropagation"])
def test_a_page_to_step_through_is_embedded(name: str) -> None:
    text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    (source,) = re.findall(r'<iframe src="([^"]+)" title="[^"]+"', text)
    assert f"]({source})" in text  # also to be opened in a window of its own
    page = (DOCS / source).read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    script = (ROOT / "autograd_lite" / "graphs" / "explorer.js").read_text(encoding="utf-8")
    assert f"<script>{script}</script>" in page, STALE


def test_the_pages_are_all_in_the_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for path in PAGES:
        assert f": {path.relative_to(DOCS).as_posix()}\n" in menu


def test_the_style_and_the_script_of_the_site_are_there() -> None:
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = re.findall(r"^extra_(?:css|javascript): \[(.*)\]$", settings, re.MULTILINE)
    assert sorted(named) == ["as_file.js", "site.css"]
    script = (DOCS / "as_file.js").read_text(encoding="utf-8")
    folder = re.search(r"^site_dir: (.*)$", settings, re.MULTILINE)
    assert folder
    assert f"http.server -d {folder[1]}<" in script
    assert all((DOCS / name).is_file() for name in named)


def test_generated_pages_are_current(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-W", "error", DOCS / "generate.py", "--only-pages", tmp_path],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        timeout=120,
        check=True,
    )
    made = [*sorted(tmp_path.glob("*.md")), tmp_path / "pictures" / "benchmarks.svg"]
    names = ["benchmarks.md", "functions.md", "questions.md", "speed.md", "benchmarks.svg"]
    assert [path.name for path in made] == names
    version = re.search(r"with NumPy ([\d.]+)\.", (DOCS / "functions.md").read_text("utf-8"))
    assert version
    if not np.__version__.startswith(f"{version[1]}."):
        made.pop(1)  # it lists the functions of another NumPy
    for path in made:
        shown = (DOCS / path.relative_to(tmp_path)).read_text(encoding="utf-8")
        assert generate.settled(path.read_text(encoding="utf-8"), shown) == shown, STALE


SHOWN = "loss 1.25541385, 3 steps\n  [0] 0.2860168 and 0.2860168: 1 ulp\n"


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        (SHOWN, True),
        (SHOWN.replace("385", "386").replace("0168:", "0169:").replace("1 ulp", "0 ulp"), True),
        (SHOWN.replace("385", "387"), False),  # two units of the last digit
        (SHOWN.replace("1.25541385", "1.2554138"), False),
        (SHOWN.replace("3 steps", "4 steps"), False),
        (SHOWN.replace("1 ulp", "11 ulp"), False),
        (SHOWN + "one line more\n", False),
    ],
)
def test_what_differs_by_less_than_is_printed_stays_as_it_is(
    text: str, stays: bool, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text(SHOWN, encoding="utf-8")
    generate.write(page, text)
    assert page.read_text(encoding="utf-8") == (SHOWN if stays else text)


def test_without_the_program_that_draws_nothing_is_generated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {path: path.stat().st_mtime_ns for path in DOCS.rglob("*.*")}
    monkeypatch.setattr(sys, "argv", ["generate.py"])
    monkeypatch.setattr(generate, "own_program", lambda: None)
    with pytest.raises(SystemExit, match=r'extra "svg".* Nothing was written'):
        generate.main()
    assert {path: path.stat().st_mtime_ns for path in DOCS.rglob("*.*")} == before


OUTPUT = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", [ROOT / "README.md", *PAGES], ids=lambda path: path.stem)
def test_pages_print_no_digits_of_a_processor_s_own(path: Path) -> None:
    for output in OUTPUT.findall(path.read_text(encoding="utf-8")):
        assert not too_long(output)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "autograd_lite").rglob("*.py")), ids=lambda p: p.stem
)
def test_docstrings_print_no_digits_of_a_processor_s_own(path: Path) -> None:
    parser = doctest.DocTestParser()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)):
            for example in parser.get_examples(ast.get_docstring(node) or ""):
                assert not too_long(example.want)


def too_long(output: str) -> list[str]:
    """Return the numbers of more than 10 significant digits."""
    numbers = re.findall(r"\d+\.\d+", output)
    return [number for number in numbers if len(number.replace(".", "").lstrip("0")) > 10]
