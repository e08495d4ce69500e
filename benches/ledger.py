"""The ledger under load, beside MLflow's tracking store: submissions, whole runs, listings."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import model_factory as mf
from benches import data, tracking
from benches.protocol import Contestant, Outcome, Timing, check, race
from tests import postgres

ROUNDS = 3
OURS, THEIRS = 1_600, 120
"""Pieces of work of all processes together, in one round."""
WORK = {"cycle": "cycle", "queue": "cycle", "submit": "submit"}
"""Ours, and what MLflow does that is like it."""
LISTED, TRACKED = 100_000, 1_500
"""Runs that are listed: ours, and MLflow's, scaled up as if time grew no faster than their number."""
FEW, MANY = 10_000, 1_000_000
"""Runs in the ledgers whose looks are compared; a tenth of them wait to be claimed."""
LOOKS = 200
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made there
FILLED = MEMORY if MEMORY.is_dir() else data.OUTPUT
"""Where ledgers stand that are filled only to be looked at: in memory where that can be, for fast flushes."""


def program() -> Path:
    """Build the process that works in a ledger, as a release has it."""
    command = ["cargo", "build", "--release", "--locked", "--package", "factory", "--bench", "ledger"]
    built = subprocess.run(
        [*command, "--message-format", "json"], cwd=data.ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    messages = map(json.loads, built.stdout.splitlines())
    return next(Path(each["executable"]) for each in messages if each.get("executable"))


def crowd(commands: list[list[str]]) -> tuple[float, list[Any]]:
    """Start processes and let them go when all are ready; seconds until the last is done, and answers."""
    running = [
        subprocess.Popen(each, cwd=data.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for each in commands
    ]
    for each in running:
        assert each.stdout is not None
        check(holds=each.stdout.readline() == "ready\n", told="a process opens its store")
    start = time.perf_counter()
    for each in running:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    answers = [each.stdout.readline() for each in running if each.stdout is not None]
    taken = time.perf_counter() - start
    check(holds=all(each.wait() == 0 for each in running), told="every process does its work")
    return taken, [json.loads(each) for each in answers]


@dataclass
class Side:
    """One of the two, in one store: what starts its processes, and how many pieces of work a round has."""

    timing: Timing
    command: list[str]
    place: str
    count: int

    def run(self, work: str, processes: int, first: int) -> list[float]:
        """Work for a round; give the seconds of each piece."""
        share = self.count // processes
        commands = [
            [*self.command, work, self.place, str(first + number * share), str(share)]
            for number in range(processes)
        ]
        taken, answers = crowd(commands)
        self.timing.seconds.append(taken / (share * processes))
        return [seconds for each in answers for seconds in each]


@contextmanager
def places(parent: Path = data.OUTPUT) -> Iterator[dict[str, tuple[str, str]]]:
    """Give empty stores by the name of the database: a place for a ledger and a URL for MLflow."""
    data.OUTPUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        root = Path(folder)
        found = {"sqlite": (f"{root}/ledger.sqlite", f"sqlite:///{root}/mlflow.db")}
        programs = postgres.binaries()
        # The server runs as another user where this is root.
        root.chmod(0o755)
        with nullcontext() if programs is None else postgres.cluster(programs, root) as cluster:
            if cluster is None:
                print(
                    "ledger on postgresql: left out, no PostgreSQL (initdb) on this machine", file=sys.stderr
                )
            else:
                # Each has the database to itself: MLflow's tables stand in the schema `public`.
                driver = cluster.url("postgres").replace("postgresql", "postgresql+psycopg", 1)
                found["postgresql"] = (cluster.url("template1"), driver)
            for _, theirs in found.values():
                tracking.store(theirs).create_experiment(tracking.EXPERIMENT)
            yield found


def ledger(processes: int) -> list[Outcome]:
    """Submissions and whole runs, each a durable transaction or several, by so many processes at once."""
    binary = [str(program())]
    peer = [sys.executable, "-m", "benches.tracking"]
    outcomes = []
    numbers = itertools.count(0, 1_000_000)
    with places() as found:
        for (name, (place, url)), work in itertools.product(found.items(), WORK):
            ours = Side(Timing("model_factory"), binary, place, OURS)
            theirs = Side(Timing(f"mlflow on {name}"), peer, url, THEIRS)
            seconds: list[float] = []
            for _ in range(ROUNDS):
                first = next(numbers)
                seconds += ours.run(work, processes, first)
                theirs.run(WORK[work], processes, first)
            rates = [1 / each.timing.median for each in (ours, theirs)]
            usual, slow = np.quantile(seconds, (0.5, 0.99)) * 1e3
            note = (
                f"{work} on {name}: {rates[0]:,.0f} a second beside {rates[1]:,.0f}; one takes "
                f"{usual:.2f} ms, 99 of 100 at most {slow:.2f} ms"
            )
            outcomes.append(Outcome(ours.timing, [theirs.timing], note, part=f"{work} {name}"))
    return outcomes


def listing(_: int) -> Outcome:
    """List runs from Python: the latest first, all of them."""
    with tempfile.TemporaryDirectory(dir=FILLED) as folder:
        root = Path(folder)
        factory = mf.open(root, progress=False)
        crowd([[str(program()), "fill", str(root / "ledger.sqlite"), "0", str(LISTED)]])
        url = f"sqlite:///{root}/mlflow.db"
        store = tracking.store(url)
        experiment = store.create_experiment(tracking.EXPERIMENT)
        crowd([[sys.executable, "-m", "benches.tracking", "cycle", url, "0", str(TRACKED)]])

        def search() -> int:
            return len(store.search_runs([experiment], "", 1, TRACKED, ["attributes.start_time DESC"]))

        outcome, results = race(
            [
                Contestant("model_factory", lambda: len(factory.runs(limit=LISTED))),
                Contestant("mlflow on sqlite", search, share=TRACKED / LISTED),
            ],
            rounds=5,
            warm=True,
        )
        check(holds=results == {"model_factory": LISTED, "mlflow on sqlite": TRACKED}, told="all are listed")
        some = []
        for _round in range(20):
            start = time.perf_counter()
            check(holds=len(factory.runs(state="FAIL")) == 100, told="a hundred are listed")
            some.append(time.perf_counter() - start)
    outcome.note = (
        f"{LISTED:,} runs, MLflow's scaled up from {TRACKED:,}; the latest 100 of one state take "
        f"{np.median(some) * 1e3:.1f} ms"
    )
    return outcome


def growth(_: int) -> list[Outcome]:
    """Look at a ledger of a million runs, beside one of ten thousand: the time is to stay the same."""
    binary = [str(program())]
    outcomes = []
    with places(FILLED) as found:
        for name, (place, _url) in found.items():
            few = looked(binary, place, 0, FEW)
            many = looked(binary, place, FEW + LOOKS, MANY)
            for what in few:
                ours = Timing("model_factory", many[what])
                peer = Timing(f"itself with {FEW:,} runs", few[what])
                note = f"{MANY:,} runs on {name}: half of the looks take at most {ours.median * 1e3:.2f} ms"
                outcomes.append(Outcome(ours, [peer], note, part=f"{what} on {name}"))
    return outcomes


def looked(binary: list[str], place: str, held: int, runs: int) -> dict[str, list[float]]:
    """Fill a ledger that holds so many runs up to more; give the seconds of each way to look at it."""
    fill(binary, place, held, runs)
    _, (seconds,) = crowd([[*binary, "look", place, str(runs), str(LOOKS)]])
    return dict(seconds)


def fill(binary: list[str], place: str, first: int, last: int) -> None:
    """Put the runs of these numbers into a ledger, by as many processes as it takes up at the same time."""
    processes = (os.cpu_count() or 1) if place.startswith("postgresql:") else 1
    bounds = [first + (last - first) * part // processes for part in range(processes + 1)]
    crowd(
        [[*binary, "fill", place, str(start), str(end - start)] for start, end in itertools.pairwise(bounds)]
    )
