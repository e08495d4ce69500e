"""A run from its request to its verdict on one page: state, report, gate, bundle and stage times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from model_factory.display.bundle import bundle_parts, scope_text
from model_factory.display.markup import badge, count, definitions, escape, fold, fragment, number, short
from model_factory.display.receipt import receipt_parts
from model_factory.display.report import detail_parts, overview_parts

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["run_html"]


class Run(Protocol):
    """What is shown of a run; ``model_factory.runs.Run`` says what each is."""

    @property
    def id(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def request(self) -> Mapping[str, Any]: ...
    @property
    def report(self) -> Mapping[str, Any] | None: ...
    @property
    def receipt(self) -> Mapping[str, Any] | None: ...
    @property
    def bundle(self) -> Mapping[str, Any] | None: ...
    @property
    def measurements(self) -> Mapping[str, Any] | None: ...


def run_html(run: Run) -> str:
    """Show a run as HTML for a notebook's cell or a page."""
    report, receipt = run.report, run.receipt
    parts = [
        _heading(run),
        "" if report is None else overview_parts(report),
        "" if receipt is None else receipt_parts(receipt),
        "" if report is None else detail_parts(report),
    ]
    if run.bundle is not None:
        parts.append(fold(f"Bundle {run.bundle['bundle_id']}", bundle_parts(run.bundle)))
    if run.measurements is not None:
        parts.append(fold("Stage times", _measured(run.measurements)))
    return fragment(*parts)


def _heading(run: Run) -> str:
    receipt = run.receipt
    verdict = "" if receipt is None else f" {badge(receipt['decision'])}"
    state = "" if receipt is not None and run.state == receipt["decision"] else f" {badge(run.state)}"
    reason = "" if run.reason is None else f" because of <code>{escape(run.reason)}</code>"
    request = run.request
    told = f"{escape(scope_text(request))}, {escape(request['intent_kind'].replace('_', ' '))}{reason}"
    return f"<h2>Run {short(run.id)}{verdict}{state}</h2><p class='quiet'>{told}</p>"


def _measured(measurements: Mapping[str, Any]) -> str:
    stages = measurements["stage_seconds"].items()
    pairs = [(stage, f"{number(seconds, 3)} s") for stage, seconds in stages]
    alone = measurements.get("score_one_row_microseconds")
    together = measurements.get("score_rows_per_second")
    if alone is not None:
        pairs.append(("one row scored alone", f"{number(alone, 3)} µs"))
    if together is not None:
        pairs.append(("rows scored at once", f"{count(round(together))} a second"))
    return definitions([*pairs, ("threads", count(measurements["threads"]))])
