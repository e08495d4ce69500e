//! Properties of the whole fit.
#![allow(clippy::unwrap_used, clippy::float_cmp)]

use contracts::{
    Code, Failure, Result,
    model_config::{ClassWeight, GradientBoosting},
};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, array};
use proptest::prelude::*;

use super::{Booster, BoostingModel, Constraints};
use crate::{
    arrays::Array,
    dispatch::{self, Instructions},
    frame::Frame,
    progress::{Progress, Silent},
    rng::Rng,
};

/// Rows whose class depends on three of four columns and on a missing value.
pub(super) fn sample(rows: usize, seed: u64) -> (Array2<f64>, Vec<bool>) {
    let rng = Rng::from_u64(seed);
    let mut features = Array2::from_shape_fn((rows, 4), |(row, column)| {
        let value = rng.uniform(column as u64, row as u64) * 10.0;
        if column == 1 { value.floor() } else { value }
    });
    let mut positive = Vec::with_capacity(rows);
    for row in 0..rows {
        if rng.uniform(10, row as u64) < 0.2 {
            features[[row, 0]] = f64::NAN;
        }
        let first = features[[row, 0]];
        let logit = if first.is_nan() { 2.0 } else { first - 6.0 } + features[[row, 1]] * 0.5
            - 2.0
            - if features[[row, 2]] > 7.5 { 3.0 } else { 0.0 };
        positive.push(rng.uniform(11, row as u64) < 1.0 / (1.0 + (-logit).exp()));
    }
    (features, positive)
}

pub(super) fn config() -> GradientBoosting {
    GradientBoosting { n_estimators: 20, min_samples_leaf: 5, ..GradientBoosting::default() }
}

fn fit(
    config: &GradientBoosting,
    train: &Frame<'_>,
    validation: Option<&Frame<'_>>,
    rng: Rng,
    progress: &dyn Progress,
) -> Result<BoostingModel> {
    let booster = Booster { config, constraints: Constraints::default(), rng, start: None };
    super::fit(&booster, train, validation, progress)
}

pub(super) fn fit_plain<'a>(
    config: &GradientBoosting,
    features: ArrayView2<'a, f64>,
    positive: &'a [bool],
) -> BoostingModel {
    let frame = Frame::new(features, positive, None).unwrap();
    fit(config, &frame, None, Rng::from_u64(1), &Silent).unwrap()
}

fn log_loss(scores: &Array1<f64>, positive: &[bool]) -> f64 {
    let loss = |(&score, &positive): (&f64, &bool)| -(if positive { score } else { 1.0 - score }).ln();
    scores.iter().zip(positive).map(loss).sum::<f64>() / positive.len() as f64
}

#[test]
fn row_order_does_not_change_a_bit() {
    let (features, positive) = sample(3_000, 1);
    let rng = Rng::from_u64(5);
    let mut order: Vec<usize> = (0..positive.len()).collect();
    order.sort_by_key(|&row| rng.bits(0, row as u64));
    let shuffled = features.select(Axis(0), &order);
    let shuffled_positive: Vec<bool> = order.iter().map(|&row| positive[row]).collect();
    for class_weight in [ClassWeight::None, ClassWeight::Balanced] {
        let config = GradientBoosting { class_weight, ..config() };
        let model = fit_plain(&config, features.view(), &positive);
        assert!(model.trees().len() == 20);
        assert_eq!(model, fit_plain(&config, shuffled.view(), &shuffled_positive));
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let (features, positive) = sample(40_000, 2);
    let (other, other_positive) = sample(5_000, 3);
    let config = GradientBoosting {
        n_estimators: 8,
        subsample: 0.7,
        colsample: 0.7,
        early_stopping_rounds: Some(3),
        ..config()
    };
    let weights: Vec<f64> = (0..positive.len()).map(|row| 0.1 + (row % 7) as f64).collect();
    let [one, two, four] = [1, 2, 4].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let frame = Frame::new(features.view(), &positive, Some(&weights)).unwrap();
            let validation = Frame::new(other.view(), &other_positive, None).unwrap();
            let model = fit(&config, &frame, Some(&validation), Rng::from_u64(9), &Silent).unwrap();
            let scores = model.predict_proba(other.view()).unwrap();
            (model, scores)
        })
    });
    assert_eq!(one, two);
    assert_eq!(one, four);
}

#[test]
fn instruction_sets_do_not_change_a_bit() {
    let (features, positive) = sample(20_000, 14);
    let config = GradientBoosting { subsample: 0.9, n_estimators: 6, ..config() };
    let [baseline, avx2, avx512] =
        [Instructions::Baseline, Instructions::Avx2, Instructions::Avx512].map(|set| {
            // Other tests may run meanwhile: what they compute does not change, which is the point.
            dispatch::limit(set);
            fit_plain(&config, features.view(), &positive)
        });
    assert_eq!(baseline, avx2);
    assert_eq!(baseline, avx512);
}

