"""A small factory on simulated payments, shared by the tests of the whole line."""

from __future__ import annotations

import functools
import gc
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import model_factory as mf
from model_factory import simulate

SCOPE = "prod/card/primary"


@functools.cache
def payments() -> simulate.Payments:
    return simulate.payments(customers=150, terminals=50, days=60, seed=7)


def day(number: int) -> str:
    """Midnight so many days after the first payment's."""
    first = np.asarray(payments().events["time"]).min().astype("datetime64[D]")
    return f"{first + number}T00:00:00Z"


def events() -> dict[str, Any]:
    """The columns of the events that the dataset needs."""
    return {name: payments().events[name] for name in ("event_id", "time", "customer", "terminal", "amount")}


def labels() -> dict[str, Any]:
    return dict(payments().labels)


def arrow(columns: dict[str, Any]) -> pa.Table:
    """The columns as an Arrow table, times in UTC."""
    utc = {
        name: pa.array(values, pa.timestamp("ns", "UTC")) if values.dtype.kind == "M" else values
        for name, values in columns.items()
    }
    return pa.table(utc)


def features() -> list[mf.Feature]:
    return [
        mf.column("amount"),
        mf.window("customer", "7d").count(),
        mf.window("customer", "7d").mean("amount"),
        mf.window("terminal", "14d", delay="7d").count(),
        mf.window("terminal", "14d", delay="7d").rate("label"),
        mf.weekend(),
    ]


def build(factory: mf.Factory, **changes: Any) -> mf.Dataset:
    """The dataset, or one that differs from it."""
    arguments: dict[str, Any] = {
        "events": arrow(events()),
        "labels": arrow(labels()),
        "event_id": "event_id",
        "event_time": "time",
        "label_asof": day(75),
        "features": features(),
        "label_family": "card_fraud",
        "maturity_days": 7,
        "feature_set": ("cards", "1"),
        "naive_times_are_utc": True,
        "label_columns": ("event_id", "fraud", "effective_time", "observed_time"),
    }
    return factory.datasets.build(**(arguments | changes))


def config(**changes: Any) -> dict[str, Any]:
    document = {
        "config_id": "test",
        "revision": "1",
        "model": {"family": "gradient_boosting", "n_estimators": 20},
        "split": {
            "strategy": "time",
            "train": {"start": day(10), "end": day(35)},
            "test": {"start": day(42), "end": day(60)},
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
    return document | changes


def governance(threshold: float = 0.55, **changes: Any) -> dict[str, Any]:
    document = {
        "profile_id": "test",
        "revision": "1",
        "criteria": [
            {"name": "ranks", "metric": "roc_auc", "comparison": "at_least", "threshold": threshold},
        ],
        "roles": {
            "request": "anyone",
            "publish": {"only": ["alice", "bob"]},
            "approve": {"only": ["bob"]},
            "promote": "anyone",
        },
    }
    return document | changes


def opened(root: Path | str, principal: str = "alice", **more: Any) -> mf.Factory:
    return mf.open(root, principal=principal, progress=False, **more)


def train(factory: mf.Factory, dataset: mf.Dataset | list[mf.Dataset], **changes: Any) -> mf.Run:
    arguments: dict[str, Any] = {"config": config(), "governance": governance(), "scope": SCOPE}
    return factory.train(dataset, **(arguments | changes))


def objects(root: Path) -> list[str]:
    """Every object and every staged file of a factory, by its key, without what always names its ledger."""
    store = root / "objects"
    found = {str(path.relative_to(store)) for path in store.rglob("*") if path.is_file()}
    return sorted(found - {"registry/ledger"})


def damage(root: Path, uri: str) -> None:
    """Change one byte of an object."""
    path = root / "objects" / uri
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, mf.Dataset]:
    """A factory's folder with the dataset, never to be changed."""
    root = tmp_path_factory.mktemp("built")
    return root, build(opened(root))


@pytest.fixture(scope="session")
def published(
    built: tuple[Path, mf.Dataset], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, mf.Dataset, str]:
    """A factory's folder with a published run, never to be changed."""
    root = tmp_path_factory.mktemp("published") / "factory"
    shutil.copytree(built[0], root)
    return root, built[1], train(opened(root), built[1], publish=True).id


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Path], Path]:
    """Copies a factory's folder, so that a test can change it."""

    def copy(root: Path) -> Path:
        target = tmp_path / "factory"
        # What nobody has any more tidies its ledger up when it is collected: not in the midst of a copy.
        gc.collect()
        shutil.copytree(root, target)
        return target

    return copy
