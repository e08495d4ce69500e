//! The penalised negative log-likelihood with its gradient and Hessian.
//!
//! Flows in: a frame, a scaling, a point. Flows out: [`Sums`] at that point. Invariant: a fold in row order over
//! sums of fixed chunks; the tasks' number bounds memory and does not enter the result.

use contracts::model_config::{ClassWeight, LogisticRegression};
use ndarray::{ArrayView1, Axis};
use rayon::prelude::*;

use super::{CHUNK, scaling::Scaling};
use crate::{frame::Frame, math};

/// Chunks whose sums are held at once.
const CHUNKS_AT_ONCE: usize = 64;

/// `0.5 * |w|^2 / c + sum(weight * log_loss)` as a function of the weights and, last, the bias.
pub(super) struct Objective<'a, 'f> {
    frame: &'a Frame<'f>,
    scaling: &'a Scaling,
    /// Factor of the negative and of the positive class.
    factors: [f64; 2],
    penalty: f64,
    intercept: bool,
    total_weight: f64,
}

/// The objective's value and derivatives at one point.
#[derive(Debug, Clone)]
pub(super) struct Sums {
    pub(super) value: f64,
    pub(super) gradient: Vec<f64>,
    /// Lower triangle, row after row.
    pub(super) hessian: Vec<f64>,
}

impl<'a, 'f> Objective<'a, 'f> {
    pub(super) fn new(config: &LogisticRegression, frame: &'a Frame<'f>, scaling: &'a Scaling) -> Self {
        let mut totals = [0.0; 2];
        for (row, &positive) in frame.positive().iter().enumerate() {
            totals[usize::from(positive)] += frame.weight(row);
        }
        let total_weight = totals[0] + totals[1];
        let factors = match config.class_weight {
            ClassWeight::None => [1.0; 2],
            ClassWeight::Balanced => totals.map(|total| total_weight / (2.0 * total)),
        };
        Self {
            frame,
            scaling,
            factors,
            penalty: config.c.recip(),
            intercept: config.fit_intercept,
            // Balancing leaves the total as it is.
            total_weight,
        }
    }

    /// Length of a point: one weight a column, and the bias where there is one.
    pub(super) fn dimensions(&self) -> usize {
        self.frame.columns() + usize::from(self.intercept)
    }

    /// Sum of the rows' weights.
    pub(super) const fn total_weight(&self) -> f64 {
        self.total_weight
    }

    /// Value, gradient and Hessian at a point.
    pub(super) fn evaluate(&self, point: &[f64]) -> Sums {
        let mut total = Sums::zero(point.len());
        let chunks = self.frame.rows().div_ceil(CHUNK);
        for first in (0..chunks).step_by(CHUNKS_AT_ONCE) {
            let last = chunks.min(first + CHUNKS_AT_ONCE);
            let sums: Vec<_> = (first..last).into_par_iter().map(|chunk| self.chunk(chunk, point)).collect();
            for sums in &sums {
                total.add(sums);
            }
        }
        for (column, &weight) in point[..self.frame.columns()].iter().enumerate() {
            total.value += 0.5 * self.penalty * weight * weight;
            total.gradient[column] += self.penalty * weight;
            total.hessian[column * (column + 3) / 2] += self.penalty;
        }
        total
    }

    fn chunk(&self, chunk: usize, point: &[f64]) -> Sums {
        let mut sums = Sums::zero(point.len());
        let features = self.frame.features();
        let rows = features.axis_chunks_iter(Axis(0), CHUNK).nth(chunk);
        // The bias sees a feature that is always 1.
        let mut scaled = vec![1.0; point.len()];
        for (offset, values) in rows.iter().flat_map(|rows| rows.rows()).enumerate() {
            let row = chunk * CHUNK + offset;
            let positive = self.frame.positive()[row];
            let weight = self.frame.weight(row) * self.factors[usize::from(positive)];
            self.scale_row(values, &mut scaled);
            sums.add_row(&scaled, point, positive, weight);
        }
        sums
    }

    fn scale_row(&self, values: ArrayView1<'_, f64>, scaled: &mut [f64]) {
        for (column, (target, &value)) in scaled.iter_mut().zip(values).enumerate() {
            *target = self.scaling.apply(column, value);
        }
    }
}

impl Sums {
    fn zero(dimensions: usize) -> Self {
        Self {
            value: 0.0,
            gradient: vec![0.0; dimensions],
            hessian: vec![0.0; dimensions * (dimensions + 1) / 2],
        }
    }

    fn add(&mut self, other: &Self) {
        self.value += other.value;
        for (sum, term) in self.gradient.iter_mut().zip(&other.gradient) {
            *sum += term;
        }
        for (sum, term) in self.hessian.iter_mut().zip(&other.hessian) {
            *sum += term;
        }
    }

    fn add_row(&mut self, row: &[f64], point: &[f64], positive: bool, weight: f64) {
        let margin = row.iter().zip(point).fold(0.0, |sum, (value, weight)| sum + value * weight);
        let sign = if positive { -1.0 } else { 1.0 };
        // How far the row stands on the wrong side. One exponential of a negative number serves loss,
        // gradient and curvature, and none of them cancels.
        let wrong = sign * margin;
        let e = math::exp(-margin.abs());
        let share = if wrong < 0.0 { e } else { 1.0 } / (1.0 + e);
        self.value += weight * (wrong.max(0.0) + math::ln(1.0 + e));
        let residual = weight * sign * share;
        let curvature = weight * (e / ((1.0 + e) * (1.0 + e)));
        let mut start = 0;
        for (i, &value) in row.iter().enumerate() {
            self.gradient[i] += residual * value;
            let curved = curvature * value;
            for (sum, &other) in self.hessian[start..=start + i].iter_mut().zip(row) {
                *sum += curved * other;
            }
            start += i + 1;
        }
    }

    /// Whether every part is a finite number.
    pub(super) fn is_finite(&self) -> bool {
        self.value.is_finite() && self.gradient.iter().chain(&self.hessian).all(|part| part.is_finite())
    }

    /// The largest absolute component of the gradient.
    pub(super) fn steepest(&self) -> f64 {
        self.gradient.iter().fold(0.0, |largest, part| part.abs().max(largest))
    }
}
