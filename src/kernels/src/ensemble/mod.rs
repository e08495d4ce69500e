//! Decision trees as flat arrays, shared by the tree, the forest and boosting.
//!
//! Invariants, checked when built: every tree is a run of nodes with its root first; a child stands
//! after its parent in the same tree, so that every walk ends; a node has one parent; features are in range;
//! values are finite. A node compares with a threshold, or looks for a category in a set of its own; sets stand
//! beside the nodes, in their order, so that trees without categories pay nothing for them.

mod batch;
mod block;
pub mod category;
mod codes;
#[cfg(test)]
pub(crate) mod samples;
mod select;
mod sets;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeMap;

use contracts::{Code, Failure, Result};
use ndarray::ArrayView1;

use self::category::{CategorySet, SetNumber};
pub use self::{
    batch::{ROWS_ALONE, add_values},
    block::Value,
};
use crate::arrays::{Array, Arrays};

/// Marks a leaf in [`Node::left`]; no child can be node 0.
const LEAF: u32 = 0;

/// Whole numbers below this add up exactly.
const MOST_COVER: f64 = 9_007_199_254_740_992.0;

/// One node as the growers make it; children are positions within the tree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Node {
    /// Feature that is looked at; 0 in a leaf.
    pub feature: u32,
    /// Rows with a value of at most this go left; 0 in a leaf and in a node with a set.
    pub threshold: f64,
    /// Position of the left child, 0 in a leaf.
    pub left: u32,
    /// Position of the right child, 0 in a leaf.
    pub right: u32,
    /// Whether a missing value goes left.
    pub missing_left: bool,
    /// The set whose categories go left, where no threshold decides.
    pub set: Option<SetNumber>,
    /// The leaf's value, or what the node would say if it were one.
    pub value: f64,
}

impl Node {
    /// A leaf with this value.
    pub const fn leaf(value: f64) -> Self {
        Self { feature: 0, threshold: 0.0, left: LEAF, right: LEAF, missing_left: false, set: None, value }
    }

    /// Whether the walk ends here.
    pub const fn is_leaf(&self) -> bool {
        self.left == LEAF
    }

    /// Whether a row with this value of the node's feature goes left, by the threshold of a node without a set.
    #[inline]
    pub fn goes_left(&self, value: f64) -> bool {
        (value <= self.threshold) | (value.is_nan() & self.missing_left)
    }
}

/// One tree as its grower hands it over.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// Root first, children after their parent.
    pub nodes: Vec<Node>,
    /// Which categories go left, one set for each node that has one, in the order of the nodes.
    pub sets: Vec<CategorySet>,
    /// How much of the training data came to each node: whole numbers above zero, an inner node's the sum of its
    /// children's. The unit is the grower's, since only ratios within the tree mean anything.
    pub covers: Vec<f64>,
}

impl Tree {
    /// A tree of which it is known how much came to each leaf, by its position, and which categories go left at
    /// the nodes that look at them, by theirs.
    pub fn new(
        mut nodes: Vec<Node>,
        sets: &BTreeMap<usize, CategorySet>,
        leaves: impl IntoIterator<Item = (usize, f64)>,
    ) -> Self {
        for (number, &node) in sets.keys().enumerate() {
            nodes[node].set = SetNumber::new(number);
        }
        let mut covers = vec![0.0; nodes.len()];
        for (leaf, cover) in leaves {
            covers[leaf] = cover;
        }
        for (position, node) in nodes.iter().enumerate().rev().filter(|(_, node)| !node.is_leaf()) {
            covers[position] = covers[node.left as usize] + covers[node.right as usize];
        }
        Self { nodes, sets: sets.values().copied().collect(), covers }
    }

    /// The tree as it is walked.
    pub fn view(&self) -> TreeView<'_> {
        TreeView { nodes: &self.nodes, sets: &self.sets, covers: &self.covers }
    }
}

/// One tree of an ensemble.
#[derive(Debug, Clone, Copy)]
pub struct TreeView<'t> {
    /// Root first, children after their parent.
    pub nodes: &'t [Node],
    /// Which categories go left, one set for each node that has one, in the order of the nodes.
    pub sets: &'t [CategorySet],
    /// How much of the training data came to each node, in a unit of the tree's own.
    pub covers: &'t [f64],
}

