"""Transforms: functions that turn a function of arrays into its derivatives.

Arguments are arrays, floats, tensors, or nested dicts, lists and tuples of them, whose classes are
kept; where two are matched, dictionaries are by key. Arrays give arrays, floats give floats,
tensors give tensors, so transforms nest to any order. A function that does not depend on an
argument has the derivative zero in it.

Results are tensors too where the function closes over a tensor that requires a gradient, so that
they can be differentiated further with respect to it (a gradient penalty, say); under ``no_grad``
nothing is, and they are arrays.
"""

from autograd_lite.transforms.forward import hvp, jvp
from autograd_lite.transforms.mapped import vmap
from autograd_lite.transforms.matrices import hessian, jacobian
from autograd_lite.transforms.reverse import elementwise_grad, grad, value_and_grad, vjp

__all__ = [
    "elementwise_grad",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "value_and_grad",
    "vjp",
    "vmap",
]


def __dir__() -> list[str]:
    return __all__
