"""``schema`` and ``validate``: documents without a factory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from model_factory import _requests, documents
from model_factory.cli.answer import Answer, to_json
from model_factory.cli.options import verb

if TYPE_CHECKING:
    from model_factory.cli.options import Options, Verbs

__all__ = ["add"]


def add(verbs: Verbs) -> None:
    """Add the verbs."""
    schema = verb(verbs, "schema", _schema, "print the JSON Schema of a document, or list all", root=False)
    schema.add_argument(
        "name", nargs="?", metavar="NAME", help="such as training_config; left out, all are listed"
    )
    validate = verb(
        verbs, "validate", _validate, "check a TOML or JSON document against its contract", root=False
    )
    validate.add_argument("name", metavar="NAME", help="kind of document, such as training_config")
    validate.add_argument(
        "file", type=Path, metavar="FILE", help="read as TOML where the name ends so, else as JSON"
    )


def _schema(options: Options) -> Answer:
    if options.name is None:
        names = documents.names()
        return Answer({"documents": names}, "\n".join(names))
    found = documents.schema(options.name)
    return Answer(found, to_json(found))


def _validate(options: Options) -> Answer:
    document = documents.validate(options.name, _requests.read(options.name, options.file, "FILE"))
    return Answer({"valid": True, "document": document}, f"{options.file}: a valid {options.name}")
