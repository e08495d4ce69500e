"""The 12 published window features: counts and means a customer, counts and risks a terminal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import model_factory as mf
from benches import data, published
from benches.protocol import Contestant, Outcome, check, race
from model_factory import features as definitions

Columns = dict[str, NDArray[Any]]


def features() -> list[mf.Feature]:
    """Give the 12 features as a dataset defines them."""
    defined = []
    for days in published.DAYS:
        customer = mf.window("CUSTOMER_ID", f"{days}d")
        terminal = mf.window("TERMINAL_ID", f"{days}d", delay=f"{published.DELAY}d")
        count, mean, visits, risk = published.names(days)
        defined += [
            customer.count(count),
            customer.mean(published.AMOUNT, mean),
            terminal.count(visits),
            terminal.rate("label", risk),
        ]
    return defined


def labels(payments: pa.Table) -> pa.Table:
    """A label becomes known seven days after its payment."""
    times = payments["TX_DATETIME"].to_numpy()
    return pa.table(
        {
            "event_id": payments["TRANSACTION_ID"],
            "value": payments["TX_FRAUD"],
            "effective_time": times,
            "observed_time": times + np.timedelta64(published.DELAY, "D"),
        }
    )


def build(factory: mf.Factory, events: Any, known: pa.Table, defined: list[mf.Feature]) -> mf.Dataset:
    """Build a dataset of payments."""
    return factory.datasets.build(
        events=events,
        labels=known,
        event_id="TRANSACTION_ID",
        event_time="TX_DATETIME",
        label_asof="2025-01-01T00:00:00Z",
        label_family="card_fraud",
        maturity_days=published.DELAY,
        features=defined,
        naive_times_are_utc=True,
    )


def compute_ours(payments: pa.Table, known: pa.Table, threads: int) -> Columns:
    """Compute the features in memory."""
    columns: Columns = definitions.compute(
        payments,
        features(),
        event_id="TRANSACTION_ID",
        event_time="TX_DATETIME",
        labels=known,
        naive_times_are_utc=True,
        n_jobs=threads,
    )
    return {"TRANSACTION_ID": payments["TRANSACTION_ID"].to_numpy(), **columns}


def compute_polars(payments: pa.Table) -> Columns:
    """Rolling sums by time; a delayed window is a longer one less the delay."""
    import polars as pl

    defined = []
    delay = f"{published.DELAY}d"
    for days in published.DAYS:
        count, mean, visits, risk = published.names(days)

        def rolled(column: str, window: str, entity: str) -> pl.Expr:
            return pl.col(column).rolling_sum_by("TX_DATETIME", window, closed="right").over(entity)

        number = rolled("one", f"{days}d", "CUSTOMER_ID")
        seen = [
            rolled(of, f"{days + published.DELAY}d", "TERMINAL_ID") - rolled(of, delay, "TERMINAL_ID")
            for of in ("one", "TX_FRAUD")
        ]
        defined += [
            number.alias(count),
            (rolled(published.AMOUNT, f"{days}d", "CUSTOMER_ID") / number).alias(mean),
            seen[0].alias(visits),
            pl.when(seen[0] > 0).then(seen[1] / seen[0]).otherwise(0.0).alias(risk),
        ]
    frame = pl.from_arrow(payments)
    assert isinstance(frame, pl.DataFrame)
    made = frame.lazy().with_columns(one=pl.lit(1, pl.Int64)).sort("TX_DATETIME")
    table = made.select("TRANSACTION_ID", *defined).collect()
    return {name: table[name].to_numpy() for name in table.columns}


def compute_duckdb(payments: pa.Table, threads: int) -> Columns:
    """Window functions over ranges of time."""
    import duckdb

    with duckdb.connect(config={"threads": threads}) as connection:
        connection.register("payments", payments)
        relation = connection.sql(published.duckdb_sql("payments"))
        assert relation is not None
        table = relation.to_arrow_table()
    return {name: table[name].to_numpy() for name in table.column_names}


def agreement(computed: Columns, payments: pa.Table) -> float:
    """Share of rows equal to the published ones; seconds in which one customer pays twice are left out."""
    theirs = data.published()
    order = np.argsort(computed["TRANSACTION_ID"], kind="stable")
    rows = payments.sort_by("TRANSACTION_ID").select(["CUSTOMER_ID", "TX_DATETIME"]).to_pandas()
    tied = rows.duplicated(keep=False).to_numpy()
    same = np.ones(len(tied), dtype=bool)
    for name in (name for days in published.DAYS for name in published.names(days)):
        ours = np.asarray(computed[name], dtype=float)[order]
        # A mean of amounts of nothing is published as what is left of a running sum.
        same &= np.isclose(ours, theirs[name], rtol=1e-9, atol=1e-12 if "AVG" in name else 0.0)
    return float((same | tied).mean())


def windows(threads: int) -> Outcome:
    """Compute all 12 over all rows, from columns in memory to columns in memory."""
    payments = data.transactions()
    known = labels(payments)
    outcome, computed = race(
        [
            Contestant("model_factory", lambda: compute_ours(payments, known, threads)),
            Contestant("polars", lambda: compute_polars(payments)),
            Contestant("duckdb", lambda: compute_duckdb(payments, threads)),
        ],
        rounds=5,
    )
    for timing in (outcome.ours, *outcome.peers):
        timing.quality = agreement(computed[timing.name], payments)
    check(holds=outcome.ours.quality == 1.0, told="the features are the published ones, ties apart")
    outcome.note = (
        f"{payments.num_rows:,} rows; quality: share of rows equal to the published ones, ties apart"
    )
    return outcome
