"""Every fault suite, on every backend: ``python -m tests.faults [NAME ...]``.

Writes ``target/faults/results.json`` and prints, last, one line of counts.
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults import core, disk, killed, stopped
from tests.faults.places import Backend, backends

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.tally import Tally

ROOT = Path(__file__).resolve().parents[2]

# What runs on each backend; what is about one file system runs on the local one alone.
ON_EACH: dict[str, Callable[[Backend], list[Tally]]] = {
    "killed": killed.run,
    "stopped": stopped.run,
}
LOCAL: dict[str, Callable[[Backend], list[Tally]]] = {"disk": disk.run}


def main(names: list[str]) -> int:
    """Run the suites of these names, or all."""
    wanted = names or ["core", *ON_EACH, *LOCAL]
    tallies: list[Tally] = []
    if "core" in wanted:
        tallies += timed("core", core.run)
    with backends() as found:
        for name in wanted:
            for backend in found if name in ON_EACH else found[:1] if name in LOCAL else []:
                suite = (ON_EACH | LOCAL)[name]
                tallies += timed(f"{name} on {backend.name}", partial(suite, backend))
    folder = ROOT / "target" / "faults"
    folder.mkdir(parents=True, exist_ok=True)
    written = [tally.document() for tally in tallies]
    (folder / "results.json").write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    tried, lost = sum(tally.tried for tally in tallies), sum(len(tally.lost) for tally in tallies)
    for tally in tallies:
        for what in tally.lost:
            sys.stdout.write(f"lost: {tally.name}: {what}\n")
    sys.stdout.write(f"{tried} faults tried, {lost} lost\n")
    return int(lost > 0 or tried == 0)


def timed(name: str, suite: Callable[[], list[Tally]]) -> list[Tally]:
    """Run one suite under its heading."""
    sys.stdout.write(f"── {name}\n")
    sys.stdout.flush()
    start = time.monotonic()
    tallies = suite()
    for tally in tallies:
        sys.stdout.write(f"{tally.name}: {tally.tried} tried, {len(tally.lost)} lost\n")
    sys.stdout.write(f"({time.monotonic() - start:.0f} s)\n")
    sys.stdout.flush()
    return tallies


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
