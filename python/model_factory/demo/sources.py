"""Where the demo's payments come from: the simulation, or the handbook's public transactions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from model_factory import _native, features, simulate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from model_factory.features import Feature

__all__ = ["FILES", "Source", "handbook", "simulated"]

FILES = Path(__file__).resolve().parent.parent / "demo_files"
"""The demo's configs and governance profiles: examples to start one's own from."""

SCALE = {"customers": 2_500, "terminals": 800, "days": 90}
HANDBOOK_DELAY = np.timedelta64(7, "D")


@dataclass(frozen=True)
class Source:
    """Payments with everything that is decided about them before anything is trained.

    Attributes
    ----------
    told : str
        What the payments are, in a sentence.
    files : str
        Prefix of the config and governance files in :data:`FILES`.
    scope : str
        Where the model is to serve.
    arguments : dict
        Arguments of ``factory.datasets.build``.
    events : object
        All payments, today's included, which a decision service looks back on.
    of_today : array of bool
        Which of them are today's, and are scored.
    """

    told: str
    files: str
    scope: str
    arguments: Mapping[str, Any]
    events: Any
    of_today: NDArray[np.bool_]

    def features_of_today(self, definitions: Sequence[Feature]) -> dict[str, NDArray[np.float64]]:
        """Compute features of today's payments as a decision service does: from what is known by now."""
        names = ("event_id", "event_time", "labels", "label_columns", "naive_times_are_utc")
        arguments = {name: self.arguments[name] for name in names}
        values = features.compute(self.events, definitions, **arguments)
        return {name: column[self.of_today] for name, column in values.items()}


def simulated(seed: int) -> Source:
    """Three months of payments; the last day is today, whose labels nobody knows."""
    events, labels = simulate.payments(**SCALE, seed=seed)
    today = np.datetime64("2024-03-30T00:00:00", "ns")
    past = events["time"] < today
    columns = {name: events[name] for name in ("event_id", "time", "customer", "terminal", "amount")}
    known = labels["observed_time"] < today
    share = 100 * events["fraud"].mean()
    return Source(
        told=f"{past.size:,} simulated payments in {SCALE['days']} days, {share:.1f} % of them fraudulent",
        files="simulated",
        scope="demo/card/primary",
        arguments={
            "events": {name: values[past] for name, values in columns.items()},
            "labels": {name: values[known] for name, values in labels.items()},
            "event_id": "event_id",
            "event_time": "time",
            "label_columns": ("event_id", "fraud", "effective_time", "observed_time"),
            "label_asof": "2024-03-30T00:00:00Z",
            "label_family": "card_fraud",
            "maturity_days": 7,
            "naive_times_are_utc": True,
            "feature_set": ("simulated-payments", "1"),
            "entities": ("customer", "terminal"),
            "slices": ("amount",),
            "features": _simulated_features(),
        },
        events=columns,
        of_today=~past,
    )


def _simulated_features() -> list[Any]:
    customer = [features.window("customer", span) for span in ("1d", "7d", "30d")]
    terminal = [features.window("terminal", span) for span in ("1d", "7d", "30d")]
    return [
        features.column("amount"),
        *(window.count() for window in customer),
        *(window.mean("amount") for window in customer),
        *(window.count() for window in terminal),
        # Only labels that are known at the payment's time count: the builder sees to that.
        *(features.window("terminal", span).rate("label") for span in ("7d", "14d", "30d")),
        features.weekend(name="weekend"),
        features.hours(0, 6, name="night"),
    ]


def handbook(folder: Path) -> Source:
    """Give the handbook's transactions; the last day of its test week is scored."""
    path = folder / "transactions.parquet"
    table = _transactions(path)
    time, fraud = table["TX_DATETIME"], table["TX_FRAUD"].astype(np.bool_)
    labels = {
        "event_id": table["TRANSACTION_ID"],
        "value": fraud,
        "effective_time": time,
        "observed_time": time + HANDBOOK_DELAY,
    }
    return Source(
        told=f"{time.size:,} transactions of the handbook, {100 * fraud.mean():.2f} % of them fraudulent",
        files="handbook",
        scope="handbook/card/primary",
        arguments={
            "events": path,
            "labels": labels,
            "event_id": "TRANSACTION_ID",
            "event_time": "TX_DATETIME",
            "label_columns": ("event_id", "value", "effective_time", "observed_time"),
            "label_asof": "2018-08-22T00:00:00Z",
            "label_family": "card_fraud",
            "maturity_days": 7,
            "naive_times_are_utc": True,
            "feature_set": ("handbook", "1"),
            "entities": ("CUSTOMER_ID", "TERMINAL_ID"),
            "slices": ("TX_AMOUNT",),
            "features": _handbook_features(),
        },
        events=path,
        of_today=time >= time.max().astype("datetime64[D]"),
    )


def _handbook_features() -> list[Any]:
    days = (1, 7, 30)
    customer = {day: features.window("CUSTOMER_ID", f"{day}d") for day in days}
    terminal = {day: features.window("TERMINAL_ID", f"{day}d", delay="7d") for day in days}
    return [
        features.column("TX_AMOUNT"),
        features.weekend(name="TX_DURING_WEEKEND"),
        features.hours(0, 6, name="TX_DURING_NIGHT"),
        *(window.count(name=f"CUSTOMER_ID_NB_TX_{day}DAY_WINDOW") for day, window in customer.items()),
        *(
            window.mean("TX_AMOUNT", name=f"CUSTOMER_ID_AVG_AMOUNT_{day}DAY_WINDOW")
            for day, window in customer.items()
        ),
        *(window.count(name=f"TERMINAL_ID_NB_TX_{day}DAY_WINDOW") for day, window in terminal.items()),
        *(window.rate("label", name=f"TERMINAL_ID_RISK_{day}DAY_WINDOW") for day, window in terminal.items()),
    ]


def _transactions(path: Path) -> dict[str, Any]:
    """Give the columns of the handbook's file as numpy arrays; the labels' timeline is made of them."""
    refusal = ("SOURCE_UNREADABLE", "--data")
    try:
        import pyarrow as pa  # noqa: PLC0415 - optional, so imported where it is needed
        from pyarrow import parquet  # noqa: PLC0415
    except ModuleNotFoundError:
        raise _native.refusal(*refusal, "pyarrow (pip install 'model-factory[pyarrow]')", "none") from None
    names = ["TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD"]
    try:
        table = parquet.read_table(path, columns=names)
    except (OSError, pa.ArrowException) as error:
        found = type(error).__name__
        raise _native.refusal(*refusal, "a folder with transactions.parquet", found) from None
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise _native.refusal("COLUMN_MISSING", f"--data/{missing[0]}", "a column of the handbook", "nothing")
    columns = {name: table[name].to_numpy() for name in names}
    columns["TX_DATETIME"] = columns["TX_DATETIME"].astype("datetime64[ns]")
    return columns
