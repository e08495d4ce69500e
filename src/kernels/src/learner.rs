//! One learner for every family, behind linfa's `Fit` as well.
//!
//! linfa 0.8's own logistic regression and trees lack what the line needs (sample weights, probabilities, the
//! same bits on every run), so the kernels are ours and the interface is linfa's.

use std::borrow::Cow;

use contracts::{Code, Failure, Result, model_config::ModelConfig, names::ColumnName};
use linfa::{
    dataset::{AsSingleTargets, DatasetBase},
    traits::Fit,
};
use ndarray::{ArrayBase, Data, Ix2};

use crate::{
    boosting::{self, Booster, BoostingModel, Constraints},
    error::Error,
    forest,
    frame::Frame,
    logistic,
    model::Model,
    progress::{Progress, Silent},
    rng::Rng,
    tree,
};

/// A model family with its hyper-parameters and the seed of every random choice.
#[derive(Debug, Clone, PartialEq)]
pub struct Learner {
    /// The family and its hyper-parameters.
    pub config: ModelConfig,
    /// Names of the columns, in order, by which the hyper-parameters speak of them. Where there are none a column
    /// goes by its number, the first being 0.
    pub columns: Vec<ColumnName>,
    /// Keyed by the stage seed.
    pub rng: Rng,
}

impl Learner {
    /// Fits on `train`; `validation` serves early stopping alone. Which columns hold categories the hyper-parameters
    /// say.
    ///
    /// Refuses with `NON_FINITE_INPUT`, `TRAINING_DIVERGED`, `PARAMETER_INVALID` (early stopping without a
    /// validation frame, a direction of a categorical column), `CATEGORY_INVALID` (a column of those that holds
    /// anything else) or `FEATURE_SCHEMA_INCOMPATIBLE` (other columns than those named, or a hyper-parameter of one
    /// that is not there), and with whatever `progress` stops the work with.
    pub fn fit(
        &self,
        train: &Frame<'_>,
        validation: Option<&Frame<'_>>,
        progress: &dyn Progress,
    ) -> Result<Model> {
        self.fit_from(None, train, validation, progress)
    }

    /// Adds trees to `start` until there are as many as the hyper-parameters say, as [`boosting::fit`] says it.
    ///
    /// Refuses as [`Self::fit`] does, with `PARAMETER_INVALID` where there are more already or either is of another
    /// family, and with `FEATURE_SCHEMA_INCOMPATIBLE` a model of other columns, or of other categorical ones.
    pub fn carry_on(
        &self,
        start: &Model,
        train: &Frame<'_>,
        validation: Option<&Frame<'_>>,
        progress: &dyn Progress,
    ) -> Result<Model> {
        match (&self.config, start) {
            (ModelConfig::GradientBoosting(_), Model::Boosting(start)) => {
                self.fit_from(Some(start), train, validation, progress)
            }
            _ => Err(Failure::at(Code::ParameterInvalid, "start", "a boosted model", "another family")),
        }
    }

    /// Fits; `start` is what boosting carries on with.
    fn fit_from(
        &self,
        start: Option<&BoostingModel>,
        train: &Frame<'_>,
        validation: Option<&Frame<'_>>,
        progress: &dyn Progress,
    ) -> Result<Model> {
        match &self.config {
            ModelConfig::LogisticRegression(config) => {
                logistic::fit(config, train, progress).map(Model::Logistic)
            }
            ModelConfig::DecisionTree(config) => tree::fit(config, train, progress).map(Model::Forest),
            ModelConfig::RandomForest(config) => {
                forest::fit(config, train, self.rng, progress).map(Model::Forest)
            }
            ModelConfig::GradientBoosting(config) => {
                let names = self.names(train.columns())?;
                let constraints = Constraints::new(config, "", &names)?;
                let categorical = boosting::categorical(config, "", &names)?;
                let train = train.with_categorical(&categorical)?;
                let validation = validation.map(|frame| frame.with_categorical(&categorical)).transpose()?;
                let booster = Booster { config, constraints, rng: self.rng, start };
                boosting::fit(&booster, &train, validation.as_ref(), progress).map(Model::Boosting)
            }
        }
    }

    /// What the hyper-parameters call so many columns.
    fn names(&self, columns: usize) -> Result<Cow<'_, [ColumnName]>> {
        match self.columns.as_slice() {
            [] => (0..columns).map(|column| ColumnName::new(column.to_string())).collect(),
            named if named.len() == columns => Ok(Cow::Borrowed(named)),
            named => {
                let (expected, found) = (format!("{} columns", named.len()), format!("{columns} columns"));
                Err(Failure::at(Code::FeatureSchemaIncompatible, "features", expected, found))
            }
        }
    }
}

impl<D, T> Fit<ArrayBase<D, Ix2>, T, Error> for Learner
where
    D: Data<Elem = f64>,
    T: AsSingleTargets<Elem = bool>,
{
    type Object = Model;

    fn fit(&self, dataset: &DatasetBase<ArrayBase<D, Ix2>, T>) -> Result<Model, Error> {
        let positive = dataset.targets.as_single_targets().to_vec();
        let weights: Option<Vec<f64>> =
            dataset.weights().map(|weights| weights.iter().map(|&weight| f64::from(weight)).collect());
        let frame = Frame::new(dataset.records.view(), &positive, weights.as_deref())?;
        Ok(Self::fit(self, &frame, None, &Silent)?)
    }
}
