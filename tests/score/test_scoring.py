"""Scores of a loaded bundle: the features by name, whatever holds them."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import model_factory as mf
from tests.bench import SCOPE, arrow, config, events, governance, labels, opened, train


@pytest.fixture(scope="module")
def serving(published: tuple[Path, mf.Dataset, str], tmp_path_factory: pytest.TempPathFactory) -> mf.Factory:
    root = tmp_path_factory.mktemp("serving") / "factory"
    shutil.copytree(published[0], root)
    factory = opened(root)
    factory.registry.promote(factory.run(published[2]).publish(), reason="the first")
    return factory


@pytest.fixture(scope="module")
def table(published: tuple[Path, mf.Dataset, str]) -> pa.Table:
    """The dataset's own columns, features among them."""
    root, dataset, _ = published
    files = [root / "objects" / partition["uri"] for partition in dataset.manifest["partitions"]]
    return pa.concat_tables(pq.read_table(file) for file in files)


HOLD: dict[str, Callable[[pa.Table], Any]] = {
    "pyarrow": lambda table: table,
    "pandas": lambda table: table.to_pandas(),
    "polars": pl.DataFrame,
    "mapping": lambda table: {name: table[name].to_numpy() for name in table.column_names},
    "float32 where exact": lambda table: table.set_column(
        table.column_names.index("weekend"), "weekend", table["weekend"].cast(pa.float32())
    ),
    "booleans": lambda table: table.set_column(
        table.column_names.index("weekend"), "weekend", table["weekend"].cast(pa.bool_())
    ),
}


@pytest.mark.parametrize("hold", HOLD.values(), ids=HOLD)
def test_the_same_features_are_the_same_scores(
    hold: Callable[[pa.Table], Any], serving: mf.Factory, table: pa.Table
) -> None:
    model = serving.registry.resolve(SCOPE).load()
    matrix = np.column_stack([table[name].to_numpy() for name in model.feature_names])
    expected = model.predict_proba(matrix)
    assert expected.shape == (table.num_rows,)
    assert ((expected >= 0) & (expected <= 1)).all()
    assert len(np.unique(expected)) > 10
    np.testing.assert_array_equal(model.predict_proba(hold(table)), expected)
    np.testing.assert_array_equal(serving.score(SCOPE, hold(table)), expected)
    np.testing.assert_array_equal(model.predict_proba(np.asfortranarray(matrix)[::-1]), expected[::-1])


def test_the_model_is_the_one_that_was_judged(
    published: tuple[Path, mf.Dataset, str], serving: mf.Factory, table: pa.Table
) -> None:
    run = serving.run(published[2])
    report = run.report
    assert report is not None
    (train_split,) = (split for split in report["splits"] if split["split"] == "train")
    window = config()["split"]["train"]
    start, end = (pd.Timestamp(window[name]) for name in ("start", "end"))
    frame = table.to_pandas()
    rows = frame[(frame["time"] >= start) & (frame["time"] < end) & frame["label"].notna()]
    scores = serving.score(SCOPE, rows)
    assert train_split["rows"]["rows"] == len(rows)
    area = mf.metrics.roc_auc_score(rows["label"].astype(bool), scores)
    assert abs(train_split["metrics"]["roc_auc"]["value"] - area) < 1e-12


def test_every_feature_that_is_amiss_is_named(serving: mf.Factory, table: pa.Table) -> None:
    lacking = table.drop_columns(["amount", "weekend"])
    index = lacking.column_names.index("customer_count_7d")
    text = lacking["customer_count_7d"].cast(pa.string())
    for held in (lacking.set_column(index, "customer_count_7d", text),):
        with pytest.raises(mf.errors.ResolutionError) as refused:
            serving.score(SCOPE, held)
        assert refused.value.code == "FEATURE_SCHEMA_INCOMPATIBLE"
        named = {problem["pointer"] for problem in refused.value.problems}
        assert named == {"features/amount", "features/weekend", "features/customer_count_7d"}


def test_a_loaded_model_says_how_another_process_gets_it(serving: mf.Factory) -> None:
    model = serving.registry.resolve(SCOPE).load()
    with pytest.raises(TypeError, match="open the factory in each process and load the bundle there"):
        pickle.dumps(model)


def test_an_array_of_another_shape_is_refused(serving: mf.Factory) -> None:
    model = serving.registry.resolve(SCOPE).load()
    for shape, code in (((5, 3), "FEATURE_SCHEMA_INCOMPATIBLE"), ((6,), "SHAPE_MISMATCH")):
        with pytest.raises(mf.errors.ModelFactoryError) as refused:
            model.predict_proba(np.zeros(shape))
        assert refused.value.code == code


def test_no_rows_are_no_scores(serving: mf.Factory, table: pa.Table) -> None:
    assert serving.score(SCOPE, table.slice(0, 0)).shape == (0,)


def test_boosting_scores_what_is_missing_and_refuses_infinities(serving: mf.Factory, table: pa.Table) -> None:
    some = table.slice(0, 10).to_pandas()
    some.loc[3, "amount"] = np.nan
    assert np.isfinite(serving.score(SCOPE, some)).all()
    columns = {name: some[name].to_numpy() for name in serving.registry.resolve(SCOPE).load().feature_names}
    assert np.isfinite(serving.score(SCOPE, columns)).all()
    some.loc[3, "amount"] = np.inf
    with pytest.raises(mf.errors.ExecutionError) as refused:
        serving.score(SCOPE, some)
    assert refused.value.code == "NON_FINITE_INPUT"


def test_other_families_refuse_what_is_missing(
    published: tuple[Path, mf.Dataset, str], serving: mf.Factory, table: pa.Table
) -> None:
    complete = ["amount", "customer_count_7d", "weekend"]
    linear = config(model={"family": "logistic_regression"}, features=complete)
    scope = "prod/card/linear"
    run = train(serving, published[1], config=linear, governance=governance(0.0), scope=scope, publish=True)
    model = serving.load(run.publish())
    assert model.feature_names == complete
    some = table.slice(0, 10).to_pandas()
    assert np.isfinite(model.predict_proba(some)).all()
    some.loc[3, "amount"] = np.nan
    with pytest.raises(mf.errors.ExecutionError) as refused:
        model.predict_proba(some)
    assert refused.value.code == "NON_FINITE_INPUT"


def test_a_bundle_says_how_its_features_are_computed(serving: mf.Factory, table: pa.Table) -> None:
    model = serving.registry.resolve(SCOPE).load()
    computed = mf.features.compute(
        arrow(events()),
        model.features,
        event_id="event_id",
        event_time="time",
        labels=arrow(labels()),
        label_columns=("event_id", "fraud", "effective_time", "observed_time"),
    )
    assert list(computed) == model.feature_names
    order = np.argsort(events()["event_id"])
    ours = {name: values[order] for name, values in computed.items()}
    np.testing.assert_array_equal(model.predict_proba(ours), model.predict_proba(table.sort_by("event_id")))
