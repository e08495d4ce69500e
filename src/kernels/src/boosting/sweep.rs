//! Loops over the marks of neighbouring rows, many rows an instruction.
//!
//! Flows in: marks and codes, or marks and scores. Flows out: the rows that change their mark, or new scores.

#![allow(clippy::inline_always, reason = "loops are compiled with the instructions of their caller")]
#![allow(clippy::needless_bitwise_bool, reason = "what is not skipped over is not guessed wrong either")]

use crate::dispatch::{self, Work};

/// Marks that there may be at a time: one more than leaves that hold more than an eighth of the rows.
const MARKS: usize = 8;
/// Rows whose flags are kept at a time while sweeping; a multiple of 8.
const BLOCK_ROWS: usize = 1_024;

/// Rows that are skipped over together where none is found; among them, none is guessed.
const SKIPPED_ROWS: usize = 64;

/// Which rows go left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side<'a> {
    /// The column that is looked at, one code a row.
    pub(super) codes: &'a [u8],
    /// Codes up to this go left.
    pub(super) bin: u8,
    /// This code goes left as well; [`Self::bin`] where that is all.
    pub(super) missing: u8,
}

impl Side<'_> {
    #[inline]
    pub(super) fn is_left(self, row: u32) -> bool {
        let code = self.codes[row as usize];
        (code <= self.bin) | (code == self.missing)
    }
}

/// Takes rows from a mark.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sweep<'a> {
    pub(super) mark: u8,
    /// The mark that they get.
    pub(super) new: u8,
    pub(super) side: Side<'a>,
    /// Whether it takes the left or the right ones.
    pub(super) take_left: bool,
}

/// A sweep over neighbouring rows; gives how many it found.
pub(super) struct SweepRows<'a> {
    pub(super) sweep: Sweep<'a>,
    pub(super) marks: &'a mut [u8],
    /// Room for every row, rounded up to 8; the rows found stand first.
    pub(super) found: &'a mut [u32],
    /// Number of the first row.
    pub(super) first: u32,
}

impl Work for SweepRows<'_> {
    type Output = usize;

    #[inline(always)]
    fn run(self) -> usize {
        let Sweep { mark, new, side, take_left } = self.sweep;
        let mut count = 0;
        let mut first = self.first;
        for (marks, codes) in self.marks.chunks_mut(BLOCK_ROWS).zip(side.codes.chunks(BLOCK_ROWS)) {
            let mut flags = [0_u8; BLOCK_ROWS];
            for ((flag, old), &code) in flags.iter_mut().zip(marks.iter_mut()).zip(codes) {
                let is_left = (code <= side.bin) | (code == side.missing);
                let is_taken = (*old == mark) & (is_left == take_left);
                *flag = u8::from(is_taken);
                *old = if is_taken { new } else { *old };
            }
            for flags in flags.as_chunks::<SKIPPED_ROWS>().0 {
                if flags.iter().fold(0, |any, flag| any | flag) == 0 {
                    first = first.wrapping_add(SKIPPED_ROWS as u32);
                    continue;
                }
                for flags in flags.as_chunks::<8>().0 {
                    let flags = u64::from_le_bytes(*flags);
                    // Gathers the lowest bits of the eight bytes: no two of the products meet in a bit.
                    let mask = (flags.wrapping_mul(0x0102_0408_1020_4080) >> 56) as usize;
                    if let Some(found) = self.found[count..].first_chunk_mut::<8>() {
                        // All read before any is written, which the compiler widens.
                        *found = POSITIONS[mask].map(|position| first.wrapping_add(u32::from(position)));
                    }
                    count += mask.count_ones() as usize;
                    first = first.wrapping_add(8);
                }
            }
        }
        count
    }
}

/// The positions of the bits of a byte, the lowest first, then zeros.
static POSITIONS: [[u8; 8]; 256] = {
    let mut positions = [[0; 8]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut bit, mut count) = (0, 0);
        while bit < 8 {
            if mask >> bit & 1 == 1 {
                positions[mask][count] = bit as u8;
                count += 1;
            }
            bit += 1;
        }
        mask += 1;
    }
    positions
};

