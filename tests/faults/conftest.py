"""The backends, for the suites at a small size."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.places import Backend, Folders, Servers, backends


@pytest.fixture(scope="session")
def found() -> Iterator[dict[str, Backend]]:
    with backends() as each:
        yield {backend.name: backend for backend in each}


@pytest.fixture
def local(found: dict[str, Backend]) -> Folders:
    backend = found["local"]
    assert isinstance(backend, Folders)
    return backend


@pytest.fixture
def servers(found: dict[str, Backend]) -> Servers:
    backend = found.get("servers")
    if not isinstance(backend, Servers):
        pytest.skip("no PostgreSQL (initdb) or no moto on this machine")
    return backend