impl TreeView<'_> {
    /// A copy of the tree.
    pub fn to_tree(&self) -> Tree {
        Tree { nodes: self.nodes.to_vec(), sets: self.sets.to_vec(), covers: self.covers.to_vec() }
    }

    /// Whether a row with this value of the node's feature goes left.
    #[inline]
    pub fn goes_left(&self, node: &Node, value: f64) -> bool {
        match node.set {
            None => node.goes_left(value),
            Some(number) => self.sets[number.position()].has(category::code(value)),
        }
    }
}

/// Trees, each a run of nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct Ensemble {
    columns: usize,
    /// `roots[t]..roots[t + 1]` are the nodes of tree `t`.
    roots: Vec<u32>,
    nodes: Vec<Node>,
    /// `set_roots[t]..set_roots[t + 1]` are the sets of tree `t`.
    set_roots: Vec<u32>,
    sets: Vec<CategorySet>,
    /// One for each node.
    covers: Vec<f64>,
}

impl Ensemble {
    /// Checks and joins trees over `columns` features; refuses with `MODEL_INVALID`.
    pub fn new(columns: usize, trees: impl IntoIterator<Item = Tree>) -> Result<Self> {
        let mut ensemble = Self {
            columns,
            roots: vec![0],
            nodes: Vec::new(),
            set_roots: vec![0],
            sets: Vec::new(),
            covers: Vec::new(),
        };
        for tree in trees {
            check_tree(columns, &tree.nodes)?;
            check_covers(&tree)?;
            sets::check(&tree)?;
            ensemble.nodes.extend(tree.nodes);
            ensemble.sets.extend(tree.sets);
            // Never more than nodes, of which fewer than 2^32 are let in below.
            ensemble.set_roots.push(ensemble.sets.len() as u32);
            ensemble.covers.extend(tree.covers);
            ensemble
                .roots
                .push(u32::try_from(ensemble.nodes.len()).map_err(|_| invalid("fewer than 2^32 nodes"))?);
        }
        Ok(ensemble)
    }

    /// Number of features a row must have.
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// Number of trees.
    pub fn len(&self) -> usize {
        self.roots.len() - 1
    }

    /// Whether there is no tree.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The nodes of each tree.
    pub fn trees(&self) -> impl ExactSizeIterator<Item = &[Node]> {
        self.roots.windows(2).map(|pair| &self.nodes[pair[0] as usize..pair[1] as usize])
    }

    /// Whether no node looks for a category in a set.
    pub fn is_numeric(&self) -> bool {
        self.sets.is_empty()
    }

