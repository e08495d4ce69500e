"""The same content is one run, however often, by whom and in which words it is asked for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import model_factory as mf
from tests.bench import SCOPE, build, config, governance, opened, train


def backwards(value: Any) -> Any:
    """The same mapping with its keys, deeply, in the other order."""
    if isinstance(value, dict):
        return {key: backwards(value[key]) for key in reversed(value)}
    return [backwards(item) for item in value] if isinstance(value, list) else value


@pytest.fixture
def root(published: tuple[Path, mf.Dataset, str], copied: Callable[[Path], Path]) -> Path:
    return copied(published[0])


def test_sent_twice(published: tuple[Path, mf.Dataset, str], root: Path) -> None:
    factory = opened(root)
    before = factory.run(published[2]).events
    again = train(factory, published[1], publish=True)
    assert again.id == published[2]
    assert again.events == before


def test_sent_after_a_restart_and_from_a_moved_folder(
    published: tuple[Path, mf.Dataset, str], root: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere" / "a folder"
    shutil.copytree(root, moved)
    again = train(opened(moved), published[1], publish=True)
    assert again.id == published[2]
    assert again.evidence == opened(root).run(published[2]).evidence


def test_sent_by_another_requester(published: tuple[Path, mf.Dataset, str], root: Path) -> None:
    factory = opened(root, principal="bob")
    again = train(factory, published[1], publish=True)
    assert again.id == published[2]
    assert again.events[-1]["kind"] == "REQUEST_JOINED"
    assert len(factory.runs()) == 1


def test_sent_with_its_keys_in_another_order(published: tuple[Path, mf.Dataset, str], root: Path) -> None:
    factory = opened(root)
    again = train(
        factory,
        published[1],
        config=backwards(config()),
        governance=backwards(governance()),
        publish=True,
    )
    assert again.id == published[2]
    request = again.request
    assert factory.submit(backwards(request)).id == published[2]
    path = root / "request.json"
    path.write_text(json.dumps(backwards(request), indent=4))
    assert factory.submit(path).id == published[2]
    assert len(factory.runs()) == 1


def test_trained_anew_on_other_threads_it_is_the_same_to_the_byte(
    published: tuple[Path, mf.Dataset, str], tmp_path: Path
) -> None:
    def of_content(evidence: dict[str, Any]) -> dict[str, Any]:
        """All but what a clock measured."""
        return {name: reference for name, reference in evidence.items() if name != "measurements"}

    first = opened(published[0]).run(published[2])
    for threads in (1, 3):
        # Of the same signer: another one's bundle is the same but for its signature.
        factory = opened(tmp_path / str(threads), keys=published[0] / "keys", threads=threads)
        again = train(factory, build(factory), publish=True)
        assert again.id == first.id
        assert of_content(again.evidence) == of_content(first.evidence)


@pytest.mark.parametrize(
    "change",
    [
        {"config": config(seed_policy={"base_seed": 2})},
        {"governance": governance(0.56)},
        {"scope": SCOPE + "/tenant-1"},
        {"intent": "regression_check"},
    ],
    ids=["seed", "threshold", "scope", "intent"],
)
def test_other_content_is_another_run(
    change: dict[str, Any], published: tuple[Path, mf.Dataset, str], root: Path
) -> None:
    assert train(opened(root), published[1], **change).id != published[2]


def test_a_request_id_names_one_content(published: tuple[Path, mf.Dataset, str], root: Path) -> None:
    factory = opened(root)
    request = factory.run(published[2]).request
    with pytest.raises(mf.errors.InputAdmissionError) as refused:
        factory.submit(request | {"intent_kind": "regression_check"})
    assert refused.value.code == "REQUEST_ID_PAYLOAD_MISMATCH"
    assert len(factory.runs()) == 1


def test_asked_for_while_another_worker_carries_it_out(
    built: tuple[Path, mf.Dataset], copied: Callable[[Path], Path]
) -> None:
    root = copied(built[0])
    refusals: list[str] = []
    # Long enough that progress is told while the run is still held.
    long = config(model={"family": "gradient_boosting", "n_estimators": 2_000, "min_samples_leaf": 1})

    def ask_again(*_: object) -> None:
        if not refusals:
            with pytest.raises(mf.ModelFactoryError) as refused:
                train(opened(root), built[1], config=long)
            refusals.append(refused.value.code)

    run = train(mf.open(root, principal="alice", progress=ask_again), built[1], config=long)
    assert refusals == ["LEASE_LOST"]
    assert run.gate is not None
