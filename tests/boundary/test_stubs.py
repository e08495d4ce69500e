"""The stub says what the native module is: types, arguments, defaults, names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.boundary.workspace import ROOT


def stubtest(cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy.stubtest", "--concise", "model_factory._native"]
    return subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)


def test_the_stub_is_the_module() -> None:
    answer = stubtest(ROOT)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_importing_costs_next_to_nothing() -> None:
    # Counted in modules rather than in time, which a busy machine would stretch: numpy alone has hundreds.
    program = "import sys, model_factory; print(len(sys.modules), 'numpy' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    modules, with_numpy = answer.stdout.split()
    assert with_numpy == "False"
    assert int(modules) < 150
