//! Features as bin numbers: what every tree grower works on.
//!
//! ```text
//!   values of a column ──► small whole numbers counted, or others in buckets ──► Bins (cuts) ──► code of each value
//! ```
//!
//! Flows in: a feature matrix, NaN meaning missing. Flows out: [`Binned`], one contiguous run of codes a
//! column. Invariants: bins depend on the multiset of values alone (exact ranks, no sampling, no sketch), so
//! neither row order nor threads change them; and `code(value) <= b` exactly where `value <= cut(b)`, so a
//! split on codes and its threshold on raw values send every row, seen or unseen, the same way.

#![allow(clippy::inline_always, reason = "loops are compiled with the instructions of their caller")]

mod bounds;
mod buckets;
mod key;
mod whole;

use std::fmt::Debug;

use ndarray::{ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

use self::{
    bounds::{Stretch, bounds_of_bins},
    buckets::{BUCKETS, Buckets},
};
use crate::{
    dispatch::{self, Work},
    idle::Idle,
};

/// Columns that are laid out at a time: of a row that stands in one piece, about a cache line.
const GROUP_COLUMNS: usize = 8;
/// Rows that are laid out at a time: what they hold stays in the nearest cache until each of its columns is copied.
const BLOCK_ROWS: usize = 256;
/// Bins up to which values are looked up several at a time.
const NARROW: usize = 256;
/// Values that are looked up at a time.
const LANES: usize = 16;

/// An integer wide enough for a bin number.
pub trait BinCode: Copy + Ord + Debug + Send + Sync + 'static {
    /// Value bins that fit beside the code for missing values.
    const MOST_BINS: usize;

    /// The code of a bin number of at most [`Self::MOST_BINS`].
    fn from_index(index: usize) -> Self;

    /// The bin number.
    fn index(self) -> usize;
}

impl BinCode for u8 {
    const MOST_BINS: usize = Self::MAX as usize;

    fn from_index(index: usize) -> Self {
        index as Self
    }

    fn index(self) -> usize {
        usize::from(self)
    }
}

impl BinCode for u16 {
    const MOST_BINS: usize = Self::MAX as usize;

    fn from_index(index: usize) -> Self {
        index as Self
    }

    fn index(self) -> usize {
        usize::from(self)
    }
}

/// The value bins of one feature, in rising order.
#[derive(Debug, Clone, PartialEq)]
pub struct Bins {
    /// Smallest value of each bin.
    lowest: Vec<f64>,
    /// Largest value of each bin.
    highest: Vec<f64>,
    /// `cuts[b]` parts bin `b` from bin `b + 1`.
    cuts: Vec<f64>,
}

impl Bins {
    /// At most `most` bins over the values that are not NaN.
    ///
    /// Each distinct value has its own bin where there are no more of them. Otherwise a value that holds a
    /// bin's fair share of the rows has its own, and the others fill the remaining bins evenly, a value never
    /// being parted (the greedy rule of `GreedyFindBin` in `LightGBM`, here in integers over all rows).
    pub fn new(values: ArrayView1<'_, f64>, most: usize) -> Self {
        let values = values.to_vec();
        Self::of(Buckets::new(&values, &mut Vec::new()).part(&mut Vec::new()), most)
    }

    /// Bins over values in rising order.
    fn of(stretches: Vec<Stretch<'_>>, most: usize) -> Self {
        let mut bins = Self { lowest: Vec::new(), highest: Vec::new(), cuts: Vec::new() };
        for [lowest, highest] in bounds_of_bins(stretches, most.max(1)) {
            bins.lowest.push(lowest);
            bins.highest.push(highest);
        }
        bins.cuts = (1..bins.len()).map(|right| bins.threshold(right - 1, right)).collect();
        bins
    }

    /// Number of value bins; zero where every value is missing.
    pub fn len(&self) -> usize {
        self.lowest.len()
    }

    /// Whether every value is missing.
    pub fn is_empty(&self) -> bool {
        self.lowest.is_empty()
    }

    /// The bin number that stands for a missing value: the one after the last value bin.
    pub fn missing(&self) -> usize {
        self.len()
    }

