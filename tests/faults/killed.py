"""Eight workers on many runs, killed at random: each run is published once, and none is lost."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.faults.places import Worker, dataset, submit
from tests.faults.tally import Tally

if TYPE_CHECKING:
    import model_factory as mf
    from tests.faults.places import Backend

WORKERS = 8
RUNS = 500
KILLS = 100
# A run that a killed worker held waits for its lease of half a minute; the suite gives up long after.
PATIENCE = 600.0


def run(backend: Backend) -> list[Tally]:
    """Kill workers until enough were killed, then let the others finish."""
    tally = Tally(f"workers killed at random ({backend.name})")
    factory = backend.open()
    data = dataset(factory)
    ids = {submit(factory, data, seed) for seed in range(1, RUNS + 1)}
    dice = random.Random(1)
    workers = [Worker(backend) for _ in range(WORKERS)]
    give_up = time.monotonic() + PATIENCE
    try:
        while len(factory.runs(state="PUBLISHED", limit=RUNS)) < RUNS and time.monotonic() < give_up:
            place = dice.randrange(WORKERS)
            victim = workers[place]
            # Killed while it works: once it has told something, and then after a while of any length.
            if tally.tried < KILLS and victim.heard.wait(timeout=1.0):
                time.sleep(dice.uniform(0.0, 0.2))
                victim.kill()
                tally.tried += 1
                workers[place] = Worker(backend)
            elif tally.tried >= KILLS:
                time.sleep(0.5)
        for worker in workers:
            tally.expect(worker.stop() == 0, "a worker that was asked to stop failed")
    finally:
        for worker in workers:
            worker.kill()
    judge(tally, factory, ids)
    return [tally]


def judge(tally: Tally, factory: mf.Factory, ids: set[str]) -> None:
    """Each run was evaluated to one model, published once, and is whole."""
    runs = {each.id: each for each in factory.runs(limit=2 * RUNS)}
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


def evaluated(event: dict[str, Any]) -> str | None:
    """Digest of the model that an event names."""
    evidence = event["detail"].get("evidence") or {}
    model = evidence.get("model")
    return None if model is None else str(model["digest"])
