"""Factories on each backend, filled with a dataset and with runs that wait."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import model_factory as mf
from tests import postgres
from tests.store.servers import BUCKET, in_ci, moto

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from typing_extensions import Self

    from tests.postgres import Cluster
    from tests.store.servers import Server

SCOPE = "test/card/primary"
DAYS = 60
# How long a worker that died keeps others from its run.
LEASE_SECONDS = 30.0

CONFIG: dict[str, Any] = {
    "config_id": "faults",
    "revision": "1",
    "model": {"family": "decision_tree", "max_depth": 3},
    "feature_definition_set": {"feature_set_id": "features", "feature_set_version": "1"},
    "label": {"family": "card_fraud"},
    "split": {
        "strategy": "time",
        "train": {"start": "2024-01-11T00:00:00Z", "end": "2024-02-03T00:00:00Z"},
        "test": {"start": "2024-02-10T00:00:00Z", "end": "2024-02-22T00:00:00Z"},
        "gap": "7d",
    },
    "seed_policy": {"base_seed": 1},
    "evaluation": {"bootstrap": {"replicates": 0}},
}
# Takes a tenth of a second or two, most of it in the fit.
LENGTHY = {**CONFIG, "model": {"family": "gradient_boosting", "n_estimators": 300}}
SLOW = {**CONFIG, "model": {"family": "gradient_boosting", "n_estimators": 5000}}
PROFILE: dict[str, Any] = {
    "profile_id": "faults",
    "revision": "1",
    "criteria": [{"name": "ranks", "metric": "roc_auc", "comparison": "at_least", "threshold": 0.5}],
    "roles": dict.fromkeys(("request", "publish", "approve", "promote"), "anyone"),
}


@dataclass(frozen=True)
class Place:
    """Where a factory's objects and ledger stand, and how to reach them.

    Attributes
    ----------
    root : str
        Its folder or address.
    how : dict
        The other arguments of ``mf.open``.
    """

    root: str
    how: dict[str, str] = field(default_factory=dict)

    def open(self) -> mf.Factory:
        """Open the factory."""
        return mf.open(self.root, principal="ada", progress=False, **self.how)  # type: ignore[arg-type]

    def options(self) -> list[str]:
        """Say the same to the command line."""
        return ["--root", self.root, *(word for name in self.how for word in (f"--{name}", self.how[name]))]

    def is_held(self) -> bool:
        """Whether a worker holds a run, or died with its lease."""
        states = {each.state for each in self.open().runs()}
        return not states <= {"QUEUED", "PUBLISHED"}


def wait_for_leases(places: Iterable[Place]) -> None:
    """Wait until no worker that died keeps others from its run, where there is one."""
    if any(place.is_held() for place in places):
        time.sleep(LEASE_SECONDS + 1)


def wait_until(holds: Callable[[], bool], seconds: float = 300.0) -> None:
    """Wait for something that takes as long as it takes; fail where it never comes."""
    give_up = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > give_up:
            message = "waited in vain"
            raise TimeoutError(message)
        time.sleep(0.1)


class Backend(Protocol):
    """Where factories can stand."""

    name: str

    def place(self) -> Place:
        """Give an empty place."""

    def copy(self, place: Place) -> Place:
        """Copy a factory that nobody has open."""

    def objects(self, place: Place) -> dict[str, bytes]:
        """Give every object of a factory, by its key."""

    def bring_back(self, place: Place, objects: dict[str, bytes]) -> None:
        """Let these be all objects of a factory, under whoever has it open."""


class Folders:
    """A folder for each factory, with a ledger in SQLite."""

    name = "local"

    def __init__(self, folder: Path) -> None:
        self._folder, self._numbers = folder, itertools.count()

    def place(self) -> Place:
        """Give an empty place."""
        return Place(str(self._folder / str(next(self._numbers))))

    def copy(self, place: Place) -> Place:
        """Copy a factory that nobody has open."""
        made = self.place()
        shutil.copytree(place.root, made.root)
        return made

    def objects(self, place: Place) -> dict[str, bytes]:
        """Give every object of a factory, by its key."""
        root = Path(place.root, "objects")
        found = (path for path in root.rglob("*") if path.is_file() and ".staging" not in path.parts)
        return {str(path.relative_to(root)): path.read_bytes() for path in found}

    def bring_back(self, place: Place, objects: dict[str, bytes]) -> None:
        """Let these be all objects of a factory, under whoever has it open."""
        root = Path(place.root, "objects")
        for key in self.objects(place):
            (root / key).unlink()
        for key, content in objects.items():
            (root / key).parent.mkdir(parents=True, exist_ok=True)
            (root / key).write_bytes(content)


class Servers:
    """A prefix of a bucket for each factory, with a ledger in a PostgreSQL database."""

    name = "servers"

    def __init__(self, folder: Path, s3: Server, postgres: Cluster) -> None:
        self.s3, self.postgres = s3, postgres
        self._keys, self._numbers = str(folder / "keys"), itertools.count()

    def place(self) -> Place:
        """Give an empty place."""
        made = self._next()
        self.postgres.create(_database(made))
        return made

    def _next(self) -> Place:
        name = f"place_{next(self._numbers)}"
        return Place(f"s3://{BUCKET}/{name}", {"ledger": self.postgres.url(name), "keys": self._keys})

    def through(self, place: Place, port: int) -> Place:
        """Give the same place, with its ledger reached at another port."""
        ledger = replace(self.postgres, port=port).url(_database(place))
        return replace(place, how={**place.how, "ledger": ledger})

    def beside(self, place: Place) -> Place:
        """Give the same objects with a copy of the ledger, which nobody has open."""
        made = self._next()
        self.postgres.create(_database(made), template=_database(place))
        return replace(place, how=made.how)

    def copy(self, place: Place) -> Place:
        """Copy a factory that nobody has open."""
        made = self._next()
        self.postgres.create(_database(made), template=_database(place))
        self.s3.put(_database(made), self.objects(place))
        return made

    def objects(self, place: Place) -> dict[str, bytes]:
        """Give every object of a factory, by its key."""
        return self.s3.objects(_database(place))

    def bring_back(self, place: Place, objects: dict[str, bytes]) -> None:
        """Let these be all objects of a factory, under whoever has it open."""
        with self.s3.line() as ask:
            for key in self.objects(place):
                ask("DELETE", f"{BUCKET}/{_database(place)}/{key}")
        self.s3.put(_database(place), objects)


def _database(place: Place) -> str:
    """Name the database of a place on servers, which is its prefix too."""
    return place.root.rpartition("/")[2]


@contextlib.contextmanager
def backends() -> Iterator[list[Backend]]:
    """Give each backend that this machine has; which it has not is said by name, and an error in CI."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        found: list[Backend] = [Folders(folder)]
        programs = postgres.binaries()
        missing = [
            name
            for name, absent in (
                ("PostgreSQL (initdb)", programs is None),
                ("moto", importlib.util.find_spec("moto") is None),
            )
            if absent
        ]
        if programs is not None and not missing:
            s3 = stack.enter_context(moto())
            stack.enter_context(environment(s3.environment()))
            found.append(Servers(folder, s3, stack.enter_context(postgres.cluster(programs))))
        elif in_ci():
            message = f"the servers' faults need {' and '.join(missing)}"
            raise RuntimeError(message)
        else:
            sys.stdout.write(f"skipped: every suite on servers: no {' and no '.join(missing)} here\n")
        yield found


