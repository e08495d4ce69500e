"""A worker that begins while store or ledger are away waits; what waiting cannot mend ends it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from tests.faults.judging import are_over
from tests.faults.outages import proxied
from tests.faults.places import Place, Servers, Worker, dataset, submit, wait_until
from tests.store.lookalike import Manners, lookalike


@pytest.mark.parametrize(
    ("away", "code"), [("store", "STORE_UNAVAILABLE"), ("database", "LEDGER_UNAVAILABLE")]
)
def test_a_worker_begins_once_store_and_ledger_are_there(servers: Servers, away: str, code: str) -> None:
    place = servers.place()
    factory = place.open()
    submit(factory, dataset(factory), 1)
    with proxied(servers.s3.port) as store, proxied(servers.postgres.port) as database:
        proxy = {"store": store, "database": database}[away]
        proxy.change("away")
        address = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{store.port}"}
        with Worker(servers.through(place, database.port), **address) as worker:
            wait_until(lambda: len(worker.told) > 1)
            assert {(news["kind"], news["code"]) for news in worker.told} == {("trouble", code)}
            proxy.change("fair")
            wait_until(lambda: are_over(factory, 1))
            assert worker.stop() == 0
    assert [run.state for run in factory.runs()] == ["PUBLISHED"]


def test_a_worker_that_waits_for_an_answer_stops_when_it_is_told_to(servers: Servers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = servers.through(servers.place(), silent.getsockname()[1])
        with Worker(place) as worker:
            asked, _ = silent.accept()
            with asked:
                begun = time.monotonic()
                assert worker.stop() == 0
                assert time.monotonic() - begun < 5


def ended(place: Place, monkeypatch: pytest.MonkeyPatch, **environment: str) -> tuple[int, str, bool]:
    """How a worker ends by itself: its status, the code, and whether the same may succeed later."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-m", "model_factory.cli", "work", "--json", *place.options()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    (line,) = done.stdout.splitlines()
    failure = json.loads(line)
    assert place.how["ledger"] not in line
    return done.returncode, failure["code"], failure["retryable"]


def test_refused_credentials_and_a_database_that_is_not_there_end_a_worker(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = servers.place()
    nobody = place.how["ledger"].replace("owner@", "nobody@")
    as_nobody = replace(place, how={**place.how, "ledger": nobody})
    assert ended(as_nobody, monkeypatch) == (15, "LEDGER_UNAVAILABLE", False)
    nowhere = replace(place, how={**place.how, "ledger": f"{place.how['ledger']}-not-made"})
    assert ended(nowhere, monkeypatch) == (15, "LEDGER_UNAVAILABLE", False)
    with lookalike(Manners(lets_in=False)) as shut:
        assert ended(place, monkeypatch, AWS_ENDPOINT_URL=shut.url) == (15, "STORE_UNAVAILABLE", False)
    with lookalike(Manners(honours_condition=False)) as careless:
        assert ended(place, monkeypatch, AWS_ENDPOINT_URL=careless.url) == (15, "STORE_UNSUITABLE", False)
