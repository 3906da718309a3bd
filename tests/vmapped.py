"""Which functions of the table vmap does at once, told by trying their samples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from unittest import mock

import numpy as np

import autograd_lite as ag
from autograd_lite.engine.table import TABLE
from autograd_lite.transforms import batch
from tests.harness import applied, entry_name
from tests.sample import Sample


def is_batched(sample: Sample) -> bool:
    """Whether the value and the gradient of a call are computed at once for all examples."""
    rows = [np.stack([a, 0.97 * a]) for a in sample.arrays]

    def pulled(*arrays: Any) -> Any:
        value, pull = ag.vjp(lambda *a: applied(sample, a), *arrays)
        return pull(value)

    with mock.patch.object(batch, "one_by_one", wraps=batch.one_by_one) as looped:
        with np.errstate(all="ignore"):
            ag.vmap(pulled)(*rows)
    return not looped.called


def vmapped(samples: Iterable[Sample]) -> dict[str, bool]:
    """Return for each public function of the table whether all its calls are done at once."""
    found: dict[str, bool] = {}
    for sample in samples:
        function: Any = sample.function
        function = function if function in TABLE else getattr(function, "__wrapped__", None)
        module = getattr(function, "__module__", None) or "numpy"
        if function in TABLE and sample.arrays and not module.startswith("autograd_lite"):
            name = entry_name(function)
            found[name] = is_batched(sample) and found.get(name, True)
    return found
