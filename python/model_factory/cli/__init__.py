"""The command line ``model-factory``: the Python interface for operators and scripts.

Every verb prints text for people, or with ``--json`` one JSON object on standard output and nothing else; a
worker that serves prints one object a line, the last of which says how it ended. Exit statuses: 0 done;
1 unexpected; 2 usage; 10 INPUT_ADMISSION, 11 RESOLUTION, 12 LEAKAGE, 13 EVIDENCE, 14 IMMUTABILITY,
15 EXECUTION, 16 PUBLISH, 17 REGISTRY; 130 ended by Ctrl-C, 143 by SIGTERM; 141 done, but nobody read the
answer to its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command and give back its exit status; ``--help`` leaves by ``SystemExit(0)``."""
    try:
        # Loading is the longest part of a short command, so that Ctrl-C may well come while it lasts.
        from model_factory.cli import program  # noqa: PLC0415 - inside of what catches an interrupt

        return program.main(arguments)
    except KeyboardInterrupt:
        return 130
