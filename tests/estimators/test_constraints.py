"""Constraints on what boosting may make of its features, and fits that are carried on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from model_factory.errors import Code, ModelFactoryError
from model_factory.estimators import GradientBoosting
from tests.estimators.test_estimators import rows

NAMES = ["amount", "risk", "hour", "count"]


def table(features: NDArray[np.float64]) -> Any:
    return pd.DataFrame(features, columns=NAMES)


def odds(features: Any, y: Any, **options: Any) -> NDArray[np.float64]:
    return GradientBoosting(**options).fit(features, y).decision_function(features)


def test_a_score_goes_the_way_it_may() -> None:
    features, y = rows(2_000)
    model = GradientBoosting(monotonic_cst=[1, 0, -1, 0]).fit(features, y)
    free = GradientBoosting().fit(features, y)
    for column, sign in ((0, 1.0), (2, -1.0)):
        fresh = np.repeat(rows(50, 1)[0], 400, axis=0)
        fresh[:, column] = np.tile(np.linspace(-6.0, 6.0, 400), 50)
        steps, free_steps = (
            sign * np.diff(each.decision_function(fresh).reshape(50, 400)) for each in (model, free)
        )
        assert (steps >= 0.0).all()
        assert (free_steps < 0.0).any()


def test_directions_go_by_position_or_by_name() -> None:
    features, y = rows()
    expected = odds(features, y, monotonic_cst=[1, 0, 0, -1])
    assert (expected != odds(features, y)).any()
    named = {"count": -1, "amount": 1}
    for found in (
        odds(features, y, monotonic_cst=np.array([1, 0, 0, -1], dtype=np.int8)),
        odds(table(features), y, monotonic_cst=named),
        odds(table(features), y, monotonic_cst=(1, 0, 0, -1)),
        odds(table(features)[NAMES], y, monotonic_cst={**named, "risk": np.int64(0)}),
    ):
        assert found.tobytes() == expected.tobytes()
    assert odds(features, y, monotonic_cst=[0, 0, 0, 0]).tobytes() == odds(features, y).tobytes()


def test_groups_go_by_position_or_by_name_in_any_order() -> None:
    features, y = rows()
    expected = odds(features, y, interaction_cst=[[0, 1], [2]])
    assert (expected != odds(features, y)).any()
    for groups in (({2}, (1, 0, 1)), [["risk", "amount"], ["hour"]], [["hour"], [np.int64(0), "risk"]]):
        assert odds(table(features), y, interaction_cst=groups).tobytes() == expected.tobytes()
    # Columns of no group are one group more.
    assert odds(features, y, interaction_cst=[[0, 1], [2], [3]]).tobytes() == expected.tobytes()
    assert odds(features, y, interaction_cst=[[0, 1]]).tobytes() != expected.tobytes()


@pytest.mark.parametrize(
    ("cst", "together"),
    [([[0, 1]], [0, 1]), ([[2], [3]], [2]), ("no_interactions", [1]), ([[0], [1], [2], [3]], [3])],
)
def test_groups_add_up(cst: Any, together: list[int]) -> None:
    """What one group says does not depend on where the columns of the others stand."""
    features, y = rows(1_000)
    model = GradientBoosting(interaction_cst=cst).fit(features, y)
    one, other = rows(200, 1)[0], rows(200, 2)[0]
    crossed = other.copy()
    crossed[:, together] = one[:, together]
    crossed_back = one.copy()
    crossed_back[:, together] = other[:, together]
    of = model.decision_function
    np.testing.assert_allclose(of(one) + of(other), of(crossed) + of(crossed_back), atol=1e-9)
    of = GradientBoosting().fit(features, y).decision_function
    assert not np.allclose(of(one) + of(other), of(crossed) + of(crossed_back), atol=1e-3)


def test_two_at_a_time_is_less_than_all() -> None:
    features, y = rows(1_000)
    pairs = [[one, other] for one in range(4) for other in range(one)]
    expected = odds(features, y, interaction_cst=pairs)
    assert odds(features, y, interaction_cst="pairwise").tobytes() == expected.tobytes()
    assert (expected != odds(features, y)).any()


@pytest.mark.parametrize(
    "options",
    [
        {"monotonic_cst": [1, 0, 0]},
        {"monotonic_cst": [1, 0, 0, 2]},
        {"monotonic_cst": [1, 0, 0, 0.5]},
        {"monotonic_cst": 1},
        {"monotonic_cst": {"colour": 1}},
        {"monotonic_cst": {"amount": 2}},
        {"monotonic_cst": {0: 1}},
        {"interaction_cst": "threesome"},
        {"interaction_cst": []},
        {"interaction_cst": [[]]},
        {"interaction_cst": 3},
        {"interaction_cst": [1, 2]},
        {"interaction_cst": [[0, 4]]},
        {"interaction_cst": [[-1]]},
        {"interaction_cst": [["colour"]]},
        {"interaction_cst": [[True]]},
        {"grow_policy": "breadth_first"},
    ],
)
def test_refusals_of_constraints(options: dict[str, Any]) -> None:
    features, y = rows(60)
    with pytest.raises(ModelFactoryError) as caught:
        GradientBoosting(**options).fit(table(features), y)
    assert caught.value.code is Code.PARAMETER_INVALID
    assert next(iter(options)) in caught.value.problems[0]["pointer"]


def test_names_need_a_table_that_has_them() -> None:
    features, y = rows(60)
    calls: list[Callable[[], object]] = [
        lambda: GradientBoosting(monotonic_cst={"amount": 1}).fit(features, y),
        lambda: GradientBoosting(interaction_cst=[["amount"]]).fit(features, y),
    ]
    for call in calls:
        with pytest.raises(ModelFactoryError) as caught:
            call()
        assert caught.value.code is Code.PARAMETER_INVALID


def test_levels_are_grown_one_after_the_other() -> None:
    features, y = rows(2_000)
    options: dict[str, Any] = {"n_estimators": 3, "max_leaf_nodes": 8}
    deep = GradientBoosting(**options).fit(features, y).apply(features)
    level = GradientBoosting(**options, grow_policy="depth_wise").fit(features, y).apply(features)
    # All eight leaves of three full levels, which are the last nodes of each tree.
    assert all(sorted(set(tree)) == list(range(7, 15)) for tree in level.T.tolist())
    assert not all(sorted(set(tree)) == list(range(7, 15)) for tree in deep.T.tolist())
    # Without a bound on leaves the order does not matter.
    options = {"n_estimators": 5, "max_leaf_nodes": 65_536, "max_depth": 4}
    assert (
        odds(features, y, **options).tobytes()
        == odds(features, y, **options, grow_policy="depth_wise").tobytes()
    )


def told(model: GradientBoosting, features: NDArray[np.float64]) -> tuple[Any, ...]:
    """Everything that a model says of rows, as bytes."""
    stages = [stage.tobytes() for stage in model.staged_predict_proba(features)]
    arrays = (model.decision_function(features), model.apply(features), model.shap_values(features))
    return (*(array.tobytes() for array in arrays), model.expected_value, stages)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"subsample": 0.5, "random_state": 3},
        {"colsample": 0.5, "random_state": 3},
        {"early_stopping_rounds": 3, "learning_rate": 0.5},
        {"monotonic_cst": [1, 0, -1, 0], "subsample": 0.7, "colsample": 0.7},
    ],
)
def test_a_fit_carried_on_is_the_fit_at_once(options: dict[str, Any]) -> None:
    features, y = rows(500)
    eval_set = rows(300, 1)
    at_once = GradientBoosting(n_estimators=40, **options).fit(features, y, eval_set=eval_set)
    model = GradientBoosting(n_estimators=5, warm_start=True, **options)
    for count in (5, 12, 40, 40):
        model.set_params(n_estimators=count).fit(features, y, eval_set=eval_set)
    assert told(model, features) == told(at_once, features)
    # Without a warm start a fit forgets the former one.
    model.set_params(n_estimators=5, warm_start=False).fit(features, y, eval_set=eval_set)
    assert model.apply(features).shape[1] <= 5


def test_what_cannot_be_carried_on_is_refused() -> None:
    features, y = rows(200)
    model = GradientBoosting(n_estimators=10, warm_start=True).fit(table(features), y)
    before = told(model, features)
    calls: list[tuple[Code, Callable[[], object]]] = [
        (Code.PARAMETER_INVALID, lambda: model.set_params(n_estimators=9).fit(features, y)),
        (Code.FEATURE_SCHEMA_INCOMPATIBLE, lambda: model.set_params(n_estimators=11).fit(features[:, :3], y)),
        (Code.FEATURE_SCHEMA_INCOMPATIBLE, lambda: model.fit(table(features)[NAMES[::-1]], y)),
        (Code.PARAMETER_INVALID, lambda: model.fit(features, y.astype(int) + 1)),
        (Code.PARAMETER_INVALID, lambda: model.set_params(warm_start="yes").fit(features, y)),
    ]
    for code, call in calls:
        with pytest.raises(ModelFactoryError) as caught:
            call()
        assert caught.value.code is code
    assert told(model, features) == before
