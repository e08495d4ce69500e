//! Many rows through many trees.
//!
//! ```text
//!   rows ──► blocks (threads) ──► every tree in order: choices over codes if it is small, else walks ──► leaves
//! ```
//!
//! Invariant: a row's leaves are those of [`leaf`](super::leaf), and their values are added in the order of the
//! trees, so that a score has the same bits whatever the other rows, the threads and the way through a tree.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

use super::{
    Ensemble, Node, TreeView,
    block::{Block, ROWS, Value},
    codes::{Codes, Plane},
    select::{self, Choices, MOST_LEAVES},
    walk,
};

/// Rows from which making choices of trees pays; below, every tree is walked.
const ROWS_TO_CHOOSE: usize = 64;

/// Rows up to which the calling thread works alone: waking another costs more than it saves.
pub const ROWS_ALONE: usize = ROWS;

impl Ensemble {
    /// For each row of `features` (rows x columns, NaN meaning missing) the sum of `start` and of the values of
    /// its leaves, added in the order of the trees, and then what `finish` makes of it.
    pub fn scores<T: Value>(
        &self,
        features: ArrayView2<'_, T>,
        start: f64,
        finish: impl Fn(f64) -> f64 + Sync,
    ) -> Vec<f64> {
        if features.nrows() == 1 {
            return vec![finish(self.score(features.row(0), start))];
        }
        let mut scores = vec![start; features.nrows()];
        add_values(self.views().collect(), features, &mut scores, finish);
        scores
    }

    /// The sum of `start` and of the values of one row's leaves, added in the order of the trees.
    pub fn score<T: Value>(&self, row: ArrayView1<'_, T>, start: f64) -> f64 {
        let mut score = start;
        let value = |node: &Node| -> f64 { row[node.feature as usize].into() };
        let add = |leaf: &Node| score += leaf.value;
        if self.is_numeric() {
            let trees = self.trees().map(|nodes| (nodes, ()));
            walk::trees(trees, |(), node| node.goes_left(value(node)), add);
        } else {
            let trees = self.views().map(|tree| (tree.nodes, tree));
            walk::trees(trees, |tree, node| tree.goes_left(node, value(node)), add);
        }
        score
    }

    /// For each row of `features` (rows x columns, NaN meaning missing) and each tree the position in that tree
    /// of the leaf that the row falls into (rows x trees).
    pub fn leaves<T: Value>(&self, features: ArrayView2<'_, T>) -> Array2<u32> {
        let mut leaves = Array2::zeros((features.nrows(), self.len()));
        let Some(out) = leaves.as_slice_mut() else { return leaves };
        Batch::new(self.views().collect(), features.dim()).each_block(features, out, |batch, work, out| {
            for (position, tree) in batch.trees.iter().enumerate() {
                let found = tree.leaves(work);
                for (row, leaf) in out.chunks_exact_mut(batch.trees.len()).zip(found) {
                    row[position] = *leaf;
                }
            }
        });
        leaves
    }
}

/// Adds to each row's score the values of its leaves in the order of `trees`, and puts what `finish` makes of
/// the sum in its place.
///
/// `features` is rows x columns, NaN meaning missing; `scores` has one number a row.
pub fn add_values<T: Value>(
    trees: Vec<TreeView<'_>>,
    features: ArrayView2<'_, T>,
    scores: &mut [f64],
    finish: impl Fn(f64) -> f64 + Sync,
) {
    Batch::new(trees, features.dim()).each_block(features, scores, |batch, work, scores| {
        for tree in &batch.trees {
            tree.add_values(work, scores);
        }
        for score in scores {
            *score = finish(*score);
        }
    });
}

/// Trees made ready for many rows.
struct Batch<'t> {
    columns: usize,
    codes: Option<Codes>,
    trees: Vec<Ready<'t>>,
}

/// A tree, and its choices if it is small.
struct Ready<'t> {
    tree: TreeView<'t>,
    choices: Option<Choices>,
}

