//! Gradients of the logistic loss as fixed-point integers, and the exact sums over them.
//!
//! Flows in: scores, classes, weights. Flows out: one [`Gradient`] a row. Invariant: a sum over rows is a sum
//! of integers that cannot overflow, so it is the same in every order and on any number of threads.
//!
//! The scale stays the same over all trees of a fit: with `2^e` the smallest power of two that is no less
//! than the largest weight, the unit is `2^(e - 24)`. A row's slope is then at most 2^24 units and its
//! curvature at most 2^22; the rounding of a row is about that of a 32-bit float.

use contracts::{Code, Failure, Result, model_config::ClassWeight};
use rayon::prelude::*;

use crate::{frame::Frame, math};

/// Bits of a slope of the largest weight.
const SLOPE_BITS: u64 = 24;
/// Bits below the number of rows in [`Gradient::packed`]: 22 for a curvature and 20 for the rows of a block,
/// and one so that the largest sum still fits.
const CURVATURE_BITS: u64 = 43;
/// Rows that may be summed in packed form before the sum must be unpacked.
pub(super) const BLOCK_ROWS: usize = 1 << 20;
/// Rows that one task turns into gradients.
const CHUNK_ROWS: usize = 4_096;
/// 1.5 * 2^52: adding it rounds to the nearest whole number and leaves that number in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// One row's derivatives, or the sum over a block of at most [`BLOCK_ROWS`] rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Gradient {
    slope: i64,
    /// Number of rows above [`CURVATURE_BITS`] bits of curvature.
    packed: u64,
}

impl Gradient {
    /// Adds; wraps, and so skips the check, because no block is long enough to overflow.
    #[inline]
    pub(super) fn add(&mut self, other: Self) {
        self.slope = self.slope.wrapping_add(other.slope);
        self.packed = self.packed.wrapping_add(other.packed);
    }

