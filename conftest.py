"""What the tests and the docstrings' examples have in common."""

from __future__ import annotations

import gc
import os
from typing import Any

# Read when NumPy is loaded. Of small matrices, two threads spend the time on waiting for each
# other, and many times the time on a busy computer.
for _library in ("OPENBLAS", "OMP", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import hypothesis  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

import autograd_lite as ag  # noqa: E402

hypothesis.settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("repeatable")


def pytest_collection_finish() -> None:
    """Keep the garbage collector from going through thousands of tests again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _names_of_docstrings(doctest_namespace: dict[str, Any]) -> None:
    doctest_namespace.update(np=np, ag=ag)