#[test]
fn training_loss_falls_with_every_tree() {
    let (features, positive) = sample(2_000, 3);
    let losses: Vec<f64> = (1..=15)
        .map(|n_estimators| {
            let model = fit_plain(&GradientBoosting { n_estimators, ..config() }, features.view(), &positive);
            log_loss(&model.predict_proba(features.view()).unwrap(), &positive)
        })
        .collect();
    assert!(losses.is_sorted_by(|a, b| a > b), "{losses:?}");
}

#[test]
fn a_missing_value_is_learnt_from() {
    // A missing value marks the positives, and no number tells the classes apart.
    let value = |row: usize| if row.is_multiple_of(4) { f64::NAN } else { (row % 3) as f64 };
    let features = Array2::from_shape_fn((400, 1), |(row, _)| value(row));
    let positive: Vec<bool> = (0..400).map(|row| row % 4 == 0).collect();
    let model = fit_plain(&config(), features.view(), &positive);
    let scores = model.predict_proba(array![[f64::NAN], [0.0], [2.0], [1e300]].view()).unwrap();
    assert!(scores[0] > 0.7, "{scores}");
    assert!(scores.iter().skip(1).all(|&score| score < 0.2), "{scores}");
}

#[test]
fn weights_count_as_repeated_rows() {
    let (features, positive) = sample(500, 4);
    // Few values, so that repeating rows does not move a bin; neutral rules on counts.
    let features = features.mapv(f64::floor);
    let config = GradientBoosting { min_samples_leaf: 1, ..config() };
    let repeats = |row: usize| [1, 2, 4][row % 3];
    let weights: Vec<f64> = (0..500).map(|row| f64::from(repeats(row))).collect();
    let order: Vec<usize> = (0..500).flat_map(|row| (0..repeats(row)).map(move |_| row)).collect();
    let repeated = features.select(Axis(0), &order);
    let repeated_positive: Vec<bool> = order.iter().map(|&row| positive[row]).collect();
    let frame = Frame::new(features.view(), &positive, Some(&weights)).unwrap();
    let weighted = fit(&config, &frame, None, Rng::from_u64(1), &Silent).unwrap();
    let expected = fit_plain(&config, repeated.view(), &repeated_positive);
    let [a, b] = [weighted, expected].map(|model| model.predict_proba(features.view()).unwrap());
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5));

    // A common factor changes nothing where neither penalty nor rule has a scale.
    let config = GradientBoosting { l2_regularization: 0.0, min_child_weight: 0.0, ..config };
    let doubled: Vec<f64> = vec![2.0; 500];
    let frame = Frame::new(features.view(), &positive, Some(&doubled)).unwrap();
    let doubled = fit(&config, &frame, None, Rng::from_u64(1), &Silent).unwrap();
    assert_eq!(doubled, fit_plain(&config, features.view(), &positive));
}

#[test]
fn balanced_classes_move_the_scores_to_the_middle() {
    let (features, mut positive) = sample(2_000, 6);
    for (row, positive) in positive.iter_mut().enumerate() {
        *positive &= row.is_multiple_of(10);
    }
    let mean = |class_weight| {
        let config = GradientBoosting { class_weight, ..config() };
        fit_plain(&config, features.view(), &positive).predict_proba(features.view()).unwrap().mean().unwrap()
    };
    assert!(mean(ClassWeight::None) < 0.1);
    assert!(mean(ClassWeight::Balanced) > 0.2);
}

#[test]
fn balanced_classes_are_rows_of_such_weights() {
    let (features, positive) = sample(1_000, 16);
    let fraud = positive.iter().filter(|&&positive| positive).count() as f64;
    let [genuine, fraud] = [1_000.0 - fraud, fraud].map(|count| 500.0 / count);
    let weights: Vec<f64> = positive.iter().map(|&positive| if positive { fraud } else { genuine }).collect();
    let frame = Frame::new(features.view(), &positive, Some(&weights)).unwrap();
    let weighted = fit(&config(), &frame, None, Rng::from_u64(1), &Silent).unwrap();
    let config = GradientBoosting { class_weight: ClassWeight::Balanced, ..config() };
    assert_eq!(fit_plain(&config, features.view(), &positive), weighted);
}

