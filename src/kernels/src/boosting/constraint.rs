//! Monotone and interaction constraints: what the path from the root leaves open to a leaf.
//!
//! ```text
//!   config, column names ──► Constraints (by position) ──► Limits of the root ──► of its children ──► ...
//! ```
//!
//! Monotone: two rows that differ in one constrained feature part, if at all, at a split on that feature, and
//! from there on the values of the one side stay at or below a bound that those of the other stay at or above.
//! So every tree is monotone, and so are log-odds to the last bit, since sums of rounded numbers keep the order that
//! their terms have; probabilities are up to the rounding of the exponential. A row without a value goes to either
//! side, and its score is compared with none.
//!
//! Interactions: a leaf may look at the columns of those groups that hold every column on its path.
//!
//! Sources: Chen, Guestrin and others, *`XGBoost`* ("Monotonic Constraints" of its documentation), and the "basic"
//! method of `LightGBM`: bounds at the middle of the two children. Interactions as in scikit-learn's
//! `HistGradientBoostingClassifier`: groups may overlap, and the columns of no group are one group more.

use std::{borrow::Cow, collections::BTreeSet};

use contracts::{
    Code, Result,
    constraint::{Direction, InteractionNumber, Interactions},
    model_config::GradientBoosting,
    names::ColumnName,
    schema::Problems,
};

use super::named::Positions;

/// Constraints on columns by their position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Constraints {
    /// One for each column; empty where none is constrained.
    directions: Vec<Direction>,
    interactions: Option<Together>,
}

/// Columns that may stand on one path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Together {
    /// Those of a group; every column is in one.
    Groups(Vec<BTreeSet<usize>>),
    /// So many.
    Number(usize),
}

/// What is left open to a leaf.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Limits {
    pub(super) bounds: Bounds,
    /// Columns on the path to it, where interactions are constrained.
    path: BTreeSet<usize>,
}

/// The least and the largest value of a leaf, before it is shrunken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    least: f64,
    most: f64,
}

impl Constraints {
    /// The constraints of `config`, which stands at `pointer` in its document, on the columns of a fit, given
    /// their names in order.
    ///
    /// Refuses, showing every place, with `FEATURE_SCHEMA_INCOMPATIBLE` names that are none of theirs, and with
    /// `PARAMETER_INVALID` a direction of a categorical column, whose values have no order to rise in.
    pub fn new(config: &GradientBoosting, pointer: &str, columns: &[ColumnName]) -> Result<Self> {
        let mut positions = Positions::new(columns);
        let mut directions = vec![Direction::Any; columns.len()];
        let place = |name: &ColumnName| format!("{pointer}/monotonic_cst/{}", escaped(name));
        for (name, &direction) in config.monotonic_cst.iter().flatten() {
            if let Some(column) = positions.find(name, place(name)) {
                directions[column] = direction;
            }
        }
        let interactions = config.interaction_cst.as_ref().map(|interactions| match interactions {
            Interactions::Number(InteractionNumber::NoInteractions) => Together::Number(1),
            Interactions::Number(InteractionNumber::Pairwise) => Together::Number(2),
            Interactions::Groups(groups) => {
                let mut rest: BTreeSet<usize> = (0..columns.len()).collect();
                let mut found = Vec::with_capacity(groups.len() + 1);
                for (at, group) in groups.iter().enumerate() {
                    let places = group.iter().enumerate();
                    let columns: BTreeSet<usize> = places
                        .filter_map(|(of, name)| {
                            positions.find(name, format!("{pointer}/interaction_cst/{at}/{of}"))
                        })
                        .collect();
                    rest.retain(|column| !columns.contains(column));
                    found.push(columns);
                }
                found.push(rest);
                Together::Groups(found)
            }
        });
        positions.refuse("constraints")?;
        let mut problems = Problems::default();
        for (name, &direction) in config.monotonic_cst.iter().flatten() {
            let is_amount = !config.categorical_features.contains(name);
            let found = "a direction of a categorical one";
            problems.require(
                is_amount || direction == Direction::Any,
                place(name),
                "0, or another feature",
                found,
            );
        }
        problems.refuse(Code::ParameterInvalid, "constraints")?;
        if directions.iter().all(|&direction| direction == Direction::Any) {
            directions.clear();
        }
        Ok(Self { directions, interactions })
    }

