"""What the allocator is told as the library is loaded; it prints its options where it is asked to."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

ASKED = {"purge_delay": "10000", "allow_large_os_pages": "1"}


@pytest.mark.skipif(sys.platform != "linux", reason="set on Linux alone")
@pytest.mark.parametrize("said", [{}, {"purge_delay": "50", "allow_large_os_pages": "0"}])
def test_pages_are_kept_and_large_unless_the_environment_says_otherwise(said: dict[str, str]) -> None:
    environment = {f"MIMALLOC_{name.upper()}": value for name, value in said.items()}
    loaded = subprocess.run(
        [sys.executable, "-c", "import model_factory._native"],
        env={**os.environ, **environment, "MIMALLOC_VERBOSE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    printed = dict(re.findall(r"option '(\w+)': (-?\d+)", loaded.stderr))
    assert {name: printed[name] for name in ASKED} == {**ASKED, **said}
