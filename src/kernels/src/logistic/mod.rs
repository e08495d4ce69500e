//! Logistic regression with L1 and L2 penalties, with the objective of scikit-learn.
//!
//! ```text
//!   Frame ──► Scaling ──► Objective ◄──► newton::minimise ──► LogisticModel ──► probabilities
//!                         (tiles)        (direction)
//! ```
//!
//! Flows in: a frame without missing values. Flows out: a [`LogisticModel`]. Invariant: every sum over rows is
//! a fold, in order, over chunks of [`CHUNK`] rows, so that threads change no bit.

mod cholesky;
mod direction;
mod newton;
mod objective;
mod scaling;
#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "libm is the oracle here")]
mod tests;
mod tile;

use contracts::{Code, Failure, Result, model_config};
use ndarray::{Array1, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

use crate::{
    arrays::{Array, Arrays},
    frame::{self, Frame},
    logistic::{newton::Minimum, objective::Objective, scaling::Scaling},
    math,
    progress::Progress,
};

/// Rows whose sums one task computes. Part of the result's bits: never derive it from the machine.
const CHUNK: usize = 4096;

/// A fitted logistic regression.
///
/// Coefficients are kept on the standardised scale beside the means and scales that lead there: folding the
/// two together would lose digits where a column's mean is large beside its spread. Without standardisation
/// the means are 0 and the scales 1.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticModel {
    scaling: Scaling,
    weights: Vec<f64>,
    bias: f64,
    steps: u32,
}

/// Fits by Newton's method with step halving.
///
/// Each row's loss is weighted by its weight in the frame; the standardisation is not, as in a scikit-learn
/// pipeline. Refuses with `NON_FINITE_INPUT` (a missing value, or a column too large for its variance to be
/// a number) and `TRAINING_DIVERGED` (no convergence within `max_iter` steps, or no finite optimum).
pub fn fit(
    config: &model_config::LogisticRegression,
    frame: &Frame<'_>,
    progress: &dyn Progress,
) -> Result<LogisticModel> {
    frame.without_missing()?;
    let scaling = if config.standardize {
        Scaling::standard(frame.features())?
    } else {
        Scaling::identity(frame.columns())
    };
    let objective = Objective::new(config, frame, &scaling);
    let Minimum { point: mut weights, steps } =
        newton::minimise(&objective, config.max_iter, config.tol, progress)?;
    let bias = if config.fit_intercept { weights.pop().unwrap_or(0.0) } else { 0.0 };
    Ok(LogisticModel { scaling, weights, bias, steps })
}

impl LogisticModel {
    /// Number of features a row must have.
    pub const fn columns(&self) -> usize {
        self.weights.len()
    }

    /// Change of the logit for one unit of each feature.
    pub fn coefficients(&self) -> Vec<f64> {
        self.weights.iter().zip(self.scaling.scale()).map(|(weight, scale)| weight / scale).collect()
    }

    /// The logit of a row of zeros.
    pub fn intercept(&self) -> f64 {
        self.margin(Array1::zeros(self.columns()).view())
    }

    /// Newton steps over all rows after which the fit had converged: a model that had not is never made.
    pub const fn steps(&self) -> u32 {
        self.steps
    }

    /// Probability of the positive class for each row of `features` (rows x columns).
    ///
    /// Refuses with `NON_FINITE_INPUT` a missing or infinite value, naming its column, and a row whose logit
    /// is beyond the range of numbers.
    pub fn predict_proba(&self, features: ArrayView2<'_, f64>) -> Result<Array1<f64>> {
        let mut scores = vec![0.0; features.nrows()];
        let margins = |scores: &mut [f64], rows: ArrayView2<'_, f64>| {
            for (score, row) in scores.iter_mut().zip(rows.rows()) {
                *score = self.margin(row);
            }
        };
        // Fewer rows than a chunk has ask for no thread, nor whether there are any.
        let alone = features.nrows() <= CHUNK;
        if alone {
            margins(&mut scores, features);
        } else {
            let rows = features.axis_chunks_iter(Axis(0), CHUNK).into_par_iter();
            scores.par_chunks_mut(CHUNK).zip(rows).for_each(|(scores, rows)| margins(scores, rows));
        }
        if let Some(row) = scores.iter().position(|score| !score.is_finite()) {
            return Err(not_finite(features.row(row)));
        }
        let link = |score: &mut f64| *score = math::sigmoid(*score);
        if alone {
            scores.iter_mut().for_each(link);
        } else {
            scores.par_iter_mut().for_each(link);
        }
        Ok(Array1::from_vec(scores))
    }

    fn margin(&self, row: ArrayView1<'_, f64>) -> f64 {
        row.iter().zip(&self.weights).enumerate().fold(self.bias, |sum, (column, (&value, weight))| {
            sum + weight * self.scaling.apply(column, value)
        })
    }

    /// The arrays that stand in the model artifact.
    pub fn to_arrays(&self) -> Arrays {
        let arrays = [
            ("logistic.mean", Array::F64(self.scaling.mean().to_vec())),
            ("logistic.scale", Array::F64(self.scaling.scale().to_vec())),
            ("logistic.weights", Array::F64(self.weights.clone())),
            ("logistic.bias", Array::F64(vec![self.bias])),
            ("logistic.steps", Array::U32(vec![self.steps])),
        ];
        Arrays(arrays.into_iter().map(|(name, array)| (name.to_owned(), array)).collect())
    }

    /// Reads the arrays back; refuses anything malformed with `MODEL_INVALID`.
    pub fn from_arrays(columns: usize, arrays: &mut Arrays) -> Result<Self> {
        let mut take = |name: &str, length: usize| -> Result<Vec<f64>> {
            let values = arrays.take_f64(name)?;
            counted(name, length, values.len())?;
            Ok(values)
        };
        let scaling = Scaling::new(take("logistic.mean", columns)?, take("logistic.scale", columns)?)?;
        let weights = take("logistic.weights", columns)?;
        let bias = take("logistic.bias", 1)?[0];
        let steps = arrays.take_u32("logistic.steps")?;
        counted("logistic.steps", 1, steps.len())?;
        Ok(Self { scaling, weights, bias, steps: steps[0] })
    }
}

/// Refuses with `MODEL_INVALID` an array of another length.
fn counted(name: &str, expected: usize, found: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Failure::at(Code::ModelInvalid, name, format!("{expected} values"), format!("{found} values")))
}

/// Why a row has no finite logit.
fn not_finite(row: ArrayView1<'_, f64>) -> Failure {
    let at_fault = row.iter().enumerate().find(|(_, value)| !value.is_finite());
    match at_fault {
        Some((column, value)) if value.is_nan() => {
            frame::not_finite(column, "a missing value").with_hint(frame::FILL_MISSING)
        }
        Some((column, _)) => frame::not_finite(column, "an infinity"),
        None => {
            Failure::at(Code::NonFiniteInput, "features", "finite numbers", "a row whose logit overflows")
        }
    }
}
