from __future__ import annotations

import pytest

from tests.cli.payments import Place, build


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A dataset and nothing else; shared, so that a test may add to it but takes nothing away."""
    return build(tmp_path_factory.mktemp("built"))


@pytest.fixture
def place(tmp_path) -> Place:
    """A root of the test's own."""
    return build(tmp_path)
