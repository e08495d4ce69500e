"""Estimators work in scikit-learn's machinery, which they do not import."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression as Oracle
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.validation import check_is_fitted

from model_factory.estimators import DecisionTree, GradientBoosting, LogisticRegression
from tests.estimators.test_estimators import families, rows


@families
def test_clone_makes_an_unfitted_twin(family: Any) -> None:
    model = family(n_jobs=2).fit(*rows())
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    assert not hasattr(twin, "classes_")
    check_is_fitted(model)
    with pytest.raises(Exception, match="not fitted"):
        check_is_fitted(twin)
    assert is_classifier(model)


@families
def test_pipelines_and_cross_validation(family: Any) -> None:
    features, y = rows()
    pipeline = make_pipeline(StandardScaler(), family())
    for scoring in ("roc_auc", "average_precision", "neg_log_loss", "accuracy", None):
        scores = cross_val_score(pipeline, features, y, cv=3, scoring=scoring, error_score="raise")
        assert np.isfinite(scores).all()


def test_searches_run_in_other_processes() -> None:
    features, y = rows()
    grid = {"decisiontree__max_depth": np.array([1, 3, 5]), "decisiontree__min_samples_leaf": [1, 10]}
    search = GridSearchCV(
        make_pipeline(StandardScaler(), DecisionTree(n_jobs=1)), grid, scoring="roc_auc", error_score="raise"
    )
    assert search.fit(features, y).best_score_ > 0.75


def test_meta_estimators_pass_weights() -> None:
    features, y = rows()
    model = CalibratedClassifierCV(GradientBoosting(n_estimators=10), cv=3)
    model.fit(features, y, sample_weight=np.ones(len(y)))
    assert model.predict_proba(features).shape == (len(y), 2)


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_logistic_regression_finds_the_same_minimum(c: float) -> None:
    features, y = rows()
    ours = LogisticRegression(c=c, standardize=False).fit(features, y).predict_proba(features)
    theirs = Oracle(C=c, tol=1e-12, max_iter=10_000, solver="newton-cholesky").fit(features, y)
    np.testing.assert_allclose(ours, theirs.predict_proba(features), atol=1e-8)


@pytest.mark.parametrize("l1_ratio", [0.2, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_elastic_nets_find_the_same_minimum(l1_ratio: float, weighted: bool) -> None:
    features, y = rows()
    weights = np.where(np.arange(len(y)) % 3 == 0, 2.0, 0.5) if weighted else None
    ours = LogisticRegression(c=0.02, l1_ratio=l1_ratio, standardize=False)
    theirs = Oracle(C=0.02, l1_ratio=l1_ratio, tol=1e-12, max_iter=100_000, solver="saga")
    ours.fit(features, y, sample_weight=weights)
    theirs.fit(features, y, sample_weight=weights)
    assert (theirs.coef_ == 0.0).any()
    np.testing.assert_array_equal(ours.coef_ == 0.0, theirs.coef_ == 0.0)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-6)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-6)


def test_coefficients_are_those_of_the_features_as_given() -> None:
    features, y = rows()
    scaler = StandardScaler().fit(features)
    theirs = Oracle(tol=1e-12, max_iter=10_000, solver="newton-cholesky").fit(scaler.transform(features), y)
    ours = LogisticRegression().fit(features, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_ / scaler.scale_, rtol=1e-8)
    logit = ours.coef_ @ features[0] + ours.intercept_
    np.testing.assert_allclose(ours.predict_proba(features)[0, 1], 1 / (1 + np.exp(-logit[0])), rtol=1e-12)
    assert ours.n_iter_.shape == (1,)
    assert 1 <= ours.n_iter_[0] < 20


def test_a_full_tree_knows_its_rows() -> None:
    features, y = rows()
    theirs = DecisionTreeClassifier(random_state=0).fit(features, y)
    assert (DecisionTree().fit(features, y).predict(features) == theirs.predict(features)).all()


def test_scikit_learn_is_not_imported() -> None:
    program = (
        "import sys, numpy as np; from model_factory import DecisionTree;"
        "print(DecisionTree().fit(np.eye(4), [0, 0, 1, 1]).get_params(), 'sklearn' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert answer.stdout.endswith("False\n")
