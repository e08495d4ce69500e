//! Centring and scaling of features by the training rows.
//!
//! Flows in: a feature matrix without missing values. Flows out: a mean and a scale for each column. Invariant:
//! means are finite, scales finite and positive.

use contracts::{Code, Failure, Result};
use ndarray::{ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

use super::CHUNK;

/// `(value - mean) / scale` for each column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scaling {
    mean: Vec<f64>,
    scale: Vec<f64>,
}

impl Scaling {
    /// Joins parts of one length read from an artifact; refuses with `MODEL_INVALID` scales that are not
    /// positive.
    pub(super) fn new(mean: Vec<f64>, scale: Vec<f64>) -> Result<Self> {
        if scale.iter().all(|&scale| scale > 0.0) {
            return Ok(Self { mean, scale });
        }
        Err(Failure::at(Code::ModelInvalid, "logistic.scale", "positive numbers", "another number"))
    }

    /// Leaves values as they are.
    pub(super) fn identity(columns: usize) -> Self {
        Self { mean: vec![0.0; columns], scale: vec![1.0; columns] }
    }

    /// The mean and the population standard deviation of each column, as scikit-learn's `StandardScaler`; a
    /// constant column is centred alone. Refuses with `NON_FINITE_INPUT` a column whose variance overflows.
    pub(super) fn standard(features: ArrayView2<'_, f64>) -> Result<Self> {
        let columns: Vec<_> = features.axis_iter(Axis(1)).collect();
        let moments: Vec<_> = columns.par_iter().map(|&values| moments(values)).collect();
        if let Some(column) = moments.iter().position(|(mean, scale)| !mean.is_finite() || !scale.is_finite())
        {
            return Err(Failure::at(
                Code::NonFiniteInput,
                format!("features/{column}"),
                "numbers whose variance is a finite number",
                "larger numbers",
            ));
        }
        let (mean, scale) = moments.into_iter().unzip();
        Ok(Self { mean, scale })
    }

    /// The means, one a column.
    pub(super) fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The scales, one a column.
    pub(super) fn scale(&self) -> &[f64] {
        &self.scale
    }

    /// One value of one column, centred and scaled.
    pub(super) fn apply(&self, column: usize, value: f64) -> f64 {
        (value - self.mean[column]) / self.scale[column]
    }
}

/// The mean and the scale of one column.
fn moments(values: ArrayView1<'_, f64>) -> (f64, f64) {
    let first = values[0];
    // A rounded mean would leave dust where there is no variation at all.
    if values.iter().all(|value| value.total_cmp(&first).is_eq()) {
        return (first, 1.0);
    }
    let count = values.len() as f64;
    let mean = sum(values, |value| value) / count;
    let variance = sum(values, |value| (value - mean) * (value - mean)) / count;
    let scale = variance.sqrt();
    (mean, if scale == 0.0 { 1.0 } else { scale })
}

/// Sum over chunks of chunk sums: fewer roundings in a row than a plain fold.
fn sum(values: ArrayView1<'_, f64>, term: impl Fn(f64) -> f64) -> f64 {
    values
        .axis_chunks_iter(Axis(0), CHUNK)
        .map(|chunk| chunk.iter().fold(0.0, |sum, &value| sum + term(value)))
        .fold(0.0, |total, chunk| total + chunk)
}
