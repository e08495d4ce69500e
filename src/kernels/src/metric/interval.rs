//! How sure the figures are: bootstrap confidence intervals.
//!
//! Flows in: a [`Ranking`] and the metrics wanted. Flows out: an [`Interval`] for each. A replicate draws as
//! many rows as there are, with replacement, and keeps only how often each place of the ranking was drawn: the
//! order of the scores is the same in every replicate, so nothing is sorted again.
//!
//! ```text
//!   (seed, replicate, i) ──► place in the ranking ──► counts ──► areas, recall, mean losses ──► quantiles
//! ```
//!
//! Invariant: a replicate depends on the seed, its number and the ranking alone, and its sums run in the order
//! of the ranking; so neither threads nor the metrics asked for beside it change a bit of it.

use contracts::{Code, Failure, Result};
use rayon::prelude::*;

use super::curve::{Areas, highest_within};
use super::probability::{Probabilities, brier_of, log_loss_of};
use super::ranking::Ranking;
use crate::{Progress, Rng};

/// Replicates between two calls of [`Progress::step`].
const CHUNK: u32 = 64;

/// Blocks of random bits drawn before they are scattered: enough to keep the generator's loop free of other work.
const BLOCKS: usize = 64;

/// A metric that has an interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Metric {
    /// [`Ranking::roc_auc`].
    RocAuc,
    /// [`Ranking::average_precision`].
    AveragePrecision,
    /// [`Ranking::recall_at_false_positive_rate`].
    RecallAtFalsePositiveRate(f64),
    /// [`Probabilities::brier`].
    Brier,
    /// [`Probabilities::log_loss`].
    LogLoss,
}

impl Metric {
    /// The metric on the rows as they are.
    ///
    /// Refuses with `PARAMETER_INVALID` a rate outside 0 to 1, and scores outside for Brier and log loss.
    pub fn of(self, ranking: &Ranking) -> Result<f64> {
        let scored = ranking.scored();
        match self {
            Self::RocAuc => Ok(ranking.roc_auc()),
            Self::AveragePrecision => Ok(ranking.average_precision()),
            Self::RecallAtFalsePositiveRate(rate) => ranking.recall_at_false_positive_rate(rate),
            Self::Brier => Ok(Probabilities::new(&scored)?.brier()),
            Self::LogLoss => Ok(Probabilities::new(&scored)?.log_loss()),
        }
    }
}

/// How the rows are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resampling {
    /// Number of replicates, at least 1.
    pub replicates: u32,
    /// Share of the replicates that an interval spans, between 0 and 1, such as 0.95.
    pub level: f64,
    /// Where the draws come from; replicate r uses stream r.
    pub rng: Rng,
}

/// A percentile interval (Efron, *Nonparametric standard errors and confidence intervals*, 1981).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The metric.
    pub metric: Metric,
    /// The metric on the rows as they are.
    pub estimate: f64,
    /// Quantile (1 - level) / 2 of the replicates, interpolated between the two nearest.
    pub lower: f64,
    /// Quantile (1 + level) / 2 of the replicates, interpolated between the two nearest.
    pub upper: f64,
}

/// What [`bootstrap`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct Intervals {
    /// One interval for each metric asked for, in that order.
    pub intervals: Vec<Interval>,
    /// Replicates that the intervals rest on.
    pub used: u32,
    /// Replicates left out because they drew one class only.
    pub skipped: u32,
}

