//! Two 64-bit numbers that are added at once.
//!
//! Left alone, the compiler adds them one by one, in memory, which costs a histogram twice the reads and
//! writes; hence these few intrinsics of SSE2.
#![allow(unsafe_code, reason = "intrinsics of SSE2, which is part of x86-64, on values alone")]
#![allow(clippy::inline_always, reason = "a call would cost more than the addition")]

#[cfg(not(target_arch = "x86_64"))]
pub(super) use plain::{Pair, add, new, parts};
#[cfg(target_arch = "x86_64")]
pub(super) use sse2::{Pair, add, new, parts};

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{__m128i, _mm_add_epi64, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_unpackhi_epi64};

    pub(in super::super) type Pair = __m128i;

    #[inline(always)]
    pub(in super::super) fn new(low: u64, high: u64) -> Pair {
        // SAFETY: every x86-64 has SSE2, and no memory is touched.
        unsafe { _mm_set_epi64x(high as i64, low as i64) }
    }

    #[inline(always)]
    pub(in super::super) fn add(a: Pair, b: Pair) -> Pair {
        // SAFETY: every x86-64 has SSE2, and no memory is touched.
        unsafe { _mm_add_epi64(a, b) }
    }

    #[inline(always)]
    pub(in super::super) fn parts(pair: Pair) -> [u64; 2] {
        // SAFETY: every x86-64 has SSE2, and no memory is touched.
        let parts = unsafe { [_mm_cvtsi128_si64(pair), _mm_cvtsi128_si64(_mm_unpackhi_epi64(pair, pair))] };
        parts.map(|part| part as u64)
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod plain {
    pub(in super::super) type Pair = [u64; 2];

    pub(in super::super) const fn new(low: u64, high: u64) -> Pair {
        [low, high]
    }

    pub(in super::super) const fn add(a: Pair, b: Pair) -> Pair {
        [a[0].wrapping_add(b[0]), a[1].wrapping_add(b[1])]
    }

    pub(in super::super) const fn parts(pair: Pair) -> [u64; 2] {
        pair
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::plain;

    proptest! {
        #[test]
        fn sums_are_those_of_plain_numbers(a in any::<[u64; 2]>(), b in any::<[u64; 2]>()) {
            let sum = super::add(super::new(a[0], a[1]), super::new(b[0], b[1]));
            let expected = plain::add(plain::new(a[0], a[1]), plain::new(b[0], b[1]));
            prop_assert_eq!(super::parts(sum), plain::parts(expected));
        }
    }
}
