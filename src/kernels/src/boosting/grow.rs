//! One tree, grown leaf by leaf: next is the leaf that gains most, or that on the highest level first.
//!
//! ```text
//!   rows of a leaf ──► Histogram ──► best Split ──► heap by rank ──► partition ──► two leaves
//! ```
//!
//! Flows in: codes, gradients, rules. Flows out: a [`Grown`] tree with the rows of each leaf. Invariant: of
//! two children only the smaller is summed, the other is the difference, which integers make exact.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use contracts::model_config::{GradientBoosting, GrowPolicy};
use rayon::prelude::*;

use super::{
    categories::{Categories, write_sides},
    constraint::{Constraints, Limits},
    fixed::{Gradient, Sums},
    histogram::{Codes, Histogram},
    members::{Division, Members, Place, SHARE, Values},
    split::{Rules, Split},
    sweep::Side,
};
use crate::ensemble::{Node, category::CategorySet};

/// Rows from which a leaf keeps its histogram for subtraction. Below, summing again is as cheap, and what
/// many small leaves would keep is bounded by the number of rows.
const KEEP_ROWS: usize = 512;

/// Grows trees over the same rows again and again.
#[derive(Debug)]
pub(super) struct Grower<'a> {
    codes: &'a Codes,
    categories: &'a Categories,
    rules: Rules,
    constraints: Constraints,
    policy: GrowPolicy,
    max_depth: u32,
    max_leaves: usize,
    members: Members,
    /// One a row, where a column is categorical: the side on which the last split on a set put it.
    sides: Vec<u8>,
}

/// A tree and the rows of its leaves.
#[derive(Debug)]
pub(super) struct Grown {
    /// Root first, children after their parent.
    pub(super) nodes: Vec<Node>,
    /// Which categories go left at the nodes that look at them, by their position.
    pub(super) sets: BTreeMap<usize, CategorySet>,
    /// The leaves, in no order.
    pub(super) leaves: Vec<GrownLeaf>,
}

/// A leaf of a grown tree.
#[derive(Debug)]
pub(super) struct GrownLeaf {
    /// Its position among the nodes.
    pub(super) node: usize,
    /// How many rows that were drawn came to it.
    pub(super) count: i64,
    /// Where the grower holds its rows until the next tree.
    place: Place,
}

/// A leaf that may still be split.
#[derive(Debug)]
struct Leaf {
    node: usize,
    depth: u32,
    place: Place,
    sums: Sums,
    limits: Limits,
}

impl Leaf {
    /// The leaf as it stays.
    fn grown(self) -> GrownLeaf {
        GrownLeaf { node: self.node, count: self.sums.count, place: self.place }
    }
}

/// A leaf with the best way to split it.
#[derive(Debug)]
struct Candidate {
    /// Leaves of a lower number go first: the depth where levels are grown one after the other, else 0.
    level: u32,
    leaf: Leaf,
    split: Split,
    histogram: Option<Histogram>,
}

impl Candidate {
    /// The lower level first, then the larger gain, then the older leaf. Gains are above zero, where bit order
    /// is number order.
    fn rank(&self) -> (Reverse<u32>, u64, Reverse<usize>) {
        (Reverse(self.level), self.split.gain.to_bits(), Reverse(self.leaf.node))
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
    /// A grower of trees over all rows of `codes`, whose bins hold `categories` where a column is categorical.
    pub(super) fn new(
        codes: &'a Codes,
        categories: &'a Categories,
        config: &GradientBoosting,
        rules: Rules,
    ) -> Self {
        let rows = codes.binned.codes(0).len();
        Self {
            codes,
            categories,
            rules,
            constraints: Constraints::default(),
            policy: config.grow_policy,
            max_depth: config.max_depth.unwrap_or(u32::MAX),
            max_leaves: config.max_leaf_nodes.max(1) as usize,
            members: Members::new(rows),
            sides: if categories.positions().is_empty() { Vec::new() } else { vec![0; rows] },
        }
    }

    /// The same grower of trees that keep to constraints.
    pub(super) fn under(mut self, constraints: Constraints) -> Self {
        self.constraints = constraints;
        self
    }

    /// The rows that it grows trees over.
    pub(super) const fn codes(&self) -> &Codes {
        self.codes
    }

    /// What the last tree says of the rows from `start` on.
    pub(super) fn values(&self, grown: &Grown, start: usize) -> Values<'_> {
        let leaves = grown.leaves.iter().map(|leaf| (leaf.place.clone(), grown.nodes[leaf.node].value));
        self.members.values(leaves, start)
    }

    /// Grows one tree on `gradients`, whose sums are `histogram`, looking at `columns` (rising) alone.
    pub(super) fn grow(&mut self, gradients: &[Gradient], histogram: Histogram, columns: &[usize]) -> Grown {
        let limits = Limits::NONE;
        let sums = self.codes.total(&histogram);
        let nodes = vec![Node::leaf(self.rules.leaf_value(sums, limits.bounds))];
        let root = Leaf { node: 0, depth: 0, place: self.members.unite(), sums, limits };
        let mut grown = Grown { nodes, sets: BTreeMap::new(), leaves: Vec::new() };
        let root_count = sums.count;
        let mut heap = BinaryHeap::new();
        let histogram = self.may_split(&root, 1).then_some(histogram);
        self.settle(root, histogram, columns, &mut heap, &mut grown.leaves);
        while let Some(Candidate { leaf, split, histogram, .. }) = heap.pop() {
            let count = grown.leaves.len() + heap.len() + 1;
            if count >= self.max_leaves {
                grown.leaves.push(leaf.grown());
                continue;
            }
            let (children, division) = self.divide(&leaf, &split, root_count, &mut grown);
            let histograms = self.histograms(&children, &division, histogram, gradients, count + 1);
            for (child, histogram) in children.into_iter().zip(histograms) {
                self.settle(child, histogram, columns, &mut heap, &mut grown.leaves);
            }
        }
        grown
    }

