"""How the package is built: who imports whom, how long it is, what it depends on."""

from __future__ import annotations

import ast
import functools
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

# What a part of the package may import of the others, beside itself.
ALLOWED = {
    "tape": set(),
    "tensor": {"tape"},
    "rules": {"tape", "tensor"},
    "transforms": {"tape", "tensor"},
    "checks": {"tape", "tensor", "transforms"},
    "softmax_kernels": set(),
    "softmax": {"tape", "tensor", "rules", "softmax_kernels"},
    "graphs": {"tape", "tensor"},
    "nn": {"tape", "tensor", "rules", "softmax"},
    "optim": {"tape", "tensor", "nn"},
    "data": {"tape", "tensor", "nn"},
    "checkpoint": {"tape", "tensor", "nn", "optim"},
    "training": {"tape", "tensor", "softmax", "nn", "optim", "data", "checkpoint"},
    "sklearn": {"tape", "tensor", "softmax", "nn", "optim", "data", "checkpoint", "training"},
}
# Lines of code that each part may have: a little above what it has, so that growing takes a
# decision. Some 320 NumPy and SciPy functions are differentiated in 1,150 lines of rules.
LIMITS = {
    "__init__": 50,
    "tape": 625,
    "tensor": 760,
    "rules": 1_200,
    "transforms": 255,
    "checks": 470,
    "softmax": 480,
    "softmax_kernels": 300,
    "graphs": 1_600,
    "nn": 770,
    "optim": 550,
    "data": 120,
    "training": 415,
    "checkpoint": 185,
    "sklearn": 270,
}
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


def code_lines(source: str) -> int:
    """Return how many lines hold code: not blank, not only a comment, not in a docstring."""
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
    return len(lines)


def total(paths: list[Path]) -> int:
    return sum(code_lines(path.read_text(encoding="utf-8")) for path in paths)


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
    extras = {"sklearn", "matplotlib", "tqdm", "dask", "safetensors", "wasmtime", "torch"}
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


@pytest.mark.parametrize("part", sorted(LIMITS))
def test_a_part_stays_readable(part: str) -> None:
    assert 0 < total([path for path in MODULES if part_of(path) == part]) <= LIMITS[part]


def test_every_part_has_a_limit() -> None:
    assert {part_of(path) for path in MODULES} == set(LIMITS)


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
