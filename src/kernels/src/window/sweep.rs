//! Sweeps over one entity's places in order of time.
//!
//! The windows of successive places only ever move forward at both ends, so that each event enters a
//! feature's accumulator once and leaves it once.

use std::collections::VecDeque;

/// How long before `time` the event at `earlier` was. Exact for any two times, since `earlier <= time`.
pub(super) const fn age(time: i64, earlier: i64) -> u64 {
    time.wrapping_sub(earlier) as u64
}

/// Ages whose edges are followed at once: each step of one waits for the step before it, and not for the others'.
const TOGETHER: usize = 4;
/// Places that an edge moves by at most, most of the time.
const STEPS: usize = 2;

/// By age: for each place from `asked` on the number of places that are at least so old by then, which are the first so
/// many. `times` rise and end with one place more, whose time is `u64::MAX`: it is never reached.
pub(super) fn edges(times: &[u64], asked: usize, least_ages: &[u64], edges: &mut [Vec<u32>]) {
    // Of an age of zero, and that is the first of the ages, are the places of the same instant too.
    let at_once = usize::from(least_ages.first() == Some(&0));
    if at_once == 1 {
        instant_ends(times, asked, &mut edges[0]);
    }
    for (ages, edges) in least_ages[at_once..].chunks(TOGETHER).zip(edges[at_once..].chunks_mut(TOGETHER)) {
        match (ages, edges) {
            ([a], [of_a]) => past_edges(times, asked, [*a], [of_a]),
            ([a, b], [of_a, of_b]) => past_edges(times, asked, [*a, *b], [of_a, of_b]),
            ([a, b, c], [of_a, of_b, of_c]) => past_edges(times, asked, [*a, *b, *c], [of_a, of_b, of_c]),
            ([a, b, c, d], [of_a, of_b, of_c, of_d]) => {
                past_edges(times, asked, [*a, *b, *c, *d], [of_a, of_b, of_c, of_d]);
            }
            _ => {}
        }
    }
}

/// The edges of an age of zero.
fn instant_ends(times: &[u64], asked: usize, edge: &mut Vec<u32>) {
    let places = times.len() - 1;
    let mut end = asked;
    edge.clear();
    edge.extend(times[asked..places].iter().map(|&time| {
        while end < places && times[end] <= time {
            end += 1;
        }
        end as u32
    }));
}

/// The edges of some ages above zero.
fn past_edges<const N: usize>(times: &[u64], asked: usize, least_ages: [u64; N], edges: [&mut Vec<u32>; N]) {
    let asking = &times[asked..times.len() - 1];
    // The first moment that is too young; none is old before the first event has come to its age.
    let young = |time: u64, least_age: u64| time.saturating_sub(least_age - 1);
    let first = asking.first().copied().unwrap_or_default();
    let mut old = least_ages.map(|age| times.partition_point(|&earlier| earlier < young(first, age)));
    let mut edges = edges.map(|edge| {
        edge.clear();
        edge.resize(asking.len(), 0);
        edge.as_mut_slice()
    });
    for (place, &time) in asking.iter().enumerate() {
        for ((old, &age), edge) in old.iter_mut().zip(&least_ages).zip(&mut edges) {
            let young = young(time, age);
            // How far an edge moves at a place cannot be foretold; a step that may stand still costs less than a
            // branch that is guessed wrong.
            for _ in 0..STEPS {
                *old = old.wrapping_add(usize::from(times[*old] < young));
            }
            while times[*old] < young {
                *old += 1;
            }
            edge[place] = *old as u32;
        }
    }
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

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*, sample::Index};

    use super::*;

    /// Small numbers, so that ties are common, and the ends of the range.
    fn moments() -> impl Strategy<Value = u64> {
        prop_oneof![4 => 0_u64..40, 1 => u64::MAX - 9..=u64::MAX]
    }

    proptest! {
        #[test]
        fn an_edge_counts_the_places_of_its_age(
            mut times in collection::vec(moments(), 1..60),
            ages in collection::btree_set(moments(), 0..=2 * TOGETHER + 1),
            asked in any::<Index>(),
        ) {
            times.sort_unstable();
            let asked = asked.index(times.len());
            let old = |time: u64, age: u64| times.iter().filter(|&&earlier| earlier <= time && time - earlier >= age).count();
            let ages: Vec<u64> = ages.into_iter().collect();
            let expected: Vec<Vec<u32>> = ages
                .iter()
                .map(|&age| times[asked..].iter().map(|&time| old(time, age) as u32).collect())
                .collect();
            let ended: Vec<u64> = times.iter().copied().chain([u64::MAX]).collect();
            let mut found = vec![vec![7]; ages.len()];
            edges(&ended, asked, &ages, &mut found);
            prop_assert_eq!(found, expected);
        }
    }
}
