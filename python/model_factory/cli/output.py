"""What a command writes: its answer on standard output, what is to be said beside it on standard error.

Either may be gone. A reader that leaves, as ``head`` does, is no failure of the command: it stops, says
nothing, and ends with the status of a program that a closed pipe ended. What others wrote and might steer a
terminal is written as escapes.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

from model_factory import _shown

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["UNEXPECTED", "Unwritable", "say", "write"]

UNEXPECTED = 1
READER_GONE = 141


class Unwritable(Exception):  # noqa: N818 - what standard output is then
    """Standard output takes no more; ``status`` is what a command that succeeded all the same ends with."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def write(text: str) -> None:
    """Write text as lines of standard output, at once.

    Raises
    ------
    Unwritable
        Where nobody reads it any more, or it cannot be written; why not has been said then.
    """
    if sys.stdout is None:
        _give_up("Bad file descriptor")
    try:
        sys.stdout.write(_shown.lines(text) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)
        raise Unwritable(READER_GONE) from None
    except OSError as error:
        _discard(sys.stdout)
        _give_up(error.strerror or type(error).__name__)


def say(text: str) -> None:
    """Write text as lines of standard error, if anybody reads them."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(_shown.lines(text) + "\n")
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


def _give_up(why: str) -> NoReturn:
    say(f"model-factory: the answer cannot be written: {why}")
    raise Unwritable(UNEXPECTED)


def _discard(stream: TextIO) -> None:
    """Let what a stream still holds go nowhere: the interpreter flushes it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
