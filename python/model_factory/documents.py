"""The documents of the factory: their schemas, and the one door that checks them.

A document is given as a mapping, as JSON text or bytes, or as the path of a file; a file whose name ends in
``.toml`` is read as TOML, any other as JSON. A training config, a governance profile and a request may leave
out ``schema_version``, here as wherever one is taken.

>>> from model_factory import documents, errors
>>> try:
...     documents.validate("training_config", {"config_id": "baseline"})
... except errors.ResolutionError as error:
...     print(error.code, [problem["pointer"] for problem in error.problems][:2])
TRAINING_CONFIG_INVALID ['/revision', '/model']
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from model_factory import _arguments, _native, _requests

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

__all__ = ["canonical", "names", "schema", "validate"]

DocumentLike: TypeAlias = "Mapping[str, Any] | str | bytes | PathLike[str]"


def names() -> list[str]:
    """Names of all kinds of documents, such as ``"training_config"``."""
    return _native.documents()


def schema(name: str) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a kind of document.

    Raises
    ------
    InputAdmissionError
        ``PARAMETER_INVALID`` where no document has this name.
    """
    return cast("dict[str, Any]", json.loads(_native.schema(_arguments.text(name, "name"))))


def canonical(name: str, document: DocumentLike) -> bytes:
    """Canonical JSON (RFC 8785) of a valid document, every default written out: the bytes that digests cover.

    Raises
    ------
    ModelFactoryError
        With the document's own code and every problem at once, each with its JSON pointer;
        ``SOURCE_UNREADABLE`` for a file that cannot be read.
    """
    given = document.encode(errors="surrogatepass") if isinstance(document, str) else document
    kind = _arguments.text(name, "name")
    return _native.canonical(kind, _requests.as_json(kind, _requests.read(kind, given, "document")).encode())


def validate(name: str, document: DocumentLike) -> dict[str, Any]:
    """Check a document and give it back with every default written out.

    Raises
    ------
    ModelFactoryError
        With the document's own code and every problem at once, each with its JSON pointer;
        ``SOURCE_UNREADABLE`` for a file that cannot be read.
    """
    return cast("dict[str, Any]", json.loads(canonical(name, document)))