    /// The bin number of a value, seen while binning or not.
    pub fn index_of(&self, value: f64) -> usize {
        if value.is_nan() {
            return self.missing();
        }
        self.cuts.partition_point(|&cut| cut < value)
    }

    /// The value that parts bin `left` from a later bin `right`, those between them being empty: their
    /// midpoint, and never less than `left`'s largest value nor as much as `right`'s smallest.
    pub fn threshold(&self, left: usize, right: usize) -> f64 {
        midpoint(self.highest[left], self.lowest[right])
    }

    /// The threshold of the split that sends bin numbers of at most `bin` left; `bin` is not the last.
    pub fn cut(&self, bin: usize) -> f64 {
        self.cuts[bin]
    }
}

/// A number in `left..right`, half way where rounding allows.
fn midpoint(left: f64, right: f64) -> f64 {
    // Halves first: the sum of two large numbers may be infinite.
    let middle = left * 0.5 + right * 0.5;
    if left <= middle && middle < right { middle } else { left }
}

/// A feature matrix as bin numbers, column by column.
#[derive(Debug, Clone, PartialEq)]
pub struct Binned<C> {
    bins: Vec<Bins>,
    /// Column after column, in one piece: the system hands out a large one in fewer and larger pages.
    codes: Vec<C>,
    rows: usize,
}

impl<C: BinCode> Binned<C> {
    /// Finds at most `most` bins for each column of `features` (rows x columns, no more than the code
    /// width allows) and codes every value.
    pub fn new(features: ArrayView2<'_, f64>, most: usize) -> Self {
        let most = most.min(C::MOST_BINS);
        let rows = features.nrows();
        let mut codes = vec![C::from_index(0); rows * features.ncols()];
        let mut bins = Vec::new();
        let mut copies = Vec::new();
        let idle = Idle::new();
        let groups = codes.chunks_mut((rows * GROUP_COLUMNS).max(1));
        for (columns, codes) in features.axis_chunks_iter(Axis(1), GROUP_COLUMNS).zip(groups) {
            let of_columns = contiguous(columns, &mut copies);
            bins.par_extend(of_columns.par_iter().zip(codes.par_chunks_mut(rows.max(1))).map(
                |(values, codes)| {
                    if let Some(bins) = whole::bins_and_codes(values, most, codes) {
                        return bins;
                    }
                    let (mut keys, mut of) = idle.take().unwrap_or_default();
                    let buckets = Buckets::new(values, &mut of);
                    let bins = Bins::of(buckets.part(&mut keys), most);
                    write_codes(&bins, &buckets, values, codes);
                    idle.give((keys, of));
                    bins
                },
            ));
        }
        Self { bins, codes, rows }
    }

    /// Gives the rows another order, the same in each column.
    pub(crate) fn arrange(&mut self, order: impl Fn(&[C], &mut [C]) + Sync) {
        let mut arranged = vec![C::from_index(0); self.codes.len()];
        let columns = self.codes.par_chunks(self.rows).zip(arranged.par_chunks_mut(self.rows));
        columns.for_each(|(codes, arranged)| order(codes, arranged));
        self.codes = arranged;
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.bins.len()
    }

    /// The bins of each column.
    pub fn bins(&self) -> &[Bins] {
        &self.bins
    }

    /// The codes of one column, one a row.
    pub fn codes(&self, column: usize) -> &[C] {
        &self.codes[column * self.rows..][..self.rows]
    }
}

/// The columns, each in one piece: as they are, or copied block by block into the given room, so that a row
/// that stands in one piece is fetched once.
fn contiguous<'a, 'f: 'a>(features: ArrayView2<'f, f64>, copies: &'a mut Vec<Vec<f64>>) -> Vec<&'a [f64]> {
    let column = |column| features.index_axis_move(Axis(1), column).to_slice();
    if let Some(columns) = (0..features.ncols()).map(column).collect::<Option<Vec<_>>>() {
        return columns;
    }
    copies.resize_with(features.ncols(), Vec::new);
    let blocks = features.nrows().div_ceil(BLOCK_ROWS);
    let mut parts: Vec<Vec<&mut [f64]>> = (0..blocks).map(|_| Vec::new()).collect();
    for copy in copies.iter_mut() {
        copy.resize(features.nrows(), 0.0);
        for (parts, part) in parts.iter_mut().zip(copy.chunks_mut(BLOCK_ROWS)) {
            parts.push(part);
        }
    }
    parts.into_par_iter().zip(features.axis_chunks_iter(Axis(0), BLOCK_ROWS)).for_each(|(parts, block)| {
        for (part, column) in parts.into_iter().zip(block.columns()) {
            part.iter_mut().zip(column).for_each(|(copy, &value)| *copy = value);
        }
    });
    copies.iter().map(Vec::as_slice).collect()
}

