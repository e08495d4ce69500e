"""Logistic regression and random forest beside scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benches import data
from benches.protocol import Contestant, Outcome, check, race
from model_factory import estimators

AGREEING = 1e-4
TREES = 100


def _judge(outcome: Outcome, models: dict[str, Any], test: data.Split) -> None:
    """Say the average precision of each model on the test week."""
    for timing in (outcome.ours, *outcome.peers):
        predicted = models[timing.name].predict_proba(test.features)[:, 1]
        timing.quality = float(average_precision_score(test.positive, predicted))


def _coefficients(model: Any, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intercept and slopes on standardised features, read off a linear model's log-odds."""
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    points = np.vstack([mean, mean + np.diag(deviation)])
    shares = model.predict_proba(points)
    odds = np.log(shares[:, 1]) - np.log(shares[:, 0])
    return np.concatenate([odds[:1], odds[1:] - odds[0]])


def logistic(threads: int) -> Outcome:
    """Fit on all days before the gap, standardising included."""
    train, test = data.split(data.TRAIN_DAYS), data.split(data.TEST_DAYS)

    def peer(**settings: Any) -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression(C=1.0, **settings)).fit(*train)

    outcome, models = race(
        [
            Contestant("model_factory", lambda: estimators.LogisticRegression(n_jobs=threads).fit(*train)),
            Contestant("scikit-learn lbfgs", peer),
            Contestant("scikit-learn newton-cholesky", lambda: peer(solver="newton-cholesky")),
        ],
        rounds=5,
    )
    _judge(outcome, models, test)
    exact = _coefficients(peer(solver="newton-cholesky", tol=1e-10, max_iter=1000), train.features)
    apart = np.abs(_coefficients(models["model_factory"], train.features) - exact).max()
    check(holds=bool(apart <= AGREEING), told=f"coefficients agree to {AGREEING}; they are {apart:.1e} apart")
    outcome.note = (
        f"{len(train.positive):,} rows; coefficients {apart:.0e} from scikit-learn's converged ones"
    )
    return outcome


def forest(threads: int) -> Outcome:
    """Fit the handbook's own forest: its training week, 100 trees of unlimited depth."""
    train, test = data.split(data.LAST_WEEK), data.split(data.TEST_DAYS)
    outcome, models = race(
        [
            Contestant(
                "model_factory",
                lambda: estimators.RandomForest(n_estimators=TREES, n_jobs=threads).fit(*train),
            ),
            Contestant(
                "scikit-learn",
                lambda: RandomForestClassifier(TREES, n_jobs=threads, random_state=0).fit(*train),
            ),
        ],
        rounds=3,
    )
    _judge(outcome, models, test)
    outcome.note = f"{len(train.positive):,} rows, {TREES} trees of unlimited depth"
    return outcome
