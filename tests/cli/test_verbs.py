"""Every verb from end to end, in words and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import model_factory as mf
from model_factory import _shown
from model_factory.cli import answer
from model_factory.cli.program import parser
from tests.cli.payments import SCOPE, Place, build, call, features

VERBS = [
    ("demo",),
    ("schema",),
    ("validate",),
    ("dataset", "build"),
    ("store",),
    ("submit",),
    ("post",),
    ("work",),
    ("cancel",),
    ("runs",),
    ("show",),
    ("publish-retry",),
    ("allow-retries",),
    ("verify",),
    ("rebuild",),
    ("fsck",),
    ("approve",),
    ("promote",),
    ("rollback",),
    ("retire",),
    ("resolve",),
    ("score",),
]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_explains_itself_and_takes_json(verb: tuple[str, ...]) -> None:
    called = call(*verb, "--help")
    assert called.status == 0
    assert "--json" in called.out
    assert ("--root" in called.out) == ("'factory" in called.out)
    assert called.out.startswith(f"usage: model-factory {' '.join(verb)}")


def test_help_names_every_verb_and_every_exit_status() -> None:
    text = parser().format_help()
    assert all(verb[0] in text for verb in VERBS)
    named = ((10, "INPUT"), (17, "REGISTRY"), (130, "ended"), (141, "done"), (143, "ended"))
    assert all(f"{status} {name}" in text for status, name in named)


def test_a_dataset_is_built_of_files_as_the_interface_builds_it(built: Place) -> None:
    dataset = built.opened_dataset()
    assert built.dataset["dataset_manifest_id"] == dataset.id
    assert built.dataset["rows"] == dataset.rows > 0
    assert built.dataset["label_counts"] == dataset.label_counts
    names = dataset.feature_names
    assert names == [
        "amount",
        "customer_count_7d",
        "customer_mean_amount_7d",
        "terminal_risk",
        "weekend",
        "night",
    ]


def test_from_request_to_retirement(place: Place) -> None:
    root = ("--root", place.root)
    trained = place.train(publish=False)
    request = {**trained.request, "request_id": "by-hand-1", "publish_allowed": True}
    file = place.folder / "request.json"
    file.write_text(json.dumps(request), encoding="utf-8")

    submitted = call("submit", file, "--json", *root)
    assert (submitted.status, submitted.document["train_run_id"]) == (0, trained.id)
    worked = call("work", "--once", "--json", *root)
    assert (worked.status, worked.document["state"]) == (0, "PUBLISHED")
    assert worked.document["gate"] == "PASS"
    assert worked.document["metrics"] == trained.metrics
    bundle = worked.document["bundle_id"]
    assert call("work", "--once", "--json", *root).document == {"train_run_id": None}

    listed = call("runs", "--json", *root).document["runs"]
    assert [run["train_run_id"] for run in listed] == [trained.id]
    shown = call("show", trained.id, *root)
    assert "average_precision" in shown.out
    assert bundle in shown.out
    verified = call("verify", bundle, "--json", *root).document
    assert verified["gate_confirmed"]
    assert call("rebuild", bundle, "--json", *root).document == {"bundle_id": bundle, "identical": True}

    assert call("resolve", SCOPE, *root).status == 17
    assert (
        call("approve", bundle, "--actor", "bob", "--reason", "read it", "--json", *root).document["to"]
        == "APPROVED"
    )
    assert (
        call("promote", bundle, "--actor", "alice", "--reason", "serve", "--json", *root).document["to"]
        == "ACTIVE"
    )
    assert call("resolve", SCOPE, "--json", *root).document["bundle_id"] == bundle
    assert call("fsck", "--json", *root).document["findings"] == []
    retired = call("retire", bundle, "--actor", "alice", "--reason", "old", "--json", *root)
    assert (retired.status, retired.document["to"]) == (0, "RETIRED")


def test_a_list_says_of_each_run_where_it_is_and_of_itself_whether_it_is_whole(place: Place) -> None:
    root = ("--root", place.root)
    first, second = (place.train(seed_policy={"base_seed": seed}, publish=False) for seed in (1, 2))
    request = {**first.request, "request_id": "another-one"}
    request["target_scope"] = {**request["target_scope"], "tenant_id": "north"}
    run = place.factory().submit(request)
    run.cancel("a mistake", actor="alice")

    whole = call("runs", "--json", *root).document
    assert [each["train_run_id"] for each in whole["runs"]] == [run.id, second.id, first.id]
    assert whole["more"] is False
    latest = whole["runs"][0]
    assert (latest["state"], latest["reason"]) == ("FAIL", "RUN_CANCELLED")
    assert latest["scope"] == f"{SCOPE}/north"
    assert (latest["submitted_at"], latest["updated_at"]) == tuple(
        run.events[place]["recorded_at"] for place in (0, -1)
    )
    assert "--limit" not in call("runs", "--limit", "3", *root).out

    part = call("runs", "--limit", "2", "--json", *root).document
    assert part == {"runs": whole["runs"][:2], "more": True}
    told = call("runs", "--limit", "2", *root).out
    assert "--limit 20" in told.splitlines()[-1]
    assert told.split()[:5] == ["run", "state", "reason", "scope", "admitted"]
    row = told.splitlines()[1].split()
    assert row[1:5] == ["FAIL", "RUN_CANCELLED", f"{SCOPE}/north", f"{run.submitted_at[:19]}Z"]
    assert call("runs", "--state", "FAIL", "--limit", "1", "--json", *root).document["more"] is False


@pytest.mark.parametrize("name", ["training_config", "governance_profile"])
def test_a_document_is_stored_under_its_content(place: Place, name: str) -> None:
    root = ("--root", place.root)
    trained = place.train(publish=False)
    plan = trained.plan
    assert plan is not None
    file = place.folder / f"{name}.json"
    file.write_text(json.dumps(plan[name]), encoding="utf-8")
    stored = call("store", name, file, "--json", *root).document
    assert stored == {"reference": trained.request[name], "name": name}
    assert call("store", "eval_report", file, "--json", *root).status == 10
    file.write_text("{}", encoding="utf-8")
    assert call("store", name, file, "--json", *root).status == 11


def test_a_publication_without_retries_is_told_as_such_by_every_verb(place: Place) -> None:
    root = ("--root", place.root)
    run = place.train(publish=False)
    blocked = place.root / "objects" / "registry" / "bundles"
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.symlink_to(place.root)
    request = place.folder / "request.json"
    asked = {**run.request, "request_id": "to-publish", "publish_allowed": True}
    request.write_text(json.dumps(asked), encoding="utf-8")
    texts = (("submit", request), ("runs",), ("show", run.id))
    for left in (3, 2, 1, 0):
        with pytest.raises(mf.ModelFactoryError):
            run.publish()
        for verb in texts:
            document = call(*verb, "--json", *root).document
            assert document.get("runs", [document])[0]["retries_left"] == left
            said = "STORE_CORRUPT" in call(*verb, *root).out, "no retries left" in call(*verb, *root).out
            assert said == (True, left == 0), verb
    for verb in texts:
        assert "no retries left: allow-retries" in call(*verb, *root).out
    call("allow-retries", run.id, "--actor", "alice", "--reason", "mended", *root)
    assert "no retries left" not in call("show", run.id, *root).out


def test_what_an_old_record_holds_steers_no_terminal(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reason of a ledger from before such characters were refused."""
    run = place.train(publish=False)
    why = "alice stopped it: \x1b[2J\x9b31m\x00\u202e\nstate  PUBLISHED"
    monkeypatch.setattr(mf.Run, "detail", why)
    monkeypatch.setattr(mf.Run, "reason", "RUN_CANCELLED")
    told = call("show", run.id, "--root", place.root).out
    assert r"alice stopped it: \u001b[2J\u009b31m\u0000\u202e\u000astate  PUBLISHED" in told
    monkeypatch.setattr(mf.Run, "state", "FAIL")
    with pytest.raises(mf.errors.ExecutionError) as caught:
        run.raise_refusal()
    assert not set("\x1b\x9b\x00\u202e") & set(str(caught.value))
    assert caught.value.detail == why


