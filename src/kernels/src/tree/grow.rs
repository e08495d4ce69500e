//! Growth of one tree, depth first.
//!
//! Flows in: binned features and samples. Flows out: nodes in preorder, which
//! cover what their samples weigh. A stack of our own holds what is to be
//! split, since an unlimited tree may be as deep as it has rows.

use contracts::Result;

use super::{
    Sample,
    split::{self, Scratch, Side, Split},
};
use crate::{
    binning::Binned,
    ensemble::{Node, Tree},
    rng::Rng,
};

/// When growth stops.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Longest path from root to leaf.
    pub(crate) depth: Option<u32>,
    /// Rows a node needs before it may be split.
    pub(crate) rows_to_split: usize,
    /// Rows each leaf needs.
    pub(crate) rows_in_leaf: usize,
}

/// Which features a node looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Candidates {
    /// All, in order.
    All,
    /// So many, drawn without replacement for each node, and further ones until one of them can be split on.
    Drawn {
        /// Draws are keyed by the stream and the node's position.
        rng: Rng,
        /// The stream of this tree.
        stream: u64,
        /// How many.
        count: usize,
    },
}

/// Samples that are to become a node.
struct Pending {
    start: usize,
    end: usize,
    depth: u32,
    side: Side,
    /// Position of the parent whose right child this is; a left child follows its parent at once.
    right_of: Option<usize>,
}

/// Grows a tree; `settled` hears how many rows each finished leaf holds, and stops the work by an error.
///
/// `samples` must not be empty, and their units must sum to less than 2^53.
pub(crate) fn grow(
    binned: &Binned<u16>,
    samples: Vec<Sample>,
    limits: Limits,
    candidates: Candidates,
    mut settled: impl FnMut(usize) -> Result<()>,
) -> Result<Tree> {
    let mut grower =
        Grower { binned, samples, limits, candidates, order: Vec::new(), scratch: Scratch::default() };
    let side = Side::of(&grower.samples);
    let mut stack = vec![Pending { start: 0, end: side.rows, depth: 0, side, right_of: None }];
    let (mut nodes, mut units): (Vec<Node>, Vec<u64>) = (Vec::new(), Vec::new());
    while let Some(pending) = stack.pop() {
        let position = nodes.len();
        if let Some(parent) = pending.right_of {
            nodes[parent].right = position as u32;
        }
        let mut node = Node::leaf(pending.side.share());
        if let Some((feature, split)) = grower.split(&pending, position) {
            node.feature = feature as u32;
            node.threshold =
                binned.bins()[feature].threshold(usize::from(split.left_code), usize::from(split.right_code));
            node.left = position as u32 + 1;
            stack.extend(grower.part(&pending, position, feature, &split));
        } else {
            settled(pending.side.rows)?;
        }
        nodes.push(node);
        units.push(pending.side.total());
    }
    // In lowest terms, since a unit depends on how many rows there are, those without weight among them.
    let shift = units.iter().map(|units| units.trailing_zeros()).min().unwrap_or_default();
    let covers = units.into_iter().map(|units| (units >> shift) as f64).collect();
    Ok(Tree { nodes, sets: Vec::new(), covers })
}

struct Grower<'a> {
    binned: &'a Binned<u16>,
    samples: Vec<Sample>,
    limits: Limits,
    candidates: Candidates,
    /// Features in the order in which the node at hand looks at them, as far as they are drawn.
    order: Vec<usize>,
    scratch: Scratch,
}

impl Grower<'_> {
    /// The feature and the split that leave a node least impure, the first of equals.
    fn split(&mut self, pending: &Pending, position: usize) -> Option<(usize, Split)> {
        let Limits { depth, rows_to_split, rows_in_leaf } = self.limits;
        let rows = pending.side.rows;
        if pending.side.is_pure()
            || rows < rows_to_split
            || rows < 2 * rows_in_leaf
            || depth.is_some_and(|depth| pending.depth >= depth)
        {
            return None;
        }
        let columns = self.binned.columns();
        self.order.clear();
        self.order.extend(0..columns);
        let mut best: Option<(usize, Split)> = None;
        for turn in 0..columns {
            let feature = match self.candidates {
                Candidates::All => turn,
                Candidates::Drawn { count, .. } if turn >= count && best.is_some() => break,
                Candidates::Drawn { rng, stream, .. } => {
                    let index = (position * columns + turn) as u64;
                    let drawn = turn + rng.below(stream, index, (columns - turn) as u64) as usize;
                    self.order.swap(turn, drawn);
                    self.order[turn]
                }
            };
            let samples = &self.samples[pending.start..pending.end];
            let codes = self.binned.codes(feature);
            let found = split::best(samples, &pending.side, codes, rows_in_leaf, &mut self.scratch);
            if let Some(found) =
                found.filter(|found| best.is_none_or(|(_, best)| found.impurity < best.impurity))
            {
                best = Some((feature, found));
            }
        }
        best
    }

    /// Moves the samples that go left before those that go right; the left side is on top of the stack.
    fn part(&mut self, pending: &Pending, position: usize, feature: usize, split: &Split) -> [Pending; 2] {
        let codes = self.binned.codes(feature);
        let samples = &mut self.samples[pending.start..pending.end];
        let mut left = 0;
        for next in 0..samples.len() {
            if codes[samples[next].row as usize] <= split.left_code {
                samples.swap(left, next);
                left += 1;
            }
        }
        let middle = pending.start + left;
        let depth = pending.depth + 1;
        let right = pending.side.without(&split.left);
        [
            Pending { start: middle, end: pending.end, depth, side: right, right_of: Some(position) },
            Pending { start: pending.start, end: middle, depth, side: split.left, right_of: None },
        ]
    }
}