/// Writes the code of every value of a column, from which bins and buckets were made.
fn write_codes<C: BinCode>(bins: &Bins, buckets: &Buckets<'_>, values: &[f64], codes: &mut [C]) {
    if bins.cuts.len() >= NARROW {
        codes.iter_mut().zip(values).for_each(|(code, &value)| *code = C::from_index(bins.index_of(value)));
        return;
    }
    let mut cuts = [f64::INFINITY; 2 * NARROW];
    cuts[..bins.cuts.len()].copy_from_slice(&bins.cuts);
    let (before, most) = buckets.cuts_before(&bins.cuts);
    let first_step = (most + 1).next_power_of_two() / 2;
    let missing = bins.missing();
    dispatch::run(Search {
        buckets: buckets.of,
        before: &before,
        first_step,
        cuts: &cuts,
        missing,
        values,
        codes,
    });
}

/// Looks values up among the cuts, several at a time: none waits for another, and no branch is guessed.
struct Search<'a, C> {
    /// The bucket of each value.
    buckets: &'a [u16],
    /// Cuts before each bucket.
    before: &'a [u16; BUCKETS + 1],
    /// Half of the smallest power of two that is more than the cuts of any bucket.
    first_step: usize,
    /// The cuts of the bins, and infinities.
    cuts: &'a [f64; 2 * NARROW],
    /// The code of what is missing.
    missing: usize,
    values: &'a [f64],
    codes: &'a mut [C],
}

impl<C: BinCode> Work for Search<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { before, cuts, missing, .. } = self;
        let rows = self.values.chunks(LANES).zip(self.buckets.chunks(LANES));
        for (codes, (values, buckets)) in self.codes.chunks_mut(LANES).zip(rows) {
            let mut lanes = [0.0; LANES];
            lanes[..values.len()].copy_from_slice(values);
            let mut found = [0; LANES];
            for (found, &bucket) in found.iter_mut().zip(buckets) {
                *found = usize::from(before[usize::from(bucket).min(BUCKETS)]);
            }
            let mut step = self.first_step;
            while step > 0 {
                for (found, &value) in found.iter_mut().zip(&lanes) {
                    let cut = cuts[found.wrapping_add(step).wrapping_sub(1) % (2 * NARROW)];
                    *found = found.wrapping_add(if cut < value { step } else { 0 });
                }
                step /= 2;
            }
            for ((code, &found), &value) in codes.iter_mut().zip(&found).zip(&lanes) {
                *code = C::from_index(if value.is_nan() { missing } else { found });
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)]
mod tests {
    use ndarray::{Array1, Array2, array};
    use proptest::prelude::*;

    use super::*;

    fn bins_of(values: &[f64], most: usize) -> Bins {
        Bins::new(ArrayView1::from(values), most)
    }

    #[test]
    fn few_values_have_a_bin_each() {
        let bins = bins_of(&[3.0, f64::NAN, 1.0, 3.0, -0.0, 0.0], 3);
        assert_eq!((bins.len(), bins.missing()), (3, 3));
        assert_eq!((bins.cut(0), bins.cut(1)), (0.5, 2.0));
        assert_eq!([0.0, 0.5, 0.6, 2.0, 9.0, f64::NAN].map(|value| bins.index_of(value)), [0, 0, 1, 1, 2, 3]);
        assert_eq!(bins.threshold(0, 2), 1.5);
    }

    #[test]
    fn a_heavy_value_stands_alone_and_the_rest_is_even() {
        let mut values = vec![0.0; 900];
        values.extend((1..=100).map(f64::from));
        let bins = bins_of(&values, 11);
        assert_eq!(bins.len(), 11);
        assert_eq!(bins.highest[0], 0.0);
        let size = |bin: usize| values.iter().filter(|&&value| bins.index_of(value) == bin).count();
        assert!((1..11).all(|bin| size(bin) == 10));
    }

