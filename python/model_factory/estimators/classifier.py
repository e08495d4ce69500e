"""What all estimators share: parameters, rows, labels, and how they are fitted and asked."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from model_factory import _arguments, _arrays, _native
from model_factory._columns import Columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray
    from typing_extensions import Self

__all__ = ["Classifier"]

_NO_HYPER_PARAMETERS = ("n_jobs", "random_state", "warm_start")


class Classifier:
    """What all families share: two classes, of whose sorted labels the larger is positive."""

    _estimator_type = "classifier"
    _family: ClassVar[str]
    _takes_missing: ClassVar[bool] = False

    classes_: NDArray[Any]
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]
    n_jobs: int | None

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002, FBT001, FBT002 - scikit-learn's
        """Give the arguments that the estimator was made with, by name."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Self:
        """Change arguments by name.

        Raises
        ------
        InputAdmissionError
            ``PARAMETER_INVALID`` for a name that is none of them.
        """
        known = self.get_params()
        for name in params:
            if name not in known:
                raise _native.refusal("PARAMETER_INVALID", name, f"one of {', '.join(known)}", "another name")
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        eval_set: tuple[Any, ...] | None = None,
        *,
        progress: Callable[[int, int], object] | None = None,
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array or dataframe of shape (rows, columns)
            Features, numbers or booleans; NaN is missing, which only gradient boosting takes.
        y : array of shape (rows,)
            Labels of two values.
        sample_weight : array of shape (rows,), optional
            Weights, zero or more.
        eval_set : tuple, optional
            ``(X, y)`` or ``(X, y, sample_weight)`` of later rows; serves early stopping alone.
        progress : callable, optional
            Called with (steps done, steps in all), every 50 ms at the most. What it raises stops the fit.

        Raises
        ------
        InputAdmissionError
            ``PARAMETER_INVALID``, ``SHAPE_MISMATCH``, ``COLUMN_TYPE_INVALID``, ``NULL_NOT_ALLOWED``,
            ``DATASET_EMPTY``.
        ResolutionError
            ``FEATURE_SCHEMA_INCOMPATIBLE`` where ``eval_set`` or the fit that is carried on has others, or
            that fit other categorical ones.
        ExecutionError
            ``DEGENERATE_LABELS``, ``NON_FINITE_INPUT``, ``CATEGORY_INVALID``, ``TRAINING_DIVERGED``.
        """
        features, names = _arrays.matrix(X, "X"), _feature_names(X)
        classes = _classes(y)
        validation = None
        if eval_set is not None:
            if len(eval_set) not in {2, 3}:
                raise _native.refusal("PARAMETER_INVALID", "eval_set", "(X, y) or (X, y, weights)", "another")
            _check_names(names, _feature_names(eval_set[0]))
            validation = _frame(_arrays.matrix(eval_set[0], "eval_set/0"), *eval_set[1:], classes=classes)
        self._model = _native.fit(
            self._config(Columns(names, features.shape[1])),
            _arrays.whole(getattr(self, "random_state", 0), "random_state", 0, 2**64 - 1),
            _frame(features, y, sample_weight, classes=classes),
            validation=validation,
            start=self._start(names, classes),
            threads=_arrays.threads(self.n_jobs),
            progress=progress,
        )
        self.classes_ = classes
        self.n_features_in_ = self._model.columns
        if self._model.linear is not None:
            coefficients, intercept, steps = self._model.linear
            self.coef_, self.intercept_ = coefficients[np.newaxis], np.array([intercept])
            self.n_iter_ = np.array([steps], dtype=np.int32)
        self.__dict__.pop("feature_names_in_", None)
        if names is not None:
            self.feature_names_in_ = names
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Give the probability of each class, of shape (rows, 2), in the order of ``classes_``.

        Raises
        ------
        ResolutionError
            ``FEATURE_SCHEMA_INCOMPATIBLE`` where columns are other than those of the fit.
        ExecutionError
            ``NON_FINITE_INPUT``.
        """
        return self._fitted().predict_proba(self._rows(X), threads=_arrays.threads(self.n_jobs))

    def predict(self, X: Any) -> NDArray[Any]:
        """Give the likelier class of each row, of shape (rows,); the first class where both are as likely."""
        likelier = self.predict_proba(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[likelier]
        return labels

    def score(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Give the share of rows whose class is foreseen. With rare positives look at ``metrics`` instead."""
        right = self.predict(X) == np.asarray(y)
        return float(np.average(right, weights=None if sample_weight is None else np.asarray(sample_weight)))

    def _fitted(self) -> _native.Model:
        """Give the model; refuse an estimator that has none yet."""
        if not self.__sklearn_is_fitted__():
            raise _native.refusal("NOT_FITTED", type(self).__name__, "fitted", "one that is not")
        return self._model

    def _rows(self, X: Any) -> NDArray[np.float64]:
        """Take rows to score where they lie, if they are an array of numbers, and convert anything else."""
        if _arrays.is_plain(X):
            plain: NDArray[np.float64] = X
            return plain
        _check_names(getattr(self, "feature_names_in_", None), _feature_names(X))
        return _arrays.matrix(X, "X")

    def _start(self, names: NDArray[np.object_] | None, classes: NDArray[Any]) -> _native.Model | None:
        """Give the model that a fit carries on with, if it does."""
        warm = getattr(self, "warm_start", False)
        if not isinstance(warm, (bool, np.bool_)):
            raise _native.refusal("PARAMETER_INVALID", "warm_start", "true or false", "something else")
        if not warm or not self.__sklearn_is_fitted__():
            return None
        _check_names(getattr(self, "feature_names_in_", None), names)
        if not np.array_equal(classes, self.classes_):
            expected = "the labels of the fit that is carried on"
            raise _native.refusal("PARAMETER_INVALID", "y", expected, "others")
        return self._model

    def _config(self, columns: Columns) -> str:
        """Hyper-parameters as JSON, which speaks of columns by position; the core checks them."""
        config: dict[str, Any] = {"family": self._family}
        for name, value in self.get_params().items():
            if name in _NO_HYPER_PARAMETERS:
                continue
            config[name] = self._plain(name, value, columns)
            if isinstance(config[name], str):
                _arguments.text(config[name], name)
            try:
                json.dumps(config[name], allow_nan=False)
            except (TypeError, ValueError):
                found = "something that JSON cannot say"
                raise _native.refusal("PARAMETER_INVALID", name, "a plain value", found) from None
        return json.dumps(config)

    def _plain(self, name: str, value: Any, columns: Columns) -> Any:  # noqa: ARG002 - for those that name columns
        return value.item() if isinstance(value, np.generic) else value

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_model")

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags  # noqa: PLC0415 - it asked

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(multi_class=False),
            input_tags=InputTags(allow_nan=self._takes_missing),
        )

    def __repr__(self) -> str:
        defaults = {name: each.default for name, each in inspect.signature(type(self)).parameters.items()}
        changed = (f"{k}={v!r}" for k, v in self.get_params().items() if repr(v) != repr(defaults[k]))
        return f"{type(self).__name__}({', '.join(changed)})"


def _frame(
    features: NDArray[np.float64], y: ArrayLike, weights: ArrayLike | None = None, *, classes: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64] | None]:
    """Join the parts as the native module takes them."""
    labels = _labels(y)
    positive = labels == classes[1]
    if not (positive | (labels == classes[0])).all():
        raise _native.refusal("PARAMETER_INVALID", "eval_set/1", "the labels of y", "others too")
    return features, positive, None if weights is None else _arrays.vector(weights, "sample_weight")


def _labels(y: ArrayLike) -> NDArray[Any]:
    labels = _arrays.one_dimension(np.asarray(y), "y")
    if len(labels) == 0:
        raise _native.refusal("DATASET_EMPTY", "y", "at least one row", "none")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise _native.refusal("NULL_NOT_ALLOWED", "y", "a label in each row", "NaN or an infinity")
    return labels


def _classes(y: ArrayLike) -> NDArray[Any]:
    """Sort the two labels."""
    labels = _labels(y)
    if labels.dtype.kind in "biu":
        # Sorting a million of them for the sake of two takes many times as long.
        least, greatest = labels.min(), labels.max()
        if least != greatest and ((labels == least) | (labels == greatest)).all():
            return np.array([least, greatest], dtype=labels.dtype)
    try:
        classes = np.unique(labels)
    except TypeError:
        raise _native.refusal("COLUMN_TYPE_INVALID", "y", "labels of one type", "several types") from None
    if len(classes) != 2:
        raise _native.refusal("DEGENERATE_LABELS", "y", "labels of two classes", f"{len(classes)} classes")
    return classes


def _feature_names(table: Any) -> NDArray[np.object_] | None:
    """Names of a dataframe's columns, where all are text."""
    columns = getattr(table, "columns", None)
    if columns is None or callable(columns):
        columns = getattr(table, "column_names", None)
    if columns is None:
        return None
    names = list(columns)
    # pyarrow's `columns` are the columns themselves.
    if names and not isinstance(names[0], str):
        names = list(getattr(table, "column_names", ()))
    return np.array(names, dtype=object) if names and all(isinstance(name, str) for name in names) else None


def _check_names(fitted: NDArray[np.object_] | None, given: NDArray[np.object_] | None) -> None:
    """Refuse a dataframe whose columns are not those of the fit, in that order."""
    if fitted is not None and given is not None and list(fitted) != list(given):
        found = "others, or another order"
        raise _native.refusal("FEATURE_SCHEMA_INCOMPATIBLE", "X", "the columns of the fit, in order", found)
