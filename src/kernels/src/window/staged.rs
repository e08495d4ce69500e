//! Rows of one entity with all that their features look at, in order.

use contracts::{Code, Failure, Result};
use rayon::prelude::*;

use super::{
    Aggregate, Column, Feature, Inputs, Labels, Window,
    group::{Grouped, Task, Values},
    scratch::{BySlot, Scratch},
};

/// Grouped rows with the inputs of some features, by slot: nothing else has to stay in memory until they are computed.
pub struct Staged<'a> {
    grouped: Grouped,
    features: &'a [Feature],
    inputs: BySlot,
}

/// What one task writes of a feature.
enum Part<'a> {
    Counts(&'a mut [u32]),
    Numbers(&'a mut [f64]),
}

impl<'a> Staged<'a> {
    /// Brings what the features look at into the order of the rows.
    ///
    /// Refuses with `SHAPE_MISMATCH` (an input with another number of rows) and `PARAMETER_INVALID` (an input that is
    /// not there).
    pub fn new(grouped: Grouped, inputs: &Inputs<'_>, features: &'a [Feature]) -> Result<Self> {
        check(&grouped, inputs, features)?;
        let inputs = BySlot::new(&grouped, inputs, features);
        Ok(Self { grouped, features, inputs })
    }

    /// Computes the features: one vector each, in their order, with one value for each row that is asked about, in the
    /// caller's order.
    ///
    /// Uses the current rayon pool; the result does not depend on its size.
    pub fn compute(self) -> Vec<Vec<f64>> {
        let Self { grouped, features, inputs } = self;
        let mut windows: Vec<Window> = Vec::new();
        for feature in features {
            if !windows.contains(&feature.window) {
                windows.push(feature.window);
            }
        }
        let records = grouped.records();
        // By all threads, since the memory may be new: it is the first touch of a page that takes the time.
        let mut columns: Vec<Values> =
            features.par_iter().map(|feature| Values::new(feature.aggregate, records)).collect();
        let mut rest: Vec<Part<'_>> = columns.iter_mut().map(Values::whole).collect();
        let mut work = Vec::with_capacity(grouped.tasks().len());
        for &task in grouped.tasks() {
            let of_task = rest.iter_mut().map(|column| column.split_off(task.records()));
            work.push((task, of_task.collect::<Vec<_>>()));
        }
        work.into_par_iter()
            .for_each(|(task, columns)| sweep(&grouped, task, &windows, features, &inputs, columns));
        drop(inputs);
        grouped.bring_into_order(columns)
    }
}

/// Computes all features of one task.
fn sweep(
    grouped: &Grouped,
    task: Task,
    windows: &[Window],
    features: &[Feature],
    inputs: &BySlot,
    mut columns: Vec<Part<'_>>,
) {
    let mut scratch = Scratch::new(inputs, windows, features);
    let mut by_place = Vec::new();
    for group in grouped.groups(task) {
        scratch.fill(group, inputs, grouped.times());
        let asked = &group.slots[group.asked..];
        by_place.resize(asked.len(), 0.0);
        for (feature, column) in features.iter().zip(&mut columns) {
            match column {
                Part::Counts(column) => {
                    let counts = scratch.bounds(feature.window).iter().map(|(first, end)| end - first);
                    put(asked, task.asked, counts, column);
                }
                Part::Numbers(column) => {
                    scratch.evaluate(group, inputs, *feature, &mut by_place);
                    put(asked, task.asked, by_place.iter().copied(), column);
                }
            }
        }
    }
}

/// Writes values of some slots to their records, of which the first is that of the slot `first`.
fn put<T>(slots: &[u32], first: usize, values: impl Iterator<Item = T>, column: &mut [T]) {
    for (&slot, value) in slots.iter().zip(values) {
        // Rows in no order of time may come after one that is asked about and not be asked about.
        if let Some(record) = (slot as usize).checked_sub(first) {
            column[record] = value;
        }
    }
}

impl Values {
    fn new(aggregate: Aggregate, records: usize) -> Self {
        match aggregate {
            Aggregate::Count => Self::Counts(vec![0; records]),
            _ => Self::Numbers(vec![0.0; records]),
        }
    }

    fn whole(&mut self) -> Part<'_> {
        match self {
            Self::Counts(column) => Part::Counts(column),
            Self::Numbers(column) => Part::Numbers(column),
        }
    }
}

impl Part<'_> {
    /// Takes so many records off the front.
    fn split_off(&mut self, records: usize) -> Self {
        match self {
            Self::Counts(rest) => Self::Counts(rest.split_off_mut(..records).unwrap_or_default()),
            Self::Numbers(rest) => Self::Numbers(rest.split_off_mut(..records).unwrap_or_default()),
        }
    }
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

impl BySlot {
    fn new(grouped: &Grouped, inputs: &Inputs<'_>, features: &[Feature]) -> Self {
        // Adding 0.0 makes -0.0 positive: the two are equal, so which is the least would be left to order.
        let column = |(number, column): (usize, &Column<'_>)| {
            let used = features.iter().any(|feature| feature.aggregate.column() == Some(number));
            let staged = used.then(|| grouped.staged(column.values().iter().map(|value| value + 0.0)));
            (column.grid(), staged.unwrap_or_default())
        };
        let labels = |(number, labels): (usize, &Labels)| {
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
