//! What a run has to show: its evidence as the ledger holds it, and the receipts that it has earned.
//!
//! Flows in: a run's events. Flows out: evidence, and signed receipts in the store. Invariant: a receipt is made of what
//! the ledger holds alone, so that whoever writes it, whenever, writes the same.

use std::collections::BTreeMap;

use contracts::{
    Checked, Code, Failure, Result,
    identity::ids::TrainRunId,
    names::{ObjectKey, PlatformRunId},
    run_receipt::{Evidence, RunOutcome, RunReceipt},
    schema::SchemaVersion,
    signature::Signature,
    train_request::TrainBuildRequest,
};
use serde_json::Value;

use crate::{
    failpoint::{self, Failpoint},
    keys,
    layout::{self, last_segment},
    ledger::{Event, State, Step},
    line::Line,
};

/// Seconds before the latest event of a run at rest within which workers look for receipts that were left undone: one
/// that worked at that time has looked there since, and one that starts later looks as far back.
const SETTLING_SECONDS: u32 = 600;

impl Line {
    /// What a run left behind, as the ledger holds it.
    pub fn evidence(&self, run: &TrainRunId) -> Result<Evidence> {
        latest_evidence(&self.ledger.events(run)?)
    }

    /// The receipt of a run in its present state, its signature checked; none while it is not at rest, or its receipt yet to
    /// come. Refuses with `EVIDENCE_UNRESOLVED`, for good, a run whose receipt is gone.
    pub(crate) fn receipt(&self, run: &TrainRunId) -> Result<Option<Checked<RunReceipt>>> {
        let row = self.ledger.run(run)?;
        let request = Checked::<TrainBuildRequest>::parse(&row.request)?;
        let key = layout::receipt(&request.platform_run_id, run, row.progress.state)?;
        let found = keys::find_signed::<RunReceipt>(&*self.store, &self.keys, &key)?;
        match found {
            // No reference pins it, so that it must at least be of this run.
            Some(receipt) if receipt.train_run_id != *run => Err(Failure::at(
                Code::EvidenceDigestMismatch,
                key.as_str(),
                "a document of its run",
                "another run's",
            )),
            None if row.progress.state.earns_a_receipt() && !self.is_yet_to_settle(run)? => {
                Err(lost(run, &key))
            }
            found => Ok(found),
        }
    }

    /// Writes the receipts that a run has earned and that are missing: what a crash between the ledger and the
    /// receipt leaves undone.
    pub fn settle(&self, run: &TrainRunId) -> Result<()> {
        self.write_receipts(&self.earned_receipts(run)?)
    }

    /// Settles a run that others carried out, once it is seen that what it left behind is there: a receipt shows that a run
    /// is complete. Refuses as [`require_kept`](Self::require_kept) does.
    pub(crate) fn settle_kept(&self, run: &TrainRunId) -> Result<()> {
        let earned = self.earned_receipts(run)?;
        self.require_named(run, &earned)?;
        self.write_receipts(&earned)
    }

    /// Refuses with `EVIDENCE_UNRESOLVED`, for good, a run that earned a receipt and whose evidence is not there: it was,
    /// before the ledger knew of it. Whether its bytes are those that were pinned, who reads them sees.
    pub(crate) fn require_kept(&self, run: &TrainRunId) -> Result<()> {
        self.require_named(run, &self.earned_receipts(run)?)
    }

    fn require_named(&self, run: &TrainRunId, earned: &[(ObjectKey, RunReceipt)]) -> Result<()> {
        // The last names what those before do.
        let Some((key, receipt)) = earned.last() else { return Ok(()) };
        self.require_there(&PlatformRunId::new(key.owner())?, run, &receipt.evidence)
    }

    /// Refuses in the same way evidence of a run, as the ledger holds it.
    pub(crate) fn require_there(
        &self,
        owner: &PlatformRunId,
        run: &TrainRunId,
        evidence: &Evidence,
    ) -> Result<()> {
        let named = named_by(evidence);
        if named.is_empty() {
            return Ok(());
        }
        // Most of it stands in one folder, of which a bucket tells in one answer.
        let listed = self.store.list(&layout::run(owner, run)?)?.keys;
        for key in named {
            if listed.binary_search(key).is_err() && self.store.size(key)?.is_none() {
                return Err(lost(run, key));
            }
        }
        Ok(())
    }

    fn write_receipts(&self, earned: &[(ObjectKey, RunReceipt)]) -> Result<()> {
        keys::write_signed::<RunReceipt, _>(&*self.store, |batch| {
            for (key, receipt) in earned {
                let signed = keys::standing_or_signed(&*self.store, &self.keys, key, receipt.clone())?;
                batch.add_document(key.clone(), &signed);
            }
            Ok(())
        })?;
        failpoint::hit(Failpoint::AfterReceiptRun)
    }

    /// The receipts that a run has earned, not signed yet, with where they stand. A run that was published after it
    /// passed has both.
    pub(crate) fn earned_receipts(&self, run: &TrainRunId) -> Result<Vec<(ObjectKey, RunReceipt)>> {
        let row = self.ledger.run(run)?;
        let request = Checked::<TrainBuildRequest>::parse(&row.request)?;
        let events = self.ledger.events(run)?;
        let mut earned = Vec::new();
        for (state, outcome) in [
            (State::Pass, RunOutcome::Pass),
            (State::Fail, RunOutcome::Fail),
            (State::Published, RunOutcome::Published),
        ] {
            let reached = |event: &Event| event.state == state && holds_evidence(event);
            let Some(position) = events.iter().position(reached) else { continue };
            let last = &events[position];
            let receipt = RunReceipt {
                schema_version: SchemaVersion::default(),
                train_run_id: run.clone(),
                outcome,
                code: last.reason,
                evidence: latest_evidence(&events[..=position])?,
                ledger_events: last.sequence,
                ledger_head: last.hash.to_string().parse()?,
                signature: Signature::missing(),
            };
            earned.push((layout::receipt(&request.platform_run_id, run, state)?, receipt));
        }
        Ok(earned)
    }

