"""What the tests and the docstrings' examples have in common."""

from __future__ import annotations

from typing import Any

import hypothesis
import numpy as np
import pytest

import autograd_lite as ag

hypothesis.settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(autouse=True, scope="session")
def _names_of_docstrings(doctest_namespace: dict[str, Any]) -> None:
    doctest_namespace.update(np=np, ag=ag)
