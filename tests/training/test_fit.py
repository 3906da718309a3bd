from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import autograd_lite as ag
from autograd_lite import nn
from autograd_lite.training import History, accuracy


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda file: None)  # milliseconds for each checkpoint


def problem(seed=0, n=60):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    return x, (x[:, 0] + x[:, 1] > 0).astype(int), rng


def parts(seed=0, batch_size=10, **settings):
    x, y, rng = problem(seed)
    model = nn.Sequential(
        nn.Linear(4, 8, rng=rng), nn.ReLU(), nn.Dropout(0.2, rng=rng), nn.Linear(8, 2, rng=rng)
    )
    data = ag.data.Batches(x, y, batch_size=batch_size, rng=rng)
    optimizer = ag.optim.Adam(model.parameters(), lr=0.02)
    return model, ag.cross_entropy, data, optimizer


def bits(model):
    return {name: value.tobytes() for name, value in model.state_dict().items()}


def quiet(*args, **kwargs):
    return ag.fit(*args, progress=False, **kwargs)


def test_it_learns_and_keeps_a_history():
    model, loss, data, optimizer = parts()
    x, y, _ = problem()
    validation = ag.data.Batches(x, y, batch_size=25, shuffle=False)
    history = quiet(
        model,
        loss,
        data,
        optimizer,
        epochs=30,
        validation=validation,
        metrics={"accuracy": accuracy},
    )
    assert list(history) == ["epoch", "loss", "lr", "val_loss", "val_accuracy"]
    assert history["epoch"] == list(range(1, 31))
    assert history["loss"][-1] < 0.3 < history["loss"][0]
    assert history["val_accuracy"][-1] > 0.95
    assert history["val_accuracy"][-1] == accuracy(model.eval()(x), y)
    assert isinstance(history["loss"][0], float)


def test_the_plain_loop_gives_the_same_bits():
    model, loss, data, optimizer = parts()
    history = quiet(model, loss, data, optimizer, epochs=3)
    other, loss, data, optimizer = parts()
    for _ in range(3):
        total = 0.0
        for x, y in data:
            optimizer.zero_grad()
            value = loss(other(x), y)
            value.backward()
            optimizer.step()
            total += value.item() * len(y)
    assert bits(model) == bits(other)
    assert history["loss"][-1] == total / 60


def test_accumulated_batches_are_one_larger_batch():
    def run(batch_size, accumulate):
        x, y, rng = problem()
        model = nn.Linear(4, 2, rng=rng, dtype=float)
        data = ag.data.Batches(x.astype(float), y, batch_size=batch_size, shuffle=False)
        quiet(
            model,
            ag.cross_entropy,
            data,
            ag.optim.SGD(model.parameters(), lr=0.5),
            epochs=2,
            accumulate=accumulate,
        )
        return model.state_dict()["weight"]

    assert np.allclose(run(20, 1), run(5, 4), rtol=1e-12)
    assert np.allclose(run(60, 1), run(12, 99), rtol=1e-12)  # what is left at the end counts fully


def test_evaluate_weighs_batches_by_length_and_restores_the_mode():
    model, loss, _, _ = parts()
    x, y, _ = problem()
    whole = ag.evaluate(model, loss, [(x, y)], {"accuracy": accuracy})
    uneven = ag.evaluate(model, loss, [(x[:7], y[:7]), (x[7:], y[7:])], {"accuracy": accuracy})
    assert whole["loss"] == pytest.approx(uneven["loss"], rel=1e-6)
    assert whole["accuracy"] == pytest.approx(uneven["accuracy"], rel=1e-12)
    assert model.training
    ag.evaluate(model.eval(), loss, [(x, y)])
    assert not model.training


def test_accuracy_counts_rows():
    logits = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0]])
    assert accuracy(logits, [0, 2]) == 0.5
    assert accuracy(ag.Tensor(logits), ag.Tensor([0, 1])) == 1.0
    assert accuracy(np.stack([logits, logits]), np.array([[0, 1], [1, 1]], np.uint8)) == 0.75
    assert accuracy(logits[:, :2], np.array([False, True])) == 1.0
    assert accuracy(logits[0], 0) == 1.0


@pytest.mark.parametrize(
    ("logits", "target", "got"),
    [
        (np.eye(3), [[0], [1], [2]], r"\(3, 3\) and \(3, 1\) of int64"),
        (np.eye(3), np.eye(3, dtype=int), r"\(3, 3\) and \(3, 3\) of int64"),
        (np.eye(3), 1, r"\(3, 3\) and \(\) of int64"),
        (np.eye(3), [0.0, 1.0, 2.0], r"\(3, 3\) and \(3,\) of float64"),
        ([[5.0], [-5.0]], [[1], [0]], r"\(2, 1\) and \(2, 1\) of int64"),
        ([[5.0], [-5.0]], [1, 0], r"\(2, 1\) and \(2,\) of int64"),
        (2.0, 1, r"\(\) and \(\) of int64"),
    ],
)
def test_accuracy_refuses_what_would_broadcast(logits, target, got):
    expected = r"expected logits of shape \(..., classes >= 2\) and integer labels of shape \(...\)"
    with pytest.raises(ValueError, match=rf"training\.accuracy: {expected}, got {got}"):
        accuracy(logits, target)


