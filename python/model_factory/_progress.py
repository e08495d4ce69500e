"""Progress of long work: a bar on a terminal, a bar in a notebook, silence everywhere else.

A reporter is called with ``(stage, done, total)``; ``total`` is 0 while a stage's size is not known.

    >>> reporter(False) is None
    True
"""

from __future__ import annotations

import sys
import time
from typing import IO, TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NotebookBar", "Reporter", "TerminalBar", "reporter"]

WIDTH = 28
FULL, EMPTY = "█", "·"
SECONDS_BETWEEN_DRAWINGS = 0.08


class Reporter(Protocol):
    """What long work tells its progress to."""

    def __call__(self, stage: str, done: int, total: int) -> object:
        """Say that ``done`` of ``total`` steps of the stage are done."""


def reporter(
    progress: bool | Callable[[str, int, int], object] | None = None,  # noqa: FBT001 - False is a word here
    stream: IO[str] | None = None,
) -> Reporter | None:
    """The reporter that a caller asks for: None chooses by where the output goes, False is silence."""
    if progress is False:
        return None
    if callable(progress):
        return progress
    if _in_notebook():
        return NotebookBar()
    stream = sys.stderr if stream is None else stream
    return TerminalBar(stream) if stream is not None and stream.isatty() else None


class _Stages:
    """Which stage runs and since when; draws at most every now and then."""

    def __init__(self) -> None:
        self.stage: str | None = None
        self.began = 0.0
        self.share: float | None = None
        self._drawn = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self.stage:
            self.finish()
            self.stage, self.began, self.share, self._drawn = stage, now, None, 0.0
        # A stage may go over its rows more than once; its bar never runs backwards.
        share = min(1.0, done / total) if total > 0 else None
        if share is not None:
            self.share = max(self.share or 0.0, share)
        if now - self._drawn >= SECONDS_BETWEEN_DRAWINGS:
            self._drawn = now
            self.draw(now - self.began)

    def finish(self) -> None:
        """Close the stage that runs; the next call begins another."""
        if self.stage is not None:
            self.close(time.monotonic() - self.began)
            self.stage = None

    def draw(self, seconds: float) -> None:
        raise NotImplementedError

    def close(self, seconds: float) -> None:
        raise NotImplementedError


class TerminalBar(_Stages):
    """One line a stage: rewritten while it runs, left with its time when it is done."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__()
        self._stream = stream

    def draw(self, seconds: float) -> None:
        """Rewrite the line."""
        filled = round(WIDTH * (self.share or 0.0))
        shown = "" if self.share is None else f" {100 * self.share:3.0f} %"
        bar = FULL * filled + EMPTY * (WIDTH - filled)
        self._write(f"\r\x1b[2K  {self.stage or '':<9} {bar}{shown} {seconds:5.1f} s")

    def close(self, seconds: float) -> None:
        """Leave the line as it ends."""
        self._write(f"\r\x1b[2K  {self.stage or '':<9} {FULL * WIDTH} done  {seconds:5.1f} s\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class NotebookBar(_Stages):
    """A bar of the browser's own below the cell; it goes away when the work is done."""

    def __init__(self) -> None:
        super().__init__()
        self._handle: Any = None

    def draw(self, seconds: float) -> None:
        """Show or update the bar."""
        # What is optional and heavy is imported where it is used.
        from IPython.display import HTML, display  # noqa: PLC0415

        value = "" if self.share is None else f' value="{self.share:.3f}"'
        bar = HTML(f"<progress max='1'{value}></progress> {self.stage} {seconds:.1f} s")
        if self._handle is None:
            self._handle = display(bar, display_id=True)
        else:
            self._handle.update(bar)

    def close(self, seconds: float) -> None:
        """Take the bar away."""
        del seconds
        if self._handle is not None:
            from IPython.display import HTML  # noqa: PLC0415

            self._handle.update(HTML(""))
            self._handle = None


def _in_notebook() -> bool:
    """Whether the code runs in a kernel that shows HTML; never imports IPython itself."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"
