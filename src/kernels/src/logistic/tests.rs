#![allow(clippy::unwrap_used, clippy::unreadable_literal, clippy::float_cmp)]

use contracts::{Code, Result, model_config::ClassWeight, model_config::LogisticRegression};
use ndarray::{Array2, ArrayView1, ArrayView2, array};
use proptest::prelude::*;

use super::*;
use crate::progress::Silent;

/// Features, labels and weights from an integer recurrence, so that scikit-learn sees the same numbers.
fn recurrence(rows: usize) -> (Array2<f64>, Vec<bool>, Vec<f64>) {
    let mut state = 2463534242_u32;
    let mut next = || {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        state >> 16
    };
    let (mut features, mut positive, mut weights) = (Array2::zeros((rows, 3)), Vec::new(), Vec::new());
    for mut row in features.rows_mut() {
        let draws: [u32; 5] = std::array::from_fn(|_| next());
        let [share, offset, step] = [draws[0], draws[1], draws[2] % 7].map(f64::from);
        row.assign(&array![share / 65536.0, offset / 64.0 - 300.0, step]);
        positive.push(draws[0] + draws[1] / 4 + draws[3] / 2 > 65536);
        weights.push(f64::from(draws[4] % 4) * 0.5);
    }
    (features, positive, weights)
}

fn fit_on(
    config: &LogisticRegression,
    features: ArrayView2<'_, f64>,
    positive: &[bool],
    weights: Option<&[f64]>,
) -> Result<LogisticModel> {
    fit(config, &Frame::new(features.reborrow(), positive, weights).unwrap(), &Silent)
}

/// Coefficients and, last, the intercept of scikit-learn 1.9 (`StandardScaler`, then `LogisticRegression` with
/// the solver newton-cholesky and a tolerance of 1e-14), on the original scale.
#[test]
fn coefficients_agree_with_scikit_learn() {
    let plain = LogisticRegression::default();
    let balanced =
        LogisticRegression { c: 0.1, class_weight: ClassWeight::Balanced, ..LogisticRegression::default() };
    let raw = LogisticRegression { c: 10.0, standardize: false, fit_intercept: false, ..plain.clone() };
    let golden = [
        (&plain, false, [11.48357447627081, 0.00391401548186741, 0.11619179632492009, -8.12106541244905]),
        (&plain, true, [10.26358560111637, 0.0035999965781605336, 0.15499972199300618, -7.524740769598499]),
        (
            &balanced,
            true,
            [5.718732037520595, 0.002101163429402015, 0.09638778427793714, -3.9323078081479723],
        ),
        (&raw, false, [1.9561829240839048, 0.0002959554606012295, -0.3198990793141847, 0.0]),
    ];
    let (features, positive, weights) = recurrence(300);
    for (config, weighted, expected) in golden {
        let weights = weighted.then_some(weights.as_slice());
        let model = fit_on(config, features.view(), &positive, weights).unwrap();
        let mut found = model.coefficients();
        found.push(model.intercept());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-8 * expected.abs(), "{found} {expected}");
        }
    }
}

/// The same of scikit-learn's elastic net (the solver saga, run until its weights stood still).
#[test]
fn elastic_nets_agree_with_scikit_learn() {
    let net = |c, l1_ratio, class_weight| LogisticRegression {
        c,
        l1_ratio,
        class_weight,
        ..LogisticRegression::default()
    };
    let golden = [
        (
            net(1.0, 0.5, ClassWeight::None),
            false,
            [12.075024790607083, 0.004105114215501036, 0.10991412889335556, -8.492941068829388],
        ),
        (
            net(0.05, 1.0, ClassWeight::None),
            false,
            [6.0856232383021185, 0.0009802554451029503, 0.0, -4.0073846287472685],
        ),
        (net(0.02, 0.7, ClassWeight::Balanced), true, [2.218225883950467, 0.0, 0.0, -1.2318955154989881]),
    ];
    let (features, positive, weights) = recurrence(300);
    for (config, weighted, expected) in golden {
        let weights = weighted.then_some(weights.as_slice());
        let model = fit_on(&config, features.view(), &positive, weights).unwrap();
        let mut found = model.coefficients();
        found.push(model.intercept());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-8 * expected.abs(), "{found} {expected}");
        }
    }
}