def test_early_stopping_goes_back_to_the_best_weights():
    model, _, data, optimizer = parts()
    scores = iter([3.0, 1.0, 2.0, 2.0, 0.0])
    seen = []

    def validated(prediction, target):
        if model.training:
            return ag.cross_entropy(prediction, target)
        seen.append(bits(model))
        return next(scores)

    x, y, _ = problem()
    history = quiet(model, validated, data, optimizer, epochs=9, validation=[(x, y)], patience=2)
    assert history["val_loss"] == [3, 1, 2, 2]
    assert bits(model) == seen[1]


def test_callbacks_stop_and_see_the_history():
    model, loss, data, optimizer = parts()
    seen = []

    def callback(m, history):
        assert m is model
        seen.append(len(history["loss"]))
        return len(seen) == 2

    assert quiet(model, loss, data, optimizer, epochs=9, callbacks=[callback])["epoch"] == [1, 2]
    assert seen == [1, 2]


def test_schedules_move_by_epoch_or_step_and_plateau_watches_the_loss():
    model, loss, data, optimizer = parts()
    schedule = ag.optim.StepLR(optimizer, 1, 0.5)
    assert quiet(model, loss, data, optimizer, epochs=3, schedule=schedule)["lr"] == [
        0.02,
        0.01,
        0.005,
    ]
    schedule = ag.optim.StepLR(optimizer, 6, 0.5)
    quiet(model, loss, data, optimizer, epochs=2, schedule=schedule, schedule_every="step")
    assert schedule.count == 12
    plateau = ag.optim.ReduceLROnPlateau(optimizer, patience=0, threshold=1.0)
    quiet(model, loss, data, optimizer, epochs=4, schedule=plateau)
    assert plateau.count == 3


def test_max_norm_limits_the_step():
    model, loss, data, _ = parts()
    before = model.state_dict()["0.weight"]
    optimizer = ag.optim.SGD(model.parameters(), lr=1.0)
    quiet(model, loss, data, optimizer, epochs=1, max_norm=1e-3)
    assert 0 < np.linalg.norm(model.state_dict()["0.weight"] - before) <= 6e-3


@pytest.mark.parametrize("max_norm", [None, 0.05])
def test_parameters_that_the_optimizer_does_not_hold_change_nothing(max_norm):
    def trained(frozen):
        model, loss, data, _ = parts()
        for p in model[0].parameters():
            p.requires_grad = not frozen
        optimizer = ag.optim.SGD(model[3].parameters(), lr=0.1)
        history = quiet(model, loss, data, optimizer, epochs=3, max_norm=max_norm)
        assert model[0].weight.grad is None
        return bits(model), history["loss"]

    assert trained(False) == trained(True)


def test_max_norm_counts_parameters_outside_the_model():
    model, _, data, _ = parts()
    scale = ag.Tensor([1.0], requires_grad=True)
    optimizer = ag.optim.SGD([*model.parameters(), scale], lr=1.0)
    quiet(
        model,
        lambda p, t: ag.cross_entropy(p, t) + np.sum(1e3 * scale),
        data,
        optimizer,
        epochs=1,
        max_norm=1e-3,
    )
    assert scale.numpy()[0] == pytest.approx(1 - 6e-3, rel=1e-6)


# ---------------------------------------------------------------------------- loud failures


def test_nan_in_the_data_stops_before_the_step_and_is_named():
    model, loss, _, optimizer = parts()
    x, y, _ = problem()
    x[25, 1] = np.nan
    data = ag.data.Batches(x, y, batch_size=10, shuffle=False)
    message = r"fit: the loss is nan at epoch 1, step 3 \(batch 3\); 1 values of x are not finite"
    with pytest.raises(FloatingPointError, match=message):
        quiet(model, loss, data, optimizer, epochs=1)
    assert all(np.isfinite(value).all() for value in model.state_dict().values())


@pytest.mark.parametrize("accumulate", [1, 2, 99])
@pytest.mark.parametrize("late", ["loss", "gradient", "validation"])
def test_a_refused_step_leaves_the_buffers_of_the_steps_before(accumulate, late):
    x, y, _ = problem()
    x = x.astype(float)
    bad = x.copy()
    bad[35, 1] = np.nan
    labels = np.split(y, 6)

    class Normed(nn.Module):
        def __init__(self):
            rng = np.random.default_rng(0)
            self.layers = [nn.Linear(4, 4, rng=rng, dtype=float), nn.BatchNorm1d(4, dtype=float)]
            self.counts = {"seen": np.zeros(1)}
            self.fixed = np.ones(4)
            self.fixed.setflags(write=False)
            self.last = np.zeros(0)

        def forward(self, x):
            self.last = x[:, 0].copy()
            if self.training:
                self.counts["seen"] += len(x)
            return self.layers[1](self.layers[0](x)) * self.fixed

    def run(x, batches, loss=ag.cross_entropy, **settings):
        model = Normed()
        data = list(zip(np.split(x, 6), labels))[:batches]
        optimizer = ag.optim.SGD(model.parameters(), lr=0.1)
        try:
            quiet(model, loss, data, optimizer, epochs=1, accumulate=accumulate, **settings)
        except FloatingPointError as error:
            return model, str(error)
        return model, ""

    def steep(prediction, target):
        value = ag.cross_entropy(prediction, target)
        return value + np.sqrt(np.sum(prediction * 0.0)) if target is labels[3] else value

    if late == "loss":
        model, message = run(bad, 6)
        assert "the loss is nan at epoch 1, step " in message
    elif late == "gradient":
        model, message = run(x, 6, steep)
        assert "the step was not taken" in message
    else:
        model, message = run(x, 6, validation=[(bad, y)])
        assert "validation loss is nan" in message
    taken = 6 if late == "validation" else {1: 3, 2: 2, 99: 0}[accumulate]
    expected = run(x, taken)[0] if taken else Normed()
    for name, value in model.state_dict().items():
        if name != "last":
            assert np.array_equal(value, expected.state_dict()[name]), name
    assert model.counts["seen"] == 10 * taken


