"""Optimisers, by PyTorch's names and defaults; learning-rate schedules; gradient clipping."""

from autograd_lite.optim.clipping import clip_grad_norm, clip_grad_value, grad_norm
from autograd_lite.optim.lbfgs import LBFGS
from autograd_lite.optim.optimizers import SGD, Adagrad, Adam, AdamW, Lion, Optimizer, RMSprop
from autograd_lite.optim.schedules import (
    ChainedScheduler,
    CosineAnnealingLR,
    LinearLR,
    OneCycleLR,
    ReduceLROnPlateau,
    Schedule,
    SequentialLR,
    StepLR,
)

__all__ = [
    "LBFGS",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "ChainedScheduler",
    "CosineAnnealingLR",
    "LinearLR",
    "Lion",
    "OneCycleLR",
    "Optimizer",
    "RMSprop",
    "ReduceLROnPlateau",
    "Schedule",
    "SequentialLR",
    "StepLR",
    "clip_grad_norm",
    "clip_grad_value",
    "grad_norm",
]


def __dir__() -> list[str]:
    return __all__
