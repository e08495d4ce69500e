"""What a decision service does: features of events that happen now, from their history.

Written in numpy and apart from the builder on purpose: the definitions in a manifest are all that it knows,
and a test holds its features equal to the dataset's. It offers what the demo's features need: the event's own
columns, counts, means and label rates of windows, weekends and hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["History", "features"]

Column = "NDArray[np.generic]"
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
DAY = 86_400
SECOND = 1_000_000_000


@dataclass(frozen=True)
class History:
    """Events up to now by time, and what was asserted about them.

    Attributes
    ----------
    time : int64 array
        Nanoseconds since the epoch, ascending.
    columns : dict of array
        Entities and amounts, one value an event.
    judged : int64 array
        For each assertion, the place of its event; by time of observation.
    positive : bool array
        What it says.
    observed : int64 array
        When it became known, in nanoseconds since the epoch.
    """

    time: NDArray[np.int64]
    columns: Mapping[str, NDArray[Any]]
    judged: NDArray[np.int64]
    positive: NDArray[np.bool_]
    observed: NDArray[np.int64]


def features(
    definitions: Sequence[Mapping[str, Any]], history: History, since: int
) -> dict[str, NDArray[np.float64]]:
    """Features of the events from ``since`` on, by name, as the feature definitions of a manifest say."""
    first = int(np.searchsorted(history.time, since))
    return {each["name"]: _feature(each["definition"], history, first) for each in definitions}


def _feature(definition: Mapping[str, Any], history: History, first: int) -> NDArray[np.float64]:
    seconds = history.time[first:] // SECOND
    match definition["kind"]:
        case "column":
            return np.asarray(history.columns[definition["column"]][first:], dtype=np.float64)
        case "weekend":
            # The epoch began on a Thursday.
            return np.asarray((seconds // DAY + 3) % 7 >= 5, dtype=np.float64)
        case "hour_between":
            hours = seconds % DAY // 3_600
            inside = (hours >= definition["first"]) & (hours <= definition["last"])
            return np.asarray(inside, dtype=np.float64)
        case "window":
            return _window(definition, history, first)
    message = f"no feature of the kind {definition['kind']} here"
    raise NotImplementedError(message)


def _window(definition: Mapping[str, Any], history: History, first: int) -> NDArray[np.float64]:
    match definition["aggregate"]:
        case "count":
            found = [float(places.size) for _, places in _windows(definition, history, first)]
        case "mean":
            values = history.columns[definition["column"]]
            found = [_mean(values[places]) for _, places in _windows(definition, history, first)]
        case "rate":
            knowledge = _Knowledge(history)
            found = [knowledge.rate(row, places) for row, places in _windows(definition, history, first)]
        case aggregate:
            message = f"no aggregate {aggregate} here"
            raise NotImplementedError(message)
    return np.asarray(found, dtype=np.float64)


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if values.size else float("nan")


def _windows(
    definition: Mapping[str, Any], history: History, first: int
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each event with the places of its entity's events in ``(t - delay - window, t - delay]``."""
    entities = history.columns[definition["entity"]]
    order = np.argsort(entities, kind="stable")
    grouped = entities[order]
    delay, width = _nanoseconds(definition["delay"]), _nanoseconds(definition["window"])
    starts = np.searchsorted(grouped, entities[first:], side="left")
    ends = np.searchsorted(grouped, entities[first:], side="right")
    for row, start, end in zip(range(first, entities.size), starts, ends, strict=True):
        places = order[start:end]
        times, newest = history.time[places], history.time[row] - delay
        low, high = np.searchsorted(times, [newest - width, newest], side="right")
        yield row, places[low:high]


def _nanoseconds(span: str) -> int:
    """Give a span such as ``7d``."""
    return int(span[:-1]) * UNITS[span[-1]] * SECOND


class _Knowledge:
    """What was known about labels at any moment: the assertions in order of observation."""

    def __init__(self, history: History) -> None:
        self._time = history.time
        self._observed = history.observed
        self._positive = history.positive
        self._order = np.argsort(history.judged, kind="stable")
        self._judged = history.judged[self._order]

    def rate(self, row: int, places: NDArray[np.int64]) -> float:
        """Share of positives among the events whose label is known when ``row`` happens; 0 where none is."""
        starts = np.searchsorted(self._judged, places, side="left")
        ends = np.searchsorted(self._judged, places, side="right")
        latest = [self._latest(start, end, self._time[row]) for start, end in zip(starts, ends, strict=True)]
        known = [each for each in latest if each is not None]
        return sum(known) / len(known) if known else 0.0

    def _latest(self, start: int, end: int, now: int) -> bool | None:
        """Give the latest assertion observed by now, of those about one event."""
        for place in self._order[start:end][::-1]:
            if self._observed[place] <= now:
                return bool(self._positive[place])
        return None
