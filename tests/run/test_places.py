"""What is open is moved, deleted or replaced: nothing is acknowledged that nobody would find at its place."""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import model_factory as mf
from model_factory.errors import ExecutionError, ModelFactoryError
from tests.bench import config, objects, opened
from tests.faults.places import request

# Asks for what SQLite asks for where it takes a ledger's log away, the bytes that stand for its readers, and
# where it makes the log's index anew, the byte that stands for who has it open.
ALONE = """
import fcntl, sys
for end, length, start in [("", 510, 0x40000002), ("-shm", 1, 128)]:
    with open(sys.argv[1] + end, "r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
        except OSError:
            print("others have it open")
        else:
            print("nobody has it open")
"""


@pytest.fixture
def root(published: tuple[Path, mf.Dataset, str], copied: Callable[[Path], Path]) -> Path:
    return copied(published[0])


def submit(factory: mf.Factory, dataset: mf.Dataset, seed: int) -> mf.Run:
    """Ask for a run of its own."""
    whole = config(
        feature_definition_set={"feature_set_id": "cards", "feature_set_version": "1"},
        label={"family": "card_fraud"},
    )
    return factory.submit(request(factory, dataset, seed, whole))


def refused(work: Callable[[], object]) -> ExecutionError:
    with pytest.raises(ExecutionError) as failure:
        work()
    return failure.value


def replaced(path: Path, aside: Path) -> None:
    """Put a copy in the place of a file or folder, as who brings a backup back does."""
    copy = aside.with_name(f"{aside.name}.copy")
    if path.is_dir():
        # What a writer stages comes and goes.
        shutil.copytree(path, copy, ignore=shutil.ignore_patterns(".staging"))
    else:
        shutil.copy(path, copy)
    path.rename(aside)
    copy.rename(path)


def test_a_ledger_that_is_opened_twice_stays_open_for_others(root: Path) -> None:
    """Who closes a file lets go of its locks on it, and the next to close the ledger takes its log away."""
    both = [opened(root), opened(root)]
    assert [len(factory.runs()) for factory in both] == [1, 1]
    command = [sys.executable, "-c", ALONE, str(root / "ledger.sqlite")]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert said == "others have it open\n" * 2


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
def test_a_ledger_that_was_moved_is_away_until_it_is_back(
    root: Path, published: tuple[Path, mf.Dataset, str], tmp_path: Path, end: str
) -> None:
    factory = opened(root)
    file = root / f"ledger.sqlite{end}"
    file.rename(tmp_path / "moved")
    for work in (lambda: submit(factory, published[1], 3), factory.runs, factory.work):
        failure = refused(work)
        # A log that is gone beside its file was tidied up by somebody else, and does not come back by itself.
        assert (failure.code, failure.retryable) == ("LEDGER_UNAVAILABLE", end == "")
        assert file.name in str(failure)
    (tmp_path / "moved").rename(file)
    run = submit(factory, published[1], 3)
    assert opened(root).runs()[0].id == run.id


# Opens the factory as another process does, asks for as many runs as it is told, and ends.
ELSEWHERE = """
import sys
from pathlib import Path

import model_factory as mf
from tests.bench import opened
from tests.run.test_places import submit

root, uri, digest, first, count = sys.argv[1:]
factory = opened(Path(root))
for seed in range(int(first), int(first) + int(count)):
    submit(factory, factory.datasets.open(uri, digest), seed)
"""


def elsewhere(root: Path, dataset: mf.Dataset, first: int, count: int) -> None:
    reference = dataset.reference
    of_dataset = [reference["uri"], reference["digest"]]
    command = [sys.executable, "-c", ELSEWHERE, str(root), *of_dataset, str(first), str(count)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])


def test_who_is_refused_takes_nothing_back_as_it_ends(
    root: Path, published: tuple[Path, mf.Dataset, str]
) -> None:
    """Its log is of the file as it was: moved into what others wrote since, it would undo that."""
    factory = opened(root)
    submit(factory, published[1], 3)
    (root / "ledger.sqlite-wal").unlink()
    (root / "ledger.sqlite-shm").unlink()
    elsewhere(root, published[1], 10, 5)
    assert refused(factory.runs).code == "LEDGER_CORRUPT"
    before = (root / "ledger.sqlite").read_bytes()
    del factory
    gc.collect()
    assert (root / "ledger.sqlite").read_bytes() == before
    assert len(opened(root).runs()) >= 6
    assert opened(root).fsck()["findings"] == []


