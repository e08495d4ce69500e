//! The object store in a bucket: S3 and who speaks like it, Google Cloud Storage, Azure Blob Storage.
//!
//! ```text
//!   caller's thread ──► put, get, list ──► object_store ──► transport ──► HTTP
//!        waits in                              │                 └─ what is lost is sent again; no error holds a secret
//!        the reactor                           └─ signs, retries, backs off
//! ```
//!
//! Flows in: objects under keys. Flows out: the whole object. Invariants: an object is one request, sent on the
//! condition that its key is free, so that no reader sees part of it and it never changes; the server was seen to
//! keep that condition before the first put (`probe`).
//!
//! An answer can be lost. A put whose answer did not come is sent again, and may meet its own first write: `Exists`
//! means that *some* bytes stand there, and whoever has to know reads them back, as `store::write_once` does.

mod connect;
mod probe;
mod reactor;
mod transport;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use contracts::{Code, Failure, Result, names::ObjectKey};
use futures_util::{StreamExt, TryFutureExt, TryStreamExt, stream};
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload, path::Path};

use self::{probe::Proof, reactor::Reactor};
use super::{Bucket, Listing, Object, Put, Store};
use crate::failpoint::{Failpoint, hit};

/// Requests of one call that are under way at the same time, at the most.
const MOST_AT_ONCE: usize = 16;

/// Milliseconds before a put is sent again whose key was taken for a moment only.
const PAUSES: [u64; 5] = [100, 200, 400, 800, 1_600];

/// An object store in a bucket.
pub struct RemoteStore {
    name: String,
    bucket: Arc<dyn ObjectStore>,
    prefix: Option<ObjectKey>,
    reactor: Reactor,
    /// Whether the server was seen to refuse a put under a key that is taken.
    proven: AtomicBool,
}

impl RemoteStore {
    /// Opens the store in this bucket; credentials, region and endpoint come from the environment.
    ///
    /// Refuses with `PARAMETER_INVALID` where the environment holds no complete settings, `STORE_UNSUITABLE` a server
    /// that overwrites what is there, and `STORE_UNAVAILABLE` one that does not answer, has no such bucket or lets
    /// nothing be read. One that lets nothing be written is opened for reading.
    pub fn open(bucket: &Bucket) -> Result<Self> {
        Self::of(bucket.to_string(), connect::connect(bucket)?, bucket.prefix.clone())
    }

    /// Opens the store of this client, called `name` where people are told of it.
    pub fn of(name: String, bucket: Arc<dyn ObjectStore>, prefix: Option<ObjectKey>) -> Result<Self> {
        let store = Self { name, bucket, prefix, reactor: Reactor::start()?, proven: AtomicBool::new(false) };
        store.reactor.wait(store.prove())?;
        Ok(store)
    }

    /// Tries the server, unless that was done.
    async fn prove(&self) -> Result<Proof> {
        if self.proven.load(Ordering::Acquire) {
            return Ok(Proof::Kept);
        }
        let proof = probe::probe(&*self.bucket, &self.path_of(probe::KEY)?).await?;
        if proof == Proof::Kept {
            self.proven.store(true, Ordering::Release);
        }
        Ok(proof)
    }