def test_json_keeps_what_it_escapes() -> None:
    why = "\x7f\x9b31m\u2028\u202e\udcff"
    text = _shown.lines(answer.to_json({"reason": why}))
    assert not set(why[:2] + why[5:]) & set(text)
    assert json.loads(text) == {"reason": why}


def test_rollback_brings_the_earlier_bundle_back(place: Place) -> None:
    root = ("--root", place.root)
    act = ("--actor", "alice", "--reason", "test", "--json", *root)
    first, second = (place.train(seed_policy={"base_seed": seed}).bundle_id for seed in (1, 2))
    assert first != second
    for bundle in (first, second):
        assert call("promote", bundle, *act).status == 0
    assert call("rollback", SCOPE, *act).document["bundle_id"] == first
    assert call("resolve", SCOPE, "--json", *root).document["bundle_id"] == first


@pytest.fixture(scope="module")
def active(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = build(tmp_path_factory.mktemp("active"))
    run = place.train()
    assert (
        call("promote", run.bundle_id, "--actor", "alice", "--reason", "test", "--root", place.root).status
        == 0
    )
    return place


def test_scores_are_the_interface_s(active: Place) -> None:
    file = active.folder / "features.parquet"
    parquet.write_table(pa.table({**features(), "other": ["x"] * 50}), file)
    expected = active.factory().score(SCOPE, features())

    found = call("score", SCOPE, file, "--json", "--root", active.root).document
    np.testing.assert_array_equal(found["scores"], expected)
    assert found["rows"] == 50
    assert found["alerts"] == int((expected >= found["alert_threshold"]).sum())

    for name in ("scored.parquet", "scored.csv"):
        out = active.folder / name
        assert call("score", SCOPE, file, "--out", out, "--root", active.root).status == 0
    scored = parquet.read_table(active.folder / "scored.parquet")
    np.testing.assert_array_equal(scored["score"].to_numpy(), expected)
    assert scored["other"].to_pylist() == ["x"] * 50
    assert (active.folder / "scored.csv").read_text(encoding="utf-8").startswith('"amount"')


def test_a_gate_that_fails_is_a_normal_outcome(place: Place) -> None:
    trained = place.train(0.9999, publish=False)
    assert trained.gate == "FAIL"
    shown = call("show", trained.id, "--root", place.root)
    assert shown.status == 0
    assert "FAIL" in shown.out


def test_documents_need_no_factory(tmp_path: Path) -> None:
    assert call("schema", "--json").document == {"documents": mf.documents.names()}
    assert call("schema", "training_config", "--json").document == mf.documents.schema("training_config")
    file = tmp_path / "config.toml"
    file.write_text('config_id = "x"\n', encoding="utf-8")
    refused = call("validate", "training_config", file, "--json")
    assert refused.status == 11
    assert len(refused.document["problems"]) > 1
    assert list(tmp_path.iterdir()) == [file]


def test_as_a_program_it_is_quiet_where_there_is_no_terminal(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "model_factory.cli",
        "demo",
        "--root",
        str(tmp_path / "root"),
        "--seed",
        "3",
    ]
    done = subprocess.run(command, capture_output=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    assert b"\r" not in done.stdout + done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
    assert done.stderr == b""
