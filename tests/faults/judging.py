"""What became of runs: each was evaluated to one model, passed and was published once, and is whole."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import model_factory as mf


# A run in one of these has something left to be done.
OPEN = ("QUEUED", "RUNNING", "EVAL_READY", "PASS", "PUBLISH_PENDING")


def are_over(factory: mf.Factory, number: int) -> bool:
    """Whether so many runs have ended; one that is asked again and again reads little while they have not."""
    if any(factory.runs(state=state, limit=1) for state in OPEN):
        return False
    return sum(len(factory.runs(state=state, limit=number)) for state in ("PUBLISHED", "FAIL")) >= number


def judge(factory: mf.Factory, ids: set[str]) -> list[str]:
    """Say what is lost, forked or half-done of the runs that were asked for, and what fsck finds."""
    runs = factory.runs(limit=2 * len(ids))
    problems = [] if {each.id for each in runs} == ids else ["the runs are not those that were asked for"]
    for each in runs:
        if each.state != "PUBLISHED":
            problems.append(f"{each.id} is {each.state}, {each.reason}")
        events = each.events
        reached = Counter(event["state"] for event in events if event["kind"] == "ADVANCED")
        problems += [
            f"{each.id} reached {state} {reached[state]} times"
            for state in ("PASS", "PUBLISHED")
            if reached[state] != 1
        ]
        results = {result for event in events if (result := evaluated(event)) is not None}
        if len(results) != 1:
            problems.append(f"{len(results)} trainings of {each.id} were counted")
        epochs = [event["epoch"] for event in events]
        if epochs != sorted(epochs):
            problems.append(f"{each.id}: a former holder wrote after the next one")
    return problems + [str(finding) for finding in factory.fsck()["findings"]]


def claims(run: mf.Run) -> int:
    """How often a run was taken up."""
    return sum(event["kind"] == "CLAIMED" for event in run.events)


def evaluated(event: dict[str, Any]) -> tuple[str, ...] | None:
    """Digests of the results of the training that an event names; None where it names none."""
    evidence = event["detail"].get("evidence") or {}
    results = [evidence.get(name) for name in ("model", "execution_record", "eval_report", "measurements")]
    return None if results[0] is None else tuple(str(each and each["digest"]) for each in results)
