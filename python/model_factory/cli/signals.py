"""SIGTERM and Ctrl-C while runs are carried out: the first asks, the second insists."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from model_factory.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Terminated", "stopping"]

BOTH = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """The process was told to end, by SIGTERM rather than from the keyboard."""


@contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Let the first of the signals call ``stop``, and the second raise; more of them change nothing.

    Raises
    ------
    KeyboardInterrupt
        At the second signal: as Terminated where that is SIGTERM.
    """

    def asked(_signal: int, _frame: object) -> None:
        _handle(insisted)
        stop()
        say("stopping: what is at hand is finished first; once more stops it too")

    def insisted(number: int, _frame: object) -> NoReturn:
        # What follows is short, and says how it ended.
        _handle(signal.SIG_IGN)
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    before = [signal.signal(each, asked) for each in BOTH]
    try:
        yield
    finally:
        for each, handler in zip(BOTH, before, strict=True):
            signal.signal(each, handler)


def _handle(handler: Callable[[int, object], object] | signal.Handlers) -> None:
    for each in BOTH:
        signal.signal(each, handler)
