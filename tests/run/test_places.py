"""What is open is moved, deleted or replaced: nothing is acknowledged that nobody would find at its place."""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
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
        shutil.copytree(path, copy)
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


def test_a_copy_that_a_process_makes_of_a_ledger_it_has_open_costs_nothing(
    root: Path, published: tuple[Path, mf.Dataset, str], tmp_path: Path
) -> None:
    """Closing what was copied lets go of its locks: who closes the ledger elsewhere tidies its log up."""
    factory = opened(root)
    submit(factory, published[1], 3)
    shutil.copytree(root, tmp_path / "copy")
    elsewhere(root, published[1], 10, 1)
    for use in (factory.runs, lambda: opened(root)):
        failure = refused(use)
        assert (failure.code, failure.retryable) == ("LEDGER_UNAVAILABLE", False)
        assert "Close every factory on this ledger in this process" in str(failure.hint)
    del factory
    gc.collect()
    again = opened(root)
    assert len(again.runs()) == 3
    submit(again, published[1], 4)
    assert again.fsck()["findings"] == []


def test_a_ledger_by_a_link_is_refused(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.sqlite"
    link.symlink_to(root / "ledger.sqlite")
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
