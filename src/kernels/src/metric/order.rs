//! The one sort behind every metric that ranks.
//!
//! Flows in: a [`Scored`]. Flows out: its rows with weight, highest score first and of equal scores the earlier
//! row, with the places where one score ends. A radix sort: the leading 32 bits of what tells the scores apart
//! order nearly all rows in three passes over words that also hold the row, and rows that still stand together
//! are compared by their whole scores. Nothing is assumed of the scores, and the outcome is that of a stable
//! sort.

use super::scored::Scored;

/// Bits that one pass sorts by: its counters stay in the fastest cache.
const DIGIT: u32 = 11;
/// Bits of a score that stand above the row in a word.
const LEADING: u32 = 32;

/// Rows by falling score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    /// Highest score first; of equal scores the earlier row.
    pub(super) rows: Vec<u32>,
    /// For each distinct score: one past its last place in `rows`.
    pub(super) ends: Vec<u32>,
}

impl Order {
    /// Sorts the rows that have weight.
    pub(super) fn of(scored: &Scored) -> Self {
        let keys: Vec<u64> = scored.scores().iter().map(|&score| descending(score)).collect();
        let mut words: Vec<u64> = if scored.is_weighted() {
            (0..keys.len()).filter(|&row| scored.weight(row) > 0.0).map(|row| row as u64).collect()
        } else {
            (0..keys.len() as u64).collect()
        };
        let key = |word: u64| keys[word as u32 as usize];
        let (least, most) = words
            .iter()
            .fold((u64::MAX, 0), |(least, most), &word| (least.min(key(word)), most.max(key(word))));
        let bits = u64::BITS - most.saturating_sub(least).leading_zeros();
        let shift = bits.saturating_sub(LEADING);
        for word in &mut words {
            *word |= ((keys[*word as usize] - least) >> shift) << LEADING;
        }
        sort_by_leading_bits(&mut words, bits.min(LEADING));
        let together = |left: &u64, right: &u64| left >> LEADING == right >> LEADING;
        let mut ends = Vec::new();
        let mut end = 0;
        if shift == 0 {
            for ties in words.chunk_by(together) {
                end += ties.len();
                ends.push(end as u32);
            }
        } else {
            for near in words.chunk_by_mut(together) {
                if near.len() > 1 {
                    near.sort_unstable_by_key(|&word| (key(word), word as u32));
                }
                for ties in near.chunk_by(|&left, &right| key(left) == key(right)) {
                    end += ties.len();
                    ends.push(end as u32);
                }
            }
        }
        Self { rows: words.into_iter().map(|word| word as u32).collect(), ends }
    }
}

/// Sorts words by the lowest `bits` of their upper half; equal ones keep their order.
fn sort_by_leading_bits(words: &mut Vec<u64>, bits: u32) {
    const VALUES: usize = 1 << DIGIT;
    let digit = |word: u64, pass: u32| (word >> (LEADING + pass * DIGIT)) as usize % VALUES;
    let mut sorted = vec![0; words.len()];
    for pass in 0..bits.div_ceil(DIGIT) {
        let mut places = [0_u32; VALUES];
        for &word in words.iter() {
            places[digit(word, pass)] += 1;
        }
        let mut before = 0;
        for place in &mut places {
            (*place, before) = (before, before + *place);
        }
        for &word in words.iter() {
            let place = &mut places[digit(word, pass)];
            sorted[*place as usize] = word;
            *place += 1;
        }
        std::mem::swap(words, &mut sorted);
    }
}

/// A whole number that grows as the finite `score` falls, and is the same for both zeros.
pub(super) fn descending(score: f64) -> u64 {
    let bits = (score + 0.0).to_bits();
    if bits >> 63 == 0 { !(bits | 1 << 63) } else { bits }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_fall_as_scores_rise() {
        let scores = [-f64::MAX, -1.0, -5e-324, 0.0, 5e-324, 0.5, 1.0, f64::MAX];
        assert!(scores.windows(2).all(|pair| descending(pair[0]) > descending(pair[1])));
        assert_eq!(descending(0.0), descending(-0.0));
    }

    /// Scores that lie apart, tie, differ in their last bits alone, or do all of it.
    fn scores() -> impl Strategy<Value = Vec<f64>> {
        let close =
            (0_u64..9, 0_u32..53).prop_map(|(step, bit)| f64::from_bits(0.7_f64.to_bits() + (step << bit)));
        let any = any::<f64>().prop_filter("finite", |score| score.is_finite());
        let one = prop_oneof![
            0.0..1.0_f64,
            (0_u32..5).prop_map(|step| f64::from(step) / 4.0),
            close,
            any,
            Just(-0.0),
        ];
        prop_oneof![
            prop::collection::vec(one, 1..300),
            prop::collection::vec((0_u64..50).prop_map(f64::from_bits), 1..300),
            prop::collection::vec((0_u64..50).prop_map(|step| 1.0 - step as f64 * f64::EPSILON), 1..300),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_stable_sort(scores in scores(), absent in prop::collection::vec(0_u32..4, 300)) {
            let weights: Vec<f64> = absent.iter().take(scores.len()).map(|&one| f64::from(one)).collect();
            prop_assume!(weights.iter().any(|&weight| weight > 0.0));
            let positive = vec![true; scores.len()];
            for weights in [None, Some(&weights[..])] {
                let scored = Scored::new(&scores, &positive, weights).unwrap();
                let found = Order::of(&scored);
                let mut expected: Vec<u32> =
                    (0..scores.len() as u32).filter(|&row| scored.weight(row as usize) > 0.0).collect();
                // The sum turns -0.0 into 0.0.
                expected.sort_by(|&a, &b| (scores[b as usize] + 0.0).total_cmp(&(scores[a as usize] + 0.0)));
                let ends: Vec<u32> = (1..=expected.len())
                    .filter(|&end| end == expected.len()
                        || scores[expected[end] as usize] != scores[expected[end - 1] as usize])
                    .map(|end| end as u32)
                    .collect();
                prop_assert_eq!(found, Order { rows: expected, ends });
            }
        }
    }
}
