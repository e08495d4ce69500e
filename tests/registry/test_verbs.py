"""Approve, promote, roll back, retire, resolve: through the API."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import model_factory as mf
from tests.bench import SCOPE, config, governance, opened, train


@pytest.fixture(scope="session")
def two(
    published: tuple[Path, mf.Dataset, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, mf.Bundle, mf.Bundle]:
    """A factory's folder with two published bundles of one scope, never to be changed."""
    root = tmp_path_factory.mktemp("two") / "factory"
    shutil.copytree(published[0], root)
    factory = opened(root)
    first = factory.run(published[2]).publish()
    run = train(factory, published[1], config=config(seed_policy={"base_seed": 2}), publish=True)
    return root, first, run.publish()


@pytest.fixture
def copy_of_two(
    two: tuple[Path, mf.Bundle, mf.Bundle], copied: Callable[[Path], Path]
) -> tuple[mf.Factory, mf.Bundle, mf.Bundle]:
    return opened(copied(two[0])), two[1], two[2]


def test_one_bundle_is_active_and_its_generation_rises(
    copy_of_two: tuple[mf.Factory, mf.Bundle, mf.Bundle],
) -> None:
    factory, first, second = copy_of_two
    registry = factory.registry
    assert registry.resolve(SCOPE).reason_codes == ["NO_ACTIVE_BUNDLE"]
    event = registry.promote(first, actor="carol", reason="the first")
    assert (event["actor"], event["reason"], event["to"]) == ("carol", "the first", "ACTIVE")
    assert registry.resolve(SCOPE).bundle_id == first.id
    registry.promote(second.id, reason="better")
    resolution = registry.resolve(SCOPE)
    assert (resolution.outcome, resolution.bundle_id) == ("RESOLVED", second.id)
    back = registry.rollback(SCOPE, reason="worse after all")
    assert (back["kind"], back["bundle_id"]) == ("BUNDLE_ROLLED_BACK", first.id)
    generations = [resolution.generation, registry.resolve(SCOPE).generation]
    assert generations == sorted(filter(None, generations))
    retired = registry.retire(first, reason="too old")
    assert retired["to"] == "RETIRED"
    assert registry.resolve(SCOPE).outcome == "FAIL_CLOSED"
    with pytest.raises(mf.errors.RegistryError) as refused:
        registry.promote(first, reason="once more")
    assert refused.value.code == "BUNDLE_RETIRED"
    history = registry.history(SCOPE)
    assert [event["sequence"] for event in history] == list(range(1, len(history) + 1))
    assert [event["kind"] for event in history] == [
        "BUNDLE_PUBLISHED",
        "BUNDLE_PUBLISHED",
        "BUNDLE_PROMOTED_ACTIVE",
        "BUNDLE_PROMOTED_ACTIVE",
        "BUNDLE_ROLLED_BACK",
        "BUNDLE_RETIRED",
    ]
    assert factory.fsck()["findings"] == []


def test_a_verb_is_signed_by_the_principal(copy_of_two: tuple[mf.Factory, mf.Bundle, mf.Bundle]) -> None:
    factory, first, _ = copy_of_two
    assert factory.registry.promote(first, reason="the first")["actor"] == "alice"


def test_only_who_may_approves(copy_of_two: tuple[mf.Factory, mf.Bundle, mf.Bundle]) -> None:
    factory, first, _ = copy_of_two
    with pytest.raises(mf.errors.RegistryError) as refused:
        factory.registry.approve(first, reason="fine")
    assert refused.value.code == "ACTOR_NOT_ALLOWED"
    assert factory.registry.approve(first, actor="bob", reason="fine")["to"] == "APPROVED"


