#![allow(clippy::unwrap_used, clippy::float_cmp)]

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;
use crate::metric::Scored;
use crate::progress::Silent;
use crate::rng::Rng;

const ALL: [Metric; 6] = [
    Metric::RocAuc,
    Metric::AveragePrecision,
    Metric::RecallAtFalsePositiveRate(0.1),
    Metric::RecallAtFalsePositiveRate(0.4),
    Metric::Brier,
    Metric::LogLoss,
];

fn resampling(replicates: u32) -> Resampling {
    Resampling { replicates, level: 0.95, rng: Rng::from_u64(11) }
}

/// Scores that know something of the labels, one positive in `rarity`.
fn simulated(rows: u64, rarity: u64) -> (Vec<f64>, Vec<bool>) {
    let rng = Rng::from_u64(5);
    let positive: Vec<_> = (0..rows).map(|row| rng.below(0, row, rarity) == 0).collect();
    let scores = (0..rows).zip(&positive).map(|(row, &positive)| {
        let noise = rng.uniform(1, row);
        if positive { noise.sqrt() } else { noise * noise }
    });
    (scores.collect(), positive)
}

proptest! {
    /// A replicate is the metric on the rows that were drawn, each as often as it was drawn.
    #[test]
    fn a_replicate_is_the_metric_with_counts_as_weights(
        rows in prop::collection::vec((0_u32..9, any::<bool>(), 0_u32..4, 0_u32..4), 2..60),
        weighted in any::<bool>(),
    ) {
        let scores: Vec<_> = rows.iter().map(|row| f64::from(row.0) / 8.0).collect();
        let positive: Vec<_> = rows.iter().map(|row| row.1).collect();
        let weights: Vec<_> = rows.iter().map(|row| f64::from(row.2) * 0.3).collect();
        let scored = Scored::new(&scores, &positive, weighted.then_some(&weights[..]));
        let Ok(ranking) = scored.and_then(|scored| Ranking::new(&scored)) else { return Ok(()) };
        let sample = Sample::new(&ranking, &ALL);
        let order = places(&ranking);
        let counts: Vec<_> = order.iter().map(|&row| rows[row as usize].3).collect();

        let mut drawn = vec![0.0; rows.len()];
        for (&row, &count) in order.iter().zip(&counts) {
            drawn[row as usize] = f64::from(count) * ranking.scored().weight(row as usize);
        }
        let scored = Scored::new(&scores, &positive, Some(&drawn));
        let expected = scored.and_then(|scored| Ranking::new(&scored)).ok();
        let found = sample.measure(&counts);
        prop_assert_eq!(found.is_some(), expected.is_some());
        if let (Some(found), Some(ranking)) = (found, expected) {
            for (metric, found) in ALL.into_iter().zip(found) {
                let expected = metric.of(&ranking).unwrap();
                // A weighted share may fall on either side of the rate asked for.
                let exact = !weighted || !matches!(metric, Metric::RecallAtFalsePositiveRate(_));
                prop_assert!(!exact || (found - expected).abs() < 1e-12, "{metric:?} {found} {expected}");
            }
        }
    }

    #[test]
    fn a_draw_is_of_as_many_rows_as_there_are(rows in 1_usize..500, stream in any::<u64>()) {
        let mut counts = vec![9; 3];
        draw(Rng::from_u64(3), stream, rows, &mut counts);
        prop_assert_eq!(counts.len(), rows);
        prop_assert_eq!(counts.iter().sum::<u32>() as usize, rows);
    }
}

/// Rows by place: falling score, of equal scores the positives first.
fn places(ranking: &Ranking) -> Vec<u32> {
    let mut order = ranking.order().to_vec();
    let mut start = 0;
    for &end in ranking.ends() {
        let positive = ranking.scored().positive();
        order[start..end as usize].sort_by_key(|&row| (!positive[row as usize], row));
        start = end as usize;
    }
    order
}

#[test]
fn draws_are_even() {
    let (places, replicates) = (10_usize, 20_000);
    let mut totals = vec![0; places];
    let mut twice = 0;
    let mut counts = Vec::new();
    for stream in 0..replicates {
        draw(Rng::from_u64(1), stream, places, &mut counts);
        totals.iter_mut().zip(&counts).for_each(|(total, count)| *total += count);
        twice += counts.iter().map(|count| count * count).sum::<u32>();
    }
    // Each total is binomial with mean 20,000 and deviation 134.
    assert!(totals.iter().all(|&total| total.abs_diff(20_000) < 600), "{totals:?}");
    // The second moment of a multinomial count is 2 - 1 / places.
    let second = f64::from(twice) / (replicates as f64 * places as f64);
    assert!((second - 1.9).abs() < 0.02, "{second}");
}

