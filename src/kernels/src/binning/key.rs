//! Numbers as integers of the same order.

/// A number whose order among keys is that of `value` among values.
#[inline]
pub(super) fn key(value: f64) -> u64 {
    // Adding zero turns -0.0 into 0.0, the two being one value.
    let bits = (value + 0.0).to_bits();
    bits ^ ((bits as i64 >> 63) as u64 | 1 << 63)
}

/// The value that a key stands for.
pub(super) fn value(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key ^ 1 << 63 } else { !key })
}
