//! Proof: every digest from a bundle down to its raw partitions, and the model fitted again.

use std::sync::atomic::{AtomicU64, Ordering};

use contracts::{Code, Failure, Reference, Result, bundle::ModelBundle, run_receipt::Evidence};
use kernels::Progress;
use rayon::prelude::*;
use serde::Serialize;

use crate::{
    artifact, bundle,
    clock::Clock,
    gate::{self, Judged},
    guard::guard,
    keys::{self, Keys},
    resolve::Resolved,
    store::{self, Remembered, Store},
    train,
};

/// What a verification looked at; it ends with the first thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Documents and artifacts whose bytes were compared with their digests.
    pub objects: u64,
    /// Bytes that were hashed.
    pub bytes: u64,
    /// Whether the gate, judging the evidence anew, came to the stored receipt.
    pub gate_confirmed: bool,
}

/// Compares every object that a bundle rests on with its digest, and judges its evidence anew.
///
/// Refuses with the code of the first object that is missing or changed, naming it, with `SIGNATURE_INVALID`, and with
/// `GATE_DECISION_MISMATCH` where the verdict is another.
pub fn verify(
    store: &dyn Store,
    keys: &Keys,
    reference: &Reference<ModelBundle>,
    progress: &dyn Progress,
) -> Result<Verified> {
    // Several check the same documents, each for itself; nothing has to be read twice for that.
    let store: &dyn Store = &Remembered::new(store);
    let loaded = bundle::load(store, keys, reference)?;
    let bundle = loaded.bundle();
    let plan = store::read_document(store, &bundle.plan)?;
    store::read_document(store, &bundle.training_config)?;
    // Signed, read and compared: bundle, model, receipt, plan, config, profile, record, report, eligibility.
    let mut verified = Verified { objects: 9, bytes: bundle.model_bytes, gate_confirmed: false };
    let manifests = bundle
        .dataset_manifests
        .iter()
        .map(|manifest| store::read_document(store, manifest))
        .collect::<Result<Vec<_>>>()?;
    verified.objects += manifests.len() as u64;
    let partitions: Vec<_> = manifests.iter().flat_map(|manifest| &manifest.partitions).collect();
    let done = AtomicU64::new(0);
    let compared = partitions.par_iter().map(|partition| {
        let bytes = store::compare(store, &partition.reference())?;
        progress.step(done.fetch_add(1, Ordering::Relaxed) + 1, partitions.len() as u64)?;
        Ok(bytes)
    });
    // Collected before the first failure is looked for: the one told is the first by position, not by time.
    for bytes in compared.collect::<Vec<Result<u64>>>() {
        verified.bytes += bytes?;
        verified.objects += 1;
    }
    if plan.dataset_manifests != bundle.dataset_manifests || plan.train_run_id != bundle.train_run_id {
        return Err(Failure::new(Code::EvidenceInvalid, "the bundle and its plan are not of one run"));
    }
    let evidence = Evidence::of_bundle(bundle, reference);
    match gate::confirm(store, &evidence)? {
        Judged::Pass(_) => verified.gate_confirmed = true,
        Judged::Fail { .. } => {
            return Err(Failure::new(Code::GateDecisionMismatch, "the evidence does not pass the gate"));
        }
    }
    Ok(verified)
}

/// Fits the bundle's model again from its pinned data and compares the bytes; refuses with
/// `NONDETERMINISM_DETECTED`. Nothing is written.
pub fn rebuild(
    store: &dyn Store,
    keys: &Keys,
    clock: &dyn Clock,
    reference: &Reference<ModelBundle>,
    progress: &dyn Progress,
) -> Result<()> {
    let bundle = keys::read_signed(store, keys, reference)?;
    let resolved = Resolved::reopen(store, &bundle.plan)?;
    let guarded = guard(store, clock, resolved, progress)?;
    let plan = guarded.resolved.plan();
    let model = train::fit(plan, &guarded, progress)?;
    let bytes = artifact::write(plan.training_config.model.family(), &model)?;
    if bytes != store::read(store, &bundle.model)? {
        return Err(Failure::new(
            Code::NondeterminismDetected,
            "fitting again gave other bytes than the bundle's model",
        ));
    }
    Ok(())
}
