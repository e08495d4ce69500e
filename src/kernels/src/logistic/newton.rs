//! Newton's method with step halving.

use contracts::{Code, Failure, Result};

use super::{
    direction::{decrease, direction, slope},
    objective::{Objective, Sums},
};
use crate::progress::{Progress, Silent};

/// Share of the objective below which a difference of two of its values is rounding.
const RESOLUTION: f64 = 1e-12;
/// Share of the decrease that a linear model promises which a step must keep (Armijo's rule).
const SUFFICIENT: f64 = 1e-4;
/// Halvings before a direction is given up.
const MOST_HALVINGS: usize = 60;

/// Of so many chunks one gives the first guess.
const THINNED: usize = 16;
/// Chunks from which on a first guess is worth its time.
const LEAST_CHUNKS: usize = 2 * THINNED;
/// How close a first guess comes to the minimum of its part: as close as a part can tell.
const ROUGH: f64 = 1e-5;

/// The minimum, and how it was reached.
#[derive(Debug)]
pub(super) struct Minimum {
    pub(super) point: Vec<f64>,
    /// Newton steps over all rows.
    pub(super) steps: u32,
}

/// The point at which the mean gradient is smaller than `tolerance` in every component.
///
/// Where rounding alone keeps the gradient above `tolerance`, as with large unscaled columns, the end is where
/// neither the objective nor the gradient gets smaller any more. Refuses with `TRAINING_DIVERGED`.
pub(super) fn minimise(
    objective: &Objective<'_, '_>,
    most_steps: u32,
    tolerance: f64,
    progress: &dyn Progress,
) -> Result<Minimum> {
    let mut start = objective.start();
    let part = (objective.chunks() >= LEAST_CHUNKS).then(|| objective.thinned(THINNED)).flatten();
    if let Some(part) = part {
        // A part of the rows may have no minimum; all of them are asked in any case.
        if let Ok(guess) = descend_from(part.start(), &part, most_steps, tolerance.max(ROUGH), &Silent) {
            start = guess.point;
        }
    }
    descend_from(start, objective, most_steps, tolerance, progress)
}

fn descend_from(
    mut point: Vec<f64>,
    objective: &Objective<'_, '_>,
    most_steps: u32,
    tolerance: f64,
    progress: &dyn Progress,
) -> Result<Minimum> {
    let mut sums = objective.evaluate(&point);
    if !sums.is_finite() {
        return Err(diverged("the objective is no finite number at its start"));
    }
    let mut floor = f64::INFINITY;
    for steps in 0..=most_steps {
        progress.step(u64::from(steps), u64::from(most_steps))?;
        let slope = slope(objective, &point, &sums) / objective.total_weight();
        if slope < tolerance {
            return Ok(Minimum { point, steps });
        }
        let towards = direction(objective, &point, &sums)
            .ok_or_else(|| diverged("the objective has no curvature left"))?;
        let decrease = decrease(objective, &point, &sums, &towards);
        if decrease <= RESOLUTION * sums.value {
            if slope > 0.5 * floor {
                return Ok(Minimum { point, steps });
            }
            floor = slope;
        }
        if steps < most_steps {
            (point, sums) = descend(objective, &point, &sums, &towards, decrease)?;
        }
    }
    Err(diverged(&format!("no convergence within {most_steps} steps")))
}

/// The first of the points a whole, half, quarter step away at which the objective is low enough.
fn descend(
    objective: &Objective<'_, '_>,
    point: &[f64],
    sums: &Sums,
    towards: &[f64],
    decrease: f64,
) -> Result<(Vec<f64>, Sums)> {
    let mut length = 1.0;
    for _ in 0..MOST_HALVINGS {
        let next: Vec<f64> = point.iter().zip(towards).map(|(at, towards)| at + length * towards).collect();
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
