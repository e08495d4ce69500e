//! The registry that lives in the factory's own object store.
//!
//! Put-if-absent is its only tool: the record `registry/bundles/<id>/<version>.json` decides which bytes a
//! version has, and the event `registry/scopes/<scope>/events/<sequence>.json` decides who comes next. Whoever
//! loses a sequence number reads the history again and decides anew. Each event is signed, and the ledger anchors
//! the last: a history can be neither forged, nor edited, nor cut short by whoever writes to the store alone.

use std::{collections::BTreeSet, sync::Arc};

use contracts::{
    Checked, Code, Failure, Reference, Result,
    bundle::ModelBundle,
    governance_profile::GovernanceProfile,
    identity::ids::BundleId,
    lifecycle_event::{BundleState, LifecycleKind, RegistryLifecycleEvent},
    names::{ColumnName, Name, ObjectKey, Principal},
    publication::BundlePublication,
    resolution::BundleResolution,
    schema::SchemaVersion,
    scope::TargetScope,
    signature::Signature,
};

use super::{
    Act, Publication, Registry,
    history::{Entry, History},
    resolution,
    rules::permit,
};
use crate::{
    bundle::{self, Publishable},
    clock::Clock,
    failpoint::{self, Failpoint},
    keys::{self, Keys},
    ledger::{Anchor, Anchors},
    store::{self, Put, Store},
};

/// How often a lost sequence number is tried anew before `SCOPE_CONFLICT`.
const ATTEMPTS: usize = 16;

/// A registry in the factory's own store, which signs what it records.
#[derive(Clone)]
pub struct EmbeddedRegistry {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    keys: Arc<Keys>,
    anchors: Arc<dyn Anchors>,
}

impl EmbeddedRegistry {
    /// A registry in this store, whose histories end no earlier than these anchors say.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        keys: Arc<Keys>,
        anchors: Arc<dyn Anchors>,
    ) -> Self {
        Self { store, clock, keys, anchors }
    }

    /// Appends the event that `decide` makes of the history, or nothing where it says that all is done. The event's
    /// place, time and signature are filled in here.
    fn append(
        &self,
        scope: &TargetScope,
        decide: impl Fn(&History) -> Result<Option<RegistryLifecycleEvent>>,
    ) -> Result<Option<RegistryLifecycleEvent>> {
        for _ in 0..ATTEMPTS {
            let history = self.history(scope)?;
            // What a writer that died has appended counts from here on.
            self.anchor(scope, &history)?;
            let Some(draft) = decide(&history)? else { return Ok(None) };
            let event = self.keys.sign(RegistryLifecycleEvent {
                target_scope: scope.clone(),
                sequence: history.next_sequence(),
                previous: history.head(),
                recorded_at: self.clock.now(),
                ..draft
            })?;
            let key = event_key(scope, event.sequence)?;
            let put = self.store.put_if_absent(&key, event.bytes())?;
            // Where the answer to a put was lost, it was sent again, and met what it had written itself.
            if put == Put::Created || self.store.get(&key)?.is_some_and(|found| found == event.bytes()) {
                failpoint::hit(Failpoint::AfterLifecycleEvent)?;
                self.anchors.raise(scope, Anchor { sequence: event.sequence, event: event.digest() })?;
                return Ok(Some(event.into_inner()));
            }
        }
        Err(Failure::new(
            Code::ScopeConflict,
            format!("{scope} changed {ATTEMPTS} times while this was decided"),
        ))
    }

    fn anchor(&self, scope: &TargetScope, history: &History) -> Result<()> {
        let Some(event) = history.head() else { return Ok(()) };
        let anchor = Anchor { sequence: history.next_sequence() - 1, event };
        if self.anchors.anchor(scope)? == Some(anchor) { Ok(()) } else { self.anchors.raise(scope, anchor) }
    }

    /// A verb on one published bundle of a scope. Everything but a retirement needs the bundle whole.
    fn act(
        &self,
        scope: &TargetScope,
        bundle: &BundleId,
        act: &Act,
        kind: LifecycleKind,
        to: BundleState,
        check: impl Fn(&History) -> Result<()>,
    ) -> Result<RegistryLifecycleEvent> {
        let event = self.append(scope, |history| {
            check(history)?;
            let entry = history.entry(bundle).ok_or_else(|| {
                Failure::new(Code::BundleNotFound, format!("{bundle} is not published in this scope"))
            })?;
            let profile = self.profile(&entry)?;
            permit(kind, Some(&entry), &profile, &act.actor)?;
            if kind != LifecycleKind::BundleRetired {
                self.passed_bundle(&entry.published.bundle)?;
            }
            Ok(Some(RegistryLifecycleEvent {
                kind,
                from: Some(entry.state),
                to,
                actor: act.actor.clone(),
                requester: None,
                reason: act.reason.clone(),
                ..entry.published
            }))
        })?;
        event.ok_or_else(|| Failure::new(Code::InternalError, "a verb left no event"))
    }

    /// The profile that a bundle was judged by, which says who may do what to it.
    pub(super) fn profile(&self, entry: &Entry) -> Result<Checked<GovernanceProfile>> {
        store::read_document(&*self.store, &entry.published.governance_profile)
    }

    /// The bundle's document, with its publication, its model and its PASS checked: what must hold whenever it is
    /// named.
    pub(super) fn passed_bundle(&self, reference: &Reference<ModelBundle>) -> Result<Checked<ModelBundle>> {
        let (bundle, _) = bundle::read_passed(&*self.store, &self.keys, reference)?;
        if self.find(&bundle.bundle_id)? == *reference {
            return Ok(bundle);
        }
        let detail = format!("{} is published with other bytes", bundle.bundle_id);
        Err(Failure::new(Code::EvidenceDigestMismatch, detail))
    }
}

