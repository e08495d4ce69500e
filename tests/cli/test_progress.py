"""Progress: three words to whoever listens, a bar on a terminal, silence elsewhere."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

import model_factory as mf
from model_factory import _progress
from model_factory._progress import NotebookBar, TerminalBar, reporting
from tests.cli.payments import CONFIG, SCOPE, Place, governance


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_every_long_call_tells_its_stage_and_steps(place: Place) -> None:
    told = []
    factory = mf.open(place.root, progress=lambda stage, done, total: told.append((stage, done, total)))
    dataset = factory.datasets.open(**place.dataset["reference"])
    run = factory.train(dataset, config=CONFIG, governance=governance(), scope=SCOPE)
    bundle = run.publish()
    factory.verify(bundle)
    factory.rebuild(bundle)
    stages = {stage for stage, _, _ in told}
    assert {"verify", "rebuild"} <= stages
    assert stages <= {
        "build",
        "resolve",
        "guard",
        "train",
        "evaluate",
        "gate",
        "publish",
        "verify",
        "rebuild",
    }
    assert all(isinstance(count, int) for _, done, total in told for count in (done, total))


def test_what_a_listener_raises_stops_the_work(place: Place) -> None:
    def stop(_stage: str, _done: int, _total: int) -> None:
        message = "enough"
        raise RuntimeError(message)

    factory = mf.open(place.root, progress=stop)
    dataset = factory.datasets.open(**place.dataset["reference"])
    with pytest.raises(RuntimeError, match="enough"):
        factory.train(dataset, config=CONFIG, governance=governance(), scope=SCOPE)


def test_a_bar_is_drawn_on_a_terminal_and_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with reporting(None) as report:
        assert isinstance(report, TerminalBar)
        report("train", 1, 4)
        report("train", 0, 4)
        drawn = terminal.getvalue()
    assert drawn.count(" 25 %") == 2, "a bar never goes back"
    assert "train" in drawn
    assert "\n" not in terminal.getvalue()
    assert terminal.getvalue().endswith(_progress.ERASE)


def test_nothing_is_drawn_where_there_is_no_terminal_or_it_is_not_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with reporting(None) as report:
        assert report is None
    monkeypatch.setattr(sys, "stderr", Terminal())
    with reporting(False) as report:
        assert report is None
    monkeypatch.setattr(sys, "stderr", None)
    with reporting(None) as report:
        assert report is None


def test_a_bar_is_wiped_when_the_work_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    def fail() -> None:
        with reporting(None) as report:
            assert report is not None
            report("guard", 0, 0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert terminal.getvalue().endswith(_progress.ERASE)


def test_a_notebook_s_bar_is_html_and_goes_away() -> None:
    shown = []

    class Handle:
        def update(self, html: Any) -> None:
            shown.append(html.data)

    bar = NotebookBar()
    bar._handle = Handle()
    bar("train", 1, 2)
    bar.close()
    assert "<progress max='1' value='0.500'>" in shown[0]
    assert shown[-1] == ""
