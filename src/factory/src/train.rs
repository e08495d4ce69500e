//! Fitting: guarded rows in, a model artifact and an execution record out.
//!
//! Nothing here can publish; what it writes is named by its run and pinned by digest.

use contracts::{
    Checked, Reference, Result, artifacts::ModelArtifact, execution_record::ExecutionRecord,
    metric::SplitName, names::Name, resolved_plan::ResolvedTrainPlan, schema::SchemaVersion,
};
use kernels::{Frame, Learner, Model, Progress, Rng};

use crate::{
    artifact,
    failpoint::{self, Failpoint},
    guard::{Guarded, Window},
    layout,
    store::{self, Store},
};

/// A run whose model is fitted and stored.
#[derive(Debug)]
pub struct Trained {
    /// The data it was fitted on.
    pub(crate) guarded: Guarded,
    /// The model.
    pub(crate) model: Model,
    /// Where the model stands.
    pub(crate) model_ref: Reference<ModelArtifact>,
    /// What the fit did.
    pub(crate) record: Reference<ExecutionRecord>,
}

/// Fits the plan's model on the training window.
///
/// Refuses with the codes of [`Learner::fit`] and, where a stored model of this run has other bytes, with
/// `MODEL_ARTIFACT_IMMUTABILITY_VIOLATION`.
pub fn train(store: &dyn Store, guarded: Guarded, progress: &dyn Progress) -> Result<Trained> {
    let plan = guarded.resolved.plan();
    let model = fit(plan, &guarded, progress)?;
    let family = plan.training_config.model.family();
    let bytes = artifact::write(family, &model)?;
    let key = |name: &str| layout::of_run(&plan.platform_run_id, &plan.train_run_id, name);
    let model_ref = store::write_once(store, &key("model.safetensors")?, &bytes)?;
    failpoint::hit(Failpoint::AfterModel)?;
    let windows = [
        (SplitName::Train, Some(&guarded.windows.train)),
        (SplitName::Validation, guarded.windows.validation.as_ref()),
        (SplitName::Test, Some(&guarded.windows.test)),
    ];
    let record = Checked::new(ExecutionRecord {
        schema_version: SchemaVersion::default(),
        train_run_id: plan.train_run_id.clone(),
        plan: guarded.resolved.reference().digest,
        family: Name::new(family)?,
        model: model_ref.clone(),
        model_bytes: bytes.len() as u64,
        stage_seed: plan.train_seed,
        windows: windows
            .into_iter()
            .filter_map(|(name, window)| Some((name.as_str().to_owned(), window?.counts.clone())))
            .collect(),
    })?;
    let record = store::write_document(store, &key("execution_record.json")?, &record)?;
    failpoint::hit(Failpoint::AfterExecutionRecord)?;
    Ok(Trained { guarded, model, model_ref, record })
}

/// Fits in memory and writes nothing: what `rebuild` compares with the stored model.
pub(crate) fn fit(plan: &ResolvedTrainPlan, guarded: &Guarded, progress: &dyn Progress) -> Result<Model> {
    let learner = Learner {
        config: plan.training_config.model.clone(),
        columns: plan.features.clone(),
        rng: Rng::from_seed(*plan.train_seed.as_bytes()),
    };
    let validation = guarded.windows.validation.as_ref().map(frame).transpose()?;
    learner.fit(&frame(&guarded.windows.train)?, validation.as_ref(), progress)
}

/// The rows of one window as a learner takes them.
fn frame(window: &Window) -> Result<Frame<'_>> {
    Frame::new(window.rows.features.view(), &window.positive, window.rows.weights.as_deref())
}
