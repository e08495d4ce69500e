"""Text that others wrote, made fit to be shown.

Records are kept as they were given; what stands in them may steer the terminal that it is written to, turn
the order of what is read, or look like a line of its own. Where it is shown, such characters become the
escapes that JSON has for them, so that inside of a JSON text the value stays the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["line", "lines", "types"]

# What contracts' `Reason` refuses, and halves of surrogate pairs, which no encoding has.
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def line(text: str) -> str:
    """Give text as one line."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def types(kinds: Iterable[type]) -> str:
    """Name the types of objects of which some do not fit, the first three of them."""
    return f"objects, among them of type {', '.join(sorted({kind.__name__ for kind in kinds})[:3])}"


def lines(text: str) -> str:
    """Give text whose line breaks are meant."""
    return "\n".join(map(line, text.split("\n")))
