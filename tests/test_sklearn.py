from __future__ import annotations

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy import sparse
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator
from threadpoolctl import threadpool_limits

from autograd_lite.sklearn import MLPClassifier, SoftmaxClassifier


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "estimator",
    [
        SoftmaxClassifier(),
        pytest.param(SoftmaxClassifier(solver="adam", max_iter=50), marks=pytest.mark.slow),
        pytest.param(MLPClassifier(), marks=pytest.mark.slow),
    ],
    ids=["lbfgs", "adam", "perceptron"],
)
def test_all_estimator_checks_pass(estimator):
    results = check_estimator(estimator, on_skip=None)
    assert sum(result["status"] == "passed" for result in results) >= 50


@pytest.fixture(autouse=True)
def one_thread():
    """Keep small matrix products from waiting for each other's threads."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split(X / 16, y, test_size=0.2, random_state=0, stratify=y)


def test_it_finds_the_optimum_of_logistic_regression(digits):
    X, X_test, y, y_test = digits
    tight = {"tol": 1e-8, "max_iter": 2000}
    ours = SoftmaxClassifier(**tight).fit(X, y)
    theirs = LogisticRegression(**tight).fit(X, y)
    assert np.allclose(ours.coef_, theirs.coef_, atol=1e-5)
    assert np.allclose(ours.predict_proba(X_test), theirs.predict_proba(X_test), atol=2e-5)
    assert ours.score(X_test, y_test) >= theirs.score(X_test, y_test)


def test_weights_count_as_repetitions_and_classes_can_be_balanced(digits):
    X, _, y, _ = digits
    X, y = X[:200], y[:200]
    weights = np.random.default_rng(0).integers(0, 3, 200)
    tight = {"tol": 1e-9, "max_iter": 2000}
    one = SoftmaxClassifier(**tight).fit(X, y, weights)
    two = SoftmaxClassifier(**tight).fit(np.repeat(X, weights, axis=0), np.repeat(y, weights))
    assert np.allclose(one.coef_, two.coef_, atol=1e-5)
    for class_weight in ("balanced", {0: 3.0, 1: 0.5}):
        ours = SoftmaxClassifier(class_weight=class_weight, **tight).fit(X, y)
        theirs = LogisticRegression(class_weight=class_weight, **tight).fit(X, y)
        assert np.allclose(ours.coef_, theirs.coef_, atol=1e-5)


def test_probabilities_scores_and_labels_agree(digits):
    X, X_test, y, _ = digits
    names = np.array([f"digit {i}" for i in range(10)])
    model = SoftmaxClassifier().fit(X, names[y])
    proba = model.predict_proba(X_test)
    assert np.allclose(proba.sum(axis=1), 1)
    assert np.allclose(np.exp(model.predict_log_proba(X_test)), proba)
    assert np.array_equal(model.predict(X_test), names[proba.argmax(axis=1)])
    assert model.decision_function(X_test).shape == (len(X_test), 10)
    two = SoftmaxClassifier().fit(X[y < 2], y[y < 2])
    assert two.decision_function(X_test).shape == (len(X_test),)
    assert np.array_equal(two.predict(X_test), two.decision_function(X_test) > 0)


def test_warm_start_and_no_penalty_and_no_intercept():
    X, y = load_iris(return_X_y=True)
    model = SoftmaxClassifier(warm_start=True, max_iter=500).fit(X, y)
    first = model.n_iter_
    assert model.fit(X, y).n_iter_ < first / 5
    assert not SoftmaxClassifier(fit_intercept=False, max_iter=500).fit(X, y).intercept_.any()
    free = SoftmaxClassifier(C=np.inf, max_iter=30)
    with pytest.warns(ConvergenceWarning, match="stopped after max_iter=30 iterations"):
        free.fit(X, y)
    assert free.score(X, y) > 0.97


def test_partial_fit_and_adam_approach_the_same_solution(digits):
    X, X_test, y, y_test = digits
    model = SoftmaxClassifier(batch_size=100, learning_rate=0.02, random_state=0)
    for _ in range(15):
        for part in np.array_split(np.arange(len(X)), 3):
            model.partial_fit(X[part], y[part], classes=np.arange(10))
    assert model.score(X_test, y_test) > 0.95
    with pytest.raises(ValueError, match=r"partial_fit: \[11\] are not among the classes"):
        model.partial_fit(X[:1], [11])
    with pytest.raises(ValueError, match="partial_fit: classes must stay"):
        model.partial_fit(X[:1], [1], classes=[1, 2])
    adam = SoftmaxClassifier(solver="adam", max_iter=40, random_state=0).fit(X, y)
    assert adam.score(X_test, y_test) > 0.95
    again = SoftmaxClassifier(solver="adam", max_iter=40, random_state=0).fit(X, y)
    assert np.array_equal(adam.coef_, again.coef_)


def test_weights_count_between_batches_and_calls():
    X, y = (part[::3] for part in load_iris(return_X_y=True))
    settings = {"C": np.inf, "solver": "adam", "batch_size": 1, "max_iter": 5, "random_state": 0}
    plain = SoftmaxClassifier(**settings).fit(X, y)
    heavy = SoftmaxClassifier(class_weight={0: 1, 1: 1000, 2: 1}, **settings).fit(X, y)
    assert (heavy.predict(X) == 1).sum() > (plain.predict(X) == 1).sum() + 20
    same = SoftmaxClassifier(**settings).fit(X, y, np.full(len(X), 8.0))
    assert np.allclose(same.coef_, plain.coef_, rtol=1e-9)

    def share(*weights):
        model = SoftmaxClassifier(C=np.inf, random_state=0)
        for _ in range(30):
            for label, weight in enumerate(weights):
                model.partial_fit([[1.0]], [label], classes=[0, 1], sample_weight=[weight])
        return model.predict_proba([[1.0]])[0, 0]

    assert share(1.0, 1.0) == pytest.approx(0.5, abs=0.02)
    assert share(1000.0, 1.0) > 0.7
    assert share(1e-6, 1.0) < 0.3


@pytest.mark.parametrize("class_weight", ["balanced", {0: 2.0, 2: 0.5}, None])
def test_class_and_sample_weights_together_are_those_of_logistic_regression(class_weight):
    X, y = load_iris(return_X_y=True)
    weights = np.random.default_rng(0).uniform(0, 5, 125)
    settings = {"class_weight": class_weight, "tol": 1e-9, "max_iter": 5000}
    ours = SoftmaxClassifier(**settings).fit(X[25:], y[25:], weights)
    theirs = LogisticRegression(solver="newton-cg", **settings).fit(X[25:], y[25:], weights)
    assert np.allclose(ours.coef_, theirs.coef_, atol=1e-5)
    single = SoftmaxClassifier(**settings).fit(X[25:].astype(np.float32), y[25:], weights)
    assert single.coef_.dtype == np.float32


def test_a_class_of_zero_weight_can_be_balanced():
    X, y = load_iris(return_X_y=True)
    model = SoftmaxClassifier(class_weight="balanced", max_iter=500).fit(X, y, y != 1)
    assert not np.any(model.predict(X) == 1)
    assert model.score(X[y != 1], y[y != 1]) == 1


def test_partial_fit_of_samples_without_weight_changes_nothing():
    X, y = load_iris(return_X_y=True)
    model, other = SoftmaxClassifier(random_state=0), SoftmaxClassifier(random_state=0)
    model.partial_fit(X, y, classes=[0, 1, 2], sample_weight=np.zeros(150))
    assert (model.n_iter_, model.coef_.shape, model.coef_.any()) == (0, (3, 4), False)
    for _ in range(2):
        model.partial_fit(X, y).partial_fit(X[:3], y[:3], sample_weight=np.zeros(3))
        other.partial_fit(X, y)
    assert np.array_equal(model.coef_, other.coef_)
    assert model.n_iter_ == 2
    model.set_params(class_weight={0: 0.0}).partial_fit(X[:3], y[:3])
    assert np.array_equal(model.coef_, other.coef_)


def test_partial_fit_balances_the_classes_that_are_there():
    X, y = load_iris(return_X_y=True)
    X, y = X[:110], y[:110]
    settings = {"batch_size": 200, "random_state": 0, "class_weight": "balanced"}
    model = SoftmaxClassifier(**settings).partial_fit(X[:60], y[:60], classes=[0, 1, 2])
    assert np.isfinite(model.coef_).all()
    for _ in range(100):
        model.partial_fit(X, y)
    plain = SoftmaxClassifier(batch_size=200, random_state=0)
    for _ in range(100):
        plain.partial_fit(X, y)
    assert (model.predict(X) == 2).sum() > (plain.predict(X) == 2).sum()


@pytest.mark.parametrize("solver", ["lbfgs", "adam", "partial_fit"])
def test_a_warm_start_without_intercept_forgets_the_old_one(solver):
    X, y = load_iris(return_X_y=True)
    partial = solver == "partial_fit"
    model = SoftmaxClassifier(
        warm_start=True, max_iter=500, solver="lbfgs" if partial else solver, learning_rate=0.1
    ).fit(X, y)
    assert model.intercept_.all()
    model.set_params(fit_intercept=False)
    for _ in range(200 if partial else 1):
        (model.partial_fit if partial else model.fit)(X, y)
    assert model.intercept_.shape == (3,)
    assert not model.intercept_.any()
    assert model.score(X, y) > 0.95


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adam_and_partial_fit_minimise_the_weighted_objective(dtype):
    X, y = load_iris(return_X_y=True)
    X = ((X - X.mean(0)) / X.std(0)).astype(dtype)
    weights = np.random.default_rng(0).uniform(0.1, 20, len(X))
    whole = {
        "C": 0.001,
        "class_weight": {0: 1, 1: 5, 2: 2},
        "batch_size": 150,
        "learning_rate": 0.03,
    }
    right = SoftmaxClassifier(tol=1e-7, max_iter=2000, **whole).fit(X, y, weights)
    adam = SoftmaxClassifier(solver="adam", max_iter=150, **whole).fit(X, y, weights)
    assert np.allclose(adam.coef_, right.coef_, atol=1e-3)
    model = SoftmaxClassifier(**whole)
    for _ in range(150):
        model.partial_fit(X, y, sample_weight=weights)
    assert np.allclose(model.coef_, right.coef_, atol=1e-3)
    assert model.coef_.dtype == adam.coef_.dtype == dtype


def test_partial_fit_goes_on_from_the_coefficients_and_settings_of_now():
    X, y = load_iris(return_X_y=True)
    model = SoftmaxClassifier(warm_start=True, max_iter=500, learning_rate=1e-5)
    model.partial_fit(X, y).fit(X, y)
    fitted = model.coef_.copy()
    assert model.score(X, y) > 0.97
    model.partial_fit(X, y)
    assert 0 < np.abs(model.coef_ - fitted).max() < 2e-5
    assert model.score(X, y) > 0.97
    model.coef_[:] = 3
    model.intercept_ = np.array([1.0, 2.0, 3.0])
    model.partial_fit(X, y)
    assert np.abs(model.coef_ - 3).max() < 2e-5
    assert np.abs(model.intercept_ - [1, 2, 3]).max() < 2e-5
    before = model.coef_
    model.set_params(learning_rate=0.0).partial_fit(X, y)
    assert np.array_equal(model.coef_, before)
    model.set_params(fit_intercept=False, learning_rate=0.1).partial_fit(X, y)
    assert not np.array_equal(model.coef_, before)


@pytest.mark.filterwarnings("ignore:MLPClassifier. stopped")
def test_mlp_learns_digits(digits):
    X, X_test, y, y_test = digits
    model = MLPClassifier(max_iter=60, learning_rate_init=0.01, random_state=0).fit(X, y)
    assert model.score(X_test, y_test) > 0.97
    assert model.n_iter_ == len(model.loss_curve_)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict_proba(X_test), model.predict_proba(X_test))


@pytest.mark.filterwarnings("ignore:MLPClassifier. stopped")
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "silu", "logistic", "identity"])
def test_mlp_activations_and_dtypes(activation):
    X, y = load_iris(return_X_y=True)
    X = X.astype(np.float32)
    model = MLPClassifier((8, 8), activation, max_iter=5, random_state=0).fit(X, y)
    assert model.predict_proba(X).dtype == np.float32


@pytest.mark.filterwarnings("ignore:MLPClassifier. stopped")
def test_a_batch_cannot_be_larger_than_the_data():
    X, y = load_iris(return_X_y=True)
    whole = MLPClassifier((4,), batch_size=150, alpha=10.0, max_iter=5, random_state=0).fit(X, y)
    more = MLPClassifier((4,), batch_size=9999, alpha=10.0, max_iter=5, random_state=0).fit(X, y)
    assert np.array_equal(whole.predict_proba(X), more.predict_proba(X))


def test_inside_pipelines_and_searches():
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), SoftmaxClassifier())
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.93
    search = GridSearchCV(pipeline, {"softmaxclassifier__C": [0.01, 1.0]}, cv=3).fit(X, y)
    assert search.best_params_ == {"softmaxclassifier__C": 1.0}


def test_bad_input_is_named():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(TypeError, match="Sparse data was passed"):
        SoftmaxClassifier().fit(sparse.csr_matrix(X), y)
    with pytest.raises(ValueError, match="C must be positive, got 0"):
        SoftmaxClassifier(C=0).fit(X, y)
    for tol in ("a", -1.0, np.nan):
        with pytest.raises(ValueError, match="SoftmaxClassifier: tol must be at least 0, got"):
            SoftmaxClassifier(tol=tol).fit(X, y)
    for setting in ({"C": "a"}, {"C": None}, {"C": np.nan}):
        with pytest.raises(ValueError, match="SoftmaxClassifier: C must be positive, got"):
            SoftmaxClassifier(**setting).fit(X, y)
    with pytest.raises(ValueError, match="solver must be 'lbfgs' or 'adam', got 'sgd'"):
        SoftmaxClassifier(solver="sgd").fit(X, y)
    with pytest.raises(ValueError, match=r"only one class: np\.int64"):
        SoftmaxClassifier().fit(X, np.zeros(150, int))
    with pytest.raises(ValueError, match=r"must not all be zero|at least one non-zero"):
        SoftmaxClassifier().fit(X, y, np.zeros(150))
    with pytest.raises(ValueError, match=r"activation must be 'relu', 'tanh', .* or 'identity'"):
        MLPClassifier(activation="sin").fit(X, y)
    with pytest.raises(
        ValueError, match=r"out_features must be an integer of at least 1, got 3\.5"
    ):
        MLPClassifier((3.5,)).fit(X, y)
    with pytest.raises(NotFittedError):
        MLPClassifier().predict(X)
    with pytest.raises(ValueError, match="NaN"):
        SoftmaxClassifier().fit(np.where(X == X[0, 0], np.nan, X), y)