impl Registry for EmbeddedRegistry {
    fn publish(&self, publishable: &Publishable, requester: &Principal, act: &Act) -> Result<Publication> {
        let bundle = publishable.bundle();
        let profile = store::read_document(&*self.store, &bundle.governance_profile)?;
        permit(LifecycleKind::BundlePublished, None, &profile, &act.actor)?;
        let record = Checked::new(BundlePublication {
            schema_version: SchemaVersion::default(),
            bundle_id: bundle.bundle_id.clone(),
            bundle_version: bundle.bundle_version.clone(),
            bundle: publishable.reference().clone(),
            target_scope: bundle.target_scope.clone(),
            train_run_id: bundle.train_run_id.clone(),
        })?;
        let key = publication_key(&record)?;
        let created = self.store.get(&key)?.is_none();
        // A history that the ledger does not know gets no record, which would stand for good.
        self.append(&bundle.target_scope, |history| {
            store::write_document(&*self.store, &key, &record).map_err(|failure| match failure.code {
                Code::PublicationImmutabilityViolation => failure.with_code(Code::PublishConflict),
                _ => failure,
            })?;
            failpoint::hit(Failpoint::AfterPublication)?;
            if history.entry(&bundle.bundle_id).is_some() {
                return Ok(None);
            }
            Ok(Some(RegistryLifecycleEvent {
                schema_version: SchemaVersion::default(),
                target_scope: bundle.target_scope.clone(),
                sequence: history.next_sequence(),
                previous: history.head(),
                kind: LifecycleKind::BundlePublished,
                bundle_id: bundle.bundle_id.clone(),
                bundle_version: bundle.bundle_version.clone(),
                bundle: publishable.reference().clone(),
                gate_receipt: bundle.gate_receipt.clone(),
                governance_profile: bundle.governance_profile.clone(),
                from: None,
                to: BundleState::Published,
                actor: act.actor.clone(),
                requester: Some(requester.clone()),
                reason: act.reason.clone(),
                policy_revision: bundle.policy_revision.clone(),
                recorded_at: self.clock.now(),
                signature: Signature::missing(),
            }))
        })?;
        failpoint::hit(Failpoint::AfterPublishedEvent)?;
        let record = Reference { digest: record.digest(), uri: key };
        Ok(Publication { record, created })
    }

    fn approve(&self, scope: &TargetScope, bundle: &BundleId, act: &Act) -> Result<RegistryLifecycleEvent> {
        let (kind, to) = (LifecycleKind::BundleApproved, BundleState::Approved);
        self.act(scope, bundle, act, kind, to, |_| Ok(()))
    }

    fn promote(&self, scope: &TargetScope, bundle: &BundleId, act: &Act) -> Result<RegistryLifecycleEvent> {
        let (kind, to) = (LifecycleKind::BundlePromotedActive, BundleState::Active);
        let event = self.act(scope, bundle, act, kind, to, |_| Ok(()))?;
        failpoint::hit(Failpoint::AfterPromote)?;
        Ok(event)
    }

