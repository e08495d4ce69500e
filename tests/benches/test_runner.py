"""The benchmarks' plumbing on tiny data: taking turns, failing on wrong results, the form of results."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benches import data, run, scores
from benches.protocol import Contestant, Outcome, Timing, WrongResultError, race


def tiny(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    positive = np.arange(rows) % 10 == 0
    return positive, np.round(random.uniform(0.0, 0.7, rows) + 0.3 * positive, 2)


def test_contestants_take_turns_and_a_hopeless_peer_leaves() -> None:
    said: list[str] = []

    def say(name: str) -> str:
        said.append(name)
        return name

    names = ("ours", "quick", "hopeless")
    outcome, results = race(
        [Contestant(name, partial(say, name), share=1e-9 if name == "hopeless" else 1.0) for name in names],
        rounds=3,
    )
    assert said == ["ours", "quick", "hopeless", "quick", "ours", "ours", "quick"]
    assert results == {name: name for name in names}
    assert [len(each.seconds) for each in (outcome.ours, *outcome.peers)] == [3, 3, 1]
    assert outcome.fastest.name == "quick"


def test_a_benchmark_comes_out_as_json_and_markdown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(data, "scores", tiny)
    monkeypatch.setattr(scores, "ROWS", 500)
    monkeypatch.setattr(run, "OUTPUT", tmp_path)
    (outcome,) = run.measure("metrics", 1)
    run.write([run.Result("metrics", 1, outcome)], "tiny payments")
    (record,) = json.loads((tmp_path / "results.json").read_text())
    assert list(record) == [
        "name", "threads", "ours_s", "peer", "peer_s", "ratio", "quality", "peer_quality",
    ]  # fmt: skip
    assert record["name"] == "metrics"
    assert record["peer"] == "scikit-learn"
    assert record["ratio"] == pytest.approx(record["ours_s"] / record["peer_s"])
    assert record["quality"] <= 1e-12
    written = (tmp_path / "results.md").read_text()
    assert "| metrics | 1 |" in written
    assert "tiny payments" in written


def test_a_wrong_result_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "scores", tiny)
    monkeypatch.setattr(scores, "ROWS", 500)
    monkeypatch.setattr("model_factory.metrics.roc_auc_score", lambda *_: 0.5)
    with pytest.raises(WrongResultError):
        run.measure("metrics", 1)


def test_the_ratio_is_of_medians_and_its_spread_within_rounds() -> None:
    outcome = Outcome(Timing("ours", [1.0, 2.0, 3.0]), [Timing("peer", [4.0, 4.0, 2.0])])
    assert outcome.ratio(outcome.fastest) == (0.5, 0.25, 1.5)
