"""Processes that fork: a child computes on threads of its own, and opens for itself what it needs."""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import model_factory as mf
from model_factory import metrics
from model_factory.errors import ExecutionError
from model_factory.estimators import DecisionTree, GradientBoosting, LogisticRegression, RandomForest
from tests import bench
from tests.bench import SCOPE, config, opened, train
from tests.faults.places import request, wait_until

# A child that takes longer hangs.
SECONDS = 100
ROWS = 6_000


def begun(work: Callable[[], str]) -> tuple[int, int]:
    """Fork; gives the child, which does the work, and where it says what came of it."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # That other threads stay behind is what these tests are about.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    # Whatever waits in native code, the system's own handler ends it.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS)
    status = 1
    try:
        os.write(writing, work().encode())
        status = 0
    except BaseException:  # noqa: BLE001 - nothing of the child may go on as if it were its parent
        traceback.print_exc()
    finally:
        os._exit(status)


def ended(child: int, reading: int) -> str:
    """Wait for a child's end, and give what it said."""
    with os.fdopen(reading) as answer:
        said = answer.read()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "it hangs" if os.WIFSIGNALED(status) else "it failed"
    return said


def forked(work: Callable[[], str]) -> str:
    """Do the work in a fork, and give what it says."""
    return ended(*begun(work))


def refused(work: Callable[[], Any]) -> str:
    """Say how work is refused."""
    with pytest.raises(ExecutionError) as failure:
        work()
    assert not failure.value.retryable
    return f"{failure.value.code}: {failure.value.hint}"


OPEN_AGAIN = "LEDGER_UNAVAILABLE: Open the factory again in each process."
AT_WORK = (
    "LEDGER_UNAVAILABLE: Fork while no other thread is at work, or start processes by spawn or forkserver."
)


@pytest.fixture(autouse=True)
def _used() -> None:
    """Use the process-wide pool, as nobody forks by it that was never begun."""
    metrics.bootstrap_intervals(LABELS, SCORES, replicates=4)


@pytest.fixture
def root(published: tuple[Path, mf.Dataset, str], copied: Callable[[Path], Path]) -> Path:
    return copied(published[0])


RNG = np.random.default_rng(1)
FEATURES = RNG.normal(size=(ROWS, 5))
SCORES = 1 / (1 + np.exp(-FEATURES[:, 0]))
LABELS = RNG.uniform(size=ROWS) < SCORES
MODELS: dict[str, Any] = {
    family.__name__: family().fit(FEATURES[:2_000], LABELS[:2_000])
    for family in (DecisionTree, GradientBoosting, LogisticRegression, RandomForest)
}


