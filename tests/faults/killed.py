"""Eight workers on many runs, killed at random: each run counts one training and one publication."""

from __future__ import annotations

import random
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.faults.judging import are_over, claims, judge
from tests.faults.places import LENGTHY, Worker, dataset, submit
from tests.faults.tally import Tally

if TYPE_CHECKING:
    from tests.faults.places import Backend, Place

# A run that a killed worker held waits for its lease of half a minute; the suite gives up long after.
PATIENCE = 900.0


@dataclass(frozen=True)
class Size:
    """How many workers, runs and kills."""

    workers: int = 8
    runs: int = 500
    kills: int = 100


def run(backend: Backend, size: Size | None = None) -> list[Tally]:
    """Kill workers until enough were killed, then let the others finish."""
    size = size or Size()
    tally = Tally(f"{size.workers} workers on {size.runs} runs, killed at random ({backend.name})")
    place = backend.place()
    factory = place.open()
    data = dataset(factory)
    ids = {submit(factory, data, seed, LENGTHY) for seed in range(1, size.runs + 1)}
    workers = [Worker(place) for _ in range(size.workers)]
    try:
        disturb(tally, size, place, workers)
        for worker in workers:
            tally.expect(worker.stop() == 0, "a worker that was asked to stop failed")
    finally:
        for worker in workers:
            worker.kill()
    tally.lost += judge(factory, ids)
    again = sum(claims(each) > 1 for each in factory.runs(limit=size.runs))
    sys.stdout.write(f"{again} runs lost their worker on the way\n")
    return [tally]


def disturb(tally: Tally, size: Size, place: Place, workers: list[Worker]) -> None:
    """Kill and replace workers, evenly over the runs; come back once all runs are over."""
    factory, dice, begun = place.open(), random.Random(1), list(workers)
    give_up = time.monotonic() + PATIENCE
    while not are_over(factory, size.runs) and time.monotonic() < give_up:
        # Each kill has its turn while a fifth of the runs is left, however fast they are: none is left over.
        told = sum(news["kind"] == "run" for worker in begun for news in worker.told)
        due = tally.tried < size.kills and told * size.kills * 5 >= tally.tried * size.runs * 4
        at_work = [number for number, worker in enumerate(workers) if worker.heard.is_set()]
        if due and at_work:
            # Killed while it works: once it has told something, and then after a while of any length.
            time.sleep(dice.uniform(0.0, 0.3))
            number = dice.choice(at_work)
            workers[number].kill()
            tally.tried += 1
            workers[number] = Worker(place)
            begun.append(workers[number])
        else:
            time.sleep(0.1)
