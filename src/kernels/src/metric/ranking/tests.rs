#![allow(clippy::unwrap_used, clippy::float_cmp)]
// A method's path is of one lifetime; a closure is of any.
#![allow(clippy::redundant_closure_for_method_calls)]

use contracts::Code;
use proptest::prelude::*;

use super::*;
use crate::metric::PrecisionRecallPoint;

const EVERY_POINT: usize = usize::MAX;

/// Scores on a coarse grid (many ties), labels and small weights of one to eighty rows.
fn rows() -> impl Strategy<Value = Vec<(u32, bool, u32)>> {
    prop::collection::vec((0_u32..15, any::<bool>(), 0_u32..5), 2..80)
}

struct Case {
    scores: Vec<f64>,
    positive: Vec<bool>,
    weights: Vec<f64>,
}

impl Case {
    fn new(rows: &[(u32, bool, u32)]) -> Self {
        Self {
            scores: rows.iter().map(|row| f64::from(row.0) / 14.0).collect(),
            positive: rows.iter().map(|row| row.1).collect(),
            weights: rows.iter().map(|row| f64::from(row.2) / 4.0).collect(),
        }
    }

    fn scored(&self) -> Result<Scored<'_>> {
        Scored::new(&self.scores, &self.positive, Some(&self.weights))
    }

    /// Weight of the rows of a class for which `holds`.
    fn weight(&self, class: bool, holds: impl Fn(usize) -> bool) -> f64 {
        let rows = (0..self.scores.len()).filter(|&row| self.positive[row] == class && holds(row));
        rows.map(|row| self.weights[row]).sum()
    }

    /// Weighted share of pairs in which the positive outranks the negative, ties counting half.
    fn concordance(&self) -> f64 {
        let mut outranked = 0.0;
        for positive in (0..self.scores.len()).filter(|&row| self.positive[row]) {
            for negative in (0..self.scores.len()).filter(|&row| !self.positive[row]) {
                let pair = self.weights[positive] * self.weights[negative];
                outranked += match self.scores[positive].total_cmp(&self.scores[negative]) {
                    std::cmp::Ordering::Greater => pair,
                    std::cmp::Ordering::Equal => pair / 2.0,
                    std::cmp::Ordering::Less => 0.0,
                };
            }
        }
        outranked / (self.weight(true, |_| true) * self.weight(false, |_| true))
    }

    /// Mean over the positives of the precision at their own score.
    fn mean_precision(&self) -> f64 {
        let positives = (0..self.scores.len()).filter(|&row| self.positive[row] && self.weights[row] > 0.0);
        let terms = positives.map(|positive| {
            let called = |row: usize| self.scores[row] >= self.scores[positive];
            let hits = self.weight(true, called);
            self.weights[positive] * hits / (hits + self.weight(false, called))
        });
        terms.sum::<f64>() / self.weight(true, |_| true)
    }

    fn best_recall(&self, rate: f64) -> f64 {
        let within = self.scores.iter().map(|&threshold| {
            let called = |row: usize| self.scores[row] >= threshold;
            let false_rate = self.weight(false, called) / self.weight(false, |_| true);
            if false_rate <= rate { self.weight(true, called) / self.weight(true, |_| true) } else { 0.0 }
        });
        within.fold(0.0, f64::max)
    }
}

