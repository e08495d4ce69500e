//! Categories beside constraints, and in fits that are carried on.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use contracts::{
    constraint::{Direction, InteractionNumber, Interactions},
    model_config::GrowPolicy,
};
use ndarray::{Array1, Axis};
use proptest::prelude::*;

use super::{
    tests::{bins, names, rules, sample, second, total, try_fit},
    *,
};
use crate::{
    boosting::{Booster, BoostingModel, Constraints, constraint::Limits, fit},
    ensemble::TreeView,
    progress::Silent,
    rng::Rng,
};

/// Of amount, merchant and channel, of which the second or the last two are categorical.
fn config(change: impl FnOnce(&mut GradientBoosting)) -> GradientBoosting {
    let mut config = GradientBoosting {
        n_estimators: 12,
        min_samples_leaf: 2,
        categorical_features: names(&["merchant"]),
        ..GradientBoosting::default()
    };
    change(&mut config);
    config
}

fn directions(directions: &[(&str, Direction)]) -> BTreeMap<ColumnName, Direction> {
    directions.iter().map(|&(name, direction)| (ColumnName::new(name).unwrap(), direction)).collect()
}

/// Columns on each path to a leaf.
fn paths(tree: TreeView<'_>) -> Vec<BTreeSet<u32>> {
    let mut open = vec![(0, BTreeSet::new())];
    let mut paths = Vec::new();
    while let Some((node, mut path)) = open.pop() {
        let node = &tree.nodes[node];
        if node.is_leaf() {
            paths.push(path);
        } else {
            path.insert(node.feature);
            open.extend([(node.left as usize, path.clone()), (node.right as usize, path)]);
        }
    }
    paths
}

#[test]
fn a_direction_of_categories_is_refused_with_its_place() {
    let (features, positive) = sample(500, 10, 1);
    let frame = Frame::new(features.view(), &positive, None).unwrap();
    let categorical = second();
    let frame = frame.with_categorical(&categorical).unwrap();
    for direction in [Direction::Rising, Direction::Falling] {
        let given = directions(&[("amount", Direction::Rising), ("merchant", direction)]);
        let failure = try_fit(&config(|config| config.monotonic_cst = Some(given)), &frame).unwrap_err();
        assert_eq!(failure.code, Code::ParameterInvalid);
        assert_eq!(failure.problems.len(), 1);
        assert_eq!(failure.problems[0].pointer, "/monotonic_cst/merchant");
    }
    // That it may go either way says nothing.
    let either = directions(&[("merchant", Direction::Any)]);
    let free = try_fit(&config(|_| ()), &frame).unwrap();
    assert_eq!(try_fit(&config(|config| config.monotonic_cst = Some(either)), &frame).unwrap(), free);
}

#[test]
fn every_categorical_feature_that_is_not_there_is_shown() {
    let config = config(|config| config.categorical_features = names(&["hour", "merchant", "day"]));
    let failure = categorical(&config, "/model", &names(&["amount", "merchant"])).unwrap_err();
    assert_eq!(failure.code, Code::FeatureSchemaIncompatible);
    let pointers: Vec<_> = failure.problems.iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(pointers, ["/model/categorical_features/0", "/model/categorical_features/2"]);
}

