//! Centring and scaling of features by the training rows.
//!
//! Flows in: a feature matrix without missing values. Flows out: a mean and a scale for each column. Invariant:
//! means are finite, scales finite and positive.

use contracts::{Code, Failure, Result};
use ndarray::{ArrayView1, ArrayView2};
use rayon::prelude::*;

use super::{
    CHUNK,
    tile::{Column, TILE, Tile, dot, sum},
};

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
        let count = features.nrows() as f64;
        let zeros = vec![0.0; features.ncols()];
        let mut mean: Vec<f64> = sums(features, &zeros, sum).iter().map(|sum| sum / count).collect();
        let squares = sums(features, &mean, |column| dot(column, column));
        let mut scale: Vec<f64> = squares.iter().map(|sum| (sum / count).sqrt()).collect();
        for (column, values) in features.columns().into_iter().enumerate() {
            // A rounded mean would leave dust where there is no variation at all.
            if is_constant(values) {
                (mean[column], scale[column]) = (values[0], 1.0);
            } else if scale[column] == 0.0 {
                scale[column] = 1.0;
            }
        }
        let finite = |column: &usize| mean[*column].is_finite() && scale[*column].is_finite();
        if let Some(column) = (0..features.ncols()).find(|column| !finite(column)) {
            return Err(Failure::at(
                Code::NonFiniteInput,
                format!("features/{column}"),
                "numbers whose variance is a finite number",
                "larger numbers",
            ));
        }
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

/// Whether all values are the same bits.
fn is_constant(values: ArrayView1<'_, f64>) -> bool {
    let first = values[0];
    values.iter().all(|value| value.total_cmp(&first).is_eq())
}

/// For each column, the sum over tiles of `of_tile` on its values less their mean: by chunks, then in all.
fn sums(features: ArrayView2<'_, f64>, mean: &[f64], of_tile: fn(&Column) -> f64) -> Vec<f64> {
    let chunks: Vec<Vec<f64>> = (0..features.nrows().div_ceil(CHUNK))
        .into_par_iter()
        .map(|chunk| {
            let mut tile = Tile::new(mean.len());
            let mut sums = vec![0.0; mean.len()];
            for start in (chunk * CHUNK..features.nrows().min((chunk + 1) * CHUNK)).step_by(TILE) {
                tile.load(features, start, mean);
                for (total, column) in sums.iter_mut().zip(tile.columns()) {
                    *total += of_tile(column);
                }
            }
            sums
        })
        .collect();
    let mut total = vec![0.0; mean.len()];
    for chunk in &chunks {
        total.iter_mut().zip(chunk).for_each(|(total, sum)| *total += sum);
    }
    total
}
