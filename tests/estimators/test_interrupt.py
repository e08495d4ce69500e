"""Long work leaves the interpreter to others and ends when it is interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

from model_factory.estimators import GradientBoosting
from tests.estimators.test_estimators import rows

ENDLESS = """
import sys
import numpy as np
from model_factory.estimators import {family}
features = np.random.default_rng(0).normal(size=(3000, 20))
def told(done, total):
    print("working", flush=True)
try:
    {family}(n_estimators=100_000).fit(features, features[:, 0] > 0, progress=told)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def interrupted(family: str) -> str:
    """What a process prints that is interrupted once it has begun to fit."""
    command = [sys.executable, "-c", ENDLESS.format(family=family)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "working\n"
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read()
            assert process.wait() == 0
        finally:
            process.kill()
    return rest


def test_ctrl_c_ends_a_fit_of_one_step_after_the_other() -> None:
    assert interrupted("GradientBoosting").endswith("interrupted\n")


def test_ctrl_c_ends_a_fit_of_many_threads() -> None:
    assert interrupted("RandomForest").endswith("interrupted\n")


def test_other_threads_run_while_one_fits() -> None:
    begun, seen = threading.Event(), threading.Event()

    def watch() -> None:
        begun.wait()
        seen.set()

    other = threading.Thread(target=watch)
    other.start()
    # The fit goes on until the other thread has run.
    model = GradientBoosting(n_estimators=100_000)

    class Seen(Exception):  # noqa: N818 - it is not an error
        pass

    def told(done: int, total: int) -> None:
        begun.set()
        if seen.is_set():
            raise Seen(done, total)

    try:
        model.fit(*rows(3000), progress=told)
    except Seen as seen_at:
        done, total = seen_at.args
        assert done < total
    other.join()
    assert seen.is_set()
