//! The line with its capabilities, which a caller hands in.

use std::sync::Arc;

use contracts::Result;

use crate::{clock::Clock, founding, keys::Keys, ledger::Ledger, registry::Registry, store::Store};

/// Seconds that a claim holds a run without a sign of life.
pub(crate) const LEASE_SECONDS: u32 = 30;

/// The line with its capabilities.
#[derive(Clone)]
pub struct Line {
    /// Where objects stand.
    pub store: Arc<dyn Store>,
    /// What happened to runs.
    pub ledger: Arc<dyn Ledger>,
    /// What is published and ACTIVE.
    pub registry: Arc<dyn Registry>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Whose word counts.
    pub keys: Arc<Keys>,
}

impl Line {
    /// Refuses with `STORE_CORRUPT` objects that are not those of the ledger, or not any more.
    pub(crate) fn require_own_objects(&self) -> Result<()> {
        founding::require(&*self.store, &*self.ledger)
    }
}
