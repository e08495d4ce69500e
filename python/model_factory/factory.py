"""A factory: from a dataset to a model that is published, served and proved.

>>> import tempfile
>>> import model_factory as mf
>>> with tempfile.TemporaryDirectory() as folder:
...     mf.open(folder).fsck()
{'bundles': 0, 'findings': [], 'runs': 0, 'scopes': 0}
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from model_factory import _arguments, _arrays, _native, _requests
from model_factory._context import Context, Defaults, Place, login_user, threads_of
from model_factory._progress import reporting
from model_factory.datasets import Dataset, Datasets
from model_factory.registry import Registry
from model_factory.runs import Bundle, Run, id_of
from model_factory.scoring import Model
from model_factory.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    import numpy as np
    from numpy.typing import NDArray

    from model_factory._progress import Progress
    from model_factory._requests import Given

__all__ = ["Factory", "open"]


def open(  # noqa: A001 - mf.open
    root: str | PathLike[str],
    *,
    ledger: str | PathLike[str] | None = None,
    keys: str | PathLike[str] | None = None,
    threads: int | None = None,
    principal: str | None = None,
    platform_run_id: str = "local",
    progress: Progress = None,
    make: bool = True,
) -> Factory:
    """Open the factory in a folder or a bucket, and make it where there is none.

    Parameters
    ----------
    root : path or URL
        Folder of objects and ledger, or where the objects alone stand: ``s3://bucket/prefix``,
        ``gs://bucket/prefix``, ``az://container/prefix``; ``file:///folder`` is that folder. A URL is text,
        and holds no credentials: these, the region and the endpoint are read from the environment, as
        ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION`` and ``AWS_ENDPOINT_URL`` are for S3.
    ledger : path or URL, optional
        File of the ledger, or ``postgresql://user@host/database`` for workers on several machines; a
        password is best left to ``PGPASSWORD``. By default ``ledger.sqlite`` below the root; beside a bucket
        it must be named.
    keys : path, optional
        Folder of the keys: ``signing.pem``, which bundles, lifecycle events and receipts are signed with,
        and the public keys of other signers in ``trusted/``. By default ``keys`` below the root; beside a
        bucket it must be named. A factory that is being made gets a key in a folder that is empty or not
        there; one that was made before takes its own keys, or those of a signer that trusts the last one.
        With trusted keys alone one can verify, resolve and score, and nothing else.
    threads : int, optional
        Threads of each call; all cores by default. Results do not depend on it.
    principal : str, optional
        Who asks for runs and acts on the registry; the login user by default.
    platform_run_id : str
        Prefix under which everything is stored.
    progress : callable or False, optional
        Called with (stage, steps done, steps in all), every 50 ms at the most; what it raises stops the work.
        By default a bar on a terminal or in a notebook; False is quiet.
    make : bool
        False refuses a place that holds no factory. A factory in a folder that cannot be written to, such as
        an auditor's copy, can be read.

    Raises
    ------
    InputAdmissionError
        ``PARAMETER_INVALID`` for threads that are no whole number of at least one, what is no path, a URL of
        another form or with credentials, a bucket without a ledger, without keys or without its settings in
        the environment, or a principal of another form; ``RUN_SCOPE_INVALID`` for a platform run of another
        form.
    EvidenceError
        ``SIGNING_KEY_UNAVAILABLE`` or ``SIGNATURE_INVALID`` for a key in another form than Ed25519 in PEM;
        ``SIGNING_KEY_UNAVAILABLE`` for the keys of another factory, or none.
    DatasetError
        ``SOURCE_UNREADABLE`` where no factory is to be made and there is none.
    ExecutionError
        ``STORE_UNAVAILABLE``, ``STORE_CORRUPT``, ``LEDGER_UNAVAILABLE``, ``LEDGER_CORRUPT``;
        ``STORE_UNSUITABLE`` for a server that overwrites what is there although it is told not to.
    """
    defaults = Defaults(platform_run_id, login_user() if principal is None else principal)
    number = threads_of(threads)
    place = Place(root, ledger, keys)
    native = _native.Factory(root, ledger=ledger, keys=keys, threads=number, make=make)
    return Factory(Context(native, place, defaults, progress, number))


class Factory:
    """A factory that is open.

    Attributes
    ----------
    datasets : Datasets
        Builds and opens datasets.
    registry : Registry
        What is published and what is ACTIVE.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self.datasets = Datasets(context)
        self.registry = Registry(context)

    def __repr__(self) -> str:
        signer = "signs nothing" if self.signer is None else f"signs as {self.signer}"
        return f"<Factory in {str(self._context.place.root)!r}: {signer}>"

    @property
    def defaults(self) -> Defaults:
        """Everything that is filled in where a caller does not say it."""
        return self._context.defaults

    @property
    def signer(self) -> str | None:
        """The public key that it signs with, ``ed25519:`` and 64 hexadecimal digits; None for a reader."""
        return self._context.native.signer

    def train(
        self,
        dataset: Dataset | Sequence[Dataset],
        *,
        config: Given,
        governance: Given,
        scope: str,
        intent: str = "baseline_train",
        publish: bool = False,
        request_id: str | None = None,
        supersedes: str | None = None,
    ) -> Run:
        """Train, evaluate and judge a model; the same content is the same run, however often it is asked for.

        Parameters
        ----------
        dataset : Dataset or sequence of Dataset
            The data.
        config : mapping or path
            The ``training_config``: a mapping, a JSON file or a ``.toml`` file. ``schema_version``, ``label``
            and ``feature_definition_set`` can be left out; the latter two are then the dataset's.
        governance : mapping or path
            The ``governance_profile``, likewise.
        scope : str
            Where the bundle is to serve: ``environment/mode/bundle_slot``, optionally ``/tenant``.
        intent : str
            ``baseline_train``, ``backfill_retrain``, ``candidate_eval`` or ``regression_check``.
        publish : bool
            Whether a PASS is published at once.
        request_id : str, optional
            Name of the request; made of its content by default.
        supersedes : str, optional
            Id of the run that this one corrects.

        Returns
        -------
        Run
            Also where the gate said FAIL.

        Raises
        ------
        ModelFactoryError
            Whatever stopped the run, with its code; ``LEASE_LOST``, which can be retried, while another
            worker, or another thread, carries out the same run.
        """
        request = self._request(
            _datasets(dataset),
            config=config,
            governance=governance,
            scope=scope,
        )
        request |= {"intent_kind": intent, "publish_allowed": publish, "supersedes": supersedes}
        request["request_id"] = _requests.request_id(request) if request_id is None else request_id
        written = _written("train_request", request, "request")
        with reporting(self._context.progress) as report:
            run_id = self._context.native.train(written, self.defaults.worker, progress=report)
        run = Run.read(self._context, run_id)
        run.raise_refusal()
        run.raise_held()
        return run

    def store(self, name: str, document: Given) -> dict[str, str]:
        """Store a document under its content and give the ``{uri, digest}`` that a request names it by.

        Parameters
        ----------
        name : str
            ``training_config`` or ``governance_profile``.
        document : mapping or path
            The document: a mapping, a JSON file or a ``.toml`` file; ``schema_version`` can be left out.

        Raises
        ------
        ResolutionError
            ``TRAINING_CONFIG_INVALID`` or ``GOVERNANCE_PROFILE_INVALID``, with every problem.
        InputAdmissionError
            ``PARAMETER_INVALID`` for any other name.
        """
        native = self._context.native
        stored = {
            "training_config": native.put_training_config,
            "governance_profile": native.put_governance_profile,
        }
        put = stored[_requests.stored(name)]
        reference = put(self.defaults.platform_run_id, _written(name, document, "document"))
        return cast("dict[str, str]", json.loads(reference))

    def submit(self, request: Given) -> Run:
        """Admit a ``train_request``, given as a mapping or the path of a file, without carrying it out.

        Raises
        ------
        InputAdmissionError, ResolutionError
            With the code of what is wrong with it; nothing is recorded then.
        """
        run_id, _ = self._context.native.submit(_written("train_request", request, "request"))
        return Run.read(self._context, run_id)

    def work(self, run_id: str | None = None, *, once: bool = True) -> Run | None:
        """Carry out the run that has waited longest, or only the given one.

        Parameters
        ----------
        run_id : str, optional
            The only run that is looked at.
        once : bool
            False goes on until nothing waits.

        Returns
        -------
        Run or None
            The run carried out last; None where nothing was to do.

        Raises
        ------
        ModelFactoryError
            Whatever stopped the run, with its code; the ledger holds it too.
        """
        last = None
        only = None if run_id is None else _arguments.text(run_id, "run_id")
        while True:
            with reporting(self._context.progress) as report:
                done = self._context.native.work(self.defaults.worker, only, progress=report)
            last = last if done is None else done
            if once or done is None:
                return None if last is None else Run.read(self._context, last)

    def worker(self, *, concurrency: int = 1) -> Worker:
        """Make a worker that serves: it takes up jobs and carries out whatever waits, until it is stopped.

        Parameters
        ----------
        concurrency : int
            Runs that it carries out at the same time, each on the factory's ``threads``.

        Raises
        ------
        InputAdmissionError
            ``PARAMETER_INVALID`` for a concurrency that is no whole number from 1 to 1,000.
        """
        context = self._context
        return Worker(context.place, context.defaults, concurrency=concurrency, threads=context.threads)

    def post(self, request: Given, *, name: str | None = None) -> dict[str, str]:
        """Leave a ``train_request`` in the store as a job for the workers of this platform run.

        A worker admits it and answers with a ``job_invocation``; a request that must not run is quarantined
        by that receipt, with its code.

        Parameters
        ----------
        request : mapping or path
            The request.
        name : str, optional
            Name of the job, which is used once; the request's id by default.

        Returns
        -------
        dict
            ``uri`` and ``digest`` of the job.

        Raises
        ------
        InputAdmissionError
            With the code of what is wrong with the request; ``RUN_SCOPE_INVALID`` or ``RUN_CONFIG_MISMATCH``
            where it is for another platform run or for other revisions.
        ImmutabilityError
            ``JOB_REQUEST_IMMUTABILITY_VIOLATION`` where another job has the name, or had it and was answered.
        """
        kind = "train_request"
        document = _requests.read(kind, request, "request")
        named = document.get("request_id") if name is None else _arguments.text(name, "name")
        text = _requests.as_json(kind, document)
        if not isinstance(named, str):
            # The document's own door says what is wrong with its id.
            _native.canonical(kind, text.encode())
        posted = self._context.native.post(str(named), self.defaults.run_config, text)
        return cast("dict[str, str]", json.loads(posted))

    def run(self, run_id: str) -> Run:
        """Give a run by its id.

        Raises
        ------
        ExecutionError
            ``RUN_NOT_FOUND``.
        """
        return Run.read(self._context, _arguments.text(run_id, "run_id"))

    def runs(self, state: str | None = None, limit: int = 100) -> list[Run]:
        """Give the runs in a state, or in any, latest admission first.

        Parameters
        ----------
        state : str, optional
            Such as ``PASS``.
        limit : int
            At most so many: a list that is as long as that may have left some out.

        Raises
        ------
        InputAdmissionError
            ``PARAMETER_INVALID`` for a state that there is not, or a limit that is no whole number of at
            least one.
        ExecutionError
            ``LEDGER_UNAVAILABLE``; ``LEDGER_CORRUPT`` for a row among them that was changed.
        """
        wanted = None if state is None else _arguments.text(state, "state")
        most = _arrays.whole(limit, "limit", 1, (1 << 32) - 1)
        return [Run(self._context, row) for row in self._context.native.runs(wanted, most)]

    def publish_retry(self, run_id: str) -> Run:
        """Carry on with a publication that is pending; never trains.

        Raises
        ------
        PublishError
            ``RETRY_NOT_PENDING``, ``PUBLISH_RETRY_EXHAUSTED``, ``PUBLISH_CONFLICT``.
        """
        _arguments.text(run_id, "run_id")
        with reporting(self._context.progress) as report:
            self._context.native.publish_retry(run_id, self.defaults.worker, progress=report)
        return Run.read(self._context, run_id)

    def load(self, bundle: Bundle | str) -> Model:
        """Load and verify a bundle, or the published bundle of an id, for scoring.

        Raises
        ------
        EvidenceError
            ``EVIDENCE_UNRESOLVED``, ``EVIDENCE_DIGEST_MISMATCH``, ``SIGNATURE_INVALID``, ``MODEL_INVALID``,
            ``GATE_DECISION_MISMATCH``.
        RegistryError
            ``BUNDLE_NOT_FOUND``.
        """
        found = bundle if isinstance(bundle, Bundle) else self.registry.find(bundle)
        return Model.load(self._context, found.reference)

    def score(self, scope: str, features: Any) -> NDArray[np.float64]:
        """Score with what serves a scope: resolve, load, ``predict_proba``."""
        return self.registry.resolve(scope).load().predict_proba(features)

    def verify(self, bundle: Bundle | str) -> dict[str, Any]:
        """Check the signature of a published bundle, every digest that it rests on, and judge it anew.

        Returns
        -------
        dict
            ``objects`` and ``bytes`` that were compared, and that the gate was ``gate_confirmed``.

        Raises
        ------
        ResolutionError, EvidenceError, RegistryError
            Naming the first object that is missing or changed.
        """
        with reporting(self._context.progress) as report:
            verified = self._context.native.verify(id_of(bundle), progress=report)
        return cast("dict[str, Any]", json.loads(verified))

    def rebuild(self, bundle: Bundle | str) -> None:
        """Fit a published bundle's model again from its data and compare the bytes.

        Raises
        ------
        ExecutionError
            ``NONDETERMINISM_DETECTED``.
        """
        with reporting(self._context.progress) as report:
            self._context.native.rebuild(id_of(bundle), progress=report)

    def fsck(self) -> dict[str, Any]:
        """Check every promise of the whole factory; ``findings`` lists those that do not hold."""
        return cast("dict[str, Any]", json.loads(self._context.native.fsck()))

    def _request(
        self, datasets: Sequence[Dataset], *, config: Given, governance: Given, scope: str
    ) -> dict[str, Any]:
        """Give a request with both documents stored under their content."""
        if not datasets:
            raise _native.refusal("MANIFEST_REF_MISSING", "dataset", "at least one dataset", "none")
        of_data: dict[str, Any] = {
            "feature_definition_set": {
                key: datasets[0].manifest["feature_definition_set"][key]
                for key in ("feature_set_id", "feature_set_version")
            },
            "label": {
                "family": datasets[0].manifest["label_basis"]["label_family"],
                "positive_values": datasets[0].manifest["label_basis"]["positive_values"],
            },
        }
        config = of_data | _requests.read("training_config", config, "config")
        defaults = self.defaults
        stored = self._context.native.put_inputs(
            defaults.platform_run_id,
            _written("training_config", config, "config"),
            _written("governance_profile", governance, "governance"),
        )
        target = json.loads(_native.scope(_arguments.text(scope, "scope")))
        return {
            "schema_version": "model_factory.train_request.v1",
            "platform_run_id": defaults.platform_run_id,
            "dataset_manifests": sorted(
                (each.reference for each in datasets), key=lambda each: each["digest"]
            ),
            "training_config": json.loads(stored[0]),
            "governance_profile": json.loads(stored[1]),
            "requester_principal": defaults.principal,
            "target_scope": target,
            "policy_revision": defaults.policy_revision,
            "config_revision": defaults.config_revision,
            "code_release_id": defaults.code_release_id,
        }


def _written(name: str, document: Given, place: str) -> str:
    """Give a document as the text that the core reads; ``place`` is the argument that holds it."""
    return _requests.as_json(name, _requests.read(name, document, place))


def _datasets(given: Dataset | Sequence[Dataset]) -> list[Dataset]:
    if isinstance(given, Dataset):
        return [given]
    return _arguments.several(given, "dataset", Dataset, "datasets of factory.datasets")
