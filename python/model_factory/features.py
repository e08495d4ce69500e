"""What a feature is: a definition that says what is known at an event's time.

>>> from model_factory import features
>>> features.window("CUSTOMER_ID", "7d").mean("TX_AMOUNT").name
'CUSTOMER_ID_mean_TX_AMOUNT_7d'

``compute`` gives the values of some definitions for a table in memory, before any dataset is built:

>>> import numpy as np
>>> days = np.array(["2024-01-01", "2024-01-03", "2024-01-20"], "datetime64[ns]")
>>> events = {"card": np.array([7, 7, 7]), "day": days, "amount": np.array([1.0, 2.0, 5.0])}
>>> week = features.window("card", "7d")
>>> values = features.compute(events, [week.count("n"), week.sum("amount", "spent")], event_time="day",
...                           naive_times_are_utc=True)
>>> values["n"].tolist(), values["spent"].tolist()
([1.0, 2.0, 1.0], [1.0, 3.0, 5.0])
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model_factory import _native

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Feature", "Window", "column", "compute", "hours", "weekend", "window"]

_FOREVER = "2262-01-01T00:00:00Z"


@dataclass(frozen=True)
class Feature:
    """A named feature.

    Attributes
    ----------
    name : str
        Name of the column that it becomes.
    definition : dict
        How it is computed, as a manifest says it.
    """

    name: str
    definition: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        """Give the feature as a request to build a dataset says it."""
        return {"name": self.name, "definition": dict(self.definition)}


def column(column: str, name: str | None = None) -> Feature:
    """Take a column of the event itself; null is a missing value."""
    return Feature(name or column, {"kind": "column", "column": column})


def weekend(name: str = "weekend") -> Feature:
    """Say 1 on Saturday and Sunday (UTC), else 0."""
    return Feature(name, {"kind": "weekend"})


def hours(first: int, last: int, name: str | None = None) -> Feature:
    """Say 1 where the hour of the day (UTC) is from ``first`` to ``last``, both included, else 0."""
    return Feature(name or f"hours_{first}_{last}", {"kind": "hour_between", "first": first, "last": last})


def window(entity: str, window: str, delay: str = "0d") -> Window:
    """Look at the entity's events in ``(t - delay - window, t - delay]``, where t is the event's time.

    Parameters
    ----------
    entity : str
        Column that names the entity, such as a customer.
    window, delay : str
        Lengths of time such as ``"30d"``, ``"12h"``, ``"10m"``, ``"90s"``.

    Raises
    ------
    InputAdmissionError
        ``PARAMETER_INVALID`` for a length that is no text; what it says is checked where a dataset is built.
    """
    for name, length in (("window", window), ("delay", delay)):
        if not isinstance(length, str):
            raise _native.refusal(
                "PARAMETER_INVALID", name, 'a length of time such as "30d" or "12h"', type(length).__name__
            )
    return Window(entity, window, delay)


@dataclass(frozen=True)
class Window:
    """The events of an entity in a window; its methods say what they are summed up to.

    Features are named ``entity_aggregate_column_window_delay``, leaving out what there is not.
    """

    entity: str
    window: str
    delay: str = "0d"

    def count(self, name: str | None = None) -> Feature:
        """Give their number; 0 where there are none."""
        return self._feature("count", None, name)

    def sum(self, column: str, name: str | None = None) -> Feature:
        """Add up a column; 0 where there are no events."""
        return self._feature("sum", column, name)

    def mean(self, column: str, name: str | None = None) -> Feature:
        """Give the mean of a column; missing where there are no events."""
        return self._feature("mean", column, name)

    def min(self, column: str, name: str | None = None) -> Feature:
        """Give the least value of a column; missing where there are no events."""
        return self._feature("min", column, name)

    def max(self, column: str, name: str | None = None) -> Feature:
        """Give the greatest value of a column; missing where there are no events."""
        return self._feature("max", column, name)

    def std(self, column: str, name: str | None = None) -> Feature:
        """Give the sample standard deviation of a column; missing below two events."""
        return self._feature("std", column, name)

    def rate(self, of: str = "label", name: str | None = None) -> Feature:
        """Give the share of positive labels among those known by the event's time; 0 where none is known.

        Raises
        ------
        InputAdmissionError
            ``PARAMETER_INVALID`` for a rate of anything but the label.
        """
        if of != "label":
            raise _native.refusal("PARAMETER_INVALID", "of", "label", "another name")
        return self._feature("rate", None, name)

    def time_since_last(self, name: str | None = None) -> Feature:
        """Give the seconds since the entity's latest earlier event; missing where there is none."""
        return self._feature("time_since_last", None, name)

    def _feature(self, aggregate: str, column: str | None, name: str | None) -> Feature:
        parts = [self.entity, aggregate, column, self.window]
        if self.delay.rstrip("smhd") != "0":
            parts += ["delay", self.delay]
        return Feature(
            name or "_".join(part for part in parts if part is not None),
            {
                "kind": "window",
                "entity": self.entity,
                "window": self.window,
                "delay": self.delay,
                "aggregate": aggregate,
                "column": column,
            },
        )


