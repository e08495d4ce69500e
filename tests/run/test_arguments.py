"""Arguments of another kind: refused at the door by their name, and nothing is recorded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import model_factory as mf
from tests.bench import SCOPE, build, config, opened, train

Published = tuple[Path, mf.Dataset, str]
Built = tuple[Path, mf.Dataset]
Call = Callable[[mf.Factory, mf.Dataset], object]

REQUEST = {"request_id": "a-request"}

WRONG: dict[str, tuple[str, Call]] = {
    "a dataset's id": ("dataset", lambda factory, data: train(factory, data.id)),  # type: ignore[arg-type]
    "no dataset": ("dataset", lambda factory, _: train(factory, None)),  # type: ignore[arg-type]
    "ids of datasets": ("dataset/0", lambda factory, data: train(factory, [data.id])),  # type: ignore[list-item]
    "no config": ("config", lambda factory, data: train(factory, data, config=None)),
    "a list for a config": ("config", lambda factory, data: train(factory, data, config=[config()])),
    "no governance": ("governance", lambda factory, data: train(factory, data, governance=None)),
    "no scope": ("scope", lambda factory, data: train(factory, data, scope=None)),
    "a number for a run": ("run_id", lambda factory, _: factory.run(5)),  # type: ignore[arg-type]
    "a number for the only run": ("run_id", lambda factory, _: factory.work(5)),  # type: ignore[arg-type]
    "a number to publish": ("run_id", lambda factory, _: factory.publish_retry(5)),  # type: ignore[arg-type]
    "a text for a limit": ("limit", lambda factory, _: factory.runs(limit="a")),  # type: ignore[arg-type]
    "a number for a state": ("state", lambda factory, _: factory.runs(5)),  # type: ignore[arg-type]
    "nothing to load": ("bundle", lambda factory, _: factory.load(None)),  # type: ignore[arg-type]
    "nothing to verify": ("bundle", lambda factory, _: factory.verify(None)),  # type: ignore[arg-type]
    "nothing to promote": (
        "bundle",
        lambda factory, _: factory.registry.promote(None, reason="x"),  # type: ignore[arg-type]
    ),
    "no scope to resolve": ("scope", lambda factory, _: factory.registry.resolve(None)),  # type: ignore[arg-type]
    "a document of another kind": ("name", lambda factory, _: factory.store("oracle", {})),
    "a document that is none": ("document", lambda factory, _: factory.store("training_config", 5)),  # type: ignore[arg-type]
    "a request that is none": ("request", lambda factory, _: factory.submit(5)),  # type: ignore[arg-type]
    "a job's name of another form": ("name", lambda factory, _: factory.post(REQUEST, name="a/b")),
    "a feature's name of another form": (
        "available/1",
        lambda factory, _: factory.registry.resolve(SCOPE, available=["amount", "é"]),
    ),
    "features as a text": (
        "available",
        lambda factory, _: factory.registry.resolve(SCOPE, available="amount"),
    ),
}


# Copies: what a test that was refused still holds open must not lie in a folder that others copy.
@pytest.fixture(scope="module")
def own_built(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Built:
    root = tmp_path_factory.mktemp("own_built") / "factory"
    shutil.copytree(built[0], root)
    return root, built[1]


@pytest.fixture(scope="module")
def own_published(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Published:
    root = tmp_path_factory.mktemp("own_published") / "factory"
    shutil.copytree(published[0], root)
    return root, published[1], published[2]


@pytest.mark.parametrize(("place", "call"), WRONG.values(), ids=WRONG)
def test_an_argument_of_another_kind_is_refused_by_name(own_built: Built, place: str, call: Call) -> None:
    factory = opened(own_built[0])
    with pytest.raises(mf.errors.InputAdmissionError) as refused:
        call(factory, own_built[1])
    assert refused.value.code == "PARAMETER_INVALID"
    assert refused.value.problems[0]["pointer"] == place
    assert factory.runs() == []


@pytest.mark.parametrize("how", [{"reason": 5}, {"reason": "x", "actor": 5}])
def test_who_acts_and_why_are_texts(own_published: Published, how: dict[str, Any]) -> None:
    factory = opened(own_published[0])
    bundle = factory.run(own_published[2]).publish()
    with pytest.raises(mf.errors.InputAdmissionError) as refused:
        factory.registry.promote(bundle, **how)
    assert refused.value.problems[0]["pointer"] in how
    assert factory.registry.resolve(SCOPE).bundle_id is None


@pytest.mark.parametrize("name", ["", "a b", "é", "a" * 129])
def test_nobody_acts_under_another_form_of_name(own_published: Published, name: str) -> None:
    factory = opened(own_published[0])
    run = factory.run(own_published[2])
    bundle = run.publish()
    registry = factory.registry
    for act in (
        lambda: run.cancel("x", actor=name),
        lambda: registry.approve(bundle, actor=name, reason="x"),
        lambda: registry.promote(bundle, actor=name, reason="x"),
        lambda: registry.rollback(SCOPE, actor=name, reason="x"),
        lambda: registry.retire(bundle, actor=name, reason="x"),
    ):
        with pytest.raises(mf.errors.InputAdmissionError) as refused:
            act()
        assert (refused.value.code, refused.value.problems[0]["pointer"]) == ("PARAMETER_INVALID", "actor")
    with pytest.raises(mf.errors.InputAdmissionError) as refused:
        mf.open(own_published[0], principal=name)
    assert (refused.value.code, refused.value.problems[0]["pointer"]) == ("PARAMETER_INVALID", "principal")


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"root": None}, "PARAMETER_INVALID"),
        ({"keys": 5}, "PARAMETER_INVALID"),
        ({"keys": __file__}, "PARAMETER_INVALID"),
        ({"principal": "a b"}, "PARAMETER_INVALID"),
        ({"platform_run_id": "../x"}, "RUN_SCOPE_INVALID"),
        ({"platform_run_id": 5}, "PARAMETER_INVALID"),
    ],
)
def test_what_a_factory_would_fail_by_later_is_refused_when_it_is_opened(
    how: dict[str, Any], code: str, tmp_path: Path
) -> None:
    with pytest.raises(mf.errors.InputAdmissionError) as refused:
        mf.open(**({"root": tmp_path / "root"} | how))
    assert refused.value.code == code
    assert not (tmp_path / "root").exists()


def test_a_column_is_no_table_of_features(own_published: Published) -> None:
    model = opened(own_published[0]).load(opened(own_published[0]).run(own_published[2]).publish())
    with pytest.raises(mf.errors.ModelFactoryError):
        model.predict_proba(pd.Series([1.0, 2.0]))


def test_everything_that_a_user_holds_says_what_it_is(own_published: Published) -> None:
    factory = opened(own_published[0])
    bundle = factory.run(own_published[2]).publish()
    assert repr(factory) == f"<Factory in {str(own_published[0])!r}: signs as {factory.signer}>"
    assert repr(factory.registry) == f"<Registry of the factory in {str(own_published[0])!r}>"
    assert repr(factory.registry.resolve(SCOPE)) == "<Resolution FAIL_CLOSED: NO_ACTIVE_BUNDLE>"
    served = factory.registry.resolve(SCOPE, fallback=bundle)
    assert repr(served) == f"<Resolution SAFE_FALLBACK: {bundle.id}>"
    assert bundle.id in repr(factory.load(bundle))


def test_a_missing_value_is_refused_by_its_feature_s_name(tmp_path: Path) -> None:
    factory = opened(tmp_path)
    gaps = [mf.column("amount"), mf.window("customer", "1d").std("amount", "spread")]
    dataset = build(factory, features=gaps)
    with pytest.raises(mf.errors.DataError) as refused:
        train(factory, dataset, config=config(model={"family": "logistic_regression"}))
    assert refused.value.code == "NON_FINITE_INPUT"
    assert "features/spread should be" in refused.value.detail


def test_numbers_of_numpy_are_numbers(own_built: Built) -> None:
    factory = opened(own_built[0])
    stored = factory.store("training_config", complete(seed_policy={"base_seed": 3}))
    assert factory.store("training_config", complete(seed_policy={"base_seed": np.int64(3)})) == stored


def complete(**changes: Any) -> dict[str, Any]:
    """A config that stands alone."""
    of_data = {
        "label": {"family": "card_fraud"},
        "feature_definition_set": {"feature_set_id": "cards", "feature_set_version": "1"},
    }
    return config(**of_data, **changes)
