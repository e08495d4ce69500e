//! Categories of a feature, and sets of them: what a node that does not compare with a threshold looks at.
//!
//! Flows in: a value, which is a whole number from 0, or NaN where it is missing. Flows out: the value's code,
//! and whether a set holds it. Invariant: every value has a code. The categories from 0 to 254 are their own;
//! a missing value and every higher number share [`UNKNOWN`], so that a set also says where these go.

use std::num::NonZeroU16;

/// The code of a missing value, and of every category that no code is left for.
pub const UNKNOWN: u8 = u8::MAX;

/// The code of a value that is a whole number from 0, or NaN.
#[inline]
pub fn code(value: f64) -> u8 {
    // Not so for NaN either.
    if value < f64::from(UNKNOWN) { value as u8 } else { UNKNOWN }
}

/// A set of codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CategorySet([u64; 4]);

impl CategorySet {
    /// Bytes of a set in the model artifact.
    pub(super) const BYTES: usize = 32;

    /// The set of all codes, or of none.
    pub const fn uniform(all: bool) -> Self {
        Self([if all { u64::MAX } else { 0 }; 4])
    }

    /// Puts a code into the set, or takes it out.
    pub fn put(&mut self, code: u8, inside: bool) {
        let (word, bit) = (usize::from(code >> 6), code & 63);
        self.0[word] = self.0[word] & !(1 << bit) | u64::from(inside) << bit;
    }

    /// Whether the code is in the set.
    #[inline]
    pub const fn has(self, code: u8) -> bool {
        self.0[(code >> 6) as usize] >> (code & 63) & 1 == 1
    }

    /// A bit for each code: that of code `c` is bit `c % 8` of byte `c / 8`.
    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        std::array::from_fn(|byte| self.0[byte / 8].to_le_bytes()[byte % 8])
    }

    /// The set of these bits.
    pub(super) fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let word = |word: usize| std::array::from_fn(|byte| bytes[word * 8 + byte]);
        Self(std::array::from_fn(|position| u64::from_le_bytes(word(position))))
    }
}

/// The position of a set among those of its tree; as large as it may be without making a node larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetNumber(NonZeroU16);

impl SetNumber {
    /// The number of a position; `None` for one beyond the inner nodes of the largest tree.
    pub(super) fn new(position: usize) -> Option<Self> {
        u16::try_from(position + 1).ok().and_then(NonZeroU16::new).map(Self)
    }

    /// The position.
    pub(super) const fn position(self) -> usize {
        self.0.get() as usize - 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_known_category_has_one_code() {
        assert_eq!([0.0, -0.0, 1.0, 254.0].map(code), [0, 0, 1, 254]);
        assert!([f64::NAN, 255.0, 256.0, 1e300].iter().all(|&value| code(value) == UNKNOWN));
    }

    #[test]
    fn a_set_costs_a_node_nothing() {
        assert_eq!(size_of::<super::super::Node>(), 32);
    }

    proptest! {
        #[test]
        fn a_set_holds_what_was_put_in_last(
            all in any::<bool>(), puts in prop::collection::vec((any::<u8>(), any::<bool>()), 0..300),
        ) {
            let mut set = CategorySet::uniform(all);
            let mut expected = [all; 256];
            for (code, inside) in puts {
                set.put(code, inside);
                expected[usize::from(code)] = inside;
            }
            let bytes = set.to_bytes();
            prop_assert_eq!(CategorySet::from_bytes(bytes), set);
            for code in 0..=u8::MAX {
                let inside = expected[usize::from(code)];
                prop_assert_eq!(set.has(code), inside);
                prop_assert_eq!(bytes[usize::from(code / 8)] >> (code % 8) & 1 == 1, inside);
            }
        }
    }
}
