//! Which rows each leaf of a growing tree holds.
//!
//! ```text
//!   large leaf: every row has a mark ──► a sweep over marks and codes, many rows an instruction
//!   other leaf: a list of its rows   ──► partition of the list
//! ```
//!
//! A tree that looks for something rare parts a few rows at a time from nearly all of them. Moving nearly all
//! of them each time would cost more than the histograms do; marking them costs a byte each. Invariants: every
//! row is in one leaf's list or bears one leaf's mark; lists are in rising order; and nothing that decides a
//! split depends on which way a leaf is held.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    fetch::prefetch,
    sweep::{Side, Sweep, SweepRows, add_marked},
};
use crate::dispatch;

/// A leaf is marked while it holds more than one row in so many: so at most seven are at a time.
pub(super) const SHARE: usize = 8;
/// The mark of a row that stands in a list.
const UNMARKED: u8 = u8::MAX;
/// Rows that one task partitions or sweeps; a multiple of 8.
const TASK_ROWS: usize = 16_384;
/// Rows of a list that are asked for before they are looked at.
const AHEAD_ROWS: usize = 48;

/// How a leaf's rows are held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// By this mark.
    Marked(u8),
    /// As this run of the lists.
    Listed(Range<usize>),
}

/// The rows of every leaf.
#[derive(Debug)]
pub(super) struct Members {
    marks: Vec<u8>,
    lists: Vec<u32>,
    /// Rows of [`Self::lists`] that are taken.
    listed: usize,
    /// Marks that are taken, as bits.
    taken: u8,
    scratch: Vec<u32>,
}

/// A leaf's two parts.
#[derive(Debug)]
pub(super) struct Division {
    /// Where the left and the right rows are.
    pub(super) places: [Place; 2],
    /// The smaller of the two, left being 0.
    pub(super) smaller: usize,
    /// The rows of the smaller, as a run of the lists that holds until the next division.
    pub(super) list: Range<usize>,
}

impl Members {
    /// Room for `rows` rows.
    pub(super) fn new(rows: usize) -> Self {
        let padded = rows.next_multiple_of(8);
        Self { marks: vec![0; rows], lists: vec![0; padded], listed: 0, taken: 0, scratch: vec![0; padded] }
    }

    /// Puts all rows into one leaf.
    pub(super) fn unite(&mut self) -> Place {
        self.marks.fill(0);
        self.listed = 0;
        self.taken = 1;
        Place::Marked(0)
    }

    /// The rows of a run of the lists, in rising order.
    pub(super) fn list(&self, run: Range<usize>) -> &[u32] {
        &self.lists[run]
    }

    /// Parts a leaf. Where it is marked, `large` says which children are to be marked as well, and `smaller`
    /// which is likely the smaller; never the smaller alone may be large.
    pub(super) fn divide(
        &mut self,
        place: &Place,
        side: Side<'_>,
        large: [bool; 2],
        smaller: usize,
    ) -> Division {
        match *place {
            Place::Listed(ref run) => {
                let count = partition(&mut self.lists[run.clone()], &mut self.scratch[..run.len()], side);
                let middle = run.start + count;
                let runs = [run.start..middle, middle..run.end];
                let smaller = usize::from(runs[1].len() < runs[0].len());
                let list = runs[smaller].clone();
                Division { places: runs.map(Place::Listed), smaller, list }
            }
            Place::Marked(mark) => {
                let new = if large[smaller] { self.take_mark() } else { UNMARKED };
                let list = self.sweep(Sweep { mark, new, side, take_left: smaller == 0 });
                let small = if new == UNMARKED {
                    self.listed = list.end;
                    Place::Listed(list.clone())
                } else {
                    Place::Marked(new)
                };
                let other = if large[1 - smaller] {
                    Place::Marked(mark)
                } else {
                    let all = Side { bin: u8::MAX, missing: u8::MAX, ..side };
                    let rest = self.sweep(Sweep { mark, new: UNMARKED, side: all, take_left: true });
                    self.listed = rest.end;
                    self.taken &= !(1 << mark);
                    Place::Listed(rest)
                };
                let places = if smaller == 0 { [small, other] } else { [other, small] };
                Division { places, smaller, list }
            }
        }
    }

