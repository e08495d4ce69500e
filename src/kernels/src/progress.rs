//! How a kernel tells that it is alive, and hears that it should stop.

use contracts::Result;

/// Receives progress from long work; an error stops the work and is passed on.
pub trait Progress: Sync {
    /// `done` of `total` steps are behind us.
    fn step(&self, done: u64, total: u64) -> Result<()>;
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _done: u64, _total: u64) -> Result<()> {
        Ok(())
    }
}
