"""The payments that everything is measured on: the handbook's where they are at hand, else simulated.

Both are a folder of two Parquet files: ``transactions.parquet`` and ``published_features.parquet``, the 14
features that somebody else computed. The simulated payments' are computed by duckdb.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from benches.published import AMOUNT, duckdb_sql

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "target" / "bench"
TRAIN_DAYS, TEST_DAYS = (0, 122), (129, 136)
"""Days since the first payment; in the handbook's data before 2018-08-01, and 2018-08-08 to 2018-08-14."""
LAST_WEEK = (115, 122)
"""The handbook's own training week, 2018-07-25 to 2018-07-31."""
SIMULATED = {"customers": 9_600, "terminals": 10_000, "days": 136}


class Split(NamedTuple):
    """Features (rows, columns) in row-major order and labels (rows,)."""

    features: NDArray[np.float64]
    positive: NDArray[np.bool_]


def handbook() -> Path | None:
    """Give the folder of the public data; None where it is absent."""
    stated = os.environ.get("MODEL_FACTORY_TRUTH_DATA")
    path = Path(stated or ROOT.parent / "shared" / "data")
    if path.is_dir():
        return path.resolve()
    if stated:
        raise FileNotFoundError("MODEL_FACTORY_TRUTH_DATA names no folder")
    return None


@cache
def folder() -> Path:
    """Give the folder of the two files, and make it once where the public data is absent."""
    path = handbook() or OUTPUT / "simulated-{customers}-{terminals}-{days}".format(**SIMULATED)
    if not (path / "published_features.parquet").exists():
        path.mkdir(parents=True, exist_ok=True)
        _simulate(path)
    return path


def told() -> str:
    """Say which payments these are."""
    rows = parquet.read_metadata(folder() / "transactions.parquet").num_rows
    return f"{rows:,} {'handbook' if handbook() else 'simulated'} payments"


def transactions() -> pa.Table:
    """All payments by id, with their features."""
    table = parquet.read_table(folder() / "transactions.parquet")
    return table.drop_columns(["TX_FRAUD_SCENARIO"]) if "TX_FRAUD_SCENARIO" in table.column_names else table


def published() -> dict[str, NDArray[Any]]:
    """The 14 features by name, in the order of their payments' ids."""
    table = parquet.read_table(folder() / "published_features.parquet").sort_by("TRANSACTION_ID")
    return {name: table[name].to_numpy() for name in table.column_names}


@cache
def _rows() -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    table = transactions().sort_by("TRANSACTION_ID")
    features = published()
    time = table["TX_DATETIME"].to_numpy().astype("datetime64[D]").astype(np.int64)
    columns = [
        table[AMOUNT].to_numpy(),
        *(features[name] for name in sorted(features.keys() - {"TRANSACTION_ID"})),
    ]
    return np.column_stack(columns).astype(np.float64), table["TX_FRAUD"].to_numpy() == 1, time - time.min()


def split(days: tuple[int, int]) -> Split:
    """Give the rows of these days: the amount and the 14 features."""
    features, positive, day = _rows()
    kept = (day >= days[0]) & (day < days[1])
    return Split(np.ascontiguousarray(features[kept]), np.ascontiguousarray(positive[kept]))


def scores(rows: int, seed: int = 0) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Labels of the last rows, and scores that rank them about as well as a model does, ties among them."""
    positive = _rows()[1][-rows:]
    random = np.random.default_rng(seed)
    return positive, np.round(1.0 / (1.0 + np.exp(4.0 - random.normal(2.0 * positive, 1.0))), 6)


def _simulate(path: Path) -> None:
    """Write simulated payments of like size; what is known of a label is known seven days later."""
    import duckdb

    from model_factory import simulate

    events = simulate.payments(**SIMULATED, seed=0).events
    payments = pa.table(
        {
            "TRANSACTION_ID": events["event_id"].astype(np.int64),
            "TX_DATETIME": events["time"],
            "CUSTOMER_ID": events["customer"].astype(np.int64),
            "TERMINAL_ID": events["terminal"].astype(np.int64),
            AMOUNT: events["amount"],
            "TX_FRAUD": events["fraud"].astype(np.int64),
        }
    )
    with duckdb.connect() as connection:
        connection.register("payments", payments)
        relation = connection.sql(duckdb_sql("payments", calendar=True))
        assert relation is not None
        features = relation.to_arrow_table()
    parquet.write_table(payments, path / "transactions.parquet")
    parquet.write_table(features, path / "published_features.parquet")