    /// One tree, if there are so many.
    pub fn view(&self, position: usize) -> Option<TreeView<'_>> {
        (position < self.len()).then(|| self.view_of(position))
    }

    /// Each tree with all that is known of it.
    pub fn views(&self) -> impl ExactSizeIterator<Item = TreeView<'_>> {
        (0..self.len()).map(|position| self.view_of(position))
    }

    fn view_of(&self, position: usize) -> TreeView<'_> {
        let run = |roots: &[u32]| roots[position] as usize..roots[position + 1] as usize;
        TreeView {
            nodes: &self.nodes[run(&self.roots)],
            sets: &self.sets[run(&self.set_roots)],
            covers: &self.covers[run(&self.roots)],
        }
    }

    /// The arrays that stand in the model artifact.
    pub fn to_arrays(&self) -> Arrays {
        let floats = |get: fn(&Node) -> f64| Array::F64(self.nodes.iter().map(get).collect());
        let integers = |get: fn(&Node) -> u32| Array::U32(self.nodes.iter().map(get).collect());
        let mut arrays = Arrays(
            [
                ("tree.roots", Array::U32(self.roots.clone())),
                ("tree.feature", integers(|node| node.feature)),
                ("tree.threshold", floats(|node| node.threshold)),
                ("tree.left", integers(|node| node.left)),
                ("tree.right", integers(|node| node.right)),
                (
                    "tree.missing_left",
                    Array::U8(self.nodes.iter().map(|node| u8::from(node.missing_left)).collect()),
                ),
                ("tree.value", floats(|node| node.value)),
                ("tree.cover", Array::F64(self.covers.clone())),
            ]
            .into_iter()
            .map(|(name, array)| (name.to_owned(), array))
            .collect(),
        );
        sets::write(&self.nodes, &self.sets, &mut arrays);
        arrays
    }

    /// Reads the arrays back; refuses anything malformed with `MODEL_INVALID`.
    pub fn from_arrays(columns: usize, arrays: &mut Arrays) -> Result<Self> {
        let roots = arrays.take_u32("tree.roots")?;
        let feature = arrays.take_u32("tree.feature")?;
        let threshold = arrays.take_f64("tree.threshold")?;
        let left = arrays.take_u32("tree.left")?;
        let right = arrays.take_u32("tree.right")?;
        let missing_left = arrays.take_u8("tree.missing_left")?;
        let value = arrays.take_f64("tree.value")?;
        let cover = arrays.take_f64("tree.cover")?;
        let count = feature.len();
        if [threshold.len(), left.len(), right.len(), missing_left.len(), value.len(), cover.len()]
            .iter()
            .any(|&n| n != count)
        {
            return Err(invalid("node arrays of one length"));
        }
        if missing_left.iter().any(|&flag| flag > 1) {
            return Err(invalid("flags of 0 or 1"));
        }
        let ends_well = roots.first() == Some(&0) && roots.last().is_some_and(|&last| last as usize == count);
        if !ends_well || !roots.is_sorted_by(|a, b| a < b) {
            return Err(invalid("roots that rise from 0 to the number of nodes"));
        }
        let node = |i: usize| Node {
            feature: feature[i],
            threshold: threshold[i],
            left: left[i],
            right: right[i],
            missing_left: missing_left[i] == 1,
            set: None,
            value: value[i],
        };
        let sets = sets::read(count, arrays)?;
        Self::new(
            columns,
            roots.windows(2).map(|pair| {
                let nodes = pair[0] as usize..pair[1] as usize;
                let mut tree = Tree {
                    nodes: nodes.clone().map(node).collect(),
                    sets: Vec::new(),
                    covers: cover[nodes.clone()].to_vec(),
                };
                for (position, set) in sets.range(nodes.clone()) {
                    tree.nodes[position - nodes.start].set = SetNumber::new(tree.sets.len());
                    tree.sets.push(*set);
                }
                tree
            }),
        )
    }
}

/// The leaf of one tree that the row falls into: what every faster way through trees has to find.
pub fn leaf<'t>(tree: TreeView<'t>, row: ArrayView1<'_, f64>) -> &'t Node {
    let mut node = &tree.nodes[0];
    while !node.is_leaf() {
        let goes_left = tree.goes_left(node, row[node.feature as usize]);
        node = &tree.nodes[if goes_left { node.left } else { node.right } as usize];
    }
    node
}

fn check_tree(columns: usize, tree: &[Node]) -> Result<()> {
    if tree.is_empty() {
        return Err(invalid("a root in every tree"));
    }
    let mut has_parent = vec![false; tree.len()];
    for (position, node) in tree.iter().enumerate() {
        if !node.value.is_finite() || !node.threshold.is_finite() {
            return Err(invalid("finite values and thresholds"));
        }
        let mut child = |child: u32| {
            let after = child as usize > position;
            after && has_parent.get_mut(child as usize).is_some_and(|taken| !std::mem::replace(taken, true))
        };
        let well_formed =
            if node.is_leaf() { node.right == LEAF } else { child(node.left) && child(node.right) };
        if !well_formed {
            return Err(invalid("children of one parent, after it, in the same tree"));
        }
        if node.feature as usize >= columns {
            return Err(invalid("features in range"));
        }
    }
    Ok(())
}

fn check_covers(tree: &Tree) -> Result<()> {
    let adds_up = |(node, &cover): (&Node, &f64)| {
        let below = || tree.covers[node.left as usize] + tree.covers[node.right as usize];
        cover > 0.0
            && cover < MOST_COVER
            && cover.fract() == 0.0
            && (node.is_leaf() || cover - below() == 0.0)
    };
    if tree.covers.len() == tree.nodes.len() && tree.nodes.iter().zip(&tree.covers).all(adds_up) {
        Ok(())
    } else {
        Err(invalid("covers that are whole numbers above zero and add up"))
    }
}

fn invalid(expected: &str) -> Failure {
    Failure::at(Code::ModelInvalid, "tree", expected, "something else")
}
