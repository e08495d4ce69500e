//! Label assertions joined to the events that they speak about.

use contracts::{Code, Failure, Result};
use kernels::label::{Assertions, Columns as AssertionColumns, NO_VALUE};

use super::{
    columns::{Columns, Wanted},
    events::EventIndex,
    ids::{Ids, NOWHERE},
    rows::{Said, Unpacked, Values},
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
        instead_of_text: "Write 1 for a positive and 0 for a negative label, or whole numbers of your own that \
                          positive_values and negative_values name.",
    }
}

/// Assertions about events, at hand or not.
#[derive(Debug)]
pub(super) struct Asserted {
    /// The event that each is about.
    pub(super) ids: Ids,
    /// [`NO_VALUE`] stands for a value that is named neither positive nor negative.
    pub(super) value: Vec<u8>,
    pub(super) effective_time: Vec<i64>,
    pub(super) observed_time: Vec<i64>,
}

impl Asserted {
    /// Takes the assertions out of their table.
    pub(super) fn take(labels: &LabelSpec, columns: &mut Columns) -> Result<Self> {
        let ids = columns.take_ids(&labels.event_id)?;
        let values = columns.take_numbers(&labels.value)?;
        let is_one_of =
            |value: f64, among: &[i64]| among.iter().any(|&other| value.total_cmp(&(other as f64)).is_eq());
        let value = values
            .iter()
            .map(|&value| {
                match (is_one_of(value, &labels.positive_values), is_one_of(value, &labels.negative_values)) {
                    (true, _) => POSITIVE,
                    (false, true) => NEGATIVE,
                    (false, false) => NO_VALUE,
                }
            })
            .collect();
        // One column may stand for both times.
        let effective_time = if labels.effective_time == labels.observed_time {
            columns.times(&labels.effective_time)?.to_vec()
        } else {
            columns.take_times(&labels.effective_time)?
        };
        let observed_time = columns.take_times(&labels.observed_time)?;
        Ok(Self { ids, value, effective_time, observed_time })
    }

    /// As columns to be set aside, the ids first.
    pub(super) fn into_rows(self) -> [Values; 4] {
        [
            Values::Ids(self.ids),
            Values::Codes(self.value),
            Values::Times(self.effective_time),
            Values::Times(self.observed_time),
        ]
    }

    /// Of columns as [`Self::into_rows`] gives them.
    pub(super) fn of(rows: Vec<Values>) -> Result<Self> {
        let mut rows = Unpacked::new(rows);
        Ok(Self {
            ids: rows.ids()?,
            value: rows.codes()?,
            effective_time: rows.times()?,
            observed_time: rows.times()?,
        })
    }

    /// How many of the values are named neither positive nor negative.
    pub(super) fn others(&self) -> usize {
        self.value.iter().map(|&value| usize::from(value == NO_VALUE)).sum()
    }
}

/// Refuses with `COLUMN_TYPE_INVALID` so many values that are named neither positive nor negative.
pub(super) fn refuse_others(labels: &LabelSpec, others: usize) -> Result<()> {
    if others == 0 {
        return Ok(());
    }
    let pointer = format!("{TABLE}/{}", labels.value);
    let expected = "the values that are named as positive or negative";
    Err(Failure::at(Code::ColumnTypeInvalid, pointer, expected, format!("{others} others")))
}

/// The refusal of assertions whose ids are of another type than the events'.
pub(super) fn another_type(labels: &LabelSpec) -> Failure {
    let pointer = format!("{TABLE}/{}", labels.event_id);
    Failure::at(Code::ColumnTypeInvalid, pointer, "the type of the events' ids", "another type")
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
    /// Joins assertions to events by id. Refuses with `COLUMN_TYPE_INVALID` ids of another type than the events'.
    pub(super) fn new(labels: &LabelSpec, asserted: Asserted, index: &EventIndex) -> Result<Self> {
        let Asserted { ids, mut value, mut effective_time, mut observed_time } = asserted;
        if ids.is_empty() {
            return Ok(Self::default());
        }
        let mut event = index.rows(&ids).ok_or_else(|| another_type(labels))?;
        drop(ids);
        let orphans = event.iter().filter(|row| **row == NOWHERE).count() as u64;
        if orphans > 0 {
            keep_found(&mut value, &event);
            keep_found(&mut effective_time, &event);
            keep_found(&mut observed_time, &event);
            event.retain(|row| *row != NOWHERE);
        }
        Ok(Self { event, value, effective_time, observed_time, orphans })
    }

    /// How many say that a fact was known before it was true.
    pub(super) fn early(&self) -> usize {
        let times = self.observed_time.iter().zip(&self.effective_time);
        times.filter(|(observed, effective)| observed < effective).count()
    }

    /// What was said by the cut, by event; of so many events.
    pub(super) fn said(&self, events: usize, cut: i64) -> Said {
        let mut of_event: Vec<usize> =
            (0..self.event.len()).filter(|&row| self.observed_time[row] <= cut).collect();
        // The sort is stable, though no order of an event's assertions shows.
        of_event.sort_by_key(|&row| self.event[row]);
        let mut rows = of_event.into_iter().peekable();
        let mut said = Said::default();
        for event in 0..events as u32 {
            while let Some(row) = rows.next_if(|&row| self.event[row] == event) {
                said.push(self.value[row], self.effective_time[row], self.observed_time[row]);
            }
            said.end();
        }
        said
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
