"""Documents of a request as callers hand them in: mappings or files, with what can be left out filled in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from model_factory import _native

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

__all__ = ["Given", "as_json", "read", "request_id"]

_INVALID = {
    "training_config": "TRAINING_CONFIG_INVALID",
    "governance_profile": "GOVERNANCE_PROFILE_INVALID",
    "train_request": "REQUEST_INVALID",
}

Given: TypeAlias = "Mapping[str, Any] | str | PathLike[str]"


def read(name: str, given: Given) -> dict[str, Any]:
    """Read a document from a mapping, or from the path of a JSON file or a ``.toml`` file; unchecked.

    Raises
    ------
    ModelFactoryError
        ``SOURCE_UNREADABLE`` for a file that cannot be read; the document's own code where one is not
        well-formed.
    """
    if isinstance(given, Mapping):
        return dict(given)
    path = Path(given)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise _native.refusal(
            "SOURCE_UNREADABLE", name, "a mapping or a readable file", type(error).__name__
        ) from None
    try:
        text = raw.decode()
        document = json.loads(_native.toml_as_json(text) or "null" if path.suffix == ".toml" else text)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        # The document's own door says with its own code what is wrong.
        if path.suffix == ".toml":
            _native.canonical_from_toml(name, raw.decode(errors="replace"))
        _native.canonical(name, raw)
    return cast("dict[str, Any]", document)


def as_json(name: str, document: Mapping[str, Any]) -> str:
    """Write a document, whose numbers may be numpy's, as JSON text; NaN and infinities have its own code."""
    place = _not_finite(document, "")
    if place:
        raise _native.refusal(_INVALID[name], place, "a finite number", "NaN or an infinity")
    return json.dumps(dict(document), default=_plain)


def request_id(payload: Mapping[str, Any]) -> str:
    """Name a request by its content, so that the same call is the same request."""
    content = json.dumps(payload, sort_keys=True, default=_plain)
    return f"request-{hashlib.sha256(content.encode()).hexdigest()[:32]}"


def _not_finite(value: Any, pointer: str) -> str:
    """Point to the first number that JSON cannot say; empty where there is none."""
    match value:
        case Mapping():
            parts: Iterable[tuple[Any, Any]] = value.items()
        case list() | tuple() | np.ndarray():
            parts = enumerate(value)
        case float() | np.floating():
            return "" if np.isfinite(value) else pointer
        case _:
            return ""
    return next(filter(None, (_not_finite(part, f"{pointer}/{name}") for name, part in parts)), "")


def _plain(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise _native.refusal("DOCUMENT_INVALID", "document", "values that JSON knows", "another object")
