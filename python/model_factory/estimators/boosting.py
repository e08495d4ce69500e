"""Gradient boosting as an estimator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from model_factory import _arrays
from model_factory.estimators.trees import Ensemble

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from model_factory._columns import Columns

__all__ = ["GradientBoosting"]


class GradientBoosting(Ensemble):
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
