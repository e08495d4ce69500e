"""The authors' baseline table, reproduced through the whole factory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import model_factory as mf

pytestmark = [pytest.mark.truth, pytest.mark.timeout(900)]

Train = Callable[[dict[str, Any]], mf.Run]

METRICS = ("roc_auc", "average_precision", "capacity_precision_at_k_100")
PUBLISHED: dict[str, tuple[dict[str, Any], tuple[float, float, float], float]] = {
    "logistic regression": ({"family": "logistic_regression"}, (0.871, 0.606, 0.291), 0.005),
    "tree of depth 2": ({"family": "decision_tree", "max_depth": 2}, (0.763, 0.496, 0.241), 0.005),
    "random forest": ({"family": "random_forest", "n_estimators": 100}, (0.867, 0.658, 0.287), 0.01),
}
# Picked on windows before the test window.
BOOSTING = {
    "family": "gradient_boosting",
    "learning_rate": 0.02,
    "n_estimators": 300,
    "max_leaf_nodes": 16,
    "min_samples_leaf": 20,
    "min_child_weight": 0.5,
    "l2_regularization": 1.0,
    "subsample": 0.8,
}


@pytest.mark.parametrize(("model", "published", "tolerance"), PUBLISHED.values(), ids=PUBLISHED)
def test_the_published_figures(
    model: dict[str, Any], published: tuple[float, float, float], tolerance: float, trained: Train
) -> None:
    run = trained(model)
    assert run.state == "PUBLISHED"
    ours = tuple(run.metrics[name] for name in METRICS)
    assert ours == pytest.approx(published, abs=tolerance)


def test_the_published_rows(trained: Train) -> None:
    report = trained({"family": "decision_tree", "max_depth": 2}).report
    assert report is not None
    rows = {split["split"]: split["rows"] for split in report["splits"]}
    counted = {name: (window["rows"], window["positive"]) for name, window in rows.items()}
    assert counted == {"train": (67_240, 598), "test": (58_264, 385)}


def test_boosting_does_better(trained: Train) -> None:
    average_precision = trained(BOOSTING).metrics["average_precision"]
    assert average_precision is not None
    assert average_precision >= 0.65
