"""Differentiate plain NumPy: a tensor records a graph, a table of rules plays it backwards.

The engine and its rules are loaded at once; everything else when it is first asked for.
"""

from typing import TYPE_CHECKING

from autograd_lite import rules as rules  # isort: skip
from autograd_lite.engine.modes import no_grad
from autograd_lite.engine.primitives import composite, primitive
from autograd_lite.engine.table import derivative
from autograd_lite.engine.tensor import Tensor

if TYPE_CHECKING:  # what __getattr__ finds, for type checkers and editors
    from autograd_lite import (
        checkpoint,
        checks,
        data,
        graphs,
        losses,
        nn,
        optim,
        training,
        transforms,
    )
    from autograd_lite.checkpoint import load, save
    from autograd_lite.checks import check_closed_form, check_grads
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
        vmap,
    )

__version__ = "0.1.0"

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
    "graphs",
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
    "vmap",
]

_MODULE_OF = {
    "check_closed_form": "checks",
    "check_grads": "checks",
    "compare_graphs": "graphs",
    "cross_entropy": "losses",
    "elementwise_grad": "transforms",
    "evaluate": "training",
    "explain": "graphs",
    "find_nonfinite": "graphs",
    "fit": "training",
    "grad": "transforms",
    "graph": "graphs",
    "hessian": "transforms",
    "hvp": "transforms",
    "jacobian": "transforms",
    "jvp": "transforms",
    "linear_cross_entropy": "losses",
    "load": "checkpoint",
    "log_softmax": "losses",
    "logsumexp": "losses",
    "plot_history": "training",
    "recording": "graphs",
    "save": "checkpoint",
    "softmax": "losses",
    "unfused_cross_entropy": "losses",
    "value_and_grad": "transforms",
    "vjp": "transforms",
    "vmap": "transforms",
}

if not TYPE_CHECKING:  # else no checker would see a misspelt name
    from threading import RLock as _RLock

    _loading = _RLock()  # threads that load parts of one another would wait for each other

    def __getattr__(name: str) -> object:
        """Load what a public name needs, when it is first asked for."""
        import importlib  # here, for completion shows what stands above

        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        with _loading:
            module = importlib.import_module(f"{__name__}.{_MODULE_OF.get(name, name)}")
        if name not in _MODULE_OF:
            return module
        found = globals()[name] = getattr(module, name)
        return found


def __dir__() -> list[str]:
    return __all__