#[test]
fn a_strong_lasso_leaves_the_bias_alone() {
    let (features, positive, _) = recurrence(200);
    let config = LogisticRegression { c: 1e-4, l1_ratio: 1.0, ..LogisticRegression::default() };
    let model = fit_on(&config, features.view(), &positive, None).unwrap();
    assert!(model.coefficients().iter().all(|&weight| weight == 0.0));
    let share = positive.iter().filter(|&&positive| positive).count() as f64 / 200.0;
    assert!((model.intercept() - (share / (1.0 - share)).ln()).abs() < 1e-9);
    assert_eq!(model.steps(), 0);
}

/// From a first guess on a part of the rows, from none because the part would mislead, or from a part that has
/// none: the minimum is that of all rows.
#[test]
fn a_first_guess_changes_the_way_and_not_the_end() {
    let rows = 33 * CHUNK + 100;
    let (features, _, weights) = recurrence(rows);
    let mixed: Vec<bool> =
        features.rows().into_iter().map(|row| row[0] * 3.0 + row[2] > 5.0 + row[1] / 50.0).collect();
    let late: Vec<bool> = (0..rows).map(|row| row > rows - CHUNK && row % 3 == 0).collect();
    for positive in [mixed, late] {
        let (class, share) = (ClassWeight::Balanced, 0.3);
        let config = LogisticRegression {
            c: 1e-3,
            l1_ratio: share,
            class_weight: class,
            ..LogisticRegression::default()
        };
        let frame = Frame::new(features.view(), &positive, Some(&weights)).unwrap();
        let scaling = Scaling::standard(features.view()).unwrap();
        let objective = Objective::new(&config, &frame, &scaling);
        let with = newton::minimise(&objective, 100, 1e-10, &Silent).unwrap();
        let mut without = with.point.clone();
        // The least subgradient at the end is that of all rows, whatever the way there.
        let sums = objective.evaluate(&without);
        assert!(direction::slope(&objective, &without, &sums) / objective.total_weight() < 1e-10);
        without[0] += 1e-3;
        assert!(objective.evaluate(&without).value > sums.value);
    }
}

#[test]
fn threads_change_no_bit() {
    let (features, positive, weights) = recurrence(40 * CHUNK + 17);
    let fit_with = |threads, l1_ratio| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let config = LogisticRegression { l1_ratio, ..LogisticRegression::default() };
            let model = fit_on(&config, features.view(), &positive, Some(&weights)).unwrap();
            let scores = model.predict_proba(features.view()).unwrap();
            (model, scores)
        })
    };
    for l1_ratio in [0.0, 0.5] {
        let alone = fit_with(1, l1_ratio);
        assert_eq!(alone, fit_with(2, l1_ratio));
        assert_eq!(alone, fit_with(4, l1_ratio));
    }
}

#[test]
fn layout_of_the_matrix_changes_no_bit() {
    let (features, positive, _) = recurrence(CHUNK + 5);
    let columns = features.t().as_standard_layout().into_owned();
    let config = LogisticRegression::default();
    assert_eq!(
        fit_on(&config, features.view(), &positive, None),
        fit_on(&config, columns.t(), &positive, None)
    );
}

#[test]
fn weights_repeat_rows_where_nothing_is_scaled() {
    let config = LogisticRegression { standardize: false, ..LogisticRegression::default() };
    let features = array![[0.0], [1.0], [2.0], [3.0]];
    let repeated = array![[0.0], [1.0], [1.0], [1.0], [2.0], [2.0], [3.0]];
    let weights = [1.0, 3.0, 2.0, 1.0];
    let weighted = fit_on(&config, features.view(), &[false, true, false, true], Some(&weights)).unwrap();
    let positive = [false, true, true, true, false, false, true];
    let repeated = fit_on(&config, repeated.view(), &positive, None).unwrap();
    assert!((weighted.coefficients()[0] - repeated.coefficients()[0]).abs() < 1e-12);
    assert!((weighted.intercept() - repeated.intercept()).abs() < 1e-12);
}

#[test]
fn copies_and_constants_share_or_take_no_coefficient() {
    let (features, positive, _) = recurrence(200);
    let mut wide = Array2::from_elem((200, 5), 0.1);
    wide.slice_mut(ndarray::s![.., ..3]).assign(&features);
    wide.column_mut(3).assign(&features.column(0));
    let config = LogisticRegression { c: 1e12, ..LogisticRegression::default() };
    let model = fit_on(&config, wide.view(), &positive, None).unwrap();
    let coefficients = model.coefficients();
    assert!((coefficients[0] - coefficients[3]).abs() < 1e-3 * coefficients[0].abs(), "{coefficients:?}");
    assert!(coefficients[4].abs() < 1e-12);
}

