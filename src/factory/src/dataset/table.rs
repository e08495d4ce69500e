//! A dataset in memory, as training, guards and evaluation take it: what each row says of itself, and its features.

use std::collections::BTreeMap;

use contracts::names::ColumnName;
use rayon::prelude::*;

use super::{events::pick, ids::Ids};

/// Values of a window that one thread writes at least: fewer are not worth another.
const TOGETHER: usize = 1 << 14;

/// Why a label is known or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LabelOutcome {
    /// One value is known and final.
    Known,
    /// Nothing was known at the cut.
    Censored,
    /// Equally late assertions contradict each other.
    Conflict,
    /// The event was younger than the maturity at the cut.
    Immature,
}

impl LabelOutcome {
    /// All outcomes, in the order of their texts in partitions.
    pub(super) const ALL: [Self; 4] = [Self::Known, Self::Censored, Self::Conflict, Self::Immature];
}

/// Rows of one or more datasets as columns, in the order of the event ids, without their features.
///
/// Invariants: all columns have one length; event ids are distinct and rise; a label is `Some` exactly where its
/// outcome is `Known`. All times are nanoseconds since the epoch, UTC.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The events.
    pub event_ids: Ids,
    /// When each happened.
    pub event_time: Vec<i64>,
    /// Whether it is positive, if that is known.
    pub label: Vec<Option<bool>>,
    /// Why the label is known or not.
    pub label_outcome: Vec<LabelOutcome>,
    /// By name: entities numbered from 0 in the order in which they are first seen.
    pub entities: BTreeMap<ColumnName, Vec<u32>>,
    /// By name: numbers that group rows; NaN is missing.
    pub slices: BTreeMap<ColumnName, Vec<f64>>,
    /// How much each row counts, where rows do not all count alike.
    pub weights: Option<Vec<f64>>,
}

/// What fitting and judging ask of rows beside their features and labels: once the guards have looked, nobody needs
/// their ids and what is known of their labels any more.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// When each happened.
    pub event_time: Vec<i64>,
    /// By name: entities by the table's numbers.
    pub entities: BTreeMap<ColumnName, Vec<u32>>,
    /// By name: numbers that group rows; NaN is missing.
    pub slices: BTreeMap<ColumnName, Vec<f64>>,
    /// How much each row counts, where rows do not all count alike.
    pub weights: Option<Vec<f64>>,
}

impl Table {
    /// Number of rows.
    pub const fn rows(&self) -> usize {
        self.event_time.len()
    }

    /// The rows named, in the order named.
    #[must_use]
    pub fn pick(&self, rows: &[u32]) -> Rows {
        Rows {
            event_time: pick(&self.event_time, rows),
            entities: picked(&self.entities, rows),
            slices: picked(&self.slices, rows),
            weights: self.weights.as_ref().map(|weights| pick(weights, rows)),
        }
    }
}

/// The features of a [`Table`]'s rows, as they were decoded, until windows are cut out of them; NaN is missing.
///
/// Joining row groups first would write each value once more, into memory that the system has to clear for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// By column as asked for, then by row group.
    pub(super) columns: Vec<Vec<Vec<f64>>>,
    /// Rows of each group.
    pub(super) groups: Vec<usize>,
    /// For each row of the table its place among all groups' rows; none where that is the same.
    pub(super) order: Option<Vec<u32>>,
}

impl Features {
    /// Number of features.
    pub const fn columns(&self) -> usize {
        self.columns.len()
    }

    /// Cuts out the rows named, in the order named: for each window its values column by column, a row each.
    ///
    /// A feature is let go of as soon as it is cut, so that no more than one stands in memory twice.
    #[must_use]
    pub fn cut<const N: usize>(self, windows: [&[u32]; N]) -> [Vec<f64>; N] {
        let places = windows.map(|rows| self.places(rows));
        let mut cut = windows.map(|rows| Vec::with_capacity(rows.len() * self.columns.len()));
        for groups in self.columns {
            for (window, places) in cut.iter_mut().zip(&places) {
                let values = places.par_iter().with_min_len(TOGETHER);
                window.par_extend(values.map(|&(group, row)| groups[group as usize][row as usize]));
            }
        }
        cut
    }

    /// Group and place within it of each of these rows.
    fn places(&self, rows: &[u32]) -> Vec<(u32, u32)> {
        let ends: Vec<usize> = self
            .groups
            .iter()
            .scan(0, |end, rows| {
                *end += rows;
                Some(*end)
            })
            .collect();
        // Most rows stand in the group of the row before.
        let (mut group, mut present) = (0, 0..0);
        let place = |&row: &u32| {
            let place = self.order.as_ref().map_or(row, |order| order[row as usize]) as usize;
            if !present.contains(&place) {
                group = ends.partition_point(|end| *end <= place);
                present = ends[group] - self.groups[group]..ends[group];
            }
            (group as u32, (place - present.start) as u32)
        };
        rows.iter().map(place).collect()
    }
}

fn picked<T: Copy>(columns: &BTreeMap<ColumnName, Vec<T>>, rows: &[u32]) -> BTreeMap<ColumnName, Vec<T>> {
    columns.iter().map(|(name, values)| (name.clone(), pick(values, rows))).collect()
}
