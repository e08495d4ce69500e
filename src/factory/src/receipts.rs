//! What a run has to show: its evidence as the ledger holds it, and the receipts that it has earned.
//!
//! Flows in: a run's events. Flows out: evidence, and signed receipts in the store. Invariant: a receipt is made of what
//! the ledger holds alone, so that whoever writes it, whenever, writes the same.

use contracts::{
    Checked, Code, Failure, Result,
    identity::ids::TrainRunId,
    names::ObjectKey,
    run_receipt::{Evidence, RunOutcome, RunReceipt},
    schema::SchemaVersion,
    signature::Signature,
    time::Timestamp,
    train_request::TrainBuildRequest,
};
use serde_json::Value;

use crate::{
    failpoint::{self, Failpoint},
    keys, layout,
    ledger::{Event, State},
    line::Line,
};

impl Line {
    /// What a run left behind, as the ledger holds it.
    pub fn evidence(&self, run: &TrainRunId) -> Result<Evidence> {
        latest_evidence(&self.ledger.events(run)?)
    }

    /// The receipt of a run in its present state, its signature checked; none while it is not at rest.
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
            found => Ok(found),
        }
    }

    /// Writes the receipts that a run has earned and that are missing: what a crash between the ledger and the
    /// receipt leaves undone.
    pub fn settle(&self, run: &TrainRunId) -> Result<()> {
        let earned = self.earned_receipts(run)?;
        keys::write_signed::<RunReceipt, _>(&*self.store, |batch| {
            for (key, receipt) in &earned {
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

    /// Settles every run at rest that has no receipt of its state, of those on which something happened since this
    /// moment of the ledger's clock; gives the moment of the last of them.
    pub(crate) fn settle_since(&self, moment: Timestamp) -> Result<Timestamp> {
        let mut last = moment;
        for run in self.ledger.at_rest_since(moment)? {
            let request = Checked::<TrainBuildRequest>::parse(&run.request)?;
            let key = layout::receipt(&request.platform_run_id, &run.run_id, run.progress.state)?;
            if self.store.get(&key)?.is_none() {
                self.settle(&run.run_id)?;
            }
            last = run.updated_at;
        }
        Ok(last)
    }
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
