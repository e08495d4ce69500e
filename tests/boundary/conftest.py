"""The workspace as cargo sees it, asked for once."""

from __future__ import annotations

import pytest

from tests.boundary.workspace import Workspace


@pytest.fixture(scope="session")
def workspace() -> Workspace:
    return Workspace()
