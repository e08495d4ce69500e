//! Asking for memory before it is read.
//!
//! Rows of a list lie far apart, and the machine does not foresee which are next; a list tells.
#![allow(unsafe_code, reason = "a hint of SSE, which is part of x86-64: it reads nothing and cannot fault")]
#![allow(clippy::inline_always, reason = "a call would cost more than the hint")]

/// Asks for the cache line of what will be read soon.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn prefetch<T>(soon: &T) {
    // What is aligned to its size never stands in two lines.
    const { assert!(size_of::<T>() <= align_of::<T>()) };
    ask(std::ptr::from_ref(soon));
}

/// Asks for the cache line of what stands so many places after: past the end of a slice nothing is there, and
/// nothing happens.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn prefetch_after<T>(here: &T, places: usize) {
    ask(std::ptr::from_ref(here).wrapping_add(places));
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn ask<T>(address: *const T) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

    // SAFETY: every x86-64 has SSE, and a hint is no access.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
}

/// Does nothing where no hint is known.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(super) fn prefetch<T>(_soon: &T) {}

/// Does nothing where no hint is known.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(super) fn prefetch_after<T>(_here: &T, _places: usize) {}
