"""The derivative rules of NumPy's functions, by kind; and of SciPy's, once that is imported."""

from autograd_lite.engine.table import LATE_RULES
from autograd_lite.rules import elementwise, indexing, linalg, reductions, shapes

LATE_RULES["scipy.special"] = "autograd_lite.rules.special"

__all__ = ["elementwise", "indexing", "linalg", "reductions", "shapes"]
