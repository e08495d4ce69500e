//! Reads and writes that prove what they moved.
//!
//! Flows in: bytes and where they go, or a reference. Flows out: a reference to bytes that were read back,
//! or bytes whose digest is the pinned one. Invariant: nothing is used that was not compared first, at each
//! read and not only at admission, and each refusal carries the code of the artifact's kind.

use contracts::{Artifact, Checked, Code, Digest, Document, Failure, Reference, Result, names::ObjectKey};

use super::{Put, Store};

/// Puts an artifact once and reads it back.
///
/// The same bytes again are a success; other bytes under the key are `T::VIOLATION` and change nothing. A
/// store that gives back other bytes than it just took is `T::MISMATCH`.
pub fn write_once<T: Artifact>(store: &dyn Store, key: &ObjectKey, bytes: &[u8]) -> Result<Reference<T>> {
    let put = store.put_if_absent(key, bytes)?;
    let found = store.get(key)?.ok_or_else(|| {
        Failure::new(Code::StoreUnavailable, format!("{key} is not there after it was put"))
    })?;
    if found == bytes {
        return Ok(Reference { uri: key.clone(), digest: Digest::of(bytes) });
    }
    let code = match put {
        Put::Created => T::MISMATCH,
        Put::Exists => T::VIOLATION,
    };
    Err(differs::<T>(code, key, &Digest::of(bytes), &Digest::of(&found)))
}

/// Puts a checked document once, in its canonical bytes, and reads it back.
pub fn write_document<D: Document>(
    store: &dyn Store,
    key: &ObjectKey,
    document: &Checked<D>,
) -> Result<Reference<D>> {
    write_once(store, key, document.bytes())
}

/// The bytes that a reference pins: `T::UNRESOLVED` where there are none, `T::MISMATCH` where there are
/// others.
pub fn read<T: Artifact>(store: &dyn Store, reference: &Reference<T>) -> Result<Vec<u8>> {
    let bytes = store
        .get(&reference.uri)?
        .ok_or_else(|| Failure::new(T::UNRESOLVED, format!("{} {} is not there", T::NAME, reference.uri)))?;
    let found = Digest::of(&bytes);
    if found == reference.digest {
        Ok(bytes)
    } else {
        Err(differs::<T>(T::MISMATCH, &reference.uri, &reference.digest, &found))
    }
}

/// The document that a reference pins, checked.
///
/// A document in any but its canonical bytes is `D::INVALID`: it would have two digests.
pub fn read_document<D: Document>(store: &dyn Store, reference: &Reference<D>) -> Result<Checked<D>> {
    let bytes = read(store, reference)?;
    let document = Checked::<D>::parse(&bytes)?;
    if document.bytes() == bytes {
        Ok(document)
    } else {
        let detail =
            format!("{} {} is not in canonical form with its defaults written out", D::NAME, reference.uri);
        Err(Failure::new(D::INVALID, detail)
            .with_hint("Store documents as the factory writes them: RFC 8785."))
    }
}

/// The document under a key that no reference pins, in the canonical bytes that it was written in; none where there
/// is none.
pub fn find_document<D: Document>(store: &dyn Store, key: &ObjectKey) -> Result<Option<Checked<D>>> {
    let Some(bytes) = store.get(key)? else { return Ok(None) };
    let document = Checked::<D>::parse(&bytes)?;
    if document.bytes() == bytes {
        Ok(Some(document))
    } else {
        Err(Failure::at(D::MISMATCH, key.as_str(), "the canonical bytes it was written in", "other bytes"))
    }
}

