"""The suites that are written in Rust, beside the code that they break."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.faults.tally import Tally

ROOT = Path(__file__).resolve().parents[2]
COUNTED = re.compile(r"faults (?P<name>.+): (?P<tried>\d+) tried, (?P<lost>\d+) lost")


def run() -> list[Tally]:
    """Run them and read their counts; a suite that fails without a count has lost one.

    What cargo and a panic say goes to standard error as it comes.
    """
    # The whole workspace, as the ordinary tests have it: another choice of features would be built anew.
    command = ["cargo", "test", "--workspace", "--locked", "--test", "faults", "--"]
    options = ["--nocapture", "--test-threads=2"]
    environment = {**os.environ, "MODEL_FACTORY_FAULTS": "all"}
    tallies = []
    process = subprocess.run(
        [*command, *options], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    for counted in COUNTED.finditer(process.stdout):
        lost = ["its panic says which"] * int(counted["lost"])
        tallies.append(Tally(counted["name"], int(counted["tried"]), lost))
    if process.returncode != 0 and not any(tally.lost for tally in tallies):
        tallies.append(Tally("core", 0, [f"cargo test ended with status {process.returncode}"]))
    return tallies