@contextlib.contextmanager
def environment(more: dict[str, str]) -> Iterator[None]:
    """Set variables of this process, and of those that it begins, for a while."""
    before = dict(os.environ)
    os.environ.update(more)
    try:
        yield
    finally:
        for name in more:
            del os.environ[name]
        os.environ.update(before)


def dataset(factory: mf.Factory) -> mf.Dataset:
    """Build a small dataset of simulated payments."""
    payments = mf.simulate.payments(customers=100, terminals=40, days=DAYS, seed=7)
    return factory.datasets.build(
        events=payments.events,
        labels=payments.labels,
        event_id="event_id",
        event_time="time",
        label_asof="2024-03-15T00:00:00Z",
        label_family="card_fraud",
        label_columns=("event_id", "fraud", "effective_time", "observed_time"),
        maturity_days=7,
        naive_times_are_utc=True,
        features=[
            mf.column("amount"),
            mf.window("customer", "7d").count(),
            mf.window("terminal", "30d", delay="1d").rate("label", name="terminal_risk"),
        ],
    )


def request(
    factory: mf.Factory, data: mf.Dataset, seed: int, config: dict[str, Any] = CONFIG
) -> dict[str, Any]:
    """Store what a run needs and ask for it: like the others but for its seed, published where it passes."""
    own = {**config, "seed_policy": {"base_seed": seed}}
    stored = {
        name: factory.store(name, document)
        for name, document in (("training_config", own), ("governance_profile", PROFILE))
    }
    defaults = factory.defaults
    return {
        **stored,
        "request_id": f"request-{seed:06}",
        "intent_kind": "baseline_train",
        "platform_run_id": defaults.platform_run_id,
        "dataset_manifests": [data.reference],
        "requester_principal": defaults.principal,
        "target_scope": {"environment": "test", "mode": "card", "bundle_slot": f"slot-{seed}"},
        "policy_revision": defaults.policy_revision,
        "config_revision": defaults.config_revision,
        "code_release_id": defaults.code_release_id,
        "publish_allowed": True,
    }


def submit(factory: mf.Factory, data: mf.Dataset, seed: int, config: dict[str, Any] = CONFIG) -> str:
    """Admit such a run."""
    return factory.submit(request(factory, data, seed, config)).id


class Worker:
    """A worker's process; what it tells is read as it comes."""

    def __init__(self, place: Place, *more: str, **environment: str) -> None:
        command = [sys.executable, "-m", "model_factory.cli", "work", "--json", "--threads", "1"]
        self.process = subprocess.Popen(
            [*command, *place.options(), *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **environment},
        )
        self.told: list[dict[str, Any]] = []
        self.heard = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            # The line of a process that was killed may be cut short.
            with contextlib.suppress(json.JSONDecodeError):
                self.told.append(json.loads(line))
                self.heard.set()

    def __enter__(self) -> Self:
        """Give it; it does not outlive the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it, whatever it is at."""
        self.kill()

    def kill(self) -> None:
        """End it without any notice."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def stop(self) -> int:
        """Let it finish what it holds; gives its exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=120)
        self._reader.join()
        return status
