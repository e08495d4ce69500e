"""A changed byte in any file that is referred to stops whoever reads it, with the code of its kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import model_factory as mf
from tests.bench import config, damage, governance, opened, train

BEFORE_THE_RUN = {
    "manifest": "MANIFEST_DIGEST_MISMATCH",
    "partition": "PARTITION_DIGEST_MISMATCH",
    "training_config": "TRAINING_CONFIG_DIGEST_MISMATCH",
    "governance_profile": "GOVERNANCE_PROFILE_DIGEST_MISMATCH",
}
EVIDENCE = {
    "plan": "EVIDENCE_DIGEST_MISMATCH",
    "model": "EVIDENCE_DIGEST_MISMATCH",
    "execution_record": "EVIDENCE_DIGEST_MISMATCH",
    "eval_report": "EVIDENCE_DIGEST_MISMATCH",
    "gate_receipt": "EVIDENCE_DIGEST_MISMATCH",
    # Judging anew would write it again, and finds other bytes in its place.
    "publish_eligibility": "PUBLISH_ELIGIBILITY_IMMUTABILITY_VIOLATION",
}


def uri_of(kind: str, dataset: mf.Dataset, request: dict[str, dict[str, str]]) -> str:
    match kind:
        case "manifest":
            return dataset.reference["uri"]
        case "partition":
            return str(dataset.manifest["partitions"][0]["uri"])
        case _:
            return request[kind]["uri"]


@pytest.mark.parametrize("kind", BEFORE_THE_RUN)
@pytest.mark.parametrize("how", ["changed", "gone"])
def test_an_input_stops_the_run(
    kind: str, how: str, built: tuple[Path, mf.Dataset], copied: Callable[[Path], Path]
) -> None:
    root, dataset = copied(built[0]), built[1]
    factory = opened(root)
    request = train(factory, dataset).request
    other = request | {"request_id": "another-request", "intent_kind": "regression_check"}
    run = factory.submit(other)
    uri = uri_of(kind, dataset, request)
    if how == "changed":
        damage(root, uri)
        code = BEFORE_THE_RUN[kind]
    else:
        (root / "objects" / uri).unlink()
        code = BEFORE_THE_RUN[kind].replace("DIGEST_MISMATCH", "UNRESOLVED")
    with pytest.raises(mf.errors.ResolutionError) as refused:
        factory.work(run.id)
    assert refused.value.code == code
    assert uri in refused.value.detail
    run.refresh()
    assert run.reason == code
    # What is away may come back, and what was changed may be put back.
    assert run.state == "QUEUED"
    assert (run.gate, run.evidence["model"], run.evidence["bundle"]) == (None, None, None)


@pytest.mark.parametrize("kind", ["training_config", "governance_profile"])
def test_an_input_stops_admission(
    kind: str, built: tuple[Path, mf.Dataset], copied: Callable[[Path], Path]
) -> None:
    root = copied(built[0])
    factory = opened(root)
    request = train(factory, built[1]).request
    damage(root, request[kind]["uri"])
    with pytest.raises(mf.errors.ResolutionError) as refused:
        factory.submit(request | {"request_id": "another-request", "intent_kind": "regression_check"})
    assert refused.value.code == BEFORE_THE_RUN[kind]
    assert len(factory.runs()) == 1


@pytest.mark.parametrize("kind", EVIDENCE)
def test_evidence_stops_publishing(
    kind: str, built: tuple[Path, mf.Dataset], copied: Callable[[Path], Path]
) -> None:
    root = copied(built[0])
    factory = opened(root)
    run = train(factory, built[1])
    reference = run.evidence[kind]
    assert reference is not None
    damage(root, reference["uri"])
    with pytest.raises(mf.errors.ModelFactoryError) as refused:
        run.publish()
    assert refused.value.code == EVIDENCE[kind]
    assert reference["uri"] in refused.value.detail
    assert run.refresh().state != "PUBLISHED"
    assert factory.fsck()["bundles"] == 0
    assert factory.fsck()["findings"] != []


@pytest.mark.parametrize("kind", [*EVIDENCE, "bundle", "manifest", "partition", *list(BEFORE_THE_RUN)[2:]])
def test_verify_and_fsck_find_it_in_what_is_published(
    kind: str, published: tuple[Path, mf.Dataset, str], copied: Callable[[Path], Path]
) -> None:
    root = copied(published[0])
    factory = opened(root)
    run = factory.run(published[2])
    bundle = run.publish()
    reference = run.evidence.get(kind)
    uri = uri_of(kind, published[1], run.request) if reference is None else reference["uri"]
    assert factory.verify(bundle)["gate_confirmed"]
    damage(root, uri)
    with pytest.raises(mf.errors.ModelFactoryError) as refused:
        factory.verify(bundle)
    assert str(refused.value.code).endswith("DIGEST_MISMATCH")
    assert uri in refused.value.detail
    assert [f["code"] for f in factory.fsck()["findings"] if f["code"].endswith("DIGEST_MISMATCH")]


@pytest.mark.parametrize("kind", ["model", "gate_receipt", "bundle"])
def test_a_damaged_bundle_does_not_serve(
    kind: str, published: tuple[Path, mf.Dataset, str], copied: Callable[[Path], Path]
) -> None:
    root = copied(published[0])
    factory = opened(root)
    run = factory.run(published[2])
    bundle = run.publish()
    factory.registry.promote(bundle, reason="the first")
    reference = run.evidence[kind]
    assert reference is not None
    damage(root, reference["uri"])
    resolution = factory.registry.resolve(bundle.scope)
    assert (resolution.outcome, resolution.reason_codes) == ("FAIL_CLOSED", ["EVIDENCE_DIGEST_MISMATCH"])
    with pytest.raises(mf.errors.EvidenceError) as refused:
        resolution.load()
    assert refused.value.code == "EVIDENCE_DIGEST_MISMATCH"
    with pytest.raises(mf.errors.EvidenceError):
        factory.load(bundle)


def test_a_report_is_read_with_its_digest(
    published: tuple[Path, mf.Dataset, str], copied: Callable[[Path], Path]
) -> None:
    root = copied(published[0])
    reference = opened(root).run(published[2]).evidence["eval_report"]
    assert reference is not None
    damage(root, reference["uri"])
    with pytest.raises(mf.errors.EvidenceError) as refused:
        _ = opened(root).run(published[2]).report
    assert refused.value.code == "EVIDENCE_DIGEST_MISMATCH"


def test_the_receipt_of_a_run_must_be_its_own(
    published: tuple[Path, mf.Dataset, str], copied: Callable[[Path], Path]
) -> None:
    root = copied(published[0])
    (receipt,) = (root / "objects").rglob("run_receipt_published.json")
    text = receipt.read_text()
    receipt.chmod(0o600)
    receipt.write_text(text.replace(published[2], "tr_" + "0" * 32))
    with pytest.raises(mf.errors.EvidenceError) as refused:
        _ = opened(root).run(published[2]).run_receipt
    assert refused.value.code == "SIGNATURE_INVALID"


def test_a_config_that_was_changed_in_place_does_not_come_back(
    built: tuple[Path, mf.Dataset], copied: Callable[[Path], Path]
) -> None:
    root = copied(built[0])
    factory = opened(root)
    run = train(factory, built[1])
    damage(root, run.request["training_config"]["uri"])
    with pytest.raises(mf.errors.ImmutabilityError) as refused:
        train(factory, built[1], config=config(), governance=governance(0.1))
    assert refused.value.code == "TRAINING_CONFIG_IMMUTABILITY_VIOLATION"
