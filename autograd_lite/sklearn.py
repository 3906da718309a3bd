"""Classifiers for scikit-learn: softmax regression, and a multilayer perceptron."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.utils import check_random_state
    from sklearn.utils.class_weight import compute_class_weight
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        "autograd_lite.sklearn needs scikit-learn 1.6 or later: pip install autograd_lite[sklearn]"
    ) from error

from autograd_lite import nn
from autograd_lite.data import Batches
from autograd_lite.engine.modes import no_grad
from autograd_lite.engine.primitives import primitive
from autograd_lite.engine.recording import bare
from autograd_lite.engine.tensor import Tensor
from autograd_lite.losses import cross_entropy, log_softmax, softmax
from autograd_lite.nn.arguments import choice, count, positive, require
from autograd_lite.optim import LBFGS, Adam
from autograd_lite.training import fit

__all__ = ["MLPClassifier", "SoftmaxClassifier"]


def __dir__() -> list[str]:
    return __all__


_DTYPES = (np.float64, np.float32)
_HISTORY = 1 << 22  # numbers in the matrices of curvature pairs
_ACTIVATIONS = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "logistic": nn.Sigmoid,
    "identity": nn.Sequential,  # of nothing
}


@primitive(lambda g, theta, decay: g * (2 * decay * theta))
def _penalty(theta: Any, decay: Any) -> Any:
    """Return the sum of squares, each times a factor."""
    return np.sum(decay * theta * theta)


class _Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """What follows from the logits."""

    _optimizer: Adam | None = None  # of partial_fit

    def _logits(self, X: Any) -> Any:
        raise NotImplementedError

    def _scores(self, X: ArrayLike) -> Any:
        """Return the logits of checked samples."""
        check_is_fitted(self)
        return self._logits(validate_data(self, X, dtype=_DTYPES, reset=False))

    def decision_function(self, X: ArrayLike) -> Any:
        """Return the logits, (samples, classes); of two classes their difference, (samples,)."""
        logits = self._scores(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def predict(self, X: ArrayLike) -> Any:
        """Return the most probable class of each sample."""
        logits = self._scores(X)
        return self.classes_[np.argmax(logits, axis=1)]

    def predict_proba(self, X: ArrayLike) -> Any:
        """Return the probabilities, (samples, classes), in the order of ``classes_``."""
        return softmax(self._scores(X))

    def predict_log_proba(self, X: ArrayLike) -> Any:
        """Return the logarithms of the probabilities, accurate also near probability 1."""
        return log_softmax(self._scores(X))

    def _labels(self, y: Any) -> Any:
        """Return labels as places in ``classes_``, which are set."""
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes, "
                f"but the data contains only one class: {self.classes_[0]!r}"
            )
        return labels

    def _generator(self) -> np.random.Generator:
        return np.random.default_rng(check_random_state(self.random_state).randint(2**31))


@dataclass(eq=False, repr=False)
class SoftmaxClassifier(_Classifier):
    """Softmax regression (multinomial logistic regression) with an L2 penalty.

    Minimises ``C * sum(weight * cross_entropy) + sum(coef**2) / 2``, LogisticRegression's objective
    for three classes or more. Two classes have a row of coefficients each, too.

    Parameters
    ----------
    C : float
        Inverse strength of the penalty; ``np.inf`` for none.
    fit_intercept : bool
        Whether to add an intercept, which is not penalised.
    class_weight : dict or "balanced", optional
        Factors of the samples of each class; ``"balanced"`` ones make the classes' sums of sample
        weights equal, in ``partial_fit`` those of each call.
    solver : {"lbfgs", "adam"}
        ``"adam"`` makes ``max_iter`` passes in mini-batches of ``batch_size``, as ``partial_fit``
        makes one, with step size ``learning_rate``.
    max_iter : int
        Limit of the iterations.
    tol : float
        L-BFGS stops when no partial derivative of the objective, over ``C`` and the sum of weights,
        is larger.
    warm_start : bool
        Whether ``fit`` starts from the last solution, if there is one of the same shape.
    batch_size, learning_rate, random_state
        Of ``"adam"`` and ``partial_fit``.

    Attributes
    ----------
    classes_ : array of shape (classes,)
    coef_ : array of shape (classes, features)
    intercept_ : array of shape (classes,)
    n_iter_ : int
    loss_ : float
        The objective, over ``C`` and the sum of weights (of lbfgs).

    Examples
    --------
    >>> from autograd_lite.sklearn import SoftmaxClassifier
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], ["a", "a", "b", "b"]
    >>> SoftmaxClassifier().fit(X, y).predict([[0.5], [2.5]])
    array(['a', 'b'], dtype='<U1')
    """

    C: float = 1.0
    _: KW_ONLY
    fit_intercept: bool = True
    class_weight: Any = None
    solver: Literal["lbfgs", "adam"] = "lbfgs"
    max_iter: int = 100
    tol: float = 1e-4
    warm_start: bool = False
    batch_size: int = 200
    learning_rate: float = 0.01
    random_state: Any = None

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit to samples (samples, features) and their labels; return self."""
        self._check_settings()
        samples, y = validate_data(self, X, y, dtype=_DTYPES)
        labels = self._labels(y)
        weights = self._weights(samples, labels, sample_weight)
        total = float(len(samples))
        if weights is not None:
            total = float(weights.sum())
            if not total > 0:
                raise ValueError("SoftmaxClassifier: the sample weights must not all be zero")
            weights = weights / (total / len(samples))
        shape = (len(self.classes_), samples.shape[1])
        if not (self.warm_start and getattr(self, "coef_", np.empty(0)).shape == shape):
            self._start(shape, samples.dtype)
        self._optimizer = None
        if self.solver == "lbfgs":
            self._fit_lbfgs(samples, labels, weights, total)
            return self
        for _ in range(self.max_iter):
            self._pass(samples, labels, weights, total)
        self.n_iter_ = self.max_iter
        return self

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Make one pass over more samples; the first call may name all ``classes``.

        It goes on from ``coef_`` and ``intercept_``. The penalty is weighed against these samples,
        as if they were all. Adam's steps hardly depend on a factor of all weights, but weights
        count against those of other samples, batches and calls; samples whose weights are all zero
        change nothing.
        """
        self._check_settings()
        first = not hasattr(self, "coef_")
        samples, y = validate_data(self, X, y, dtype=_DTYPES, reset=first)
        check_classification_targets(y)
        if first:
            self._labels(y if classes is None else np.asarray(classes))
            self._start((len(self.classes_), samples.shape[1]), samples.dtype)
            self.n_iter_ = 0
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"partial_fit: classes must stay {self.classes_}")
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"partial_fit: {unknown} are not among the classes {self.classes_}")
        labels = np.searchsorted(self.classes_, y)
        some = sample_weight is None or np.any(sample_weight)
        weights = self._weights(samples, labels, sample_weight) if some else np.zeros(1)
        if weights is None or weights.any():
            self._pass(samples, labels, weights, float(len(samples)))
            self.n_iter_ += 1
        return self

    def _check_settings(self) -> None:
        positive("SoftmaxClassifier", C=self.C)
        choice("SoftmaxClassifier", ("lbfgs", "adam"), solver=self.solver)
        count("SoftmaxClassifier", max_iter=self.max_iter, batch_size=self.batch_size)
        require("SoftmaxClassifier", "at least 0", lambda value: value >= 0, tol=self.tol)

    def _start(self, shape: tuple[int, int], dtype: Any) -> None:
        self.coef_ = np.zeros(shape, dtype)
        self.intercept_ = np.zeros(shape[0], dtype)

    def _take(self, theta: Tensor) -> None:
        values, features = bare(theta), self.n_features_in_
        self.coef_ = np.ascontiguousarray(values[:features].T)
        self.intercept_ = values[features:].sum(axis=0)  # 0 where there is none

    def _weights(self, X: Any, labels: Any, sample_weight: Any) -> Any:
        """Return the samples' weights; None where all are 1."""
        if sample_weight is None and self.class_weight is None:
            return None
        weights = _check_sample_weight(sample_weight, X, dtype=X.dtype, ensure_non_negative=True)
        factors: Any = 1
        if isinstance(self.class_weight, str) and self.class_weight == "balanced":
            counts = np.bincount(labels, weights, len(self.classes_))
            factors = counts.sum() / (len(counts) * np.where(counts > 0, counts, 1))[labels]
        elif self.class_weight is not None:
            y = self.classes_[labels]
            factors = compute_class_weight(self.class_weight, classes=self.classes_, y=y)[labels]
        return (weights * factors).astype(X.dtype, copy=False)

    def _problem(
        self, X: Any, labels: Any, weights: Any, total: float
    ) -> tuple[Tensor, Callable[..., Any]]:
        """Return the coefficients (features, classes) to fit, with the intercept below, and a loss.

        It is, over ``C * total``, the objective of the samples at some places: the mean of the
        losses times the weights, plus the penalty. It is not divided by the weights' sum, for they
        would cancel between batches.
        """
        k = int(self.fit_intercept)
        design = np.concatenate([X, np.ones((len(X), k), X.dtype)], axis=1)
        theta = Tensor(np.concatenate([self.coef_.T, self.intercept_[None][:k]]), True)
        decay = np.full((len(theta), 1), 0.5 / (self.C * total), theta.dtype)
        decay[self.n_features_in_ :] = 0
        for array in (design, decay):
            array.setflags(write=False)  # so that their content need not be checked for changes

        def loss(place: Any = slice(None)) -> Any:
            logits = design[place] @ theta
            if weights is None:
                return cross_entropy(logits, labels[place]) + _penalty(theta, decay)
            losses = cross_entropy(logits, labels[place], reduction="none")
            return np.mean(losses * weights[place]) + _penalty(theta, decay)

        return theta, loss

    def _fit_lbfgs(self, X: Any, labels: Any, weights: Any, total: float) -> None:
        theta, loss = self._problem(X, labels, weights, total)

        def closure() -> Any:
            value = loss()
            value.backward()
            return value

        optimizer = LBFGS(
            [theta],
            max_iter=self.max_iter,
            tolerance_grad=self.tol,
            tolerance_change=64 * float(np.finfo(X.dtype).eps),
            # Fewer iterations the more there are; those of large models must fit the memory.
            history_size=min(max(_HISTORY // theta.size, 10), 50),
        )
        self.loss_ = optimizer.step(closure)
        self.n_iter_ = optimizer.n_iter
        self._take(theta)
        if optimizer.n_iter >= self.max_iter:
            warnings.warn(
                f"SoftmaxClassifier: stopped after max_iter={self.max_iter} iterations, before "
                f"reaching tol; raise max_iter, or scale the features (StandardScaler)",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _pass(self, X: Any, labels: Any, weights: Any, total: float) -> None:
        """Make one pass of Adam steps over mini-batches."""
        theta, loss = self._problem(X, labels, weights, total)
        optimizer, last = Adam([theta], lr=self.learning_rate), self._optimizer
        if last is not None and last.groups[0]["params"][0].shape == theta.shape:
            optimizer.state = last.state  # coefficients and settings may have changed since
        else:
            self._rng = self._generator()
        self._optimizer = optimizer
        for place in Batches(np.arange(len(X)), batch_size=self.batch_size, rng=self._rng):
            optimizer.zero_grad()
            loss(place).backward()
            optimizer.step()
        self._take(theta)

    def _logits(self, X: Any) -> Any:
        return X @ self.coef_.T + self.intercept_


@dataclass(eq=False, repr=False)
class MLPClassifier(_Classifier):
    """A multilayer perceptron trained with Adam, with the settings of scikit-learn's.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int
        Units in each hidden layer.
    activation : {"relu", "tanh", "gelu", "silu", "logistic", "identity"}
        Of the hidden layers.
    alpha : float
        Factor of the L2 penalty of the weights, divided by the batch size.
    batch_size : int or "auto"
        ``"auto"`` is 200, or all samples if fewer.
    learning_rate_init : float
        Adam's step size.
    max_iter : int
        Limit of the epochs.
    tol, n_iter_no_change : float, int
        Stop when the loss has not fallen by ``tol`` for so many epochs.
    random_state : int, RandomState or None
        Draws initial weights and the order of samples.

    Attributes
    ----------
    classes_ : array of shape (classes,)
    model_ : autograd_lite.nn.Sequential
    loss_curve_ : list of float
        The mean loss in each epoch.
    n_iter_ : int

    Examples
    --------
    >>> from autograd_lite.sklearn import MLPClassifier
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], ["even", "odd", "odd", "even"]
    >>> MLPClassifier(learning_rate_init=0.05, random_state=0).fit(X, y).predict(X)
    array(['even', 'odd', 'odd', 'even'], dtype='<U4')
    """

    hidden_layer_sizes: Any = (100,)
    activation: str = "relu"
    _: KW_ONLY
    alpha: float = 1e-4
    batch_size: Any = "auto"
    learning_rate_init: float = 1e-3
    max_iter: int = 200
    tol: float = 1e-4
    n_iter_no_change: int = 10
    random_state: Any = None

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit to samples (samples, features) and their labels; return self."""
        choice("MLPClassifier", tuple(_ACTIVATIONS), activation=self.activation)
        count("MLPClassifier", max_iter=self.max_iter, n_iter_no_change=self.n_iter_no_change)
        samples, y = validate_data(self, X, y, dtype=_DTYPES)
        labels = self._labels(y)
        rng = self._generator()
        hidden = np.atleast_1d(self.hidden_layer_sizes).tolist()
        sizes = [samples.shape[1], *hidden, len(self.classes_)]
        model = self._model(sizes, rng, samples.dtype)
        size = min(200 if self.batch_size == "auto" else self.batch_size, len(samples))
        samples = samples.view()
        samples.setflags(write=False)  # nor are the batches: they need not be checked for changes
        data = Batches(samples, labels, batch_size=size, rng=rng)
        parameters = list(model.parameters())  # weight, bias, weight, bias, ...
        decayed = {"params": parameters[::2], "weight_decay": self.alpha / size}
        optimizer = Adam([decayed, {"params": parameters[1::2]}], lr=self.learning_rate_init)
        best, since = math.inf, 0

        def settled(model: nn.Module, history: Any) -> bool:
            nonlocal best, since
            loss = history["loss"][-1]
            since = 0 if loss < best - self.tol else since + 1
            best = min(best, loss)
            return since >= self.n_iter_no_change

        how: dict[str, Any] = {"epochs": self.max_iter, "callbacks": [settled], "progress": False}
        history = fit(model, cross_entropy, data, optimizer, **how)
        self.model_ = model.eval()
        self.loss_curve_ = history["loss"]
        self.n_iter_ = len(self.loss_curve_)
        if since < self.n_iter_no_change:
            warnings.warn(
                f"MLPClassifier: stopped after max_iter={self.max_iter} epochs, while the loss "
                f"was still falling",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _model(self, sizes: list[Any], rng: np.random.Generator, dtype: Any) -> nn.Sequential:
        layers: list[Any] = []
        for before, after in itertools.pairwise(sizes):
            layers.append(nn.Linear(before, after, rng=rng, dtype=dtype))
            layers.append(_ACTIVATIONS[self.activation]())
        return nn.Sequential(*layers[:-1])

    def _logits(self, X: Any) -> Any:
        with no_grad():
            return bare(self.model_(X))
