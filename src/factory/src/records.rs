//! What a run wrote down about itself beside its evidence: when it came to rest, and what a clock measured.

use contracts::{
    Checked, Code, Document, Failure, Result, identity::ids::TrainRunId, measurements::Measurements,
    names::ObjectKey, run_receipt::RunReceipt, train_request::TrainBuildRequest,
};

use crate::{Factory, layout};

impl Factory {
    /// The receipt of a run in its present state; none while it is not at rest.
    pub fn receipt(&self, run: &TrainRunId) -> Result<Option<Checked<RunReceipt>>> {
        let row = self.line().ledger.run(run)?;
        let request = Checked::<TrainBuildRequest>::parse(&row.request)?;
        self.document(run, &layout::receipt(&request.platform_run_id, run, row.progress.state)?)
    }

    /// What a clock measured while the run was carried out; none before it was evaluated.
    pub fn measurements(&self, run: &TrainRunId) -> Result<Option<Checked<Measurements>>> {
        let row = self.line().ledger.run(run)?;
        let request = Checked::<TrainBuildRequest>::parse(&row.request)?;
        self.document(run, &layout::of_run(&request.platform_run_id, run, "measurements.json")?)
    }

    /// A document that no reference pins, so that it must at least be of this run and in canonical bytes.
    fn document<D: Document + OfRun>(&self, run: &TrainRunId, key: &ObjectKey) -> Result<Option<Checked<D>>> {
        let Some(bytes) = self.line().store.get(key)? else { return Ok(None) };
        let document = Checked::<D>::parse(&bytes)?;
        if document.bytes() == bytes && document.run() == run {
            return Ok(Some(document));
        }
        Err(Failure::at(
            Code::EvidenceInvalid,
            key.as_str(),
            "a document of its run as it was written",
            "another",
        ))
    }
}

/// A document that names its run.
trait OfRun {
    fn run(&self) -> &TrainRunId;
}

impl OfRun for RunReceipt {
    fn run(&self) -> &TrainRunId {
        &self.train_run_id
    }
}

impl OfRun for Measurements {
    fn run(&self) -> &TrainRunId {
        &self.train_run_id
    }
}
