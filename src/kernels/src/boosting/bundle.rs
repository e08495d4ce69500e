//! Columns of few bins that share one code.
//!
//! Flows in: binned columns. Flows out: bundles, and from a bundle's sums those of each of its columns.
//! Invariant: a bundle's code is a number whose digits are the codes of its columns, so the rows of a column's
//! bin are the rows of all codes with that digit, and their sum is exact.

use rayon::prelude::*;

use super::fixed::{Cell, Sums};
use crate::binning::Binned;

/// Bins of a column at the most, the missing one included.
const MOST_BINS: usize = 256;
/// Codes of a bundle at the most.
pub(super) const MOST_CODES: usize = 4_088;
/// Busy codes of a bundle at the most: two columns of as many bins as a byte counts are no bundle, such a column
/// and a flag are.
pub(super) const MOST_BUSY: usize = 512;
/// A code is busy if more than one in so many rows have it.
const BUSY_SHARE: usize = 1_024;
/// Rows that tell which codes are busy.
const SAMPLE_ROWS: usize = 16_384;
/// Cells between bundles, so that the same code of two of them falls into different sets of the cache.
const GAP: usize = 4;

/// Columns that share a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bundle {
    /// The columns, the lowest digit first.
    pub(super) parts: Vec<Part>,
    /// Number of codes.
    codes: usize,
    /// Product of the parts' numbers of busy codes.
    busy: usize,
    /// The lowest code.
    start: usize,
}

/// One digit of a bundle's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) column: usize,
    /// Bins of the column, the missing one included.
    pub(super) bins: usize,
    /// Values of the digit: without the missing bin where no value is missing.
    radix: usize,
    /// What the digit is multiplied by.
    scale: usize,
}

/// A column that is to be put into a bundle.
#[derive(Debug, Clone, Copy)]
struct Column {
    number: usize,
    /// One more than its largest code.
    radix: usize,
    /// How many of its codes are busy, or 1.
    busy: usize,
}

/// Puts each of `columns` into a bundle: the one of most bins first, each into the first bundle that has room.
///
/// What many rows have in common stays in the nearest cache however many codes there are, so that room is
/// counted in busy codes too, of which a bundle has `most_busy`. Which columns share a bundle changes no sum.
pub(super) fn bundles(binned: &Binned<u8>, columns: &[usize], most_busy: usize) -> Vec<Bundle> {
    let mut columns: Vec<Column> = columns.par_iter().map(|&column| Column::new(binned, column)).collect();
    columns.sort_unstable_by_key(|column| (std::cmp::Reverse(column.radix), column.number));
    let mut bundles: Vec<Bundle> = Vec::new();
    for Column { number, radix, busy } in columns {
        let bins = binned.bins()[number].missing() + 1;
        let has_room =
            |bundle: &Bundle| bundle.codes * radix <= MOST_CODES && bundle.busy * busy <= most_busy;
        let position = bundles.iter().position(has_room).unwrap_or_else(|| {
            bundles.push(Bundle { parts: Vec::new(), codes: 1, busy: 1, start: 0 });
            bundles.len() - 1
        });
        let bundle = &mut bundles[position];
        bundle.parts.push(Part { column: number, bins, radix, scale: bundle.codes });
        bundle.codes *= radix;
        bundle.busy *= busy;
    }
    bundles
}

impl Column {
    fn new(binned: &Binned<u8>, number: usize) -> Self {
        let codes = binned.codes(number);
        let radix = codes.iter().fold(0, |largest, &code| largest.max(code)) as usize + 1;
        let mut counts = [0_usize; 256];
        let step = codes.len().div_ceil(SAMPLE_ROWS).max(1);
        codes.iter().step_by(step).for_each(|&code| counts[usize::from(code)] += 1);
        let busy = counts.iter().filter(|&&count| count * BUSY_SHARE > codes.len() / step).count();
        Self { number, radix, busy: busy.max(1) }
    }
}

impl Bundle {
    /// Numbers the codes of these bundles one after the other, and gives one more than the largest.
    pub(super) fn number(bundles: &mut [Self]) -> usize {
        let mut end = 0;
        for bundle in bundles {
            bundle.start = end;
            end += bundle.codes + GAP;
        }
        end
    }

    /// The code of one row.
    pub(super) fn code(&self, binned: &Binned<u8>, row: usize) -> u16 {
        let digit = |part: &Part| usize::from(binned.codes(part.column)[row]) * part.scale;
        self.parts.iter().fold(self.start, |code, part| code + digit(part)) as u16
    }

