//! One check of every promise, for after any fault.
//!
//! I1 no acknowledged write lost: every object that the ledger names is there with its digest.
//! I2 at most one digest for a (bundle id, version): a record's key is its bundle's id and version.
//! I3 every published bundle is fully readable. I4 no partial object is visible: each of the above is whole.
//! I5 at most one live lease a run: the ledger's row holds at most one. I6 ACTIVE's generation only rises and
//! names a gated, published bundle. I7 the chains agree with their heads and receipts. I8 nothing is left over
//! is kept by opening a factory, which collects what writers that died left staged; this check cannot see it.

use std::collections::BTreeSet;

use contracts::{
    Artifact, Checked, Code, Digest, Failure, Reference, Result,
    identity::ids::TrainRunId,
    job::{JobInvocation, JobRequest},
    names::ObjectKey,
    publication::BundlePublication,
    run_receipt::{Evidence, RunReceipt},
    scope::TargetScope,
    signature::Signed,
    train_request::TrainBuildRequest,
};
use kernels::progress::Silent;
use serde::Serialize;

use crate::{
    founding, keys, layout,
    ledger::{Run, State},
    line::Line,
    registry::{permit, publication_key},
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

    /// The objects below a prefix; what else stands there, such as a link, is noted.
    fn listed(
        &mut self,
        invariant: &'static str,
        store: &dyn Store,
        prefix: &ObjectKey,
    ) -> Result<Vec<ObjectKey>> {
        let found = store.list(prefix)?;
        for (key, failure) in found.refused {
            self.note(invariant, key.as_str(), Err(failure));
        }
        Ok(found.keys)
    }
}

/// Checks every promise, without changing anything.
pub fn fsck(line: &Line) -> Result<Checkup> {
    let mut checkup = Checkup::default();
    checkup.note("I7", "ledger", line.ledger.verify().map(|_| ()));
    // A row that cannot be read is one finding; what else does not hold is looked for all the same.
    let runs = line.ledger.runs(None, u32::MAX);
    checkup.note("I7", "ledger", runs.as_ref().map(drop).map_err(Clone::clone));
    checkup.note(
        "I7",
        "ledger",
        founding::named(&*line.store)
            .and_then(|named| founding::check(named.as_deref(), &*line.store, &*line.ledger)),
    );
    checkup.note("I1", "objects", line.require_own_objects());
    let mut owners = BTreeSet::new();
    for run in runs.unwrap_or_default() {
        checkup.runs += 1;
        let subject = run.run_id.to_string();
        let request = Checked::<TrainBuildRequest>::parse(&run.request);
        if let Ok(request) = &request {
            owners.insert(request.platform_run_id.clone());
            checkup.note("I7", &subject, line.require_receipts_earned(&request.platform_run_id, &run.run_id));
        }
        checkup.note("I1", &subject, request.and_then(|request| check_request(line, &request)));
        checkup.note("I1", &subject, check_evidence(line, &run));
        checkup.note("I7", &subject, check_receipts(line, &run.run_id));
        if run.progress.state == State::Published {
            checkup.note("I1", &subject, published_is_registered(line, &run.run_id));
        }
    }
    for owner in owners {
        for key in checkup.listed("I1", &*line.store, &ObjectKey::new(owner.to_string())?)? {
            let folders: Vec<_> = key.as_str().split('/').skip(1).take(2).collect();
            let checked = match folders[..] {
                ["mf", "train_requests" | "training_configs" | "governance_profiles"] => {
                    check_content(&*line.store, &key)
                }
                ["mf", "job_invocations"] => check_invocation(line, &key),
                _ => Ok(()),
            };
            checkup.note("I1", key.as_str(), checked);
        }
    }
    for key in checkup.listed("I2", &*line.store, &ObjectKey::new("registry/bundles")?)? {
        checkup.bundles += 1;
        checkup.note("I2", key.as_str(), check_publication(line, &key));
    }
    let scopes = line.registry.scopes();
    checkup.note("I6", "registry", scopes.as_ref().map(drop).map_err(Clone::clone));
    for scope in scopes.unwrap_or_default() {
        checkup.scopes += 1;
        checkup.note("I6", &scope.to_string(), check_scope(line, &scope));
    }
    Ok(checkup)
}

/// The request that made the run stands in the store as the ledger has it, and what it names as it names it.
fn check_request(line: &Line, request: &Checked<TrainBuildRequest>) -> Result<()> {
    let digest = request.digest();
    let uri = layout::by_content(&request.platform_run_id, "train_requests", &digest)?;
    store::read_document(&*line.store, &Reference { uri, digest })?;
    // Admission read both; the manifests may come later.
    store::read_document(&*line.store, &request.training_config)?;
    store::read_document(&*line.store, &request.governance_profile).map(drop)
}

