//! One CART tree, grown by Gini impurity.
//!
//! ```text
//!   Frame ──► bins (u16 ranks), samples (exact weights) ──► grow ──► nodes ──► Ensemble of one tree
//! ```
//!
//! Flows in: a frame without missing values. Flows out: a tree whose leaves hold the weighted share of positive
//! rows. Invariants: weights are whole numbers, so that sums are exact in any order; among equal splits the
//! first feature and its lowest threshold win (scikit-learn draws one). As in scikit-learn, an impure node is
//! split wherever it can be, even where no single split lowers the impurity: XOR begins so.

mod grow;
mod sample;
mod split;
#[cfg(test)]
mod tests;

use contracts::{Result, model_config};

pub(crate) use grow::{Candidates, Limits, grow};
pub(crate) use sample::{Sample, samples};

use crate::{
    binning::{BinCode, Binned},
    ensemble::Ensemble,
    frame::Frame,
    progress::Progress,
};

/// Grows one tree over all features.
///
/// Refuses missing values with `NON_FINITE_INPUT`.
pub fn fit(
    config: &model_config::DecisionTree,
    frame: &Frame<'_>,
    progress: &dyn Progress,
) -> Result<Ensemble> {
    frame.without_missing()?;
    let binned = bin(frame);
    let samples = samples(frame, config.class_weight);
    let limits = Limits {
        depth: config.max_depth,
        rows_to_split: config.min_samples_split as usize,
        rows_in_leaf: config.min_samples_leaf as usize,
    };
    let total = samples.len() as u64;
    let mut settled = 0;
    let tree = grow(&binned, samples, limits, Candidates::All, |rows| {
        let before = settled;
        settled += rows as u64;
        // A step a hundredth: leaves are many and small.
        if before * 100 / total == settled * 100 / total { Ok(()) } else { progress.step(settled, total) }
    })?;
    Ensemble::new(frame.columns(), [tree])
}

/// The codes that trees are grown on: exact ranks for up to 65,535 distinct values, even shares beyond.
pub(crate) fn bin(frame: &Frame<'_>) -> Binned<u16> {
    Binned::new(frame.features(), u16::MOST_BINS)
}
