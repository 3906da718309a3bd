"""The softmax family: softmax, log-softmax, logsumexp, and the cross-entropy, fused and unfused.

:mod:`autograd_lite.losses.fused` says how the cross-entropy keeps its digits, and its conventions.
"""

from autograd_lite.losses.fused import cross_entropy
from autograd_lite.losses.linear import linear_cross_entropy
from autograd_lite.losses.probabilities import log_softmax, logsumexp, softmax
from autograd_lite.losses.unfused import unfused_cross_entropy

__all__ = [
    "cross_entropy",
    "linear_cross_entropy",
    "log_softmax",
    "logsumexp",
    "softmax",
    "unfused_cross_entropy",
]


def __dir__() -> list[str]:
    return __all__
