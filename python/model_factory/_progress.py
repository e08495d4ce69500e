"""Progress of long work: a bar on a terminal, a bar in a notebook, silence everywhere else.

A bar is there while a call works and gone when the call is over, so that it never stands between results.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TextIO, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["NotebookBar", "Progress", "Report", "TerminalBar", "reporting"]

Report: TypeAlias = Callable[[str, int, int], object]
"""Takes the stage, the steps done and the steps in all; these are 0 while they are not known."""
Progress: TypeAlias = "Report | Literal[False] | None"

WIDTH = 28
ERASE = "\r\x1b[2K"


@contextmanager
def reporting(progress: Progress) -> Iterator[Report | None]:
    """Give what a call reports to: the caller's own callable, a bar, or nothing."""
    if progress is False:
        yield None
        return
    bar = _bar() if progress is None else None
    try:
        yield bar if progress is None else progress
    finally:
        if bar is not None:
            bar.close()


def _bar() -> TerminalBar | NotebookBar | None:
    """Choose by where the output goes."""
    if _in_notebook():
        return NotebookBar()
    return TerminalBar(sys.stderr) if sys.stderr is not None and sys.stderr.isatty() else None


class _Stage:
    """Which stage runs, since when, and how far it is."""

    def __init__(self) -> None:
        self.name = ""
        self.share: float | None = None
        self._began = time.monotonic()

    def move(self, name: str, done: int, total: int) -> None:
        """Take in a report; a stage that goes over its rows again does not go back."""
        if name != self.name:
            self.name, self.share, self._began = name, None, time.monotonic()
        if total > 0:
            self.share = max(self.share or 0.0, min(1.0, done / total))

    @property
    def seconds(self) -> float:
        """For how long the stage has run."""
        return time.monotonic() - self._began


class TerminalBar:
    """One line that is drawn over itself, and wiped when the work is over."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._stage = _Stage()

    def __call__(self, stage: str, done: int, total: int) -> None:
        self._stage.move(stage, done, total)
        share = self._stage.share
        filled = round(WIDTH * (share or 0.0))
        percent = "      " if share is None else f"{100 * share:4.0f} %"
        bar = "█" * filled + "·" * (WIDTH - filled)
        self._write(f"{ERASE}  {stage:<9} {bar} {percent} {self._stage.seconds:5.1f} s")

    def close(self) -> None:
        """Leave the line as it was before."""
        self._write(ERASE)

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


class NotebookBar:
    """A bar of the browser's own below the cell, taken away when the work is over."""

    def __init__(self) -> None:
        self._stage = _Stage()
        self._handle: Any = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        self._stage.move(stage, done, total)
        share = self._stage.share
        value = "" if share is None else f" value='{share:.3f}'"
        self._show(f"<progress max='1'{value}></progress> {stage} {self._stage.seconds:.1f} s")

    def close(self) -> None:
        """Take the bar away."""
        if self._handle is not None:
            self._show("")

    def _show(self, html: str) -> None:
        # Optional and slow to import, and there already wherever a notebook runs.
        ipython: Any = importlib.import_module("IPython.display")
        if self._handle is None:
            self._handle = ipython.display(ipython.HTML(html), display_id=True)
        else:
            self._handle.update(ipython.HTML(html))


def _in_notebook() -> bool:
    """Say whether the code runs in a kernel that shows HTML; never imports IPython itself."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")
