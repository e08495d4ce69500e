"""The closing line of ``make test`` tells the truth about a run that failed, however it failed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import summary
from tests.summary import Outcome


def outcomes(monkeypatch: pytest.MonkeyPatch, *parts: Outcome) -> None:
    """Lets the suite `truth` come to these outcomes."""
    monkeypatch.setattr(summary, "truth", lambda: list(parts))


def test_counts_are_added(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes(monkeypatch, Outcome("a", 3, 0), Outcome("b", 4, 0))
    assert summary.main("truth") == 0
    assert capsys.readouterr().out == "7 passed, 0 failed\n"


def test_a_failure_is_named_and_fails_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes(monkeypatch, Outcome("a", 3, 0), Outcome("b", 0, 1))
    assert summary.main("truth") == 1
    assert capsys.readouterr().out == "FAILED: b\n3 passed, 1 failed\n"


@pytest.mark.parametrize(("program", "failed"), [("pass", 0), ("raise SystemExit(3)", 1)])
def test_a_check_that_fails_counts_as_one(program: str, failed: int) -> None:
    assert summary.check("probe", sys.executable, "-c", program) == Outcome("probe", 0, failed)


def test_errors_are_failures_and_skips_are_neither(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite tests="10" failures="2" errors="1" skipped="3"/></testsuites>',
        encoding="utf-8",
    )
    assert summary.read_report(report) == (4, 3)


def test_a_pytest_that_finds_no_test_has_failed(tmp_path: Path) -> None:
    assert summary.pytest(str(tmp_path)) == Outcome("pytest", 0, 1)


def test_cargo_results_are_read() -> None:
    line = (
        "test result: FAILED. 5 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n"
    )
    result = summary.RUST_RESULT.match(line)
    assert result is not None
    assert result.groups() == ("5", "2")


def test_truth_is_skipped_by_name_where_the_input_is_absent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("MODEL_FACTORY_TRUTH_DATA", raising=False)
    monkeypatch.setattr(summary, "DEFAULT_TRUTH_DATA", tmp_path / "absent")
    assert summary.main("truth") == 0
    assert "truth skipped: ../shared/data is absent" in capsys.readouterr().out


def test_stated_truth_that_is_absent_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MODEL_FACTORY_TRUTH_DATA", str(tmp_path / "absent"))
    assert summary.main("truth") == 1
