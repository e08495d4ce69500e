//! The penalised negative log-likelihood with its gradient and Hessian.
//!
//! Flows in: a frame, a scaling, a point. Flows out: [`Sums`] at that point. Invariant: a fold in row order over
//! sums of fixed chunks; the tasks' number bounds memory and does not enter the result.

use contracts::model_config::{ClassWeight, LogisticRegression};
use rayon::prelude::*;

use super::{
    CHUNK,
    scaling::Scaling,
    tile::{Column, TILE, Tile, dot, sum},
};
use crate::{frame::Frame, math};

/// Chunks whose sums are held at once.
const CHUNKS_AT_ONCE: usize = 64;

/// `penalty * (0.5 * (1 - l1_ratio) * |w|^2 + l1_ratio * |w|_1) + sum(weight * log_loss)` as a function of the
/// weights and, last, the bias.
pub(super) struct Objective<'a, 'f> {
    frame: &'a Frame<'f>,
    scaling: &'a Scaling,
    /// Factor of the negative and of the positive class.
    factors: [f64; 2],
    /// Summed weight of the negative and of the positive class, factors included.
    totals: [f64; 2],
    /// Factors of `|w|_1` and of `0.5 * |w|^2`.
    penalties: [f64; 2],
    intercept: bool,
    /// One chunk in so many counts.
    every: usize,
}