fn differs<T: Artifact>(code: Code, key: &ObjectKey, expected: &Digest<T>, found: &Digest<T>) -> Failure {
    Failure::new(code, format!("{} {key} should have {expected}, found {found}", T::NAME))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests damage files behind the store")]

    use std::{collections::BTreeMap, fs};

    use contracts::{
        artifacts::{ModelArtifact, Partition},
        identity::ids::TrainRunId,
        measurements::Measurements,
        schema::SchemaVersion,
    };

    use super::*;
    use crate::store::LocalStore;

    fn store() -> (tempfile::TempDir, LocalStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path()).unwrap();
        (folder, store)
    }

    fn key(text: &str) -> ObjectKey {
        ObjectKey::new(text).unwrap()
    }

    fn measurements() -> Checked<Measurements> {
        Checked::new(Measurements {
            schema_version: SchemaVersion::default(),
            train_run_id: TrainRunId::new(format!("tr_{}", "0".repeat(32))).unwrap(),
            stage_seconds: BTreeMap::new(),
            score_one_row_microseconds: None,
            score_rows_per_second: None,
            threads: 2,
        })
        .unwrap()
    }

    #[test]
    fn the_same_bytes_are_one_object_and_other_bytes_a_violation() {
        let (_folder, store) = store();
        let first = write_once::<ModelArtifact>(&store, &key("a/model"), b"one").unwrap();
        assert_eq!(write_once::<ModelArtifact>(&store, &key("a/model"), b"one").unwrap(), first);
        let failure = write_once::<ModelArtifact>(&store, &key("a/model"), b"two").unwrap_err();
        assert_eq!(failure.code, Code::ModelArtifactImmutabilityViolation);
        assert!(failure.detail.contains("a/model"));
        let failure = write_once::<Partition>(&store, &key("a/model"), b"").unwrap_err();
        assert_eq!(failure.code, Code::PartitionImmutabilityViolation);
        assert_eq!(read(&store, &first).unwrap(), b"one");
    }

    #[test]
    fn a_reference_pins_every_byte() {
        let (folder, store) = store();
        let reference = write_once::<Partition>(&store, &key("a/part"), b"rows").unwrap();
        for damaged in [&b""[..], b"row", b"rowz", b"rows "] {
            fs::write(folder.path().join("a/part"), damaged).unwrap();
            assert_eq!(read(&store, &reference).unwrap_err().code, Code::PartitionDigestMismatch);
        }
        fs::remove_file(folder.path().join("a/part")).unwrap();
        assert_eq!(read(&store, &reference).unwrap_err().code, Code::PartitionUnresolved);
    }

    #[test]
    fn a_document_comes_back_as_it_was_checked() {
        let (_folder, store) = store();
        let document = measurements();
        let reference = write_document(&store, &key("a/measurements.json"), &document).unwrap();
        assert_eq!(reference.digest, document.digest());
        assert_eq!(read_document(&store, &reference).unwrap(), document);
    }

    #[test]
    fn a_document_in_other_bytes_or_of_another_kind_is_invalid() {
        let (_folder, store) = store();
        let spaced = [measurements().bytes(), b"\n"].concat();
        for (name, bytes) in [("spaced", &spaced[..]), ("empty", b"{}"), ("text", b"not JSON")] {
            let reference = write_once::<Measurements>(&store, &key(name), bytes).unwrap();
            assert_eq!(read_document(&store, &reference).unwrap_err().code, Code::EvidenceInvalid, "{name}");
        }
    }

    /// A store that loses or changes what it was given.
    struct Faulty(Option<&'static [u8]>);

    impl Store for Faulty {
        fn put_if_absent(&self, _: &ObjectKey, _: &[u8]) -> Result<Put> {
            Ok(Put::Created)
        }

        fn get(&self, _: &ObjectKey) -> Result<Option<Vec<u8>>> {
            Ok(self.0.map(<[u8]>::to_vec))
        }

        fn list(&self, _: &ObjectKey) -> Result<Vec<ObjectKey>> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn what_was_written_is_read_back() {
        let code = |store| write_once::<ModelArtifact>(&store, &key("a"), b"bytes").unwrap_err().code;
        assert_eq!(code(Faulty(None)), Code::StoreUnavailable);
        assert_eq!(code(Faulty(Some(b"bites"))), Code::EvidenceDigestMismatch);
    }
}
