//! The registry: what is published, what is ACTIVE, and the verbs that change it.

use contracts::{
    Code, Failure,
    identity::ids::BundleId,
    lifecycle_event::RegistryLifecycleEvent,
    names::{ColumnName, Principal},
    reason::Reason,
    scope::TargetScope,
};
use factory::{
    Factory,
    registry::{Act, Registry},
};
use pyo3::prelude::*;

use crate::{failure::Result, json::json, parsed::Parsed};

/// A registry; every verb gives the event that it recorded, as JSON text.
#[pyclass(frozen, module = "model_factory._native", name = "Registry")]
pub(crate) struct PyRegistry(Factory);

#[pymethods]
impl PyRegistry {
    /// Vouches for a published bundle.
    fn approve(
        &self,
        py: Python<'_>,
        scope: Parsed<TargetScope>,
        bundle: Parsed<BundleId>,
        actor: Parsed<Principal>,
        reason: Parsed<Reason>,
    ) -> Result<String> {
        self.act(py, actor, reason, |registry, act| registry.approve(&scope.0, &bundle.0, act))
    }

    /// Makes a published bundle the ACTIVE one of its scope.
    fn promote(
        &self,
        py: Python<'_>,
        scope: Parsed<TargetScope>,
        bundle: Parsed<BundleId>,
        actor: Parsed<Principal>,
        reason: Parsed<Reason>,
    ) -> Result<String> {
        self.act(py, actor, reason, |registry, act| registry.promote(&scope.0, &bundle.0, act))
    }

    /// Takes a bundle out of service for good.
    fn retire(
        &self,
        py: Python<'_>,
        scope: Parsed<TargetScope>,
        bundle: Parsed<BundleId>,
        actor: Parsed<Principal>,
        reason: Parsed<Reason>,
    ) -> Result<String> {
        self.act(py, actor, reason, |registry, act| registry.retire(&scope.0, &bundle.0, act))
    }

    /// Makes the bundle that was ACTIVE before the present one ACTIVE again.
    fn rollback(
        &self,
        py: Python<'_>,
        scope: Parsed<TargetScope>,
        actor: Parsed<Principal>,
        reason: Parsed<Reason>,
    ) -> Result<String> {
        self.act(py, actor, reason, |registry, act| registry.roll_back(&scope.0, act))
    }

    /// The scope's events, checked as a chain, oldest first.
    fn history(&self, py: Python<'_>, scope: Parsed<TargetScope>) -> Result<Vec<String>> {
        let events = py.detach(|| {
            let history = self.0.line().registry.history(&scope.0)?;
            history.events().iter().map(json).collect::<contracts::Result<_>>()
        })?;
        Ok(events)
    }

    /// Where a published bundle stands and what its bytes are.
    fn find(&self, py: Python<'_>, bundle: Parsed<BundleId>) -> Result<String> {
        Ok(py.detach(|| json(&self.0.line().registry.find(&bundle.0)?))?)
    }

    /// What serves a scope.
    #[pyo3(signature = (scope, fallback = None, available = None))]
    fn resolve(
        &self,
        py: Python<'_>,
        scope: Parsed<TargetScope>,
        fallback: Option<Parsed<BundleId>>,
        available: Option<Vec<String>>,
    ) -> Result<String> {
        let fallback = fallback.map(|bundle| bundle.0);
        let available = available.map(|names| columns(&names)).transpose()?;
        Ok(py.detach(|| json(&self.0.resolve(&scope.0, fallback.as_ref(), available.as_deref())?))?)
    }
}

impl PyRegistry {
    pub(crate) const fn of(factory: Factory) -> Self {
        Self(factory)
    }

    fn act(
        &self,
        py: Python<'_>,
        actor: Parsed<Principal>,
        reason: Parsed<Reason>,
        verb: impl FnOnce(&dyn Registry, &Act) -> contracts::Result<RegistryLifecycleEvent> + Send,
    ) -> Result<String> {
        let act = Act::new(actor.0, reason.0);
        Ok(py.detach(|| json(&verb(&*self.0.line().registry, &act)?))?)
    }
}

/// Names of columns, each refused at its place in the list.
fn columns(names: &[String]) -> contracts::Result<Vec<ColumnName>> {
    let column = |(place, name): (usize, &String)| {
        let of_argument = |failure: Failure| failure.with_code(Code::ParameterInvalid);
        name.parse().map_err(|failure| of_argument(failure).with_place(format!("available/{place}")))
    };
    names.iter().enumerate().map(column).collect()
}
