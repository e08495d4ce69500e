//! The sets of categories of an ensemble's nodes: their check, and their arrays in the model artifact.
//!
//! An ensemble without sets has neither array: its bytes are what they were before there were categories.

use std::collections::BTreeMap;

use contracts::Result;

use super::{
    Node, Tree,
    category::{CategorySet, UNKNOWN},
    invalid,
};
use crate::arrays::{Array, Arrays};

/// Name of the array of the nodes that have a set, in rising order.
const NODES: &str = "tree.set_node";
/// Name of the array of their sets, of so many bytes each.
const SETS: &str = "tree.set";

/// Refuses a tree whose sets do not belong to its inner nodes one by one, in their order.
pub(super) fn check(tree: &Tree) -> Result<()> {
    let mut sets = tree.sets.iter();
    for (node, number) in tree.nodes.iter().filter_map(|node| Some((node, node.set?))) {
        let position = tree.sets.len() - sets.len();
        let fits = |set: &CategorySet| {
            number.position() == position
                && !node.is_leaf()
                && node.threshold.to_bits() == 0
                && set.has(UNKNOWN) == node.missing_left
        };
        if !sets.next().is_some_and(fits) {
            return Err(invalid(
                "sets of inner nodes without a threshold, which say where missing values go",
            ));
        }
    }
    if sets.len() == 0 { Ok(()) } else { Err(invalid("a node for each set")) }
}

/// Adds the arrays of the sets, if there are any; `sets` are those of `nodes` in their order.
pub(super) fn write(nodes: &[Node], sets: &[CategorySet], arrays: &mut Arrays) {
    if sets.is_empty() {
        return;
    }
    let positions = nodes.iter().zip(0_u32..).filter(|(node, _)| node.set.is_some());
    arrays.0.insert(NODES.to_owned(), Array::U32(positions.map(|(_, position)| position).collect()));
    let bytes = sets.iter().flat_map(|set| set.to_bytes()).collect();
    arrays.0.insert(SETS.to_owned(), Array::U8(bytes));
}

/// Takes the sets of `nodes` nodes, each under the position of its node; none where there are no arrays.
pub(super) fn read(nodes: usize, arrays: &mut Arrays) -> Result<BTreeMap<usize, CategorySet>> {
    if !arrays.0.contains_key(NODES) && !arrays.0.contains_key(SETS) {
        return Ok(BTreeMap::new());
    }
    let positions = arrays.take_u32(NODES)?;
    let bytes = arrays.take_u8(SETS)?;
    let (sets, rest) = bytes.as_chunks::<{ CategorySet::BYTES }>();
    if sets.len() != positions.len() || !rest.is_empty() || sets.is_empty() {
        return Err(invalid("32 bytes for each node with a set"));
    }
    let in_range = positions.last().is_some_and(|&last| (last as usize) < nodes);
    if !in_range || !positions.is_sorted_by(|a, b| a < b) {
        return Err(invalid("nodes with a set that rise and are there"));
    }
    let sets = sets.iter().map(|&bytes| CategorySet::from_bytes(bytes));
    Ok(positions.into_iter().map(|position| position as usize).zip(sets).collect())
}
