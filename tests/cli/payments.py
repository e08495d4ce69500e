"""A small factory on simulated payments, made by the command line and shared by its tests."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

import model_factory as mf
from model_factory.cli import main

SCOPE = "test/card/primary"

SPEC = """
event_id = "event_id"
event_time = "time"
label_asof = "2024-03-01T00:00:00Z"
label_family = "card_fraud"
label_columns = ["event_id", "fraud", "effective_time", "observed_time"]
maturity_days = 7
naive_times_are_utc = true
feature_set = ["cards", "1"]
entities = ["customer", "terminal"]
slices = ["amount"]
features = [
  {column = "amount"},
  {window = "7d", entity = "customer", aggregate = "count"},
  {window = "7d", entity = "customer", aggregate = "mean", column = "amount"},
  {window = "30d", entity = "terminal", aggregate = "rate", delay = "1d", name = "terminal_risk"},
  {weekend = true, name = "weekend"},
  {hours = [0, 6], name = "night"},
]
"""

CONFIG: dict[str, Any] = {
    "config_id": "test",
    "revision": "1",
    "model": {"family": "gradient_boosting", "n_estimators": 20},
    "split": {
        "strategy": "time",
        "train": {"start": "2024-01-11T00:00:00Z", "end": "2024-02-03T00:00:00Z"},
        "test": {"start": "2024-02-10T00:00:00Z", "end": "2024-02-22T00:00:00Z"},
        "gap": "7d",
    },
    "seed_policy": {"base_seed": 1},
    "evaluation": {
        "capacity": {"entity": "customer", "k": 10},
        "known_positives": {"entity": "customer", "delay_days": 7},
        "slices": [{"column": "amount", "edges": [50.0]}],
        "bootstrap": {"replicates": 20},
    },
}


def governance(threshold: float = 0.5, **more: Any) -> dict[str, Any]:
    """A profile that asks for a ROC AUC of so much."""
    return {
        "profile_id": "test",
        "revision": "1",
        "criteria": [
            {"name": "ranks", "metric": "roc_auc", "comparison": "at_least", "threshold": threshold},
            {
                "name": "ranks_surely",
                "metric": "roc_auc",
                "comparison": "at_least",
                "threshold": min(threshold, 0.4),
                "judged_on": "lower_bound",
                "slice": {"column": "amount"},
            },
        ],
        "roles": {"request": "anyone", "publish": "anyone", "approve": "anyone", "promote": {"only": ["alice"]}},
        **more,
    }


def write_payments(folder: Path) -> None:
    """Write events and labels of a small simulation as Parquet files, and the request beside them."""
    found = mf.simulate.payments(customers=150, terminals=50, days=60, seed=7)
    names = ("event_id", "time", "customer", "terminal", "amount")
    parquet.write_table(pa.table({name: found.events[name] for name in names}), folder / "events.parquet")
    parquet.write_table(pa.table(dict(found.labels)), folder / "labels.parquet")
    (folder / "spec.toml").write_text(SPEC, encoding="utf-8")


@dataclass(frozen=True)
class Place:
    """A root with a dataset that the command line built."""

    folder: Path
    dataset: dict[str, Any]

    @property
    def root(self) -> Path:
        return self.folder / "root"

    def factory(self) -> mf.Factory:
        return mf.open(self.root, progress=False)

    def opened_dataset(self) -> mf.Dataset:
        return self.factory().datasets.open(**self.dataset["reference"])

    def train(self, threshold: float = 0.5, *, publish: bool = True, **config: Any) -> mf.Run:
        """Train a model; ``config`` changes what the run is."""
        return self.factory().train(
            self.opened_dataset(),
            config={**CONFIG, **config},
            governance=governance(threshold),
            scope=SCOPE,
            publish=publish,
        )


@dataclass(frozen=True)
class Called:
    """What a call of the command line came to."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON object that stands on standard output, and nothing else."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


def call(*arguments: object) -> Called:
    """Call the command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as left:
            status = int(left.code or 0)
    return Called(status, out.getvalue(), err.getvalue())


def build(folder: Path) -> Place:
    """Build the dataset by the command line."""
    write_payments(folder)
    files = ("--events", folder / "events.parquet", "--labels", folder / "labels.parquet")
    called = call("dataset", "build", folder / "spec.toml", *files, "--root", folder / "root", "--json")
    assert called.status == 0, called.err
    return Place(folder, called.document)


def features(rows: int = 50) -> dict[str, Any]:
    """Features of the right names for the model."""
    dice = np.random.default_rng(1)
    names = ("amount", "customer_count_7d", "customer_mean_amount_7d", "terminal_risk", "weekend", "night")
    return {name: dice.random(rows) for name in names}