def shown(*values: Any) -> str:
    """Name values by their bytes."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(value).tobytes() for value in values)).hexdigest()


def table() -> dict[str, Any]:
    """Give the windows of payments."""
    return mf.features.compute(
        bench.events(), [mf.window("customer", "7d").count()], event_time="time", naive_times_are_utc=True
    )


def labels() -> Any:
    """Resolve the labels of payments."""
    return mf.labels.resolve(
        bench.events(),
        bench.labels(),
        event_id="event_id",
        event_time="time",
        label_asof=bench.day(75),
        label_columns=("event_id", "fraud", "effective_time", "observed_time"),
        naive_times_are_utc=True,
    ).outcome


def fit(family: str) -> str:
    """Fit a model of a family anew."""
    return shown(MODELS[family].__class__().fit(FEATURES, LABELS).predict_proba(FEATURES))


def score(family: str, rows: int) -> str:
    """Score so many rows."""
    return shown(MODELS[family].predict_proba(FEATURES[:rows]))


COMPUTED: dict[str, Callable[[], str]] = {
    **{f"a fit of {name}": partial(fit, name) for name in MODELS},
    **{f"{rows} scores of {name}": partial(score, name, rows) for name in MODELS for rows in (1, 200, ROWS)},
    "leaves": lambda: shown(MODELS["RandomForest"].apply(FEATURES)),
    "stages": lambda: shown(*MODELS["GradientBoosting"].staged_predict_proba(FEATURES)),
    "Shapley values": lambda: shown(MODELS["GradientBoosting"].shap_values(FEATURES[:300])),
    "intervals": lambda: shown(metrics.bootstrap_intervals(LABELS, SCORES, replicates=20)["roc_auc"].lower),
    "a metric": lambda: shown(metrics.roc_auc_score(LABELS, SCORES)),
    "features": lambda: shown(*table().values()),
    "labels": lambda: shown(labels()),
    "payments": lambda: shown(mf.simulate.payments(customers=20, terminals=5, days=9, seed=1).events["time"]),
}


@pytest.mark.parametrize("compute", COMPUTED.values(), ids=COMPUTED)
def test_what_a_child_computes_is_what_its_parent_computes(compute: Callable[[], str]) -> None:
    expected = compute()
    assert forked(compute) == expected
    assert forked(lambda: forked(compute)) == expected


def test_many_children_compute_at_the_same_time() -> None:
    compute = COMPUTED["intervals"]
    assert {ended(*child) for child in [begun(compute) for _ in range(6)]} == {compute()}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the threads of a process as files")
def test_what_does_not_compute_begins_no_thread(
    root: Path, published: tuple[Path, mf.Dataset, str], tmp_path: Path
) -> None:
    def look() -> str:
        factory = opened(root)
        factory.run(published[2]).refresh()
        _ = [run.events for run in factory.runs()]
        factory.registry.promote(factory.run(published[2]).publish(), reason="the first")
        model = factory.registry.resolve(SCOPE).load()
        model.predict_proba(np.zeros((200, len(model.feature_names))))
        mf.open(tmp_path / "new", progress=False)
        score("LogisticRegression", 200)
        return str(len(list(Path("/proc/self/task").iterdir())))

    # A fork begins with one.
    assert forked(look) == "1"


def test_a_factory_of_the_parent_is_refused_and_stays_whole(
    root: Path, published: tuple[Path, mf.Dataset, str]
) -> None:
    factory = opened(root)
    run = factory.run(published[2])
    other = config(revision="2")
    uses: list[Callable[[], Any]] = [
        factory.runs,
        run.refresh,
        lambda: train(factory, published[1], config=other),
        lambda: factory.work(run.id),
        lambda: factory.registry.history(SCOPE),
    ]
    for use in uses:
        assert forked(partial(refused, use)) == OPEN_AGAIN

    # A check-up tells whatever it meets.
    found = forked(lambda: " ".join({each["code"] for each in factory.fsck()["findings"]}))
    assert found == "LEDGER_UNAVAILABLE"

    def dropped() -> str:
        nonlocal factory, run
        uses.clear()
        del factory, run
        return "gone"

    assert forked(dropped) == "gone"
    assert train(factory, published[1], config=other).state == "PASS"
    assert factory.fsck()["findings"] == []


def test_a_child_opens_the_factory_again(root: Path, published: tuple[Path, mf.Dataset, str]) -> None:
    parent = opened(root)

    def trained() -> str:
        factory = opened(root)
        run = train(factory, published[1], config=config(revision="2"))
        assert factory.fsck()["findings"] == []
        return f"{run.id} {run.state}"

    said = forked(trained)
    run = train(parent, published[1], config=config(revision="2"))
    assert said == f"{run.id} PASS"


def test_what_a_child_wrote_outlives_the_ledger_of_its_parent(
    root: Path, published: tuple[Path, mf.Dataset, str]
) -> None:
    """In a fork SQLite believes that it has its parent's locks, and loses what is written by that belief."""
    parent = opened(root)
    told, tell = os.pipe()
    heard, hear = os.pipe()

    def wrote() -> str:
        factory = opened(root)
        before = len(factory.runs())
        os.write(hear, b"open")
        os.read(told, 4)
        # Whoever closed a ledger as the last takes its log away; here somebody still has it open.
        return f"{before} {train(factory, published[1], config=config(revision='2')).id}"

    child = begun(wrote)
    os.close(hear)
    assert os.read(heard, 4) == b"open"
    del parent
    os.write(tell, b"gone")
    before, written = ended(*child).split()
    assert opened(root).runs()[0].id == written
    assert len(opened(root).runs()) == int(before) + 1
    for end in (told, tell, heard):
        os.close(end)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows what a process has open as files")
def test_a_ledger_that_was_at_work_in_that_moment_is_not_opened_beside(root: Path) -> None:
    factory = opened(root)
    file = root / "ledger.sqlite.lock"
    waiting = threading.Thread(target=factory.work)
    with file.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting.start()
        wait_until(lambda: is_waited_for(file), SECONDS)
        said = forked(lambda: refused(lambda: opened(root)))
    waiting.join()
    assert said == AT_WORK


def is_waited_for(file: Path) -> bool:
    """Whether this process has a file open a second time, as who waits for its lock does."""
    return [path.resolve() for path in Path("/proc/self/fd").iterdir()].count(file) > 1


def test_a_worker_serves_in_a_child(root: Path, published: tuple[Path, mf.Dataset, str]) -> None:
    parent = opened(root)
    whole = config(
        feature_definition_set={"feature_set_id": "cards", "feature_set_version": "1"},
        label={"family": "card_fraud"},
    )
    run = parent.submit(request(parent, published[1], 3, whole))
    worker = parent.worker(concurrency=2)

    def served() -> str:
        told: list[mf.News] = []

        def tell(news: mf.News) -> None:
            told.append(news)
            worker.stop()

        worker.serve(tell)
        return " ".join(f"{news.kind} {news.document['train_run_id']}" for news in told)

    assert forked(served) == f"run {run.id}"
    assert run.refresh().state == "PUBLISHED"


def test_a_fork_beside_a_thread_at_work_opens_a_ledger_or_is_refused_and_never_waits(root: Path) -> None:
    """What other threads held of SQLite's own locks in that moment nobody gives back in the child."""
    _idle, busy = opened(root), opened(root)
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            busy.runs()

    def tried() -> str:
        try:
            return str(len(opened(root).runs()))
        except ExecutionError as failure:
            return f"{failure.code}: {failure.hint}"

    runs = str(len(busy.runs()))
    working = threading.Thread(target=look)
    working.start()
    try:
        said = {forked(tried) for _ in range(40)}
    finally:
        done.set()
        working.join()
    assert said <= {runs, AT_WORK}
