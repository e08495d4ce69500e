//! Sums, means and standard deviations without drift, on the grid of a column's values.
//!
//! Every finite f64 is a whole number times a power of two. The least such power in a column is its *grid*:
//! on it all values, sums and sums of squares are integers. Columns whose values span at most
//! [`NARROW_BITS`] bits (amounts, counts, scores) use running sums of 128 bits and squares of four limbs; any
//! other column uses as many limbs as the whole range of f64 needs. Both give the same bits, since only the last
//! step rounds.

use std::ops::Range;

use contracts::{Code, Failure, Result};
use rayon::prelude::*;

use super::{
    sweep::{Accumulator, slide},
    wide::{Wide, scale},
};

/// Widest span for the small integers: with fewer than 2^32 terms a sum then stays below 2^127, and
/// n * (sum of squares) below 2^254.
const NARROW_BITS: i32 = 95;
/// Limbs for a sum of 2^32 values between 2^-1074 and 2^1024.
const SUM_LIMBS: usize = 34;
/// Limbs for 2^32 times the sum of their squares.
const SQUARE_LIMBS: usize = 68;

/// A checked column of finite numbers with its grid.
#[derive(Debug, Clone, Copy)]
pub struct Column<'a> {
    values: &'a [f64],
    grid: Grid,
}

/// What all values of a column are whole multiples of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    /// Of `2^exponent`.
    exponent: i32,
    /// Whether small integers are enough.
    narrow: bool,
}

impl<'a> Column<'a> {
    /// Checks a column; `name` is for the refusal. Refuses NaN and infinities with `NON_FINITE_INPUT`.
    pub fn new(name: &str, values: &'a [f64]) -> Result<Self> {
        let strange = values.par_iter().filter(|value| !value.is_finite()).count();
        if strange > 0 {
            let found = format!("{strange} others");
            return Err(Failure::at(Code::NonFiniteInput, name, "finite numbers", found)
                .with_hint("A window feature needs a number in every row; fill or drop the rows without."));
        }
        let nonzero = values.par_iter().filter(|value| **value != 0.0).map(|value| {
            let (significand, exponent) = parts(*value);
            let length = (64 - significand.leading_zeros()) as i32;
            (exponent + significand.trailing_zeros() as i32, exponent + length)
        });
        // Every value is a whole multiple of `2^grid` and less than `2^top` from zero.
        let span = nonzero.reduce(|| (i32::MAX, i32::MIN), |a, b| (a.0.min(b.0), a.1.max(b.1)));
        let (exponent, top) = if span.0 > span.1 { (0, 0) } else { span };
        Ok(Self { values, grid: Grid { exponent, narrow: top - exponent <= NARROW_BITS } })
    }

    /// The column over some of its rows alone.
    #[must_use]
    pub fn range(&self, rows: Range<usize>) -> Self {
        Self { values: &self.values[rows], ..*self }
    }

    /// The values, one a row.
    pub const fn values(&self) -> &'a [f64] {
        self.values
    }

    pub(super) const fn grid(&self) -> Grid {
        self.grid
    }
}

impl Grid {
    /// Running sums of a column, unless its values span too many bits.
    pub(super) fn running(self) -> Option<Running> {
        self.narrow.then(|| Running { grid: self.exponent, sums: Vec::new() })
    }

    /// Sums of a column without running sums.
    pub(super) fn sums(self, values: &[f64], bounds: &[(u32, u32)], output: &mut [f64]) {
        slide(Sum::<false>::new(values, self.exponent), bounds, output);
    }

    /// Means of a column without running sums.
    pub(super) fn means(self, values: &[f64], bounds: &[(u32, u32)], output: &mut [f64]) {
        slide(Sum::<true>::new(values, self.exponent), bounds, output);
    }

    pub(super) fn deviations(self, values: &[f64], bounds: &[(u32, u32)], output: &mut [f64]) {
        if self.narrow {
            slide(Deviation::<4>::new(values, self.exponent), bounds, output);
        } else {
            slide(Deviation::<SQUARE_LIMBS>::new(values, self.exponent), bounds, output);
        }
    }
}

