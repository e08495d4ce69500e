"""Writes scikit-learn's and scipy's answers to cases that a ranking metric can get wrong.

    python tests/evaluate/make_metric_golden.py > src/kernels/tests/metric_golden.json

Needs scikit-learn, numpy and scipy. `src/kernels/tests/metric_agrees_with_scikit_learn.rs` holds the kernels
against what it writes. The cases are seeded; only a new version of one of the libraries changes an answer.
"""

import json
import sys

import numpy as np
import scipy
import sklearn
from numpy.typing import NDArray
from scipy.stats import ks_2samp
from sklearn import metrics
from sklearn.calibration import calibration_curve

RATES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.29, 0.5, 1.0)
THRESHOLDS = (0.0, 0.25, 0.5, 0.9, 1.0)
BINS = 8  # A power of two: the edges are the same numbers however they are worked out.

Floats = NDArray[np.float64]


def main() -> None:
    """Prints the golden file."""
    made = {
        "made_with": {
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
        "scored": [answer(*case) for case in scored_cases()],
        "samples": [distance(*case) for case in sample_cases()],
    }
    lines = json.dumps(made, separators=(",", ":")).replace('{"name"', '\n{"name"')
    sys.stdout.write(lines + "\n")


def scored_cases() -> list[tuple[str, Floats, NDArray[np.bool_], Floats | None]]:
    """Name, scores, labels and weights of each case."""
    rng = np.random.default_rng(20180725)
    cases = []

    def add(name: str, scores: object, positive: object, weights: object = None) -> None:
        array = None if weights is None else np.asarray(weights, dtype=float)
        cases.append((name, np.asarray(scores, dtype=float), np.asarray(positive, dtype=bool), array))

    def labels(rows: int, rate: float) -> NDArray[np.bool_]:
        positive = rng.random(rows) < rate
        positive[:2] = [True, False]
        return positive

    for place, (rows, rate) in enumerate([(2, 0.5), (3, 0.5), (20, 0.5), (60, 0.1), (60, 0.9), (120, 0.02)]):
        positive = labels(rows, rate)
        informed = np.round(np.clip(rng.random(rows) * 0.7 + positive * 0.3, 0, 1), 6)
        weights = np.round(rng.exponential(size=rows), 4)
        add(f"random {place}", informed, positive)
        add(f"random {place}, weighted", informed, positive, weights)
        add(f"ties {place}", np.round(informed, 1), positive)
        add(f"ties {place}, weighted", np.round(informed, 1), positive, weights)
    positive = labels(40, 0.3)
    scores = rng.random(40)
    add("all digits", scores, positive, rng.random(40))
    add("one score", np.full(40, 0.5), positive, rng.random(40))
    add("perfect", positive * 0.5 + 0.25, positive)
    add("inverted", 0.75 - positive * 0.5, positive)
    add("certain", positive.astype(float), positive)
    add("certain and wrong", 1.0 - positive, positive)
    add("tiny", scores * 1e-300, positive)
    add("denormal", np.arange(40) * 5e-324, positive)
    add("next to one", 1.0 - np.arange(40) % 7 * 2.0**-53, positive)
    add("one ulp apart", 0.5 + np.arange(40) % 9 * 2.0**-53, positive)
    add("below the clipping", np.where(np.arange(40) % 2, 1e-17, 2e-16), positive)
    add("both zeros", np.where(np.arange(40) % 2, 0.0, -0.0), positive)
    add("bin edges", np.arange(41) / 40, np.append(positive, True))
    add("one positive first", np.linspace(1, 0, 101), np.arange(101) == 0)
    add("one positive at a rate of 0.29", np.linspace(1, 0, 101), np.arange(101) == 29)
    add("one positive last", np.linspace(1, 0, 50), np.arange(50) == 49)
    add("one negative", np.linspace(1, 0, 50), np.arange(50) != 20)
    add("weights of zero", np.round(scores, 1), positive, np.arange(40) % 3)
    add("weights far apart", np.round(scores, 3), positive, 10.0 ** rng.integers(-8, 8, 40))
    add("huge weights", np.round(scores, 3), positive, np.round(rng.random(40), 3) * 1e90)
    return cases


def answer(
    name: str, scores: Floats, positive: NDArray[np.bool_], weights: Floats | None
) -> dict[str, object]:
    """The case with every metric that scikit-learn has."""
    fpr, tpr, _ = metrics.roc_curve(positive, scores, sample_weight=weights, drop_intermediate=False)
    precision, recall, _ = metrics.precision_recall_curve(positive, scores, sample_weight=weights)
    observed, foreseen = calibration_curve(positive, scores, n_bins=BINS, strategy="uniform")
    curves = len(scores) <= 20 or name in ("weights of zero", "one ulp apart")
    return {
        "name": name,
        "scores": scores.tolist(),
        "positive": positive.astype(int).tolist(),
        "weights": None if weights is None else weights.tolist(),
        "roc_auc": metrics.roc_auc_score(positive, scores, sample_weight=weights),
        "average_precision": metrics.average_precision_score(positive, scores, sample_weight=weights),
        "log_loss": metrics.log_loss(positive, scores, sample_weight=weights, labels=[False, True]),
        "brier": metrics.brier_score_loss(positive, scores, sample_weight=weights),
        "recall_at": [[rate, tpr[fpr <= rate].max()] for rate in RATES],
        "at_threshold": [[t, *decided(positive, scores >= t, weights)] for t in THRESHOLDS],
        "roc": [fpr.tolist(), tpr.tolist()] if curves else None,
        # scikit-learn keeps a point for each score, rising; ours falls.
        "precision_recall": [precision[::-1].tolist(), recall[::-1].tolist()] if curves else None,
        # scikit-learn's diagram knows no weights.
        "reliability": [foreseen.tolist(), observed.tolist()] if weights is None else None,
    }


def decided(
    positive: NDArray[np.bool_], called: NDArray[np.bool_], weights: Floats | None
) -> list[float | None]:
    """Precision, recall and F1; null where the division is by zero."""
    given = {"sample_weight": weights, "zero_division": np.nan}
    values = [
        score(positive, called, **given)
        for score in (metrics.precision_score, metrics.recall_score, metrics.f1_score)
    ]
    return [None if np.isnan(value) else float(value) for value in values]


def sample_cases() -> list[tuple[str, Floats, Floats]]:
    """Name, reference and current values."""
    rng = np.random.default_rng(8)
    return [
        ("normal", rng.normal(size=37).round(4), rng.normal(0.4, size=23).round(4)),
        ("ties", rng.integers(0, 6, 50).astype(float), rng.integers(1, 7, 31).astype(float)),
        ("apart", np.array([1.0, 2.0]), np.array([3.0])),
        ("same", np.array([1.0, 2.0, 2.0]), np.array([2.0, 1.0, 2.0])),
    ]


def distance(name: str, reference: Floats, current: Floats) -> dict[str, object]:
    """The case with scipy's two-sample statistic."""
    statistic = float(ks_2samp(reference, current).statistic)
    return {
        "name": name,
        "reference": reference.tolist(),
        "current": current.tolist(),
        "statistic": statistic,
    }


if __name__ == "__main__":
    main()
