//! Columns of few bins that share one code.
//!
//! Flows in: binned columns. Flows out: bundles, and from a bundle's sums those of each of its columns.
//! Invariant: a bundle's code is a number whose digits are the codes of its columns, so the rows of a column's
//! bin are the rows of all codes with that digit, and their sum is exact.

use super::fixed::{Cell, Sums};
use crate::binning::Binned;

/// Codes of a bundle at the most: what a byte holds.
const MOST_CODES: usize = 256;

/// Columns that share a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bundle {
    /// The columns, the lowest digit first.
    pub(super) parts: Vec<Part>,
    /// Number of codes.
    codes: usize,
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

/// Puts every column into a bundle: the one of most bins first, each into the first bundle that has room.
pub(super) fn bundles(binned: &Binned<u8>) -> Vec<Bundle> {
    let mut columns: Vec<(usize, usize)> =
        (0..binned.columns()).map(|column| (radix(binned, column), column)).collect();
    columns.sort_unstable_by_key(|&(radix, column)| (std::cmp::Reverse(radix), column));
    let mut bundles: Vec<Bundle> = Vec::new();
    for (radix, column) in columns {
        let bins = binned.bins()[column].missing() + 1;
        let found = bundles.iter().position(|bundle| bundle.codes * radix <= MOST_CODES);
        let position = found.unwrap_or_else(|| {
            bundles.push(Bundle { parts: Vec::new(), codes: 1 });
            bundles.len() - 1
        });
        let bundle = &mut bundles[position];
        bundle.parts.push(Part { column, bins, radix, scale: bundle.codes });
        bundle.codes *= radix;
    }
    bundles
}

/// One more than the largest code of a column.
fn radix(binned: &Binned<u8>, column: usize) -> usize {
    binned.codes(column).iter().fold(0, |largest, &code| largest.max(code)) as usize + 1
}

impl Bundle {
    /// Writes the codes of the rows from `start` on.
    pub(super) fn write<'a>(
        &self,
        binned: &Binned<u8>,
        start: usize,
        codes: impl ExactSizeIterator<Item = &'a mut u8>,
    ) {
        let end = start + codes.len();
        match self.parts.as_slice() {
            [part] => {
                let column = &binned.codes(part.column)[start..end];
                codes.zip(column).for_each(|(code, &digit)| *code = digit);
            }
            parts => {
                let parts: Vec<(&[u8], u8)> = parts
                    .iter()
                    .map(|part| (&binned.codes(part.column)[start..end], part.scale as u8))
                    .collect();
                for (row, code) in codes.enumerate() {
                    // Never wraps: the largest code fits.
                    *code = parts.iter().fold(0, |code: u8, (digits, scale)| {
                        code.wrapping_add(digits[row].wrapping_mul(*scale))
                    });
                }
            }
        }
    }

    /// The sums of each column's bins, column by column, from those of the codes.
    pub(super) fn sums(&self, cells: &[Cell]) -> Vec<Sums> {
        let codes: Vec<Sums> = cells[..self.codes].iter().map(|cell| cell.unpack()).collect();
        let mut sums = Vec::with_capacity(self.parts.iter().map(|part| part.bins).sum());
        for part in &self.parts {
            let first = sums.len();
            sums.resize(first + part.bins, Sums::default());
            let bins = &mut sums[first..];
            for codes in codes.chunks(part.scale * part.radix) {
                for (bin, codes) in bins.iter_mut().zip(codes.chunks(part.scale)) {
                    *bin = codes.iter().fold(*bin, |sum, &code| sum + code);
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn narrow_columns_share_a_code_and_wide_ones_do_not() {
        let values = [200, 2, 16, 10, 3];
        let features = Array2::from_shape_fn((2_000, 5), |(row, column)| {
            if column == 4 && row == 7 { f64::NAN } else { (row * 7 % values[column]) as f64 }
        });
        let binned = Binned::new(features.view(), 255);
        let bundles = bundles(&binned);
        let columns: Vec<Vec<usize>> =
            bundles.iter().map(|bundle| bundle.parts.iter().map(|part| part.column).collect()).collect();
        assert_eq!(columns, [vec![0], vec![2, 3], vec![4, 1]]);
        assert_eq!(bundles.iter().map(|bundle| bundle.codes).collect::<Vec<_>>(), [200, 160, 8]);
        for bundle in &bundles {
            let mut codes = vec![0; 2_000];
            bundle.write(&binned, 0, codes.iter_mut());
            for (row, &code) in codes.iter().enumerate() {
                for part in &bundle.parts {
                    let digit = usize::from(code) / part.scale % part.radix;
                    assert_eq!(digit, usize::from(binned.codes(part.column)[row]));
                }
            }
        }
    }
}
