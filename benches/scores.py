"""Metrics of scores, and their intervals, beside scikit-learn's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as oracle

from benches import data
from benches.protocol import Contestant, Outcome, check, race
from model_factory import metrics

ROWS = 250_000
REPLICATES, TIMED = 1_000, 20
AGREEING = 1e-12


def _ours(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    curve = metrics.precision_recall_curve(positive, score)
    return [
        np.array(
            [
                metrics.roc_auc_score(positive, score),
                metrics.average_precision_score(positive, score),
                metrics.brier_score(positive, score),
            ]
        ),
        # scikit-learn's run by rising threshold.
        curve.precisions[::-1],
        curve.recalls[::-1],
    ]


def _theirs(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    precisions, recalls, _ = oracle.precision_recall_curve(positive, score)
    return [
        np.array(
            [
                oracle.roc_auc_score(positive, score),
                oracle.average_precision_score(positive, score),
                oracle.brier_score_loss(positive, score),
            ]
        ),
        precisions,
        recalls,
    ]


def together(_: int) -> Outcome:
    """ROC AUC, average precision, precision-recall curve and Brier score, one after the other."""
    rows = data.scores(ROWS)
    outcome, results = race(
        [
            Contestant("model_factory", lambda: _ours(*rows)),
            Contestant("scikit-learn", lambda: _theirs(*rows)),
        ],
        rounds=15,
        warm=True,
    )
    pairs = zip(results["model_factory"], results["scikit-learn"], strict=True)
    apart = max(float(np.abs(ours[: len(theirs)] - theirs).max()) for ours, theirs in pairs)
    check(holds=apart <= AGREEING, told=f"metrics agree to {AGREEING}; they are {apart:.1e} apart")
    outcome.ours.quality = apart
    outcome.note = f"{ROWS:,} rows; quality: greatest difference from scikit-learn"
    return outcome


def bootstrap(threads: int) -> Outcome:
    """Draw 1,000 replicates of ROC AUC and average precision; of scikit-learn's loop 20 are timed."""
    positive, score = data.scores(ROWS)

    def loop() -> tuple[float, float]:
        random = np.random.default_rng(0)
        values = []
        for _ in range(TIMED):
            drawn = random.integers(0, ROWS, ROWS)
            pair = positive[drawn], score[drawn]
            values.append((oracle.roc_auc_score(*pair), oracle.average_precision_score(*pair)))
        low, high = np.quantile(np.array(values)[:, 0], [0.025, 0.975])
        return float(low), float(high)

    outcome, results = race(
        [
            Contestant(
                "model_factory",
                lambda: metrics.bootstrap_intervals(positive, score, replicates=REPLICATES, n_jobs=threads),
            ),
            Contestant("scikit-learn in a loop", loop, share=TIMED * threads / REPLICATES),
        ],
        rounds=3,
    )
    interval, (low, high) = results["model_factory"]["roc_auc"], results["scikit-learn in a loop"]
    check(holds=interval.lower < high and low < interval.upper, told="intervals of the ROC AUC overlap")
    outcome.note = (
        f"{REPLICATES:,} replicates of {ROWS:,} rows; of the loop {TIMED} are timed and scaled up"
        + (f", and taken as sharing out perfectly over {threads} threads" if threads > 1 else "")
    )
    return outcome
