//! Newton's method with step halving; near the end, where the Hessian hardly changes, an old one serves.

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

/// Share of the slope before it below which a step was so good that the next may do with the same Hessian.
const GOOD: f64 = 1e-2;
/// Share above which a step with an old Hessian calls for a new one.
const POOR: f64 = 1e-1;

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
    let (mut before, mut is_old) = (f64::INFINITY, false);
    for steps in 0..=most_steps {
        progress.step(u64::from(steps), u64::from(most_steps))?;
        let slope = slope(objective, &point, &sums) / objective.total_weight();
        if slope < tolerance {
            return Ok(Minimum { point, steps });
        }
        if is_old && slope > POOR * before {
            sums = objective.evaluate(&point);
        }
        is_old = before.is_finite() && slope <= GOOD * before;
        before = slope;
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
            let way = Way { point: &point, towards: &towards, decrease, keeps_hessian: is_old };
            (point, sums) = descend(objective, &sums, &way)?;
        }
    }
    Err(diverged(&format!("no convergence within {most_steps} steps")))
}

/// Where a step begins and leads.
struct Way<'a> {
    point: &'a [f64],
    towards: &'a [f64],
    /// What a linear model promises of the whole step.
    decrease: f64,
    /// Whether the Hessian at the end may be that of the beginning.
    keeps_hessian: bool,
}

/// The first of the points a whole, half, quarter step away at which the objective is low enough.
fn descend(objective: &Objective<'_, '_>, sums: &Sums, way: &Way<'_>) -> Result<(Vec<f64>, Sums)> {
    let mut length = 1.0;
    for _ in 0..MOST_HALVINGS {
        let next: Vec<f64> =
            way.point.iter().zip(way.towards).map(|(at, towards)| at + length * towards).collect();
        let found = if way.keeps_hessian {
            objective.evaluate_near(&next, &sums.hessian)
        } else {
            objective.evaluate(&next)
        };
        let enough = sums.value - SUFFICIENT * length * way.decrease + RESOLUTION * sums.value;
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
