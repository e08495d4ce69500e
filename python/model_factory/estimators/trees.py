"""Trees and forests as estimators, and what everything made of trees can be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from model_factory import _arrays
from model_factory.estimators.classifier import Classifier

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DecisionTree", "Ensemble", "RandomForest"]


class Trees(Classifier):
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


class DecisionTree(Trees):
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


class Ensemble(Trees):
    """What the families of many trees share."""

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


class RandomForest(Ensemble):
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