#[test]
fn early_stopping_keeps_the_best_trees() {
    let (features, positive) = sample(400, 7);
    let (other, other_positive) = sample(400, 8);
    let frame = Frame::new(features.view(), &positive, None).unwrap();
    let validation = Frame::new(other.view(), &other_positive, None).unwrap();
    let config = GradientBoosting {
        n_estimators: 300,
        learning_rate: 0.3,
        early_stopping_rounds: Some(10),
        ..config()
    };
    let stopped = fit(&config, &frame, Some(&validation), Rng::from_u64(1), &Silent).unwrap();
    let best = stopped.trees().len();
    assert!(best < 290, "{best}");
    let loss = |n_estimators| {
        let config = GradientBoosting { n_estimators, early_stopping_rounds: None, ..config.clone() };
        let model = fit_plain(&config, features.view(), &positive);
        log_loss(&model.predict_proba(other.view()).unwrap(), &other_positive)
    };
    let at_best = loss(best as u32);
    assert_eq!(at_best, log_loss(&stopped.predict_proba(other.view()).unwrap(), &other_positive));
    assert!((1..=10).all(|more| loss(best as u32 + more) > at_best));
    assert!(best == 1 || loss(best as u32 - 1) > at_best);

    let failure = fit(&config, &frame, None, Rng::from_u64(1), &Silent).unwrap_err();
    assert_eq!(failure.code, Code::ParameterInvalid);
    let narrow = Array2::zeros((2, 3));
    let narrow = Frame::new(narrow.view(), &[true, false], None).unwrap();
    let failure = fit(&config, &frame, Some(&narrow), Rng::from_u64(1), &Silent).unwrap_err();
    assert_eq!(failure.code, Code::FeatureSchemaIncompatible);
}

#[test]
fn nothing_to_split_gives_one_leaf() {
    for value in [1.0, f64::NAN] {
        let features = Array2::from_elem((100, 2), value);
        let positive: Vec<bool> = (0..100).map(|row| row < 25).collect();
        let model = fit_plain(&config(), features.view(), &positive);
        assert_eq!(model.trees().trees().map(<[_]>::len).collect::<Vec<_>>(), [1]);
        let scores = model.predict_proba(features.view()).unwrap();
        assert!(scores.iter().all(|score| (score - 0.25).abs() < 1e-6));
    }
}

#[test]
fn limits_on_the_shape_of_trees_hold() {
    let (features, positive) = sample(3_000, 9);
    let sizes = |config: &GradientBoosting| {
        let model = fit_plain(config, features.view(), &positive);
        let sizes: Vec<usize> = model.trees().trees().map(|tree| tree.len().div_ceil(2)).collect();
        sizes
    };
    assert!(sizes(&GradientBoosting { max_leaf_nodes: 7, ..config() }).iter().all(|&leaves| leaves == 7));
    let shallow = sizes(&GradientBoosting { max_depth: Some(2), ..config() });
    assert!(shallow.iter().all(|&leaves| leaves <= 4) && shallow.contains(&4));
    assert!(sizes(&GradientBoosting { min_samples_leaf: 1_501, ..config() }) == [1]);
    assert!(sizes(&GradientBoosting { min_split_gain: 1e9, ..config() }) == [1]);
    // Large trees go through leaves that keep no histogram.
    let large = GradientBoosting { max_leaf_nodes: 400, min_samples_leaf: 1, ..config() };
    assert!(sizes(&large).iter().any(|&leaves| leaves > 200));
}

#[test]
fn sampling_depends_on_the_seed_alone() {
    let (features, positive) = sample(2_000, 10);
    let frame = Frame::new(features.view(), &positive, None).unwrap();
    let config = GradientBoosting { subsample: 0.5, colsample: 0.5, ..config() };
    let with_seed = |seed| fit(&config, &frame, None, Rng::from_u64(seed), &Silent).unwrap();
    assert_eq!(with_seed(1), with_seed(1));
    assert_ne!(with_seed(1), with_seed(2));
    for tree in with_seed(1).trees().trees() {
        let mut columns: Vec<u32> =
            tree.iter().filter(|node| !node.is_leaf()).map(|node| node.feature).collect();
        columns.sort_unstable();
        columns.dedup();
        assert!(columns.len() <= 2);
    }
}

#[test]
fn each_tree_draws_its_share_of_rows_and_columns() {
    let (features, positive) = sample(4_000, 17);
    let config = GradientBoosting { subsample: 0.3, colsample: 0.25, n_estimators: 40, ..config() };
    let model = fit_plain(&config, features.view(), &positive);
    let mut rows: Vec<f64> = model.trees().views().map(|tree| tree.covers[0]).collect();
    // Five standard deviations about the mean of 1,200.
    assert!(rows.iter().all(|rows| (rows - 1_200.0).abs() < 145.0), "{rows:?}");
    rows.sort_by(f64::total_cmp);
    rows.dedup();
    assert!(rows.len() > 20, "{rows:?}");
    let drawn = model.trees().trees().map(|tree| {
        let mut columns: Vec<u32> =
            tree.iter().filter(|node| !node.is_leaf()).map(|node| node.feature).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    });
    let mut drawn: Vec<_> = drawn.collect();
    assert!(drawn.iter().all(|columns| columns.len() <= 1));
    drawn.sort();
    drawn.dedup();
    assert!((0..4).all(|column| drawn.contains(&vec![column])), "{drawn:?}");
}

