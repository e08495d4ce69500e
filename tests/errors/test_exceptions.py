"""Each category is one class, every code can be raised and caught, and nothing is lost on the way."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from model_factory import _native, errors
from model_factory.codes import EXIT_STATUS, Code

CLASSES = {
    "INPUT_ADMISSION": errors.InputAdmissionError,
    "RESOLUTION": errors.ResolutionError,
    "LEAKAGE": errors.LeakageError,
    "EVIDENCE": errors.EvidenceError,
    "IMMUTABILITY": errors.ImmutabilityError,
    "EXECUTION": errors.ExecutionError,
    "PUBLISH": errors.PublishError,
    "REGISTRY": errors.RegistryError,
}

OF_CODES = {
    "DEGENERATE_LABELS": errors.DataError,
    "FEATURE_SCHEMA_INCOMPATIBLE": errors.FeatureSchemaError,
    "NON_FINITE_INPUT": errors.DataError,
    "NOT_FITTED": errors.NotFittedError,
    "PUBLISH_NOT_ELIGIBLE": errors.PublishNotEligible,
}


def refusal(code: str) -> errors.ModelFactoryError:
    return _native.refusal(code, "/a/b", "a number", "a string of 3 characters")


def test_the_tree() -> None:
    classes = {c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, Exception)}
    assert classes == {errors.ModelFactoryError, *CLASSES.values(), *OF_CODES.values()}
    assert {c.__bases__ for c in classes} == {
        (Exception,),
        (errors.ModelFactoryError,),
        (errors.ModelFactoryError, ValueError),
        (errors.InputAdmissionError, AttributeError),
        (errors.ExecutionError, ValueError),
        (errors.ResolutionError, ValueError),
        (errors.PublishError,),
    }


@pytest.mark.parametrize(("code", "category", "retryable", "hint"), _native.codes())
def test_every_code_arrives_as_its_class(code: str, category: str, retryable: bool, hint: str) -> None:
    error = refusal(code)
    assert type(error) is OF_CODES.get(code, CLASSES[category])
    assert isinstance(error, CLASSES[category])
    assert error.code is Code(code)
    assert error.code == code
    assert f"{error.code}" == code
    assert (error.category, error.retryable, error.hint) == (category, retryable, hint)
    assert error.exit_status == EXIT_STATUS[category]
    assert error.problems == [
        {"pointer": "/a/b", "expected": "a number", "found": "a string of 3 characters"}
    ]
    assert str(error).startswith(f"{code}: ")
    assert error.detail in str(error)
    assert hint in str(error)


def test_exit_statuses_tell_categories_apart() -> None:
    assert set(EXIT_STATUS) == set(CLASSES)
    assert len(set(EXIT_STATUS.values())) == len(EXIT_STATUS)
    assert not {0, 1, 2} & set(EXIT_STATUS.values())


def through_pickle(error: errors.ModelFactoryError) -> errors.ModelFactoryError:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert isinstance(again, errors.ModelFactoryError)
    return again


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, through_pickle])
def test_an_exception_crosses_processes(again: object) -> None:
    assert callable(again)
    error = refusal("PUBLISH_NOT_ELIGIBLE")
    other = again(error)
    assert type(other) is type(error)
    assert str(other) == str(error)
    assert vars(other) == vars(error)


def test_a_refusal_may_carry_its_own_hint() -> None:
    error = _native.refusal("PARAMETER_INVALID", "a", "b", "c", hint="Do this.")
    assert error.hint == "Do this."
    assert str(error).endswith("hint: Do this.")


def test_a_code_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="stable code"):
        refusal("NO_SUCH_CODE")
