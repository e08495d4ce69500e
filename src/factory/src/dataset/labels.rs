//! Label assertions joined to the events that they speak about.

use contracts::{Code, Failure, Result};
use kernels::label::{Assertions, Columns as AssertionColumns};

use super::{
    columns::{Columns, Wanted},
    events::EventIndex,
    spec::DatasetSpec,
};

/// Name of the table of assertions in refusals.
const TABLE: &str = "labels";
/// Code of a positive label.
pub(super) const POSITIVE: u8 = 1;
/// Code of a negative label.
const NEGATIVE: u8 = 0;

/// The columns that are needed of the assertions.
pub(super) fn wanted(spec: &DatasetSpec) -> Wanted {
    let labels = &spec.labels;
    Wanted {
        table: TABLE,
        naive_times_are_utc: spec.naive_times_are_utc,
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
    /// Refuses with `COLUMN_TYPE_INVALID` ids of another type than the events' and values other than true
    /// and false, 1 and 0.
    pub(super) fn new(spec: &DatasetSpec, mut columns: Columns, index: &EventIndex) -> Result<Self> {
        let labels = &spec.labels;
        let ids = columns.take_ids(&labels.event_id)?;
        let values = columns.take_numbers(&labels.value)?;
        let codes: Vec<Option<u8>> = values.iter().map(|&value| code(value)).collect();
        let others = codes.iter().filter(|code| code.is_none()).count();
        if others > 0 {
            let pointer = format!("{TABLE}/{}", labels.value);
            let expected = "true and false, or 1 and 0";
            return Err(Failure::at(Code::ColumnTypeInvalid, pointer, expected, format!("{others} others")));
        }
        if ids.is_empty() {
            return Ok(Self::default());
        }
        let rows = index.rows(&ids).ok_or_else(|| {
            let pointer = format!("{TABLE}/{}", labels.event_id);
            Failure::at(Code::ColumnTypeInvalid, pointer, "the type of the events' ids", "another type")
        })?;
        let effective_time = columns.times(&labels.effective_time)?;
        let observed_time = columns.times(&labels.observed_time)?;
        let mut joined = Self::default();
        for (assertion, (row, code)) in rows.into_iter().zip(codes).enumerate() {
            let (Some(row), Some(code)) = (row, code) else {
                joined.orphans += 1;
                continue;
            };
            joined.event.push(row);
            joined.value.push(code);
            joined.effective_time.push(effective_time[assertion]);
            joined.observed_time.push(observed_time[assertion]);
        }
        Ok(joined)
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

/// The code of an asserted value; booleans were read as 1 and 0.
#[allow(clippy::float_cmp, reason = "the values are names, not measurements")]
fn code(value: f64) -> Option<u8> {
    if value == 1.0 { Some(POSITIVE) } else { (value == 0.0).then_some(NEGATIVE) }
}