/// Percentile intervals of several metrics from the same replicates.
///
/// Refuses with `PARAMETER_INVALID` (no replicates, a level not between 0 and 1, or as [`Metric::of`]) and
/// `DEGENERATE_LABELS` (every replicate drew one class only). `progress` hears of every 64 replicates.
pub fn bootstrap(
    ranking: &Ranking,
    metrics: &[Metric],
    resampling: &Resampling,
    progress: &dyn Progress,
) -> Result<Intervals> {
    let Resampling { replicates, level, rng } = *resampling;
    if replicates == 0 {
        return Err(Failure::at(Code::ParameterInvalid, "replicates", "at least 1", "0"));
    }
    if !(level > 0.0 && level < 1.0) {
        return Err(Failure::at(Code::ParameterInvalid, "level", "between 0 and 1", "another number"));
    }
    let estimates: Vec<_> = metrics.iter().map(|metric| metric.of(ranking)).collect::<Result<_>>()?;
    let sample = Sample::new(ranking, metrics);
    let mut found = vec![Vec::new(); metrics.len()];
    let mut used = 0;
    for start in (0..replicates).step_by(CHUNK as usize) {
        let end = replicates.min(start.saturating_add(CHUNK));
        let chunk: Vec<_> = (start..end)
            .into_par_iter()
            .map_init(Vec::new, |counts, replicate| {
                draw(rng, u64::from(replicate), sample.places, counts);
                sample.measure(counts)
            })
            .collect();
        for values in chunk.into_iter().flatten() {
            used += 1;
            values.into_iter().zip(&mut found).for_each(|(value, of_metric)| of_metric.push(value));
        }
        progress.step(u64::from(end), u64::from(replicates))?;
    }
    if used == 0 {
        return Err(Failure::at(
            Code::DegenerateLabels,
            "labels",
            "both classes in some replicate",
            format!("one class in each of {replicates}"),
        ));
    }
    let intervals = metrics.iter().zip(estimates).zip(&mut found).map(|((&metric, estimate), values)| {
        values.sort_unstable_by(f64::total_cmp);
        let [lower, upper] = [(1.0 - level) / 2.0, f64::midpoint(1.0, level)].map(|at| quantile(values, at));
        Interval { metric, estimate, lower, upper }
    });
    Ok(Intervals { intervals: intervals.collect(), used, skipped: replicates - used })
}

/// Counts `places` draws with replacement from as many places.
///
/// Each 64 random bits give two places: the whole part of their product with `places`, and that of the
/// fraction left over (Brackett-Rozinsky, Lemire: *Batched ranged random integer generation*, 2024). With
/// fewer than 2^32 places none is likelier than another by more than `places^2 / 2^64`.
fn draw(rng: Rng, stream: u64, places: usize, counts: &mut Vec<u32>) {
    counts.clear();
    counts.resize(places, 0);
    let bound = places as u128;
    let mut blocks = [[0; 2]; BLOCKS];
    let mut left = places;
    let mut index = 0;
    while left > 0 {
        for block in &mut blocks {
            *block = rng.block(stream, index);
            index += 1;
        }
        for bits in blocks.as_flattened().iter().take(left.div_ceil(2)) {
            let first = u128::from(*bits) * bound;
            counts[(first >> 64) as usize] += 1;
            if left > 1 {
                let second = u128::from(first as u64) * bound;
                counts[(second >> 64) as usize] += 1;
            }
            left = left.saturating_sub(2);
        }
    }
}

/// A stretch of the ranking after which a point of the curves stands: positives, then negatives.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    positives_end: u32,
    end: u32,
}

/// The ranking laid out for replicates: by falling score, of equal scores the positives first.
struct Sample {
    places: usize,
    /// One for each distinct score, but one for a run of scores without a positive: the points within it lie
    /// between its ends on a level line, so that neither an area nor a recall misses them.
    stretches: Vec<Stretch>,
    /// Weight of each place; none where all weigh 1.
    weights: Option<Vec<f64>>,
    measures: Vec<Measure>,
}

/// What a replicate works out for one metric.
enum Measure {
    RocAuc,
    AveragePrecision,
    Recall(f64),
    /// The mean of a loss: weight times loss, by place.
    Mean(Vec<f64>),
}

