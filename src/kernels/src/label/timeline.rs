//! What was known of each event's label at any time: the second axis.

use std::ops::Range;

use contracts::Result;

use super::Assertions;
use crate::window::group::{Order, order_by_code};

/// What is said about an event's label from some time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// One value, by its code.
    Known(u8),
    /// Equally late assertions disagree.
    Conflict,
}

/// The changes of knowledge about every event, in order of observation.
///
/// Invariant: the observed times of one event rise strictly, and none lies after the cut.
#[derive(Debug, Clone)]
pub struct Timeline {
    /// The changes of event `e` are `starts[e]..starts[e + 1]`.
    starts: Vec<u32>,
    observed: Vec<i64>,
    states: Vec<State>,
}

impl Timeline {
    /// Orders the assertions observed at or before `as_of` by event and time of observation.
    ///
    /// Refuses with `RESOURCE_EXHAUSTED` at 2^32 assertions.
    pub fn new(assertions: &Assertions<'_>, as_of: i64) -> Result<Self> {
        let columns = assertions.columns();
        if let Some(timeline) = Self::in_order(assertions, as_of) {
            return Ok(timeline);
        }
        let Order { starts: bounds, rows } = order_by_code(columns.event, assertions.events())?;
        let mut timeline = Self::with_capacity(assertions.events(), rows.len());
        let mut of_event = Vec::new();
        for bound in bounds.windows(2) {
            of_event.clear();
            of_event.extend(rows[bound[0]..bound[1]].iter().map(|&row| row as usize).filter_map(|row| {
                let observed = columns.observed_time[row];
                (observed <= as_of).then(|| (observed, columns.effective_time[row], columns.value[row]))
            }));
            of_event.sort_unstable();
            timeline.push_changes(&of_event);
            timeline.close(timeline.starts.len());
        }
        Ok(timeline)
    }

    fn with_capacity(events: usize, changes: usize) -> Self {
        let mut starts = Vec::with_capacity(events + 1);
        starts.push(0_u32);
        Self { starts, observed: Vec::with_capacity(changes), states: Vec::with_capacity(changes) }
    }

    /// The events before `event` are done with. There are no more changes than assertions, of which there are
    /// fewer than 2^32.
    fn close(&mut self, event: usize) {
        self.starts.resize(event + 1, self.observed.len() as u32);
    }

    fn push(&mut self, observed: i64, state: State) {
        self.observed.push(observed);
        self.states.push(state);
    }

    /// The timeline at once, where the assertions stand in the order of the events, one an event at the most.
    fn in_order(assertions: &Assertions<'_>, as_of: i64) -> Option<Self> {
        let columns = assertions.columns();
        if !columns.event.is_sorted_by(|a, b| a < b) {
            return None;
        }
        let mut timeline = Self::with_capacity(assertions.events(), columns.event.len());
        for (row, &event) in columns.event.iter().enumerate() {
            timeline.close(event as usize);
            let observed = columns.observed_time[row];
            if observed <= as_of {
                timeline.push(observed, State::Known(columns.value[row]));
            }
        }
        timeline.close(assertions.events());
        Some(timeline)
    }

    /// Number of events.
    pub fn events(&self) -> usize {
        self.starts.len() - 1
    }

    /// The changes of one event as (observed time, state from then on), observed times strictly rising.
    pub fn changes(&self, event: usize) -> impl ExactSizeIterator<Item = (i64, State)> {
        let changes = self.range(event);
        self.observed[changes.clone()].iter().copied().zip(self.states[changes].iter().copied())
    }

    /// The last change of one event.
    pub fn last(&self, event: usize) -> Option<(i64, State)> {
        let Range { start, end } = self.range(event);
        (start < end).then(|| (self.observed[end - 1], self.states[end - 1]))
    }

    fn range(&self, event: usize) -> Range<usize> {
        self.starts[event] as usize..self.starts[event + 1] as usize
    }

    /// What was known of an event at `time`, that instant included.
    pub fn known_by(&self, event: usize, time: i64) -> Option<State> {
        let changes = self.range(event);
        let known = self.observed[changes.clone()].partition_point(|&observed| observed <= time);
        known.checked_sub(1).map(|last| self.states[changes.start + last])
    }

    /// Appends one state for each observed time: that of the latest effective assertion of the instant.
    fn push_changes(&mut self, sorted: &[(i64, i64, u8)]) {
        for instant in sorted.chunk_by(|a, b| a.0 == b.0) {
            let Some(&(observed, effective, value)) = instant.last() else { continue };
            let mut latest = instant.iter().rev().take_while(|assertion| assertion.1 == effective);
            let agree = latest.all(|assertion| assertion.2 == value);
            self.push(observed, if agree { State::Known(value) } else { State::Conflict });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::label::tests::assertions;

    proptest! {
        #[test]
        fn knowledge_at_any_time_is_the_rule_with_that_cut(owned in assertions(6), as_of in -1i64..12) {
            let timeline = owned.with(|checked| Timeline::new(&checked.unwrap(), as_of)).unwrap();
            prop_assert_eq!(timeline.events(), 6);
            for event in 0..6 {
                for time in -1..12 {
                    let expected = owned.rule(event, time.min(as_of)).map(|value| {
                        value.map_or(State::Conflict, State::Known)
                    });
                    prop_assert_eq!(timeline.known_by(event, time), expected);
                }
                prop_assert!(timeline.changes(event).is_sorted_by(|a, b| a.0 < b.0));
            }
        }

        #[test]
        fn one_assertion_an_event_in_order_says_the_same(owned in assertions(9), as_of in -1i64..12) {
            let mut owned = owned;
            owned.rows.sort_unstable();
            owned.rows.dedup_by_key(|row| row.0);
            let timeline = owned.with(|checked| Timeline::new(&checked.unwrap(), as_of)).unwrap();
            prop_assert_eq!(timeline.events(), 9);
            for event in 0..9 {
                let expected = owned.rule(event, as_of).map(|value| value.map_or(State::Conflict, State::Known));
                prop_assert_eq!(timeline.known_by(event, i64::MAX), expected);
                prop_assert!(timeline.changes(event).len() <= 1);
            }
        }
    }
}
