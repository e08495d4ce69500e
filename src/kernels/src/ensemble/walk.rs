//! Walking trees from root to leaf, several walks at a time.
//!
//! A step waits for what it loads; steps of walks that have nothing to do with each other wait together. The
//! side is chosen without a branch, since data decides it and no processor foresees that.

use super::{Node, block::Block};

/// Walks that go on at a time.
const LANES: usize = 8;

/// The position of the leaf that each row of a block falls into, in the beginning of `leaves`.
pub(super) fn rows(tree: &[Node], block: &Block, leaves: &mut [u32]) {
    for (group, leaves) in leaves[..block.rows()].chunks_mut(LANES).enumerate() {
        let row = |lane: usize| group * LANES + lane;
        let found = together([tree; LANES], |lane, column| block.value(row(lane), column));
        leaves.copy_from_slice(&found[..leaves.len()]);
    }
}

/// The leaves that one row falls into, in the order of `trees`.
pub(super) fn trees<'t>(
    mut trees: impl Iterator<Item = &'t [Node]>,
    value: impl Fn(usize) -> f64,
    mut visit: impl FnMut(u32, &'t Node),
) {
    while let Some(first) = trees.next() {
        // Where trees run out, the first is walked again, unheard.
        let (mut lanes, mut count) = ([first; LANES], 1);
        for (lane, tree) in lanes[1..].iter_mut().zip(&mut trees) {
            *lane = tree;
            count += 1;
        }
        let found = together(lanes, |_, column| value(column));
        for (&position, tree) in found.iter().zip(lanes).take(count) {
            visit(position, &tree[position as usize]);
        }
    }
}

/// The leaf that each walk comes to; `value` tells a lane's value of a column.
#[inline]
fn together(trees: [&[Node]; LANES], value: impl Fn(usize, usize) -> f64) -> [u32; LANES] {
    let mut at = [0_u32; LANES];
    loop {
        let mut moved = false;
        for (lane, (at, tree)) in at.iter_mut().zip(trees).enumerate() {
            let node = &tree[*at as usize];
            let goes_left = node.goes_left(value(lane, node.feature as usize));
            let child = if goes_left { node.left } else { node.right };
            *at = if node.is_leaf() { *at } else { child };
            moved |= !node.is_leaf();
        }
        if !moved {
            return at;
        }
    }
}
