//! What the Shapley values of one tree need and no row changes.
//!
//! Flows in: a tree with its covers and four points of a quadrature. Flows out: for each edge, the factors by
//! which a row that follows it, or does not, goes on, and the shares that its feature gets.

use crate::ensemble::{Node, TreeView};

/// Points of the quadrature that are worked on at a time.
pub(super) const LANES: usize = 4;

/// One number for each point.
pub(super) type Lanes = [f64; LANES];

/// How a row stands to the splits, on one feature, from the root to the end of an edge.
///
/// It follows all of them, or all but the last, or has left before.
pub(super) const LEFT_BEFORE: usize = 0;

/// The edge to a node from its parent, seen at each point `t`.
///
/// A feature that is known with probability `t` lets the path's splits on it pass by `o t + z (1 - t)`: `o`
/// tells whether the row follows them, `z` is the share of the training data that does.
#[derive(Debug, Clone)]
pub(super) struct Edge {
    /// The node at the end of the nearest edge above that splits on the same feature.
    pub(super) previous: Option<u32>,
    /// Factor by which the feature lets more or less pass than at the previous edge, for each standing.
    pub(super) factors: [Lanes; 3],
    /// The feature's part in what passes, less its part as the previous edge had it, for each standing.
    pub(super) shares: [Lanes; 3],
    /// Share of the training data that follows the feature's splits up to here.
    followed: f64,
}

/// The edges of a tree, each under the position of its lower node; the root's means nothing.
pub(super) fn edges(tree: TreeView<'_>, points: [(f64, f64); LANES]) -> Vec<Edge> {
    let root = Edge { previous: None, factors: [[1.0; LANES]; 3], shares: [[0.0; LANES]; 3], followed: 1.0 };
    let mut edges = vec![root; tree.nodes.len()];
    let parents = parents(tree.nodes);
    for (position, parent) in parents.iter().enumerate().skip(1).map(|(position, &parent)| (position, parent))
    {
        let previous = previous(tree.nodes, &parents, parent as usize);
        let before = previous.map_or(1.0, |previous| edges[previous as usize].followed);
        let followed = before * (tree.covers[position] / tree.covers[parent as usize]);
        edges[position] = Edge {
            previous,
            factors: [
                points.map(|_| followed / before),
                points.map(|(t, _)| followed * (1.0 - t) / (t + before * (1.0 - t))),
                points.map(|(t, _)| (t + followed * (1.0 - t)) / (t + before * (1.0 - t))),
            ],
            shares: [
                [0.0; LANES],
                points.map(|(t, weight)| weight * (-1.0 / (1.0 - t) - share(before, t))),
                points.map(|(t, weight)| weight * (share(followed, t) - share(before, t))),
            ],
            followed,
        };
    }
    edges
}

/// What knowing that a row follows adds, relative to what passes.
fn share(followed: f64, t: f64) -> f64 {
    (1.0 - followed) / (t + followed * (1.0 - t))
}

/// The most features that any path from root to leaf looks at.
pub(super) fn most_features(nodes: &[Node]) -> usize {
    let parents = parents(nodes);
    let mut counts = vec![0_usize; nodes.len()];
    for position in 1..nodes.len() {
        let parent = parents[position] as usize;
        counts[position] = counts[parent] + usize::from(previous(nodes, &parents, parent).is_none());
    }
    counts.into_iter().max().unwrap_or_default()
}

fn parents(nodes: &[Node]) -> Vec<u32> {
    let mut parents = vec![0; nodes.len()];
    for (position, node) in nodes.iter().enumerate().filter(|(_, node)| !node.is_leaf()) {
        parents[node.left as usize] = position as u32;
        parents[node.right as usize] = position as u32;
    }
    parents
}

/// The lower node of the nearest edge above `position` whose upper node splits on the same feature.
fn previous(nodes: &[Node], parents: &[u32], position: usize) -> Option<u32> {
    let mut lower = position;
    while lower > 0 {
        let upper = parents[lower] as usize;
        if nodes[upper].feature == nodes[position].feature {
            return Some(lower as u32);
        }
        lower = upper;
    }
    None
}
