"""What the line adds around a fit: the corridor from submit to published, the import, and hashing."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import model_factory as mf
from benches import data, published
from benches.protocol import Contestant, Outcome, Timing, check, race
from model_factory import simulate

SMALL, LARGE = 130, 1_700
"""Customers who make about ten thousand, and more than a hundred thousand payments."""
NOISE_COLUMNS, NOISE_ROWS = 30, 1_000_000
SCOPE = "bench/card/primary"
DAY = np.timedelta64(1, "D")


def _request(first: np.datetime64, seed: int) -> dict[str, Any]:
    """Give a config and a profile of a run that passes; another seed is another run."""

    def window(start: int, end: int) -> dict[str, str]:
        return {"start": f"{first + start}T00:00:00Z", "end": f"{first + end}T00:00:00Z"}

    anyone = dict.fromkeys(("request", "publish", "approve", "promote"), "anyone")
    criterion = {"name": "ranks", "metric": "roc_auc", "comparison": "at_least", "threshold": 0.01}
    return {
        "config": {
            "config_id": "bench",
            "revision": "1",
            "model": {"family": "gradient_boosting"},
            "split": {"strategy": "time", "train": window(10, 50), "test": window(57, 75), "gap": "7d"},
            "seed_policy": {"base_seed": seed},
        },
        "governance": {"profile_id": "bench", "revision": "1", "criteria": [criterion], "roles": anyone},
    }


class _Line:
    """A factory with a dataset of simulated payments, and a fresh run at each call."""

    def __init__(self, root: Path, customers: int) -> None:
        events, labels = simulate.payments(customers=customers, terminals=300, days=75)
        self.first = events["time"].min().astype("datetime64[D]")
        self.factory = mf.open(root, principal="bench", progress=False)
        self.rows = len(events["time"])
        self.dataset = self.factory.datasets.build(
            events={name: events[name] for name in ("event_id", "time", "customer", "terminal", "amount")},
            labels=labels,
            event_id="event_id",
            event_time="time",
            label_columns=("event_id", "fraud", "effective_time", "observed_time"),
            label_asof=f"{self.first + 90}T00:00:00Z",
            label_family="card_fraud",
            maturity_days=7,
            naive_times_are_utc=True,
            features=[
                mf.column("amount"),
                *(mf.window("customer", f"{days}d").mean("amount") for days in published.DAYS),
                *(mf.window("terminal", f"{days}d", delay="7d").rate("label") for days in published.DAYS),
            ],
        )
        self.seeds = itertools.count(1)

    def run(self) -> tuple[float, float]:
        """Carry a run from submit to published; give the seconds around fit and evaluation, and in all."""
        start = time.perf_counter()
        run = self.factory.train(
            self.dataset, **_request(self.first, next(self.seeds)), scope=SCOPE, publish=True
        )
        taken = time.perf_counter() - start
        check(holds=run.state == "PUBLISHED", told=f"the run is published; it is {run.state}")
        assert run.measurements is not None
        stages = run.measurements["stage_seconds"]
        return taken - stages["train"] - stages["evaluate"], taken


class _Mlflow:
    """MLflow on SQLite: logs a run with a model of a hundred kilobytes, and registers it."""

    def __init__(self, root: Path) -> None:
        import mlflow

        mlflow.set_tracking_uri(f"sqlite:///{root}/mlflow.db")
        self.client = mlflow.MlflowClient()
        self.experiment = self.client.create_experiment("bench", artifact_location=str(root / "artifacts"))
        self.model = root / "model.bin"
        self.model.write_bytes(bytes(100_000))
        self.names = itertools.count(1)

    def run(self) -> None:
        from mlflow.entities import Metric, Param

        run = self.client.create_run(self.experiment).info
        now = int(time.time() * 1000)
        self.client.log_batch(
            run.run_id,
            metrics=[Metric(f"metric_{number}", 0.5, now, 0) for number in range(20)],
            params=[Param(f"param_{number}", "1") for number in range(20)],
        )
        self.client.log_artifact(run.run_id, str(self.model))
        self.client.set_terminated(run.run_id)
        name = f"model-{next(self.names)}"
        self.client.create_registered_model(name)
        self.client.create_model_version(name, f"{run.artifact_uri}/model.bin", run.run_id)


def corridor(_: int) -> Outcome:
    """Submit to published less fit and evaluation, durable, beside a run logged and a model registered."""
    with tempfile.TemporaryDirectory(dir=data.OUTPUT) as folder:
        root = Path(folder)
        small, large, mlflow = _Line(root / "small", SMALL), _Line(root / "large", LARGE), _Mlflow(root)
        for each in (small, mlflow):
            each.run()
        ours, peer, around, whole = Timing("model_factory"), Timing("mlflow on sqlite"), [], []
        for _round in range(7):
            ours.seconds.append(small.run()[0])
            start = time.perf_counter()
            mlflow.run()
            peer.seconds.append(time.perf_counter() - start)
        for _round in range(3):
            seconds = large.run()
            around.append(seconds[0])
            whole.append(seconds[1])
    share = float(np.median(around) / np.median(whole))
    note = (
        f"{small.rows:,} rows; of {large.rows:,} rows the corridor takes {np.median(around) * 1e3:.0f} ms, "
        f"{share:.0%} of the run"
    )
    return Outcome(ours, [peer], note)


def importing(_: int) -> Outcome:
    """Import in a fresh interpreter, less what the interpreter itself takes to start."""

    def interpreter(program: str) -> None:
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)

    outcome, _results = race(
        [
            Contestant("model_factory", lambda: interpreter("import model_factory")),
            Contestant("mlflow", lambda: interpreter("import mlflow")),
            Contestant("bare interpreter", lambda: interpreter("pass")),
            Contestant("numpy", lambda: interpreter("import numpy")),
        ],
        rounds=5,
        warm=True,
        slow=float("inf"),
    )
    peers = {peer.name: peer for peer in outcome.peers}
    start = peers["bare interpreter"].median
    for timing in (outcome.ours, peers["mlflow"], peers["numpy"]):
        timing.seconds = [seconds - start for seconds in timing.seconds]
    note = (
        f"less {start * 1e3:.0f} ms of a bare interpreter; "
        f"numpy alone takes {peers['numpy'].median * 1e3:.0f} ms"
    )
    return Outcome(outcome.ours, [peers["mlflow"]], note)


def _noise(rows: int, columns: int) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    random = np.random.default_rng(0)
    for number in range(columns):
        yield f"x{number}", random.normal(size=rows)


def hashing(threads: int) -> Outcome:
    """Verify a published bundle, and give the same files to openssl, one process a thread."""
    with tempfile.TemporaryDirectory(dir=data.OUTPUT) as folder:
        root = Path(folder)
        factory, bundle = _published(root, threads)
        files = [path for path in (root / "objects").rglob("*") if path.is_file()]
        # The largest first, each to the process that has least to do.
        shares: list[list[Path]] = [[] for _ in range(threads)]
        for path in sorted(files, key=lambda path: path.stat().st_size, reverse=True):
            min(shares, key=lambda share: sum(each.stat().st_size for each in share)).append(path)
        commands = [["openssl", "dgst", "-sha256", *map(str, share)] for share in shares]

        def openssl() -> None:
            running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
            check(holds=all(process.wait() == 0 for process in running), told="openssl reads every file")

        outcome, results = race(
            [
                Contestant("model_factory", lambda: factory.verify(bundle)),
                Contestant("openssl dgst -sha256", openssl),
            ],
            rounds=7,
            warm=True,
        )
        verified = int(results["model_factory"]["bytes"])
        stored = sum(path.stat().st_size for path in files)
    check(holds=abs(verified - stored) < 0.02 * stored, told="both read the same bytes")
    speed = verified / outcome.ours.median / 1e9, stored / outcome.fastest.median / 1e9
    outcome.note = (
        f"verify of {verified / 1e6:.0f} MB: {speed[0]:.2f} GB/s; openssl dgst {speed[1]:.2f} GB/s; "
        f"openssl speed {_openssl_speed(threads):.2f} GB/s"
    )
    return outcome


def _published(root: Path, threads: int) -> tuple[mf.Factory, mf.Bundle]:
    """Publish a bundle whose dataset is large and does not compress."""
    random = np.random.default_rng(1)
    ids = np.arange(NOISE_ROWS)
    start = np.datetime64("2024-01-01T00:00:00", "ns")
    times = start + (ids * 75 * published.DAY // NOISE_ROWS).astype("timedelta64[s]")
    columns = dict(_noise(NOISE_ROWS, NOISE_COLUMNS))
    # Only so many rows are labelled that fit and evaluation are short.
    labelled = random.permutation(ids)[:20_000]
    factory = mf.open(root, principal="bench", threads=threads, progress=False)
    dataset = factory.datasets.build(
        events=pa.table({"event_id": ids, "time": times, **columns}),
        labels=pa.table(
            {
                "event_id": labelled,
                "value": (columns["x0"] + random.normal(size=NOISE_ROWS) > 1.5)[labelled].astype(np.int64),
                "effective_time": times[labelled],
                "observed_time": times[labelled] + 7 * DAY,
            }
        ),
        event_id="event_id",
        event_time="time",
        label_asof="2024-04-01T00:00:00Z",
        naive_times_are_utc=True,
        features=[mf.column(name) for name in columns],
    )
    request = _request(start.astype("datetime64[D]"), 1)
    request["config"]["model"] = {"family": "decision_tree", "max_depth": 1}
    run = factory.train(dataset, **request, scope=SCOPE, publish=True)
    return factory, run.publish()


def _openssl_speed(threads: int) -> float:
    """Gigabytes a second that openssl itself says it hashes."""
    command = ["openssl", "speed", "-mr", "-seconds", "1", "-bytes", "1048576", "-multi", str(threads)]
    told = subprocess.run([*command, "-evp", "sha256"], check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^\+F:\d+:sha256:([\d.]+)", told, re.MULTILINE)
    return float(found[-1]) / 1e9 if found else float("nan")
