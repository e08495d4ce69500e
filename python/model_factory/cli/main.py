"""From arguments to an exit status: one parser, one place where answers and failures are written."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

from model_factory import _native, errors
from model_factory.cli import datasets, demo, documents, proofs, registry, runs
from model_factory.cli.answer import failure_document, failure_text, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model_factory.cli.answer import Answer
    from model_factory.errors import ModelFactoryError

__all__ = ["main", "parser"]

EPILOG = """\
exit status:
  0 done (also when the gate said FAIL)   1 unexpected   2 usage   130 interrupted
  10 INPUT_ADMISSION   11 RESOLUTION   12 LEAKAGE   13 EVIDENCE   14 IMMUTABILITY
  15 EXECUTION   16 PUBLISH   17 REGISTRY

try it: model-factory demo
"""

UNEXPECTED = 1
USAGE = 2
INTERRUPTED = 130


class UsageError(Exception):
    """Arguments that are no command."""

    def __init__(self, message: str, usage: str) -> None:
        super().__init__(message)
        self.usage = usage


class _Parser(argparse.ArgumentParser):
    """A parser that raises instead of leaving: what is wrong may be asked for as JSON."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, self.format_usage())


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command and give back its exit status; ``--help`` leaves by ``SystemExit(0)``."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        options = parser().parse_args(given)
    except UsageError as error:
        return _misused(error, as_json="--json" in given)
    try:
        answer: Answer = options.carry_out(options)
    except errors.ModelFactoryError as failure:
        return _refuse(failure, failure.exit_status, as_json=options.json)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last stop: said in full, as the document that scripts expect
        traceback.print_exc()
        defect = _native.refusal("INTERNAL_ERROR", "the command", "free of defects", type(error).__name__)
        return _refuse(defect, UNEXPECTED, as_json=options.json)
    text = to_json(answer.document, line=answer.line) if options.json else answer.text
    return _write(text, answer.status)


def parser() -> argparse.ArgumentParser:
    """Give the parser of all verbs."""
    whole = _Parser(
        prog="model-factory",
        description="From a dataset you can name to a model you can prove.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for group in (demo, documents, datasets, runs, proofs, registry):
        group.add(verbs)
    return whole


def _misused(error: UsageError, *, as_json: bool) -> int:
    sys.stderr.write(f"{error.usage}model-factory: {error}\n")
    if not as_json:
        return USAGE
    return _refuse(
        _native.refusal("PARAMETER_INVALID", "arguments", "a command", str(error)), USAGE, as_json=True
    )


def _refuse(failure: ModelFactoryError, status: int, *, as_json: bool) -> int:
    if as_json:
        return _write(to_json(failure_document(failure)), status)
    sys.stderr.write(failure_text(failure) + "\n")
    return status


def _write(text: str, status: int) -> int:
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except OSError as error:
        # The interpreter must not try to flush again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # the reader may leave, as `head` does
            sys.stderr.write(f"model-factory: the answer cannot be written: {error.strerror}\n")
            return UNEXPECTED
    return status
