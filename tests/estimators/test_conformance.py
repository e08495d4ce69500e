"""scikit-learn's own checks of an estimator, but for those that ask for what we refuse on purpose."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from tests.estimators.test_estimators import FAMILIES

# Each asks for a message or an exception class of scikit-learn's own; we refuse the same input by a code.
OTHER_WORDS = {
    "check_all_zero_sample_weights_error",
    "check_classifier_not_supporting_multiclass",
    "check_classifiers_one_label",
    "check_classifiers_one_label_sample_weights",
    "check_classifiers_regression_target",
    "check_classifiers_train",
    "check_complex_data",
    "check_dtype_object",
    "check_estimator_sparse_array",
    "check_estimator_sparse_matrix",
    "check_estimator_sparse_tag",
    "check_estimators_empty_data_messages",
    "check_estimators_nan_inf",
    "check_estimators_unfitted",
    "check_fit2d_1sample",
    "check_fit2d_predict1d",
    "check_n_features_in_after_fitting",
    "check_requires_y_none",
}
OTHER_WAYS = {
    "check_class_weight_classifiers": "class weights are none or balanced",
    "check_non_transformer_estimators_n_iter": "the number of steps is no attribute",
    "check_sample_weight_equivalence_on_dense_data": "rows, not weights, make the draws and the scaling",
    "check_supervised_y_2d": "a column of labels is refused rather than flattened",
    "check_estimators_pickle": "a model is bytes of arrays, not a pickle",
    "check_array_api_input": "arrays are numpy's",
}


def checks() -> list[Any]:
    """One case a family and check."""
    cases = []
    for family in FAMILIES:
        small = family(n_estimators=5) if "n_estimators" in family().get_params() else family()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not inherit from `sklearn.base.BaseEstimator`")
            generated = list(estimator_checks_generator(small))
        for model, check in generated:
            name = check.func.__name__
            if name not in OTHER_WORDS and name not in OTHER_WAYS:
                cases.append(pytest.param(model, check, id=f"{family.__name__}-{name}"))
    return cases


@pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:FutureWarning")
@pytest.mark.parametrize(("model", "check"), checks())
def test_conforms(model: Any, check: Callable[[Any], None]) -> None:
    check(model)
