"""Logistic regression as an estimator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from model_factory.estimators.classifier import Classifier

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LogisticRegression"]


class LogisticRegression(Classifier):
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
