"""What a feature is: a definition that says what is known at an event's time.

>>> from model_factory import features
>>> features.window("CUSTOMER_ID", "7d").mean("TX_AMOUNT").name
'CUSTOMER_ID_mean_TX_AMOUNT_7d'
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model_factory import _native

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Feature", "Window", "column", "hours", "weekend", "window"]


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
