//! Fitting: guarded rows in, a model artifact and an execution record out.
//!
//! Nothing here can publish; what it writes is named by its run and pinned by digest.

use contracts::{
    Checked, Code, Failure, Reference, Result, artifacts::ModelArtifact, execution_record::ExecutionRecord,
    metric::SplitName, names::Name, resolved_plan::ResolvedTrainPlan, schema::SchemaVersion,
};
use kernels::{Frame, Learner, Model, Progress, Rng, frame::Categorical};

use crate::{
    artifact,
    dataset::Table,
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
    let train = Rows::of(&guarded.table, &guarded.windows.train);
    let validation = guarded.windows.validation.as_ref().map(|window| Rows::of(&guarded.table, window));
    let learner = Learner {
        config: plan.training_config.model.clone(),
        rng: Rng::from_seed(*plan.train_seed.as_bytes()),
    };
    let categorical = categorical(plan)?;
    let validation = validation.as_ref().map(|rows| rows.frame(&categorical)).transpose()?;
    learner.fit(&train.frame(&categorical)?, validation.as_ref(), progress)
}

/// The config's categorical features by their position among the plan's.
fn categorical(plan: &ResolvedTrainPlan) -> Result<Vec<Categorical>> {
    let names = plan.training_config.model.categorical_features().iter();
    names
        .map(|name| {
            let column = plan.features.iter().position(|feature| feature == name).ok_or_else(|| {
                Failure::at(
                    Code::FeatureSchemaIncompatible,
                    name.as_str(),
                    "a feature of the plan",
                    "nothing",
                )
            })?;
            Ok(Categorical { column, name: name.to_string() })
        })
        .collect()
}

/// The rows of one window as a learner takes them.
struct Rows {
    table: Table,
    positive: Vec<bool>,
}

impl Rows {
    fn of(table: &Table, window: &Window) -> Self {
        Self { table: table.select(&window.rows), positive: window.positive(table) }
    }

    fn frame<'a>(&'a self, categorical: &'a [Categorical]) -> Result<Frame<'a>> {
        Frame::new(self.table.features.view(), &self.positive, self.table.weights.as_deref())?
            .with_categorical(categorical)
    }
}
