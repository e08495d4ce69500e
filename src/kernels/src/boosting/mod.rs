//! Histogram gradient boosting on the logistic loss.
//!
//! ```text
//!   Frame ──► codes in order ───┐
//!   scores ──► gradients ───────┴──► grow a tree ──► scores of its leaves' rows ──► next tree
//! ```
//!
//! Flows in: a frame, maybe a validation frame. Flows out: a [`BoostingModel`]. Invariant: without row
//! sampling the model depends on the multiset of rows alone, and never on threads: bins are exact ranks,
//! gradients are integers, and everything else is computed for one row or one split at a time.
//!
//! A categorical column holds whole numbers from 0, each below `max_bins`, or NaN. A category of which a split has
//! seen few rows or none goes where missing values go, as scikit-learn does with those that a fit has not seen.
//!
//! Defaults: on rare positives an L2 penalty of 1 is what matters most. Leaves of a few rows whose curvature is
//! next to nothing otherwise take huge steps: on the public card data (100 trees of 31 leaves, 0.8 % positive)
//! `LightGBM`, whose penalty is 0 by default, has an average precision of 0.696 on the test week and 0.756 with
//! a penalty of 1; a `min_child_weight` of 1 instead gives 0.752, and both together 0.755. `XGBoost`, with both
//! by default, has 0.756, and 0.752 without the penalty. Ours, with the penalty and leaves of at least 20 rows,
//! has 0.759 (0.753 with a `min_child_weight` of 1, 0.759 with leaves of one row).
//!
//! Sources: Friedman: *Greedy function approximation: a gradient boosting machine*, Annals of Statistics 29
//! (2001); Ke et al.: *`LightGBM`*, NIPS 2017 (leaf-wise growth, histogram subtraction); Chen, Guestrin:
//! *`XGBoost`: A Scalable Tree Boosting System*, KDD 2016 (growth level by level).

mod booster;
mod bundle;
mod categories;
mod constraint;
mod fetch;
mod fixed;
mod gradient;
mod grow;
mod histogram;
mod members;
mod named;
#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "libm makes test data here")]
mod oracle;
mod order;
mod pair;
mod split;
mod sweep;
#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "libm is the oracle here")]
mod tests;
mod tile;

use contracts::{Code, Failure, Result, model_config::GradientBoosting};
use ndarray::{Array1, ArrayView2};
use rayon::prelude::*;

pub use self::{booster::Booster, categories::categorical, constraint::Constraints};
use self::{
    categories::Categories,
    fixed::{BLOCK_ROWS, Gradient},
    gradient::{Loss, class_factors},
    grow::{Grower, Grown},
    histogram::{Codes, Histogram},
    split::Rules,
    tile::SPAN_ROWS,
};
use crate::{
    arrays::{Array, Arrays},
    binning::Binned,
    ensemble::{Ensemble, Node, Tree, Value, add_values},
    frame::{Frame, require_categories},
    math,
    progress::Progress,
    rng::Rng,
};

/// Tasks for each thread that bring scores and gradients up to date.
const UPDATE_TASKS: usize = 2;
/// Rows that a task does so for at a time; what they need stays in the nearest cache.
const CHUNK_ROWS: usize = 8 * SPAN_ROWS;
/// Name of the array that holds the base score.
const BASE: &str = "boosting.base";
/// Name of the array of categorical columns, where there are any.
const CATEGORICAL: &str = "boosting.categorical";

/// Boosted trees: the log-odds of a row are the base score plus its leaf in every tree.
#[derive(Debug, Clone, PartialEq)]
pub struct BoostingModel {
    base: f64,
    trees: Ensemble,
    /// Columns whose values are categories, in rising order.
    categorical: Vec<u32>,
}

