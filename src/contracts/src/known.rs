//! Documents that went through the door lately.
//!
//! Flows in: checked documents. Flows out: the same, where their very bytes come to the door again, as those of a run's
//! request, profile and report do at each step. Invariants: what is given out is what checking those bytes once more would
//! give, since it is found by their digest and the type that they are read as, and checking asks nothing else; what is kept
//! is bounded. Nobody waits here: who finds another at it goes on without, so that a fork in that moment stops no child.

use std::{
    any::{Any, TypeId},
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, TryLockError},
};

/// Bytes of all documents that are kept, in canonical form: those of some sixty runs.
const MOST_BYTES: usize = 4 << 20;
/// Bytes of one of them at most: a few large ones do not drive out all others.
const LARGEST: usize = MOST_BYTES / 8;

/// The type that a document was read as, and the digest of its canonical bytes.
type Key = (TypeId, [u8; 32]);

static KNOWN: Mutex<Known> = Mutex::new(Known::none());

struct Known {
    documents: BTreeMap<Key, Arc<dyn Any + Send + Sync>>,
    /// In the order in which they came, with their sizes.
    order: VecDeque<(Key, usize)>,
    bytes: usize,
}

/// The document of this type whose canonical bytes have this digest, where it is still known.
pub(crate) fn find<T: Send + Sync + 'static>(digest: &[u8; 32]) -> Option<Arc<T>> {
    let found = known()?.documents.get(&(TypeId::of::<T>(), *digest)).cloned();
    found?.downcast().ok()
}

/// Keeps a document that was checked, in place of those that were there longest.
pub(crate) fn keep<T: Send + Sync + 'static>(digest: &[u8; 32], bytes: usize, document: &Arc<T>) {
    let Some(mut known) = known() else { return };
    known.keep((TypeId::of::<T>(), *digest), bytes, Arc::<T>::clone(document));
}

fn known() -> Option<MutexGuard<'static, Known>> {
    match KNOWN.try_lock() {
        Ok(known) => Some(known),
        Err(TryLockError::Poisoned(known)) => Some(known.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl Known {
    const fn none() -> Self {
        Self { documents: BTreeMap::new(), order: VecDeque::new(), bytes: 0 }
    }

    fn keep(&mut self, key: Key, bytes: usize, document: Arc<dyn Any + Send + Sync>) {
        if bytes > LARGEST || self.documents.insert(key, document).is_some() {
            return;
        }
        self.order.push_back((key, bytes));
        self.bytes += bytes;
        while self.bytes > MOST_BYTES {
            let Some((oldest, bytes)) = self.order.pop_front() else { break };
            self.documents.remove(&oldest);
            self.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_goes_first() {
        let key = |number: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_le_bytes());
            (TypeId::of::<usize>(), digest)
        };
        let mut known = Known::none();
        known.keep(key(0), LARGEST + 1, Arc::new(0_usize));
        assert_eq!(known.documents.len(), 0);
        for number in 0..100 {
            // Twice is once.
            known.keep(key(number), LARGEST, Arc::new(number));
            known.keep(key(number), LARGEST, Arc::new(number));
        }
        assert_eq!((known.documents.len(), known.order.len(), known.bytes), (8, 8, MOST_BYTES));
        assert!((92..100).all(|number| known.documents.contains_key(&key(number))));
    }
}