proptest! {
    #[test]
    fn areas_agree_with_counting_pairs(rows in rows()) {
        let case = Case::new(&rows);
        let Ok(ranking) = case.scored().and_then(|scored| Ranking::new(&scored)) else { return Ok(()) };
        prop_assert!((ranking.roc_auc() - case.concordance()).abs() < 1e-13);
        prop_assert!((ranking.average_precision() - case.mean_precision()).abs() < 1e-13);
    }

    #[test]
    fn recall_agrees_with_trying_every_threshold(rows in rows(), twentieths in 0_u32..=20) {
        let case = Case::new(&rows);
        let Ok(ranking) = case.scored().and_then(|scored| Ranking::new(&scored)) else { return Ok(()) };
        let rate = f64::from(twentieths) / 20.0;
        let found = ranking.recall_at_false_positive_rate(rate).unwrap();
        prop_assert!((found - case.best_recall(rate)).abs() < 1e-15);
    }

    #[test]
    fn row_order_and_a_rising_function_of_the_score_change_nothing(rows in rows()) {
        let case = Case::new(&rows);
        let Ok(ranking) = case.scored().and_then(|scored| Ranking::new(&scored)) else { return Ok(()) };
        let mut other = Case::new(&rows.iter().rev().copied().collect::<Vec<_>>());
        other.scores.iter_mut().for_each(|score| *score = *score * 1e9 - 3.0);
        let scored = other.scored().unwrap();
        let turned = Ranking::new(&scored).unwrap();
        // The weights are quarters, so that every sum is exact in any order.
        prop_assert_eq!(ranking.roc_auc(), turned.roc_auc());
        prop_assert_eq!(ranking.average_precision(), turned.average_precision());
    }

    #[test]
    fn curves_rise_and_thin_to_some_of_their_own_points(rows in rows(), at_most in 0_usize..20) {
        let case = Case::new(&rows);
        let Ok(ranking) = case.scored().and_then(|scored| Ranking::new(&scored)) else { return Ok(()) };
        let roc = ranking.roc_curve(EVERY_POINT).collect::<Vec<_>>();
        prop_assert_eq!(roc.len(), ranking.ends().len() + 1);
        for pair in roc.windows(2) {
            prop_assert!(pair[0].false_positive_rate <= pair[1].false_positive_rate);
            prop_assert!(pair[0].true_positive_rate <= pair[1].true_positive_rate);
            prop_assert!(pair[0].threshold.is_none_or(|above| Some(above) > pair[1].threshold));
        }
        let thinned = ranking.roc_curve(at_most).collect::<Vec<_>>();
        prop_assert!(thinned.len() <= at_most.max(2));
        prop_assert_eq!((thinned.first(), thinned.last()), (roc.first(), roc.last()));
        prop_assert!(thinned.iter().all(|point| roc.contains(point)));
        let precision_recall = ranking.precision_recall_curve(at_most).collect::<Vec<_>>();
        let thresholds = |point: &PrecisionRecallPoint| point.threshold;
        let same: Vec<_> = precision_recall.iter().map(thresholds).collect();
        prop_assert_eq!(same, thinned.iter().map(|point| point.threshold).collect::<Vec<_>>());
    }
}

fn ranked<T>(scores: &[f64], positive: &[bool], ask: impl for<'a> Fn(&Ranking<'a>) -> T) -> T {
    ask(&Ranking::new(&Scored::new(scores, positive, None).unwrap()).unwrap())
}

#[test]
fn one_class_is_refused() {
    let scored = Scored::new(&[0.1, 0.2], &[true, true], None).unwrap();
    assert_eq!(Ranking::new(&scored).unwrap_err().code, Code::DegenerateLabels);
}

#[test]
fn a_rate_is_a_share() {
    for rate in [-0.1, 1.1, f64::NAN] {
        let refused = ranked(&[0.1, 0.2], &[false, true], |it| it.recall_at_false_positive_rate(rate));
        assert_eq!(refused.unwrap_err().code, Code::ParameterInvalid);
    }
}

/// 0.29 * 100 is less than 29 in binary: the rate must be compared as a share.
#[test]
fn a_rate_that_is_met_exactly_counts() {
    let scores: Vec<_> = (0..101).map(|row| 1.0 - f64::from(row) / 200.0).collect();
    let positive: Vec<_> = (0..101).map(|row| row == 29).collect();
    assert_eq!(ranked(&scores, &positive, |it| it.recall_at_false_positive_rate(0.29)).unwrap(), 1.0);
    assert_eq!(ranked(&scores, &positive, |it| it.recall_at_false_positive_rate(0.28)).unwrap(), 0.0);
}

#[test]
fn the_zeros_tie_and_neighbours_do_not() {
    let area = |scores: [f64; 2]| ranked(&scores, &[true, false], |ranking| ranking.roc_auc());
    assert_eq!(area([0.0, -0.0]), 0.5);
    assert_eq!(area([0.5_f64.next_up(), 0.5]), 1.0);
    assert_eq!(area([0.0, 5e-324]), 0.0);
}

#[test]
fn equal_scores_keep_row_order() {
    let order = ranked(&[0.5, 0.9, 0.5, 0.5], &[true, false, false, true], |it| it.order().to_vec());
    assert_eq!(order, [1, 0, 2, 3]);
}

#[test]
fn a_thinned_curve_shows_both_directions() {
    let scores: Vec<_> = (0..1000).map(|row| 1.0 - f64::from(row) / 1000.0).collect();
    let positive: Vec<_> = (0..1000).map(|row| row < 10).collect();
    let points = ranked(&scores, &positive, |it| it.roc_curve(21).collect::<Vec<_>>());
    let rising = points.iter().filter(|point| point.false_positive_rate == 0.0).count();
    assert_eq!((points.len(), rising), (21, 11));
}
