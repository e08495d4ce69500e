"""From a dataset to a model that is published, served and proved, through the API alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import model_factory as mf
from model_factory import documents
from tests.bench import SCOPE, arrow, build, config, events, governance, opened, train


def test_from_payments_to_a_model_that_serves(tmp_path: Path) -> None:
    factory = opened(tmp_path)
    run = train(factory, build(factory))
    assert (run.state, run.gate, run.reason, run.publish_allowed) == ("PASS", "PASS", None, False)
    bundle = run.publish()
    assert (run.state, bundle.scope, bundle.id) == ("PUBLISHED", SCOPE, run.bundle_id)
    factory.registry.promote(bundle, actor="carol", reason="the first")
    model = factory.registry.resolve(SCOPE).load()
    assert model.bundle == bundle
    assert model.feature_names == [column["name"] for column in bundle.document["input_schema"]]
    assert factory.verify(bundle)["gate_confirmed"]
    factory.rebuild(bundle)
    assert factory.fsck() == {"runs": 1, "bundles": 1, "scopes": 1, "findings": []}


def test_a_run_shows_what_it_left_behind(published: tuple[Path, mf.Dataset, str]) -> None:
    root, dataset, run_id = published
    run = opened(root).run(run_id)
    of_evidence = {
        "resolved_plan": run.plan,
        "execution_record": run.record,
        "eval_report": run.report,
        "gate_receipt": run.receipt,
        "bundle": run.bundle,
        "measurements": run.measurements,
        "run_receipt": run.run_receipt,
        "train_request": run.request,
    }
    for name, document in of_evidence.items():
        assert document is not None
        jsonschema.validate(document, documents.schema(name))
    assert run.request["dataset_manifests"] == [dataset.reference]
    assert 0.5 < (run.metrics["roc_auc"] or 0) <= 1
    assert {"average_precision", "brier", "capacity_precision_at_k_10"} <= set(run.metrics)
    assert [event["kind"] for event in run.events][:2] == ["SUBMITTED", "CLAIMED"]
    hashes = [event["hash"] for event in run.events]
    assert [event["previous"] for event in run.events] == [None, *hashes[:-1]]
    assert run_id in repr(run)
    assert run.measurements is not None
    assert set(run.measurements["stage_seconds"]) == {"resolve", "guard", "train", "evaluate"}


def test_a_gate_that_says_fail_is_no_error(
    built: tuple[Path, mf.Dataset], copied: Callable[[Path], Path]
) -> None:
    root = copied(built[0])
    run = train(opened(root), built[1], governance=governance(1.5))
    assert (run.state, run.gate, run.reason, run.bundle, run.bundle_id) == ("FAIL", "FAIL", None, None, None)
    assert run.receipt is not None
    assert run.metrics["roc_auc"] is not None
    assert opened(root).fsck()["findings"] == []


def test_config_and_governance_may_be_files(
    built: tuple[Path, mf.Dataset], copied: Callable[[Path], Path], tmp_path: Path
) -> None:
    root = copied(built[0])
    (tmp_path / "governance.json").write_text(json.dumps(governance()))
    window = config()["split"]
    lines = [
        'config_id = "test"',
        'revision = "1"',
        'model = { family = "gradient_boosting", n_estimators = 20 }',
        "seed_policy = { base_seed = 1 }",
        "[split]",
        'strategy = "time"',
        'gap = "7d"',
        *(
            f'{name} = {{ start = "{window[name]["start"]}", end = "{window[name]["end"]}" }}'
            for name in ("train", "test")
        ),
        "[evaluation]",
        'capacity = { entity = "customer", k = 10 }',
        'known_positives = { entity = "customer", delay_days = 7 }',
        'slices = [{ column = "amount", edges = [50.0] }]',
        "bootstrap = { replicates = 20 }",
    ]
    (tmp_path / "config.toml").write_text("\n".join(lines))
    of_files = train(
        opened(root),
        built[1],
        config=str(tmp_path / "config.toml"),
        governance=tmp_path / "governance.json",
    )
    assert of_files.id == train(opened(root), built[1]).id


def test_constraints_find_features_by_name(
    built: tuple[Path, mf.Dataset], copied: Callable[[Path], Path]
) -> None:
    factory = opened(copied(built[0]))
    names = built[1].feature_names
    # In another order than the dataset's, so that a position is no name.
    backwards = names[::-1]
    falling = {
        "family": "gradient_boosting",
        "monotonic_cst": {"amount": -1},
        "interaction_cst": [["amount", backwards[0]]],
    }
    run = train(
        factory,
        built[1],
        config=config(model=falling, features=backwards),
        governance=governance(0.0),
    )
    assert run.plan is not None
    assert run.plan["training_config"]["model"]["monotonic_cst"] == {"amount": -1}
    factory.registry.promote(run.publish(), actor="carol", reason="it falls")
    model = factory.registry.resolve(SCOPE).load()
    rows = {name: np.repeat(np.arange(20.0), 300) for name in names}
    rows["amount"] = np.tile(np.linspace(-10.0, 500.0, 300), 20)
    steps = np.diff(model.predict_proba(rows).reshape(20, 300), axis=1)
    assert (steps <= 1e-15).all()
    assert (steps < -1e-3).any()


def test_stages_are_reported_in_order(built: tuple[Path, mf.Dataset], copied: Callable[[Path], Path]) -> None:
    stages: list[str] = []

    def report(stage: str, done: int, total: int) -> None:
        assert done >= 0
        assert total >= 0
        if stage not in stages:
            stages.append(stage)

    factory = mf.open(copied(built[0]), principal="alice", progress=report)
    train(factory, built[1], publish=True)
    order = ["resolve", "guard", "train", "evaluate", "gate", "publish"]
    assert stages
    assert stages == sorted(stages, key=order.index)


def test_work_that_was_stopped_is_carried_on(
    built: tuple[Path, mf.Dataset], copied: Callable[[Path], Path]
) -> None:
    class EnoughError(Exception):
        pass

    def stop(*_: object) -> None:
        raise EnoughError

    root = copied(built[0])
    slow = config(model={"family": "gradient_boosting", "n_estimators": 2000})
    with pytest.raises(EnoughError):
        train(mf.open(root, principal="alice", progress=stop), built[1], config=slow)
    (run,) = opened(root).runs()
    assert (run.state, run.reason) == ("QUEUED", "INTERRUPTED")
    assert opened(root).fsck()["findings"] == []


def test_runs_wait_for_a_worker(built: tuple[Path, mf.Dataset], copied: Callable[[Path], Path]) -> None:
    root = copied(built[0])
    factory = opened(root)
    request = train(factory, built[1]).request
    other = request | {"request_id": "another-request", "target_scope": json_scope("prod/card/second")}
    run = factory.submit(other)
    assert run.state == "QUEUED"
    assert [run.id] == [waiting.id for waiting in factory.runs(state="QUEUED")]
    done = factory.work()
    assert done is not None
    assert (done.id, done.state) == (run.id, "PASS")
    assert factory.work() is None
    assert run.refresh().state == "PASS"
    third = factory.submit(
        other | {"request_id": "a-third-one", "target_scope": json_scope("prod/card/third")}
    )
    last = factory.work(once=False)
    assert last is not None
    assert last.id == third.id
    assert len(factory.runs()) == 3
    assert len(factory.runs(limit=1)) == 1


def json_scope(text: str) -> dict[str, str | None]:
    environment, mode, slot = text.split("/")
    return {"environment": environment, "mode": mode, "bundle_slot": slot, "tenant_id": None}


def test_what_is_filled_in_can_be_seen(tmp_path: Path) -> None:
    defaults = mf.open(tmp_path, progress=False).defaults
    assert defaults.platform_run_id == "local"
    assert defaults.principal
    assert defaults.code_release_id.startswith("model_factory-")
    assert opened(tmp_path, principal="carol").defaults.principal == "carol"


def test_a_factory_needs_a_thread_and_a_folder(tmp_path: Path) -> None:
    for threads in (0, -1, 1.5, True):
        with pytest.raises(mf.errors.InputAdmissionError) as refused:
            opened(tmp_path, threads=threads)
        assert refused.value.code == "PARAMETER_INVALID"
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(mf.errors.ExecutionError) as closed:
        opened(tmp_path / "file")
    assert closed.value.code == "STORE_UNAVAILABLE"


def test_datasets_of_another_order_are_one_run(tmp_path: Path) -> None:
    factory = opened(tmp_path)
    table = arrow(events())
    halves = [build(factory, events=half) for half in (table.slice(0, 3_000), table.slice(3_000))]
    assert halves[0].id != halves[1].id
    run = train(factory, halves, governance=governance(0.0))
    assert train(factory, halves[::-1], governance=governance(0.0)).id == run.id
    assert len(factory.runs()) == 1


def test_threads_that_ask_for_the_same_make_one_run(
    built: tuple[Path, mf.Dataset], copied: Callable[[Path], Path]
) -> None:
    factory = opened(copied(built[0]))
    together = threading.Barrier(8)

    def ask(_: int) -> mf.Run | mf.errors.ModelFactoryError:
        together.wait()
        try:
            return train(factory, built[1])
        except mf.errors.ExecutionError as refused:
            return refused

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, range(8)))
    runs = [answer for answer in answers if isinstance(answer, mf.Run)]
    others = [answer for answer in answers if not isinstance(answer, mf.Run)]
    assert {run.id for run in runs} == {run.id for run in factory.runs()}
    assert len(factory.runs()) == 1
    assert all((answer.code, answer.retryable) == ("LEASE_LOST", True) for answer in others)
    # Once it is judged the same call gives it, whoever asks.
    assert train(factory, built[1]).id == runs[0].id
    assert [event["kind"] for event in runs[0].events].count("CLAIMED") == 1
    assert factory.fsck()["findings"] == []


def test_threads_that_fit_the_same_come_to_the_same_model() -> None:
    rows = np.random.default_rng(1).normal(size=(2_000, 4))
    positive = rows[:, 0] > 1
    one = mf.GradientBoosting(n_estimators=20)
    expected = mf.GradientBoosting(n_estimators=20).fit(rows, positive).predict_proba(rows)

    def fit(number: int) -> bool:
        # Half of them fit one estimator, which is as the last of them left it.
        estimator = one if number % 2 else mf.GradientBoosting(n_estimators=20)
        return np.array_equal(estimator.fit(rows, positive).predict_proba(rows), expected)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(fit, range(8)))
