"""Hints are true where they are given: what to do depends on what was done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import model_factory as mf
from model_factory import metrics
from tests.bench import SCOPE, governance, opened, train

FEATURES, LABELS = [[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("call", "fills"),
    [
        (lambda: mf.LogisticRegression().fit([[np.nan], [1.0]], [0, 1]), True),
        (lambda: mf.DecisionTree().fit(FEATURES, LABELS).predict([[np.nan]]), True),
        (lambda: mf.DecisionTree().fit(FEATURES, LABELS).predict([[np.inf]]), False),
        (lambda: mf.GradientBoosting().fit([[np.inf], [1.0]], [0, 1]), False),
        (lambda: mf.LogisticRegression().fit(FEATURES, LABELS, sample_weight=[1, 1, 1, -1]), False),
        (lambda: metrics.roc_auc_score(LABELS, [0.1, 0.2, 0.3, np.nan]), False),
    ],
)
def test_boosting_is_advised_only_where_a_value_is_missing(call: Callable[[], object], fills: bool) -> None:
    with pytest.raises(mf.errors.DataError) as refused:
        call()
    assert refused.value.code == "NON_FINITE_INPUT"
    assert ("gradient_boosting" in refused.value.hint) is fills


def test_what_stands_in_the_way_is_to_be_mended(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(mf.errors.ExecutionError) as refused:
        mf.open(file)
    assert refused.value.code == "STORE_UNAVAILABLE"
    assert "the store's folder" in refused.value.detail
    assert "mend what the detail names" in refused.value.hint


def test_a_rollback_without_history_is_not_told_to_promote_first(
    published: tuple[Path, mf.Dataset, str], copied: Callable[[Path], Path]
) -> None:
    factory = opened(copied(published[0]))
    factory.registry.promote(factory.run(published[2]).publish(), reason="the first")
    with pytest.raises(mf.errors.RegistryError) as refused:
        factory.registry.rollback(SCOPE, reason="back")
    assert refused.value.code == "NO_ACTIVE_BUNDLE"
    assert "returns to what was ACTIVE before" in refused.value.hint


def test_whom_the_profile_forbids_to_publish_is_pointed_to_it(
    built: tuple[Path, mf.Dataset], copied: Callable[[Path], Path]
) -> None:
    roles = governance()["roles"] | {"publish": {"only": ["bob"]}}
    with pytest.raises(mf.errors.PublishError) as refused:
        train(opened(copied(built[0])), built[1], governance=governance(roles=roles), publish=True)
    assert refused.value.code == "PUBLISH_NOT_ALLOWED"
    assert "roles.publish" in refused.value.hint
