"""A bar for long work: on a terminal or in a notebook, and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TextIO, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Progress", "Report", "reporting"]

Report: TypeAlias = Callable[[str, int, int], object]
Progress: TypeAlias = "Report | Literal[False] | None"

_WIDTH = 24


@contextmanager
def reporting(progress: Progress) -> Iterator[Report | None]:
    """Give what a call reports to: the caller's own callable, a bar, or nothing."""
    if progress is False:
        yield None
    elif progress is not None:
        yield progress
    else:
        out = _screen()
        if out is None:
            yield None
            return
        bar = _Bar(out)
        try:
            yield bar
        finally:
            bar.wipe()


def _screen() -> TextIO | None:
    """Where a bar can be drawn."""
    if sys.stderr is not None and sys.stderr.isatty():
        return sys.stderr
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return sys.stdout if hasattr(shell, "kernel") else None


class _Bar:
    """One line that is drawn over itself, and wiped when the work is over."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._drawn = ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        share = min(done / total, 1.0) if total else 0.0
        filled = round(share * _WIDTH)
        line = f"{stage:<9}{'█' * filled}{'░' * (_WIDTH - filled)} {share:4.0%}"
        if line != self._drawn:
            self._out.write(f"\r{line}")
            self._out.flush()
            self._drawn = line

    def wipe(self) -> None:
        """Leave the line as it was before."""
        if self._drawn:
            self._out.write(f"\r{' ' * len(self._drawn)}\r")
            self._out.flush()
