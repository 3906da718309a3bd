"""The kernels for arrays of any kind keep what those of ndarrays are tested for."""

from __future__ import annotations

import numpy as np
import pytest

from autograd_lite.losses.kernels import whole
from tests.losses.kernels import test_numpy
from tests.losses.kernels.test_numpy import (  # noqa: F401
    _precise,
    test_a_saturated_row_under_a_tiny_smoothing_keeps_its_gradient,
    test_any_axis_holds_the_classes,
    test_float16_is_computed_in_float32,
    test_longdouble_keeps_its_digits,
    test_losses_and_gradients_are_right_to_a_few_ulps_in_every_regime,
    test_soft_targets_and_smoothing_keep_their_digits,
    test_softmax_and_its_logs_are_right_to_a_few_ulps,
    test_special_rows,
    test_the_loss_is_the_same_whether_a_gradient_is_formed_or_not,
)


@pytest.fixture(autouse=True)
def _those_of_any_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_numpy, "kernels", whole)
    # NumPy's sums of long rows round a little more than those of short pieces by BLAS.
    bounds = {np.float32: (4.5, 4.5, 6.0), np.float64: (3.5, 4.5, 5.5)}
    monkeypatch.setattr(test_numpy, "BOUNDS", bounds)
    monkeypatch.setattr(test_numpy, "SOFT", 8)