def test_a_loss_that_diverges_is_named_with_its_step():
    model, loss, data, _ = parts()
    optimizer = ag.optim.SGD(model.parameters(), lr=1e30)
    with pytest.raises(
        FloatingPointError, match=r"not finite at epoch|is (nan|inf) at epoch 1, step \d"
    ):
        with np.errstate(all="ignore"):
            quiet(model, loss, data, optimizer, epochs=5)
    assert all(np.isfinite(value).all() for value in model.state_dict().values())


@pytest.mark.parametrize("max_norm", [None, 1.0])
def test_a_gradient_that_is_not_finite_is_named(max_norm):
    x, y, rng = problem()
    model = nn.Linear(4, 1, bias=False, rng=rng)
    ag.nn.init.zeros_(model.weight)

    def loss(prediction, target):
        return np.mean(np.sqrt(np.abs(prediction) * 1.0))

    data = ag.data.Batches(x, y, batch_size=10, shuffle=False)
    with pytest.raises(
        FloatingPointError, match="the gradient of weight is not finite at epoch 1, step 1"
    ):
        quiet(
            model,
            lambda p, t: np.mean(np.sqrt(p)),
            data,
            ag.optim.SGD(model.parameters()),
            epochs=1,
            max_norm=max_norm,
        )
    assert not model.weight.numpy().any()
    scale = ag.Tensor([0.0], requires_grad=True)
    with pytest.raises(
        FloatingPointError, match="the gradient of a parameter outside the model is not finite"
    ):
        quiet(
            model,
            lambda p, t: np.mean(p) + np.sum(np.sqrt(scale)),
            data,
            ag.optim.SGD([*model.parameters(), scale]),
            epochs=1,
            max_norm=max_norm,
        )


@pytest.mark.parametrize("patience", [None, 3])
def test_a_validation_loss_that_is_not_finite_is_named(patience):
    model, loss, data, optimizer = parts()
    x, y, _ = problem()
    x[3, 1] = np.nan
    with pytest.raises(FloatingPointError, match="fit: the validation loss is nan after epoch 1; "):
        quiet(model, loss, data, optimizer, epochs=9, validation=[(x, y)], patience=patience)
    x[3, 1] = 0
    scores = iter([1.0, np.inf])

    def later(prediction, target):
        return loss(prediction, target) if model.training else next(scores)

    with pytest.raises(FloatingPointError, match="validation loss is inf after epoch 2"):
        quiet(model, later, data, optimizer, epochs=9, validation=[(x, y)], patience=patience)
    assert model.training


def test_no_batches_are_no_epoch_and_no_score():
    model, loss, data, optimizer = parts()
    x, y, _ = problem()
    remedy = "gave no batches; an iterator gives its own only once: pass a list or Batches"
    for nothing in ([], [(x[:0], y[:0])]):
        with pytest.raises(ValueError, match=f"evaluate: the data {remedy}"):
            ag.evaluate(model, lambda p, t: np.sum(p), nothing)
    assert model.training
    with pytest.raises(ValueError, match=f"fit: the data of epoch 2 {remedy}"):
        quiet(model, loss, iter([(x, y)]), optimizer, epochs=2)
    with pytest.raises(ValueError, match=f"fit: the validation data after epoch 2 {remedy}"):
        quiet(model, loss, data, optimizer, epochs=4, validation=zip([x], [y]), patience=2)
    assert quiet(model, loss, iter([(x, y)]), optimizer, epochs=1)["epoch"] == [1]


def test_bad_arguments_are_named(tmp_path):
    model, loss, data, optimizer = parts()
    x, y, _ = problem()
    with pytest.raises(TypeError, match="fit: the model must be a Module, not builtin_function"):
        quiet(abs, loss, data, optimizer, epochs=1)
    with pytest.raises(TypeError, match=r"one of ag\.optim, but not LBFGS"):
        quiet(model, loss, data, ag.optim.LBFGS(model.parameters()), epochs=1)
    with pytest.raises(TypeError, match=r"to resume exactly, the data must be ag\.data\.Batches"):
        quiet(model, loss, [(x, y)], optimizer, epochs=1, checkpoint=tmp_path / "a.npz")
    with pytest.raises(TypeError, match=r"fit: the data of epoch 1 must be pairs \(x, target\)"):
        quiet(model, loss, iter([x]), optimizer, epochs=1)
    with pytest.raises(TypeError, match="must give a single number that depends on the parameters"):
        quiet(model, lambda p, t: 1.0, data, optimizer, epochs=1)
    other = nn.Linear(4, 2, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="fit: the optimizer holds no parameter of the model"):
        quiet(other, loss, data, optimizer, epochs=1)


