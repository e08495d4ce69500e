//! A factory: datasets, requests, runs and the documents they leave. Documents go in and out as JSON text.

use std::path::PathBuf;

use contracts::{
    Checked, Code, Document, Failure, Reference,
    bundle::ModelBundle,
    catalogue,
    dataset_manifest::DatasetManifest,
    eval_report::EvalReport,
    execution_record::ExecutionRecord,
    gate_receipt::{GateReceipt, PublishEligibility},
    governance_profile::GovernanceProfile,
    identity::canonical,
    identity::ids::{BundleId, TrainRunId},
    names::{Name, ObjectKey, PlatformRunId, Principal},
    publication::BundlePublication,
    reason::Reason,
    resolved_plan::ResolvedTrainPlan,
    scope::TargetScope,
    time::Timestamp,
    train_request::TrainBuildRequest,
    training_config::TrainingConfig,
};
use factory::{
    Factory, Place,
    dataset::{DatasetSpec, Sources},
    ledger::{Event, Run, State},
    store::{self, Location, Store},
};
use pyo3::prelude::*;
use serde::Serialize;
use serde_json::Value;

use crate::{
    failure::Result,
    json::{json, request},
    memory::sparing,
    parsed::Parsed,
    progress::watch,
    registry::PyRegistry,
    scoring::PyLoadedModel,
    table::PyTable,
    threads::{Threads, on},
};

/// A factory that is open.
#[pyclass(frozen, module = "model_factory._native", name = "Factory")]
pub(crate) struct PyFactory {
    factory: Factory,
    threads: Threads,
}

type Report = Option<Py<PyAny>>;

#[pymethods]
impl PyFactory {
    /// Opens the factory in a folder or bucket, and, if told to, makes it where there is none.
    #[new]
    #[pyo3(signature = (root, *, ledger = None, keys = None, threads = None, make = true))]
    fn new(
        py: Python<'_>,
        root: PathBuf,
        ledger: Option<PathBuf>,
        keys: Option<PathBuf>,
        threads: Threads,
        make: bool,
    ) -> Result<Self> {
        let place = Place { root: Location::parse(&root)?, ledger, keys };
        let factory = py.detach(|| if make { Factory::make(&place) } else { Factory::open(&place) })?;
        Ok(Self { factory, threads })
    }

    /// What is published and what is ACTIVE.
    #[getter]
    fn registry(&self) -> PyRegistry {
        PyRegistry::of(self.factory.clone())
    }

    /// The public key that this factory signs with.
    #[getter]
    fn signer(&self) -> Option<String> {
        self.factory.line().keys.signer().map(|key| key.to_string())
    }

    /// Builds a dataset; gives its manifest and the reference to it.
    #[pyo3(signature = (spec, events, labels, *, progress = None))]
    fn build_dataset(
        &self,
        py: Python<'_>,
        spec: &str,
        events: PyTable<'_>,
        labels: PyTable<'_>,
        progress: Report,
    ) -> Result<(String, String)> {
        let spec: DatasetSpec = request(spec)?;
        spec.check()?;
        let sources = Sources { events: events.source(py, "events")?, labels: labels.source(py, "labels")? };
        let built = watch(py, self.threads, progress, |watched| {
            sparing(|| self.factory.build_dataset(&spec, sources, watched))
        })?;
        Ok((text(&built.manifest)?, json(&built.reference)?))
    }

    /// Stores a training config under its content; gives the reference to it.
    fn put_training_config(
        &self,
        py: Python<'_>,
        owner: Parsed<PlatformRunId>,
        config: &str,
    ) -> Result<String> {
        Ok(py.detach(|| {
            json(&self.factory.put_training_config(&owner.0, &Checked::parse(config.as_bytes())?)?)
        })?)
    }

    /// Stores a governance profile under its content; gives the reference to it.
    fn put_governance_profile(
        &self,
        py: Python<'_>,
        owner: Parsed<PlatformRunId>,
        profile: &str,
    ) -> Result<String> {
        Ok(py.detach(|| {
            json(&self.factory.put_governance_profile(&owner.0, &Checked::parse(profile.as_bytes())?)?)
        })?)
    }

