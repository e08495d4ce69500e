"""A file system that takes no more: refused by its code, nothing half-written seen, carried on with room."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.places import Place, dataset, submit, wait_for_leases
from tests.faults.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.faults.places import Backend

# Bytes that a file may have: from too little for the smallest document to enough for all.
LIMITS = [0, 1, 100, 500, *range(1_000, 30_000, 500), *range(30_000, 300_000, 10_000)]
# Bytes of room on a file system beside the factory: from none to enough for all.
ROOM = range(0, 400_000, 8_192)
ENOUGH = "64m"
REFUSAL = "RESOURCE_EXHAUSTED"


def run(backend: Backend, limits: Sequence[int] = LIMITS, room: Sequence[int] = ROOM) -> list[Tally]:
    """Carry a run out below each limit and on each file system, and then with room."""
    grows, full = Tally("files that may not grow"), Tally("file systems that are full")
    template = backend.place()
    factory = template.open()
    run_id = submit(factory, dataset(factory), 1)
    del factory
    undisturbed = backend.copy(template)
    work(undisturbed, None)
    expected = str(undisturbed.open().run(run_id).bundle_id)
    below = {limit: backend.copy(template) for limit in limits}
    for limit, place in below.items():
        refused(grows, f"below {limit}", *work(place, limit))
    with filled(template, room) as mounted:
        for left, place in mounted.items():
            refused(full, f"with {left} of room", *work(place, None))
            give_room(place)
        # A ledger that could not be written to does not know that its holder is gone.
        wait_for_leases([*below.values(), *mounted.values()])
        for limit, place in below.items():
            carry_on(grows, f"below {limit}", place, (run_id, expected))
        for left, place in mounted.items():
            carry_on(full, f"with {left} of room", place, (run_id, expected))
    return [grows, full] if full.tried else [grows]


def refused(tally: Tally, where: str, status: int, said: str) -> None:
    """Look at how a worker ended."""
    tally.tried += 1
    if status != 0:
        tally.expect(REFUSAL in said, f"{where}: {said.strip()[-200:]}")


def carry_on(tally: Tally, where: str, place: Place, expected: tuple[str, str]) -> None:
    """Carry the run on with room; it ends as if there had always been some."""
    run_id, bundle = expected
    factory = place.open()
    factory.work(run_id)
    tally.expect(factory.run(run_id).bundle_id == bundle, f"{where}: another bundle")
    for finding in factory.fsck()["findings"]:
        tally.lost.append(f"{where}: {finding}")


def work(place: Place, limit: int | None) -> tuple[int, str]:
    """Carry out one run in a process of its own; gives its exit status and what it said."""
    command = [sys.executable, "-m", "model_factory.cli", "work", "--once", "--json", *place.options()]
    begin = None if limit is None else limited(limit)
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=begin)
    return done.returncode, done.stdout + done.stderr


def limited(limit: int) -> Callable[[], None]:
    """Give what a process does first, so that its files stay below a size."""

    def begin() -> None:
        # The signal would kill it before it could say what is wrong.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return begin


@contextlib.contextmanager
def filled(template: Place, room: Sequence[int]) -> Iterator[dict[int, Place]]:
    """Copy a factory onto small file systems that have so much room beside it, where one may mount such."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faults-full-")))
        places = {}
        for left in room:
            target = folder / str(left)
            target.mkdir()
            if not mount(target, ENOUGH):
                sys.stdout.write("skipped: file systems that are full: only who may mount can make one\n")
                break
            stack.callback(unmount, target)
            shutil.copytree(template.root, target / "factory")
            used = os.statvfs(target)
            size = (used.f_blocks - used.f_bfree) * used.f_frsize + left
            mount(target, str(size), "remount,")
            places[left] = Place(str(target / "factory"))
        yield places


def give_room(place: Place) -> None:
    """Let the file system below a place grow."""
    mount(Path(place.root).parent, ENOUGH, "remount,")


def mount(target: Path, size: str, how: str = "") -> bool:
    """Mount a file system in memory, or change its size; whether that was allowed."""
    command = ["mount", "-t", "tmpfs", "-o", f"{how}size={size}", "faults", str(target)]
    return os.getuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0


def unmount(target: Path) -> None:
    """Let a file system go."""
    subprocess.run(["umount", "--lazy", str(target)], check=True)