    fn roll_back(&self, scope: &TargetScope, act: &Act) -> Result<RegistryLifecycleEvent> {
        let seen = self.history(scope)?;
        let bundle = seen.before_active().ok_or_else(|| {
            Failure::new(Code::NoActiveBundle, format!("{scope} has no earlier bundle to return to"))
                .with_hint("A rollback returns to what was ACTIVE before; promote another bundle instead.")
        })?;
        let (kind, to) = (LifecycleKind::BundleRolledBack, BundleState::Active);
        self.act(scope, bundle, act, kind, to, |history| {
            // Where to return to was read off what was ACTIVE then: two who roll back at once mean one step.
            if history.head() == seen.head() {
                Ok(())
            } else {
                Err(Failure::new(Code::ScopeConflict, format!("{scope} changed while this was decided")))
            }
        })
    }

    fn retire(&self, scope: &TargetScope, bundle: &BundleId, act: &Act) -> Result<RegistryLifecycleEvent> {
        let (kind, to) = (LifecycleKind::BundleRetired, BundleState::Retired);
        self.act(scope, bundle, act, kind, to, |_| Ok(()))
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
        // Read first: whatever the anchor names was appended before.
        let anchor = self.anchors.anchor(scope)?;
        let mut history = History::default();
        for (index, key) in self.store.list(&scope_key(scope)?.join("events")?)?.objects()?.iter().enumerate()
        {
            let expected = event_key(scope, index as u64 + 1)?;
            let event = keys::find_signed::<RegistryLifecycleEvent>(&*self.store, &self.keys, &expected)?;
            let event = event.filter(|_| *key == expected).ok_or_else(|| missing(&expected))?;
            if event.target_scope != *scope {
                return Err(changed(&expected, "an event of this scope"));
            }
            history.push(event)?;
        }
        let Some(Anchor { sequence, event }) = anchor else {
            // A writer that died may have left one event without its anchor, and the next one anchors it first.
            return if history.events().len() < 2 { Ok(history) } else { Err(unanchored(scope)) };
        };
        let place = event_key(scope, sequence)?;
        match history.digest_at(sequence) {
            Some(digest) if digest == event => Ok(history),
            Some(_) => Err(changed(&place, "the event that was acknowledged")),
            None => Err(missing(&place)),
        }
    }

    fn scopes(&self) -> Result<Vec<TargetScope>> {
        let mut scopes: BTreeSet<_> = self.anchors.anchored()?.into_iter().collect();
        for key in self.store.list(&ObjectKey::new("registry/scopes")?)?.objects()? {
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
            scopes.insert(TargetScope {
                environment: Name::new(environment)?,
                mode: Name::new(mode)?,
                bundle_slot: Name::new(slot)?,
                tenant_id: tenant.map(Name::new).transpose()?,
            });
        }
        Ok(scopes.into_iter().collect())
    }

    fn find(&self, bundle: &BundleId) -> Result<Reference<ModelBundle>> {
        let keys = self.store.list(&ObjectKey::new(format!("registry/bundles/{bundle}"))?)?.objects()?;
        let key = keys
            .first()
            .ok_or_else(|| Failure::new(Code::BundleNotFound, format!("{bundle} is not published")))?;
        let record = store::find_document::<BundlePublication>(&*self.store, key)?
            .ok_or_else(|| Failure::at(Code::EvidenceUnresolved, key.as_str(), "a publication", "nothing"))?;
        if record.bundle_id != *bundle || *key != publication_key(&record)? {
            return Err(Failure::at(
                Code::EvidenceDigestMismatch,
                key.as_str(),
                "the record of its own bundle",
                "another's",
            ));
        }
        Ok(record.bundle.clone())
    }
}

fn missing(event: &ObjectKey) -> Failure {
    Failure::at(Code::EvidenceUnresolved, event.as_str(), "an event that was recorded", "nothing")
}

fn changed(event: &ObjectKey, expected: &str) -> Failure {
    Failure::at(Code::EvidenceDigestMismatch, event.as_str(), expected, "another event")
}

/// Where the record of a publication stands.
pub(crate) fn publication_key(record: &BundlePublication) -> Result<ObjectKey> {
    ObjectKey::new(format!("registry/bundles/{}/{}.json", record.bundle_id, record.bundle_version))
}

fn unanchored(scope: &TargetScope) -> Failure {
    Failure::at(Code::LedgerCorrupt, scope.to_string(), "an anchor of its history in the ledger", "none")
        .with_hint("The ledger was lost, replaced or edited: put the one back that belongs to these objects.")
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