/// The running sums of a narrow column over one entity's places, on the column's grid: the sum of any window is
/// the difference of two of them, whichever windows are asked for.
#[derive(Debug, Clone)]
pub(super) struct Running {
    grid: i32,
    /// Sum of the values before each place, and at last of all.
    sums: Vec<i128>,
}

impl Running {
    pub(super) fn fill(&mut self, values: &[f64]) {
        let mut sum = 0_i128;
        self.sums.clear();
        self.sums.push(sum);
        self.sums.extend(values.iter().map(|&value| {
            let (whole, shift) = on_grid(value, self.grid);
            let term = i128::from(whole) << shift;
            // Fewer than 2^32 terms below 2^95: nothing wraps.
            sum = if value < 0.0 { sum.wrapping_sub(term) } else { sum.wrapping_add(term) };
            sum
        }));
    }

    /// Rounded once, to nearest even.
    fn between(&self, (first, end): (u32, u32)) -> f64 {
        nearest(self.sums[end as usize].wrapping_sub(self.sums[first as usize]))
    }

    pub(super) fn sums(&self, bounds: &[(u32, u32)], output: &mut [f64]) {
        for (&window, value) in bounds.iter().zip(output) {
            *value = scale(self.between(window), self.grid);
        }
    }

    /// Powers of two do not round, so it is all one whether the sum is divided on the grid or off it.
    pub(super) fn means(&self, bounds: &[(u32, u32)], output: &mut [f64]) {
        for (&(first, end), value) in bounds.iter().zip(output) {
            let mean = self.between((first, end)) / f64::from(end - first);
            // No event: 0 / 0, which is the NaN that a mean of nothing is.
            *value = if first == end { f64::NAN } else { scale(mean, self.grid) };
        }
    }
}

/// The nearest float, ties to even: what `as` gives, which calls a function of its own for numbers so long.
fn nearest(whole: i128) -> f64 {
    const LOW: u32 = f64::MANTISSA_DIGITS - 1;
    const STEP: f64 = (1_u64 << LOW) as f64;
    let low = whole as i64 & ((1 << LOW) - 1);
    // Where both parts are floats without rounding, their sum is the number rounded once.
    match i64::try_from(whole >> LOW) {
        Ok(high) if high.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS => high as f64 * STEP + low as f64,
        _ => whole as f64,
    }
}

/// `|value|` as a whole number times `2^exponent`.
const fn parts(value: f64) -> (u64, i32) {
    let bits = value.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i32;
    let fraction = bits & ((1 << 52) - 1);
    if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) }
}

/// `|value|` on the grid, as `whole * 2^shift`.
const fn on_grid(value: f64, grid: i32) -> (u64, u32) {
    let (significand, exponent) = parts(value);
    if exponent >= grid {
        (significand, (exponent - grid) as u32)
    } else if grid - exponent < 64 {
        (significand >> (grid - exponent), 0)
    } else {
        // Only zero has so few leading bits on the grid.
        (0, 0)
    }
}

/// The sum of a window, or its mean.
struct Sum<'a, const MEAN: bool> {
    values: &'a [f64],
    grid: i32,
    total: Wide<SUM_LIMBS>,
}

impl<'a, const MEAN: bool> Sum<'a, MEAN> {
    const fn new(values: &'a [f64], grid: i32) -> Self {
        Self { values, grid, total: Wide::ZERO }
    }
}

impl<const MEAN: bool> Accumulator for Sum<'_, MEAN> {
    fn enter(&mut self, place: usize) {
        accumulate(&mut self.total, self.values[place], self.grid);
    }

    fn leave(&mut self, place: usize) {
        accumulate(&mut self.total, -self.values[place], self.grid);
    }

    fn read(&self, events: u32) -> f64 {
        let (significand, exponent) = self.total.rounded();
        // No event: 0 / 0, which is the NaN that a mean of nothing is.
        let significand = if MEAN { significand / f64::from(events) } else { significand };
        if significand.is_nan() { f64::NAN } else { scale(significand, exponent + self.grid) }
    }
}

fn accumulate<const N: usize>(sum: &mut Wide<N>, value: f64, grid: i32) {
    let (whole, shift) = on_grid(value, grid);
    let term = Wide::shifted(u128::from(whole), shift);
    if value < 0.0 { sum.subtract(&term) } else { sum.add(&term) }
}