/// Seconds since an epoch: the gradient cannot be told from zero to 1e-10, and the fit must still end.
#[test]
fn large_raw_columns_end_at_the_floor_of_rounding() {
    let (mut features, positive, _) = recurrence(500);
    features.column_mut(1).mapv_inplace(|value| value * 1e6);
    let config = LogisticRegression { standardize: false, ..LogisticRegression::default() };
    let model = fit_on(&config, features.view(), &positive, None).unwrap();
    assert!(model.predict_proba(features.view()).unwrap().iter().all(|score| (0.0..=1.0).contains(score)));
}

#[test]
fn extreme_weights_do_not_spoil_the_start() {
    let features = array![[0.0], [1.0], [2.0], [3.0]];
    let config = LogisticRegression::default();
    for weights in [[1e-320, 1.0, 1e-320, 1.0], [1e300, 1.0, 1e300, 1e-300]] {
        match fit_on(&config, features.view(), &[false, true, false, true], Some(&weights)) {
            Ok(model) => assert!(model.coefficients()[0].is_finite() && model.intercept().is_finite()),
            Err(failure) => assert_eq!(failure.code, Code::TrainingDiverged),
        }
    }
}

/// A penalty bounds the weights of classes that a line parts: the smaller it is, the surer the model.
#[test]
fn separable_classes_have_a_bounded_answer() {
    let features = Array2::from_shape_fn((40, 1), |(row, _)| row as f64);
    let positive: Vec<bool> = (0..40).map(|row| row >= 20).collect();
    for l1_ratio in [0.0, 0.5, 1.0] {
        let weights = [1e-2, 1.0, 1e2].map(|c| {
            let config = LogisticRegression { c, l1_ratio, ..LogisticRegression::default() };
            fit_on(&config, features.view(), &positive, None).unwrap().coefficients()[0]
        });
        assert!(weights.is_sorted() && weights[2] < 10.0, "{weights:?}");
    }
}

#[test]
fn separable_classes_end_or_diverge() {
    let features = Array2::from_shape_fn((40, 1), |(row, _)| row as f64);
    let positive: Vec<bool> = (0..40).map(|row| row >= 20).collect();
    let config = LogisticRegression { c: 1e12, ..LogisticRegression::default() };
    match fit_on(&config, features.view(), &positive, None) {
        Ok(model) => assert!(model.coefficients()[0].is_finite() && model.intercept().is_finite()),
        Err(failure) => assert_eq!(failure.code, Code::TrainingDiverged),
    }
    let hurried = LogisticRegression { max_iter: 3, ..config };
    let failure = fit_on(&hurried, features.view(), &positive, None).unwrap_err();
    assert_eq!(failure.code, Code::TrainingDiverged);
}

#[test]
fn overflowing_sums_are_refused() {
    let features = array![[1e300], [-1e300], [1e299]];
    let positive = [true, false, true];
    let scaled = LogisticRegression::default();
    let failure = fit_on(&scaled, features.view(), &positive, None).unwrap_err();
    assert_eq!((failure.code, failure.problems[0].pointer.as_str()), (Code::NonFiniteInput, "features/0"));
    let raw = LogisticRegression { standardize: false, ..scaled };
    let failure = fit_on(&raw, features.view(), &positive, None).unwrap_err();
    assert_eq!(failure.code, Code::TrainingDiverged);
}

#[test]
fn missing_values_are_refused_by_column() {
    let positive = [true, false];
    let missing = array![[1.0, 2.0], [0.0, f64::NAN]];
    let config = LogisticRegression::default();
    let failure = fit_on(&config, missing.view(), &positive, None).unwrap_err();
    assert_eq!((failure.code, failure.problems[0].pointer.as_str()), (Code::NonFiniteInput, "features/1"));
    let model = fit_on(&config, array![[1.0, 2.0], [0.0, 3.0]].view(), &positive, None).unwrap();
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let failure = model.predict_proba(array![[0.0, 0.0], [0.0, value]].view()).unwrap_err();
        assert_eq!(
            (failure.code, failure.problems[0].pointer.as_str()),
            (Code::NonFiniteInput, "features/1")
        );
    }
    let huge = model.predict_proba(array![[f64::MAX, -f64::MAX]].view()).unwrap_err();
    assert_eq!((huge.code, huge.problems[0].pointer.as_str()), (Code::NonFiniteInput, "features"));
}