    /// Those of `columns` that a leaf may look at, in their order.
    pub(super) fn columns<'c>(&self, columns: &'c [usize], limits: &Limits) -> Cow<'c, [usize]> {
        let path = &limits.path;
        let only = |allowed: &dyn Fn(&usize) -> bool| columns.iter().copied().filter(allowed).collect();
        match &self.interactions {
            None => Cow::Borrowed(columns),
            Some(Together::Number(number)) if path.len() < *number => Cow::Borrowed(columns),
            Some(Together::Number(_)) => only(&|column| path.contains(column)),
            Some(Together::Groups(groups)) => {
                let open: Vec<_> = groups.iter().filter(|group| path.is_subset(group)).collect();
                only(&|column| open.iter().any(|group| group.contains(column)))
            }
        }
    }

    /// How the children of a split on `column` must stand to each other; `None` where nothing is monotone.
    pub(super) fn monotone(&self, column: usize, limits: &Limits) -> Option<Monotone> {
        let &direction = self.directions.get(column)?;
        Some(Monotone { bounds: limits.bounds, direction })
    }

    /// What a split on `column` into leaves of these values leaves open to them, left first.
    pub(super) fn below(&self, limits: &Limits, column: usize, [left, right]: [f64; 2]) -> [Limits; 2] {
        let mut children = [limits.clone(), limits.clone()];
        // Between the two, even if rounded.
        let middle = (left + right) * 0.5;
        let [low, high] = &mut children;
        match self.directions.get(column) {
            Some(Direction::Rising) => (low.bounds.most, high.bounds.least) = (middle, middle),
            Some(Direction::Falling) => (low.bounds.least, high.bounds.most) = (middle, middle),
            Some(Direction::Any) | None => {}
        }
        if self.interactions.is_some() {
            for child in &mut children {
                child.path.insert(column);
            }
        }
        children
    }
}

/// The name as a part of a JSON pointer (RFC 6901).
fn escaped(name: &ColumnName) -> String {
    name.as_str().replace('~', "~0").replace('/', "~1")
}

impl Limits {
    /// Everything is open: to a root.
    pub(super) const NONE: Self = Self { bounds: Bounds::NONE, path: BTreeSet::new() };
}

impl Bounds {
    /// Any value.
    pub(super) const NONE: Self = Self { least: f64::NEG_INFINITY, most: f64::INFINITY };

    /// The nearest value that is allowed.
    pub(super) fn clamp(self, value: f64) -> f64 {
        value.max(self.least).min(self.most)
    }
}

/// How the children of a leaf must stand to each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Monotone {
    /// Of the leaf, and so of its children.
    pub(super) bounds: Bounds,
    /// Of the column that is split.
    pub(super) direction: Direction,
}

