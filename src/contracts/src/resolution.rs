//! What serves a scope, with the proof.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Code,
    bundle::ModelBundle,
    identity::digest::Digest,
    identity::ids::{BundleId, BundleVersion},
    lifecycle_event::RegistryLifecycleEvent,
    names::Name,
    reference::Reference,
    schema::{Document, SchemaVersion, artifact},
    scope::TargetScope,
};

/// How a scope resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ResolutionOutcome {
    /// The scope's own active bundle, or for a tenant the one for all tenants.
    Resolved,
    /// The bundle that the caller named for this case.
    SafeFallback,
    /// Nothing may serve.
    FailClosed,
}

/// What serves a scope.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BundleResolution {
    /// Names this contract.
    pub schema_version: SchemaVersion<Self>,
    /// The scope asked for.
    pub requested_scope: TargetScope,
    /// The scope that answered; null where none did.
    pub resolved_scope: Option<TargetScope>,
    /// How.
    pub outcome: ResolutionOutcome,
    /// Why the scope's own bundle does not serve; empty where it does.
    pub reason_codes: Vec<Code>,
    /// The bundle.
    pub bundle_id: Option<BundleId>,
    /// Its version.
    pub bundle_version: Option<BundleVersion>,
    /// Where it stands and what its bytes are.
    pub bundle: Option<Reference<ModelBundle>>,
    /// Place in the scope's history of the event that made it active.
    pub generation: Option<u64>,
    /// Digest of that event.
    pub event: Option<Digest<RegistryLifecycleEvent>>,
    /// Revision of the policy in force at that event.
    pub policy_revision: Option<Name>,
}

// An answer, which nobody stores: its storage codes cannot be met.
artifact!(
    BundleResolution,
    "resolution",
    DocumentInvalid,
    EvidenceUnresolved,
    EvidenceDigestMismatch,
    InternalError
);

impl Document for BundleResolution {}
