"""What callers hold, as the arrays that the native module takes: without a copy where it can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from model_factory import _native

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray


_native.look_numpy_up()

_FLOATS = (np.dtype(np.float64), np.dtype(np.float32))


def is_plain(values: Any) -> bool:
    """Tell whether values are rows x columns that the native module scores where they lie."""
    plain = type(values) is np.ndarray and values.dtype in _FLOATS and values.ndim == 2
    return plain and values.flags.aligned


def matrix(values: Any, name: str) -> NDArray[np.float64]:
    """Rows x columns of floats, missing values as NaN, whatever the strides; float64 is not copied.

    Raises
    ------
    InputAdmissionError
        ``COLUMN_TYPE_INVALID`` for what is no table of numbers, ``SHAPE_MISMATCH`` unless there are two
        dimensions.
    """
    if type(values).__module__.partition(".")[0] == "pandas":
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
        values = np.ma.filled(values.astype(np.float64), np.nan)
    array = _numbers(lambda: np.asarray(values), name)
    if array.dtype.kind not in "buifO":
        raise _native.refusal("COLUMN_TYPE_INVALID", name, "numbers", f"an array of {array.dtype}")
    converted: NDArray[np.float64] = _numbers(lambda: np.require(array, np.float64, ["ALIGNED"]), name)
    return converted


def one_dimension(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Refuse what has not one dimension with ``SHAPE_MISMATCH``."""
    if array.ndim != 1:
        raise _native.refusal("SHAPE_MISMATCH", name, "one value a row", f"{array.ndim} dimensions")
    return array


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
