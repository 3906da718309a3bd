"""How the package is built: who imports whom, how long it is, what it depends on."""

from __future__ import annotations

import ast
import functools
import graphlib
import importlib
import io
import re
import shutil
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "autograd_lite"
MODULES = sorted(PACKAGE.rglob("*.py"))

# What a part of the package may import of the others, beside itself: nothing that stands above it.
ENGINE = {"engine"}
ALLOWED = {
    "engine": set(),
    "rules": ENGINE,
    "losses": ENGINE | {"rules"},
    "nn": ENGINE | {"rules", "losses"},
    "optim": ENGINE | {"nn"},
    "data": ENGINE | {"nn"},
    "checkpoint": ENGINE | {"nn", "optim"},
    "training": ENGINE | {"losses", "nn", "optim", "data", "checkpoint"},
    "sklearn": ENGINE | {"losses", "nn", "optim", "data", "checkpoint", "training"},
    "transforms": ENGINE,
    "checks": ENGINE | {"transforms"},
    "graphs": ENGINE,
}
# Lines of code that each part may have: some 5 % above what it has, so that a repair fits and
# growing takes a decision. Some 320 NumPy and SciPy functions are differentiated in 1,250 lines of
# rules.
LIMITS = {
    "__init__": 130,
    "engine": 2_250,
    "rules": 1_300,
    "losses": 1_000,
    "nn": 1_010,
    "optim": 770,
    "data": 160,
    "checkpoint": 205,
    "training": 545,
    "sklearn": 285,
    "transforms": 1_170,
    "checks": 840,
    "graphs": 1_960,
}
FILE_LIMIT, FUNCTION_LIMIT = 400, 60  # lines of code
# As yet, and a test says when no longer: files that are longer, a part whose files import each
# other, a module that a function hides.
UNCUT: set[str] = set()
CIRCULAR: set[str] = set()
HIDDEN: set[str] = set()
CORE = {"numpy", "graphviz", "autograd_lite"}


def part_of(path: Path) -> str:
    """Return the part of the package that a file belongs to: a module's or a folder's name."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path, *, at_import: bool = False) -> set[str]:
    """Return the full names that a file imports, or only those that importing it imports."""
    tree = parsed(path)
    names = set()
    for node in ast.walk(tree) if not at_import else tree.body:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports name the package, not dots"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def lines_of_code(source: str) -> set[int]:
    """Return the lines that hold code: not blank, not only a comment, not in a docstring."""
    no_code = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in no_code:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def code_lines(source: str) -> int:
    """Return how many lines hold code."""
    return len(lines_of_code(source))


def function_lines(source: str) -> dict[str, int]:
    """Return how many lines of code each function has, those of functions within it included."""
    lines = lines_of_code(source)
    return {
        node.name: len(lines.intersection(range(node.lineno, (node.end_lineno or node.lineno) + 1)))
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
    }


def total(paths: list[Path]) -> int:
    return sum(code_lines(path.read_text(encoding="utf-8")) for path in paths)


def module_name(path: Path) -> str:
    """Return the name by which a file of the package is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_files(modules: list[Path]) -> dict[str, set[str]]:
    """Return which modules of the package each one imports, wherever in the file."""
    names = {module_name(path) for path in modules}
    found = {}
    for path in modules:
        used = set()
        for name in imports(path):
            while name and name not in names:  # a name in a module is no module
                name = name.rpartition(".")[0]
            used.add(name)
        found[module_name(path)] = used - {"", module_name(path)}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_imports_upward(path: Path) -> None:
    part = part_of(path)
    if part == "__init__":
        return
    assert part in ALLOWED, f"say in ALLOWED what {part} may import"
    used = set()
    for name in imports(path):
        pieces = name.split(".")
        if pieces[0] == "autograd_lite":
            assert len(pieces) > 1, f"{path.name} imports the whole package; name the part"
            used.add(pieces[1])
    assert used - {part} <= ALLOWED[part]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_needs_only_the_core_until_it_is_used(path: Path) -> None:
    own = {"sklearn.py": {"sklearn"}, "special.py": {"scipy"}}.get(path.name, set())
    roots = {name.split(".")[0] for name in imports(path, at_import=True)}
    assert roots - CORE - set(sys.stdlib_module_names) <= own


def test_importing_the_package_loads_no_extra() -> None:
    program = "import sys, autograd_lite; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    extras = {"sklearn", "matplotlib", "tqdm", "dask", "safetensors", "torch"}
    assert "autograd_lite" in loaded
    assert not loaded & extras


def test_code_lines_are_counted_without_blanks_comments_and_docstrings() -> None:
    source = '''"""A docstring

    of three lines."""

import math  # counts


# does not
def f(x):
    """Nor does this."""
    text = """but this
    does"""
    return (
        x
    )
'''
    assert code_lines(source) == 7


def test_lines_of_a_function_are_counted_with_those_of_functions_within_it() -> None:
    source = '''
@decorated
def f(x):
    """Count three."""

    def g(y):
        return y  # in g and in f
'''
    assert function_lines(source) == {"f": 3, "g": 2}


