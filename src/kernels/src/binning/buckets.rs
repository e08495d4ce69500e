//! Values of a column parted by the leading bits of their keys.
//!
//! Flows in: the values of a column. Flows out: the same as [`Stretch`]es, a bucket each, and for each value how many cuts
//! lie below its bucket. Parting takes a few steps a value, where sorting takes as many as the rows have digits.

#![allow(clippy::inline_always, reason = "loops are compiled with the instructions of their caller")]

use super::{
    bounds::Stretch,
    key::{key, value},
};
use crate::dispatch::{self, Work};

/// Buckets at the most: a counter and a line of the cache each.
pub(super) const BUCKETS: usize = 4_096;

/// Values whose sizes are looked at before buckets are chosen.
const SAMPLE: usize = 1_024;
/// Buckets are of equal width up to one in so many of the size of half of the values, and of equal ratio beyond.
const FINE: f64 = 16.0;

/// Counts of each bucket: neighbours are often alike, and are not counted in the same place.
const LANES: usize = 4;

/// The values of a column by buckets.
#[derive(Debug)]
pub(super) struct Buckets<'a> {
    values: &'a [f64],
    /// The bucket of each, and [`BUCKETS`] where it is NaN.
    pub(super) of: &'a [u16],
    scale: Scale,
}

/// Which bucket a value belongs to. Whatever is sampled, larger values are never in an earlier one.
#[derive(Debug, Clone, Copy)]
struct Scale {
    /// What values are multiplied by before one is added to their size.
    factor: f64,
    /// The smallest key of what that comes to.
    lowest: u64,
    /// Bits of a key's distance from it that tell no buckets apart.
    shift: u32,
}

impl Scale {
    /// Buckets for these values, no more than there are rows.
    fn new(values: &[f64]) -> Self {
        let stride = values.len().div_ceil(SAMPLE).max(1);
        let mut sizes: Vec<f64> =
            values.iter().step_by(stride).map(|value| value.abs()).filter(|&size| size > 0.0).collect();
        let middle = sizes.len() / 2;
        let size =
            if sizes.is_empty() { 1.0 } else { *sizes.select_nth_unstable_by(middle, f64::total_cmp).1 };
        let factor = (FINE / size).min(f64::MAX);
        let [lowest, highest] = dispatch::run(Range(values)).map(|value| key_of_scaled(value, factor));
        let bits = values.len().clamp(1, BUCKETS).ilog2();
        let span = u64::BITS - highest.saturating_sub(lowest).leading_zeros();
        Self { factor, lowest, shift: span.saturating_sub(bits) }
    }

    /// The bucket of a value from which the scale was made or between two such; of NaN, any.
    #[inline(always)]
    fn bucket(self, value: f64) -> u16 {
        (key_of_scaled(value, self.factor).wrapping_sub(self.lowest) >> self.shift) as u16 % BUCKETS as u16
    }
}

impl<'a> Buckets<'a> {
    /// Buckets for these values, noted in the given room.
    pub(super) fn new(values: &'a [f64], room: &'a mut Vec<u16>) -> Self {
        let scale = Scale::new(values);
        room.resize(values.len(), 0);
        dispatch::run(Place { scale, values, buckets: room });
        Self { values, of: room, scale }
    }

    /// The values that are not NaN by buckets, their keys in the given room.
    pub(super) fn part<'r>(&self, room: &'r mut Vec<u64>) -> Vec<Stretch<'r>> {
        let mut counts = vec![0_u32; (BUCKETS + 1) * LANES];
        for of in self.of.chunks(LANES) {
            for (lane, &bucket) in of.iter().enumerate() {
                counts[usize::from(bucket) * LANES + lane] += 1;
            }
        }
        let sum = |of_bucket: &[u32]| of_bucket.iter().fold(0, |sum, &count| sum + count as usize);
        let counts: Vec<usize> = counts.chunks(LANES).map(sum).collect();
        let mut places: Vec<usize> = Vec::with_capacity(counts.len());
        let mut end = 0;
        for count in &counts {
            places.push(end);
            end += count;
        }
        room.resize(self.values.len(), 0);
        for (&value, &bucket) in self.values.iter().zip(self.of) {
            let place = &mut places[usize::from(bucket)];
            room[*place] = key(value);
            *place += 1;
        }
        let mut rest = room.as_mut_slice();
        let mut stretches = Vec::new();
        for &count in &counts[..BUCKETS] {
            let (keys, after) = rest.split_at_mut(count);
            if !keys.is_empty() {
                stretches.push(Stretch::Keys(keys));
            }
            rest = after;
        }
        stretches
    }

    /// For each bucket, and for NaN, how many of `cuts`, each between two of the values, lie in one before it; and the most
    /// that lie in one.
    pub(super) fn cuts_before(&self, cuts: &[f64]) -> ([u16; BUCKETS + 1], usize) {
        let mut inside = [0; BUCKETS + 1];
        for &cut in cuts {
            inside[usize::from(self.scale.bucket(cut))] += 1;
        }
        let most = inside.iter().fold(0, |most, &inside| most.max(inside));
        let mut before = 0;
        for inside in &mut inside {
            before += std::mem::replace(inside, before);
        }
        (inside, usize::from(most))
    }
}

