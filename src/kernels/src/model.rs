//! Fitted models of every family behind one closed type.

use contracts::{Code, Failure, Result};
use linfa::traits::PredictInplace;
use ndarray::{Array1, Array2, ArrayBase, ArrayView2, Data, Ix2};

use crate::{
    arrays::Arrays,
    boosting::BoostingModel,
    ensemble::{Ensemble, Value},
    forest, frame,
    logistic::LogisticModel,
    shap,
};

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
    /// A name by which [`Self::from_arrays`] reads it back. A tree and a forest are one kind of model.
    pub const fn family(&self) -> &'static str {
        match self {
            Self::Logistic(_) => "logistic_regression",
            Self::Forest(_) => "random_forest",
            Self::Boosting(_) => "gradient_boosting",
        }
    }

    /// Number of features a row must have.
    pub fn columns(&self) -> usize {
        match self {
            Self::Logistic(model) => model.columns(),
            Self::Forest(ensemble) => ensemble.columns(),
            Self::Boosting(model) => model.columns(),
        }
    }

    /// Columns whose values are categories, in rising order.
    pub fn categorical(&self) -> &[u32] {
        match self {
            Self::Boosting(model) => model.categorical(),
            Self::Logistic(_) | Self::Forest(_) => &[],
        }
    }

    /// Probability of the positive class for each row of `features` (rows x columns).
    ///
    /// Refuses with `FEATURE_SCHEMA_INCOMPATIBLE` when the number of columns differs, with `NON_FINITE_INPUT` when
    /// a family that cannot use missing values meets one, and with `CATEGORY_INVALID` what is no category in a
    /// column of those.
    pub fn predict_proba<T: Value>(&self, features: ArrayView2<'_, T>) -> Result<Array1<f64>> {
        self.check_columns(features.ncols())?;
        match self {
            Self::Logistic(model) => model.predict_proba(T::wide(features).view()),
            Self::Forest(ensemble) => forest::predict_proba(ensemble, features),
            Self::Boosting(model) => model.predict_proba(features),
        }
    }

    /// For each row of `features` (rows x columns) and each tree the position in that tree of the leaf that the
    /// row falls into (rows x trees).
    ///
    /// Refuses as [`Self::predict_proba`] does, and with `PARAMETER_INVALID` a model without trees.
    pub fn leaves<T: Value>(&self, features: ArrayView2<'_, T>) -> Result<Array2<u32>> {
        Ok(self.trees_for(features)?.leaves(features))
    }

    /// What each feature adds to each row's score (rows x columns): exact Shapley values, on the log-odds scale
    /// for boosting and of the probability for a tree or a forest. With [`Self::expected_value`] they sum to
    /// the score, up to rounding. The source is that of [`shap`].
    ///
    /// Refuses as [`Self::predict_proba`] does, and with `PARAMETER_INVALID` a model without trees.
    pub fn shap_values<T: Value>(&self, features: ArrayView2<'_, T>) -> Result<Array2<f64>> {
        let ensemble = self.trees_for(features)?;
        let values = shap::values(ensemble, features);
        Ok(match self {
            Self::Forest(_) => values / ensemble.len() as f64,
            _ => values,
        })
    }

    /// The score that the training data comes to on average, on the scale of [`Self::shap_values`].
    ///
    /// Refuses a model without trees with `PARAMETER_INVALID`.
    pub fn expected_value(&self) -> Result<f64> {
        let ensemble = self.trees()?;
        Ok(match self {
            Self::Boosting(model) => model.base() + shap::expected(ensemble),
            _ => shap::expected(ensemble) / ensemble.len() as f64,
        })
    }

    /// The trees, if `features` are what they take.
    fn trees_for<T: Value>(&self, features: ArrayView2<'_, T>) -> Result<&Ensemble> {
        self.check_columns(features.ncols())?;
        match self {
            Self::Forest(_) => frame::without_missing_or_infinite(features)?,
            Self::Boosting(model) => model.check(features)?,
            Self::Logistic(_) => {}
        }
        self.trees()
    }

    fn trees(&self) -> Result<&Ensemble> {
        match self {
            Self::Logistic(_) => {
                Err(Failure::at(Code::ParameterInvalid, "model", "one of trees", "a logistic regression"))
            }
            Self::Forest(ensemble) => Ok(ensemble),
            Self::Boosting(model) => Ok(model.trees()),
        }
    }

    fn check_columns(&self, found: usize) -> Result<()> {
        let expected = self.columns();
        if found == expected {
            return Ok(());
        }
        Err(Failure::at(
            Code::FeatureSchemaIncompatible,
            "features",
            format!("{expected} columns"),
            format!("{found} columns"),
        ))
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
