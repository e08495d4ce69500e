"""From a dataset you can name to a model you can prove.

Everything below is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model_factory import (
        demo,
        display,
        documents,
        errors,
        estimators,
        features,
        labels,
        metrics,
        simulate,
    )
    from model_factory.datasets import Dataset
    from model_factory.errors import Code, ModelFactoryError, PublishNotEligible
    from model_factory.estimators import DecisionTree, GradientBoosting, LogisticRegression, RandomForest
    from model_factory.factory import Factory, open  # noqa: A004 - mf.open
    from model_factory.features import Feature, column, hours, weekend, window
    from model_factory.runs import Bundle, Run
    from model_factory.scoring import Model
    from model_factory.worker import News, Worker

__all__ = [
    "Bundle",
    "Code",
    "Dataset",
    "DecisionTree",
    "Factory",
    "Feature",
    "GradientBoosting",
    "LogisticRegression",
    "Model",
    "ModelFactoryError",
    "News",
    "PublishNotEligible",
    "RandomForest",
    "Run",
    "Worker",
    "column",
    "demo",
    "display",
    "documents",
    "errors",
    "estimators",
    "features",
    "hours",
    "labels",
    "metrics",
    "open",
    "simulate",
    "weekend",
    "window",
]

_MODULES = (
    "demo",
    "display",
    "documents",
    "errors",
    "estimators",
    "features",
    "labels",
    "metrics",
    "simulate",
)
_HOMES = {
    "Bundle": "runs",
    "Code": "errors",
    "Dataset": "datasets",
    "DecisionTree": "estimators",
    "Factory": "factory",
    "Feature": "features",
    "GradientBoosting": "estimators",
    "LogisticRegression": "estimators",
    "Model": "scoring",
    "ModelFactoryError": "errors",
    "News": "worker",
    "PublishNotEligible": "errors",
    "RandomForest": "estimators",
    "Run": "runs",
    "Worker": "worker",
    "column": "features",
    "hours": "features",
    "open": "factory",
    "weekend": "features",
    "window": "features",
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
