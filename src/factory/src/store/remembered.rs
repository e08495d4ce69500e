//! A store read through once.
//!
//! Flows in: requests for the same objects from several who each check for themselves. Flows out: the bytes that the
//! first of them got. Invariant: whole objects are asked of the store once, so that all who judge see the same bytes,
//! and each byte is read once. What passes in pieces is not kept.

use std::{
    collections::BTreeMap,
    fs::File,
    sync::{Mutex, PoisonError},
};

use contracts::{Result, names::ObjectKey};

use super::{Listing, Put, Store};

/// A store whose objects are remembered as long as this value lives. For reading; a write goes through.
pub(crate) struct Remembered<'a> {
    store: &'a dyn Store,
    objects: Mutex<BTreeMap<ObjectKey, Option<Vec<u8>>>>,
}

impl<'a> Remembered<'a> {
    /// Remembers what is read of this store from now on.
    pub(crate) fn new(store: &'a dyn Store) -> Self {
        Self { store, objects: Mutex::default() }
    }
}

impl Store for Remembered<'_> {
    fn put_if_absent(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        self.store.put_if_absent(key, bytes)
    }

    fn get(&self, key: &ObjectKey) -> Result<Option<Vec<u8>>> {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = objects.get(key) {
            return Ok(known.clone());
        }
        let found = self.store.get(key)?;
        objects.insert(key.clone(), found.clone());
        Ok(found)
    }

    fn pass(&self, key: &ObjectKey, take: &mut dyn FnMut(&[u8])) -> Result<bool> {
        self.store.pass(key, take)
    }

    fn size(&self, key: &ObjectKey) -> Result<Option<u64>> {
        self.store.size(key)
    }

    fn list(&self, prefix: &ObjectKey) -> Result<Listing> {
        self.store.list(prefix)
    }

    fn scratch(&self) -> Result<File> {
        self.store.scratch()
    }
}
