//! The allocator, in which pages it asks for memory, and how soon it gives back what was freed.
//!
//! It keeps the pages of large vectors that come and go, and where the system has huge pages to give it asks for them: taking
//! each page of 4 KiB anew costs a fault, which is a third of the time of a sweep over millions of rows. A build of a dataset
//! works on little at a time and promises to take little, so while one runs nothing is kept; and nothing small is in a huge
//! page, since each few rows of a column would take one of 2 MiB.

#![allow(unsafe_code, reason = "an allocator is unsafe by its trait, and its settings are functions of C")]

use std::{
    alloc::{GlobalAlloc, Layout},
    ffi::c_long,
    sync::{Mutex, PoisonError},
};

use libmimalloc_sys::{mi_option_get, mi_option_set, mi_option_t};
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// What huge pages are asked for: at least one of them is whole in it.
const LARGE: usize = 2 * HUGE_PAGE;
const HUGE_PAGE: usize = 1 << 21;

/// mimalloc, with advice to the system about what is large.
struct Allocator;

// SAFETY: all memory is mimalloc's, by its own functions; advice changes nothing of what memory holds.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        let memory = unsafe { MiMalloc.alloc(layout) };
        advise(memory, layout.size(), Pages::Huge);
        memory
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        let memory = unsafe { MiMalloc.alloc_zeroed(layout) };
        advise(memory, layout.size(), Pages::Huge);
        memory
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size < LARGE || size <= layout.size() {
            // SAFETY: as the caller promises.
            return unsafe { MiMalloc.realloc(memory, layout, size) };
        }
        // What grows into the large is asked for before anything is copied there.
        // SAFETY: a size that the caller promises to be one of this alignment; both are as long as what is copied.
        unsafe {
            let grown = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !grown.is_null() {
                grown.copy_from_nonoverlapping(memory, layout.size());
                self.dealloc(memory, layout);
            }
            grown
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // Whatever small comes into its place is to be in small pages.
        advise(memory, layout.size(), Pages::Small);
        // SAFETY: as the caller promises.
        unsafe { MiMalloc.dealloc(memory, layout) }
    }
}

/// In which pages memory is to be.
#[derive(Clone, Copy)]
enum Pages {
    Huge,
    Small,
}

/// Tells the system in which pages what is large is to be, as far as huge pages are whole in it. A system that has none, or does
/// not listen, changes nothing.
#[inline]
fn advise(memory: *mut u8, size: usize, pages: Pages) {
    if size >= LARGE && !memory.is_null() {
        advise_large(memory, size, pages);
    }
}

#[cold]
#[cfg(target_os = "linux")]
fn advise_large(memory: *mut u8, size: usize, pages: Pages) {
    let before = memory.align_offset(HUGE_PAGE);
    let length = (size - before) / HUGE_PAGE * HUGE_PAGE;
    let advice = match pages {
        Pages::Huge => libc::MADV_HUGEPAGE,
        Pages::Small => libc::MADV_NOHUGEPAGE,
    };
    // SAFETY: the range is within what was allocated, and the advice is not about what it holds.
    unsafe {
        libc::madvise(memory.add(before).cast(), length, advice);
    }
}

#[cold]
#[cfg(not(target_os = "linux"))]
fn advise_large(_: *mut u8, _: usize, _: Pages) {}

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
