"""The samples of every function of the table that needs some."""

from __future__ import annotations

import autograd_lite.rules.special  # noqa: F401 (otherwise loaded when scipy.special is used)
from tests import samples_elementwise, samples_linalg, samples_reductions, samples_shapes

SAMPLES = [
    *samples_elementwise.SAMPLES,
    *samples_reductions.SAMPLES,
    *samples_shapes.SAMPLES,
    *samples_linalg.SAMPLES,
]
