//! Metrics that take scores at their word: as probabilities.
//!
//! Flows in: a [`Scored`] whose scores lie in 0 to 1. Flows out: losses, and how often what was foreseen came
//! true. Invariant: rows of equal score stand in one bin, so row order never matters.

use contracts::{Code, Failure, Result};

use super::ln;
use super::scored::Scored;
use super::sum::Sum;

/// Scores known to lie in 0 to 1.
#[derive(Debug, Clone, Copy)]
pub struct Probabilities<'a>(Scored<'a>);

/// How scores are grouped before they are held against what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bins {
    /// So many intervals of equal width over 0 to 1.
    Width(u32),
    /// So many intervals of (nearly) equal row counts; ties are not torn apart, so there may be fewer.
    Count(u32),
}

/// One bin of a reliability diagram: the rows with `lower < score <= upper` (and `score == lower` in the
/// first).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReliabilityBin {
    /// Lower edge.
    pub lower: f64,
    /// Upper edge.
    pub upper: f64,
    /// Number of rows with weight.
    pub rows: u64,
    /// Their summed weight.
    pub weight: f64,
    /// Their weighted mean score.
    pub mean_score: f64,
    /// Their weighted share of positives.
    pub observed_rate: f64,
}

/// A reliability diagram; bins without rows are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Reliability {
    /// The bins by rising score.
    pub bins: Vec<ReliabilityBin>,
    /// Mean distance of mean score and observed rate, by weight (Naeini, Cooper, Hauskrecht: *Obtaining well
    /// calibrated probabilities using Bayesian binning*, AAAI 2015).
    pub expected_calibration_error: f64,
}

impl<'a> Probabilities<'a> {
    /// Refuses scores outside 0 to 1 with `PARAMETER_INVALID`.
    pub fn new(scored: &Scored<'a>) -> Result<Self> {
        if scored.scores().iter().all(|score| (0.0..=1.0).contains(score)) {
            return Ok(Self(*scored));
        }
        Err(Failure::at(Code::ParameterInvalid, "scores", "probabilities in 0 to 1", "another number"))
    }

    /// Mean negative log-likelihood in nats, probabilities clipped to eps..1 - eps as scikit-learn does
    /// (eps = 2^-52).
    pub fn log_loss(&self) -> f64 {
        self.0.mean(log_loss_of)
    }

    /// Mean squared distance of probability and outcome.
    pub fn brier(&self) -> f64 {
        self.0.mean(brier_of)
    }

    /// What share came true, by bins of score. Refuses no bins at all with `PARAMETER_INVALID`.
    pub fn reliability(&self, bins: Bins) -> Result<Reliability> {
        let edges = self.edges(bins)?;
        let mut tallies = vec![Tally::default(); edges.len() - 1];
        for (row, &score) in self.0.scores().iter().enumerate() {
            let weight = self.0.weight(row);
            if weight > 0.0 {
                let bin = edges[1..edges.len() - 1].partition_point(|&edge| edge < score);
                tallies[bin].add(score, self.0.positive()[row], weight);
            }
        }
        let bins: Vec<_> = (edges.windows(2).zip(&tallies))
            .filter(|(_, tally)| tally.rows > 0)
            .map(|(edge, tally)| tally.bin(edge[0], edge[1]))
            .collect();
        let distances = bins.iter().map(|bin| bin.weight * (bin.mean_score - bin.observed_rate).abs());
        let total = self.0.positive_weight() + self.0.negative_weight();
        let expected_calibration_error = distances.collect::<Sum>().value() / total;
        Ok(Reliability { bins, expected_calibration_error })
    }

    /// Edges by rising score, one more than there are bins.
    fn edges(&self, bins: Bins) -> Result<Vec<f64>> {
        let (Bins::Width(wanted) | Bins::Count(wanted)) = bins;
        if wanted == 0 {
            return Err(Failure::at(Code::ParameterInvalid, "bins", "at least one", "none"));
        }
        match bins {
            Bins::Width(_) => Ok((0..=wanted).map(|i| f64::from(i) / f64::from(wanted)).collect()),
            Bins::Count(_) => {
                let rows = (0..self.0.rows()).filter(|&row| self.0.weight(row) > 0.0);
                let mut sorted: Vec<_> = rows.map(|row| self.0.scores()[row] + 0.0).collect();
                sorted.sort_unstable_by(f64::total_cmp);
                let mut edges = quantiles(&sorted, wanted);
                edges.dedup();
                edges.insert(0, sorted[0]);
                Ok(edges)
            }
        }
    }
}

/// Sums over the rows of one bin.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    rows: u64,
    weight: Sum,
    scores: Sum,
    positives: Sum,
}

impl Tally {
    fn add(&mut self, score: f64, positive: bool, weight: f64) {
        self.rows += 1;
        self.weight.add(weight);
        self.scores.add(weight * score);
        self.positives.add(if positive { weight } else { 0.0 });
    }

    fn bin(&self, lower: f64, upper: f64) -> ReliabilityBin {
        let weight = self.weight.value();
        ReliabilityBin {
            lower,
            upper,
            rows: self.rows,
            weight,
            mean_score: self.scores.value() / weight,
            observed_rate: self.positives.value() / weight,
        }
    }
}

/// The values at or below which 1/n, 2/n, ... n/n of the `sorted` values lie: exact order statistics, no
/// interpolation. Empty only where `sorted` is.
pub(super) fn quantiles(sorted: &[f64], n: u32) -> Vec<f64> {
    let place = |i: u32| (u128::from(i) * sorted.len() as u128).div_ceil(u128::from(n)) as usize;
    if sorted.is_empty() { Vec::new() } else { (1..=n).map(|i| sorted[place(i) - 1]).collect() }
}

