//! Bagged CART trees whose probabilities are averaged.
//!
//! ```text
//!   Frame ──► bins, samples ──► tree t: rows drawn, features drawn for each node ──► Ensemble ──► mean of leaves
//! ```
//!
//! Flows in: a frame without missing values and a keyed generator. Flows out: trees in order. Invariant: tree `t`
//! depends on the data, the key and `t` alone, so that any number of threads grows the same forest, and a
//! smaller forest is the beginning of a larger one.

use std::sync::atomic::{AtomicU64, Ordering};

use contracts::{
    Code, Failure, Result,
    model_config::{self, MaxFeatures},
};
use ndarray::{Array1, ArrayView2};
use rayon::prelude::*;

use crate::{
    arrays::Arrays,
    ensemble::{Ensemble, Value},
    frame::{self, Frame},
    progress::Progress,
    rng::Rng,
    tree::{self, Candidates, Limits, Sample},
};

/// Stream of tree 0's feature draws; those below it are the trees' row draws.
const FEATURE_STREAMS: u64 = 1 << 32;

/// Grows `n_estimators` trees, each on as many rows as there are, drawn with replacement.
///
/// A row that is drawn twice weighs twice, and counts once towards `min_samples_split` and `min_samples_leaf`,
/// as in scikit-learn. Rows without weight are never drawn. Refuses missing values with `NON_FINITE_INPUT`.
pub fn fit(
    config: &model_config::RandomForest,
    frame: &Frame<'_>,
    rng: Rng,
    progress: &dyn Progress,
) -> Result<Ensemble> {
    frame.without_missing()?;
    let binned = tree::bin(frame);
    let samples = tree::samples(frame, config.class_weight);
    let limits = Limits {
        depth: config.max_depth,
        rows_to_split: config.min_samples_split as usize,
        rows_in_leaf: config.min_samples_leaf as usize,
    };
    let count = match config.max_features {
        MaxFeatures::All => frame.columns(),
        MaxFeatures::Sqrt => frame.columns().isqrt().max(1),
    };
    let total = u64::from(config.n_estimators);
    let grown = AtomicU64::new(0);
    let trees = (0..total)
        .into_par_iter()
        .map(|t| {
            let drawn = if config.bootstrap { draw(&samples, rng, t) } else { samples.clone() };
            let candidates = Candidates::Drawn { rng, stream: FEATURE_STREAMS + t, count };
            let tree = tree::grow(&binned, drawn, limits, candidates, |_| Ok(()))?;
            progress.step(grown.fetch_add(1, Ordering::Relaxed) + 1, total)?;
            Ok(tree)
        })
        .collect::<Result<Vec<_>>>()?;
    Ensemble::new(frame.columns(), trees)
}

/// As many draws with replacement as there are samples, in canonical order.
fn draw(samples: &[Sample], rng: Rng, stream: u64) -> Vec<Sample> {
    let mut times = vec![0_u64; samples.len()];
    for index in 0..samples.len() as u64 {
        times[rng.below(stream, index, samples.len() as u64) as usize] += 1;
    }
    let drawn = samples.iter().zip(times).filter(|&(_, times)| times > 0);
    drawn.map(|(sample, times)| Sample { units: sample.units * times, ..*sample }).collect()
}

/// Mean over the trees of the leaf value of each row of `features` (rows x columns), added in tree order.
///
/// Refuses with `NON_FINITE_INPUT` a missing or infinite value, naming its column, and with `MODEL_INVALID` an
/// ensemble without trees.
pub fn predict_proba<T: Value>(ensemble: &Ensemble, features: ArrayView2<'_, T>) -> Result<Array1<f64>> {
    if ensemble.is_empty() {
        return Err(no_forest("at least one tree", "none"));
    }
    frame::without_missing_or_infinite(features)?;
    let trees = ensemble.len() as f64;
    Ok(ensemble.scores(features, 0.0, |sum| sum / trees).into())
}

