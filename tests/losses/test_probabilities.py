"""Softmax and its logs as functions of tensors; tests of the kernels have their values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autograd_lite as ag


@pytest.mark.parametrize("function", [ag.softmax, ag.log_softmax, ag.logsumexp])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_and_its_logs_to_third_order(function: Any, axis: int) -> None:
    z = np.random.default_rng(5).normal(size=(2, 3, 1))
    ag.check_grads(lambda t: function(t, axis), z, order=3)
