//! Properties of splits on categories, and of fits that make them.
#![allow(clippy::unwrap_used, clippy::float_cmp)]

use contracts::model_config::GradientBoosting;
use ndarray::{Array2, Axis, array};
use proptest::prelude::*;

use super::{
    super::split::{MIN_CATEGORY_ROWS, SMOOTHING},
    *,
};
use crate::{
    arrays::Array,
    binning::Binned,
    boosting::{Booster, BoostingModel, Constraints, Gradient, Loss, fit, grow::Grower, histogram::Codes},
    ensemble::{Ensemble, Tree, category::UNKNOWN, leaf},
    progress::Silent,
    rng::Rng,
};

fn sums(slope: i64, curvature: i64, count: i64) -> Sums {
    if count == 0 { Sums::default() } else { Sums { slope, curvature, count } }
}

pub(super) fn rules(change: impl FnOnce(&mut GradientBoosting), smoothing: f64) -> Rules {
    let mut config = GradientBoosting {
        min_samples_leaf: 1,
        min_child_weight: 0.0,
        l2_regularization: 0.0,
        ..GradientBoosting::default()
    };
    change(&mut config);
    let mut rules = Rules::new(&config, 0.25);
    rules.smoothing = smoothing;
    rules.min_category_rows = 1;
    rules
}

pub(super) fn total(bins: &[Sums]) -> Sums {
    bins.iter().fold(Sums::default(), |sum, &bin| sum + bin)
}

pub(super) fn bins() -> impl Strategy<Value = Vec<Sums>> {
    let bin = (-40..40_i64, 1..9_i64, 0..4_i64);
    prop::collection::vec(bin, 2..11)
        .prop_map(|bins| bins.into_iter().map(|(s, c, n)| sums(s, c, n)).collect())
}

proptest! {
    /// Fisher's theorem, against all subsets: without smoothing no other set gains more, whatever the penalties.
    #[test]
    fn no_other_set_gains_more(bins in bins(), l1 in 0..3_u32, l2 in 0..3_u32) {
        let rules = rules(|config| {
            config.l1_regularization = f64::from(l1);
            config.l2_regularization = f64::from(l2) * 0.7;
        }, 0.0);
        let leaf = total(&bins);
        let mut most = 0.0_f64;
        for subset in 0..1_u32 << bins.len() {
            let chosen: Vec<Sums> = (0..bins.len()).filter(|bin| subset >> bin & 1 == 1).map(|bin| bins[bin]).collect();
            let (left, right) = (total(&chosen), leaf - total(&chosen));
            if left.count > 0 && right.count > 0 {
                most = most.max(rules.loss_reduction(left) + rules.loss_reduction(right) - rules.loss_reduction(leaf));
            }
        }
        let found = rules.best_on_categories(3, &bins, leaf, Bounds::NONE).map_or(0.0, |split| split.gain);
        prop_assert!((found - most).abs() <= 1e-9 * (1.0 + most), "{} {}", found, most);
    }

    /// A split's sums are those of its set, its children are allowed, and what has few rows goes with the missing.
    #[test]
    fn a_split_is_what_its_set_says(
        bins in bins(), min_samples_leaf in 1..5_u32, min_category_rows in 1..4_i64, smoothing in prop_oneof![Just(0.0), Just(SMOOTHING)],
    ) {
        let mut rules = rules(|config| config.min_samples_leaf = min_samples_leaf, smoothing);
        rules.min_category_rows = min_category_rows;
        let leaf = total(&bins);
        let Some(split) = rules.best_on_categories(3, &bins, leaf, Bounds::NONE) else { return Ok(()) };
        let set = split.set.unwrap();
        let left: Vec<Sums> = (0..bins.len()).filter(|&bin| set.has(bin as u8)).map(|bin| bins[bin]).collect();
        prop_assert_eq!(split.left, total(&left));
        prop_assert_eq!(split.right, leaf - split.left);
        prop_assert!(split.gain > 0.0);
        for child in [split.left, split.right] {
            prop_assert!(child.count >= i64::from(min_samples_leaf));
        }
        let gain = rules.loss_reduction(split.left) + rules.loss_reduction(split.right) - rules.loss_reduction(leaf);
        prop_assert_eq!(split.gain, gain);
        let missing = bins.len() - 1;
        prop_assert_eq!(set.has(missing as u8), split.missing_left);
        let few = |bin: &usize| bins.get(*bin).is_none_or(|sums| sums.count < min_category_rows);
        for bin in (0..usize::from(UNKNOWN)).filter(few) {
            prop_assert_eq!(set.has(bin as u8), split.missing_left);
        }
        let others = bins[missing].count + bins[..missing].iter().map(|sums| sums.count).filter(|&count| count < min_category_rows).sum::<i64>();
        if others == 0 {
            prop_assert_eq!(split.missing_left, 2 * split.left.count >= leaf.count);
        }
    }
}