#[test]
fn intervals_hold_the_estimate_and_are_as_wide_as_theory_says() {
    let (scores, positive) = simulated(4_000, 20);
    let scored = Scored::new(&scores, &positive, None).unwrap();
    let ranking = Ranking::new(&scored).unwrap();
    let found = bootstrap(&ranking, &ALL, &resampling(400), &Silent).unwrap();
    assert_eq!((found.used, found.skipped), (400, 0));
    for (interval, metric) in found.intervals.iter().zip(ALL) {
        assert_eq!(interval.metric, metric);
        assert!(interval.lower < interval.estimate && interval.estimate < interval.upper, "{interval:?}");
    }
    // The Brier score is a mean, whose standard error is known.
    let squares: Vec<_> = scores.iter().zip(&positive).map(|(&s, &p)| brier_of(s, p)).collect();
    let mean = squares.iter().sum::<f64>() / 4_000.0;
    let variance = squares.iter().map(|square| (square - mean) * (square - mean)).sum::<f64>() / 4_000.0;
    let expected = 2.0 * 1.96 * (variance / 4_000.0).sqrt();
    let width = found.intervals[4].upper - found.intervals[4].lower;
    assert!((width / expected - 1.0).abs() < 0.15, "{width} {expected}");
}

#[test]
fn threads_and_company_change_no_bit() {
    let (scores, positive) = simulated(700, 9);
    let weights: Vec<_> = (0..700).map(|row| Rng::from_u64(2).uniform(0, row)).collect();
    let scored = Scored::new(&scores, &positive, Some(&weights)).unwrap();
    let ranking = Ranking::new(&scored).unwrap();
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| bootstrap(&ranking, &ALL, &resampling(150), &Silent)).unwrap()
    };
    let one = on(1);
    assert_eq!(one, on(3));
    let alone = bootstrap(&ranking, &ALL[4..5], &resampling(150), &Silent).unwrap();
    assert_eq!(alone.intervals[0], one.intervals[4]);
}

#[test]
fn replicates_of_one_class_are_skipped_and_counted() {
    let scored = Scored::new(&[0.1, 0.8, 0.3], &[false, true, false], None).unwrap();
    let ranking = Ranking::new(&scored).unwrap();
    let found = bootstrap(&ranking, &ALL[..1], &resampling(1_000), &Silent).unwrap();
    assert_eq!(found.used + found.skipped, 1_000);
    // (2/3)^3 without the positive, (1/3)^3 without a negative.
    assert!(found.skipped.abs_diff(333) < 60, "{}", found.skipped);
}

struct Watch(AtomicU64, u64);

impl Progress for Watch {
    fn step(&self, done: u64, _total: u64) -> Result<()> {
        self.0.store(done, Ordering::Relaxed);
        if done < self.1 { Ok(()) } else { Err(Failure::new(Code::LeaseLost, "stopped")) }
    }
}

#[test]
fn progress_is_told_and_can_stop_the_work() {
    let scored = Scored::new(&[0.1, 0.8, 0.3], &[false, true, false], None).unwrap();
    let ranking = Ranking::new(&scored).unwrap();
    let watch = Watch(AtomicU64::new(0), u64::MAX);
    bootstrap(&ranking, &ALL, &resampling(100), &watch).unwrap();
    assert_eq!(watch.0.into_inner(), 100);
    let watch = Watch(AtomicU64::new(0), 64);
    assert_eq!(bootstrap(&ranking, &ALL, &resampling(100), &watch).unwrap_err().code, Code::LeaseLost);
    assert_eq!(watch.0.into_inner(), 64);
}

#[test]
fn refusals() {
    let scored = Scored::new(&[0.1, 8.0], &[false, true], None).unwrap();
    let ranking = Ranking::new(&scored).unwrap();
    let code = |metric, resampling| bootstrap(&ranking, &[metric], &resampling, &Silent).unwrap_err().code;
    assert_eq!(code(Metric::RocAuc, resampling(0)), Code::ParameterInvalid);
    for level in [0.0, 1.0, f64::NAN] {
        let wrong = Resampling { level, ..resampling(10) };
        assert_eq!(code(Metric::RocAuc, wrong), Code::ParameterInvalid);
    }
    assert_eq!(code(Metric::Brier, resampling(10)), Code::ParameterInvalid);
    assert_eq!(code(Metric::LogLoss, resampling(10)), Code::ParameterInvalid);
    let wrong_rate = Metric::RecallAtFalsePositiveRate(f64::NAN);
    assert_eq!(code(wrong_rate, resampling(10)), Code::ParameterInvalid);
    // Every other seed draws one of the two rows twice in its only replicate.
    let one_class = (1..200).find(|&seed| {
        let rng = Rng::from_u64(seed);
        let only = Resampling { rng, ..resampling(1) };
        bootstrap(&ranking, &ALL[..1], &only, &Silent).is_err_and(|f| f.code == Code::DegenerateLabels)
    });
    assert!(one_class.is_some());
}

#[test]
fn quantiles_interpolate() {
    assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
    assert_eq!(quantile(&[1.0, 2.0, 4.0], 1.0), 4.0);
    assert_eq!(quantile(&[7.0], 0.025), 7.0);
}
