"""Categorical features of gradient boosting: how they are named, what they learn, what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_score

from model_factory.errors import Code, ModelFactoryError
from model_factory.estimators import GradientBoosting
from model_factory.metrics import log_loss, roc_auc_score

NAMES = ["amount", "merchant", "hour", "channel"]
Rows = tuple[NDArray[np.float64], NDArray[np.bool_]]


def rows(count: int, seed: int, merchants: int = 120) -> Rows:
    """Payments whose risk depends on the merchant by no order of its number, and a little on the rest."""
    risk = np.random.default_rng(99).normal(size=merchants)
    rng = np.random.default_rng(seed)
    amount, hour = rng.normal(size=count), rng.integers(0, 24, count)
    # Few merchants have many rows, and many have few.
    merchant = np.minimum(rng.geometric(0.04, count) - 1, merchants - 1)
    channel = rng.integers(0, 4, count)
    logit = 1.5 * risk[merchant] + 0.5 * amount + np.where(channel == 2, 1.0, 0.0) * (hour < 6) - 2.0
    features = np.column_stack([amount, merchant, hour, channel]).astype(np.float64)
    features[rng.random(count) < 0.03, 1] = np.nan
    return features, rng.random(count) < 1.0 / (1.0 + np.exp(-logit))


def test_positions_a_mask_and_names_say_the_same() -> None:
    features, y = rows(1_500, 1)
    expected = GradientBoosting(n_estimators=10, categorical_features=[1, 3]).fit(features, y)
    scores = expected.predict_proba(features).tobytes()
    columns = dict(zip(NAMES, features.T, strict=True))
    given: list[tuple[Any, Any]] = [
        (features, np.array([1, 3])),
        (features, (3, 1)),
        (features, [False, True, False, True]),
        (features, np.array([False, True, False, True])),
        (pd.DataFrame(columns), ["merchant", "channel"]),
        (pl.DataFrame(columns), ["channel", "merchant"]),
        (pd.DataFrame(columns), np.array(["merchant", "channel"], dtype=object)),
    ]
    for table, categorical in given:
        model = GradientBoosting(n_estimators=10, categorical_features=categorical, n_jobs=3).fit(table, y)
        assert model.predict_proba(table).tobytes() == scores
    nothing: list[Any] = [None, [], np.zeros(4, dtype=bool)]
    for none in nothing:
        model = GradientBoosting(n_estimators=10, categorical_features=none).fit(features, y)
        assert model.predict_proba(features).tobytes() != scores


def test_quality_is_that_of_scikit_learn() -> None:
    """At like settings, on rows that neither has seen, and better than taking numbers for amounts."""
    ours: list[float] = []
    theirs: list[float] = []
    by_order: list[float] = []
    for seed in range(3):
        (features, y), (fresh, truth) = rows(8_000, 10 + seed), rows(20_000, 20 + seed)
        settings: dict[str, Any] = {"n_estimators": 60, "max_leaf_nodes": 15, "l2_regularization": 1.0}
        model = GradientBoosting(**settings, categorical_features=[1, 3]).fit(features, y)
        ours.append(log_loss(truth, model.predict_proba(fresh)[:, 1]))
        ordinal = GradientBoosting(**settings).fit(features, y)
        by_order.append(log_loss(truth, ordinal.predict_proba(fresh)[:, 1]))
        settings["max_iter"] = settings.pop("n_estimators")
        other = HistGradientBoostingClassifier(
            **settings, categorical_features=[1, 3], early_stopping=False, random_state=0
        ).fit(features, y)
        theirs.append(log_loss(truth, other.predict_proba(fresh)[:, 1]))
        found = roc_auc_score(truth, model.predict_proba(fresh)[:, 1])
        assert found > roc_auc_score(truth, other.predict_proba(fresh)[:, 1]) - 0.005
    assert np.mean(ours) < np.mean(theirs) + 0.003
    assert np.mean(ours) < np.mean(by_order) - 0.005


@pytest.mark.parametrize("count", [1, 40, 700])
def test_leaves_stages_and_shapley_values_follow_categories(count: int) -> None:
    features, y = rows(2_000, 3)
    model = GradientBoosting(n_estimators=12, categorical_features=[1, 3]).fit(features, y)
    fresh = rows(count, 4)[0]
    fresh[::5, 1] = 254
    scores = model.predict_proba(fresh)
    alone = np.vstack([model.predict_proba(row[None]) for row in fresh])
    np.testing.assert_array_equal(scores, alone)
    stages = list(model.staged_predict_proba(fresh))
    np.testing.assert_array_equal(stages[-1], scores)
    shorter = GradientBoosting(n_estimators=5, categorical_features=[1, 3]).fit(features, y)
    np.testing.assert_array_equal(stages[4], shorter.predict_proba(fresh))
    np.testing.assert_array_equal(shorter.apply(fresh), model.apply(fresh)[:, :5])
    values = model.shap_values(fresh)
    np.testing.assert_allclose(
        values.sum(axis=1) + model.expected_value, model.decision_function(fresh), atol=1e-10
    )
    unknown, missing = fresh.copy(), fresh.copy()
    unknown[:, 1], missing[:, 1] = 1e6, np.nan
    np.testing.assert_array_equal(model.predict_proba(unknown), model.predict_proba(missing))
    np.testing.assert_array_equal(model.shap_values(unknown), model.shap_values(missing))


def test_early_stopping_scores_categories() -> None:
    train, later = rows(3_000, 5), rows(3_000, 6)
    options: dict[str, Any] = {"learning_rate": 0.5, "categorical_features": [1, 3]}
    hasty = GradientBoosting(n_estimators=200, early_stopping_rounds=5, **options)
    kept = hasty.fit(*train, eval_set=later).apply(later[0]).shape[1]
    assert kept < 200
    same = GradientBoosting(n_estimators=kept, **options).fit(*train)
    np.testing.assert_array_equal(hasty.predict_proba(later[0]), same.predict_proba(later[0]))


def test_categories_go_with_constraints() -> None:
    """Two by two at the most, none with the hour, and none safer the larger its amount."""
    features, y = rows(3_000, 9)
    options: dict[str, Any] = {"n_estimators": 20, "categorical_features": [1, 3]}
    model = GradientBoosting(**options, monotonic_cst=[1, 0, 0, 0], interaction_cst=[[0, 1, 3], [2]])
    of = model.fit(features, y).decision_function
    fresh = np.repeat(rows(50, 10)[0], 200, axis=0)
    fresh[:, 0] = np.tile(np.linspace(-4.0, 4.0, 200), 50)
    assert (np.diff(of(fresh).reshape(50, 200)) >= 0.0).all()
    one, other = rows(200, 11)[0], rows(200, 12)[0]
    crossed, crossed_back = one.copy(), other.copy()
    crossed[:, 2], crossed_back[:, 2] = other[:, 2], one[:, 2]
    np.testing.assert_allclose(of(one) + of(other), of(crossed) + of(crossed_back), atol=1e-9)
    frame = pd.DataFrame(dict(zip(NAMES, features.T, strict=True)))
    named = GradientBoosting(
        n_estimators=20,
        categorical_features=["merchant", "channel"],
        monotonic_cst={"amount": 1},
        interaction_cst=[["channel", "amount", "merchant"], ["hour"]],
    ).fit(frame, y)
    assert named.decision_function(fresh).tobytes() == of(fresh).tobytes()


def test_a_fit_with_categories_is_carried_on() -> None:
    features, y = rows(2_000, 13)
    options: dict[str, Any] = {"categorical_features": [1, 3], "subsample": 0.7, "random_state": 5}
    at_once = GradientBoosting(n_estimators=20, **options).fit(features, y)
    model = GradientBoosting(n_estimators=6, warm_start=True, **options).fit(features, y)
    for count in (13, 20):
        model.set_params(n_estimators=count).fit(features, y)
    assert model.shap_values(features).tobytes() == at_once.shap_values(features).tobytes()
    for others in (None, [1], [3], [1, 2, 3]):
        with pytest.raises(ModelFactoryError) as caught:
            model.set_params(n_estimators=25, categorical_features=others).fit(features, y)
        assert caught.value.code is Code.FEATURE_SCHEMA_INCOMPATIBLE
        assert [problem["pointer"] for problem in caught.value.problems] == ["categorical_features"]


def test_works_as_scikit_learn_expects() -> None:
    features, y = rows(900, 7)
    model = GradientBoosting(n_estimators=5, categorical_features=[1, 3])
    assert clone(model).get_params()["categorical_features"] == [1, 3]
    assert cross_val_score(model, features, y, cv=3, scoring="roc_auc").mean() > 0.6


FEATURES, LABELS = rows(300, 8)


def fit(categorical: Any, table: Any = FEATURES, **options: Any) -> GradientBoosting:
    return GradientBoosting(n_estimators=2, categorical_features=categorical, **options).fit(table, LABELS)


def holding(value: float) -> NDArray[np.float64]:
    features: NDArray[np.float64] = FEATURES.copy()
    features[5, 1] = value
    return features


FRAME = pd.DataFrame(dict(zip(NAMES, FEATURES.T, strict=True)))


@pytest.mark.parametrize(
    ("code", "place", "call"),
    [
        (Code.PARAMETER_INVALID, "categorical_features", lambda: fit([4])),
        (Code.PARAMETER_INVALID, "categorical_features", lambda: fit([-1])),
        (Code.PARAMETER_INVALID, "categorical_features", lambda: fit([1, 1])),
        (Code.PARAMETER_INVALID, "categorical_features", lambda: fit([True, False])),
        (Code.PARAMETER_INVALID, "categorical_features", lambda: fit([1.0])),
        (Code.PARAMETER_INVALID, "categorical_features", lambda: fit(["merchant"])),
        (Code.PARAMETER_INVALID, "categorical_features", lambda: fit(["shop"], FRAME)),
        (Code.PARAMETER_INVALID, "categorical_features", lambda: fit("merchant", FRAME)),
        (Code.PARAMETER_INVALID, "/monotonic_cst/1", lambda: fit([1], monotonic_cst=[1, 1, 0, 0])),
        (
            Code.PARAMETER_INVALID,
            "/monotonic_cst/3",
            lambda: fit(["merchant", "channel"], FRAME, monotonic_cst={"channel": -1}),
        ),
        (Code.CATEGORY_INVALID, "features/1", lambda: fit([1], holding(0.5))),
        (Code.CATEGORY_INVALID, "features/1", lambda: fit([1], holding(-2.0))),
        (Code.CATEGORY_INVALID, "features/1", lambda: fit([1], holding(255.0))),
        (Code.CATEGORY_INVALID, "features/1", lambda: fit(["merchant"], FRAME, max_bins=30)),
        (Code.CATEGORY_INVALID, "features/0", lambda: fit(["amount"], FRAME)),
        (Code.CATEGORY_INVALID, "features/1", lambda: fit([1]).predict(holding(0.5))),
        (Code.CATEGORY_INVALID, "features/1", lambda: fit([1]).apply(holding(-1.0))),
        (Code.CATEGORY_INVALID, "features/1", lambda: fit([1]).shap_values(holding(np.inf))),
        (Code.CATEGORY_INVALID, "features/1", lambda: list(fit([1]).staged_predict_proba(holding(0.5)))),
    ],
)
def test_refusals(code: Code, place: str, call: Callable[[], object]) -> None:
    with pytest.raises(ModelFactoryError) as caught:
        call()
    assert caught.value.code is code
    assert [problem["pointer"] for problem in caught.value.problems] == [place]
