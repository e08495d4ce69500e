"""Estimators: what they learn, what they take, what they refuse, and that nothing but the rows decides."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from model_factory import _native
from model_factory.errors import Code, ModelFactoryError
from model_factory.estimators import DecisionTree, GradientBoosting, LogisticRegression, RandomForest
from model_factory.metrics import roc_auc_score

FAMILIES: list[Any] = [LogisticRegression, DecisionTree, RandomForest, GradientBoosting]
families = pytest.mark.parametrize("family", FAMILIES)


def rows(count: int = 400, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 4))
    signal = features[:, 0] + 0.5 * features[:, 1] * features[:, 2] + 0.5 * rng.normal(size=count)
    return features, signal > 0.8


@families
def test_defaults_are_the_cores(family: Any) -> None:
    defaults = json.loads(_native.model_config(json.dumps({"family": family._family})))
    assert defaults.pop("family") == family._family
    params = {name: each.default for name, each in inspect.signature(family).parameters.items()}
    for name in ("n_jobs", "random_state", "warm_start"):
        params.pop(name, None)
    if "categorical_features" in params:
        # As scikit-learn has it: None where a document has an empty list.
        assert params.pop("categorical_features") is None
        params["categorical_features"] = []
    # What came later stands in a document only where it is not the default.
    assert defaults.items() <= params.items()
    spelled_out = json.loads(_native.model_config(json.dumps({"family": family._family, **params})))
    assert spelled_out == {"family": family._family, **defaults}
    known = json.loads(_native.schema("training_config"))["$defs"]["ModelConfig"]["oneOf"]
    fields = next(
        each["properties"] for each in known if each["properties"]["family"]["const"] == family._family
    )
    assert {"family", *params} == set(fields)


@families
def test_learns_what_is_there(family: Any) -> None:
    train, test = rows(2000, 1), rows(1000, 2)
    model = family().fit(*train)
    scores = model.predict_proba(test[0])
    assert scores.shape == (1000, 2)
    np.testing.assert_allclose(scores.sum(axis=1), 1.0)
    assert roc_auc_score(test[1], scores[:, 1]) > 0.75
    assert model.score(*test) > 0.75
    assert model.n_features_in_ == 4


@families
def test_neither_threads_nor_strides_change_a_bit(family: Any) -> None:
    features, y = rows()
    wide = np.zeros((400, 9))
    wide[:, ::2][:, :4] = features
    expected = family(n_jobs=1).fit(features, y).predict_proba(features)
    layouts = [
        features,
        np.asfortranarray(features),
        wide[:, :8:2],
        features[::-1][::-1],
        features.astype(">f8"),
        features.tolist(),
    ]
    for layout in layouts:
        found = family(n_jobs=3).fit(layout, y).predict_proba(layout)
        assert found.tobytes() == expected.tobytes()


def test_the_seed_decides() -> None:
    features, y = rows()
    seeds = (0, 0, 1, 2**64 - 1, np.int64(1))
    scores = [RandomForest(random_state=seed, n_estimators=5).fit(features, y) for seed in seeds]
    first, again, other, largest, of_numpy = (model.predict_proba(features).tobytes() for model in scores)
    assert first == again
    assert other == of_numpy
    assert len({first, other, largest}) == 3


@families
@pytest.mark.parametrize("labels", [(False, True), (0, 1), (-1, 1), (2.5, 7.0), ("genuine", "stolen")])
def test_any_two_labels(family: Any, labels: tuple[Any, Any]) -> None:
    features, y = rows()
    named = np.where(y, labels[1], labels[0])
    model = family().fit(features, named)
    assert model.classes_.tolist() == sorted(labels)
    expected = family().fit(features, y).predict_proba(features)
    assert model.predict_proba(features).tobytes() == expected.tobytes()
    assert set(model.predict(features)) == set(labels)
    assert ((model.predict(features) == labels[1]) == (expected[:, 1] > 0.5)).all()


@families
def test_a_weight_is_a_repetition_and_zero_an_absence(family: Any) -> None:
    features, y = rows(200)
    weights = np.random.default_rng(3).integers(0, 3, 200)
    options: dict[str, Any] = (
        {"standardize": False} if family is LogisticRegression else {"min_samples_leaf": 1}
    )
    if family in {RandomForest, GradientBoosting}:
        # Bins and draws are made of rows, not of weights: few values and one tree show the weights alone.
        features = (features > 0).astype(float)
        options["n_estimators"] = 1
    if family is RandomForest:
        options |= {"bootstrap": False, "max_features": "all"}
    weighted = family(**options).fit(features, y, sample_weight=weights.astype(float))
    repeated = family(**options).fit(np.repeat(features, weights, axis=0), np.repeat(y, weights))
    np.testing.assert_allclose(
        weighted.predict_proba(features), repeated.predict_proba(features), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize(
    "frame",
    [pd.DataFrame, pl.DataFrame, pa.table],
    ids=["pandas", "polars", "pyarrow"],
)
def test_dataframes_bring_their_names(frame: Callable[[dict[str, Any]], Any]) -> None:
    features, y = rows()
    names = ["amount", "risk", "hour", "count"]
    columns = dict(zip(names, features.T, strict=True))
    model = LogisticRegression().fit(frame(columns), y)
    assert model.feature_names_in_.tolist() == names
    expected = LogisticRegression().fit(features, y).predict_proba(features)
    assert model.predict_proba(frame(columns)).tobytes() == expected.tobytes()
    assert model.predict_proba(features).tobytes() == expected.tobytes()
    for others in ([*names[::-1]], [*names[:3], "other"]):
        with pytest.raises(ModelFactoryError) as caught:
            model.predict_proba(frame({name: features[:, at] for at, name in enumerate(others)}))
        assert caught.value.code is Code.FEATURE_SCHEMA_INCOMPATIBLE
    model.fit(features, y)
    assert not hasattr(model, "feature_names_in_")


def test_nullable_columns_are_missing_values() -> None:
    features, y = rows()
    holes = features.copy()
    holes[::3, 1] = np.nan
    expected = GradientBoosting().fit(holes, y).predict_proba(holes)
    nullable = pd.DataFrame(holes).convert_dtypes().rename(columns=str)
    integers = pl.DataFrame({str(at): pl.Series(column).fill_nan(None) for at, column in enumerate(holes.T)})
    masked = np.ma.masked_invalid(holes)
    for table in (nullable, integers, masked):
        assert GradientBoosting().fit(table, y).predict_proba(table).tobytes() == expected.tobytes()


def test_early_stopping_looks_at_later_rows() -> None:
    train, later = rows(600, 1), rows(600, 2)
    patient = GradientBoosting(n_estimators=300, learning_rate=0.5)
    hasty = GradientBoosting(n_estimators=300, learning_rate=0.5, early_stopping_rounds=5)
    hasty.fit(*train, eval_set=later)
    losses = [
        -np.log(model.predict_proba(later[0])[np.arange(600), later[1].astype(int)]).mean()
        for model in (hasty, patient.fit(*train))
    ]
    assert losses[0] < losses[1]
    weightless = (*later, np.where(np.arange(600) < 300, 1.0, 0.0))
    half = (later[0][:300], later[1][:300])
    scores = [
        hasty.fit(*train, eval_set=each).predict_proba(train[0]).tobytes() for each in (weightless, half)
    ]
    assert scores[0] == scores[1]


def test_progress_is_told_up_to_the_end() -> None:
    told: list[tuple[int, int]] = []
    GradientBoosting(n_estimators=20).fit(*rows(), progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (20, 20)
    assert told == sorted(told)


def test_what_progress_raises_stops_the_fit() -> None:
    class Enough(Exception):  # noqa: N818 - it is not an error
        pass

    def stop(done: int, total: int) -> None:
        assert done < total
        raise Enough

    model = GradientBoosting(n_estimators=100_000, max_leaf_nodes=255, min_samples_leaf=1)
    with pytest.raises(Enough):
        model.fit(*rows(3000), progress=stop)
    assert not hasattr(model, "classes_")


FEATURES, LABELS = rows(60)
INFINITE, MISSING = FEATURES.copy(), FEATURES.copy()
INFINITE[3, 1], MISSING[3, 1] = np.inf, np.nan


@pytest.mark.parametrize(
    ("code", "call"),
    [
        (Code.PARAMETER_INVALID, lambda: LogisticRegression(c=0.0).fit(FEATURES, LABELS)),
        (Code.PARAMETER_INVALID, lambda: LogisticRegression(c=float("nan")).fit(FEATURES, LABELS)),
        (Code.PARAMETER_INVALID, lambda: LogisticRegression(c="1").fit(FEATURES, LABELS)),  # type: ignore[arg-type]
        (Code.PARAMETER_INVALID, lambda: LogisticRegression(c=object()).fit(FEATURES, LABELS)),  # type: ignore[arg-type]
        (Code.PARAMETER_INVALID, lambda: DecisionTree(max_depth=0).fit(FEATURES, LABELS)),
        (Code.PARAMETER_INVALID, lambda: DecisionTree(max_depth=2.5).fit(FEATURES, LABELS)),  # type: ignore[arg-type]
        (Code.PARAMETER_INVALID, lambda: DecisionTree(class_weight="half").fit(FEATURES, LABELS)),  # type: ignore[arg-type]
        (Code.PARAMETER_INVALID, lambda: RandomForest(random_state=-1).fit(FEATURES, LABELS)),
        (Code.PARAMETER_INVALID, lambda: RandomForest(random_state=None).fit(FEATURES, LABELS)),  # type: ignore[arg-type]
        (Code.PARAMETER_INVALID, lambda: RandomForest(n_jobs=0).fit(FEATURES, LABELS)),
        (Code.PARAMETER_INVALID, lambda: DecisionTree().set_params(depth=3)),
        (Code.NOT_FITTED, lambda: DecisionTree().predict(FEATURES)),
        (Code.PARAMETER_INVALID, lambda: GradientBoosting(early_stopping_rounds=5).fit(FEATURES, LABELS)),
        (Code.PARAMETER_INVALID, lambda: GradientBoosting().fit(FEATURES, LABELS, eval_set=(FEATURES,))),
        (
            Code.PARAMETER_INVALID,
            lambda: GradientBoosting().fit(FEATURES, LABELS, eval_set=(FEATURES, LABELS.astype(int) + 1)),
        ),
        (Code.SHAPE_MISMATCH, lambda: DecisionTree().fit(FEATURES[0], LABELS)),
        (Code.SHAPE_MISMATCH, lambda: DecisionTree().fit(FEATURES, LABELS[:50])),
        (Code.SHAPE_MISMATCH, lambda: DecisionTree().fit(FEATURES, LABELS[:, None])),
        (Code.SHAPE_MISMATCH, lambda: DecisionTree().fit(FEATURES, LABELS, sample_weight=np.ones(9))),
        (Code.COLUMN_TYPE_INVALID, lambda: DecisionTree().fit(FEATURES.astype(str), LABELS)),
        (Code.COLUMN_TYPE_INVALID, lambda: DecisionTree().fit(FEATURES * 1j, LABELS)),
        (Code.COLUMN_TYPE_INVALID, lambda: DecisionTree().fit(pd.DataFrame({"a": ["x"] * 60}), LABELS)),
        (
            Code.COLUMN_TYPE_INVALID,
            lambda: DecisionTree().fit(np.ma.masked_array([["x"], [1.0]], [[True], [False]], object), [0, 1]),
        ),
        (
            Code.COLUMN_TYPE_INVALID,
            lambda: DecisionTree().fit(FEATURES[:2], np.array(["a", 1], dtype=object)),
        ),
        (Code.NULL_NOT_ALLOWED, lambda: DecisionTree().fit(FEATURES[:2], [0.0, float("nan")])),
        (Code.DATASET_EMPTY, lambda: DecisionTree().fit(FEATURES[:0], LABELS[:0])),
        (Code.DATASET_EMPTY, lambda: DecisionTree().fit(FEATURES[:, :0], LABELS)),
        (Code.DEGENERATE_LABELS, lambda: DecisionTree().fit(FEATURES, np.zeros(60))),
        (Code.DEGENERATE_LABELS, lambda: DecisionTree().fit(FEATURES, np.arange(60))),
        (
            Code.DEGENERATE_LABELS,
            lambda: DecisionTree().fit(FEATURES, LABELS, sample_weight=LABELS.astype(float)),
        ),
        (Code.NON_FINITE_INPUT, lambda: DecisionTree().fit(INFINITE, LABELS)),
        (Code.NON_FINITE_INPUT, lambda: DecisionTree().fit(MISSING, LABELS)),
        (Code.NON_FINITE_INPUT, lambda: DecisionTree().fit(FEATURES, LABELS, sample_weight=-np.ones(60))),
        (
            Code.FEATURE_SCHEMA_INCOMPATIBLE,
            lambda: DecisionTree().fit(FEATURES, LABELS).predict(FEATURES[:, :3]),
        ),
        (Code.TRAINING_DIVERGED, lambda: LogisticRegression(max_iter=1).fit(FEATURES, LABELS)),
    ],
)
def test_refusals(code: Code, call: Callable[[], object]) -> None:
    with pytest.raises(ModelFactoryError) as caught:
        call()
    assert caught.value.code is code


def test_every_wrong_parameter_at_once() -> None:
    with pytest.raises(ModelFactoryError) as caught:
        GradientBoosting(n_estimators=0, max_bins=256, subsample=0.0).fit(FEATURES, LABELS)
    assert {problem["pointer"] for problem in caught.value.problems} == {
        "/n_estimators",
        "/max_bins",
        "/subsample",
    }


def test_the_representation_names_what_is_not_default() -> None:
    assert repr(RandomForest(max_depth=3, n_jobs=2)) == "RandomForest(max_depth=3, n_jobs=2)"


def test_native_takes_no_array_that_it_would_have_to_guess_at() -> None:
    unaligned = np.frombuffer(b"\0" + FEATURES.tobytes(), dtype=np.uint8)[1:].view(np.float64).reshape(60, 4)
    assert not unaligned.flags.aligned
    for wrong in (
        unaligned,
        FEATURES.astype(np.float32),
        FEATURES.astype(">f8"),
        FEATURES[0],
        FEATURES.tolist(),
    ):
        with pytest.raises(TypeError):
            _native.fit('{"family": "decision_tree"}', 0, (wrong, LABELS, None))  # type: ignore[arg-type]
    assert DecisionTree().fit(unaligned, LABELS).score(FEATURES, LABELS) == 1.0


def moments(unit: str) -> NDArray[np.datetime64]:
    days = np.arange(60).astype("datetime64[D]").astype(f"datetime64[{unit}]")
    days[7] = np.datetime64("NaT")
    return days


NOT_NUMBERS: dict[str, Any] = {
    "moments in ns": moments("ns"),
    "moments in us": moments("us"),
    "moments in s": moments("s"),
    "durations": moments("s") - np.datetime64(0, "s"),
    "text that reads as numbers": np.array(["1", "2"] * 30),
    "text in objects": np.array(["1", "2"] * 30, dtype=object),
    "one text among numbers": np.array([1.0] * 59 + ["2"], dtype=object),
    "bytes": np.array([b"1", b"2"] * 30, dtype=object),
}


def as_array(values: NDArray[Any]) -> NDArray[Any]:
    return np.column_stack([values, values])


def as_objects(values: NDArray[Any]) -> NDArray[Any]:
    return np.array([[1.0, value] for value in values], dtype=object)


def as_masked(values: NDArray[Any]) -> NDArray[Any]:
    mask = np.zeros((60, 2), dtype=bool)
    mask[:3] = True
    masked: NDArray[Any] = np.ma.masked_array(as_array(values), mask=mask)
    return masked


def as_pandas(values: NDArray[Any]) -> pd.DataFrame:
    frame: pd.DataFrame = pd.DataFrame({"amount": np.ones(60), "b": values})
    return frame


def as_polars(values: NDArray[Any]) -> pl.DataFrame:
    of_times = values.dtype.kind in "mM"
    column: Any = pl.from_pandas(pd.Series(values)) if of_times else pl.Series(values.tolist())
    return pl.DataFrame({"amount": np.ones(60), "b": column})


def as_pyarrow(values: NDArray[Any]) -> pa.Table:
    columns = pa.array(values, from_pandas=True) if values.dtype.kind in "mM" else pa.array(values.tolist())
    return pa.table({"amount": np.ones(60), "b": columns})


@pytest.mark.parametrize("values", NOT_NUMBERS.values(), ids=NOT_NUMBERS.keys())
@pytest.mark.parametrize(
    ("container", "place"),
    [
        (as_array, "X"),
        (as_objects, "X"),
        (as_masked, "X"),
        (as_pandas, "X/b"),
        (as_polars, "X/b"),
        (as_pyarrow, "X/b"),
    ],
)
def test_only_numbers_and_booleans_are_features(
    values: NDArray[Any], container: Callable[[Any], Any], place: str
) -> None:
    mixed = values.dtype == object and isinstance(values[0], float)
    if mixed and container in {as_polars, as_pyarrow}:
        # These libraries have no column of several types.
        return
    table = container(values)
    fitted = GradientBoosting().fit(np.ones((60, 2)), LABELS)
    for call in (lambda: GradientBoosting().fit(table, LABELS), lambda: fitted.predict_proba(table)):
        with pytest.raises(ModelFactoryError) as caught:
            call()
        assert caught.value.code is Code.COLUMN_TYPE_INVALID
        assert f"{place} should be numbers, found" in str(caught.value)
        assert "something else" not in str(caught.value)


def test_weights_that_are_text_are_refused() -> None:
    weights = np.array(["1", "2"] * 30, dtype=object)
    with pytest.raises(ModelFactoryError) as caught:
        DecisionTree().fit(FEATURES, LABELS, sample_weight=weights)
    assert "sample_weight should be numbers, found objects, among them of type str" in str(caught.value)


def test_categories_of_a_dataframe_are_refused_as_a_bundle_s_model_refuses_them() -> None:
    category = pd.Series([1.0, 2.0] * 30).astype("category")
    for table in (
        pd.DataFrame({"amount": np.ones(60), "b": category}),
        pa.table({"amount": np.ones(60), "b": pa.array([1.0, 2.0] * 30).dictionary_encode()}),
    ):
        with pytest.raises(ModelFactoryError) as caught:
            DecisionTree().fit(table, LABELS)
        assert "X/b should be numbers, found a column of " in str(caught.value)


def test_whatever_a_number_is_held_as_it_is_the_same_feature() -> None:
    numbers = [Decimal(at) if at % 7 else None for at in range(60)]
    plain = np.array([[1.0, np.nan if each is None else float(each)] for each in numbers])
    flags = np.ones(60, dtype=bool)
    expected = GradientBoosting().fit(plain, LABELS).predict_proba(plain).tobytes()
    for table in (
        pd.DataFrame({"a": flags, "b": numbers}),
        pd.DataFrame(
            {"a": flags, "b": pd.array([each if each is None else int(each) for each in numbers], "Int64")}
        ),
        pd.DataFrame({"a": flags, "b": pd.Series(numbers, dtype=object).fillna(pd.NA)}),
        pl.DataFrame({"a": flags, "b": numbers}),
        pa.table({"a": flags, "b": pa.array(numbers)}),
        np.array([[np.bool_(1), each] for each in numbers], dtype=object),
        np.array([[Fraction(1), each] for each in numbers], dtype=object),
    ):
        assert GradientBoosting().fit(table, LABELS).predict_proba(table).tobytes() == expected
