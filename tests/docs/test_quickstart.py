"""The quickstart runs as it stands: its Python, and its files and commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

import model_factory as mf
from tests.cli.payments import call

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXT = (DOCS / "quickstart.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, flags=re.DOTALL | re.MULTILINE)


def test_the_quickstart_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(blocks("python")) >= 7
    names: dict[str, object] = {}
    for number, block in enumerate(blocks("python"), 1):
        exec(compile(block, f"quickstart.md, block {number}", "exec"), names)  # noqa: S102 - our own page
    assert (tmp_path / "factory" / "ledger.sqlite").is_file()


def test_its_files_and_commands_come_to_a_published_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    payments = mf.simulate.payments(customers=2_000, terminals=600, days=75, seed=1)
    columns = ("event_id", "time", "customer", "terminal", "amount")
    parquet.write_table(pa.table({name: payments.events[name] for name in columns}), "events.parquet")
    parquet.write_table(pa.table(dict(payments.labels)), "labels.parquet")
    for text in blocks("toml"):
        Path(text.split("\n", 1)[0].removeprefix("# ")).write_text(text, encoding="utf-8")
    before, after = (block.splitlines() for block in blocks("console"))
    (request,) = blocks("json")
    stored = iter(("DATASET", "CONFIG", "PROFILE"))
    for line in before:
        document = answer(line)
        if "reference" in document or "uri" in document:
            name, pinned = next(stored), document.get("reference", document)
            request = request.replace(f"{name}_URI", pinned["uri"]).replace(
                f"{name}_DIGEST", pinned["digest"]
            )
    Path("request.json").write_text(request, encoding="utf-8")
    runs = [answer(line) for line in after][-1]["runs"]
    assert [run["state"] for run in runs] == ["PUBLISHED"]


def answer(line: str) -> dict[str, Any]:
    program, *arguments = shlex.split(line)
    assert program == "model-factory"
    called = call(*arguments, "--json")
    assert called.status == 0, called.out
    return called.document
