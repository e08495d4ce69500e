"""What is open, and what becomes of it where it stands."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import model_factory as mf
from tests.bench import opened

# Asks for what SQLite asks for where it takes a ledger's log away: all bytes that stand for readers of the file.
ALONE = """
import fcntl, sys
with open(sys.argv[1], "r+b") as ledger:
    try:
        fcntl.lockf(ledger, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)
    except OSError:
        print("others have it open")
    else:
        print("nobody has it open")
"""


@pytest.fixture
def root(published: tuple[Path, mf.Dataset, str], copied: Callable[[Path], Path]) -> Path:
    return copied(published[0])


def test_a_ledger_that_is_opened_twice_stays_open_for_others(root: Path) -> None:
    """A process that closes a file lets go of all its locks on it, and the next to close the ledger takes its log away."""
    both = [opened(root), opened(root)]
    assert [len(factory.runs()) for factory in both] == [1, 1]
    command = [sys.executable, "-c", ALONE, str(root / "ledger.sqlite")]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert said == "others have it open\n"
