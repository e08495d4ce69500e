"""One moto server for all tests of the store, each of which has a prefix of its own."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import model_factory as mf
from tests.bench import built, copied, opened, published
from tests.store.servers import BUCKET, Server, in_ci, moto

__all__ = ["built", "copied", "published"]

Open = Callable[..., mf.Factory]

_PREFIXES = itertools.count(1)


@pytest.fixture(scope="session")
def s3() -> Iterator[Server]:
    """A server that is as S3 is: required in CI, skipped by name for who has none."""
    if importlib.util.find_spec("moto") is None and not in_ci():
        pytest.skip("moto is not installed: pip install -r requirements-dev.txt")
    with moto() as server:
        yield server


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test has; with the characters that keys may have beside letters."""
    return f"a.b/c_d=e:f-{next(_PREFIXES)}"


@pytest.fixture
def connect(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, published: tuple[Path, mf.Dataset, str], prefix: str
) -> Open:
    """Open the factory of a server: ledger in the test's folder, keys of the published factory."""

    def connect(server: Server, **more: Any) -> mf.Factory:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        arguments = {"ledger": tmp_path / "ledger.sqlite", "keys": published[0] / "keys"}
        return opened(f"s3://{BUCKET}/{prefix}", **(arguments | more))

    return connect
