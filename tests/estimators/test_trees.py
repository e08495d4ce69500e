"""What trees tell beside probabilities: leaves, stages, log-odds and Shapley values."""

from __future__ import annotations

import platform
import sys
import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from model_factory.errors import Code, ModelFactoryError
from model_factory.estimators import DecisionTree, GradientBoosting, RandomForest

FAMILIES: list[Any] = [DecisionTree, RandomForest, GradientBoosting]
families = pytest.mark.parametrize("family", FAMILIES)


def rows(count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Rows whose numbers 32 bits hold exactly, since scikit-learn's trees compare those."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 6)).astype(np.float32).astype(np.float64)
    signal = features[:, 0] + features[:, 1] * features[:, 2] + 0.5 * rng.normal(size=count)
    return features, signal > 0.8


def score(model: Any, features: NDArray[np.float64]) -> NDArray[np.float64]:
    """What Shapley values sum to."""
    boosted = isinstance(model, GradientBoosting)
    scores: NDArray[np.float64]
    scores = model.decision_function(features) if boosted else model.predict_proba(features)[:, 1]
    return scores


@families
@pytest.mark.parametrize("count", [1, 40, 600])
def test_one_row_few_and_many_are_scored_alike(family: Any, count: int) -> None:
    model = family(n_jobs=2).fit(*rows(800, 1))
    features = rows(count, 2)[0]
    alone = [model.predict_proba(row[None])[0] for row in features]
    single = features.astype(np.float32)
    for layout in (features, np.asfortranarray(features), features[::-1][::-1], single, single.copy("F")):
        np.testing.assert_array_equal(model.predict_proba(layout), alone)
        np.testing.assert_array_equal(model.apply(layout), model.apply(features))


@families
def test_rows_in_one_leaf_of_each_tree_score_alike(family: Any) -> None:
    model = family().fit(*rows(300, 3))
    features = rows(2_000, 4)[0]
    leaves = model.apply(features)
    assert leaves.shape == ((2_000,) if family is DecisionTree else (2_000, 100))
    order = np.lexsort(leaves.reshape(2_000, -1).T)
    scores = model.predict_proba(features)[:, 1]
    for first, second in pairwise(order):
        if (leaves[first] == leaves[second]).all():
            assert scores[first] == scores[second]


def test_stages_are_shorter_fits() -> None:
    features, y = rows(500, 5)
    features[::7, 0] = np.nan
    model = GradientBoosting(n_estimators=12).fit(features, y)
    stages = list(model.staged_predict_proba(features))
    for count, stage in enumerate(stages, 1):
        shorter = GradientBoosting(n_estimators=count).fit(features, y)
        np.testing.assert_array_equal(stage, shorter.predict_proba(features))
    assert len(stages) == 12
    odds = np.exp(model.decision_function(features))
    np.testing.assert_allclose(odds / (1.0 + odds), stages[-1][:, 1], rtol=1e-12)


@families
def test_shapley_values_and_the_expected_value_sum_to_the_score(family: Any) -> None:
    model = family(n_jobs=2).fit(*rows(600, 6))
    features = rows(300, 7)[0]
    values = model.shap_values(features)
    assert values.shape == features.shape
    np.testing.assert_allclose(values.sum(axis=1) + model.expected_value, score(model, features), atol=1e-10)
    alone = family(n_jobs=1).fit(*rows(600, 6)).shap_values(features[:1])
    np.testing.assert_array_equal(alone[0], values[0])


@pytest.mark.skipif(
    (sys.platform, platform.machine()) == ("darwin", "x86_64"),
    reason="shap needs numba, which has no wheel here",
)
@pytest.mark.parametrize("seed", range(3))
def test_shapley_values_agree_with_shap(seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        import shap  # noqa: PLC0415 - seconds, which only this test needs
    features, y = rows(600, seed)
    # In large nodes of rows that weigh all differently no two splits are as good, so that both grow one tree.
    weights = np.random.default_rng(seed).uniform(1.0, 5.0, 600)
    limits: dict[str, Any] = {"max_depth": 5, "min_samples_leaf": 25}
    ours = DecisionTree(**limits).fit(features, y, weights)
    theirs = DecisionTreeClassifier(**limits, random_state=0).fit(features, y, weights)
    fresh = rows(2_000, 100 + seed)[0]
    np.testing.assert_allclose(ours.predict_proba(fresh), theirs.predict_proba(fresh), atol=1e-12)
    explainer = shap.TreeExplainer(theirs)
    np.testing.assert_allclose(ours.expected_value, explainer.expected_value[1], atol=1e-9)
    expected = explainer.shap_values(features)[..., 1]
    np.testing.assert_allclose(ours.shap_values(features), expected, atol=1e-6)
    # Trees of a forest that draws nothing are all this one.
    same: dict[str, Any] = {"bootstrap": False, "max_features": "all", "n_estimators": 3}
    forest = RandomForest(**limits, **same).fit(features, y, weights)
    np.testing.assert_allclose(forest.shap_values(features), expected, atol=1e-6)


@families
def test_refusals_are_those_of_scoring(family: Any) -> None:
    features, y = rows(100, 10)
    model = family().fit(features, y)
    for call in (model.apply, model.shap_values):
        with pytest.raises(ModelFactoryError) as caught:
            call(features[:, :5])
        assert caught.value.code is Code.FEATURE_SCHEMA_INCOMPATIBLE
        if family is not GradientBoosting:
            with pytest.raises(ModelFactoryError) as caught:
                call(np.full((1, 6), np.nan))
            assert caught.value.code is Code.NON_FINITE_INPUT
    with pytest.raises(ModelFactoryError) as caught:
        family().shap_values(features)
    assert caught.value.code is Code.PARAMETER_INVALID
    with pytest.raises(ModelFactoryError) as caught:
        _ = family().expected_value
    assert caught.value.code is Code.PARAMETER_INVALID
