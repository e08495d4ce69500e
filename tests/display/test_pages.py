"""Pages: everything that a document holds is there, and nothing in it becomes markup."""

from __future__ import annotations

import copy
from html.parser import HTMLParser
from typing import Any

import pytest

import model_factory as mf
from model_factory import display
from model_factory._display import Receipt, Report
from model_factory.datasets import Datasets
from model_factory.display import markup, plot
from tests.cli.payments import build

Attributes = list[tuple[str, str | None]]

HOSTILE = '"><script>alert(1)</script><img src=x onerror="y">&'
# Words that a document's schema fixes; everything else may be anything.
FIXED = {"kind", "split", "comparison", "judged_on", "verdict", "decision", "reason", "aggregate"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> mf.Run:
    return build(tmp_path_factory.mktemp("display")).train()


@pytest.fixture(scope="module")
def bundle(run: mf.Run) -> mf.Bundle:
    return run.publish()


@pytest.fixture(scope="module")
def dataset(run: mf.Run) -> mf.Dataset:
    return Datasets(run._context).open(**run.request["dataset_manifests"][0])


def _report(run: mf.Run) -> Report:
    assert run.report is not None
    return run.report


def _receipt(run: mf.Run) -> Receipt:
    assert run.receipt is not None
    return run.receipt


class Reader(HTMLParser):
    """Counts what is opened and closed, and collects the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        self.tags.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Attributes) -> None:
        self.tags.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(html: str) -> str:
    """Read well-formed HTML; no script and nothing from outside is in it."""
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    assert not reader.tags & {"script", "img", "link", "iframe", "object"}
    return "".join(reader.text)


def hostile(value: Any, name: str = "") -> Any:
    """The same document with every free text hostile, names of mappings too."""
    if isinstance(value, dict):
        return {key: hostile(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [hostile(inner, name) for inner in value]
    return HOSTILE if isinstance(value, str) and name not in FIXED else value


def test_every_metric_of_every_window_and_slice_is_on_the_page(run: mf.Run) -> None:
    html = display.report_html(_report(run))
    read(html)
    for split in _report(run)["splits"]:
        groups = [split, *split["slices"]]
        for name, estimate in ((name, each) for group in groups for name, each in group["metrics"].items()):
            assert f'title="{name}"' in html
            assert markup.number(estimate["value"]) in html
            if estimate["lower"] is not None:
                assert f"{markup.number(estimate['lower'])} … {markup.number(estimate['upper'])}" in html


def test_curves_have_axes_and_the_rest_has_its_tables(run: mf.Run) -> None:
    html = display.report_html(_report(run))
    text = read(html)
    for label in (
        "false positive rate",
        "true positive rate",
        "recall",
        "precision",
        "mean score",
        "observed rate",
    ):
        assert f">{label}</text>" in html
    for title in (
        "ROC",
        "Precision and recall",
        "Reliability",
        "Thresholds",
        "Slices",
        "Drift from train to test",
    ):
        assert title in text
    for row in _report(run)["drift"]:
        assert row["name"] in text
    for check in _report(run)["leakage_audit"]:
        assert check["guard"] in text
    assert "below 50" in text
    assert "from 50" in text


def test_a_run_s_page_shows_verdict_criteria_and_stage_times(run: mf.Run) -> None:
    text = read(run._repr_html_())
    assert run.id in text
    for result in _receipt(run)["criteria"]:
        assert result["criterion"]["name"] in text
    assert "roc_auc, lower bound (test, amount group 1)" in text
    assert "PASS" in text
    assert "Stage times" in text


def test_documents_show_themselves(run: mf.Run, bundle: mf.Bundle, dataset: mf.Dataset) -> None:
    text = read(dataset._repr_html_())
    assert dataset.id in text
    assert "mean of amount by customer over 7d" in text
    assert "rate by terminal over 30d, ending 1d before" in text
    text = read(bundle._repr_html_())
    assert bundle.id in text
    assert all(column["name"] in text for column in bundle.document["input_schema"])
    assert "What the verdict rests on" in read(_receipt(run)._repr_html_())


def test_no_text_of_a_document_becomes_markup(run: mf.Run, bundle: mf.Bundle, dataset: mf.Dataset) -> None:
    report, receipt = hostile(_report(run)), hostile(_receipt(run))
    for split in report["splits"]:
        split["metrics"][HOSTILE] = {"value": 0.5, "lower": None, "upper": None}
    pages = [
        display.report_html(report),
        display.receipt_html(receipt),
        display.bundle_html(hostile(bundle.document)),
        display.dataset_html(hostile(dataset.manifest)),
        display.page(HOSTILE),
        plot.draw(HOSTILE, plot.Axis(HOSTILE, 0, 1), plot.Axis(HOSTILE, 0, 1), [], note=HOSTILE),
    ]
    for html in pages:
        read(html)
        assert "<script" not in html
        assert "alert(1)" in html


def test_what_is_not_defined_is_a_dash(run: mf.Run) -> None:
    report = copy.deepcopy(dict(_report(run)))
    for split in report["splits"]:
        for estimates in (split["metrics"], *(group["metrics"] for group in split["slices"])):
            for name in estimates:
                estimates[name] = {"value": None, "lower": None, "upper": None}
        for name in (
            "roc_curve",
            "precision_recall_curve",
            "reliability",
            "capacity",
            "slices",
            "thresholds",
        ):
            split[name] = []
    for name in ("drift", "stability", "leakage_audit"):
        report[name] = []
    assert markup.DASH in read(display.report_html(report))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (0.0, "0"),
        (0.5, "0.5000"),
        (0.00123456, "0.001235"),
        (1.0, "1.000"),
        (123.456, "123.5"),
        (99999.9, "100,000"),
        (1e-9, "1e-09"),
        (-0.25, "-0.2500"),
        (2.5e7, "2.5e+07"),
    ],
)
def test_numbers(value: Any, shown: str) -> None:
    assert markup.number(value) == shown


def test_ticks_are_round_and_inside() -> None:
    axis = plot.scale("x", [0.0012, 0.0371])
    assert (axis.low, axis.high) == (0.0, 0.04)
    assert plot.Axis("x", 0.0, 1.0).ticks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert plot.scale("x", []).high == 1.0
    assert plot.scale("x", [3.0, 3.0], from_zero=False).low <= 3.0


def test_points_that_are_not_finite_are_left_out() -> None:
    svg = plot.draw(
        "t", plot.Axis("x", 0, 1), plot.Axis("y", 0, 1), [plot.Line([(0, 0), (float("nan"), 1), (1, 1)])]
    )
    assert "nan" not in svg