/// The sample standard deviation of a window: with integers n, S = Σx and Q = Σx², the variance is
/// (n Q - S²) / (n (n - 1)), whose numerator is exact; cancellation cannot hurt it.
struct Deviation<'a, const N: usize> {
    values: &'a [f64],
    grid: i32,
    sum: Wide<N>,
    squares: Wide<N>,
}

impl<'a, const N: usize> Deviation<'a, N> {
    const fn new(values: &'a [f64], grid: i32) -> Self {
        Self { values, grid, sum: Wide::ZERO, squares: Wide::ZERO }
    }

    fn square(&self, place: usize) -> Wide<N> {
        let (whole, shift) = on_grid(self.values[place], self.grid);
        Wide::shifted(u128::from(whole) * u128::from(whole), 2 * shift)
    }
}

impl<const N: usize> Accumulator for Deviation<'_, N> {
    fn enter(&mut self, place: usize) {
        accumulate(&mut self.sum, self.values[place], self.grid);
        self.squares.add(&self.square(place));
    }

    fn leave(&mut self, place: usize) {
        accumulate(&mut self.sum, -self.values[place], self.grid);
        self.squares.subtract(&self.square(place));
    }

    fn read(&self, events: u32) -> f64 {
        if events < 2 {
            return f64::NAN;
        }
        let events = u64::from(events);
        let mut numerator = self.squares.times(events);
        numerator.subtract(&self.sum.squared());
        let (significand, exponent) = numerator.rounded();
        let mut variance = significand / (events * (events - 1)) as f64;
        let exponent = exponent + 2 * self.grid;
        // The root halves the exponent, which must therefore be even.
        if exponent % 2 != 0 {
            variance *= 2.0;
        }
        scale(variance.sqrt(), exponent.div_euclid(2))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn narrow_and_wide_integers_give_the_same_bits(
            values in prop::collection::vec(-1e4..1e4f64, 2..40),
            length in 1u32..9,
        ) {
            let narrow = Column::new("values", &values).unwrap().grid();
            prop_assume!(narrow.narrow);
            let wide = Grid { narrow: false, ..narrow };
            let bounds: Vec<_> =
                (1..=values.len() as u32).map(|end| (end.saturating_sub(length), end)).collect();
            let bits = |grid: Grid| {
                let mut outputs = vec![vec![0.0; values.len()]; 3];
                if let Some(mut running) = grid.running() {
                    running.fill(&values);
                    running.sums(&bounds, &mut outputs[0]);
                    running.means(&bounds, &mut outputs[1]);
                } else {
                    grid.sums(&values, &bounds, &mut outputs[0]);
                    grid.means(&values, &bounds, &mut outputs[1]);
                }
                grid.deviations(&values, &bounds, &mut outputs[2]);
                outputs.concat().into_iter().map(f64::to_bits).collect::<Vec<_>>()
            };
            prop_assert_eq!(bits(narrow), bits(wide));
        }
    }

    proptest! {
        #[test]
        fn a_long_number_is_rounded_as_the_language_does(value in any::<i128>(), narrow in 0u32..127, tie in -2i128..=2) {
            let value = value >> narrow;
            prop_assert_eq!(nearest(value).to_bits(), (value as f64).to_bits());
            // Beside halves between two floats, and beside the longest number of two parts.
            for near in [(value >> 1 | 1) << (narrow / 2), value.signum() << 105] {
                let near = near.wrapping_add(tie);
                prop_assert_eq!(nearest(near).to_bits(), (near as f64).to_bits());
            }
        }
    }

    #[test]
    fn the_grid_spans_exactly_the_bits_in_use() {
        let grid = |values: &[f64]| {
            let Grid { exponent, narrow } = Column::new("values", values).unwrap().grid();
            (exponent, narrow)
        };
        assert_eq!(grid(&[0.0, -0.0]), (0, true));
        assert_eq!(grid(&[0.75, -6.0, 0.0]), (-2, true));
        assert_eq!(grid(&[1.0, (1_u128 << 94) as f64]), (0, true));
        assert_eq!(grid(&[1.0, (1_u128 << 95) as f64]), (0, false));
        assert_eq!(grid(&[5e-324, f64::MAX]), (-1074, false));
    }
}
