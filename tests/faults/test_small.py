"""Each suite of faults at a small size, so that none of them rots between two runs of ``make faults``."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.faults import disk, killed, outages, points, race, stopped
from tests.faults.places import Folders, Servers

# At these a process dies without a lease, so that there is nothing to wait for.
WITHOUT_A_LEASE = ["after_submit", "after_receipt_run", "after_promote"]
# At these it dies in the midst of a run: before its verdict, after it, half-published, or asked for by a job.
WITH_A_LEASE = ["after_job", "after_evaluation", "after_verdict", "after_publication"]


def test_every_failpoint_is_known() -> None:
    names = points.names()
    assert len(names) == len(set(names)) >= 19
    named = {
        *WITHOUT_A_LEASE,
        *WITH_A_LEASE,
        *points.REACHED_BY,
        *points.LATE,
        *points.OF_FILES,
        points.TRAINING,
    }
    assert named <= set(names)


def test_processes_killed_at_failpoints_in_a_folder(local: Folders) -> None:
    (tally,) = points.run(local, 2, WITHOUT_A_LEASE)
    assert (tally.tried, tally.lost) == (6, [])


def test_processes_killed_at_failpoints_on_servers(servers: Servers) -> None:
    (tally,) = points.run(servers, 1, WITHOUT_A_LEASE)
    assert (tally.tried, tally.lost) == (3, [])


def test_one_bundle_published_by_several_at_once_on_servers(servers: Servers) -> None:
    (tally,) = race.run(servers, 4, 4)
    assert (tally.tried, tally.lost) == (16, [])


def test_files_that_may_not_grow_and_file_systems_that_are_full(local: Folders) -> None:
    tallies = disk.run(local, [0], [0])
    assert [(tally.tried, tally.lost) for tally in tallies] == [(1, [])] * len(tallies)


def test_workers_killed_and_stopped_and_servers_away(local: Folders, servers: Servers) -> None:
    # All of them wait for leases of half a minute, which they may as well do together.
    with ThreadPoolExecutor() as pool:
        begun = [
            pool.submit(points.run, local, 1, WITH_A_LEASE),
            pool.submit(killed.run, local, killed.Size(2, 8, 2)),
            pool.submit(stopped.run, local, 1),
            pool.submit(outages.run, servers, 8, 6),
        ]
        (midst,), (dead,), (late,), (away,) = (suite.result() for suite in begun)
    assert (midst.tried, midst.lost) == (len(WITH_A_LEASE), [])
    assert (dead.tried, dead.lost) == (2, [])
    assert (late.tried, late.lost) == (1, [])
    assert (away.tried > 0, away.lost) == (True, [])
