//! Where the registry's histories end, kept outside of the store that holds them.
//!
//! An event cannot be forged or edited, since it is signed, and one in the middle cannot be left out, since the next
//! names it. The last could still be taken away, and with it a promotion or a retirement. The anchor is what shows
//! that: it is raised after each event, so that at worst it lags behind by the event of a writer that died.

use contracts::{
    Code, Digest, Failure, Result, identity::recipe, lifecycle_event::RegistryLifecycleEvent,
    scope::TargetScope,
};
use serde::Serialize;

/// The last event of a history that is known to have been acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// Its place in the history, from 1.
    pub sequence: u64,
    /// Its digest.
    pub event: Digest<RegistryLifecycleEvent>,
}

/// Holds the anchor of each scope. Every write is one durable transaction.
pub trait Anchors: Send + Sync {
    /// The anchor of a scope; none before its first event.
    fn anchor(&self, scope: &TargetScope) -> Result<Option<Anchor>>;

    /// Raises the anchor of a scope; one that is as high already stays as it is.
    fn raise(&self, scope: &TargetScope, anchor: Anchor) -> Result<()>;

    /// Every scope that has an anchor.
    fn anchored(&self) -> Result<Vec<TargetScope>>;
}

/// An anchor as its row has it.
#[derive(Debug, Serialize)]
pub(super) struct AnchorRow {
    pub(super) scope: String,
    pub(super) sequence: u64,
    pub(super) event: String,
}

impl AnchorRow {
    pub(super) fn new(scope: &TargetScope, anchor: Anchor) -> Self {
        Self { scope: scope.to_string(), sequence: anchor.sequence, event: anchor.event.to_string() }
    }

    /// Digest of the whole row: the recipe `ledger_anchor.v1`.
    pub(super) fn digest(&self) -> Result<Digest<Self>> {
        recipe::derive("ledger_anchor.v1", self)
    }

    pub(super) fn anchor(&self) -> Result<Anchor> {
        let event = self
            .event
            .parse()
            .map_err(|_| Failure::new(Code::LedgerCorrupt, "the anchor of a scope does not name an event"))?;
        Ok(Anchor { sequence: self.sequence, event })
    }
}