#[test]
fn categories_that_pull_alike_stand_in_the_order_of_their_numbers() {
    let alike = [sums(4, 2, 1), sums(-2, 1, 1), sums(4, 2, 1), sums(0, 0, 0), sums(8, 4, 2), sums(4, 2, 1)];
    let order = |smoothing| {
        let order = rules(|_| (), smoothing).order(&alike).into_iter();
        order.map(|(bin, _)| bin).collect::<Vec<_>>()
    };
    assert_eq!(order(0.0), [1, 0, 2, 4, 5]);
    // With smoothing the one with more rows pulls harder.
    assert_eq!(order(1.0), [1, 0, 2, 5, 4]);
}

/// Rows of which a category, known to nobody's order, decides the class; missing and rare categories among them.
pub(super) fn sample(rows: usize, categories: u64, seed: u64) -> (Array2<f64>, Vec<bool>) {
    let rng = Rng::from_u64(seed);
    let mut features = Array2::zeros((rows, 3));
    let mut positive = Vec::with_capacity(rows);
    for row in 0..rows {
        let at = row as u64;
        let drawn = rng.below(1, at, categories).min(rng.below(2, at, categories));
        let category = if rng.uniform(3, at) < 0.05 { f64::NAN } else { drawn as f64 };
        features[[row, 0]] = rng.uniform(4, at);
        features[[row, 1]] = category;
        features[[row, 2]] = rng.below(5, at, 4) as f64;
        let risky = category.is_nan() || risky(drawn);
        positive.push(rng.uniform(6, at) < if risky { 0.8 } else { 0.1 } + 0.1 * features[[row, 0]]);
    }
    (features, positive)
}

fn risky(category: u64) -> bool {
    category.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 63 == 1
}

pub(super) fn second() -> Vec<Categorical> {
    vec![Categorical { column: 1, name: "merchant".to_owned() }]
}

fn plain() -> GradientBoosting {
    GradientBoosting { n_estimators: 20, ..GradientBoosting::default() }
}

fn config() -> GradientBoosting {
    GradientBoosting { categorical_features: names(&["merchant"]), ..plain() }
}

pub(super) fn names(names: &[&str]) -> Vec<ColumnName> {
    names.iter().map(|name| ColumnName::new(*name).unwrap()).collect()
}

pub(super) fn try_fit(config: &GradientBoosting, frame: &Frame<'_>) -> Result<BoostingModel> {
    let constraints = Constraints::new(config, "", &names(&["amount", "merchant", "channel"]))?;
    fit(&Booster { config, constraints, rng: Rng::from_u64(1), start: None }, frame, None, &Silent)
}

fn fit_on(config: &GradientBoosting, frame: &Frame<'_>) -> BoostingModel {
    try_fit(config, frame).unwrap()
}

