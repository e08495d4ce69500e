"""From arguments to an exit status: one parser, one place where answers and failures are written."""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

from model_factory import _native, _shown
from model_factory.cli import datasets, demo, documents, proofs, registry, runs
from model_factory.cli.answer import failure_document, failure_text, to_json
from model_factory.cli.output import UNEXPECTED, Unwritable, say, write
from model_factory.cli.signals import Terminated
from model_factory.errors import ModelFactoryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model_factory.cli.answer import Answer

__all__ = ["main", "parser"]

EPILOG = """\
exit status:
  0 done (also when the gate said FAIL)   1 unexpected   2 usage
  10 INPUT_ADMISSION   11 RESOLUTION   12 LEAKAGE   13 EVIDENCE   14 IMMUTABILITY
  15 EXECUTION   16 PUBLISH   17 REGISTRY
  130 ended by Ctrl-C   141 done, but nobody read the answer to its end   143 ended by SIGTERM

try it: model-factory demo
"""

USAGE = 2


class UsageError(Exception):
    """Arguments that are no command."""

    def __init__(self, message: str, usage: str) -> None:
        super().__init__(message)
        self.usage = usage


class _Parser(argparse.ArgumentParser):
    """A parser that raises instead of leaving: what is wrong may be asked for as JSON."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, self.format_usage())

    def print_help(self, file: object = None) -> None:
        """Write the help as any answer is written."""
        del file
        write(self.format_help().removesuffix("\n"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command and give back its exit status; ``--help`` leaves by ``SystemExit(0)``."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        return _carry_out(parser().parse_args(given))
    except UsageError as error:
        return _misused(error, as_json="--json" in given)
    except Unwritable as unwritable:
        return unwritable.status


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


def _carry_out(options: argparse.Namespace) -> int:
    try:
        answer: Answer = options.carry_out(options)
    except Unwritable:
        raise
    except ModelFactoryError as failure:
        return _refuse(failure, failure_text(failure), failure.exit_status, as_json=options.json)
    except KeyboardInterrupt as error:
        return _interrupted(error, as_json=options.json)
    except Exception as error:  # noqa: BLE001 - the last stop: said in full, as the document that scripts expect
        say("".join(traceback.format_exception(error)).rstrip())
        defect = _native.refusal("INTERNAL_ERROR", "the command", "free of defects", type(error).__name__)
        return _refuse(defect, failure_text(defect), UNEXPECTED, as_json=options.json)
    text = to_json(answer.document, line=answer.line) if options.json else answer.text
    return _write(text, answer.status)


def _misused(error: UsageError, *, as_json: bool) -> int:
    text = f"{error.usage}model-factory: {error}"
    if as_json:
        say(text)
    failure = _native.refusal("PARAMETER_INVALID", "arguments", "a command", _shown.line(str(error)))
    return _refuse(failure, text, USAGE, as_json=as_json)


def _interrupted(error: KeyboardInterrupt, *, as_json: bool) -> int:
    number = signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT
    failure = _native.refusal("INTERRUPTED", "the command", "left to its end", number.name)
    return _refuse(failure, "\ninterrupted", 128 + number, as_json=as_json)


def _refuse(failure: ModelFactoryError, text: str, status: int, *, as_json: bool) -> int:
    """Write a failure for scripts, on a line since it may be the last of several, or the text for people."""
    if as_json:
        return _write(to_json(failure_document(failure), line=True), status)
    say(text)
    return status


def _write(text: str, status: int) -> int:
    """Write the last of it; what went wrong before says more than that nobody read it."""
    try:
        write(text)
    except Unwritable as unwritable:
        return status or unwritable.status
    return status
