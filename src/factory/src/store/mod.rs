//! The object store: immutable objects under safe keys.
//!
//! Flows in: bytes under a key, once. Flows out: the same bytes, checked against the digest that the caller
//! pinned. Invariants: no reader ever sees part of an object; an object never changes; the same bytes put
//! twice are one object; other bytes under a key that is taken are a typed violation.

mod beneath;
mod draft;
mod local;
mod location;
mod remembered;
mod remote;
mod staging;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what it expects")]
mod suite_tests;
mod verified;

use std::{fs::File, io};

use contracts::{Failure, Result, names::ObjectKey};
use rustix::fs::Mode;

pub(crate) use beneath::trouble;
pub use draft::Draft;
pub use local::LocalStore;
pub(crate) use local::create_durably;
pub use location::{Bucket, Location, Service};
pub(crate) use remembered::Remembered;
pub use remote::RemoteStore;
pub use verified::{
    Batch, compare, find_document, read, read_document, write_document, write_draft, write_once,
};

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

/// What stands below a prefix of whole segments, also what nobody put there through a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The keys of the objects, sorted byte for byte.
    pub keys: Vec<ObjectKey>,
    /// The keys of what is none, sorted too, with what keeps readers out: a link, a special file, a folder that cannot be
    /// looked into. The prefix is among them where something keeps readers out of all that may be below.
    pub refused: Vec<(ObjectKey, Failure)>,
    /// The keys of folders in which nothing stands, sorted too, of a store that has folders.
    pub empty: Vec<ObjectKey>,
    /// How many names were met that no key has, so that nobody reads what they name.
    pub unnamed: usize,
}

impl Listing {
    /// The keys, for who reads all of them: fails where what has a key is no object. Names that no key has hide nothing
    /// that a store was given.
    pub fn objects(self) -> Result<Vec<ObjectKey>> {
        self.refused.into_iter().next().map_or(Ok(self.keys), |(_, failure)| Err(failure))
    }

    /// What keeps readers of a key out, where something does: there, or on the way to it.
    pub fn refusal(&self, key: &ObjectKey) -> Option<Failure> {
        let mut way = key.as_str();
        loop {
            match self.refused.binary_search_by(|(refused, _)| refused.as_str().cmp(way)) {
                Ok(place) => return self.refused.get(place).map(|(_, failure)| failure.clone()),
                Err(_) => way = way.rsplit_once('/')?.0,
            }
        }
    }

    fn sort(&mut self) {
        self.keys.sort_unstable();
        self.empty.sort_unstable();
        self.refused.sort_by(|(one, _), (other, _)| one.cmp(other));
    }
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

    /// An object to be written piece by piece, whose key may follow from its bytes. A store that can keeps no more than a
    /// piece in memory.
    fn draft(&self) -> Result<Draft<'_>> {
        Ok(Draft::in_memory())
    }

    /// Puts a draft of this store as [`Self::put_if_absent`] puts bytes.
    fn put_draft_if_absent(&self, key: &ObjectKey, draft: Draft<'_>) -> Result<Put> {
        self.put_if_absent(key, &draft.into_bytes()?)
    }

    /// The whole object, or `None` where there is none.
    fn get(&self, key: &ObjectKey) -> Result<Option<Vec<u8>>>;

    /// The same, each piece of which `see` is shown as it comes in, in their order: a store that can does so while the piece is
    /// in the processor's cache.
    fn get_past(&self, key: &ObjectKey, see: &mut dyn FnMut(&[u8])) -> Result<Option<Vec<u8>>> {
        Ok(self.get(key)?.inspect(|bytes| see(bytes)))
    }

    /// Gives the object to `take`, piece by piece from the first byte, or returns false where there is none. Of a store
    /// that can, no more than a piece stands in memory.
    fn pass(&self, key: &ObjectKey, take: &mut dyn FnMut(&[u8])) -> Result<bool> {
        self.get(key).map(|bytes| bytes.map(|bytes| take(&bytes)).is_some())
    }

    /// How many bytes the object has, or `None` where there is none: for who does not read what is too large for it.
    fn size(&self, key: &ObjectKey) -> Result<Option<u64>> {
        self.get(key).map(|bytes| bytes.map(|bytes| bytes.len() as u64))
    }

    /// What stands below a prefix of whole segments. Whatever it is, the rest is listed; what the prefix itself names is
    /// not below it.
    fn list(&self, prefix: &ObjectKey) -> Result<Listing>;

    /// An empty file without a name, readable by nobody else and gone with the process: for what does not fit in memory
    /// on its way to objects. On the disk of the store where there is one, which has to take the objects too and is
    /// trusted with them; else where the system keeps temporary files.
    fn scratch(&self) -> Result<File> {
        private(tempfile::tempfile())
    }
}
