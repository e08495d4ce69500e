//! Sweeps over one entity's places in order of time.
//!
//! The windows of successive places only ever move forward at both ends, so that each event enters a
//! feature's accumulator once and leaves it once.

use std::collections::VecDeque;

/// How long before `time` the event at `earlier` was. Exact for any two times, since `earlier <= time`.
pub(super) const fn age(time: i64, earlier: i64) -> u64 {
    time.wrapping_sub(earlier) as u64
}

/// For each place from `asked` on the number of places that are at least so old by then: the first so many, since
/// `times` rise.
pub(super) fn edge(times: &[i64], asked: usize, least_age: u64, edge: &mut Vec<u32>) {
    let is_old = |time: i64, earlier: i64| earlier <= time && age(time, earlier) >= least_age;
    edge.clear();
    let mut old = times.get(asked).map_or(0, |&time| times.partition_point(|&earlier| is_old(time, earlier)));
    edge.extend(times[asked..].iter().map(|&time| {
        while times.get(old).is_some_and(|&earlier| is_old(time, earlier)) {
            old += 1;
        }
        old as u32
    }));
}

/// Something that events, by place, enter and leave in order of time.
pub(super) trait Accumulator {
    fn enter(&mut self, place: usize);
    fn leave(&mut self, place: usize);
    /// The feature's value while `events` events are inside.
    fn read(&self, events: u32) -> f64;
}

/// Moves an accumulator over the windows of all places.
pub(super) fn slide(mut accumulator: impl Accumulator, bounds: &[(u32, u32)], output: &mut [f64]) {
    let (mut first, mut end) = (0, 0);
    for (&(next_first, next_end), value) in bounds.iter().zip(output) {
        while end < next_end {
            accumulator.enter(end as usize);
            end += 1;
        }
        while first < next_first {
            accumulator.leave(first as usize);
            first += 1;
        }
        *value = accumulator.read(end - first);
    }
}

pub(super) fn count(bounds: &[(u32, u32)], output: &mut [f64]) {
    for (&(first, end), value) in bounds.iter().zip(output) {
        *value = f64::from(end - first);
    }
}

/// Seconds since the window's latest event of an earlier instant, of each place from `asked` on.
pub(super) fn since_last(times: &[i64], asked: usize, bounds: &[(u32, u32)], output: &mut [f64]) {
    // First place of the instant at hand: events of the same instant are not before the row.
    let mut instant = times.partition_point(|time| *time < times[asked]);
    for (place, (&(first, end), value)) in (asked..).zip(bounds.iter().zip(output)) {
        if times[instant] != times[place] {
            instant = place;
        }
        let before = (end as usize).min(instant);
        *value = if before > first as usize {
            age(times[place], times[before - 1]) as f64 / 1e9
        } else {
            f64::NAN
        };
    }
}

/// The window's best value, where `better(a, b)` orders strictly.
pub(super) fn extreme(
    values: &[f64],
    bounds: &[(u32, u32)],
    better: fn(&f64, &f64) -> bool,
    output: &mut [f64],
) {
    slide(Extreme { values, better, candidates: VecDeque::new() }, bounds, output);
}

/// Places that are or may become the best of the window: each better than all that entered after it.
struct Extreme<'a> {
    values: &'a [f64],
    better: fn(&f64, &f64) -> bool,
    candidates: VecDeque<usize>,
}

impl Accumulator for Extreme<'_> {
    fn enter(&mut self, place: usize) {
        while let Some(&last) = self.candidates.back() {
            if (self.better)(&self.values[last], &self.values[place]) {
                break;
            }
            self.candidates.pop_back();
        }
        self.candidates.push_back(place);
    }

    fn leave(&mut self, place: usize) {
        if self.candidates.front() == Some(&place) {
            self.candidates.pop_front();
        }
    }

    fn read(&self, _events: u32) -> f64 {
        self.candidates.front().map_or(f64::NAN, |&place| self.values[place])
    }
}
