//! One learner for every family, behind linfa's `Fit` as well.
//!
//! linfa 0.8's own logistic regression and trees lack what the line needs (sample weights, probabilities, the
//! same bits on every run), so the kernels are ours and the interface is linfa's.

use contracts::{
    Code, Failure, Result,
    model_config::{GradientBoosting, ModelConfig},
    names::ColumnName,
};
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
    /// Fits on `train`; `validation` serves early stopping alone.
    ///
    /// Refuses with `NON_FINITE_INPUT`, `TRAINING_DIVERGED`, `PARAMETER_INVALID` (early stopping without a
    /// validation frame) or `FEATURE_SCHEMA_INCOMPATIBLE` (other columns than those named, or a constraint on one
    /// that is not there), and with whatever `progress` stops the work with.
    pub fn fit(
        &self,
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
                let booster = self.booster(config, train.columns(), None)?;
                boosting::fit(&booster, train, validation, progress).map(Model::Boosting)
            }
        }
    }

    /// Adds trees to `start` until there are as many as the hyper-parameters say, as [`boosting::fit`] says it.
    ///
    /// Refuses as [`Self::fit`] does, with `PARAMETER_INVALID` where there are more already or either is of another
    /// family, and with `FEATURE_SCHEMA_INCOMPATIBLE` a model of other columns.
    pub fn carry_on(
        &self,
        start: &Model,
        train: &Frame<'_>,
        validation: Option<&Frame<'_>>,
        progress: &dyn Progress,
    ) -> Result<Model> {
        let (ModelConfig::GradientBoosting(config), Model::Boosting(start)) = (&self.config, start) else {
            return Err(Failure::at(Code::ParameterInvalid, "start", "a boosted model", "another family"));
        };
        let booster = self.booster(config, train.columns(), Some(start))?;
        boosting::fit(&booster, train, validation, progress).map(Model::Boosting)
    }

    fn booster<'a>(
        &self,
        config: &'a GradientBoosting,
        columns: usize,
        start: Option<&'a BoostingModel>,
    ) -> Result<Booster<'a>> {
        let constraints = match self.columns.as_slice() {
            [] => {
                let numbered = (0..columns).map(|column| ColumnName::new(column.to_string()));
                Constraints::new(config, "", &numbered.collect::<Result<Vec<_>>>()?)?
            }
            named if named.len() == columns => Constraints::new(config, "", named)?,
            named => {
                let (expected, found) = (format!("{} columns", named.len()), format!("{columns} columns"));
                return Err(Failure::at(Code::FeatureSchemaIncompatible, "features", expected, found));
            }
        };
        Ok(Booster { config, constraints, rng: self.rng, start })
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
