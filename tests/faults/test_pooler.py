"""Workers and callers behind a real PgBouncer: fewer processes of the server than clients, nothing lost."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import model_factory as mf
from model_factory.errors import ExecutionError
from tests import postgres
from tests.faults.places import Servers, Worker, dataset, submit, wait_until
from tests.store.servers import in_ci

RUNS = 12


@pytest.fixture
def pooler() -> Path:
    found = postgres.pooler()
    if found is None and not in_ci():
        pytest.skip("no PgBouncer on this machine")
    assert found is not None, "CI needs PgBouncer"
    return found


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_runs_are_admitted_carried_out_and_looked_at(servers: Servers, pooler: Path, mode: str) -> None:
    place = servers.place()
    factory = place.open()
    data = dataset(factory)
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(postgres.pooled(servers.postgres, pooler, mode))
        behind = servers.through(place, port)
        workers = [stack.enter_context(Worker(behind)) for _ in range(3)]
        callers = [behind.open() for _ in range(4)]

        def call(number: int) -> str:
            caller = callers[number % len(callers)]
            run = submit(caller, data, number)
            assert caller.run(run).id == run
            assert submit(caller, data, number) == run
            return run

        with ThreadPoolExecutor(len(callers)) as pool:
            runs = set(pool.map(call, range(RUNS)))
        assert len(runs) == RUNS
        wait_until(lambda: {each.state for each in callers[0].runs()} == {"PUBLISHED"})
        for caller in callers:
            assert {each.id for each in caller.runs()} == runs
            assert caller.fsck()["findings"] == []
        for worker in workers:
            worker.stop()
        troubles = [line for worker in workers for line in worker.told if line["kind"] == "trouble"]
        assert troubles == []
    assert factory.fsck()["findings"] == []


def test_one_that_lets_no_transaction_be_is_told(servers: Servers, pooler: Path) -> None:
    with postgres.pooled(servers.postgres, pooler, "statement") as port:
        place = servers.through(servers.place(), port)
        with pytest.raises(ExecutionError, match="a pooler before it lets no transaction be") as refused:
            place.open()
        assert refused.value.code == mf.Code.LEDGER_UNAVAILABLE
