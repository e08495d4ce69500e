//! The memory of the process: pages of large vectors that come and go are kept, and large where the system has such.
//!
//! Taking a page from the system anew costs a fault and its clearing for every 4 KiB, which was a quarter of the time of
//! a sweep over millions of rows, and more where a virtual machine gives its free pages back. Nothing that is computed
//! depends on it. `MIMALLOC_PURGE_DELAY` and `MIMALLOC_ALLOW_LARGE_OS_PAGES` say otherwise.

#![allow(
    unsafe_code,
    reason = "the allocator's options are set by calls into C, before anything is allocated"
)]

#[cfg(target_os = "linux")]
use libmimalloc_sys::{mi_option_large_os_pages, mi_option_set_default, mi_option_t};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The option `purge_delay`, which the crate has no name for: how long freed pages are kept, in milliseconds.
#[cfg(target_os = "linux")]
const PURGE_DELAY: mi_option_t = 15;
/// Long enough for the next call of a program or of a person at a notebook.
#[cfg(target_os = "linux")]
const KEPT: std::ffi::c_long = 10_000;

/// Run as the library is loaded: the first allocation already reserves the room that the options are about.
#[cfg(target_os = "linux")]
#[used]
// SAFETY: the section holds pointers to functions of this form, which the loader calls once.
#[unsafe(link_section = ".init_array")]
static SET: extern "C" fn() = set;

#[cfg(target_os = "linux")]
extern "C" fn set() {
    // SAFETY: both are options of the allocator that is linked in, and what they are set to is in range.
    unsafe {
        mi_option_set_default(PURGE_DELAY, KEPT);
        mi_option_set_default(mi_option_large_os_pages, 1);
    }
}
