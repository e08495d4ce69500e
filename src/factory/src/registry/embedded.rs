//! The registry that lives in the factory's own object store.
//!
//! Put-if-absent is its only tool: the record `registry/bundles/<id>/<version>.json` decides which bytes a
//! version has, and the event `registry/scopes/<scope>/events/<sequence>.json` decides who comes next. Whoever
//! loses a sequence number reads the history again and decides anew.

use std::sync::Arc;

use contracts::{
    Checked, Code, Failure, Reference, Result,
    bundle::ModelBundle,
    governance_profile::{Allowed, GovernanceProfile},
    identity::ids::BundleId,
    lifecycle_event::{BundleState, LifecycleKind, RegistryLifecycleEvent},
    names::{ColumnName, Name, ObjectKey},
    publication::BundlePublication,
    resolution::BundleResolution,
    schema::SchemaVersion,
    scope::TargetScope,
};

use super::{
    Act, Publication, Registry,
    history::{Entry, History},
    resolution,
};
use crate::{
    bundle::{self, Publishable},
    clock::Clock,
    failpoint::{self, Failpoint},
    store::{self, Put, Store},
};

/// How often a lost sequence number is tried anew before `SCOPE_CONFLICT`.
const ATTEMPTS: usize = 16;

/// A registry in the factory's own store.
#[derive(Clone)]
pub struct EmbeddedRegistry {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

/// An event before it has a place in the history.
struct Draft {
    kind: LifecycleKind,
    bundle_id: BundleId,
    from: Option<BundleState>,
    to: BundleState,
}

impl EmbeddedRegistry {
    /// A registry in this store.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Appends what `decide` makes of the history, or nothing where it says that all is done.
    fn append(
        &self,
        scope: &TargetScope,
        act: &Act,
        decide: impl Fn(&History) -> Result<Option<(Draft, Checked<ModelBundle>, Reference<ModelBundle>)>>,
    ) -> Result<Option<RegistryLifecycleEvent>> {
        for _ in 0..ATTEMPTS {
            let history = self.history(scope)?;
            let Some((draft, bundle, reference)) = decide(&history)? else { return Ok(None) };
            let event = Checked::new(RegistryLifecycleEvent {
                schema_version: SchemaVersion::default(),
                target_scope: scope.clone(),
                sequence: history.next_sequence(),
                previous: history.head(),
                kind: draft.kind,
                bundle_id: draft.bundle_id,
                bundle_version: bundle.bundle_version.clone(),
                bundle: reference,
                gate_receipt: bundle.gate_receipt.clone(),
                from: draft.from,
                to: draft.to,
                actor: act.actor.clone(),
                reason: act.reason.clone(),
                policy_revision: bundle.policy_revision.clone(),
                recorded_at: self.clock.now(),
            })?;
            if self.store.put_if_absent(&event_key(scope, event.sequence)?, event.bytes())? == Put::Created {
                return Ok(Some(event.into_inner()));
            }
        }
        Err(Failure::new(
            Code::ScopeConflict,
            format!("{scope} changed {ATTEMPTS} times while this was decided"),
        ))
    }

    /// A verb on one published bundle of a scope.
    fn act(
        &self,
        scope: &TargetScope,
        bundle: &BundleId,
        act: &Act,
        kind: LifecycleKind,
        to: BundleState,
        check: impl Fn(&History, &Entry, &GovernanceProfile) -> Result<()>,
    ) -> Result<RegistryLifecycleEvent> {
        let event = self.append(scope, act, |history| {
            let entry = history.entry(bundle)?;
            if entry.state == BundleState::Retired {
                return Err(Failure::new(Code::BundleRetired, format!("{bundle} is retired in {scope}")));
            }
            let document = self.passed_bundle(&entry.bundle)?;
            let profile = store::read_document(&*self.store, &document.governance_profile)?;
            check(history, &entry, &profile)?;
            let draft = Draft { kind, bundle_id: bundle.clone(), from: Some(entry.state), to };
            Ok(Some((draft, document, entry.bundle)))
        })?;
        event.ok_or_else(|| Failure::new(Code::InternalError, "a verb left no event"))
    }

