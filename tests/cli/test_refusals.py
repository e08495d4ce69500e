"""Exit statuses by category: in words on standard error, or as an ErrorResponse on standard output."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

import model_factory as mf
from model_factory import cli
from model_factory.cli import runs
from tests.cli.payments import CONFIG, SCOPE, Place, call, features

ACT = ("--actor", "alice", "--reason", "test")
NO_RUN = "tr_" + "0" * 32
NO_BUNDLE = "mb_" + "0" * 32
OF_DATA = {
    "label": {"family": "card_fraud"},
    "feature_definition_set": {"feature_set_id": "cards", "feature_set_version": "1"},
}


def refused(status: int, code: str, *arguments: object) -> dict[str, Any]:
    """Call twice: in words and as JSON; both must refuse alike."""
    words = call(*arguments)
    assert (words.status, words.out) == (status, ""), words
    assert f"/{code}: " in words.err
    document = call(*arguments, "--json")
    assert (document.status, document.err) == (status, ""), document
    mf.documents.validate("error_response", document.out)
    assert document.document["code"] == code
    return document.document


def test_10_input_admission(built: Place, tmp_path: Path) -> None:
    refused(10, "PARAMETER_INVALID", "schema", "oracle")
    refused(10, "SOURCE_UNREADABLE", "validate", "training_config", tmp_path / "none.toml")
    refused(10, "SOURCE_UNREADABLE", "runs", "--root", tmp_path / "nowhere")
    request = tmp_path / "request.json"
    request.write_text("{}", encoding="utf-8")
    refused(10, "REQUEST_INVALID", "submit", request, "--root", built.root)
    request.write_text("[1]", encoding="utf-8")
    refused(10, "REQUEST_INVALID", "submit", request, "--root", built.root)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("deep", [65, 5_000, 200_000])
@pytest.mark.parametrize("ending", [".json", ".toml"])
def test_a_file_of_any_depth_is_refused_by_every_verb_that_reads_one(
    built: Place, tmp_path: Path, deep: int, ending: str
) -> None:
    file = tmp_path / f"deep{ending}"
    nested = "[" * deep + "]" * deep
    file.write_text(f"a = {nested}" if ending == ".toml" else f'{{"a": {nested}}}', encoding="utf-8")
    where = ("--root", tmp_path / "root")
    files = ("--events", built.folder / "events.parquet", "--labels", built.folder / "labels.parquet")
    refused(10, "REQUEST_INVALID", "submit", file, *where)
    refused(11, "TRAINING_CONFIG_INVALID", "store", "training_config", file, *where)
    refused(11, "TRAINING_CONFIG_INVALID", "validate", "training_config", file)
    refused(10, "DOCUMENT_INVALID", "dataset", "build", file, *files, *where)
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("ending", [".json", ".toml"])
def test_a_file_of_any_length_is_refused_by_every_verb_that_reads_one(
    built: Place, tmp_path: Path, ending: str
) -> None:
    file = tmp_path / f"endless{ending}"
    file.touch()
    # Of zeros alone, which take no room on the disk and more memory than there is.
    os.truncate(file, 1 << 40)
    where = ("--root", tmp_path / "root")
    files = ("--events", built.folder / "events.parquet", "--labels", built.folder / "labels.parquet")
    for status, code, *verb in (
        (10, "REQUEST_INVALID", "submit", file, *where),
        (10, "REQUEST_INVALID", "post", file, *where),
        (11, "TRAINING_CONFIG_INVALID", "store", "training_config", file, *where),
        (11, "GOVERNANCE_PROFILE_INVALID", "validate", "governance_profile", file),
        (10, "DOCUMENT_INVALID", "dataset", "build", file, *files, *where),
    ):
        found = refused(status, code, *verb)
        assert found["detail"] == "a document has at most 16777216 bytes, and this has more"
    assert not (tmp_path / "root").exists()
    file.write_bytes(b" " * (1 << 24))
    assert "at most" not in refused(10, "REQUEST_INVALID", "submit", file, *where)["detail"]


@pytest.mark.parametrize(("ending", "text"), [(".json", '{"a":\n1,\n}'), (".toml", "a = 1\n\nb = ")])
def test_what_is_not_well_formed_is_named_by_its_line(tmp_path: Path, ending: str, text: str) -> None:
    file = tmp_path / f"wrong{ending}"
    file.write_text(text, encoding="utf-8")
    where = ("--root", tmp_path / "root")
    for status, code, *verb in (
        (10, "REQUEST_INVALID", "submit", file, *where),
        (11, "TRAINING_CONFIG_INVALID", "store", "training_config", file, *where),
        (11, "TRAINING_CONFIG_INVALID", "validate", "training_config", file),
        (10, "DOCUMENT_INVALID", "dataset", "build", file, "--events", file, "--labels", file, *where),
    ):
        assert "at line 3" in refused(status, str(code), *verb)["detail"]


def test_a_file_that_cannot_be_read_is_named_without_talk_of_parquet(tmp_path: Path) -> None:
    for verb in (("validate", "training_config"), ("store", "governance_profile"), ("submit",)):
        where = () if verb[0] == "validate" else ("--root", tmp_path / "root")
        for path in (tmp_path / "none.toml", tmp_path):
            document = refused(10, "SOURCE_UNREADABLE", *verb, path, *where)
            assert "Parquet" not in document["hint"]
            argument = "REQUEST" if verb[0] == "submit" else "FILE"
            found = "a folder" if path == tmp_path else "nothing there"
            assert document["detail"] == f"{argument} should be a file that can be read, found {found}"
    missing = refused(10, "SOURCE_UNREADABLE", "runs", "--root", tmp_path / "nowhere")
    assert "Name the root" in missing["hint"]


def test_native_dates_are_the_texts_that_they_stand_for(built: Place, tmp_path: Path) -> None:
    spec = tmp_path / "spec.toml"
    text = (built.folder / "spec.toml").read_text(encoding="utf-8")
    spec.write_text(text.replace('"2024-03-01T00:00:00Z"', "2024-03-01 00:00:00Z"), encoding="utf-8")
    files = ("--events", built.folder / "events.parquet", "--labels", built.folder / "labels.parquet")
    called = call("dataset", "build", spec, *files, "--root", tmp_path / "root", "--json")
    assert called.status == 0, called.out
    assert called.document["dataset_manifest_id"] == built.dataset["dataset_manifest_id"]


def test_scoring_without_pyarrow_names_it(
    serving: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    document = refused(
        10, "SOURCE_UNREADABLE", "score", SCOPE, tmp_path / "a.parquet", "--root", serving.root
    )
    assert document["detail"].startswith("pyarrow should be installed")


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ('features = [{column = "amount", windw = "7d"}]', "/features/0/windw"),
        ('features = [{window = "7d", entity = "customer", aggregate = "mode"}]', "/features/0/aggregate"),
        ("features = [3]", "/features/0"),
        ("features = 3", "/features"),
        ("oracle = true", "/oracle"),
    ],
)
def test_10_a_wrong_place_in_a_dataset_s_request_is_named(
    built: Place, tmp_path: Path, wrong: str, pointer: str
) -> None:
    spec = tmp_path / "spec.toml"
    head = (built.folder / "spec.toml").read_text(encoding="utf-8").split("features =")[0]
    spec.write_text(f"{head}\n{wrong}\n", encoding="utf-8")
    files = ("--events", built.folder / "events.parquet", "--labels", built.folder / "labels.parquet")
    document = refused(10, "PARAMETER_INVALID", "dataset", "build", spec, *files, "--root", tmp_path / "root")
    assert document["problems"][0]["pointer"] == pointer
    assert not (tmp_path / "root").exists()


def test_11_resolution(built: Place, tmp_path: Path) -> None:
    request = {**built.train(publish=False).request, "request_id": "unresolved-1"}
    request["training_config"] = {**request["training_config"], "digest": "sha256:" + "0" * 64}
    file = tmp_path / "request.json"
    file.write_text(json.dumps(request), encoding="utf-8")
    refused(11, "TRAINING_CONFIG_DIGEST_MISMATCH", "submit", file, "--root", built.root)


def test_12_leakage(built: Place, tmp_path: Path) -> None:
    spec = tmp_path / "spec.toml"
    text = (built.folder / "spec.toml").read_text(encoding="utf-8").replace("2024-03-01", "2200-01-01")
    spec.write_text(text, encoding="utf-8")
    files = ("--events", built.folder / "events.parquet", "--labels", built.folder / "labels.parquet")
    refused(12, "LABEL_ASOF_IN_FUTURE", "dataset", "build", spec, *files, "--root", tmp_path / "root")


def test_13_evidence(place: Place) -> None:
    run = place.train()
    reference = run.evidence["model"]
    assert reference is not None
    model = place.root / "objects" / reference["uri"]
    model.chmod(0o600)
    *before, last = model.read_bytes()
    model.write_bytes(bytes([*before, last ^ 1]))
    document = refused(13, "EVIDENCE_DIGEST_MISMATCH", "verify", run.bundle_id, "--root", place.root)
    assert document["category"] == "EVIDENCE"
    checkup = call("fsck", "--json", "--root", place.root)
    assert checkup.status == 13
    assert checkup.document["findings"]


def test_15_execution(built: Place) -> None:
    refused(15, "RUN_NOT_FOUND", "show", NO_RUN, "--root", built.root)


def test_16_publish(built: Place) -> None:
    run = built.train(publish=False)
    refused(16, "RETRY_NOT_PENDING", "publish-retry", run.id, "--root", built.root)
    allow = ("allow-retries", run.id, "--reason", "mended", "--actor", "bob")
    refused(16, "RETRY_NOT_PENDING", *allow, "--root", built.root)


def test_17_registry(built: Place, tmp_path: Path) -> None:
    refused(17, "BUNDLE_NOT_FOUND", "promote", NO_BUNDLE, *ACT, "--root", built.root)
    file = tmp_path / "features.parquet"
    parquet.write_table(pa.table(features()), file)
    refused(17, "NO_ACTIVE_BUNDLE", "score", "test/card/empty", file, "--root", built.root)
    closed = call("resolve", "test/card/empty", "--json", "--root", built.root)
    assert (closed.status, closed.document["outcome"]) == (17, "FAIL_CLOSED")


def test_2_usage() -> None:
    for wrong in ([], ["oracle"], ["show"], ["promote", NO_BUNDLE], ["cancel", "tr_1"]):
        called = call(*wrong)
        assert (called.status, called.out) == (2, "")
        assert called.err.startswith("usage: ")


def test_1_what_nobody_expected_is_said_in_full_and_as_a_document(
    built: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_run: object) -> None:
        message = "a defect"
        raise RuntimeError(message)

    monkeypatch.setattr(runs, "_brief", broken)
    built.train(publish=False)
    called = call("runs", "--json", "--root", built.root)
    assert called.status == 1
    assert called.document["code"] == "INTERNAL_ERROR"
    assert called.document["detail"] == "the command should be free of defects, found RuntimeError"
    assert "RuntimeError: a defect" in called.err


def test_130_interrupted(built: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_run: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "_brief", interrupted)
    built.train(publish=False)
    called = call("runs", "--root", built.root)
    assert (called.status, called.out, called.err) == (130, "", "\ninterrupted\n")
    told = call("runs", "--json", "--root", built.root)
    assert (told.status, told.err) == (130, "")
    mf.documents.validate("error_response", told.out)
    assert told.document["code"] == "INTERRUPTED"


@pytest.mark.parametrize("module", ["numpy", "model_factory.cli.runs"])
def test_130_interrupted_while_it_is_loaded(module: str) -> None:
    script = f"""