impl BoostingModel {
    /// Refuses with `MODEL_INVALID` trees that compare categories with a threshold, or look for a category in
    /// another column.
    fn new(base: f64, trees: Ensemble, categorical: Vec<u32>) -> Result<Self> {
        let in_range = categorical.last().is_none_or(|&last| (last as usize) < trees.columns());
        let is_named = |node: &Node| categorical.binary_search(&node.feature).is_ok();
        let agrees = |node: &Node| node.is_leaf() || node.set.is_some() == is_named(node);
        let agree = trees.trees().flatten().all(agrees);
        if in_range && agree && categorical.is_sorted_by(|a, b| a < b) {
            return Ok(Self { base, trees, categorical });
        }
        Err(Failure::at(
            Code::ModelInvalid,
            CATEGORICAL,
            "the columns that trees look for categories in",
            "others",
        ))
    }

    /// Number of features a row must have.
    pub const fn columns(&self) -> usize {
        self.trees.columns()
    }

    /// The trees, their values on the log-odds scale and shrunken by the learning rate.
    pub const fn trees(&self) -> &Ensemble {
        &self.trees
    }

    /// Columns whose values are categories, in rising order.
    pub fn categorical(&self) -> &[u32] {
        &self.categorical
    }

    /// Refuses with `FEATURE_SCHEMA_INCOMPATIBLE` another number of columns, and with `CATEGORY_INVALID` values of
    /// categorical columns that are neither missing nor whole numbers from 0.
    pub fn check<T: Value>(&self, features: ArrayView2<'_, T>) -> Result<()> {
        check_columns("features", self.columns(), features.ncols())?;
        self.categorical
            .iter()
            .try_for_each(|&column| require_categories(features.column(column as usize), &column.to_string()))
    }

    /// The log-odds before any tree.
    pub const fn base(&self) -> f64 {
        self.base
    }

    /// Probability of the positive class for each row of `features` (rows x columns, NaN meaning missing).
    ///
    /// Refuses as [`Self::check`] does.
    pub fn predict_proba<T: Value>(&self, features: ArrayView2<'_, T>) -> Result<Array1<f64>> {
        self.check(features)?;
        Ok(self.trees.scores(features, self.base, math::sigmoid).into())
    }

    /// Log-odds of the positive class for each row of `features` (rows x columns, NaN meaning missing).
    ///
    /// Refuses as [`Self::check`] does.
    pub fn log_odds<T: Value>(&self, features: ArrayView2<'_, T>) -> Result<Array1<f64>> {
        self.check(features)?;
        Ok(self.trees.scores(features, self.base, |score| score).into())
    }

    /// Adds to each row's log-odds the value of its leaf in tree `position`, and tells the probabilities that
    /// they come to; `None` where there are no more trees. Those before the first tree are [`Self::base`].
    ///
    /// `features` is rows x columns, NaN meaning missing; `scores` has one number a row. Refuses as
    /// [`Self::check`] does.
    pub fn add_stage<T: Value>(
        &self,
        features: ArrayView2<'_, T>,
        position: usize,
        scores: &mut [f64],
    ) -> Result<Option<Vec<f64>>> {
        self.check(features)?;
        let Some(tree) = self.trees.view(position) else { return Ok(None) };
        add_values(vec![tree], features, scores, |score| score);
        Ok(Some(scores.iter().map(|&score| math::sigmoid(score)).collect()))
    }

    /// The arrays that stand in the model artifact.
    pub fn to_arrays(&self) -> Arrays {
        let mut arrays = self.trees.to_arrays();
        arrays.0.insert(BASE.to_owned(), Array::F64(vec![self.base]));
        // A model of numbers alone has the bytes that it had before there were categories.
        if !self.categorical.is_empty() {
            arrays.0.insert(CATEGORICAL.to_owned(), Array::U32(self.categorical.clone()));
        }
        arrays
    }

    /// Reads the arrays back; refuses anything malformed with `MODEL_INVALID`.
    pub fn from_arrays(columns: usize, arrays: &mut Arrays) -> Result<Self> {
        let base = arrays.take_f64(BASE)?;
        let &[base] = base.as_slice() else {
            return Err(Failure::at(
                Code::ModelInvalid,
                BASE,
                "one number",
                format!("{} numbers", base.len()),
            ));
        };
        let is_there = arrays.0.contains_key(CATEGORICAL);
        let categorical = if is_there { arrays.take_u32(CATEGORICAL)? } else { Vec::new() };
        Self::new(base, Ensemble::from_arrays(columns, arrays)?, categorical)
    }
}

