"""Tables of any library as the native module takes them: Arrow streams, columns of numpy values, or files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from model_factory import _arguments, _arrays, _native, _shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Table", "label_spec", "table"]

_Column: TypeAlias = "tuple[str, str, Any, NDArray[np.bool_] | None]"
Table: TypeAlias = "tuple[str, Any]"

_KINDS = "an Arrow table, a dataframe, a mapping of columns, or paths of Parquet files"


def table(data: Any, place: str, wanted: Sequence[str]) -> Table:
    """Take a table of which the ``wanted`` columns are needed; the core says which of them are missing.

    Parameters
    ----------
    data : object
        Anything with ``__arrow_c_stream__`` or ``__arrow_c_array__`` (polars, pyarrow, duckdb and others), a
        pandas dataframe, a mapping of column names to arrays, a path of a Parquet file, or a list of these.
    place : str
        Name of the table in refusals.

    Raises
    ------
    InputAdmissionError
        ``PARAMETER_INVALID`` for anything else, ``COLUMN_TYPE_INVALID``, ``SHAPE_MISMATCH``.
    """
    if isinstance(data, (str, os.PathLike)):
        return "parquet", [os.fspath(_arguments.path(data, place))]
    if isinstance(data, Mapping):
        return "columns", [
            _column(name, data[name], f"{place}/{name}") for name in dict.fromkeys(wanted) if name in data
        ]
    if type(data).__module__.split(".")[0] == "pandas" and hasattr(data, "columns"):
        return _pandas(data, place, wanted)
    if hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__"):
        return "stream", data
    if isinstance(data, Sequence) and data and all(isinstance(path, (str, os.PathLike)) for path in data):
        paths = [_arguments.path(path, f"{place}/{index}") for index, path in enumerate(data)]
        return "parquet", [os.fspath(path) for path in paths]
    found = "a LazyFrame, to be collected first" if type(data).__name__ == "LazyFrame" else "something else"
    raise _native.refusal("PARAMETER_INVALID", place, _KINDS, found)


def label_spec(
    columns: Sequence[str],
    values: tuple[Iterable[int], Iterable[int]],
    label_asof: str,
    *,
    maturity_days: int = 0,
    family: str = "label",
) -> dict[str, Any]:
    """Say where the labels are, which values mean what, and as of when, as a request of the core does."""
    event_id, value, effective_time, observed_time = _arguments.texts(columns, "label_columns", 4)
    positive_values, negative_values = values
    return {
        "family": family,
        "event_id": event_id,
        "value": value,
        "positive_values": _integers(positive_values, "positive_values"),
        "negative_values": _integers(negative_values, "negative_values"),
        "effective_time": effective_time,
        "observed_time": observed_time,
        "label_asof_utc": label_asof,
        "maturity_days": _arrays.whole(maturity_days, "maturity_days", 0, 36_500),
    }


def _integers(values: Iterable[int], name: str) -> list[int]:
    """Give the values as JSON does; ``name`` is their argument in the refusal of others."""
    given = _arguments.several(values, name, object, "whole numbers")
    if not all(isinstance(value, (int, np.integer)) for value in given):
        raise _native.refusal("PARAMETER_INVALID", name, "whole numbers", "something else")
    return sorted({int(value) for value in given if isinstance(value, (int, np.integer))})


def _pandas(frame: Any, place: str, wanted: Sequence[str]) -> Table:
    """Go through pyarrow where it is installed, and through numpy otherwise."""
    present = [name for name in dict.fromkeys(wanted) if name in frame.columns]
    for name in present:
        count = frame[[name]].shape[1]
        if count > 1:
            raise _native.refusal(
                "PARAMETER_INVALID", f"{place}/{name}", "one column of this name", f"{count} of them"
            )
    try:
        import pyarrow as pa  # noqa: PLC0415 - optional
    except ImportError:
        return "columns", [_series(name, frame[name], f"{place}/{name}") for name in present]
    columns = {name: _arrow(pa, frame[[name]]) for name in present}
    for name, column in columns.items():
        if column is None:
            # What it is that pyarrow does not take is often seen by its values.
            _series(name, frame[name], f"{place}/{name}")
            raise _native.refusal(
                "COLUMN_TYPE_INVALID", f"{place}/{name}", "values of one type", "something else"
            )
    return "stream", pa.table(columns)


def _arrow(pa: Any, frame: Any) -> Any:
    """Give the frame's only column, or None where pyarrow cannot take it: its reasons may show values."""
    try:
        return pa.Table.from_pandas(frame, preserve_index=False).column(0)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None


def _series(name: str, series: Any, place: str) -> _Column:
    zone = getattr(series.dtype, "tz", None)
    if zone is not None:
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    values = np.ma.masked_array(series.to_numpy(), mask=series.isna().to_numpy())
    column = _column(name, values, place)
    return (name, "time_utc", *column[2:]) if zone is not None and column[1] == "time" else column


def _column(name: str, values: Any, place: str) -> _Column:
    """Take one column of numpy values; masked values and ``NaT`` are null, NaN is a number that is none."""
    mask: NDArray[np.bool_] | None = None
    if isinstance(values, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(values)
        values = values.data
    array = _arrays.one_dimension(np.asarray(values), place)
    match array.dtype.kind:
        case "b":
            return name, "flag", np.require(array, np.bool_, ["A"]), mask
        case "i" | "u":
            if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
                raise _native.refusal("COLUMN_TYPE_INVALID", place, "integers below 2^63", "larger ones")
            return name, "integer", np.require(array, np.int64, ["A"]), mask
        case "f":
            return name, "number", np.require(array, np.float64, ["A"]), mask
        case "M":
            return name, "time", _nanoseconds(array, place), _either(mask, np.isnat(array))
        case "U" | "O":
            return name, "text", _texts(array, mask, place), None
        case _:
            raise _native.refusal(
                "COLUMN_TYPE_INVALID", place, "numbers, booleans, times or text", f"an array of {array.dtype}"
            )


def _nanoseconds(times: NDArray[np.datetime64], place: str) -> NDArray[np.int64]:
    exact = times.astype("datetime64[ns]")
    if not np.array_equal(exact.astype(times.dtype), times, equal_nan=True):
        raise _native.refusal("COLUMN_TYPE_INVALID", place, "times between the years 1678 and 2262", "others")
    return np.require(exact, requirements=["A"]).view(np.int64)


def _texts(array: NDArray[Any], mask: NDArray[np.bool_] | None, place: str) -> list[str | None]:
    texts = [
        None if text is None or (mask is not None and mask[row]) else text
        for row, text in enumerate(array.tolist())
    ]
    others = {type(text) for text in texts if not isinstance(text, (str, type(None)))}
    if others:
        hint = 'Give the column a type, such as by astype("float64"), "int64" or "datetime64[ns]".'
        expected = "numbers, booleans or times of one type, or text"
        raise _native.refusal("COLUMN_TYPE_INVALID", place, expected, _shown.types(others), hint=hint)
    for row, text in enumerate(texts):
        if text is not None and _arguments.half_pair(text) is not None:
            found = f"half of a surrogate pair in row {row}, counted from 0"
            raise _native.refusal("COLUMN_TYPE_INVALID", place, "text that UTF-8 can say", found)
    return texts


def _either(mask: NDArray[np.bool_] | None, more: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return more if mask is None else mask | more
