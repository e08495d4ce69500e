//! Label assertions joined to the events that they speak about.

use contracts::{Code, Failure, Result};
use kernels::label::{Assertions, Columns as AssertionColumns, NO_VALUE};

use super::{
    columns::{Columns, Wanted},
    events::EventIndex,
    ids::NOWHERE,
    spec::LabelSpec,
};

/// Name of the table of assertions in refusals.
const TABLE: &str = "labels";
/// Code of a positive label.
pub(super) const POSITIVE: u8 = 1;
/// Code of a negative label.
const NEGATIVE: u8 = 0;

/// The columns that are needed of the assertions.
pub(super) fn wanted(labels: &LabelSpec, naive_times_are_utc: bool) -> Wanted {
    Wanted {
        table: TABLE,
        naive_times_are_utc,
        ids: [labels.event_id.clone()].into(),
        times: [labels.effective_time.clone(), labels.observed_time.clone()].into(),
        numbers: [(labels.value.clone(), false)].into(),
    }
}

/// Assertions about events at hand.
#[derive(Debug, Default)]
pub(super) struct Joined {
    event: Vec<u32>,
    value: Vec<u8>,
    effective_time: Vec<i64>,
    observed_time: Vec<i64>,
    /// Assertions about other events, which nothing here rests on.
    pub(super) orphans: u64,
}

impl Joined {
    /// Joins assertions to events by id.
    ///
    /// Refuses with `COLUMN_TYPE_INVALID` ids of another type than the events' and values that
    /// are named neither positive nor negative.
    pub(super) fn new(labels: &LabelSpec, mut columns: Columns, index: &EventIndex) -> Result<Self> {
        let ids = columns.take_ids(&labels.event_id)?;
        let values = columns.take_numbers(&labels.value)?;
        let is_one_of =
            |value: f64, among: &[i64]| among.iter().any(|&other| value.total_cmp(&(other as f64)).is_eq());
        let mut value: Vec<u8> = values
            .iter()
            .map(|&value| {
                match (is_one_of(value, &labels.positive_values), is_one_of(value, &labels.negative_values)) {
                    (true, _) => POSITIVE,
                    (false, true) => NEGATIVE,
                    (false, false) => NO_VALUE,
                }
            })
            .collect();
        drop(values);
        let others: usize = value.iter().map(|&value| usize::from(value == NO_VALUE)).sum();
        if others > 0 {
            let pointer = format!("{TABLE}/{}", labels.value);
            let expected = "the values that are named as positive or negative";
            return Err(Failure::at(Code::ColumnTypeInvalid, pointer, expected, format!("{others} others")));
        }
        if ids.is_empty() {
            return Ok(Self::default());
        }
        let mut event = index.rows(&ids).ok_or_else(|| {
            let pointer = format!("{TABLE}/{}", labels.event_id);
            Failure::at(Code::ColumnTypeInvalid, pointer, "the type of the events' ids", "another type")
        })?;
        drop(ids);
        // One column may stand for both times.
        let mut effective_time = if labels.effective_time == labels.observed_time {
            columns.times(&labels.effective_time)?.to_vec()
        } else {
            columns.take_times(&labels.effective_time)?
        };
        let mut observed_time = columns.take_times(&labels.observed_time)?;
        let orphans = event.iter().filter(|row| **row == NOWHERE).count() as u64;
        if orphans > 0 {
            keep_found(&mut value, &event);
            keep_found(&mut effective_time, &event);
            keep_found(&mut observed_time, &event);
            event.retain(|row| *row != NOWHERE);
        }
        Ok(Self { event, value, effective_time, observed_time, orphans })
    }

    /// The assertions as the kernels take them.
    pub(super) fn assertions(&self, events: usize) -> Result<Assertions<'_>> {
        Assertions::new(
            events,
            AssertionColumns {
                event: &self.event,
                value: &self.value,
                effective_time: &self.effective_time,
                observed_time: &self.observed_time,
            },
        )
    }
}

/// Keeps the values of the assertions whose event was found.
fn keep_found<T>(values: &mut Vec<T>, rows: &[u32]) {
    let mut rows = rows.iter();
    values.retain(|_| rows.next().is_some_and(|row| *row != NOWHERE));
}