/// Everything that the ledger names is there with its digest, and what was measured beside it is of this run.
fn check_evidence(line: &Line, run: &Run) -> Result<()> {
    let evidence = line.evidence(&run.run_id)?;
    let Evidence {
        plan,
        model,
        execution_record,
        eval_report,
        measurements,
        champion,
        gate_receipt,
        publish_eligibility,
        bundle,
        publication,
    } = &evidence;
    let (store, keys) = (&*line.store, &*line.keys);
    plan.iter().try_for_each(|reference| store::read_document(store, reference).map(drop))?;
    model.iter().try_for_each(|reference| store::read(store, reference).map(drop))?;
    execution_record.iter().try_for_each(|reference| store::read_document(store, reference).map(drop))?;
    eval_report.iter().try_for_each(|reference| store::read_document(store, reference).map(drop))?;
    measurements.iter().try_for_each(|reference| store::read_document(store, reference).map(drop))?;
    gate_receipt.iter().try_for_each(|reference| store::read_document(store, reference).map(drop))?;
    publish_eligibility.iter().try_for_each(|reference| store::read_document(store, reference).map(drop))?;
    let mut bundles = champion.iter().chain(bundle);
    bundles.try_for_each(|reference| keys::read_signed(store, keys, reference).map(drop))?;
    publication.iter().try_for_each(|reference| store::read_document(store, reference).map(drop))?;
    Ok(())
}

/// Each receipt that the run has earned says what the ledger says, the head of its chain included; one that is not there
/// is yet to come.
fn check_receipts(line: &Line, run: &TrainRunId) -> Result<()> {
    for (key, earned) in line.earned_receipts(run)? {
        match keys::find_signed::<RunReceipt>(&*line.store, &line.keys, &key)? {
            Some(receipt) if receipt.message()? == earned.message()? => {}
            Some(_) => {
                return Err(Failure::new(Code::LedgerCorrupt, format!("the ledger and {key} disagree")));
            }
            None if line.is_yet_to_settle(run)? => {}
            None => {
                let expected = "the receipt of a run at rest";
                return Err(Failure::at(Code::EvidenceUnresolved, key.as_str(), expected, "nothing"));
            }
        }
    }
    Ok(())
}

fn published_is_registered(line: &Line, run: &TrainRunId) -> Result<()> {
    let evidence = line.evidence(run)?;
    let reference = crate::candidate::present(evidence.bundle.as_ref(), "bundle")?;
    let bundle = store::read_document(&*line.store, &reference)?;
    let entry = line.registry.history(&bundle.target_scope)?.entry(&bundle.bundle_id);
    entry.map(drop).ok_or_else(|| {
        Failure::new(Code::BundleNotFound, format!("the registry has no event of {}", bundle.bundle_id))
    })
}

/// A document that is named by its content has that content.
fn check_content(store: &dyn Store, key: &ObjectKey) -> Result<()> {
    let bytes = store.get(key)?.unwrap_or_default();
    if key.as_str().ends_with(&format!("/{}.json", Digest::<()>::of(&bytes).hex())) {
        return Ok(());
    }
    Err(Failure::at(Code::EvidenceDigestMismatch, key.as_str(), "the content it is named by", "other bytes"))
}

/// A job's receipt is signed by a trusted key, its run is in the ledger, and what stands where the job did is the job that
/// was answered. Its owner may clear it away: what it asked for stands under its own content.
fn check_invocation(line: &Line, key: &ObjectKey) -> Result<()> {
    let receipt = keys::find_signed::<JobInvocation>(&*line.store, &line.keys, key)?
        .ok_or_else(|| Failure::at(Code::EvidenceUnresolved, key.as_str(), "a job's receipt", "nothing"))?;
    match store::compare(&*line.store, &receipt.job) {
        Err(failure) if failure.code == JobRequest::UNRESOLVED => {}
        compared => drop(compared?),
    }
    receipt.train_run_id.iter().try_for_each(|run| line.ledger.run(run).map(drop))
}

fn check_publication(line: &Line, key: &ObjectKey) -> Result<()> {
    let record = store::find_document::<BundlePublication>(&*line.store, key)?
        .ok_or_else(|| Failure::at(Code::EvidenceUnresolved, key.as_str(), "a publication", "nothing"))?;
    if publication_key(&record)? != *key {
        return Err(Failure::at(
            Code::EvidenceDigestMismatch,
            key.as_str(),
            "the record of its own bundle",
            "another's",
        ));
    }
    verify(&*line.store, &line.keys, &record.bundle, &Silent)?;
    let bundle = store::read_document(&*line.store, &record.bundle)?;
    line.ledger.run(&bundle.train_run_id).map(drop)
}

/// Each event of a scope names the published bundle, and whoever acted might do so then.
fn check_scope(line: &Line, scope: &TargetScope) -> Result<()> {
    let history = line.registry.history(scope)?;
    for event in history.events() {
        if line.registry.find(&event.bundle_id)? != event.bundle {
            return Err(Failure::new(
                Code::EvidenceInvalid,
                format!("event {} names another bundle than the one published", event.sequence),
            ));
        }
        let entry = history.entry_before(&event.bundle_id, event.sequence);
        let profile = store::read_document(&*line.store, &event.governance_profile)?;
        permit(event.kind, entry.as_ref(), &profile, &event.actor)?;
    }
    Ok(())
}
