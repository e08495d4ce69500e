//! What the order of the scores says: areas, curves and recall at a rate.
//!
//! Flows in: the weight of either class at or above each distinct score. Flows out: a [`Curve`]. Invariant: a
//! point stands for one distinct score, since rows of equal score cannot be told apart by any threshold.

use contracts::{Code, Failure, Result};

use super::sum::Sum;

/// The weight of either class at or above each distinct score, by falling score; both classes have weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    pub(super) thresholds: Vec<f64>,
    pub(super) true_positives: Vec<f64>,
    pub(super) false_positives: Vec<f64>,
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

impl Curve {
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
    pub fn roc_curve(&self, at_most: usize) -> impl Iterator<Item = RocPoint> + Clone {
        let [positives, negatives] = self.totals();
        let first = RocPoint { threshold: None, false_positive_rate: 0.0, true_positive_rate: 0.0 };
        let rest = self.shown(at_most).map(move |point| RocPoint {
            threshold: Some(self.thresholds[point]),
            false_positive_rate: self.false_positives[point] / negatives,
            true_positive_rate: self.true_positives[point] / positives,
        });
        std::iter::once(first).chain(rest)
    }

    /// The precision-recall curve by falling threshold, from recall 0 to recall 1; thinned as
    /// [`Self::roc_curve`] is, at the same thresholds.
    pub fn precision_recall_curve(
        &self,
        at_most: usize,
    ) -> impl Iterator<Item = PrecisionRecallPoint> + Clone {
        let [positives, _] = self.totals();
        let first = PrecisionRecallPoint { threshold: None, precision: 1.0, recall: 0.0 };
        let rest = self.shown(at_most).map(move |point| {
            let true_positives = self.true_positives[point];
            PrecisionRecallPoint {
                threshold: Some(self.thresholds[point]),
                precision: true_positives / (true_positives + self.false_positives[point]),
                recall: true_positives / positives,
            }
        });
        std::iter::once(first).chain(rest)
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

    /// Which points to show besides the one above every score.
    fn shown(&self, at_most: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        let steps = at_most.max(2) - 1;
        let points = self.thresholds.len();
        let chosen = (points > steps).then(|| self.chosen(steps));
        let count = chosen.as_ref().map_or(points, Vec::len);
        (0..count).map(move |place| chosen.as_ref().map_or(place, |chosen| chosen[place]))
    }

    /// The points that come first at so many equal steps of the way, and the last.
    fn chosen(&self, steps: usize) -> Vec<usize> {
        let [positives, negatives] = self.totals();
        let mut chosen = Vec::with_capacity(steps);
        let mut next = 1;
        for (point, (true_positives, false_positives)) in self.points().enumerate() {
            let way = f64::midpoint(true_positives / positives, false_positives / negatives);
            let arrived = |next: usize| next < steps && way >= next as f64 / steps as f64;
            if point + 1 == self.thresholds.len() || arrived(next) {
                chosen.push(point);
                while arrived(next) {
                    next += 1;
                }
            }
        }
        chosen
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
