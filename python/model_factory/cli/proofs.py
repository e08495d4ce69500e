"""``verify``, ``rebuild`` and ``fsck``: nothing is believed, everything is looked at again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model_factory.cli.answer import Answer, columns
from model_factory.cli.options import opened, verb

if TYPE_CHECKING:
    from model_factory.cli.options import Options, Verbs

__all__ = ["add"]

EVIDENCE = 13


def add(verbs: Verbs) -> None:
    """Add the verbs."""
    verify = verb(verbs, "verify", _verify, "check every digest that a bundle rests on, and its verdict")
    verify.add_argument("bundle", metavar="BUNDLE")
    rebuild = verb(verbs, "rebuild", _rebuild, "train a bundle's model again and compare the bytes")
    rebuild.add_argument("bundle", metavar="BUNDLE")
    verb(verbs, "fsck", _fsck, "check every promise of the whole factory; exits 13 where one does not hold")


def _verify(options: Options) -> Answer:
    with opened(options) as factory:
        found = factory.verify(options.bundle)
    told = f"{found['objects']:,} objects, {found['bytes']:,} bytes: as they were pinned; verdict confirmed"
    return Answer({"bundle_id": options.bundle, **found}, f"{options.bundle}: {told}")


def _rebuild(options: Options) -> Answer:
    with opened(options) as factory:
        factory.rebuild(options.bundle)
    return Answer(
        {"bundle_id": options.bundle, "identical": True}, f"{options.bundle}: the same model, byte for byte"
    )


def _fsck(options: Options) -> Answer:
    with opened(options) as factory:
        found = factory.fsck()
    findings = found["findings"]
    told = f"{found['runs']} runs, {found['bundles']} bundles, {found['scopes']} scopes"
    if not findings:
        return Answer(found, f"{told}: every promise holds")
    rows = [[each["invariant"], each["subject"], each["code"], each["detail"]] for each in findings]
    table = columns(["promise", "where", "code", "what is wrong"], rows)
    return Answer(found, f"{told}: {len(findings)} promises do not hold\n\n{table}", EVIDENCE)
