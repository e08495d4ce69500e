"""Processes killed at every failpoint, then carried on by another to the bytes of an undisturbed run."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.faults.judging import are_over, judge
from tests.faults.places import Worker, dataset, request, wait_for_leases, wait_until
from tests.faults.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    import model_factory as mf
    from tests.faults.places import Backend, Place

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "src" / "factory" / "src" / "failpoint.rs"
ARMED = "MODEL_FACTORY_FAILPOINT"
TRIES = 20
# Runs beside those: a try that comes by a point less often than it was to die of it carries its run out.
SPARE = 2
# A server keeps no temporary file, so that a store there does not come by these.
OF_FILES = {"store_after_write", "store_before_link"}
# What only this command comes by; every other point lies on the way of a run.
REACHED_BY = {"after_submit": "submit", "after_job": "serve", "after_promote": "promote"}
# Where a run is in its last stage once this point is behind it.
LATE = {"after_intent", "after_publication", "after_published_event", "after_receipt_run"}
# Nobody comes by this whose run was evaluated before.
TRAINING = "after_plan"
# What differs between two runs of the same: clocks, and what names events of the ledger by their times.
OWN = ("measurements", "run_receipt", "/events/", "job_requests", "job_invocations", "registry/ledger")


def names() -> list[str]:
    """Give the name of every failpoint, as the product's table has them."""
    table = TABLE.read_text(encoding="utf-8").partition("\nfailpoints! {")[2].partition("\n}")[0]
    return re.findall(r'"(\w+)";', table)


@dataclass(frozen=True)
class Death:
    """A process that died with this run, at the so-manieth time that it reached a point."""

    run: int
    count: int


@dataclass
class Deaths:
    """Those at one point: in one factory, each with a run of its own."""

    point: str
    place: Place
    died: list[Death] = field(default_factory=list)

    @property
    def command(self) -> str:
        """What the processes were about."""
        return REACHED_BY.get(self.point, "work")


def run(backend: Backend, tries: int = TRIES, points: Sequence[str] | None = None) -> list[Tally]:
    """Kill at each point so many times, wait once for the leases, and carry everything on."""
    tally = Tally(f"processes killed at failpoints ({backend.name})")
    reached = [name for name in points or names() if backend.name == "local" or name not in OF_FILES]
    with tempfile.TemporaryDirectory(prefix="faults-points-") as folder, ThreadPoolExecutor(4) as pool:
        scene = Scene(backend, Path(folder), tries)
        found = list(pool.map(scene.die, reached))
        for deaths in found:
            tally.tried += len(deaths.died)
            said = f"{deaths.point}: {len(deaths.died)} processes died there, not {tries}"
            tally.expect(len(deaths.died) == tries, said)
        wait_for_leases(deaths.place for deaths in found)
        for problems in pool.map(scene.carry_on, found):
            tally.lost += problems
    return [tally]


