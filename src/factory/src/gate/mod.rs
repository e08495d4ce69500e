//! The gate: evidence in, a verdict out.
//!
//! ```text
//!   references ──► read back, digests checked ──► criteria ──► GateReceipt, PublishEligibility ──► Pass | Fail
//! ```
//!
//! The gate reads a report, never data, and computes its verdict anew from the stored evidence; it never copies
//! one. Only this module makes a [`Passed`], and only a `Passed` becomes a bundle.

mod criteria;

use contracts::{
    Checked, Code, Failure, Reference, Result,
    bundle::ModelBundle,
    eval_report::EvalReport,
    execution_record::ExecutionRecord,
    gate_receipt::{Eligibility, GateReceipt, PublishEligibility, Verdict},
    governance_profile::GovernanceProfile,
    names::ObjectKey,
    resolved_plan::ResolvedTrainPlan,
    run_receipt::Evidence,
    schema::SchemaVersion,
};

use self::criteria::Champion;
use crate::{
    candidate::{Candidate, present},
    layout,
    store::{self, Batch, Store},
};

/// A run that passed. Its fields are private: nothing but the gate can make one.
#[derive(Debug)]
pub struct Passed {
    candidate: Candidate,
    plan: Checked<ResolvedTrainPlan>,
    record: Checked<ExecutionRecord>,
    receipt: Reference<GateReceipt>,
    eligibility: Reference<PublishEligibility>,
    unwritten: Batch,
}

impl Passed {
    /// The evidence that was judged.
    pub fn candidate(&self) -> &Candidate {
        &self.candidate
    }

    /// The plan that was carried out.
    pub fn plan(&self) -> &Checked<ResolvedTrainPlan> {
        &self.plan
    }

    /// What the fit did, as it was read for the verdict.
    pub(crate) fn record(&self) -> &Checked<ExecutionRecord> {
        &self.record
    }

    /// The receipt.
    pub fn receipt(&self) -> &Reference<GateReceipt> {
        &self.receipt
    }

    /// What follows from it.
    pub fn eligibility(&self) -> &Reference<PublishEligibility> {
        &self.eligibility
    }

    /// Receipt and eligibility where they are new, to be stored with the bundle that names them.
    pub(crate) fn unwritten(&self) -> &Batch {
        &self.unwritten
    }
}

/// The gate's verdict. Its documents are in the store, but for a new PASS: those become durable with its bundle.
#[derive(Debug)]
pub enum Judged {
    /// It may be published.
    Pass(Box<Passed>),
    /// It may not; the receipt says why.
    Fail {
        /// The receipt.
        receipt: Reference<GateReceipt>,
        /// What follows from it.
        eligibility: Reference<PublishEligibility>,
    },
}

/// What the gate reads, each part by its digest.
struct Exhibits {
    plan: Checked<ResolvedTrainPlan>,
    record: Checked<ExecutionRecord>,
    report: Checked<EvalReport>,
    profile: Checked<GovernanceProfile>,
    champion: Option<Champion>,
}

/// Judges a candidate against its profile and its champion; of a FAIL it writes receipt and eligibility.
///
/// Refuses with `EVIDENCE_DIGEST_MISMATCH`, `EVIDENCE_UNRESOLVED` or `EVAL_REPORT_MISMATCH`; a FAIL is a verdict,
/// not an error.
pub fn judge(store: &dyn Store, candidate: Candidate) -> Result<Judged> {
    let exhibits = read(store, &candidate)?;
    let receipt = receipt(&candidate, &exhibits)?;
    let (mut verdict, batch) = verdict(candidate, exhibits, &receipt)?;
    match &mut verdict {
        Judged::Pass(passed) => passed.unwritten = batch,
        Judged::Fail { .. } => batch.write(store)?,
    }
    Ok(verdict)
}

/// Judges again from the evidence of a stored receipt and compares. Nothing is written.
///
/// Refuses with `GATE_DECISION_MISMATCH` where the verdict is not the receipt's, or the eligibility does not follow.
pub fn confirm(store: &dyn Store, evidence: &Evidence) -> Result<Judged> {
    let candidate = Candidate::from_evidence(evidence)?;
    let stored = store::read_document(store, &present(evidence.gate_receipt.as_ref(), "gate_receipt")?)?;
    let exhibits = read(store, &candidate)?;
    let receipt = receipt(&candidate, &exhibits)?;
    if receipt.digest() != stored.digest() {
        return Err(Failure::new(
            Code::GateDecisionMismatch,
            "judging the evidence again gives another receipt than the stored one",
        ));
    }
    let (verdict, _) = verdict(candidate, exhibits, &receipt)?;
    let stored = present(evidence.publish_eligibility.as_ref(), "publish_eligibility")?;
    store::read_document(store, &stored)?;
    let eligibility = match &verdict {
        Judged::Pass(passed) => passed.eligibility(),
        Judged::Fail { eligibility, .. } => eligibility,
    };
    if *eligibility != stored {
        return Err(Failure::new(
            Code::GateDecisionMismatch,
            "judging the evidence again gives another eligibility than the stored one",
        ));
    }
    Ok(verdict)
}

