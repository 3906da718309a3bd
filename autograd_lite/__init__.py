"""Differentiate plain NumPy: a tensor records a graph, a table of rules plays it backwards."""

from autograd_lite import rules as rules  # isort: skip
from autograd_lite import checkpoint, checks, data, losses, nn, optim, training, transforms
from autograd_lite.checkpoint import load, save
from autograd_lite.checks import check_closed_form, check_grads
from autograd_lite.engine.modes import no_grad
from autograd_lite.engine.primitives import composite, primitive
from autograd_lite.engine.table import derivative
from autograd_lite.engine.tensor import Tensor
from autograd_lite.graphs import compare_graphs, explain, find_nonfinite, graph, recording
from autograd_lite.losses import (
    cross_entropy,
    linear_cross_entropy,
    log_softmax,
    logsumexp,
    softmax,
    unfused_cross_entropy,
)
from autograd_lite.training import evaluate, fit, plot_history
from autograd_lite.transforms import (
    elementwise_grad,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    value_and_grad,
    vjp,
)

__all__ = [
    "Tensor",
    "check_closed_form",
    "check_grads",
    "checkpoint",
    "checks",
    "compare_graphs",
    "composite",
    "cross_entropy",
    "data",
    "derivative",
    "elementwise_grad",
    "evaluate",
    "explain",
    "find_nonfinite",
    "fit",
    "grad",
    "graph",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "linear_cross_entropy",
    "load",
    "log_softmax",
    "logsumexp",
    "losses",
    "nn",
    "no_grad",
    "optim",
    "plot_history",
    "primitive",
    "recording",
    "save",
    "softmax",
    "training",
    "transforms",
    "unfused_cross_entropy",
    "value_and_grad",
    "vjp",
]


def __dir__() -> list[str]:
    return __all__
