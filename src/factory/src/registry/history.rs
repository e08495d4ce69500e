//! A scope's events, folded into the state of its bundles.

use contracts::{
    Checked, Code, Digest, Failure, Result,
    identity::ids::BundleId,
    lifecycle_event::{BundleState, LifecycleKind, RegistryLifecycleEvent},
    names::Principal,
};

/// Events of one scope in their order, chained by digest.
#[derive(Debug, Clone, Default)]
pub struct History {
    events: Vec<RegistryLifecycleEvent>,
    head: Option<Digest<RegistryLifecycleEvent>>,
}

/// A bundle as its scope's history tells it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The event of its publication: where it stands, what its bytes are, who asked.
    pub published: RegistryLifecycleEvent,
    /// Its state now.
    pub state: BundleState,
    /// Who approved it.
    pub approver: Option<Principal>,
}

impl History {
    /// Takes the next event; refuses with `EVIDENCE_DIGEST_MISMATCH` one that does not follow.
    pub fn push(&mut self, event: Checked<RegistryLifecycleEvent>) -> Result<()> {
        let follows = event.sequence == self.next_sequence() && event.previous == self.head;
        if !follows {
            return Err(Failure::at(
                Code::EvidenceDigestMismatch,
                format!("{} event {}", event.target_scope, self.next_sequence()),
                "the event that follows the chain",
                "another event",
            ));
        }
        self.head = Some(event.digest());
        self.events.push(event.into_inner());
        Ok(())
    }

    /// The events, oldest first.
    pub fn events(&self) -> &[RegistryLifecycleEvent] {
        &self.events
    }

    /// Place that the next event takes.
    pub fn next_sequence(&self) -> u64 {
        self.events.len() as u64 + 1
    }

    /// Digest of the last event.
    pub fn head(&self) -> Option<Digest<RegistryLifecycleEvent>> {
        self.head
    }

    /// The event that made the ACTIVE bundle active, where there is one.
    pub fn active(&self) -> Option<&RegistryLifecycleEvent> {
        let latest = self.activations().next_back()?;
        let retired_since = self.events[latest.sequence as usize..]
            .iter()
            .any(|event| is_retirement_of(event, &latest.bundle_id));
        (!retired_since).then_some(latest)
    }

    /// Digest of the event at a place in the history.
    pub fn digest_at(&self, sequence: u64) -> Option<Digest<RegistryLifecycleEvent>> {
        match self.events.get(sequence as usize) {
            Some(next) => next.previous,
            None => (sequence + 1 == self.next_sequence()).then_some(self.head).flatten(),
        }
    }

    /// The bundle that was ACTIVE before the present one was promoted and is not retired. What was rolled back from
    /// is not returned to: that takes a promotion.
    pub fn before_active(&self) -> Option<&BundleId> {
        self.active()?;
        let mut serving: Vec<&BundleId> = Vec::new();
        for event in self.activations() {
            if event.kind == LifecycleKind::BundleRolledBack {
                let place = serving.iter().rposition(|bundle| **bundle == event.bundle_id)?;
                serving.truncate(place + 1);
            } else {
                serving.push(&event.bundle_id);
            }
        }
        let (present, before) = serving.split_last()?;
        before.iter().rev().copied().find(|bundle| {
            bundle != present && !self.events.iter().any(|event| is_retirement_of(event, bundle))
        })
    }

    /// A bundle as the history tells it; none that is not published in the scope.
    pub fn entry(&self, bundle: &BundleId) -> Option<Entry> {
        self.entry_before(bundle, self.next_sequence())
    }

    /// A bundle as the events before this place tell it.
    pub fn entry_before(&self, bundle: &BundleId, sequence: u64) -> Option<Entry> {
        let mut entry: Option<Entry> = None;
        for event in self.events.iter().take_while(|event| event.sequence < sequence) {
            let own = event.bundle_id == *bundle;
            match (&mut entry, own) {
                (None, true) if event.kind == LifecycleKind::BundlePublished => {
                    entry = Some(Entry { published: event.clone(), state: event.to, approver: None });
                }
                (Some(entry), true) => {
                    entry.state = event.to;
                    if event.kind == LifecycleKind::BundleApproved {
                        entry.approver = Some(event.actor.clone());
                    }
                }
                (Some(entry), false)
                    if entry.state == BundleState::Active && event.to == BundleState::Active =>
                {
                    entry.state = entry.resting_state();
                }
                _ => {}
            }
        }
        entry
    }

    fn activations(&self) -> impl DoubleEndedIterator<Item = &RegistryLifecycleEvent> {
        self.events.iter().filter(|event| event.to == BundleState::Active)
    }
}

impl Entry {
    /// State of the bundle when another one serves.
    fn resting_state(&self) -> BundleState {
        if self.approver.is_some() { BundleState::Approved } else { BundleState::Published }
    }
}

fn is_retirement_of(event: &RegistryLifecycleEvent, bundle: &BundleId) -> bool {
    event.kind == LifecycleKind::BundleRetired && event.bundle_id == *bundle
}
