//! The allocator, and how soon it gives back to the system what was freed.
//!
//! It keeps the pages of large vectors that come and go: taking each from the system anew costs a page fault for every
//! 4 KiB, which is a quarter of the time of a sweep over millions of rows. A build of a dataset works on little at a time
//! and promises to take little, so while one runs nothing is kept. Pages are never huge: each few rows of a column would
//! take one of 2 MiB.

#![allow(
    unsafe_code,
    reason = "a setting of the allocator is a number that any thread may write at any time"
)]

use std::{
    ffi::c_long,
    sync::{Mutex, PoisonError},
};

use libmimalloc_sys::{mi_option_get, mi_option_set, mi_option_t};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The number of mimalloc's setting `purge_delay`, which its bindings do not name: milliseconds.
const PURGE_DELAY: mi_option_t = 15;
/// Gives memory back as it is freed. Delays of 1 to 10 milliseconds took as much time, and memory by how fast the machine was.
const AT_ONCE: c_long = 0;

/// How many pieces of work are to take little memory just now, and the delay without them.
static SPARING: Mutex<(usize, c_long)> = Mutex::new((0, 0));

/// Does work that takes little memory: what it frees goes back to the system at once.
pub(crate) fn sparing<T>(work: impl FnOnce() -> T) -> T {
    let _while_it_runs = Sparing::start();
    work()
}

struct Sparing;

impl Sparing {
    fn start() -> Self {
        let mut sparing = SPARING.lock().unwrap_or_else(PoisonError::into_inner);
        if sparing.0 == 0 {
            // SAFETY: the setting exists; reading and writing it is atomic.
            unsafe {
                sparing.1 = mi_option_get(PURGE_DELAY);
                mi_option_set(PURGE_DELAY, sparing.1.min(AT_ONCE));
            }
        }
        sparing.0 += 1;
        Self
    }
}

impl Drop for Sparing {
    fn drop(&mut self) {
        let mut sparing = SPARING.lock().unwrap_or_else(PoisonError::into_inner);
        sparing.0 -= 1;
        if sparing.0 == 0 {
            // SAFETY: as above.
            unsafe { mi_option_set(PURGE_DELAY, sparing.1) };
        }
    }
}
