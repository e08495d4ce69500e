"""Eight processes publish one bundle at once, half of them signing with another key: one side wins, whole.

The race in a folder is part of the suites in Rust.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import model_factory as mf
from tests.faults.places import dataset, request
from tests.faults.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.places import Place, Servers

ROUNDS = 200
PUBLISHERS = 8
CONFLICTS = {"MODEL_BUNDLE_IMMUTABILITY_VIOLATION", "PUBLISH_CONFLICT", "SIGNATURE_INVALID"}


class Publisher:
    """A process that publishes under a key of its side, by a ledger of its own."""

    def __init__(self, place: Place, side: str) -> None:
        self.side = side
        command = [sys.executable, "-m", "tests.faults.publisher", place.root, *place.how.values()]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, word: str) -> None:
        """Tell it something."""
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        """Wait for what it says."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def run(backend: Servers, rounds: int = ROUNDS, number: int = PUBLISHERS) -> list[Tally]:
    """Let all publish run after run, each at the same moment."""
    tally = Tally(f"{number} processes publish one bundle ({backend.name})")
    place, ids = passed(backend, rounds)
    with publishers(backend, place, number) as racing:
        for each in ids:
            for publisher in racing:
                publisher.tell(each)
            said = [(publisher.side, publisher.answer()) for publisher in racing]
            tally.tried += number
            tally.expect(has_one_winner(said), f"{each}: {said}")
    tally.lost += forked(backend.objects(place), rounds)
    return [tally]


def passed(backend: Servers, rounds: int) -> tuple[Place, list[str]]:
    """Give runs that passed, whose bundles are not assembled yet."""
    place = backend.place()
    factory = place.open()
    data = dataset(factory)
    ids = []
    for seed in range(1, rounds + 1):
        asked = {**request(factory, data, seed), "publish_allowed": False}
        ids.append(factory.submit(asked).id)
        factory.work(ids[-1])
    prefix = place.root.removeprefix("s3://")
    for key in backend.objects(place):
        if key.endswith("/bundle.json"):
            backend.s3.call("DELETE", f"{prefix}/{key}")
    return place, ids


@contextlib.contextmanager
def publishers(backend: Servers, place: Place, number: int) -> Iterator[list[Publisher]]:
    """Begin the processes, and end them."""
    racing = []
    keys = {side: heir(Path(place.how["keys"]), side) for side in ("one", "other")}
    try:
        for each in range(number):
            side = "one" if each % 2 == 0 else "other"
            beside = backend.beside(place)
            racing.append(Publisher(replace(beside, how={**beside.how, "keys": str(keys[side])}), side))
        for publisher in racing:
            assert publisher.answer() == "ready"
        yield racing
    finally:
        for publisher in racing:
            publisher.process.kill()
            publisher.process.communicate()


def heir(former: Path, side: str) -> Path:
    """Make keys that the factory's ledger admits, since they trust its own; the other side they do not."""
    keys = former.with_name(f"{former.name}-{side}")
    mf.open(keys.with_name(f"{keys.name}-factory"), keys=keys, progress=False)
    (keys / "trusted").mkdir()
    shutil.copy(former / "signing.pub.pem", keys / "trusted" / "former.pem")
    return keys


def has_one_winner(said: list[tuple[str, str]]) -> bool:
    """Whether all of one side published, and each of the other met a typed conflict."""
    one, other = ({word for side, word in said if side == name} for name in ("one", "other"))
    return any(won == {"won"} and lost <= CONFLICTS for won, lost in ((one, other), (other, one)))


def forked(objects: dict[str, bytes], rounds: int) -> list[str]:
    """Say what the store holds beside one bundle, one record of that and one event for each run."""
    of_runs = [body for key, body in objects.items() if key.endswith("/bundle.json")]
    bundles = {hashlib.sha256(body).hexdigest() for body in of_runs}
    records = [json.loads(body) for key, body in objects.items() if key.startswith("registry/bundles/")]
    named = {record["bundle"]["digest"].removeprefix("sha256:") for record in records}
    events = Counter(key.rpartition("/")[0] for key in objects if "/events/" in key)
    problems = []
    if not len(bundles) == len(records) == len(events) == sum(events.values()) == rounds:
        problems.append(f"{len(bundles)} bundles, {len(records)} records and {sum(events.values())} events")
    if named != bundles:
        problems.append("the records name other bundles than there are")
    return problems
