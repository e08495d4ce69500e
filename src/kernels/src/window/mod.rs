//! Point-in-time features over (entity, time) windows.
//!
//! ```text
//!   entity, time ──► Grouped ──┐
//!   columns ──► Column ────────┼─► compute ──► one vector a feature, in the caller's row order
//!   Timeline ──► Labels ───────┘
//! ```
//!
//! For a row at time `t` a window of width `w` and delay `d` holds the events of the same entity with a time
//! in `(t - d - w, t - d]`: without delay the row itself, and with it every other event of the same instant.
//! A feature is a function of the *set* of events in its window, so it depends neither on the order of the
//! rows nor on events outside the window; sums are exact until one last rounding, hence never drift.
//!
//! Rows are sorted once; then each task of whole entities is swept once for all features. A stretch of the rows can
//! be done alone, given the rows that its windows reach back to and those of its last instant: see
//! [`Grouped::asking`].

mod exact;
pub(crate) mod group;
mod rate;
mod sweep;
mod wide;

use std::ops::Range;

use contracts::{Code, Failure, Result};
use rayon::prelude::*;

use crate::label::Timeline;
pub use exact::Column;
use exact::Running;
use group::Group;
pub use group::Grouped;

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
pub struct Labels<'a> {
    timeline: &'a Timeline,
    /// The timeline's events that are the rows.
    events: Range<usize>,
    positive: [bool; 256],
}

impl<'a> Labels<'a> {
    /// Joins a timeline, whose events are the rows, with the codes of the positive values.
    pub fn new(timeline: &'a Timeline, positive: &[u8]) -> Self {
        let mut flags = [false; 256];
        for &code in positive {
            flags[code as usize] = true;
        }
        Self { timeline, events: 0..timeline.events(), positive: flags }
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
    pub labels: &'a [Labels<'a>],
}

/// Computes features: one vector each, in the order of `features`, with one value for each row that is asked about, in
/// the caller's order.
///
/// Uses the current rayon pool; the result does not depend on its size. Refuses with `SHAPE_MISMATCH` (an
/// input with another number of rows) and `PARAMETER_INVALID` (an input that is not there).
pub fn compute(grouped: &Grouped, inputs: &Inputs<'_>, features: &[Feature]) -> Result<Vec<Vec<f64>>> {
    check(grouped, inputs, features)?;
    let mut windows: Vec<Window> = Vec::new();
    for feature in features {
        if !windows.contains(&feature.window) {
            windows.push(feature.window);
        }
    }
    let staged = Staged::new(grouped, inputs, features);
    let records = grouped.records();
    // By all threads, since the memory may be new: it is the first touch of a page that takes the time.
    let mut columns: Vec<Vec<f64>> = features.par_iter().map(|_| vec![0.0; records]).collect();
    let mut rest: Vec<&mut [f64]> = columns.iter_mut().map(Vec::as_mut_slice).collect();
    let mut work = Vec::with_capacity(grouped.tasks().len());
    for &task in grouped.tasks() {
        let of_task =
            rest.iter_mut().map(|column| column.split_off_mut(..task.records()).unwrap_or_default());
        work.push((task, of_task.collect::<Vec<_>>()));
    }
    work.into_par_iter().for_each(|(task, mut columns)| {
        let mut scratch = Scratch::new(inputs, &windows, features);
        let mut by_place = Vec::new();
        for group in grouped.groups(task) {
            scratch.fill(group, inputs, &staged, grouped.times());
            let asked = &group.slots[group.asked..];
            by_place.resize(asked.len(), 0.0);
            for (feature, column) in features.iter().zip(&mut columns) {
                scratch.evaluate(group, inputs, *feature, &mut by_place);
                for (&slot, &value) in asked.iter().zip(&by_place) {
                    // Rows in no order of time may come after one that is asked about and not be asked about.
                    if let Some(record) = (slot as usize).checked_sub(task.asked) {
                        column[record] = value;
                    }
                }
            }
        }
    });
    drop(staged);
    grouped.bring_into_order(&mut columns);
    Ok(columns)
}

fn check(grouped: &Grouped, inputs: &Inputs<'_>, features: &[Feature]) -> Result<()> {
    let rows = grouped.len();
    let columns = inputs.columns.iter().map(|column| ("columns", column.values().len()));
    let labels = inputs.labels.iter().map(|labels| ("labels", labels.events.len()));
    if let Some((name, length)) = columns.chain(labels).find(|&(_, length)| length != rows) {
        let expected = format!("{rows} entries, one a row");
        return Err(Failure::at(Code::ShapeMismatch, name, expected, format!("{length} entries")));
    }
    for feature in features {
        let (name, number, there) = match (feature.aggregate, feature.aggregate.column()) {
            (Aggregate::Rate(number), _) => ("labels", number, inputs.labels.len()),
            (_, Some(number)) => ("columns", number, inputs.columns.len()),
            (_, None) => continue,
        };
        if number >= there {
            let expected = format!("a position below {there}");
            return Err(Failure::at(Code::ParameterInvalid, name, expected, number.to_string()));
        }
    }
    Ok(())
}

/// The inputs by slot; nothing of those that no feature looks at.
struct Staged {
    columns: Vec<Option<Vec<f64>>>,
    labels: Vec<Option<rate::Staged>>,
}

