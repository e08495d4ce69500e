"""The authors' 14 features, computed anew from the raw transactions: equal on every row, ties apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import model_factory as mf

pytestmark = pytest.mark.truth

ROWS = 1_303_778
TIED = 19


def test_nothing_is_lost(dataset: mf.Dataset) -> None:
    assert dataset.rows == ROWS
    assert dataset.label_counts == {
        "positive": 10_659,
        "negative": ROWS - 10_659,
        "censored": 0,
        "conflicting": 0,
        "immature": 0,
    }


def test_every_feature_is_the_published_one(data: Path, rows: pd.DataFrame) -> None:
    ours = rows.set_index("TRANSACTION_ID").sort_index()
    published = pd.read_parquet(data / "published_features.parquet").set_index("TRANSACTION_ID").sort_index()
    assert ours.index.equals(published.index)
    assert len(published.columns) == 14
    # A mean of an amount of nothing is published as what is left of a running sum.
    atol = {name: 1e-12 if "AVG" in name else 0.0 for name in published.columns}
    differing = pd.DataFrame(
        {
            name: ~np.isclose(ours[name], published[name], rtol=1e-9, atol=atol[name])
            for name in published.columns
        },
        index=ours.index,
    )
    of_customers = [name for name in published.columns if name.startswith("CUSTOMER_ID")]
    assert not differing.drop(columns=of_customers).to_numpy().any()
    # Two payments of one customer in one second see each other here; of the authors' rows the one that stands
    # first does not see the second.
    second = [ours["CUSTOMER_ID"], ours["TX_DATETIME"]]
    pairs = differing[of_customers].any(axis=1).groupby(second).agg(["size", "sum"])
    tied = pairs["size"] > 1
    assert not pairs.loc[~tied, "sum"].any()
    assert pairs.loc[tied].value_counts().to_dict() == {(2, 1): TIED}
    counts = [name for name in of_customers if "NB_TX" in name]
    first = differing[counts].all(axis=1)
    assert first.sum() == TIED
    assert (ours.loc[first, counts] - published.loc[first, counts] == 1).to_numpy().all()


def test_the_integers_among_them_are_equal_bit_for_bit(data: Path, rows: pd.DataFrame) -> None:
    ours = rows.set_index("TRANSACTION_ID").sort_index()
    published = pd.read_parquet(data / "published_features.parquet").set_index("TRANSACTION_ID").sort_index()
    exact = [name for name in published.columns if "NB_TX" in name or "DURING" in name]
    assert len(exact) == 8
    tied = ours.duplicated(["CUSTOMER_ID", "TX_DATETIME"], keep=False)
    for name in exact:
        np.testing.assert_array_equal(ours.loc[~tied, name], published.loc[~tied, name].astype(float))
