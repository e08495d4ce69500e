//! Asking for memory before it is read.
//!
//! Rows of a list lie far apart, and the machine does not foresee which are next; a list tells.
#![allow(unsafe_code, reason = "a hint of SSE, which is part of x86-64: it reads nothing and cannot fault")]
#![allow(clippy::inline_always, reason = "a call would cost more than the hint")]

/// Asks for the cache lines of the first and the last byte of what will be read soon.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn prefetch<T>(soon: &T) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

    let first = std::ptr::from_ref(soon).cast::<i8>();
    let last = first.wrapping_add(size_of::<T>().saturating_sub(1));
    // SAFETY: every x86-64 has SSE, and a hint is no access.
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(first);
        _mm_prefetch::<_MM_HINT_T0>(last);
    }
}

/// Does nothing where no hint is known.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(super) fn prefetch<T>(_soon: &T) {}
