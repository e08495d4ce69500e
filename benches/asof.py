"""As-of join of events with the latest assertion about their key, both unsorted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benches.protocol import Contestant, Outcome, check, race
from model_factory import labels

ROWS, KEYS, NANOSECONDS = 5_000_000, 200_000, 180 * 86_400 * 10**9
KNOWN_WITHIN = 30 * 86_400 * 10**9

Values = NDArray[np.float64]


def tables(rows: int = ROWS, keys: int = KEYS, seed: int = 0) -> tuple[pa.Table, pa.Table]:
    """Give events (row, key, time) and assertions (key, effective, observed, value), in no order.

    An assertion is known from ``observed`` on, up to thirty days after ``effective``. Times are so fine that
    no two of a key are equal.
    """
    random = np.random.default_rng(seed)
    effective = random.integers(0, NANOSECONDS, rows)
    events = {
        "row": np.arange(rows),
        "key": random.integers(0, keys, rows),
        "time": random.integers(0, NANOSECONDS, rows).astype("datetime64[ns]"),
    }
    assertions = {
        "key": random.integers(0, keys, rows),
        "effective": effective.astype("datetime64[ns]"),
        "observed": (effective + random.integers(0, KNOWN_WITHIN, rows)).astype("datetime64[ns]"),
        "value": random.normal(size=rows),
    }
    return pa.table(events), pa.table(assertions)


def _in_order(rows: Any, values: Any) -> Values:
    """Put values back into the order of the events; what is missing is NaN."""
    ordered = np.empty(len(rows))
    ordered[np.asarray(rows)] = np.asarray(values, dtype=float)
    return ordered


def compute_duckdb(events: pa.Table, assertions: pa.Table, threads: int) -> Values:
    """Join on one axis, the event's time."""
    import duckdb

    with duckdb.connect(config={"threads": threads}) as connection:
        connection.register("events", events)
        connection.register("assertions", assertions)
        joined = connection.execute(
            "SELECT e.row, a.value FROM events e "
            "ASOF LEFT JOIN assertions a ON e.key = a.key AND e.time >= a.effective"
        ).fetchnumpy()
    return _in_order(joined["row"], np.ma.filled(joined["value"], np.nan))


def compute_polars(events: pa.Table, assertions: pa.Table) -> Values:
    """Join on one axis, the event's time."""
    import polars as pl

    left, right = pl.from_arrow(events), pl.from_arrow(assertions)
    assert isinstance(left, pl.DataFrame)
    assert isinstance(right, pl.DataFrame)
    joined = (
        left.lazy()
        .sort("time")
        .join_asof(
            right.lazy().sort("effective"),
            left_on="time",
            right_on="effective",
            by="key",
            check_sortedness=False,
        )
        .select("row", "value")
        .collect()
    )
    return _in_order(joined["row"].to_numpy(), joined["value"].to_numpy())


def compute_pandas(events: Any, assertions: Any) -> Values:
    """Join on one axis, the event's time."""
    import pandas as pd

    joined = pd.merge_asof(
        events.sort_values("time"),
        assertions.sort_values("effective"),
        left_on="time",
        right_on="effective",
        by="key",
    )
    return _in_order(joined["row"], joined["value"])


def compute_ours(events: pa.Table, assertions: pa.Table, threads: int) -> Values:
    """Join on both axes: of what was effective and observed by the event's time, the latest effective."""
    rows = labels.asof_join(
        events,
        assertions,
        key="key",
        event_time="time",
        effective_time="effective",
        observed_time="observed",
        naive_times_are_utc=True,
        n_jobs=threads,
    ).row
    return np.where(rows >= 0, assertions["value"].to_numpy()[rows], np.nan)


def differing(joined: Values, events: pa.Table, assertions: pa.Table, *, both: bool) -> int:
    """Count events of a hundred keys whose value is not what a scan of the key's assertions finds."""
    left = {name: events[name].to_numpy() for name in events.column_names}
    right = {name: assertions[name].to_numpy() for name in assertions.column_names}
    wrong = 0
    for key in range(100):
        of_key = np.flatnonzero(right["key"] == key)
        of_key = of_key[np.argsort(right["effective"][of_key])]
        for row in np.flatnonzero(left["key"] == key):
            known = right["effective"][of_key] <= left["time"][row]
            if both:
                known &= right["observed"][of_key] <= left["time"][row]
            expected = right["value"][of_key[known][-1]] if known.any() else np.nan
            wrong += not np.array_equal(joined[row], expected, equal_nan=True)
    return wrong


def asof_join(threads: int) -> Outcome:
    """Join five million events with five million assertions of two hundred thousand keys."""
    events, assertions = tables()
    frames = events.to_pandas(), assertions.to_pandas()
    outcome, joined = race(
        [
            Contestant("model_factory", lambda: compute_ours(events, assertions, threads)),
            Contestant("duckdb", lambda: compute_duckdb(events, assertions, threads)),
            Contestant("polars", lambda: compute_polars(events, assertions)),
            Contestant("pandas", lambda: compute_pandas(*frames)),
        ],
        rounds=3,
    )
    for timing in (outcome.ours, *outcome.peers):
        both = timing is outcome.ours
        wrong = differing(joined[timing.name], events, assertions, both=both)
        check(holds=wrong == 0, told=f"{timing.name} finds what a scan finds; {wrong} events differ")
    outcome.note = (
        f"{ROWS:,} events x {ROWS:,} assertions, {KEYS:,} keys, unsorted; ours by event time and time of "
        "knowledge, the peers by event time; all equal to a scan of a hundred keys"
    )
    return outcome
