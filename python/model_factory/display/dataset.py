"""What a dataset holds and rests on: its manifest as HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from model_factory.display.markup import count, definitions, escape, fold, fragment, section, short, table

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["dataset_html"]


def dataset_html(manifest: Mapping[str, Any]) -> str:
    """Show a ``dataset_manifest`` document as HTML for a notebook's cell."""
    rows = sum(partition["rows"] for partition in manifest["partitions"])
    named = manifest["feature_definition_set"]
    heading = (
        f"<h2>Dataset {short(manifest['dataset_manifest_id'])}</h2>"
        f"<p class='quiet'>{count(rows)} rows, {len(named['features'])} features, "
        f"{escape(named['feature_set_id'])} version {escape(named['feature_set_version'])}</p>"
    )
    return fragment(
        heading,
        section("Labels", _labels(manifest["label_basis"])),
        section("Features", _features(named["features"])),
        fold("Columns", _columns(manifest["schema"])),
        fold("Partitions", _partitions(manifest["partitions"])),
        fold("Pins", _pins(manifest)),
    )


def _labels(basis: Mapping[str, Any]) -> str:
    return definitions((name.replace("_", " "), _plain(value)) for name, value in basis.items())


def _plain(value: object) -> str:
    """Give a value of a document as text: nested ones as pairs."""
    if isinstance(value, dict):
        return ", ".join(f"{escape(name)} {_plain(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(_plain(inner) for inner in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return count(value)
    return short(value)


def _features(features: list[Mapping[str, Any]]) -> str:
    rows = [[escape(feature["name"]), escape(_definition(feature["definition"]))] for feature in features]
    return table(["feature", "known at the event's time"], rows, texts=2)


def _definition(definition: Mapping[str, Any]) -> str:
    """Give a feature's definition in words."""
    match definition["kind"]:
        case "column":
            return f"the event's own {definition['column']}"
        case "window":
            of = f" of {definition['column']}" if definition.get("column") else ""
            delay = definition.get("delay", "0s")
            late = "" if delay.rstrip("smhd") == "0" else f", ending {delay} before"
            return (
                f"{definition['aggregate']}{of} by {definition['entity']} over {definition['window']}{late}"
            )
        case kind:
            rest = ", ".join(f"{name} {value}" for name, value in definition.items() if name != "kind")
            return f"{kind} {rest}".replace("_", " ").strip()


def _columns(schema: list[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for column in schema for name in column))
    rows = [[_plain(column.get(name, "")) for name in names] for column in schema]
    return table([name.replace("_", " ") for name in names], rows, texts=len(names))


def _partitions(partitions: list[Mapping[str, Any]]) -> str:
    rows = [
        [f"<code>{escape(part['uri'])}</code>", short(part["digest"]), count(part["rows"])]
        for part in partitions
    ]
    return table(["uri", "digest", "rows"], rows, texts=2)


def _pins(manifest: Mapping[str, Any]) -> str:
    names = ("dataset_fingerprint", "platform_run_id", "time_window", "provenance", "pass_proof")
    return definitions((name.replace("_", " "), _plain(manifest.get(name))) for name in names)