    async fn put(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put> {
        if let Proof::ReadOnly(refusal) = self.prove().await? {
            return Err(refusal);
        }
        hit(Failpoint::StoreBeforeWrite)?;
        let put = self.put_once(key, bytes).await?;
        hit(Failpoint::StoreAfterLink)?;
        Ok(put)
    }

    async fn put_once(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put> {
        let path = self.path(key)?;
        let payload = PutPayload::from(Bytes::copy_from_slice(bytes));
        for pause in PAUSES {
            match self.bucket.put_opts(&path, payload.clone(), PutMode::Create.into()).await {
                Ok(_) => return Ok(Put::Created),
                Err(error) if is_taken(&error) => {}
                Err(error) => return Err(trouble(&error, "put", Some(key))),
            }
            // S3 also says so while another put of the key is under way, which may still fail.
            if self.is_there(&path, key).await? {
                return Ok(Put::Exists);
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        Err(Failure::new(Code::StoreUnavailable, format!("{key} cannot be put, and is not there")))
    }

    async fn is_there(&self, path: &Path, key: &ObjectKey) -> Result<bool> {
        match self.bucket.head(path).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(trouble(&error, "look at", Some(key))),
        }
    }

    fn path(&self, key: &ObjectKey) -> Result<Path> {
        self.path_of(key.as_str())
    }

    /// The path of a text below the prefix; nothing in a key is written in another way.
    fn path_of(&self, text: &str) -> Result<Path> {
        let whole = self.prefix.iter().map(ObjectKey::as_str).chain([text]).collect::<Vec<_>>().join("/");
        Path::parse(whole).map_err(|_| Failure::new(Code::InternalError, "a key that is no path"))
    }

    /// The key of a path; none where no key has it, so that it was not put here.
    fn key_of(&self, path: &Path) -> Option<ObjectKey> {
        let text = path.as_ref();
        let text = match &self.prefix {
            Some(prefix) => text.strip_prefix(prefix.as_str())?.strip_prefix('/')?,
            None => text,
        };
        ObjectKey::new(text).ok()
    }
}

impl Store for RemoteStore {
    fn put_if_absent(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put> {
        self.reactor.wait(self.put(key, bytes))
    }

    fn put_all_if_absent(&self, objects: &[Object<'_>]) -> Result<Vec<Put>> {
        self.reactor.wait(async {
            let puts = objects.iter().map(|object| self.put(object.key, object.bytes));
            // All are waited for, and the first failure in their order is told.
            stream::iter(puts).buffered(MOST_AT_ONCE).collect::<Vec<_>>().await.into_iter().collect()
        })
    }

    fn get(&self, key: &ObjectKey) -> Result<Option<Vec<u8>>> {
        self.reactor.wait(async {
            let trouble = |error: Error| trouble(&error, "read", Some(key));
            match self.bucket.get(&self.path(key)?).await {
                Ok(found) => Ok(Some(found.bytes().await.map_err(trouble)?.into())),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(trouble(error)),
            }
        })
    }

    fn pass(&self, key: &ObjectKey, take: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let trouble = |error: Error| trouble(&error, "read", Some(key));
        let found = self.reactor.wait(async {
            match self.bucket.get(&self.path(key)?).await {
                Ok(found) => Ok(Some(found.into_stream())),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(trouble(error)),
            }
        })?;
        let Some(mut pieces) = found else { return Ok(false) };
        while let Some(piece) = self.reactor.wait(pieces.try_next().map_err(trouble))? {
            take(&piece);
        }
        Ok(true)
    }

    fn size(&self, key: &ObjectKey) -> Result<Option<u64>> {
        self.reactor.wait(async {
            match self.bucket.head(&self.path(key)?).await {
                Ok(found) => Ok(Some(found.size)),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(trouble(&error, "read", Some(key))),
            }
        })
    }

    fn list(&self, prefix: &ObjectKey) -> Result<Listing> {
        self.reactor.wait(async {
            let folder = self.path(prefix)?;
            let mut listing = Listing::default();
            let mut found = self.bucket.list(Some(&folder));
            while let Some(object) = found.next().await {
                match object.map(|object| object.location) {
                    // An object whose name ends in a slash, by which consoles show an empty folder, is given without it.
                    Ok(path) if path == folder => {}
                    Ok(path) => match self.key_of(&path) {
                        Some(key) => listing.keys.push(key),
                        None => listing.unnamed += 1,
                    },
                    // It comes in place of a page of names, and hides them.
                    Err(error @ Error::InvalidPath { .. }) => {
                        listing.refused.push((prefix.clone(), trouble(&error, "list", Some(prefix))));
                        break;
                    }
                    Err(error) => return Err(trouble(&error, "list", Some(prefix))),
                }
            }
            listing.sort();
            Ok(listing)
        })
    }
}

impl fmt::Debug for RemoteStore {
    /// Where it is, and nothing of the client: that holds credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemoteStore").field(&self.name).finish()
    }
}

/// Whether a put was refused because of what stands under its key.
const fn is_taken(error: &Error) -> bool {
    matches!(error, Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. })
}

/// A failure of the store in words that hold no secret: of all that the library tells, the innermost reason, and
/// `transport` lets no more of a server's answer come so far than its status and its code.
fn trouble(error: &Error, doing: &str, key: Option<&ObjectKey>) -> Failure {
    let what = key.map(|key| format!(" {key}")).unwrap_or_default();
    let mut reason: &dyn std::error::Error = error;
    while let Some(inner) = reason.source() {
        reason = inner;
    }
    match error {
        Error::InvalidPath { .. } => {
            Failure::new(Code::StoreCorrupt, format!("could not {doing}{what}: an object has a name that is no path"))
                .with_hint("Remove from the bucket what was not put there by a factory, or give the factory a prefix of its own.")
        }
        _ => Failure::new(Code::StoreUnavailable, format!("could not {doing}{what}: {reason}")),
    }
}

#[cfg(test)]
#[path = "remote_tests.rs"]
mod tests;
