"""As-of join of events with the latest assertion about their key, both unsorted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benches.protocol import Contestant, Outcome, check, race

ROWS, KEYS, SECONDS = 5_000_000, 200_000, 180 * 86_400


def tables(rows: int = ROWS, keys: int = KEYS, seed: int = 0) -> tuple[pa.Table, pa.Table]:
    """Give events (key, time) and assertions (key, effective, observed, value), in no order.

    An assertion is known from ``observed`` on, up to thirty days after ``effective``.
    """
    random = np.random.default_rng(seed)

    def times() -> NDArray[np.int64]:
        return random.integers(0, SECONDS, rows) * 1_000_000_000

    effective = times()
    events = {"key": random.integers(0, keys, rows), "time": times().astype("datetime64[ns]")}
    assertions = {
        "key": random.integers(0, keys, rows),
        "effective": effective.astype("datetime64[ns]"),
        "observed": (effective + random.integers(0, 30 * 86_400, rows) * 1_000_000_000).astype("datetime64[ns]"),
        "value": random.normal(size=rows),
    }
    return pa.table(events), pa.table(assertions)
