"""A file system that takes no more: refused by its code, nothing half-written seen, carried on with room."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.places import LEASE_SECONDS, Backend, copy, dataset, submit
from tests.faults.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

# Bytes that a file may have: from too little for the smallest document to enough for all.
LIMITS = [0, 1, 100, 500, *range(1_000, 30_000, 500), *range(30_000, 300_000, 10_000)]
REFUSALS = {"RESOURCE_EXHAUSTED", "STORE_UNAVAILABLE", "LEDGER_UNAVAILABLE"}


def limited(limit: int) -> Callable[[], None]:
    """Give what a process does first, so that its files stay below a size."""

    def begin() -> None:
        # The signal would kill it before it could say what is wrong.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return begin


def run(backend: Backend) -> list[Tally]:
    """Carry a run out below each limit, and then without one."""
    tally = Tally("files that may not grow")
    with tempfile.TemporaryDirectory(prefix="disk-") as folder:
        whole = Backend(backend.name, str(Path(folder) / "whole"))
        factory = whole.open()
        run_id = submit(factory, dataset(factory), 1)
        del factory
        undisturbed = copy(whole, Path(folder) / "undisturbed")
        expected = work(undisturbed, None)[1]
        places = {limit: copy(whole, Path(folder) / f"below-{limit}") for limit in LIMITS}
        for limit, place in places.items():
            status, said = work(place, limit)
            tally.tried += 1
            if status != 0:
                tally.expect(any(code in said for code in REFUSALS), f"below {limit}: {said.strip()[-200:]}")
        # A ledger that could not be written to does not know that its holder is gone.
        time.sleep(LEASE_SECONDS + 1)
        for limit, place in places.items():
            again = place.open()
            again.work(run_id)
            tally.expect(again.run(run_id).bundle_id == bundle(expected), f"below {limit}: another bundle")
            for finding in again.fsck()["findings"]:
                tally.lost.append(f"below {limit}: {finding}")
    return [tally]


def work(place: Backend, limit: int | None) -> tuple[int, str]:
    """Carry out one run in a process of its own; gives its exit status and what it said."""
    command = [sys.executable, "-m", "model_factory.cli", "work", "--once", "--json", *place.options()]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ.copy(),
        preexec_fn=None if limit is None else limited(limit),
    )
    return done.returncode, done.stdout + done.stderr


def bundle(said: str) -> str:
    """Give the bundle's id that a worker told."""
    return next(line.split('"')[3] for line in said.splitlines() if line.strip().startswith('"bundle_id"'))
