"""Simulated payments arrive as columns that fit together."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from model_factory import simulate
from model_factory.errors import InputAdmissionError


def test_columns_fit_together() -> None:
    events, labels = simulate.payments(customers=40, terminals=20, days=20, seed=3)
    rows = len(events["event_id"])
    assert rows > 100
    assert {len(column) for column in events.values()} == {rows}
    assert (np.diff(events["time"]) >= np.timedelta64(0)).all()
    assert events["time"][0] >= np.datetime64("2024-01-01")
    assert events["fraud"].dtype == np.bool_
    assert len({len(column) for column in labels.values()}) == 1
    assert np.isin(labels["event_id"], events["event_id"]).all()
    assert (labels["observed_time"] > labels["effective_time"]).all()


INTERRUPTED = """
import os, signal, threading
from model_factory import simulate
threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    simulate.payments(customers=20_000, terminals=2_000, days=60)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_an_interrupt_before_the_first_array_is_an_interrupt() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"seed": 1 << 64}, {"seed": "1"}, {"days": 2.5}])
def test_numbers_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputAdmissionError) as refused:
        simulate.payments(**wrong)
    assert refused.value.code == "PARAMETER_INVALID"
    assert [problem["pointer"] for problem in refused.value.problems] == list(wrong)


def test_the_seed_decides() -> None:
    first, again, other = (simulate.payments(customers=20, terminals=9, days=9, seed=s) for s in (1, 1, 2))
    assert all((first.events[name] == again.events[name]).all() for name in first.events)
    assert len(first.events["amount"]) != len(other.events["amount"]) or not np.array_equal(
        first.events["amount"], other.events["amount"]
    )


@pytest.mark.parametrize("argument", ["customers", "terminals", "days"])
def test_nothing_is_refused(argument: str) -> None:
    with pytest.raises(InputAdmissionError, match=argument):
        simulate.payments(**{argument: 0})
