//! One learner for every family, behind linfa's `Fit` as well.
//!
//! linfa 0.8's own logistic regression and trees lack what the line needs (sample weights, probabilities, the
//! same bits on every run), so the kernels are ours and the interface is linfa's.

use contracts::{Result, model_config::ModelConfig};
use linfa::{
    dataset::{AsSingleTargets, DatasetBase},
    traits::Fit,
};
use ndarray::{ArrayBase, Data, Ix2};

use crate::{
    boosting,
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
    /// Keyed by the stage seed.
    pub rng: Rng,
}

impl Learner {
    /// Fits on `train`; `validation` serves early stopping alone.
    ///
    /// Refuses with `NON_FINITE_INPUT`, `TRAINING_DIVERGED` or `PARAMETER_INVALID` (early stopping without a
    /// validation frame), and with whatever `progress` stops the work with.
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
                boosting::fit(config, train, validation, self.rng, progress).map(Model::Boosting)
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