PAIRS = r"must be pairs \(x, target\), one a batch: give ag\.data\.Batches\(x, target\), or \[\(x"
FOLDER = "fit: make the folder of the checkpoint no_such_folder/a.npz first"
_X = np.zeros((2, 4), np.float32)
_SCALE = ag.Tensor([1.0], requires_grad=True)
_OTHER = ag.optim.StepLR(ag.optim.SGD([_SCALE]), 1)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"epochs": -1}, ValueError, "fit: epochs must be an integer of at least 0, got -1"),
        ({"epochs": 1.5}, ValueError, "fit: epochs must be an integer of at least 0, got 1.5"),
        ({"accumulate": 0}, ValueError, "fit: accumulate must be an integer of at least 1, got 0"),
        ({"patience": 2}, ValueError, "fit: metrics and patience need validation data"),
        ({"patience": True}, ValueError, "fit: patience must be an integer of at least 1"),
        ({"metrics": {"a": accuracy}}, ValueError, "need validation data; give validation="),
        ({"metrics": [accuracy]}, TypeError, "fit: loss must be .* and metrics a dictionary of"),
        ({"metrics": {"a": abs}}, TypeError, r"a dictionary of such, as {'accuracy': ag\.training"),
        ({"loss": lambda p: p}, TypeError, r"fit: loss must be a function of \(prediction, target"),
        (
            {"checkpoint_every": 0},
            ValueError,
            "fit: checkpoint_every must be an integer of at leas",
        ),
        ({"max_norm": 0.0}, ValueError, "fit: max_norm must be positive, got 0.0"),
        ({"data": (_X, [0, 1])}, TypeError, f"fit: the data {PAIRS}"),
        ({"validation": (_X, [0, 1])}, TypeError, f"fit: the validation data {PAIRS}"),
        (
            {"validation": ag.data.Batches(_X, shuffle=False)},
            TypeError,
            f"fit: the validation data {PAIRS}",
        ),
        (
            {"schedule": 3},
            TypeError,
            "fit: the schedule must be one of ag.optim, of the same optim",
        ),
        ({"schedule": _OTHER}, TypeError, "of the same optimizer; got StepLR"),
        ({"schedule_every": "batch"}, ValueError, "schedule_every must be 'epoch' or 'step', got"),
        ({"callbacks": print}, TypeError, "fit: callbacks must be a list of functions of"),
        (
            {"callbacks": [lambda model: 0]},
            TypeError,
            r"of functions of \(model, history\), not \[",
        ),
        ({"checkpoint": "run.ckpt"}, ValueError, r"run\.ckpt must end in \.npz or \.safetensors"),
        ({"checkpoint": "no_such_folder/a.npz"}, FileNotFoundError, FOLDER),
    ],
)
def test_bad_arguments_are_named_before_anything_is_trained(settings, error, message):
    model, loss, data, optimizer = parts()
    arguments = {"loss": loss, "data": data, "epochs": 1, **settings}
    before = bits(model)
    with pytest.raises(error, match=message):
        quiet(model, optimizer=optimizer, **arguments)
    assert bits(model) == before
    assert not optimizer.state
    assert next(iter(data))[0].shape == (10, 4)


def test_looking_at_the_arguments_draws_no_batch():
    class Augmented:
        def __init__(self, items):
            self.items, self.taken = items, 0

        def __len__(self):
            return len(self.items)

        def __getitem__(self, i):
            self.taken += 1
            return self.items[i]

    x, y, rng = problem()
    items = Augmented(list(zip(x, y)))
    model, loss, _, optimizer = parts()
    data = ag.data.Batches(items, rng=rng)
    assert len(quiet(model, loss, data, optimizer, epochs=1, validation=data)["val_loss"]) == 1
    assert items.taken == 120


def test_a_plateau_moves_by_epoch():
    model, loss, data, optimizer = parts()
    schedule = ag.optim.ReduceLROnPlateau(optimizer)
    with pytest.raises(ValueError, match="ReduceLROnPlateau moves by epoch: leave out schedule_ev"):
        quiet(model, loss, data, optimizer, epochs=1, schedule=schedule, schedule_every="step")


def test_evaluate_names_bad_metrics():
    with pytest.raises(TypeError, match=r"evaluate: loss must be a function of .* got .* and \["):
        ag.evaluate(abs, ag.nn.mse_loss, [(_X, _X)], [accuracy])


def test_evaluate_restores_the_mode_of_each_module():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.ReLU())
    model[0].eval()
    ag.evaluate(model, nn.mse_loss, [(_X, _X)])
    assert (model.training, model[0].training, model[1].training) == (True, False, True)


@pytest.mark.parametrize("whole", [list, iter])
def test_accumulated_batches_left_over_count_fully_whether_or_not_their_number_is_known(whole):
    x, y, rng = problem()
    model = nn.Linear(4, 2, rng=rng, dtype=float)
    batches = whole([(x, y)] * 3)
    optimizer = ag.optim.SGD(model.parameters(), lr=0.5)
    quiet(model, ag.cross_entropy, batches, optimizer, epochs=1, accumulate=2)
    fresh = nn.Linear(4, 2, rng=problem()[2], dtype=float)
    optimizer = ag.optim.SGD(fresh.parameters(), lr=0.5)
    quiet(fresh, ag.cross_entropy, [(x, y)] * 2, optimizer, epochs=1)
    assert np.allclose(model.weight.numpy(), fresh.weight.numpy(), rtol=1e-12)


# ---------------------------------------------------------------------------- resuming


def test_a_resumed_run_validates_in_the_same_order(tmp_path):
    x, y, _ = problem()
    seen = []

    def first(prediction, target):
        seen.append(target.tobytes())
        return 0.0

    def run(epochs, path):
        seen.clear()
        validation = ag.data.Batches(x, y, batch_size=25, rng=np.random.default_rng(5))
        quiet(
            *parts(), epochs=epochs, validation=validation, metrics={"first": first},
            checkpoint=tmp_path / path,
        )  # fmt: skip
        return list(seen)

    whole = run(3, "whole.npz")
    run(2, "run.npz")
    assert run(3, "run.npz") == whole[6:]
    assert whole[:3] != whole[3:6]


