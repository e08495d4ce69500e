"""Each suite of faults at a small size, so that none of them rots between two runs of ``make faults``."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults import disk, killed, outages, points, stopped
from tests.faults.places import Backend, Folders, Servers, backends


@pytest.fixture(scope="module")
def found() -> Iterator[dict[str, Backend]]:
    with backends() as each:
        yield {backend.name: backend for backend in each}


@pytest.fixture
def local(found: dict[str, Backend]) -> Folders:
    backend = found["local"]
    assert isinstance(backend, Folders)
    return backend


@pytest.fixture
def servers(found: dict[str, Backend]) -> Servers:
    backend = found.get("servers")
    if not isinstance(backend, Servers):
        pytest.skip("no PostgreSQL (initdb) or no moto on this machine")
    return backend


# At these a process dies without a lease, so that there is nothing to wait for.
WITHOUT_A_LEASE = ["after_submit", "after_job", "after_receipt_run", "after_promote"]


def test_every_failpoint_is_known() -> None:
    names = points.names()
    assert len(names) == len(set(names)) >= 19
    assert {*WITHOUT_A_LEASE, *points.REACHED_BY, *points.LATE, *points.OF_FILES} <= set(names)


def test_processes_killed_at_failpoints_in_a_folder(local: Folders) -> None:
    (tally,) = points.run(local, 2, WITHOUT_A_LEASE)
    assert (tally.tried, tally.lost) == (8, [])


def test_processes_killed_at_failpoints_on_servers(servers: Servers) -> None:
    (tally,) = points.run(servers, 1, WITHOUT_A_LEASE)
    assert (tally.tried, tally.lost) == (4, [])


def test_files_that_may_not_grow_and_file_systems_that_are_full(local: Folders) -> None:
    tallies = disk.run(local, [0], [0])
    assert [(tally.tried, tally.lost) for tally in tallies] == [(1, [])] * len(tallies)


def test_workers_killed_and_stopped_and_servers_away(local: Folders, servers: Servers) -> None:
    # All of them wait for leases of half a minute, which they may as well do together.
    with ThreadPoolExecutor() as pool:
        begun = [
            pool.submit(killed.run, local, killed.Size(2, 8, 2)),
            pool.submit(stopped.run, local, 1),
            pool.submit(outages.run, servers, 8, 6),
        ]
        (dead,), (late,), (away,) = (suite.result() for suite in begun)
    assert (dead.tried, dead.lost) == (2, [])
    assert (late.tried, late.lost) == (1, [])
    assert (away.tried > 0, away.lost) == (True, [])