    #[test]
    fn without_values_there_is_only_missing() {
        let bins = bins_of(&[f64::NAN, f64::NAN], 255);
        assert!(bins.is_empty());
        assert_eq!(bins.index_of(1.0), 0);
        assert_eq!(bins.index_of(f64::NAN), 0);
    }

    #[test]
    fn thresholds_of_neighbouring_and_huge_numbers_part_them() {
        for (left, right) in [
            (1.0, 1.0_f64.next_up()),
            (0.0, 5e-324),
            (-5e-324, 0.0),
            (f64::MIN, f64::MAX),
            (f64::MAX.next_down(), f64::MAX),
        ] {
            let bins = bins_of(&[left, right], 2);
            assert!(left <= bins.cut(0) && bins.cut(0) < right, "{left:e} {right:e}");
        }
    }

    #[test]
    fn wide_codes_hold_wide_bins_and_narrow_ones_are_capped() {
        let features = Array2::from_shape_fn((70_000, 1), |(row, _)| row as f64);
        let wide = Binned::<u16>::new(features.view(), usize::MAX);
        assert_eq!(wide.bins()[0].len(), 65_535);
        let narrow = Binned::<u8>::new(features.view(), usize::MAX);
        assert_eq!(narrow.bins()[0].len(), 255);
        assert_eq!(narrow.codes(0)[69_999], 254);
    }

    #[test]
    fn threads_and_strides_do_not_matter() {
        let features = array![[1.0, f64::NAN], [2.0, 5.0], [1.0, 4.0]];
        let binned = Binned::<u8>::new(features.view(), 255);
        assert_eq!((binned.codes(0), binned.codes(1)), (&[0, 1, 0][..], &[2, 1, 0][..]));
        let fortran = features.t().as_standard_layout().into_owned();
        assert_eq!(Binned::<u8>::new(fortran.t(), 255), binned);
    }

    fn values() -> impl Strategy<Value = Vec<f64>> {
        let value = prop_oneof![
            4 => (-20..20_i32).prop_map(f64::from),
            4 => -1e3..1e3_f64,
            1 => Just(f64::NAN),
            1 => any::<f64>().prop_filter("finite", |value| value.is_finite()),
        ];
        prop::collection::vec(value, 1..300)
    }

    proptest! {
        #[test]
        fn codes_and_thresholds_part_every_value_alike(
            seen in values(), unseen in values(), most in 1..40_usize,
        ) {
            let bins = bins_of(&seen, most);
            prop_assert!(bins.len() <= most);
            for bin in 1..bins.len() {
                prop_assert!(bins.highest[bin - 1] <= bins.cut(bin - 1));
                prop_assert!(bins.cut(bin - 1) < bins.lowest[bin]);
            }
            for value in seen.iter().chain(&unseen).filter(|value| !value.is_nan()) {
                for bin in 1..bins.len() {
                    prop_assert_eq!(bins.index_of(*value) < bin, *value <= bins.cut(bin - 1));
                }
            }
        }

        #[test]
        fn row_order_does_not_matter(seen in values(), most in 1..40_usize) {
            let mut other = seen.clone();
            other.reverse();
            prop_assert_eq!(bins_of(&seen, most), bins_of(&other, most));
        }

        /// Every bin lies between its fair share and that plus its last value, heavy values apart.
        #[test]
        fn no_bin_is_fuller_than_its_last_value_explains(seen in values(), most in 2..40_usize) {
            let bins = bins_of(&seen, most);
            let seen = Array1::from_iter(seen.into_iter().filter(|value| !value.is_nan()));
            for bin in 0..bins.len().saturating_sub(1) {
                let inside: Vec<f64> =
                    seen.iter().copied().filter(|&value| bins.index_of(value) == bin).collect();
                let last = inside.iter().filter(|&&value| value == bins.highest[bin]).count();
                prop_assert!(!inside.is_empty());
                prop_assert!((inside.len() - last) * most <= 2 * seen.len());
            }
        }
    }
}
