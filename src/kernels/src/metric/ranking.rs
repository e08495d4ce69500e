//! Metrics that see only the order of the scores.
//!
//! Flows in: a [`Scored`] with both classes. Flows out: a [`Ranking`], sorted once, that answers for areas,
//! curves and recall at a rate. Invariant: a point of a curve stands for one distinct score, since rows of
//! equal score cannot be told apart by any threshold.

use contracts::{Code, Failure, Result};

use super::scored::Scored;
use super::sum::Sum;

/// Rows sorted by falling score, with the weight of either class at or above each distinct score.
#[derive(Debug, Clone)]
pub struct Ranking<'a> {
    scored: Scored<'a>,
    order: Vec<u32>,
    ends: Vec<u32>,
    true_positives: Vec<f64>,
    false_positives: Vec<f64>,
}

/// One point of the receiver operating characteristic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RocPoint {
    /// Rows scored at or above it are called positive; none for the point above every score.
    pub threshold: Option<f64>,
    /// Share of the negatives called positive.
    pub false_positive_rate: f64,
    /// Share of the positives called positive.
    pub true_positive_rate: f64,
}

/// One point of the precision-recall curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrecisionRecallPoint {
    /// Rows scored at or above it are called positive; none for the point above every score.
    pub threshold: Option<f64>,
    /// Share of positives among the rows called positive; 1 by convention above every score.
    pub precision: f64,
    /// Share of the positives called positive.
    pub recall: f64,
}

impl<'a> Ranking<'a> {
    /// Sorts the rows once. Refuses with `DEGENERATE_LABELS` unless both classes have weight.
    pub fn new(scored: &Scored<'a>) -> Result<Self> {
        scored.both_classes()?;
        let mut keyed = scored.keyed_rows();
        keyed.sort_unstable();
        let mut ranking = Self {
            scored: *scored,
            order: keyed.iter().map(|row| row.row() as u32).collect(),
            ends: Vec::new(),
            true_positives: Vec::new(),
            false_positives: Vec::new(),
        };
        let (mut positives, mut negatives) = (Sum::default(), Sum::default());
        let mut end = 0;
        for ties in keyed.chunk_by(|left, right| left.key() == right.key()) {
            for row in ties.iter().map(|row| row.row()) {
                let sum = if scored.positive()[row] { &mut positives } else { &mut negatives };
                sum.add(scored.weight(row));
            }
            end += ties.len();
            ranking.ends.push(end as u32);
            ranking.true_positives.push(positives.value());
            ranking.false_positives.push(negatives.value());
        }
        Ok(ranking)
    }

