"""Workers stopped past their lease and continued: what they then write is refused."""

from __future__ import annotations

import signal
import time
from functools import partial
from typing import TYPE_CHECKING

from tests.faults.judging import are_over, judge
from tests.faults.places import LEASE_SECONDS, SLOW, Worker, dataset, submit, wait_until
from tests.faults.tally import Tally

if TYPE_CHECKING:
    import model_factory as mf
    from tests.faults.places import Backend

WORKERS = 4
FIRST_SEED = 900_000


def run(backend: Backend, number: int = WORKERS) -> list[Tally]:
    """Stop workers in the midst of runs, let others take these over, and continue the first."""
    tally = Tally(f"workers stopped past their lease ({backend.name})")
    place = backend.place()
    factory = place.open()
    data = dataset(factory)
    ids = [submit(factory, data, FIRST_SEED + each, SLOW) for each in range(number)]
    workers = [Worker(place) for _ in range(number)]
    try:
        wait_until(lambda: all(factory.run(each).state != "QUEUED" for each in ids))
        for worker in workers:
            worker.process.send_signal(signal.SIGSTOP)
            tally.tried += 1
        held = [epoch(factory, each) for each in ids]
        time.sleep(LEASE_SECONDS + 1)
        workers += [Worker(place) for _ in range(2)]
        wait_until(lambda: all(epoch(factory, each) > old for each, old in zip(ids, held, strict=True)))
        for worker in workers[:number]:
            worker.process.send_signal(signal.SIGCONT)
        wait_until(partial(are_over, factory, len(ids)))
        for worker in workers:
            tally.expect(worker.stop() == 0, "a worker that was asked to stop failed")
        for worker in workers[:number]:
            codes = {news["failure"]["code"] for news in worker.told if news.get("failure")}
            tally.expect("LEASE_LOST" in codes, f"a worker that was stopped was told {codes}")
    finally:
        for worker in workers:
            worker.kill()
    tally.lost += judge(factory, set(ids))
    return [tally]


def epoch(factory: mf.Factory, run_id: str) -> int:
    """How often a run was claimed."""
    return int(factory.run(run_id).events[-1]["epoch"])