    /// Writes the codes of the rows from `start` on.
    pub(super) fn write<'a>(
        &self,
        binned: &Binned<u8>,
        start: usize,
        codes: impl ExactSizeIterator<Item = &'a mut u16>,
    ) {
        let end = start + codes.len();
        let parts: Vec<(&[u8], u16)> = self
            .parts
            .iter()
            .map(|part| (&binned.codes(part.column)[start..end], part.scale as u16))
            .collect();
        // Never wraps: the largest code fits.
        let first = self.start as u16;
        match *parts.as_slice() {
            [(digits, _)] => {
                codes.zip(digits).for_each(|(code, &digit)| *code = first.wrapping_add(u16::from(digit)));
            }
            [(low, _), (high, scale)] => {
                for ((code, &low), &high) in codes.zip(low).zip(high) {
                    let high = u16::from(high).wrapping_mul(scale);
                    *code = first.wrapping_add(u16::from(low)).wrapping_add(high);
                }
            }
            _ => {
                for (row, code) in codes.enumerate() {
                    *code = parts.iter().fold(first, |code, (digits, scale)| {
                        code.wrapping_add(u16::from(digits[row]).wrapping_mul(*scale))
                    });
                }
            }
        }
    }

    /// Appends the sums of each column's bins, column by column, from `cells`, those of all codes.
    pub(super) fn sums(&self, cells: &[Cell], sums: &mut Vec<Sums>) {
        let cells = &cells[self.start..self.start + self.codes];
        for part in &self.parts {
            // All cells together are a block's, so that no sum of some of them overflows.
            let mut bins = [Cell::default(); MOST_BINS];
            if part.scale == 1 {
                for cells in cells.chunks(part.radix) {
                    bins.iter_mut().zip(cells).for_each(|(bin, &cell)| bin.add(cell));
                }
            } else {
                for cells in cells.chunks(part.scale * part.radix) {
                    for (bin, cells) in bins.iter_mut().zip(cells.chunks(part.scale)) {
                        for &cell in cells {
                            bin.add(cell);
                        }
                    }
                }
            }
            sums.extend(bins[..part.bins].iter().map(|bin| bin.unpack()));
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    fn columns_of(bundles: &[Bundle]) -> Vec<Vec<usize>> {
        bundles.iter().map(|bundle| bundle.parts.iter().map(|part| part.column).collect()).collect()
    }

    #[test]
    fn columns_of_many_bins_share_a_code_if_few_are_busy() {
        let features = Array2::from_shape_fn((100_000, 3), |(row, column)| match column {
            0 => (row % 200) as f64,
            _ if row % 97 == 0 => (row / 97 % 20 + column) as f64,
            _ => 0.0,
        });
        // 200 * 21 codes are too many, 21 * 21 are not.
        assert_eq!(
            columns_of(&bundles(&Binned::new(features.view(), 255), &[0, 1, 2], MOST_BUSY)),
            [vec![0], vec![1, 2]]
        );
    }

    #[test]
    fn narrow_columns_share_a_code_and_busy_ones_do_not() {
        let values = [200, 2, 16, 10, 3];
        let features = Array2::from_shape_fn((2_000, 5), |(row, column)| {
            if column == 4 && row == 7 { f64::NAN } else { (row * 7 % values[column]) as f64 }
        });
        let binned = Binned::new(features.view(), 255);
        let mut bundles = bundles(&binned, &[0, 1, 2, 3, 4], MOST_BUSY);
        assert_eq!(columns_of(&bundles), [vec![0, 1], vec![2, 3, 4]]);
        assert_eq!(bundles.iter().map(|bundle| bundle.codes).collect::<Vec<_>>(), [400, 640]);
        assert_eq!(Bundle::number(&mut bundles), 400 + 640 + 2 * GAP);
        for bundle in &bundles {
            let mut codes = vec![0; 2_000];
            bundle.write(&binned, 0, codes.iter_mut());
            for (row, &code) in codes.iter().enumerate() {
                assert_eq!(code, bundle.code(&binned, row));
                for part in &bundle.parts {
                    let digit = (usize::from(code) - bundle.start) / part.scale % part.radix;
                    assert_eq!(digit, usize::from(binned.codes(part.column)[row]));
                }
            }
        }
    }
}
