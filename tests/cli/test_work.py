"""A worker that serves, as a process of its own that signals stop."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import model_factory as mf
from model_factory.cli import runs
from tests.cli.payments import Place, call

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

JOBS = "objects/local/mf/job_requests"


class Serving:
    """A worker's process, and what it tells."""

    def __init__(self, root: Path, *more: str) -> None:
        command = [sys.executable, "-m", "model_factory.cli", "work", "--json", "--root", str(root), *more]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
        )

    @property
    def lines(self) -> IO[str]:
        """Standard output, line by line."""
        assert self.process.stdout is not None
        return self.process.stdout

    def news(self) -> Iterator[dict[str, Any]]:
        """Yield what it tells, as it does."""
        for line in self.lines:
            yield json.loads(line)

    def until(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait for so many pieces of a kind."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            found += [each for each in [next(self.news())] if each["kind"] == kind]
        return found

    def end(self, *signals: int) -> tuple[int, list[dict[str, Any]]]:
        """Signal it, once or several times, and wait until it is gone; give its status and the news since."""
        assert self.process.stderr is not None
        for place, each in enumerate(signals):
            self.process.send_signal(each)
            if place == 0:
                assert "stopping" in self.process.stderr.readline()
        out, _ = self.process.communicate(timeout=60)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def request_file(place: Place) -> Path:
    trained = place.train(publish=False)
    request = {**trained.request, "request_id": "by-a-scheduler", "publish_allowed": True}
    file = place.folder / "request.json"
    file.write_text(json.dumps(request), encoding="utf-8")
    return file


def test_a_worker_takes_up_jobs_until_it_is_told_to_stop(place: Place, request_file: Path) -> None:
    root = ("--root", place.root)
    posted = call("post", request_file, "--json", *root)
    assert posted.status == 0
    assert posted.document["reference"]["uri"] == "local/mf/job_requests/by-a-scheduler.json"
    inbox = place.root / JOBS
    (inbox / "a-torn-one.json").write_text('{"schema_ver', encoding="utf-8")
    # What is no job, first and last, keeps nobody waiting.
    for odd in (".a-hidden-one.json", "z-half-written.json.tmp"):
        (inbox / odd).write_text("{", encoding="utf-8")
    os.mkfifo(inbox / "0-pipe.json")

    serving = Serving(place.root, "--concurrency", "2")
    assert [each["code"] for each in serving.until("trouble", 2)] == ["STORE_KEY_INVALID", "STORE_CORRUPT"]
    jobs = {each["job"].rsplit("/")[-1]: each["invocation"] for each in serving.until("job", 2)}
    assert jobs["a-torn-one.json"]["failure"]["code"] == "JOB_REQUEST_INVALID"
    run = jobs["by-a-scheduler.json"]["train_run_id"]
    (ended,) = serving.until("run")
    assert (ended["train_run_id"], ended["state"], ended["failure"]) == (run, "PUBLISHED", None)
    status, told = serving.end(signal.SIGTERM)
    assert status == 0
    assert told[-1] == {"kind": "stopped", "runs": 1, "jobs": 2}
    (found,) = call("fsck", "--json", *root).document["findings"]
    assert (found["code"], found["subject"]) == ("STORE_CORRUPT", "local/mf/job_requests/0-pipe.json")
    # Whoever left them may clear them away, those that were answered too.
    for each in inbox.iterdir():
        each.unlink()
    assert call("fsck", "--json", *root).document["findings"] == []


def submit_slow(place: Place, request_file: Path, trees: int) -> mf.Run:
    """Submit a run that takes a while."""
    factory = place.factory()
    (trained,) = factory.runs()
    assert trained.plan is not None
    model = {"family": "gradient_boosting", "n_estimators": trees}
    reference = factory.store("training_config", {**trained.plan["training_config"], "model": model})
    request = json.loads(request_file.read_text("utf-8"))
    return factory.submit({**request, "request_id": "a-slow-one", "training_config": reference})


def serving_at(run: mf.Run, place: Place, *more: str) -> Serving:
    """Start a worker, and wait until it is at the run."""
    serving = Serving(place.root, *more)
    while run.refresh().state != "RUNNING":
        assert serving.process.poll() is None
    return serving


def shown(run: mf.Run, place: Place) -> str:
    """Show a run, words apart by one space each."""
    return " ".join(call("show", run.id, "--root", place.root).out.split())


@pytest.mark.parametrize(("insisting", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_stops_the_run_at_hand_and_puts_it_back(
    place: Place, request_file: Path, insisting: int, expected: int
) -> None:
    run = submit_slow(place, request_file, 5000)
    serving = serving_at(run, place)
    held = call("work", "--run", run.id, "--json", "--root", place.root)
    assert (held.status, held.document["code"]) == (15, "LEASE_LOST")
    assert f"held by local-{serving.process.pid}, until 20" in shown(run, place)
    status, news = serving.end(signal.SIGTERM, insisting)
    assert status == expected
    mf.documents.validate("error_response", news[-1])
    assert news[-1]["code"] == "INTERRUPTED"
    put_back = next(each for each in news if each.get("kind") == "run")
    assert (put_back["train_run_id"], put_back["state"]) == (run.id, "QUEUED")
    assert put_back["failure"]["code"] == "INTERRUPTED"
    run.refresh()
    assert (run.state, run.reason, run.holder) == ("QUEUED", "INTERRUPTED", None)
    assert run.rests_until is not None
    told = shown(run, place)
    assert "because the caller stopped the work rests until" in told
    assert f"rests until {run.rests_until[:19]}Z; work --run takes it up at once" in told


@pytest.mark.parametrize("which", ["--once", "--run"])
def test_a_worker_for_one_run_heeds_signals_as_one_that_serves(
    place: Place, request_file: Path, which: str
) -> None:
    run = submit_slow(place, request_file, 2000)
    alone = [which] if which == "--once" else [which, run.id]
    status, told = serving_at(run, place, *alone).end(signal.SIGTERM, signal.SIGTERM)
    assert (status, [each["code"] for each in told]) == (143, ["INTERRUPTED"])
    assert (run.refresh().state, run.holder) == ("QUEUED", None)
    # Who names the run need not wait until it has rested.
    status, told = serving_at(run, place, "--run", run.id).end(signal.SIGTERM)
    assert (status, [each["state"] for each in told]) == (0, ["PUBLISHED"])


def test_a_worker_whose_reader_leaves_finishes_what_is_at_hand_and_stops(
    place: Place, request_file: Path
) -> None:
    run = submit_slow(place, request_file, 1000)
    serving = serving_at(run, place)
    serving.lines.close()
    (place.root / JOBS).mkdir(parents=True, exist_ok=True)
    (place.root / JOBS / "a-torn-one.json").write_text("{", encoding="utf-8")
    with serving.process:
        assert serving.process.stderr is not None
        assert serving.process.stderr.read() == ""
    assert serving.process.returncode == 141
    assert run.refresh().state == "PUBLISHED"


def test_the_last_line_is_what_ended_a_worker(place: Place, request_file: Path) -> None:
    run = submit_slow(place, request_file, 1000)
    serving = serving_at(run, place)
    # A row that was changed: waiting does not mend it.
    with contextlib.closing(sqlite3.connect(place.root / "ledger.sqlite", timeout=60)) as ledger, ledger:
        ledger.execute("UPDATE runs SET publish_allowed = 1 - publish_allowed WHERE state = 'PASS'")
    with serving.process:
        told = list(serving.news())
    assert serving.process.returncode == 15
    mf.documents.validate("error_response", told[-1])
    assert told[-1]["code"] == "LEDGER_CORRUPT"
    assert [(each["kind"], each["state"]) for each in told[:-1]] == [("run", "PUBLISHED")]


def test_a_worker_without_concurrency_is_refused(place: Place) -> None:
    refused = call("work", "--concurrency", "0", "--json", "--root", place.root)
    assert (refused.status, refused.document["code"]) == (10, "PARAMETER_INVALID")


@pytest.mark.parametrize(
    "both",
    [("--once", "--run", "tr_1"), ("--concurrency", "0", "--once"), ("--run", "tr_1", "--concurrency", "1")],
    ids=" ".join,
)
def test_one_run_a_named_run_and_several_at_a_time_are_three_commands(
    place: Place, both: tuple[str, ...]
) -> None:
    misused = call("work", *both, "--json", "--root", place.root)
    assert (misused.status, misused.document["code"]) == (2, "PARAMETER_INVALID")
    assert "not allowed with argument" in misused.document["detail"]


def test_news_in_words_are_one_line_each() -> None:
    failure = {"code": "RUN_CANCELLED", "detail": "alice stopped it: \x1b[2J\nrun      tr_2  PUBLISHED"}
    run = {"train_run_id": "tr_1", "state": "FAIL", "failure": failure}
    said = r"RUN_CANCELLED: alice stopped it: \u001b[2J\u000arun      tr_2  PUBLISHED"
    assert runs._news(mf.News("run", run)) == f"run      tr_1  FAIL  {said}"
    assert runs._news(mf.News("run", {**run, "failure": None})) == "run      tr_1  FAIL"
    assert runs._news(mf.News("run", {**run, "state": None})) == f"run      tr_1  {said}"
    assert runs._news(mf.News("trouble", failure)) == f"trouble  {said}"


def test_a_run_that_fails_is_told_with_its_state(place: Place, request_file: Path) -> None:
    request = json.loads(request_file.read_text("utf-8"))
    model = {"family": "logistic_regression", "max_iter": 1}
    plan = place.train(publish=False).plan
    assert plan is not None
    reference = place.factory().store("training_config", {**plan["training_config"], "model": model})
    failing = place.factory().submit(
        {**request, "request_id": "one-that-fails", "training_config": reference}
    )
    serving = Serving(place.root)
    told = serving.until("run")
    assert serving.end(signal.SIGTERM)[0] == 0
    assert [(each["train_run_id"], each["state"]) for each in told] == [(failing.id, "FAIL")]
    assert told[0]["failure"]["code"] == failing.refresh().reason


def test_a_cancelled_run_is_over_for_good(place: Place, request_file: Path) -> None:
    factory = place.factory()
    request = json.loads(request_file.read_text("utf-8"))
    scope = {**request["target_scope"], "bundle_slot": "other"}
    run = factory.submit({**request, "request_id": "another-one", "target_scope": scope})
    root = ("--json", "--root", place.root)
    cancelled = call("cancel", run.id, "--reason", "a mistake", *root)
    assert (cancelled.document["state"], cancelled.document["reason"]) == ("FAIL", "RUN_CANCELLED")
    assert call("work", "--once", *root).document == {"train_run_id": None}
    assert call("work", "--run", run.id, *root).document["reason"] == "RUN_CANCELLED"
    assert f"because {factory.defaults.principal} stopped it: a mistake scope" in shown(run, place)
    with pytest.raises(mf.errors.ExecutionError, match="a mistake") as caught:
        run.refresh().raise_refusal()
    assert caught.value.code == "RUN_CANCELLED"
    refused = call("cancel", place.train(publish=False).id, "--reason", "too late", *root)
    assert refused.document["code"] == "INVALID_TRANSITION"


def test_a_worker_serves_in_a_thread_of_a_program(place: Place, request_file: Path) -> None:
    factory = place.factory()
    factory.post(request_file)
    worker = factory.worker()
    told: list[str] = []

    def tell(news: mf.News) -> None:
        told.append(news.kind)
        if news.kind == "run":
            worker.stop()

    worker.serve(tell)
    assert told == ["job", "run"]
    assert [run.state for run in factory.runs()] == ["PUBLISHED"]
    with pytest.raises(mf.errors.ExecutionError, match="make another") as caught:
        worker.serve(tell)
    assert caught.value.code == "INVALID_TRANSITION"
    assert told == ["job", "run"]


def test_a_worker_that_was_stopped_before_it_serves_takes_up_nothing(
    place: Place, request_file: Path
) -> None:
    factory = place.factory()
    factory.post(request_file)
    worker = factory.worker()
    worker.stop()
    told: list[mf.News] = []
    worker.serve(told.append)
    assert told == []
    assert [run.state for run in factory.runs()] == ["PASS"]


def test_what_a_listener_raises_ends_the_worker(place: Place, request_file: Path) -> None:
    factory = place.factory()
    factory.post(request_file)

    def tell(_: mf.News) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        factory.worker().serve(tell)
