//! What a run wrote down about itself beside its evidence: when it came to rest, and what a clock measured.

use contracts::{
    Checked, Document, Failure, Result, identity::ids::TrainRunId, measurements::Measurements,
    names::ObjectKey, run_receipt::RunReceipt, train_request::TrainBuildRequest,
};

use crate::{
    keys::{self, Keys},
    layout,
    ledger::Run,
    store::{self, Store},
};

/// The receipt of a run in its present state; none while it is not at rest.
pub(crate) fn receipt(store: &dyn Store, keys: &Keys, run: &Run) -> Result<Option<Checked<RunReceipt>>> {
    let request = Checked::<TrainBuildRequest>::parse(&run.request)?;
    let key = layout::receipt(&request.platform_run_id, &run.run_id, run.progress.state)?;
    let found = keys::find_signed::<RunReceipt>(store, keys, &key)?;
    of_run(run, &key, found, |receipt| &receipt.train_run_id)
}

/// What a clock measured while the run was carried out; none before it was evaluated.
pub(crate) fn measurements(store: &dyn Store, run: &Run) -> Result<Option<Checked<Measurements>>> {
    let request = Checked::<TrainBuildRequest>::parse(&run.request)?;
    let key = layout::of_run(&request.platform_run_id, &run.run_id, "measurements.json")?;
    let found = store::find_document::<Measurements>(store, &key)?;
    of_run(run, &key, found, |measurements| &measurements.train_run_id)
}

/// A document that no reference pins, so that it must at least be of this run.
fn of_run<D: Document>(
    run: &Run,
    key: &ObjectKey,
    found: Option<Checked<D>>,
    named: impl Fn(&D) -> &TrainRunId,
) -> Result<Option<Checked<D>>> {
    match found {
        Some(document) if *named(&document) != run.run_id => {
            Err(Failure::at(D::MISMATCH, key.as_str(), "a document of its run", "another run's"))
        }
        found => Ok(found),
    }
}
