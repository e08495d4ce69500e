//! Columns of small whole numbers, such as counts and flags, which need no sorting.
//!
//! Flows in: the values of a column. Flows out: its bins and codes, the same as by sorting, or nothing where a value
//! is no small whole number.

use super::{BinCode, Bins};

/// Whole numbers that are counted: those from 0 to below this.
const COUNTED: usize = 4_096;
/// Values that are counted before it is asked whether all of them are small whole numbers.
const BLOCK_ROWS: usize = 1_024;

/// The bins of a column, at most `most`, and the code of each of its values.
pub(super) fn bins_and_codes<C: BinCode>(values: &[f64], most: usize) -> Option<(Bins, Vec<C>)> {
    let counts = counts(values)?;
    let runs = (0_u16..).map(f64::from).zip(&counts);
    let bins = Bins::of_runs(
        runs.filter(|&(_, &count)| count > 0).map(|(number, &count)| (number, count as usize)),
        most,
    );
    let missing = C::from_index(bins.missing());
    let codes: Vec<C> =
        (0_u16..COUNTED as u16).map(|number| C::from_index(bins.index_of(f64::from(number)))).collect();
    let code = |&value: &f64| if value.is_nan() { missing } else { codes[place(value)] };
    let codes = values.iter().map(code).collect();
    Some((bins, codes))
}

/// How often each number is there.
fn counts(values: &[f64]) -> Option<Vec<u32>> {
    let mut counts = vec![0; COUNTED];
    for values in values.chunks(BLOCK_ROWS) {
        let mut all_whole = true;
        for &value in values {
            let place = place(value);
            counts[place] += u32::from(!value.is_nan());
            // -0.0 is 0.0, here as in a key.
            all_whole &= value.is_nan() || value - place as f64 == 0.0;
        }
        if !all_whole {
            return None;
        }
    }
    Some(counts)
}

/// Where a number stands among the counts, if it is counted at all.
fn place(value: f64) -> usize {
    usize::from(value as u16) % COUNTED
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::binning::{codes_of, runs_of, sorted_keys};

    #[test]
    fn other_numbers_are_left_to_sorting() {
        for other in [-1.0, 0.5, 4_096.0, 1e300, f64::MIN_POSITIVE] {
            let mut values = vec![3.0; 3_000];
            values[2_999] = other;
            assert_eq!(bins_and_codes::<u8>(&values, 255), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn counting_does_what_sorting_does(
            numbers in prop::collection::vec((0..4_096_u16, 0..12_u8), 1..1_500),
            width in 1..4_096_u16,
            most in 1..256_usize,
        ) {
            let value = |(number, kind)| match kind {
                0 => f64::NAN,
                1 => -0.0,
                2 | 3 => 7.0,
                _ => f64::from(number % width),
            };
            let values: Vec<f64> = numbers.into_iter().map(value).collect();
            let bins = Bins::of_runs(runs_of(sorted_keys(&values, &mut Vec::new())), most);
            let codes: Vec<u8> = codes_of(&bins, &values);
            prop_assert_eq!(bins_and_codes(&values, most), Some((bins, codes)));
        }
    }
}