    /// The bundle's document, with its model and its PASS checked: what must hold whenever it is named.
    pub(super) fn passed_bundle(&self, reference: &Reference<ModelBundle>) -> Result<Checked<ModelBundle>> {
        bundle::read_passed(&*self.store, reference).map(|(bundle, _)| bundle)
    }
}

impl Registry for EmbeddedRegistry {
    fn publish(&self, publishable: &Publishable, act: &Act) -> Result<Publication> {
        let bundle = publishable.bundle();
        let record = Checked::new(BundlePublication {
            schema_version: SchemaVersion::default(),
            bundle_id: bundle.bundle_id.clone(),
            bundle_version: bundle.bundle_version.clone(),
            bundle: publishable.reference().clone(),
            target_scope: bundle.target_scope.clone(),
            train_run_id: bundle.train_run_id.clone(),
        })?;
        let key =
            ObjectKey::new(format!("registry/bundles/{}/{}.json", bundle.bundle_id, bundle.bundle_version))?;
        let created = self.store.get(&key)?.is_none();
        let reference =
            store::write_document(&*self.store, &key, &record).map_err(|failure| match failure.code {
                Code::PublicationImmutabilityViolation => failure.with_code(Code::PublishConflict),
                _ => failure,
            })?;
        failpoint::hit(Failpoint::AfterPublication)?;
        self.append(&bundle.target_scope, act, |history| {
            if history.entry(&bundle.bundle_id).is_ok() {
                return Ok(None);
            }
            let draft = Draft {
                kind: LifecycleKind::BundlePublished,
                bundle_id: bundle.bundle_id.clone(),
                from: None,
                to: BundleState::Published,
            };
            Ok(Some((draft, bundle.clone(), publishable.reference().clone())))
        })?;
        failpoint::hit(Failpoint::AfterPublishedEvent)?;
        Ok(Publication { record: reference, created })
    }

    fn approve(&self, scope: &TargetScope, bundle: &BundleId, act: &Act) -> Result<RegistryLifecycleEvent> {
        self.act(
            scope,
            bundle,
            act,
            LifecycleKind::BundleApproved,
            BundleState::Approved,
            |_, entry, profile| {
                allow(&profile.roles.approve, act, "approve")?;
                if profile.four_eyes && entry.published.actor == act.actor {
                    return Err(four_eyes("the requester cannot approve"));
                }
                match entry.state {
                    BundleState::Active => {
                        Err(Failure::new(Code::InvalidTransition, "an ACTIVE bundle needs no approval"))
                    }
                    _ => Ok(()),
                }
            },
        )
    }

    fn promote(&self, scope: &TargetScope, bundle: &BundleId, act: &Act) -> Result<RegistryLifecycleEvent> {
        let event = self.act(
            scope,
            bundle,
            act,
            LifecycleKind::BundlePromotedActive,
            BundleState::Active,
            |_, entry, profile| {
                allow(&profile.roles.promote, act, "promote")?;
                match &entry.approver {
                    None if profile.approval_required || profile.four_eyes => Err(Failure::new(
                        Code::ApprovalMissing,
                        "the governance profile asks for an approval first",
                    )),
                    Some(approver) if profile.four_eyes && *approver == act.actor => {
                        Err(four_eyes("the approver cannot promote"))
                    }
                    _ if entry.state == BundleState::Active => {
                        Err(Failure::new(Code::InvalidTransition, "the bundle is ACTIVE already"))
                    }
                    _ => Ok(()),
                }
            },
        )?;
        failpoint::hit(Failpoint::AfterPromote)?;
        Ok(event)
    }

    fn roll_back(&self, scope: &TargetScope, act: &Act) -> Result<RegistryLifecycleEvent> {
        let seen = self.history(scope)?;
        let bundle = seen.before_active().ok_or_else(|| {
            Failure::new(Code::NoActiveBundle, format!("{scope} has no earlier bundle to return to"))
        })?;
        let (kind, to) = (LifecycleKind::BundleRolledBack, BundleState::Active);
        self.act(scope, bundle, act, kind, to, |history, _, profile| {
            allow(&profile.roles.promote, act, "roll back")?;
            // Where to return to was read off what was ACTIVE then: two who roll back at once mean one step.
            if history.head() == seen.head() {
                Ok(())
            } else {
                Err(Failure::new(Code::ScopeConflict, format!("{scope} changed while this was decided")))
            }
        })
    }

