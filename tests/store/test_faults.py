"""Servers that are not as they should be, answers that are lost, and servers that are away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import model_factory as mf
from tests.bench import SCOPE, build, train
from tests.store.conftest import Open
from tests.store.lookalike import Manners, lookalike
from tests.store.servers import Server
from tests.store.wire import wire

Published = tuple[Path, mf.Dataset, str]


def test_a_server_that_overwrites_is_refused_before_anything_is_written(
    connect: Open, tmp_path: Path
) -> None:
    manners = Manners(honours_condition=False)
    with lookalike(manners) as server:
        for _ in range(2):
            with pytest.raises(mf.errors.ExecutionError) as refused:
                connect(server)
            assert (refused.value.code, refused.value.retryable) == ("STORE_UNSUITABLE", False)
        assert [key.rpartition("/.")[2] for key in manners.objects] == ["probe/put_if_absent"]
        assert list(tmp_path.iterdir()) == []
        # The same server, once it keeps the condition.
        manners.honours_condition = True
        assert build(connect(server)).rows > 0


def test_a_condition_that_is_switched_off_is_refused(
    s3: Server, connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONDITIONAL_PUT", "disabled")
    with pytest.raises(mf.errors.ExecutionError) as refused:
        connect(s3)
    assert refused.value.code == "STORE_UNSUITABLE"


def test_a_conflict_is_not_taken_for_an_object(connect: Open) -> None:
    manners = Manners()
    with lookalike(manners) as server:
        factory = connect(server)
        manners.puts.clear()
        manners.conflicts = 2
        dataset = build(factory)
        assert factory.datasets.open(**dataset.reference).id == dataset.id
        assert manners.conflicts == 0
        assert len(manners.puts) == len(set(manners.puts)) + 2


def test_a_lost_reply_to_a_put_that_succeeded_is_recognised(
    s3: Server, connect: Open, published: Published
) -> None:
    with wire(s3) as (near, cut):
        factory = connect(near)
        every_kind = [
            "ofs/",
            "manifest",
            "training_configs",
            "train_requests",
            "resolved_train_plan",
            "model",
            "bundle",
        ]
        cut.lose += every_kind
        run = train(factory, build(factory), publish=True)
        assert (run.id, run.state) == (published[2], "PUBLISHED")
        assert (len(cut.lost), cut.lose) == (len(every_kind), [])
        assert factory.fsck()["findings"] == []


def test_an_event_of_the_registry_whose_reply_was_lost_is_written_once(s3: Server, connect: Open) -> None:
    with wire(s3) as (near, cut):
        factory = connect(near)
        bundle = train(factory, build(factory), publish=True).publish()
        for verb in ("promote", "retire"):
            cut.lose.append("/events/")
            getattr(factory.registry, verb)(bundle, actor="carol", reason="a test")
            assert cut.lose == []
        assert len(cut.lost) == 2
        kinds = [event["kind"] for event in factory.registry.history(SCOPE)]
        assert kinds == ["BUNDLE_PUBLISHED", "BUNDLE_PROMOTED_ACTIVE", "BUNDLE_RETIRED"]
        assert factory.fsck()["findings"] == []


def test_a_run_stays_open_while_the_server_is_away_and_goes_on(
    s3: Server, connect: Open, published: Published
) -> None:
    with wire(s3) as (near, cut):
        factory = connect(near)
        dataset = build(factory)
        cut.cut_before = "resolved_train_plan"
        with pytest.raises(mf.errors.ExecutionError) as away:
            train(factory, dataset)
        assert (away.value.code, away.value.retryable) == ("STORE_UNAVAILABLE", True)
        (run,) = factory.runs()
        assert (run.state, run.reason) == ("QUEUED", "STORE_UNAVAILABLE")
        cut.cut_before = None
        assert train(factory, dataset).state == "PASS"
        assert factory.run(published[2]).state == "PASS"


def test_a_publication_waits_while_the_registry_is_away_and_goes_on_without_training(
    s3: Server, connect: Open
) -> None:
    with wire(s3) as (near, cut):
        factory = connect(near)
        dataset = build(factory)
        cut.cut_before = "registry/bundles"
        with pytest.raises(mf.errors.ModelFactoryError) as away:
            train(factory, dataset, publish=True)
        assert away.value.retryable
        (run,) = factory.runs()
        assert run.state == "PUBLISH_PENDING"
        cut.cut_before = None
        assert factory.publish_retry(run.id).state == "PUBLISHED"
        states = [event["state"] for event in run.refresh().events if event["kind"] == "ADVANCED"]
        assert states.count("EVAL_READY") == 1
        assert factory.fsck()["findings"] == []


def test_a_server_that_is_not_there_is_told_as_such(connect: Open, tmp_path: Path) -> None:
    with lookalike(Manners()) as gone:
        pass
    with pytest.raises(mf.errors.ExecutionError) as refused:
        connect(gone)
    assert (refused.value.code, refused.value.retryable) == ("STORE_UNAVAILABLE", True)
    assert "refused" in refused.value.detail
    assert list(tmp_path.iterdir()) == []


FORKED = """
import os, sys
import model_factory as mf
root, ledger, keys = sys.argv[1:]
factory = mf.open(root, ledger=ledger, keys=keys, progress=False)
child = os.fork()
if child == 0:
    try:
        factory.datasets.open("a/b", "sha256:" + 64 * "0")
    except mf.errors.ExecutionError as refused:
        told = refused.code == "STORE_UNAVAILABLE" and "each process" in refused.hint
    del factory
    os._exit(0 if told else 1)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_fork_is_told_to_open_again_and_ends(s3: Server, connect: Open, tmp_path: Path) -> None:
    connect(s3)
    arguments = (f"s3://factory-objects/{tmp_path.name}", tmp_path / "forked.sqlite", tmp_path / "keys")
    command = [sys.executable, "-W", "ignore", "-c", FORKED, *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
