"""Runs that cannot be: a typed error that names the place, the same each time, and no artifact of a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import model_factory as mf
from tests.bench import build, config, day, governance, labels, objects, opened, train


def split(**changes: Any) -> dict[str, Any]:
    return config(split=config()["split"] | changes)


def window(start: int, end: int) -> dict[str, str]:
    return {"start": day(start), "end": day(end)}


AT_THE_DOOR: dict[str, tuple[str, dict[str, Any]]] = {
    "no such family": ("TRAINING_CONFIG_INVALID", {"config": config(model={"family": "oracle"})}),
    "a field nobody knows": ("TRAINING_CONFIG_INVALID", {"config": config(depth=3)}),
    "an end before the start": ("TRAINING_CONFIG_INVALID", {"config": split(train=window(35, 10))}),
    "a number that is none": (
        "TRAINING_CONFIG_INVALID",
        {"config": config(model={"family": "logistic_regression", "c": float("nan")})},
    ),
    "no criteria": ("GOVERNANCE_PROFILE_INVALID", {"governance": governance(criteria=[])}),
    "a scope of two": ("TARGET_SCOPE_INVALID", {"scope": "prod/card"}),
    "a scope that climbs": ("TARGET_SCOPE_INVALID", {"scope": "prod/../primary"}),
    "no such intent": ("INTENT_KIND_UNSUPPORTED", {"intent": "guess"}),
    "a short name": ("REQUEST_ID_INVALID", {"request_id": "short"}),
    "an object in a document": ("TRAINING_CONFIG_INVALID", {"config": config(revision=object())}),
}
AT_WORK: dict[str, tuple[str, dict[str, Any]]] = {
    "no gap": ("EMBARGO_VIOLATION", {"config": split(test=window(38, 60))}),
    "windows that overlap": ("SPLIT_OVERLAP", {"config": split(test=window(30, 60), gap="0s")}),
    "a feature that is not there": (
        "FEATURE_SCHEMA_INCOMPATIBLE",
        {"config": config(features=["amount", "fortune"])},
    ),
    "another label": ("LABEL_RULE_MISMATCH", {"config": config(label={"family": "chargeback"})}),
    "no rows to train on": ("DATASET_EMPTY", {"config": split(train=window(-30, -20))}),
    "another feature set": (
        "FEATURE_SCHEMA_INCOMPATIBLE",
        {"config": config(feature_definition_set={"feature_set_id": "x", "feature_set_version": "1"})},
    ),
    "a gap that is too short": (
        "EMBARGO_VIOLATION",
        {"governance": governance(leakage_policy={"min_gap": "8d"})},
    ),
}


@pytest.mark.parametrize(("code", "change"), AT_THE_DOOR.values(), ids=AT_THE_DOOR)
def test_refused_at_the_door(
    code: str, change: dict[str, Any], built: tuple[Path, mf.Dataset], copied: Callable[[Path], Path]
) -> None:
    root = copied(built[0])
    with pytest.raises(mf.errors.ModelFactoryError) as refused:
        train(opened(root), built[1], **change)
    assert refused.value.code == code
    assert opened(root).runs() == []
    assert not any("train_runs" in key or "train_requests" in key for key in objects(root))


@pytest.mark.parametrize(("code", "change"), AT_WORK.values(), ids=AT_WORK)
def test_refused_at_work(
    code: str, change: dict[str, Any], built: tuple[Path, mf.Dataset], copied: Callable[[Path], Path]
) -> None:
    root = copied(built[0])
    for attempt in ("first", "again"):
        with pytest.raises(mf.errors.ModelFactoryError) as refused:
            train(opened(root), built[1], **change)
        assert refused.value.code == code, attempt
    (run,) = opened(root).runs()
    assert (run.state, run.reason, run.gate, run.report) == ("FAIL", code, None, None)
    assert not any(key.endswith(".safetensors") or "bundle" in key for key in objects(root))
    assert opened(root).fsck()["findings"] == []


@pytest.mark.parametrize("value", [0, 1])
def test_one_class_is_no_training(value: int, tmp_path: Path) -> None:
    factory = opened(tmp_path)
    alike = labels() | {"fraud": np.full(len(labels()["fraud"]), bool(value))}
    dataset = build(factory, labels=alike)
    assert dataset.label_counts["negative" if value else "positive"] == 0
    with pytest.raises(mf.errors.ExecutionError) as refused:
        train(factory, dataset)
    assert refused.value.code == "DEGENERATE_LABELS"
    assert not any(key.endswith(".safetensors") for key in objects(tmp_path))
    assert factory.fsck()["findings"] == []


def test_no_dataset_is_no_training(built: tuple[Path, mf.Dataset]) -> None:
    with pytest.raises(mf.errors.InputAdmissionError) as refused:
        opened(built[0]).train([], config=config(), governance=governance(), scope="prod/card/primary")
    assert refused.value.code == "MANIFEST_REF_MISSING"


def test_a_file_that_is_no_document(built: tuple[Path, mf.Dataset], tmp_path: Path) -> None:
    for name, content in (("a.toml", "x = ["), ("a.json", "{"), ("b.json", "[]"), ("c.json", "\x00\xff")):
        path = tmp_path / name
        path.write_bytes(content.encode("latin-1"))
        with pytest.raises(mf.errors.ResolutionError) as refused:
            train(opened(built[0]), built[1], config=path)
        assert refused.value.code == "TRAINING_CONFIG_INVALID", name


@pytest.mark.parametrize("run_id", ["tr_" + "0" * 32, "../up", ""])
def test_a_run_that_nobody_asked_for(run_id: str, tmp_path: Path) -> None:
    with pytest.raises(mf.errors.ExecutionError) as refused:
        opened(tmp_path).run(run_id)
    assert refused.value.code == "RUN_NOT_FOUND"


def test_a_state_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(mf.errors.InputAdmissionError) as refused:
        opened(tmp_path).runs(state="DONE")
    assert refused.value.code == "PARAMETER_INVALID"


def test_a_principal_that_is_none(built: tuple[Path, mf.Dataset], copied: Callable[[Path], Path]) -> None:
    factory = opened(copied(built[0]))
    request = train(factory, built[1]).request
    with pytest.raises(mf.errors.InputAdmissionError) as refused:
        factory.submit(request | {"request_id": "of-nobody", "requester_principal": " "})
    assert refused.value.code == "REQUESTER_MISSING"


def test_a_file_that_is_not_there(built: tuple[Path, mf.Dataset], tmp_path: Path) -> None:
    for path in (tmp_path / "nope.toml", tmp_path):
        with pytest.raises(mf.errors.InputAdmissionError) as refused:
            train(opened(built[0]), built[1], config=path)
        assert refused.value.code == "SOURCE_UNREADABLE"
        assert refused.value.problems[0]["pointer"] == "config"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), np.float64("nan"), np.float32("-inf")])
def test_a_number_that_is_none_is_pointed_to(number: float, built: tuple[Path, mf.Dataset]) -> None:
    wrong = config(model={"family": "gradient_boosting", "learning_rate": number})
    with pytest.raises(mf.errors.ResolutionError) as refused:
        train(opened(built[0]), built[1], config=wrong)
    assert refused.value.code == "TRAINING_CONFIG_INVALID"
    assert [problem["pointer"] for problem in refused.value.problems] == ["/model/learning_rate"]


def test_an_unknown_family_is_told_those_that_are_known(built: tuple[Path, mf.Dataset]) -> None:
    with pytest.raises(mf.errors.ResolutionError) as refused:
        train(opened(built[0]), built[1], config=config(model={"family": "oracle"}))
    assert refused.value.code == "TRAINING_CONFIG_INVALID"
    (problem,) = refused.value.problems
    assert problem["pointer"] == "/model/family"
    assert "gradient_boosting" in problem["expected"]
    assert "logistic_regression" in problem["expected"]
    assert "oracle" not in str(refused.value)