/// Log loss of one row.
pub(super) fn log_loss_of(score: f64, positive: bool) -> f64 {
    let chance = if positive { score } else { 1.0 - score };
    -ln(chance.clamp(f64::EPSILON, 1.0 - f64::EPSILON))
}

/// Squared error of one row.
pub(super) fn brier_of(score: f64, positive: bool) -> f64 {
    let distance = score - f64::from(u8::from(positive));
    distance * distance
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reliability(scores: &[f64], positive: &[bool], bins: Bins) -> Reliability {
        let scored = Scored::new(scores, positive, None).unwrap();
        Probabilities::new(&scored).unwrap().reliability(bins).unwrap()
    }

    #[test]
    fn scores_beyond_one_are_no_probabilities() {
        for score in [-0.1, 1.0 + f64::EPSILON] {
            let scores = [score, 0.5];
            let scored = Scored::new(&scores, &[true, false], None).unwrap();
            assert_eq!(Probabilities::new(&scored).unwrap_err().code, Code::ParameterInvalid);
        }
    }

    #[test]
    fn no_bins_are_refused() {
        let scored = Scored::new(&[0.5], &[true], None).unwrap();
        for bins in [Bins::Width(0), Bins::Count(0)] {
            let refused = Probabilities::new(&scored).unwrap().reliability(bins).unwrap_err();
            assert_eq!(refused.code, Code::ParameterInvalid);
        }
    }

    #[test]
    fn certain_and_wrong_costs_the_clipped_logarithm() {
        let scored = Scored::new(&[0.0, 1.0], &[true, false], None).unwrap();
        let loss = Probabilities::new(&scored).unwrap().log_loss();
        assert!((loss - 52.0 * std::f64::consts::LN_2).abs() < 1e-12, "{loss}");
    }

    #[test]
    fn an_edge_belongs_to_the_bin_below_it() {
        let found = reliability(&[0.0, 0.3, 0.31, 1.0], &[false, true, true, true], Bins::Width(10));
        let edges: Vec<_> = found.bins.iter().map(|bin| (bin.lower, bin.upper, bin.rows)).collect();
        assert_eq!(edges, [(0.0, 0.1, 1), (0.2, 0.3, 1), (0.3, 0.4, 1), (0.9, 1.0, 1)]);
        let expected = (0.0 + 0.7 + 0.69 + 0.0) / 4.0;
        assert!((found.expected_calibration_error - expected).abs() < 1e-15);
    }

    #[test]
    fn ties_are_not_torn_apart() {
        let found = reliability(&[0.2, 0.2, 0.2, 0.9], &[true, false, false, true], Bins::Count(4));
        let bins: Vec<_> = found.bins.iter().map(|bin| (bin.rows, bin.mean_score)).collect();
        assert_eq!(bins, [(3, 0.2 * 3.0 / 3.0), (1, 0.9)]);
    }

    #[test]
    fn equal_scores_make_one_bin() {
        let found = reliability(&[0.4; 7], &[true; 7], Bins::Count(3));
        assert_eq!(found.bins.len(), 1);
        assert_eq!((found.bins[0].lower, found.bins[0].upper, found.bins[0].rows), (0.4, 0.4, 7));
    }

    proptest! {
        #[test]
        fn distinct_scores_fill_counted_bins_evenly(rows in 1_usize..80, wanted in 1_u32..12) {
            // 83 is prime, so that the first 83 multiples of 37 differ.
            let scores: Vec<_> = (0..rows).map(|row| (row * 37 % 83) as f64 / 83.0).collect();
            let found = reliability(&scores, &vec![true; rows], Bins::Count(wanted));
            let sizes: Vec<_> = found.bins.iter().map(|bin| bin.rows as usize).collect();
            prop_assert_eq!(sizes.iter().sum::<usize>(), rows);
            let fair = rows / wanted as usize;
            prop_assert!(sizes.iter().all(|&size| size >= fair && size <= fair + 1), "{:?}", sizes);
        }

        #[test]
        fn every_row_is_in_one_bin_whose_edges_hold_it(
            rows in prop::collection::vec((0_u32..=20, any::<bool>(), 0_u32..4), 1..60),
            wanted in 1_u32..15, by_width in any::<bool>(),
        ) {
            let scores: Vec<_> = rows.iter().map(|row| f64::from(row.0) / 20.0).collect();
            let positive: Vec<_> = rows.iter().map(|row| row.1).collect();
            let weights: Vec<_> = rows.iter().map(|row| f64::from(row.2)).collect();
            prop_assume!(weights.iter().sum::<f64>() > 0.0);
            let scored = Scored::new(&scores, &positive, Some(&weights)).unwrap();
            let bins = if by_width { Bins::Width(wanted) } else { Bins::Count(wanted) };
            let found = Probabilities::new(&scored).unwrap().reliability(bins).unwrap();
            for (place, bin) in found.bins.iter().enumerate() {
                let held: Vec<_> = (0..rows.len()).filter(|&row| {
                    let above = scores[row] > bin.lower || (place == 0 && scores[row] == bin.lower);
                    weights[row] > 0.0 && above && scores[row] <= bin.upper
                }).collect();
                let weight: f64 = held.iter().map(|&row| weights[row]).sum();
                let positives: f64 = held.iter().filter(|&&row| positive[row]).map(|&row| weights[row]).sum();
                prop_assert_eq!(bin.rows as usize, held.len());
                prop_assert_eq!(bin.weight, weight);
                prop_assert!((bin.observed_rate - positives / weight).abs() < 1e-15);
            }
            prop_assert_eq!(found.bins.iter().map(|bin| bin.weight).sum::<f64>(), weights.iter().sum::<f64>());
        }
    }
}
