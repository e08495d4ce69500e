"""Objects of another moment, or of others, beside a ledger: they get nothing, and what is lost is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import model_factory as mf
from model_factory.errors import ModelFactoryError
from tests.faults.places import CONFIG, Backend, Place, dataset, request, submit


@pytest.fixture(params=["local", "servers"])
def backend(request: pytest.FixtureRequest) -> Backend:
    found: Backend = request.getfixturevalue(request.param)
    return found


def refused(work: Callable[[], object]) -> ModelFactoryError:
    with pytest.raises(ModelFactoryError) as failure:
        work()
    assert not failure.value.retryable
    assert "docs/reliability.md, Copies" in str(failure.value.hint)
    return failure.value


def serve(factory: mf.Factory, tell: Callable[[mf.News], None] = lambda _: None) -> None:
    """Work until something ends the worker; one that nothing ends is stopped, and fails its test."""
    worker = factory.worker()
    impatient = threading.Timer(60, worker.stop)
    impatient.start()
    try:
        worker.serve(tell)
    finally:
        impatient.cancel()


def writes(factory: mf.Factory, asked: dict[str, Any]) -> list[Callable[[], object]]:
    """Everything by which something would be acknowledged where the factory is open."""
    return [
        lambda: factory.submit(asked),
        lambda: factory.store("training_config", CONFIG),
        lambda: factory.post(asked),
        lambda: dataset(factory),
        factory.work,
    ]


def test_objects_that_are_older_than_their_ledger_get_nothing_more(backend: Backend) -> None:
    place = backend.place()
    factory = place.open()
    data = dataset(factory)
    factory.work(submit(factory, data, 1))
    later = request(factory, data, 3)
    yesterday = backend.objects(place)
    second = submit(factory, data, 2)
    factory.work(second)
    today = backend.objects(place)

    backend.bring_back(place, yesterday)
    for opened in (factory, place.open()):
        for write in writes(opened, later):
            failure = refused(write)
            assert failure.code == "STORE_CORRUPT"
            assert "/mf/train_requests/" in str(failure)
    assert refused(lambda: serve(factory)).code == "STORE_CORRUPT"
    assert backend.objects(place) == yesterday
    findings = {(each["code"], each["subject"]) for each in place.open().fsck()["findings"]}
    assert {("STORE_CORRUPT", "objects"), ("EVIDENCE_UNRESOLVED", second)} <= findings

    backend.bring_back(place, today)
    third = factory.submit(later)
    factory.work(third.id)
    assert third.refresh().state == "PUBLISHED"
    assert factory.fsck()["findings"] == []


def test_a_run_that_is_over_and_lost_what_it_left_behind_is_told_as_lost(backend: Backend) -> None:
    """Its objects are of the moment at which it waited: the request is there, and nothing that came of it."""
    place = backend.place()
    factory = place.open()
    data = dataset(factory)
    run = submit(factory, data, 1)
    before = backend.objects(place)
    factory.work(run)
    after = backend.objects(place)

    backend.bring_back(place, before)
    asked = request(factory, data, 1)
    answers: list[Callable[[], object]] = [
        lambda: factory.submit(asked),
        lambda: factory.work(run),
        factory.run(run).publish,
    ]
    for answer in answers:
        failure = refused(answer)
        assert failure.code == "EVIDENCE_UNRESOLVED"
        assert run in str(failure)
    assert refused(lambda: serve(factory)).code == "STORE_CORRUPT"
    assert backend.objects(place) == before

    backend.bring_back(place, after)
    assert factory.submit(asked).state == "PUBLISHED"
    assert factory.fsck()["findings"] == []


def test_objects_that_are_emptied_or_anothers_before_the_first_run_get_nothing(backend: Backend) -> None:
    place = backend.place()
    factory = place.open()
    asked = request(factory, dataset(factory), 1)
    other = backend.place()
    other.open()
    for objects in (backend.objects(other), {}):
        backend.bring_back(place, objects)
        for write in writes(factory, asked):
            failure = refused(write)
            assert failure.code == "STORE_CORRUPT"
            assert "registry/ledger" in str(failure)


def test_a_worker_ends_whose_objects_are_emptied(backend: Backend) -> None:
    place = backend.place()
    factory = place.open()
    submit(factory, dataset(factory), 1)
    assert refused(lambda: serve(factory, lambda _: backend.bring_back(place, {}))).code == "STORE_CORRUPT"


def test_of_two_roots_beside_one_ledger_the_first_to_ask_for_a_run_has_it(backend: Backend) -> None:
    first = backend.place()
    beside = first.how or {"ledger": f"{first.root}/ledger.sqlite", "keys": f"{first.root}/keys"}
    mistyped, root = (place.open() for place in (first, Place(backend.place().root, beside)))
    asked = request(mistyped, dataset(mistyped), 1)
    run = submit(root, dataset(root), 2)
    for write in writes(mistyped, asked):
        failure = refused(write)
        assert failure.code == "STORE_CORRUPT"
        assert "Name the root" in str(failure.hint)
    root.work(run)
    assert root.run(run).state == "PUBLISHED"
    assert root.fsck()["findings"] == []