impl Staged {
    fn new(grouped: &Grouped, inputs: &Inputs<'_>, features: &[Feature]) -> Self {
        // Adding 0.0 makes -0.0 positive: the two are equal, so which is the least would be left to order.
        let column = |(number, column): (usize, &Column<'_>)| {
            let used = features.iter().any(|feature| feature.aggregate.column() == Some(number));
            used.then(|| grouped.staged(column.values().iter().map(|value| value + 0.0)))
        };
        let labels = |(number, labels): (usize, &Labels<'_>)| {
            let asking = features.iter().filter(|feature| feature.aggregate == Aggregate::Rate(number));
            let least_delay = asking.map(|feature| feature.window.delay).min();
            least_delay.map(|least_delay| labels.staged(grouped, least_delay))
        };
        Self {
            columns: inputs.columns.par_iter().enumerate().map(column).collect(),
            labels: inputs.labels.par_iter().enumerate().map(labels).collect(),
        }
    }
}

/// What one task holds of the entity at hand; its memory is reused from entity to entity.
struct Scratch<'a> {
    windows: &'a [Window],
    /// Time of each place.
    times: Vec<i64>,
    /// Time of each place since the first one's, in nanoseconds, and at last a time that never comes.
    since_first: Vec<u64>,
    /// Ages at which events come into a window or leave it; windows share them.
    ages: Vec<u64>,
    /// By age: how many places are as old, for each place that is asked about.
    edges: Vec<Vec<u32>>,
    /// By window: the window of each place that is asked about, as the half-open range of places in it.
    bounds: Vec<Vec<(u32, u32)>>,
    /// By column: the values by place.
    values: Vec<Vec<f64>>,
    /// By column: its running sums, where a feature adds it up.
    sums: Vec<Option<Running>>,
    /// By label: what becomes known of the group's events.
    knowledge: Vec<rate::Changes>,
}

impl<'a> Scratch<'a> {
    fn new(inputs: &Inputs<'_>, windows: &'a [Window], features: &[Feature]) -> Self {
        let is_summed = |number: usize| {
            let of = [Aggregate::Sum(number), Aggregate::Mean(number)];
            features.iter().any(|feature| of.contains(&feature.aggregate))
        };
        let columns = inputs.columns.iter().enumerate();
        let mut ages: Vec<u64> = windows.iter().flat_map(|window| [window.delay, window.horizon]).collect();
        ages.sort_unstable();
        ages.dedup();
        Self {
            windows,
            times: Vec::new(),
            since_first: Vec::new(),
            edges: vec![Vec::new(); ages.len()],
            ages,
            bounds: vec![Vec::new(); windows.len()],
            values: vec![Vec::new(); inputs.columns.len()],
            sums: columns
                .map(|(number, column)| is_summed(number).then(|| column.running()).flatten())
                .collect(),
            knowledge: vec![rate::Changes::default(); inputs.labels.len()],
        }
    }

    fn fill(&mut self, group: Group<'_>, inputs: &Inputs<'_>, staged: &Staged, times: &[i64]) {
        self.times.clear();
        self.times.extend(group.slots.iter().map(|&slot| times[slot as usize]));
        self.since_first.clear();
        let first = self.times.first().copied().unwrap_or_default();
        self.since_first.extend(self.times.iter().map(|&time| sweep::age(time, first)));
        self.since_first.push(u64::MAX);
        sweep::edges(&self.since_first, group.asked, &self.ages, &mut self.edges);
        let edge = |age| self.ages.binary_search(&age).map_or(&[][..], |age| &self.edges[age]);
        for (bounds, window) in self.bounds.iter_mut().zip(self.windows) {
            bounds.clear();
            bounds.extend(edge(window.horizon).iter().copied().zip(edge(window.delay).iter().copied()));
        }
        for (values, column) in self.values.iter_mut().zip(&staged.columns) {
            values.clear();
            if let Some(column) = column {
                values.extend(group.slots.iter().map(|&slot| column[slot as usize]));
            }
        }
        for (sums, values) in self.sums.iter_mut().zip(&self.values) {
            if let Some(sums) = sums {
                sums.fill(values);
            }
        }
        for (knowledge, (labels, said)) in
            self.knowledge.iter_mut().zip(inputs.labels.iter().zip(&staged.labels))
        {
            if let Some(said) = said {
                knowledge.fill(group, &self.times, labels, said);
            }
        }
    }

    fn evaluate(&self, group: Group<'_>, inputs: &Inputs<'_>, feature: Feature, output: &mut [f64]) {
        let window = self.windows.iter().position(|window| *window == feature.window).unwrap_or_default();
        let bounds = &self.bounds[window];
        let values = |column: usize| self.values[column].as_slice();
        match feature.aggregate {
            Aggregate::Count => sweep::count(bounds, output),
            Aggregate::SinceLast => sweep::since_last(&self.times, group.asked, bounds, output),
            Aggregate::Min(column) => sweep::extreme(values(column), bounds, f64::lt, output),
            Aggregate::Max(column) => sweep::extreme(values(column), bounds, f64::gt, output),
            Aggregate::Sum(column) => match &self.sums[column] {
                Some(sums) => sums.sums(bounds, output),
                None => inputs.columns[column].sums(values(column), bounds, output),
            },
            Aggregate::Mean(column) => match &self.sums[column] {
                Some(sums) => sums.means(bounds, output),
                None => inputs.columns[column].means(values(column), bounds, output),
            },
            Aggregate::Std(column) => inputs.columns[column].deviations(values(column), bounds, output),
            Aggregate::Rate(labels) => {
                let window = (feature.window.delay, bounds.as_slice());
                let times = &self.times[group.asked..];
                self.knowledge[labels].rates(times, &inputs.labels[labels], window, output);
            }
        }
    }
}

#[cfg(test)]
mod tests;
