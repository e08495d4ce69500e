"""From a dataset you can name to a model you can prove.

Everything below is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model_factory import documents, errors, estimators, metrics, simulate
    from model_factory.errors import Code, ModelFactoryError, PublishNotEligible
    from model_factory.estimators import DecisionTree, GradientBoosting, LogisticRegression, RandomForest

__all__ = [
    "Code",
    "DecisionTree",
    "GradientBoosting",
    "LogisticRegression",
    "ModelFactoryError",
    "PublishNotEligible",
    "RandomForest",
    "documents",
    "errors",
    "estimators",
    "metrics",
    "simulate",
]

_MODULES = ("documents", "errors", "estimators", "metrics", "simulate")
_HOMES = {
    "Code": "errors",
    "DecisionTree": "estimators",
    "GradientBoosting": "estimators",
    "LogisticRegression": "estimators",
    "ModelFactoryError": "errors",
    "PublishNotEligible": "errors",
    "RandomForest": "estimators",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
