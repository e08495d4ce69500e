"""How good a set of scores is, with the definitions that evaluation reports use.

``y_true`` holds booleans, or 0 and 1; a higher ``y_score`` means "more likely positive"; ``sample_weight`` is
zero or positive, and a row of weight zero is as good as absent. All are of shape (rows,). Where scikit-learn
has the metric the figures agree to 1e-12. What is not defined raises: a metric is never NaN. Whoever wants
several metrics that rank makes a ``Ranking`` and asks it: it sorts once.

Every function raises ``InputAdmissionError`` (``SHAPE_MISMATCH``, ``DATASET_EMPTY``, ``COLUMN_TYPE_INVALID``,
``PARAMETER_INVALID``) and ``ExecutionError`` (``NON_FINITE_INPUT``; ``DEGENERATE_LABELS`` where it needs both
classes).

>>> from model_factory import metrics
>>> metrics.roc_auc_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
0.75
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from model_factory import _arrays, _native
from model_factory.ranking import PrecisionRecallCurve, Ranking, RocCurve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Confusion",
    "EntityPrecision",
    "Interval",
    "PrecisionRecallCurve",
    "Ranking",
    "Reliability",
    "RocCurve",
    "average_precision_score",
    "bootstrap_intervals",
    "brier_score",
    "calibration_error",
    "confusion",
    "entity_precision_at_k",
    "kolmogorov_smirnov",
    "log_loss",
    "population_stability",
    "precision_at_k",
    "precision_recall_curve",
    "recall_at_fpr",
    "recall_at_k",
    "reliability",
    "roc_auc_score",
    "roc_curve",
]


class Reliability(NamedTuple):
    """A reliability diagram, arrays of shape (bins,); bins without rows are left out."""

    expected_calibration_error: float
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    rows: NDArray[np.uint64]
    weight: NDArray[np.float64]
    mean_score: NDArray[np.float64]
    observed_rate: NDArray[np.float64]


class Confusion(NamedTuple):
    """Weights of the four outcomes at a threshold; a share is None where nothing could be shared."""

    true_positives: float
    false_positives: float
    true_negatives: float
    false_negatives: float

    @property
    def precision(self) -> float | None:
        """Share of positives among the rows called positive."""
        return _share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        """Share of the positives called positive."""
        return _share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall."""
        twice = 2.0 * self.true_positives
        return _share(twice, twice + self.false_positives + self.false_negatives)

    @property
    def false_positive_rate(self) -> float | None:
        """Share of the negatives called positive."""
        return _share(self.false_positives, self.false_positives + self.true_negatives)


class EntityPrecision(NamedTuple):
    """Precision of each day's k highest entities, arrays of shape (days,)."""

    mean: float
    days: NDArray[np.int64]
    entities: NDArray[np.uint64]
    """Entities that stood in the day's ranking."""
    found: NDArray[np.uint64]
    precision: NDArray[np.float64]
    """``found / k``, however few entities there were."""


class Interval(NamedTuple):
    """A percentile interval."""

    estimate: float
    """The metric on the rows as they are."""
    lower: float
    upper: float


