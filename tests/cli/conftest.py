from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.payments import Place, build, call


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A dataset and nothing else; shared, so that a test may add to it but takes nothing away."""
    return build(tmp_path_factory.mktemp("built"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A root of the test's own."""
    return build(tmp_path)


@pytest.fixture
def serving(place: Place) -> Place:
    """A root of the test's own, whose scope has an ACTIVE bundle."""
    bundle = place.train(publish=True).publish()
    act = ("--actor", "alice", "--reason", "test", "--root", place.root)
    assert call("promote", bundle.id, *act).status == 0
    return place
