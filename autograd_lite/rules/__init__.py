"""The derivative rules of NumPy's functions, by kind; and of SciPy's, once that is imported."""

from autograd_lite.rules import elementwise, indexing, linalg, reductions, shapes
from autograd_lite.tape import LATE_RULES

LATE_RULES["scipy.special"] = "autograd_lite.rules.special"

__all__ = ["elementwise", "indexing", "linalg", "reductions", "shapes"]
