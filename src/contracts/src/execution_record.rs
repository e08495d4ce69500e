//! What a fit did, apart from what a clock measured.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    artifacts::ModelArtifact,
    identity::digest::Digest,
    identity::ids::TrainRunId,
    names::Name,
    reference::Reference,
    resolved_plan::ResolvedTrainPlan,
    schema::{Document, SchemaVersion, artifact},
    train_run_key::StageSeed,
};

/// Rows of one window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowRows {
    /// Rows used.
    pub rows: u64,
    /// Of these, positive.
    pub positive: u64,
    /// Rows of the window left out because their label is not known.
    pub unknown_label: u64,
    /// Rows of the window left out because their entity is known to be positive.
    pub known_positive: u64,
}

/// What a fit did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecutionRecord {
    /// Names this contract.
    pub schema_version: SchemaVersion<Self>,
    /// The run.
    pub train_run_id: TrainRunId,
    /// The plan that was carried out.
    pub plan: Digest<ResolvedTrainPlan>,
    /// The model's family.
    pub family: Name,
    /// The model.
    pub model: Reference<ModelArtifact>,
    /// Size of the model in bytes.
    pub model_bytes: u64,
    /// What keyed every random choice.
    pub stage_seed: Digest<StageSeed>,
    /// Rows by window: `train`, `validation`, `test`.
    pub windows: BTreeMap<String, WindowRows>,
}

artifact!(
    ExecutionRecord,
    "execution_record",
    EvidenceInvalid,
    EvidenceUnresolved,
    EvidenceDigestMismatch,
    ExecutionRecordImmutabilityViolation
);

impl Document for ExecutionRecord {}
