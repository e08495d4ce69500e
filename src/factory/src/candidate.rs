//! What evaluation hands to the gate: references, never data.

use contracts::{
    Code, Failure, Reference, Result, artifacts::ModelArtifact, bundle::ModelBundle, eval_report::EvalReport,
    execution_record::ExecutionRecord, measurements::Measurements, resolved_plan::ResolvedTrainPlan,
    run_receipt::Evidence,
};

/// The evidence of a run whose model was fitted and evaluated.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What was to be done.
    pub plan: Reference<ResolvedTrainPlan>,
    /// The model.
    pub model: Reference<ModelArtifact>,
    /// What the fit did.
    pub execution_record: Reference<ExecutionRecord>,
    /// How good the model is.
    pub eval_report: Reference<EvalReport>,
    /// What a clock measured meanwhile.
    pub measurements: Option<Reference<Measurements>>,
    /// The bundle that the model has to beat, where there is one.
    pub champion: Option<Reference<ModelBundle>>,
}

impl Candidate {
    /// The candidate among a run's evidence; refuses with `EVIDENCE_REF_MISSING` where a part is missing.
    pub fn from_evidence(evidence: &Evidence) -> Result<Self> {
        Ok(Self {
            plan: present(evidence.plan.as_ref(), "plan")?,
            model: present(evidence.model.as_ref(), "model")?,
            execution_record: present(evidence.execution_record.as_ref(), "execution_record")?,
            eval_report: present(evidence.eval_report.as_ref(), "eval_report")?,
            measurements: evidence.measurements.clone(),
            champion: evidence.champion.clone(),
        })
    }
}

/// A reference that must be there; refuses with `EVIDENCE_REF_MISSING`.
pub(crate) fn present<T>(reference: Option<&Reference<T>>, name: &str) -> Result<Reference<T>> {
    reference.cloned().ok_or_else(|| Failure::at(Code::EvidenceRefMissing, name, "a reference", "nothing"))
}

impl From<Candidate> for Evidence {
    fn from(candidate: Candidate) -> Self {
        Self {
            plan: Some(candidate.plan),
            model: Some(candidate.model),
            execution_record: Some(candidate.execution_record),
            eval_report: Some(candidate.eval_report),
            measurements: candidate.measurements,
            champion: candidate.champion,
            ..Self::default()
        }
    }
}
