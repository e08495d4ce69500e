//! Exponential, logarithm and logistic function in our own arithmetic.
//!
//! Flows in: a number. Flows out: the same bits on every machine. The platform's libm differs between
//! systems and versions, so nothing that decides a split, a leaf or a score may call it. Only IEEE addition,
//! multiplication, division and bit patterns are used, never a fused multiply-add, and every choice is a
//! select, so that loops over slices vectorise;
//! and the functions that loops call are always inlined, so that they take their caller's instructions.
#![allow(clippy::inline_always, reason = "a loop compiled for wide instructions needs them inlined")]

/// 1.5 * 2^52: adding it rounds to the nearest whole number and leaves that number in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// ln 2 in two parts; the high one has 21 zero bits at its end, so that its products with an exponent are
/// exact.
const LN_2_HIGH: f64 = f64::from_bits(0x3FE6_2E42_FEE0_0000);
const LN_2_LOW: f64 = f64::from_bits(0x3DEA_39EF_3579_3C76);

/// 1/13!, 1/12!, ..., 1/2!: the truncated series errs by 4e-18 where |x| is at most ln(2) / 2.
const EXP_SERIES: [f64; 12] = [
    1.0 / 6_227_020_800.0,
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    0.5,
];

/// Coefficients of `log` in FDLIBM (Sun Microsystems, 1993; `e_log.c`), which errs by less than one ulp.
const LOG_SERIES: [f64; 7] = [
    f64::from_bits(0x3FC2_F112_DF3E_5244),
    f64::from_bits(0x3FC3_9A09_D078_C69F),
    f64::from_bits(0x3FC7_4664_96CB_03DE),
    f64::from_bits(0x3FCC_71C5_1D8E_78AF),
    f64::from_bits(0x3FD2_4924_9422_9359),
    f64::from_bits(0x3FD9_9999_9997_FA04),
    f64::from_bits(0x3FE5_5555_5555_5593),
];

/// e to the power `x`, within 2 ulp; zero below -746, infinite above 709.8, NaN for NaN.
#[inline(always)]
pub fn exp(x: f64) -> f64 {
    // Comparisons rather than `clamp`'s methods: NaN must pass through both.
    let x = if x > 710.0 { 710.0 } else { x };
    let x = if x < -746.0 { -746.0 } else { x };
    let exponent = (x * std::f64::consts::LOG2_E + ROUND) - ROUND;
    let rest = (x - exponent * LN_2_HIGH) - exponent * LN_2_LOW;
    let tail = EXP_SERIES.iter().fold(0.0, |sum, &term| sum * rest + term);
    let power = 1.0 + (rest + rest * rest * tail);
    // Two steps, because 2^exponent itself may be no normal number although the result is one.
    let half = (exponent * 0.5 + ROUND) - ROUND;
    power * power_of_two(half) * power_of_two(exponent - half)
}

/// 2^exponent for whole exponents in -1022..=1023.
#[inline(always)]
fn power_of_two(exponent: f64) -> f64 {
    f64::from_bits((exponent + ROUND).to_bits().wrapping_add(1023) << 52)
}

/// The natural logarithm, within 1 ulp; negative infinity for zero, NaN below.
#[inline(always)]
pub fn ln(x: f64) -> f64 {
    let tiny = x < f64::MIN_POSITIVE;
    let (scaled, shift) = if tiny { (x * 18_014_398_509_481_984.0, 54.0) } else { (x, 0.0) };
    // Adding the distance from sqrt(1/2) to 1 carries into the exponent for mantissas above sqrt(2).
    let bits = scaled.to_bits().wrapping_add(0x3FF0_0000_0000_0000 - 0x3FE6_A09E_0000_0000);
    let exponent = f64::from_bits(0x4330_0000_0000_0000 | bits >> 52) - 4_503_599_627_370_496.0;
    let exponent = (exponent - 1023.0) - shift;
    let mantissa = f64::from_bits((bits & 0x000F_FFFF_FFFF_FFFF).wrapping_add(0x3FE6_A09E_0000_0000));
    let f = mantissa - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let series = LOG_SERIES.iter().fold(0.0, |sum, &term| sum * z + term) * z;
    let half_square = 0.5 * f * f;
    let result =
        exponent * LN_2_HIGH - ((half_square - (s * (half_square + series) + exponent * LN_2_LOW)) - f);
    let result = if x == f64::INFINITY { x } else { result };
    let result = if x == 0.0 { f64::NEG_INFINITY } else { result };
    if x >= 0.0 { result } else { f64::NAN }
}

/// Scores up to which, either way, [`sigmoids_of_moderate`] may be asked: their exponentials are normal numbers.
pub const MODERATE: f64 = 700.0;