def test_four_eyes(published: tuple[Path, mf.Dataset, str], copied: Callable[[Path], Path]) -> None:
    factory = opened(copied(published[0]))
    anyone = governance()["roles"] | {"approve": "anyone"}
    strict = governance(roles=anyone, approval_required=True, four_eyes=True)
    bundle = train(factory, published[1], governance=strict, scope="prod/card/strict", publish=True).publish()

    def refused(verb: Callable[..., object], actor: str) -> str:
        with pytest.raises(mf.errors.RegistryError) as error:
            verb(bundle, actor=actor, reason="a test")
        return str(error.value.code)

    registry = factory.registry
    assert refused(registry.promote, "carol") == "APPROVAL_MISSING"
    assert refused(registry.approve, "alice") == "FOUR_EYES_VIOLATION"
    registry.approve(bundle, actor="bob", reason="looked at it")
    assert refused(registry.promote, "bob") == "FOUR_EYES_VIOLATION"
    registry.promote(bundle, actor="carol", reason="approved")
    assert registry.resolve("prod/card/strict").bundle_id == bundle.id


def test_there_is_nothing_to_return_to(copy_of_two: tuple[mf.Factory, mf.Bundle, mf.Bundle]) -> None:
    factory, first, _ = copy_of_two
    factory.registry.promote(first, reason="the first")
    with pytest.raises(mf.errors.RegistryError) as refused:
        factory.registry.rollback(SCOPE, reason="a test")
    assert refused.value.code == "NO_ACTIVE_BUNDLE"


def test_a_tenant_falls_back_to_all_and_then_to_what_is_named(
    copy_of_two: tuple[mf.Factory, mf.Bundle, mf.Bundle],
) -> None:
    factory, first, second = copy_of_two
    tenant = f"{SCOPE}/tenant-1"
    closed = factory.registry.resolve(tenant)
    assert (closed.outcome, closed.bundle_id, closed.generation) == ("FAIL_CLOSED", None, None)
    with pytest.raises(mf.errors.RegistryError) as refused:
        closed.load()
    assert refused.value.code == "NO_ACTIVE_BUNDLE"
    fallback = factory.registry.resolve(tenant, fallback=second)
    assert (fallback.outcome, fallback.bundle_id) == ("SAFE_FALLBACK", second.id)
    assert fallback.load().bundle == second
    factory.registry.promote(first, reason="for all")
    assert factory.registry.resolve(tenant, fallback=second.id).bundle_id == first.id


def test_a_bundle_serves_only_with_its_features(
    copy_of_two: tuple[mf.Factory, mf.Bundle, mf.Bundle],
) -> None:
    factory, first, _ = copy_of_two
    factory.registry.promote(first, reason="the first")
    names = factory.load(first).feature_names
    assert factory.registry.resolve(SCOPE, available=[*names, "more"]).outcome == "RESOLVED"
    lacking = factory.registry.resolve(SCOPE, available=names[1:])
    assert (lacking.outcome, lacking.reason_codes) == ("FAIL_CLOSED", ["BUNDLE_INCOMPATIBLE"])


@pytest.mark.parametrize("bundle", ["mb_" + "0" * 32, "../up", ""])
def test_a_bundle_that_is_not_there(bundle: str, tmp_path: Path) -> None:
    factory = opened(tmp_path)
    for ask in (factory.load, factory.verify, factory.rebuild, factory.registry.find):
        with pytest.raises(mf.errors.RegistryError) as refused:
            ask(bundle)
        assert refused.value.code == "BUNDLE_NOT_FOUND"


def test_a_scope_that_is_none(tmp_path: Path) -> None:
    for scope in ("", "prod", "a/b/c/d/e", "a/b/../c", "a/b/ü"):
        with pytest.raises(mf.errors.InputAdmissionError) as refused:
            opened(tmp_path).registry.resolve(scope)
        assert refused.value.code == "TARGET_SCOPE_INVALID"


@pytest.mark.parametrize("reason", ["", "x" * 2_001])
def test_a_verb_asks_for_a_reason(reason: str, copy_of_two: tuple[mf.Factory, mf.Bundle, mf.Bundle]) -> None:
    factory, first, _ = copy_of_two
    with pytest.raises(mf.errors.InputAdmissionError) as refused:
        factory.registry.promote(first, reason=reason)
    assert refused.value.code == "PARAMETER_INVALID"
    assert refused.value.problems[0]["pointer"] == "reason"
    assert factory.registry.resolve(SCOPE).outcome == "FAIL_CLOSED"
    assert repr(first) == f"<Bundle {first.id} {first.version}: {SCOPE}>"
