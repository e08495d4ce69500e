//! Whether one column of numbers tells the classes apart, mostly without a sort.
//!
//! Flows in: a [`Scored`] and a limit. Flows out: whether the area under its receiver operating characteristic, turned
//! to the better side, reaches the limit. Rows fall into buckets of neighbouring scores, whose counts bound the area:
//! pairs of different buckets are decided, pairs of one are not, unless all of its scores are equal. Only where the
//! limit lies within the bounds are the rows ranked, so the answer is always that of [`Ranking::roc_auc`].

use contracts::Result;

use super::{order::descending, ranking::Ranking, scored::Scored};

/// Bits of the buckets' numbers: their counts stay in a core's second cache.
const BUCKET_BITS: u32 = 12;
/// More than rounding makes of an area, less than any limit means.
const MARGIN: f64 = 1e-9;

/// Rows whose scores are neighbours.
#[derive(Clone, Copy)]
struct Bucket {
    /// Rows by class, negative first.
    rows: [u32; 2],
    /// Bits that are set in every key, and in any: the same where all keys are equal.
    every: u64,
    any: u64,
}

const EMPTY: Bucket = Bucket { rows: [0; 2], every: u64::MAX, any: 0 };

/// Whether the larger of the ROC AUC and what it lacks to one is at least `limit`.
///
/// Refuses with `DEGENERATE_LABELS` unless both classes have weight. Scores with weights are always ranked.
pub fn separates(scored: &Scored<'_>, limit: f64) -> Result<bool> {
    scored.both_classes()?;
    if !scored.is_weighted() {
        let [least, most] = bounds(scored);
        if most.max(1.0 - least) < limit - MARGIN {
            return Ok(false);
        }
    }
    let area = Ranking::new(scored)?.roc_auc();
    Ok(area.max(1.0 - area) >= limit)
}

/// The least and the most that the area can be, of rows that count once each.
fn bounds(scored: &Scored<'_>) -> [f64; 2] {
    let keys: Vec<u64> = scored.scores().iter().map(|&score| descending(score)).collect();
    let (lowest, highest) =
        keys.iter().fold((u64::MAX, 0), |(lowest, highest), &key| (key.min(lowest), key.max(highest)));
    let bits = u64::BITS - highest.saturating_sub(lowest).leading_zeros();
    let shift = bits.saturating_sub(BUCKET_BITS);
    let mut buckets = vec![EMPTY; 1 << BUCKET_BITS];
    for (&key, &positive) in keys.iter().zip(scored.positive()) {
        let bucket = &mut buckets[((key - lowest) >> shift) as usize];
        bucket.rows[usize::from(positive)] += 1;
        bucket.every &= key;
        bucket.any |= key;
    }
    // Highest scores first. Pairs of a positive and a negative count two where the positive is the higher, one where
    // they tie; of 2^32 rows there are no more than 2^62 pairs.
    let (mut above, mut least, mut most) = (0_u64, 0_u64, 0_u64);
    for Bucket { rows: [negatives, positives], every, any } in buckets {
        let (negatives, positives) = (u64::from(negatives), u64::from(positives));
        let decided = 2 * negatives * above;
        let within = negatives * positives;
        let tied = every == any;
        least += decided + if tied { within } else { 0 };
        most += decided + if tied { within } else { 2 * within };
        above += positives;
    }
    let pairs = 2.0 * scored.positive_weight() * scored.negative_weight();
    [least, most].map(|twice| twice as f64 / pairs)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use contracts::Code;
    use proptest::prelude::*;

    use super::*;

    /// Few and many distinct scores, close ones and far ones, which tell the label or do not.
    fn rows() -> impl Strategy<Value = Vec<(f64, bool)>> {
        let finite = any::<f64>().prop_filter("finite", |score| score.is_finite());
        let score = prop_oneof![
            4 => (0_u32..6).prop_map(f64::from),
            4 => 0.0..1.0_f64,
            1 => finite,
            1 => Just(f64::MIN),
            1 => Just(-0.0),
        ];
        let told = (any::<bool>(), score.clone()).prop_map(|(positive, score)| {
            let side = if positive { 2.0 } else { -2.0 };
            (if score.abs() < 1.5 { score + side } else { score }, positive)
        });
        prop_oneof![
            prop::collection::vec((score, any::<bool>()), 2..300),
            prop::collection::vec(told, 2..300),
        ]
    }

    proptest! {
        #[test]
        fn the_answer_is_that_of_the_whole_ranking(
            rows in rows(), limit in 0.5..=1.0_f64, whole in any::<bool>(),
        ) {
            let (scores, positive): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
            let scored = Scored::new(&scores, &positive, None).unwrap();
            prop_assume!(scored.both_classes().is_ok());
            let area = Ranking::new(&scored).unwrap().roc_auc();
            let [least, most] = bounds(&scored);
            prop_assert!(least - 1e-12 <= area && area <= most + 1e-12, "{least} {area} {most}");
            let turned = area.max(1.0 - area);
            for limit in [limit, if whole { 1.0 } else { turned }, turned + 1e-12] {
                prop_assert_eq!(separates(&scored, limit).unwrap(), turned >= limit);
            }
        }
    }

    #[test]
    fn bounds_of_scores_that_all_tie_meet() {
        let positive = [true, false, true, false, false];
        let scored = Scored::new(&[0.25; 5], &positive, None).unwrap();
        assert_eq!(bounds(&scored).map(f64::to_bits), [0.5_f64.to_bits(); 2]);
    }

    #[test]
    fn one_class_is_refused() {
        let scored = Scored::new(&[0.25; 2], &[true; 2], None).unwrap();
        assert_eq!(separates(&scored, 1.0).unwrap_err().code, Code::DegenerateLabels);
    }
}
