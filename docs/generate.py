"""Write what the code itself is the source of in these pages: ``python docs/generate.py``.

That is functions.md, from the table of rules, questions.md, from examples/questions, what each page
shows below a Python block as its output, and the tables of benchmarks.md, from the figures that
``python -m benchmarks --peers --json docs/benchmarks.json`` measured last. Pictures that a block
saves go to docs/pictures. Lines that differ from those there by less than is printed, and pictures
that differ by the widths of a computer's fonts, stay as they are.
"""

import argparse
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from decimal import Decimal
from io import StringIO
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import autograd_lite.rules.special  # noqa: E402, F401  # so that SciPy is listed
from autograd_lite import tape  # noqa: E402
from benchmarks.timing import duration, markdown  # noqa: E402
from examples.questions import SUBJECTS  # noqa: E402
from examples.questions.__main__ import main as print_questions  # noqa: E402

FUNCTIONS = """# Functions covered

Made from the table of rules by `python docs/generate.py`, with NumPy {version}. A function that is
not listed is refused by name; [a rule takes one line](adding_a_rule.md). Operators and methods of
tensors are the functions they stand for: `t @ u` is `np.matmul`, `t.sum()` is `np.sum`. Beside
these there are `ag.softmax`, the cross-entropies and the functions of `ag.nn`.

## {covered} functions with a derivative

A **rule** differentiates the arguments named; optional arguments in the last column are refused. A
**formula** is made of other functions, and takes the arguments named.

| function | kind | arguments | refused |
|---|---|---|---|
{table}

## {count} functions without one

Their results are plain arrays: comparisons, places, counts, shapes.

{constants}
"""
QUESTIONS = """# Five questions

Each was asked in public by somebody who was stuck. All follow from one line: with ŷ = softmax(z),
a one-hot target y and L = −Σ y log ŷ,

    dL/dz = ŷ − y, so dL/dW = Xᵀ(ŷ − y) for z = XW.

This page is what `python -m examples.questions` prints; `python -m examples.questions iris_weights`
prints one of the five, NAMES.

In the tables, a claimed gradient stands beside the one from backpropagation and a numeric one; an
ulp is the distance from one floating-point number to the next.

"""


def arguments(parameters, chosen):
    """Return the chosen parameters' names, those that take any number with a star."""
    stars = {
        inspect.Parameter.VAR_POSITIONAL: r"\*",
        inspect.Parameter.VAR_KEYWORD: r"\*\*",
    }
    return ", ".join(stars.get(p.kind, "") + name for name, p in parameters.items() if chosen(p))


def differentiable(entry):
    """Return the names of the arguments that a primitive has rules for."""
    names = [name for name, rule in zip(entry.parameters, entry.rules) if rule is not None]
    if entry.variadic is not None:
        names[-1] = rf"\*{names[-1]}"
    return ", ".join(names)


def entries():
    """Yield the name of each public function of the table, and its entry."""
    for function, entry in tape.TABLE.items():
        if not getattr(function, "__name__", "_").startswith("_"):
            if not entry.name.startswith("ag."):
                yield entry.name, entry


def functions_page():
    """Return the text of functions.md."""
    table = sorted(dict(entries()).items(), key=lambda row: (row[0].count(".") > 1, row[0].lower()))
    constants = [f"`{name}`" for name, entry in table if isinstance(entry, tape.Constant)]
    lines = []
    for name, entry in table:
        shown = f"`{name}`" if "." in name else name
        if isinstance(entry, tape.Primitive):
            refused = ", ".join(sorted(entry.refused))
            lines.append(f"| {shown} | rule | {differentiable(entry)} | {refused} |")
        elif isinstance(entry, tape.Composite):
            own = inspect.signature(entry.formula).parameters
            lines.append(f"| {shown} | formula | {arguments(own, lambda p: True)} | |")
    version = ".".join(np.__version__.split(".")[:2])
    return FUNCTIONS.format(
        version=version,
        covered=len(lines),
        table="\n".join(lines),
        count=len(constants),
        constants=", ".join(constants),
    )


def questions_page(folder):
    """Return the text of questions.md; the pictures are drawn beside it."""
    pictures = folder / "pictures"
    printed = StringIO()
    sys.argv[1:] = ["--pictures", str(pictures)]
    with redirect_stdout(printed):
        print_questions()
    names = ",\n".join(f"`{name}`" for name in SUBJECTS)
    text = printed.getvalue().replace(f"{pictures.as_posix()}/", "pictures/")
    return QUESTIONS.replace("NAMES", names) + text.rstrip() + "\n"


FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "=== end of block ==="


def programs(text):
    """Return each Python block of a page, and the block of its output right after it, or None."""
    fences = list(FENCE.finditer(text))
    found = []
    for fence, after in zip(fences, [*fences[1:], None]):
        if fence[1] == "python":
            follows = after and after[1] == "text" and not text[fence.end() : after.start()].strip()
            found.append((fence, after if follows else None))
    return found


