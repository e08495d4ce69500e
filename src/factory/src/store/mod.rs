//! The object store: immutable objects under safe keys.
//!
//! Flows in: bytes under a key, once. Flows out: the same bytes, checked against the digest that the caller
//! pinned. Invariants: no reader ever sees part of an object; an object never changes; the same bytes put
//! twice are one object; other bytes under a key that is taken are a typed violation.

mod local;
mod location;
mod remembered;
mod remote;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what it expects")]
mod suite_tests;
mod verified;

use std::{fs::File, io};

use contracts::{Result, names::ObjectKey};
use rustix::fs::Mode;

pub use local::LocalStore;
pub(crate) use local::{create_durably, trouble};
pub use location::{Bucket, Location, Service};
pub(crate) use remembered::Remembered;
pub use remote::RemoteStore;
pub use verified::{Batch, compare, find_document, read, read_document, write_document, write_once};

/// What a conditional put found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object was not there and now is.
    Created,
    /// An object was there; nothing was changed.
    Exists,
}

/// Bytes and the key they go under.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    /// Where they go.
    pub key: &'a ObjectKey,
    /// All of them.
    pub bytes: &'a [u8],
}

/// A new file without a name, for its owner alone.
fn private(file: io::Result<File>) -> Result<File> {
    let only_owner = |file: File| -> io::Result<File> {
        rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR)?;
        Ok(file)
    };
    file.and_then(only_owner).map_err(|error| trouble(&error, "make a temporary file", None))
}

/// An object store with put-if-absent.
pub trait Store: Send + Sync {
    /// Puts the whole object durably if its key is free; on return it survives a power cut.
    fn put_if_absent(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put>;

    /// Does so with several objects; on return all survive. Each stands or falls alone: a crash or a failure on the
    /// way leaves any of them, each whole. A store that can wait for all of them at once does.
    fn put_all_if_absent(&self, objects: &[Object<'_>]) -> Result<Vec<Put>> {
        objects.iter().map(|object| self.put_if_absent(object.key, object.bytes)).collect()
    }

    /// The whole object, or `None` where there is none.
    fn get(&self, key: &ObjectKey) -> Result<Option<Vec<u8>>>;

    /// Gives the object to `take`, piece by piece from the first byte, or returns false where there is none. Of a store
    /// that can, no more than a piece stands in memory.
    fn pass(&self, key: &ObjectKey, take: &mut dyn FnMut(&[u8])) -> Result<bool> {
        self.get(key).map(|bytes| bytes.map(|bytes| take(&bytes)).is_some())
    }

    /// The keys below a prefix of whole segments, sorted byte for byte.
    fn list(&self, prefix: &ObjectKey) -> Result<Vec<ObjectKey>>;

    /// An empty file without a name, readable by nobody else and gone with the process: for what does not fit in memory
    /// on its way to objects. On the disk of the store where there is one, which has to take the objects too and is
    /// trusted with them; else where the system keeps temporary files.
    fn scratch(&self) -> Result<File> {
        private(tempfile::tempfile())
    }
}