def roc_auc_score(y_true: ArrayLike, y_score: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Area under the receiver operating characteristic, ties counting half."""
    return Ranking(y_true, y_score, sample_weight=sample_weight).roc_auc()


def average_precision_score(
    y_true: ArrayLike, y_score: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Sum of precision times the gain in recall over the distinct scores, without interpolation."""
    return Ranking(y_true, y_score, sample_weight=sample_weight).average_precision()


def recall_at_fpr(
    y_true: ArrayLike, y_score: ArrayLike, *, fpr: float, sample_weight: ArrayLike | None = None
) -> float:
    """Largest recall at a threshold whose false-positive rate is at most ``fpr``."""
    return Ranking(y_true, y_score, sample_weight=sample_weight).recall_at_fpr(fpr)


def roc_curve(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    max_points: int | None = None,
    sample_weight: ArrayLike | None = None,
) -> RocCurve:
    """Receiver operating characteristic from (0, 0) to (1, 1): a point a distinct score.

    Where there are more than ``max_points`` (2 or more), those at equal steps of the way are given.
    """
    return Ranking(y_true, y_score, sample_weight=sample_weight).roc_curve(max_points=max_points)


def precision_recall_curve(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    max_points: int | None = None,
    sample_weight: ArrayLike | None = None,
) -> PrecisionRecallCurve:
    """Precision and recall from recall 0 to recall 1, at the same thresholds as ``roc_curve``."""
    ranking = Ranking(y_true, y_score, sample_weight=sample_weight)
    return ranking.precision_recall_curve(max_points=max_points)


def log_loss(y_true: ArrayLike, y_prob: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Mean negative log-likelihood in nats; probabilities are clipped by 2^-52 as scikit-learn does."""
    return _native.log_loss(_arrays.scored(y_true, y_prob, sample_weight))


def brier_score(y_true: ArrayLike, y_prob: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Mean squared distance of probability and outcome."""
    return _native.brier(_arrays.scored(y_true, y_prob, sample_weight))


def reliability(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    bins: int = 10,
    by: Literal["width", "count"] = "width",
    sample_weight: ArrayLike | None = None,
) -> Reliability:
    """Tell what share came true, by bins of equal width or of equal row counts (ties are not torn apart)."""
    bins = _arrays.whole(bins, "bins", 1, 2**32 - 1)
    return Reliability(*_native.reliability(_arrays.scored(y_true, y_prob, sample_weight), bins, by))


def calibration_error(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    bins: int = 10,
    by: Literal["width", "count"] = "width",
    sample_weight: ArrayLike | None = None,
) -> float:
    """Give the expected calibration error: mean distance of probability and observed rate over the bins."""
    found = reliability(y_true, y_prob, bins=bins, by=by, sample_weight=sample_weight)
    return found.expected_calibration_error


def confusion(
    y_true: ArrayLike, y_score: ArrayLike, *, threshold: float, sample_weight: ArrayLike | None = None
) -> Confusion:
    """Outcomes where rows scored at or above ``threshold`` are called positive."""
    return Confusion(*_native.confusion(_arrays.scored(y_true, y_score, sample_weight), threshold))


def precision_at_k(
    y_true: ArrayLike, y_score: ArrayLike, *, k: int, sample_weight: ArrayLike | None = None
) -> float:
    """Share of positives among the ``k`` highest scores; of equal scores the earlier row goes first."""
    return _native.top_k(_arrays.scored(y_true, y_score, sample_weight), _count(k))[0]


def recall_at_k(
    y_true: ArrayLike, y_score: ArrayLike, *, k: int, sample_weight: ArrayLike | None = None
) -> float | None:
    """Share of the positives among the ``k`` highest scores; None where there is no positive."""
    return _native.top_k(_arrays.scored(y_true, y_score, sample_weight), _count(k))[1]


def entity_precision_at_k(
    y_true: ArrayLike, y_score: ArrayLike, *, entity: ArrayLike, day: ArrayLike, k: int
) -> EntityPrecision:
    """Precision of a team that can look at ``k`` entities (cards, accounts) a day.

    An entity is ranked by its highest score of the day, of equal ones the lower entity first, and is positive
    that day if one of its rows is. One that was found leaves the ranking of all later days, as in the
    handbook *Reproducible Machine Learning for Credit Card Fraud Detection* (Le Borgne and others, 2022).

    Parameters
    ----------
    entity : array of shape (rows,)
        Whose each row is: values of one sortable type.
    day : array of shape (rows,)
        Whole numbers, or times, which count by UTC day since 1970.
    k : int
        Entities a day.
    """
    days = _arrays.one_dimension(np.asarray(day), "day")
    if days.dtype.kind == "M":
        if np.isnat(days).any():
            raise _native.refusal("NULL_NOT_ALLOWED", "day", "a day in each row", "missing ones")
        days = days.astype("datetime64[D]").astype(np.int64)
    elif days.dtype.kind not in "iu":
        raise _native.refusal("COLUMN_TYPE_INVALID", "day", "whole numbers or times", f"{days.dtype}")
    try:
        codes = np.unique(_arrays.one_dimension(np.asarray(entity), "entity"), return_inverse=True)[1]
    except TypeError:
        refusal = _native.refusal("COLUMN_TYPE_INVALID", "entity", "values of one type", "several types")
        raise refusal from None
    rows = _arrays.scored(y_true, y_score, None)
    found = _native.entity_precision(rows, codes.astype(np.uint64), days.astype(np.int64), _count(k))
    return EntityPrecision(*found)


def population_stability(reference: ArrayLike, current: ArrayLike) -> float:
    """Give the population stability index against the deciles of ``reference``; NaN is a bin."""
    return _native.population_stability(
        _arrays.vector(reference, "reference"), _arrays.vector(current, "current")
    )


def kolmogorov_smirnov(reference: ArrayLike, current: ArrayLike) -> float | None:
    """Largest distance of two empirical distributions; NaN is left out, None where a side has no other."""
    return _native.kolmogorov_smirnov(
        _arrays.vector(reference, "reference"), _arrays.vector(current, "current")
    )


def bootstrap_intervals(  # noqa: PLR0913 - each with a name
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    metrics: Sequence[str] = ("roc_auc", "average_precision"),
    replicates: int = 1000,
    level: float = 0.95,
    random_state: int = 0,
    sample_weight: ArrayLike | None = None,
    n_jobs: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Mapping[str, Interval]:
    """Percentile intervals of several metrics from the same replicates.

    Parameters
    ----------
    metrics : sequence of str
        ``"roc_auc"``, ``"average_precision"``, ``"brier"``, ``"log_loss"``, or ``"recall_at_fpr"`` with a
        rate, such as ``"recall_at_fpr:0.01"``.
    replicates : int
        Number of replicates; those that draw one class only are left out.
    level : float
        Share of the replicates that an interval spans, between 0 and 1.
    random_state : int
        Seed of the draws. The same seed gives the same intervals on any number of threads.
    n_jobs : int, optional
        Threads; all cores by default.
    progress : callable, optional
        Called with (replicates done, replicates in all), about every 50 ms at the most.
    """
    estimates, lower, upper, _, _ = _native.bootstrap(
        _arrays.scored(y_true, y_score, sample_weight),
        [_metric(name) for name in metrics],
        _arrays.whole(replicates, "replicates", 1, 2**32 - 1),
        level,
        _arrays.whole(random_state, "random_state", 0, 2**64 - 1),
        threads=_arrays.threads(n_jobs),
        progress=progress,
    )
    intervals = zip(estimates.tolist(), lower.tolist(), upper.tolist(), strict=True)
    return {name: Interval(*interval) for name, interval in zip(metrics, intervals, strict=True)}


def _metric(text: str) -> tuple[Any, float | None]:
    name, separator, rate = text.partition(":")
    try:
        return name, float(rate) if separator else None
    except ValueError:
        raise _native.refusal("PARAMETER_INVALID", "metrics", "a rate after the colon", "no number") from None


def _count(k: int) -> int:
    return _arrays.whole(k, "k", 1, 2**32 - 1)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0.0 else None
