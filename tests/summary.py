"""Runs the project's checks and tests one after the other and adds up what they counted.

    python tests/summary.py lint     every check that runs no test
    python tests/summary.py test     those checks, then every Rust and Python test
    python tests/summary.py truth    published truth on the real input

Every part runs even where an earlier one failed. The last line of ``test`` and ``truth`` is
``N passed, N failed``; a part that fails without having counted a failed test counts as one,
so that the line never says ``0 failed`` of a run that did not pass.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = Path(sys.executable).parent
DEFAULT_TRUTH_DATA = ROOT.parent / "shared" / "data"
RUST_RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed;")


@dataclass(frozen=True)
class Outcome:
    """What one part came to."""

    name: str
    passed: int
    failed: int


def environment() -> dict[str, str]:
    """The caller's environment, with the scripts beside this interpreter found first."""
    return {**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"}


def check(name: str, *command: str) -> Outcome:
    """Runs a check: nothing counted where it passes, one failure where it does not."""
    status = subprocess.run(command, cwd=ROOT, env=environment(), check=False).returncode
    return Outcome(name, 0, int(status != 0))


def cargo_test() -> Outcome:
    """Runs every Rust test, unit, integration and documentation, and adds up cargo's result lines."""
    command = ["cargo", "test", "--workspace", "--locked", "--no-fail-fast", "--", "--quiet"]
    passed = failed = 0
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if result := RUST_RESULT.match(line):
                passed += int(result[1])
                failed += int(result[2])
            if line.strip() and not line.startswith("running 0 tests"):
                sys.stdout.write(line)
    return Outcome("cargo test", passed, failed or int(process.returncode != 0))


def pytest(*arguments: str) -> Outcome:
    """Runs pytest with these arguments and reads its counts from the report that it writes."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *arguments]
        status = subprocess.run(command, cwd=ROOT, env=environment(), check=False).returncode
        passed, failed = read_report(report) if report.exists() else (0, 0)
    return Outcome("pytest", passed, failed or int(status != 0))


def read_report(report: Path) -> tuple[int, int]:
    """Passed and failed tests of a JUnit report; an error in a fixture is a failure, a skip is neither."""
    passed = failed = 0
    for suite in ET.parse(report).getroot().iter("testsuite"):
        bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        failed += bad
        passed += int(suite.get("tests", 0)) - bad - int(suite.get("skipped", 0))
    return passed, failed


LINTS: list[tuple[str, ...]] = [
    ("rustfmt", "cargo", "fmt", "--all", "--check"),
    ("clippy", "cargo", "clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"),
    ("ruff check", sys.executable, "-m", "ruff", "check", "--quiet"),
    ("ruff format", sys.executable, "-m", "ruff", "format", "--quiet", "--check"),
    ("mypy", sys.executable, "-m", "mypy"),
    ("stubtest", sys.executable, "-m", "mypy.stubtest", "--concise", "model_factory._native"),
]


def run(parts: list[tuple[str, Callable[[], Outcome]]]) -> list[Outcome]:
    """Runs each part under its heading."""
    outcomes = []
    for name, part in parts:
        sys.stdout.write(f"── {name}\n")
        sys.stdout.flush()
        outcomes.append(part())
    return outcomes


def lints() -> list[Outcome]:
    """Every check that runs no test."""
    return run([(name, partial(check, name, *command)) for name, *command in LINTS])


def truth() -> list[Outcome]:
    """The truth tests, or none, saying so by name, where the real input is not at hand."""
    stated = os.environ.get("MODEL_FACTORY_TRUTH_DATA")
    data = Path(stated or DEFAULT_TRUTH_DATA).resolve()
    if not data.is_dir():
        if stated:
            sys.stdout.write("MODEL_FACTORY_TRUTH_DATA names no folder\n")
            return [Outcome("truth", 0, 1)]
        sys.stdout.write("truth skipped: ../shared/data is absent (MODEL_FACTORY_TRUTH_DATA names another)\n")
        return []
    os.environ["MODEL_FACTORY_TRUTH_DATA"] = str(data)
    return run([("truth", partial(pytest, "-m", "truth"))])


def main(suite: str) -> int:
    """Runs a suite, says which parts failed and prints the sum last."""
    match suite:
        case "lint":
            outcomes = lints()
        case "test":
            outcomes = lints() + run([("cargo test", cargo_test), ("pytest", pytest)])
        case "truth":
            outcomes = truth()
        case _:
            sys.exit(__doc__)
    for outcome in outcomes:
        if outcome.failed:
            sys.stdout.write(f"FAILED: {outcome.name}\n")
    failed = sum(outcome.failed for outcome in outcomes)
    if suite != "lint":
        sys.stdout.write(f"{sum(outcome.passed for outcome in outcomes)} passed, {failed} failed\n")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) == 2 else ""))
