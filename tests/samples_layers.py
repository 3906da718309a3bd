"""Samples of the softmax family and of what layers are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

import autograd_lite as ag
from autograd_lite.nn import convolution, functions, layers
from autograd_lite.sklearn import _penalty
from tests.sample import Sample

_rng = np.random.default_rng(21)


def normal(*shape: int) -> np.ndarray:
    """Return normally distributed numbers, without a change to those of other samples."""
    return np.asarray(_rng.standard_normal(shape))


_LABELS = np.array([0, 3, 1])
_TARGETS = np.asarray(_rng.uniform(0.05, 0.5, (3, 4)))
_IMAGES = normal(2, 2, 4, 5)
_WINDOWS = convolution._Windows((2, 3), (2, 1), padding=(1, 0), out=(3, 3))
_COLUMNS = convolution._columns(_IMAGES, _WINDOWS)


def _mapped(x: Any, w: Any) -> Any:
    """Return products of the rows of an array with one that a mapped function closes over."""
    return ag.vmap(lambda row: np.tanh(row) * w)(x)


SAMPLES = [
    Sample(_mapped, normal(3, 4), normal(4)),
    Sample(_penalty, normal(4), np.array([1, 2, 0, 3])),
    Sample(ag.softmax, normal(3, 4)),
    Sample(ag.softmax, normal(2, 3, 2), axis=1),
    Sample(ag.log_softmax, normal(3, 4), axis=0),
    Sample(ag.logsumexp, normal(3, 4)),
    Sample(ag.cross_entropy, normal(3, 4), _LABELS),
    Sample(ag.cross_entropy, normal(3, 4), _LABELS, reduction="none"),
    Sample(ag.cross_entropy, normal(3, 4), _LABELS, label_smoothing=0.2, ignore_index=3),
    Sample(ag.cross_entropy, normal(3, 4), _TARGETS),
    Sample(ag.cross_entropy, normal(4, 3), _TARGETS.T, axis=0, reduction="none"),
    Sample(ag.unfused_cross_entropy, normal(3, 4), _TARGETS),
    Sample(ag.linear_cross_entropy, normal(3, 2), normal(4, 2), _LABELS),
    Sample(ag.linear_cross_entropy, normal(3, 2), normal(4, 2), _LABELS, bias=normal(4), chunk=2),
    Sample(ag.linear_cross_entropy, normal(3, 2), normal(4, 2), _TARGETS, bias=normal(4)),
    Sample(
        ag.linear_cross_entropy, normal(3, 2), normal(4, 2), _TARGETS, bias=normal(4),
        reduction="none",
    ),
    Sample(functions._relu, np.array([[0.3, -0.5, 1.1], [-1.7, 2.0, -0.2]])),
    Sample(functions._sigmoid, normal(2, 3)),
    Sample(functions._softplus, normal(2, 3)),
    Sample(functions._normal_cdf, normal(2, 3)),
    Sample(functions._logistic_loss, normal(2, 3), _TARGETS[:2, :3], 1.0),
    Sample(functions._logistic_loss, normal(2, 3), _TARGETS[:2, :3], 2.5),
    Sample(layers._linear, normal(4, 3), normal(2, 3)),
    Sample(layers._affine, normal(4, 3), normal(2, 3), normal(2)),
    Sample(layers._affine, normal(2, 4, 3), normal(2, 3), normal(2)),
    Sample(layers._normalised, normal(3, 4), (-1,), 1e-3),
    Sample(layers._normalised, normal(2, 3, 4), (0, 2), 1e-3),
    Sample(convolution._columns, _IMAGES, _WINDOWS, linear=True),
    Sample(convolution._images, normal(*_COLUMNS.shape), _IMAGES.shape, _WINDOWS, linear=True),
]  # fmt: skip
