"""What callers hand in, checked at the door: another type is ``PARAMETER_INVALID`` by the argument's name."""

from __future__ import annotations

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


def text(value: Any, name: str) -> str:
    """Take a text."""
    return one(value, name, str, "text")


def principal(value: Any, name: str) -> str:
    """Take the name of who acts."""
    given = text(value, name)
    _native.check_principal(given, name)
    return given


def texts(values: Any, name: str, count: int | None = None) -> list[str]:
    """Take a list of texts, of so many where it must be."""
    taken = several(values, name, str, "text")
    if count is not None and len(taken) != count:
        raise _native.refusal("PARAMETER_INVALID", name, f"{count} texts", str(len(taken)))
    return taken


def path(value: Any, name: str, expected: str = "a path") -> str | PathLike[str]:
    """Take a path of a file or folder."""
    if isinstance(value, (str, PathLike)):
        return value
    raise _native.refusal("PARAMETER_INVALID", name, expected, type(value).__name__)


def moment(value: Any, name: str) -> str:
    """Give a moment as documents write it; refuses a datetime without a zone, as all of numpy's are."""
    expected = "a moment in UTC: text such as 2018-08-15T00:00:00Z, or a datetime with its zone"
    if isinstance(value, str):
        return value
    given = one(value, name, datetime, expected)
    if given.tzinfo is None:
        raise _native.refusal("PARAMETER_INVALID", name, expected, "a datetime without one")
    return given.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
