"""Metrics through the Python face agree with scikit-learn and scipy, on friendly rows and on nasty ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as oracle
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from model_factory import metrics
from model_factory.errors import Code, ModelFactoryError

Rows = tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64] | None]


def close(value: Any) -> Any:
    return pytest.approx(value, rel=1e-12, abs=1e-12)


# Few distinct scores make ties; the others are the edges of what a float can say about a probability.
PROBABILITIES = st.one_of(
    st.sampled_from([0.0, -0.0, 5e-324, 0.1, 0.25, 0.5, 0.75, 1 - 2**-53, 1.0]), st.floats(0.0, 1.0)
)
WEIGHTS = st.one_of(st.sampled_from([0.0, 1.0, 1e-3, 1e6]), st.floats(1e-3, 1e3))


@st.composite
def labelled_rows(draw: st.DrawFn) -> Rows:
    """Both classes with weight."""
    rows = draw(st.lists(st.tuples(st.booleans(), PROBABILITIES, WEIGHTS), min_size=2, max_size=60))
    y, scores, weights = (np.array(column) for column in zip(*rows, strict=True))
    assume(y[weights > 0].any() and not y[weights > 0].all())
    return y, scores, draw(st.sampled_from([weights, None]))


PAIRS: list[tuple[Callable[..., float], Callable[..., float]]] = [
    (metrics.roc_auc_score, oracle.roc_auc_score),
    (metrics.average_precision_score, oracle.average_precision_score),
    (metrics.log_loss, oracle.log_loss),
    (metrics.brier_score, oracle.brier_score_loss),
]


@given(rows=labelled_rows(), fpr=st.floats(0.0, 1.0))
@settings(deadline=None)
def test_one_ranking_answers_as_the_functions_do(rows: Rows, fpr: float) -> None:
    y, scores, weights = rows
    ranking = metrics.Ranking(y, scores, sample_weight=weights)
    assert ranking.roc_auc() == metrics.roc_auc_score(y, scores, sample_weight=weights)
    assert ranking.average_precision() == metrics.average_precision_score(y, scores, sample_weight=weights)
    assert ranking.recall_at_fpr(fpr) == metrics.recall_at_fpr(y, scores, fpr=fpr, sample_weight=weights)
    for points in (None, 5):
        curves = (
            (ranking.roc_curve(max_points=points), metrics.roc_curve),
            (ranking.precision_recall_curve(max_points=points), metrics.precision_recall_curve),
        )
        for found, function in curves:
            expected = function(y, scores, max_points=points, sample_weight=weights)
            for column, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(column, other)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda f: f.__module__.split(".")[0])
@given(rows=labelled_rows())
@settings(deadline=None)
def test_agrees_with_scikit_learn(
    ours: Callable[..., float], theirs: Callable[..., float], rows: Rows
) -> None:
    y, scores, weights = rows
    expected = theirs(y, scores, sample_weight=weights)
    assert ours(y, scores, sample_weight=weights) == close(expected)


@given(rows=labelled_rows())
@settings(deadline=None)
def test_curves_agree_with_scikit_learn(rows: Rows) -> None:
    y, scores, weights = rows
    # scikit-learn keeps points that only rows without weight make.
    counts = slice(None) if weights is None else weights > 0
    given_rows = (y[counts], scores[counts] + 0.0)
    weight = None if weights is None else weights[counts]
    rates, recalls, thresholds = oracle.roc_curve(*given_rows, sample_weight=weight, drop_intermediate=False)
    found = metrics.roc_curve(y, scores, sample_weight=weights)
    for ours, theirs in zip(found, (thresholds, rates, recalls), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
    precisions, recalls, thresholds = oracle.precision_recall_curve(*given_rows, sample_weight=weight)
    curve = metrics.precision_recall_curve(y, scores, sample_weight=weights)
    np.testing.assert_allclose(curve.thresholds[1:], thresholds[::-1], rtol=0)
    np.testing.assert_allclose(curve.precisions, precisions[::-1], rtol=1e-12)
    np.testing.assert_allclose(curve.recalls, recalls[::-1], rtol=1e-12, atol=1e-12)


@given(rows=labelled_rows(), threshold=PROBABILITIES)
@settings(deadline=None)
def test_decisions_agree_with_scikit_learn(rows: Rows, threshold: float) -> None:
    y, scores, weights = rows
    found = metrics.confusion(y, scores, threshold=threshold, sample_weight=weights)
    called = scores >= threshold
    (tn, fp), (fn, tp) = oracle.confusion_matrix(y, called, labels=[False, True], sample_weight=weights)
    assert found == close((tp, fp, tn, fn))
    if found.precision is not None:
        assert found.precision == close(oracle.precision_score(y, called, sample_weight=weights))
    assert found.recall == close(oracle.recall_score(y, called, sample_weight=weights))
    assert found.f1 == close(oracle.f1_score(y, called, sample_weight=weights, zero_division=0.0))
    assert found.false_positive_rate == close(fp / (fp + tn))


@given(rows=labelled_rows(), rate=st.floats(0.0, 1.0))
@settings(deadline=None)
def test_recall_at_a_rate_is_read_off_the_curve(rows: Rows, rate: float) -> None:
    y, scores, weights = rows
    _, rates, recalls = metrics.roc_curve(y, scores, sample_weight=weights)
    expected = recalls[rates <= rate].max()
    assert metrics.recall_at_fpr(y, scores, fpr=rate, sample_weight=weights) == close(expected)


@given(rows=labelled_rows(), k=st.integers(1, 70))
@settings(deadline=None)
def test_the_k_highest(rows: Rows, k: int) -> None:
    y, scores, _ = rows
    taken = np.argsort(-scores, kind="stable")[:k]
    assert metrics.precision_at_k(y, scores, k=k) == close(y[taken].mean())
    assert metrics.recall_at_k(y, scores, k=k) == close(y[taken].sum() / y.sum())


@given(rows=labelled_rows(), bins=st.integers(1, 15), by=st.sampled_from(["width", "count"]))
@settings(deadline=None)
def test_reliability_accounts_for_every_row(rows: Rows, bins: int, by: Any) -> None:
    y, scores, weights = rows
    found = metrics.reliability(y, scores, bins=bins, by=by, sample_weight=weights)
    weight = np.ones(len(y)) if weights is None else weights
    assert len(found.rows) <= bins
    assert found.rows.sum() == (weight > 0).sum()
    assert found.weight.sum() == close(weight.sum())
    assert (found.weight * found.observed_rate).sum() == pytest.approx(weight[y].sum(), rel=1e-9)
    error = np.average(np.abs(found.mean_score - found.observed_rate), weights=found.weight)
    assert metrics.calibration_error(y, scores, bins=bins, by=by, sample_weight=weights) == close(error)


def handbook(  # noqa: PLR0917 - one a row, then k
    y: NDArray[np.bool_], scores: NDArray[np.float64], entity: NDArray[Any], day: NDArray[Any], k: int
) -> list[float]:
    """The handbook's definition, row by row."""
    found: set[Any] = set()
    precisions = []
    for today in sorted(set(day.tolist())):
        ranked = []
        for one in sorted(set(entity[day == today].tolist()) - found):
            mine = (day == today) & (entity == one)
            ranked.append((-scores[mine].max(), one, bool(y[mine].any())))
        hits = [one for _, one, positive in sorted(ranked)[:k] if positive]
        found.update(hits)
        precisions.append(len(hits) / k)
    return precisions


