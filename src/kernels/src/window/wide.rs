//! Integers of a fixed number of 64-bit limbs, for sums that must not round.
//!
//! A sum of f64 is exact when every term is a whole multiple of one power of two and the integer is wide
//! enough; only the last step back to f64 rounds, to nearest even. Such sums do not depend on the order of
//! their terms, and a term that is taken out again leaves no trace (Kulisch: *Computer Arithmetic and
//! Validity*, 2nd ed. 2013, ch. 8: the complete register).

/// A signed integer of `64 * N` bits in two's complement, least limb first. Callers size `N` so that
/// nothing overflows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wide<const N: usize>([u64; N]);

impl<const N: usize> Wide<N> {
    pub(super) const ZERO: Self = Self([0; N]);

    /// `value * 2^shift`.
    pub(super) fn shifted(value: u128, shift: u32) -> Self {
        let (limb, bit) = ((shift / 64) as usize, shift % 64);
        let low = value << bit;
        let high = if bit == 0 { 0 } else { value >> (128 - bit) };
        let mut limbs = [0; N];
        for (slot, part) in limbs.iter_mut().skip(limb).zip([low as u64, (low >> 64) as u64, high as u64]) {
            *slot = part;
        }
        Self(limbs)
    }

    pub(super) fn add(&mut self, other: &Self) {
        let mut carry = false;
        for (limb, &term) in self.0.iter_mut().zip(&other.0) {
            let (sum, first) = limb.overflowing_add(term);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            *limb = sum;
            carry = first | second;
        }
    }

    pub(super) fn subtract(&mut self, other: &Self) {
        let mut borrow = false;
        for (limb, &term) in self.0.iter_mut().zip(&other.0) {
            let (difference, first) = limb.overflowing_sub(term);
            let (difference, second) = difference.overflowing_sub(u64::from(borrow));
            *limb = difference;
            borrow = first | second;
        }
    }

    fn is_negative(&self) -> bool {
        self.0.last().is_some_and(|&limb| limb >> 63 == 1)
    }

    fn magnitude(&self) -> Self {
        if !self.is_negative() {
            return *self;
        }
        let mut magnitude = Self::ZERO;
        magnitude.subtract(self);
        magnitude
    }

    /// The product with a small factor, for numbers of zero or more.
    pub(super) fn times(&self, factor: u64) -> Self {
        let mut product = Self::ZERO;
        let mut carry = 0_u64;
        for (slot, &limb) in product.0.iter_mut().zip(&self.0) {
            let part = u128::from(limb) * u128::from(factor) + u128::from(carry);
            *slot = part as u64;
            carry = (part >> 64) as u64;
        }
        product
    }

    /// The square, which must fit.
    pub(super) fn squared(&self) -> Self {
        let factor = self.magnitude().0;
        let mut square = [0_u64; N];
        for (low, &left) in factor.iter().enumerate().filter(|(_, limb)| **limb != 0) {
            let mut carry = 0_u64;
            for (slot, &right) in square.iter_mut().skip(low).zip(&factor) {
                let part = u128::from(left) * u128::from(right) + u128::from(*slot) + u128::from(carry);
                *slot = part as u64;
                carry = (part >> 64) as u64;
            }
        }
        Self(square)
    }

    /// The number as `significand * 2^exponent`, rounded once to the 53 bits of the significand.
    pub(super) fn rounded(&self) -> (f64, i32) {
        let magnitude = self.magnitude().0;
        let Some(top) = magnitude.iter().rposition(|&limb| limb != 0) else { return (0.0, 0) };
        let sign = if self.is_negative() { -1.0 } else { 1.0 };
        if top == 0 {
            return (sign * magnitude[0] as f64, 0);
        }
        // The 64 leading bits decide the rounding once the last of them also stands for all that follow.
        let lead = magnitude[top].leading_zeros();
        let pair = u128::from(magnitude[top]) << 64 | u128::from(magnitude[top - 1]);
        let aligned = pair << lead;
        let rest = aligned as u64 != 0 || magnitude[..top - 1].iter().any(|&limb| limb != 0);
        let significand = ((aligned >> 64) as u64 | u64::from(rest)) as f64;
        (sign * significand, top as i32 * 64 - lead as i32)
    }
}

/// `value * 2^exponent`, rounded only where the result is subnormal or infinite.
pub(super) fn scale(mut value: f64, mut exponent: i32) -> f64 {
    const STEP: i32 = 1000;
    while exponent.abs() > STEP {
        value *= power(exponent.signum() * STEP);
        exponent -= exponent.signum() * STEP;
    }
    value * power(exponent)
}

/// `2^exponent` for exponents of normal numbers.
const fn power(exponent: i32) -> f64 {
    f64::from_bits(((1023 + exponent) as u64) << 52)
}

#[cfg(test)]
mod tests {
    // Every number here is exact: equal means equal.
    #![allow(clippy::float_cmp)]

    use proptest::prelude::*;

    use super::*;

    fn wide<const N: usize>(value: i128) -> Wide<N> {
        let magnitude = Wide::shifted(value.unsigned_abs(), 0);
        let mut signed = Wide::ZERO;
        if value < 0 {
            signed.subtract(&magnitude);
        } else {
            signed.add(&magnitude);
        }
        signed
    }

    proptest! {
        #[test]
        fn agrees_with_128_bit_arithmetic(a in any::<i64>(), b in any::<i64>(), shift in 0u32..60, factor in any::<u32>()) {
            let (a, b) = (i128::from(a) << shift, i128::from(b));
            let mut sum = wide::<4>(a);
            sum.add(&wide(b));
            prop_assert_eq!(sum, wide(a + b));
            sum.subtract(&wide(a));
            prop_assert_eq!(sum, wide(b));
            prop_assert_eq!(wide::<4>(b).squared(), wide(b * b));
            let magnitude = b.unsigned_abs() as i128;
            prop_assert_eq!(wide::<4>(magnitude).times(u64::from(factor)), wide(magnitude * i128::from(factor)));
        }

        #[test]
        fn rounds_as_the_hardware_does(value in any::<i128>(), narrow in 0u32..127) {
            let value = value >> narrow;
            let (significand, exponent) = wide::<4>(value).rounded();
            prop_assert_eq!(scale(significand, exponent), value as f64);
            let (significand, exponent) = Wide::<4>::shifted(value.unsigned_abs(), 70).rounded();
            prop_assert_eq!(scale(significand, exponent - 70), value.unsigned_abs() as f64);
        }
    }

    #[test]
    fn a_far_away_bit_breaks_a_tie() {
        let mut tie = Wide::<8>::shifted(1 << 53 | 1, 300);
        assert_eq!(scale(tie.rounded().0, tie.rounded().1 - 300), 9_007_199_254_740_992.0);
        tie.add(&Wide::shifted(1, 0));
        assert_eq!(scale(tie.rounded().0, tie.rounded().1 - 300), 9_007_199_254_740_994.0);
    }

    #[test]
    fn scales_to_both_ends_of_the_format() {
        assert_eq!(scale(1.0, -1074), f64::from_bits(1));
        assert_eq!(scale(1.0, 1024), f64::INFINITY);
        assert_eq!(scale(f64::from_bits(1), 1074), 1.0);
    }
}
