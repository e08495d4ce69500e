"""``approve``, ``promote``, ``rollback``, ``retire``, ``resolve`` and ``score``: what serves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_factory.cli import tables
from model_factory.cli.answer import Answer, columns, facts
from model_factory.cli.options import acting, opened, verb
from model_factory.runs import scope_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from model_factory.cli.options import Options, Verbs
    from model_factory.registry import Resolution

__all__ = ["add"]

MOST_SHOWN = 10


def add(verbs: Verbs) -> None:
    """Add the verbs."""
    for name, summary in (
        ("approve", "vouch for a published bundle"),
        ("promote", "make a published bundle the ACTIVE one of its scope"),
        ("retire", "take a bundle out of service for good"),
    ):
        added = verb(verbs, name, _change(name), summary)
        added.add_argument("bundle", metavar="BUNDLE")
        acting(added)
    rollback = verb(verbs, "rollback", _rollback, "make the bundle that was ACTIVE before ACTIVE again")
    rollback.add_argument("scope", metavar="SCOPE", help="environment/mode/bundle_slot[/tenant]")
    acting(rollback)
    resolve = verb(verbs, "resolve", _resolve, "say what serves a scope; exits 17 where nothing may")
    resolve.add_argument("scope", metavar="SCOPE", help="environment/mode/bundle_slot[/tenant]")
    resolve.add_argument(
        "--fallback", metavar="BUNDLE", help="the bundle that may serve where the scope has none"
    )
    score = verb(verbs, "score", _score, "score a table of features with what serves a scope")
    score.add_argument("scope", metavar="SCOPE", help="environment/mode/bundle_slot[/tenant]")
    score.add_argument("events", type=Path, metavar="EVENTS", help="a Parquet file with the model's features")
    score.add_argument(
        "--out", type=Path, metavar="FILE", help="write the table with its scores as Parquet or .csv"
    )


def _change(name: str) -> Callable[[Options], Answer]:
    def carry_out(options: Options) -> Answer:
        with opened(options) as factory:
            change = getattr(factory.registry, name)
            return _event(change(options.bundle, actor=options.actor, reason=options.reason))

    return carry_out


def _rollback(options: Options) -> Answer:
    with opened(options) as factory:
        return _event(factory.registry.rollback(options.scope, actor=options.actor, reason=options.reason))


def _event(event: Mapping[str, Any]) -> Answer:
    return Answer(event, f"{event['bundle_id']} is {event['to']}, by {event['actor']}")


def _resolve(options: Options) -> Answer:
    with opened(options) as factory:
        resolution = factory.registry.resolve(options.scope, fallback=options.fallback)
    answered = resolution.document["resolved_scope"]
    pairs = [
        ("outcome", resolution.outcome),
        # For a tenant it may be the one for all tenants.
        ("scope", None if answered is None else scope_text(answered)),
        ("bundle", resolution.bundle_id),
        ("generation", resolution.generation),
        ("because", ", ".join(resolution.reason_codes) or None),
    ]
    return Answer(resolution.document, facts(pairs), _status(resolution))


def _status(resolution: Resolution) -> int:
    """Nothing may serve: the status of the registry's refusals, though the answer is a whole document."""
    return 17 if resolution.outcome == "FAIL_CLOSED" else 0


def _score(options: Options) -> Answer:
    tables.check_out(options.out, options.events)
    table = tables.read(options.events)
    with opened(options) as factory:
        model = factory.registry.resolve(options.scope).load()
        scores = model.predict_proba(table)
    threshold = model.bundle.document["decision_policy"]["alert_threshold"]
    document: dict[str, Any] = {
        "scope": options.scope,
        "bundle_id": model.bundle.id,
        "rows": len(scores),
        "alert_threshold": threshold,
        "alerts": int((scores >= threshold).sum()),
    }
    if options.out is not None:
        tables.write(table, scores, options.out)
        document["out"] = str(options.out)
    else:
        document["scores"] = scores.tolist()
    return Answer(document, _scored(document, scores))


def _scored(document: Mapping[str, Any], scores: Any) -> str:
    alerts = f"{document['alerts']:,} at {document['alert_threshold']:g} or more"
    pairs = [("bundle", document["bundle_id"]), ("rows", f"{document['rows']:,}"), ("alerts", alerts)]
    if "out" in document:
        return facts([*pairs, ("written to", document["out"])])
    highest = (-scores).argsort(kind="stable")[:MOST_SHOWN]
    rows = [[int(row), float(scores[row])] for row in highest]
    return facts(pairs) + "\n\n" + columns(["row", "score"], rows)
