//! The create-only record that a bundle is published: one winner for each bundle id and version.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    bundle::ModelBundle,
    identity::ids::{BundleId, BundleVersion, TrainRunId},
    reference::Reference,
    schema::{Document, SchemaVersion, artifact},
    scope::TargetScope,
};

/// The record that a bundle is published. It holds no time and no principal, so that a publication that was
/// interrupted and is carried on writes the same bytes; both stand in the lifecycle event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BundlePublication {
    /// Names this contract.
    pub schema_version: SchemaVersion<Self>,
    /// The bundle.
    pub bundle_id: BundleId,
    /// Its version.
    pub bundle_version: BundleVersion,
    /// Where it stands and what its bytes are.
    pub bundle: Reference<ModelBundle>,
    /// Where it is to serve.
    pub target_scope: TargetScope,
    /// The run that built it.
    pub train_run_id: TrainRunId,
}

artifact!(
    BundlePublication,
    "publication",
    EvidenceInvalid,
    EvidenceUnresolved,
    EvidenceDigestMismatch,
    PublicationImmutabilityViolation
);

impl Document for BundlePublication {}
