"""Half of a surrogate pair is no character: refused by name wherever text is taken, and never shown."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import model_factory as mf
from model_factory import _shown, documents
from model_factory import features as define
from model_factory import labels as timeline
from tests.bench import SCOPE, build, config, events, governance, labels, opened

HALF = "secret\ud800"

ARGUMENTS: dict[str, tuple[str, Callable[[mf.Factory], object]]] = {
    "run": ("run_id", lambda factory: factory.run(HALF)),
    "work": ("run_id", lambda factory: factory.work(HALF)),
    "runs": ("state", lambda factory: factory.runs(HALF)),
    "publish_retry": ("run_id", lambda factory: factory.publish_retry(HALF)),
    "load": ("bundle", lambda factory: factory.load(HALF)),
    "verify": ("bundle", lambda factory: factory.verify(HALF)),
    "rebuild": ("bundle", lambda factory: factory.rebuild(HALF)),
    "score": ("scope", lambda factory: factory.score(HALF, [[1.0]])),
    "store": ("name", lambda factory: factory.store(HALF, {})),
    "post": ("name", lambda factory: factory.post({"request_id": "a-request"}, name=HALF)),
    "find": ("bundle", lambda factory: factory.registry.find(HALF)),
    "history": ("scope", lambda factory: factory.registry.history(HALF)),
    "resolve": ("scope", lambda factory: factory.registry.resolve(HALF)),
    "resolve, fallback": ("bundle", lambda factory: factory.registry.resolve(SCOPE, fallback=HALF)),
    "resolve, available": (
        "available/1",
        lambda factory: factory.registry.resolve(SCOPE, available=["a", HALF]),
    ),
    "rollback": ("scope", lambda factory: factory.registry.rollback(HALF, reason="x")),
    "rollback, reason": ("reason", lambda factory: factory.registry.rollback(SCOPE, reason=HALF)),
    "rollback, actor": ("actor", lambda factory: factory.registry.rollback(SCOPE, reason="x", actor=HALF)),
    "datasets.open": ("uri", lambda factory: factory.datasets.open(HALF, "sha256:0")),
    "datasets.open, digest": ("digest", lambda factory: factory.datasets.open("a/b", HALF)),
    "build, family": ("/labels/family", lambda factory: build(factory, label_family=HALF)),
    "build, slices": ("slices/0", lambda factory: build(factory, slices=[HALF])),
    "build, set": ("feature_set/1", lambda factory: build(factory, feature_set=("cards", HALF))),
    "build, label columns": (
        "label_columns/0",
        lambda factory: build(factory, label_columns=(HALF, "fraud", "effective_time", "observed_time")),
    ),
    "build, cut": ("label_asof", lambda factory: build(factory, label_asof=HALF)),
    "build, feature": (
        "/features/0/name",
        lambda factory: build(factory, features=[mf.weekend(HALF)]),
    ),
    "build, privacy": ("/privacy_classes", lambda factory: build(factory, privacy_classes={HALF: "none"})),
    "build, files": ("events", lambda factory: build(factory, events=HALF)),
    "build, several files": ("labels/1", lambda factory: build(factory, labels=["a.parquet", HALF])),
    "open, root": ("root", lambda _: mf.open(HALF)),
    "open, ledger": ("ledger", lambda _: mf.open("nowhere", ledger=HALF)),
    "open, keys": ("keys", lambda _: mf.open("nowhere", keys=HALF)),
    "open, principal": ("principal", lambda _: mf.open("nowhere", principal=HALF)),
    "open, platform run": ("platform_run_id", lambda _: mf.open("nowhere", platform_run_id=HALF)),
    "worker, platform run": ("platform_run_id", lambda _: mf.Worker.at("nowhere", platform_run_id=HALF)),
    "schema": ("name", lambda _: documents.schema(HALF)),
    "validate": ("name", lambda _: documents.validate(HALF, {})),
    "validate, path": ("document", lambda _: documents.validate("bundle", Path(HALF))),
    "fit": (
        "class_weight",
        lambda _: mf.LogisticRegression().set_params(class_weight=HALF).fit([[0.0], [1.0]], [0, 1]),
    ),
}

DOCUMENTS: dict[str, tuple[str, str, Callable[[mf.Factory], object]]] = {
    "config": (
        "TRAINING_CONFIG_INVALID",
        "/config_id",
        lambda factory: factory.store("training_config", config(config_id=HALF)),
    ),
    "profile": (
        "GOVERNANCE_PROFILE_INVALID",
        "/roles",
        lambda factory: factory.store("governance_profile", governance(roles={HALF: "anyone"})),
    ),
    "request": ("REQUEST_INVALID", "/request_id", lambda factory: factory.submit({"request_id": HALF})),
    "any": ("DOCUMENT_INVALID", "/a/0", lambda _: documents.validate("bundle", {"a": [HALF]})),
}


def ids(values: Any) -> dict[str, Any]:
    return events() | {"event_id": np.asarray(values)}


def texts(value: Any = HALF) -> list[Any]:
    """A column of texts, in the third row of which stands another."""
    given: list[Any] = [f"e{number}" for number in range(len(events()["event_id"]))]
    given[3] = value
    return given


COLUMNS: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "array of texts": ("events/event_id", lambda: {"events": ids(texts())}),
    "array of objects": ("events/event_id", lambda: {"events": ids(np.array(texts(), object))}),
    "masked array": (
        "events/event_id",
        lambda: {"events": events() | {"event_id": np.ma.masked_array(texts(), False)}},
    ),
    "entities": ("events/customer", lambda: {"events": events() | {"customer": np.array(texts(), object)}}),
    "numbers": ("events/amount", lambda: {"events": events() | {"amount": np.array(texts(), object)}}),
    "labels": ("labels/event_id", lambda: {"labels": labels() | {"event_id": np.array(texts(), object)}}),
    "pandas": (
        "events/event_id",
        lambda: {"events": pd.DataFrame(events()).assign(event_id=pd.Series(texts(), dtype=object))},
    ),
}


def refused(code: str, place: str, call: Callable[[], object]) -> mf.errors.ModelFactoryError:
    with pytest.raises(mf.errors.ModelFactoryError) as caught:
        call()
    assert caught.value.code == code
    assert caught.value.problems[0]["pointer"] == place
    assert "half of a surrogate pair" in caught.value.problems[0]["found"]
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


@pytest.mark.parametrize(("place", "call"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_an_argument_is_named(place: str, call: Callable[[mf.Factory], object], tmp_path: Path) -> None:
    refused("PARAMETER_INVALID", place, lambda: call(opened(tmp_path)))


@pytest.mark.parametrize(("code", "place", "call"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_place_in_a_document_is_named(
    code: str, place: str, call: Callable[[mf.Factory], object], tmp_path: Path
) -> None:
    refused(code, place, lambda: call(opened(tmp_path)))


@pytest.mark.parametrize("installed", [True, False], ids=["with pyarrow", "without"])
@pytest.mark.parametrize(("place", "how"), COLUMNS.values(), ids=COLUMNS)
def test_a_row_of_a_column_is_named(
    place: str,
    how: Callable[[], dict[str, Any]],
    *,
    installed: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = how()
    if not installed:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
    failure = refused("COLUMN_TYPE_INVALID", place, lambda: build(opened(tmp_path), **given))
    assert failure.problems[0]["found"].endswith("in row 3, counted from 0")


def test_tables_in_memory_are_looked_at_alike() -> None:
    computed = [define.window("customer", "1d").count()]
    strange = events() | {"customer": np.array(texts(), object)}
    refused(
        "COLUMN_TYPE_INVALID",
        "events/customer",
        lambda: define.compute(strange, computed, event_time="time", naive_times_are_utc=True),
    )
    how: dict[str, Any] = {"key": "customer", "event_time": "time", "effective_time": "time"}
    refused(
        "COLUMN_TYPE_INVALID",
        "facts/customer",
        lambda: timeline.asof_join(
            events() | {"customer": np.array(texts("x"), object)}, strange, observed_time="time", **how
        ),
    )


def test_a_path_that_is_no_utf_8_is_a_path(tmp_path: Path) -> None:
    root = tmp_path / "root\udcff"
    factory = mf.open(root, principal="alice")
    assert factory.fsck()["findings"] == []
    file = tmp_path / "request\udcff.json"
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(mf.errors.InputAdmissionError) as caught:
        factory.submit(file)
    assert caught.value.code == "REQUEST_INVALID"


@pytest.mark.parametrize("given", [[1, 2.5], [True, 1], [1, "a"], [pd.Timestamp(0), 1]])
def test_objects_are_told_as_what_they_are(given: list[Any]) -> None:
    values = np.empty(len(given), object)
    values[:] = given
    columns = {"day": np.array(["2024-01-01", "2024-01-02"], "datetime64[ns]"), "amount": values}
    with pytest.raises(mf.errors.InputAdmissionError) as caught:
        define.compute(columns, [mf.column("amount")], event_time="day", naive_times_are_utc=True)
    problem = caught.value.problems[0]
    assert (caught.value.code, problem["pointer"]) == ("COLUMN_TYPE_INVALID", "events/amount")
    assert problem["found"].startswith("objects, among them of type ")
    assert problem["expected"].startswith("numbers")
    assert "astype" in caught.value.hint


def test_what_is_refused_in_a_reason_is_escaped_where_an_old_record_holds_it(tmp_path: Path) -> None:
    factory = opened(tmp_path)
    steering = [chr(each) for each in range(0x10000) if _shown.line(chr(each)) != chr(each)]
    halves = [each for each in steering if 0xD800 <= ord(each) <= 0xDFFF]
    # The core's own test counts as many.
    assert len(steering) - len(halves) == 65 + 2 + 5 + 4
    assert len(halves) == 0x800
    for each in sorted(set(steering) - set(halves)):
        with pytest.raises(mf.errors.InputAdmissionError) as caught:
            factory.registry.rollback(SCOPE, actor="alice", reason=f"why{each}")
        assert caught.value.problems[0] == {
            "pointer": "reason",
            "expected": "1 to 2,000 characters of one line, without control characters",
            "found": "a control character at place 4",
        }
        assert each not in str(caught.value).replace("\n", "")
    assert _shown.line("a\x1b[2Jb\n") == "a\\u001b[2Jb\\u000a"
    assert _shown.lines("a\x00\nb") == "a\\u0000\nb"


def test_texts_in_arrow_that_are_no_utf_8_are_refused(tmp_path: Path) -> None:
    count = len(events()["event_id"])
    whole = pa.array(texts("xx"), pa.string())
    buffers = whole.buffers()
    broken = bytearray(buffers[2].to_pybytes())
    # The second row's first byte, behind "e0".
    broken[2] = 0xFF
    column = pa.Array.from_buffers(pa.string(), count, [None, buffers[1], pa.py_buffer(bytes(broken))])
    table = pa.table(dict(events()) | {"event_id": column})
    ids = np.array([f"e{number}" for number in range(len(labels()["event_id"]))], object)
    with pytest.raises(mf.errors.ModelFactoryError) as caught:
        build(opened(tmp_path), events=table, labels=labels() | {"event_id": ids})
    assert caught.value.code == "COLUMN_TYPE_INVALID"
    found = "another in row 1, counted from 0"
    assert caught.value.problems == [
        {"pointer": "events/event_id", "expected": "text in UTF-8", "found": found}
    ]
