"""Gradient boosting: 100 trees of 31 leaves, learning rate 0.1, at most 255 bins, binning included."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from benches import data
from benches.protocol import Contestant, Outcome, check, race
from model_factory.estimators import GradientBoosting

TREES, LEAVES, RATE, BINS = 100, 31, 0.1, 255
PREDICTED = 250_000
CALLS = 300
FITTED_FOR_PREDICTION = 200_000

Fit = Callable[[NDArray[np.float64], NDArray[np.bool_], int], Any]
Predict = Callable[[Any, NDArray[np.float64], int], NDArray[np.float64]]


def _fit_ours(x: NDArray[np.float64], y: NDArray[np.bool_], threads: int) -> Any:
    boosting = GradientBoosting(
        n_estimators=TREES, max_leaf_nodes=LEAVES, learning_rate=RATE, max_bins=BINS, n_jobs=threads
    )
    return boosting.fit(x, y)


def _fit_lightgbm(x: NDArray[np.float64], y: NDArray[np.bool_], threads: int) -> Any:
    import lightgbm

    settings = {
        "objective": "binary",
        "num_leaves": LEAVES,
        "learning_rate": RATE,
        "max_bin": BINS,
        "num_threads": threads,
        "verbose": -1,
    }
    return lightgbm.train(settings, lightgbm.Dataset(x, y, params=settings), TREES)


def _fit_xgboost(x: NDArray[np.float64], y: NDArray[np.bool_], threads: int) -> Any:
    import xgboost

    settings = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "grow_policy": "lossguide",
        "max_leaves": LEAVES,
        "max_depth": 0,
        "eta": RATE,
        "max_bin": BINS,
        "nthread": threads,
    }
    rows = xgboost.QuantileDMatrix(x, y, max_bin=BINS, nthread=threads)
    return xgboost.train(settings, rows, TREES)


def _fit_scikit_learn(x: NDArray[np.float64], y: NDArray[np.bool_], _: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    boosting = HistGradientBoostingClassifier(
        max_iter=TREES, max_leaf_nodes=LEAVES, learning_rate=RATE, max_bins=BINS, early_stopping=False
    )
    return boosting.fit(x, y)


def _fit_catboost(x: NDArray[np.float64], y: NDArray[np.bool_], threads: int) -> Any:
    from catboost import CatBoostClassifier

    boosting = CatBoostClassifier(
        iterations=TREES,
        learning_rate=RATE,
        border_count=BINS - 1,
        thread_count=threads,
        verbose=False,
        allow_writing_files=False,
    )
    return boosting.fit(x, y.astype(np.int8))


def _fit_hessboost(x: NDArray[np.float64], y: NDArray[np.bool_], threads: int) -> Any:
    import hessboost

    settings = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "grow_policy": "lossguide",
        "max_leaves": LEAVES,
        "max_depth": 0,
        "eta": RATE,
        "max_bin": BINS,
        "nthread": threads,
    }
    return hessboost.train(settings, hessboost.DMatrix(x, y), TREES)


def _fit_perpetual(x: NDArray[np.float64], y: NDArray[np.bool_], threads: int) -> Any:
    """Chooses its own steps and tree sizes by a budget: 0.5, the default, stops after five trees here."""
    from perpetual import PerpetualBooster

    boosting = PerpetualBooster(
        objective="LogLoss", budget=1.0, num_threads=threads, iteration_limit=TREES, max_bin=BINS
    )
    return boosting.fit(x, y.astype(np.float64))


def _second_column(model: Any, x: NDArray[np.float64], _: int) -> NDArray[np.float64]:
    column: NDArray[np.float64] = model.predict_proba(x)[:, 1]
    return column


FAMILIES: dict[str, tuple[Fit, Predict]] = {
    "model_factory": (_fit_ours, _second_column),
    "lightgbm": (_fit_lightgbm, lambda model, x, threads: model.predict(x, num_threads=threads)),
    "xgboost": (_fit_xgboost, lambda model, x, _: model.inplace_predict(x)),
    "scikit-learn": (_fit_scikit_learn, _second_column),
    "catboost": (_fit_catboost, lambda model, x, threads: model.predict_proba(x, thread_count=threads)[:, 1]),
    "hessboost": (_fit_hessboost, lambda model, x, _: model.predict(x)),
    "perpetual": (
        _fit_perpetual,
        lambda model, x, threads: model.predict_proba(x, parallel=threads > 1)[:, 1],
    ),
}


def fit(threads: int) -> Outcome:
    """Fit on all days before the gap; quality is the average precision on the test week."""
    train, test = data.split(data.TRAIN_DAYS), data.split(data.TEST_DAYS)
    contestants = [Contestant(name, partial(fit, *train, threads)) for name, (fit, _) in FAMILIES.items()]
    outcome, models = race(contestants, rounds=3)
    for timing in (outcome.ours, *outcome.peers):
        predicted = FAMILIES[timing.name][1](models[timing.name], test.features, threads)
        timing.quality = float(average_precision_score(test.positive, predicted))
    outcome.note = f"{len(train.positive):,} rows of 15 features, {TREES} trees; quality: average precision"
    return outcome


def _models(threads: int) -> dict[str, Any]:
    """Models of the same number of trees, fitted on fewer rows, since only their use is timed."""
    features, positive = data.split(data.TRAIN_DAYS)
    part = features[-FITTED_FOR_PREDICTION:], positive[-FITTED_FOR_PREDICTION:]
    return {name: fit(*part, threads) for name, (fit, _) in FAMILIES.items() if name != "perpetual"}


def predict(threads: int) -> Outcome:
    """Score a quarter of a million rows at once."""
    models = _models(threads)
    rows = data.split(data.TRAIN_DAYS).features[:PREDICTED]
    contestants = [
        Contestant(name, partial(FAMILIES[name][1], models[name], rows, threads)) for name in models
    ]
    outcome, scores = race(contestants, rounds=5, warm=True, slow=float("inf"))
    ours = scores["model_factory"]
    alone = [
        float(_second_column(models["model_factory"], rows[i : i + 1], 1)[0]) for i in range(0, 1000, 50)
    ]
    check(holds=ours[:1000:50].tolist() == alone, told="a row alone scores as it does among others")
    outcome.note = f"{len(rows):,} rows x {TREES} trees"
    return outcome


def predict_one(threads: int) -> Outcome:
    """Score one row at a time, from Python."""
    models = _models(threads)
    row = np.ascontiguousarray(data.split(data.TEST_DAYS).features[:1])
    # Only the call: the settings were given once, to the model.
    calls: dict[str, Callable[[], Any]] = {
        "model_factory": lambda: models["model_factory"].predict_proba(row),
        "lightgbm": lambda: models["lightgbm"].predict(row),
        "xgboost": lambda: models["xgboost"].inplace_predict(row),
        "scikit-learn": lambda: models["scikit-learn"].predict_proba(row),
        "catboost": lambda: models["catboost"].predict_proba(row),
        "hessboost": lambda: models["hessboost"].predict(row),
    }
    contestants = [Contestant(name, call, times=CALLS) for name, call in calls.items()]
    outcome, _ = race(contestants, rounds=5, warm=True, slow=float("inf"))
    outcome.note = f"one row x {TREES} trees, {CALLS} calls a round"
    return outcome
