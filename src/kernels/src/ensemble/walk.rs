//! Walking trees from root to leaf, several walks at a time.
//!
//! A step waits for what it loads; steps of walks that have nothing to do with each other wait together. The
//! side is chosen without a branch, since data decides it and no processor foresees that.

use super::{Node, TreeView, block::Block};

/// Walks that go on at a time.
const LANES: usize = 8;

/// The position of the leaf that each row of a block falls into, in the beginning of `leaves`.
pub(super) fn rows(tree: TreeView<'_>, block: &Block, leaves: &mut [u32]) {
    // Told apart once, so that where there is no set none is asked for at each step.
    if tree.sets.is_empty() {
        rows_by(tree.nodes, block, leaves, Node::goes_left);
    } else {
        rows_by(tree.nodes, block, leaves, |node, value| tree.goes_left(node, value));
    }
}

#[inline]
fn rows_by(tree: &[Node], block: &Block, leaves: &mut [u32], goes_left: impl Fn(&Node, f64) -> bool) {
    for (group, leaves) in leaves[..block.rows()].chunks_mut(LANES).enumerate() {
        let row = |lane: usize| group * LANES + lane;
        let found = together([tree; LANES], |lane, node| {
            goes_left(node, block.value(row(lane), node.feature as usize))
        });
        leaves.copy_from_slice(&found[..leaves.len()]);
    }
}

/// The leaves that one row falls into, in the order of `trees`: each a tree's nodes, and what `goes_left` wants
/// to know of the tree.
pub(super) fn trees<'t, T: Copy>(
    mut trees: impl Iterator<Item = (&'t [Node], T)>,
    goes_left: impl Fn(T, &Node) -> bool,
    mut visit: impl FnMut(&'t Node),
) {
    while let Some((first, of_first)) = trees.next() {
        // Where trees run out, the first is walked again, unheard.
        let (mut lanes, mut of_lanes, mut count) = ([first; LANES], [of_first; LANES], 1);
        for ((lane, of_lane), (tree, of_tree)) in
            lanes[1..].iter_mut().zip(&mut of_lanes[1..]).zip(&mut trees)
        {
            (*lane, *of_lane) = (tree, of_tree);
            count += 1;
        }
        let found = together(lanes, |lane, node| goes_left(of_lanes[lane], node));
        for (&position, tree) in found.iter().zip(lanes).take(count) {
            visit(&tree[position as usize]);
        }
    }
}

/// The leaf that each walk comes to; `goes_left` tells whether a lane's row goes left at a node.
#[inline]
fn together(trees: [&[Node]; LANES], goes_left: impl Fn(usize, &Node) -> bool) -> [u32; LANES] {
    let mut at = [0_u32; LANES];
    loop {
        let mut moved = false;
        for (lane, (at, tree)) in at.iter_mut().zip(trees).enumerate() {
            let node = &tree[*at as usize];
            let child = if goes_left(lane, node) { node.left } else { node.right };
            *at = if node.is_leaf() { *at } else { child };
            moved |= !node.is_leaf();
        }
        if !moved {
            return at;
        }
    }
}