/// Notes the bucket of each value.
struct Place<'a> {
    scale: Scale,
    values: &'a [f64],
    buckets: &'a mut [u16],
}

impl Work for Place<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (bucket, &value) in self.buckets.iter_mut().zip(self.values) {
            *bucket = if value.is_nan() { BUCKETS as u16 } else { self.scale.bucket(value) };
        }
    }
}

/// The key of a value that was made larger and then moved away from zero by one, which leaves the order.
#[inline(always)]
fn key_of_scaled(value: f64, scale: f64) -> u64 {
    // -0.0 is 0.0, here as in a key.
    let value = value + 0.0;
    key(value * scale + 1_f64.copysign(value))
}

/// The smallest and the largest of what is not NaN; NaN where nothing is.
struct Range<'a>(&'a [f64]);

impl Work for Range<'_> {
    type Output = [f64; 2];

    #[inline(always)]
    fn run(self) -> [f64; 2] {
        // By keys, whose least and greatest do not depend on the order: the compiler may take many at a time.
        let (lowest, highest) = self.0.iter().fold((u64::MAX, 0), |(lowest, highest), &value| {
            let key = key(value);
            let (low, high) = if value.is_nan() { (u64::MAX, 0) } else { (key, key) };
            (lowest.min(low), highest.max(high))
        });
        [value(lowest), value(highest)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = Vec<f64>> {
        let value = prop_oneof![
            4 => -1e3..1e3_f64,
            2 => Just(0.0),
            1 => Just(-0.0),
            1 => Just(f64::NAN),
            1 => any::<f64>().prop_filter("finite", |value| value.is_finite()),
        ];
        prop::collection::vec(value, 1..3_000)
    }

    proptest! {
        #[test]
        fn buckets_are_in_the_order_of_values(values in values(), cuts in prop::collection::vec(0.0..1.0_f64, 0..40)) {
            let mut room = Vec::new();
            let buckets = Buckets::new(&values, &mut room);
            let mut sorted: Vec<(f64, u16)> = values.iter().copied().zip(buckets.of.iter().copied()).collect();
            sorted.retain(|(value, _)| !value.is_nan());
            sorted.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap_or(std::cmp::Ordering::Equal));
            prop_assert!(sorted.is_sorted_by_key(|&(_, bucket)| bucket));
            let zeros = sorted.iter().filter(|(value, _)| *value == 0.0);
            prop_assert!(zeros.map(|(_, bucket)| bucket).is_sorted_by(|a, b| a == b), "-0.0 is 0.0");
            let missing = values.iter().zip(buckets.of).filter(|&(_, &bucket)| usize::from(bucket) == BUCKETS);
            prop_assert!(missing.clone().all(|(value, _)| value.is_nan()));
            prop_assert_eq!(missing.count() + sorted.len(), values.len());
            if let [(lowest, _), .., (highest, _)] = sorted[..] {
                let cut = |share: &f64| lowest * (1.0 - share) + highest * share;
                let cuts: Vec<f64> = cuts.iter().map(cut).filter(|cut| lowest <= *cut && *cut < highest).collect();
                let (before, most) = buckets.cuts_before(&cuts);
                for (value, bucket) in sorted {
                    let below = cuts.iter().filter(|&&cut| cut < value).count();
                    let before = before[usize::from(bucket)] as usize;
                    prop_assert!((before..=before + most).contains(&below));
                }
            }
        }

        #[test]
        fn every_row_is_in_a_stretch(values in values()) {
            let (mut room, mut keys) = (Vec::new(), Vec::new());
            let stretches = Buckets::new(&values, &mut room).part(&mut keys);
            let mut found: Vec<u64> = Vec::new();
            for stretch in stretches {
                if let Stretch::Keys(keys) = stretch {
                    keys.sort_unstable();
                    found.extend_from_slice(keys);
                }
            }
            let mut expected: Vec<u64> = values.iter().filter(|value| !value.is_nan()).map(|&value| key(value)).collect();
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn every_instruction_set_finds_the_same_buckets(values in values()) {
            let ranges = dispatch::run_with_each(|| Range(&values)).map(|range| range.map(f64::to_bits));
            prop_assert_eq!(ranges[0], ranges[1]);
            prop_assert_eq!(ranges[0], ranges[2]);
        }
    }
}
