"""The demo: the same ids in any root and on any threads, an honest gate, features equal to the builder's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import model_factory as mf
from model_factory.demo import sources
from tests.cli.payments import Called, call

KEYS = {
    "train_run_id",
    "dataset_manifest_id",
    "model_digest",
    "eval_report_digest",
    "gate",
    "bundle_id",
    "bundle_version",
    "metrics",
    "seconds",
}
Done = tuple[Path, Called]

OF_THE_PLACE = ("seconds", "root", "report")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("demo")
    root = folder / "one"
    return root, call("demo", "--json", "--threads", 1, "--root", root)


def test_json_is_one_object_with_everything_in_it(done: Done) -> None:
    root, called = done
    assert (called.status, called.err) == (0, "")
    document = called.document
    assert document.keys() >= KEYS
    assert document["gate"] == "PASS"
    assert {"resolve", "guard", "train", "evaluate", "dataset", "total"} <= document["seconds"].keys()
    assert document["metrics"]["average_precision"] > document["baseline"]["metrics"]["average_precision"]
    assert document["root"] == str(root)


def test_threads_and_folder_change_no_id_and_no_metric(done: Done, tmp_path: Path) -> None:
    first = done[1].document
    other = call("demo", "--json", "--threads", 2, "--root", tmp_path / "another name").document
    for name in OF_THE_PLACE:
        first.pop(name), other.pop(name)
    assert first == other


def test_again_in_the_same_root_it_is_the_same_run_and_one_promotion(done: Done) -> None:
    root, called = done
    again = call("demo", "--json", "--threads", 1, "--root", root).document
    same = [
        {name: each[name] for name in each if name not in OF_THE_PLACE} for each in (again, called.document)
    ]
    assert same[0] == same[1]
    factory = mf.open(root, progress=False)
    kinds = [event["kind"] for event in factory.registry.history("demo/card/primary")]
    assert len([kind for kind in kinds if "PROMOTE" in kind.upper()]) == 1
    assert factory.fsck()["findings"] == []


def test_in_words_it_says_each_step_and_where_to_look(done: Done) -> None:
    root, called = done
    told = call("demo", "--root", root)
    assert told.status == 0
    for word in ("payments", "dataset", "baseline", "gate PASS", "ACTIVE", "today", "verify", "report.html"):
        assert word in told.out
    assert f"model-factory show {called.document['train_run_id']} --root {root}" in told.out


def test_the_page_shows_the_run_and_needs_nothing_from_outside(done: Done) -> None:
    root, called = done
    page = (root / "report.html").read_text(encoding="utf-8")
    assert called.document["train_run_id"] in page
    assert called.document["dataset_manifest_id"] in page
    assert page.count("<svg") >= 5
    assert "src=" not in page
    assert "http" not in page


@pytest.mark.parametrize("seed", [2, 3, 4, 5])
def test_the_gate_passes_on_other_seeds_and_not_the_baseline(seed: int, tmp_path: Path) -> None:
    document = call("demo", "--json", "--seed", seed, "--root", tmp_path / "root").document
    assert (document["gate"], document["baseline"]["gate"]) == ("PASS", "FAIL")


def test_without_the_file_of_the_handbook_it_says_so(tmp_path: Path) -> None:
    called = call("demo", "--data", tmp_path, "--root", tmp_path / "root", "--json")
    assert (called.status, called.document["code"]) == (10, "SOURCE_UNREADABLE")
    assert "transactions.parquet" in called.document["detail"]
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("seed", ["-1", str(1 << 64)])
def test_a_seed_that_is_none_is_refused(tmp_path: Path, seed: str) -> None:
    called = call("demo", "--seed", seed, "--root", tmp_path / "root", "--json")
    assert (called.status, called.document["code"]) == (10, "PARAMETER_INVALID")
    assert called.document["problems"][0]["pointer"] == "seed"


def test_without_pyarrow_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "transactions.parquet").touch()
    called = call("demo", "--data", tmp_path, "--root", tmp_path / "root", "--json")
    assert called.status == 10
    assert "model-factory[pyarrow]" in json.dumps(called.document)


@pytest.mark.parametrize("path", sorted(sources.FILES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_examples_are_valid_to_every_verb_that_takes_one(path: Path, tmp_path: Path) -> None:
    kind = "governance_profile" if path.stem.endswith("governance") else "training_config"
    valid = call("validate", kind, path, "--json")
    stored = call("store", kind, path, "--root", tmp_path, "--json")
    assert (valid.status, stored.status) == (0, 0), valid.out + stored.out
    text = (tmp_path / "objects" / stored.document["reference"]["uri"]).read_bytes()
    assert mf.documents.canonical(kind, path) == text
