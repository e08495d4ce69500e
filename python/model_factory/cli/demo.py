"""``demo``: the whole line in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from model_factory import demo
from model_factory.cli.answer import Answer, columns
from model_factory.cli.options import verb
from model_factory.cli.output import write

if TYPE_CHECKING:
    from model_factory.cli.options import Options, Verbs

__all__ = ["add"]

DESCRIPTION = """\
Run the whole line on card payments: dataset, baseline, model, gate, publication, promotion, scores, proof.
The payments are simulated; --data takes the public transactions of the fraud detection handbook instead.
Run again in the same folder, it finds what it left behind and the same ids come out.
"""


def add(verbs: Verbs) -> None:
    """Add the verb."""
    summary = "run the whole line on card payments, in seconds"
    added = verb(verbs, "demo", _demo, summary, description=DESCRIPTION, root=False)
    added.add_argument(
        "--root",
        type=Path,
        default=Path("factory-demo"),
        metavar="DIR",
        help="folder of its factory and page; 'factory-demo' by default",
    )
    added.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of the simulated payments; 1 by default"
    )
    added.add_argument(
        "--data", type=Path, metavar="DIR", help="folder with the handbook's transactions.parquet"
    )
    added.add_argument(
        "--threads", type=int, metavar="N", help="threads to use; they change no byte of the result"
    )


def _demo(options: Options) -> Answer:
    outcome = demo.run(
        options.root,
        seed=options.seed,
        data=options.data,
        threads=options.threads,
        say=None if options.json else write,
        progress=False if options.json else None,
    )
    return Answer(outcome.document(), _told(outcome))


def _told(outcome: demo.Outcome) -> str:
    model, baseline = outcome.run.metrics, outcome.baseline.metrics
    rows = [[name, baseline.get(name), value] for name, value in model.items()]
    table = columns(["metric (test window)", "logistic regression", "gradient boosting"], rows)
    where = [
        f"model-factory show {outcome.run.id} --root {outcome.root}",
        f"model-factory runs --root {outcome.root}",
    ]
    if outcome.bundle is None:
        ended = "The gate said FAIL: nothing was published."
    else:
        where.append(f"model-factory rebuild {outcome.bundle.id} --root {outcome.root}")
        ended = f"Published and ACTIVE: {outcome.bundle.id}"
    looks = "\n".join(f"  {line}" for line in [f"open {outcome.page}", *where])
    return f"\n{table}\n\n{ended}, in {outcome.seconds['total']:.1f} s\n\nlook on:\n{looks}"
