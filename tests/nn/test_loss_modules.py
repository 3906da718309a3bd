"""Loss modules are the functions, and count what their means divide by."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite import nn

WEIGHT = np.array([0.5, 2.0, 0.0])

# A module, the function with the same settings, and the kind of target.
CASES = {
    "cross-entropy": (nn.CrossEntropyLoss(), ag.cross_entropy, "labels"),
    "ignored": (
        nn.CrossEntropyLoss(ignore_index=1),
        lambda z, y, **kw: ag.cross_entropy(z, y, ignore_index=1, **kw),
        "labels",
    ),
    "weighed": (
        nn.CrossEntropyLoss(WEIGHT, ignore_index=0, label_smoothing=0.1),
        lambda z, y, **kw: ag.cross_entropy(
            z, y, weight=WEIGHT, ignore_index=0, label_smoothing=0.1, **kw
        ),
        "labels",
    ),
    "first axis": (
        nn.CrossEntropyLoss(WEIGHT, axis=0),
        lambda z, y, **kw: ag.cross_entropy(z, y, weight=WEIGHT, axis=0, **kw),
        "labels of columns",
    ),
    "soft": (nn.CrossEntropyLoss(label_smoothing=0.2), None, "soft"),
    "binary": (nn.BCEWithLogitsLoss(), nn.binary_cross_entropy_with_logits, "soft"),
    "binary, weighed": (
        nn.BCEWithLogitsLoss(2.0),
        lambda z, y, **kw: nn.binary_cross_entropy_with_logits(z, y, pos_weight=2.0, **kw),
        "soft",
    ),
    "squares": (nn.MSELoss(), nn.mse_loss, "soft"),
    "absolute": (nn.L1Loss(), nn.l1_loss, "soft"),
    "Huber": (
        nn.HuberLoss(delta=0.3),
        lambda z, y, **kw: nn.huber_loss(z, y, delta=0.3, **kw),
        "soft",
    ),
    "divergence": (nn.KLDivLoss(), nn.kl_div, "soft"),
    "divergence, rows": (
        nn.KLDivLoss("batchmean"),
        lambda z, y, **kw: nn.kl_div(z, y, **{"reduction": "batchmean", **kw}),
        "soft",
    ),
}


def batch(kind, rng, rows):
    z = rng.normal(size=(rows, 3))
    if kind == "soft":
        return z, rng.dirichlet(np.ones(3), rows)
    return (z.T if "columns" in kind else z), rng.integers(3, size=rows)


@pytest.mark.parametrize("case", CASES)
def test_a_module_is_its_function_and_its_count_what_the_mean_divides_by(case):
    module, function, kind = CASES[case]
    function = function or (lambda z, y, **kw: ag.cross_entropy(z, y, label_smoothing=0.2, **kw))
    rng = np.random.default_rng(0)
    for rows in (0, 1, 2, 7, 30):
        z, y = batch(kind, rng, rows)
        assert module(z, y) == function(z, y)
        total, count = function(z, y, reduction="sum"), module.count(z, y)
        assert count == module.count(ag.Tensor(z, requires_grad=True), ag.Tensor(y))
        assert module(z, y) * count == pytest.approx(total, rel=1e-12)
        assert count or not total


@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_a_module_passes_its_reduction_on(reduction):
    rng = np.random.default_rng(0)
    z, y = batch("soft", rng, 5)
    for kind, function in [
        (nn.CrossEntropyLoss, ag.cross_entropy),
        (nn.BCEWithLogitsLoss, nn.binary_cross_entropy_with_logits),
        (nn.MSELoss, nn.mse_loss),
        (nn.L1Loss, nn.l1_loss),
        (nn.HuberLoss, nn.huber_loss),
        (nn.KLDivLoss, nn.kl_div),
    ]:
        found, wanted = kind(reduction=reduction)(z, y), function(z, y, reduction=reduction)
        assert np.array_equal(found, wanted)
        with pytest.raises(
            ValueError, match=f"{kind.__name__}: reduction must be 'mean'.* got 'max'"
        ):
            kind(reduction="max")
    with pytest.raises(ValueError, match="HuberLoss: delta must be positive"):
        nn.HuberLoss(delta=0)
    with pytest.raises(ValueError, match="MSELoss: reduction must be 'mean', 'sum' or 'none'"):
        nn.MSELoss(reduction="batchmean")


@pytest.mark.peer
def test_modules_follow_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    z, soft = batch("soft", rng, 9)
    labels = rng.integers(3, size=9)
    pairs = [
        (nn.CrossEntropyLoss(WEIGHT), torch.nn.CrossEntropyLoss(torch.tensor(WEIGHT)), labels),
        (nn.CrossEntropyLoss(ignore_index=1), torch.nn.CrossEntropyLoss(ignore_index=1), labels),
        (nn.CrossEntropyLoss(), torch.nn.CrossEntropyLoss(), soft),
        (nn.BCEWithLogitsLoss(), torch.nn.BCEWithLogitsLoss(), soft),
        (nn.MSELoss(), torch.nn.MSELoss(), soft),
        (nn.L1Loss(), torch.nn.L1Loss(), soft),
        (nn.HuberLoss(delta=0.5), torch.nn.HuberLoss(delta=0.5), soft),
        (nn.KLDivLoss("batchmean"), torch.nn.KLDivLoss(reduction="batchmean"), soft),
    ]
    for ours, theirs, target in pairs:
        wanted = theirs(torch.tensor(z), torch.tensor(target)).item()
        assert ours(z, target) == pytest.approx(wanted, rel=1e-12)