def compute(  # noqa: PLR0913 - each with a name
    events: Any,
    features: Sequence[Feature],
    *,
    event_time: str,
    event_id: str | None = None,
    labels: Any = None,
    label_columns: tuple[str, str, str, str] = ("event_id", "value", "effective_time", "observed_time"),
    positive_values: Iterable[int] = (1,),
    negative_values: Iterable[int] = (0,),
    naive_times_are_utc: bool = False,
    n_jobs: int | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Compute features of events in memory: the values that a dataset of these definitions holds.

    Parameters
    ----------
    events : dataframe, Arrow table, mapping of arrays, or Parquet paths
        One row an event, in any order.
    features : sequence of Feature
        The definitions.
    event_time : str
        Column of the events' times.
    event_id : str, optional
        Column of the events' names; needed where there are labels.
    labels : dataframe, Arrow table, mapping of arrays, or Parquet paths, optional
        One row an assertion about an event's label; needed by rates. A row uses those that were known by its
        time.
    label_columns : tuple of str
        Columns of the labels: event id, value, when it became true, when it became known.
    positive_values, negative_values : iterable of int
        Label values that make an event positive, and negative; true and false count as 1 and 0.
    naive_times_are_utc : bool
        Whether times without a zone are UTC; they are refused otherwise.
    n_jobs : int, optional
        Threads; all cores by default. They change no bit of the result.

    Returns
    -------
    dict of array
        By the features' names, of shape (rows,) in the order of the events; NaN where a value is missing.

    Raises
    ------
    InputAdmissionError, LeakageError, ExecutionError
        ``PARAMETER_INVALID``, ``COLUMN_MISSING``, ``COLUMN_TYPE_INVALID``, ``NULL_NOT_ALLOWED``,
        ``SHAPE_MISMATCH``, ``SOURCE_UNREADABLE``, ``NON_FINITE_INPUT``, ``DUPLICATE_EVENT``,
        ``FEATURE_AFTER_EVENT``, ``RESOURCE_EXHAUSTED``.
    """
    from model_factory import _arrays, _tables  # noqa: PLC0415 - numpy, which a definition does without

    spec: dict[str, Any] = {
        "event_id": event_id,
        "event_time": event_time,
        "naive_times_are_utc": naive_times_are_utc,
        "features": [feature.document() for feature in features],
    }
    if labels is not None:
        spec["labels"] = _tables.label_spec(label_columns, (positive_values, negative_values), _FOREVER)
    of_features = [
        feature.definition[key]
        for feature in features
        for key in ("entity", "column")
        if key in feature.definition
    ]
    wanted = [name for name in (event_id, event_time, *of_features) if name is not None]
    columns = _native.features(
        json.dumps(spec),
        _tables.table(events, "events", wanted),
        None if labels is None else _tables.table(labels, "labels", label_columns),
        threads=_arrays.threads(n_jobs),
    )
    return {feature.name: column for feature, column in zip(features, columns, strict=True)}
