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
use ndarray::{Array1, ArrayView2, Axis};
use rayon::prelude::*;

use crate::{
    arrays::Arrays,
    ensemble::{self, Ensemble},
    frame::Frame,
    progress::Progress,
    rng::Rng,
    tree::{self, Candidates, Limits, Sample},
};

/// Rows that one task scores, tree after tree while a tree's nodes are at hand.
const CHUNK: usize = 1024;

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
            let nodes = tree::grow(&binned, drawn, limits, candidates, |_| Ok(()))?;
            progress.step(grown.fetch_add(1, Ordering::Relaxed) + 1, total)?;
            Ok(nodes)
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
pub fn predict_proba(ensemble: &Ensemble, features: ArrayView2<'_, f64>) -> Result<Array1<f64>> {
    if ensemble.is_empty() {
        return Err(no_forest("at least one tree", "none"));
    }
    if let Some(((_, column), value)) = features.indexed_iter().find(|(_, value)| !value.is_finite()) {
        let found = if value.is_nan() { "a missing value" } else { "an infinity" };
        return Err(Failure::at(Code::NonFiniteInput, format!("features/{column}"), "finite numbers", found));
    }
    let mut scores = vec![0.0; features.nrows()];
    scores.par_chunks_mut(CHUNK).zip(features.axis_chunks_iter(Axis(0), CHUNK).into_par_iter()).for_each(
        |(scores, rows)| {
            for tree in ensemble.trees() {
                for (score, row) in scores.iter_mut().zip(rows.rows()) {
                    *score += ensemble::leaf(tree, row).value;
                }
            }
            for score in scores {
                *score /= ensemble.len() as f64;
            }
        },
    );
    Ok(Array1::from_vec(scores))
}

/// Reads a tree or a forest; refuses with `MODEL_INVALID` anything malformed, no tree at all, and values that are
/// no probabilities.
pub fn from_arrays(columns: usize, arrays: &mut Arrays) -> Result<Ensemble> {
    let ensemble = Ensemble::from_arrays(columns, arrays)?;
    if ensemble.is_empty() {
        return Err(no_forest("at least one tree", "none"));
    }
    if ensemble.trees().flatten().any(|node| !(0.0..=1.0).contains(&node.value)) {
        return Err(no_forest("values from 0 to 1", "another value"));
    }
    Ok(ensemble)
}

fn no_forest(expected: &str, found: &str) -> Failure {
    Failure::at(Code::ModelInvalid, "tree", expected, found)
}
