//! What a run wrote down about itself beside its evidence: when it came to rest, and what a clock measured.

use contracts::{
    Checked, Document, Failure, Result, identity::ids::TrainRunId, measurements::Measurements,
    names::ObjectKey, run_receipt::RunReceipt, train_request::TrainBuildRequest,
};

use crate::{keys, layout, run::Line, store};

impl Line {
    /// The receipt of a run in its present state; none while it is not at rest.
    pub fn receipt(&self, run: &TrainRunId) -> Result<Option<Checked<RunReceipt>>> {
        let row = self.ledger.run(run)?;
        let request = Checked::<TrainBuildRequest>::parse(&row.request)?;
        let key = layout::receipt(&request.platform_run_id, run, row.progress.state)?;
        let found = keys::find_signed::<RunReceipt>(&*self.store, &self.keys, &key)?;
        of_run(run, &key, found, |receipt| &receipt.train_run_id)
    }

    /// What a clock measured while the run was carried out; none before it was evaluated.
    pub fn measurements(&self, run: &TrainRunId) -> Result<Option<Checked<Measurements>>> {
        let row = self.ledger.run(run)?;
        let request = Checked::<TrainBuildRequest>::parse(&row.request)?;
        let key = layout::of_run(&request.platform_run_id, run, "measurements.json")?;
        let found = store::find_document::<Measurements>(&*self.store, &key)?;
        of_run(run, &key, found, |measurements| &measurements.train_run_id)
    }
}

/// A document that no reference pins, so that it must at least be of this run.
fn of_run<D: Document>(
    run: &TrainRunId,
    key: &ObjectKey,
    found: Option<Checked<D>>,
    named: impl Fn(&D) -> &TrainRunId,
) -> Result<Option<Checked<D>>> {
    match found {
        Some(document) if named(&document) != run => {
            Err(Failure::at(D::MISMATCH, key.as_str(), "a document of its run", "another run's"))
        }
        found => Ok(found),
    }
}
