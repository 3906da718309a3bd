"""A plain training loop, with what training needs around it, and exact resumption."""

from autograd_lite.training.evaluation import accuracy, evaluate
from autograd_lite.training.history import History, plot_history
from autograd_lite.training.loop import fit

__all__ = ["History", "accuracy", "evaluate", "fit", "plot_history"]


def __dir__() -> list[str]:
    return __all__
