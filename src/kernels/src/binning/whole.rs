//! Columns of small whole numbers, such as counts and flags, which need no sorting.
//!
//! Flows in: the values of a column. Flows out: its bins and codes, the same as by sorting, or nothing where a value
//! is no small whole number.

#![allow(clippy::inline_always, reason = "loops are compiled with the instructions of their caller")]

use super::{BinCode, Bins, bounds::Stretch};
use crate::dispatch::{self, Work};

/// Whole numbers that are counted: those from 0 to below this.
const COUNTED: usize = 4_096;
/// Where a missing value stands among the counts.
const MISSING: u16 = COUNTED as u16;
/// Values that are looked at before it is asked whether all of them are small whole numbers.
const BLOCK_ROWS: usize = 1_024;
/// Counts of each number: neighbours are often equal, and are not counted in the same place.
const LANES: usize = 4;
/// 2^52: adding it leaves a small whole number in the low bits.
const WHOLE: f64 = 4_503_599_627_370_496.0;

/// The bins of a column, at most `most`; writes the code of each of its values.
pub(super) fn bins_and_codes<C: BinCode>(values: &[f64], most: usize, found: &mut [C]) -> Option<Bins> {
    let counts = counts(values)?;
    let numbers = (0_u16..).map(f64::from).zip(&counts).filter(|&(_, &count)| count > 0);
    let bins =
        Bins::of(numbers.map(|(number, &count)| Stretch::Value(number, count as usize)).collect(), most);
    let mut codes: Vec<C> =
        (0_u16..MISSING).map(|number| C::from_index(bins.index_of(f64::from(number)))).collect();
    codes.push(C::from_index(bins.missing()));
    let mut places = [0; BLOCK_ROWS];
    for (found, values) in found.chunks_mut(BLOCK_ROWS).zip(values.chunks(BLOCK_ROWS)) {
        dispatch::run(Places { values, places: &mut places });
        found.iter_mut().zip(&places).for_each(|(found, &place)| *found = codes[usize::from(place)]);
    }
    Some(bins)
}

/// How often each number is there, if all are small whole numbers or missing.
fn counts(values: &[f64]) -> Option<Vec<u32>> {
    let mut counts = vec![0_u32; (COUNTED + 1) * LANES];
    let mut places = [0; BLOCK_ROWS];
    for values in values.chunks(BLOCK_ROWS) {
        if !dispatch::run(Places { values, places: &mut places }) {
            return None;
        }
        for places in places[..values.len()].chunks(LANES) {
            for (lane, &place) in places.iter().enumerate() {
                counts[usize::from(place) * LANES + lane] += 1;
            }
        }
    }
    Some(counts.chunks(LANES).take(COUNTED).map(|of_number| of_number.iter().sum()).collect())
}

/// Finds out where values stand among the counts; gives whether each is a small whole number or missing.
struct Places<'a> {
    values: &'a [f64],
    places: &'a mut [u16; BLOCK_ROWS],
}

impl Work for Places<'_> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        let mut strange = 0;
        for (place, &value) in self.places.iter_mut().zip(self.values) {
            let number = (value + WHOLE).to_bits() % COUNTED as u64;
            // -0.0 is 0.0, here as in a key.
            let is_whole = value - (f64::from_bits(WHOLE.to_bits() | number) - WHOLE) == 0.0;
            strange |= u64::from(!is_whole & !value.is_nan());
            *place = if value.is_nan() { MISSING } else { number as u16 };
        }
        strange == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::binning::{Buckets, write_codes};

    #[test]
    fn other_numbers_are_left_to_sorting() {
        for other in [-1.0, 0.5, 4_096.0, 1e300, f64::MIN_POSITIVE] {
            let mut values = vec![3.0; 3_000];
            values[2_999] = other;
            assert_eq!(bins_and_codes(&values, 255, &mut [0_u8; 3_000]), None, "{other}");
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
            let mut room = Vec::new();
            let buckets = Buckets::new(&values, &mut room);
            let bins = Bins::of(buckets.part(&mut Vec::new()), most);
            let (mut codes, mut counted) = (vec![0_u8; values.len()], vec![0; values.len()]);
            write_codes(&bins, &buckets, &values, &mut codes);
            prop_assert_eq!(bins_and_codes(&values, most, &mut counted), Some(bins));
            prop_assert_eq!(counted, codes);
        }
    }
}
