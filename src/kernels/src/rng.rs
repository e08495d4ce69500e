//! The only randomness of the core: a counter-based generator.
//!
//! Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: *Parallel random numbers: as easy as 1, 2, 3*, SC11). A value
//! depends on the key, the stream and the index alone, so neither threads nor order can change it.

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// A keyed generator; every draw names its stream and index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rng {
    key: [u32; 2],
}

impl Rng {
    /// A generator keyed by the first eight bytes of a stage seed.
    pub const fn from_seed(seed: [u8; 32]) -> Self {
        let [first, second, third, fourth, fifth, sixth, seventh, eighth, ..] = seed;
        Self {
            key: [
                u32::from_le_bytes([first, second, third, fourth]),
                u32::from_le_bytes([fifth, sixth, seventh, eighth]),
            ],
        }
    }

    /// A generator keyed by a plain number, for use without a factory.
    pub const fn from_u64(seed: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32] }
    }

    /// 64 random bits.
    #[inline]
    pub fn bits(self, stream: u64, index: u64) -> u64 {
        self.block(stream, index)[0]
    }

    /// 128 random bits, of which the first 64 are those of [`Self::bits`].
    #[inline]
    pub fn block(self, stream: u64, index: u64) -> [u64; 2] {
        let [first, second, third, fourth] =
            philox([index as u32, (index >> 32) as u32, stream as u32, (stream >> 32) as u32], self.key);
        [u64::from(first) | u64::from(second) << 32, u64::from(third) | u64::from(fourth) << 32]
    }

    /// A number in [0, 1) on a grid of 2^-53.
    pub fn uniform(self, stream: u64, index: u64) -> f64 {
        (self.bits(stream, index) >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// A whole number below `bound`, which must not be zero; its bias is below `bound / 2^64`.
    pub fn below(self, stream: u64, index: u64, bound: u64) -> u64 {
        ((u128::from(self.bits(stream, index)) * u128::from(bound)) >> 64) as u64
    }
}

#[inline]
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let left = u64::from(MULTIPLIERS[0]) * u64::from(counter[0]);
        let right = u64::from(MULTIPLIERS[1]) * u64::from(counter[2]);
        counter = [
            (right >> 32) as u32 ^ counter[1] ^ key[0],
            right as u32,
            (left >> 32) as u32 ^ counter[3] ^ key[1],
            left as u32,
        ];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the Random123 distribution (`kat_vectors`, philox4x32 10).
    #[test]
    fn known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
    }

    #[test]
    fn uniform_covers_the_unit_interval_evenly() {
        let rng = Rng::from_u64(7);
        let mean = (0..10_000).map(|i| rng.uniform(0, i)).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        assert!((0..1_000).all(|i| rng.below(1, i, 10) < 10));
    }
}
