//! Whether a process may work with SQLite at all.
//!
//! SQLite has locks within a process, for memory that all connections share. A fork inherits those that other threads held in
//! that moment, and nobody ever gives them back there: then it has to leave SQLite alone, for good.

use std::{
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use contracts::{Code, Failure, Result};

/// The process that works with SQLite, above [`THREADS`], and how many of its threads do: a fork finds both as they were in
/// the moment of the fork.
static AT_WORK: AtomicU64 = AtomicU64::new(0);

/// The bits of [`AT_WORK`] that count threads.
const THREADS: u64 = u32::MAX as u64;

/// A thread's work with SQLite: whoever opens, uses or closes a connection has one meanwhile.
pub(super) struct AtWork(());

impl AtWork {
    /// Begins it; refuses in a process that was forked while another thread was at work.
    pub(super) fn begin() -> Result<Self> {
        let this = u64::from(process::id()) << THREADS.count_ones();
        let one_more = |before: u64| match (before & !THREADS == this, before & THREADS) {
            (true, _) => Some(before + 1),
            (false, 0) => Some(this + 1),
            (false, _) => None,
        };
        let begun = AT_WORK.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        begun.map(|_| Self(())).map_err(|_| at_work())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.fetch_sub(1, Ordering::AcqRel);
    }
}

fn at_work() -> Failure {
    let detail = "the process that forked this one was at work with a ledger at that moment";
    Failure::new(Code::LedgerUnavailable, detail)
        .with_hint("Fork while no other thread is at work, or start processes by spawn or forkserver.")
        .lasting()
}
