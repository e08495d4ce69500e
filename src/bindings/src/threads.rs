//! How many threads a call may use, and whose.
//!
//! Threads stay behind when a process forks: in the child the process-wide pool is a queue that nobody serves. Whoever may
//! use a pool asks here, so that a child of a process that used it computes on threads of its own. What does not depend on
//! their number does not depend on whose they are either.

use std::{
    num::NonZeroUsize,
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use contracts::{Code, Failure, Result};
use kernels::ensemble::ROWS_ALONE;
use pyo3::Python;

/// A number of threads; none leaves it to the process-wide pool, which has one for each core.
pub(crate) type Threads = Option<NonZeroUsize>;

/// The process that used the process-wide pool first, and has its threads; 0, which is nobody's, before that.
static HOME: AtomicU32 = AtomicU32::new(0);

/// The same number, but none only where the process-wide pool has its threads: in a fork of the process that has them it
/// is as many again.
pub(crate) fn at_hand(threads: Threads) -> Threads {
    let own = process::id();
    let home =
        HOME.compare_exchange(0, own, Ordering::Relaxed, Ordering::Relaxed).unwrap_or_else(|home| home);
    if threads.is_some() || home == 0 || home == own {
        return threads;
    }
    NonZeroUsize::new(rayon::current_num_threads())
}

/// Runs the work on so many threads of its own. Refuses with `RESOURCE_EXHAUSTED` where there are none to have.
pub(crate) fn on<T: Send>(threads: Threads, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let Some(threads) = at_hand(threads) else { return work() };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build().map_err(|_| {
        Failure::at(Code::ResourceExhausted, "threads", "so many threads", "a system that gives fewer")
    })?;
    pool.install(work)
}

/// Runs what scores so many rows: where no other thread would help, without asking for any, and a single row,
/// which is over before another thread of Python could start, without letting go of the interpreter.
pub(crate) fn alone_or_on<T: Send>(
    py: Python<'_>,
    threads: Threads,
    rows: usize,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    match rows {
        0..=1 => work(),
        2..=ROWS_ALONE => py.detach(work),
        _ => py.detach(|| on(threads, work)),
    }
}
