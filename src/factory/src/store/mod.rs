//! The object store: immutable objects under safe keys.
//!
//! Flows in: bytes under a key, once. Flows out: the same bytes, checked against the digest that the caller
//! pinned. Invariants: no reader ever sees part of an object; an object never changes; the same bytes put
//! twice are one object; other bytes under a key that is taken are a typed violation.

mod local;
mod verified;

use contracts::{Result, names::ObjectKey};

pub use local::LocalStore;
pub(crate) use local::create_durably;
pub use verified::{find_document, read, read_document, write_document, write_once};

/// What a conditional put found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object was not there and now is.
    Created,
    /// An object was there; nothing was changed.
    Exists,
}

/// An object store with put-if-absent.
pub trait Store: Send + Sync {
    /// Puts the whole object durably if its key is free; on return it survives a power cut.
    fn put_if_absent(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put>;

    /// The whole object, or `None` where there is none.
    fn get(&self, key: &ObjectKey) -> Result<Option<Vec<u8>>>;

    /// The keys below a prefix of whole segments, sorted byte for byte.
    fn list(&self, prefix: &ObjectKey) -> Result<Vec<ObjectKey>>;
}
