//! How many threads a call may use.

use std::num::NonZeroUsize;

use contracts::{Code, Failure, Result};

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
