"""Factories on each backend, filled with a dataset and with runs that wait."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import model_factory as mf

if TYPE_CHECKING:
    from collections.abc import Iterator

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
SLOW = {**CONFIG, "model": {"family": "gradient_boosting", "n_estimators": 5000}}
PROFILE: dict[str, Any] = {
    "profile_id": "faults",
    "revision": "1",
    "criteria": [{"name": "ranks", "metric": "roc_auc", "comparison": "at_least", "threshold": 0.5}],
    "roles": dict.fromkeys(("request", "publish", "approve", "promote"), "anyone"),
}


@dataclass(frozen=True)
class Backend:
    """Where a factory's objects and ledger stand, and how to reach them.

    Attributes
    ----------
    root : str
        Its folder or address.
    how : dict
        The other arguments of ``mf.open``.
    """

    name: str
    root: str
    how: dict[str, str] = field(default_factory=dict)

    def open(self) -> mf.Factory:
        """Open the factory."""
        return mf.open(self.root, principal="ada", progress=False, **self.how)  # type: ignore[arg-type]

    def options(self) -> list[str]:
        """Say the same to the command line."""
        return ["--root", self.root, *(word for name in self.how for word in (f"--{name}", self.how[name]))]


@contextlib.contextmanager
def backends() -> Iterator[list[Backend]]:
    """Give each backend with an empty factory."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        yield [Backend("local", str(Path(folder) / "local"))]


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


def submit(factory: mf.Factory, data: mf.Dataset, seed: int, config: dict[str, Any] = CONFIG) -> str:
    """Admit a run that is like the others but for its seed, to be published where it passes."""
    own = {**config, "seed_policy": {"base_seed": seed}}
    stored = {
        name: factory.store(name, document)
        for name, document in (("training_config", own), ("governance_profile", PROFILE))
    }
    defaults = factory.defaults
    request = {
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
    return factory.submit(request).id


class Worker:
    """A worker's process; what it tells is read as it comes."""

    def __init__(self, backend: Backend, *more: str, **environment: str) -> None:
        command = [sys.executable, "-m", "model_factory.cli", "work", "--json", "--threads", "1"]
        self.process = subprocess.Popen(
            [*command, *backend.options(), *more],
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

    def kill(self) -> None:
        """End it without any notice."""
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def stop(self) -> int:
        """Let it finish what it holds; gives its exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=120)
        self._reader.join()
        return status


def copy(backend: Backend, folder: Path) -> Backend:
    """Copy a local factory that nobody has open."""
    shutil.copytree(backend.root, folder)
    return Backend(backend.name, str(folder))