/// Adds to each score the value of the row's mark, or nothing where `marked` has none for it.
pub(super) fn add_marked(marks: &[u8], marked: &[(u8, f64)], scores: &mut [f64]) {
    // One loop for each number of marks, so that what is looked for stays in registers.
    match marked.len() {
        0 => {}
        1 => dispatch::run(AddMarked::<1>::new(marks, marked, scores)),
        2 => dispatch::run(AddMarked::<2>::new(marks, marked, scores)),
        3 => dispatch::run(AddMarked::<3>::new(marks, marked, scores)),
        4 => dispatch::run(AddMarked::<4>::new(marks, marked, scores)),
        _ => dispatch::run(AddMarked::<MARKS>::new(marks, marked, scores)),
    }
}

/// Adds to each score the value of the row's mark, one of so many.
struct AddMarked<'a, const MARKED: usize> {
    marks: &'a [u8],
    marked: [u8; MARKED],
    /// The bits of the values.
    values: [u64; MARKED],
    scores: &'a mut [f64],
}

impl<'a, const MARKED: usize> AddMarked<'a, MARKED> {
    fn new(marks: &'a [u8], marked: &[(u8, f64)], scores: &'a mut [f64]) -> Self {
        // Where there are fewer, the others say zero, whatever they meet.
        let mut work = Self { marks, marked: [0; MARKED], values: [0; MARKED], scores };
        for ((to_mark, to_value), &(mark, value)) in work.marked.iter_mut().zip(&mut work.values).zip(marked)
        {
            (*to_mark, *to_value) = (mark, value.to_bits());
        }
        work
    }
}

impl<const MARKED: usize> Work for AddMarked<'_, MARKED> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (score, &found) in self.scores.iter_mut().zip(self.marks) {
            // Bit masks, because of selects the compiler would make jumps.
            let mut chosen = 0;
            for (&mark, &value) in self.marked.iter().zip(&self.values) {
                chosen |= value & u64::from(found == mark).wrapping_neg();
            }
            *score += f64::from_bits(chosen);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Owned<'a>(Sweep<'a>, Vec<u8>);
    impl Work for Owned<'_> {
        type Output = (Vec<u32>, Vec<u8>);

        #[inline(always)]
        fn run(mut self) -> Self::Output {
            let mut found = vec![0; self.1.len().next_multiple_of(8)];
            let count = SweepRows { sweep: self.0, marks: &mut self.1, found: &mut found, first: 0 }.run();
            found.truncate(count);
            (found, self.1)
        }
    }

    #[test]
    fn marked_rows_get_their_values() {
        let marks: Vec<u8> = (0..1_000).map(|row| (row * 7 % 11) as u8).collect();
        for count in 0..=MARKS {
            let marked: Vec<(u8, f64)> = (0..count as u8).map(|mark| (mark, f64::from(mark) - 2.5)).collect();
            let mut scores: Vec<f64> = (0..1_000).map(f64::from).collect();
            add_marked(&marks, &marked, &mut scores);
            for (row, (&score, &mark)) in scores.iter().zip(&marks).enumerate() {
                let value = if usize::from(mark) < count { f64::from(mark) - 2.5 } else { 0.0 };
                assert_eq!(score.to_bits(), (row as f64 + value).to_bits());
            }
        }
    }

    proptest! {
        #[test]
        fn a_sweep_finds_the_same_with_every_instruction_set(
            rows in 1..3_000_usize, bin in 0..9_u8, missing in 0..9_u8, take_left in any::<bool>(), seed in any::<u32>(),
        ) {
            let hash = |row: usize, salt: usize| (row * 31 + salt + seed as usize).wrapping_mul(0x9E37_79B9) >> 9;
            let codes: Vec<u8> = (0..rows).map(|row| (hash(row, 1) % 9) as u8).collect();
            let old: Vec<u8> = (0..rows).map(|row| (hash(row, 2) % 3) as u8).collect();
            let sweep = Sweep { mark: 1, new: 7, side: Side { codes: &codes, bin, missing }, take_left };
            let taken: Vec<u32> = (0..rows as u32)
                .filter(|&row| old[row as usize] == 1 && sweep.side.is_left(row) == take_left)
                .collect();
            let mut marks = old.clone();
            for &row in &taken {
                marks[row as usize] = 7;
            }
            for result in dispatch::run_with_each(|| Owned(sweep, old.clone())) {
                prop_assert_eq!(&result.0, &taken);
                prop_assert_eq!(&result.1, &marks);
            }
        }
    }
}
