//! Derivatives as fixed-point integers, in the three widths that they pass through.
//!
//! ```text
//!   Gradient (a row, 8 bytes) ──► Cell (a bin over a block of rows, 16 bytes) ──► Sums (any number of rows)
//! ```
//!
//! Invariant: no width can overflow, so a sum is the same in every order and on any number of threads.

use super::pair::{self, Pair};

/// Bits of a slope of the largest weight.
pub(super) const SLOPE_BITS: u64 = 24;
/// Rows that a [`Cell`] may sum.
pub(super) const BLOCK_ROWS: usize = 1 << 20;
/// Bits below the number of rows in [`Cell::packed`]: 22 for a curvature and 20 for the rows of a block, and
/// one so that the largest sum still fits.
const COUNT_SHIFT: u32 = 43;
/// The bit of a [`Gradient`] that says that the row counts.
const PRESENT: u64 = 1 << 31;
/// 1.5 * 2^52: adding it rounds to the nearest whole number and leaves that number in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// One row's derivatives, in units: the slope, at most 2^24 either way, in the upper half, the curvature, at
/// most 2^22, in the lower. A row that is not drawn is all zeros.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Gradient(u64);

impl Gradient {
    /// Rounds both derivatives to the nearest unit, ties to even.
    #[allow(clippy::inline_always, reason = "it must be compiled with its caller's instructions")]
    #[inline(always)]
    pub(super) fn new(slope: f64, curvature: f64) -> Self {
        let (slope, curvature) = ((slope + ROUND).to_bits(), (curvature + ROUND).to_bits());
        Self(slope << 32 | curvature & (PRESENT - 1) | PRESENT)
    }

    /// The row as the sum of a block.
    #[allow(clippy::inline_always, reason = "it must be compiled with its caller's instructions")]
    #[inline(always)]
    pub(super) fn cell(self) -> Cell {
        let packed = (self.0 & PRESENT) << (COUNT_SHIFT - 31) | self.0 & (PRESENT - 1);
        Cell(pair::new((self.0 as i64 >> 32) as u64, packed))
    }
}

/// The sum over a block of at most [`BLOCK_ROWS`] rows: the slope, and the number of rows above
/// [`COUNT_SHIFT`] bits of curvature.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell(Pair);

impl Default for Cell {
    fn default() -> Self {
        Self(pair::new(0, 0))
    }
}

impl Cell {
    /// Adds; wraps, and so skips the check, because no block is long enough to overflow.
    #[allow(clippy::inline_always, reason = "it must be compiled with its caller's instructions")]
    #[inline(always)]
    pub(super) fn add(&mut self, other: Self) {
        self.0 = pair::add(self.0, other.0);
    }

    /// The parts of the sum.
    #[inline]
    pub(super) fn unpack(self) -> Sums {
        let [slope, packed] = pair::parts(self.0);
        Sums {
            slope: slope as i64,
            curvature: (packed & ((1 << COUNT_SHIFT) - 1)) as i64,
            count: (packed >> COUNT_SHIFT) as i64,
        }
    }
}

/// Sums over any number of rows below 2^32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// First derivatives, in units.
    pub(super) slope: i64,
    /// Second derivatives, in units.
    pub(super) curvature: i64,
    /// Number of rows.
    pub(super) count: i64,
}

impl std::ops::Add for Sums {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            slope: self.slope + other.slope,
            curvature: self.curvature + other.curvature,
            count: self.count + other.count,
        }
    }
}

impl std::ops::Sub for Sums {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            slope: self.slope - other.slope,
            curvature: self.curvature - other.curvature,
            count: self.count - other.count,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_block_of_the_steepest_rows_does_not_overflow() {
        for (slope, curvature) in [(-16_777_216.0, 4_194_304.0), (16_777_216.0, 0.0)] {
            let mut sum = Cell::default();
            (0..BLOCK_ROWS).for_each(|_| sum.add(Gradient::new(slope, curvature).cell()));
            let rows = BLOCK_ROWS as i64;
            let expected =
                Sums { slope: slope as i64 * rows, curvature: curvature as i64 * rows, count: rows };
            assert_eq!(sum.unpack(), expected);
        }
    }

    #[test]
    fn a_row_that_is_not_drawn_counts_for_nothing() {
        assert_eq!(Gradient::default().cell().unpack(), Sums::default());
    }

    proptest! {
        #[test]
        fn rounding_is_to_the_nearest(slope in -1.6e7..1.6e7_f64, curvature in 0.0..4e6_f64) {
            let expected = Sums {
                slope: slope.round_ties_even() as i64,
                curvature: curvature.round_ties_even() as i64,
                count: 1,
            };
            prop_assert_eq!(Gradient::new(slope, curvature).cell().unpack(), expected);
        }
    }
}
