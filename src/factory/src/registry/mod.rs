//! The registry: the one authority on what is published and what is ACTIVE.
//!
//! ```text
//!   Publishable ──► publish ──► PUBLISHED ──► approve ──► promote ──► ACTIVE ──► roll back, retire
//!                                                                      │
//!                                      scope ──► resolve ──────────────┘
//! ```
//!
//! Invariants: a (bundle id, version) has at most one digest; each verb is one immutable event; a scope has at
//! most one ACTIVE bundle, whose generation only rises; only a bundle that passed its gate is ever named.

mod embedded;
mod history;
mod resolution;
mod rules;

use contracts::{
    Reference, Result,
    bundle::ModelBundle,
    identity::ids::BundleId,
    lifecycle_event::RegistryLifecycleEvent,
    names::{ColumnName, Principal},
    publication::BundlePublication,
    reason::Reason,
    resolution::BundleResolution,
    scope::TargetScope,
};

pub use embedded::EmbeddedRegistry;
pub(crate) use embedded::publication_key;
pub use history::{Entry, History};
pub(crate) use rules::permit;

use crate::bundle::Publishable;

/// Who acts, and why.
#[derive(Debug, Clone)]
pub struct Act {
    /// Who.
    pub actor: Principal,
    /// Why, in the actor's words.
    pub reason: String,
}

impl Act {
    /// An act of somebody, for a reason.
    pub fn new(actor: Principal, reason: Reason) -> Self {
        Self { actor, reason: reason.into() }
    }
}

/// What came of a publication.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The create-only record.
    pub record: Reference<BundlePublication>,
    /// Whether this call made it, or found it made by an earlier one.
    pub created: bool,
}

/// A model registry.
pub trait Registry: Send + Sync {
    /// Records the bundle as published, once. Refuses with `PUBLISH_CONFLICT` where its id and version are
    /// published with other bytes, with `PUBLISH_NOT_ALLOWED` an actor who may not, and with `REGISTRY_UNAVAILABLE`
    /// where the registry does not answer. The requester is who asked for the run that built the bundle.
    fn publish(&self, bundle: &Publishable, requester: &Principal, act: &Act) -> Result<Publication>;

    /// Vouches for a published bundle.
    fn approve(&self, scope: &TargetScope, bundle: &BundleId, act: &Act) -> Result<RegistryLifecycleEvent>;

    /// Makes a published bundle the ACTIVE one of its scope.
    fn promote(&self, scope: &TargetScope, bundle: &BundleId, act: &Act) -> Result<RegistryLifecycleEvent>;

    /// Makes the bundle that was ACTIVE before the present one ACTIVE again.
    fn roll_back(&self, scope: &TargetScope, act: &Act) -> Result<RegistryLifecycleEvent>;

    /// Takes a bundle out of service for good.
    fn retire(&self, scope: &TargetScope, bundle: &BundleId, act: &Act) -> Result<RegistryLifecycleEvent>;

    /// What serves the scope: its own ACTIVE bundle; for a tenant without one the bundle for all tenants; else
    /// the fallback that the caller names; else nothing. A bundle that is damaged, or that needs features which
    /// are not among `available`, does not serve and is not replaced by a wider scope's.
    fn resolve(
        &self,
        scope: &TargetScope,
        fallback: Option<&BundleId>,
        available: Option<&[ColumnName]>,
    ) -> Result<BundleResolution>;

    /// The scope's events, each signed by a trusted key, checked as a chain that ends no earlier than its anchor.
    fn history(&self, scope: &TargetScope) -> Result<History>;

    /// Every scope that has a history.
    fn scopes(&self) -> Result<Vec<TargetScope>>;

    /// The publication of a bundle, wherever it serves; refuses with `BUNDLE_NOT_FOUND`.
    fn find(&self, bundle: &BundleId) -> Result<Reference<ModelBundle>>;
}