/// The objective's value, and the derivatives of all of it but `|w|_1`, at one point.
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
        let total = totals[0] + totals[1];
        let factors = match config.class_weight {
            ClassWeight::None => [1.0; 2],
            ClassWeight::Balanced => totals.map(|of_class| total / (2.0 * of_class)),
        };
        let penalty = config.c.recip();
        Self {
            frame,
            scaling,
            factors,
            totals: [totals[0] * factors[0], totals[1] * factors[1]],
            penalties: [penalty * config.l1_ratio, penalty * (1.0 - config.l1_ratio)],
            intercept: config.fit_intercept,
            every: 1,
        }
    }

    /// Much the same function over one chunk of rows in so many, for a first guess; none where those hold
    /// less than half their share of a class.
    pub(super) fn thinned(&self, every: usize) -> Option<Objective<'a, 'f>> {
        let mut totals = [0.0; 2];
        for (index, positive) in self.frame.positive().chunks(CHUNK).enumerate().step_by(every) {
            for (offset, &positive) in positive.iter().enumerate() {
                let class = usize::from(positive);
                totals[class] += self.frame.weight(index * CHUNK + offset) * self.factors[class];
            }
        }
        let share = 1.0 / every as f64;
        let is_fair = totals.iter().zip(self.totals).all(|(part, all)| *part >= 0.5 * share * all);
        let penalties = self.penalties.map(|penalty| penalty * share);
        is_fair.then_some(Objective { totals, penalties, every, ..*self })
    }

    /// Number of chunks that the rows make.
    pub(super) fn chunks(&self) -> usize {
        self.frame.rows().div_ceil(CHUNK)
    }

    /// Length of a point: one weight a column, and the bias where there is one.
    pub(super) fn dimensions(&self) -> usize {
        self.frame.columns() + usize::from(self.intercept)
    }

    /// How many of a point's numbers, from the first, are penalised.
    pub(super) fn penalised(&self) -> usize {
        self.frame.columns()
    }

    /// Factor of `|w|_1`.
    pub(super) const fn l1(&self) -> f64 {
        self.penalties[0]
    }

    /// Sum of the rows' weights.
    pub(super) fn total_weight(&self) -> f64 {
        self.totals[0] + self.totals[1]
    }

    /// The best point among those without weights: the bias alone, which says how rare the positives are.
    pub(super) fn start(&self) -> Vec<f64> {
        let mut point = vec![0.0; self.dimensions()];
        let logit = math::ln(self.totals[1] / self.totals[0]);
        // Weights may be so large or so far apart that their ratio is no number.
        if self.intercept && logit.is_finite() {
            point[self.frame.columns()] = logit;
        }
        point
    }

    /// Value, gradient and Hessian at a point.
    pub(super) fn evaluate(&self, point: &[f64]) -> Sums {
        self.sums(point, true)
    }

    /// Value and gradient at a point, beside a Hessian that was found near it.
    pub(super) fn evaluate_near(&self, point: &[f64], hessian: &[f64]) -> Sums {
        Sums { hessian: hessian.to_vec(), ..self.sums(point, false) }
    }

    /// Without `curved` the Hessian is left out, which is much of the work.
    fn sums(&self, point: &[f64], curved: bool) -> Sums {
        let columns = self.frame.columns();
        // Rows are centred and not scaled: the scales go into the weights, and out of the sums once.
        let scale = |index: usize| self.scaling.scale().get(index).copied().unwrap_or(1.0);
        let scaled: Vec<f64> =
            point.iter().enumerate().map(|(index, weight)| weight / scale(index)).collect();
        let mut total = Sums::zero(point.len());
        let chunks: Vec<usize> = (0..self.chunks()).step_by(self.every).collect();
        for chunks in chunks.chunks(CHUNKS_AT_ONCE) {
            let sums: Vec<_> = chunks.par_iter().map(|&chunk| self.chunk(chunk, &scaled, curved)).collect();
            for sums in &sums {
                total.add(sums);
            }
        }
        let mut place = 0;
        for i in 0..point.len() {
            total.gradient[i] /= scale(i);
            for j in 0..=i {
                total.hessian[place] = total.hessian[place] / scale(i) / scale(j);
                place += 1;
            }
        }
        let [l1, l2] = self.penalties;
        for (column, &weight) in point[..columns].iter().enumerate() {
            total.value += l1 * weight.abs() + 0.5 * l2 * weight * weight;
            total.gradient[column] += l2 * weight;
            total.hessian[column * (column + 3) / 2] += l2;
        }
        total
    }

    fn chunk(&self, chunk: usize, point: &[f64], curved: bool) -> Sums {
        let mut sums = Sums::zero(point.len());
        let mut tile = Tile::new(point.len());
        let mut weights = [0.0; TILE];
        let end = self.frame.rows().min((chunk + 1) * CHUNK);
        for start in (chunk * CHUNK..end).step_by(TILE) {
            tile.load(self.frame.features(), start, self.scaling.mean());
            let positive = &self.frame.positive()[start..start + tile.rows()];
            weights.fill(0.0);
            for (offset, (weight, &positive)) in weights.iter_mut().zip(positive).enumerate() {
                *weight = self.frame.weight(start + offset) * self.factors[usize::from(positive)];
            }
            let curvatures = sums.add_tile(&tile, positive, &weights, point);
            if curved {
                sums.add_curvature(&tile, &curvatures);
            }
        }
        sums
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

    /// Adds the value and the gradient of a tile's rows (those past its last have no weight), and tells their
    /// curvatures.
    fn add_tile(&mut self, tile: &Tile, positive: &[bool], weights: &Column, point: &[f64]) -> Column {
        let mut margins = [0.0; TILE];
        for (column, weight) in tile.columns().iter().zip(point) {
            margins.iter_mut().zip(column).for_each(|(margin, value)| *margin += weight * value);
        }
        let mut signs = [1.0; TILE];
        signs
            .iter_mut()
            .zip(positive)
            .for_each(|(sign, &positive)| *sign = if positive { -1.0 } else { 1.0 });
        let [mut losses, mut residuals, mut curvatures] = [[0.0; TILE]; 3];
        for row in 0..TILE {
            let (margin, sign, weight) = (margins[row], signs[row], weights[row]);
            // How far the row stands on the wrong side. One exponential of a negative number serves loss,
            // gradient and curvature, and none of them cancels.
            let wrong = sign * margin;
            let e = math::exp(-margin.abs());
            let near = 1.0 / (1.0 + e);
            let far = e * near;
            losses[row] = weight * ((if wrong > 0.0 { wrong } else { 0.0 }) + math::ln(1.0 + e));
            residuals[row] = weight * (sign * if wrong < 0.0 { far } else { near });
            curvatures[row] = weight * (far * near);
        }
        self.value += sum(&losses);
        for (total, column) in self.gradient.iter_mut().zip(tile.columns()) {
            *total += dot(&residuals, column);
        }
        curvatures
    }

    /// Adds the Hessian of a tile's rows.
    fn add_curvature(&mut self, tile: &Tile, curvatures: &Column) {
        let mut place = 0;
        let mut curved = [0.0; TILE];
        for (i, column) in tile.columns().iter().enumerate() {
            for ((curved, curvature), value) in curved.iter_mut().zip(curvatures).zip(column) {
                *curved = curvature * value;
            }
            for other in &tile.columns()[..=i] {
                self.hessian[place] += dot(&curved, other);
                place += 1;
            }
        }
    }

    /// Whether every part is a finite number.
    pub(super) fn is_finite(&self) -> bool {
        self.value.is_finite() && self.gradient.iter().chain(&self.hessian).all(|part| part.is_finite())
    }
}
