"""Documents through the Python face: schemas that others can use, and refusals that say where."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from model_factory import documents
from model_factory.errors import Code, InputAdmissionError, ModelFactoryError, ResolutionError

PINNED = {"uri": "platform-1/ofs/manifests/a.json", "digest": "sha256:" + "ab" * 32}
REQUEST: dict[str, Any] = {
    "schema_version": "model_factory.train_request.v1",
    "request_id": "req-00000001",
    "intent_kind": "baseline_train",
    "platform_run_id": "platform-1",
    "dataset_manifests": [PINNED],
    "training_config": {**PINNED, "uri": "platform-1/mf/configs/c.json"},
    "governance_profile": {**PINNED, "uri": "platform-1/mf/profiles/p.json"},
    "requester_principal": "alice",
    "target_scope": {"environment": "prod", "mode": "card", "bundle_slot": "primary"},
    "policy_revision": "p1",
    "config_revision": "c1",
    "code_release_id": "release-1",
}
CONFIG: dict[str, Any] = {
    "schema_version": "model_factory.training_config.v1",
    "config_id": "baseline",
    "revision": "1",
    "model": {"family": "gradient_boosting"},
    "feature_definition_set": {"feature_set_id": "cards", "feature_set_version": "1"},
    "label": {"family": "card_fraud"},
    "split": {
        "strategy": "time",
        "train": {"start": "2018-07-25T00:00:00Z", "end": "2018-08-01T00:00:00Z"},
        "test": {"start": "2018-08-08T00:00:00Z", "end": "2018-08-15T00:00:00Z"},
        "gap": "7d",
    },
    "seed_policy": {"base_seed": 1},
}
CONFIG_TOML = """
schema_version = "model_factory.training_config.v1"
config_id = "baseline"
revision = "1"
[model]
family = "gradient_boosting"
[feature_definition_set]
feature_set_id = "cards"
feature_set_version = "1"
[label]
family = "card_fraud"
[split]
strategy = "time"
train = { start = "2018-07-25T00:00:00Z", end = "2018-08-01T00:00:00Z" }
test = { start = "2018-08-08T00:00:00Z", end = "2018-08-15T00:00:00Z" }
gap = "7d"
[seed_policy]
base_seed = 1
"""


@pytest.mark.parametrize("name", documents.names())
def test_a_schema_is_draft_2020_12(name: str) -> None:
    schema = documents.schema(name)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(("name", "document"), [("train_request", REQUEST), ("training_config", CONFIG)])
def test_an_independent_validator_agrees(name: str, document: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(documents.schema(name))
    validator.validate(document)
    validator.validate(documents.validate(name, document))
    for field in document:
        less = {key: value for key, value in document.items() if key != field}
        for other in (less, {**document, field: [None]}, {**document, "unheard_of": 1}):
            refused = not validator.is_valid(other)
            try:
                documents.canonical(name, other)
            except ModelFactoryError:
                assert refused, field
            else:
                # What the caller has named need not name itself.
                assert not refused or "schema_version" not in other, field


def test_defaults_are_written_out_and_canonical_bytes_are_fixed() -> None:
    checked = documents.validate("training_config", CONFIG)
    assert checked["model"]["n_estimators"] == 100
    text = documents.canonical("training_config", CONFIG)
    assert documents.canonical("training_config", checked) == text
    assert json.loads(text) == checked


def test_every_way_to_give_a_document_is_the_same(tmp_path: Path) -> None:
    toml, file = tmp_path / "config.toml", tmp_path / "config.json"
    toml.write_text(CONFIG_TOML, encoding="utf-8")
    file.write_text(json.dumps(CONFIG), encoding="utf-8")
    forms: list[documents.DocumentLike] = [
        CONFIG,
        json.dumps(CONFIG),
        json.dumps(CONFIG, indent=4).encode(),
        toml,
        file,
    ]
    assert len({documents.canonical("training_config", form) for form in forms}) == 1


def test_every_problem_at_once_with_its_place_and_no_value() -> None:
    wrong = {**REQUEST, "request_id": "secret", "surplus": "secret"}
    del wrong["code_release_id"]
    with pytest.raises(InputAdmissionError) as caught:
        documents.validate("train_request", wrong)
    pointers = {problem["pointer"] for problem in caught.value.problems}
    assert {"/request_id", "/surplus", "/code_release_id"} <= pointers
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(caught.value.problems)


def test_a_document_has_its_own_code() -> None:
    with pytest.raises(ResolutionError) as caught:
        documents.validate("training_config", {**CONFIG, "model": {"family": "oracle"}})
    assert caught.value.code is Code.TRAINING_CONFIG_INVALID


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "NaN",
        '{"a": 1, "a": 2}',
        "[" * 100 + "]" * 100,
        '{"a": 9007199254740993}',
        b"\xff",
    ],
)
def test_text_that_is_no_document_is_refused(text: str | bytes) -> None:
    with pytest.raises(ModelFactoryError) as caught:
        documents.validate("training_config", text)
    assert caught.value.code is Code.TRAINING_CONFIG_INVALID


def test_a_number_that_json_cannot_say_is_refused() -> None:
    with pytest.raises(ModelFactoryError):
        documents.validate("training_config", {**CONFIG, "seed_policy": {"base_seed": float("nan")}})


@pytest.mark.parametrize("value", [{1, 2}, object(), 1j, np.datetime64("2024-01-01"), {3: 4}, float("inf")])
def test_what_json_cannot_say_is_refused_at_its_place(value: object) -> None:
    with pytest.raises(ResolutionError) as caught:
        documents.validate("training_config", {**CONFIG, "evaluation": {"top_k": [10, value]}})
    assert caught.value.code is Code.TRAINING_CONFIG_INVALID
    assert caught.value.problems[0]["pointer"] == "/evaluation/top_k/1"


def test_a_mapping_of_any_depth_is_refused() -> None:
    deep: Any = 1
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(ResolutionError):
        documents.validate("training_config", {**CONFIG, "evaluation": deep})


def test_moments_and_numbers_of_python_are_what_they_stand_for(tmp_path: Path) -> None:
    split = dict(CONFIG["split"])
    split["train"] = {"start": datetime(2018, 7, 25, tzinfo=timezone.utc), "end": split["train"]["end"]}
    same = {**CONFIG, "split": split, "seed_policy": {"base_seed": np.int64(1)}}
    expected = documents.canonical("training_config", CONFIG)
    assert documents.canonical("training_config", same) == expected
    native = tmp_path / "native.toml"
    native.write_text(CONFIG_TOML.replace('"2018-07-25T00:00:00Z"', "2018-07-25T00:00:00Z"), encoding="utf-8")
    assert documents.canonical("training_config", native) == expected


@pytest.mark.parametrize("wrong", ["2018-02-30T00:00:00Z", "2018-08-08T24:00:00Z"])
def test_a_moment_of_no_calendar_has_its_place(wrong: str) -> None:
    split = {**CONFIG["split"], "test": {"start": wrong, "end": "2018-08-15T00:00:00Z"}}
    with pytest.raises(ResolutionError) as caught:
        documents.validate("training_config", {**CONFIG, "split": split})
    assert [problem["pointer"] for problem in caught.value.problems] == ["/split/test/start"]


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputAdmissionError) as caught:
        documents.validate("training_config", tmp_path / "none.json")
    assert caught.value.code is Code.SOURCE_UNREADABLE


def test_what_only_train_fills_in_is_said() -> None:
    quick = {key: value for key, value in CONFIG.items() if key not in {"schema_version", "label"}}
    with pytest.raises(ResolutionError) as caught:
        documents.validate("training_config", quick)
    assert [problem["pointer"] for problem in caught.value.problems] == ["/label"]
    assert "dataset" in caught.value.hint


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    for call in (documents.schema, lambda name: documents.validate(name, {})):
        with pytest.raises(InputAdmissionError) as caught:
            call("oracle")
        assert caught.value.code is Code.PARAMETER_INVALID
        assert "train_request" in str(caught.value)