    fn retire(&self, scope: &TargetScope, bundle: &BundleId, act: &Act) -> Result<RegistryLifecycleEvent> {
        self.act(scope, bundle, act, LifecycleKind::BundleRetired, BundleState::Retired, |_, _, profile| {
            allow(&profile.roles.promote, act, "retire")
        })
    }

    fn resolve(
        &self,
        scope: &TargetScope,
        fallback: Option<&BundleId>,
        available: Option<&[ColumnName]>,
    ) -> Result<BundleResolution> {
        resolution::resolve(self, scope, fallback, available)
    }

    fn history(&self, scope: &TargetScope) -> Result<History> {
        let mut history = History::default();
        let keys = self.store.list(&scope_key(scope)?.join("events")?)?;
        for (index, key) in keys.iter().enumerate() {
            let expected = event_key(scope, index as u64 + 1)?;
            let bytes = self.store.get(&expected)?.filter(|_| *key == expected).ok_or_else(|| {
                Failure::at(
                    Code::EvidenceUnresolved,
                    expected.as_str(),
                    "an event without a gap before it",
                    "nothing",
                )
            })?;
            let event = Checked::<RegistryLifecycleEvent>::parse(&bytes)?;
            if event.bytes() != bytes || event.target_scope != *scope {
                return Err(Failure::at(
                    Code::EvidenceDigestMismatch,
                    expected.as_str(),
                    "an event of this scope as it was written",
                    "other bytes",
                ));
            }
            history.push(event)?;
        }
        Ok(history)
    }

    fn scopes(&self) -> Result<Vec<TargetScope>> {
        let mut scopes = Vec::new();
        for key in self.store.list(&ObjectKey::new("registry/scopes")?)? {
            let segments: Vec<_> = key.as_str().split('/').collect();
            let (environment, mode, slot, tenant) = match segments[..] {
                [_, _, environment, mode, slot, "global", "events", "00000001.json"] => {
                    (environment, mode, slot, None)
                }
                [_, _, environment, mode, slot, "tenant", tenant, "events", "00000001.json"] => {
                    (environment, mode, slot, Some(tenant))
                }
                _ => continue,
            };
            scopes.push(TargetScope {
                environment: Name::new(environment)?,
                mode: Name::new(mode)?,
                bundle_slot: Name::new(slot)?,
                tenant_id: tenant.map(Name::new).transpose()?,
            });
        }
        Ok(scopes)
    }

    fn find(&self, bundle: &BundleId) -> Result<Reference<ModelBundle>> {
        let keys = self.store.list(&ObjectKey::new(format!("registry/bundles/{bundle}"))?)?;
        let key = keys
            .first()
            .ok_or_else(|| Failure::new(Code::BundleNotFound, format!("{bundle} is not published")))?;
        let bytes = self
            .store
            .get(key)?
            .ok_or_else(|| Failure::at(Code::EvidenceUnresolved, key.as_str(), "a publication", "nothing"))?;
        let record = Checked::<BundlePublication>::parse(&bytes)?;
        let own = record.bytes() == bytes
            && record.bundle_id == *bundle
            && key.as_str().ends_with(&format!("/{}.json", record.bundle_version));
        if !own {
            return Err(Failure::at(
                Code::EvidenceDigestMismatch,
                key.as_str(),
                "the record of its own bundle, as it was written",
                "other bytes",
            ));
        }
        Ok(record.bundle.clone())
    }
}

fn allow(allowed: &Allowed, act: &Act, verb: &str) -> Result<()> {
    if allowed.allows(&act.actor) {
        return Ok(());
    }
    Err(Failure::new(Code::ActorNotAllowed, format!("the governance profile does not let this actor {verb}")))
}

fn four_eyes(detail: &str) -> Failure {
    Failure::new(Code::FourEyesViolation, detail)
}

fn scope_key(scope: &TargetScope) -> Result<ObjectKey> {
    let tenant =
        scope.tenant_id.as_ref().map_or_else(|| "global".to_owned(), |tenant| format!("tenant/{tenant}"));
    ObjectKey::new(format!(
        "registry/scopes/{}/{}/{}/{tenant}",
        scope.environment, scope.mode, scope.bundle_slot
    ))
}

fn event_key(scope: &TargetScope, sequence: u64) -> Result<ObjectKey> {
    scope_key(scope)?.join("events")?.join(&format!("{sequence:08}.json"))
}
