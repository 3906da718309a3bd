"""What the tests and the docstrings' examples have in common."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from typing import Any

import pytest

# Read when NumPy is loaded. Of small matrices, two threads spend the time on waiting for each
# other, and many times the time on a busy computer.
for _library in ("OPENBLAS", "OMP", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

MOST_WORKERS = 8  # with more, the seconds that each takes to import everything are the longest part


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes share the tests: one per processor, but none to run single files.

    ``-n 0`` on the command line says the same for any selection, and ``-n 4`` wants four.
    """
    everywhere = os.cpu_count() or 1
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else everywhere
    single = all(".py" in argument for argument in config.args)
    return 0 if single or cpus == 1 else min(cpus, MOST_WORKERS)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Load all rules, and keep the garbage collector from going through all tests again and again.

    The package would load some later: when a test, having changed the table, will put it back.
    """
    import autograd_lite as ag

    for name in ag.__all__:
        getattr(ag, name)
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests have counted."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture(autouse=True, scope="session")
def _names_of_docstrings(doctest_namespace: dict[str, Any]) -> None:
    import numpy as np

    import autograd_lite as ag

    doctest_namespace.update(np=np, ag=ag)


@pytest.fixture(autouse=True)
def _rules_of_docstrings(request: pytest.FixtureRequest) -> Generator[None, None, None]:
    """Leave the rules that a docstring's example enters to that example."""
    from autograd_lite.engine.table import TABLE

    before = dict(TABLE) if isinstance(request.node, pytest.DoctestItem) else None
    yield
    if before is not None:
        TABLE.clear()
        TABLE.update(before)