def test_a_run_killed_between_the_last_step_and_the_end_of_an_epoch_goes_on(tmp_path):
    x, y, _ = problem()
    path = tmp_path / "run.npz"

    def run(path, stop):
        calls = []

        def score(prediction, target):
            calls.append(1)
            if len(calls) == stop:
                raise KeyError
            return accuracy(prediction, target)

        model, loss, data, optimizer = parts()
        history = quiet(
            model, loss, data, optimizer, epochs=3, validation=[(x, y)], metrics={"a": score},
            checkpoint=path, checkpoint_every=1,
        )  # fmt: skip
        return bits(model), history

    with pytest.raises(KeyError):
        run(path, 2)
    assert run(path, 99) == run(tmp_path / "whole.npz", 99)


def test_a_checkpoint_of_another_optimizer_changes_nothing(tmp_path):
    model, loss, data, optimizer = parts()
    path = tmp_path / "run.npz"
    quiet(model, loss, data, optimizer, epochs=1, checkpoint=path)
    model, loss, data, _ = parts()
    before, place = bits(model), data.state_dict()
    optimizer = ag.optim.SGD(model.parameters())
    with pytest.raises(ValueError, match=r"SGD\.load_state_dict: this is the state of Adam"):
        quiet(model, loss, data, optimizer, epochs=2, checkpoint=path)
    assert bits(model) == before
    assert data.state_dict() == place


def test_a_checkpoint_that_holds_no_run_is_named(tmp_path):
    model, loss, data, optimizer = parts()
    path = tmp_path / "model.npz"
    ag.save(path, model)
    with pytest.raises(
        ValueError, match=r"model\.npz holds no run of fit, but .* give checkpoint="
    ):
        quiet(model, loss, data, optimizer, epochs=1, checkpoint=path)


@pytest.mark.parametrize(
    ("stop", "ending"), [(1, ".npz"), (5, ".npz"), (6, ".npz"), (7, ".safetensors"), (15, ".npz")]
)
def test_a_resumed_run_ends_bit_identical(tmp_path, stop, ending):
    class Stop(Exception):
        pass

    def run(path, limit):
        model, loss, data, optimizer = parts()
        schedule = ag.optim.CosineAnnealingLR(optimizer, 20)
        steps = 0

        def counted(prediction, target):
            nonlocal steps
            if model.training:
                steps += 1
                if steps > limit:
                    raise Stop
            return loss(prediction, target)

        x, y, _ = problem()
        history = quiet(
            model, counted, data, optimizer, epochs=4, validation=[(x, y)], schedule=schedule,
            schedule_every="step", patience=2, checkpoint=path, checkpoint_every=1,
        )  # fmt: skip
        return bits(model), history, optimizer.state_dict()["state"]

    path = tmp_path / f"run{ending}"
    with pytest.raises(Stop):
        run(path, stop)
    resumed = run(path, 99)
    whole = run(tmp_path / "other.npz", 99)
    assert resumed[:2] == whole[:2]
    assert all(np.array_equal(resumed[2][i]["exp_avg"], whole[2][i]["exp_avg"]) for i in whole[2])
    assert run(path, 0)[0] == whole[0]  # a finished run stays as it is


