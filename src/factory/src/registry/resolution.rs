//! What serves a scope: its own ACTIVE bundle, else a wider scope's, else a named fallback, else nothing.

use contracts::{
    Code, Failure, Reference, Result,
    bundle::{InputColumn, ModelBundle},
    identity::ids::BundleId,
    lifecycle_event::{BundleState, RegistryLifecycleEvent},
    names::ColumnName,
    resolution::{BundleResolution, ResolutionOutcome},
    schema::SchemaVersion,
    scope::TargetScope,
};

use super::{EmbeddedRegistry, History, Registry, rules::require_approval};

enum Serving {
    Bundle(Box<RegistryLifecycleEvent>, History),
    Broken(Code),
    Nothing,
}

pub(super) fn resolve(
    registry: &EmbeddedRegistry,
    scope: &TargetScope,
    fallback: Option<&BundleId>,
    available: Option<&[ColumnName]>,
) -> Result<BundleResolution> {
    let mut reasons = Vec::new();
    let mut scopes = vec![scope.clone()];
    if scope.tenant_id.is_some() {
        scopes.push(scope.global());
    }
    for candidate in scopes {
        match serving(registry, &candidate, available)? {
            Serving::Bundle(event, history) => {
                return Ok(BundleResolution {
                    event: history.digest_at(event.sequence),
                    generation: Some(event.sequence),
                    policy_revision: Some(event.policy_revision),
                    bundle: Some(event.bundle),
                    bundle_id: Some(event.bundle_id),
                    bundle_version: Some(event.bundle_version),
                    resolved_scope: Some(candidate),
                    reason_codes: reasons,
                    ..unresolved(scope, ResolutionOutcome::Resolved)
                });
            }
            Serving::Nothing => reasons.push(Code::NoActiveBundle),
            Serving::Broken(code) => {
                reasons.push(code);
                break;
            }
        }
    }
    if let Some(fallback) = fallback {
        match fall_back(registry, scope, fallback, available) {
            Ok(resolution) => return Ok(BundleResolution { reason_codes: reasons, ..resolution }),
            Err(failure) => reasons.push(failure.code),
        }
    }
    Ok(BundleResolution { reason_codes: reasons, ..unresolved(scope, ResolutionOutcome::FailClosed) })
}

/// The scope's active bundle if it may serve, the code of why not otherwise.
fn serving(
    registry: &EmbeddedRegistry,
    scope: &TargetScope,
    available: Option<&[ColumnName]>,
) -> Result<Serving> {
    let history = registry.history(scope)?;
    let Some(event) = history.active() else { return Ok(Serving::Nothing) };
    match servable(registry, &event.bundle, available) {
        Ok(()) => Ok(Serving::Bundle(Box::new(event.clone()), history)),
        Err(failure) if failure.retryable() && failure.code != Code::EvidenceUnresolved => Err(failure),
        Err(failure) => Ok(Serving::Broken(failure.code)),
    }
}

fn servable(
    registry: &EmbeddedRegistry,
    reference: &Reference<ModelBundle>,
    available: Option<&[ColumnName]>,
) -> Result<()> {
    let bundle = registry.passed_bundle(reference)?;
    let missing = |column: &&InputColumn| available.is_some_and(|names| !names.contains(&column.name));
    match bundle.input_schema.iter().find(missing) {
        None => Ok(()),
        Some(column) => Err(Failure::at(
            Code::BundleIncompatible,
            column.name.as_str(),
            "among the features at hand",
            "nothing",
        )),
    }
}

fn fall_back(
    registry: &EmbeddedRegistry,
    scope: &TargetScope,
    bundle: &BundleId,
    available: Option<&[ColumnName]>,
) -> Result<BundleResolution> {
    let reference = registry.find(bundle)?;
    let document = registry.passed_bundle(&reference)?;
    if !may_stand_in(&document.target_scope, scope) {
        let detail = format!("{bundle} is for {}, not for {scope}", document.target_scope);
        return Err(Failure::new(Code::BundleIncompatible, detail));
    }
    let Some(entry) = registry.history(&document.target_scope)?.entry(bundle) else {
        return Err(Failure::new(Code::BundleNotFound, format!("{bundle} has no event")));
    };
    if entry.state == BundleState::Retired {
        return Err(Failure::new(Code::BundleRetired, format!("{bundle} is retired")));
    }
    let profile = registry.profile(&entry)?;
    require_approval(entry.approver.as_ref(), &profile)?;
    servable(registry, &reference, available)?;
    Ok(BundleResolution {
        resolved_scope: Some(document.target_scope.clone()),
        bundle_id: Some(bundle.clone()),
        bundle_version: Some(document.bundle_version.clone()),
        bundle: Some(reference),
        policy_revision: Some(document.policy_revision.clone()),
        ..unresolved(scope, ResolutionOutcome::SafeFallback)
    })
}

/// A fallback comes from the environment that asks, and from no other tenant.
fn may_stand_in(own: &TargetScope, asked: &TargetScope) -> bool {
    own.environment == asked.environment && (own.tenant_id.is_none() || own.tenant_id == asked.tenant_id)
}

fn unresolved(scope: &TargetScope, outcome: ResolutionOutcome) -> BundleResolution {
    BundleResolution {
        schema_version: SchemaVersion::default(),
        requested_scope: scope.clone(),
        resolved_scope: None,
        outcome,
        reason_codes: Vec::new(),
        bundle_id: None,
        bundle_version: None,
        bundle: None,
        generation: None,
        event: None,
        policy_revision: None,
    }
}
