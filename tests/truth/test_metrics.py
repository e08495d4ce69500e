"""Metrics of a real report, computed anew from the real scores by scikit-learn and by the authors' words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as oracle

import model_factory as mf
from tests.truth.test_baseline import BOOSTING

pytestmark = [pytest.mark.truth, pytest.mark.timeout(900)]

MODELS: list[dict[str, Any]] = [
    {"family": "logistic_regression"},
    {"family": "decision_tree", "max_depth": 2},
    BOOSTING,
]


def population(rows: pd.DataFrame) -> pd.DataFrame:
    """Test rows of cards of which no fraud was known when the day began, seven whole days after it."""
    day = rows["TX_DATETIME"].dt.normalize().dt.tz_localize(None)
    rows = rows.assign(day=day)
    frauds = rows[rows["label"].astype(bool) & (day >= "2018-07-25")]
    kept = []
    for start in pd.date_range("2018-08-08", "2018-08-14"):
        known = frauds.loc[frauds["day"] <= start - pd.Timedelta(days=8), "CUSTOMER_ID"]
        today = rows[rows["day"] == start]
        kept.append(today[~today["CUSTOMER_ID"].isin(known)])
    judged: pd.DataFrame = pd.concat(kept)
    return judged


def card_precision(rows: pd.DataFrame, k: int) -> float:
    """Share of frauds among each day's k highest cards, those found before left out; mean over the days."""
    found: set[int] = set()
    shares = []
    for _, today in rows.groupby("day"):
        cards = today.groupby("CUSTOMER_ID")[["score", "label"]].max()
        highest = cards[~cards.index.isin(found)].sort_values("score", ascending=False, kind="stable").head(k)
        frauds = highest.index[highest["label"].astype(bool)]
        shares.append(len(frauds) / k)
        found |= set(frauds)
    return float(np.mean(shares))


@pytest.mark.parametrize("model", MODELS, ids=[model["family"] for model in MODELS])
def test_the_report_agrees_with_scikit_learn(
    model: dict[str, Any],
    trained: Callable[[dict[str, Any]], mf.Run],
    factory: tuple[Path, mf.Factory],
    rows: pd.DataFrame,
) -> None:
    run = trained(model)
    judged = population(rows)
    assert len(judged) == 58_264
    scores = factory[1].load(run.publish()).predict_proba(judged)
    truth = judged["label"].astype(bool)
    expected = {
        "roc_auc": oracle.roc_auc_score(truth, scores),
        "average_precision": oracle.average_precision_score(truth, scores),
        "brier": oracle.brier_score_loss(truth, scores),
        "log_loss": oracle.log_loss(truth, scores),
        "precision_at_threshold_0.5": oracle.precision_score(truth, scores >= 0.5),
        "recall_at_threshold_0.5": oracle.recall_score(truth, scores >= 0.5),
        "f1_at_threshold_0.5": oracle.f1_score(truth, scores >= 0.5),
    }
    ours = {name: run.metrics[name] for name in expected}
    assert ours == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_card_precision_is_the_authors(
    trained: Callable[[dict[str, Any]], mf.Run], factory: tuple[Path, mf.Factory], rows: pd.DataFrame
) -> None:
    run = trained(BOOSTING)
    judged = population(rows)
    scored = judged.assign(score=factory[1].load(run.publish()).predict_proba(judged))
    assert run.metrics["capacity_precision_at_k_100"] == pytest.approx(card_precision(scored, 100), abs=1e-12)
