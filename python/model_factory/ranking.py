"""Metrics that need the order of the scores alone, from one sort.

>>> from model_factory.ranking import Ranking
>>> ranking = Ranking([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
>>> ranking.roc_auc(), ranking.recall_at_fpr(0.0)
(0.75, 0.5)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from model_factory import _arrays, _native

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = ["PrecisionRecallCurve", "Ranking", "RocCurve"]

_ALL_POINTS = 2**63 - 1


class RocCurve(NamedTuple):
    """Receiver operating characteristic by falling threshold, arrays of shape (points,)."""

    thresholds: NDArray[np.float64]
    """Rows scored at or above it are called positive; infinite at the first point."""
    false_positive_rates: NDArray[np.float64]
    true_positive_rates: NDArray[np.float64]


class PrecisionRecallCurve(NamedTuple):
    """Precision and recall by falling threshold, arrays of shape (points,)."""

    thresholds: NDArray[np.float64]
    """Rows scored at or above it are called positive; infinite at the first point."""
    precisions: NDArray[np.float64]
    recalls: NDArray[np.float64]


class Ranking:
    """Rows of both classes in the order of their scores: sorted once, asked often.

    Parameters
    ----------
    y_true : array of shape (rows,)
        Booleans, or 0 and 1.
    y_score : array of shape (rows,)
        The higher, the likelier positive.
    sample_weight : array of shape (rows,), optional
        Zero or positive; a row of weight zero is as good as absent.

    Raises
    ------
    InputAdmissionError
        ``SHAPE_MISMATCH``, ``DATASET_EMPTY``, ``COLUMN_TYPE_INVALID``, ``PARAMETER_INVALID``.
    ExecutionError
        ``NON_FINITE_INPUT``, ``DEGENERATE_LABELS``.
    """

    def __init__(
        self, y_true: ArrayLike, y_score: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> None:
        self._ranking = _native.Ranking(_arrays.scored(y_true, y_score, sample_weight))

    def roc_auc(self) -> float:
        """Area under the receiver operating characteristic, ties counting half."""
        return self._ranking.roc_auc()

    def average_precision(self) -> float:
        """Sum of precision times the gain in recall over the distinct scores, without interpolation."""
        return self._ranking.average_precision()

    def recall_at_fpr(self, fpr: float) -> float:
        """Largest recall at a threshold whose false-positive rate is at most ``fpr``."""
        return self._ranking.recall_at_false_positive_rate(fpr)

    def roc_curve(self, *, max_points: int | None = None) -> RocCurve:
        """Receiver operating characteristic from (0, 0) to (1, 1): a point a distinct score.

        Where there are more than ``max_points`` (2 or more), those at equal steps of the way are given.
        """
        return RocCurve(*self._ranking.roc_curve(_points(max_points)))

    def precision_recall_curve(self, *, max_points: int | None = None) -> PrecisionRecallCurve:
        """Precision and recall from recall 0 to recall 1, at the same thresholds as ``roc_curve``."""
        return PrecisionRecallCurve(*self._ranking.precision_recall_curve(_points(max_points)))


def _points(max_points: int | None) -> int:
    return _ALL_POINTS if max_points is None else _arrays.whole(max_points, "max_points", 2, _ALL_POINTS)
