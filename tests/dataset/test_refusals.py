"""Rows that cannot be taken: a typed error that names table and column, and nothing in the store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import model_factory as mf
from tests.bench import arrow, build, day, events, features, labels, objects, opened

Change = Callable[[], dict[str, Any]]


def rows() -> int:
    return len(events()["event_id"])


def one(values: Any, value: Any) -> Any:
    """A copy whose third value is another."""
    values = values.copy()
    values[3] = value
    return values


def less(columns: dict[str, Any], name: str) -> dict[str, Any]:
    return {other: values for other, values in columns.items() if other != name}


def objects_with(value: Any) -> Any:
    values = np.asarray(events()["amount"]).astype(object)
    values[3] = value
    return values


def null_in(name: str) -> pa.Table:
    table = arrow(events())
    mask = np.arange(rows()) == 3
    index = table.column_names.index(name)
    column = table.column(name).to_pylist()
    column = [None if missing else value for value, missing in zip(column, mask, strict=True)]
    return table.set_column(index, name, pa.array(column, table.schema.field(name).type))


def uint64(columns: dict[str, Any]) -> Any:
    return one(columns["event_id"].astype(np.uint64), np.uint64(2**63))


REFUSED: dict[str, tuple[str, str, Change]] = {
    "no such column": ("COLUMN_MISSING", "events/amount", lambda: {"events": less(events(), "amount")}),
    "no such column in a table": (
        "COLUMN_MISSING",
        "events/customer",
        lambda: {"events": arrow(events()).drop_columns("customer")},
    ),
    "no such column in pandas": (
        "COLUMN_MISSING",
        "labels/fraud",
        lambda: {"labels": pd.DataFrame(less(labels(), "fraud"))},
    ),
    "text for numbers": (
        "COLUMN_TYPE_INVALID",
        "events/amount",
        lambda: {"events": events() | {"amount": np.full(rows(), "1.0")}},
    ),
    "objects": (
        "COLUMN_TYPE_INVALID",
        "events/amount",
        lambda: {"events": events() | {"amount": objects_with("much")}},
    ),
    "mixed objects in pandas": (
        "COLUMN_TYPE_INVALID",
        "events/amount",
        lambda: {"events": pd.DataFrame(events() | {"amount": objects_with("much")})},
    ),
    "complex numbers": (
        "COLUMN_TYPE_INVALID",
        "events/amount",
        lambda: {"events": events() | {"amount": events()["amount"].astype(complex)}},
    ),
    "fractions for ids": (
        "COLUMN_TYPE_INVALID",
        "events/event_id",
        lambda: {"events": events() | {"event_id": events()["event_id"].astype(float)}},
    ),
    "ids beyond int64": (
        "COLUMN_TYPE_INVALID",
        "events/event_id",
        lambda: {"events": events() | {"event_id": uint64(events())}},
    ),
    "numbers for times": (
        "COLUMN_TYPE_INVALID",
        "events/time",
        lambda: {"events": events() | {"time": events()["time"].astype(np.int64)}},
    ),
    "times beyond nanoseconds": (
        "COLUMN_TYPE_INVALID",
        "events/time",
        lambda: {"events": events() | {"time": one(events()["time"].astype("datetime64[s]"), "9999-01-01")}},
    ),
    "times of another zone": (
        "COLUMN_TYPE_INVALID",
        "events/time",
        lambda: {
            "events": pl.DataFrame(events()).with_columns(
                pl.col("time").dt.replace_time_zone("Europe/Brussels", ambiguous="earliest")
            )
        },
    ),
    "times without a zone": (
        "COLUMN_TYPE_INVALID",
        "events/time",
        lambda: {"events": pd.DataFrame(events()), "naive_times_are_utc": False},
    ),
    "labels of other values": (
        "COLUMN_TYPE_INVALID",
        "labels/fraud",
        lambda: {"labels": labels() | {"fraud": one(labels()["fraud"].astype(int), 2)}},
    ),
    "label values that are no numbers": (
        "PARAMETER_INVALID",
        "positive_values",
        lambda: {"positive_values": ["fraud"]},
    ),
    "a label value that means both": (
        "PARAMETER_INVALID",
        "/labels/negative_values",
        lambda: {"positive_values": [0, 1]},
    ),
    "no positive value": (
        "PARAMETER_INVALID",
        "/labels/positive_values",
        lambda: {"positive_values": ()},
    ),
    "labels named by text": (
        "COLUMN_TYPE_INVALID",
        "labels/event_id",
        lambda: {"labels": labels() | {"event_id": labels()["event_id"].astype(str)}},
    ),
    "null id": ("NULL_NOT_ALLOWED", "events/event_id", lambda: {"events": null_in("event_id")}),
    "null time": (
        "NULL_NOT_ALLOWED",
        "events/time",
        lambda: {"events": events() | {"time": one(events()["time"], np.datetime64("NaT"))}},
    ),
    "null that a window needs": ("NULL_NOT_ALLOWED", "events/amount", lambda: {"events": null_in("amount")}),
    "null in pandas": (
        "NULL_NOT_ALLOWED",
        "events/amount",
        lambda: {"events": pd.DataFrame(events() | {"amount": one(events()["amount"], np.nan)})},
    ),
    "NaN": (
        "NON_FINITE_INPUT",
        "events/amount",
        lambda: {"events": events() | {"amount": one(events()["amount"], np.nan)}},
    ),
    "infinity": (
        "NON_FINITE_INPUT",
        "events/amount",
        lambda: {"events": pl.DataFrame(events() | {"amount": one(events()["amount"], np.inf)})},
    ),
    "no rows": (
        "DATASET_EMPTY",
        "events",
        lambda: {"events": {name: values[:0] for name, values in events().items()}},
    ),
    "no batches": (
        "DATASET_EMPTY",
        "events",
        lambda: {"events": pa.Table.from_batches([], arrow(events()).schema)},
    ),
    "no batches and no column": (
        "COLUMN_MISSING",
        "events/amount",
        lambda: {"events": pa.Table.from_batches([], arrow(events()).drop_columns("amount").schema)},
    ),
    "an event twice": (
        "DUPLICATE_EVENT",
        "events/event_id",
        lambda: {"events": events() | {"event_id": one(events()["event_id"], events()["event_id"][4])}},
    ),
    "columns of other lengths": (
        "SHAPE_MISMATCH",
        "events/amount",
        lambda: {"events": events() | {"amount": events()["amount"][:-1]}},
    ),
    "a matrix for a column": (
        "SHAPE_MISMATCH",
        "events/amount",
        lambda: {"events": events() | {"amount": np.ones((rows(), 2))}},
    ),
    "no table": ("PARAMETER_INVALID", "events", lambda: {"events": 7}),
    "a lazy query": ("PARAMETER_INVALID", "events", lambda: {"events": pl.DataFrame(events()).lazy()}),
    "no such file": ("SOURCE_UNREADABLE", "events/0", lambda: {"events": "absent.parquet"}),
    "no Parquet": ("SOURCE_UNREADABLE", "labels/0", lambda: {"labels": [__file__]}),
    "a cut to come": (
        "LABEL_ASOF_IN_FUTURE",
        "/labels/label_asof_utc",
        lambda: {"label_asof": "2200-01-01T00:00:00Z"},
    ),
    "no features": ("PARAMETER_INVALID", "/features", lambda: {"features": []}),
    "a window of no length": (
        "PARAMETER_INVALID",
        "/features/0/definition/window",
        lambda: {"features": [mf.window("customer", "0d").count()]},
    ),
    "an hour that is none": (
        "PARAMETER_INVALID",
        "/features/0/definition",
        lambda: {"features": [mf.hours(0, 24)]},
    ),
    "a feature twice": (
        "PARAMETER_INVALID",
        "/features/amount",
        lambda: {"features": [*features(), mf.column("amount")]},
    ),
    "no rows of a partition": ("PARAMETER_INVALID", "/partition_rows", lambda: {"partition_rows": 0}),
}


@pytest.mark.parametrize(("code", "place", "change"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_names_the_place_and_leaves_nothing(
    code: str, place: str, change: Change, tmp_path: Path
) -> None:
    with pytest.raises(mf.errors.ModelFactoryError) as refused:
        build(opened(tmp_path), **change())
    assert refused.value.code == code
    assert place in [problem["pointer"] for problem in refused.value.problems]
    assert refused.value.hint
    assert objects(tmp_path) == []


NO_ARGUMENT: dict[str, tuple[str, dict[str, Any]]] = {
    "naive cut": ("/labels/label_asof_utc", {"label_asof": "2018-08-15T00:00:00"}),
    "naive moment": ("label_asof", {"label_asof": datetime(2018, 8, 15)}),  # noqa: DTZ001
    "no span": (
        "/features/1",
        {"features": [mf.weekend(), mf.window("customer", "a week").count()]},
    ),
    "no name": ("/event_id", {"event_id": ""}),
    "no name of a feature": ("/features/0/name", {"features": [mf.column("amount", name='say "hello,{"é')]}),
    "path for a name": ("/labels/family", {"label_family": "../x"}),
    "no such class": ("/privacy_classes/amount", {"privacy_classes": {"amount": "secret"}}),
    "negative days": ("maturity_days", {"maturity_days": -1}),
    "days that outlast a century": ("maturity_days", {"maturity_days": 36_501}),
    "no slice": ("/slices", {"slices": ["amount", "é"]}),
    "a moment of numpy": ("label_asof", {"label_asof": np.datetime64("2018-08-15T00:00:00")}),
    "no moment": ("label_asof", {"label_asof": 5}),
    "a name of a feature": ("features/0", {"features": ["amount"]}),
    "features as a text": ("features", {"features": "amount"}),
    "features of nothing": ("features", {"features": None}),
    "one entity as a text": ("entities", {"entities": "customer"}),
    "one slice as a text": ("slices", {"slices": "amount"}),
    "an entity that is no name": ("entities/0", {"entities": [5]}),
    "three label columns": ("label_columns", {"label_columns": ("event_id", "fraud", "effective_time")}),
    "a version that is missing": ("feature_set", {"feature_set": ("cards",)}),
    "a feature set as a text": ("feature_set", {"feature_set": "v1"}),
    "one positive value": ("positive_values", {"positive_values": 1}),
    "an object for a name": ("/event_id", {"event_id": object()}),
    "a set of classes": ("/privacy_classes", {"privacy_classes": {"amount"}}),
    "a column as a table": ("events", {"events": pd.Series([1.0], name="amount")}),
    "a column of polars as a table": ("events", {"events": pl.Series("amount", [1.0])}),
    "a column of pandas twice": (
        "events/amount",
        {"events": pd.DataFrame([[1, 2.0, 2.0]], columns=["event_id", "amount", "amount"])},
    ),
}


@pytest.mark.parametrize(("place", "change"), NO_ARGUMENT.values(), ids=NO_ARGUMENT)
def test_an_argument_that_is_none_is_refused(place: str, change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(mf.errors.InputAdmissionError) as refused:
        build(opened(tmp_path), **change)
    assert refused.value.code == "PARAMETER_INVALID"
    assert [problem["pointer"] for problem in refused.value.problems] == [place]
    assert objects(tmp_path) == []


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        ("2263-01-01T00:00:00Z", "a moment from the year 1678 to 2262-04-11, found one outside of it"),
        ("2999-01-01T00:00:00Z", "a moment from the year 1678 to 2262-04-11, found one outside of it"),
        ("2018-08-15T00:00:00+01:00", "2018-08-15T00:00:00Z, found a time with an offset"),
        ("2018-08-15T00:00:00", "2018-08-15T00:00:00Z, found a time without a zone"),
    ],
)
def test_a_cut_is_told_what_is_wrong_with_it(cut: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(mf.errors.InputAdmissionError) as refused:
        build(opened(tmp_path), label_asof=cut)
    assert said in refused.value.detail


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"maturity_days": -1}, "maturity_days should be a whole number, 0 to 36500"),
        ({"partition_rows": -1}, "/partition_rows should be a whole number, 0 to 4294967295"),
        ({"partition_rows": "many"}, "/partition_rows should be a whole number, 0 to 4294967295"),
        ({"features": [mf.hours(-1, 5)]}, "/features/0 should be a whole number, 0 to 255"),
    ],
)
def test_a_number_that_is_none_is_told_in_words(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(mf.errors.InputAdmissionError) as refused:
        build(opened(tmp_path), **change)
    assert said in refused.value.detail
    assert not any(kind in refused.value.detail for kind in ("u8", "u32"))


def test_no_hint_leads_to_the_next_refusal(tmp_path: Path) -> None:
    """A window takes neither NaN nor null of its column: neither is advised against the other."""
    hints = []
    for amount in (events() | {"amount": one(events()["amount"], np.nan)}, null_in("amount")):
        with pytest.raises(mf.ModelFactoryError) as refused:
            build(opened(tmp_path), events=amount)
        hints.append(refused.value.hint)
    assert all("Fill or drop" in hint and "as null" not in hint for hint in hints), hints


@pytest.mark.parametrize("arguments", [("customer", 5), ("customer", "5d", timedelta(days=1))])
def test_a_length_of_time_is_a_text(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(mf.errors.InputAdmissionError) as refused:
        mf.window(*arguments)
    assert refused.value.code == "PARAMETER_INVALID"
    assert '"30d"' in refused.value.detail


@pytest.mark.parametrize("held", [dict, pd.DataFrame])
def test_complex_numbers_are_no_column(held: Callable[[Any], Any], tmp_path: Path) -> None:
    with pytest.raises(mf.errors.InputAdmissionError) as refused:
        build(opened(tmp_path), events=held(events() | {"amount": events()["amount"] * 1j}))
    assert refused.value.code == "COLUMN_TYPE_INVALID"
    assert refused.value.problems[0]["pointer"] == "events/amount"


def test_a_lazy_frame_is_to_be_collected(tmp_path: Path) -> None:
    with pytest.raises(mf.errors.InputAdmissionError) as refused:
        build(opened(tmp_path), events=pl.LazyFrame({"event_id": [1]}))
    assert refused.value.code == "PARAMETER_INVALID"
    assert "collected first" in refused.value.detail


def test_a_cut_may_be_a_moment_of_any_zone(tmp_path: Path) -> None:
    cut = datetime.fromisoformat(day(75).replace("Z", "+00:00"))
    elsewhere = cut.astimezone(timezone(timedelta(hours=2)))
    assert build(opened(tmp_path), label_asof=elsewhere).id == build(opened(tmp_path)).id


def test_no_refusal_shows_a_value(tmp_path: Path) -> None:
    secret = objects_with("sesame")
    for held in (events() | {"amount": secret}, pd.DataFrame(events() | {"amount": secret})):
        with pytest.raises(mf.errors.InputAdmissionError) as refused:
            build(opened(tmp_path), events=held)
        error: BaseException | None = refused.value
        while error is not None:
            assert "sesame" not in str(error)
            error = error.__cause__ or error.__context__


def test_a_producer_that_fails_is_refused_without_its_words(tmp_path: Path) -> None:
    schema = arrow(events()).schema

    def batches() -> Any:
        yield arrow(events()).to_batches()[0]
        raise ValueError("sesame")

    with pytest.raises(mf.errors.InputAdmissionError) as refused:
        build(opened(tmp_path), events=pa.RecordBatchReader.from_batches(schema, batches()))
    assert refused.value.code == "SOURCE_UNREADABLE"
    assert "sesame" not in str(refused.value)
    assert objects(tmp_path) == []


def test_labels_may_be_about_other_events_or_none(tmp_path: Path) -> None:
    none = {name: values[:0] for name, values in labels().items()}
    dataset = build(opened(tmp_path), labels=none)
    assert dataset.label_counts["censored"] == dataset.rows
    orphans = labels() | {"event_id": labels()["event_id"] + 10**9}
    assert build(opened(tmp_path), labels=orphans).id == dataset.id


def test_what_is_not_yet_known_is_never_negative(tmp_path: Path) -> None:
    for maturity, unknown in ((0, "censored"), (7, "immature")):
        early, late = (
            build(opened(tmp_path), label_asof=day(cut), maturity_days=maturity).label_counts
            for cut in (40, 75)
        )
        assert early[unknown] > late[unknown] == 0
        assert early["negative"] < late["negative"]
        assert early["positive"] < late["positive"]
