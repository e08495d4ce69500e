//! Rows with whole-number weights.
//!
//! Flows in: a frame. Flows out: its rows of weight, in canonical order. Invariant: even if every row were as
//! heavy as the heaviest, their units would sum to less than 2^52, so that sums are exact as integers and as
//! `f64`, and as many draws with replacement as there are rows cannot overflow.

use contracts::model_config::ClassWeight;

use crate::frame::Frame;

/// Bits that the sum of all units may take.
const TOTAL_BITS: i32 = 52;

/// One row, as often as its weight says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Position in the frame.
    pub(crate) row: u32,
    /// Whether the row is of the positive class.
    pub(crate) positive: bool,
    /// Weight, in units that one fit shares.
    pub(crate) units: u64,
}

/// The rows with a weight above zero.
///
/// Without weights and class weights, a row counts one unit. Otherwise weights are multiplied by one power of
/// two and rounded, to one unit at least: whole-number weights stay exactly in proportion. Balancing gives
/// each class the same total.
pub(crate) fn samples(frame: &Frame<'_>, class_weight: ClassWeight) -> Vec<Sample> {
    let units = match (frame.weights(), class_weight) {
        (None, ClassWeight::None) => vec![1; frame.rows()],
        (Some(weights), ClassWeight::None) => units(weights),
        (_, ClassWeight::Balanced) => units(&balanced(frame)),
    };
    let rows = units.into_iter().zip(frame.positive()).zip(0..);
    rows.filter(|((units, _), _)| *units > 0)
        .map(|((units, &positive), row)| Sample { row, positive, units })
        .collect()
}

/// Each row's share of its class.
fn balanced(frame: &Frame<'_>) -> Vec<f64> {
    let weights: Vec<f64> = (0..frame.rows()).map(|row| frame.weight(row)).collect();
    // Large weights shall not overflow in the sum.
    let scale = scale_to(&weights, 0);
    let mut totals = [0.0; 2];
    for (weight, &positive) in weights.iter().zip(frame.positive()) {
        totals[usize::from(positive)] += weight * scale;
    }
    let share = |(&weight, &positive): (&f64, &bool)| {
        let share = weight * scale / totals[usize::from(positive)];
        // A weight may become too small for a number, yet a row of weight must not drop out.
        if weight > 0.0 { share.max(f64::MIN_POSITIVE) } else { 0.0 }
    };
    weights.iter().zip(frame.positive()).map(share).collect()
}

fn units(weights: &[f64]) -> Vec<u64> {
    let row_bits = usize::BITS - weights.len().leading_zeros();
    let scale = scale_to(weights, TOTAL_BITS - row_bits as i32 - 1);
    let units = |&weight: &f64| if weight > 0.0 { ((weight * scale).round() as u64).max(1) } else { 0 };
    weights.iter().map(units).collect()
}

/// The power of two that brings the largest number to at least `2^exponent` and less than `2^(exponent + 1)`,
/// or as near as a normal number can.
fn scale_to(numbers: &[f64], exponent: i32) -> f64 {
    let largest = numbers.iter().fold(0.0_f64, |largest, &number| largest.max(number));
    let found = (largest.to_bits() >> 52) as i32 - 1023;
    let power = (exponent - found).clamp(-1022, 1023);
    f64::from_bits(((power + 1023) as u64) << 52)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ndarray::Array2;

    use super::*;

    fn units_of(weights: Option<&[f64]>, positive: &[bool], class_weight: ClassWeight) -> Vec<(u32, u64)> {
        let features = Array2::zeros((positive.len(), 1));
        let frame = Frame::new(features.view(), positive, weights).unwrap();
        samples(&frame, class_weight).iter().map(|sample| (sample.row, sample.units)).collect()
    }

    #[test]
    fn rows_without_weights_count_one() {
        assert_eq!(units_of(None, &[true, false], ClassWeight::None), [(0, 1), (1, 1)]);
    }

    #[test]
    fn whole_weights_stay_in_proportion_and_zero_drops_out() {
        let units = units_of(Some(&[3.0, 0.0, 1.0, 7.0]), &[true, true, false, false], ClassWeight::None);
        let one = units[1].1;
        assert_eq!(units, [(0, 3 * one), (2, one), (3, 7 * one)]);
        assert!(one.is_power_of_two() && units.iter().map(|unit| unit.1).sum::<u64>() < 1 << 52);
    }

    #[test]
    fn balanced_classes_weigh_alike() {
        let units = units_of(None, &[true, false, false, false, false], ClassWeight::Balanced);
        assert_eq!(units[0].1, 4 * units[1].1);
    }

    #[test]
    fn extreme_weights_neither_overflow_nor_vanish() {
        for weights in [[f64::MAX, f64::MAX, 5e-324], [5e-324, 1e-310, 1e-312]] {
            for class_weight in [ClassWeight::None, ClassWeight::Balanced] {
                let units = units_of(Some(&weights), &[true, false, false], class_weight);
                assert_eq!(units.len(), 3);
                assert!(units.iter().all(|&(_, units)| (1..=1 << 50).contains(&units)), "{units:?}");
            }
        }
    }
}
