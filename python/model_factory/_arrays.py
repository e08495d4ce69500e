"""What callers hold, as the arrays that the native module takes: without a copy where it can be."""

from __future__ import annotations

from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from model_factory import _native, _shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike, NDArray


_native.look_numpy_up()

_FLOATS = (np.dtype(np.float64), np.dtype(np.float32))
# Kinds of numpy's types that are numbers: booleans, integers with and without a sign, and floats.
_NUMBERS = "buif"


def is_plain(values: Any) -> bool:
    """Tell whether values are rows x columns that the native module scores where they lie."""
    plain = type(values) is np.ndarray and values.dtype in _FLOATS and values.ndim == 2
    return plain and values.flags.aligned


def matrix(values: Any, name: str) -> NDArray[np.float64]:
    """Rows x columns of floats, missing values as NaN, whatever the strides; float64 is not copied.

    Every column holds numbers or booleans, as for a model of a bundle: no moment in the unit that it happens
    to have, and no text that could be read as a number. Of a table the refusal names the column.

    Raises
    ------
    InputAdmissionError
        ``COLUMN_TYPE_INVALID`` for what is no table of numbers, ``SHAPE_MISMATCH`` unless there are two
        dimensions.
    """
    _check_columns(values, name)
    if _library(values) == "pandas":
        if values.ndim == 2 and any(kind.kind == "O" for kind in values.dtypes):
            # Among objects, pandas leaves its own missing value as it is.
            values = values.mask(values.isna(), np.nan)
        values = _numbers(lambda: values.to_numpy(dtype=np.float64, na_value=np.nan), name)
    if hasattr(values, "toarray"):
        raise _native.refusal("COLUMN_TYPE_INVALID", name, "a dense array, as toarray gives", "a sparse one")
    array = floats(values, name)
    if array.ndim != 2:
        hint = "Reshape your data: one row for each sample, one column for each feature."
        found = f"{array.ndim} dimensions"
        raise _native.refusal("SHAPE_MISMATCH", name, "rows and columns", found, hint=hint)
    return array


def vector(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """One float a row.

    Raises
    ------
    InputAdmissionError
        ``COLUMN_TYPE_INVALID`` for what are no numbers, ``SHAPE_MISMATCH`` unless it has one dimension.
    """
    return one_dimension(floats(values, name), name)


def flags(values: ArrayLike, name: str) -> NDArray[np.bool_]:
    """One truth a row, from booleans or from the numbers 0 and 1.

    Raises
    ------
    InputAdmissionError
        ``PARAMETER_INVALID`` for any other value, ``SHAPE_MISMATCH`` unless it has one dimension.
    """
    array = one_dimension(np.asarray(values), name)
    if array.dtype == np.bool_:
        return array
    try:
        known = array.dtype.kind in "iufO" and bool((array == array.astype(np.bool_)).all())
    except (TypeError, ValueError):
        known = False
    if not known:
        raise _native.refusal("PARAMETER_INVALID", name, "booleans, or 0 and 1", "something else")
    return array.astype(np.bool_)


def scored(
    y_true: ArrayLike, y_score: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64] | None]:
    """Scores, labels and weights as the metrics take them."""
    weights = None if sample_weight is None else vector(sample_weight, "sample_weight")
    return vector(y_score, "y_score"), flags(y_true, "y_true"), weights


def floats(values: Any, name: str) -> NDArray[np.float64]:
    """Aligned native floats of any number of dimensions; masked values become NaN."""
    if isinstance(values, np.ma.MaskedArray):
        _check_values(values.compressed(), name)
        masked = values
        values = _numbers(lambda: np.ma.filled(masked.astype(np.float64), np.nan), name)
    array = _numbers(lambda: np.asarray(values), name)
    _check_values(array, name)
    converted: NDArray[np.float64] = _numbers(lambda: np.require(array, np.float64, ["ALIGNED"]), name)
    return converted


