//! Gradients of the logistic loss as fixed-point integers.
//!
//! Flows in: scores, classes, weights. Flows out: one [`Gradient`] a row.
//!
//! The scale stays the same over all trees of a fit: with `2^e` the smallest power of two that is no less
//! than the largest weight, the unit is `2^(e - 24)`. A row's slope is then at most 2^24 units and its
//! curvature at most 2^22; the rounding of a row is about that of a 32-bit float.

#![allow(clippy::inline_always, reason = "loops are compiled with the instructions of their caller")]

use std::borrow::Cow;

use contracts::{Code, Failure, Result, model_config::ClassWeight};
use rayon::prelude::*;

use super::{
    CHUNK_ROWS,
    fetch::prefetch_after,
    fixed::{Gradient, SLOPE_BITS},
    order::Order,
};
use crate::{
    dispatch::{self, Work},
    frame::Frame,
    math,
};

/// Scores of a cache line.
const LINE_SCORES: usize = 8;
/// Rows whose probabilities are computed together.
const TOGETHER: usize = 64;

/// The weighted logistic loss over the rows of a frame.
#[derive(Debug)]
pub(super) struct Loss<'a> {
    positive: Cow<'a, [bool]>,
    weights: Weights,
    /// The unit of slopes and curvatures, a power of two.
    pub(super) unit: f64,
}

/// Weights in units: at most 2^24.
#[derive(Debug)]
enum Weights {
    /// One for the negative and one for the positive rows.
    ByClass([f64; 2]),
    /// One a row.
    ByRow(Vec<f64>),
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
        let mut weights = match frame.weights() {
            None => Weights::ByClass(factors),
            Some(weights) => {
                let weight = |(&weight, &positive): (&f64, &bool)| weight * factors[usize::from(positive)];
                Weights::ByRow(weights.iter().zip(positive).map(weight).collect())
            }
        };
        let largest = weights.as_slice().iter().copied().fold(0.0, f64::max);
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
        for weight in weights.as_mut_slice() {
            *weight /= unit;
        }
        Ok(Self { positive: Cow::Borrowed(positive), weights, unit })
    }

    /// The same over the rows in another order.
    pub(super) fn in_order(self, order: &Order) -> Loss<'static> {
        let weights = match self.weights {
            Weights::ByRow(weights) => Weights::ByRow(order.arrange(&weights)),
            by_class @ Weights::ByClass(_) => by_class,
        };
        Loss { positive: Cow::Owned(order.arrange(&self.positive)), weights, unit: self.unit }
    }

    /// The weight of one row.
    fn weight(&self, row: usize) -> f64 {
        match &self.weights {
            Weights::ByClass(weights) => weights[usize::from(self.positive[row])],
            Weights::ByRow(weights) => weights[row],
        }
    }

    /// Total weight of the negative and of the positive class, each above zero; exact sums.
    fn class_totals(&self) -> [f64; 2] {
        let mut totals = [0_u64; 2];
        for (row, &positive) in self.positive.iter().enumerate() {
            // Seven more bits than a slope has: 2^32 rows of 2^31 still fit.
            totals[usize::from(positive)] += (self.weight(row) * 128.0) as u64;
        }
        totals.map(|total| total.max(1) as f64)
    }

    /// The log-odds of the weighted share of positives: the best constant score.
    pub(super) fn log_odds(&self) -> f64 {
        let [negative, positive] = self.class_totals();
        math::ln(positive / negative)
    }

    /// Writes the derivatives at `scores` (log-odds) of the rows from `start` on; rows that are not
    /// `drawn` count for nothing.
    pub(super) fn gradients(
        &self,
        start: usize,
        scores: &[f64],
        drawn: Option<&(dyn Fn(usize) -> bool + Sync)>,
        gradients: &mut [Gradient],
    ) {
        let rows = start..start + scores.len();
        let positive = &self.positive[rows.clone()];
        let largest = dispatch::run(LargestBits(scores));
        let is_moderate = largest <= math::MODERATE.to_bits();
        let out = &mut *gradients;
        match &self.weights {
            Weights::ByRow(weights) => {
                dispatch::run(Derivatives { scores, weights: &weights[rows], positive, gradients: out });
            }
            &Weights::ByClass(weights) if is_moderate => {
                dispatch::run(ModerateDerivatives { scores, weights, positive, gradients: out });
            }
            &Weights::ByClass([negative, other]) => {
                let weights: Vec<f64> =
                    positive.iter().map(|&positive| if positive { other } else { negative }).collect();
                dispatch::run(Derivatives { scores, weights: &weights, positive, gradients: out });
            }
        }
        if let Some(drawn) = drawn {
            for (row, gradient) in (start..).zip(gradients.iter_mut()) {
                if !drawn(row) {
                    *gradient = Gradient::default();
                }
            }
        }
    }

    /// The weighted log loss at `scores`, summed in a fixed unit that only comparisons make sense of.
    pub(super) fn total(&self, scores: &[f64]) -> u128 {
        let loss = |row: usize| {
            let margin = if self.positive[row] { scores[row] } else { -scores[row] };
            let loss = (-margin).max(0.0) + math::ln(1.0 + math::exp(-margin.abs()));
            // Casting saturates, so that even an absurd score has a loss.
            u128::from((loss * self.weight(row) * 1_024.0) as u64)
        };
        #[allow(clippy::disallowed_methods, reason = "the terms are integers: any order gives the same sum")]
        (0..scores.len()).into_par_iter().map(loss).sum()
    }
}

