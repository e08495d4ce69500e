"""What the demo did."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from model_factory.datasets import Dataset
    from model_factory.runs import Bundle, Run

__all__ = ["Outcome"]


@dataclass
class Outcome:
    """What the demo did.

    Attributes
    ----------
    dataset, baseline, run, bundle
        What was made; no bundle where the gate said FAIL.
    scores : array or None
        Positive-class probability of each of today's payments.
    page : Path
        The report to look at.
    seconds : dict
        By step and, for the model's run, by stage of the line.
    """

    root: Path
    dataset: Dataset
    baseline: Run
    run: Run
    bundle: Bundle | None = None
    scores: NDArray[Any] | None = None
    page: Path = field(default_factory=Path)
    seconds: dict[str, float] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Give the outcome as one JSON object; ids and digests do not depend on root, threads or time."""
        return {
            "train_run_id": self.run.id,
            "dataset_manifest_id": self.dataset.id,
            "model_digest": _digest(self.run, "model"),
            "eval_report_digest": _digest(self.run, "eval_report"),
            "gate": self.run.gate,
            "bundle_id": None if self.bundle is None else self.bundle.id,
            "bundle_version": None if self.bundle is None else self.bundle.version,
            "metrics": dict(self.run.metrics),
            "baseline": {
                "train_run_id": self.baseline.id,
                "gate": self.baseline.gate,
                "metrics": dict(self.baseline.metrics),
            },
            "scored": None if self.scores is None else int(self.scores.size),
            "seconds": self.seconds,
            "root": str(self.root),
            "report": str(self.page),
        }


def _digest(run: Run, name: str) -> str | None:
    reference = run.evidence[name]
    return None if reference is None else reference["digest"]
