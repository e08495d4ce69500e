"""Simulated card payments to try the factory on: no real person, card or shop stands behind them.

>>> from model_factory import simulate
>>> events, labels = simulate.payments(customers=10, terminals=5, days=3)
>>> str(events["time"].dtype), events["amount"].dtype.kind
('datetime64[ns]', 'f')
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from model_factory import _arrays, _native

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Payments", "payments"]


class Payments(NamedTuple):
    """Two tables as columns; times are ``datetime64[ns]`` in UTC.

    Attributes
    ----------
    events : dict of array
        ``event_id``, ``time``, ``customer``, ``terminal``, ``amount``, and what nobody knows at the time:
        ``fraud`` and ``report_delay`` (``timedelta64[ns]``).
    labels : dict of array
        The timeline of assertions: ``event_id``, ``fraud``, ``effective_time``, ``observed_time``.
    """

    events: dict[str, NDArray[Any]]
    labels: dict[str, NDArray[Any]]


def payments(*, customers: int = 800, terminals: int = 300, days: int = 75, seed: int = 0) -> Payments:
    """Payments by time with frauds of three kinds, and labels that arrive late.

    The same arguments give the same payments on any machine. The defaults make about sixty thousand payments,
    one or two in a hundred fraudulent.

    Raises
    ------
    InputAdmissionError
        ``PARAMETER_INVALID`` for what is no whole number, or out of range.
    """
    most = 2**32 - 1
    events, labels = _native.payments(
        _arrays.whole(customers, "customers", 1, most),
        _arrays.whole(terminals, "terminals", 1, most),
        _arrays.whole(days, "days", 1, most),
        _arrays.whole(seed, "seed", 0, 2**64 - 1),
    )
    events["time"] = events["time"].astype("datetime64[ns]")
    events["report_delay"] = events["report_delay"].astype("timedelta64[ns]")
    for name in ("effective_time", "observed_time"):
        labels[name] = labels[name].astype("datetime64[ns]")
    return Payments(events, labels)