fn log_loss(model: &BoostingModel, features: &Array2<f64>, positive: &[bool]) -> f64 {
    let scores = model.predict_proba(features.view()).unwrap();
    let loss = |(&score, &positive): (&f64, &bool)| -(if positive { score } else { 1.0 - score }).ln();
    scores.iter().zip(positive).map(loss).sum::<f64>() / positive.len() as f64
}

#[test]
fn one_split_finds_the_risky_categories() {
    let (features, positive) = sample(20_000, 60, 1);
    let categorical = second();
    let numeric = Frame::new(features.view(), &positive, None).unwrap();
    let frame = numeric.with_categorical(&categorical).unwrap();
    let stump = GradientBoosting { n_estimators: 1, max_leaf_nodes: 2, learning_rate: 1.0, ..config() };
    let model = fit_on(&stump, &frame);
    let nodes = model.trees().view(0).unwrap();
    assert_eq!(nodes.nodes[0].feature, 1);
    let left_is_risky = nodes.nodes[1].value > nodes.nodes[2].value;
    let rows_of = |category| features.column(1).iter().filter(|&&found| found == category as f64).count();
    for category in (0..60).filter(|&category| rows_of(category) as i64 >= MIN_CATEGORY_ROWS) {
        assert_eq!(nodes.sets[0].has(category as u8), risky(category) == left_is_risky, "{category}");
    }
    assert_eq!(nodes.nodes[0].missing_left, left_is_risky);
    // Thresholds on the numbers need as many splits as there are stretches of risky categories.
    let fresh = sample(20_000, 60, 2);
    let by_thresholds = |leaves| {
        let config =
            GradientBoosting { max_leaf_nodes: leaves, categorical_features: vec![], ..stump.clone() };
        log_loss(&fit_on(&config, &numeric), &fresh.0, &fresh.1)
    };
    let by_categories = log_loss(&model, &fresh.0, &fresh.1);
    assert!(by_categories < by_thresholds(8) - 0.02);
    assert!(by_categories < by_thresholds(16));
}

#[test]
fn neither_threads_nor_row_order_change_a_bit() {
    let (features, positive) = sample(40_000, 250, 3);
    let categorical = second();
    let rng = Rng::from_u64(5);
    let mut order: Vec<usize> = (0..positive.len()).collect();
    order.sort_by_key(|&row| rng.bits(0, row as u64));
    let shuffled = features.select(Axis(0), &order);
    let shuffled_positive: Vec<bool> = order.iter().map(|&row| positive[row]).collect();
    let fit_with = |threads, features: &Array2<f64>, positive: &[bool]| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let frame = Frame::new(features.view(), positive, None).unwrap();
        pool.install(|| fit_on(&config(), &frame.with_categorical(&categorical).unwrap()))
    };
    let expected = fit_with(1, &features, &positive);
    assert!(!expected.trees().is_numeric());
    assert_eq!(fit_with(4, &features, &positive), expected);
    assert_eq!(fit_with(3, &shuffled, &shuffled_positive), expected);
}

/// What a category is called decides nothing but ties, of which there are none among such weights.
#[test]
fn other_numbers_give_the_same_scores() {
    let (features, positive) = sample(5_000, 40, 4);
    let rng = Rng::from_u64(6);
    let weights: Vec<f64> = (0..5_000).map(|row| 0.5 + rng.uniform(0, row)).collect();
    let renamed = {
        let mut features = features.clone();
        features.column_mut(1).mapv_inplace(|category| (category * 7.0 + 3.0) % 40.0);
        features
    };
    let categorical = second();
    let [scores, others] = [&features, &renamed].map(|features| {
        let frame = Frame::new(features.view(), &positive, Some(&weights)).unwrap();
        fit_on(&config(), &frame.with_categorical(&categorical).unwrap())
            .predict_proba(features.view())
            .unwrap()
    });
    assert_eq!(scores, others);
}

