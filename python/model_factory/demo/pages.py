"""The demo's page: the run with its curves, beside the baseline and the dataset, in one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model_factory import display
from model_factory.display import markup
from model_factory.display.report import words

if TYPE_CHECKING:
    from model_factory.demo.outcome import Outcome
    from model_factory.demo.sources import Source

__all__ = ["report"]

HIGHEST = 10


def report(outcome: Outcome, source: Source) -> str:
    """Give the page as an HTML document."""
    return display.page(
        "From payments to an active model",
        markup.fragment(f"<p>{markup.escape(source.told)}.</p>"),
        display.run_html(outcome.run),
        markup.fragment(_compared(outcome), _scored(outcome)),
        display.dataset_html(outcome.dataset.manifest),
    )


def _compared(outcome: Outcome) -> str:
    runs = (outcome.baseline, outcome.run)
    names = [name for name in outcome.run.metrics if name in outcome.baseline.metrics]
    rows = [
        [markup.escape(words(name)), *(markup.number(run.metrics[name]) for run in runs)] for name in names
    ]
    rows.append(["gate", *(markup.badge(run.gate) for run in runs)])
    head = ["metric (test window)", "logistic regression", "gradient boosting"]
    return markup.section("Model and baseline", markup.table(head, rows))


def _scored(outcome: Outcome) -> str:
    if outcome.scores is None or outcome.bundle is None:
        return ""
    highest = sorted((float(score) for score in outcome.scores), reverse=True)[:HIGHEST]
    shown = ", ".join(markup.number(score, 3) for score in highest)
    told = f"{outcome.scores.size:,} payments scored with {markup.short(outcome.bundle.id)}"
    return markup.section("Today", f"<p>{told}; the highest: {shown}.</p>")
