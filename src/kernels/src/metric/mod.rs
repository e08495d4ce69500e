//! How good a set of scores is: every figure that an evaluation report holds.
//!
//! ```text
//!   scores, labels, weights ──► Scored ──┬─► Ranking (the one sort) ──► Curve ──► areas, points, recall at a rate
//!                               (door)   │      └────────────────────► bootstrap ──► Intervals
//!                                        ├─► separates (counts; the sort where they do not decide)
//!                                        ├─► Probabilities ──► log loss, Brier, Reliability
//!                                        ├─► Confusion, TopK
//!              entities, days ───────────┴─► entity_precision            KnownPositives ──► rows that remain
//!              reference, current values ──► population_stability, kolmogorov_smirnov
//! ```
//!
//! Flows in: slices in the caller's canonical row order, checked once by [`Scored`], [`EntityDays`] or the
//! function itself. Flows out: numbers, never NaN: what is not defined is a `Failure` or a `None`.
//! Invariants: a row of weight zero is as good as absent; rows of equal score stand or fall together, except
//! where a fixed number of rows is asked for (then the earlier row goes first); every sum runs in row order
//! or in an order fixed by the ranking, so that threads change no bit. Where scikit-learn 1.9 has the metric
//! the figures agree to 1e-12 (`tests/metric_agrees_with_scikit_learn.rs`).

mod capacity;
mod curve;
mod drift;
mod interval;
mod order;
mod probability;
mod ranking;
mod scored;
mod separation;
mod sum;
mod threshold;

pub use capacity::{DayPrecision, EntityDays, EntityPrecision, KnownPositives, entity_precision};
pub use curve::{Curve, PrecisionRecallPoint, RocPoint};
pub use drift::{kolmogorov_smirnov, population_stability};
pub use interval::{Interval, Intervals, Metric, Resampling, bootstrap};
pub use probability::{Bins, Probabilities, Reliability, ReliabilityBin};
pub use ranking::Ranking;
pub use scored::Scored;
pub use separation::separates;
pub use threshold::{Confusion, TopK};

/// The natural logarithm of everything in this folder: one place, so that one function decides the bits.
fn ln(x: f64) -> f64 {
    crate::math::ln(x)
}
