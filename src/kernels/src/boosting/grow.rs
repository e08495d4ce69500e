//! One tree, grown leaf by leaf: the leaf that gains most is split next.
//!
//! ```text
//!   rows of a leaf ──► Histogram ──► best Split ──► heap by gain ──► partition ──► two leaves
//! ```
//!
//! Flows in: codes, gradients, rules. Flows out: a [`Grown`] tree with the rows of each leaf. Invariants: a
//! leaf's rows are one run of the row list, in their old order; of two children only the smaller is summed,
//! the other is the difference, which integers make exact.

use std::{cmp::Reverse, collections::BinaryHeap, ops::Range};

use contracts::model_config::GradientBoosting;
use rayon::prelude::*;

use super::{
    gradient::{Gradient, Sums},
    histogram::{Codes, Histogram},
    split::{Rules, Split},
};
use crate::ensemble::Node;

/// Rows from which a leaf keeps its histogram for subtraction. Below, summing again is as cheap, and what
/// many small leaves would keep is bounded by the number of rows.
const KEEP_ROWS: usize = 512;
/// Rows that one task partitions.
const TASK_ROWS: usize = 16_384;

/// Grows trees over the same rows again and again.
#[derive(Debug)]
pub(super) struct Grower<'a> {
    codes: &'a Codes,
    rules: Rules,
    max_depth: u32,
    max_leaves: usize,
    /// Every row once; each leaf's rows are a run.
    rows: Vec<u32>,
    scratch: Vec<u32>,
}

/// A tree and the rows of its leaves.
#[derive(Debug)]
pub(super) struct Grown {
    /// Root first, children after their parent.
    pub(super) nodes: Vec<Node>,
    /// Position of each leaf in `nodes` with its run of [`Grower::rows`].
    pub(super) leaves: Vec<(usize, Range<usize>)>,
}

/// A leaf that may still be split.
#[derive(Debug)]
struct Leaf {
    node: usize,
    depth: u32,
    rows: Range<usize>,
    sums: Sums,
}

/// A leaf with the best way to split it.
#[derive(Debug)]
struct Candidate {
    leaf: Leaf,
    split: Split,
    histogram: Option<Histogram>,
}

