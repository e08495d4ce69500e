//! Newton's method with step halving.

use contracts::{Code, Failure, Result};

use super::{
    cholesky,
    objective::{Objective, Sums},
};
use crate::progress::Progress;

/// Share of the objective below which a difference of two of its values is rounding.
const RESOLUTION: f64 = 1e-12;
/// Share of the decrease that a linear model promises which a step must keep (Armijo's rule).
const SUFFICIENT: f64 = 1e-4;
/// Halvings before a direction is given up.
const MOST_HALVINGS: usize = 60;

/// The point at which the mean gradient is smaller than `tolerance` in every component.
///
/// Where rounding alone keeps the gradient above `tolerance`, as with large unscaled columns, the end is where
/// neither the objective nor the gradient gets smaller any more. Refuses with `TRAINING_DIVERGED`.
pub(super) fn minimise(
    objective: &Objective<'_, '_>,
    most_steps: u32,
    tolerance: f64,
    progress: &dyn Progress,
) -> Result<Vec<f64>> {
    let mut point = vec![0.0; objective.dimensions()];
    let mut sums = objective.evaluate(&point);
    if !sums.is_finite() {
        return Err(diverged("the objective is no finite number at its start"));
    }
    let mut floor = f64::INFINITY;
    for step in 0..=most_steps {
        progress.step(u64::from(step), u64::from(most_steps))?;
        let slope = sums.steepest() / objective.total_weight();
        if slope < tolerance {
            return Ok(point);
        }
        let direction = cholesky::solve(&sums.hessian, &sums.gradient)
            .ok_or_else(|| diverged("the objective has no curvature left"))?;
        let decrease = sums.gradient.iter().zip(&direction).fold(0.0, |sum, (g, d)| sum + g * d);
        if decrease <= RESOLUTION * sums.value {
            if slope > 0.5 * floor {
                return Ok(point);
            }
            floor = slope;
        }
        if step < most_steps {
            (point, sums) = descend(objective, &point, &sums, &direction, decrease)?;
        }
    }
    Err(diverged(&format!("no convergence within {most_steps} steps")))
}

/// The first of the points a whole, half, quarter step away at which the objective is low enough.
fn descend(
    objective: &Objective<'_, '_>,
    point: &[f64],
    sums: &Sums,
    direction: &[f64],
    decrease: f64,
) -> Result<(Vec<f64>, Sums)> {
    let mut length = 1.0;
    for _ in 0..MOST_HALVINGS {
        let next: Vec<f64> = point.iter().zip(direction).map(|(at, towards)| at - length * towards).collect();
        let found = objective.evaluate(&next);
        let enough = sums.value - SUFFICIENT * length * decrease + RESOLUTION * sums.value;
        if found.is_finite() && found.value <= enough {
            return Ok((next, found));
        }
        length *= 0.5;
    }
    Err(diverged("no step makes the objective smaller"))
}

fn diverged(detail: &str) -> Failure {
    Failure::new(Code::TrainingDiverged, format!("logistic regression: {detail}"))
}
