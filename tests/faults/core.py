"""The suites that are written in Rust, beside the code that they break."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.faults.tally import Tally

ROOT = Path(__file__).resolve().parents[2]
COUNTED = re.compile(r"faults (?P<name>.+): (?P<tried>\d+) tried, (?P<lost>\d+) lost")


def run() -> list[Tally]:
    """Run them and read their counts; a suite that fails without a count has lost one."""
    command = ["cargo", "test", "--locked", "--package", "factory", "--test", "faults", "--"]
    options = ["--ignored", "--nocapture", "--test-threads=2"]
    tallies = []
    with subprocess.Popen([*command, *options], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            if counted := COUNTED.search(line):
                lost = ["see above"] * int(counted["lost"])
                tallies.append(Tally(counted["name"], int(counted["tried"]), lost))
    if process.returncode != 0 and not any(tally.lost for tally in tallies):
        tallies.append(Tally("core", 0, [f"cargo test ended with status {process.returncode}"]))
    return tallies