    /// The parts of the sum.
    pub(super) const fn unpack(self) -> Sums {
        Sums {
            slope: self.slope,
            curvature: (self.packed & ((1 << CURVATURE_BITS) - 1)) as i64,
            count: (self.packed >> CURVATURE_BITS) as i64,
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

/// The weighted logistic loss over the rows of a frame.
#[derive(Debug)]
pub(super) struct Loss<'a> {
    positive: &'a [bool],
    /// Weights in units: at most 2^24.
    weights: Vec<f64>,
    /// The unit of slopes and curvatures, a power of two.
    pub(super) unit: f64,
}

/// Factors on the weights of the negative and the positive class.
pub(super) type ClassFactors = [f64; 2];

/// The factors that `class_weight` asks for, from exact sums of the weights in `frame`.
pub(super) fn class_factors(frame: &Frame<'_>, class_weight: ClassWeight) -> Result<ClassFactors> {
    match class_weight {
        ClassWeight::None => Ok([1.0; 2]),
        ClassWeight::Balanced => {
            let [negative, positive] = Loss::new(frame, [1.0; 2])?.class_totals();
            let half = (negative + positive) * 0.5;
            Ok([half / negative, half / positive])
        }
    }
}

impl<'a> Loss<'a> {
    /// The loss over `frame` with each class's weights multiplied by its factor.
    ///
    /// Refuses with `NON_FINITE_INPUT` weights whose largest is so large or small that derivatives would
    /// overflow or vanish.
    pub(super) fn new(frame: &Frame<'a>, factors: ClassFactors) -> Result<Self> {
        let positive = frame.positive();
        let mut weights: Vec<f64> =
            (0..frame.rows()).map(|row| frame.weight(row) * factors[usize::from(positive[row])]).collect();
        let largest = weights.iter().copied().fold(0.0, f64::max);
        if !(1e-100..=1e100).contains(&largest) {
            return Err(Failure::at(
                Code::NonFiniteInput,
                "weights",
                "a largest weight between 1e-100 and 1e100",
                "a largest weight outside",
            ));
        }
        let unit = next_power_of_two(largest) / (1_u64 << SLOPE_BITS) as f64;
        // Exact, the unit being a power of two.
        for weight in &mut weights {
            *weight /= unit;
        }
        Ok(Self { positive, weights, unit })
    }

    /// Total weight of the negative and of the positive class, each above zero; exact sums.
    fn class_totals(&self) -> [f64; 2] {
        let mut totals = [0_u64; 2];
        for (weight, &positive) in self.weights.iter().zip(self.positive) {
            // Seven more bits than a slope has: 2^32 rows of 2^31 still fit.
            totals[usize::from(positive)] += (weight * 128.0) as u64;
        }
        totals.map(|total| total.max(1) as f64)
    }

    /// The log-odds of the weighted share of positives: the best constant score.
    pub(super) fn log_odds(&self) -> f64 {
        let [negative, positive] = self.class_totals();
        math::ln(positive / negative)
    }

    /// Writes the derivatives at `scores` (log-odds, one a row); rows that are not `drawn` count for nothing.
    pub(super) fn gradients(
        &self,
        scores: &[f64],
        drawn: impl Fn(usize) -> bool + Sync,
        gradients: &mut [Gradient],
    ) {
        gradients.par_chunks_mut(CHUNK_ROWS).enumerate().for_each(|(chunk, gradients)| {
            let start = chunk * CHUNK_ROWS;
            let end = start + gradients.len();
            let rows = scores[start..end].iter().zip(&self.weights[start..end]);
            for ((gradient, (&score, &weight)), &positive) in
                gradients.iter_mut().zip(rows).zip(&self.positive[start..end])
            {
                let probability = math::sigmoid(score);
                let slope = weight * (probability - f64::from(u8::from(positive)));
                let curvature = weight * (probability * (1.0 - probability));
                *gradient = Gradient {
                    slope: nearest(slope),
                    packed: nearest(curvature) as u64 | 1 << CURVATURE_BITS,
                };
            }
            for (row, gradient) in (start..).zip(gradients) {
                if !drawn(row) {
                    *gradient = Gradient::default();
                }
            }
        });
    }

    /// The weighted log loss at `scores`, summed in a fixed unit that only comparisons make sense of.
    pub(super) fn total(&self, scores: &[f64]) -> u128 {
        let loss = |((&score, &weight), &positive): ((&f64, &f64), &bool)| {
            let margin = if positive { score } else { -score };
            let loss = (-margin).max(0.0) + math::ln(1.0 + math::exp(-margin.abs()));
            // Casting saturates, so that even an absurd score has a loss.
            u128::from((loss * weight * 1_024.0) as u64)
        };
        #[allow(clippy::disallowed_methods, reason = "the terms are integers: any order gives the same sum")]
        scores.par_iter().zip(&self.weights).zip(self.positive).map(loss).sum()
    }
}

/// The smallest power of two that is no less than `value`, a normal number.
fn next_power_of_two(value: f64) -> f64 {
    let floor = f64::from_bits(value.to_bits() & 0x7FF0_0000_0000_0000);
    if floor < value { floor * 2.0 } else { floor }
}

/// The nearest whole number, ties to even, of a value below 2^51.
#[inline]
fn nearest(value: f64) -> i64 {
    (value + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i64
}

#[cfg(test)]
#[allow(clippy::float_cmp, clippy::disallowed_methods, reason = "libm is the oracle here")]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;

    fn with_loss<T>(positive: &[bool], weights: Option<&[f64]>, see: impl FnOnce(&Loss<'_>) -> T) -> T {
        let features = Array2::zeros((positive.len(), 1));
        let frame = Frame::new(features.view(), positive, weights).unwrap();
        see(&Loss::new(&frame, [1.0; 2]).unwrap())
    }

    #[test]
    fn derivatives_are_those_of_the_logistic_loss() {
        with_loss(&[true, false], Some(&[1.0, 3.0]), |loss| {
            assert_eq!(loss.unit, 4.0 / 16_777_216.0);
            let mut gradients = [Gradient::default(); 2];
            loss.gradients(&[0.0, 0.0], |_| true, &mut gradients);
            let real = gradients.map(|gradient| {
                let sums = gradient.unpack();
                (sums.slope as f64 * loss.unit, sums.curvature as f64 * loss.unit, sums.count)
            });
            assert_eq!(real, [(-0.5, 0.25, 1), (1.5, 0.75, 1)]);
            assert_eq!(loss.log_odds(), math::ln(1.0 / 3.0));
            loss.gradients(&[0.0, 0.0], |row| row == 1, &mut gradients);
            assert_eq!(gradients[0].unpack(), Sums::default());
        });
    }

    #[test]
    fn a_full_block_of_the_steepest_rows_does_not_overflow() {
        let positive: Vec<bool> = (0..BLOCK_ROWS).map(|row| row > 0).collect();
        with_loss(&positive, None, |loss| {
            for (score, slope, curvature) in [(0.0, 1_i64 << 23, 1_i64 << 22), (-800.0, 1 << 24, 0)] {
                let mut gradients = vec![Gradient::default(); BLOCK_ROWS];
                loss.gradients(&vec![score; BLOCK_ROWS], |_| true, &mut gradients);
                let mut sum = gradients[1];
                gradients[1..].iter().for_each(|&gradient| sum.add(gradient));
                let rows = BLOCK_ROWS as i64;
                let expected = Sums { slope: -slope * rows, curvature: curvature * rows, count: rows };
                assert_eq!(sum.unpack(), expected);
            }
        });
    }

    #[test]
    fn balanced_classes_count_half_each() {
        let features = Array2::zeros((4, 1));
        let frame = Frame::new(features.view(), &[true, false, false, false], None).unwrap();
        let factors = class_factors(&frame, ClassWeight::Balanced).unwrap();
        assert_eq!(factors, [2.0 / 3.0, 2.0]);
        assert!(Loss::new(&frame, factors).unwrap().log_odds().abs() < 1e-9);
    }

    #[test]
    fn weights_beyond_measure_are_refused() {
        let features = Array2::zeros((2, 1));
        for weight in [1e-101, 1e101] {
            let weights = [weight; 2];
            let frame = Frame::new(features.view(), &[true, false], Some(&weights)).unwrap();
            assert_eq!(Loss::new(&frame, [1.0; 2]).unwrap_err().code, Code::NonFiniteInput);
        }
    }

    proptest! {
        #[test]
        fn rounding_is_to_the_nearest(value in -4e7..4e7_f64) {
            prop_assert_eq!(nearest(value), value.round_ties_even() as i64);
        }

        #[test]
        fn powers_of_two_are_the_next(value in 1e-100..1e100_f64) {
            let power = next_power_of_two(value);
            prop_assert!(value <= power && power < 2.0 * value && power.to_bits() << 12 == 0);
        }

        #[test]
        fn total_agrees_with_std(scores in prop::collection::vec(-30.0..30.0_f64, 2..50)) {
            let positive: Vec<bool> = (0..scores.len()).map(|row| row % 2 == 0).collect();
            let expected: f64 = scores.iter().zip(&positive)
                .map(|(&score, &positive)| (if positive { -score } else { score }).exp().ln_1p())
                .sum();
            let total = with_loss(&positive, None, |loss| loss.total(&scores)) as f64 / 2_f64.powi(34);
            prop_assert!((total - expected).abs() < 1e-6, "{} {}", total, expected);
        }
    }
}
