//! The share of positives among the events whose label was known by the row's time.
//!
//! Two clocks run along a sweep: the window moves by *event* time, knowledge grows by *observed* time. A
//! label that becomes known, or is corrected, while its event is inside the window counts from then on.

use crate::label::State;

use super::{
    Labels,
    group::{Group, Grouped},
    sweep::age,
};

/// From `observed` on, the label of the event at `place` is `knowledge`.
#[derive(Debug, Clone, Copy)]
struct Change {
    observed: i64,
    place: u32,
    knowledge: Knowledge,
}

/// What counts about one event's label.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Knowledge {
    /// Nothing, or assertions that disagree.
    #[default]
    Unknown,
    Negative,
    Positive,
}

/// What is said about one event's label.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Said {
    #[default]
    Nothing,
    /// One change: when it was observed and to what.
    Once(i64, Knowledge),
    /// Several changes about this event of the timeline.
    Often(u32),
}

/// What is said about the rows' labels, by slot.
pub(super) enum Staged {
    /// What is known at last: no label changes once its event has come into a window.
    Settled(Vec<Knowledge>),
    /// All that is said; of those that are said to change often, where to look it up.
    Moving(Vec<Said>, Box<Labels>),
}

impl Labels {
    /// Brings what is said into the order of the slots, for windows that end `least_delay` or more before their row.
    pub(super) fn staged(&self, grouped: &Grouped, least_delay: u64) -> Staged {
        match self.settled(grouped, least_delay) {
            Some(settled) => Staged::Settled(settled),
            None => Staged::Moving(grouped.staged(self.said()), Box::new(self.clone())),
        }
    }

    /// What is known of each slot's label at last, if by that delay nothing changes any more.
    fn settled(&self, grouped: &Grouped, least_delay: u64) -> Option<Vec<Knowledge>> {
        let mut settled = vec![Knowledge::Unknown; grouped.len()];
        for (&slot, event) in grouped.slots().iter().zip(self.events.clone()) {
            if let Some((observed, state)) = self.timeline.last(event) {
                if lag(grouped.times()[slot as usize], observed) > least_delay {
                    return None;
                }
                settled[slot as usize] = self.knowledge(state);
            }
        }
        Some(settled)
    }

    /// What is said about each row.
    fn said(&self) -> impl Iterator<Item = Said> {
        self.events.clone().map(|event| {
            let mut changes = self.timeline.changes(event);
            match (changes.next(), changes.len()) {
                (None, _) => Said::Nothing,
                (Some((observed, state)), 0) => Said::Once(observed, self.knowledge(state)),
                (Some(_), _) => Said::Often(event as u32),
            }
        })
    }

    fn knowledge(&self, state: State) -> Knowledge {
        match state {
            State::Conflict => Knowledge::Unknown,
            State::Known(value) if self.positive[value as usize] => Knowledge::Positive,
            State::Known(_) => Knowledge::Negative,
        }
    }
}

/// How long after its event's time something was observed.
const fn lag(time: i64, observed: i64) -> u64 {
    if observed > time { age(observed, time) } else { 0 }
}

/// What becomes known of a group's events, and when.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes {
    /// Age that no event of the group has a change after.
    settled: u64,
    /// By place, for the sweep that a later change asks for.
    said: Vec<Said>,
    /// Known labels before each place and at last of all, as they are when every change has been seen.
    finally: Vec<Tally>,
}

/// Known labels of some events.
#[derive(Debug, Clone, Copy, Default)]
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

    fn rate(self) -> f64 {
        // Of none that is known none is positive, and the rate is 0; nothing has to be guessed for that.
        f64::from(self.positive) / f64::from(self.known.max(1))
    }
}

impl Changes {
    pub(super) fn fill(&mut self, group: Group<'_>, times: &[i64], staged: &Staged) {
        self.said.clear();
        self.finally.clear();
        self.settled = 0;
        let mut tally = Tally::default();
        self.finally.push(tally);
        match staged {
            Staged::Settled(knowledge) => self.finally.extend(group.slots.iter().map(|&slot| {
                tally.add(knowledge[slot as usize]);
                tally
            })),
            Staged::Moving(said, labels) => {
                self.said.extend(group.slots.iter().map(|&slot| said[slot as usize]));
                self.find_last(times, labels);
            }
        }
    }

    /// What is known of each label at last, and from which age on.
    fn find_last(&mut self, times: &[i64], labels: &Labels) {
        let mut tally = Tally::default();
        for (&said, &time) in self.said.iter().zip(times) {
            let last = match said {
                Said::Nothing => None,
                Said::Once(observed, knowledge) => Some((observed, knowledge)),
                Said::Often(event) => {
                    let last = labels.timeline.last(event as usize);
                    last.map(|(observed, state)| (observed, labels.knowledge(state)))
                }
            };
            if let Some((observed, knowledge)) = last {
                self.settled = self.settled.max(lag(time, observed));
                tally.add(knowledge);
            }
            self.finally.push(tally);
        }
    }

    /// The changes of all places in order of observation.
    fn in_order(&self, labels: &Labels) -> Vec<Change> {
        let mut changes = Vec::with_capacity(self.said.len());
        for (place, said) in (0_u32..).zip(&self.said) {
            match *said {
                Said::Nothing => {}
                Said::Once(observed, knowledge) => changes.push(Change { observed, place, knowledge }),
                Said::Often(event) => {
                    let of_event = labels.timeline.changes(event as usize);
                    changes.extend(of_event.map(|(observed, state)| Change {
                        observed,
                        place,
                        knowledge: labels.knowledge(state),
                    }));
                }
            }
        }
        // An event changes at most once in an instant, so changes of one instant commute.
        changes.sort_unstable_by_key(|change| (change.observed, change.place));
        changes
    }

    /// The rate of each window of `bounds`, which ends `delay` before the time of its place.
    pub(super) fn rates(
        &self,
        times: &[i64],
        staged: &Staged,
        (delay, bounds): (u64, &[(u32, u32)]),
        output: &mut [f64],
    ) {
        match staged {
            Staged::Moving(_, labels) if self.settled > delay => {
                self.swept_rates(times, labels, bounds, output);
            }
            _ => self.settled_rates(bounds, output),
        }
    }

    /// Where every label is final by the time that its event comes into the window, one clock is enough.
    fn settled_rates(&self, bounds: &[(u32, u32)], output: &mut [f64]) {
        for (&(first, end), value) in bounds.iter().zip(output) {
            let (before, all) = (self.finally[first as usize], self.finally[end as usize]);
            let tally = Tally { known: all.known - before.known, positive: all.positive - before.positive };
            *value = tally.rate();
        }
    }

    fn swept_rates(&self, times: &[i64], labels: &Labels, bounds: &[(u32, u32)], output: &mut [f64]) {
        let changes = self.in_order(labels);
        let mut knowledge = vec![Knowledge::Unknown; self.said.len()];
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
}