def test_a_checkpoint_of_something_else_is_refused_and_changes_nothing(tmp_path):
    model, loss, data, optimizer = parts()
    quiet(model, loss, data, optimizer, epochs=1, checkpoint=tmp_path / "run.npz")
    schedule = ag.optim.StepLR(optimizer, 1)
    with pytest.raises(ValueError, match="the checkpoint and this call disagree about a schedule"):
        quiet(
            model,
            loss,
            data,
            optimizer,
            epochs=2,
            schedule=schedule,
            checkpoint=tmp_path / "run.npz",
        )
    other = nn.Linear(4, 2, rng=np.random.default_rng(0))
    before = bits(other)
    optimizer = ag.optim.Adam(other.parameters())
    with pytest.raises(ValueError, match="of a model with other random generators"):
        quiet(other, loss, data, optimizer, epochs=2, checkpoint=tmp_path / "run.npz")
    assert bits(other) == before


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_columns_stay_aligned_when_a_resumed_run_measures_other_things(tmp_path, ending):
    x, y, _ = problem()

    def resumed(epochs, **settings):
        path = tmp_path / f"run{ending}"
        return quiet(*parts(), epochs=epochs, checkpoint=path, **settings)

    resumed(2)
    resumed(4, validation=[(x, y)], metrics={"accuracy": accuracy})
    history = resumed(5, validation=[(x, y)])
    assert [len(column) for column in history.values()] == [5] * 5
    assert np.isnan(history["val_loss"]).tolist() == [True, True, False, False, False]
    assert np.isnan(history["val_accuracy"]).tolist() == [True, True, False, False, True]
    history.to_csv(tmp_path / "h.csv")
    lines = (tmp_path / "h.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss,lr,val_loss,val_accuracy"
    assert lines[2].endswith(",nan,nan")
    assert lines[5].startswith("5,")
    assert str(history["val_loss"][4]) in lines[5]
    pytest.importorskip("matplotlib")
    losses, _ = ag.plot_history(history).axes
    assert [list(line.get_xdata()) for line in losses.lines] == [[1, 2, 3, 4, 5]] * 2


def test_a_run_out_of_patience_goes_on_with_more(tmp_path, capsys):
    x, y, _ = problem()

    def run(path, patience):
        model, loss, data, optimizer = parts()

        def rising(prediction, target):
            value = loss(prediction, target)
            return value if model.training else float(optimizer.state[0]["step"])

        history = quiet(
            model, rising, data, optimizer, epochs=6, validation=[(x, y)], patience=patience,
            checkpoint=tmp_path / path,
        )  # fmt: skip
        return bits(model), history

    short = run("run.npz", 2)
    assert short[1]["epoch"] == [1, 2, 3]
    assert "stopped" not in capsys.readouterr().out
    assert run("run.npz", 2) == short
    assert "fit: this run was stopped after epoch 3, and stays so" in capsys.readouterr().out
    longer = run("run.npz", 4)
    assert longer[1]["epoch"] == [1, 2, 3, 4, 5]
    assert longer == run("other.npz", 4)


def test_a_run_that_a_callback_stopped_says_that_it_stays_so(tmp_path, capsys):
    def run():
        path = tmp_path / "run.npz"
        return quiet(*parts(), epochs=3, callbacks=[lambda *_: True], checkpoint=path)["epoch"]

    assert run() == run() == [1]
    assert capsys.readouterr().out == "fit: this run was stopped after epoch 1, and stays so\n"


def test_another_numpy_is_warned_of(tmp_path):
    model, loss, data, optimizer = parts()
    path = tmp_path / "run.npz"
    quiet(model, loss, data, optimizer, epochs=1, checkpoint=path)
    state = ag.load(path)
    state["versions"]["numpy"] = "1.0"
    ag.save(path, state)
    with pytest.warns(
        UserWarning, match=r"made with NumPy 1\.0, this is .*: the last bits may differ"
    ):
        quiet(model, loss, data, optimizer, epochs=2, checkpoint=path)


def killed(folder, count):
    command = [sys.executable, "-m", "tests.kill_runs", str(folder), str(count)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": "."}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "every end bit-identical" in result.stdout


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")


@needs_fork
def test_killed_runs_end_bit_identical(tmp_path):
    killed(tmp_path, 4)


@needs_fork
@pytest.mark.slow
def test_two_hundred_killed_runs_end_bit_identical(tmp_path):
    killed(tmp_path, 200)


# ---------------------------------------------------------------------------- people


def test_ctrl_c_stops_after_the_step_and_leaves_a_run_that_goes_on(tmp_path, capsys):
    path = tmp_path / "run.npz"
    model, loss, data, optimizer = parts()
    steps = 0

    def interrupting(prediction, target):
        nonlocal steps
        steps += 1
        if steps == 9:
            os.kill(os.getpid(), signal.SIGINT)
        return loss(prediction, target)

    before = signal.getsignal(signal.SIGINT)
    history = quiet(model, interrupting, data, optimizer, epochs=4, checkpoint=path)
    assert signal.getsignal(signal.SIGINT) is before
    assert history["epoch"] == [1]
    assert steps == 9
    assert optimizer.state[0]["step"] == 9
    assert "fit: interrupted after step 9;" in capsys.readouterr().out
    model, loss, data, optimizer = parts()
    quiet(model, loss, data, optimizer, epochs=4, checkpoint=path)
    whole, loss, data, optimizer = parts()
    quiet(whole, loss, data, optimizer, epochs=4)
    assert bits(model) == bits(whole)


def test_it_runs_in_another_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(quiet(*parts(), epochs=1)))
    thread.start()
    thread.join()
    assert found[0]["epoch"] == [1]


def test_progress_is_a_bar_or_lines(capsys, monkeypatch):
    pytest.importorskip("tqdm")
    ag.fit(*parts(), epochs=2)
    assert "epoch 2/2" in capsys.readouterr().err
    model, loss, data, optimizer = parts()
    ag.fit(model, loss, iter(list(data)), optimizer, epochs=1)  # of unknown length
    assert "6batch" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    ag.fit(*parts(), epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("epoch 2/2: loss 0.")


def test_history_as_csv(tmp_path):
    history = History(epoch=[1, 2], loss=[0.5, 0.25])
    history.to_csv(tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_text() == "epoch,loss\n1,0.5\n2,0.25\n"


def test_plot_history(monkeypatch):
    pytest.importorskip("matplotlib")
    figure = ag.plot_history(
        {"epoch": [1, 2], "loss": [2, 1], "val_loss": [2, 2], "val_accuracy": [0, 1]}
    )
    losses, rest = figure.axes
    assert [line.get_label() for line in losses.lines] == ["loss", "val_loss"]
    assert [line.get_label() for line in rest.lines] == ["val_accuracy"]
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"needs matplotlib: pip install autograd_lite\[plot\]"):
        ag.plot_history({})


def test_a_history_shows_as_a_table() -> None:
    epochs = list(range(1, 31))
    history = ag.training.History(epoch=epochs, loss=[1 / n for n in epochs])
    lines = repr(history).splitlines()
    assert len(lines) == 22
    assert lines[:3] == ["epoch     loss", "    1        1", "    2      0.5"]
    assert lines[6] == "  ...      ..."
    assert lines[-1] == "   30  0.03333"
    some = ag.training.History(epoch=[1, 2], val_loss=[float("nan"), 0.25])
    assert repr(some).splitlines() == ["epoch  val_loss", "    1       nan", "    2      0.25"]
    assert repr(ag.training.History()) == "an empty history"


# ---------------------------------------------------------------------------- batches put together


def _with_sum(z, y):
    return ag.cross_entropy(z, y, ignore_index=-1, reduction="sum"), np.sum(y != -1)


_WEIGHT = [0.5, 3.0]
# A loss, the same of all rows at once, and whether it ignores labels of -1.
COUNTED = {
    "rows": (ag.cross_entropy, ag.cross_entropy, False),
    "elements": (
        lambda z, y: nn.mse_loss(z, np.eye(2)[y]),
        lambda z, y: nn.mse_loss(z, np.eye(2)[y]),
        False,
    ),
    "sum and count": (_with_sum, lambda z, y: ag.cross_entropy(z, y, ignore_index=-1), True),
    "module": (
        nn.CrossEntropyLoss(ignore_index=-1),
        lambda z, y: ag.cross_entropy(z, y, ignore_index=-1),
        True,
    ),
    "weights": (
        nn.CrossEntropyLoss(_WEIGHT, ignore_index=-1),
        lambda z, y: ag.cross_entropy(z, y, weight=_WEIGHT, ignore_index=-1),
        True,
    ),
}


def _random_batches(rng, ignores):
    """Return rows, their labels, and both cut into batches, some of which may not count."""
    sizes = rng.integers(1, 12, int(rng.integers(2, 7)))
    x = rng.normal(size=(sizes.sum(), 4))
    y = rng.integers(2, size=len(x))
    if ignores:
        y[rng.random(len(y)) < rng.uniform(0, 0.9)] = -1
        if rng.random() < 0.3:
            y[: sizes[0]] = -1
        y[-1] = 1
    cuts = np.cumsum(sizes)[:-1]
    return x, y, list(zip(np.split(x, cuts), np.split(y, cuts)))


@pytest.mark.parametrize("case", COUNTED)
def test_batches_put_together_are_one_batch(case, record_property):
    loss, whole, ignores = COUNTED[case]
    rng = np.random.default_rng(0)
    for k in range(60):
        x, y, batches = _random_batches(rng, ignores)
        one, many = (nn.Linear(4, 2, rng=np.random.default_rng(k), dtype=float) for _ in range(2))
        value = whole(one(x), y)
        assert ag.evaluate(many, loss, batches)["loss"] == pytest.approx(value.item(), rel=1e-12)
        value.backward()
        ag.optim.SGD(one.parameters(), lr=0.5).step()
        optimizer = ag.optim.SGD(many.parameters(), lr=0.5)
        history = quiet(many, loss, batches, optimizer, epochs=1, accumulate=len(batches))
        assert history["loss"] == [pytest.approx(value.item(), rel=1e-12)]
        for name, array in one.state_dict().items():
            np.testing.assert_allclose(many.state_dict()[name], array, rtol=1e-11, atol=1e-13)
    record_property("batches put together", 60)


def test_batches_none_of_whose_rows_counts_step_nowhere():
    x, _, rng = problem()
    model = nn.Linear(4, 2, rng=rng)
    before = model.state_dict()
    ignored = [(x[:5], np.full(5, -1)), (x[5:7], np.full(2, -1))]
    loss = nn.CrossEntropyLoss(ignore_index=-1)
    for accumulate in (1, 2):
        optimizer = ag.optim.SGD(model.parameters(), lr=1.0)
        history = quiet(model, loss, ignored, optimizer, epochs=1, accumulate=accumulate)
        assert history["loss"] == [0.0]
    assert ag.evaluate(model, loss, ignored) == {"loss": 0.0}
    assert all(np.array_equal(before[name], v) for name, v in model.state_dict().items())


def test_metrics_may_say_what_they_count():
    model = nn.Linear(4, 2, rng=np.random.default_rng(0))
    x, y, _ = problem()

    def seen(z, labels):
        rows = labels == 1
        return np.sum(np.argmax(z, axis=-1)[rows] == 1), np.sum(rows)

    batches = [(x[:3], y[:3]), (x[3:50], y[3:50]), (x[50:], y[50:])]
    scores = ag.evaluate(model, ag.cross_entropy, batches, {"recall": seen})
    right, count = seen(model(x).detach().numpy(), y)
    assert scores["recall"] == pytest.approx(right / count, rel=1e-15)


@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_a_loss_module_that_is_no_mean_is_refused(reduction):
    model, _, data, optimizer = parts()
    loss = nn.CrossEntropyLoss(reduction=reduction)
    for run in (
        lambda: quiet(model, loss, data, optimizer, epochs=1),
        lambda: ag.evaluate(model, loss, data),
    ):
        with pytest.raises(ValueError, match=f"must be a mean, not of reduction='{reduction}'"):
            run()


def test_an_empty_batch_counts_nothing():
    model, loss, _, optimizer = parts()
    x, y, _ = problem()
    batches = [(x[:0], y[:0]), (x[:5], y[:5])]
    assert accuracy(np.zeros((0, 2)), np.zeros(0, int)) == 0
    found = ag.evaluate(model, loss, batches, {"accuracy": accuracy})
    assert found == ag.evaluate(model, loss, batches[1:], {"accuracy": accuracy})
    history = quiet(model, loss, batches, optimizer, epochs=1)
    assert np.isfinite(history["loss"][0])


# ---------------------------------------------------------------------------- modes


class _Deep(nn.Module):
    def __init__(self, rng):
        self.norm = nn.BatchNorm1d(4)
        self.blocks = [{"inner": nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2, rng=rng))}]

    def forward(self, x):
        return self.blocks[0]["inner"](self.norm(x))


