"""What the rules of scipy.special promise in the modes that SciPy has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
import numpy as np, scipy.special, autograd_lite as ag
assert not isinstance(scipy.special.expit, np.ufunc)
print(ag.grad(scipy.special.expit)(0.0), ag.grad(ag.grad(scipy.special.gammaln))(1.0))
print(ag.explain(scipy.special.expit(ag.Tensor(0.0, requires_grad=True))))
ag.check_grads(scipy.special.xlogy, 0.5, 2.0)
for function in (scipy.special.zeta, scipy.special.polygamma):
    try:
        function(2, ag.Tensor(3.0, requires_grad=True))
    except TypeError as error:
        print(error)
"""


def test_wrapped_ufuncs_have_the_rules_of_ufuncs() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": str(ROOT), "SCIPY_ARRAY_API": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, *explained, zeta, polygamma = done.stdout.splitlines()
    derivative, second = map(float, first.split())
    assert derivative == 0.25
    assert abs(second - 1.6449340668482264) < 1e-15  # π² / 6
    assert any("scipy.special.expit" in line for line in explained)
    assert zeta.startswith("scipy.special.zeta has no derivative rule; add one with")
    assert polygamma.startswith("scipy.special.polygamma of a tensor that requires a gradient")
