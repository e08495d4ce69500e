"""How good a model is, on one page: an ``EvalReport`` as HTML with inline SVG curves.

The document flows in as a mapping, HTML flows out. Invariant: every metric of every window and of every group
is on the page; what is long is folded, never left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from model_factory.display import plot
from model_factory.display.markup import (
    DASH,
    beside,
    between,
    count,
    definitions,
    escape,
    fold,
    fragment,
    interval,
    number,
    section,
    short,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["detail_parts", "overview_parts", "report_html", "words"]

HEADLINES = ("average_precision", "roc_auc", "brier")
RATE = plot.Axis("", 0.0, 1.0)
MOST_BARS = 60


def report_html(report: Mapping[str, Any]) -> str:
    """Show an ``EvalReport`` as HTML for a notebook's cell."""
    heading = f"<h2>Evaluation</h2><p class='quiet'>run {short(report['train_run_id'])}</p>"
    return fragment(heading, overview_parts(report), detail_parts(report))


def overview_parts(report: Mapping[str, Any]) -> str:
    """Give what is looked at first: the judged window's main metrics and its curves."""
    judged = _judged(report["splits"])
    return tiles(judged["metrics"]) + _plots(judged, report["stability"])


def detail_parts(report: Mapping[str, Any]) -> str:
    """Give everything else, the judged window first."""
    judged = _judged(report["splits"])
    others = [split for split in report["splits"] if split is not judged]
    folded = [
        fold(f"Window {other['split']}", _plots(other, []) + _slices(other["slices"])) for other in others
    ]
    parts = [
        _rows(report),
        section("Metrics", _metrics([judged, *others], report)),
        section("Slices", _slices(judged["slices"])),
        section("Thresholds", _thresholds(judged["thresholds"])),
        section("Drift from train to test", _drift(report["drift"])),
        fold("Day by day", _days(judged["capacity"], report["stability"])),
        *folded,
        fold("Leakage audit", _audit(report)),
    ]
    return "".join(parts)


def tiles(metrics: Mapping[str, Any]) -> str:
    """Give the metrics that matter most, large."""
    names = [name for name in HEADLINES if name in metrics]
    names += [name for name in metrics if name.startswith(("capacity_precision", "recall_at_fpr"))][:2]
    return f'<div class="tiles">{"".join(_tile(name, metrics[name]) for name in names)}</div>'


def _tile(name: str, estimate: Mapping[str, float | None]) -> str:
    lower, upper = estimate.get("lower"), estimate.get("upper")
    known = lower is not None and upper is not None
    span = f"{number(lower)} … {number(upper)}" if known else "&nbsp;"
    title, value = escape(words(name)), number(estimate.get("value"))
    return f'<div class="tile"><span>{title}</span><b>{value}</b><span>{span}</span></div>'


def words(name: str) -> str:
    """Give a metric's name as people say it."""
    spoken = {"roc_auc": "ROC AUC", "brier": "Brier score"}
    if name in spoken:
        return spoken[name]
    for part, said in (("_at_fpr_", " at FPR "), ("_at_k_", "@"), ("_at_threshold_", " ≥ "), ("f1", "F1")):
        name = name.replace(part, said)
    return name.replace("_", " ")


