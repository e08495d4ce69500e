//! Fitted models of every family behind one closed type.

use contracts::{Code, Failure, Result};
use linfa::traits::PredictInplace;
use ndarray::{Array1, ArrayBase, ArrayView2, Data, Ix2};

use crate::{arrays::Arrays, boosting::BoostingModel, ensemble::Ensemble, forest, logistic::LogisticModel};

/// A fitted model. A decision tree is a forest of one tree.
#[derive(Debug, Clone, PartialEq)]
pub enum Model {
    /// Logistic regression.
    Logistic(LogisticModel),
    /// One tree, or the mean over bagged trees; leaf values are probabilities.
    Forest(Ensemble),
    /// Boosted trees on the logit scale.
    Boosting(BoostingModel),
}

impl Model {
    /// Number of features a row must have.
    pub fn columns(&self) -> usize {
        match self {
            Self::Logistic(model) => model.columns(),
            Self::Forest(ensemble) => ensemble.columns(),
            Self::Boosting(model) => model.columns(),
        }
    }

    /// Probability of the positive class for each row of `features` (rows x columns).
    ///
    /// Refuses with `FEATURE_SCHEMA_INCOMPATIBLE` when the number of columns differs, and with
    /// `NON_FINITE_INPUT` when a family that cannot use missing values meets one.
    pub fn predict_proba(&self, features: ArrayView2<'_, f64>) -> Result<Array1<f64>> {
        if features.ncols() != self.columns() {
            return Err(Failure::at(
                Code::FeatureSchemaIncompatible,
                "features",
                format!("{} columns", self.columns()),
                format!("{} columns", features.ncols()),
            ));
        }
        match self {
            Self::Logistic(model) => model.predict_proba(features),
            Self::Forest(ensemble) => forest::predict_proba(ensemble, features),
            Self::Boosting(model) => model.predict_proba(features),
        }
    }

    /// The arrays that stand in the model artifact.
    pub fn to_arrays(&self) -> Arrays {
        match self {
            Self::Logistic(model) => model.to_arrays(),
            Self::Forest(ensemble) => ensemble.to_arrays(),
            Self::Boosting(model) => model.to_arrays(),
        }
    }

    /// Reads a model of the named family over `columns` features; refuses anything malformed with
    /// `MODEL_INVALID`.
    pub fn from_arrays(family: &str, columns: usize, mut arrays: Arrays) -> Result<Self> {
        let model = match family {
            "logistic_regression" => Self::Logistic(LogisticModel::from_arrays(columns, &mut arrays)?),
            "decision_tree" | "random_forest" => Self::Forest(forest::from_arrays(columns, &mut arrays)?),
            "gradient_boosting" => Self::Boosting(BoostingModel::from_arrays(columns, &mut arrays)?),
            _ => {
                return Err(Failure::at(
                    Code::ModelInvalid,
                    "family",
                    "a known model family",
                    "another name",
                ));
            }
        };
        arrays.finish()?;
        Ok(model)
    }
}

impl<D: Data<Elem = f64>> PredictInplace<ArrayBase<D, Ix2>, Array1<f64>> for Model {
    /// Probabilities; NaN where the input cannot be scored, since linfa's trait has no error.
    fn predict_inplace(&self, features: &ArrayBase<D, Ix2>, target: &mut Array1<f64>) {
        match self.predict_proba(features.view()) {
            Ok(scores) => target.assign(&scores),
            Err(_) => target.fill(f64::NAN),
        }
    }

    fn default_target(&self, features: &ArrayBase<D, Ix2>) -> Array1<f64> {
        Array1::from_elem(features.nrows(), f64::NAN)
    }
}