#[test]
fn a_start_must_have_the_same_categorical_columns() {
    let (features, positive) = sample(500, 10, 2);
    let numeric = Frame::new(features.view(), &positive, None).unwrap();
    let merchant = second();
    let channel = vec![Categorical { column: 2, name: "channel".to_owned() }];
    let of = |categorical: &[&str]| config(|config| config.categorical_features = names(categorical));
    let fits = [
        (of(&[]), numeric),
        (of(&["merchant"]), numeric.with_categorical(&merchant).unwrap()),
        (of(&["channel"]), numeric.with_categorical(&channel).unwrap()),
    ];
    let models = fits.each_ref().map(|(config, frame)| try_fit(config, frame).unwrap());
    for (from, start) in models.iter().enumerate() {
        for (to, (config, frame)) in fits.iter().enumerate() {
            let booster = Booster {
                config,
                constraints: Constraints::default(),
                rng: Rng::from_u64(1),
                start: Some(start),
            };
            let found = fit(&booster, frame, None, &Silent);
            if from == to {
                assert_eq!(found.unwrap(), models[to]);
            } else {
                let failure = found.unwrap_err();
                assert_eq!(failure.code, Code::FeatureSchemaIncompatible, "{from} {to}");
                assert_eq!(failure.problems[0].pointer, "categorical_features");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Against all subsets: where values have bounds, too, no other set gains more.
    #[test]
    fn no_other_set_gains_more_within_bounds(
        bins in bins(), l1 in 0..3_u32, l2 in 0..3_u32, middle in -6.0..6.0_f64, rising in any::<bool>(),
    ) {
        let rules = rules(|config| {
            config.l1_regularization = f64::from(l1);
            config.l2_regularization = f64::from(l2) * 0.7;
        }, 0.0);
        let direction = if rising { Direction::Rising } else { Direction::Falling };
        let free = GradientBoosting { monotonic_cst: Some(directions(&[("amount", direction)])), ..GradientBoosting::default() };
        let constraints = Constraints::new(&free, "", &names(&["amount"])).unwrap();
        let bounds = constraints.below(&Limits::NONE, 0, [middle, middle])[0].bounds;
        let leaf = total(&bins);
        let reduction = |sums| rules.loss_reduction_within(sums, bounds);
        let mut most = 0.0_f64;
        for subset in 0..1_u32 << bins.len() {
            let chosen: Vec<Sums> = (0..bins.len()).filter(|bin| subset >> bin & 1 == 1).map(|bin| bins[bin]).collect();
            let (left, right) = (total(&chosen), leaf - total(&chosen));
            if left.count > 0 && right.count > 0 {
                most = most.max(reduction(left) + reduction(right) - reduction(leaf));
            }
        }
        let found = rules.best_on_categories(3, &bins, leaf, bounds).map_or(0.0, |split| split.gain);
        prop_assert!((found - most).abs() <= 1e-9 * (1.0 + most), "{} {}", found, most);
    }

    /// Splits on categories above and below those on the feature that has a direction change nothing of it.
    #[test]
    fn scores_go_the_way_they_may_beside_categories(
        seed in any::<u64>(), rows in 60..800_usize, rising in any::<bool>(), depth_wise in any::<bool>(),
    ) {
        let (features, positive) = sample(rows, 20, seed);
        prop_assume!(positive.contains(&true) && positive.contains(&false));
        let categorical = second();
        let frame = Frame::new(features.view(), &positive, None).unwrap().with_categorical(&categorical).unwrap();
        let direction = if rising { Direction::Rising } else { Direction::Falling };
        let config = config(|config| {
            config.monotonic_cst = Some(directions(&[("amount", direction)]));
            config.grow_policy = if depth_wise { GrowPolicy::DepthWise } else { GrowPolicy::LeafWise };
        });
        let model = try_fit(&config, &frame).unwrap();
        let steps: Array1<f64> = Array1::linspace(-0.1, 1.1, 400);
        for base in features.rows().into_iter().take(20) {
            let mut rows = base.insert_axis(Axis(0)).broadcast((steps.len(), 3)).unwrap().to_owned();
            rows.column_mut(0).assign(&steps);
            let scores = model.log_odds(rows.view()).unwrap().to_vec();
            let keeps = if rising { scores.is_sorted() } else { scores.is_sorted_by(|a, b| a >= b) };
            prop_assert!(keeps, "{:?}", scores);
        }
    }

    /// Groups count categorical columns as any other.
    #[test]
    fn a_path_keeps_to_a_group_of_categorical_columns(seed in any::<u64>(), grouped in 0..3_usize) {
        let (features, positive) = sample(600, 20, seed);
        let columns = vec![second().remove(0), Categorical { column: 2, name: "channel".to_owned() }];
        let frame = Frame::new(features.view(), &positive, None).unwrap().with_categorical(&columns).unwrap();
        let all = ["amount", "merchant", "channel"];
        let group: Vec<&str> = (0..3).filter(|&column| column != grouped).map(|column| all[column]).collect();
        let fitted = |interactions| {
            let config = config(|config| {
                config.categorical_features = names(&["merchant", "channel"]);
                config.interaction_cst = Some(interactions);
            });
            try_fit(&config, &frame).unwrap()
        };
        let of = |model: &BoostingModel| model.trees().views().flat_map(paths).collect::<Vec<_>>();
        let model = fitted(Interactions::Groups([names(&group).into_iter().collect()].into()));
        prop_assert!(!model.trees().is_numeric());
        for path in of(&model) {
            prop_assert!(path.len() < 2 || !path.contains(&(grouped as u32)), "{:?}", path);
        }
        let alone = fitted(Interactions::Number(InteractionNumber::NoInteractions));
        prop_assert!(of(&alone).iter().all(|path| path.len() < 2));
    }

    /// Trees that are taken over keep their sets.
    #[test]
    fn a_fit_carried_on_is_the_fit_at_once(
        seed in any::<u64>(), rows in 60..2_000_usize, fewer in 1..12_u32, subsample in prop_oneof![Just(1.0), Just(0.6)],
    ) {
        let (features, positive) = sample(rows, 60, seed);
        prop_assume!(positive.contains(&true) && positive.contains(&false));
        let categorical = second();
        let frame = Frame::new(features.view(), &positive, None).unwrap().with_categorical(&categorical).unwrap();
        let long = config(|config| config.subsample = subsample);
        let short = GradientBoosting { n_estimators: fewer, ..long.clone() };
        let carried = |config: &GradientBoosting, start: Option<&BoostingModel>| {
            let booster = Booster { config, constraints: Constraints::default(), rng: Rng::from_u64(seed), start };
            fit(&booster, &frame, None, &Silent).unwrap()
        };
        let at_once = carried(&long, None);
        prop_assert!(!at_once.trees().is_numeric() || rows < 600);
        prop_assert_eq!(&carried(&long, Some(&carried(&short, None))), &at_once);
        prop_assert_eq!(&carried(&long, Some(&at_once)), &at_once);
    }
}
