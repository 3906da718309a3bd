"""What completion shows of the package's public modules is what is meant for users."""

from __future__ import annotations

import inspect
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import autograd_lite as ag
import autograd_lite.sklearn

ROOT = Path(__file__).parents[1]
API = ROOT / "docs" / "api"


def public_modules(*modules: ModuleType) -> dict[str, ModuleType]:
    """Return modules by name, with those that they show."""
    found = {}
    for module in modules:
        shown = [getattr(module, name) for name in dir(module)]
        own = [v for v in shown if inspect.ismodule(v) and v.__name__.startswith("autograd_lite")]
        found |= {module.__name__: module} | public_modules(*own)
    return found


PUBLIC = public_modules(ag, autograd_lite.sklearn)


def printed_by(program: str) -> list[str]:
    """Return the words that a program prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def is_ours(value: Any) -> bool:
    name = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", "")
    return name.split(".")[0] == "autograd_lite"


def test_the_public_modules() -> None:
    names = {name.removeprefix("autograd_lite").removeprefix(".") for name in PUBLIC}
    assert names == {
        *("", "checkpoint", "checks", "data", "graphs", "losses", "nn", "nn.init", "optim"),
        *("sklearn", "training", "transforms"),
    }


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_completion_shows_the_public_names_alone(name: str) -> None:
    module = PUBLIC[name]
    assert dir(module) == sorted(module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)
    for shown in dir(module):
        assert not shown.startswith("_")
        assert is_ours(getattr(module, shown)), f"{name}.{shown} is not defined in the package"


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_completion_shows_all_that_a_module_defines_for_users(name: str) -> None:
    module = PUBLIC[name]
    own = {n for n, v in vars(module).items() if getattr(v, "__module__", "") == name}
    assert {n for n in own if not n.startswith("_")} <= set(dir(module))


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_has_a_place_on_a_page(name: str) -> None:
    module = PUBLIC[name]
    pages = "".join(path.read_text(encoding="utf-8") for path in API.glob("*.md"))
    entries = re.findall(r"^::: (\S+)$", pages, re.MULTILINE)
    for shown in dir(module):
        value = getattr(module, shown)
        if not inspect.ismodule(value):
            places = {name, f"{name}.{shown}", value.__module__}
            places |= {f"{value.__module__}.{shown}"}
            places |= {f"{n}.{shown}" for n, m in PUBLIC.items() if getattr(m, shown, 0) is value}
            assert places.intersection(entries), f"no page of docs/api/ names {name}.{shown}"


def test_importing_the_package_loads_the_engine_and_its_rules_alone() -> None:
    program = (
        "import sys, numpy; before = {*sys.modules}; "
        "import autograd_lite; print(*{*sys.modules} - before)"
    )
    loaded = set(printed_by(program))
    own = {name for name in loaded if name.split(".")[0] == "autograd_lite"}
    assert {name.split(".")[1] for name in own if "." in name} == {"engine", "rules"}
    assert len(own) <= 25
    others = loaded - own
    assert not others & {"numpy.ma", "numpy.random", "graphviz", "json", "pathlib", "subprocess"}
    assert len(others) <= 20, f"each takes its time before the first line runs: {sorted(others)}"


def test_every_public_name_loads_what_it_needs() -> None:
    program = f"""
import sys
for name in {ag.__all__}:
    for module in [m for m in sys.modules if m.partition(".")[0] == "autograd_lite"]:
        del sys.modules[module]
    import autograd_lite as ag
    found = getattr(ag, name)
    assert getattr(ag, name) is found, name
    assert vars(ag)[name] is found, name  # not asked for again
    print(name, found.__module__ if hasattr(found, "__module__") else found.__name__)
"""
    words = printed_by(program)
    assert words[::2] == ag.__all__
    assert all(word.startswith("autograd_lite.") for word in words[1::2])


def test_all_names_may_be_imported_by_a_star() -> None:
    assert printed_by("from autograd_lite import *; print(softmax.__name__)") == ["softmax"]
    assert printed_by("import autograd_lite.nn as nn; print(nn.ReLU.__name__)") == ["ReLU"]


def test_threads_may_ask_for_a_name_at_the_same_time() -> None:
    program = """
from concurrent.futures import ThreadPoolExecutor
import autograd_lite as ag
names = ["nn", "fit", "explain", "check_grads", "grad", "softmax", "save", "data"] * 4
with ThreadPoolExecutor(len(names)) as pool:
    found = list(pool.map(lambda name: getattr(ag, name), names))
print(len({*map(id, found)}))
"""
    assert printed_by(program) == ["8"]


def test_a_misspelt_name_is_no_attribute() -> None:
    assert not hasattr(ag, "sofmax")
    with pytest.raises(AttributeError, match=r"^module 'autograd_lite' has no attribute 'sofmax'"):
        ag.sofmax  # type: ignore[attr-defined]  # noqa: B018


def test_the_program_that_type_checkers_check_runs(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "tests" / "typed_program.py"), run_name="__main__")
    assert capsys.readouterr().out.split()[-2:] == ["True", "True"]


def test_the_version_is_the_one_that_is_built() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" in project["project"]["dynamic"]
    assert ROOT / project["tool"]["hatch"]["version"]["path"] == Path(ag.__file__)
    assert re.fullmatch(r"\d+\.\d+\.\d+", ag.__version__)