    /// What was ranked.
    pub const fn scored(&self) -> Scored<'a> {
        self.scored
    }

    /// Rows with weight, highest score first; of equal scores the earlier row.
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// For each distinct score, falling: one past the last place in [`Self::order`] that has it.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Area under the receiver operating characteristic: the chance that a positive outranks a negative,
    /// ties counting half.
    pub fn roc_auc(&self) -> f64 {
        self.areas().roc_auc()
    }

    /// Sum of precision times the gain in recall over the distinct scores (no interpolation).
    pub fn average_precision(&self) -> f64 {
        self.areas().average_precision()
    }

    /// Largest recall at a threshold whose false-positive rate is at most `rate`.
    ///
    /// Refuses a rate outside 0 to 1 with `PARAMETER_INVALID`.
    pub fn recall_at_false_positive_rate(&self, rate: f64) -> Result<f64> {
        check_rate(rate)?;
        let [positives, negatives] = self.totals();
        Ok(highest_within(self.points(), rate, negatives) / positives)
    }

    /// The receiver operating characteristic by falling threshold, from (0, 0) to (1, 1).
    ///
    /// All points where they are at most `at_most` (2 or more), else those that come first at equal steps of
    /// the way along the curve, ends kept.
    pub fn roc_curve(&self, at_most: usize) -> Vec<RocPoint> {
        let [positives, negatives] = self.totals();
        let point = |(threshold, true_positives, false_positives)| RocPoint {
            threshold,
            false_positive_rate: false_positives / negatives,
            true_positive_rate: true_positives / positives,
        };
        self.thinned(at_most).into_iter().map(point).collect()
    }

    /// The precision-recall curve by falling threshold, from recall 0 to recall 1; thinned as
    /// [`Self::roc_curve`] is, at the same thresholds.
    pub fn precision_recall_curve(&self, at_most: usize) -> Vec<PrecisionRecallPoint> {
        let [positives, _] = self.totals();
        let point = |(threshold, true_positives, false_positives): (Option<f64>, f64, f64)| {
            let called = true_positives + false_positives;
            PrecisionRecallPoint {
                threshold,
                precision: threshold.map_or(1.0, |_| true_positives / called),
                recall: true_positives / positives,
            }
        };
        self.thinned(at_most).into_iter().map(point).collect()
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.true_positives.iter().copied().zip(self.false_positives.iter().copied())
    }

    fn areas(&self) -> Areas {
        Areas::under(self.points())
    }

    /// Weight of the positives and of the negatives, as the last point of the curves has them.
    fn totals(&self) -> [f64; 2] {
        [&self.true_positives, &self.false_positives].map(|sums| sums.last().copied().unwrap_or_default())
    }

    /// (threshold, true positives, false positives) of the points to show.
    fn thinned(&self, at_most: usize) -> Vec<(Option<f64>, f64, f64)> {
        let [positives, negatives] = self.totals();
        let steps = at_most.max(2) - 1;
        let all = self.ends.len() <= steps;
        let mut shown = Vec::with_capacity(at_most.clamp(2, self.ends.len() + 1));
        shown.push((None, 0.0, 0.0));
        let mut next = 1;
        for (group, (true_positives, false_positives)) in self.points().enumerate() {
            let way = f64::midpoint(true_positives / positives, false_positives / negatives);
            let is_last = group + 1 == self.ends.len();
            if all || is_last || (next < steps && way >= next as f64 / steps as f64) {
                let row = self.order[self.ends[group] as usize - 1] as usize;
                shown.push((Some(self.scored.scores()[row] + 0.0), true_positives, false_positives));
                while !all && next < steps && way >= next as f64 / steps as f64 {
                    next += 1;
                }
            }
        }
        shown
    }
}

/// What the points of a curve, in the order of falling scores, enclose.
///
/// The one implementation behind the point estimates and their bootstrap replicates.
#[derive(Debug, Clone, Copy)]
pub(super) struct Areas {
    /// Weight of the positives at the last point.
    pub(super) positives: f64,
    /// Weight of the negatives at the last point.
    pub(super) negatives: f64,
    twice_under_roc: f64,
    precision_steps: f64,
}

impl Areas {
    /// Walks over (true positives, false positives), both cumulative.
    pub(super) fn under(points: impl Iterator<Item = (f64, f64)>) -> Self {
        let (mut twice_under_roc, mut precision_steps) = (Sum::default(), Sum::default());
        let (mut positives, mut negatives) = (0.0, 0.0);
        for (true_positives, false_positives) in points {
            twice_under_roc.add((false_positives - negatives) * (true_positives + positives));
            if true_positives > positives {
                let precision = true_positives / (true_positives + false_positives);
                precision_steps.add((true_positives - positives) * precision);
            }
            (positives, negatives) = (true_positives, false_positives);
        }
        Self {
            positives,
            negatives,
            twice_under_roc: twice_under_roc.value(),
            precision_steps: precision_steps.value(),
        }
    }

    /// Needs both classes.
    pub(super) fn roc_auc(&self) -> f64 {
        (self.twice_under_roc / (2.0 * self.positives * self.negatives)).min(1.0)
    }

    /// Needs a positive.
    pub(super) fn average_precision(&self) -> f64 {
        (self.precision_steps / self.positives).min(1.0)
    }
}

/// The most true positives at a point whose share of all `negatives` is at most `rate`.
pub(super) fn highest_within(points: impl Iterator<Item = (f64, f64)>, rate: f64, negatives: f64) -> f64 {
    // Divided as a reader of the curve would: 0.29 * 100 is less than 29, but 29 / 100 is 0.29.
    let within = points.take_while(|&(_, false_positives)| false_positives / negatives <= rate);
    within.last().map_or(0.0, |(true_positives, _)| true_positives)
}

/// Refuses what is not a share with `PARAMETER_INVALID`.
pub(super) fn check_rate(rate: f64) -> Result<()> {
    if (0.0..=1.0).contains(&rate) {
        return Ok(());
    }
    Err(Failure::at(Code::ParameterInvalid, "false_positive_rate", "0 to 1", "another number"))
}

#[cfg(test)]
mod tests;
