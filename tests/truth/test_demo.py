"""The demo on the real input: the same to the last digest, whatever the threads and wherever the folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.truth, pytest.mark.timeout(900)]

SAME = (
    "train_run_id",
    "dataset_manifest_id",
    "model_digest",
    "eval_report_digest",
    "bundle_id",
    "bundle_version",
)


def demo(data: Path, root: Path, threads: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "model_factory.cli", "demo", "--json"]
    options = ["--data", str(data), "--root", str(root), "--threads", str(threads)]
    done = subprocess.run(command + options, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def test_threads_and_folders_do_not_show(data: Path, tmp_path: Path) -> None:
    one = demo(data, tmp_path / "one", threads=1)
    two = demo(data, tmp_path / "another name" / "deeper", threads=2)
    assert {name: one[name] for name in SAME} == {name: two[name] for name in SAME}
    assert (one["gate"], one["metrics"]) == (two["gate"], two["metrics"])
    assert one["gate"] == "PASS"
    assert one["metrics"]["average_precision"] >= 0.65
    assert set(one["seconds"]) >= {"build", "train", "evaluate"}
