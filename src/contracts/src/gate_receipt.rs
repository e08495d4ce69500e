//! The gate's verdict, and what follows for publishing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Code,
    artifacts::ModelArtifact,
    eval_report::EvalReport,
    governance_profile::{Criterion, GovernanceProfile},
    identity::digest::Digest,
    identity::ids::{BundleId, TrainRunId},
    names::Name,
    schema::{Document, Problems, SchemaVersion, artifact},
    train_run_key::TrainRunKey,
};

/// A verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// It holds.
    Pass,
    /// It does not hold, or cannot be shown to hold.
    Fail,
}

/// Why a criterion got its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// The value is on the passing side.
    Met,
    /// The value is on the failing side.
    NotMet,
    /// The report has no such metric, split, slice or bound, or the value is not finite.
    Missing,
}

/// A criterion with what was observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CriterionResult {
    /// What was asked.
    pub criterion: Criterion,
    /// The group judged, where the criterion judges every group of a slice.
    pub group: Option<u32>,
    /// What was observed.
    pub observed: Option<f64>,
    /// Whether it holds.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
}

/// The comparison with the scope's active bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChampionResult {
    /// The active bundle; null where there is none, which passes.
    pub champion: Option<BundleId>,
    /// The champion's report.
    pub champion_report: Option<Digest<EvalReport>>,
    /// The metric compared.
    pub metric: Name,
    /// The champion's value in its own report.
    pub champion_value: Option<f64>,
    /// The candidate's value.
    pub candidate_value: Option<f64>,
    /// Least improvement.
    pub min_improvement: f64,
    /// Whether it holds.
    pub verdict: Verdict,
}

/// The gate's verdict with everything it rests on, by digest alone: the bundle's id rests on this document, and
/// must not change with the place where something stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GateReceipt {
    /// Names this contract.
    pub schema_version: SchemaVersion<Self>,
    /// The run.
    pub train_run_id: TrainRunId,
    /// What was to be done: digest of the run's key.
    pub train_run_key: Digest<TrainRunKey>,
    /// The model judged.
    pub model: Digest<ModelArtifact>,
    /// The report judged.
    pub eval_report: Digest<EvalReport>,
    /// The profile judged by.
    pub governance_profile: Digest<GovernanceProfile>,
    /// Each criterion.
    pub criteria: Vec<CriterionResult>,
    /// The comparison with the champion, where the profile asks for one.
    pub champion: Option<ChampionResult>,
    /// PASS where everything holds.
    pub decision: Verdict,
    /// Names of the criteria that do not hold.
    pub failed: Vec<Name>,
}

artifact!(
    GateReceipt,
    "gate_receipt",
    GateInvalid,
    EvidenceUnresolved,
    EvidenceDigestMismatch,
    GateReceiptImmutabilityViolation
);

impl Document for GateReceipt {
    fn check(&self, problems: &mut Problems) {
        let criteria = self.criteria.iter().all(|result| result.verdict == Verdict::Pass);
        let champion = self.champion.as_ref().is_none_or(|result| result.verdict == Verdict::Pass);
        let expected =
            if criteria && champion && !self.criteria.is_empty() { Verdict::Pass } else { Verdict::Fail };
        problems.require(
            self.decision == expected,
            "/decision",
            format!("{expected:?}, as its criteria say"),
            "another decision",
        );
    }
}

/// Whether a run may be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Eligibility {
    /// The gate said PASS.
    Eligible,
    /// The gate said FAIL.
    Ineligible,
}

/// What follows from the gate's verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishEligibility {
    /// Names this contract.
    pub schema_version: SchemaVersion<Self>,
    /// The run.
    pub train_run_id: TrainRunId,
    /// The receipt it follows from.
    pub gate_receipt: Digest<GateReceipt>,
    /// Whether the run may be published.
    pub eligibility: Eligibility,
    /// Why not.
    pub reason_codes: Vec<Code>,
}

artifact!(
    PublishEligibility,
    "publish_eligibility",
    GateInvalid,
    EvidenceUnresolved,
    EvidenceDigestMismatch,
    PublishEligibilityImmutabilityViolation
);

impl Document for PublishEligibility {
    fn check(&self, problems: &mut Problems) {
        let consistent = (self.eligibility == Eligibility::Eligible) == self.reason_codes.is_empty();
        problems.require(
            consistent,
            "/reason_codes",
            "codes exactly where ineligible",
            format!("{} codes", self.reason_codes.len()),
        );
    }
}
