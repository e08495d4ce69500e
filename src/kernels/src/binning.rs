//! Features as bin numbers: what every tree grower works on.
//!
//! ```text
//!   values of a column ──► sorted, or small whole numbers counted ──► Bins (cuts) ──► code of each value
//! ```
//!
//! Flows in: a feature matrix, NaN meaning missing. Flows out: [`Binned`], one contiguous run of codes a
//! column. Invariants: bins depend on the multiset of values alone (exact ranks, no sampling, no sketch), so
//! neither row order nor threads change them; and `code(value) <= b` exactly where `value <= cut(b)`, so a
//! split on codes and its threshold on raw values send every row, seen or unseen, the same way.

#![allow(clippy::inline_always, reason = "loops are compiled with the instructions of their caller")]

mod whole;

use std::fmt::Debug;

use ndarray::{ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

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
        Self::of_sorted(sorted_keys(&values.to_vec(), &mut Vec::new()), most)
    }

    /// Bins over the values that sorted keys stand for.
    fn of_sorted(keys: &[u64], most: usize) -> Self {
        Self::of_runs(runs_of(keys), keys.len(), most)
    }

    /// Bins over values in rising order, each with the number of its rows, `rows` in all.
    fn of_runs(runs: impl Iterator<Item = (f64, usize)> + Clone, rows: usize, most: usize) -> Self {
        let mut bins = Self { lowest: Vec::new(), highest: Vec::new(), cuts: Vec::new() };
        for [lowest, highest] in bounds_of_bins(runs, rows, most.max(1)) {
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

/// A number whose order among keys is that of `value` among values.
#[inline]
fn key(value: f64) -> u64 {
    // Adding zero turns -0.0 into 0.0, the two being one value.
    let bits = (value + 0.0).to_bits();
    bits ^ ((bits as i64 >> 63) as u64 | 1 << 63)
}

/// The value that a key stands for.
fn value(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key ^ 1 << 63 } else { !key })
}

/// The keys of the values that are not NaN, in rising order, in the given room.
fn sorted_keys<'r>(values: &[f64], room: &'r mut Vec<u64>) -> &'r [u64] {
    room.clear();
    // Without leaving any out, which the compiler widens; no number has the largest key.
    room.extend(values.iter().map(|&value| if value.is_nan() { u64::MAX } else { key(value) }));
    room.sort_unstable();
    let numbers = room.partition_point(|&key| key != u64::MAX);
    &room[..numbers]
}

/// The values that sorted keys stand for, each with the number of its rows.
fn runs_of(sorted: &[u64]) -> impl Iterator<Item = (f64, usize)> + Clone {
    sorted.chunk_by(|a, b| a == b).map(|run| (value(run[0]), run.len()))
}

/// The smallest and the largest value of each bin over `rows` rows; equal values are never parted.
fn bounds_of_bins(
    runs: impl Iterator<Item = (f64, usize)> + Clone,
    rows: usize,
    most: usize,
) -> Vec<[f64; 2]> {
    let is_heavy = |count: usize| count * most >= rows;
    // Bins and rows left for values that are not heavy: their ratio is the size to reach.
    let (mut bins, mut left, mut distinct, mut last) = (most, rows, 0_usize, 0.0);
    for (value, count) in runs.clone() {
        distinct += 1;
        last = value;
        if is_heavy(count) {
            bins = bins.saturating_sub(1);
            left -= count;
        }
    }
    if distinct <= most {
        return runs.map(|(value, _)| [value; 2]).collect();
    }
    let mut bounds = Vec::with_capacity(most);
    let (mut lowest, mut size) = (None, 0);
    let mut runs = runs.peekable();
    while let (Some((value, count)), Some(&(_, next))) = (runs.next(), runs.peek()) {
        let low = *lowest.get_or_insert(value);
        if bounds.len() + 1 == most {
            break;
        }
        let heavy = is_heavy(count);
        size += count;
        if !heavy {
            left -= count;
        }
        let full = size * bins >= left + size;
        let half_full = 2 * size * bins >= left + size;
        if heavy || full || is_heavy(next) && half_full {
            bounds.push([low, value]);
            lowest = None;
            size = 0;
            if !heavy {
                bins = bins.saturating_sub(1);
            }
        }
    }
    bounds.push([lowest.unwrap_or(last), last]);
    bounds
}

/// A feature matrix as bin numbers, column by column.
#[derive(Debug, Clone, PartialEq)]
pub struct Binned<C> {
    bins: Vec<Bins>,
    codes: Vec<Vec<C>>,
}

impl<C: BinCode> Binned<C> {
    /// Finds at most `most` bins for each column of `features` (rows x columns, no more than the code
    /// width allows) and codes every value.
    pub fn new(features: ArrayView2<'_, f64>, most: usize) -> Self {
        let most = most.min(C::MOST_BINS);
        let mut binned = Self { bins: Vec::new(), codes: Vec::new() };
        let mut copies = Vec::new();
        let idle = Idle::new();
        for columns in features.axis_chunks_iter(Axis(1), GROUP_COLUMNS) {
            let columns: Vec<(Bins, Vec<C>)> = contiguous(columns, &mut copies)
                .par_iter()
                .map(|values| {
                    if let Some(found) = whole::bins_and_codes(values, most) {
                        return found;
                    }
                    let mut room = idle.take().unwrap_or_default();
                    let bins = Bins::of_sorted(sorted_keys(values, &mut room), most);
                    idle.give(room);
                    let codes = codes_of(&bins, values);
                    (bins, codes)
                })
                .collect();
            for (bins, codes) in columns {
                binned.bins.push(bins);
                binned.codes.push(codes);
            }
        }
        binned
    }

    /// Gives the rows another order, the same in each column.
    pub(crate) fn arrange(&mut self, order: impl Fn(&[C]) -> Vec<C> + Sync) {
        self.codes.par_iter_mut().for_each(|codes| *codes = order(codes));
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
        &self.codes[column]
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

/// The code of every value of a column.
fn codes_of<C: BinCode>(bins: &Bins, values: &[f64]) -> Vec<C> {
    if bins.cuts.len() >= NARROW {
        return values.iter().map(|&value| C::from_index(bins.index_of(value))).collect();
    }
    let mut cuts = [f64::INFINITY; NARROW];
    cuts[..bins.cuts.len()].copy_from_slice(&bins.cuts);
    let mut codes = vec![C::from_index(0); values.len()];
    dispatch::run(Search { bins, cuts: &cuts, values, codes: &mut codes });
    codes
}

/// Looks values up among the cuts, several at a time: none waits for another, and no branch is guessed.
struct Search<'a, C> {
    bins: &'a Bins,
    /// The cuts of the bins, and infinities.
    cuts: &'a [f64; NARROW],
    values: &'a [f64],
    codes: &'a mut [C],
}

impl<C: BinCode> Work for Search<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let first_step = (self.bins.cuts.len() + 1).next_power_of_two() / 2;
        let missing = self.bins.missing();
        for (codes, values) in self.codes.chunks_mut(LANES).zip(self.values.chunks(LANES)) {
            let mut lanes = [0.0; LANES];
            lanes[..values.len()].copy_from_slice(values);
            let mut found = [0_usize; LANES];
            let mut step = first_step;
            while step > 0 {
                for (found, &value) in found.iter_mut().zip(&lanes) {
                    let cut = self.cuts[found.wrapping_add(step).wrapping_sub(1) % NARROW];
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
