# The native module: the core's functions over plain values and numpy arrays. Arrays must be aligned and of
# exactly the type given here; the modules around it convert. Every function raises the exceptions of
# model_factory.errors.

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from model_factory.errors import ModelFactoryError

__all__ = [
    "Model",
    "average_precision",
    "bootstrap",
    "brier",
    "canonical",
    "canonical_from_toml",
    "codes",
    "confusion",
    "documents",
    "entity_precision",
    "fit",
    "kolmogorov_smirnov",
    "log_loss",
    "model_config",
    "payments",
    "population_stability",
    "precision_recall_curve",
    "recall_at_false_positive_rate",
    "refusal",
    "reliability",
    "roc_auc",
    "roc_curve",
    "schema",
    "top_k",
]

_Bool: TypeAlias = NDArray[np.bool_]
_Float: TypeAlias = NDArray[np.float64]
_Integer: TypeAlias = NDArray[np.int64]
_Unsigned: TypeAlias = NDArray[np.uint64]
_Progress: TypeAlias = Callable[[int, int], object]
# Scores, labels, and weights where rows do not all count alike; (rows,) each.
_Rows: TypeAlias = tuple[_Float, _Bool, _Float | None]
# Features (rows, columns), labels (rows,), and weights (rows,) where rows do not all count alike.
_Frame: TypeAlias = tuple[_Float, _Bool, _Float | None]
_MetricName: TypeAlias = Literal["roc_auc", "average_precision", "brier", "log_loss", "recall_at_fpr"]

def codes() -> list[tuple[str, str, bool, str]]: ...
def refusal(code: str, pointer: str, expected: str, found: str) -> ModelFactoryError: ...
def documents() -> list[str]: ...
def schema(name: str) -> str: ...
def canonical(name: str, json: bytes) -> bytes: ...
def canonical_from_toml(name: str, toml: str) -> bytes: ...
def model_config(config: str) -> str: ...

@final
class Model:
    @property
    def columns(self) -> int: ...
    def predict_proba(self, features: _Float, *, threads: int | None = None) -> _Float: ...

def fit(
    config: str,
    seed: int,
    train: _Frame,
    *,
    validation: _Frame | None = None,
    threads: int | None = None,
    progress: _Progress | None = None,
) -> Model: ...
def roc_auc(rows: _Rows) -> float: ...
def average_precision(rows: _Rows) -> float: ...
def recall_at_false_positive_rate(rows: _Rows, rate: float) -> float: ...
def roc_curve(rows: _Rows, at_most: int) -> tuple[_Float, _Float, _Float]: ...
def precision_recall_curve(rows: _Rows, at_most: int) -> tuple[_Float, _Float, _Float]: ...
def log_loss(rows: _Rows) -> float: ...
def brier(rows: _Rows) -> float: ...
def reliability(
    rows: _Rows, bins: int, binning: Literal["width", "count"]
) -> tuple[float, _Float, _Float, _Unsigned, _Float, _Float, _Float]: ...
def confusion(rows: _Rows, threshold: float) -> tuple[float, float, float, float]: ...
def top_k(rows: _Rows, k: int) -> tuple[float, float | None]: ...
def entity_precision(
    rows: _Rows, entities: _Unsigned, days: _Integer, k: int
) -> tuple[float, _Integer, _Unsigned, _Unsigned, _Float]: ...
def population_stability(reference: _Float, current: _Float) -> float: ...
def kolmogorov_smirnov(reference: _Float, current: _Float) -> float | None: ...
def bootstrap(
    rows: _Rows,
    metrics: Sequence[tuple[_MetricName, float | None]],
    replicates: int,
    level: float,
    seed: int,
    *,
    threads: int | None = None,
    progress: _Progress | None = None,
) -> tuple[_Float, _Float, _Float, int, int]: ...
def payments(
    customers: int, terminals: int, days: int, seed: int
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]: ...