def _judged(splits: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return next((split for split in splits if split["split"] == "test"), splits[-1])


def _rows(report: Mapping[str, Any]) -> str:
    def row(split: Mapping[str, Any]) -> list[str]:
        rows = split["rows"]
        share = rows["positive"] / rows["rows"] if rows["rows"] else None
        left_out = [count(rows["unknown_label"]), count(rows["known_positive"])]
        return [
            escape(split["split"]),
            count(rows["rows"]),
            count(rows["positive"]),
            _percent(share),
            *left_out,
        ]

    head = ["window", "rows", "positive", "share", "left out: label unknown", "left out: known positive"]
    return section("Rows", table(head, [row(split) for split in report["splits"]]))


def _percent(share: float | None) -> str:
    return DASH if share is None else f"{100 * share:.2f} %"


def _plots(split: Mapping[str, Any], stability: Sequence[Mapping[str, Any]]) -> str:
    plots = [_roc(split), _precision_recall(split), _reliability(split)]
    if 0 < len(split["capacity"]) <= MOST_BARS:
        plots.append(_capacity(split["capacity"]))
    if len(stability) > 1:
        plots.append(_stability(stability))
    return f'<div class="plots">{"".join(f"<figure>{drawn}</figure>" for drawn in plots if drawn)}</div>'


def _named(label: str) -> plot.Axis:
    return plot.Axis(label, RATE.low, RATE.high)


def _value(split: Mapping[str, Any], metric: str, name: str) -> str:
    return f"{name} {number(split['metrics'].get(metric, {}).get('value'), 3)}"


def _roc(split: Mapping[str, Any]) -> str:
    points = [(point["false_positive_rate"], point["true_positive_rate"]) for point in split["roc_curve"]]
    marks = [plot.Line([(0, 0), (1, 1)], "currentColor", dashed=True), plot.Line(points)]
    across, up = _named("false positive rate"), _named("true positive rate")
    return plot.draw("ROC", across, up, marks, note=_value(split, "roc_auc", "AUC")) if points else ""


def _precision_recall(split: Mapping[str, Any]) -> str:
    points = [(point["recall"], point["precision"]) for point in split["precision_recall_curve"]]
    rows = split["rows"]
    base = rows["positive"] / rows["rows"] if rows["rows"] else 0.0
    marks = [
        plot.Line([(0, base), (1, base)], "currentColor", dashed=True),
        plot.Line(points, "var(--orange)"),
    ]
    note = _value(split, "average_precision", "AP")
    across, up = _named("recall"), _named("precision")
    return plot.draw("Precision and recall", across, up, marks, note=note) if points else ""


def _reliability(split: Mapping[str, Any]) -> str:
    points = [(each["mean_score"], each["observed_rate"]) for each in split["reliability"]]
    if not points:
        return ""
    both = plot.scale("mean score", [value for point in points for value in point])
    up = plot.Axis("observed rate", both.low, both.high)
    ideal = plot.Line([(0, 0), (both.high, both.high)], "currentColor", dashed=True)
    note = _value(split, "calibration_error", "error")
    marked = plot.Line(points, "var(--green)", marked=True)
    return plot.draw("Reliability", both, up, [ideal, marked], note=note)


def _capacity(days: Sequence[Mapping[str, Any]]) -> str:
    points = [(day["day"], day["precision"]) for day in days]
    across = plot.Axis("day of the window", points[0][0] - 0.7, points[-1][0] + 0.7)
    up = plot.scale("precision", [precision for _, precision in points])
    return plot.draw("Precision at capacity by day", across, up, [plot.Bars(points)])


def _stability(days: Sequence[Mapping[str, Any]]) -> str:
    points = [(day["day"], day["roc_auc"]) for day in days if day.get("roc_auc") is not None]
    if len(points) < 2:
        return ""
    across = plot.Axis("day of the window", points[0][0] - 0.4, points[-1][0] + 0.4)
    up = plot.scale("ROC AUC", [value for _, value in points], from_zero=False)
    return plot.draw("ROC AUC by day", across, up, [plot.Line(points, "var(--blue)", marked=True)])


def _metrics(splits: Sequence[Mapping[str, Any]], report: Mapping[str, Any]) -> str:
    names = sorted({name for split in splits for name in split["metrics"]}, key=_importance)
    head = ["metric", *(split["split"] for split in splits)]
    rows = [
        [_metric(name), *(interval(split["metrics"].get(name, {})) for split in splits)] for name in names
    ]
    level = report.get("interval_level")
    told = f"{100 * level:g} % intervals of {report['replicates']} bootstrap replicates." if level else ""
    return table(head, rows, ranged=True) + (f"<p class='quiet'>{told}</p>" if told else "")


def _importance(name: str) -> tuple[int, str]:
    order = ("average_precision", "roc_auc", "log_loss", "brier", "calibration_error")
    return (order.index(name) if name in order else len(order), name)


def _metric(name: str) -> str:
    return f'<span title="{escape(name)}">{escape(words(name))}</span>'


def _slices(slices: Iterable[Mapping[str, Any]]) -> str:
    columns: dict[str, list[Mapping[str, Any]]] = {}
    for group in slices:
        columns.setdefault(group["column"], []).append(group)
    return "".join(f"<h4>{escape(column)}</h4>{_groups(groups)}" for column, groups in columns.items())


def _groups(groups: Sequence[Mapping[str, Any]]) -> str:
    names = sorted({name for group in groups for name in group["metrics"]}, key=_importance)
    rows = [
        ["rows", *(beside(count(group["rows"])) for group in groups)],
        ["positive", *(beside(count(group["positive"])) for group in groups)],
        *([_metric(name), *(interval(group["metrics"].get(name, {})) for group in groups)] for name in names),
    ]
    head = ["", *(between(group.get("lower"), group.get("upper")) for group in groups)]
    return table(head, rows, ranged=True)


def _thresholds(rows: Sequence[Mapping[str, float]]) -> str:
    def row(found: Mapping[str, float]) -> list[str]:
        flagged = found["true_positives"] + found["false_positives"]
        positive = found["true_positives"] + found["false_negatives"]
        names = ("true_positives", "false_positives", "false_negatives", "true_negatives")
        rates = [_ratio(found["true_positives"], flagged), _ratio(found["true_positives"], positive)]
        return [f"{found['threshold']:g}", count(flagged), *(count(found[name]) for name in names), *rates]

    head = ["score at least", "flagged", "true positives", "false positives", "missed", "passed rightly"]
    return table([*head, "precision", "recall"], [row(found) for found in rows], texts=0) if rows else ""


def _ratio(part: float, whole: float) -> str:
    return number(part / whole) if whole else DASH


def _drift(rows: Sequence[Mapping[str, Any]]) -> str:
    ordered = sorted(rows, key=lambda row: (row["name"] != "score", -(row.get("psi") or 0.0)))
    cells = [
        [escape(row["name"]), number(row.get("psi")), number(row.get("ks")), _shift(row)] for row in ordered
    ]
    return table(["column", "PSI", "KS distance", "shift"], cells) if cells else ""


def _shift(row: Mapping[str, Any]) -> str:
    """Give the usual reading of a population stability index: 0.1 and 0.25 are the field's marks."""
    value = row.get("psi")
    if value is None:
        return DASH
    return "small" if value < 0.1 else "moderate" if value < 0.25 else "large"


def _days(capacity: Sequence[Mapping[str, Any]], stability: Sequence[Mapping[str, Any]]) -> str:
    precision = {day["day"]: day["precision"] for day in capacity}
    steady = {day["day"]: day for day in stability}
    head = ["day", "rows", "positive", "mean score", "ROC AUC", "precision at capacity"]

    def row(day: int) -> list[str]:
        found = steady.get(day, {})
        counts = [count(found.get("rows")), count(found.get("positive"))]
        return [
            str(day),
            *counts,
            *(number(found.get(name)) for name in ("mean_score", "roc_auc")),
            number(precision.get(day)),
        ]

    days = sorted({*precision, *steady})
    return table(head, [row(day) for day in days], texts=0) if days else ""


def _audit(report: Mapping[str, Any]) -> str:
    rows = [
        [f"<code>{escape(check['guard'])}</code>", count(check["checked"])]
        for check in report["leakage_audit"]
    ]
    pins = definitions([("model", short(report["model"])), ("run key", short(report["train_run_key"]))])
    return (table(["guard that found nothing", "rows or documents looked at"], rows) if rows else "") + pins
