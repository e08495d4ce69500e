//! What is known about an event's label, and when it became known.
//!
//! ```text
//!   assertions ──► Assertions ──┬─► resolve   one outcome an event, as of a cut
//!   (event, value, effective,   │
//!    observed; any order)       └─► Timeline  what was known of each event at any time up to the cut
//!
//!   facts about keys, events ─────► asof_join  the fact that held for each event, as known by then
//! ```
//!
//! Times are nanoseconds since the epoch, UTC. An assertion is *eligible* when it was observed at or before
//! the cut. Of an event's eligible assertions the latest observed wins, of those the latest effective; if
//! these still differ in value the event is in conflict. Unknown is never negative: an event without an
//! eligible assertion is censored. Nothing here depends on the order of the assertions.

mod asof;
mod resolve;
mod timeline;

use contracts::{Code, Failure, Result};

pub use asof::{Answer, Asking, Facts, asof_join};
pub use resolve::{Counts, Outcome, Resolved, resolve};
pub use timeline::{State, Timeline};

/// Stands where an event has no single known value; never the code of a label value.
pub const NO_VALUE: u8 = u8::MAX;

/// Checked assertions about `events` events, in any order.
#[derive(Debug, Clone, Copy)]
pub struct Assertions<'a> {
    events: usize,
    columns: Columns<'a>,
}

/// Assertions as parallel columns, as the caller has them.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    /// Position of the event that the assertion speaks about.
    pub event: &'a [u32],
    /// Code of the asserted label value, below [`NO_VALUE`].
    pub value: &'a [u8],
    /// When the fact became true.
    pub effective_time: &'a [i64],
    /// When the fact became known.
    pub observed_time: &'a [i64],
}

impl<'a> Assertions<'a> {
    /// Checks the columns against the number of events.
    ///
    /// Refuses with `SHAPE_MISMATCH` (lengths differ) and `PARAMETER_INVALID` (an event that is not there,
    /// the reserved value code, or a fact that was known before it was true, which is a clock or join error
    /// upstream and would leak).
    pub fn new(events: usize, columns: Columns<'a>) -> Result<Self> {
        let rows = columns.event.len();
        for (name, length) in [
            ("value", columns.value.len()),
            ("effective_time", columns.effective_time.len()),
            ("observed_time", columns.observed_time.len()),
        ] {
            if length != rows {
                let expected = format!("{rows} values, one an assertion");
                return Err(Failure::at(Code::ShapeMismatch, name, expected, format!("{length} values")));
            }
        }
        let unknown = columns.event.iter().filter(|&&event| event as usize >= events).count();
        refuse("event", unknown, &format!("positions below {events}"))?;
        let reserved = columns.value.iter().map(|&value| usize::from(value == NO_VALUE)).sum();
        refuse("value", reserved, &format!("codes below {NO_VALUE}"))?;
        let times = columns.observed_time.iter().zip(columns.effective_time);
        let early = times.filter(|(observed, effective)| observed < effective).count();
        refuse_early(early)?;
        Ok(Self { events, columns })
    }

    /// Number of events that are spoken about.
    pub const fn events(&self) -> usize {
        self.events
    }

    /// The assertions, in the caller's order.
    pub const fn columns(&self) -> Columns<'a> {
        self.columns
    }
}

/// Refuses with `PARAMETER_INVALID` so many assertions of a fact that was known before it was true.
pub fn refuse_early(assertions: usize) -> Result<()> {
    refuse("observed_time", assertions, "no earlier than effective_time")
}

fn refuse(column: &str, found: usize, expected: &str) -> Result<()> {
    if found == 0 {
        return Ok(());
    }
    Err(Failure::at(Code::ParameterInvalid, column, expected, format!("{found} assertions with another")))
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::option_option)]

    use proptest::prelude::*;

    use super::*;

    /// Owned assertions for tests.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Owned {
        pub(crate) events: usize,
        /// (event, value, effective, observed)
        pub(crate) rows: Vec<(u32, u8, i64, i64)>,
    }

    impl Owned {
        /// Builds the checked view and hands it to `use_it`.
        pub(crate) fn with<T>(&self, use_it: impl FnOnce(Result<Assertions<'_>>) -> T) -> T {
            let event: Vec<u32> = self.rows.iter().map(|row| row.0).collect();
            let value: Vec<u8> = self.rows.iter().map(|row| row.1).collect();
            let effective_time: Vec<i64> = self.rows.iter().map(|row| row.2).collect();
            let observed_time: Vec<i64> = self.rows.iter().map(|row| row.3).collect();
            use_it(Assertions::new(
                self.events,
                Columns {
                    event: &event,
                    value: &value,
                    effective_time: &effective_time,
                    observed_time: &observed_time,
                },
            ))
        }

        /// The rule, word for word: `None` for nothing eligible, `Some(None)` for a conflict.
        pub(crate) fn rule(&self, event: usize, as_of: i64) -> Option<Option<u8>> {
            let eligible: Vec<_> =
                self.rows.iter().filter(|row| row.0 as usize == event && row.3 <= as_of).collect();
            let observed = eligible.iter().map(|row| row.3).max()?;
            let effective = eligible.iter().filter(|row| row.3 == observed).map(|row| row.2).max()?;
            let mut values: Vec<u8> = eligible
                .iter()
                .filter(|row| (row.3, row.2) == (observed, effective))
                .map(|row| row.1)
                .collect();
            values.sort_unstable();
            values.dedup();
            Some(if values.len() == 1 { Some(values[0]) } else { None })
        }
    }

    prop_compose! {
        /// Few distinct times and values, so that ties and conflicts are common.
        pub(crate) fn assertions(events: usize)(
            rows in prop::collection::vec((0..events.max(1) as u32, 0u8..3, 0i64..6, 0i64..6), 0..60)
        ) -> Owned {
            let rows = if events == 0 { Vec::new() } else {
                rows.into_iter().map(|(event, value, effective, lag)| (event, value, effective, effective + lag)).collect()
            };
            Owned { events, rows }
        }
    }

    fn refused(events: usize, row: (u32, u8, i64, i64)) -> Failure {
        Owned { events, rows: vec![row] }.with(|checked| checked.map(|_| ())).unwrap_err()
    }

    #[test]
    fn wrong_assertions_are_refused_by_column() {
        for (row, column) in
            [((3, 0, 0, 0), "event"), ((0, NO_VALUE, 0, 0), "value"), ((0, 0, 1, 0), "observed_time")]
        {
            let failure = refused(3, row);
            assert_eq!(failure.code, Code::ParameterInvalid);
            assert_eq!(failure.problems[0].pointer, column);
            assert!(failure.problems[0].found.starts_with("1 "), "{failure}");
        }
        let lengths =
            Columns { event: &[0, 0], value: &[0], effective_time: &[0, 0], observed_time: &[0, 0] };
        assert_eq!(Assertions::new(1, lengths).unwrap_err().code, Code::ShapeMismatch);
    }
}