@given(rows=labelled_rows(), seed=st.integers(0, 1000), k=st.integers(1, 4))
@settings(deadline=None)
def test_entity_precision_is_the_handbooks(rows: Rows, seed: int, k: int) -> None:
    y, scores, _ = rows
    rng = np.random.default_rng(seed)
    entity, day = rng.choice(["ann", "bob", "cy", "di"], len(y)), rng.integers(-2, 4, len(y))
    found = metrics.entity_precision_at_k(y, scores, entity=entity, day=day, k=k)
    expected = handbook(y, scores + 0.0, entity, day, k)
    assert found.precision.tolist() == expected
    assert found.mean == close(np.mean(expected))
    assert found.days.tolist() == sorted(set(day.tolist()))


def test_days_from_times() -> None:
    day = np.array(["1969-12-31T23:59:59", "1970-01-01T00:00:00", "1970-01-01T23:59:59"], "datetime64[s]")
    found = metrics.entity_precision_at_k([1, 0, 1], [0.9, 0.8, 0.7], entity=["a", "b", "c"], day=day, k=1)
    assert found.days.tolist() == [-1, 0]
    assert found.precision.tolist() == [1.0, 0.0]


VALUES = st.lists(st.one_of(st.sampled_from([0.0, -0.0, 1.0]), st.floats(-1e9, 1e9)), min_size=1, max_size=50)


@given(reference=VALUES, current=VALUES)
@settings(deadline=None)
def test_distance_agrees_with_scipy(reference: list[float], current: list[float]) -> None:
    with np.errstate(all="ignore"):  # of its p-value, which is not asked for
        expected = ks_2samp(reference, current, method="asymp").statistic
    assert metrics.kolmogorov_smirnov(reference, current) == close(expected)
    missing = [*reference, float("nan")]
    assert metrics.kolmogorov_smirnov(missing, current) == close(expected)
    assert metrics.population_stability(reference, reference) == 0.0
    assert metrics.population_stability(reference, current) >= 0.0


def test_distance_of_nothing_is_none() -> None:
    assert metrics.kolmogorov_smirnov([float("nan")], [1.0]) is None


