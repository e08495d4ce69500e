"""Tables as files, by pyarrow: what the command line reads to score, and writes with the scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from model_factory.cli.options import refuse

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["arrow", "check_out", "read", "write"]

SCORE = "score"
KINDS = (".parquet", ".csv")


def arrow() -> Any:
    """Give pyarrow; where it is not installed, that is said as a refusal."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - optional, so imported where it is needed
    except ModuleNotFoundError:
        refuse(
            "SOURCE_UNREADABLE",
            "pyarrow",
            "installed (pip install 'model-factory[pyarrow]')",
            "no such module",
        )
    return pa


def check_out(out: Path | None, source: Path) -> None:
    """Refuse a file to write to that is the one that is read, or of another kind than can be written."""
    if out is None:
        return
    if out.suffix not in KINDS:
        refuse("PARAMETER_INVALID", "--out", f"a name that ends with {' or '.join(KINDS)}", "another")
    if out.resolve() == source.resolve():
        refuse("PARAMETER_INVALID", "--out", "another file than the one that is read", "the same")


def read(path: Path) -> Any:
    """Give a Parquet file as a pyarrow table."""
    pa = arrow()
    from pyarrow import parquet  # noqa: PLC0415

    try:
        return parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        return refuse("SOURCE_UNREADABLE", "EVENTS", "a readable Parquet file", type(error).__name__)


def write(table: Any, scores: Any, path: Path) -> None:
    """Write the table with its scores as the last column: whole under its name, or not at all."""
    pa = arrow()
    from pyarrow import csv, parquet  # noqa: PLC0415

    if SCORE in table.column_names:
        refuse("PARAMETER_INVALID", "EVENTS", f"no column {SCORE!r}", "one")
    scored = table.append_column(SCORE, pa.array(scores))
    write_table = csv.write_csv if path.suffix == ".csv" else parquet.write_table
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        write_table(scored, unfinished)
        unfinished.replace(path)
    except OSError as error:
        refuse("PARAMETER_INVALID", "--out", "a file that can be written", type(error).__name__)
    finally:
        unfinished.unlink(missing_ok=True)