/// Fits boosted trees on `train`; `validation` serves early stopping alone.
///
/// Early stopping weighs the classes of the validation rows as those of the training rows, keeps the trees up
/// to the lowest log loss, and stops once that is `early_stopping_rounds` trees ago. A tree that finds nothing
/// to split is the last one, unless trees differ in the rows or columns they see.
///
/// A fit that starts from a model goes through its trees as if it grew them, and so comes to the model, bit for
/// bit, that it would come to without, if rows and hyper-parameters other than the number of trees are those that
/// the model was fitted with. Others may differ, but for the categorical features; they count for the trees that
/// are added.
///
/// Refuses with `PARAMETER_INVALID` (early stopping without a validation frame, fewer trees than there are,
/// categorical columns other than those that the config names), `FEATURE_SCHEMA_INCOMPATIBLE` (frames of different
/// columns, or a model to start from of different or other categorical ones), `CATEGORY_INVALID` (more categories
/// than bins), `NON_FINITE_INPUT` (weights beyond measure), and with whatever `progress` stops the work with.
pub fn fit(
    booster: &Booster<'_>,
    train: &Frame<'_>,
    validation: Option<&Frame<'_>>,
    progress: &dyn Progress,
) -> Result<BoostingModel> {
    let Booster { config, rng, .. } = *booster;
    let factors = class_factors(train, config.class_weight)?;
    let loss = Loss::new(train, factors)?;
    let categories = Categories::new(train, config)?;
    let first = booster.first_trees(train.columns(), &categories.positions())?;
    let base = booster.start.map_or_else(|| loss.log_odds(), BoostingModel::base);
    let mut stopper = match (config.early_stopping_rounds, validation) {
        (None, _) => None,
        (Some(rounds), Some(frame)) => {
            check_columns("validation", train.columns(), frame.columns())?;
            Some(Stopper::new(rounds as usize, frame, Loss::new(frame, factors)?, base))
        }
        (Some(_), None) => {
            return Err(Failure::at(
                Code::ParameterInvalid,
                "early_stopping_rounds",
                "null where there is no validation window",
                "a number of rounds",
            ));
        }
    };
    let codes = Codes::new(Binned::new(train.features(), config.max_bins as usize));
    let rules = Rules::new(config, loss.unit);
    let mut grower = Grower::new(&codes, &categories, config, rules).under(booster.constraints.clone());
    // From here on rows stand in the order of the codes, but for what the trees to start from look at.
    let loss = loss.in_order(&codes.order);
    let mut scores = vec![base; train.rows()];
    let mut gradients = vec![Gradient::default(); train.rows()];
    let mut trees: Vec<Tree> = Vec::new();
    let mut last: Option<Grown> = None;
    for tree in 0..u64::from(config.n_estimators) {
        let sample = Sample { config, rng, tree };
        let next = if let Some(&start) = first.get(tree as usize) {
            add_values(vec![start], train.features(), &mut scores, |score| score);
            start.to_tree()
        } else {
            // One step into the thread pool for the whole tree, not one for each of its many small loops.
            if last.is_none() && tree > 0 {
                // The trees to start from are done with.
                scores = codes.order.arrange(&scores);
            }
            let grown = rayon::scope(|_| {
                let root = update(&loss, &grower, last.as_ref(), sample, &mut scores, &mut gradients);
                grower.grow(&gradients, root, &sample.columns(train.columns()))
            });
            let covers = grown.leaves.iter().map(|leaf| (leaf.node, leaf.count as f64));
            let next = Tree::new(grown.nodes.clone(), &grown.sets, covers);
            last = Some(grown);
            next
        };
        let lone = next.nodes.len() == 1 && !sample.is_partial();
        trees.push(next);
        progress.step(tree + 1, u64::from(config.n_estimators))?;
        if lone || stopper.as_mut().is_some_and(|stopper| stopper.should_stop(&trees)) {
            break;
        }
    }
    if let Some(stopper) = stopper {
        trees.truncate(stopper.best_trees);
    }
    BoostingModel::new(base, Ensemble::new(train.columns(), trees)?, categories.positions())
}