impl Monotone {
    /// Whether children may have these values, left first.
    pub(super) fn allows(self, [left, right]: [f64; 2]) -> bool {
        match self.direction {
            Direction::Any => true,
            Direction::Rising => left <= right,
            Direction::Falling => left >= right,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use std::collections::BTreeMap;

    use ndarray::{Array1, Array2, Axis};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        boosting::{Booster, BoostingModel, fit},
        ensemble::Node,
        frame::Frame,
        progress::Silent,
        rng::Rng,
    };
    use contracts::model_config::{ClassWeight, GrowPolicy};

    const COLUMNS: usize = 4;

    fn names() -> [ColumnName; COLUMNS] {
        ["amount", "count/7d", "~risk", "hour"].map(|name| ColumnName::new(name).unwrap())
    }

    fn monotone(directions: &[Direction]) -> BTreeMap<ColumnName, Direction> {
        names().into_iter().zip(directions.iter().copied()).collect()
    }

    fn groups(groups: &[BTreeSet<usize>]) -> Interactions {
        let named = |group: &BTreeSet<usize>| group.iter().map(|&column| names()[column].clone()).collect();
        Interactions::Groups(groups.iter().map(named).collect())
    }

    /// Rows of weights and of values that are sometimes missing, whose class goes up and down with each of them.
    fn rows(count: usize, rng: Rng) -> (Array2<f64>, Vec<bool>, Vec<f64>) {
        let features = Array2::from_shape_fn((count, COLUMNS), |(row, column)| {
            let value = rng.uniform(column as u64, row as u64);
            let is_missing = rng.uniform(10 + column as u64, row as u64) < 0.1;
            if is_missing { f64::NAN } else { (value * 30.0 - 15.0).round() }
        });
        let class = |row: usize| {
            let waves = features.row(row).iter().filter(|value| (*value / 5.0).round() % 2.0 == 0.0).count();
            row == 0 || row != 1 && rng.uniform(20, row as u64) < waves as f64 / COLUMNS as f64
        };
        let positive = (0..count).map(class).collect();
        (features, positive, (0..count).map(|row| 0.1 + rng.uniform(21, row as u64)).collect())
    }

    fn fitted(config: &GradientBoosting, count: usize, rng: Rng) -> BoostingModel {
        let (features, positive, weights) = rows(count, rng);
        let frame = Frame::new(features.view(), &positive, Some(&weights)).unwrap();
        let constraints = Constraints::new(config, "", &names()).unwrap();
        fit(&Booster { config, constraints, rng, start: None }, &frame, None, &Silent).unwrap()
    }

    /// Every value of a column at which some tree changes its mind, those beside it, and the ends.
    fn steps(model: &BoostingModel, column: usize) -> Vec<f64> {
        let nodes = model.trees().trees().flatten();
        let thresholds = nodes.filter(|node| !node.is_leaf() && node.feature as usize == column);
        let mut steps: Vec<f64> =
            thresholds.flat_map(|node| [node.threshold, node.threshold.next_up()]).collect();
        steps.extend([f64::NEG_INFINITY, -1e300, 0.0, 1e300, f64::INFINITY]);
        steps.sort_by(f64::total_cmp);
        steps
    }

    /// Columns on each path to a leaf.
    fn paths(tree: &[Node]) -> Vec<BTreeSet<usize>> {
        let mut open = vec![(0, BTreeSet::new())];
        let mut paths = Vec::new();
        while let Some((node, mut path)) = open.pop() {
            let node: &Node = &tree[node];
            if node.is_leaf() {
                paths.push(path);
            } else {
                path.insert(node.feature as usize);
                open.extend([(node.left as usize, path.clone()), (node.right as usize, path)]);
            }
        }
        paths
    }

    fn direction() -> impl Strategy<Value = Direction> {
        prop::sample::select(vec![Direction::Rising, Direction::Falling, Direction::Any])
    }

    #[test]
    fn every_name_that_is_not_there_is_shown() {
        let unknown = |name: &str| ColumnName::new(name).unwrap();
        let config = GradientBoosting {
            monotonic_cst: Some(
                [unknown("a/b~"), unknown("hour")].map(|name| (name, Direction::Rising)).into(),
            ),
            interaction_cst: Some(Interactions::Groups(
                [["amount", "hour"], ["amount", "nothing"]].map(|group| group.map(unknown).into()).into(),
            )),
            ..GradientBoosting::default()
        };
        let failure = Constraints::new(&config, "/model", &names()).unwrap_err();
        assert_eq!(failure.code, Code::FeatureSchemaIncompatible);
        let pointers: Vec<_> = failure.problems.iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(pointers, ["/model/monotonic_cst/a~1b~0", "/model/interaction_cst/1/1"]);
    }

    #[test]
    fn what_constrains_nothing_changes_no_bit() {
        let free = GradientBoosting { n_estimators: 5, min_samples_leaf: 2, ..GradientBoosting::default() };
        let everything = GradientBoosting {
            monotonic_cst: Some(monotone(&[Direction::Any; COLUMNS])),
            interaction_cst: Some(groups(&[(0..COLUMNS).collect(), [1].into()])),
            ..free.clone()
        };
        let rng = Rng::from_u64(3);
        assert_eq!(fitted(&free, 500, rng), fitted(&everything, 500, rng));
    }

    /// What rises in truth may rise, and is flat where it may only fall.
    #[test]
    fn a_constraint_against_the_data_leaves_a_feature_out() {
        let features = Array2::from_shape_fn((400, COLUMNS), |(row, _)| row as f64);
        let positive: Vec<bool> = (0..400).map(|row| row >= 200).collect();
        let frame = Frame::new(features.view(), &positive, None).unwrap();
        let leaves = |direction| {
            let config = GradientBoosting {
                monotonic_cst: Some(monotone(&[direction; COLUMNS])),
                ..GradientBoosting::default()
            };
            let constraints = Constraints::new(&config, "", &names()).unwrap();
            let booster = Booster { config: &config, constraints, rng: Rng::from_u64(1), start: None };
            let model = fit(&booster, &frame, None, &Silent).unwrap();
            model.trees().trees().map(|tree| tree.len().div_ceil(2)).max().unwrap()
        };
        assert!(leaves(Direction::Rising) > 1);
        assert_eq!(leaves(Direction::Falling), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Over the whole range of each constrained feature, from wherever the others stand.
        #[test]
        fn scores_go_the_way_they_may(
            seed in any::<u64>(),
            count in 30..600_usize,
            directions in prop::collection::vec(direction(), COLUMNS),
            depth_wise in any::<bool>(),
            balanced in any::<bool>(),
            max_leaf_nodes in 2..40_u32,
            learning_rate in 0.05..1.0_f64,
            (l1, l2) in (prop_oneof![Just(0.0), 0.0..2.0_f64], prop_oneof![Just(0.0), 0.0..2.0_f64]),
            (subsample, colsample) in prop_oneof![Just((1.0, 1.0)), (0.3..1.0_f64, 0.3..1.0_f64)],
            interacting in any::<bool>(),
        ) {
            let config = GradientBoosting {
                n_estimators: 12,
                min_samples_leaf: 1,
                grow_policy: if depth_wise { GrowPolicy::DepthWise } else { GrowPolicy::LeafWise },
                class_weight: if balanced { ClassWeight::Balanced } else { ClassWeight::None },
                max_leaf_nodes, learning_rate, subsample, colsample,
                l1_regularization: l1,
                l2_regularization: l2,
                monotonic_cst: Some(monotone(&directions)),
                interaction_cst: interacting.then(|| groups(&[[0, 1].into(), [1, 2].into()])),
                ..GradientBoosting::default()
            };
            let rng = Rng::from_u64(seed);
            let model = fitted(&config, count, rng);
            let bases = rows(20, Rng::from_u64(!seed)).0;
            for (column, &direction) in directions.iter().enumerate() {
                let steps = Array1::from(steps(&model, column));
                for base in bases.rows() {
                    let mut rows = base.insert_axis(Axis(0)).broadcast((steps.len(), COLUMNS)).unwrap().to_owned();
                    rows.column_mut(column).assign(&steps);
                    let scores = model.log_odds(rows.view()).unwrap().to_vec();
                    match direction {
                        Direction::Any => {}
                        Direction::Rising => prop_assert!(scores.is_sorted(), "{:?}", scores),
                        Direction::Falling => prop_assert!(scores.is_sorted_by(|a, b| a >= b), "{:?}", scores),
                    }
                }
            }
        }

        #[test]
        fn a_path_keeps_to_a_group(
            seed in any::<u64>(),
            given in prop::collection::vec(prop::collection::btree_set(0..COLUMNS, 1..COLUMNS), 1..4),
            depth_wise in any::<bool>(),
            colsample in prop_oneof![Just(1.0), 0.3..1.0_f64],
        ) {
            let config = GradientBoosting {
                n_estimators: 8,
                min_samples_leaf: 1,
                grow_policy: if depth_wise { GrowPolicy::DepthWise } else { GrowPolicy::LeafWise },
                colsample,
                interaction_cst: Some(groups(&given)),
                ..GradientBoosting::default()
            };
            let rest: BTreeSet<usize> =
                (0..COLUMNS).filter(|column| !given.iter().any(|group| group.contains(column))).collect();
            let rng = Rng::from_u64(seed);
            for path in fitted(&config, 400, rng).trees().trees().flat_map(paths) {
                let allowed = given.iter().chain([&rest]).any(|group| path.is_subset(group));
                prop_assert!(allowed, "{:?} in {:?}", path, given);
            }
            for (number, most) in [(InteractionNumber::NoInteractions, 1), (InteractionNumber::Pairwise, 2)] {
                let config =
                    GradientBoosting { interaction_cst: Some(Interactions::Number(number)), ..config.clone() };
                let widest = fitted(&config, 400, rng).trees().trees().flat_map(paths).map(|path| path.len()).max();
                prop_assert!(widest == Some(most) || colsample < 1.0 && widest < Some(most), "{:?}", widest);
            }
        }
    }
}
