//! Metrics of a decision: all rows from a threshold up, or the k highest.

use contracts::{Code, Failure, Result};

use super::order::Order;
use super::scored::Scored;
use super::sum::Sum;

/// Weights of the four outcomes where rows scored at or above a threshold are called positive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Confusion {
    /// Positives called positive.
    pub true_positives: f64,
    /// Negatives called positive.
    pub false_positives: f64,
    /// Negatives called negative.
    pub true_negatives: f64,
    /// Positives called negative.
    pub false_negatives: f64,
}

impl Confusion {
    /// Counts at one threshold. Refuses one that is not finite with `PARAMETER_INVALID`.
    pub fn at(scored: &Scored, threshold: f64) -> Result<Self> {
        if !threshold.is_finite() {
            return Err(Failure::at(
                Code::ParameterInvalid,
                "threshold",
                "a finite number",
                "NaN or an infinity",
            ));
        }
        let mut sums = [[Sum::default(); 2]; 2];
        for (row, (&score, &positive)) in scored.scores().iter().zip(scored.positive()).enumerate() {
            sums[usize::from(score >= threshold)][usize::from(positive)].add(scored.weight(row));
        }
        let [[true_negatives, false_negatives], [false_positives, true_positives]] =
            sums.map(|called| called.map(Sum::value));
        Ok(Self { true_positives, false_positives, true_negatives, false_negatives })
    }

    /// Share of positives among the rows called positive; none where no row is.
    pub fn precision(&self) -> Option<f64> {
        share(self.true_positives, self.true_positives + self.false_positives)
    }

    /// Share of the positives called positive; none where there is no positive.
    pub fn recall(&self) -> Option<f64> {
        share(self.true_positives, self.true_positives + self.false_negatives)
    }

    /// Harmonic mean of precision and recall; none where no row is positive or called so.
    pub fn f1(&self) -> Option<f64> {
        let twice = 2.0 * self.true_positives;
        share(twice, twice + self.false_positives + self.false_negatives)
    }

    /// Share of the negatives called positive; none where there is no negative.
    pub fn false_positive_rate(&self) -> Option<f64> {
        share(self.false_positives, self.false_positives + self.true_negatives)
    }
}

/// What the k highest scores hold; of equal scores the earlier row goes first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TopK {
    /// Rows taken: k, or all rows with weight where there are fewer.
    pub rows: usize,
    /// Weight of the positives among them.
    pub true_positives: f64,
    /// Weight of the negatives among them.
    pub false_positives: f64,
    /// Weight of all positives.
    pub positives: f64,
}

impl TopK {
    /// Takes the `k` highest scores. Refuses a `k` of zero with `PARAMETER_INVALID`.
    pub fn of(scored: &Scored, k: usize) -> Result<Self> {
        check_k(k)?;
        let mut taken = Order::of(scored).rows;
        taken.truncate(k);
        // In row order, as all sums are that need no ranking.
        taken.sort_unstable();
        let [true_positives, false_positives] = [true, false].map(|class| {
            let rows = taken.iter().map(|&row| row as usize);
            let rows = rows.filter(|&row| scored.positive()[row] == class);
            rows.map(|row| scored.weight(row)).collect::<Sum>().value()
        });
        let positives = scored.positive_weight();
        Ok(Self { rows: taken.len(), true_positives, false_positives, positives })
    }

    /// Share of positives among the rows taken.
    pub fn precision(&self) -> f64 {
        self.true_positives / (self.true_positives + self.false_positives)
    }

    /// Share of the positives that were taken; none where there is no positive.
    pub fn recall(&self) -> Option<f64> {
        share(self.true_positives, self.positives)
    }
}

/// Refuses a list of no length with `PARAMETER_INVALID`.
pub(super) fn check_k(k: usize) -> Result<()> {
    if k > 0 {
        return Ok(());
    }
    Err(Failure::at(Code::ParameterInvalid, "k", "at least 1", "0"))
}

fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use super::*;

    const SCORES: [f64; 6] = [0.9, 0.5, 0.5, 0.5, 0.1, -0.0];
    const POSITIVE: [bool; 6] = [true, false, true, false, true, false];

    #[test]
    fn the_threshold_itself_is_called_positive() {
        let scored = Scored::new(&SCORES, &POSITIVE, None).unwrap();
        let found = Confusion::at(&scored, 0.5).unwrap();
        let expected = Confusion {
            true_positives: 2.0,
            false_positives: 2.0,
            true_negatives: 1.0,
            false_negatives: 1.0,
        };
        assert_eq!(found, expected);
        assert_eq!(found.precision(), Some(0.5));
        assert_eq!(found.recall(), Some(2.0 / 3.0));
        assert_eq!(found.f1(), Some(4.0 / 7.0));
        assert_eq!(found.false_positive_rate(), Some(2.0 / 3.0));
        assert_eq!(Confusion::at(&scored, f64::NAN).unwrap_err().code, Code::ParameterInvalid);
    }

    #[test]
    fn what_is_not_defined_is_none() {
        let negatives = Scored::new(&SCORES, &[false; 6], None).unwrap();
        let found = Confusion::at(&negatives, 2.0).unwrap();
        assert_eq!((found.precision(), found.recall(), found.f1()), (None, None, None));
        assert_eq!(found.false_positive_rate(), Some(0.0));
        assert_eq!(TopK::of(&negatives, 2).unwrap().recall(), None);
        let positives = Scored::new(&SCORES, &[true; 6], None).unwrap();
        assert_eq!(Confusion::at(&positives, 2.0).unwrap().false_positive_rate(), None);
    }

    #[test]
    fn ties_go_to_the_earlier_row() {
        let scored = Scored::new(&SCORES, &POSITIVE, None).unwrap();
        let precisions: Vec<_> = (1..=6).map(|k| TopK::of(&scored, k).unwrap().precision()).collect();
        assert_eq!(precisions, [1.0, 1.0 / 2.0, 2.0 / 3.0, 2.0 / 4.0, 3.0 / 5.0, 3.0 / 6.0]);
        assert_eq!(TopK::of(&scored, 3).unwrap().recall(), Some(2.0 / 3.0));
        assert_eq!(TopK::of(&scored, 100).unwrap().rows, 6);
        assert_eq!(TopK::of(&scored, 0).unwrap_err().code, Code::ParameterInvalid);
    }

    #[test]
    fn rows_without_weight_are_not_taken() {
        let weights = [0.0, 1.0, 2.0, 1.0, 1.0, 1.0];
        let scored = Scored::new(&SCORES, &POSITIVE, Some(&weights)).unwrap();
        let found = TopK::of(&scored, 2).unwrap();
        assert_eq!((found.true_positives, found.false_positives, found.positives), (2.0, 1.0, 3.0));
    }
}
