"""scikit-learn's own checks of an estimator; those that ask for what we refuse on purpose are listed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from tests.estimators.test_estimators import FAMILIES

# The same input is refused by a code, a ValueError too: these ask for a sentence of scikit-learn's own.
OTHER_WORDS = {
    "check_all_zero_sample_weights_error": "says which class is without weight",
    "check_classifier_not_supporting_multiclass": "says that two classes are needed",
    "check_classifiers_regression_target": "says that two classes are needed",
    "check_complex_data": "says that numbers are needed",
    "check_dtype_object": "says that numbers are needed",
    "check_estimators_empty_data_messages": "says that a column is needed",
    "check_estimators_nan_inf": "names the column and counts its missing values",
    "check_n_features_in_after_fitting": "says how many columns are needed",
    "check_requires_y_none": "says that one value a row is needed",
}
OTHER_WAYS = {
    "check_class_weight_classifiers": "class weights are none or balanced",
    "check_estimators_unfitted": "the exception is our own: scikit-learn's would have to be imported",
    "check_sample_weight_equivalence_on_dense_data": "rows, not weights, make the draws and the scaling",
    "check_supervised_y_2d": "a column of labels is refused rather than flattened",
}
EXPECTED_FAILED_CHECKS = OTHER_WORDS | OTHER_WAYS


def checks(*, expected_to_fail: bool) -> list[Any]:
    """One case a family and check."""
    cases = []
    for family in FAMILIES:
        small = family(n_estimators=5) if "n_estimators" in family().get_params() else family()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not inherit from `sklearn.base.BaseEstimator`")
            generated = list(estimator_checks_generator(small))
        for model, check in generated:
            name = check.func.__name__
            if (name in EXPECTED_FAILED_CHECKS) is expected_to_fail:
                cases.append(pytest.param(model, check, id=f"{family.__name__}-{name}"))
    return cases


@pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:FutureWarning")
@pytest.mark.parametrize(("model", "check"), checks(expected_to_fail=False))
def test_conforms(model: Any, check: Callable[[Any], None]) -> None:
    check(model)


@pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:FutureWarning")
@pytest.mark.parametrize("name", EXPECTED_FAILED_CHECKS)
def test_what_is_listed_as_failing_fails(name: str) -> None:
    failed = 0
    for case in checks(expected_to_fail=True):
        model, check = case.values
        if check.func.__name__ != name:
            continue
        try:
            check(model)
        except (AssertionError, ValueError):
            failed += 1
    assert failed, f"{name} passes for each family: take it off the list"
