"""Eight workers on many runs, killed at random: each run is published once, and none is lost."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.faults.places import LENGTHY, Worker, dataset, submit
from tests.faults.tally import Tally

if TYPE_CHECKING:
    import model_factory as mf
    from tests.faults.places import Backend, Place

# A run that a killed worker held waits for its lease of half a minute; the suite gives up long after.
PATIENCE = 600.0


@dataclass(frozen=True)
class Size:
    """How many workers, runs and kills."""

    workers: int
    runs: int
    kills: int


# The S3 server of the tests answers one request at a time, a few hundred a second: fewer runs there.
SIZES = {"local": Size(8, 500, 100), "servers": Size(8, 100, 40)}


def run(backend: Backend, size: Size | None = None) -> list[Tally]:
    """Kill workers until enough were killed, then let the others finish."""
    size = size or SIZES[backend.name]
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
    judge(tally, factory, ids)
    again = sum(claims(each) > 1 for each in factory.runs(limit=size.runs))
    sys.stdout.write(f"{again} runs lost their worker on the way\n")
    tally.expect(tally.tried == size.kills, f"the runs were over after {tally.tried} kills")
    return [tally]


def disturb(tally: Tally, size: Size, place: Place, workers: list[Worker]) -> None:
    """Kill and replace workers until enough were killed; come back once all runs are published."""
    factory, dice = place.open(), random.Random(1)
    give_up = time.monotonic() + PATIENCE
    while len(factory.runs(state="PUBLISHED", limit=size.runs)) < size.runs:
        if time.monotonic() > give_up:
            break
        # Killed while it works: once it has told something, and then after a while of any length.
        at_work = [number for number, worker in enumerate(workers) if worker.heard.is_set()]
        if tally.tried < size.kills and at_work:
            time.sleep(dice.uniform(0.0, 0.3))
            number = dice.choice(at_work)
            workers[number].kill()
            tally.tried += 1
            workers[number] = Worker(place)
        else:
            time.sleep(0.1)


def judge(tally: Tally, factory: mf.Factory, ids: set[str]) -> None:
    """Each run was evaluated to one model, published once, and is whole."""
    runs = {each.id: each for each in factory.runs(limit=2 * len(ids))}
    tally.expect(set(runs) == ids, "the runs are not those that were asked for")
    for each in runs.values():
        tally.expect(each.state == "PUBLISHED", f"{each.id} is {each.state}, {each.reason}")
        counts = Counter(event["state"] for event in each.events if event["kind"] == "ADVANCED")
        tally.expect(counts["PUBLISHED"] == 1, f"{each.id} was published {counts['PUBLISHED']} times")
        tally.expect(counts["PASS"] == 1, f"{each.id} passed {counts['PASS']} times")
        models = {evaluated(event) for event in each.events} - {None}
        tally.expect(len(models) == 1, f"{each.id} has {len(models)} models")
    for finding in factory.fsck()["findings"]:
        tally.lost.append(str(finding))


def claims(run: mf.Run) -> int:
    """How often a run was taken up."""
    return sum(event["kind"] == "CLAIMED" for event in run.events)


def evaluated(event: dict[str, Any]) -> str | None:
    """Digest of the model that an event names."""
    evidence = event["detail"].get("evidence") or {}
    model = evidence.get("model")
    return None if model is None else str(model["digest"])
