"""What a verb answers: one document for scripts and one text for people."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model_factory import _shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from model_factory.errors import ModelFactoryError

__all__ = ["Answer", "columns", "facts", "failure_document", "failure_text", "to_json"]


@dataclass(frozen=True)
class Answer:
    """The answer of a verb that did what it was asked; ``line`` where its JSON is to be one line."""

    document: Mapping[str, Any]
    text: str
    status: int = 0
    line: bool = False


def to_json(document: Mapping[str, Any], *, line: bool = False) -> str:
    """One JSON object, on one line where it must be; a number that is not finite is a defect here."""
    return json.dumps(document, indent=None if line else 2, ensure_ascii=False, allow_nan=False)


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Names and values, one a line and aligned; what is None is left out."""
    shown = [(name, _shown.line(str(value))) for name, value in pairs if value is not None]
    width = max((len(name) for name, _ in shown), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in shown)


def columns(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Give a table with aligned columns; words to the left, numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    numeric = [all(_is_number(row[place]) for row in cells) for place in range(len(head))]
    wide = [max(len(row[place]) for row in [list(head), *cells]) for place in range(len(head))]

    def line(row: Sequence[str]) -> str:
        shown = zip(row, wide, numeric, strict=True)
        return "  ".join(
            f"{cell:>{width}}" if right else f"{cell:<{width}}" for cell, width, right in shown
        ).rstrip()

    return "\n".join([line(head), *map(line, cells)])


def failure_document(failure: ModelFactoryError) -> dict[str, Any]:
    """Give a failure as an ``ErrorResponse``."""
    return {
        "schema_version": "model_factory.error_response.v1",
        "code": failure.code.value,
        "category": failure.category,
        "retryable": failure.retryable,
        "detail": failure.detail,
        "problems": [dict(problem) for problem in failure.problems],
        "hint": failure.hint,
    }


def failure_text(failure: ModelFactoryError) -> str:
    """Give a failure as people read it: what, where, and what to do about it."""
    lines = [f"{failure.category}/{failure.code.value}: {_shown.line(failure.detail)}"]
    for problem in failure.problems:
        where = problem["pointer"] or "/"
        said = f"{where}: expected {problem['expected']}, found {problem['found']}"
        lines.append(f"  {_shown.line(said)}")
    lines.append(f"  {failure.hint}")
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else _shown.line(str(value))


def _is_number(cell: str) -> bool:
    return cell == "-" or cell.replace(",", "").replace(".", "", 1).removeprefix("-").isdigit()
