//! The share of positives among the events whose label was known by the row's time.
//!
//! Two clocks run along a sweep: the window moves by *event* time, knowledge grows by *observed* time. A
//! label that becomes known, or is corrected, while its event is inside the window counts from then on.

use crate::label::State;

use super::Labels;

/// From `observed` on, the label of the event at `place` is `knowledge`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    observed: i64,
    place: u32,
    knowledge: Knowledge,
}

/// What counts about one event's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knowledge {
    /// Nothing, or assertions that disagree.
    Unknown,
    Negative,
    Positive,
}

/// The changes of knowledge about a group's events, in order of observation.
pub(super) fn changes(rows: &[u32], labels: &Labels<'_>, changes: &mut Vec<Change>) {
    changes.clear();
    for (place, &row) in rows.iter().enumerate() {
        for &(observed, state) in labels.timeline.changes(row as usize) {
            let knowledge = match state {
                State::Conflict => Knowledge::Unknown,
                State::Known(value) if labels.positive[value as usize] => Knowledge::Positive,
                State::Known(_) => Knowledge::Negative,
            };
            changes.push(Change { observed, place: place as u32, knowledge });
        }
    }
    // An event changes at most once in an instant, so changes of one instant commute.
    changes.sort_by_key(|change| change.observed);
}

/// Known labels inside the window.
#[derive(Default)]
struct Tally {
    known: u32,
    positive: u32,
}

impl Tally {
    fn add(&mut self, knowledge: Knowledge) {
        self.known += u32::from(knowledge != Knowledge::Unknown);
        self.positive += u32::from(knowledge == Knowledge::Positive);
    }

    fn remove(&mut self, knowledge: Knowledge) {
        self.known -= u32::from(knowledge != Knowledge::Unknown);
        self.positive -= u32::from(knowledge == Knowledge::Positive);
    }

    fn rate(&self) -> f64 {
        if self.known == 0 { 0.0 } else { f64::from(self.positive) / f64::from(self.known) }
    }
}

/// The rate of each place's window. `times` and the changes' observed times rise.
pub(super) fn rates(times: &[i64], changes: &[Change], bounds: &[(u32, u32)], output: &mut [f64]) {
    let mut knowledge = vec![Knowledge::Unknown; times.len()];
    let mut pending = changes.iter().peekable();
    let mut tally = Tally::default();
    let (mut first, mut end) = (0, 0);
    for ((&time, &(next_first, next_end)), value) in times.iter().zip(bounds).zip(output) {
        while let Some(change) = pending.next_if(|change| change.observed <= time) {
            let current = &mut knowledge[change.place as usize];
            if (first..end).contains(&change.place) {
                tally.remove(*current);
                tally.add(change.knowledge);
            }
            *current = change.knowledge;
        }
        for place in end..next_end {
            tally.add(knowledge[place as usize]);
        }
        for place in first..next_first {
            tally.remove(knowledge[place as usize]);
        }
        (first, end) = (next_first, next_end);
        *value = tally.rate();
    }
}