@pytest.mark.parametrize("at", ["norm", "blocks.0.inner", "blocks.0.inner.0"])
@pytest.mark.parametrize("validated", [False, True])
def test_what_is_in_evaluation_mode_stays_there(at, validated, tmp_path):
    x, y, rng = problem()
    model = _Deep(rng)
    found = dict(model.named_modules())
    found[at].eval()
    modes = [module.training for module in model.modules()]
    frozen = {name: v.copy() for name, v in found[at].named_buffers()}
    free = {n: v.copy() for n, v in model.named_buffers() if not n.startswith(at)}
    data = ag.data.Batches(x, y, batch_size=10, rng=rng)
    validation = [(x, y)] if validated else None
    optimizer = ag.optim.SGD(model.parameters(), lr=0.1)
    seen = []
    quiet(
        model,
        ag.cross_entropy,
        data,
        optimizer,
        epochs=2,
        validation=validation,
        callbacks=[lambda model, _: seen.append([m.training for m in model.modules()])],
        checkpoint=tmp_path / "run.npz",
    )
    ag.evaluate(model, ag.cross_entropy, data)
    assert [module.training for module in model.modules()] == modes == seen[0] == seen[1]
    assert all(np.array_equal(frozen[name], v) for name, v in found[at].named_buffers())
    assert all(not np.array_equal(v, dict(model.named_buffers())[n]) for n, v in free.items())


