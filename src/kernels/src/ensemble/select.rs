//! Small trees without walking: each inner node chooses, for all rows of a block at once, between what its two
//! sides came to.
//!
//! ```text
//!   planes of codes ──► innermost nodes ──► ... ──► root ──► number of the leaf of each row
//! ```
//!
//! A row costs every node of the tree rather than those on its path, but a node costs a fraction of a cycle:
//! comparing and choosing bytes is what vector instructions do best, and nothing branches on data. The idea of
//! trading a walk for whole-tree bit operations is that of Lucchese et al.: *`QuickScorer`*, SIGIR 2015.

use super::{
    Node, TreeView,
    codes::{Codes, Plane},
};

/// Leaves up to which choosing costs less than walking.
pub(super) const MOST_LEAVES: usize = 64;

/// What one side of a node comes to.
#[derive(Debug, Clone, Copy)]
enum Side {
    /// The number of a leaf.
    Leaf(u8),
    /// What is kept in a slot.
    Slot(u8),
}

/// Which rows take what stands left.
#[derive(Debug)]
enum Test {
    /// Those whose code is at most this.
    UpTo(u8),
    /// Those for whose code a zero stands here, others having a one.
    Category(Box<[u8; 256]>),
}

/// One inner node.
#[derive(Debug)]
struct Choice {
    plane: u16,
    test: Test,
    left: Side,
    right: Side,
    /// Where the outcome goes; a slot of the sides, if one of them is a slot.
    slot: u8,
}

/// A tree as the choices of its inner nodes, those of both sides before their parent's.
#[derive(Debug)]
pub(super) struct Choices {
    inner: Vec<Choice>,
    slots: usize,
    /// Position in the tree of each leaf.
    leaves: Vec<u32>,
}

/// Whether a tree is small enough for choices.
pub(super) fn is_small(tree: TreeView<'_>) -> bool {
    tree.nodes.len() < 2 * MOST_LEAVES
}

impl Choices {
    /// The choices of a small tree, whose nodes `codes` must know; `None` for any other.
    pub(super) fn new(tree: TreeView<'_>, codes: &Codes) -> Option<Self> {
        if !is_small(tree) {
            return None;
        }
        let inner = Vec::with_capacity(tree.nodes.len() / 2);
        let mut choices = Self { inner, slots: 1, leaves: Vec::new() };
        choices.side(tree, &slots_needed(tree.nodes), 0, 0, codes)?;
        Some(choices)
    }

    /// Appends the choices below `position`, which may use the slots from `free` on.
    fn side(
        &mut self,
        tree: TreeView<'_>,
        needed: &[u8],
        position: usize,
        free: u8,
        codes: &Codes,
    ) -> Option<Side> {
        let node = &tree.nodes[position];
        if node.is_leaf() {
            self.leaves.push(position as u32);
            return Some(Side::Leaf((self.leaves.len() - 1) as u8));
        }
        let (plane, test) = match node.set {
            None => codes.test(node).map(|(plane, rank)| (plane, Test::UpTo(rank)))?,
            Some(number) => {
                let set = tree.sets[number.position()];
                let sides = std::array::from_fn(|code| u8::from(!set.has(code as u8)));
                (codes.categories(node)?, Test::Category(Box::new(sides)))
            }
        };
        let sides = [node.left as usize, node.right as usize];
        // The side that needs more slots first, so that only its outcome is kept while the other is worked out.
        let first = usize::from(needed[sides[1]] > needed[sides[0]]);
        let mut outcomes = [Side::Leaf(0); 2];
        outcomes[first] = self.side(tree, needed, sides[first], free, codes)?;
        let kept = u8::from(matches!(outcomes[first], Side::Slot(_)));
        outcomes[1 - first] = self.side(tree, needed, sides[1 - first], free + kept, codes)?;
        let [left, right] = outcomes;
        self.slots = self.slots.max(usize::from(free) + 1);
        self.inner.push(Choice { plane, test, left, right, slot: free });
        Some(Side::Slot(free))
    }

    /// Number of slots that [`Self::choose`] needs.
    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// Position in the tree of each leaf, by its number.
    pub(super) fn leaves(&self) -> &[u32] {
        &self.leaves
    }

    /// The number of the leaf that each row of a block falls into, in the first of `slots`.
    pub(super) fn choose(&self, planes: &[Plane], slots: &mut [Plane]) {
        if self.inner.is_empty() {
            slots[0].fill(0);
        }
        for choice in &self.inner {
            let codes = &planes[usize::from(choice.plane)];
            let looked_up;
            let (codes, rank) = match &choice.test {
                Test::UpTo(rank) => (codes, *rank),
                Test::Category(sides) => {
                    looked_up = codes.map(|code| sides[usize::from(code)]);
                    (&looked_up, 0)
                }
            };
            let at = usize::from(choice.slot);
            match (choice.left, choice.right) {
                (Side::Leaf(left), Side::Leaf(right)) => {
                    choose(codes, rank, &mut slots[at], |_| (left, right));
                }
                (Side::Slot(_), Side::Leaf(right)) => {
                    choose(codes, rank, &mut slots[at], |kept| (kept, right));
                }
                (Side::Leaf(left), Side::Slot(_)) => {
                    choose(codes, rank, &mut slots[at], |kept| (left, kept));
                }
                (Side::Slot(left), Side::Slot(right)) => {
                    let (kept, other) = slots.split_at_mut(at + 1);
                    let (kept, other) = (&mut kept[at], &other[0]);
                    merge(codes, rank, kept, other, left < right);
                }
            }
        }
    }
}

/// The slots that working out each node takes: one where one side is a leaf, one more where both sides take as
/// many (Sethi and Ullman, 1970), so that seven are enough for 64 leaves.
fn slots_needed(tree: &[Node]) -> Vec<u8> {
    let mut needed = vec![0_u8; tree.len()];
    for (position, node) in tree.iter().enumerate().rev().filter(|(_, node)| !node.is_leaf()) {
        let [left, right] = [node.left, node.right].map(|child| needed[child as usize]);
        needed[position] = if left == right { left + 1 } else { left.max(right) };
    }
    needed
}

#[inline]
fn choose(codes: &Plane, rank: u8, slot: &mut Plane, sides: impl Fn(u8) -> (u8, u8)) {
    for (slot, &code) in slot.iter_mut().zip(codes) {
        let (left, right) = sides(*slot);
        *slot = if code <= rank { left } else { right };
    }
}

/// Chooses by masks: told to choose between two loads, the compiler would branch.
#[inline]
fn merge(codes: &Plane, rank: u8, slot: &mut Plane, other: &Plane, kept_is_left: bool) {
    let turn = u8::from(kept_is_left).wrapping_sub(1);
    for ((slot, &other), &code) in slot.iter_mut().zip(other).zip(codes) {
        let keep = u8::from(code <= rank).wrapping_neg() ^ turn;
        *slot = other ^ ((*slot ^ other) & keep);
    }
}
