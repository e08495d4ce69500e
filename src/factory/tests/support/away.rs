//! Stores and registries that are away, and watchers that stop the work.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use contracts::{
    Code, Failure, Reference, Result,
    bundle::ModelBundle,
    identity::ids::BundleId,
    lifecycle_event::RegistryLifecycleEvent,
    names::{ColumnName, ObjectKey, Principal},
    publication::BundlePublication,
    resolution::BundleResolution,
    scope::TargetScope,
};
use factory::{
    bundle::Publishable,
    registry::{Act, History, Publication, Registry},
    store::{Listing, Put, Store},
    watch::{Stage, Watch},
};
use kernels::Progress;

/// A store whose writes to some keys fail, so many times.
pub struct AwayStore {
    pub inner: Arc<dyn Store>,
    pub part: &'static str,
    pub code: Code,
    pub times: AtomicUsize,
}

impl AwayStore {
    pub fn new(inner: &Arc<dyn Store>, part: &'static str, code: Code, times: usize) -> Arc<Self> {
        Arc::new(Self { inner: Arc::clone(inner), part, code, times: AtomicUsize::new(times) })
    }
}

fn count_down(times: &AtomicUsize) -> bool {
    times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

impl Store for AwayStore {
    fn put_if_absent(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put> {
        if key.as_str().contains(self.part) && count_down(&self.times) {
            return Err(Failure::new(self.code, format!("{key}: the store is away")));
        }
        self.inner.put_if_absent(key, bytes)
    }

    fn get(&self, key: &ObjectKey) -> Result<Option<Vec<u8>>> {
        self.inner.get(key)
    }

    fn list(&self, prefix: &ObjectKey) -> Result<Listing> {
        self.inner.list(prefix)
    }
}

/// A store in which somebody else always takes the next place in a scope's history.
pub struct OvertakingStore(pub Arc<dyn Store>);

impl Store for OvertakingStore {
    fn put_if_absent(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put> {
        if key.as_str().contains("/events/") { Ok(Put::Exists) } else { self.0.put_if_absent(key, bytes) }
    }

    fn get(&self, key: &ObjectKey) -> Result<Option<Vec<u8>>> {
        self.0.get(key)
    }

    fn list(&self, prefix: &ObjectKey) -> Result<Listing> {
        self.0.list(prefix)
    }
}

/// A store that loses its answers to puts of events: a put is sent again, and meets what it wrote the first time.
pub struct DeafStore(pub Arc<dyn Store>);

impl Store for DeafStore {
    fn put_if_absent(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put> {
        let put = self.0.put_if_absent(key, bytes)?;
        Ok(if key.as_str().contains("/events/") { Put::Exists } else { put })
    }

    fn get(&self, key: &ObjectKey) -> Result<Option<Vec<u8>>> {
        self.0.get(key)
    }

    fn list(&self, prefix: &ObjectKey) -> Result<Listing> {
        self.0.list(prefix)
    }
}

/// A store in which something happens just before an object is written whose key has this part.
pub struct InterruptedStore {
    pub inner: Arc<dyn Store>,
    pub part: &'static str,
    pub first: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Store for InterruptedStore {
    fn put_if_absent(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put> {
        let first = if key.as_str().contains(self.part) { self.first.lock().unwrap().take() } else { None };
        if let Some(happen) = first {
            happen();
        }
        self.inner.put_if_absent(key, bytes)
    }

    fn get(&self, key: &ObjectKey) -> Result<Option<Vec<u8>>> {
        self.inner.get(key)
    }

    fn list(&self, prefix: &ObjectKey) -> Result<Listing> {
        self.inner.list(prefix)
    }
}

/// A store that counts how many bytes of each object were read.
pub struct CountingStore {
    pub inner: Arc<dyn Store>,
    pub read: Mutex<BTreeMap<ObjectKey, u64>>,
}

impl CountingStore {
    fn count(&self, key: &ObjectKey, bytes: &[u8]) {
        *self.read.lock().unwrap().entry(key.clone()).or_default() += bytes.len() as u64;
    }
}

impl Store for CountingStore {
    fn put_if_absent(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put> {
        self.inner.put_if_absent(key, bytes)
    }

    fn get(&self, key: &ObjectKey) -> Result<Option<Vec<u8>>> {
        let found = self.inner.get(key)?;
        if let Some(bytes) = &found {
            self.count(key, bytes);
        }
        Ok(found)
    }

    fn pass(&self, key: &ObjectKey, take: &mut dyn FnMut(&[u8])) -> Result<bool> {
        self.inner.pass(key, &mut |piece| {
            self.count(key, piece);
            take(piece);
        })
    }

    fn list(&self, prefix: &ObjectKey) -> Result<Listing> {
        self.inner.list(prefix)
    }
}

/// What a registry does with a publication.
pub enum Answer {
    /// It does not answer, so many times.
    Away(AtomicUsize),
    /// It publishes, and the answer is lost.
    Lost(AtomicUsize),
    /// It answers with the record of another bundle.
    Other(Reference<BundlePublication>),
}

/// A registry that publishes in a strange way; everything else goes through.
pub struct StrangeRegistry {
    pub inner: Arc<dyn Registry>,
    pub answer: Answer,
}

impl Registry for StrangeRegistry {
    fn publish(&self, bundle: &Publishable, requester: &Principal, act: &Act) -> Result<Publication> {
        let away = || Failure::new(Code::RegistryUnavailable, "the registry does not answer");
        match &self.answer {
            Answer::Away(times) if count_down(times) => Err(away()),
            Answer::Lost(times) if count_down(times) => {
                self.inner.publish(bundle, requester, act)?;
                Err(away())
            }
            Answer::Other(record) => Ok(Publication { record: record.clone(), created: true }),
            _ => self.inner.publish(bundle, requester, act),
        }
    }

    fn approve(&self, scope: &TargetScope, bundle: &BundleId, act: &Act) -> Result<RegistryLifecycleEvent> {
        self.inner.approve(scope, bundle, act)
    }

    fn promote(&self, scope: &TargetScope, bundle: &BundleId, act: &Act) -> Result<RegistryLifecycleEvent> {
        self.inner.promote(scope, bundle, act)
    }

    fn roll_back(&self, scope: &TargetScope, act: &Act) -> Result<RegistryLifecycleEvent> {
        self.inner.roll_back(scope, act)
    }

    fn retire(&self, scope: &TargetScope, bundle: &BundleId, act: &Act) -> Result<RegistryLifecycleEvent> {
        self.inner.retire(scope, bundle, act)
    }

    fn resolve(
        &self,
        scope: &TargetScope,
        fallback: Option<&BundleId>,
        available: Option<&[ColumnName]>,
    ) -> Result<BundleResolution> {
        self.inner.resolve(scope, fallback, available)
    }

    fn history(&self, scope: &TargetScope) -> Result<History> {
        self.inner.history(scope)
    }

    fn scopes(&self) -> Result<Vec<TargetScope>> {
        self.inner.scopes()
    }

    fn find(&self, bundle: &BundleId) -> Result<Reference<ModelBundle>> {
        self.inner.find(bundle)
    }
}

/// Stops the work at the first step of a stage that tells its steps.
pub struct Stopping;

impl Progress for Stopping {
    fn step(&self, _: u64, _: u64) -> Result<()> {
        Err(Failure::new(Code::Interrupted, "stopped from outside"))
    }
}

impl Watch for Stopping {
    fn stage(&self, _: Stage) {}
}