def test_a_model_in_evaluation_mode_is_not_trained():
    model, loss, data, optimizer = parts()
    with pytest.raises(ValueError, match=r"fit: the model is in evaluation mode; call model\."):
        quiet(model.eval(), loss, data, optimizer, epochs=1)


def test_a_callback_may_look_at_the_model_in_evaluation_mode_or_freeze_a_part():
    model, _, data, optimizer = parts()
    modes = []

    def loss(z, y):
        modes.append([model.training, *(part.training for part in model)])
        return ag.cross_entropy(z, y)

    def looks(model, history):
        if len(history["epoch"]) == 2:
            model[2].eval()
        else:
            model.eval()

    quiet(model, loss, data, optimizer, epochs=4, callbacks=[looks])
    frozen = [True, True, True, False, True]
    assert modes[::6] == [[True] * 5, [True] * 5, frozen, frozen]


# ---------------------------------------------------------------------------- other settings


@pytest.mark.parametrize("schedule", [None, "StepLR", "CosineAnnealingLR", "OneCycleLR", "chain"])
def test_a_resumed_run_uses_the_settings_that_were_changed(schedule, tmp_path, capsys):
    def run(epochs, lr, momentum, path=tmp_path / "run.npz"):
        x, y, rng = problem()
        model = nn.Linear(4, 2, rng=rng)
        data = ag.data.Batches(x, y, batch_size=10, rng=rng)
        optimizer = ag.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
        made = {
            None: lambda: None,
            "StepLR": lambda: ag.optim.StepLR(optimizer, 2, 0.5),
            "CosineAnnealingLR": lambda: ag.optim.CosineAnnealingLR(optimizer, 9),
            "OneCycleLR": lambda: ag.optim.OneCycleLR(optimizer, 1.0, 9),
            "chain": lambda: ag.optim.ChainedScheduler(
                [ag.optim.LinearLR(optimizer, 0.5, 4), ag.optim.StepLR(optimizer, 2, 0.5)]
            ),
        }[schedule]()
        history = quiet(
            model, ag.cross_entropy, data, optimizer, epochs=epochs, schedule=made, checkpoint=path
        )
        return history["lr"], optimizer.groups[0]["momentum"]

    whole, _ = run(6, 0.8, 0.5, tmp_path / "whole.npz")
    run(3, 0.8, 0.5)
    assert "goes on with" not in capsys.readouterr().out
    for epochs in (4, 6):  # the second time with the same
        rates, momentum = run(epochs, 0.4, 0.9)
        said = capsys.readouterr().out
        assert ("goes on with momentum=0.9, no longer 0.5" in said) == (epochs == 4)
        assert ("goes on with lr=0.4, no longer 0.8" in said) == (epochs == 4)
        assert momentum == 0.9
    factor = 1 if schedule == "OneCycleLR" else 0.5  # which has rates of its own
    np.testing.assert_allclose(rates, [*whole[:3], *np.multiply(whole[3:], factor)], rtol=1e-12)


@pytest.mark.parametrize("kind", ["SequentialLR", "ChainedScheduler"])
@pytest.mark.parametrize("every", ["epoch", "step"])
def test_a_run_with_several_schedules_is_resumed_bit_by_bit(kind, every, tmp_path):
    def run(epochs, name):
        model, loss, data, optimizer = parts()
        made = [ag.optim.LinearLR(optimizer, 0.1, 7), ag.optim.StepLR(optimizer, 3, 0.5)]
        if kind == "SequentialLR":
            schedule = ag.optim.SequentialLR(optimizer, made, [4])
        else:
            schedule = ag.optim.ChainedScheduler(made)
        how = {"schedule": schedule, "schedule_every": every, "checkpoint": tmp_path / name}
        history = quiet(model, loss, data, optimizer, epochs=epochs, accumulate=2, **how)
        return bits(model), history["lr"]

    whole = run(6, "whole.npz")
    for epochs in (1, 3, 4, 6):
        resumed = run(epochs, "parts.npz")
    assert resumed == whole