impl Sample {
    fn new(ranking: &Ranking, metrics: &[Metric]) -> Self {
        let scored = ranking.scored();
        let positive = |row: u32| scored.positive()[row as usize];
        let mut order = ranking.order().to_vec();
        let mut stretches: Vec<Stretch> = Vec::new();
        let mut start = 0;
        for &end in ranking.ends() {
            let ties = &mut order[start as usize..end as usize];
            ties.sort_unstable_by_key(|&row| (!positive(row), row));
            let positives_end = start + ties.partition_point(|&row| positive(row)) as u32;
            let without = |stretch: &Stretch, start| stretch.positives_end == start;
            let before = stretches.len().checked_sub(2).map_or(0, |place| stretches[place].end);
            match stretches.last_mut() {
                Some(last) if positives_end == start && without(last, before) => last.end = end,
                _ => stretches.push(Stretch { positives_end, end }),
            }
            start = end;
        }
        let loss = |loss: fn(f64, bool) -> f64| {
            let rows = order.iter().map(|&row| row as usize);
            let weighted =
                rows.map(|row| scored.weight(row) * loss(scored.scores()[row], scored.positive()[row]));
            Measure::Mean(weighted.collect())
        };
        let measures = metrics.iter().map(|metric| match *metric {
            Metric::RocAuc => Measure::RocAuc,
            Metric::AveragePrecision => Measure::AveragePrecision,
            Metric::RecallAtFalsePositiveRate(rate) => Measure::Recall(rate),
            Metric::Brier => loss(brier_of),
            Metric::LogLoss => loss(log_loss_of),
        });
        let measures = measures.collect();
        let weights =
            scored.is_weighted().then(|| order.iter().map(|&row| scored.weight(row as usize)).collect());
        Self { places: order.len(), stretches, weights, measures }
    }

    /// The metrics where each place counts so many times; none where a class is not there.
    fn measure(&self, counts: &[u32]) -> Option<Vec<f64>> {
        let areas = Areas::under(self.points(counts));
        let (positives, negatives) = (areas.positives, areas.negatives);
        if positives == 0.0 || negatives == 0.0 {
            return None;
        }
        let value = |measure: &Measure| match measure {
            Measure::RocAuc => areas.roc_auc(),
            Measure::AveragePrecision => areas.average_precision(),
            Measure::Recall(rate) => highest_within(self.points(counts), *rate, negatives) / positives,
            Measure::Mean(losses) => dot(counts, losses) / (positives + negatives),
        };
        Some(self.measures.iter().map(value).collect())
    }

    /// (true positives, false positives) after each stretch.
    fn points(&self, counts: &[u32]) -> impl Iterator<Item = (f64, f64)> {
        let (mut positives, mut negatives) = (0.0, 0.0);
        let mut start = 0;
        self.stretches.iter().map(move |stretch| {
            let (middle, end) = (stretch.positives_end as usize, stretch.end as usize);
            positives += self.weigh(counts, start, middle);
            negatives += self.weigh(counts, middle, end);
            start = end;
            (positives, negatives)
        })
    }

    /// Weight drawn from the places `start..end`.
    fn weigh(&self, counts: &[u32], start: usize, end: usize) -> f64 {
        let counts = &counts[start..end];
        match &self.weights {
            // At most `places` in all, so it cannot wrap.
            None => f64::from(counts.iter().fold(0_u32, |sum, &count| sum.wrapping_add(count))),
            Some(weights) => dot(counts, &weights[start..end]),
        }
    }
}

/// Sum of counts times values over four interleaved partial sums, in an order fixed by the length alone.
fn dot(counts: &[u32], values: &[f64]) -> f64 {
    let mut lanes = [0.0; 4];
    let (counts, last_counts) = counts.as_chunks::<4>();
    let (values, last_values) = values.as_chunks::<4>();
    for (counts, values) in counts.iter().zip(values) {
        for lane in 0..4 {
            lanes[lane] += f64::from(counts[lane]) * values[lane];
        }
    }
    for (lane, (&count, value)) in last_counts.iter().zip(last_values).enumerate() {
        lanes[lane] += f64::from(count) * value;
    }
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
}

/// Quantile of sorted values, interpolated between the two nearest (definition 7 of Hyndman and Fan, 1996).
fn quantile(sorted: &[f64], at: f64) -> f64 {
    let place = at * (sorted.len() - 1) as f64;
    let below = sorted[place as usize];
    let above = sorted[(place as usize + 1).min(sorted.len() - 1)];
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests;
