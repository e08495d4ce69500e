"""What callers hand in, checked at the door: another type is ``PARAMETER_INVALID`` by the argument's name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from os import PathLike
from typing import Any, TypeVar

from model_factory import _native

_Kind = TypeVar("_Kind")


def one(value: Any, name: str, kind: type[_Kind], expected: str) -> _Kind:
    """Take a value of one type."""
    if isinstance(value, kind):
        return value
    raise _native.refusal("PARAMETER_INVALID", name, expected, type(value).__name__)


def several(values: Any, name: str, kind: type[_Kind], expected: str) -> list[_Kind]:
    """Take values of one type; a text is no list of letters."""
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise _native.refusal("PARAMETER_INVALID", name, f"a list of {expected}", type(values).__name__)
    return [one(value, f"{name}/{place}", kind, expected) for place, value in enumerate(values)]


def text(value: Any, name: str, expected: str = "text") -> str:
    """Take a text."""
    return whole(one(value, name, str, expected), name)


def whole(value: str, name: str, code: str = "PARAMETER_INVALID") -> str:
    """Take a text that UTF-8 can say; ``code`` is that of what it is a part of."""
    broken = half_pair(value)
    if broken is None:
        return value
    expected = "text that UTF-8 can say"
    raise _native.refusal(code, name, expected, f"half of a surrogate pair at place {broken + 1}")


def half_pair(value: str) -> int | None:
    """Find the first half of a surrogate pair in a text, which is no character; None where there is none."""
    if value.isascii():
        return None
    try:
        value.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


def principal(value: Any, name: str) -> str:
    """Take the name of who acts."""
    given = text(value, name)
    _native.check_principal(given, name)
    return given


def texts(values: Any, name: str, count: int | None = None) -> list[str]:
    """Take a list of texts, of so many where it must be."""
    taken = [whole(each, f"{name}/{place}") for place, each in enumerate(several(values, name, str, "text"))]
    if count is not None and len(taken) != count:
        raise _native.refusal("PARAMETER_INVALID", name, f"{count} texts", str(len(taken)))
    return taken


def path(value: Any, name: str, expected: str = "a path") -> str | PathLike[str]:
    """Take a path of a file or folder; one that is no UTF-8 has escapes of Python's for its bytes."""
    if not isinstance(value, (str, PathLike)):
        raise _native.refusal("PARAMETER_INVALID", name, expected, type(value).__name__)
    try:
        os.fsencode(value)
    except UnicodeEncodeError as error:
        found = f"half of a surrogate pair at place {error.start + 1}"
    else:
        return value
    raise _native.refusal("PARAMETER_INVALID", name, f"{expected} that the system can say", found)


def moment(value: Any, name: str) -> str:
    """Give a moment as documents write it; refuses a datetime without a zone, as all of numpy's are."""
    expected = "a moment in UTC: text such as 2018-08-15T00:00:00Z, or a datetime with its zone"
    if isinstance(value, str):
        return whole(value, name)
    given = one(value, name, datetime, expected)
    if given.tzinfo is None:
        raise _native.refusal("PARAMETER_INVALID", name, expected, "a datetime without one")
    return given.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
