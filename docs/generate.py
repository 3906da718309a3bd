"""Write what the code itself is the source of in these pages: ``python docs/generate.py``.

That is functions.md, from the table of rules, questions.md, from examples/questions, what each page
shows below a Python block as its output, and the tables of benchmarks.md and speed.md and their
picture, from the figures that ``python -m benchmarks --peers --json docs/benchmarks.json`` measured
last. Pictures and pages to step through that a block saves go to docs/pictures. Lines that differ
from those there by less than is printed stay as they are.
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
from autograd_lite.engine import table  # noqa: E402
from autograd_lite.graphs.layout import own_program  # noqa: E402
from benchmarks.picture import ratios  # noqa: E402
from benchmarks.timing import duration, markdown  # noqa: E402
from examples.questions.__main__ import main as print_questions  # noqa: E402
from tests.harness import is_elementwise, ufunc_samples  # noqa: E402
from tests.samples import SAMPLES  # noqa: E402
from tests.vmapped import vmapped  # noqa: E402

FUNCTIONS = """# Functions covered

Made from the table of rules by `python docs/generate.py`, with NumPy {version}. A function that is
not listed is refused by name; [a rule takes one line](adding_a_rule.md). Operators and methods of
tensors are the functions they stand for: `t @ u` is `np.matmul`, `t.sum()` is `np.sum`. Beside
these there are `ag.softmax`, the cross-entropies and the functions of `ag.nn`.

## {covered} functions with a derivative

A **rule** differentiates the arguments named; optional arguments under "refused" are refused. A
**formula** is made of other functions, and takes the arguments named. For [`ag.vmap`](vmap.md),
{looped} of them take some call or gradient one example after the other (**looped**); the others do
all at once.

| function | kind | arguments | refused | vmap |
|---|---|---|---|---|
{table}

## {count} functions without one

Their results are plain arrays: comparisons, places, counts, shapes.

{constants}
"""
QUESTIONS = """# Five questions

Each was asked in public by somebody who was stuck. All follow from one line: with ŷ = softmax(z),
a one-hot target y and L = −Σ y log ŷ,

    dL/dz = ŷ − y, so dL/dW = Xᵀ(ŷ − y) for z = XW.

This page is what `python -m examples.questions` prints; `--help` says how to print one of the five.

The answer stands first, then what shows it. Classes, inputs and cells are counted from 0, in the
questions as in the code. In the tables, a claimed gradient stands beside the one from
backpropagation and a numeric one; an ulp is the distance from one floating-point number to the
next.

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
    for function, entry in table.TABLE.items():
        if not getattr(function, "__name__", "_").startswith("_"):
            if not entry.name.startswith("ag."):
                yield entry.name, entry


def functions_page():
    """Return the text of functions.md."""
    rows = sorted(dict(entries()).items(), key=lambda row: (row[0].count(".") > 1, row[0].lower()))
    constants = [f"`{name}`" for name, entry in rows if isinstance(entry, table.Constant)]
    elementwise = [
        s for f in table.TABLE if is_elementwise(f) for s in ufunc_samples(table.TABLE[f])
    ]
    looped = {name for name, at_once in vmapped([*elementwise, *SAMPLES]).items() if not at_once}
    lines = []
    for name, entry in rows:
        vmap = "looped" if name in looped else ""
        shown = f"`{name}`" if "." in name else name
        if isinstance(entry, table.Primitive):
            refused = ", ".join(
                sorted(entry.parameters[i] for i, allowed in entry.options.items() if not allowed)
            )
            lines.append(f"| {shown} | rule | {differentiable(entry)} | {refused} | {vmap} |")
        elif isinstance(entry, table.Composite):
            own = inspect.signature(entry.formula).parameters
            lines.append(f"| {shown} | formula | {arguments(own, lambda p: True)} | | {vmap} |")
    version = ".".join(np.__version__.split(".")[:2])
    return FUNCTIONS.format(
        version=version,
        covered=len(lines),
        looped=len(looped),
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
    text = printed.getvalue().replace(f"{pictures.as_posix()}/", "pictures/")
    return QUESTIONS + text.rstrip() + "\n"


WITH_FIGURES = ("benchmarks.md", "speed.md")
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


# Numbers with so many digits that the last ones are a processor's own.
LONG = re.compile(r"(?<![\w.])-?(?=(?:\.?\d){7})\d+\.\d+(?:e[-+]?\d+)?")
FEW_ULPS = re.compile(r"\b\d(\.\d+)? ulp")


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
        text = settled(text, path.read_text(encoding="utf-8"))
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
        for picture in (*Path(folder).glob("*.svg"), *Path(folder).glob("*.html")):
            write(HERE / "pictures" / picture.name, picture.read_text(encoding="utf-8"))
    for (code, shown), output in reversed(list(zip(blocks, printed))):
        start, end = shown.span() if shown else (code.end(), code.end())
        new = f"```text\n{output}```" if output else ""
        new = settled(new, shown[0]) if shown else new
        text = text[:start] + ("\n\n" * (not shown and bool(new))) + new + text[end:]
    return text


def figures():
    """Return the figures that were recorded last."""
    return json.loads((HERE / "benchmarks.json").read_text(encoding="utf-8"))


def with_figures(text):
    """Return a page with the tables that the recorded figures make: medians alone.

    A comment above a table names the benchmark, values that rows must have, and the columns:
    ``<!-- accuracy dtype=float32: label ahead by, PyTorch -->``.
    """
    recorded = figures()
    text = re.sub(r"(?<=<!-- machine -->\n).*\n", f"{recorded.pop('machine')}.\n", text)

    def table(place):
        rows, _, columns = place[2].partition(": ")
        kind, *chosen = rows.split()
        shown = []
        for row in recorded[kind]:
            if all(str(row[name]) == value for name, value in (c.split("=") for c in chosen)):
                row |= {k: duration(v["median"]) for k, v in row.items() if isinstance(v, dict)}
                if "classes" in row:
                    row["size"] = f"{row['batch']} x {row['classes']}"
                shown.append({name: row[name] for name in columns.split(", ") if name in row})
        # No line ends between a number and its unit, or within 128 x 10.
        tied = re.sub(r"(?<=\d) (?=[^\s|])|(?<=\d x) (?=\d)", "\N{NO-BREAK SPACE}", markdown(shown))
        return f"{place[1]}{tied}"

    return re.sub(r"(<!-- (?!machine)(.+) -->\n\n)(?:\|.*\n)*", table, text)


def main():
    """Write the pages, and bring the outputs in all others up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only-pages", type=Path, metavar="FOLDER", help="write the pages here")
    folder = parser.parse_args().only_pages
    if folder is None and own_program() is None:
        sys.exit(
            "python docs/generate.py draws the pictures of the pages, the same everywhere by the "
            'program of the extra "svg": python -m pip install -e ".[svg]". Nothing was written.'
        )
    for name, text in (
        ("functions.md", functions_page()),
        ("questions.md", questions_page(folder or HERE)),
        *((name, with_figures((HERE / name).read_text("utf-8"))) for name in WITH_FIGURES),
        ("pictures/benchmarks.svg", ratios(figures()["speed"])),
    ):
        write((folder or HERE) / name, text)
    if folder is None:
        for page in (HERE.parent / "README.md", *HERE.rglob("*.md")):
            write(page, refreshed(page.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
