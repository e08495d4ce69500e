"""A factory whose objects stand in a bucket is the factory that it is in a folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import model_factory as mf
from tests.bench import SCOPE, arrow, build, events, opened, train
from tests.cli.payments import call
from tests.store.conftest import Open
from tests.store.lookalike import Manners, lookalike
from tests.store.servers import BUCKET, KEY_ID, SECRET, Server

Published = tuple[Path, mf.Dataset, str]

OF_THE_MOMENT = (
    "registry/ledger",
    "measurements.json",
    "run_receipt_published.json",
    "run_receipt_pass.json",
    "events/00000001.json",
)
"""Objects that tell when something happened."""


def test_the_whole_line_comes_to_the_same_bytes_as_in_a_folder(
    s3: Server, prefix: str, connect: Open, published: Published
) -> None:
    root, dataset, run_id = published
    factory = connect(s3)
    ours = build(factory)
    assert (ours.id, ours.reference) == (dataset.id, dataset.reference)
    run = train(factory, ours, publish=True)
    assert (run.id, run.state) == (run_id, "PUBLISHED")
    bundle = run.publish()
    assert bundle.id == opened(root).run(run_id).bundle_id

    factory.registry.promote(bundle, actor="carol", reason="the first")
    resolution = factory.registry.resolve(SCOPE)
    assert (resolution.outcome, resolution.bundle_id) == ("RESOLVED", bundle.id)
    rows = {name: np.linspace(0.0, 5.0, 20) for name in ours.feature_names}
    scores = resolution.load().predict_proba(rows)
    np.testing.assert_array_equal(scores, opened(root).load(bundle.id).predict_proba(rows))
    assert factory.verify(bundle)["gate_confirmed"]
    factory.rebuild(bundle)
    assert factory.fsck() == {"runs": 1, "bundles": 1, "scopes": 1, "findings": []}

    here = s3.objects(prefix)
    assert here.pop(".probe/put_if_absent") == b"one\n"
    promoted = f"registry/scopes/{SCOPE}/global/events/00000002.json"
    assert json.loads(here.pop(promoted))["kind"] == "BUNDLE_PROMOTED_ACTIVE"
    there = {
        str(path.relative_to(root / "objects")): path.read_bytes()
        for path in (root / "objects").rglob("*")
        if path.is_file()
    }
    assert here.keys() == there.keys()
    differing = {key for key in here if here[key] != there[key]}
    assert {key for key in differing if not key.endswith(OF_THE_MOMENT)} == set()
    assert len(differing) < len(here) - 5


def test_opening_again_finds_what_is_there_and_adds_nothing(s3: Server, prefix: str, connect: Open) -> None:
    dataset = build(connect(s3))
    before = s3.objects(prefix)
    again = connect(s3)
    assert again.datasets.open(**dataset.reference).manifest == dataset.manifest
    assert build(again).id == dataset.id
    assert s3.objects(prefix) == before
    assert repr(again).startswith(f"<Factory in 's3://{BUCKET}/{prefix}': signs as ed25519:")


def test_a_file_url_is_that_folder(published: Published) -> None:
    root, _, run_id = published
    factory = opened(root.as_uri())
    assert [run.id for run in factory.runs()] == [run_id]
    listed = call("runs", "--root", root.as_uri(), "--json").document["runs"]
    assert [run["train_run_id"] for run in listed] == [run_id]


def test_a_bucket_holds_neither_ledger_nor_keys(s3: Server, connect: Open, tmp_path: Path) -> None:
    for absent in ("ledger", "keys"):
        with pytest.raises(mf.errors.InputAdmissionError) as refused:
            connect(s3, **{absent: None})
        assert refused.value.code == "PARAMETER_INVALID"
        assert refused.value.problems[0]["pointer"] == absent
    assert list(tmp_path.iterdir()) == []


def test_the_ledger_of_a_folder_can_stand_elsewhere(tmp_path: Path) -> None:
    factory = opened(tmp_path / "root", ledger=tmp_path / "elsewhere" / "runs.sqlite")
    assert factory.runs() == []
    assert (tmp_path / "elsewhere" / "runs.sqlite").is_file()
    assert not (tmp_path / "root" / "ledger.sqlite").exists()
    with pytest.raises(mf.errors.InputAdmissionError) as refused:
        opened(tmp_path / "root", ledger="mysql://user:hush@host/ledger")
    assert refused.value.problems[0]["pointer"] == "ledger"
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("root", "found"),
    [
        (f"s3://{KEY_ID}:{SECRET}@bucket/prefix", "credentials"),
        (f"az://container/prefix?sig={SECRET}", "a query"),
        ("http://bucket/prefix", "a URL of another scheme"),
        ("s3://bucket//prefix", "another text"),
        (Path("s3://bucket/prefix"), "one"),
    ],
)
def test_a_url_of_another_form_is_refused_by_name(tmp_path: Path, root: str | Path, found: str) -> None:
    with pytest.raises(mf.errors.InputAdmissionError) as refused:
        opened(root, ledger=tmp_path / "ledger", keys=tmp_path / "keys")
    assert refused.value.code == "PARAMETER_INVALID"
    assert refused.value.problems[0]["pointer"] == "root"
    assert refused.value.problems[0]["found"] == found
    assert SECRET not in str(refused.value)


def test_a_bucket_that_is_not_there_is_named(s3: Server, connect: Open) -> None:
    absent = "s3://no-such-bucket/prefix"
    connect(s3)
    with pytest.raises(mf.errors.ExecutionError) as refused:
        opened(absent, ledger=Path("ledger"), keys=Path("keys"))
    assert refused.value.code == "STORE_UNAVAILABLE"
    assert "NoSuchBucket" in refused.value.detail


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_settings_that_cannot_be_used_are_asked_for_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SECRET)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", f'"{SECRET}"')
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", SECRET)
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(mf.errors.InputAdmissionError) as refused:
        opened(f"{scheme}://some-bucket", ledger=tmp_path / "ledger", keys=tmp_path / "keys")
    assert refused.value.problems[0]["pointer"] == "environment"
    assert {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}[scheme] in refused.value.hint
    assert SECRET not in str(refused.value)


def test_what_a_server_says_of_a_refusal_is_told_without_what_it_quotes(connect: Open) -> None:
    with lookalike(Manners(lets_in=False)) as server, pytest.raises(mf.errors.ExecutionError) as refused:
        connect(server)
    assert refused.value.code == "STORE_UNAVAILABLE"
    assert "403 Forbidden: SignatureDoesNotMatch" in refused.value.detail
    told = f"{refused.value} {refused.value!r} {refused.value.detail} {refused.value.hint}"
    assert not any(secret in told for secret in (KEY_ID, SECRET, "Signature=", "AWSAccessKeyId"))


def test_no_object_and_no_ledger_holds_a_credential(
    s3: Server, prefix: str, connect: Open, tmp_path: Path
) -> None:
    factory = connect(s3)
    train(factory, build(factory), publish=True)
    kept = [*s3.objects(prefix).values(), *(path.read_bytes() for path in tmp_path.iterdir())]
    assert len(kept) > 10
    told = (KEY_ID, SECRET, f"127.0.0.1:{s3.port}")
    assert not any(secret.encode() in each for each in kept for secret in told)


def test_the_command_line_takes_a_url(
    s3: Server, connect: Open, published: Published, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.sqlite"
    factory = connect(s3)
    run = train(factory, build(factory), publish=True)
    url = repr(factory).split("'")[1]
    where = ("--root", url, "--ledger", ledger, "--keys", published[0] / "keys", "--json")
    assert call("verify", run.bundle_id, *where).document["gate_confirmed"]
    assert call("fsck", *where).document["findings"] == []
    assert call("show", run.id, *where).document["state"] == "PUBLISHED"

    absent = call("runs", *where[:2], "--ledger", ledger.with_name("none"), *where[4:])
    assert (absent.status, absent.document["code"]) == (10, "SOURCE_UNREADABLE")
    assert absent.document["problems"][0]["pointer"] == "ledger"
    assert not ledger.with_name("none").exists()
    unnamed = call("runs", "--root", url, "--json")
    assert (unnamed.status, unnamed.document["code"]) == (10, "PARAMETER_INVALID")
    assert unnamed.document["problems"][0]["pointer"] == "ledger"


def test_the_demo_wants_a_folder() -> None:
    refused = call("demo", "--root", f"s3://{BUCKET}/demo", "--json")
    assert (refused.status, refused.document["code"]) == (10, "PARAMETER_INVALID")


def test_inputs_in_memory_and_in_files_need_no_place_in_the_bucket(
    s3: Server, connect: Open, tmp_path: Path
) -> None:
    factory = connect(s3)
    in_memory = build(factory)
    file = tmp_path / "events.parquet"
    from pyarrow import parquet  # noqa: PLC0415

    parquet.write_table(arrow(events()), file)
    assert build(factory, events=[file]).id == in_memory.id