def test_intervals_hold_their_estimate_and_do_not_depend_on_threads() -> None:
    rng = np.random.default_rng(5)
    y = rng.random(500) < 0.2
    scores = np.clip(y * 0.3 + rng.random(500) * 0.7, 0, 1)
    names = ["roc_auc", "average_precision", "brier", "log_loss", "recall_at_fpr:0.05"]
    told: list[tuple[int, int]] = []
    found = metrics.bootstrap_intervals(
        y,
        scores,
        metrics=names,
        replicates=300,
        random_state=9,
        n_jobs=1,
        progress=lambda *at: told.append(at),
    )
    assert list(found) == names
    assert found["roc_auc"].estimate == metrics.roc_auc_score(y, scores)
    assert all(interval.lower < interval.estimate < interval.upper for interval in found.values())
    assert told[-1] == (300, 300)
    assert found == metrics.bootstrap_intervals(
        y, scores, metrics=names, replicates=300, random_state=9, n_jobs=3
    )
    assert found != metrics.bootstrap_intervals(y, scores, metrics=names, replicates=300, random_state=8)


def test_strided_and_other_arrays_are_the_same_rows() -> None:
    rng = np.random.default_rng(2)
    table = rng.random((50, 3))
    y = rng.random(50) < 0.4
    expected = metrics.roc_auc_score(y, table[:, 1].copy())
    for scores in (
        table[:, 1],
        np.asfortranarray(table)[:, 1],
        table[:, 1].tolist(),
        table[:, 1].astype(">f8"),
    ):
        for labels in (y, y.astype(int), y.astype(float), y.tolist(), y[::-1][::-1]):
            assert metrics.roc_auc_score(labels, scores) == expected


NAN = float("nan")


@pytest.mark.parametrize(
    ("code", "call"),
    [
        (Code.SHAPE_MISMATCH, lambda: metrics.roc_auc_score([0, 1], [0.5])),
        (Code.SHAPE_MISMATCH, lambda: metrics.roc_auc_score([[0, 1]], [[0.5, 0.6]])),
        (Code.SHAPE_MISMATCH, lambda: metrics.brier_score([0, 1], [0.5, 0.6], sample_weight=[1.0])),
        (Code.DATASET_EMPTY, lambda: metrics.brier_score([], [])),
        (Code.DEGENERATE_LABELS, lambda: metrics.roc_auc_score([1, 1], [0.5, 0.6])),
        (Code.NON_FINITE_INPUT, lambda: metrics.roc_auc_score([0, 1], [0.5, NAN])),
        (Code.NON_FINITE_INPUT, lambda: metrics.roc_auc_score([0, 1], [0.5, 0.6], sample_weight=[1, -1])),
        (Code.PARAMETER_INVALID, lambda: metrics.roc_auc_score([0, 2], [0.5, 0.6])),
        (Code.PARAMETER_INVALID, lambda: metrics.roc_auc_score(["a", "b"], [0.5, 0.6])),
        (Code.PARAMETER_INVALID, lambda: metrics.log_loss([0, 1], [0.5, 1.5])),
        (Code.PARAMETER_INVALID, lambda: metrics.precision_at_k([0, 1], [0.5, 0.6], k=0)),
        (Code.PARAMETER_INVALID, lambda: metrics.confusion([0, 1], [0.5, 0.6], threshold=NAN)),
        (Code.PARAMETER_INVALID, lambda: metrics.recall_at_fpr([0, 1], [0.5, 0.6], fpr=1.1)),
        (Code.PARAMETER_INVALID, lambda: metrics.reliability([0, 1], [0.5, 0.6], bins=0)),
        (Code.PARAMETER_INVALID, lambda: metrics.reliability([0, 1], [0.5, 0.6], by="size")),  # type: ignore[arg-type]
        (Code.PARAMETER_INVALID, lambda: metrics.bootstrap_intervals([0, 1], [0.5, 0.6], metrics=["f1"])),
        (
            Code.PARAMETER_INVALID,
            lambda: metrics.bootstrap_intervals([0, 1], [0.5, 0.6], metrics=["recall_at_fpr:x"]),
        ),
        (Code.PARAMETER_INVALID, lambda: metrics.bootstrap_intervals([0, 1], [0.5, 0.6], n_jobs=0)),
        (Code.COLUMN_TYPE_INVALID, lambda: metrics.roc_auc_score([0, 1], ["0.5", "0.6"])),
        (Code.COLUMN_TYPE_INVALID, lambda: metrics.kolmogorov_smirnov([1j], [1.0])),
        (Code.COLUMN_TYPE_INVALID, lambda: metrics.population_stability(np.array([object()]), [1.0])),
        (
            Code.COLUMN_TYPE_INVALID,
            lambda: metrics.entity_precision_at_k([0, 1], [0.5, 0.6], entity=[1, 2], day=[0.5, 1.5], k=1),
        ),
        (
            Code.NULL_NOT_ALLOWED,
            lambda: metrics.entity_precision_at_k(
                [0, 1], [0.5, 0.6], entity=[1, 2], day=np.array(["NaT", "2024-01-01"], "M8[D]"), k=1
            ),
        ),
    ],
)
def test_what_has_no_answer_is_refused(code: Code, call: Callable[[], object]) -> None:
    with pytest.raises(ModelFactoryError) as caught:
        call()
    assert caught.value.code is code
