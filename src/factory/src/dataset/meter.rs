//! Rows done of rows to do, told to whoever watches.

use std::sync::atomic::{AtomicU64, Ordering};

use contracts::Result;
use kernels::Progress;

/// Counts work in rows.
pub(super) struct Meter<'a> {
    progress: &'a dyn Progress,
    done: AtomicU64,
    total: u64,
}

impl<'a> Meter<'a> {
    pub(super) fn new(progress: &'a dyn Progress, total: u64) -> Self {
        Self::after(0, progress, total)
    }

    /// Where so many rows are done.
    pub(super) fn after(done: u64, progress: &'a dyn Progress, total: u64) -> Self {
        Self { progress, done: AtomicU64::new(done), total }
    }

    /// Tells that `rows` more are done; an error says that the work should stop.
    pub(super) fn advance(&self, rows: u64) -> Result<()> {
        let done = self.done.fetch_add(rows, Ordering::Relaxed) + rows;
        self.progress.step(done.min(self.total), self.total)
    }
}
