//! The best split of a leaf, from its histogram.
//!
//! Flows in: exact sums for each bin. Flows out: at most one [`Split`]. Gains are computed in `f64` from exact
//! integers by one formula, and ties go to the lower column, then the lower bin, then missing values to the
//! left; so the choice depends on the rows of the leaf alone.
//!
//! Source: Chen, Guestrin: *`XGBoost`: A Scalable Tree Boosting System*, KDD 2016, equations 5 to 7 and
//! algorithm 3 (missing values), with the L1 penalty as soft thresholding.

use contracts::model_config::GradientBoosting;

use super::{
    constraint::{Bounds, Monotone},
    fixed::Sums,
};
use crate::ensemble::category::CategorySet;

/// Curvature that is added to each category's, so that those with little of it stand in the middle of the order
/// and not, by chance, at its ends: the constant of `LightGBM` (`cat_smooth`) and scikit-learn.
pub(super) const SMOOTHING: f64 = 10.0;

/// Rows that a category needs in a leaf to be looked at alone, as in scikit-learn.
pub(super) const MIN_CATEGORY_ROWS: i64 = 10;

/// A way to part the rows of a leaf.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Split {
    /// Loss reduction, above zero.
    pub(super) gain: f64,
    pub(super) column: usize,
    /// Bin numbers up to this go left, where no set says which.
    pub(super) bin: usize,
    /// Whether rows without a value go left.
    pub(super) missing_left: bool,
    /// Of a categorical column: the bin numbers that go left, the missing one and those of few rows included.
    pub(super) set: Option<CategorySet>,
    pub(super) left: Sums,
    pub(super) right: Sums,
}

/// What a split must satisfy and how it is valued.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) unit: f64,
    l1: f64,
    l2: f64,
    learning_rate: f64,
    min_child_weight: f64,
    min_samples_leaf: i64,
    pub(super) min_split_gain: f64,
    /// Curvature that is added to each category's before they are put in order.
    pub(super) smoothing: f64,
    /// Rows that a category needs to be looked at alone.
    pub(super) min_category_rows: i64,
}

impl Rules {
    /// The rules of `config` for sums in the given unit.
    pub(super) fn new(config: &GradientBoosting, unit: f64) -> Self {
        Self {
            unit,
            l1: config.l1_regularization,
            l2: config.l2_regularization,
            learning_rate: config.learning_rate,
            min_child_weight: config.min_child_weight,
            min_samples_leaf: i64::from(config.min_samples_leaf.max(1)),
            min_split_gain: config.min_split_gain,
            smoothing: SMOOTHING,
            min_category_rows: MIN_CATEGORY_ROWS,
        }
    }

    /// The shrunken value of a leaf.
    pub(super) fn leaf_value(&self, sums: Sums, bounds: Bounds) -> f64 {
        // Adding zero keeps -0.0 out of the model.
        self.learning_rate * self.step(sums, bounds) + 0.0
    }

    /// The step that minimises the penalised second-order loss within bounds: the loss is convex, so that it is
    /// the allowed one nearest to the step that minimises it without.
    pub(super) fn step(&self, sums: Sums, bounds: Bounds) -> f64 {
        bounds.clamp(self.free_step(sums))
    }

    fn free_step(&self, sums: Sums) -> f64 {
        let (slope, curvature) = self.penalised(sums);
        if curvature > 0.0 { -slope / curvature } else { 0.0 }
    }

    /// Whether a leaf holds enough for two.
    pub(super) fn may_split(&self, sums: Sums) -> bool {
        sums.count >= 2 * self.min_samples_leaf
            && sums.curvature as f64 * self.unit >= 2.0 * self.min_child_weight
    }

    /// The best split on one column, given its bins' sums with the missing bin last.
    pub(super) fn best_on_column(&self, column: usize, bins: &[Sums], leaf: Sums) -> Option<Split> {
        let before = self.loss_reduction(leaf);
        self.best_by(column, bins, leaf, |left, right| {
            self.loss_reduction(left) + self.loss_reduction(right) - before
        })
    }

