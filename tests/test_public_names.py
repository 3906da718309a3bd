"""What completion shows of the package's public modules is what is meant for users."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import autograd_lite as ag
import autograd_lite.sklearn

API = Path(__file__).parents[1] / "docs" / "api"


def public_modules(*modules: ModuleType) -> dict[str, ModuleType]:
    """Return modules by name, with those that they show."""
    found = {}
    for module in modules:
        shown = [getattr(module, name) for name in dir(module)]
        own = [v for v in shown if inspect.ismodule(v) and v.__name__.startswith("autograd_lite")]
        found |= {module.__name__: module} | public_modules(*own)
    return found


PUBLIC = public_modules(ag, autograd_lite.sklearn)


def is_ours(value: Any) -> bool:
    name = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", "")
    return name.split(".")[0] == "autograd_lite"


def test_the_public_modules() -> None:
    names = {name.removeprefix("autograd_lite").removeprefix(".") for name in PUBLIC}
    assert names == {
        *("", "checkpoint", "checks", "data", "losses", "nn", "nn.init", "optim", "sklearn"),
        *("training", "transforms"),
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