/// Adds what the last tree says to the scores, and writes the gradients there and returns their histogram: one
/// pass, chunk by chunk, while the scores and gradients of a chunk's rows are in the nearest cache.
fn update(
    loss: &Loss<'_>,
    grower: &Grower<'_>,
    last: Option<&Grown>,
    sample: Sample<'_>,
    scores: &mut [f64],
    gradients: &mut [Gradient],
) -> Histogram {
    let codes = grower.codes();
    let has_row = |place| sample.has_row(codes.order.row(place));
    let drawn: Option<&(dyn Fn(usize) -> bool + Sync)> =
        if sample.config.subsample < 1.0 { Some(&has_row) } else { None };
    let tasks = UPDATE_TASKS * rayon::current_num_threads();
    let rows = scores.len().div_ceil(tasks).next_multiple_of(CHUNK_ROWS).min(BLOCK_ROWS);
    scores
        .par_chunks_mut(rows)
        .zip(gradients.par_chunks_mut(rows))
        .enumerate()
        .map(|(task, (scores, gradients))| {
            let start = task * rows;
            let mut values = last.map(|last| grower.values(last, start));
            let mut tally = codes.tally();
            let chunks = scores.chunks_mut(CHUNK_ROWS).zip(gradients.chunks_mut(CHUNK_ROWS));
            for (start, (scores, gradients)) in (start..).step_by(CHUNK_ROWS).zip(chunks) {
                if let Some(values) = &mut values {
                    values.add(scores);
                }
                loss.gradients(start, scores, drawn, gradients);
                tally.add(start, gradients);
            }
            tally.histogram()
        })
        .reduce_with(Histogram::with)
        .unwrap_or_else(|| codes.tally().histogram())
}

/// The rows and columns that one tree sees.
#[derive(Debug, Clone, Copy)]
struct Sample<'a> {
    config: &'a GradientBoosting,
    rng: Rng,
    tree: u64,
}

impl Sample<'_> {
    /// Whether another tree may see other rows or columns.
    fn is_partial(self) -> bool {
        self.config.subsample < 1.0 || self.config.colsample < 1.0
    }

    fn has_row(self, row: usize) -> bool {
        self.config.subsample >= 1.0 || self.rng.uniform(2 * self.tree, row as u64) < self.config.subsample
    }

    /// At least one of `columns` columns, in rising order: those with the smallest random numbers.
    fn columns(self, columns: usize) -> Vec<usize> {
        let count = (self.config.colsample * columns as f64 + 0.5) as usize;
        let mut drawn: Vec<usize> = (0..columns).collect();
        if count < columns {
            drawn.sort_by_key(|&column| (self.rng.bits(2 * self.tree + 1, column as u64), column));
            drawn.truncate(count.max(1));
            drawn.sort_unstable();
        }
        drawn
    }
}

/// Watches the log loss on the validation frame.
struct Stopper<'a> {
    rounds: usize,
    features: ArrayView2<'a, f64>,
    loss: Loss<'a>,
    scores: Vec<f64>,
    lowest: u128,
    /// Number of trees at the lowest loss.
    best_trees: usize,
}

impl<'a> Stopper<'a> {
    fn new(rounds: usize, frame: &Frame<'a>, loss: Loss<'a>, base: f64) -> Self {
        let scores = vec![base; frame.rows()];
        Self { rounds, features: frame.features(), loss, scores, lowest: u128::MAX, best_trees: 0 }
    }

    /// Adds the newest of `trees` and tells whether the lowest loss is `rounds` trees ago.
    fn should_stop(&mut self, trees: &[Tree]) -> bool {
        if let Some(tree) = trees.last() {
            add_values(vec![tree.view()], self.features, &mut self.scores, |score| score);
        }
        let loss = self.loss.total(&self.scores);
        if loss < self.lowest {
            self.lowest = loss;
            self.best_trees = trees.len();
        }
        trees.len() - self.best_trees >= self.rounds
    }
}

fn check_columns(name: &str, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Failure::at(
        Code::FeatureSchemaIncompatible,
        name,
        format!("{expected} columns"),
        format!("{found} columns"),
    ))
}