# Opens and closes a ledger by the SQLite that Python came with, as programs of others do.
ANOTHER_SQLITE = """
import sqlite3, sys
ledger = sqlite3.connect(sys.argv[1])
ledger.execute("SELECT count(*) FROM runs").fetchall()
ledger.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere SQLite's own locks have to do")
def test_a_process_that_reads_the_files_of_a_ledger_it_has_open_loses_nothing(
    root: Path, published: tuple[Path, mf.Dataset, str], tmp_path: Path
) -> None:
    """Closing what was read lets go of SQLite's locks, by which others see that the log is in use."""
    factory = opened(root)
    runs = {submit(factory, published[1], 3).id}
    log = (root / "ledger.sqlite-wal").stat().st_ino
    another = [sys.executable, "-c", ANOTHER_SQLITE, str(root / "ledger.sqlite")]
    shutil.copytree(root, tmp_path / "copy")
    with sqlite3.connect(root / "ledger.sqlite") as ledger:
        ledger.execute("SELECT count(*) FROM runs").fetchall()
    ledger.close()
    for seed in range(10, 13):
        subprocess.run(another, check=True)
        elsewhere(root, published[1], seed, 1)
        runs.add(submit(factory, published[1], seed - 6).id)
    assert (root / "ledger.sqlite-wal").stat().st_ino == log
    ours = {run.id for run in factory.runs()}
    assert runs < ours
    del factory
    gc.collect()
    # Whoever was the last tidies up as ever.
    subprocess.run(another, check=True)
    assert not (root / "ledger.sqlite-wal").exists()
    assert {run.id for run in opened(root).runs()} == ours


def test_a_ledger_whose_log_was_taken_away_is_opened_again(
    root: Path, published: tuple[Path, mf.Dataset, str]
) -> None:
    """Whatever still has the old log is closed, though somebody still has the factory or a run of it."""
    factory = opened(root)
    run = submit(factory, published[1], 3)
    elsewhere(root, published[1], 10, 1)
    (root / "ledger.sqlite-wal").unlink()
    (root / "ledger.sqlite-shm").unlink()
    again = opened(root)
    kept = submit(again, published[1], 4)
    for use in (factory.runs, run.refresh, partial(submit, factory, published[1], 5)):
        failure = refused(use)
        assert (failure.code, failure.retryable) == ("LEDGER_UNAVAILABLE", False)
        assert "Open the factory again" in str(failure.hint)
    del factory, run, use
    gc.collect()
    assert again.runs()[0].id == kept.id
    assert opened(root).runs()[0].id == kept.id


def test_a_root_by_a_link_that_leads_elsewhere_now_is_refused(
    root: Path, published: tuple[Path, mf.Dataset, str], tmp_path: Path
) -> None:
    current = tmp_path / "current"
    current.symlink_to(root)
    factory = opened(current)
    submit(factory, published[1], 3)
    shutil.copytree(root, tmp_path / "second")
    current.unlink()
    current.symlink_to(tmp_path / "second")
    for work in (lambda: submit(factory, published[1], 4), factory.runs):
        assert refused(work).code in {"LEDGER_CORRUPT", "STORE_CORRUPT"}