#[test]
fn what_is_not_known_goes_where_missing_values_go() {
    let (mut features, positive) = sample(5_000, 40, 5);
    // Category 7 has no row.
    features.column_mut(1).mapv_inplace(|category| if category == 7.0 { 8.0 } else { category });
    let categorical = second();
    let frame = Frame::new(features.view(), &positive, None).unwrap().with_categorical(&categorical).unwrap();
    let model = fit_on(&config(), &frame);
    let row = |category: f64| [0.4, category, 2.0];
    let rows = array![row(f64::NAN), row(7.0), row(200.0), row(255.0), row(256.0), row(1e15), row(3.0)];
    let scores = model.predict_proba(rows.view()).unwrap();
    assert!(scores.iter().take(6).all(|&score| score == scores[0]), "{scores}");
    assert_ne!(scores[6], scores[0]);
}

#[test]
fn what_is_no_category_is_refused_with_its_place() {
    let (features, positive) = sample(500, 40, 6);
    let categorical = second();
    let frame = Frame::new(features.view(), &positive, None).unwrap();
    let model = fit_on(&config(), &frame.with_categorical(&categorical).unwrap());
    for wrong in [1.5, -1.0, 1e-9, f64::INFINITY] {
        let mut others = features.clone();
        others[[3, 1]] = wrong;
        if wrong.is_finite() {
            let frame = Frame::new(others.view(), &positive, None).unwrap();
            let failure = frame.with_categorical(&categorical).unwrap_err();
            assert_eq!(
                (failure.code, failure.problems[0].pointer.as_str()),
                (Code::CategoryInvalid, "features/merchant")
            );
        }
        let mut scores = vec![0.0; 500];
        let failures = [
            model.predict_proba(others.view()).unwrap_err(),
            model.log_odds(others.view()).unwrap_err(),
            model.add_stage(others.view(), 0, &mut scores).unwrap_err(),
            crate::Model::Boosting(model.clone()).leaves(others.view()).unwrap_err(),
            crate::Model::Boosting(model.clone()).shap_values(others.view()).unwrap_err(),
        ];
        for failure in failures {
            assert_eq!(
                (failure.code, failure.problems[0].pointer.as_str()),
                (Code::CategoryInvalid, "features/1")
            );
        }
    }
    let named = |column| Categorical { column, name: "merchant".to_owned() };
    for columns in [vec![named(3)], vec![named(1), named(1)]] {
        let frame = Frame::new(features.view(), &positive, None).unwrap();
        assert_eq!(frame.with_categorical(&columns).unwrap_err().code, Code::ParameterInvalid);
    }
    // Forty categories fit forty bins and not thirty-nine; a single high number does not fit either.
    let frame = frame.with_categorical(&categorical).unwrap();
    let with_bins = |max_bins| try_fit(&GradientBoosting { max_bins, ..config() }, &frame);
    let found =
        features.column(1).iter().filter(|category| !category.is_nan()).fold(0.0_f64, |a, &b| a.max(b));
    assert!(with_bins(found as u32 + 1).is_ok());
    let failure = with_bins(found as u32).unwrap_err();
    assert_eq!(
        (failure.code, failure.problems[0].pointer.as_str()),
        (Code::CategoryInvalid, "features/merchant")
    );
    assert!(failure.hint().contains("rare"), "{failure}");
}