/// Reads a tree or a forest; refuses with `MODEL_INVALID` anything malformed, no tree at all, categories, which
/// forests do not take, and values that are no probabilities.
pub fn from_arrays(columns: usize, arrays: &mut Arrays) -> Result<Ensemble> {
    let ensemble = Ensemble::from_arrays(columns, arrays)?;
    if ensemble.is_empty() {
        return Err(no_forest("at least one tree", "none"));
    }
    if !ensemble.is_numeric() {
        return Err(no_forest("thresholds alone", "sets of categories"));
    }
    if ensemble.trees().flatten().any(|node| !(0.0..=1.0).contains(&node.value)) {
        return Err(no_forest("values from 0 to 1", "another value"));
    }
    Ok(ensemble)
}

fn no_forest(expected: &str, found: &str) -> Failure {
    Failure::at(Code::ModelInvalid, "tree", expected, found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use contracts::model_config::{ClassWeight, RandomForest};
    use ndarray::{Array2, array};

    use super::*;
    use crate::{arrays::Array, ensemble::Node, progress::Silent};

    /// Rows whose label follows the first of five columns, with noise from the generator.
    fn data(rows: usize) -> (Array2<f64>, Vec<bool>) {
        let rng = Rng::from_u64(11);
        let features =
            Array2::from_shape_fn((rows, 5), |(row, column)| rng.uniform(column as u64, row as u64));
        let positive =
            (0..rows).map(|row| features[[row, 0]] + 0.3 * rng.uniform(9, row as u64) > 0.8).collect();
        (features, positive)
    }

    fn fit_on(config: &RandomForest, features: &Array2<f64>, positive: &[bool], seed: u64) -> Ensemble {
        let frame = Frame::new(features.view(), positive, None).unwrap();
        fit(config, &frame, Rng::from_u64(seed), &Silent).unwrap()
    }

    fn small() -> RandomForest {
        RandomForest { n_estimators: 12, ..RandomForest::default() }
    }

    #[test]
    fn threads_change_no_bit() {
        let (features, positive) = data(3_000);
        let fit_with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let forest = fit_on(&small(), &features, &positive, 1);
                let scores = predict_proba(&forest, features.view()).unwrap();
                (forest, scores)
            })
        };
        let alone = fit_with(1);
        assert_eq!(alone, fit_with(2));
        assert_eq!(alone, fit_with(4));
    }

    #[test]
    fn the_seed_decides_and_trees_differ() {
        let (features, positive) = data(300);
        let forest = fit_on(&small(), &features, &positive, 1);
        assert_eq!(forest, fit_on(&small(), &features, &positive, 1));
        assert_ne!(forest, fit_on(&small(), &features, &positive, 2));
        let trees: Vec<_> = forest.trees().collect();
        assert!(trees.iter().enumerate().all(|(t, tree)| !trees[..t].contains(tree)));
        let fewer = RandomForest { n_estimators: 5, ..small() };
        let fewer = fit_on(&fewer, &features, &positive, 1);
        assert!(fewer.trees().eq(forest.trees().take(5)));
    }

    #[test]
    fn without_draws_every_tree_learns_the_rows_by_heart() {
        let (features, positive) = data(300);
        let config = RandomForest { bootstrap: false, max_features: MaxFeatures::All, ..small() };
        let scores = predict_proba(&fit_on(&config, &features, &positive, 1), features.view()).unwrap();
        assert!(scores.iter().zip(&positive).all(|(score, positive)| (*score > 0.99) == *positive));
    }

    #[test]
    fn features_are_drawn_until_one_parts_the_node() {
        let mut features = Array2::zeros((40, 16));
        features.column_mut(7).assign(&ndarray::Array1::from_iter((0..40).map(f64::from)));
        let positive: Vec<bool> = (0..40).map(|row| row >= 20).collect();
        let config = RandomForest { bootstrap: false, ..small() };
        for tree in fit_on(&config, &features, &positive, 3).trees() {
            assert_eq!(tree.len(), 3);
            assert_eq!(tree[0].feature, 7);
        }
    }

    #[test]
    fn draws_are_even_and_as_many_as_rows() {
        let samples: Vec<_> = (0..1_000).map(|row| Sample { row, positive: true, units: 3 }).collect();
        let drawn = draw(&samples, Rng::from_u64(5), 0);
        assert_eq!(drawn.iter().map(|sample| sample.units).sum::<u64>(), 3_000);
        assert!(drawn.is_sorted_by_key(|sample| sample.row));
        // About 1 - 1/e of the rows are drawn at least once.
        assert!((580..680).contains(&drawn.len()), "{}", drawn.len());
    }

    #[test]
    fn rows_without_weight_are_as_if_absent() {
        let (features, positive) = data(200);
        let weights: Vec<f64> = (0..200).map(|row| f64::from(row < 120)).collect();
        let config = RandomForest { class_weight: ClassWeight::Balanced, ..small() };
        let frame = Frame::new(features.view(), &positive, Some(&weights)).unwrap();
        let weighted = fit(&config, &frame, Rng::from_u64(1), &Silent).unwrap();
        let fewer = features.slice(ndarray::s![..120, ..]).to_owned();
        assert_eq!(weighted, fit_on(&config, &fewer, &positive[..120], 1));
    }

    #[test]
    fn values_that_are_no_numbers_are_refused_by_column() {
        let (features, positive) = data(50);
        let forest = fit_on(&small(), &features, &positive, 1);
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let failure = predict_proba(&forest, array![[0.0, 0.0, value, 0.0, 0.0]].view()).unwrap_err();
            assert_eq!(
                (failure.code, failure.problems[0].pointer.as_str()),
                (Code::NonFiniteInput, "features/2")
            );
        }
        let missing = array![[0.0], [f64::NAN]];
        let frame = Frame::new(missing.view(), &[true, false], None).unwrap();
        let failure = fit(&small(), &frame, Rng::from_u64(1), &Silent).unwrap_err();
        assert_eq!(failure.code, Code::NonFiniteInput);
    }

    #[test]
    fn whoever_watches_hears_every_tree_and_can_stop() {
        struct Count(AtomicU64);
        impl Progress for Count {
            fn step(&self, done: u64, total: u64) -> Result<()> {
                self.0.fetch_add(done, Ordering::Relaxed);
                if total > 12 { Err(Failure::new(Code::LeaseLost, "stop")) } else { Ok(()) }
            }
        }
        let (features, positive) = data(50);
        let frame = Frame::new(features.view(), &positive, None).unwrap();
        let count = Count(AtomicU64::new(0));
        fit(&small(), &frame, Rng::from_u64(1), &count).unwrap();
        assert_eq!(count.0.load(Ordering::Relaxed), 12 * 13 / 2);
        let more = RandomForest { n_estimators: 13, ..small() };
        assert_eq!(fit(&more, &frame, Rng::from_u64(1), &count).unwrap_err().code, Code::LeaseLost);
    }

    #[test]
    fn arrays_come_back_and_hostile_ones_do_not() {
        let (features, positive) = data(50);
        let forest = fit_on(&small(), &features, &positive, 1);
        assert_eq!(from_arrays(5, &mut forest.to_arrays()).unwrap(), forest);
        assert_eq!(from_arrays(1, &mut forest.to_arrays()).unwrap_err().code, Code::ModelInvalid);
        let count = forest.trees().map(<[Node]>::len).sum::<usize>();
        let hostile = [
            ("tree.value", Array::F64(vec![1.5; count])),
            ("tree.value", Array::F64(vec![-0.5; count])),
            ("tree.value", Array::F64(vec![f64::NAN; count])),
            ("tree.left", Array::U32(vec![1; count])),
            ("tree.right", Array::U32(vec![u32::MAX; count])),
            ("tree.roots", Array::U32(vec![0])),
            ("tree.feature", Array::U32(vec![])),
            ("tree.cover", Array::F64(vec![1.0; count])),
            ("tree.missing_left", Array::U8(vec![2; count])),
        ];
        for (name, array) in hostile {
            let mut arrays = forest.to_arrays();
            arrays.0.insert(name.to_owned(), array);
            assert_eq!(from_arrays(5, &mut arrays).unwrap_err().code, Code::ModelInvalid, "{name}");
        }
    }

    #[test]
    fn no_tree_is_no_forest() {
        let none = Ensemble::new(2, []).unwrap();
        assert_eq!(predict_proba(&none, array![[0.0, 0.0]].view()).unwrap_err().code, Code::ModelInvalid);
        assert_eq!(from_arrays(2, &mut none.to_arrays()).unwrap_err().code, Code::ModelInvalid);
    }
}