@pytest.mark.parametrize("part", sorted(LIMITS))
def test_a_part_stays_readable(part: str) -> None:
    count, limit = total([path for path in MODULES if part_of(path) == part]), LIMITS[part]
    assert count > 0, f"there is no part {part}: strike it from LIMITS"
    assert count <= limit, (
        f"{part} has {count} lines of code, {count - limit} more than its limit of {limit}: say "
        f"the same in fewer, move what another part says better, or, if it is worth reading, raise "
        f"the limit in LIMITS"
    )


def test_a_part_over_its_limit_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    count = total([PACKAGE / "data.py"])
    monkeypatch.setitem(LIMITS, "data", count - 2)
    expected = f"data has {count} lines of code, 2 more than its limit of {count - 2}: say the same"
    with pytest.raises(AssertionError, match=re.escape(expected)):
        test_a_part_stays_readable("data")


def test_every_part_has_a_limit() -> None:
    assert {part_of(path) for path in MODULES} == set(LIMITS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_and_its_functions_stay_readable(path: Path) -> None:
    name, source = str(path.relative_to(PACKAGE)), path.read_text(encoding="utf-8")
    count = code_lines(source)
    long = {f: n for f, n in function_lines(source).items() if n > FUNCTION_LIMIT}
    if name in UNCUT:
        assert long or count > FILE_LIMIT, f"{name} is within the limits: strike it from UNCUT"
        return
    assert count <= FILE_LIMIT, (
        f"{name} has {count} lines of code, and may have {FILE_LIMIT}: cut it where it turns to "
        f"another topic"
    )
    assert not long, (
        f"{name}: a function may have {FUNCTION_LIMIT} lines of code, and these have more: {long}; "
        f"give a part of each a name of its own"
    )


def circle(modules: list[Path]) -> str:
    """Return a circle of imports, drawn as ``a -> b -> a``; nothing if there is none."""
    try:
        graphlib.TopologicalSorter(imported_files(modules)).prepare()
    except graphlib.CycleError as error:
        return " -> ".join(reversed(error.args[1]))
    return ""


def test_no_file_imports_itself_by_way_of_others() -> None:
    assert not circle([path for path in MODULES if part_of(path) not in CIRCULAR])
    for part in CIRCULAR:
        within = circle([path for path in MODULES if part_of(path) == part])
        assert within, f"there is no circle in {part} any more: strike it from CIRCULAR"


def test_a_circle_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    files = {
        "p/__init__.py": "",
        "p/a.py": "from p.b import f",
        "p/b.py": "def f():\n    from p import c",  # late, and yet
        "p/c.py": "import p.a",
        "p/d.py": "from p import a",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    paths = [tmp_path / name for name in files]
    drawn = circle(paths).split(" -> ")
    assert drawn[0] == drawn[-1]
    start = drawn.index("p.a")
    around = drawn[:-1][start:] + drawn[:-1][:start]
    assert around == ["p.a", "p.b", "p.c"]
    assert not circle([path for path in paths if path.name != "c.py"])


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_public_name_hides_a_module(path: Path) -> None:
    name = module_name(path)
    parent, _, own = name.rpartition(".")
    module = importlib.import_module(name)
    if not parent:
        return
    found = getattr(importlib.import_module(parent), own)
    if name in HIDDEN:
        assert found is not module, f"{name} is not hidden any more: strike it from HIDDEN"
        return
    assert found is module, f"{name} is hidden by {found!r}: name the file after what is in it"


def own_files(root: Path = ROOT) -> list[Path]:
    """Return what git tracks; without git, all but what is made, hidden, or in an environment."""
    if (root / ".git").exists() and shutil.which("git"):
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=root, capture_output=True, encoding="utf-8", check=False
        )
        assert listed.returncode == 0, listed.stderr
        return [root / name for name in listed.stdout.split("\0") if (root / name).is_file()]
    made = {"__pycache__", "out", "build", "dist", "node_modules"}
    made |= {path.parent.name for path in root.rglob("pyvenv.cfg")}
    found = []
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        hidden = any(part.startswith(".") and part not in (".ci", ".github") for part in parts[:-1])
        if path.is_file() and not hidden and not made.intersection(parts):
            found.append(path)
    return found


@pytest.mark.parametrize("git", [False, True])
def test_an_environment_within_the_checkout_is_none_of_its_files(git: bool, tmp_path: Path) -> None:
    for name in ("own.py", "env-3.13/pyvenv.cfg", "env-3.13/lib/other.py", ".ci/run"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    if git:
        for command in (["init", "-q"], ["add", "own.py", ".ci/run"]):
            subprocess.run(["git", *command], cwd=tmp_path, check=True)
    assert set(own_files(tmp_path)) == {tmp_path / "own.py", tmp_path / ".ci" / "run"}


def test_no_file_names_a_place_on_one_computer() -> None:
    place = re.compile(r"(?<![\w.])(/(home|root|Users|work|opt|mnt)/|[A-Z]:\\Users)")
    files = [p for p in own_files() if p.suffix in {".py", ".md", ".toml", ".yaml", ".csv", ""}]
    assert ROOT / ".ci" / "run" in files
    assert Path(__file__).resolve() in [p.resolve() for p in files]
    for path in files:
        hit = place.search(path.read_text(encoding="utf-8"))
        assert hit is None, f"{path.relative_to(ROOT)}: {hit}"


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").read_text() == ""