    /// Refuses with `LEDGER_CORRUPT` a run with a receipt that it has not earned. A receipt is written once the ledger holds
    /// what it says: a ledger that does not is older than its objects, and what it would make of the run could not stand
    /// beside the receipt.
    pub(crate) fn require_receipts_earned(&self, owner: &PlatformRunId, run: &TrainRunId) -> Result<()> {
        let mut standing = self.store.list(&layout::run(owner, run)?)?.keys;
        standing.retain(|key| last_segment(key).starts_with(layout::RECEIPT));
        if standing.is_empty() {
            return Ok(());
        }
        // Read after that: what stood there a moment ago was in the ledger before.
        let earned = self.earned_receipts(run)?;
        match standing.iter().find(|standing| earned.iter().all(|(key, _)| key != *standing)) {
            None => Ok(()),
            Some(key) => {
                let expected = "a receipt of what the ledger says of its run";
                Err(Failure::at(
                    Code::LedgerCorrupt,
                    key.as_str(),
                    expected,
                    "one that the ledger knows nothing of",
                ))
            }
        }
    }

    /// Whether what a run has earned and is not there is still to come: whoever carries the run on settles it, and a run
    /// at rest is settled by the worker that brought it there or, where that one died, by any that looks within
    /// [`SETTLING_SECONDS`]. What is missing after that stays away unless somebody asks for this very run.
    pub(crate) fn is_yet_to_settle(&self, run: &TrainRunId) -> Result<bool> {
        let run = self.ledger.run(run)?;
        // Either way, since the ledger may go by another machine's clock.
        let nanoseconds = self.clock.now().nanoseconds().abs_diff(run.updated_at.nanoseconds());
        let is_carried_on = run.progress.apply(Step::Claim).is_ok();
        Ok(is_carried_on || nanoseconds <= u64::from(SETTLING_SECONDS) * 1_000_000_000)
    }

    /// Settles every run that came to rest lately and has no receipt of its state. `settled` holds how many events each
    /// had when it was looked at last, and is brought up to date: those are not looked at again.
    ///
    /// Refuses with `STORE_CORRUPT` objects that are older than what the ledger says of such a run.
    pub(crate) fn settle_lately(&self, settled: &mut BTreeMap<TrainRunId, u64>) -> Result<()> {
        let runs = self.ledger.lately_at_rest(SETTLING_SECONDS)?;
        let mut looked_at = BTreeMap::new();
        for run in runs {
            if settled.get(&run.run_id) != Some(&run.events) {
                let request = Checked::<TrainBuildRequest>::parse(&run.request)?;
                let key = layout::receipt(&request.platform_run_id, &run.run_id, run.progress.state)?;
                if self.store.get(&key)?.is_none() {
                    // Without both its receipt and what that is to name the objects are of an earlier moment.
                    self.settle_kept(&run.run_id).map_err(|failure| match failure.code {
                        Code::EvidenceUnresolved => failure.with_code(Code::StoreCorrupt),
                        _ => failure,
                    })?;
                }
            }
            looked_at.insert(run.run_id, run.events);
        }
        *settled = looked_at;
        Ok(())
    }
}

/// Where everything stands that evidence names.
fn named_by(evidence: &Evidence) -> Vec<&ObjectKey> {
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
    } = evidence;
    let named = [
        plan.as_ref().map(|reference| &reference.uri),
        model.as_ref().map(|reference| &reference.uri),
        execution_record.as_ref().map(|reference| &reference.uri),
        eval_report.as_ref().map(|reference| &reference.uri),
        measurements.as_ref().map(|reference| &reference.uri),
        champion.as_ref().map(|reference| &reference.uri),
        gate_receipt.as_ref().map(|reference| &reference.uri),
        publish_eligibility.as_ref().map(|reference| &reference.uri),
        bundle.as_ref().map(|reference| &reference.uri),
        publication.as_ref().map(|reference| &reference.uri),
    ];
    named.into_iter().flatten().collect()
}

fn lost(run: &TrainRunId, key: &ObjectKey) -> Failure {
    let expected = format!("there, as the ledger says of {run}");
    Failure::at(Code::EvidenceUnresolved, key.as_str(), expected, "nothing").lasting().with_hint(
        "It was lost since, or the objects are older than their ledger: bring it back, or the objects of the ledger's moment: \
         docs/reliability.md, Copies.",
    )
}

pub(crate) fn holds_evidence(event: &Event) -> bool {
    event.detail.get("evidence").is_some()
}

pub(crate) fn evidence_of(event: &Event) -> Result<Evidence> {
    let value =
        event.detail.get("evidence").cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    serde_json::from_value(value).map_err(|_| {
        Failure::new(
            Code::LedgerCorrupt,
            format!("event {} of {} holds no evidence", event.sequence, event.run_id),
        )
    })
}

/// The evidence of the latest event that holds some.
pub(crate) fn latest_evidence(events: &[Event]) -> Result<Evidence> {
    events
        .iter()
        .rev()
        .find(|event| holds_evidence(event))
        .map_or_else(|| Ok(Evidence::default()), evidence_of)
}
