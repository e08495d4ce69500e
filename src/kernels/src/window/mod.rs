//! Point-in-time features over (entity, time) windows.
//!
//! ```text
//!   entity, time ──► Grouped ──┐
//!   columns ──► Column ────────┼─► Staged ──► one vector a feature, in the caller's row order
//!   Timeline ──► Labels ───────┘
//! ```
//!
//! For a row at time `t` a window of width `w` and delay `d` holds the events of the same entity with a time
//! in `(t - d - w, t - d]`: without delay the row itself, and with it every other event of the same instant.
//! A feature is a function of the *set* of events in its window, so it depends neither on the order of the
//! rows nor on events outside the window; sums are exact until one last rounding, hence never drift.
//!
//! Rows are sorted once, and what the features look at is brought into their order; from then on nothing else has to be
//! in memory. Each task of whole entities is swept once for all features. A stretch of the rows can be done alone, given
//! the rows that its windows reach back to and those of its last instant: see [`Grouped::asking`].

mod exact;
pub(crate) mod group;
mod rate;
mod scratch;
mod staged;
mod sweep;
mod wide;

use std::{ops::Range, sync::Arc};

use contracts::{Code, Failure, Result};

use crate::label::Timeline;
pub use exact::Column;
pub use group::Grouped;
pub use staged::Staged;

/// The stretch of time that a feature looks back on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Events at least this old, in nanoseconds, are in the window.
    delay: u64,
    /// Events of this age or more are too old; later than the delay.
    horizon: u64,
}

impl Window {
    /// A window of `width` nanoseconds that ends `delay` nanoseconds before the row.
    ///
    /// Refuses a width below one or a negative delay with `PARAMETER_INVALID`.
    pub fn new(width: i64, delay: i64) -> Result<Self> {
        for (name, value, least) in [("width", width, 1), ("delay", delay, 0)] {
            if value < least {
                let expected = format!("at least {least} ns");
                return Err(Failure::at(Code::ParameterInvalid, name, expected, "a smaller number"));
            }
        }
        Ok(Self { delay: delay as u64, horizon: delay as u64 + width as u64 })
    }

    /// Events of this age or more, in nanoseconds, are in no window of a row.
    pub const fn horizon(self) -> u64 {
        self.horizon
    }
}

/// What is told about the events of a window; numbers are positions in [`Inputs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// Number of events.
    Count,
    /// Sum of a column, rounded once; 0 of no event.
    Sum(usize),
    /// Mean of a column; NaN of no event.
    Mean(usize),
    /// Least value of a column; NaN of no event.
    Min(usize),
    /// Greatest value of a column; NaN of no event.
    Max(usize),
    /// Sample standard deviation of a column (divisor n - 1); NaN of fewer than two events.
    Std(usize),
    /// Share of positives among the events whose label was known by the row's time; 0 where none was.
    Rate(usize),
    /// Seconds since the latest event in the window strictly before the row's time; NaN where there is none.
    SinceLast,
}

impl Aggregate {
    /// The column that it is told of, if it is of one.
    const fn column(self) -> Option<usize> {
        match self {
            Self::Count | Self::Rate(_) | Self::SinceLast => None,
            Self::Sum(column)
            | Self::Mean(column)
            | Self::Min(column)
            | Self::Max(column)
            | Self::Std(column) => Some(column),
        }
    }
}

/// One feature to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    /// Which events it looks at.
    pub window: Window,
    /// What it tells about them.
    pub aggregate: Aggregate,
}

/// Labels as they became known, one timeline for each row, and which values count as positive.
#[derive(Debug, Clone)]
pub struct Labels {
    timeline: Arc<Timeline>,
    /// The timeline's events that are the rows.
    events: Range<usize>,
    positive: [bool; 256],
}

impl Labels {
    /// Joins a timeline, whose events are the rows, with the codes of the positive values.
    pub fn new(timeline: Timeline, positive: &[u8]) -> Self {
        let mut flags = [false; 256];
        for &code in positive {
            flags[code as usize] = true;
        }
        Self { events: 0..timeline.events(), timeline: Arc::new(timeline), positive: flags }
    }

    /// The labels of some of the rows alone.
    #[must_use]
    pub fn range(&self, rows: Range<usize>) -> Self {
        let start = self.events.start;
        Self { events: start + rows.start..start + rows.end, ..self.clone() }
    }
}

/// What aggregates refer to by position; every column and timeline has one entry a row.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inputs<'a> {
    /// Numeric columns.
    pub columns: &'a [Column<'a>],
    /// Labels.
    pub labels: &'a [Labels],
}

#[cfg(test)]
mod tests;