    /// A mark that no leaf has; there is always one, because at most seven leaves are large.
    fn take_mark(&mut self) -> u8 {
        let mark = self.taken.trailing_ones() as u8;
        self.taken |= 1 << mark;
        mark
    }

    /// Lists the rows that a sweep finds after those that are listed already, without taking the place.
    fn sweep(&mut self, sweep: Sweep<'_>) -> Range<usize> {
        let counts: Vec<usize> = self
            .marks
            .par_chunks_mut(TASK_ROWS)
            .zip(sweep.side.codes.par_chunks(TASK_ROWS))
            .zip(self.scratch.par_chunks_mut(TASK_ROWS))
            .enumerate()
            .map(|(task, ((marks, codes), found))| {
                let side = Side { codes, ..sweep.side };
                let first = (task * TASK_ROWS) as u32;
                dispatch::run(SweepRows { sweep: Sweep { side, ..sweep }, marks, found, first })
            })
            .collect();
        let start = self.listed;
        let mut end = start;
        for (task, count) in counts.into_iter().enumerate() {
            let found = task * TASK_ROWS;
            self.lists[end..end + count].copy_from_slice(&self.scratch[found..found + count]);
            end += count;
        }
        start..end
    }

    /// The value of the leaf that each row is in, from row `start` on.
    pub(super) fn values(&self, leaves: impl Iterator<Item = (Place, f64)>, start: usize) -> Values<'_> {
        let mut values =
            Values { marks: &self.marks[start..], marked: Vec::new(), listed: Vec::new(), start };
        for (place, value) in leaves {
            match place {
                Place::Marked(mark) => values.marked.push((mark, value)),
                Place::Listed(run) => {
                    let list = &self.lists[run];
                    let first = list.partition_point(|&row| (row as usize) < start);
                    values.listed.push((&list[first..], value));
                }
            }
        }
        values
    }
}

/// The values of rows, to be taken from the first one on.
#[derive(Debug)]
pub(super) struct Values<'a> {
    marks: &'a [u8],
    marked: Vec<(u8, f64)>,
    listed: Vec<(&'a [u32], f64)>,
    /// Number of the first row whose value has not been taken.
    start: usize,
}

impl Values<'_> {
    /// Adds to each score the value of the next row.
    pub(super) fn add(&mut self, scores: &mut [f64]) {
        for (list, value) in &mut self.listed {
            let mut taken = 0;
            for &row in *list {
                let Some(score) = scores.get_mut(row as usize - self.start) else { break };
                *score += *value;
                taken += 1;
            }
            *list = &list[taken..];
        }
        let (marks, rest) = self.marks.split_at(scores.len());
        add_marked(marks, &self.marked, scores);
        self.marks = rest;
        self.start += scores.len();
    }
}

/// Moves the rows that go left before the others, both in their old order; returns how many go left.
fn partition(rows: &mut [u32], scratch: &mut [u32], side: Side<'_>) -> usize {
    if rows.len() <= TASK_ROWS {
        let (left, right) = part(rows, scratch, side);
        rows[left..].copy_from_slice(&scratch[..right]);
        return left;
    }
    let tasks: Vec<(usize, usize)> = rows
        .par_chunks_mut(TASK_ROWS)
        .zip(scratch.par_chunks_mut(TASK_ROWS))
        .map(|(rows, scratch)| part(rows, scratch, side))
        .collect();
    let mut left = 0;
    for (task, &(count, _)) in tasks.iter().enumerate() {
        let start = task * TASK_ROWS;
        rows.copy_within(start..start + count, left);
        left += count;
    }
    let mut end = left;
    for (task, &(_, count)) in tasks.iter().enumerate() {
        let start = task * TASK_ROWS;
        rows[end..end + count].copy_from_slice(&scratch[start..start + count]);
        end += count;
    }
    left
}

