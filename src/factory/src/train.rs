//! Fitting: guarded rows in, a model artifact and an execution record out.
//!
//! Nothing here writes or publishes; what is to be written is named by its run and pinned by digest.

use contracts::{
    Checked, Failure, Reference, Result,
    artifacts::ModelArtifact,
    execution_record::ExecutionRecord,
    metric::SplitName,
    names::{ColumnName, Name},
    resolved_plan::ResolvedTrainPlan,
    schema::SchemaVersion,
};
use kernels::{Frame, Learner, Model, Progress, Rng};

use crate::{
    artifact,
    guard::{Guarded, Window},
    layout,
    store::Batch,
};

/// A run whose model is fitted.
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
    /// Model and record, to be stored with what evaluation makes of them.
    pub(crate) unwritten: Batch,
}

/// Fits the plan's model on the training window.
///
/// Refuses with the codes of [`Learner::fit`].
pub fn train(guarded: Guarded, progress: &dyn Progress) -> Result<Trained> {
    let plan = guarded.resolved.plan();
    let model = fit(plan, &guarded, progress)?;
    let family = plan.training_config.model.family();
    let bytes = artifact::write(family, &model)?;
    let key = |name: &str| layout::of_run(&plan.platform_run_id, &plan.train_run_id, name);
    let mut unwritten = Batch::default();
    let model_bytes = bytes.len() as u64;
    let model_ref = unwritten.add(key("model.safetensors")?, bytes);
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
        model_bytes,
        stage_seed: plan.train_seed,
        windows: windows
            .into_iter()
            .filter_map(|(name, window)| Some((name.as_str().to_owned(), window?.counts.clone())))
            .collect(),
    })?;
    let record = unwritten.add_document(key("execution_record.json")?, &record);
    Ok(Trained { guarded, model, model_ref, record, unwritten })
}

/// Fits in memory and writes nothing: what `rebuild` compares with the stored model.
pub(crate) fn fit(plan: &ResolvedTrainPlan, guarded: &Guarded, progress: &dyn Progress) -> Result<Model> {
    let learner = Learner {
        config: plan.training_config.model.clone(),
        columns: plan.features.clone(),
        rng: Rng::from_seed(*plan.train_seed.as_bytes()),
    };
    let validation = guarded.windows.validation.as_ref().map(frame).transpose()?;
    learner
        .fit(&frame(&guarded.windows.train)?, validation.as_ref(), progress)
        .map_err(|failure| with_feature(failure, &plan.features))
}

/// The failure with a feature's name, where a kernel, which knows no names, numbers it.
fn with_feature(failure: Failure, features: &[ColumnName]) -> Failure {
    let number = match &failure.problems[..] {
        [problem] => problem.pointer.strip_prefix("features/").and_then(|number| number.parse().ok()),
        _ => None,
    };
    match number.and_then(|number: usize| features.get(number)) {
        Some(name) => failure.with_place(format!("features/{name}")),
        None => failure,
    }
}

/// The rows of one window as a learner takes them.
fn frame(window: &Window) -> Result<Frame<'_>> {
    Frame::new(window.features.view(), &window.positive, window.rows.weights.as_deref())
}