#[test]
fn progress_is_told_and_can_stop_the_work() {
    struct StopAt(u64);
    impl Progress for StopAt {
        fn step(&self, done: u64, total: u64) -> Result<()> {
            assert_eq!(total, 20);
            if done == self.0 { Err(Failure::new(Code::LeaseLost, "stopped")) } else { Ok(()) }
        }
    }
    let (features, positive) = sample(200, 11);
    let frame = Frame::new(features.view(), &positive, None).unwrap();
    let stopped = fit(&config(), &frame, None, Rng::from_u64(1), &StopAt(20)).unwrap_err();
    assert_eq!(stopped.code, Code::LeaseLost);
    assert!(fit(&config(), &frame, None, Rng::from_u64(1), &StopAt(21)).is_ok());
}

#[test]
fn another_number_of_columns_is_refused() {
    let (features, positive) = sample(200, 12);
    let model = fit_plain(&config(), features.view(), &positive);
    let failure = model.predict_proba(Array2::<f64>::zeros((1, 3)).view()).unwrap_err();
    assert_eq!(failure.code, Code::FeatureSchemaIncompatible);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The scores that training kept by partitioning codes are those of walking the trees on raw values:
    /// otherwise the next tree of a longer fit would correct another model than the shorter fit returns.
    #[test]
    fn walking_raw_values_agrees_with_partitions(
        seed in any::<u64>(), max_bins in 2..255_u32, rows in 30..600_usize,
    ) {
        let (features, positive) = sample(rows, seed);
        prop_assume!(positive.contains(&true) && positive.contains(&false));
        let config = GradientBoosting { max_bins, min_samples_leaf: 2, n_estimators: 5, ..config() };
        let frame = Frame::new(features.view(), &positive, None).unwrap();
        let codes = super::Codes::new(super::Binned::new(features.view(), max_bins as usize));
        let loss = super::Loss::new(&frame, [1.0; 2]).unwrap();
        let mut gradients = vec![super::Gradient::default(); rows];
        let mut scores = vec![0.0; rows];
        let loss = loss.in_order(&codes.order);
        loss.gradients(0, &scores, None, &mut gradients);
        let rules = super::Rules::new(&config, loss.unit);
        let categories = super::Categories::new(&frame, &config).unwrap();
        let mut grower = super::Grower::new(&codes, &categories, &config, rules);
        let grown = grower.grow(&gradients, codes.histogram_of_all(&gradients), &[0, 1, 2, 3]);
        grower.values(&grown, 0).add(&mut scores);
        for (place, score) in scores.into_iter().enumerate() {
            let row = features.row(codes.order.row(place));
            let tree = crate::ensemble::Tree::new(grown.nodes.clone(), &grown.sets, []);
            prop_assert_eq!(score, crate::ensemble::leaf(tree.view(), row).value);
        }
    }

    #[test]
    fn arrays_come_back_or_are_refused(
        name in 0..9_usize, position in any::<prop::sample::Index>(), bits in any::<u64>(), cut in any::<bool>(),
    ) {
        let (features, positive) = sample(300, 13);
        let model = fit_plain(&GradientBoosting { n_estimators: 3, ..config() }, features.view(), &positive);
        let mut arrays = model.to_arrays();
        prop_assert_eq!(&BoostingModel::from_arrays(4, &mut arrays.clone()).unwrap(), &model);
        let array = arrays.0.values_mut().nth(name).unwrap();
        match array {
            Array::F64(values) if cut => values.truncate(position.index(values.len())),
            Array::U32(values) if cut => values.truncate(position.index(values.len())),
            Array::U8(values) if cut => values.truncate(position.index(values.len())),
            Array::F64(values) => *position.get_mut(values) = f64::from_bits(bits),
            Array::U32(values) => *position.get_mut(values) = (bits % 64) as u32,
            Array::U8(values) => *position.get_mut(values) = bits as u8,
        }
        match BoostingModel::from_arrays(4, &mut arrays) {
            Err(failure) => prop_assert_eq!(failure.code, Code::ModelInvalid),
            // What is accepted scores anything without a panic, and as a probability.
            Ok(model) => {
                let row = ArrayView1::from(&[f64::NAN, f64::INFINITY, f64::MIN, 0.0][..]).insert_axis(Axis(0));
                let score = model.predict_proba(row).unwrap()[0];
                prop_assert!((0.0..=1.0).contains(&score));
            }
        }
    }
}