def program(blocks, folder):
    """Write a page's blocks as one program, and return the path to it."""
    shutil.copytree(HERE.parent / "examples", folder / "examples")
    path = folder / "page.py"
    path.write_text(f"print({MARK!r})\n".join(code[2] for code, _ in blocks), encoding="utf-8")
    return path


# Numbers with so many digits that the last ones are a processor's own, and what fonts decide.
LONG = re.compile(r"(?<![\w.])-?(?=(?:\.?\d){7})\d+\.\d+(?:e[-+]?\d+)?")
FEW_ULPS = re.compile(r"\b\d(\.\d+)? ulp")
GEOMETRY = re.compile(r' (points|d|x|y|width|height|viewBox|transform|[cr][xy])="[^"]*"')


def without_ulps(output):
    """Leave out how many ulps were counted: few, but not the same on every processor."""
    return FEW_ULPS.sub("few ulp", output)


def alike(line, shown):
    """Whether two lines differ by ulps counted and the last digit of long numbers alone."""
    line, shown = without_ulps(line), without_ulps(shown)
    pairs = list(zip(LONG.findall(line), LONG.findall(shown)))
    units = (Decimal(1).scaleb(Decimal(old).as_tuple().exponent) for _, old in pairs)
    near = all(abs(Decimal(new) - Decimal(old)) <= unit for (new, old), unit in zip(pairs, units))
    return LONG.sub("", line) == LONG.sub("", shown) and near


def settled(text, shown):
    """Return a text, in which the lines that a page shows already stay as they are there."""
    lines, known = text.splitlines(keepends=True), shown.splitlines(keepends=True)
    if len(lines) != len(known):
        return text
    return "".join(old if alike(new, old) else new for new, old in zip(lines, known))


def write(path, text):
    """Write a page or a picture, unless it differs by less than is printed."""
    if path.exists():
        shown = path.read_text(encoding="utf-8")
        if path.suffix == ".svg":
            if settled(GEOMETRY.sub("", text), before := GEOMETRY.sub("", shown)) == before:
                return
        elif (text := settled(text, shown)) == shown:
            return
    path.write_text(text, encoding="utf-8")


def outputs(blocks, folder):
    """Return what each of a page's blocks prints, run in order as one program."""
    done = subprocess.run(
        [sys.executable, "-W", "error", program(blocks, folder)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(HERE.parent), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout.split(f"{MARK}\n")


def refreshed(text):
    """Return a page with the outputs that its blocks have now."""
    blocks = programs(text)
    if not blocks:
        return text
    with tempfile.TemporaryDirectory() as folder:
        printed = outputs(blocks, Path(folder))
        for picture in Path(folder).glob("*.svg"):
            write(HERE / "pictures" / picture.name, picture.read_text(encoding="utf-8"))
    for (code, shown), output in reversed(list(zip(blocks, printed))):
        start, end = shown.span() if shown else (code.end(), code.end())
        new = f"```text\n{output}```" if output else ""
        new = settled(new, shown[0]) if shown else new
        text = text[:start] + ("\n\n" * (not shown and bool(new))) + new + text[end:]
    return text


def with_figures(text):
    """Return benchmarks.md with the tables that the recorded figures make: medians alone."""
    figures = json.loads((HERE / "benchmarks.json").read_text(encoding="utf-8"))
    machine = figures.pop("machine")
    text = re.sub(r"(?<=<!-- machine -->\n).*\n", lambda _: f"{machine}.\n", text)

    def table(place):
        kind, *chosen = place[2].split()
        shown = [
            {k: duration(v["median"]) if isinstance(v, dict) else v for k, v in row.items()}
            for row in figures[kind]
            if all(str(row[name]) == value for name, value in (c.split("=") for c in chosen))
        ]
        return f"{place[1]}{markdown(shown)}"

    return re.sub(r"(<!-- (?!machine)(.+) -->\n\n)(?:\|.*\n)*", table, text)


def main():
    """Write the pages, and bring the outputs in all others up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only-pages", type=Path, metavar="FOLDER", help="write the pages here")
    folder = parser.parse_args().only_pages
    if folder is None and not shutil.which("dot"):
        sys.exit(
            "python docs/generate.py draws the pictures of the pages, and needs Graphviz's program "
            "dot for the tables in them; install Graphviz (apt-get install graphviz, brew install "
            "graphviz, winget install graphviz). Nothing was written."
        )
    figures = (HERE / "benchmarks.md").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as drawn:
        questions = questions_page(Path(drawn))
        for picture in () if folder else Path(drawn).rglob("*.svg"):
            write(HERE / "pictures" / picture.name, picture.read_text(encoding="utf-8"))
    write((folder or HERE) / "functions.md", functions_page())
    write((folder or HERE) / "questions.md", questions)
    write((folder or HERE) / "benchmarks.md", with_figures(figures))
    if folder is None:
        for page in (HERE.parent / "README.md", *HERE.rglob("*.md")):
            write(page, refreshed(page.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