impl Candidate {
    /// The larger gain first, then the older leaf. Gains are above zero, where bit order is number order.
    fn rank(&self) -> (u64, Reverse<usize>) {
        (self.split.gain.to_bits(), Reverse(self.leaf.node))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl<'a> Grower<'a> {
    /// A grower of trees over all `rows` of `codes`.
    pub(super) fn new(codes: &'a Codes, rows: u32, config: &GradientBoosting, rules: Rules) -> Self {
        Self {
            codes,
            rules,
            max_depth: config.max_depth.unwrap_or(u32::MAX),
            max_leaves: config.max_leaf_nodes.max(1) as usize,
            rows: (0..rows).collect(),
            scratch: vec![0; rows as usize],
        }
    }

    /// The rows, as the runs of the last tree's leaves.
    pub(super) fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Grows one tree on `gradients`, looking at `columns` (rising) alone.
    pub(super) fn grow(&mut self, gradients: &[Gradient], columns: &[usize]) -> Grown {
        // In rising order again, so that the next passes over the root are sequential.
        self.rows.par_iter_mut().enumerate().for_each(|(row, slot)| *slot = row as u32);
        let sums = gradients.par_iter().map(|gradient| gradient.unpack()).reduce(Sums::default, |a, b| a + b);
        let root = Leaf { node: 0, depth: 0, rows: 0..self.rows.len(), sums };
        let mut nodes = vec![Node::leaf(self.rules.leaf_value(sums))];
        let mut leaves = Vec::new();
        let mut heap = BinaryHeap::new();
        let histogram = self.may_split(&root, 1).then(|| self.codes.histogram(gradients, &self.rows));
        self.settle(root, histogram, columns, &mut heap, &mut leaves);
        while let Some(Candidate { leaf, split, histogram }) = heap.pop() {
            let count = leaves.len() + heap.len() + 1;
            if count >= self.max_leaves {
                leaves.push((leaf.node, leaf.rows));
                continue;
            }
            let children = self.divide(&leaf, &split, &mut nodes);
            let histograms = self.histograms(&children, histogram, gradients, count + 1);
            for (child, histogram) in children.into_iter().zip(histograms) {
                self.settle(child, histogram, columns, &mut heap, &mut leaves);
            }
        }
        Grown { nodes, leaves }
    }

    /// Puts a leaf among the candidates if a split is found in its histogram, else among the finished.
    fn settle(
        &self,
        leaf: Leaf,
        histogram: Option<Histogram>,
        columns: &[usize],
        heap: &mut BinaryHeap<Candidate>,
        leaves: &mut Vec<(usize, Range<usize>)>,
    ) {
        let best = histogram.and_then(|histogram| {
            let splits: Vec<Option<Split>> = columns
                .par_iter()
                .map(|&column| {
                    self.rules.best_on_column(column, self.codes.column(&histogram, column), leaf.sums)
                })
                .collect();
            let best = splits.into_iter().flatten().reduce(|a, b| if b.gain > a.gain { b } else { a });
            best.map(|split| (split, (leaf.rows.len() >= KEEP_ROWS).then_some(histogram)))
        });
        match best {
            Some((split, histogram)) => heap.push(Candidate { leaf, split, histogram }),
            None => leaves.push((leaf.node, leaf.rows)),
        }
    }

    /// Whether a leaf's histogram is worth making, in a tree of `leaves` leaves.
    fn may_split(&self, leaf: &Leaf, leaves: usize) -> bool {
        leaves < self.max_leaves && leaf.depth < self.max_depth && self.rules.may_split(leaf.sums)
    }

    /// Histograms of the children that may be split again.
    fn histograms(
        &self,
        children: &[Leaf; 2],
        parent: Option<Histogram>,
        gradients: &[Gradient],
        leaves: usize,
    ) -> [Option<Histogram>; 2] {
        let wanted = [0, 1].map(|side| self.may_split(&children[side], leaves));
        let sum = |side: usize| self.codes.histogram(gradients, &self.rows[children[side].rows.clone()]);
        match parent {
            Some(parent) if wanted != [false, false] => {
                let smaller = usize::from(children[1].rows.len() < children[0].rows.len());
                let small = sum(smaller);
                let large = wanted[1 - smaller].then(|| parent.subtract(&small));
                let small = wanted[smaller].then_some(small);
                if smaller == 0 { [small, large] } else { [large, small] }
            }
            _ => [0, 1].map(|side| wanted[side].then(|| sum(side))),
        }
    }

    /// Parts a leaf's rows and makes its node an inner one.
    fn divide(&mut self, leaf: &Leaf, split: &Split, nodes: &mut Vec<Node>) -> [Leaf; 2] {
        let bins = &self.codes.binned.bins()[split.column];
        let left_rows = partition(
            &mut self.rows[leaf.rows.clone()],
            &mut self.scratch[leaf.rows.clone()],
            Side {
                codes: self.codes.binned.codes(split.column),
                bin: split.bin as u8,
                missing: if split.missing_left { Some(bins.missing() as u8) } else { None },
            },
        );
        let middle = leaf.rows.start + left_rows;
        let left = nodes.len();
        nodes[leaf.node] = Node {
            feature: split.column as u32,
            // Where only missing values go right, every number goes left.
            threshold: if split.bin + 1 < bins.len() { bins.cut(split.bin) } else { f64::MAX },
            left: left as u32,
            right: left as u32 + 1,
            missing_left: split.missing_left,
            value: 0.0,
        };
        [(split.left, leaf.rows.start..middle, left), (split.right, middle..leaf.rows.end, left + 1)].map(
            |(sums, rows, node)| {
                nodes.push(Node::leaf(self.rules.leaf_value(sums)));
                Leaf { node, depth: leaf.depth + 1, rows, sums }
            },
        )
    }
}

/// Which rows go left.
#[derive(Debug, Clone, Copy)]
struct Side<'a> {
    codes: &'a [u8],
    /// Codes up to this go left.
    bin: u8,
    /// The code for a missing value, where that goes left.
    missing: Option<u8>,
}

impl Side<'_> {
    #[inline]
    fn is_left(self, row: u32) -> bool {
        let code = self.codes[row as usize];
        code <= self.bin || Some(code) == self.missing
    }
}

/// Moves the rows that go left before the others, both in their old order; returns how many go left.
fn partition(rows: &mut [u32], scratch: &mut [u32], side: Side<'_>) -> usize {
    let tasks: Vec<(usize, usize)> = rows
        .par_chunks_mut(TASK_ROWS)
        .zip(scratch.par_chunks_mut(TASK_ROWS))
        .map(|(rows, scratch)| {
            let mut left = 0;
            for position in 0..rows.len() {
                let row = rows[position];
                let is_left = side.is_left(row);
                // Both are written and one counter moves, which costs less than a branch that is often wrong.
                rows[left] = row;
                scratch[position - left] = row;
                left += usize::from(is_left);
            }
            (left, rows.len() - left)
        })
        .collect();
    let mut left = 0;
    for (task, &(count, _)) in tasks.iter().enumerate() {
        let start = task * TASK_ROWS;
        rows.copy_within(start..start + count, left);
        left += count;
    }
    let mut end = left;
    for (task, &(_, count)) in tasks.iter().enumerate() {
        let start = task * TASK_ROWS;
        rows[end..end + count].copy_from_slice(&scratch[start..start + count]);
        end += count;
    }
    left
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn partition_is_stable_and_complete(
            count in prop_oneof![0..100_usize, Just(3 * TASK_ROWS + 7)],
            bin in 0..5_u8,
            missing in prop::option::of(Just(5_u8)),
        ) {
            let codes: Vec<u8> = (0..count).map(|row| (row * 7 % 13 % 6) as u8).collect();
            let side = Side { codes: &codes, bin, missing };
            let mut rows: Vec<u32> = (0..count as u32).rev().collect();
            let (mut expected, right): (Vec<u32>, Vec<u32>) =
                rows.iter().partition(|&&row| side.is_left(row));
            let left = expected.len();
            expected.extend(right);
            let mut scratch = vec![0; count];
            prop_assert_eq!(partition(&mut rows, &mut scratch, side), left);
            prop_assert_eq!(rows, expected);
        }
    }
}
