"""Runs, as the ledger tells them, and the bundles that come of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from model_factory import _arguments, _display, _native, errors
from model_factory._progress import reporting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from model_factory._context import Context

__all__ = ["Bundle", "Run", "id_of", "scope_text"]


@dataclass(frozen=True)
class Bundle:
    """A model with everything that shows where it came from.

    Attributes
    ----------
    document : dict
        The ``bundle`` document.
    reference : dict
        ``uri`` and ``digest`` of the document.
    """

    document: dict[str, Any] = field(repr=False)
    reference: dict[str, str]

    @classmethod
    def read(cls, context: Context, reference: dict[str, str]) -> Bundle:
        """Read the bundle that a reference pins."""
        return cls(json.loads(context.native.document("bundle", **reference)), reference)

    def __repr__(self) -> str:
        return f"<Bundle {self.id} {self.version}: {self.scope}>"

    @property
    def id(self) -> str:
        """Identity of the bundle."""
        return str(self.document["bundle_id"])

    @property
    def version(self) -> str:
        """Version under the policy and config revision."""
        return str(self.document["bundle_version"])

    @property
    def scope(self) -> str:
        """Where it is to serve, such as ``prod/card/primary``."""
        return scope_text(self.document["target_scope"])

    def _repr_html_(self) -> str:
        return _display.html("bundle_html", self.document)


class Run:
    """A training run: what the ledger says of it, and the documents that it left behind.

    Documents are read when they are first asked for, and compared with the digest that the ledger holds.
    """

    def __init__(self, context: Context, row: _native.Row) -> None:
        self._context = context
        self._documents: dict[str, dict[str, Any]] = {}
        self._row = row
        # Not cached properties: before Python 3.12 these have a lock, which a fork inherits as it is.
        self._columns_read: dict[str, Any] | None = None
        self._evidence_read: dict[str, dict[str, str] | None] | None = None

    @property
    def _columns(self) -> dict[str, Any]:
        if self._columns_read is None:
            self._columns_read = cast("dict[str, Any]", json.loads(self._row.text()))
        return self._columns_read

    @property
    def _evidence(self) -> dict[str, dict[str, str] | None]:
        if self._evidence_read is None:
            read = json.loads(self._context.native.evidence(self.id))
            self._evidence_read = cast("dict[str, dict[str, str] | None]", read)
        return self._evidence_read

    @classmethod
    def read(cls, context: Context, run_id: str) -> Run:
        """Read a run from the ledger."""
        run = cls(context, context.native.run(run_id))
        # Of one run, what it left behind is read with it; of those that are listed, when it is asked for.
        _ = run._evidence
        return run

    def __repr__(self) -> str:
        return f"<Run {self.id}: {self.state}>"

    @property
    def id(self) -> str:
        """Identity of the run: equal content, equal id."""
        return self._row.run_id

    @property
    def state(self) -> str:
        """Where it is: ``QUEUED``, ``RUNNING``, ``EVAL_READY``, ``PASS``, ``FAIL``, and so on."""
        return self._row.state

    @property
    def mode(self) -> str:
        """What a worker does with it: ``NONE``, ``FULL`` or ``PUBLISH_ONLY``."""
        return str(self._columns["mode"])

    @property
    def reason(self) -> str | None:
        """Code that stopped it; None where nothing did or the gate decided."""
        return cast("str | None", self._columns["reason"])

    @property
    def detail(self) -> str | None:
        """What the reason stands for here, such as who cancelled it and why; None without a reason."""
        if self.reason is None:
            return None
        told = (event["detail"].get("failure") for event in reversed(self.events))
        return next((str(failure) for failure in told if failure is not None), None)

    @property
    def scope(self) -> str:
        """Where a bundle of it is to serve, such as ``prod/card/primary``."""
        return scope_text(self.request["target_scope"])

    @property
    def submitted_at(self) -> str:
        """When it was admitted, by the ledger's clock: a moment in UTC, as documents write it."""
        return str(self._columns["submitted_at"])

    @property
    def updated_at(self) -> str:
        """When the last of its events was recorded, likewise."""
        return str(self._columns["updated_at"])

    @property
    def holder(self) -> dict[str, str] | None:
        """The ``worker`` that is at it, and when its lease ``expires_at``; None where nobody is."""
        return cast("dict[str, str] | None", self._columns["holder"])

    @property
    def rests_until(self) -> str | None:
        """From when on workers take it up again; None where they need not wait, or never will."""
        return cast("str | None", self._columns["rests_until"])

    @property
    def retries_left(self) -> int | None:
        """How many publish attempts workers will still begin; None unless it is ``PUBLISH_PENDING``.

        At 0 none takes it up again before :meth:`allow_retries`.
        """
        return cast("int | None", self._columns["retries_left"])

    @property
    def publish_allowed(self) -> bool:
        """Whether any of its requests allows publishing."""
        return bool(self._columns["publish_allowed"])

    @property
    def request(self) -> dict[str, Any]:
        """The request that made it."""
        return cast("dict[str, Any]", self._columns["request"])

    @property
    def evidence(self) -> dict[str, dict[str, str] | None]:
        """References, each ``uri`` and ``digest``, to what it left behind as far as it came."""
        return self._evidence

    @property
    def plan(self) -> dict[str, Any] | None:
        """What was to be done: the ``resolved_plan`` document."""
        return self._document("resolved_plan", "plan")

    @property
    def record(self) -> dict[str, Any] | None:
        """What the fit did: the ``execution_record`` document."""
        return self._document("execution_record")

    @property
    def report(self) -> _display.Report | None:
        """How good the model is: the ``eval_report`` document."""
        document = self._document("eval_report")
        return None if document is None else _display.Report(document)

    @property
    def receipt(self) -> _display.Receipt | None:
        """The gate's verdict with its reasons: the ``gate_receipt`` document."""
        document = self._document("gate_receipt")
        return None if document is None else _display.Receipt(document)

    @property
    def gate(self) -> str | None:
        """``"PASS"`` or ``"FAIL"``; None where the gate has not judged."""
        receipt = self._document("gate_receipt")
        return None if receipt is None else str(receipt["decision"])

    @property
    def metrics(self) -> dict[str, float | None]:
        """Metrics of the test window by name; None where one is not defined on its rows."""
        report = self._document("eval_report") or {"splits": []}
        for split in report["splits"]:
            if split["split"] == "test":
                return {name: estimate["value"] for name, estimate in split["metrics"].items()}
        return {}

    @property
    def bundle(self) -> dict[str, Any] | None:
        """The ``bundle`` document; None where it did not pass."""
        return self._document("bundle")

    @property
    def bundle_id(self) -> str | None:
        """Identity of the bundle; None where it did not pass."""
        bundle = self._document("bundle")
        return None if bundle is None else str(bundle["bundle_id"])

    @property
    def measurements(self) -> dict[str, Any] | None:
        """What a clock measured; outside of every identity."""
        return _loaded(self._context.native.measurements(self.id))

    @property
    def run_receipt(self) -> dict[str, Any] | None:
        """That it is complete: the ``run_receipt`` document; None while it is not at rest."""
        return _loaded(self._context.native.receipt(self.id))

    @property
    def events(self) -> list[dict[str, Any]]:
        """What happened to it, in order, chained by hash."""
        return [json.loads(event) for event in self._context.native.events(self.id)]

    def refresh(self) -> Run:
        """Read the ledger again."""
        self._row = self._context.native.run(self.id)
        self._columns_read = self._evidence_read = None
        _ = self._evidence
        return self

    def publish(self) -> Bundle:
        """Publish the bundle; one that is published stays so.

        Raises
        ------
        PublishNotEligible
            Where the gate said FAIL.
        PublishError, InputAdmissionError, ExecutionError
            ``PUBLISH_NOT_ALLOWED``, ``PUBLISH_CONFLICT``, ``PUBLISH_RETRY_EXHAUSTED``,
            ``INVALID_TRANSITION``.
        """
        defaults = self._context.defaults
        with reporting(self._context.progress) as report:
            self._context.native.publish(self.id, defaults.principal, defaults.worker, progress=report)
        reference = self.refresh().evidence["bundle"]
        if reference is None:
            raise _native.refusal(
                "EVIDENCE_REF_MISSING", "bundle", "the bundle of a published run", "nothing"
            )
        return Bundle.read(self._context, reference)

    def cancel(self, reason: str, *, actor: str | None = None) -> Run:
        """Stop the run for good, whoever carries it out: it becomes FAIL with ``RUN_CANCELLED``.

        Parameters
        ----------
        reason : str
            Why, as the ledger will say.
        actor : str, optional
            Who stops it; the factory's principal by default.

        Raises
        ------
        ExecutionError
            ``INVALID_TRANSITION`` where it was judged already.
        InputAdmissionError
            ``PARAMETER_INVALID`` for an actor or a reason of another form.
        RegistryError
            ``ACTOR_NOT_ALLOWED`` for somebody whom the governance profile does not let request runs.
        """
        self._context.native.cancel(self.id, *self._context.defaults.acting(actor, reason))
        return self.refresh()

    def allow_retries(self, reason: str, *, actor: str | None = None) -> Run:
        """Let a pending publication be tried anew, as often as at first, once what kept it away is mended.

        Workers take the run up at once; ``factory.publish_retry`` does so here. Nothing is trained.

        Parameters
        ----------
        reason : str
            Why, as the ledger will say.
        actor : str, optional
            Who allows it; the factory's principal by default.

        Raises
        ------
        PublishError
            ``RETRY_NOT_PENDING`` where it is not ``PUBLISH_PENDING``.
        InputAdmissionError
            ``PARAMETER_INVALID`` for an actor or a reason of another form.
        RegistryError
            ``ACTOR_NOT_ALLOWED`` for somebody whom the governance profile does not let publish.
        """
        self._context.native.allow_retries(self.id, *self._context.defaults.acting(actor, reason))
        return self.refresh()

    def raise_refusal(self) -> None:
        """Raise again what stopped the run, if anything but the gate did.

        Raises
        ------
        ModelFactoryError
            With the code that the ledger holds.
        """
        if self.state != "FAIL" or self.reason is None:
            return
        detail = self.detail or ""
        for code, category, retryable, hint in _native.codes():
            if code == self.reason:
                raise errors.build(f"{code}: {detail}", code, category, retryable, detail, [], hint)

    def raise_held(self) -> None:
        """Say so where the run is not judged yet and somebody else is at it.

        Raises
        ------
        ExecutionError
            ``LEASE_LOST``.
        """
        if self.state in {"QUEUED", "RUNNING", "EVAL_READY"}:
            raise _native.refusal("LEASE_LOST", self.id, "free to be carried out", "held by another worker")

    def _document(self, name: str, evidence: str | None = None) -> dict[str, Any] | None:
        reference = self.evidence[evidence or name]
        if reference is None:
            return None
        if reference["digest"] not in self._documents:
            text = self._context.native.document(name, **reference)
            self._documents[reference["digest"]] = json.loads(text)
        return self._documents[reference["digest"]]

    def _repr_html_(self) -> str:
        return _display.html("run_html", self)


def scope_text(scope: Mapping[str, str | None]) -> str:
    """Give a scope as ``environment/mode/bundle_slot``, with the tenant where there is one."""
    names = (scope["environment"], scope["mode"], scope["bundle_slot"], scope.get("tenant_id"))
    return "/".join(name for name in names if name is not None)


def id_of(bundle: Bundle | str) -> str:
    """Give the id of a bundle, or an id that is given itself."""
    if isinstance(bundle, Bundle):
        return bundle.id
    return _arguments.text(bundle, "bundle", "a Bundle or its id")


def _loaded(text: str | None) -> dict[str, Any] | None:
    return None if text is None else cast("dict[str, Any]", json.loads(text))