/// The bits of [`sigmoid`] of each number, all within [`MODERATE`] of zero, in fewer steps.
///
/// Each step is taken for all numbers before the next one: a number waits for its own last step, and meanwhile the
/// machine has others to work on.
#[inline(always)]
pub fn sigmoids_of_moderate<const COUNT: usize>(x: &[f64; COUNT]) -> [f64; COUNT] {
    let mut rounded = [0.0; COUNT];
    let mut rest = [0.0; COUNT];
    for ((rounded, rest), x) in rounded.iter_mut().zip(&mut rest).zip(x) {
        let x = -x.abs();
        *rounded = x * std::f64::consts::LOG2_E + ROUND;
        let exponent = *rounded - ROUND;
        *rest = (x - exponent * LN_2_HIGH) - exponent * LN_2_LOW;
    }
    let [first, terms @ ..] = EXP_SERIES;
    let mut results = [first; COUNT];
    for term in terms {
        for (tail, &rest) in results.iter_mut().zip(&rest) {
            *tail = *tail * rest + term;
        }
    }
    for (((result, rounded), rest), &x) in results.iter_mut().zip(rounded).zip(rest).zip(x) {
        let power = 1.0 + (rest + rest * rest * *result);
        // The whole number stands in the low bits already: added to the exponent it multiplies by its power of two.
        let e = f64::from_bits(power.to_bits().wrapping_add(rounded.to_bits() << 52));
        let numerator = if x < 0.0 { e } else { 1.0 };
        *result = numerator / (1.0 + e);
    }
    results
}

/// The logistic function `1 / (1 + e^-x)`, within 3 ulp.
#[inline(always)]
pub fn sigmoid(x: f64) -> f64 {
    // The exponential of a negative number never overflows, and keeps the smallest probabilities.
    let e = exp(-x.abs());
    let numerator = if x < 0.0 { e } else { 1.0 };
    numerator / (1.0 + e)
}

#[cfg(test)]
#[allow(clippy::float_cmp, clippy::disallowed_methods, reason = "libm is the oracle here")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Distance in representable numbers, for numbers of one sign.
    fn ulps(a: f64, b: f64) -> u64 {
        assert!(a.is_sign_negative() == b.is_sign_negative() || a == b, "{a:e} {b:e}");
        a.to_bits().abs_diff(b.to_bits())
    }

    #[test]
    fn a_sweep_of_exp_stays_within_two_ulp() {
        for step in -7_600_000..7_200_000 {
            let x = f64::from(step) * 1.000_123e-4;
            assert!(ulps(exp(x), x.exp()) <= 2, "{x} {:e} {:e}", exp(x), x.exp());
        }
    }

    #[test]
    fn edges() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!(exp(f64::INFINITY), f64::INFINITY);
        assert_eq!(exp(f64::NEG_INFINITY), 0.0);
        assert_eq!(exp(709.79), f64::INFINITY);
        assert!(exp(709.78).is_finite());
        assert_eq!(exp(-745.2), 0.0);
        assert_eq!(exp(-745.13), 5e-324);
        assert!(exp(f64::NAN).is_nan());
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(ln(0.0), f64::NEG_INFINITY);
        assert_eq!(ln(-0.0), f64::NEG_INFINITY);
        assert_eq!(ln(f64::INFINITY), f64::INFINITY);
        assert!(ln(-1.0).is_nan() && ln(f64::NEG_INFINITY).is_nan() && ln(f64::NAN).is_nan());
        assert!(ulps(ln(5e-324), 5e-324_f64.ln()) <= 1);
        assert_eq!(sigmoid(0.0), 0.5);
        assert_eq!(sigmoid(f64::INFINITY), 1.0);
        assert_eq!(sigmoid(f64::NEG_INFINITY), 0.0);
        assert!(sigmoid(-740.0) > 0.0 && sigmoid(f64::NAN).is_nan());
        for x in [0.0, -0.0, 5e-324, 0.5, MODERATE, -MODERATE] {
            assert_eq!(sigmoids_of_moderate(&[x]).map(f64::to_bits), [sigmoid(x).to_bits()]);
        }
    }

    /// Bits that every platform must give.
    #[test]
    fn known_bits() {
        let mut digest = 0_u64;
        for step in -1_000..1_000 {
            let x = f64::from(step) * 0.731;
            for value in [exp(x), ln(x.abs()), sigmoid(x)] {
                digest = digest.wrapping_mul(0x0000_0100_0000_01B3) ^ value.to_bits();
            }
        }
        assert_eq!(digest, 0x4ec6_6793_b96a_8c05, "{digest:#x}");
    }

    proptest! {
        #[test]
        fn exp_agrees_with_std(x in -746.0..711.0_f64) {
            prop_assert!(ulps(exp(x), x.exp()) <= 2);
        }

        #[test]
        fn exp_of_any_bits_agrees_with_std(bits in any::<u64>()) {
            let x = f64::from_bits(bits);
            prop_assert!(x.is_nan() || ulps(exp(x), x.exp()) <= 2);
        }

        #[test]
        fn ln_agrees_with_std(bits in 0..=f64::INFINITY.to_bits()) {
            let x = f64::from_bits(bits);
            prop_assert!(ulps(ln(x), x.ln()) <= 2, "{:e}", x);
        }

        #[test]
        fn ln_agrees_with_std_near_one(x in 0.5..2.0_f64) {
            prop_assert!(ulps(ln(x), x.ln()) <= 2, "{:e}", x);
        }

        #[test]
        fn moderate_scores_have_the_same_bits(x in prop_oneof![-MODERATE..=MODERATE, -9.0..9.0_f64]) {
            prop_assert_eq!(sigmoids_of_moderate(&[x, -x]).map(f64::to_bits), [x, -x].map(|x| sigmoid(x).to_bits()));
        }

        #[test]
        fn sigmoid_agrees_with_std(x in -745.0..745.0_f64) {
            let expected = if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) };
            prop_assert!(ulps(sigmoid(x), expected) <= 4, "{}", x);
        }
    }
}
