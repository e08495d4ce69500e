"""Whatever held the rows, in whatever order and pieces: the same rows are the same dataset."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import model_factory as mf
from tests.bench import arrow, build, events, labels, objects, opened

Columns = dict[str, Any]


def shuffled(columns: Columns) -> Columns:
    order = np.random.default_rng(1).permutation(len(columns["event_id"]))
    return {name: values[order] for name, values in columns.items()}


def reader(columns: Columns) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(
        arrow(columns).schema, arrow(columns).to_batches(max_chunksize=1_000)
    )


def categorical(columns: Columns) -> pd.DataFrame:
    kinds = {name: "category" for name in ("customer", "terminal") if name in columns}
    frame: pd.DataFrame = pd.DataFrame(columns).astype(kinds)
    return frame


INPUTS: dict[str, Callable[[Columns], Any]] = {
    "mapping": lambda columns: columns,
    "other order": shuffled,
    "pandas": pd.DataFrame,
    "pandas in UTC": lambda columns: arrow(columns).to_pandas(),
    "pandas on arrow": lambda columns: arrow(columns).to_pandas(types_mapper=pd.ArrowDtype),
    "pandas in microseconds": lambda columns: pd.DataFrame(
        {name: v.astype("datetime64[us]") if v.dtype.kind == "M" else v for name, v in columns.items()}
    ),
    "pandas categories": categorical,
    "polars": pl.DataFrame,
    "record batch": lambda columns: arrow(columns).combine_chunks().to_batches()[0],
    "record batch reader": reader,
    "a sliced table": lambda columns: pa.concat_tables(
        [arrow(columns).slice(0, 100), arrow(columns).slice(100)]
    ),
    "duckdb": lambda columns: duckdb.connect().from_arrow(arrow(columns)),
}


@pytest.mark.parametrize("hold", INPUTS.values(), ids=INPUTS)
def test_the_same_rows_are_the_same_dataset(
    hold: Callable[[Columns], Any], built: tuple[Path, mf.Dataset], tmp_path: Path
) -> None:
    _, dataset = built
    other = build(opened(tmp_path), events=hold(events()), labels=hold(labels()))
    assert other.manifest == dataset.manifest
    assert other.reference == dataset.reference


def test_queries_of_one_connection_are_run_one_after_the_other(
    built: tuple[Path, mf.Dataset], tmp_path: Path
) -> None:
    connection = duckdb.connect()
    for name, columns in (("payments", events()), ("frauds", labels())):
        connection.register(name, arrow(columns))
    query = "SELECT * FROM {} WHERE true"
    dataset = build(
        opened(tmp_path),
        events=connection.sql(query.format("payments")),
        labels=connection.sql(query.format("frauds")),
    )
    assert dataset.id == built[1].id


def test_a_second_stream_is_opened_once_the_first_is_read_to_its_end(
    built: tuple[Path, mf.Dataset], tmp_path: Path
) -> None:
    happened: list[str] = []

    class Query:
        """A stream that says when it is opened and when it has come to its end."""

        def __init__(self, name: str, columns: Columns) -> None:
            self.name, self.table = name, arrow(columns)

        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            happened.append(f"{self.name} opened")
            return pa.RecordBatchReader.from_batches(self.table.schema, self.batches()).__arrow_c_stream__(
                requested_schema
            )

        def batches(self) -> Iterator[pa.RecordBatch]:
            yield from self.table.to_batches(max_chunksize=1_000)
            happened.append(f"{self.name} ended")

    dataset = build(opened(tmp_path), events=Query("events", events()), labels=Query("labels", labels()))
    assert dataset.id == built[1].id
    assert happened == ["events opened", "events ended", "labels opened", "labels ended"]


def test_files_of_parquet_are_read_in_any_order(built: tuple[Path, mf.Dataset], tmp_path: Path) -> None:
    _, dataset = built
    table = arrow(events())
    paths = [tmp_path / "late.parquet", tmp_path / "early.parquet"]
    pq.write_table(table.slice(5_000), paths[0])
    pq.write_table(table.slice(0, 5_000), paths[1])
    pq.write_table(arrow(labels()), tmp_path / "labels.parquet")
    other = build(opened(tmp_path / "factory"), events=paths, labels=str(tmp_path / "labels.parquet"))
    assert other.manifest == dataset.manifest


def test_pandas_needs_no_pyarrow(
    built: tuple[Path, mf.Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, dataset = built
    in_utc = {"events": arrow(events()).to_pandas(), "labels": pd.DataFrame(labels())}
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert build(opened(tmp_path), **in_utc).manifest == dataset.manifest


def test_missing_values_are_the_same_however_they_are_held(tmp_path: Path) -> None:
    missing = np.arange(len(events()["amount"])) % 7 == 0
    features = [mf.column("amount"), mf.window("customer", "7d").count()]
    columns = events()
    masked = columns | {"amount": np.ma.masked_array(columns["amount"], mask=missing)}
    frame = pd.DataFrame(columns)
    frame.loc[missing, "amount"] = np.nan
    table = arrow(columns).set_column(4, "amount", pa.array(columns["amount"], mask=missing))
    ids = {
        build(opened(tmp_path), events=held, features=features).id
        for held in (masked, frame, table, pl.DataFrame(table))
    }
    assert len(ids) == 1


def test_texts_name_events_and_entities_too(tmp_path: Path) -> None:
    def texts(columns: Columns) -> Columns:
        named = [name for name in ("event_id", "customer") if name in columns]
        return columns | {name: np.char.add("x", columns[name].astype(str)) for name in named}

    as_arrays = build(opened(tmp_path), events=texts(events()), labels=texts(labels()))
    objects_of_python = {
        name: np.asarray(v.tolist(), object) if v.dtype.kind == "U" else v
        for name, v in texts(events()).items()
    }
    in_pandas = build(
        opened(tmp_path), events=pd.DataFrame(objects_of_python), labels=pl.DataFrame(texts(labels()))
    )
    assert as_arrays.manifest == in_pandas.manifest


def test_threads_and_partitions_do_not_show(built: tuple[Path, mf.Dataset], tmp_path: Path) -> None:
    _, dataset = built
    assert build(opened(tmp_path / "one", threads=1)).manifest == dataset.manifest
    small = build(opened(tmp_path / "small"), partition_rows=1_000)
    assert len(small.manifest["partitions"]) > 1
    assert small.rows == dataset.rows
    assert small.label_counts == dataset.label_counts


def test_a_dataset_tells_what_it_is(built: tuple[Path, mf.Dataset]) -> None:
    _, dataset = built
    assert dataset.id.startswith("dm_")
    assert dataset.rows == len(events()["event_id"]) == sum(dataset.label_counts.values())
    assert repr(dataset) == f"<Dataset {dataset.id}: {dataset.rows:,} rows>"
    assert dataset.label_counts["positive"] > 10
    assert dataset.feature_names[0] == "amount"
    assert set(dataset.reference) == {"uri", "digest"}


def test_a_dataset_is_opened_by_reference_and_digest(built: tuple[Path, mf.Dataset]) -> None:
    root, dataset = built
    assert opened(root).datasets.open(**dataset.reference) == dataset
    with pytest.raises(mf.errors.ResolutionError) as refused:
        opened(root).datasets.open(dataset.reference["uri"], "sha256:" + "0" * 64)
    assert refused.value.code == "MANIFEST_DIGEST_MISMATCH"
    with pytest.raises(mf.errors.ResolutionError) as refused:
        opened(root).datasets.open("local/ofs/other.json", dataset.reference["digest"])
    assert refused.value.code == "MANIFEST_UNRESOLVED"


def test_progress_names_the_stage(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    factory = mf.open(tmp_path, principal="alice", progress=lambda *step: seen.append(step))
    build(factory)
    assert {stage for stage, _, _ in seen} == {"build"}
    assert all(0 <= done <= max(total, 0) or total == 0 for _, done, total in seen)


def test_what_progress_raises_stops_the_build(tmp_path: Path) -> None:
    class EnoughError(Exception):
        pass

    def stop(*_: object) -> None:
        raise EnoughError

    with pytest.raises(EnoughError):
        build(mf.open(tmp_path, principal="alice", progress=stop), partition_rows=1)
    assert [key for key in objects(tmp_path) if "manifests" in key] == []


def test_label_values_mean_what_the_caller_says(built: tuple[Path, mf.Dataset], tmp_path: Path) -> None:
    _, dataset = built
    coded = labels()
    # Two ways to be fraudulent, and genuine is not 0.
    coded["fraud"] = np.where(coded["fraud"] == 1, np.where(coded["event_id"] % 2 == 0, 7, 8), 3)
    means = {"positive_values": (8, 7), "negative_values": np.array([3])}
    other = build(opened(tmp_path), labels=arrow(coded), **means)
    assert other.label_counts == dataset.label_counts
    assert other.manifest["label_basis"]["positive_values"] == [7, 8]
    assert [part["digest"] for part in other.manifest["partitions"]] == [
        part["digest"] for part in dataset.manifest["partitions"]
    ]
    assert other.id != dataset.id
