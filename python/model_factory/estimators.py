"""The model families of the factory as estimators, for work outside a build line.

They follow scikit-learn's conventions and work in its pipelines, searches and cross-validation without
importing it. Hyper-parameters have the names, defaults and ranges of a training config's ``model``. The same
rows in the same order give the same model, bit for bit, on any number of threads.

They can be copied and pickled, as parallel searches do: a model crosses as the bytes of its arrays, which are
checked when they are read. The pickle around them is code, though: hand a model on as a bundle.

>>> import numpy as np
>>> from model_factory.estimators import DecisionTree
>>> tree = DecisionTree(max_depth=2).fit([[0.0], [1.0], [2.0]], ["genuine", "genuine", "stolen"])
>>> tree.predict([[3.0]])
array(['stolen'], dtype='<U7')
"""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from model_factory import _arrays, _native
from model_factory._columns import Columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray
    from typing_extensions import Self

__all__ = ["DecisionTree", "GradientBoosting", "LogisticRegression", "RandomForest"]

_NO_HYPER_PARAMETERS = ("n_jobs", "random_state", "warm_start")


class _Classifier:
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
            Features; NaN is missing, which only gradient boosting takes.
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


class LogisticRegression(_Classifier):
    """Logistic regression on standardised features, with L1 and L2 penalties.

    A fit that does not converge raises. Classes that a line parts have a solution too: the penalty bounds it.

    Parameters
    ----------
    c : float
        Inverse strength of the penalty.
    l1_ratio : float
        Share of the penalty that is L1: 0 is ridge, 1 lasso, between them elastic net.
    standardize : bool
        Whether features are centred and scaled by mean and standard deviation.
    fit_intercept : bool
        Whether an intercept is fitted.
    max_iter : int
        Newton steps at the most; reaching it is ``TRAINING_DIVERGED``.
    tol : float
        Converged when the largest component of the mean gradient is below this.
    class_weight : {"none", "balanced"}
        Whether each class counts half.
    n_jobs : int, optional
        Threads; all cores by default.

    Attributes
    ----------
    coef_ : array of shape (1, columns)
        Change of the logit for one unit of each feature as given, not as standardised.
    intercept_ : array of shape (1,)
        The logit of a row of zeros.
    n_iter_ : array of shape (1,)
        Newton steps over all rows after which the fit had converged.
    """

    _family = "logistic_regression"

    coef_: NDArray[np.float64]
    intercept_: NDArray[np.float64]
    n_iter_: NDArray[np.int32]

    def __init__(
        self,
        *,
        c: float = 1.0,
        l1_ratio: float = 0.0,
        standardize: bool = True,
        fit_intercept: bool = True,
        max_iter: int = 100,
        tol: float = 1e-10,
        class_weight: Literal["none", "balanced"] = "none",
        n_jobs: int | None = None,
    ) -> None:
        self.c = c
        self.l1_ratio = l1_ratio
        self.standardize = standardize
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.class_weight = class_weight
        self.n_jobs = n_jobs


class _Trees(_Classifier):
    """What the families of trees share."""

    @property
    def expected_value(self) -> float:
        """The mean score of the training data, which ``shap_values`` are added to."""
        return self._fitted().expected_value

    def shap_values(self, X: Any) -> NDArray[np.float64]:
        """Tell what each feature adds to the score of each row, of shape (rows, columns).

        Exact Shapley values of the path-dependent game of TreeSHAP: Lundberg et al., "From local explanations
        to global understanding with explainable AI for trees", Nature Machine Intelligence 2 (2020). With
        ``expected_value`` a row's values sum to its score: the probability of ``classes_[1]`` for a tree or a
        forest, ``decision_function`` for gradient boosting. Any number of threads gives the same bits.

        Raises
        ------
        ResolutionError
            ``FEATURE_SCHEMA_INCOMPATIBLE`` where columns are other than those of the fit.
        ExecutionError
            ``NON_FINITE_INPUT``.
        """
        return self._fitted().shap_values(self._rows(X), threads=_arrays.threads(self.n_jobs))

    def _leaves(self, X: Any) -> NDArray[np.uint32]:
        return self._fitted().leaves(self._rows(X), threads=_arrays.threads(self.n_jobs))


