"""Documents as callers hand them in: mappings, texts or files, read within the core's bounds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from model_factory import _arguments, _native

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["Given", "as_json", "json_of", "mapping", "read", "request_id", "stored"]

# What people write, which may leave out `schema_version`, with the codes of what is wrong in them.
_WRITTEN = {
    "training_config": "TRAINING_CONFIG_INVALID",
    "governance_profile": "GOVERNANCE_PROFILE_INVALID",
    "train_request": "REQUEST_INVALID",
}
# What requests name by a reference to what people wrote.
_STORED = ("training_config", "governance_profile")
_DEEPEST = 64

Given: TypeAlias = "Mapping[str, Any] | bytes | str | PathLike[str]"


def stored(name: Any) -> str:
    """Take the name of a kind of document that is stored for requests to name."""
    if _arguments.text(name, "name") in _STORED:
        return cast("str", name)
    raise _native.refusal("PARAMETER_INVALID", "name", " or ".join(_STORED), "another name")


def read(name: str, given: Given, place: str) -> dict[str, Any]:
    """Read a document of a kind from a mapping, from JSON bytes, or from the path of a file; unchecked.

    ``place`` is the caller's name for where it is given, in refusals of what holds no document at all.

    A file whose name ends in ``.toml`` is read as TOML, any other as JSON. What people write may leave out
    ``schema_version``, which is filled in.

    Raises
    ------
    ModelFactoryError
        ``PARAMETER_INVALID`` for anything else, ``SOURCE_UNREADABLE`` for a file that cannot be read; the
        document's own code where one is not well-formed.
    """
    if isinstance(given, Mapping):
        document: Any = dict(given)
    elif isinstance(given, bytes):
        document = json.loads(_native.as_json(given, toml=False, name=name))
    else:
        document = _file(_arguments.path(given, place, "a mapping or the path of a file"), place, name)
    if not isinstance(document, dict):
        # The document's own door says with its own code that it is none.
        _native.canonical(name, json.dumps(document).encode())
    filled = {"schema_version": f"model_factory.{name}.v1"} if name in _WRITTEN else {}
    return cast("dict[str, Any]", filled | document)


def mapping(path: str | PathLike[str], place: str) -> dict[str, Any]:
    """Read a TOML or JSON file that holds a mapping which is no document; ``place`` names it in refusals."""
    found = _file(path, place, None)
    return _arguments.one(found, place, dict, "a mapping")


def as_json(name: str, document: Mapping[str, Any]) -> str:
    """Write a document as JSON text; what JSON cannot say is refused with the document's own code."""
    return json_of(document, _WRITTEN.get(name, "DOCUMENT_INVALID"))


def json_of(value: Any, code: str) -> str:
    """Write a value as JSON text: numpy's numbers and arrays too, and a moment with its zone as its text."""
    return json.dumps(_plain(value, (), code))


def request_id(payload: Mapping[str, Any]) -> str:
    """Name a request by its content, so that the same call is the same request."""
    content = json.dumps(_plain(payload, (), "REQUEST_INVALID"), sort_keys=True)
    return f"request-{hashlib.sha256(content.encode()).hexdigest()[:32]}"


def _file(path: str | PathLike[str], place: str, name: str | None) -> Any:
    try:
        with Path(path).open("rb") as file:
            # One byte more than a document may have says that this is none: what is longer may have no end.
            text = file.read(_native.largest_document() + 1)
    except (OSError, ValueError) as error:
        found = _unreadable(error)
        raise _native.refusal("SOURCE_UNREADABLE", place, "a file that can be read", found) from None
    return json.loads(_native.as_json(text, toml=Path(path).suffix == ".toml", name=name))


def _unreadable(error: OSError | ValueError) -> str:
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return "nothing there"
        case IsADirectoryError():
            return "a folder"
        case PermissionError():
            return "one that may not be read"
    return type(error).__name__


def _plain(value: Any, place: tuple[str, ...], code: str) -> Any:
    """Give a value as JSON can say it."""
    match value:
        case str():
            return _arguments.whole(value, _pointer(place), code)
        case None | bool() | int():
            return value
        case float() if np.isfinite(value):
            return value
        case datetime():
            return _arguments.moment(value, _pointer(place))
        case np.generic() | np.ndarray() if value.dtype.kind in "biufU" and not isinstance(value, float):
            return _plain(value.tolist(), place, code)
        case Mapping() | list() | tuple() if len(place) < _DEEPEST:
            return _parts(value, place, code)
    found = "NaN or an infinity" if isinstance(value, float) else type(value).__name__
    expected = f"within {_DEEPEST} others" if len(place) == _DEEPEST else "a value that JSON can say"
    raise _native.refusal(code, _pointer(place), expected, found)


def _parts(value: Any, place: tuple[str, ...], code: str) -> Any:
    if not isinstance(value, Mapping):
        return [_plain(part, (*place, str(index)), code) for index, part in enumerate(value)]
    if not all(isinstance(name, str) for name in value):
        raise _native.refusal(code, _pointer(place), "names that are text", "others")
    for name in value:
        _arguments.whole(name, _pointer(place), code)
    return {name: _plain(part, (*place, name), code) for name, part in value.items()}


def _pointer(place: tuple[str, ...]) -> str:
    return "".join(f"/{part}" for part in place) or "/"