/// Leaves the rows that go left at the start of `rows`, the others in `scratch`; how many of each.
fn part(rows: &mut [u32], scratch: &mut [u32], side: Side<'_>) -> (usize, usize) {
    let scratch = &mut scratch[..rows.len()];
    let mut left = 0;
    for position in 0..rows.len() {
        if let Some(&ahead) = rows.get(position + AHEAD_ROWS) {
            prefetch(&side.codes[ahead as usize]);
        }
        let row = rows[position];
        let is_left = side.is_left(row);
        // Both are written and one counter moves, which costs less than a branch that is often wrong.
        rows[left] = row;
        scratch[position - left] = row;
        left += usize::from(is_left);
    }
    (left, rows.len() - left)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn partition_is_stable_and_complete(
            count in prop_oneof![0..100_usize, Just(3 * TASK_ROWS + 7)],
            bin in 0..5_u8,
            has_missing in any::<bool>(),
        ) {
            let codes: Vec<u8> = (0..count).map(|row| (row * 7 % 13 % 6) as u8).collect();
            let side = Side { codes: &codes, bin, missing: if has_missing { 5 } else { bin } };
            let mut rows: Vec<u32> = (0..count as u32).rev().collect();
            let (mut expected, right): (Vec<u32>, Vec<u32>) =
                rows.iter().partition(|&&row| side.is_left(row));
            let left = expected.len();
            expected.extend(right);
            let mut scratch = vec![0; count];
            prop_assert_eq!(partition(&mut rows, &mut scratch, side), left);
            prop_assert_eq!(rows, expected);
        }

        /// Divides until lists are left, and looks where every row is.
        #[test]
        fn rows_are_where_the_codes_say(rows in 1..40_000_usize, bins in prop::collection::vec(0..32_u8, 1..12)) {
            let codes: Vec<u8> = (0..rows).map(|row| ((row * 2_654_435_761) >> 7 & 31) as u8).collect();
            let mut members = Members::new(rows);
            // Each leaf with the codes that it holds.
            let mut leaves = vec![(members.unite(), 0..32_u8)];
            for bin in bins {
                let (place, held) = leaves.remove(0);
                let side = Side { codes: &codes, bin, missing: bin };
                let middle = (bin + 1).clamp(held.start, held.end);
                let parts = [held.start..middle, middle..held.end];
                let counts = parts.clone().map(|part| codes.iter().filter(|&code| part.contains(code)).count());
                let smaller = usize::from(counts[1] < counts[0]);
                let division =
                    members.divide(&place, side, counts.map(|count| count * SHARE > rows), smaller);
                let expected: Vec<u32> = (0..rows as u32)
                    .filter(|&row| parts[division.smaller].contains(&codes[row as usize]))
                    .collect();
                prop_assert_eq!(members.list(division.list), &expected);
                leaves.extend(division.places.into_iter().zip(parts));
            }
            let valued: Vec<_> =
                leaves.iter().enumerate().map(|(i, (place, _))| (place.clone(), i as f64 + 1.0)).collect();
            let mut scores = vec![0.5; rows];
            let start = rows / 3;
            let (before, after) = scores.split_at_mut(start);
            let mut values = members.values(valued.iter().cloned(), start);
            after.chunks_mut(1_000).for_each(|scores| values.add(scores));
            members.values(valued.into_iter(), 0).add(before);
            for (score, code) in scores.iter().zip(&codes) {
                let leaf = leaves.iter().position(|(_, held)| held.contains(code));
                prop_assert_eq!(leaf.map(|leaf| leaf as f64 + 1.5), Some(*score));
            }
        }
    }
}
