"""One process that works in MLflow's tracking store, as ``src/factory/benches/ledger.rs`` does in a ledger.

    python -m benches.tracking WORK URL FIRST COUNT

The store itself is called, without the client and the server that stand before it. ``cycle`` opens a run,
logs ten parameters, ten metrics and five tags at once, and ends it: three of its calls. ``submit`` opens one.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

EXPERIMENT = "bench"


def store(url: str) -> Any:
    """Open the store at a URL, and make it where there is none."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    logging.disable(logging.ERROR)
    return SqlAlchemyStore(url, "file:///nowhere")


class _Work:
    def __init__(self, url: str) -> None:
        self.store = store(url)
        self.experiment = self.store.get_experiment_by_name(EXPERIMENT).experiment_id

    def submit(self, number: int) -> str:
        from mlflow.entities import RunTag

        tags = [RunTag("request_id", f"request-{number}")]
        opened = self.store.create_run(self.experiment, "ada", int(time.time() * 1000), tags, f"run-{number}")
        return str(opened.info.run_id)

    def cycle(self, number: int) -> None:
        from mlflow.entities import Metric, Param, RunStatus, RunTag

        run_id = self.submit(number)
        now = int(time.time() * 1000)
        self.store.log_batch(
            run_id,
            [Metric(f"metric_{each}", 0.5, now, 0) for each in range(10)],
            [Param(f"param_{each}", "1") for each in range(10)],
            [RunTag(f"tag_{each}", "a" * 64) for each in range(5)],
        )
        self.store.update_run_info(run_id, RunStatus.FINISHED, now, None)


def patiently(call: Callable[[], object]) -> None:
    """Call again where the store gave up waiting for others, as SQLite's own waiting does."""
    from mlflow.exceptions import MlflowException

    try:
        call()
    except MlflowException as error:
        if "locked" not in str(error):
            raise
        patiently(call)


def main(work: str, url: str, first: int, count: int) -> None:
    """Work once a line comes in, and say how long each piece took."""
    contestant = _Work(url)
    piece = getattr(contestant, work)
    print("ready", flush=True)
    sys.stdin.readline()
    seconds = []
    for number in range(first, first + count):
        start = time.perf_counter()
        patiently(partial(piece, number))
        seconds.append(time.perf_counter() - start)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
