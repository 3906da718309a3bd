"""Kernels of the softmax family: the one place through which the losses call them."""

from autograd_lite.losses.kernels.numpy import (
    cross_entropy,
    log_softmax,
    logsumexp,
    softmax,
    working,
)

__all__ = ["cross_entropy", "log_softmax", "logsumexp", "softmax", "working"]
