"""The handbook's real input as a dataset, and models trained on it through the whole factory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import model_factory as mf

ROOT = Path(__file__).resolve().parents[2]
WINDOWS = (1, 7, 30)
DELAY = 7


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with the two files."""
    folder = Path(os.environ.get("MODEL_FACTORY_TRUTH_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("../shared/data is absent (MODEL_FACTORY_TRUTH_DATA names another)")
    return folder


def features() -> list[mf.Feature]:
    """The amount and the authors' 14 features, under the authors' names."""
    of_windows = []
    for days in WINDOWS:
        customer = mf.window("CUSTOMER_ID", f"{days}d")
        terminal = mf.window("TERMINAL_ID", f"{days}d", delay=f"{DELAY}d")
        of_windows += [
            customer.count(f"CUSTOMER_ID_NB_TX_{days}DAY_WINDOW"),
            customer.mean("TX_AMOUNT", f"CUSTOMER_ID_AVG_AMOUNT_{days}DAY_WINDOW"),
            terminal.count(f"TERMINAL_ID_NB_TX_{days}DAY_WINDOW"),
            terminal.rate("label", f"TERMINAL_ID_RISK_{days}DAY_WINDOW"),
        ]
    return [
        mf.column("TX_AMOUNT"),
        mf.weekend("TX_DURING_WEEKEND"),
        mf.hours(0, 6, "TX_DURING_NIGHT"),
        *of_windows,
    ]


@pytest.fixture(scope="session")
def factory(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, mf.Factory]:
    root = tmp_path_factory.mktemp("truth")
    return root, mf.open(root, principal="truth", progress=False)


@pytest.fixture(scope="session")
def dataset(data: Path, factory: tuple[Path, mf.Factory]) -> mf.Dataset:
    """All transactions; a label becomes known seven days after its transaction."""
    raw = pq.read_table(data / "transactions.parquet", columns=["TRANSACTION_ID", "TX_DATETIME", "TX_FRAUD"])
    times = raw["TX_DATETIME"].to_numpy()
    labels = pa.table(
        {
            "event_id": raw["TRANSACTION_ID"],
            "value": raw["TX_FRAUD"],
            "effective_time": times,
            "observed_time": times + np.timedelta64(DELAY, "D"),
        }
    )
    return factory[1].datasets.build(
        events=data / "transactions.parquet",
        labels=labels,
        event_id="TRANSACTION_ID",
        event_time="TX_DATETIME",
        label_asof="2018-08-22T00:00:00Z",
        label_family="card_fraud",
        maturity_days=DELAY,
        features=features(),
        naive_times_are_utc=True,
    )


@pytest.fixture(scope="session")
def rows(factory: tuple[Path, mf.Factory], dataset: mf.Dataset) -> pd.DataFrame:
    """The dataset's rows as its partitions hold them."""
    files = [factory[0] / "objects" / partition["uri"] for partition in dataset.manifest["partitions"]]
    frame: pd.DataFrame = pa.concat_tables(pq.read_table(file) for file in files).to_pandas()
    return frame


@pytest.fixture(scope="session")
def trained(factory: tuple[Path, mf.Factory], dataset: mf.Dataset) -> Callable[[dict[str, Any]], mf.Run]:
    """Trains a model in the authors' split; the same model is the same run."""
    evaluation = {
        "capacity": {"entity": "CUSTOMER_ID", "k": 100},
        "known_positives": {"entity": "CUSTOMER_ID", "delay_days": DELAY},
        "bootstrap": {"replicates": 0},
    }
    split = {
        "strategy": "time",
        "train": {"start": "2018-07-25T00:00:00Z", "end": "2018-08-01T00:00:00Z"},
        "test": {"start": "2018-08-08T00:00:00Z", "end": "2018-08-15T00:00:00Z"},
        "gap": f"{DELAY}d",
    }
    anyone = dict.fromkeys(("request", "publish", "approve", "promote"), "anyone")
    ranks = {"name": "ranks", "metric": "roc_auc", "comparison": "at_least", "threshold": 0.7}

    def train(model: dict[str, Any]) -> mf.Run:
        config = {
            "config_id": "handbook",
            "revision": "1",
            "model": model,
            "split": split,
            "seed_policy": {"base_seed": 0},
            "evaluation": evaluation,
        }
        governance = {"profile_id": "handbook", "revision": "1", "criteria": [ranks], "roles": anyone}
        return factory[1].train(
            dataset, config=config, governance=governance, scope="truth/card/primary", publish=True
        )

    return train
