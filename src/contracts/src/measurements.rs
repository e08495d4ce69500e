//! What a clock measured. No identity covers it, and the first one written stands.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    identity::ids::TrainRunId,
    schema::{Document, SchemaVersion, artifact},
};

/// What a clock measured while a run was carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Measurements {
    /// Names this contract.
    pub schema_version: SchemaVersion<Self>,
    /// The run.
    pub train_run_id: TrainRunId,
    /// Seconds by stage.
    pub stage_seconds: BTreeMap<String, f64>,
    /// Median microseconds to score one row of the test window alone.
    pub score_one_row_microseconds: Option<f64>,
    /// Rows of the test window scored in a second, all at once.
    pub score_rows_per_second: Option<f64>,
    /// Threads that were used.
    pub threads: u32,
}

artifact!(
    Measurements,
    "measurements",
    EvidenceInvalid,
    EvidenceUnresolved,
    EvidenceDigestMismatch,
    MeasurementsImmutabilityViolation
);

impl Document for Measurements {}