class DecisionTree(_Trees):
    """One CART tree, grown by Gini impurity.

    Parameters
    ----------
    max_depth : int, optional
        Longest path from root to leaf.
    min_samples_split : int
        Rows a node needs before it may be split.
    min_samples_leaf : int
        Rows each leaf needs.
    class_weight : {"none", "balanced"}
        Whether each class counts half.
    n_jobs : int, optional
        Threads; all cores by default.
    """

    _family = "decision_tree"

    def __init__(
        self,
        *,
        max_depth: int | None = None,
        min_samples_split: int = 2,
        min_samples_leaf: int = 1,
        class_weight: Literal["none", "balanced"] = "none",
        n_jobs: int | None = None,
    ) -> None:
        self.max_depth = max_depth
        self.min_samples_split = min_samples_split
        self.min_samples_leaf = min_samples_leaf
        self.class_weight = class_weight
        self.n_jobs = n_jobs

    def apply(self, X: Any) -> NDArray[np.uint32]:
        """Give the number of the leaf that each row falls into, of shape (rows,).

        Leaves are numbered by their position among the nodes of their tree.

        Raises
        ------
        ResolutionError
            ``FEATURE_SCHEMA_INCOMPATIBLE`` where columns are other than those of the fit.
        ExecutionError
            ``NON_FINITE_INPUT``.
        """
        return self._leaves(X)[:, 0]