/// What one thread works on.
struct Work {
    block: Block,
    planes: Vec<Plane>,
    slots: Vec<Plane>,
    leaves: Vec<u32>,
}

impl<'t> Batch<'t> {
    fn new(trees: Vec<TreeView<'t>>, (rows, columns): (usize, usize)) -> Self {
        let small = trees.iter().copied().filter(|&tree| select::is_small(tree));
        let codes = if rows < ROWS_TO_CHOOSE { None } else { Codes::new(columns, small) };
        let ready = |tree| {
            let choices = codes.as_ref().and_then(|codes| Choices::new(tree, codes));
            Ready { tree, choices }
        };
        let trees = trees.into_iter().map(ready).collect();
        Self { columns, codes, trees }
    }

    fn work(&self) -> Work {
        let slots = self.trees.iter().filter_map(|tree| tree.choices.as_ref()).map(Choices::slots).max();
        Work {
            block: Block::new(self.columns),
            planes: vec![[0; ROWS]; self.codes.as_ref().map_or(0, Codes::planes)],
            slots: vec![[0; ROWS]; slots.unwrap_or(0)],
            leaves: vec![0; ROWS],
        }
    }

    /// Hands each block of rows over, with its part of `out`, which has equally many values for each row.
    fn each_block<T: Value, O: Send>(
        &self,
        features: ArrayView2<'_, T>,
        out: &mut [O],
        each: impl Fn(&Self, &mut Work, &mut [O]) + Sync,
    ) {
        if out.is_empty() {
            return;
        }
        let block = |work: &mut Work, rows: ArrayView2<'_, T>, out: &mut [O]| {
            work.block.load(rows);
            if let Some(codes) = &self.codes {
                codes.encode(&work.block, &mut work.planes);
            }
            each(self, work, out);
        };
        if features.nrows() <= ROWS_ALONE {
            return block(&mut self.work(), features, out);
        }
        let width = out.len() / features.nrows();
        let blocks = features.axis_chunks_iter(Axis(0), ROWS).into_par_iter();
        out.par_chunks_mut(ROWS * width)
            .zip(blocks)
            .for_each_init(|| self.work(), |work, (out, rows)| block(work, rows, out));
    }
}

impl Ready<'_> {
    fn add_values(&self, work: &mut Work, scores: &mut [f64]) {
        if let Some(choices) = &self.choices {
            choices.choose(&work.planes, &mut work.slots);
            let mut values = [0.0; MOST_LEAVES];
            for (value, &leaf) in values.iter_mut().zip(choices.leaves()) {
                *value = self.tree.nodes[leaf as usize].value;
            }
            let value = |number: u8| values[usize::from(number) % MOST_LEAVES];
            // Four values are looked up before they are added, so that additions go two at a time.
            let (groups, rest) = scores.as_chunks_mut::<4>();
            let numbers = work.slots[0].as_chunks::<4>().0;
            for (scores, numbers) in groups.iter_mut().zip(numbers) {
                let values = numbers.map(value);
                for (score, value) in scores.iter_mut().zip(values) {
                    *score += value;
                }
            }
            for (score, &number) in rest.iter_mut().zip(numbers.get(groups.len()).into_iter().flatten()) {
                *score += value(number);
            }
        } else {
            for (score, &leaf) in scores.iter_mut().zip(self.leaves(work)) {
                *score += self.tree.nodes[leaf as usize].value;
            }
        }
    }

    /// The position of each row's leaf; what stands behind the block's rows means nothing.
    fn leaves<'w>(&self, work: &'w mut Work) -> &'w [u32] {
        if let Some(choices) = &self.choices {
            choices.choose(&work.planes, &mut work.slots);
            for (leaf, &number) in work.leaves.iter_mut().zip(&work.slots[0]) {
                *leaf = choices.leaves().get(usize::from(number)).copied().unwrap_or_default();
            }
        } else {
            walk::rows(self.tree, &work.block, &mut work.leaves);
        }
        &work.leaves
    }
}
