"""The unit that is published: a bundle as HTML, with every pin that shows where it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from model_factory.display.markup import count, definitions, escape, fold, fragment, section, short, table

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["bundle_html", "bundle_parts"]

EVIDENCE = (
    "model",
    "plan",
    "training_config",
    "governance_profile",
    "execution_record",
    "eval_report",
    "gate_receipt",
    "publish_eligibility",
)


def bundle_html(bundle: Mapping[str, Any]) -> str:
    """Show a ``bundle`` document as HTML for a notebook's cell."""
    heading = (
        f"<h2>Bundle {short(bundle['bundle_id'])}</h2>"
        f"<p class='quiet'>version {escape(bundle['bundle_version'])}, for {escape(scope_text(bundle))}</p>"
    )
    return fragment(heading, bundle_parts(bundle))


def bundle_parts(bundle: Mapping[str, Any]) -> str:
    """Give what the bundle is, what it needs, and what it rests on."""
    facts = [
        ("family", escape(bundle["compatibility"]["family"])),
        ("size", f"{count(bundle['model_bytes'])} bytes"),
        ("alerts from", f"a score of {bundle['decision_policy']['alert_threshold']:g}"),
        ("run", short(bundle["train_run_id"])),
        ("policy, config", f"{escape(bundle['policy_revision'])}, {escape(bundle['config_revision'])}"),
        ("code", escape(bundle["code_release_id"])),
    ]
    inputs = [
        [escape(column["name"]), "may be missing" if column["missing_allowed"] else "must be there"]
        for column in bundle["input_schema"]
    ]
    pins = [
        *((name, bundle[name]) for name in EVIDENCE),
        *(("dataset", each) for each in bundle["dataset_manifests"]),
    ]
    rows = [
        [escape(name.replace("_", " ")), f"<code>{escape(pin['uri'])}</code>", short(pin["digest"])]
        for name, pin in pins
    ]
    return (
        definitions(facts)
        + section("Inputs", table(["feature", "value"], inputs, texts=2))
        + fold("Evidence, by digest", table(["what", "uri", "digest"], rows, texts=3))
    )


def scope_text(bundle: Mapping[str, Any]) -> str:
    """Give a document's scope as ``environment/mode/bundle_slot``, with the tenant where there is one."""
    scope = bundle["target_scope"]
    parts = [scope["environment"], scope["mode"], scope["bundle_slot"], scope.get("tenant_id")]
    return "/".join(part for part in parts if part)