impl Weights {
    fn as_slice(&self) -> &[f64] {
        match self {
            Self::ByClass(weights) => weights,
            Self::ByRow(weights) => weights,
        }
    }

    fn as_mut_slice(&mut self) -> &mut [f64] {
        match self {
            Self::ByClass(weights) => weights,
            Self::ByRow(weights) => weights,
        }
    }
}

/// The bits of the score that is furthest from zero, without its sign.
struct LargestBits<'a>(&'a [f64]);

impl Work for LargestBits<'_> {
    type Output = u64;

    #[inline(always)]
    fn run(self) -> u64 {
        // In the order of bits, which is that of numbers here and which the compiler may widen.
        self.0.iter().fold(0, |largest, score| largest.max(score.abs().to_bits()))
    }
}

/// First and second derivative of each row.
struct Derivatives<'a> {
    scores: &'a [f64],
    weights: &'a [f64],
    positive: &'a [bool],
    gradients: &'a mut [Gradient],
}

impl Work for Derivatives<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let rows = self.scores.iter().zip(self.weights).zip(self.positive);
        for (gradient, ((&score, &weight), &positive)) in self.gradients.iter_mut().zip(rows) {
            *gradient = derivatives(math::sigmoid(score), weight, positive);
        }
    }
}

/// The same where all rows of a class weigh the same and scores are within [`math::MODERATE`].
struct ModerateDerivatives<'a> {
    scores: &'a [f64],
    weights: [f64; 2],
    positive: &'a [bool],
    gradients: &'a mut [Gradient],
}

impl Work for ModerateDerivatives<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let [negative, other] = self.weights;
        let rows = self.scores.chunks(TOGETHER).zip(self.positive.chunks(TOGETHER));
        for (gradients, (scores, classes)) in self.gradients.chunks_mut(TOGETHER).zip(rows) {
            for score in scores.iter().step_by(LINE_SCORES) {
                // Lists of rows add to scores here and there, which the machine does not foresee.
                prefetch_after(score, CHUNK_ROWS);
            }
            let mut moderate = [0.0; TOGETHER];
            moderate[..scores.len()].copy_from_slice(scores);
            let probabilities = math::sigmoids_of_moderate(&moderate);
            for ((gradient, &probability), &positive) in gradients.iter_mut().zip(&probabilities).zip(classes)
            {
                let weight = if positive { other } else { negative };
                *gradient = derivatives(probability, weight, positive);
            }
        }
    }
}

