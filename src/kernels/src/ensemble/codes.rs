//! Values as the number of thresholds below them: what trees compare then fits a byte.
//!
//! ```text
//!   thresholds of all trees ──► sorted cuts a feature ──► code of each value of a block ──► planes of bytes
//! ```
//!
//! Invariant: for a threshold with `rank` cuts below it, `code(value) <= rank` exactly where
//! `value <= threshold`. A missing value has the highest code of all in the plane of nodes that send it right,
//! and in a second plane, of nodes that send it left, the lowest, every other code being one more there. What
//! nodes look for in a set has a plane of its own, of the codes of [`category`].

use std::hint::select_unpredictable;

use super::{
    Node, TreeView,
    block::{Block, ROWS},
    category,
};

/// Cuts that a feature may have, so that codes, shifted by one and with one for missing values, fit a byte.
const MOST_CUTS: usize = 254;

/// Values that are searched for at a time: their searches do not wait for each other.
const LANES: usize = 8;

/// One code for each row of a block.
pub(super) type Plane = [u8; ROWS];

/// How the features of a block become planes of codes.
#[derive(Debug)]
pub(super) struct Codes {
    features: Vec<Feature>,
    /// Position in `features` of each column that some tree looks at.
    positions: Vec<Option<u16>>,
    /// The plane of the categories of each column in which some tree looks for them.
    categories: Vec<Option<u16>>,
    planes: usize,
}

#[derive(Debug)]
struct Feature {
    column: usize,
    /// One that does not count, then all in rising order, then infinities.
    cuts: Box<[f64; 256]>,
    /// Half the smallest power of two above the number of cuts.
    half: usize,
    /// The planes in which a missing value goes right, and left.
    planes: [Option<u16>; 2],
}

impl Codes {
    /// The codes of trees over `columns` features; `None` where a feature has too many thresholds.
    pub(super) fn new<'t>(columns: usize, trees: impl Iterator<Item = TreeView<'t>>) -> Option<Self> {
        let mut cuts = vec![Vec::new(); columns];
        let mut sides = vec![[false; 2]; columns];
        let mut categories = vec![false; columns];
        for node in trees.flat_map(|tree| tree.nodes).filter(|node| !node.is_leaf()) {
            let column = node.feature as usize;
            if node.set.is_some() {
                categories[column] = true;
            } else {
                cuts[column].push(node.threshold);
                sides[column][usize::from(node.missing_left)] = true;
            }
        }
        let mut codes = Self {
            features: Vec::new(),
            positions: vec![None; columns],
            categories: vec![None; columns],
            planes: 0,
        };
        for (plane, _) in codes.categories.iter_mut().zip(categories).filter(|(_, used)| *used) {
            *plane = Some(u16::try_from(codes.planes).ok()?);
            codes.planes += 1;
        }
        for (column, mut found) in cuts.into_iter().enumerate().filter(|(_, found)| !found.is_empty()) {
            found.sort_unstable_by(f64::total_cmp);
            found.dedup();
            if found.len() > MOST_CUTS || codes.planes + 2 > usize::from(u16::MAX) {
                return None;
            }
            let mut cuts = Box::new([f64::INFINITY; 256]);
            cuts[1..=found.len()].copy_from_slice(&found);
            let planes = sides[column].map(|used| {
                let plane = codes.planes as u16;
                codes.planes += usize::from(used);
                used.then_some(plane)
            });
            let half = (found.len() + 1).next_power_of_two() / 2;
            codes.positions[column] = Some(codes.features.len() as u16);
            codes.features.push(Feature { column, cuts, half, planes });
        }
        Some(codes)
    }

    /// Number of planes.
    pub(super) fn planes(&self) -> usize {
        self.planes
    }

    /// The plane of the categories that a node with a set looks for.
    pub(super) fn categories(&self, node: &Node) -> Option<u16> {
        self.categories[node.feature as usize]
    }

    /// The plane that a node looks at, and the highest code there that goes left; `None` for a leaf, and for a
    /// node of other trees than those that the codes were made for.
    pub(super) fn test(&self, node: &Node) -> Option<(u16, u8)> {
        let feature = &self.features[usize::from(self.positions[node.feature as usize]?)];
        let rank = feature.cuts[1..].partition_point(|&cut| cut < node.threshold);
        let plane = feature.planes[usize::from(node.missing_left)]?;
        Some((plane, (rank + usize::from(node.missing_left)) as u8))
    }

    /// Writes the planes of a block.
    pub(super) fn encode(&self, block: &Block, planes: &mut [Plane]) {
        for (column, plane) in self.categories.iter().enumerate() {
            let Some(plane) = plane.map(usize::from) else { continue };
            for (slot, &value) in planes[plane].iter_mut().zip(block.column(column)) {
                *slot = category::code(value);
            }
        }
        let mut codes = [0; ROWS];
        for feature in &self.features {
            let values = block.column(feature.column);
            feature.encode(values, &mut codes);
            let [right, left] = feature.planes;
            if let Some(plane) = right {
                let plane = &mut planes[usize::from(plane)];
                for ((slot, &code), value) in plane.iter_mut().zip(&codes).zip(values) {
                    *slot = if value.is_nan() { u8::MAX } else { code };
                }
            }
            if let Some(plane) = left {
                let plane = &mut planes[usize::from(plane)];
                for ((slot, &code), value) in plane.iter_mut().zip(&codes).zip(values) {
                    *slot = if value.is_nan() { 0 } else { code.wrapping_add(1) };
                }
            }
        }
    }
}

impl Feature {
    /// The number of cuts below each value, bit by bit from the highest; zero for a missing value.
    ///
    /// Nothing branches, and no sum is checked for overflow: bits that are not set yet are set.
    fn encode(&self, values: &[f64; ROWS], codes: &mut Plane) {
        for (values, codes) in values.as_chunks::<LANES>().0.iter().zip(codes.as_chunks_mut::<LANES>().0) {
            let mut found = [0_usize; LANES];
            let mut half = self.half;
            while half > 0 {
                for (found, value) in found.iter_mut().zip(values) {
                    // All bits together stay below 256, which the compiler does not know, nor that a branch
                    // would be wrong every other time.
                    let below = self.cuts[(*found | half) % 256] < *value;
                    *found |= select_unpredictable(below, half, 0);
                }
                half >>= 1;
            }
            *codes = found.map(|found| found as u8);
        }
    }
}
