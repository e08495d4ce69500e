//! Whether a server keeps the one condition that everything rests on: no put under a key that is taken.
//!
//! Flows in: a client. Flows out: what two puts under one key came to. Invariants: the key is no key of any object,
//! and the same at each opening, so that nothing grows; the condition counts as kept only where a put of other bytes
//! was refused and the first bytes still stand.

use bytes::Bytes;
use contracts::{Code, Failure, Result};
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload, path::Path};

use super::{is_taken, trouble};
use crate::store::Put;

/// Begins with a dot, so it is no key of any object.
pub(super) const KEY: &str = ".probe/put_if_absent";

/// Any two texts that differ.
const TEXTS: [&[u8]; 2] = [b"one\n", b"other\n"];

/// What was seen of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// It keeps the condition.
    Kept,
    /// It lets us read and not write, and refused with this; more is not known.
    ReadOnly(Failure),
}

/// Puts two objects under one key and reads back.
///
/// Refuses with `STORE_UNSUITABLE` a server that takes the second, or that does not give back the first.
pub(super) async fn probe(bucket: &dyn ObjectStore, path: &Path) -> Result<Proof> {
    let [one, other] = TEXTS;
    match put(bucket, path, one).await {
        Ok(Put::Created) => require_kept(bucket, path, one, other).await,
        Ok(Put::Exists) => {
            let standing = get(bucket, path).await?.ok_or_else(unsuitable)?;
            let another = if standing == one { other } else { one };
            require_kept(bucket, path, &standing, another).await
        }
        Err(error @ (Error::PermissionDenied { .. } | Error::Unauthenticated { .. })) => {
            get(bucket, path).await?;
            Ok(Proof::ReadOnly(trouble(&error, "write", None)))
        }
        Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => Err(unsuitable()),
        Err(error) => Err(opening(&error)),
    }
}

/// Puts other bytes where these stand, which must change nothing.
async fn require_kept(
    bucket: &dyn ObjectStore,
    path: &Path,
    standing: &[u8],
    other: &'static [u8],
) -> Result<Proof> {
    let put = put(bucket, path, other).await.map_err(|error| opening(&error))?;
    match (put, get(bucket, path).await?) {
        (Put::Exists, Some(found)) if found == standing => Ok(Proof::Kept),
        _ => Err(unsuitable()),
    }
}

async fn put(bucket: &dyn ObjectStore, path: &Path, bytes: &'static [u8]) -> object_store::Result<Put> {
    let payload = PutPayload::from(Bytes::from_static(bytes));
    match bucket.put_opts(path, payload, PutMode::Create.into()).await {
        Ok(_) => Ok(Put::Created),
        Err(error) if is_taken(&error) => Ok(Put::Exists),
        Err(error) => Err(error),
    }
}

async fn get(bucket: &dyn ObjectStore, path: &Path) -> Result<Option<Bytes>> {
    match bucket.get(path).await {
        Ok(found) => found.bytes().await.map(Some).map_err(|error| opening(&error)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(opening(&error)),
    }
}

fn opening(error: &Error) -> Failure {
    let failure = trouble(error, "open the store", None);
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => failure.lasting(),
        _ => failure,
    }
}

fn unsuitable() -> Failure {
    Failure::new(Code::StoreUnsuitable, "the store took other bytes under a key that was taken")
}
