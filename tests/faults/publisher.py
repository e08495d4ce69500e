"""A process that publishes runs when it is told to: ``python -m tests.faults.publisher ROOT LEDGER KEYS``."""

from __future__ import annotations

import contextlib
import sys

import model_factory as mf


def main(root: str, ledger: str, keys: str) -> None:
    """Read ids of runs, publish each, and say what came of it: ``won``, or a code."""
    factory = mf.open(root, ledger=ledger, keys=keys, principal="ada", progress=False)
    say("ready")
    for line in sys.stdin:
        say(published(factory.run(line.strip())))


def published(run: mf.Run) -> str:
    """Publish a run and give what this process's ledger says came of it.

    Its receipts are of whichever ledger wrote them first; the others are refused theirs, which is no matter.
    """
    with contextlib.suppress(mf.errors.ModelFactoryError):
        run.publish()
    run.refresh()
    return "won" if run.state == "PUBLISHED" else str(run.reason)


def say(word: str) -> None:
    """Say a word to whoever began this process."""
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