fn read(store: &dyn Store, candidate: &Candidate) -> Result<Exhibits> {
    let plan = store::read_document(store, &candidate.plan)?;
    let report = store::read_document(store, &candidate.eval_report)?;
    let record = store::read_document(store, &candidate.execution_record)?;
    let profile = store::read_document(store, &plan.governance_profile_ref)?;
    store::read(store, &candidate.model)?;
    let belongs = report.train_run_id == plan.train_run_id
        && report.train_run_key == plan.train_run_key.digest()?
        && report.model == candidate.model.digest
        && record.model == candidate.model
        && record.plan == candidate.plan.digest;
    if !belongs {
        return Err(Failure::new(Code::EvalReportMismatch, "report, record and model are not of one run"));
    }
    if *profile != plan.governance_profile {
        return Err(Failure::new(
            Code::GovernanceProfileDigestMismatch,
            "the plan holds another profile than it refers to",
        ));
    }
    let champion = candidate.champion.as_ref().map(|reference| champion(store, reference)).transpose()?;
    Ok(Exhibits { plan, record, report, profile, champion })
}

/// The bundle to beat with its own report, each read by its digest.
fn champion(store: &dyn Store, reference: &Reference<ModelBundle>) -> Result<Champion> {
    let bundle = store::read_document(store, reference)?;
    let report = store::read_document(store, &bundle.eval_report)?;
    Ok((bundle.bundle_id.clone(), report))
}

fn receipt(candidate: &Candidate, exhibits: &Exhibits) -> Result<Checked<GateReceipt>> {
    let champion = exhibits.profile.champion_comparison.as_ref().map(|comparison| {
        criteria::against_champion(comparison, &exhibits.report, exhibits.champion.as_ref())
    });
    let criteria: Vec<_> = exhibits
        .profile
        .criteria
        .iter()
        .flat_map(|criterion| criteria::judge(criterion, &exhibits.report))
        .collect();
    let mut failed: Vec<_> = criteria
        .iter()
        .filter(|result| result.verdict == Verdict::Fail)
        .map(|result| result.criterion.name.clone())
        .collect();
    failed.dedup();
    let beaten = champion.as_ref().is_none_or(|result| result.verdict == Verdict::Pass);
    Checked::new(GateReceipt {
        schema_version: SchemaVersion::default(),
        train_run_id: exhibits.plan.train_run_id.clone(),
        train_run_key: exhibits.report.train_run_key,
        model: candidate.model.digest,
        eval_report: candidate.eval_report.digest,
        governance_profile: exhibits.profile.digest(),
        decision: if failed.is_empty() && beaten { Verdict::Pass } else { Verdict::Fail },
        criteria,
        champion,
        failed,
    })
}

/// The verdict that a receipt says, with receipt and eligibility as they are to be written.
fn verdict(
    candidate: Candidate,
    exhibits: Exhibits,
    receipt: &Checked<GateReceipt>,
) -> Result<(Judged, Batch)> {
    let Exhibits { plan, record, .. } = exhibits;
    let key =
        |name: &str| -> Result<ObjectKey> { layout::of_run(&plan.platform_run_id, &plan.train_run_id, name) };
    let mut batch = Batch::default();
    let receipt_ref = batch.add_document(key("gate_receipt.json")?, receipt);
    let passed = receipt.decision == Verdict::Pass;
    let eligibility = Checked::new(PublishEligibility {
        schema_version: SchemaVersion::default(),
        train_run_id: plan.train_run_id.clone(),
        gate_receipt: receipt_ref.digest,
        eligibility: if passed { Eligibility::Eligible } else { Eligibility::Ineligible },
        reason_codes: if passed { Vec::new() } else { vec![Code::PublishNotEligible] },
    })?;
    let eligibility = batch.add_document(key("publish_eligibility.json")?, &eligibility);
    let verdict = if passed {
        let unwritten = Batch::default();
        Judged::Pass(Box::new(Passed {
            candidate,
            plan,
            record,
            receipt: receipt_ref,
            eligibility,
            unwritten,
        }))
    } else {
        Judged::Fail { receipt: receipt_ref, eligibility }
    };
    Ok((verdict, batch))
}
