"""PASS is needed and enough where the profile allows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import model_factory as mf
from tests.bench import governance, opened, train


@pytest.fixture
def root(built: tuple[Path, mf.Dataset], copied: Callable[[Path], Path]) -> Path:
    return copied(built[0])


def test_a_fail_is_never_published(built: tuple[Path, mf.Dataset], root: Path) -> None:
    run = train(opened(root), built[1], governance=governance(1.5), publish=True)
    assert run.state == "FAIL"
    with pytest.raises(mf.PublishNotEligible) as refused:
        run.publish()
    assert refused.value.code == "PUBLISH_NOT_ELIGIBLE"
    with pytest.raises(mf.errors.PublishError) as denied:
        opened(root).publish_retry(run.id)
    assert denied.value.code == "RETRY_NOT_PENDING"
    assert opened(root).fsck()["bundles"] == 0


def test_a_pass_waits_for_permission(built: tuple[Path, mf.Dataset], root: Path) -> None:
    run = train(opened(root), built[1])
    assert (run.state, run.publish_allowed) == ("PASS", False)
    with pytest.raises(mf.errors.PublishError) as refused:
        opened(root).publish_retry(run.id)
    assert refused.value.code == "RETRY_NOT_PENDING"
    with pytest.raises(mf.errors.PublishError) as denied:
        opened(root, principal="mallory").run(run.id).publish()
    assert denied.value.code == "PUBLISH_NOT_ALLOWED"
    assert run.refresh().state == "PASS"
    bundle = opened(root, principal="bob").run(run.id).publish()
    assert run.refresh().state == "PUBLISHED"
    assert run.publish() == bundle
    assert [event["kind"] for event in run.events].count("PUBLISH_BEGUN") == 1


def test_a_later_request_may_allow_it(built: tuple[Path, mf.Dataset], root: Path) -> None:
    run = train(opened(root), built[1])
    later = train(opened(root), built[1], publish=True)
    assert (later.id, later.state) == (run.id, "PUBLISHED")
    states = [event["state"] for event in later.events if event["kind"] == "ADVANCED"]
    assert states.count("EVAL_READY") == 1, "publishing never trains"


def test_retries_that_are_used_up_are_allowed_anew_once_the_cause_is_mended(
    built: tuple[Path, mf.Dataset], root: Path
) -> None:
    run = train(opened(root), built[1])
    assert opened(root).work() is None
    blocked = root / "objects" / "registry" / "bundles"
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.symlink_to(root)
    factory = opened(root, principal="bob")
    left: list[int | None] = []
    assert (run.state, run.retries_left) == ("PASS", None)
    for _ in range(4):
        with pytest.raises(mf.errors.ModelFactoryError) as kept:
            factory.run(run.id).publish()
        assert kept.value.code == "STORE_CORRUPT"
        assert (run.refresh().state, run.reason) == ("PUBLISH_PENDING", "STORE_CORRUPT")
        left.append(run.retries_left)
    assert left == [3, 2, 1, 0]
    with pytest.raises(mf.errors.PublishError) as spent:
        factory.publish_retry(run.id)
    assert spent.value.code == "PUBLISH_RETRY_EXHAUSTED"
    assert "allow_retries" in str(spent.value.hint)
    assert run.rests_until is None

    blocked.unlink()
    with pytest.raises(mf.errors.RegistryError) as denied:
        run.allow_retries("why not", actor="mallory")
    assert denied.value.code == "ACTOR_NOT_ALLOWED"
    run.allow_retries("the folder is back", actor="bob")
    assert run.retries_left == 4
    assert run.events[-1]["kind"] == "RETRIES_ALLOWED"
    assert run.events[-1]["detail"] == {"actor": "bob", "reason": "the folder is back"}
    done = factory.work()
    assert done is not None
    assert (done.id, done.state, done.retries_left) == (run.id, "PUBLISHED", None)
    states = [event["state"] for event in done.events if event["kind"] == "ADVANCED"]
    assert states.count("EVAL_READY") == 1, "publishing never trains"
    assert factory.fsck()["findings"] == []
    with pytest.raises(mf.errors.PublishError) as over:
        run.allow_retries("once more", actor="bob")
    assert over.value.code == "RETRY_NOT_PENDING"


def test_who_may_not_publish_is_refused_at_the_door(built: tuple[Path, mf.Dataset], root: Path) -> None:
    with pytest.raises(mf.errors.ModelFactoryError) as refused:
        train(opened(root, principal="mallory"), built[1], publish=True)
    assert refused.value.code == "PUBLISH_NOT_ALLOWED"
    assert opened(root).runs() == []


def test_who_may_not_request_is_refused_at_the_door(built: tuple[Path, mf.Dataset], root: Path) -> None:
    roles = governance()["roles"] | {"request": {"only": ["bob"]}}
    with pytest.raises(mf.errors.InputAdmissionError) as refused:
        train(opened(root), built[1], governance=governance(roles=roles))
    assert refused.value.code == "REQUESTER_NOT_ALLOWED"
    assert opened(root).runs() == []
