//! One check of every promise, for after any fault.
//!
//! I1 no acknowledged write lost: every object that the ledger names is there with its digest.
//! I2 at most one digest for a (bundle id, version): a record's key is its bundle's id and version.
//! I3 every published bundle is fully readable. I4 no partial object is visible: each of the above is whole.
//! I5 at most one live lease a run: the ledger's row holds at most one. I6 ACTIVE's generation only rises and
//! names a gated, published bundle. I7 the chains agree with their heads and receipts. I8 nothing is left over
//! is kept by opening a factory, which collects what writers that died left staged; this check cannot see it.

use contracts::{
    Checked, Code, Failure, Result,
    identity::ids::TrainRunId,
    names::ObjectKey,
    publication::BundlePublication,
    run_receipt::{Evidence, RunReceipt},
    train_request::TrainBuildRequest,
};
use kernels::progress::Silent;
use serde::Serialize;

use crate::{
    layout,
    ledger::State,
    run::Line,
    store::{self, Store},
    verify::verify,
};

/// One promise that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which promise, `I1` to `I8`.
    pub invariant: &'static str,
    /// The run, bundle or scope.
    pub subject: String,
    /// What is wrong.
    pub code: Code,
    /// In a sentence.
    pub detail: String,
}

/// What was looked at, and what does not hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Checkup {
    /// Runs in the ledger.
    pub runs: u64,
    /// Published bundles.
    pub bundles: u64,
    /// Scopes with a history.
    pub scopes: u64,
    /// Promises that do not hold.
    pub findings: Vec<Finding>,
}

impl Checkup {
    fn note(&mut self, invariant: &'static str, subject: &str, result: Result<()>) {
        if let Err(failure) = result {
            self.findings.push(Finding {
                invariant,
                subject: subject.to_owned(),
                code: failure.code,
                detail: failure.detail,
            });
        }
    }
}

/// Checks every promise, without changing anything.
pub fn fsck(line: &Line) -> Result<Checkup> {
    let mut checkup = Checkup::default();
    checkup.note("I7", "ledger", line.ledger.verify().map(|_| ()));
    // A row that cannot be read is one finding; what else does not hold is looked for all the same.
    let runs = line.ledger.runs(None, u32::MAX);
    checkup.note("I7", "ledger", runs.as_ref().map(drop).map_err(Clone::clone));
    for run in runs.unwrap_or_default() {
        checkup.runs += 1;
        let subject = run.run_id.to_string();
        let evidence = line.evidence(&run.run_id);
        checkup.note("I1", &subject, evidence.and_then(|evidence| check_evidence(&*line.store, &evidence)));
        if matches!(run.progress.state, State::Pass | State::Fail | State::Published) {
            checkup.note("I7", &subject, check_receipt(line, &run.run_id, run.progress.state));
        }
        if run.progress.state == State::Published {
            checkup.note("I1", &subject, published_is_registered(line, &run.run_id));
        }
    }
    for key in line.store.list(&ObjectKey::new("registry/bundles")?)? {
        checkup.bundles += 1;
        checkup.note("I2", key.as_str(), check_publication(&*line.store, &key));
    }
    for scope in line.registry.scopes()? {
        checkup.scopes += 1;
        let subject = scope.to_string();
        checkup.note("I6", &subject, check_scope(line, &scope));
    }
    Ok(checkup)
}

fn check_evidence(store: &dyn Store, evidence: &Evidence) -> Result<()> {
    let Evidence {
        plan,
        model,
        execution_record,
        eval_report,
        gate_receipt,
        publish_eligibility,
        bundle,
        publication,
    } = evidence;
    plan.iter().try_for_each(|reference| store::read_document(store, reference).map(drop))?;
    model.iter().try_for_each(|reference| store::read(store, reference).map(drop))?;
    execution_record.iter().try_for_each(|reference| store::read_document(store, reference).map(drop))?;
    eval_report.iter().try_for_each(|reference| store::read_document(store, reference).map(drop))?;
    gate_receipt.iter().try_for_each(|reference| store::read_document(store, reference).map(drop))?;
    publish_eligibility.iter().try_for_each(|reference| store::read_document(store, reference).map(drop))?;
    bundle.iter().try_for_each(|reference| store::read_document(store, reference).map(drop))?;
    publication.iter().try_for_each(|reference| store::read_document(store, reference).map(drop))
}

/// The receipt holds the head of the run's chain outside the ledger.
fn check_receipt(line: &Line, run: &TrainRunId, state: State) -> Result<()> {
    let row = line.ledger.run(run)?;
    let request = Checked::<TrainBuildRequest>::parse(&row.request)?;
    let key = layout::receipt(&request.platform_run_id, run, state)?;
    let bytes = line.store.get(&key)?.ok_or_else(|| {
        Failure::at(Code::EvidenceUnresolved, key.as_str(), "the receipt of a run at rest", "nothing")
    })?;
    let receipt = Checked::<RunReceipt>::parse(&bytes)?;
    let events = line.ledger.events(run)?;
    let head = receipt.ledger_events.checked_sub(1).and_then(|index| events.get(index as usize));
    let agrees = head.is_some_and(|event| event.hash.as_bytes() == receipt.ledger_head.as_bytes());
    if agrees {
        Ok(())
    } else {
        Err(Failure::new(Code::LedgerCorrupt, format!("the ledger and the receipt of {run} disagree")))
    }
}

fn published_is_registered(line: &Line, run: &TrainRunId) -> Result<()> {
    let evidence = line.evidence(run)?;
    let reference = crate::candidate::present(evidence.bundle.as_ref(), "bundle")?;
    let bundle = store::read_document(&*line.store, &reference)?;
    let history = line.registry.history(&bundle.target_scope)?;
    history.entry(&bundle.bundle_id).map(drop)
}

fn check_publication(store: &dyn Store, key: &ObjectKey) -> Result<()> {
    let bytes = store
        .get(key)?
        .ok_or_else(|| Failure::at(Code::EvidenceUnresolved, key.as_str(), "a publication", "nothing"))?;
    let record = Checked::<BundlePublication>::parse(&bytes)?;
    let own_key = format!("registry/bundles/{}/{}.json", record.bundle_id, record.bundle_version);
    if record.bytes() != bytes || own_key != key.as_str() {
        return Err(Failure::at(
            Code::EvidenceDigestMismatch,
            key.as_str(),
            "the record of its own bundle, as it was written",
            "other bytes",
        ));
    }
    verify(store, &record.bundle, &Silent).map(drop)
}

fn check_scope(line: &Line, scope: &contracts::scope::TargetScope) -> Result<()> {
    let history = line.registry.history(scope)?;
    let mut generation = 0;
    for event in history.events() {
        if event.sequence <= generation {
            return Err(Failure::new(Code::EvidenceInvalid, "a generation that does not rise"));
        }
        generation = event.sequence;
        if line.registry.find(&event.bundle_id)? != event.bundle {
            return Err(Failure::new(
                Code::EvidenceInvalid,
                format!("event {} names another bundle than the one published", event.sequence),
            ));
        }
    }
    Ok(())
}