def test_a_factory_by_a_relative_path_stays_the_one_it_was(
    root: Path, published: tuple[Path, mf.Dataset, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root.parent)
    factory = opened(Path(root.name))
    run = submit(factory, published[1], 3)
    worker = factory.worker()
    monkeypatch.chdir(tmp_path)
    worker.serve(lambda _: worker.stop())
    assert run.refresh().state == "PUBLISHED"


# Opens a factory with ever more files until it opens, and says how it is refused until then.
FEW_FILES = """
import resource, sys
from pathlib import Path

from model_factory.errors import ModelFactoryError
from tests.bench import opened

taken = len(list(Path("/proc/self/fd").iterdir()))
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
for more in range(1, 64):
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken + more, most))
    try:
        factory = opened(Path(sys.argv[1]))
        break
    except ModelFactoryError as failure:
        print(failure.code, failure.retryable)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows what a process has open as files")
def test_who_may_open_too_few_files_is_told_that_it_can_be_tried_again(root: Path) -> None:
    command = [sys.executable, "-c", FEW_FILES, str(root)]
    said = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2]
    ).stdout
    assert "RESOURCE_EXHAUSTED True" in said
    assert "False" not in said


@pytest.mark.skipif(sys.platform != "linux", reason="a fork that shares what its parent had locked")
def test_a_writer_that_is_killed_takes_nothing_with_it_that_a_fork_of_it_would_hold(
    root: Path, published: tuple[Path, mf.Dataset, str]
) -> None:
    reference = published[1].reference
    command = [sys.executable, "-c", FORKED, str(root), reference["uri"], reference["digest"]]
    environment = {**os.environ, "MODEL_FACTORY_FAILPOINT": "ledger_before_commit=kill"}
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[2], env=environment, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        child = int(writer.stdout.readline())
        try:
            assert writer.wait() == -signal.SIGKILL
            assert len(opened(root).runs()) == 1
        finally:
            os.kill(child, signal.SIGKILL)


# Opens the factory, forks a process that does nothing, and asks for a run.
FORKED = """
import os, signal, sys
from pathlib import Path

from tests.bench import opened
from tests.run.test_places import submit

root, uri, digest = sys.argv[1:]
factory = opened(Path(root))
child = os.fork()
if child == 0:
    signal.pause()
print(child, flush=True)
submit(factory, factory.datasets.open(uri, digest), 3)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the locks of others to this test")
def test_a_lock_that_nobody_gives_back_is_not_waited_for_for_ever(root: Path) -> None:
    factory = opened(root)
    with (root / "ledger.sqlite.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Who only reads need not wait.
        assert len(factory.runs()) == 1
        failure = refused(lambda: opened(root))
    assert (failure.code, failure.retryable) == ("LEDGER_UNAVAILABLE", True)
    assert "ledger.sqlite.lock for 10 seconds" in str(failure)
    assert len(opened(root).runs()) == 1


@pytest.mark.parametrize("make", [Path.symlink_to, Path.hardlink_to])
def test_a_ledger_by_a_link_is_refused(
    root: Path, tmp_path: Path, make: Callable[[Path, Path], None]
) -> None:
    link = tmp_path / "link.sqlite"
    make(link, root / "ledger.sqlite")
    failure = refused(lambda: mf.open(root, ledger=str(link)))
    assert (failure.code, failure.retryable) == ("LEDGER_UNAVAILABLE", False)
    assert list(tmp_path.glob("link.sqlite?*")) == []


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
def test_a_ledger_that_was_replaced_is_refused_until_it_is_opened_again(
    root: Path, published: tuple[Path, mf.Dataset, str], tmp_path: Path, end: str
) -> None:
    factory = opened(root)
    replaced(root / f"ledger.sqlite{end}", tmp_path / "aside")
    for work in (lambda: submit(factory, published[1], 3), factory.runs, factory.work):
        assert refused(work).code == "LEDGER_CORRUPT"


def test_objects_that_were_moved_are_away_until_they_are_back(
    root: Path, published: tuple[Path, mf.Dataset, str], tmp_path: Path
) -> None:
    factory = opened(root)
    run = submit(factory, published[1], 3)
    (root / "objects").rename(tmp_path / "moved")
    failure = refused(lambda: factory.work(run.id))
    assert (failure.code, failure.retryable) == ("STORE_UNAVAILABLE", True)
    assert run.refresh().state == "QUEUED"
    (tmp_path / "moved").rename(root / "objects")
    factory.work(run.id)
    assert run.refresh().state == "PUBLISHED"
    assert factory.fsck()["findings"] == []


def test_objects_that_were_replaced_get_nothing_that_is_acknowledged(
    root: Path, published: tuple[Path, mf.Dataset, str], tmp_path: Path
) -> None:
    factory = opened(root)
    run = submit(factory, published[1], 3)
    replaced(root / "objects", tmp_path / "aside")
    before = objects(root)
    uses: list[Callable[[], object]] = [
        lambda: submit(factory, published[1], 4),
        lambda: factory.work(run.id),
        lambda: factory.registry.history("prod/card/primary"),
    ]
    assert {refused(use).code for use in uses} == {"STORE_CORRUPT"}
    assert objects(root) == before
    # Nothing was made of it in the ledger either, and who opens the factory again carries the run on.
    again = opened(root)
    assert again.run(run.id).state == "QUEUED"
    again.work(run.id)
    assert again.run(run.id).state == "PUBLISHED"
    assert again.fsck()["findings"] == []


@pytest.mark.parametrize(
    ("part", "code"), [("objects", "STORE_CORRUPT"), ("ledger.sqlite", "LEDGER_CORRUPT")]
)
def test_a_worker_ends_where_another_stands_in_the_place_of_what_it_has_open(
    root: Path, published: tuple[Path, mf.Dataset, str], part: str, code: str
) -> None:
    factory = opened(root)
    submit(factory, published[1], 3)
    aside = root.with_name("aside")

    def tell(_: mf.News) -> None:
        if not aside.exists():
            replaced(root / part, aside)

    worker = factory.worker()
    # One that does not end fails the test, and does not hang it.
    impatient = threading.Timer(60, worker.stop)
    impatient.start()
    with pytest.raises(ModelFactoryError) as failure:
        worker.serve(tell)
    impatient.cancel()
    assert failure.value.code == code
