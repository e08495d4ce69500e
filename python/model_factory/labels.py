"""What was known, and when: labels as of a cut, and facts as of each event.

Every fact has two times: when it became true (effective) and when it became known (observed). Both functions
take tables of any library, in any order of rows, and give arrays in the order of the events.

>>> import numpy as np
>>> from model_factory import labels
>>> def days(*numbers):
...     return np.array([f"2024-01-{number:02}" for number in numbers], "datetime64[ns]")
>>> events = {"card": np.array([7, 7, 8]), "time": days(10, 20, 20)}
>>> limits = {"card": np.array([7, 7]), "true": days(1, 15), "known": days(2, 25)}
>>> joined = labels.asof_join(events, limits, key="card", event_time="time", effective_time="true",
...                           observed_time="known", naive_times_are_utc=True)
>>> joined.row.tolist()
[0, 0, -1]
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from model_factory import _arrays, _native, _tables

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from numpy.typing import NDArray

__all__ = ["Facts", "Labels", "asof_join", "resolve"]

_OUTCOMES = np.array(["known", "censored", "conflict", "immature"])
_KNOWN = 0


class Labels(NamedTuple):
    """Labels as of a cut, arrays of shape (events,)."""

    outcome: NDArray[np.str_]
    """``"known"``, ``"censored"`` (nothing was known: not a negative), ``"conflict"`` or ``"immature"``."""
    value: NDArray[np.float64]
    """1 or 0; NaN unless the outcome is ``"known"``."""
    observed_time: NDArray[np.datetime64]
    """When the value became known, UTC; ``NaT`` unless the outcome is ``"known"``."""
    effective_time: NDArray[np.datetime64]
    """When it became true, UTC; ``NaT`` unless the outcome is ``"known"``."""


class Facts(NamedTuple):
    """The fact of each event, arrays of shape (events,)."""

    row: NDArray[np.int64]
    """Row of the fact; -1 where none was known."""
    tied: NDArray[np.bool_]
    """Whether ``row`` is the first of several facts with the same two times."""


def resolve(  # noqa: PLR0913 - each with a name
    events: Any,
    labels: Any,
    *,
    event_id: str,
    event_time: str,
    label_asof: str | datetime,
    maturity_days: int = 0,
    label_columns: tuple[str, str, str, str] = ("event_id", "value", "effective_time", "observed_time"),
    positive_values: Iterable[int] = (1,),
    negative_values: Iterable[int] = (0,),
    naive_times_are_utc: bool = False,
    n_jobs: int | None = None,
) -> Labels:
    """Resolve the label of each event as of a cut, by the rule of datasets.

    Of an event's assertions observed by the cut the latest observed wins, of those the latest effective. If
    these still differ the event is in conflict; an event without one is censored; an event younger than the
    maturity is immature whatever is said about it.

    Parameters
    ----------
    events : dataframe, Arrow table, mapping of arrays, or Parquet paths
        One row an event.
    labels : dataframe, Arrow table, mapping of arrays, or Parquet paths
        One row an assertion about an event's label; those about other events are left out.
    event_id, event_time : str
        Columns of the events' names and times.
    label_asof : str or datetime
        The cut: nothing observed after it is used. Such as ``"2018-08-15T00:00:00Z"``.
    maturity_days : int
        Days that a label needs before it counts as final.
    label_columns : tuple of str
        Columns of the labels: event id, value, when it became true, when it became known.
    positive_values, negative_values : iterable of int
        Label values that make an event positive, and negative; true and false count as 1 and 0.
    naive_times_are_utc : bool
        Whether times without a zone are UTC; they are refused otherwise.
    n_jobs : int, optional
        Threads; all cores by default.

    Raises
    ------
    InputAdmissionError, LeakageError, ExecutionError
        ``PARAMETER_INVALID``, ``COLUMN_MISSING``, ``COLUMN_TYPE_INVALID``, ``NULL_NOT_ALLOWED``,
        ``SHAPE_MISMATCH``, ``SOURCE_UNREADABLE``, ``NON_FINITE_INPUT``, ``DUPLICATE_EVENT``,
        ``RESOURCE_EXHAUSTED``.
    """
    spec = {
        "event_id": event_id,
        "event_time": event_time,
        "naive_times_are_utc": naive_times_are_utc,
        "labels": _tables.label_spec(
            label_columns,
            (positive_values, negative_values),
            _tables.moment(label_asof, "label_asof"),
            maturity_days=maturity_days,
        ),
    }
    outcome, value, observed, effective = _native.resolve(
        json.dumps(spec),
        _tables.table(events, "events", (event_id, event_time)),
        _tables.table(labels, "labels", label_columns),
        threads=_arrays.threads(n_jobs),
    )
    return Labels(
        _OUTCOMES[outcome],
        np.where(outcome == _KNOWN, value.astype(np.float64), np.nan),
        # The least integer, which stands where there is none, is numpy's NaT.
        observed.view("datetime64[ns]"),
        effective.view("datetime64[ns]"),
    )


def asof_join(  # noqa: PLR0913 - each with a name
    events: Any,
    facts: Any,
    *,
    key: str,
    event_time: str,
    effective_time: str,
    observed_time: str,
    known_by: str | None = None,
    facts_key: str | None = None,
    naive_times_are_utc: bool = False,
    n_jobs: int | None = None,
) -> Facts:
    """Find for each event the latest fact about its key that had come true and was known by then.

    Of the facts with ``effective_time`` at or before the event's time and ``observed_time`` at or before the
    time of knowledge the latest effective wins, of those the latest observed: a correction replaces what it
    corrects.

    Parameters
    ----------
    events : dataframe, Arrow table, mapping of arrays, or Parquet paths
        One row an event, in any order.
    facts : dataframe, Arrow table, mapping of arrays, or Parquet paths
        One row a fact, in any order.
    key : str
        Column of the events that says what they ask about: integers or text.
    event_time : str
        Column of the events with the moment asked about.
    effective_time, observed_time : str
        Columns of the facts: when they became true, and when they became known, which cannot be earlier.
    known_by : str, optional
        Column of the events with the moment up to which facts were known; the moment asked about by default.
    facts_key : str, optional
        Column of the facts that says what they are about; ``key`` by default.
    naive_times_are_utc : bool
        Whether times without a zone are UTC; they are refused otherwise.
    n_jobs : int, optional
        Threads; all cores by default.

    Raises
    ------
    InputAdmissionError, ExecutionError
        ``PARAMETER_INVALID``, ``COLUMN_MISSING``, ``COLUMN_TYPE_INVALID``, ``NULL_NOT_ALLOWED``,
        ``SHAPE_MISMATCH``, ``SOURCE_UNREADABLE``, ``RESOURCE_EXHAUSTED``.
    """
    of_facts = key if facts_key is None else facts_key
    spec = {
        "key": key,
        "event_time": event_time,
        "known_by": known_by,
        "facts_key": of_facts,
        "effective_time": effective_time,
        "observed_time": observed_time,
        "naive_times_are_utc": naive_times_are_utc,
    }
    wanted = [name for name in (key, event_time, known_by) if name is not None]
    rows, tied = _native.asof_join(
        json.dumps(spec),
        _tables.table(events, "events", wanted),
        _tables.table(facts, "facts", (of_facts, effective_time, observed_time)),
        threads=_arrays.threads(n_jobs),
    )
    return Facts(rows, tied)