#[test]
fn arrays_come_back_and_hostile_ones_do_not() {
    let (features, positive, _) = recurrence(100);
    let model = fit_on(&LogisticRegression::default(), features.view(), &positive, None).unwrap();
    assert_eq!(LogisticModel::from_arrays(3, &mut model.to_arrays()).unwrap(), model);
    let hostile = [
        ("logistic.mean", vec![0.0; 2]),
        ("logistic.scale", vec![1.0, 0.0, 1.0]),
        ("logistic.scale", vec![1.0, -1.0, 1.0]),
        ("logistic.weights", vec![f64::NAN; 3]),
        ("logistic.weights", vec![]),
        ("logistic.bias", vec![]),
        ("logistic.bias", vec![f64::INFINITY]),
        ("logistic.steps", vec![4.0]),
    ];
    for (name, values) in hostile {
        let mut arrays = model.to_arrays();
        arrays.0.insert(name.to_owned(), Array::F64(values));
        assert_eq!(
            LogisticModel::from_arrays(3, &mut arrays).unwrap_err().code,
            Code::ModelInvalid,
            "{name}"
        );
        let mut arrays = model.to_arrays();
        arrays.0.remove(name);
        assert_eq!(
            LogisticModel::from_arrays(3, &mut arrays).unwrap_err().code,
            Code::ModelInvalid,
            "{name}"
        );
    }
}

#[test]
fn whoever_watches_can_stop_the_fit() {
    struct Stop;
    impl Progress for Stop {
        fn step(&self, done: u64, _: u64) -> Result<()> {
            if done < 2 { Ok(()) } else { Err(Failure::new(Code::LeaseLost, "stop")) }
        }
    }
    let (features, positive, _) = recurrence(100);
    let frame = Frame::new(features.view(), &positive, None).unwrap();
    assert_eq!(fit(&LogisticRegression::default(), &frame, &Stop).unwrap_err().code, Code::LeaseLost);
}

/// The mean gradient at a model's coefficients, in the platform's own arithmetic.
fn gradient(
    model: &LogisticModel,
    c: f64,
    l1_ratio: f64,
    features: ArrayView2<'_, f64>,
    positive: &[bool],
    weights: &[f64],
) -> Vec<f64> {
    let coefficients = model.coefficients();
    let l2 = (1.0 - l1_ratio) / c;
    let mut gradient: Vec<f64> = coefficients.iter().map(|weight| weight * l2).collect();
    gradient.push(0.0);
    for ((row, &positive), weight) in features.rows().into_iter().zip(positive).zip(weights) {
        let margin = model.intercept() + row.dot(&ArrayView1::from(&coefficients));
        let residual = weight * (1.0 / (1.0 + (-margin).exp()) - f64::from(u8::from(positive)));
        for (sum, value) in gradient.iter_mut().zip(row.iter().chain([&1.0])) {
            *sum += residual * value;
        }
    }
    for (part, weight) in gradient.iter_mut().zip(&coefficients) {
        let l1 = l1_ratio / c;
        // Of the subgradients in a kink the least counts.
        *part = if *weight == 0.0 { *part - part.clamp(-l1, l1) } else { *part + l1 * weight.signum() };
    }
    let total: f64 = weights.iter().sum();
    gradient.iter().map(|part| part / total).collect()
}

proptest! {
    #[test]
    fn the_gradient_vanishes_at_the_end(
        rows in prop::collection::vec((prop::array::uniform3(-4.0..4.0_f64), any::<bool>(), 0.1..3.0_f64), 2..60),
        c in 0.01..100.0_f64,
        l1_ratio in prop_oneof![Just(0.0), Just(1.0), 0.0..1.0_f64],
    ) {
        let positive: Vec<bool> = rows.iter().map(|row| row.1).collect();
        prop_assume!(positive.contains(&true) && positive.contains(&false));
        let weights: Vec<f64> = rows.iter().map(|row| row.2).collect();
        let features = Array2::from_shape_fn((rows.len(), 3), |(row, column)| rows[row].0[column]);
        let config = LogisticRegression { c, l1_ratio, standardize: false, ..LogisticRegression::default() };
        let model = fit_on(&config, features.view(), &positive, Some(&weights)).unwrap();
        let gradient = gradient(&model, c, l1_ratio, features.view(), &positive, &weights);
        prop_assert!(gradient.iter().all(|part| part.abs() < 1e-9), "{:?}", gradient);
    }
}