def one_dimension(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Refuse what has not one dimension with ``SHAPE_MISMATCH``."""
    if array.ndim != 1:
        raise _native.refusal("SHAPE_MISMATCH", name, "one value a row", f"{array.ndim} dimensions")
    return array


def _check_columns(table: Any, name: str) -> None:
    """Refuse a table of pandas, polars or pyarrow with a column of anything but numbers and booleans."""
    library = _library(table)
    if library == "pandas" and table.ndim == 2:
        others = _others_of_pandas(table, name)
    elif library == "polars" and hasattr(table, "get_columns"):
        columns = table.schema.items()
        others = (
            (column, kind) for column, kind in columns if not kind.is_numeric() and str(kind) != "Boolean"
        )
    elif library == "pyarrow" and hasattr(table, "schema"):
        others = _others_of_arrow(table.schema)
    else:
        return
    for column, kind in others:
        _refuse(_place(name, column), f"a column of {kind}")


def _others_of_pandas(frame: Any, name: str) -> Iterator[tuple[Any, Any]]:
    """Give the columns of other types with their types, and refuse other values in columns of objects."""
    for at, (column, kind) in enumerate(frame.dtypes.items()):
        if kind.kind == "O" and kind.name != "category":
            # By its place, since columns may have the same name.
            _check_values(frame.iloc[:, at].dropna().to_numpy(dtype=object), _place(name, column))
        elif kind.kind not in _NUMBERS:
            yield column, kind


def _others_of_arrow(schema: Any) -> Iterator[tuple[Any, Any]]:
    from pyarrow import types  # noqa: PLC0415 - it is there where a table of it is

    taken = (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean)
    for field in schema:
        if not any(is_one(field.type) for is_one in taken):
            yield field.name, field.type


def _check_values(array: NDArray[Any], place: str) -> None:
    """Refuse an array of anything but numbers, booleans and, among objects, None."""
    if array.dtype.kind in _NUMBERS:
        return
    if array.dtype.kind != "O":
        _refuse(place, f"an array of {array.dtype}")
    others = {kind for kind in set(map(type, array.flat)) if not _is_number(kind)}
    if others:
        _refuse(place, _shown.types(others))


def _is_number(kind: type) -> bool:
    # numpy's durations count as integers to Python.
    return issubclass(kind, (Real, Decimal, np.bool_, type(None))) and not issubclass(kind, np.timedelta64)


def _refuse(place: str, found: str) -> NoReturn:
    raise _native.refusal("COLUMN_TYPE_INVALID", place, "numbers", found)


def _place(table: str, column: Any) -> str:
    return f"{table}/{_shown.line(str(column))}"


def _library(values: Any) -> str:
    return type(values).__module__.partition(".")[0]


def _numbers(convert: Callable[[], Any], name: str) -> Any:
    """Run numpy's conversion; what it cannot convert is ``COLUMN_TYPE_INVALID``."""
    try:
        return convert()
    except (TypeError, ValueError):
        refusal = _native.refusal("COLUMN_TYPE_INVALID", name, "numbers", "something else")
    # Raised out here so that numpy's own message, which may show a value, is not chained to it.
    raise refusal


def whole(value: Any, name: str, least: int, most: int) -> int:
    """Take a whole number of a range, refusing anything else with ``PARAMETER_INVALID``."""
    if _is_whole(value, least, most):
        return int(value)
    raise _native.refusal("PARAMETER_INVALID", name, f"a whole number, {least} to {most}", "something else")


def threads(n_jobs: Any) -> int | None:
    """Give the number of threads of ``n_jobs``: None and -1 mean one for each core."""
    if n_jobs is None or _is_whole(n_jobs, -1, -1):
        return None
    if _is_whole(n_jobs, 1, 65_535):
        return int(n_jobs)
    expected = "a whole number, 1 to 65535, or -1 for each core"
    raise _native.refusal("PARAMETER_INVALID", "n_jobs", expected, "something else")


def _is_whole(value: Any, least: int, most: int) -> bool:
    whole_number = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return whole_number and bool(least <= value <= most)