class Scene:
    """Factories in which something is about to be done with each of some runs, and what that leads to."""

    def __init__(self, backend: Backend, folder: Path, tries: int) -> None:
        self.backend, self.tries = backend, tries
        asked = backend.place()
        factory = asked.open()
        data = dataset(factory)
        self.requests = [request(factory, data, seed) for seed in range(1, tries + SPARE + 1)]
        del factory
        self.files = [folder / f"{number}.json" for number in range(len(self.requests))]
        for file, each in zip(self.files, self.requests, strict=True):
            file.write_text(json.dumps(each), encoding="utf-8")
        admitted, posted = backend.copy(asked), backend.copy(asked)
        factory = admitted.open()
        self.runs = [factory.submit(each).id for each in self.requests]
        factory = posted.open()
        for each in self.requests:
            factory.post(each)
        del factory
        published = backend.copy(admitted)
        factory = published.open()
        for name in self.runs:
            factory.work(name)
        self.bundles = [str(factory.run(each).bundle_id) for each in self.runs]
        del factory
        self.expected = backend.objects(published)
        self.begin = {"submit": asked, "serve": posted, "work": admitted, "promote": published}

    def die(self, point: str) -> Deaths:
        """Kill a process at each time that it reaches a point, from the first again after the last."""
        deaths = Deaths(point, self.backend.copy(self.begin[REACHED_BY.get(point, "work")]))
        count, last = 1, None
        for run in range(len(self.runs)):
            if len(deaths.died) == self.tries:
                break
            if self.is_killed(deaths, Death(run, count)):
                deaths.died.append(Death(run, count))
            elif count == 1:
                break
            else:
                last = count - 1
            match deaths.command:
                case "work":
                    count = 1 if last is not None and count >= last else count + 1
                case "serve":
                    # Who serves next answers the job that the former left, and then comes by with another.
                    count = 2
        return deaths

    def is_killed(self, deaths: Deaths, death: Death) -> bool:
        """Carry the command out in a process of its own; whether it died of the fault."""
        words = {
            "submit": ["submit", str(self.files[death.run])],
            "serve": ["work", "--threads", "1"],
            "work": ["work", "--run", self.runs[death.run], "--threads", "1"],
            "promote": ["promote", self.bundles[death.run], "--reason", "a test", "--actor", "ada"],
        }[deaths.command]
        command = [sys.executable, "-m", "model_factory.cli", *words, "--json", *deaths.place.options()]
        done = subprocess.run(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=120,
            env={**os.environ, ARMED: f"{deaths.point}:{death.count}=kill"},
        )
        return done.returncode == -signal.SIGKILL

    def carry_on(self, deaths: Deaths) -> list[str]:
        """Do what the dead processes were about to do, and say what is not as if nothing had been."""
        factory = deaths.place.open()
        match deaths.command:
            case "submit":
                for each in self.requests:
                    factory.submit(each)
            case "serve":
                with Worker(deaths.place) as worker:
                    wait_until(partial(are_over, factory, len(self.runs)))
                    worker.stop()
        problems = self.carry_out(deaths.place, factory)
        if deaths.command == "promote":
            for bundle, each in zip(self.bundles, self.requests, strict=True):
                promote(factory, scope(each), bundle)
        problems += judge(factory, set(self.runs))
        # Once by who died with it and once more; who serves takes up runs of those that died before as well.
        claims = self.tries + 1 if deaths.command == "serve" else 1 if deaths.point in LATE else 2
        for run in factory.runs(limit=len(self.runs)):
            problems += differences(run, claims)
            if run.bundle_id != self.bundles[self.runs.index(run.id)]:
                problems.append(f"{run.id} was published as {run.bundle_id}")
        problems += self.missing(deaths)
        return [f"{deaths.point}: {problem}" for problem in problems]

    def carry_out(self, place: Place, factory: mf.Factory) -> list[str]:
        """Carry all runs to their end; what was evaluated by a worker that would die if it trained again."""
        for each in self.runs:
            if factory.run(each).evidence.get("model") is None:
                factory.work(each)
        if are_over(factory, len(self.runs)):
            return []
        with Worker(place, **{ARMED: f"{TRAINING}=kill"}) as worker:
            wait_until(lambda: worker.process.poll() is not None or are_over(factory, len(self.runs)))
            return [] if worker.stop() == 0 else ["a run was trained again although it was evaluated"]

    def missing(self, deaths: Deaths) -> list[str]:
        """Say how the objects of a factory are not those of the undisturbed one."""
        found = self.backend.objects(deaths.place)
        here, there = built(found), built(self.expected)
        either = sorted(here.keys() ^ there.keys())
        problems = [f"{key} is {'left over' if key in here else 'missing'}" for key in either]
        both = sorted(here.keys() & there.keys())
        problems += [f"{key} has other bytes" for key in both if here[key] != there[key]]
        lengths = Counter(key.rpartition("/")[0] for key in found if "/events/" in key)
        each = 2 if deaths.command == "promote" else 1
        if list(lengths.values()) != [each] * len(self.runs):
            problems.append(f"the histories have {sorted(lengths.values())} events")
        jobs = Counter(part for key in found for part in ("job_requests", "job_invocations") if part in key)
        if len(set(jobs.values())) > 1:
            problems.append(f"jobs and answers are {dict(jobs)}")
        return problems


def differences(run: mf.Run, claims: int) -> list[str]:
    """Say what the ledger tells of a run that is not as it should be."""
    problems = []
    full = sum(event["kind"] == "CLAIMED" and event["mode"] == "FULL" for event in run.events)
    if full > claims:
        problems.append(f"{run.id} was begun {full} times")
    if run.run_receipt is None:
        problems.append(f"{run.id} has no receipt")
    return problems


def built(objects: dict[str, bytes]) -> dict[str, bytes]:
    """Give the objects that are the same whenever and by whomever they are built."""
    return {key: body for key, body in objects.items() if not any(part in key for part in OWN)}


def scope(asked: dict[str, Any]) -> str:
    """Say where a request's bundle is to serve."""
    target = asked["target_scope"]
    return "/".join((target["environment"], target["mode"], target["bundle_slot"]))


def promote(factory: mf.Factory, place: str, bundle_id: str) -> None:
    """Make a bundle ACTIVE unless it is."""
    if factory.registry.resolve(place).bundle_id != bundle_id:
        factory.registry.promote(bundle_id, reason="a test", actor="ada")