#[test]
fn arrays_come_back_and_name_the_columns_of_categories() {
    let (features, positive) = sample(3_000, 40, 7);
    let categorical = second();
    let frame = Frame::new(features.view(), &positive, None).unwrap();
    let model = fit_on(&config(), &frame.with_categorical(&categorical).unwrap());
    let arrays = model.to_arrays();
    assert_eq!(BoostingModel::from_arrays(3, &mut arrays.clone()).unwrap(), model);
    for other in [vec![], vec![0], vec![0, 1], vec![1, 1], vec![1, 0], vec![1, 3], vec![u32::MAX]] {
        let mut arrays = arrays.clone();
        arrays.0.insert("boosting.categorical".to_owned(), Array::U32(other.clone()));
        let failure = BoostingModel::from_arrays(3, &mut arrays).unwrap_err();
        assert_eq!(failure.code, Code::ModelInvalid, "{other:?}");
    }
    // Nothing of it is in a model of numbers, and a forest takes none.
    let numeric = fit_on(&plain(), &frame);
    assert!(numeric.to_arrays().0.keys().all(|name| !name.contains("set") && !name.contains("categorical")));
    let mut arrays = model.trees().to_arrays();
    assert!(Ensemble::from_arrays(3, &mut arrays.clone()).is_ok());
    assert_eq!(crate::forest::from_arrays(3, &mut arrays).unwrap_err().code, Code::ModelInvalid);
}

#[test]
fn a_config_and_a_frame_name_the_same_columns() {
    let (features, positive) = sample(500, 10, 9);
    let categorical = second();
    let numeric = Frame::new(features.view(), &positive, None).unwrap();
    let frame = numeric.with_categorical(&categorical).unwrap();
    let other = GradientBoosting { categorical_features: names(&["other"]), ..plain() };
    for (config, frame) in [(config(), numeric), (plain(), frame), (other, frame)] {
        let failure = try_fit(&config, &frame).unwrap_err();
        assert_eq!(failure.code, Code::ParameterInvalid);
    }
}

#[test]
fn a_column_without_any_category_is_never_split() {
    let (mut features, positive) = sample(500, 10, 8);
    features.column_mut(1).fill(f64::NAN);
    let categorical = second();
    let frame = Frame::new(features.view(), &positive, None).unwrap().with_categorical(&categorical).unwrap();
    let model = fit_on(&config(), &frame);
    assert!(model.trees().is_numeric());
    assert_eq!(model.categorical(), [1]);
    assert_eq!(BoostingModel::from_arrays(3, &mut model.to_arrays()).unwrap(), model);
    assert!(model.predict_proba(array![[0.5, 0.5, 1.0]].view()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// As for numbers: the scores that training kept by parting bins are those of walking the trees on raw values.
    #[test]
    fn walking_raw_values_agrees_with_partitions(
        seed in any::<u64>(), categories in 2..255_u64, rows in prop_oneof![60..600_usize, Just(70_000)],
    ) {
        let (features, positive) = sample(rows, categories, seed);
        prop_assume!(positive.contains(&true) && positive.contains(&false));
        let columns = vec![
            Categorical { column: 2, name: "channel".to_owned() },
            Categorical { column: 1, name: "merchant".to_owned() },
        ];
        let frame = Frame::new(features.view(), &positive, None).unwrap().with_categorical(&columns).unwrap();
        let config = GradientBoosting {
            min_samples_leaf: 2,
            categorical_features: names(&["channel", "merchant"]),
            ..plain()
        };
        let codes = Codes::new(Binned::new(features.view(), 255));
        let found = Categories::new(&frame, &config).unwrap();
        let loss = Loss::new(&frame, [1.0; 2]).unwrap().in_order(&codes.order);
        let mut gradients = vec![Gradient::default(); rows];
        let mut scores = vec![0.0; rows];
        loss.gradients(0, &scores, None, &mut gradients);
        let mut grower = Grower::new(&codes, &found, &config, Rules::new(&config, loss.unit));
        let grown = grower.grow(&gradients, codes.histogram_of_all(&gradients), &[0, 1, 2]);
        prop_assert!(!grown.sets.is_empty() || rows < 600);
        grower.values(&grown, 0).add(&mut scores);
        let tree = Tree::new(grown.nodes.clone(), &grown.sets, []);
        for (place, score) in scores.into_iter().enumerate() {
            let row = features.row(codes.order.row(place));
            prop_assert_eq!(score, leaf(tree.view(), row).value);
        }
    }
}
