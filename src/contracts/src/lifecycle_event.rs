//! The registry's append-only facts, one file each, chained by digest.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    bundle::ModelBundle,
    gate_receipt::GateReceipt,
    governance_profile::GovernanceProfile,
    identity::digest::Digest,
    identity::ids::{BundleId, BundleVersion},
    names::{Name, Principal},
    reference::Reference,
    schema::{Document, Problems, SchemaVersion, artifact},
    scope::TargetScope,
    signature::{Signature, signed},
    time::Timestamp,
};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LifecycleKind {
    /// The bundle is in the registry.
    BundlePublished,
    /// Someone vouched for it.
    BundleApproved,
    /// It serves the scope.
    BundlePromotedActive,
    /// It serves the scope again, in place of a later one.
    BundleRolledBack,
    /// It never serves again.
    BundleRetired,
}

/// State of a bundle in its scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum BundleState {
    /// Published, and not serving.
    Published,
    /// Published and approved, and not serving.
    Approved,
    /// Serving.
    Active,
    /// Never serving again.
    Retired,
}

/// One fact about one bundle in one scope.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistryLifecycleEvent {
    /// Names this contract.
    pub schema_version: SchemaVersion<Self>,
    /// The scope.
    pub target_scope: TargetScope,
    /// Place in the scope's history, from 1 without gaps; ACTIVE's generation.
    #[schemars(range(min = 1))]
    pub sequence: u64,
    /// Digest of the event before; null in the first.
    pub previous: Option<Digest<Self>>,
    /// What happened.
    pub kind: LifecycleKind,
    /// The bundle.
    pub bundle_id: BundleId,
    /// Its version.
    pub bundle_version: BundleVersion,
    /// Where it stands and what its bytes are.
    pub bundle: Reference<ModelBundle>,
    /// The receipt it passed the gate with.
    pub gate_receipt: Reference<GateReceipt>,
    /// The profile that says who may do this.
    pub governance_profile: Reference<GovernanceProfile>,
    /// State before; null where there was none.
    pub from: Option<BundleState>,
    /// State after.
    pub to: BundleState,
    /// Who did it; of a publication who allowed it.
    pub actor: Principal,
    /// Who asked for the run that built the bundle: of a publication, null in all others.
    pub requester: Option<Principal>,
    /// Why, in the actor's words.
    #[schemars(length(min = 1, max = 2_000))]
    pub reason: String,
    /// Revision of the policy in force.
    pub policy_revision: Name,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The registry that recorded it.
    pub signature: Signature,
}

artifact!(
    RegistryLifecycleEvent,
    "lifecycle_event",
    EvidenceInvalid,
    EvidenceUnresolved,
    EvidenceDigestMismatch,
    LifecycleEventImmutabilityViolation
);
signed!(RegistryLifecycleEvent, "lifecycle_event_signature.v1");

impl Document for RegistryLifecycleEvent {
    fn check(&self, problems: &mut Problems) {
        let linked = self.previous.is_some() == (self.sequence > 1);
        problems.require(linked, "/previous", "the event before, in all but the first", "something else");
        let published = self.kind == LifecycleKind::BundlePublished;
        let named = self.requester.is_some() == published;
        problems.require(named, "/requester", "who asked, of a publication alone", "something else");
    }
}
