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
/// Codes of a bundle at the most where each row bears its code, so that this is a byte.
pub(super) const MOST_CODES: usize = 256;
/// Codes of a bundle at the most where each run of rows bears its code.
pub(super) const MOST_SHARED_CODES: usize = 4_088;
/// Cells between bundles, so that the same code of two of them falls into different sets of the cache.
const GAP: usize = 4;
/// Cells from one bundle of at most [`MOST_CODES`] codes to the next.
pub(super) const STRIDE: usize = MOST_CODES + GAP;

/// Columns that share a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bundle {
    /// The columns, the lowest digit first.
    pub(super) parts: Vec<Part>,
    /// Number of codes.
    codes: usize,
    /// The cell of the lowest code.
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
}

/// Puts each of `columns` into a bundle: the one of most codes first, each into the first bundle that has room.
///
/// A column has room alone, however many codes it has. Which columns share a bundle changes no sum.
pub(super) fn bundles(binned: &Binned<u8>, columns: &[usize], most_codes: usize) -> Vec<Bundle> {
    let mut columns: Vec<Column> = columns.par_iter().map(|&column| Column::new(binned, column)).collect();
    columns.sort_unstable_by_key(|column| (std::cmp::Reverse(column.radix), column.number));
    let mut bundles: Vec<Bundle> = Vec::new();
    for Column { number, radix } in columns {
        let bins = binned.bins()[number].missing() + 1;
        let has_room = |bundle: &Bundle| bundle.codes * radix <= most_codes;
        let position = bundles.iter().position(has_room).unwrap_or_else(|| {
            bundles.push(Bundle { parts: Vec::new(), codes: 1, start: 0 });
            bundles.len() - 1
        });
        let bundle = &mut bundles[position];
        bundle.parts.push(Part { column: number, bins, radix, scale: bundle.codes });
        bundle.codes *= radix;
    }
    bundles
}

impl Column {
    fn new(binned: &Binned<u8>, number: usize) -> Self {
        let radix = binned.codes(number).iter().fold(0, |largest, &code| largest.max(code)) as usize + 1;
        Self { number, radix }
    }
}

impl Bundle {
    /// Gives the codes of these bundles cells: to those of rows [`STRIDE`] each, to those of runs as many as they
    /// have. Returns the number of cells.
    pub(super) fn number(of_rows: &mut [Self], of_runs: &mut [Self]) -> usize {
        let mut end = 0;
        for bundle in of_rows {
            bundle.start = end;
            end += STRIDE;
        }
        for bundle in of_runs {
            bundle.start = end;
            end += bundle.codes + GAP;
        }
        end
    }

    /// The code of one row.
    fn code(&self, binned: &Binned<u8>, row: usize) -> usize {
        let digit = |part: &Part| usize::from(binned.codes(part.column)[row]) * part.scale;
        self.parts.iter().fold(0, |code, part| code + digit(part))
    }

    /// The cell of the code of one row.
    pub(super) fn cell(&self, binned: &Binned<u8>, row: usize) -> u16 {
        (self.start + self.code(binned, row)) as u16
    }

    /// Writes the codes of the rows from `start` on into the byte of their words at `position`, which is zero.
    pub(super) fn write(&self, binned: &Binned<u8>, start: usize, position: usize, words: &mut [u64]) {
        for part in &self.parts {
            let digits = &binned.codes(part.column)[start..start + words.len()];
            let factor = (part.scale as u64) << (8 * position);
            for (word, &digit) in words.iter_mut().zip(digits) {
                // Never wraps: the largest code fits into its byte.
                *word = word.wrapping_add(u64::from(digit).wrapping_mul(factor));
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
    fn narrow_columns_share_a_code_and_wide_ones_do_not() {
        let values = [200, 2, 16, 10, 3];
        let features = Array2::from_shape_fn((2_000, 5), |(row, column)| {
            if column == 4 && row == 7 { f64::NAN } else { (row * 7 % values[column]) as f64 }
        });
        let binned = Binned::new(features.view(), 255);
        let all = [0, 1, 2, 3, 4];
        assert_eq!(columns_of(&bundles(&binned, &all, MOST_SHARED_CODES)), [vec![0, 2], vec![3, 4, 1]]);
        let mut bundles = bundles(&binned, &all, MOST_CODES);
        assert_eq!(columns_of(&bundles), [vec![0], vec![2, 3], vec![4, 1]]);
        assert_eq!(bundles.iter().map(|bundle| bundle.codes).collect::<Vec<_>>(), [200, 160, 8]);
        let (of_rows, of_runs) = bundles.split_at_mut(1);
        assert_eq!(Bundle::number(of_rows, of_runs), STRIDE + 160 + 8 + 2 * GAP);
        let mut words = vec![0; 2_000];
        for (position, bundle) in bundles.iter().enumerate() {
            bundle.write(&binned, 0, position, &mut words);
        }
        for (row, word) in words.iter().enumerate() {
            for (bundle, byte) in bundles.iter().zip(word.to_le_bytes()) {
                let code = usize::from(byte);
                assert_eq!(code, bundle.code(&binned, row));
                assert_eq!(usize::from(bundle.cell(&binned, row)), bundle.start + code);
                for part in &bundle.parts {
                    let digit = code / part.scale % part.radix;
                    assert_eq!(digit, usize::from(binned.codes(part.column)[row]));
                }
            }
        }
    }
}
