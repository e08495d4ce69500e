//! That a run is complete: written once, after the ledger says so.
//!
//! A run is complete when its receipt says so, never because a file is there. The receipt also holds the head
//! of the run's event chain outside the ledger, so that a ledger that lost or changed events is found out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Code,
    artifacts::ModelArtifact,
    bundle::ModelBundle,
    eval_report::EvalReport,
    execution_record::ExecutionRecord,
    gate_receipt::{GateReceipt, PublishEligibility},
    identity::digest::Digest,
    identity::ids::TrainRunId,
    measurements::Measurements,
    publication::BundlePublication,
    reference::Reference,
    resolved_plan::ResolvedTrainPlan,
    schema::{Document, SchemaVersion, artifact},
    signature::{Signature, signed},
};

/// Marks digests of ledger events.
#[derive(Debug)]
pub enum LedgerEvent {}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunOutcome {
    /// The gate said PASS; nothing is published yet.
    Pass,
    /// The gate said FAIL, or a stage refused.
    Fail,
    /// The bundle is in the registry.
    Published,
}

/// Everything that a run left behind, as far as it came.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Evidence {
    /// What was to be done.
    pub plan: Option<Reference<ResolvedTrainPlan>>,
    /// The model.
    pub model: Option<Reference<ModelArtifact>>,
    /// What the fit did.
    pub execution_record: Option<Reference<ExecutionRecord>>,
    /// How good the model is.
    pub eval_report: Option<Reference<EvalReport>>,
    /// What a clock measured meanwhile; no identity covers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measurements: Option<Reference<Measurements>>,
    /// Whom the model had to beat: the scope's ACTIVE bundle at the time, where the profile asks for that.
    pub champion: Option<Reference<ModelBundle>>,
    /// The gate's verdict.
    pub gate_receipt: Option<Reference<GateReceipt>>,
    /// What follows for publishing.
    pub publish_eligibility: Option<Reference<PublishEligibility>>,
    /// The bundle.
    pub bundle: Option<Reference<ModelBundle>>,
    /// That the bundle is published.
    pub publication: Option<Reference<BundlePublication>>,
}

impl Evidence {
    /// What the run of a bundle left behind, apart from its publication and from what was measured.
    pub fn of_bundle(bundle: &ModelBundle, reference: &Reference<ModelBundle>) -> Self {
        Self {
            plan: Some(bundle.plan.clone()),
            model: Some(bundle.model.clone()),
            execution_record: Some(bundle.execution_record.clone()),
            eval_report: Some(bundle.eval_report.clone()),
            measurements: None,
            champion: bundle.champion.clone(),
            gate_receipt: Some(bundle.gate_receipt.clone()),
            publish_eligibility: Some(bundle.publish_eligibility.clone()),
            bundle: Some(reference.clone()),
            publication: None,
        }
    }
}

/// That a run is complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunReceipt {
    /// Names this contract.
    pub schema_version: SchemaVersion<Self>,
    /// The run.
    pub train_run_id: TrainRunId,
    /// How it ended.
    pub outcome: RunOutcome,
    /// The code that stopped it; null where the gate decided.
    pub code: Option<Code>,
    /// What it left behind.
    pub evidence: Evidence,
    /// Events of the run in the ledger up to its outcome.
    pub ledger_events: u64,
    /// Digest of the last of them.
    pub ledger_head: Digest<LedgerEvent>,
    /// The factory that carried the run out.
    pub signature: Signature,
}

artifact!(
    RunReceipt,
    "run_receipt",
    EvidenceInvalid,
    EvidenceUnresolved,
    EvidenceDigestMismatch,
    RunReceiptImmutabilityViolation
);
signed!(RunReceipt, "run_receipt_signature.v1");

impl Document for RunReceipt {}
