"""Requests, jobs and runs: what they go through, who stops them, and publishing again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_factory import _arrays, _requests, _shown
from model_factory.cli.answer import Answer, columns, facts, to_json
from model_factory.cli.options import acting, opened, verb
from model_factory.cli.output import Unwritable, write
from model_factory.cli.signals import stopping
from model_factory.display.receipt import SIGNS, subject
from model_factory.worker import Worker

if TYPE_CHECKING:
    from model_factory.cli.options import Options, Verbs
    from model_factory.runs import Run
    from model_factory.worker import News

__all__ = ["add"]

WORK = """\
Take up jobs and carry out runs until stopped, telling each on a line of its own. A store or a
ledger that is away is waited for.

SIGTERM or Ctrl-C lets the runs at hand end and claims no more; once more stops them at their next
step, and puts them back to be claimed again: status 143 or 130. With --once and --run too. A reader
of the lines that leaves, as `head` does, is the same as the first of them: status 141.

With --json each line is an object: its "kind" is "job" or "run" for what became of one, "trouble" for
what was away, and of the last "stopped"; where something else than the first signal ended it, the last
is the failure, as every command prints it. A run has its "state" in the ledger, and the "failure" that
stopped it or null. With --once and --run the only line is the run, as by `show`.
"""
NO_RETRIES = "no retries left: allow-retries"
MOST_LISTED = (1 << 32) - 2
HEADLINES = ("average_precision", "roc_auc", "log_loss", "brier", "calibration_error")


def add(verbs: Verbs) -> None:
    """Add the verbs."""
    store = verb(verbs, "store", _store, "store a config or profile and print how a request names it")
    store.add_argument("name", metavar="NAME", help="training_config or governance_profile")
    store.add_argument("file", type=Path, metavar="FILE", help="the document as JSON or TOML")
    submit = verb(verbs, "submit", _submit, "admit a request and print its run; nothing is trained yet")
    submit.add_argument("request", type=Path, metavar="REQUEST", help="a train_request as JSON or TOML")
    post = verb(verbs, "post", _post, "leave a request in the store as a job for the workers")
    post.add_argument("request", type=Path, metavar="REQUEST", help="a train_request as JSON or TOML")
    post.add_argument("--name", metavar="NAME", help="name of the job; the request's id by default")
    work = verb(verbs, "work", _work, "take up jobs and carry out runs until stopped", description=WORK)
    how_many = work.add_mutually_exclusive_group()
    how_many.add_argument("--once", action="store_true", help="carry out one run, then stop")
    how_many.add_argument("--run", metavar="RUN", help="carry out this run alone, then stop")
    how_many.add_argument("--concurrency", type=int, metavar="N", help="runs at the same time; 1 by default")
    work.add_argument("--threads", type=int, metavar="N", help="threads to use; all where it is left out")
    work.add_argument(
        "--platform-run-id", default="local", metavar="NAME", help="whose jobs to take up; 'local' by default"
    )
    cancel = verb(verbs, "cancel", _cancel, "stop a run for good, whoever carries it out")
    cancel.add_argument("run", metavar="RUN")
    acting(cancel)
    listed = verb(verbs, "runs", _runs, "list runs, the latest first")
    listed.add_argument("--state", metavar="STATE", help="only runs in this state, such as PASS")
    listed.add_argument("--limit", type=int, default=100, metavar="N", help="at most so many; 100 by default")
    show = verb(verbs, "show", _show, "show a run with its metrics, its verdict and its evidence")
    show.add_argument("run", metavar="RUN")
    retry = verb(
        verbs, "publish-retry", _publish_retry, "carry on with a publication that is pending; never trains"
    )
    retry.add_argument("run", metavar="RUN")
    allow = verb(verbs, "allow-retries", _allow_retries, "let a pending publication be tried anew")
    allow.add_argument("run", metavar="RUN")
    acting(allow)


def _store(options: Options) -> Answer:
    name = _requests.stored(options.name)
    document = _requests.read(name, options.file, "FILE")
    with opened(options, make=True) as factory:
        reference = factory.store(name, document)
    return _referred(reference, name=name)


def _submit(options: Options) -> Answer:
    request = _requests.read("train_request", options.request, "REQUEST")
    with opened(options, make=True) as factory:
        run = factory.submit(request)
    return Answer(_brief(run), _line(run))


def _post(options: Options) -> Answer:
    request = _requests.read("train_request", options.request, "REQUEST")
    owner = request.get("platform_run_id")
    how = {"platform_run_id": owner} if isinstance(owner, str) else {}
    with opened(options, make=True, **how) as factory:
        job = factory.post(request, name=options.name)
    return _referred(job, name="job_request")


def _referred(reference: dict[str, str], *, name: str) -> Answer:
    """Say what was stored, by the reference that requests and receipts name it by."""
    return Answer({"reference": reference, "name": name}, facts(reference.items()))


def _work(options: Options) -> Answer:
    how = {"threads": options.threads, "platform_run_id": options.platform_run_id}
    if not options.once and options.run is None:
        place = {"ledger": options.ledger, "keys": options.keys}
        lanes = 1 if options.concurrency is None else options.concurrency
        return _serve(options, Worker.at(options.root, concurrency=lanes, **place, **how))
    with opened(options, **how) as factory:
        # There is no next run that it would have to be kept from.
        with stopping(lambda: None):
            run = factory.work(options.run)
        if run is None and options.run is not None:
            # It is over, or somebody else is at it, which is not to look like success.
            run = factory.run(options.run)
            run.raise_held()
        answer = Answer({"train_run_id": None}, "nothing to do") if run is None else _full(run)
        return replace(answer, line=True)


def _serve(options: Options, worker: Worker) -> Answer:
    """Serve until SIGTERM or Ctrl-C, which let the runs at hand end; once more stops them too."""
    counts = dict.fromkeys(("job", "run", "trouble"), 0)
    unwritable: Unwritable | None = None

    def tell(news: News) -> None:
        nonlocal unwritable
        counts[news.kind] += 1
        line = to_json({"kind": news.kind, **news.document}, line=True) if options.json else _news(news)
        try:
            if unwritable is None:
                write(line)
        except Unwritable as error:
            # What is at hand is worth finishing: the ledger remembers it, whoever listens here.
            unwritable = error
            worker.stop()

    with stopping(worker.stop):
        worker.serve(tell)
    if unwritable is not None:
        raise unwritable
    text = f"stopped after {counts['run']} runs and {counts['job']} jobs"
    return Answer({"kind": "stopped", "runs": counts["run"], "jobs": counts["job"]}, text, line=True)


def _news(news: News) -> str:
    document = news.document
    if news.kind == "trouble":
        return f"trouble  {_told(document)}"
    if news.kind == "job":
        answer = document["invocation"]
        failure = answer["failure"]
        why = answer["train_run_id"] if failure is None else _told(failure)
        return f"job      {document['job']}  {answer['outcome']}  {why}"
    parts = [document["train_run_id"], document["state"]]
    if document["failure"] is not None:
        parts.append(_told(document["failure"]))
    return f"run      {'  '.join(part for part in parts if part is not None)}"


def _told(failure: dict[str, Any]) -> str:
    return f"{failure['code']}: {_shown.line(failure['detail'])}"


def _cancel(options: Options) -> Answer:
    with opened(options) as factory:
        run = factory.run(options.run).cancel(options.reason, actor=options.actor)
        return Answer(_brief(run), _line(run))


def _runs(options: Options) -> Answer:
    limit = _arrays.whole(options.limit, "limit", 1, MOST_LISTED)
    with opened(options) as factory:
        # One more says whether there are more, which counting them all would say too, at the price of a scan.
        found = factory.runs(state=options.state, limit=limit + 1)
        briefs = [_brief(run) for run in found[:limit]]
    more = len(found) > limit
    text = _listed(briefs) if briefs else "no run"
    if more:
        text += f"\n\nearlier runs are left out: --limit {10 * limit} lists more, --state those of one state"
    return Answer({"runs": briefs, "more": more}, text)


def _listed(briefs: list[dict[str, Any]]) -> str:
    head = ["run", "state", "reason", "scope", "admitted", "gate", "bundle"]
    keys = ["train_run_id", "state", "reason", "scope", "submitted_at", "gate", "bundle_id"]
    rows = [[brief[key] for key in keys] for brief in briefs]
    admitted = keys.index("submitted_at")
    for row, brief in zip(rows, briefs, strict=True):
        row[admitted] = _to_the_second(row[admitted])
        row[keys.index("reason")] = _reason(brief["reason"], brief["retries_left"])
    return columns(head, rows)


def _to_the_second(moment: str) -> str:
    return f"{moment[:19]}Z"


def _show(options: Options) -> Answer:
    with opened(options) as factory:
        return _full(factory.run(options.run))


def _publish_retry(options: Options) -> Answer:
    with opened(options) as factory:
        run = factory.publish_retry(options.run)
        return Answer(_brief(run), _line(run))


def _allow_retries(options: Options) -> Answer:
    with opened(options) as factory:
        run = factory.run(options.run).allow_retries(options.reason, actor=options.actor)
        return Answer(_brief(run), _line(run))


def _brief(run: Run) -> dict[str, Any]:
    return {
        "train_run_id": run.id,
        "state": run.state,
        "reason": run.reason,
        "scope": run.scope,
        "submitted_at": run.submitted_at,
        "updated_at": run.updated_at,
        "publish_allowed": run.publish_allowed,
        "retries_left": run.retries_left,
        "gate": run.gate,
        "bundle_id": run.bundle_id,
    }


def _line(run: Run) -> str:
    reason = _reason(run.reason, run.retries_left)
    return f"{run.id}  {run.state}" if reason is None else f"{run.id}  {run.state} ({reason})"


def _reason(reason: str | None, retries_left: int | None) -> str | None:
    """Say what stopped a run, and that it stays so where nobody tries it again."""
    parts = [reason, NO_RETRIES if retries_left == 0 else None]
    return ", ".join(part for part in parts if part is not None) or None


def _full(run: Run) -> Answer:
    document = {
        **_brief(run),
        "metrics": dict(run.metrics),
        "evidence": dict(run.evidence),
        "request": dict(run.request),
        "receipt": run.receipt,
        "events": list(run.events),
    }
    parts = [_facts(run), _criteria(run.receipt, run.report), _metrics(run.metrics), _evidence(run.evidence)]
    return Answer(document, "\n\n".join(part for part in parts if part))


def _facts(run: Run) -> str:
    holder, rests = run.holder, run.rests_until
    resting = rests and f"until {_to_the_second(rests)}; work --run takes it up at once"
    pairs = [
        ("run", run.id),
        ("state", run.state if run.reason is None else f"{run.state}, {run.reason}"),
        ("because", run.detail),
        ("held by", holder and f"{holder['worker']}, until {_to_the_second(holder['expires_at'])}"),
        ("rests", NO_RETRIES if run.retries_left == 0 else resting),
        ("gate", run.gate),
        ("scope", run.scope),
        ("admitted", _to_the_second(run.submitted_at)),
        ("intent", run.request["intent_kind"]),
        ("bundle", run.bundle_id),
    ]
    return facts(pairs)


def _criteria(receipt: Any, report: Any) -> str:
    if not receipt or "criteria" not in receipt:
        return ""

    def row(result: Any) -> list[object]:
        criterion = result["criterion"]
        judged = subject(criterion, result.get("group"), report)
        asked = f"{SIGNS[criterion['comparison']]} {criterion['threshold']:g}"
        return [criterion["name"], judged, asked, result.get("observed"), result["verdict"]]

    return columns(["criterion", "judged", "asked", "observed", "verdict"], map(row, receipt["criteria"]))


def _metrics(metrics: Any) -> str:
    if not metrics:
        return ""
    first = [name for name in HEADLINES if name in metrics]
    names = first + sorted(set(metrics) - set(first))
    return columns(["metric (test)", "value"], [[name, metrics[name]] for name in names])


def _evidence(evidence: Any) -> str:
    found = [(name, reference["digest"]) for name, reference in evidence.items() if reference]
    return facts(found)
