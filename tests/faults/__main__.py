"""Every fault suite, on every backend: ``python -m tests.faults [NAME ...]``.

Writes ``target/faults/results.json`` and prints, last, one line of counts.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults import core
from tests.faults.places import backends
from tests.faults.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]

# What runs on each backend, and what is about one of them alone; what takes longest begins first.
SUITES: dict[str, tuple[str, ...]] = {
    "points": ("servers", "local"),
    "killed": ("servers", "local"),
    "outages": ("servers",),
    "disk": ("local",),
    "stopped": ("servers", "local"),
    "race": ("servers",),
}
# Suites at the same time: one computes while another waits for leases.
SIDE_BY_SIDE = 3


def main(names: list[str]) -> int:
    """Run the suites of these names, or all."""
    wanted = names or ["core", *SUITES]
    if unknown := set(wanted) - {"core", *SUITES}:
        sys.exit(f"no suite is called {min(unknown)}; there are core, {', '.join(SUITES)}")
    start = time.monotonic()
    tallies = side_by_side(wanted)
    write(tallies)
    for tally in tallies:
        for what in tally.lost:
            sys.stdout.write(f"lost: {tally.name}: {what}\n")
    tried, lost = sum(tally.tried for tally in tallies), sum(len(tally.lost) for tally in tallies)
    sys.stdout.write(f"{tried} faults tried, {lost} lost, in {time.monotonic() - start:.0f} s\n")
    return int(lost > 0 or tried == 0)


def side_by_side(names: list[str]) -> list[Tally]:
    """Run each suite on each of its backends."""
    with backends() as found, ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        begun = [pool.submit(timed, "core", core.run)] if "core" in names else []
        for name in names:
            for backend in found:
                if backend.name in SUITES.get(name, ()):
                    suite = importlib.import_module(f"tests.faults.{name}").run
                    begun.append(pool.submit(timed, f"{name} on {backend.name}", partial(suite, backend)))
        return [tally for each in begun for tally in each.result()]


def write(tallies: list[Tally]) -> None:
    """Leave the counts for programs to read."""
    folder = ROOT / "target" / "faults"
    folder.mkdir(parents=True, exist_ok=True)
    written = [tally.document() for tally in tallies]
    (folder / "results.json").write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


def timed(name: str, suite: Callable[[], list[Tally]]) -> list[Tally]:
    """Run one suite, and say under its heading what it came to."""
    start = time.monotonic()
    try:
        tallies = suite()
    except Exception as error:  # noqa: BLE001 - the others are to run all the same
        traceback.print_exc()
        tallies = [Tally(name, 0, [f"the suite itself failed: {error!r}"])]
    lines = [f"── {name} ({time.monotonic() - start:.0f} s)"]
    lines += [f"{tally.name}: {tally.tried} tried, {len(tally.lost)} lost" for tally in tallies]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    return tallies


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