    /// Stores both documents that a request names, at once; gives the references to them.
    fn put_inputs(
        &self,
        py: Python<'_>,
        owner: Parsed<PlatformRunId>,
        config: &str,
        profile: &str,
    ) -> Result<(String, String)> {
        Ok(py.detach(|| -> contracts::Result<_> {
            let (config, profile) = (Checked::parse(config.as_bytes())?, Checked::parse(profile.as_bytes())?);
            let (config, profile) = self.factory.put_inputs(&owner.0, &config, &profile)?;
            Ok((json(&config)?, json(&profile)?))
        })?)
    }

    /// Admits a request; gives the run's id, and whether the request made it.
    fn submit(&self, py: Python<'_>, request: &str) -> Result<(String, bool)> {
        let admission =
            py.detach(|| self.factory.submit(Checked::<TrainBuildRequest>::parse(request.as_bytes())?))?;
        Ok((admission.run.run_id.to_string(), admission.fresh))
    }

    /// Admits a request and carries its run as far as it goes; gives the run's id.
    #[pyo3(signature = (request, worker, *, progress = None))]
    fn train(&self, py: Python<'_>, request: &str, worker: Parsed<Name>, progress: Report) -> Result<String> {
        let request = Checked::<TrainBuildRequest>::parse(request.as_bytes())?;
        let run = watch(py, self.threads, progress, |watched| {
            self.factory.line().train(request, &worker.0, watched)
        })?;
        Ok(run.to_string())
    }

    /// Carries out one run, or only the given one; gives its id, or none where nothing is to do.
    #[pyo3(signature = (worker, only = None, *, progress = None))]
    fn work(
        &self,
        py: Python<'_>,
        worker: Parsed<Name>,
        only: Option<Parsed<TrainRunId>>,
        progress: Report,
    ) -> Result<Option<String>> {
        let only = only.as_ref().map(|only| &only.0);
        let run = watch(py, self.threads, progress, |watched| self.factory.work(&worker.0, only, watched))?;
        Ok(run.map(|run| run.run_id.to_string()))
    }

    /// Stops a run for good.
    fn cancel(
        &self,
        py: Python<'_>,
        run: Parsed<TrainRunId>,
        actor: Parsed<Principal>,
        reason: Parsed<Reason>,
    ) -> Result<()> {
        Ok(py.detach(|| self.factory.line().cancel(&run.0, &actor.0, &reason.0).map(drop))?)
    }

    /// Lets a pending publication be tried anew.
    fn allow_retries(
        &self,
        py: Python<'_>,
        run: Parsed<TrainRunId>,
        actor: Parsed<Principal>,
        reason: Parsed<Reason>,
    ) -> Result<()> {
        Ok(py.detach(|| self.factory.line().allow_retries(&run.0, &actor.0, &reason.0).map(drop))?)
    }

    /// Leaves a request for the workers of a run configuration; gives the reference to the job.
    fn post(&self, py: Python<'_>, name: Parsed<Name>, config: &str, asked: &str) -> Result<String> {
        Ok(py.detach(|| {
            let asked = Checked::<TrainBuildRequest>::parse(asked.as_bytes())?;
            json(&self.factory.line().post(&name.0, &request(config)?, &asked)?)
        })?)
    }

    /// Publishes a run that passed, as this requester.
    #[pyo3(signature = (run, requester, worker, *, progress = None))]
    fn publish(
        &self,
        py: Python<'_>,
        run: Parsed<TrainRunId>,
        requester: Parsed<Principal>,
        worker: Parsed<Name>,
        progress: Report,
    ) -> Result<()> {
        watch(py, self.threads, progress, |watched| {
            self.factory.publish(&run.0, &requester.0, &worker.0, watched).map(drop)
        })
    }