#[inline(always)]
fn derivatives(probability: f64, weight: f64, positive: bool) -> Gradient {
    let class = if positive { 1.0 } else { 0.0 };
    Gradient::new(weight * (probability - class), weight * (probability * (1.0 - probability)))
}

/// The smallest power of two that is no less than `value`, a normal number.
fn next_power_of_two(value: f64) -> f64 {
    let floor = f64::from_bits(value.to_bits() & 0x7FF0_0000_0000_0000);
    if floor < value { floor * 2.0 } else { floor }
}

#[cfg(test)]
#[allow(clippy::float_cmp, clippy::disallowed_methods, reason = "libm is the oracle here")]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;
    use crate::boosting::fixed::Sums;

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
            loss.gradients(0, &[0.0, 0.0], None, &mut gradients);
            let sums = gradients.map(|gradient| gradient.cell().unpack());
            let real =
                |sums: Sums| (sums.slope as f64 * loss.unit, sums.curvature as f64 * loss.unit, sums.count);
            assert_eq!(sums.map(real), [(-0.5, 0.25, 1), (1.5, 0.75, 1)]);
            assert_eq!(loss.log_odds(), math::ln(1.0 / 3.0));
            loss.gradients(0, &[0.0, 0.0], Some(&|row| row == 1), &mut gradients);
            assert_eq!(gradients.map(|gradient| gradient.cell().unpack()), [Sums::default(), sums[1]]);
        });
    }

    struct Owned<'a>(&'a [f64], &'a [bool]);
    impl Work for Owned<'_> {
        type Output = ([Vec<Gradient>; 2], u64);

        #[inline(always)]
        fn run(self) -> Self::Output {
            let (scores, positive) = (self.0, self.1);
            let weights: Vec<f64> =
                positive.iter().map(|&positive| if positive { 9e6 } else { 7e5 }).collect();
            let mut by_row = vec![Gradient::default(); scores.len()];
            Derivatives { scores, weights: &weights, positive, gradients: &mut by_row }.run();
            let mut by_class = vec![Gradient::default(); scores.len()];
            ModerateDerivatives { scores, weights: [7e5, 9e6], positive, gradients: &mut by_class }.run();
            ([by_row, by_class], LargestBits(scores).run())
        }
    }

    #[test]
    fn every_instruction_set_and_way_gives_the_same_bits() {
        let scores: Vec<f64> = (-3_000..3_001).map(|step| f64::from(step) * 0.013).collect();
        let positive: Vec<bool> = (0..scores.len()).map(|row| row % 3 == 0).collect();
        let [baseline, avx2, avx512] = dispatch::run_with_each(|| Owned(&scores, &positive));
        assert_eq!(baseline.0[0], baseline.0[1]);
        assert_eq!(baseline.1, 39.0_f64.to_bits());
        assert_eq!(baseline, avx2);
        assert_eq!(baseline, avx512);
    }

    #[test]
    fn scores_out_of_bounds_take_the_long_way() {
        let features = Array2::zeros((3, 1));
        let frame = Frame::new(features.view(), &[true, false, true], None).unwrap();
        let loss = Loss::new(&frame, [1.0; 2]).unwrap();
        let scores = [-800.0, 1e300, 0.25];
        let mut gradients = [Gradient::default(); 3];
        loss.gradients(0, &scores, None, &mut gradients);
        let weight = loss.weight(0);
        let expected =
            [(0.0, 1.0), (1.0, 0.0), (math::sigmoid(0.25), 1.0)].map(|(probability, class): (f64, f64)| {
                Gradient::new(weight * (probability - class), weight * (probability * (1.0 - probability)))
            });
        assert_eq!(gradients, expected);
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