    /// The best split on one column where the children's values must stand to each other as `monotone` says.
    pub(super) fn best_monotone(
        &self,
        column: usize,
        bins: &[Sums],
        leaf: Sums,
        monotone: Monotone,
    ) -> Option<Split> {
        let bounds = monotone.bounds;
        let before = self.loss_reduction_within(leaf, bounds);
        self.best_by(column, bins, leaf, |left, right| {
            if monotone.allows([left, right].map(|sums| self.step(sums, bounds))) {
                self.loss_reduction_within(left, bounds) + self.loss_reduction_within(right, bounds) - before
            } else {
                f64::NEG_INFINITY
            }
        })
    }

    /// The split on one column for whose left and right part `gain_of` is largest.
    fn best_by(
        &self,
        column: usize,
        bins: &[Sums],
        leaf: Sums,
        gain_of: impl Fn(Sums, Sums) -> f64,
    ) -> Option<Split> {
        let (&missing, values) = bins.split_last()?;
        let mut best: Option<Split> = None;
        let mut consider = |bin: usize, missing_left: bool, left: Sums| {
            let right = leaf - left;
            if !self.allows(left) || !self.allows(right) {
                return;
            }
            let gain = gain_of(left, right);
            if gain > best.map_or(self.min_split_gain, |best| best.gain) {
                best = Some(Split { gain, column, bin, missing_left, set: None, left, right });
            }
        };
        let mut left = Sums::default();
        for (bin, &sums) in values.iter().enumerate() {
            // An empty bin parts the rows as the bin before it did.
            if sums.count == 0 {
                continue;
            }
            left = left + sums;
            if missing.count == 0 {
                // None to learn from: an unseen missing value follows the larger part.
                consider(bin, 2 * left.count >= leaf.count, left);
            } else {
                consider(bin, true, left + missing);
                consider(bin, false, left);
            }
        }
        best
    }

    pub(super) fn allows(&self, child: Sums) -> bool {
        child.count >= self.min_samples_leaf && child.curvature as f64 * self.unit >= self.min_child_weight
    }

    /// By how much the best value of a leaf lowers the penalised loss against the value 0.
    pub(super) fn loss_reduction(&self, sums: Sums) -> f64 {
        let (slope, curvature) = self.penalised(sums);
        if curvature > 0.0 { 0.5 * (slope * slope / curvature) } else { 0.0 }
    }

    /// By how much the best value within bounds lowers it; less than nothing where the bounds leave out 0.
    pub(super) fn loss_reduction_within(&self, sums: Sums, bounds: Bounds) -> f64 {
        let free = self.free_step(sums);
        let value = bounds.clamp(free);
        if value.to_bits() == free.to_bits() {
            return self.loss_reduction(sums);
        }
        let (_, curvature) = self.penalised(sums);
        let slope = sums.slope as f64 * self.unit;
        -(slope * value + 0.5 * (curvature * (value * value)) + self.l1 * value.abs())
    }

