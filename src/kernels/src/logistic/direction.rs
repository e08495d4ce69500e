//! Where a Newton step leads: the least point of the objective's quadratic model.
//!
//! Flows in: a point and the sums there. Flows out: the way to the model's minimum. Without an L1 penalty that is
//! one linear system; with one it is coordinate descent on the model, whose Hessian is at hand (Lee, Sun, Saunders:
//! *Proximal Newton-type methods for minimizing composite functions*, 2014; Friedman, Hastie, Tibshirani:
//! *Regularization paths for generalized linear models via coordinate descent*, 2010).

use super::{
    cholesky,
    objective::{Objective, Sums},
};

/// Rounds over all coordinates at the most; a rough direction is still one of descent.
const MOST_ROUNDS: usize = 10_000;
/// Share of the present slope down to which the model is solved.
const CLOSE: f64 = 1e-6;

/// The largest absolute component of the objective's least subgradient: zero at the minimum alone.
pub(super) fn slope(objective: &Objective<'_, '_>, point: &[f64], sums: &Sums) -> f64 {
    let parts = sums.gradient.iter().zip(point).enumerate();
    let parts = parts.map(|(index, (&gradient, &at))| {
        let l1 = if index < objective.penalised() { objective.l1() } else { 0.0 };
        subgradient(gradient, at, l1).abs()
    });
    parts.fold(0.0, f64::max)
}

/// The way from `point` to the minimum of the model; none where the model has no curvature.
pub(super) fn direction(objective: &Objective<'_, '_>, point: &[f64], sums: &Sums) -> Option<Vec<f64>> {
    if objective.l1() == 0.0 {
        let towards = cholesky::solve(&sums.hessian, &sums.gradient)?;
        return Some(towards.into_iter().map(|part| -part).collect());
    }
    let mut model = Model { objective, point, sums, towards: vec![0.0; point.len()] };
    let enough = CLOSE * slope(objective, point, sums);
    for _ in 0..MOST_ROUNDS {
        let mut steepest = 0.0_f64;
        for index in 0..point.len() {
            steepest = steepest.max(model.settle(index)?);
        }
        if steepest <= enough {
            break;
        }
    }
    Some(model.towards)
}

/// How much the objective falls along the way if the gradient stays as it is (the L1 penalty is taken whole).
pub(super) fn decrease(objective: &Objective<'_, '_>, point: &[f64], sums: &Sums, towards: &[f64]) -> f64 {
    let smooth = sums.gradient.iter().zip(towards).fold(0.0, |sum, (gradient, part)| sum - gradient * part);
    let steps = point.iter().zip(towards).take(objective.penalised());
    steps.fold(smooth, |sum, (at, part)| sum + objective.l1() * (at.abs() - (at + part).abs()))
}

/// The part of the subgradient of `smooth + l1 * |at|` nearest to zero.
fn subgradient(gradient: f64, at: f64, l1: f64) -> f64 {
    if at > 0.0 {
        gradient + l1
    } else if at < 0.0 {
        gradient - l1
    } else {
        shrunk(gradient, l1)
    }
}

/// `value`, nearer to zero by `by`, and never past it.
fn shrunk(value: f64, by: f64) -> f64 {
    let size = value.abs() - by;
    if size > 0.0 { size.copysign(value) } else { 0.0 }
}

struct Model<'a, 'o, 'f> {
    objective: &'a Objective<'o, 'f>,
    point: &'a [f64],
    sums: &'a Sums,
    towards: Vec<f64>,
}

impl Model<'_, '_, '_> {
    /// Entry of the Hessian.
    fn hessian(&self, i: usize, j: usize) -> f64 {
        let (low, high) = (i.min(j), i.max(j));
        self.sums.hessian[high * (high + 1) / 2 + low]
    }

    /// Moves one coordinate to the model's minimum along it, and tells how steep the model was there.
    fn settle(&mut self, index: usize) -> Option<f64> {
        let parts = self.towards.iter().enumerate();
        let gradient = parts
            .fold(self.sums.gradient[index], |sum, (other, part)| sum + self.hessian(index, other) * part);
        let l1 = if index < self.objective.penalised() { self.objective.l1() } else { 0.0 };
        let at = self.point[index] + self.towards[index];
        let steep = subgradient(gradient, at, l1).abs();
        let curvature = self.hessian(index, index);
        if curvature > 0.0 {
            let end = shrunk(at - gradient / curvature, l1 / curvature);
            self.towards[index] = end - self.point[index];
        } else if gradient.abs() <= l1 {
            // A column that says nothing.
            self.towards[index] = -self.point[index];
        } else if steep > 0.0 {
            return None;
        }
        steep.is_finite().then_some(steep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_subgradient_is_zero_in_the_kink() {
        assert!([subgradient(0.5, 0.0, 0.7), subgradient(-0.7, 0.0, 0.7)].iter().all(|&part| part == 0.0));
        assert!((subgradient(1.0, 0.0, 0.7) - 0.3).abs() < 1e-15);
        assert!((subgradient(0.5, 2.0, 0.7) - 1.2).abs() < 1e-15);
        assert!((subgradient(0.5, -2.0, 0.7) + 0.2).abs() < 1e-15);
    }
}