import sys

class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
from model_factory.cli import main
sys.exit(main(["schema"]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_failure_never_shows_a_value(built: Place, tmp_path: Path) -> None:
    file = tmp_path / "events.parquet"
    table = parquet.read_table(built.folder / "events.parquet")
    amounts = pa.array(["secret-value"] * table.num_rows)
    parquet.write_table(table.set_column(table.column_names.index("amount"), "amount", amounts), file)
    labels = ("--labels", built.folder / "labels.parquet", "--root", tmp_path / "root")
    called = call("dataset", "build", built.folder / "spec.toml", "--events", file, *labels)
    assert called.status == 10
    assert "secret" not in called.err


def test_the_program_is_the_package_s() -> None:
    assert callable(cli.main)
    assert SCOPE.count("/") == 2


def test_14_immutability(place: Place) -> None:
    objects = place.root / "objects"
    partition = objects / place.opened_dataset().manifest["partitions"][0]["uri"]
    partition.chmod(0o600)
    partition.write_bytes(b"other bytes")
    files = ("--events", place.folder / "events.parquet", "--labels", place.folder / "labels.parquet")
    spec = place.folder / "spec.toml"
    refused(14, "PARTITION_IMMUTABILITY_VIOLATION", "dataset", "build", spec, *files, "--root", place.root)
    assert partition.read_bytes() == b"other bytes"


def test_a_list_of_no_run_is_refused(place: Place) -> None:
    for limit in ("0", "-1", str(1 << 32)):
        assert call("runs", "--limit", limit, "--root", place.root, "--json").status == 10


def test_2_usage_is_a_document_too() -> None:
    called = call("runs", "--limt", "3", "--json")
    assert called.status == 2
    assert called.err.startswith("usage: ")
    assert called.document["code"] == "PARAMETER_INVALID"
    assert "--limt" in called.document["detail"]
    assert len(called.out.splitlines()) == 1


@pytest.mark.parametrize("name", ["events.txt", "events", "./features.parquet"])
def test_scores_do_not_replace_what_is_read(serving: Place, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "scores"
    folder.mkdir()
    source = folder / "features.parquet"
    parquet.write_table(pa.table(features()), source)
    before = source.read_bytes()
    out = folder / name
    refused(10, "PARAMETER_INVALID", "score", SCOPE, source, "--out", out, "--root", serving.root)
    assert source.read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["features.parquet"]


def test_1_an_answer_that_cannot_be_written() -> None:
    program = [sys.executable, "-m", "model_factory.cli", "schema", "bundle"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "model-factory: the answer cannot be written: No space left on device\n"


def run_unread(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    """Run the program with a reader that is gone; give its status and what it said of that."""
    program = [sys.executable, "-m", "model_factory.cli", *arguments]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(program, stdout=write, stderr=subprocess.PIPE, text=True, check=False, cwd=tmp_path)
    os.close(write)
    return done.returncode, done.stderr


def test_141_a_reader_that_is_gone_ends_every_verb_in_silence(built: Place, tmp_path: Path) -> None:
    root = ("--root", str(built.root))
    for verb in (("schema",), ("--help",), ("work", "--help"), ("runs", *root), ("demo",)):
        assert run_unread(tmp_path, *verb) == (141, ""), verb
    # What went wrong says more.
    assert run_unread(tmp_path, "schema", "oracle", "--json") == (10, "")


def test_1_an_answer_without_standard_output() -> None:
    program = [sys.executable, "-m", "model_factory.cli", "schema", "bundle"]
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", *program]
    done = subprocess.run(closed, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "model-factory: the answer cannot be written: Bad file descriptor\n"


def test_a_reader_s_key_folder_verifies_and_does_not_act(serving: Place, tmp_path: Path) -> None:
    reader = tmp_path / "reader"
    (reader / "trusted").mkdir(parents=True)
    public = (serving.root / "keys" / "signing.pub.pem").read_bytes()
    (reader / "trusted" / "factory.pem").write_bytes(public)
    where = ("--root", serving.root, "--keys", reader)
    resolved = call("resolve", SCOPE, *where, "--json")
    assert resolved.status == 0
    bundle = resolved.document["bundle_id"]
    assert call("verify", bundle, *where).status == 0
    refused(13, "SIGNING_KEY_UNAVAILABLE", "retire", bundle, *ACT, *where)
    refused(13, "SIGNING_KEY_UNAVAILABLE", "work", "--once", *where)


def test_the_keys_of_another_factory_sign_nothing(serving: Place, tmp_path: Path) -> None:
    bundle = call("resolve", SCOPE, "--root", serving.root, "--json").document["bundle_id"]
    submit = ("submit", tmp_path / "request.json")
    request = mf.open(serving.root).runs(limit=1)[0].request
    submit[1].write_text(json.dumps(dict(request)), encoding="utf-8")
    mf.open(tmp_path / "other")
    # Not there, empty, and another factory's; a factory that is there gets no second key, whoever asks.
    (tmp_path / "empty").mkdir()
    for keys in (tmp_path / "mistyped", tmp_path / "empty", tmp_path / "other" / "keys"):
        stranger = ("--root", serving.root, "--keys", keys)
        for verb in (("runs",), ("verify", bundle), ("work", "--once"), ("work",), submit):
            refused(13, "SIGNING_KEY_UNAVAILABLE", *verb, *stranger)
    assert not (tmp_path / "mistyped").exists()
    assert not list((tmp_path / "empty").iterdir())


def test_a_copy_that_cannot_be_written_to_can_be_read(serving: Place, tmp_path: Path) -> None:
    """As an auditor's medium, or a folder of another user's: also by root, who here gives up that right."""
    root = tmp_path / "copy"
    shutil.copytree(serving.root, root)
    bundle = call("resolve", SCOPE, "--root", root, "--json").document["bundle_id"]
    run = call("runs", "--root", root, "--json").document["runs"][0]["train_run_id"]
    for each in [*root.rglob("*"), root]:
        each.chmod(0o555 if each.is_dir() else 0o444)
    try:
        for verb in (("runs",), ("show", run), ("resolve", SCOPE), ("verify", bundle), ("fsck",)):
            assert reading(*verb, "--root", root).returncode == 0
        refused = reading("retire", bundle, *ACT, "--root", root)
        assert refused.returncode == 15, refused.stdout
        assert json.loads(refused.stdout)["code"] == "STORE_UNAVAILABLE"
        refused = reading("cancel", run, *ACT, "--root", root)
        assert "can only be read here" in json.loads(refused.stdout)["detail"], refused.stdout
        # Waiting does not mend it: a worker says so once, and ends.
        worker = reading("work", "--root", root)
        assert (worker.returncode, len(worker.stdout.splitlines())) == (15, 1), worker.stdout
        told = json.loads(worker.stdout)
        assert (told["code"], told["retryable"]) == ("LEDGER_UNAVAILABLE", False)
    finally:
        for each in [root, *root.rglob("*")]:
            each.chmod(0o755 if each.is_dir() else 0o644)


def reading(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Call as somebody whom modes bind."""
    command = [sys.executable, "-m", "model_factory.cli", *map(str, arguments), "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=_bound_by_modes)


def _bound_by_modes() -> None:
    # PR_CAPBSET_DROP of CAP_DAC_OVERRIDE, which only root has to give up.
    if os.geteuid() == 0:
        assert ctypes.CDLL(None).prctl(24, 1, 0, 0, 0) == 0


def test_a_file_that_is_no_folder_of_keys_is_told_as_such(built: Place, tmp_path: Path) -> None:
    file = tmp_path / "signing.pem"
    file.touch()
    for verb in (("runs",), ("work",), ("submit", file)):
        if verb[0] == "submit":
            file.write_text("{}", encoding="utf-8")
        document = refused(10, "PARAMETER_INVALID", *verb, "--root", built.root, "--keys", file)
        assert document["detail"] == "keys should be the folder that holds the keys, found a file"


def test_an_integer_that_is_too_large_is_named_by_its_place(tmp_path: Path) -> None:
    for name, text in (("a.json", '{"a":\n[1, 9007199254740993]}'), ("a.toml", "a = [1, 9007199254740993]")):
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        document = refused(11, "TRAINING_CONFIG_INVALID", "validate", "training_config", file)
        assert document["problems"][0]["pointer"] == "/a/1"
        assert "9007199254740993" not in str(document)


def test_an_argument_that_is_no_utf_8_is_refused_by_its_name(built: Place) -> None:
    where = ("--root", built.root)
    for pointer, verb in {
        "run_id": ("show", "secret\udcff"),
        "scope": ("resolve", "secret\udcff"),
        "state": ("runs", "--state", "secret\udcff"),
        "reason": ("rollback", SCOPE, "--actor", "alice", "--reason", "secret\udcff"),
        "actor": ("rollback", SCOPE, "--actor", "secret\udcff", "--reason", "x"),
        "bundle": ("verify", "secret\udcff"),
        "name": ("store", "secret\udcff", "file.json"),
    }.items():
        document = refused(10, "PARAMETER_INVALID", *verb, *where)
        assert document["problems"][0]["pointer"] == pointer
        assert "secret" not in str(document)


def test_paths_and_words_that_are_no_utf_8_can_be_told_of(tmp_path: Path) -> None:
    """In a process of its own, whose arguments are bytes and whose output takes characters alone."""
    path = os.fsencode(tmp_path) + b"/config\xff.json"
    Path(os.fsdecode(path)).write_text(json.dumps(CONFIG | OF_DATA), encoding="utf-8")
    command = [sys.executable, "-m", "model_factory.cli"]
    valid = subprocess.run(
        [*command, "validate", "training_config", path], capture_output=True, text=True, check=False
    )
    assert (valid.returncode, valid.stderr) == (0, "")
    assert valid.stdout.endswith("/config\\udcff.json: a valid training_config\n")
    misused = subprocess.run([*command, b"\xff", "--json"], capture_output=True, text=True, check=False)
    assert misused.returncode == 2
    assert json.loads(misused.stdout)["code"] == "PARAMETER_INVALID"