    /// Carries on with a publication that is pending.
    #[pyo3(signature = (run, worker, *, progress = None))]
    fn publish_retry(
        &self,
        py: Python<'_>,
        run: Parsed<TrainRunId>,
        worker: Parsed<Name>,
        progress: Report,
    ) -> Result<()> {
        watch(py, self.threads, progress, |watched| {
            self.factory.publish_retry(&run.0, &worker.0, watched).map(drop)
        })
    }

    /// A run.
    fn run(&self, py: Python<'_>, run: Parsed<TrainRunId>) -> Result<PyRow> {
        Ok(py.detach(|| self.factory.line().ledger.run(&run.0)).map(PyRow)?)
    }

    /// The runs in a state, or in any, latest first.
    #[pyo3(signature = (state, limit))]
    fn runs(&self, py: Python<'_>, state: Option<&str>, limit: u32) -> Result<Vec<PyRow>> {
        let state = state.map(state_of).transpose()?;
        let runs = py.detach(|| on(self.threads, || self.factory.line().ledger.runs(state, limit)))?;
        Ok(runs.into_iter().map(PyRow).collect())
    }

    /// The references to what a run left behind.
    fn evidence(&self, py: Python<'_>, run: Parsed<TrainRunId>) -> Result<String> {
        Ok(py.detach(|| json(&self.factory.line().evidence(&run.0)?))?)
    }

    /// The events of a run from the first.
    fn events(&self, py: Python<'_>, run: Parsed<TrainRunId>) -> Result<Vec<String>> {
        let events = py.detach(|| {
            let events = self.factory.line().ledger.events(&run.0)?;
            events
                .iter()
                .map(|event| json(&HashedEvent { event, hash: event.hash.to_string() }))
                .collect::<contracts::Result<_>>()
        })?;
        Ok(events)
    }

    /// The receipt of a run that is at rest.
    fn receipt(&self, py: Python<'_>, run: Parsed<TrainRunId>) -> Result<Option<String>> {
        Ok(py.detach(|| self.factory.receipt(&run.0)?.as_ref().map(text).transpose())?)
    }

    /// What a clock measured while a run was carried out.
    fn measurements(&self, py: Python<'_>, run: Parsed<TrainRunId>) -> Result<Option<String>> {
        Ok(py.detach(|| self.factory.measurements(&run.0)?.as_ref().map(text).transpose())?)
    }

    /// The document of this kind that a reference pins, read and compared with its digest.
    fn document(&self, py: Python<'_>, name: &str, uri: Parsed<ObjectKey>, digest: &str) -> Result<String> {
        let name = catalogue::find(name)?.name;
        let found = PINNED.iter().find(|(own, _)| *own == name);
        let (_, read) = found.ok_or_else(|| {
            Failure::at(Code::ParameterInvalid, "document", "one that references pin", "another kind")
        })?;
        Ok(py.detach(|| read(&*self.factory.line().store, uri.0, digest))?)
    }

    /// Loads a bundle for scoring.
    fn load(&self, py: Python<'_>, uri: Parsed<ObjectKey>, digest: &str) -> Result<PyLoadedModel> {
        let model = py.detach(|| {
            self.factory.load(&Reference::<ModelBundle> { uri: uri.0, digest: digest.parse()? })
        })?;
        Ok(PyLoadedModel::of(model, self.threads))
    }

    /// Compares every object that a bundle rests on with its digest; gives what was looked at.
    #[pyo3(signature = (bundle, *, progress = None))]
    fn verify(&self, py: Python<'_>, bundle: Parsed<BundleId>, progress: Report) -> Result<String> {
        let verified = watch(py, self.threads, progress, |watched| self.factory.verify(&bundle.0, watched))?;
        Ok(json(&verified)?)
    }

    /// Fits a bundle's model again and compares the bytes.
    #[pyo3(signature = (bundle, *, progress = None))]
    fn rebuild(&self, py: Python<'_>, bundle: Parsed<BundleId>, progress: Report) -> Result<()> {
        watch(py, self.threads, progress, |watched| self.factory.rebuild(&bundle.0, watched))
    }

