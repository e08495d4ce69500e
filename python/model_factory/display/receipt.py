"""The gate's verdict: a ``GateReceipt`` as HTML, each criterion with what was observed and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from model_factory.display.markup import (
    badge,
    between,
    definitions,
    escape,
    fold,
    fragment,
    number,
    section,
    short,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SIGNS", "receipt_html", "receipt_parts", "subject"]

SIGNS = {"at_least": "≥", "at_most": "≤"}
BOUNDS = {"point": "", "lower_bound": ", lower bound", "upper_bound": ", upper bound"}


def receipt_html(receipt: Mapping[str, Any]) -> str:
    """Show a ``GateReceipt`` as HTML for a notebook's cell."""
    heading = (
        f"<h2>Gate {badge(receipt['decision'])}</h2><p class='quiet'>run {short(receipt['train_run_id'])}</p>"
    )
    return fragment(heading, receipt_parts(receipt))


def receipt_parts(receipt: Mapping[str, Any], report: Mapping[str, Any] | None = None) -> str:
    """Give the criteria, the comparison with the champion, and what the verdict rests on.

    The ``report`` that was judged, where it is at hand, says which values a group of a slice holds.
    """
    head = ["criterion", "judged", "asked", "observed", "verdict", ""]
    rows = [_criterion(result, report) for result in receipt["criteria"]]
    names = ("eval_report", "governance_profile", "model", "train_run_key")
    evidence = definitions((name.replace("_", " "), short(receipt[name])) for name in names)
    criteria = section("Gate criteria", table(head, rows, texts=2))
    return criteria + _champion(receipt.get("champion")) + fold("What the verdict rests on", evidence)


def _criterion(result: Mapping[str, Any], report: Mapping[str, Any] | None) -> list[str]:
    criterion = result["criterion"]
    asked = f"{SIGNS[criterion['comparison']]} {criterion['threshold']:g}"
    reason = "" if result["reason"] == "MET" else escape(result["reason"])
    judged = escape(subject(criterion, result.get("group"), report))
    return [
        escape(criterion["name"]),
        judged,
        asked,
        number(result.get("observed")),
        badge(result["verdict"]),
        reason,
    ]


def subject(criterion: Mapping[str, Any], group: int | None, report: Mapping[str, Any] | None) -> str:
    """Say what a criterion judges: metric, bound, window and group; of a group its values, by the report."""
    where = criterion.get("split", "test")
    chosen = criterion.get("slice")
    if chosen is not None:
        place = group if group is not None else chosen.get("group")
        where += f", {chosen['column']}" + ("" if place is None else f" {_group(report, chosen, place)}")
    return f"{criterion['metric']}{BOUNDS[criterion.get('judged_on', 'point')]} ({where})"


def _group(report: Mapping[str, Any] | None, chosen: Mapping[str, Any], place: int) -> str:
    for split in () if report is None else report["splits"]:
        for group in split["slices"]:
            if (group["column"], group["group"]) == (chosen["column"], place):
                return between(group.get("lower"), group.get("upper"))
    return f"group {place}"


def _champion(champion: Mapping[str, Any] | None) -> str:
    if champion is None:
        return ""
    name = champion.get("champion")
    rows = [
        ("champion", short(name) if name else "none is active yet"),
        ("metric", escape(champion["metric"])),
        ("candidate", number(champion.get("candidate_value"))),
        ("champion's value", number(champion.get("champion_value"))),
        ("least improvement", number(champion["min_improvement"])),
        ("verdict", badge(champion["verdict"])),
    ]
    return section("Against the champion", definitions(rows))
