"""How many faults were tried, and which were not borne."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Tally:
    """Faults of one kind.

    Attributes
    ----------
    tried : int
        How many faults were made to happen.
    lost : list of str
        Those after which something was lost, forked or seen half-done, in words.
    """

    name: str
    tried: int = 0
    lost: list[str] = field(default_factory=list)

    def expect(self, holds: bool, otherwise: str) -> None:
        """Note what was lost unless the condition holds."""
        if not holds:
            self.lost.append(otherwise)

    def document(self) -> dict[str, Any]:
        """Give it as JSON can say it."""
        return {"name": self.name, "tried": self.tried, "lost": self.lost}
