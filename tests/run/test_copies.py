"""A ledger that is older than its objects: what stands in the store is not decided anew."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import model_factory as mf
from model_factory.errors import ExecutionError, InputAdmissionError
from tests.bench import SCOPE, config, governance, objects, opened, train


class Copy:
    """A factory whose ledger is of an earlier moment than its objects."""

    def __init__(self, root: Path, older: Path) -> None:
        self._root, self._older = root, older
        shutil.copytree(root, older)

    def opened(self) -> mf.Factory:
        """Put the present objects beside the older ledger."""
        shutil.rmtree(self._older / "objects")
        shutil.copytree(self._root / "objects", self._older / "objects")
        return opened(self._older)

    def objects(self) -> list[str]:
        return objects(self._older)


def asked(factory: mf.Factory, dataset: mf.Dataset) -> mf.Run:
    """Ask for a run, which waits."""
    whole = config(
        feature_definition_set={"feature_set_id": "cards", "feature_set_version": "1"},
        label={"family": "card_fraud"},
    )
    defaults = factory.defaults
    request: dict[str, Any] = {
        "training_config": factory.store("training_config", whole),
        "governance_profile": factory.store("governance_profile", governance()),
        "dataset_manifests": [dataset.reference],
        "request_id": "of-a-copy",
        "intent_kind": "baseline_train",
        "platform_run_id": defaults.platform_run_id,
        "requester_principal": defaults.principal,
        "target_scope": dict(zip(("environment", "mode", "bundle_slot"), SCOPE.split("/"), strict=True)),
        "policy_revision": defaults.policy_revision,
        "config_revision": defaults.config_revision,
        "code_release_id": defaults.code_release_id,
        "publish_allowed": True,
    }
    return factory.submit(request)


@pytest.fixture
def root(built: tuple[Path, mf.Dataset], copied: Callable[[Path], Path]) -> Path:
    return copied(built[0])


def test_a_run_that_was_judged_is_not_cancelled_by_a_ledger_that_does_not_know(
    root: Path, built: tuple[Path, mf.Dataset], tmp_path: Path
) -> None:
    factory = opened(root)
    run = asked(factory, built[1])
    copy = Copy(root, tmp_path / "older")
    factory.work(run.id)
    assert run.refresh().state == "PUBLISHED"

    late = copy.opened()
    before = copy.objects()
    decisions: list[Callable[[], object]] = [
        lambda: late.run(run.id).cancel("not needed any more"),
        lambda: late.work(run.id),
    ]
    for decide in decisions:
        with pytest.raises(ExecutionError) as failure:
            decide()
        assert failure.value.code == "LEDGER_CORRUPT"
    assert (late.run(run.id).state, copy.objects()) == ("QUEUED", before)
    assert ("LEDGER_CORRUPT", run.id) in {(each["code"], each["subject"]) for each in late.fsck()["findings"]}


def test_a_run_that_was_published_is_not_published_by_a_ledger_that_does_not_know(
    root: Path, built: tuple[Path, mf.Dataset], tmp_path: Path
) -> None:
    factory = opened(root)
    run = train(factory, built[1])
    copy = Copy(root, tmp_path / "older")
    run.publish()

    late = copy.opened()
    before = [each for each in copy.objects() if "/train_requests/" not in each]
    with pytest.raises(ExecutionError) as failure:
        late.run(run.id).publish()
    assert failure.value.code == "LEDGER_CORRUPT"
    assert late.run(run.id).state in {"PASS", "PUBLISH_PENDING"}
    assert [each for each in copy.objects() if "/train_requests/" not in each] == before
    assert ("LEDGER_CORRUPT", run.id) in {(each["code"], each["subject"]) for each in late.fsck()["findings"]}


def test_a_run_is_cancelled_again_beside_its_receipt(root: Path, built: tuple[Path, mf.Dataset]) -> None:
    factory = opened(root)
    run = asked(factory, built[1])
    run.cancel("not needed")
    assert run.cancel("not needed any more").state == "FAIL"
    assert factory.fsck()["findings"] == []


def test_objects_that_are_not_those_of_the_ledger_are_refused(
    root: Path, built: tuple[Path, mf.Dataset], tmp_path: Path
) -> None:
    factory = opened(root)
    run = asked(factory, built[1])
    parts: dict[str, Any] = {"ledger": root / "ledger.sqlite", "keys": root / "keys"}
    mistyped = tmp_path / "mistyped"
    for make in (True, False, True):
        with pytest.raises(InputAdmissionError) as failure:
            opened(mistyped, make=make, **parts)
        assert (failure.value.code, failure.value.problems[0]["pointer"]) == ("SOURCE_UNREADABLE", "root")
        (mistyped / "objects").mkdir(parents=True, exist_ok=True)
    assert objects(mistyped) == []
    assert opened(root, **parts).run(run.id).state == "QUEUED"


def test_objects_that_lost_the_name_of_their_ledger_get_no_other(
    published: tuple[Path, mf.Dataset, str], copied: Callable[[Path], Path]
) -> None:
    root = copied(published[0])
    name = root / "objects/registry/ledger"
    named = name.read_bytes()
    name.unlink()
    with pytest.raises(InputAdmissionError) as failure:
        opened(root, ledger=root / "mistyped.sqlite")
    assert failure.value.code == "SOURCE_UNREADABLE"
    assert not (root / "mistyped.sqlite").exists()
    assert opened(root).run(published[2]).state == "PUBLISHED"
    assert name.read_bytes() == named
