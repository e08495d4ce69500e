"""The core's table of codes, the Python enum and the document say the same.

Run with ``MODEL_FACTORY_UPDATE=1`` to write enum and document anew after the table has grown.
"""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path

import pytest

from model_factory import _native

ROOT = Path(__file__).resolve().parents[2]

CODES_PY = '''\
"""Every stable failure code.

Held equal to the core's table by a test, which also writes this file. Codes are only ever added.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["EXIT_STATUS", "Code"]

EXIT_STATUS = {{
{statuses}
}}
"""Exit status of the command line by a failure's category; 2 is misuse, as everywhere."""


class Code(str, Enum):
    """A promise that was not kept; ``docs/codes.md`` says what each means and what to do."""

    def __str__(self) -> str:
        return self.value

{members}
'''

CODES_MD = """\
# Codes

Every failure has a stable code: a promise to callers that outlives releases. Codes are only ever added. A
code's category says what kind of action it asks for; each category is one exception class in
`model_factory.errors` and one exit status of the command line (1 is a defect, 2 misuse); what is wrong with
the arguments or data of a call is a `ValueError` too. *Retry* marks codes where the same call may succeed
later with nothing changed. A failure may bring a hint of its own, which then stands for the one given here.

<!-- Written from src/contracts/src/code.rs by tests/errors/test_codes.py. -->
"""

FIRST_STATUS = 10
HEAD = "| code | retry | what to do |\n| --- | --- | --- |\n"


def categories() -> list[tuple[str, list[tuple[str, bool, str]]]]:
    """Codes with retry and hint, by category in the order of the table."""
    grouped = groupby(_native.codes(), key=lambda row: row[1])
    return [(category, [(code, retry, hint) for code, _, retry, hint in rows]) for category, rows in grouped]


def enum() -> str:
    statuses = "\n".join(
        f'    "{category}": {status},' for status, (category, _) in enumerate(categories(), FIRST_STATUS)
    )
    blocks = ["\n".join(f'    {code} = "{code}"' for code, _, _ in rows) for _, rows in categories()]
    return CODES_PY.format(statuses=statuses, members="\n".join(blocks))


def document() -> str:
    parts = [CODES_MD]
    for status, (category, rows) in enumerate(categories(), FIRST_STATUS):
        name = "".join(word.capitalize() for word in category.split("_")) + "Error"
        parts.append(f"\n## {category}\n\n`{name}`, exit status {status}.\n\n{HEAD}")
        parts += [f"| `{code}` | {'yes' if retry else ''} | {hint} |\n" for code, retry, hint in rows]
    return "".join(parts)


@pytest.mark.parametrize(
    ("path", "text"),
    [("python/model_factory/codes.py", enum()), ("docs/codes.md", document())],
    ids=["enum", "document"],
)
def test_is_the_cores_table(path: str, text: str) -> None:
    file = ROOT / path
    if os.environ.get("MODEL_FACTORY_UPDATE"):
        file.write_text(text, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == text, f"{path} is stale: run with MODEL_FACTORY_UPDATE=1"


def test_categories_stand_together_and_codes_once() -> None:
    names = [category for category, _ in categories()]
    assert len(names) == len(set(names))
    codes = [code for code, *_ in _native.codes()]
    assert len(codes) == len(set(codes)) > 50
