//! How many threads a call may use.

use std::num::NonZeroUsize;

use contracts::{Code, Failure, Result};
use kernels::ensemble::ROWS_ALONE;
use pyo3::Python;

/// A number of threads; none leaves it to the process-wide pool, which has one for each core.
pub(crate) type Threads = Option<NonZeroUsize>;

/// Runs the work on so many threads of its own. Refuses with `RESOURCE_EXHAUSTED` where there are none to have.
pub(crate) fn on<T: Send>(threads: Threads, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let Some(threads) = threads else { return work() };
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
