"""Fitted estimators cross processes as the bytes of their arrays, which are checked when they are read."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import cross_validate

from model_factory import _native, errors
from model_factory.estimators import DecisionTree, GradientBoosting
from tests.estimators.test_estimators import families, rows


def through_pickle(model: Any) -> Any:
    return pickle.loads(pickle.dumps(model))  # noqa: S301 - our own bytes


def through_old_pickle(model: Any) -> Any:
    return pickle.loads(pickle.dumps(model, protocol=2))  # noqa: S301 - our own bytes


@families
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, through_pickle, through_old_pickle])
def test_a_copy_scores_alike(family: Any, again: Callable[[Any], Any]) -> None:
    features, y = rows()
    model = family().fit(features, y)
    twin = again(model)
    assert twin.get_params() == model.get_params()
    np.testing.assert_array_equal(twin.predict_proba(features), model.predict_proba(features))
    np.testing.assert_array_equal(twin.classes_, model.classes_)


def test_files_and_processes(tmp_path: Path) -> None:
    features, y = rows()
    model = GradientBoosting(n_estimators=5).fit(features, y)
    joblib.dump(model, tmp_path / "model")
    np.testing.assert_array_equal(
        joblib.load(tmp_path / "model").shap_values(features), model.shap_values(features)
    )
    found = cross_validate(DecisionTree(n_jobs=1), features, y, cv=2, return_estimator=True, n_jobs=2)
    assert all(each.predict(features).shape == y.shape for each in found["estimator"])
    bagged = BaggingClassifier(DecisionTree(max_depth=3, n_jobs=1), n_estimators=4, n_jobs=2).fit(features, y)
    assert bagged.predict_proba(features).shape == (len(y), 2)


@families
def test_bytes_of_no_model_are_refused(family: Any) -> None:
    kind, (artifact,) = family().fit(*rows())._model.__reduce__()
    assert kind is _native.Model
    other = artifact.replace(b'\\"columns\\":4', b'\\"columns\\":3')
    for each in (b"", b"no model", artifact[:-1], artifact + b"\0", other):
        assert each != artifact
        with pytest.raises(errors.EvidenceError) as refused:
            _native.Model(each)
        assert refused.value.code == "MODEL_INVALID"


@families
def test_one_that_is_not_fitted_says_so(family: Any) -> None:
    with pytest.raises(AttributeError) as refused:
        family().predict([[1.0]])
    assert isinstance(refused.value, errors.NotFittedError)
    assert isinstance(refused.value, ValueError)
    assert refused.value.code == "NOT_FITTED"


@families
def test_zero_threads_are_refused_with_what_is_taken(family: Any) -> None:
    with pytest.raises(errors.InputAdmissionError, match="or -1 for each core"):
        family(n_jobs=0).fit(*rows())
