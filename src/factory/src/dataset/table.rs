//! A dataset in memory, as training, guards and evaluation take it.

use std::collections::BTreeMap;

use contracts::names::ColumnName;
use ndarray::{Array2, ShapeBuilder};

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

/// Rows of one or more datasets as columns, in the order of the event ids.
///
/// Invariants: all columns have one length; event ids are distinct and rise; a label is `Some` exactly where its
/// outcome is `Known`. All times are nanoseconds since the epoch, UTC.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The events.
    pub event_ids: Ids,
    /// When each happened.
    pub event_time: Vec<i64>,
    /// Up to when its features know.
    pub feature_asof: Vec<i64>,
    /// Whether it is positive, if that is known.
    pub label: Vec<Option<bool>>,
    /// Why the label is known or not.
    pub label_outcome: Vec<LabelOutcome>,
    /// When the label became known.
    pub label_observed_time: Vec<Option<i64>>,
    /// Rows x columns in Fortran order, columns as they were asked for; NaN is missing.
    pub features: Array2<f64>,
    /// By name: entities numbered from 0 in the order in which they are first seen.
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

    /// Cuts out the rows named, in the order named, one table for each window; entities keep their numbers.
    ///
    /// A feature is let go of as soon as it is cut, so that no more than one stands in memory twice.
    #[must_use]
    pub fn cut<const N: usize>(mut self, windows: [&[u32]; N]) -> [Self; N] {
        let features = std::mem::take(&mut self.features);
        let (rows, columns) = features.dim();
        let mut cut = windows.map(|rows| self.picked(rows, columns));
        drop(self);
        let by_column = features.reversed_axes();
        let by_column = if by_column.is_standard_layout() {
            by_column
        } else {
            by_column.as_standard_layout().into_owned()
        };
        let (mut values, first) = by_column.into_raw_vec_and_offset();
        values.drain(..first.unwrap_or_default());
        for column in (0..columns).rev() {
            let from = &values[column * rows..];
            for (table, rows) in cut.iter_mut().zip(windows) {
                let places = table.features.column_mut(column).into_iter().zip(rows);
                places.for_each(|(value, &row)| *value = from[row as usize]);
            }
            values.truncate(column * rows);
            values.shrink_to_fit();
        }
        cut
    }

    /// The rows named, all features zero: zeros take no memory before they are written over.
    fn picked(&self, rows: &[u32], features: usize) -> Self {
        Self {
            event_ids: self.event_ids.select(rows),
            event_time: pick(&self.event_time, rows),
            feature_asof: pick(&self.feature_asof, rows),
            label: pick(&self.label, rows),
            label_outcome: pick(&self.label_outcome, rows),
            label_observed_time: pick(&self.label_observed_time, rows),
            features: Array2::zeros((rows.len(), features).f()),
            entities: picked(&self.entities, rows),
            slices: picked(&self.slices, rows),
            weights: self.weights.as_ref().map(|weights| pick(weights, rows)),
        }
    }
}

fn picked<T: Copy>(columns: &BTreeMap<ColumnName, Vec<T>>, rows: &[u32]) -> BTreeMap<ColumnName, Vec<T>> {
    columns.iter().map(|(name, values)| (name.clone(), pick(values, rows))).collect()
}
