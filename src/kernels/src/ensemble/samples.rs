//! Random trees for tests.

use std::collections::BTreeMap;

use super::{Node, Tree, category::CategorySet};
use crate::Rng;

/// A random tree of so many leaves, grown by splitting a random leaf again and again; half of those that look at
/// a column of odd number look for categories.
pub(crate) fn mixed_tree(rng: Rng, stream: u64, leaves: u64, columns: usize) -> Tree {
    let plain = tree(rng, stream, leaves, columns, 90);
    let mut nodes = plain.nodes;
    let mut sets = BTreeMap::new();
    for (position, node) in nodes.iter_mut().enumerate().filter(|(_, node)| node.feature % 2 == 1) {
        let draw = |word: u64| rng.bits(stream, 8 * (position as u64 + 1) + word + 1_000_000);
        if draw(0) % 2 == 0 {
            let mut set = CategorySet::uniform(node.missing_left);
            (0..u8::MAX)
                .for_each(|code| set.put(code, draw(1 + u64::from(code / 64)) >> (code % 64) & 1 == 1));
            node.threshold = 0.0;
            sets.insert(position, set);
        }
    }
    let leaves = nodes.iter().zip(plain.covers).enumerate().filter(|(_, (node, _))| node.is_leaf());
    let leaves: Vec<_> = leaves.map(|(position, (_, cover))| (position, cover)).collect();
    Tree::new(nodes, &sets, leaves)
}

/// A random tree of so many leaves, grown by splitting a random leaf again and again.
pub(crate) fn tree(rng: Rng, stream: u64, leaves: u64, columns: usize, thresholds: u64) -> Tree {
    let mut nodes = vec![Node::leaf(0.0)];
    let mut open = vec![0_usize];
    for turn in 1..leaves {
        let split = open.swap_remove(rng.below(stream, 8 * turn, open.len() as u64) as usize);
        nodes[split] = Node {
            feature: rng.below(stream, 8 * turn + 1, columns as u64) as u32,
            threshold: threshold(rng.below(stream, 8 * turn + 2, thresholds)),
            left: nodes.len() as u32,
            right: nodes.len() as u32 + 1,
            missing_left: rng.below(stream, 8 * turn + 3, 2) == 1,
            set: None,
            value: 0.0,
        };
        for child in [4, 5] {
            open.push(nodes.len());
            nodes.push(Node::leaf(rng.uniform(stream, 8 * turn + child) - 0.5));
        }
    }
    let covers = open.iter().map(|&leaf| (leaf, 1.0 + rng.below(stream, 8 * leaf as u64 + 6, 50) as f64));
    Tree::new(nodes, &BTreeMap::new(), covers)
}

/// Where values stand as well, so that ties occur.
pub(crate) fn threshold(number: u64) -> f64 {
    number as f64 * 0.5 - 20.0
}