    /// Slope after soft thresholding and curvature with the L2 penalty, in real terms.
    fn penalised(&self, sums: Sums) -> (f64, f64) {
        let slope = sums.slope as f64 * self.unit;
        let shrunken = (slope.abs() - self.l1).max(0.0);
        let slope = if slope < 0.0 { -shrunken } else { shrunken };
        (slope, sums.curvature as f64 * self.unit + self.l2)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sums(slope: i64, curvature: i64, count: i64) -> Sums {
        Sums { slope, curvature, count }
    }

    fn rules(change: impl FnOnce(&mut GradientBoosting)) -> Rules {
        let mut config = GradientBoosting {
            min_samples_leaf: 1,
            min_child_weight: 0.0,
            l2_regularization: 0.0,
            learning_rate: 0.5,
            ..GradientBoosting::default()
        };
        change(&mut config);
        Rules::new(&config, 0.25)
    }

    fn best(rules: &Rules, bins: &[Sums]) -> Option<Split> {
        let leaf = bins.iter().fold(Sums::default(), |sum, &bin| sum + bin);
        rules.best_on_column(3, bins, leaf)
    }

    #[test]
    fn values_and_gains_follow_the_formula() {
        let plain = rules(|_| ());
        assert_eq!(plain.leaf_value(sums(-8, 4, 3), Bounds::NONE), 0.5 * 2.0);
        let penalised = rules(|config| {
            config.l1_regularization = 0.5;
            config.l2_regularization = 2.0;
        });
        assert_eq!(penalised.leaf_value(sums(-8, 4, 3), Bounds::NONE), 0.5 * (1.5 / 3.0));
        assert_eq!(penalised.leaf_value(sums(1, 4, 3), Bounds::NONE), 0.0);
        assert_eq!(plain.leaf_value(sums(5, 0, 3), Bounds::NONE), 0.0);
        let split = best(&plain, &[sums(-8, 4, 1), sums(8, 4, 1), sums(0, 0, 0)]).unwrap();
        assert_eq!((split.gain, split.column, split.bin), (4.0, 3, 0));
    }

    #[test]
    fn each_rule_refuses_the_split_it_is_for() {
        let bins = [sums(-8, 4, 1), sums(8, 8, 3), sums(0, 0, 0)];
        assert!(best(&rules(|_| ()), &bins).is_some());
        assert!(best(&rules(|config| config.min_samples_leaf = 2), &bins).is_none());
        assert!(best(&rules(|config| config.min_child_weight = 1.1), &bins).is_none());
        assert!(best(&rules(|config| config.min_split_gain = 3.0), &bins).is_none());
        assert!(best(&rules(|config| config.min_split_gain = 2.9), &bins).is_some());
        assert!(best(&rules(|_| ()), &[sums(-8, 4, 1), sums(0, 0, 0)]).is_none());
    }

    #[test]
    fn missing_values_go_where_they_help() {
        let toward =
            |slope| best(&rules(|_| ()), &[sums(-8, 4, 1), sums(8, 4, 1), sums(slope, 4, 1)]).unwrap();
        assert!(toward(-8).missing_left);
        assert!(!toward(8).missing_left);
        let alone = best(&rules(|_| ()), &[sums(8, 4, 1), sums(8, 4, 1), sums(-8, 4, 1)]).unwrap();
        assert_eq!((alone.bin, alone.missing_left), (1, false));
    }

    proptest! {
        /// Against trying every way, in the order of the tie rule.
        #[test]
        fn no_other_split_gains_more(
            bins in prop::collection::vec((-20..20_i64, 0..9_i64, 0..4_i64), 2..12),
            min_samples_leaf in 1..4_u32,
            l1 in 0..3_u32,
        ) {
            let bins: Vec<Sums> = bins.into_iter()
                .map(|(slope, curvature, count)| {
                    if count == 0 { Sums::default() } else { sums(slope, curvature, count) }
                })
                .collect();
            let rules = rules(|config| {
                config.min_samples_leaf = min_samples_leaf;
                config.l1_regularization = f64::from(l1);
                config.l2_regularization = 0.3;
            });
            let (&missing, values) = bins.split_last().unwrap();
            let leaf = bins.iter().fold(Sums::default(), |sum, &bin| sum + bin);
            let mut expected: Option<(f64, Sums)> = None;
            for bin in 0..values.len() {
                for with_missing in [true, false] {
                    let mut left = values[..=bin].iter().fold(Sums::default(), |sum, &bin| sum + bin);
                    if with_missing {
                        left = left + missing;
                    }
                    let right = leaf - left;
                    let least = i64::from(min_samples_leaf);
                    let gain = rules.loss_reduction(left) + rules.loss_reduction(right)
                        - rules.loss_reduction(leaf);
                    // Missing values alone on the left is the mirror image of a split found elsewhere.
                    let some_value = left.count > if with_missing { missing.count } else { 0 };
                    if some_value && left.count >= least && right.count >= least
                        && gain > expected.map_or(0.0, |(gain, _)| gain)
                    {
                        expected = Some((gain, left));
                    }
                }
            }
            let found = best(&rules, &bins).map(|split| (split.gain, split.left));
            prop_assert_eq!(found, expected);
        }
    }
}