class RandomForest(_Trees):
    """Bagged CART trees whose probabilities are averaged.

    Parameters
    ----------
    n_estimators : int
        Number of trees.
    max_depth : int, optional
        Longest path from root to leaf.
    min_samples_split : int
        Rows a node needs before it may be split.
    min_samples_leaf : int
        Rows each leaf needs.
    max_features : {"sqrt", "all"}
        Features looked at for one split.
    bootstrap : bool
        Whether each tree draws its rows with replacement.
    class_weight : {"none", "balanced"}
        Whether each class counts half.
    random_state : int
        Seed of every random choice, zero or more.
    n_jobs : int, optional
        Threads; all cores by default.
    """

    _family = "random_forest"

    def __init__(  # noqa: PLR0913 - as many as a forest has
        self,
        *,
        n_estimators: int = 100,
        max_depth: int | None = None,
        min_samples_split: int = 2,
        min_samples_leaf: int = 1,
        max_features: Literal["sqrt", "all"] = "sqrt",
        bootstrap: bool = True,
        class_weight: Literal["none", "balanced"] = "none",
        random_state: int = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.min_samples_split = min_samples_split
        self.min_samples_leaf = min_samples_leaf
        self.max_features = max_features
        self.bootstrap = bootstrap
        self.class_weight = class_weight
        self.random_state = random_state
        self.n_jobs = n_jobs

    def apply(self, X: Any) -> NDArray[np.uint32]:
        """Give the number of the leaf that each row falls into, of shape (rows, trees).

        Leaves are numbered by their position among the nodes of their tree.

        Raises
        ------
        ResolutionError
            ``FEATURE_SCHEMA_INCOMPATIBLE`` where columns are other than those of the fit.
        ExecutionError
            ``NON_FINITE_INPUT``.
        """
        return self._leaves(X)


class GradientBoosting(_Trees):
    """Histogram gradient boosting on the logistic loss; takes missing values.

    Parameters
    ----------
    n_estimators : int
        Number of trees at the most.
    learning_rate : float
        Shrinkage of each tree.
    grow_policy : {"leaf_wise", "depth_wise"}
        Which leaf is split next: the one that gains most, or all of a level before any of the next (where
        leaves run out within a level, those that gain most).
    max_leaf_nodes : int
        Leaves of a tree at the most.
    max_depth : int, optional
        Longest path from root to leaf.
    min_samples_leaf : int
        Rows each leaf needs.
    min_child_weight : float
        Sum of second derivatives that each leaf needs.
    l1_regularization, l2_regularization : float
        Penalties on leaf values.
    min_split_gain : float
        Loss reduction that a split needs.
    max_bins : int
        Value bins of a feature at the most; one more holds missing values.
    subsample : float
        Share of rows drawn, without replacement, for each tree.
    colsample : float
        Share of features drawn for each tree.
    monotonic_cst : array of shape (columns,) or dict of name to direction, optional
        Which way the score may go as a feature grows and the others stay: 1 is never down, -1 never up, 0
        either. A missing value is compared with none, and categorical features have no direction.
    interaction_cst : {"pairwise", "no_interactions"} or sequence of groups of columns, optional
        Columns, by position or by name, that may be looked at together on one path from the root of a tree to
        a leaf. Groups may overlap; columns that are in none form one group more, as in scikit-learn's
        ``HistGradientBoostingClassifier``. "pairwise" allows any two, "no_interactions" one.
    early_stopping_rounds : int, optional
        Stop when the log loss on ``eval_set`` has not improved for so many trees.
    class_weight : {"none", "balanced"}
        Whether each class counts half.
    categorical_features : array of int, bool or str, optional
        Columns whose values are names and no amounts: their positions, a mask of all columns, or, for a
        dataframe, their names. They hold whole numbers from 0 and below ``max_bins``; NaN is missing. A split
        sends a set of categories left; one of which it has seen fewer than ten rows goes where missing values
        go.
    random_state : int
        Seed of every random choice, zero or more.
    warm_start : bool
        Whether a further fit adds trees to those there are until they are ``n_estimators``. On the same rows
        and with all else unchanged that gives the same model, bit for bit, as fitting them all at once.
    n_jobs : int, optional
        Threads; all cores by default.

    Notes
    -----
    A split on a categorical column looks at the sets that cut the categories in two in the order of their
    gradient over their curvature, which for a convex loss hold the best of all sets: Fisher, "On grouping for
    maximum homogeneity", Journal of the American Statistical Association 53 (1958). As in LightGBM and
    scikit-learn, 10 is added to the curvature, which keeps rare categories from the ends of the order.
    """

    _family = "gradient_boosting"
    _takes_missing = True

    def __init__(  # noqa: PLR0913 - as many as boosting has
        self,
        *,
        n_estimators: int = 100,
        learning_rate: float = 0.1,
        grow_policy: Literal["leaf_wise", "depth_wise"] = "leaf_wise",
        max_leaf_nodes: int = 31,
        max_depth: int | None = None,
        min_samples_leaf: int = 20,
        min_child_weight: float = 1e-3,
        l1_regularization: float = 0.0,
        l2_regularization: float = 1.0,
        min_split_gain: float = 0.0,
        max_bins: int = 255,
        subsample: float = 1.0,
        colsample: float = 1.0,
        monotonic_cst: ArrayLike | dict[str, int] | None = None,
        interaction_cst: Literal["pairwise", "no_interactions"] | Sequence[Iterable[int | str]] | None = None,
        early_stopping_rounds: int | None = None,
        class_weight: Literal["none", "balanced"] = "none",
        categorical_features: ArrayLike | None = None,
        random_state: int = 0,
        warm_start: bool = False,
        n_jobs: int | None = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.grow_policy = grow_policy
        self.max_leaf_nodes = max_leaf_nodes
        self.max_depth = max_depth
        self.min_samples_leaf = min_samples_leaf
        self.min_child_weight = min_child_weight
        self.l1_regularization = l1_regularization
        self.l2_regularization = l2_regularization
        self.min_split_gain = min_split_gain
        self.max_bins = max_bins
        self.subsample = subsample
        self.colsample = colsample
        self.monotonic_cst = monotonic_cst
        self.interaction_cst = interaction_cst
        self.early_stopping_rounds = early_stopping_rounds
        self.class_weight = class_weight
        self.categorical_features = categorical_features
        self.random_state = random_state
        self.warm_start = warm_start
        self.n_jobs = n_jobs

    def _plain(self, name: str, value: Any, columns: Columns) -> Any:
        if value is not None and name == "monotonic_cst":
            return columns.directions(value)
        if value is not None and name == "interaction_cst" and not isinstance(value, str):
            return columns.groups(value)
        if name == "categorical_features":
            return [] if value is None else columns.several(value, name)
        return super()._plain(name, value, columns)

    def apply(self, X: Any) -> NDArray[np.uint32]:
        """Give the number of the leaf that each row falls into, of shape (rows, trees).

        Leaves are numbered by their position among the nodes of their tree.

        Raises
        ------
        ResolutionError
            ``FEATURE_SCHEMA_INCOMPATIBLE`` where columns are other than those of the fit.
        ExecutionError
            ``NON_FINITE_INPUT``.
        """
        return self._leaves(X)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Give the log-odds of ``classes_[1]`` for each row, of shape (rows,).

        Raises
        ------
        ResolutionError
            ``FEATURE_SCHEMA_INCOMPATIBLE`` where columns are other than those of the fit.
        ExecutionError
            ``NON_FINITE_INPUT``.
        """
        return self._fitted().log_odds(self._rows(X), threads=_arrays.threads(self.n_jobs))

    def staged_predict_proba(self, X: Any) -> Iterator[NDArray[np.float64]]:
        """Give what ``predict_proba`` would after the first tree, after the second, and so on.

        Rows must not change between steps, since each step scores them by one tree more.

        Raises
        ------
        ResolutionError
            ``FEATURE_SCHEMA_INCOMPATIBLE`` where columns are other than those of the fit.
        ExecutionError
            ``NON_FINITE_INPUT``.
        """
        model, features = self._fitted(), _arrays.matrix(self._rows(X), "X")
        return iter(model.stages(features, threads=_arrays.threads(self.n_jobs)))


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
    try:
        classes = np.unique(_labels(y))
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
