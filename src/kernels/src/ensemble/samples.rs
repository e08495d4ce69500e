//! Random trees for tests.

use super::{Node, Tree};
use crate::Rng;

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
            value: 0.0,
        };
        for child in [4, 5] {
            open.push(nodes.len());
            nodes.push(Node::leaf(rng.uniform(stream, 8 * turn + child) - 0.5));
        }
    }
    let covers = open.iter().map(|&leaf| (leaf, 1.0 + rng.below(stream, 8 * leaf as u64 + 6, 50) as f64));
    Tree::new(nodes, covers)
}

/// Where values stand as well, so that ties occur.
pub(crate) fn threshold(number: u64) -> f64 {
    number as f64 * 0.5 - 20.0
}
