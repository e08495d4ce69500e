//! Every document by name: for `schemas/`, the command line and the tests.

use serde_json::Value;

use crate::{
    Code, Failure, Result,
    bundle::ModelBundle,
    dataset_manifest::DatasetManifest,
    error_response::ErrorResponse,
    eval_report::EvalReport,
    execution_record::ExecutionRecord,
    gate_receipt::{GateReceipt, PublishEligibility},
    governance_profile::GovernanceProfile,
    job::{JobInvocation, JobRequest},
    lifecycle_event::RegistryLifecycleEvent,
    measurements::Measurements,
    publication::BundlePublication,
    resolution::BundleResolution,
    resolved_plan::ResolvedTrainPlan,
    run_receipt::RunReceipt,
    schema::{Artifact, Checked, Document, schema},
    train_request::TrainBuildRequest,
    training_config::TrainingConfig,
};

/// One kind of document.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Its JSON Schema.
    pub schema: fn() -> Value,
    /// Its canonical bytes, if the given JSON is one.
    pub canonical: fn(&[u8]) -> Result<Vec<u8>>,
    /// The code of one that is not as it should be.
    pub invalid: Code,
}

const fn entry<D: Document>() -> Entry {
    Entry {
        name: <D as Artifact>::NAME,
        schema: schema::<D>,
        canonical: |bytes| Checked::<D>::parse(bytes).map(|checked| checked.bytes().to_vec()),
        invalid: D::INVALID,
    }
}

/// All kinds of documents.
pub const ALL: &[Entry] = &[
    entry::<TrainBuildRequest>(),
    entry::<DatasetManifest>(),
    entry::<TrainingConfig>(),
    entry::<GovernanceProfile>(),
    entry::<ResolvedTrainPlan>(),
    entry::<ExecutionRecord>(),
    entry::<EvalReport>(),
    entry::<Measurements>(),
    entry::<GateReceipt>(),
    entry::<PublishEligibility>(),
    entry::<ModelBundle>(),
    entry::<BundlePublication>(),
    entry::<RegistryLifecycleEvent>(),
    entry::<BundleResolution>(),
    entry::<RunReceipt>(),
    entry::<JobRequest>(),
    entry::<JobInvocation>(),
    entry::<ErrorResponse>(),
];

/// The kind of this name; refuses with `PARAMETER_INVALID`.
pub fn find(name: &str) -> Result<&'static Entry> {
    ALL.iter().find(|entry| entry.name == name).ok_or_else(|| {
        let names = ALL.iter().map(|entry| entry.name).collect::<Vec<_>>().join(", ");
        Failure::at(Code::ParameterInvalid, "name", format!("one of {names}"), "another name")
    })
}
