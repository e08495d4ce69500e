"""What the verbs have in common: where the factory is, and how to answer and refuse."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from model_factory import _native
from model_factory import factory as factories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from model_factory.cli.answer import Answer
    from model_factory.factory import Factory

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names it nowhere else

__all__ = ["Options", "acting", "opened", "refuse", "verb"]

Options = argparse.Namespace


def verb(
    verbs: Verbs,
    name: str,
    carry_out: Callable[[Options], Answer],
    summary: str,
    *,
    description: str | None = None,
    root: bool = True,
) -> argparse.ArgumentParser:
    """Add a verb with the options that all have."""
    added = verbs.add_parser(
        name,
        help=summary,
        description=description or f"{summary[0].upper()}{summary[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    added.set_defaults(carry_out=carry_out)
    added.add_argument("--json", action="store_true", help="answer with one JSON object")
    if root:
        added.add_argument(
            "--root",
            default="factory",
            metavar="PLACE",
            help="its folder, or a URL such as s3://bucket/prefix; 'factory' by default",
        )
        added.add_argument(
            "--ledger",
            metavar="PLACE",
            help="its ledger, a file or a postgresql:// URL; ROOT/ledger.sqlite by default",
        )
        added.add_argument(
            "--keys",
            type=Path,
            metavar="DIR",
            help="its keys; ROOT/keys by default, to be named beside a URL",
        )
    return added


def acting(parser: argparse.ArgumentParser) -> None:
    """Add who acts and why."""
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why, as the history will say")
    parser.add_argument("--actor", metavar="NAME", help="who acts; the login user where it is left out")


@contextlib.contextmanager
def opened(options: Options, *, make: bool = False, **how: Any) -> Iterator[Factory]:
    """Open the factory of ``--root``; only verbs that ``make`` one may begin it."""
    if options.json:
        how.setdefault("progress", False)
    yield factories.open(options.root, ledger=options.ledger, keys=options.keys, make=make, **how)


def refuse(code: str, pointer: str, expected: str, found: str) -> NoReturn:
    """Raise a failure of the command line's own, in the core's words."""
    raise _native.refusal(code, pointer, expected, found)
