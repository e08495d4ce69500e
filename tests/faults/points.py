"""Processes killed at every failpoint, then carried on by another to the bytes of an undisturbed run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.places import dataset, request, wait_for_leases
from tests.faults.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    import model_factory as mf
    from tests.faults.places import Backend, Place

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "src" / "factory" / "src" / "failpoint.rs"
TRIES = 20
SEED = 1
SCOPE = f"test/card/slot-{SEED}"
# A server keeps no temporary file, so that a store there does not come by these.
OF_FILES = {"store_after_write", "store_before_link"}
# What only this command comes by; every other point lies on the way of a run.
REACHED_BY = {"after_submit": "submit", "after_job": "serve", "after_promote": "promote"}
# Where a run is in its last stage once this point is behind it.
LATE = {"after_intent", "after_publication", "after_published_event", "after_receipt_run"}
# What differs between two runs of the same: clocks, and what names events of the ledger by their times.
OWN = ("measurements", "run_receipt", "/events/", "job_requests", "job_invocations")


def names() -> list[str]:
    """Give the name of every failpoint, as the product's table has them."""
    table = TABLE.read_text(encoding="utf-8").partition("\nfailpoints! {")[2].partition("\n}")[0]
    return re.findall(r'"(\w+)";', table)


@dataclass(frozen=True)
class Death:
    """A process that died at the so-manieth time that it reached a point, in a factory of its own."""

    point: str
    count: int
    command: str
    place: Place

    def __str__(self) -> str:
        """Say where it died, as the variable that armed the point did."""
        return f"{self.point}:{self.count}"


def run(backend: Backend, tries: int = TRIES, points: Sequence[str] | None = None) -> list[Tally]:
    """Kill at each point so many times, wait once for the leases, and carry everything on."""
    tally = Tally(f"processes killed at failpoints ({backend.name})")
    reached = [name for name in points or names() if backend.name == "local" or name not in OF_FILES]
    with tempfile.TemporaryDirectory(prefix="faults-points-") as folder, ThreadPoolExecutor(3) as pool:
        scene = Scene(backend, Path(folder))
        deaths = [death for found in pool.map(partial(scene.die, tries), reached) for death in found]
        tally.tried = len(deaths)
        for name in reached:
            died = sum(death.point == name for death in deaths)
            tally.expect(died == tries, f"{name}: {died} processes died there, not {tries}")
        wait_for_leases(death.place for death in deaths)
        for problems in pool.map(scene.carry_on, deaths):
            tally.lost += problems
    return [tally]


class Scene:
    """Factories in which a process is about to do something, and what that leads to undisturbed."""

    def __init__(self, backend: Backend, folder: Path) -> None:
        self.backend, self.file = backend, folder / "request.json"
        asked = backend.place()
        factory = asked.open()
        self.request = request(factory, dataset(factory), SEED)
        del factory
        self.file.write_text(json.dumps(self.request), encoding="utf-8")
        admitted, posted = backend.copy(asked), backend.copy(asked)
        self.run_id = admitted.open().submit(self.request).id
        posted.open().post(self.request)
        published = backend.copy(admitted)
        factory = published.open()
        factory.work(self.run_id)
        self.bundle_id = str(factory.run(self.run_id).bundle_id)
        del factory
        self.expected = self.built(published)
        self.begin = {"submit": asked, "serve": posted, "work": admitted, "promote": published}

    def die(self, tries: int, point: str) -> list[Death]:
        """Kill a process at each time that it reaches a point, from the first again after the last."""
        command = REACHED_BY.get(point, "work")
        deaths: list[Death] = []
        count = 1
        while len(deaths) < tries:
            death = Death(point, count, command, self.backend.copy(self.begin[command]))
            died = self.is_killed(death)
            if not died and count == 1:
                break
            if died:
                deaths.append(death)
            # What serves would go on serving past its last time.
            count = count + 1 if died and command == "work" else 1
        return deaths

    def is_killed(self, death: Death) -> bool:
        """Carry the command out in a process of its own; whether it died of the fault."""
        words = {
            "submit": ["submit", str(self.file)],
            "serve": ["work", "--threads", "1"],
            "work": ["work", "--once", "--threads", "1"],
            "promote": ["promote", self.bundle_id, "--reason", "a test", "--actor", "ada"],
        }[death.command]
        command = [sys.executable, "-m", "model_factory.cli", *words, "--json", *death.place.options()]
        done = subprocess.run(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=120,
            env={**os.environ, "MODEL_FACTORY_FAILPOINT": f"{death}=kill"},
        )
        return done.returncode < 0

    def carry_on(self, death: Death) -> list[str]:
        """Do what the dead process was about to do, and say what is not as if nothing had been."""
        factory = death.place.open()
        if death.command == "serve":
            serve(factory)
        if death.command == "submit":
            factory.submit(self.request)
        factory.work(self.run_id)
        if death.command == "promote":
            promote(factory, self.bundle_id)
        problems = [f"{finding}" for finding in factory.fsck()["findings"]]
        problems += self.differences(death, factory.run(self.run_id))
        history = [event["kind"] for event in factory.registry.history(SCOPE)]
        promoted = ["BUNDLE_PROMOTED_ACTIVE"] if death.command == "promote" else []
        if history != ["BUNDLE_PUBLISHED", *promoted]:
            problems.append(f"the history is {history}")
        return [f"{death}: {problem}" for problem in problems]

    def differences(self, death: Death, run: mf.Run) -> list[str]:
        """Say what the run left that is not as it should be."""
        problems = []
        full = sum(event["kind"] == "CLAIMED" and event["mode"] == "FULL" for event in run.events)
        if full > (1 if death.point in LATE else 2):
            problems.append(f"the run was begun {full} times")
        published = sum(event["kind"] == "ADVANCED" and event["state"] == "PUBLISHED" for event in run.events)
        if (run.bundle_id, published) != (self.bundle_id, 1):
            problems.append(f"published {published} times, as {run.bundle_id}")
        if run.run_receipt is None:
            problems.append("no receipt")
        found = self.built(death.place)
        either = found.keys() ^ self.expected.keys()
        problems += [f"{key} is {'left over' if key in found else 'missing'}" for key in sorted(either)]
        both = found.keys() & self.expected.keys()
        problems += [f"{key} has other bytes" for key in sorted(both) if found[key] != self.expected[key]]
        return problems

    def built(self, place: Place) -> dict[str, bytes]:
        """Give the objects of a place that are the same whenever and by whomever they are built."""
        objects = self.backend.objects(place)
        return {key: body for key, body in objects.items() if not any(part in key for part in OWN)}


def serve(factory: mf.Factory) -> None:
    """Take up the job that waits, and let its run end."""
    worker = factory.worker()
    worker.serve(lambda news: worker.stop() if news.kind == "run" else None)


def promote(factory: mf.Factory, bundle_id: str) -> None:
    """Make a bundle ACTIVE unless it is."""
    if factory.registry.resolve(SCOPE).bundle_id != bundle_id:
        factory.registry.promote(bundle_id, reason="a test", actor="ada")
