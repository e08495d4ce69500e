"""From arguments to an exit status: one parser, one place where answers and failures are written."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from typing import TYPE_CHECKING

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
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command and give back its exit status; usage errors leave by ``SystemExit(2)``."""
    options = parser().parse_args(arguments)
    try:
        answer: Answer = options.carry_out(options)
    except errors.ModelFactoryError as failure:
        return _refuse(failure, failure.exit_status, as_json=options.json)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last stop: said in full, as the document that scripts expect
        traceback.print_exc()
        defect = _native.refusal("INTERNAL_ERROR", "", "no defect", type(error).__name__)
        return _refuse(defect, UNEXPECTED, as_json=options.json)
    return _write(to_json(answer.document) if options.json else answer.text, answer.status)


def parser() -> argparse.ArgumentParser:
    """Give the parser of all verbs."""
    whole = argparse.ArgumentParser(
        prog="model-factory",
        description="From a dataset you can name to a model you can prove.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for group in (demo, documents, datasets, runs, proofs, registry):
        group.add(verbs)
    return whole


def _refuse(failure: ModelFactoryError, status: int, *, as_json: bool) -> int:
    if as_json:
        return _write(to_json(failure_document(failure)), status)
    sys.stderr.write(failure_text(failure) + "\n")
    return status


def _write(text: str, status: int) -> int:
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader left, as `head` does; the interpreter must not try to flush again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status
