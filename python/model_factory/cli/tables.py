"""Tables as files, by pyarrow: what the command line reads to score, and writes with the scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from model_factory.cli.options import refuse

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["arrow", "read", "write"]

SCORE = "score"


def arrow() -> Any:
    """Give pyarrow; where it is not installed, that is said as a refusal."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - optional, so imported where it is needed
    except ModuleNotFoundError:
        refuse(
            "SOURCE_UNREADABLE", "", "pyarrow to read Parquet (pip install 'model-factory[pyarrow]')", "none"
        )
    return pa


def read(path: Path) -> Any:
    """Give a Parquet file as a pyarrow table."""
    pa = arrow()
    from pyarrow import parquet  # noqa: PLC0415

    try:
        return parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        return refuse("SOURCE_UNREADABLE", "EVENTS", "a readable Parquet file", type(error).__name__)


def write(table: Any, scores: Any, path: Path) -> None:
    """Give the table with its scores as the last column, as CSV where the name ends so, else as Parquet."""
    pa = arrow()
    from pyarrow import csv, parquet  # noqa: PLC0415

    if SCORE in table.column_names:
        refuse("PARAMETER_INVALID", "EVENTS", f"no column {SCORE!r}", "one")
    scored = table.append_column(SCORE, pa.array(scores))
    try:
        if path.suffix == ".csv":
            csv.write_csv(scored, path)
        else:
            parquet.write_table(scored, path)
    except OSError as error:
        refuse("PARAMETER_INVALID", "--out", "a file that can be written", type(error).__name__)