    /// Puts a leaf among the candidates if a split is found in its histogram, else among the finished.
    fn settle(
        &self,
        leaf: Leaf,
        histogram: Option<Histogram>,
        columns: &[usize],
        heap: &mut BinaryHeap<Candidate>,
        leaves: &mut Vec<GrownLeaf>,
    ) {
        let best = histogram.and_then(|histogram| {
            let columns = self.constraints.columns(columns, &leaf.limits);
            let splits: Vec<Option<Split>> =
                columns.par_iter().map(|&column| self.best_on_column(column, &histogram, &leaf)).collect();
            let best = splits.into_iter().flatten().reduce(|a, b| if b.gain > a.gain { b } else { a });
            let keep = match &leaf.place {
                Place::Marked(_) => true,
                Place::Listed(run) => run.len() >= KEEP_ROWS,
            };
            best.map(|split| (split, keep.then_some(histogram)))
        });
        match best {
            Some((split, histogram)) => {
                let level = match self.policy {
                    GrowPolicy::LeafWise => 0,
                    GrowPolicy::DepthWise => leaf.depth,
                };
                heap.push(Candidate { level, leaf, split, histogram });
            }
            None => leaves.push(leaf.grown()),
        }
    }

    /// The best way to split a leaf on one column.
    fn best_on_column(&self, column: usize, histogram: &Histogram, leaf: &Leaf) -> Option<Split> {
        let bins = self.codes.column(histogram, column);
        if self.categories.of(column).is_some() {
            return self.rules.best_on_categories(column, bins, leaf.sums, leaf.limits.bounds);
        }
        match self.constraints.monotone(column, &leaf.limits) {
            None => self.rules.best_on_column(column, bins, leaf.sums),
            Some(monotone) => self.rules.best_monotone(column, bins, leaf.sums, monotone),
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
        division: &Division,
        parent: Option<Histogram>,
        gradients: &[Gradient],
        leaves: usize,
    ) -> [Option<Histogram>; 2] {
        let wanted = [0, 1].map(|side| self.may_split(&children[side], leaves));
        if wanted == [false, false] {
            return [None, None];
        }
        let sum = |run| self.codes.histogram(gradients, self.members.list(run));
        let smaller = division.smaller;
        let large = 1 - smaller;
        let small = (parent.is_some() || wanted[smaller]).then(|| sum(division.list.clone()));
        let rest = match (parent, &small, &division.places[large]) {
            _ if !wanted[large] => None,
            (Some(parent), Some(small), _) => Some(parent.subtract(small)),
            (_, _, Place::Listed(run)) => Some(sum(run.clone())),
            // Marked leaves keep their histograms, so that this is not reached.
            (_, _, Place::Marked(_)) => None,
        };
        let small = small.filter(|_| wanted[smaller]);
        if smaller == 0 { [small, rest] } else { [rest, small] }
    }

    /// Parts a leaf's rows and makes its node an inner one.
    fn divide(
        &mut self,
        leaf: &Leaf,
        split: &Split,
        root_count: i64,
        grown: &mut Grown,
    ) -> ([Leaf; 2], Division) {
        let bins = &self.codes.binned.bins()[split.column];
        let codes = self.codes.binned.codes(split.column);
        let side = if let Some(set) = split.set {
            let rows = match &leaf.place {
                Place::Listed(run) => Some(self.members.list(run.clone())),
                Place::Marked(_) => None,
            };
            write_sides(codes, set, rows, &mut self.sides);
            Side { codes: &self.sides, bin: 0, missing: 0 }
        } else {
            let missing = if split.missing_left { bins.missing() } else { split.bin } as u8;
            Side { codes, bin: split.bin as u8, missing }
        };
        let shares = [split.left, split.right].map(|sums| sums.count * SHARE as i64 > root_count);
        let smaller = usize::from(split.right.count < split.left.count);
        let division = self.members.divide(&leaf.place, side, shares, smaller);
        let left = grown.nodes.len();
        let threshold = if let Some(set) = split.set {
            let set = self.categories.of_bins(split.column, set, split.missing_left);
            grown.sets.insert(leaf.node, set);
            0.0
        } else if split.bin + 1 < bins.len() {
            bins.cut(split.bin)
        } else {
            // Where only missing values go right, every number goes left.
            f64::MAX
        };
        grown.nodes[leaf.node] = Node {
            feature: split.column as u32,
            threshold,
            left: left as u32,
            right: left as u32 + 1,
            missing_left: split.missing_left,
            ..Node::leaf(0.0)
        };
        let steps = [split.left, split.right].map(|sums| self.rules.step(sums, leaf.limits.bounds));
        let [low, high] = self.constraints.below(&leaf.limits, split.column, steps);
        let child = |side: usize, sums: Sums, limits: Limits| Leaf {
            node: left + side,
            depth: leaf.depth + 1,
            place: division.places[side].clone(),
            sums,
            limits,
        };
        let children = [child(0, split.left, low), child(1, split.right, high)];
        let value = |child: &Leaf| self.rules.leaf_value(child.sums, child.limits.bounds);
        grown.nodes.extend(children.iter().map(|child| Node::leaf(value(child))));
        (children, division)
    }
}
