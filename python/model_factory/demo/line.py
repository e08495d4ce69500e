"""The steps of the demo, one function each."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_factory import factory as factories
from model_factory.demo import pages, sources
from model_factory.demo.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from os import PathLike

    from model_factory.datasets import Dataset
    from model_factory.demo.sources import Source
    from model_factory.factory import Factory
    from model_factory.runs import Run

__all__ = ["run"]

APPROVER, PROMOTER = "risk-officer", "release-manager"
PAGE = "report.html"


class _Steps:
    """Says what is done, and for how long it was done."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        """Give a step of the demo; what it yields takes the sentence that tells how it came out."""
        began = time.perf_counter()
        yield lambda told: self.say(f"{name:<9} {told}")
        self.seconds[name] = round(time.perf_counter() - began, 3)

    def say(self, text: str) -> None:
        """Tell something."""
        self._say(text)


def run(
    root: str | PathLike[str] = "factory-demo",
    *,
    seed: int = 1,
    data: str | PathLike[str] | None = None,
    threads: int | None = None,
    say: Callable[[str], object] | None = None,
    progress: Any = None,
) -> Outcome:
    """Carry out the whole line.

    Parameters
    ----------
    root
        The factory's folder; made where there is none, carried on where there is one.
    seed
        Of the simulated payments.
    data
        Folder with the handbook's ``transactions.parquet`` (needs pyarrow); left out, payments are simulated.
    threads
        Threads to use; all where it is left out. They change no byte of what comes out.
    say
        Takes a line of text at each step; left out, nothing is said.
    progress
        As in :func:`model_factory.open`.

    Raises
    ------
    ModelFactoryError
        Whatever a stage refuses.
    """
    began = time.perf_counter()
    steps = _Steps(say or (lambda _: None))
    place = Path(root)
    with steps.step("payments") as told:
        source = sources.simulated(seed) if data is None else sources.handbook(Path(data))
        told(source.told)
    factory = factories.open(place, threads=threads, progress=progress)
    outcome = _built(factory, place, source, steps)
    if outcome.run.gate == "PASS":
        _served(factory, source, outcome, steps)
    with steps.step("report") as told:
        outcome.page = place / PAGE
        outcome.page.write_text(pages.report(outcome, source), encoding="utf-8")
        told(str(outcome.page))
    measured = outcome.run.measurements or {"stage_seconds": {}}
    stages = {stage: round(seconds, 3) for stage, seconds in measured["stage_seconds"].items()}
    outcome.seconds = {**steps.seconds, **stages, "total": round(time.perf_counter() - began, 3)}
    return outcome


def _built(factory: Factory, root: Path, source: Source, steps: _Steps) -> Outcome:
    with steps.step("dataset") as told:
        dataset = factory.datasets.build(**source.arguments)
        counted = ", ".join(f"{count:,} {name}" for name, count in dataset.label_counts.items())
        told(f"{dataset.id}: {dataset.rows:,} rows; labels {counted}")
    with steps.step("baseline") as told:
        baseline = _trained(factory, dataset, source, "baseline")
        told(_verdict("logistic regression", baseline))
    with steps.step("model") as told:
        model = _trained(factory, dataset, source, "boosting")
        told(_verdict("gradient boosting", model))
    return Outcome(root=root, dataset=dataset, baseline=baseline, run=model)


def _trained(factory: Factory, dataset: Dataset, source: Source, name: str) -> Run:
    return factory.train(
        dataset,
        config=sources.FILES / f"{source.files}_{name}.toml",
        governance=sources.FILES / f"{source.files}_governance.toml",
        scope=source.scope,
    )


def _verdict(family: str, run: Run) -> str:
    precision = run.metrics["average_precision"]
    return f"{run.id}: {family}, average precision {precision:.3f} on the test window; gate {run.gate}"


def _served(factory: Factory, source: Source, outcome: Outcome, steps: _Steps) -> None:
    with steps.step("publish") as told:
        bundle = outcome.bundle = outcome.run.publish()
        told(f"{bundle.id} version {bundle.version}")
    with steps.step("promote") as told:
        resolution = factory.registry.resolve(source.scope)
        if resolution.bundle_id != bundle.id:
            factory.registry.approve(
                bundle, actor=APPROVER, reason="The gate said PASS, and the report reads well."
            )
            factory.registry.promote(bundle, actor=PROMOTER, reason="It goes into service with the demo.")
        told(f"approved by {APPROVER}, ACTIVE in {source.scope} by {PROMOTER}")
    with steps.step("score") as told:
        model = factory.registry.resolve(source.scope).load()
        outcome.scores = model.predict_proba(source.features_of_today(model.features))
        threshold = bundle.document["decision_policy"]["alert_threshold"]
        alerts = int((outcome.scores >= threshold).sum())
        told(f"{outcome.scores.size:,} payments of today, {alerts} alerts at {threshold:g} or more")
    with steps.step("verify") as told:
        found = factory.verify(bundle)
        told(f"{found['objects']:,} objects as they were pinned, and the verdict comes out again")
