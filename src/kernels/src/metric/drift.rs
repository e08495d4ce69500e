//! How far a set of values has moved from a reference.
//!
//! Flows in: a feature (or the scores) on the reference rows and on the current rows, NaN meaning missing.
//! Flows out: one number, from exact counts; row order never matters.

use contracts::{Code, Failure, Result};

use super::ln;
use super::probability::quantiles;
use super::sum::Sum;

/// Stands for the share of a bin that holds less, so that an empty bin weighs much, but not infinitely.
const SMALLEST_SHARE: f64 = 1e-4;

/// Population stability index of `current` against the deciles of `reference`.
///
/// The sum of `(c - r) ln(c / r)` over the bins, `r` and `c` being the shares of either side in a bin. The
/// bins end at the exact deciles of the reference's values (each bin has its upper end), the outer two are
/// open; equal deciles make one bin, and values beyond a decile that is the smallest or largest value of the
/// reference have a bin of their own, so that a shift of a constant shows. Missing values are one more bin.
/// Shares below 1e-4 count as 1e-4.
///
/// Refuses with `DATASET_EMPTY` (either side) and `NON_FINITE_INPUT` (an infinity).
pub fn population_stability(reference: &[f64], current: &[f64]) -> Result<f64> {
    let reference = Side::new("reference", reference)?;
    let current = Side::new("current", current)?;
    let mut edges = quantiles(&reference.sorted, 10);
    edges.pop();
    edges.dedup();
    if let Some(&smallest) = edges.first().filter(|edge| **edge <= reference.sorted[0]) {
        edges.insert(0, smallest.next_down());
    }
    let shares = reference.shares(&edges).into_iter().zip(current.shares(&edges));
    let moved = shares.map(|(before, after)| {
        let [before, after] = [before, after].map(|share| share.max(SMALLEST_SHARE));
        (after - before) * ln(after / before)
    });
    Ok(moved.collect::<Sum>().value())
}

/// Two-sample Kolmogorov-Smirnov statistic: the largest distance of the two empirical distributions.
///
/// Missing values are left out; none where a side has no other. The distance is found on whole numbers, so the
/// result is exact but for one division. Refuses with `DATASET_EMPTY` and `NON_FINITE_INPUT` (an infinity).
pub fn kolmogorov_smirnov(reference: &[f64], current: &[f64]) -> Result<Option<f64>> {
    let reference = Side::new("reference", reference)?.sorted;
    let current = Side::new("current", current)?.sorted;
    let (mut left, mut right, mut widest) = (0, 0, 0);
    while left < reference.len() && right < current.len() {
        let value = reference[left].min(current[right]);
        left += reference[left..].iter().take_while(|&&other| other <= value).count();
        right += current[right..].iter().take_while(|&&other| other <= value).count();
        let [below, also_below] =
            [left as u128 * current.len() as u128, right as u128 * reference.len() as u128];
        widest = widest.max(below.abs_diff(also_below));
    }
    let pairs = reference.len() as u128 * current.len() as u128;
    Ok((pairs > 0).then(|| widest as f64 / pairs as f64))
}

/// One of the two sets of values: those present, sorted, and how many there were with the missing ones.
struct Side {
    sorted: Vec<f64>,
    rows: usize,
}

impl Side {
    fn new(name: &str, values: &[f64]) -> Result<Self> {
        if values.is_empty() {
            return Err(Failure::at(Code::DatasetEmpty, name, "at least one value", "none"));
        }
        if values.iter().any(|value| value.is_infinite()) {
            return Err(Failure::at(
                Code::NonFiniteInput,
                name,
                "finite numbers, or NaN for missing",
                "an infinity",
            ));
        }
        // Adding zero makes one of the two zeros, which compare equal but sort apart.
        let present = values.iter().filter(|value| !value.is_nan()).map(|value| value + 0.0);
        let mut sorted: Vec<_> = present.collect();
        sorted.sort_unstable_by(f64::total_cmp);
        Ok(Self { sorted, rows: values.len() })
    }

