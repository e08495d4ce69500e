"""Features, labels and joins of tables in memory: what a dataset holds, and what plain loops say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pyarrow import parquet

import model_factory as mf
from tests import bench

CUT = 75
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage")
LABELS = ("event_id", "fraud", "effective_time", "observed_time")


def computed(events: Any, labels: Any, **changes: Any) -> dict[str, NDArray[np.float64]]:
    arguments: dict[str, Any] = {
        "event_id": "event_id",
        "event_time": "time",
        "labels": labels,
        "label_columns": LABELS,
        "naive_times_are_utc": True,
    }
    return mf.features.compute(events, bench.features(), **(arguments | changes))


def same(ours: dict[str, NDArray[np.float64]], theirs: dict[str, NDArray[np.float64]]) -> None:
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        np.testing.assert_array_equal(values.view(np.int64), theirs[name].view(np.int64), err_msg=name)


def test_features_are_those_of_a_dataset_bit_for_bit(tmp_path: Path) -> None:
    root = tmp_path / "factory"
    dataset = bench.build(bench.opened(root), label_asof=bench.day(400))
    parts = [parquet.read_table(root / "objects" / part["uri"]) for part in dataset.manifest["partitions"]]
    built = pa.concat_tables(parts).sort_by("event_id")
    ours = computed(bench.events(), bench.labels())
    order = np.argsort(bench.events()["event_id"])
    names = [feature.name for feature in bench.features()]
    theirs = {name: built[name].to_numpy().astype(np.float64) for name in names}
    same({name: values[order] for name, values in ours.items()}, theirs)


@pytest.mark.skipif(not HUGE_PAGES.exists(), reason="a kernel without huge pages")
def test_large_columns_are_in_huge_pages_where_the_system_has_them() -> None:
    rows = 1 << 20
    events = {
        "event_id": np.arange(rows),
        "time": np.arange(rows).astype("datetime64[s]"),
        "x": np.ones(rows),
    }
    column = mf.features.compute(
        events, [mf.column("x")], event_id="event_id", event_time="time", naive_times_are_utc=True
    )["x"]
    middle = column.ctypes.data + column.nbytes // 2
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if bounds := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            inside = int(bounds[1], 16) <= middle < int(bounds[2], 16)
        elif inside and line.startswith("VmFlags:"):
            assert "hg" in line.split()
            return
    pytest.fail("the column is nowhere")


def test_neither_threads_nor_the_order_of_rows_nor_what_held_them_show() -> None:
    events, labels = bench.events(), bench.labels()
    ours = computed(events, labels)
    for threads in (1, 2, 4):
        same(computed(events, labels, n_jobs=threads), ours)
    same(computed(pd.DataFrame(events), pl.DataFrame(labels)), ours)
    shuffled = np.random.default_rng(1).permutation(len(events["time"]))
    moved = computed(
        {name: values[shuffled] for name, values in events.items()},
        {name: values[::-1] for name, values in labels.items()},
    )
    same(moved, {name: values[shuffled] for name, values in ours.items()})


def test_windows_need_neither_labels_nor_names() -> None:
    window = mf.window("customer", "7d")
    features = [window.count("n"), window.max("amount", "most")]
    values = mf.features.compute(bench.events(), features, event_time="time", naive_times_are_utc=True)
    assert list(values) == ["n", "most"]
    assert (values["n"] >= 1).all()
    assert (values["most"] >= bench.events()["amount"]).all()


@pytest.mark.parametrize(
    ("features", "changes", "code", "place"),
    [
        ([], {}, "PARAMETER_INVALID", "/features"),
        ([mf.window("customer", "7d").rate()], {"labels": None}, "PARAMETER_INVALID", "/labels"),
        ([mf.window("customer", "7d").count()], {"event_id": None}, "PARAMETER_INVALID", "/event_id"),
        ([mf.column("amount"), mf.column("amount")], {}, "PARAMETER_INVALID", "/features/names/1"),
        ([mf.window("nobody", "7d").count()], {}, "COLUMN_MISSING", "events/nobody"),
        ([mf.column("fraud")], {}, "FEATURE_AFTER_EVENT", "/features/0/definition/column"),
        (
            [mf.window("customer", "7d").count()],
            {"naive_times_are_utc": False},
            "COLUMN_TYPE_INVALID",
            "events/time",
        ),
    ],
)
def test_refusals(features: list[mf.Feature], changes: dict[str, Any], code: str, place: str) -> None:
    arguments: dict[str, Any] = {
        "event_time": "time",
        "event_id": "event_id",
        "labels": bench.labels(),
        "label_columns": LABELS,
        "naive_times_are_utc": True,
    }
    with pytest.raises(mf.ModelFactoryError) as refused:
        mf.features.compute(bench.events(), features, **(arguments | changes))
    assert refused.value.code == code
    assert place in [problem["pointer"] for problem in refused.value.problems]


def test_times_of_another_zone_say_how_to_convert_them() -> None:
    events = pd.DataFrame(bench.events())
    events["time"] = events["time"].dt.tz_localize(
        "Europe/Brussels", ambiguous=True, nonexistent="shift_forward"
    )
    with pytest.raises(mf.errors.InputAdmissionError, match="tz_convert"):
        mf.features.compute(events, [mf.window("customer", "7d").count()], event_time="time")
    values = mf.features.compute(
        events.assign(time=events["time"].dt.tz_convert("UTC")),
        [mf.window("customer", "7d").count("n")],
        event_time="time",
    )
    assert values["n"].min() == 1


def test_labels_resolve_as_in_a_dataset(built: tuple[Path, mf.Dataset]) -> None:
    resolved = mf.labels.resolve(
        bench.events(),
        bench.labels(),
        event_id="event_id",
        event_time="time",
        label_asof=bench.day(CUT),
        maturity_days=7,
        label_columns=LABELS,
        naive_times_are_utc=True,
    )
    counts = built[1].label_counts
    for outcome, name in (("censored", "censored"), ("conflict", "conflicting"), ("immature", "immature")):
        assert (resolved.outcome == outcome).sum() == counts[name]
    known = resolved.outcome == "known"
    assert (resolved.value[known] == 1).sum() == counts["positive"]
    assert (resolved.value[known] == 0).sum() == counts["negative"]
    np.testing.assert_array_equal(np.isnan(resolved.value), ~known)
    np.testing.assert_array_equal(np.isnat(resolved.observed_time), ~known)
    assert (resolved.observed_time[known] <= np.datetime64(bench.day(CUT)[:-1])).all()


def test_other_label_values_give_the_same_features_and_labels() -> None:
    coded = bench.labels()
    coded["fraud"] = np.where(coded["fraud"] == 1, 9, -1)
    means: dict[str, Any] = {"positive_values": [9], "negative_values": [-1]}
    same(computed(bench.events(), coded, **means), computed(bench.events(), bench.labels()))
    arguments: dict[str, Any] = {
        "event_id": "event_id",
        "event_time": "time",
        "label_asof": bench.day(CUT),
        "label_columns": LABELS,
        "naive_times_are_utc": True,
    }
    ours = mf.labels.resolve(bench.events(), coded, **arguments, **means)
    theirs = mf.labels.resolve(bench.events(), bench.labels(), **arguments)
    np.testing.assert_array_equal(ours.value, theirs.value)
    np.testing.assert_array_equal(ours.outcome, theirs.outcome)


def facts(rows: int, keys: int, seed: int) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(seed)
    start = np.datetime64("2024-01-01", "ns")
    true = random.integers(0, 20, rows)
    known = true + random.integers(0, 6, rows)
    return {
        "key": random.integers(0, keys, rows),
        "true": start + true.astype("timedelta64[D]"),
        "known": start + known.astype("timedelta64[D]"),
    }


def expected(
    events: dict[str, NDArray[Any]], known: dict[str, NDArray[Any]], by: str
) -> list[tuple[int, bool]]:
    answers = []
    for key, time, until in zip(events["key"], events["true"], events[by], strict=True):
        rows = np.flatnonzero((known["key"] == key) & (known["true"] <= time) & (known["known"] <= until))
        best = max(((known["true"][row], known["known"][row]) for row in rows), default=None)
        winners = [row for row in rows if (known["true"][row], known["known"][row]) == best]
        answers.append((int(winners[0]), len(winners) > 1) if winners else (-1, False))
    return answers


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("by", ["true", "known"])
def test_a_join_finds_what_a_loop_finds(by: str, *, as_text: bool) -> None:
    events, known = facts(400, 5, 1), facts(300, 5, 2)
    if as_text:
        for table in (events, known):
            table["key"] = np.array([f"card-{key}" for key in table["key"]])
    joined = mf.labels.asof_join(
        events,
        known,
        key="key",
        event_time="true",
        known_by=None if by == "true" else by,
        effective_time="true",
        observed_time="known",
        naive_times_are_utc=True,
    )
    assert list(zip(joined.row.tolist(), joined.tied.tolist(), strict=True)) == expected(events, known, by)
    assert joined.tied.any()


def test_a_join_on_one_axis_is_that_of_polars() -> None:
    events, known = facts(2_000, 50, 3), facts(2_000, 50, 4)
    # Known at once, and no two facts alike: then there is one axis, which polars has too.
    step = np.arange(2_000).astype("timedelta64[ns]")
    known["true"] = known["known"] = known["true"] + step
    joined = mf.labels.asof_join(
        events,
        known,
        key="key",
        event_time="true",
        effective_time="true",
        observed_time="known",
        naive_times_are_utc=True,
    )
    left = pl.DataFrame({"row": np.arange(2_000), "key": events["key"], "time": events["true"]}).sort("time")
    right = pl.DataFrame({"fact": np.arange(2_000), "key": known["key"], "time": known["true"]}).sort("time")
    theirs = left.join_asof(right, on="time", by="key", check_sortedness=False).sort("row")
    np.testing.assert_array_equal(joined.row, theirs["fact"].fill_null(-1).to_numpy())


def test_wrong_facts_are_refused() -> None:
    events, known = facts(10, 3, 5), facts(10, 3, 6)
    arguments: dict[str, Any] = {
        "key": "key",
        "event_time": "true",
        "effective_time": "true",
        "observed_time": "known",
        "naive_times_are_utc": True,
    }
    with pytest.raises(mf.errors.InputAdmissionError) as refused:
        mf.labels.asof_join(
            events, known, **(arguments | {"effective_time": "known", "observed_time": "true"})
        )
    assert refused.value.code == "PARAMETER_INVALID"
    texts = known | {"key": np.array(["a"] * 10)}
    with pytest.raises(mf.errors.InputAdmissionError) as refused:
        mf.labels.asof_join(events, texts, **arguments)
    assert refused.value.code == "COLUMN_TYPE_INVALID"