    /// Checks every promise of the whole factory; gives the findings.
    fn fsck(&self, py: Python<'_>) -> Result<String> {
        Ok(py.detach(|| on(self.threads, || json(&self.factory.fsck()?)))?)
    }
}

/// A run as the ledger has it. A listing may hold very many, of which a caller looks at a few columns.
#[pyclass(frozen, module = "model_factory._native", name = "Row")]
pub(crate) struct PyRow(Run);

#[pymethods]
impl PyRow {
    #[getter]
    fn run_id(&self) -> &str {
        self.0.run_id.as_str()
    }

    #[getter]
    fn state(&self) -> &str {
        self.0.progress.state.as_str()
    }

    /// All of it, with its request, until when it rests, and how often it may still be published.
    fn text(&self) -> Result<String> {
        let request: Value = canonical::read(&self.0.request)?;
        let (rests_until, retries_left) = (self.0.rests_until(), self.0.progress.attempts_left());
        Ok(json(&RunView { run: &self.0, rests_until, retries_left, request })?)
    }
}

#[derive(Serialize)]
struct RunView<'a> {
    #[serde(flatten)]
    run: &'a Run,
    rests_until: Option<Timestamp>,
    retries_left: Option<u64>,
    request: Value,
}

#[derive(Serialize)]
struct HashedEvent<'a> {
    #[serde(flatten)]
    event: &'a Event,
    hash: String,
}

/// The canonical text of a document.
fn text<D: Document>(document: &Checked<D>) -> contracts::Result<String> {
    String::from_utf8(document.bytes().to_vec())
        .map_err(|_| Failure::new(Code::InternalError, "canonical JSON is UTF-8"))
}

/// A request to build a dataset; refused with `PARAMETER_INVALID` at the first place that is wrong.
fn state_of(text: &str) -> contracts::Result<State> {
    State::from_text(text).ok_or_else(|| {
        let states = State::ALL.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(", ");
        Failure::at(Code::ParameterInvalid, "state", format!("one of {states}"), "another text")
    })
}

type Read = fn(&dyn Store, ObjectKey, &str) -> contracts::Result<String>;

/// The kinds of documents that references pin.
const PINNED: &[(&str, Read)] = &[
    pinned::<DatasetManifest>(),
    pinned::<TrainingConfig>(),
    pinned::<GovernanceProfile>(),
    pinned::<ResolvedTrainPlan>(),
    pinned::<ExecutionRecord>(),
    pinned::<EvalReport>(),
    pinned::<GateReceipt>(),
    pinned::<PublishEligibility>(),
    pinned::<ModelBundle>(),
    pinned::<BundlePublication>(),
];

const fn pinned<D: Document>() -> (&'static str, Read) {
    (D::NAME, |store, uri, digest| {
        text(&store::read_document(store, &Reference::<D> { uri, digest: digest.parse()? })?)
    })
}

/// The scope of a text such as `prod/card/primary`, as JSON text.
#[pyfunction]
pub(crate) fn scope(text: Parsed<TargetScope>) -> Result<String> {
    Ok(json(&text.0)?)
}

/// Checks the platform run that an open factory fills in for its callers, so that nothing fails for it later.
#[pyfunction]
pub(crate) fn check_platform_run(platform_run_id: Parsed<PlatformRunId>) {
    // Taking it is the check.
    drop(platform_run_id);
}

/// Checks who acts, as the caller's argument of this name.
#[pyfunction]
pub(crate) fn check_principal(text: &str, name: &str) -> Result<()> {
    let of_argument = |failure: Failure| failure.with_code(Code::ParameterInvalid).with_place(name);
    Ok(text.parse::<Principal>().map(drop).map_err(of_argument)?)
}

/// Name of this release of the code, as requests and manifests carry it.
#[pyfunction]
pub(crate) const fn release() -> &'static str {
    concat!("model_factory-", env!("CARGO_PKG_VERSION"))
}
