//! A dataset in memory, as training, guards and evaluation take it: what each row says of itself.

use std::collections::BTreeMap;

use contracts::names::ColumnName;

use super::{events::pick, ids::Ids};

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

fn picked<T: Copy>(columns: &BTreeMap<ColumnName, Vec<T>>, rows: &[u32]) -> BTreeMap<ColumnName, Vec<T>> {
    columns.iter().map(|(name, values)| (name.clone(), pick(values, rows))).collect()
}