    /// Share of all rows up to each edge, beyond the last, and missing.
    fn shares(&self, edges: &[f64]) -> Vec<f64> {
        let reached = edges.iter().map(|&edge| self.sorted.partition_point(|&value| value <= edge));
        let mut ends: Vec<_> = reached.chain([self.sorted.len(), self.rows]).collect();
        for bin in (1..ends.len()).rev() {
            ends[bin] -= ends[bin - 1];
        }
        ends.into_iter().map(|count| count as f64 / self.rows as f64).collect()
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, clippy::disallowed_methods, reason = "libm is the oracle here")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refusals() {
        for wrong in [&[][..], &[f64::INFINITY]] {
            let code = if wrong.is_empty() { Code::DatasetEmpty } else { Code::NonFiniteInput };
            assert_eq!(population_stability(wrong, &[1.0]).unwrap_err().code, code);
            assert_eq!(population_stability(&[1.0], wrong).unwrap_err().code, code);
            assert_eq!(kolmogorov_smirnov(wrong, &[1.0]).unwrap_err().code, code);
            assert_eq!(kolmogorov_smirnov(&[1.0], wrong).unwrap_err().code, code);
        }
    }

    #[test]
    fn stability_of_a_known_shift() {
        let reference: Vec<_> = (0..100).map(f64::from).collect();
        let current: Vec<_> = (0..100).map(|i| if i < 10 { 95.0 } else { f64::from(i) }).collect();
        let expected = (0.1_f64 - 1e-4) * (0.1_f64 / 1e-4).ln() + 0.1 * (0.2_f64 / 0.1).ln();
        assert!((population_stability(&reference, &current).unwrap() - expected).abs() < 1e-12);
    }

    #[test]
    fn a_constant_that_moves_is_seen_either_way() {
        for moved in [3.0, 7.0] {
            let index = population_stability(&[5.0; 50], &[moved; 50]).unwrap();
            assert!(index > 10.0, "{index}");
        }
        assert_eq!(population_stability(&[5.0; 50], &[5.0; 3]).unwrap(), 0.0);
        assert_eq!(population_stability(&[0.0; 50], &[-0.0; 3]).unwrap(), 0.0);
    }

    #[test]
    fn values_going_missing_are_seen() {
        let values = [1.0, 2.0, 3.0, 4.0];
        let index = population_stability(&values, &[1.0, 2.0, f64::NAN, f64::NAN]).unwrap();
        assert!(index > 1.0, "{index}");
        assert!(population_stability(&[f64::NAN; 4], &values).unwrap() > 10.0);
        assert_eq!(population_stability(&[f64::NAN; 4], &[f64::NAN]).unwrap(), 0.0);
        assert_eq!(kolmogorov_smirnov(&[f64::NAN; 4], &values).unwrap(), None);
        assert_eq!(kolmogorov_smirnov(&[1.0, f64::NAN], &[1.0]).unwrap(), Some(0.0));
    }

    fn values() -> impl Strategy<Value = Vec<f64>> {
        let value = prop_oneof![4 => (-8_i32..8).prop_map(f64::from), 1 => Just(f64::NAN)];
        prop::collection::vec(value, 1..60)
    }

    proptest! {
        #[test]
        fn distance_agrees_with_counting(reference in values(), current in values()) {
            let share = |values: &[f64], at: f64| {
                let present = values.iter().filter(|value| !value.is_nan()).count();
                values.iter().filter(|&&value| value <= at).count() as f64 / present as f64
            };
            let places = reference.iter().chain(&current).filter(|value| !value.is_nan());
            let gaps = places.map(|&at| (share(&reference, at) - share(&current, at)).abs());
            let expected = gaps.fold(0.0, f64::max);
            if let Some(found) = kolmogorov_smirnov(&reference, &current).unwrap() {
                prop_assert!((found - expected).abs() < 1e-14);
            }
        }

        #[test]
        fn stability_is_zero_for_the_same_and_else_not_negative(reference in values(), current in values()) {
            prop_assert_eq!(population_stability(&reference, &reference).unwrap(), 0.0);
            let index = population_stability(&reference, &current).unwrap();
            prop_assert!(index.is_finite() && index >= 0.0);
        }
    }
}
