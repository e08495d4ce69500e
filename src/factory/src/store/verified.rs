//! Reads and writes that prove what they moved.
//!
//! Flows in: bytes and where they go, or a reference. Flows out: a reference to bytes that were read back,
//! or bytes whose digest is the pinned one. Invariant: nothing is used that was not compared first, at each
//! read and not only at admission, and each refusal carries the code of the artifact's kind.

use contracts::{
    Artifact, Checked, Code, Digest, Document, Failure, Reference, Result, identity::digest::Hasher,
    names::ObjectKey,
};

use super::{Draft, Object, Put, Store};

/// Artifacts that become durable together, before what names them does.
#[derive(Debug, Clone, Default)]
pub struct Batch(Vec<Entry>);

#[derive(Debug, Clone)]
struct Entry {
    key: ObjectKey,
    bytes: Vec<u8>,
    /// None where whatever came first may stand.
    refuse: Option<Refuse>,
}

/// Makes a refusal of what the store did with an object and of the bytes it gave back.
type Refuse = fn(Put, &Object<'_>, &[u8]) -> Failure;

impl Batch {
    /// Adds an artifact; the reference holds once the batch is written.
    pub fn add<T: Artifact>(&mut self, key: ObjectKey, bytes: Vec<u8>) -> Reference<T> {
        let reference = Reference { uri: key.clone(), digest: Digest::of(&bytes) };
        self.0.push(Entry { key, bytes, refuse: Some(differs_from_put::<T>) });
        reference
    }

    /// Adds a checked document in its canonical bytes.
    pub fn add_document<D: Document>(&mut self, key: ObjectKey, document: &Checked<D>) -> Reference<D> {
        let reference = Reference { uri: key.clone(), digest: document.digest() };
        self.0.push(Entry { key, bytes: document.bytes().to_vec(), refuse: Some(differs_from_put::<D>) });
        reference
    }

    /// Adds a document that may differ each time: the first stands, and another is no violation.
    pub fn add_first<D: Document>(&mut self, key: ObjectKey, document: &Checked<D>) {
        self.0.push(Entry { key, bytes: document.bytes().to_vec(), refuse: None });
    }

    /// Adds what stands in another batch, in its order.
    pub fn extend(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// Refuses as [`write_once`] does where other bytes stand under one of the keys already.
    pub fn require_free(&self, store: &dyn Store) -> Result<()> {
        for Entry { key, bytes, refuse } in &self.0 {
            let object = Object { key, bytes };
            match (refuse, store.get(key)?) {
                (Some(refuse), Some(found)) if found != *bytes => {
                    return Err(refuse(Put::Exists, &object, &found));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Puts all artifacts once and reads each back; refuses as [`write_once`] does.
    pub fn write(&self, store: &dyn Store) -> Result<()> {
        let objects: Vec<_> = self.0.iter().map(|Entry { key, bytes, .. }| Object { key, bytes }).collect();
        let puts = store.put_all_if_absent(&objects)?;
        for ((object, put), entry) in objects.iter().zip(puts).zip(&self.0) {
            entry.refuse.map_or(Ok(()), |refuse| require_put(store, object, put, refuse))?;
        }
        Ok(())
    }
}

/// Puts an artifact once and reads it back.
///
/// The same bytes again are a success; other bytes under the key are `T::VIOLATION` and change nothing. A
/// store that gives back other bytes than it just took is `T::MISMATCH`.
pub fn write_once<T: Artifact>(store: &dyn Store, key: &ObjectKey, bytes: &[u8]) -> Result<Reference<T>> {
    let put = store.put_if_absent(key, bytes)?;
    require_put(store, &Object { key, bytes }, put, differs_from_put::<T>)?;
    Ok(Reference { uri: key.clone(), digest: Digest::of(bytes) })
}

/// Puts a draft of the bytes that a reference pins, and reads it back; refuses as [`write_once`] does.
pub fn write_draft<T: Artifact>(store: &dyn Store, reference: &Reference<T>, draft: Draft<'_>) -> Result<()> {
    let put = store.put_draft_if_absent(&reference.uri, draft)?;
    let mut hasher = Hasher::default();
    if !store.pass(&reference.uri, &mut |piece| hasher.update(piece))? {
        return Err(gone(&reference.uri));
    }
    let found = hasher.finish();
    if found == reference.digest {
        return Ok(());
    }
    Err(differs::<T>(code_of::<T>(put), &reference.uri, &reference.digest, &found))
}

fn gone(key: &ObjectKey) -> Failure {
    Failure::new(Code::StoreUnavailable, format!("{key} is not there after it was put"))
}

fn require_put(store: &dyn Store, object: &Object<'_>, put: Put, refuse: Refuse) -> Result<()> {
    // Piece by piece: a large object need not stand in memory twice.
    let (mut rest, mut alike) = (object.bytes, true);
    let found = store.pass(object.key, &mut |piece| match rest.strip_prefix(piece) {
        Some(others) => rest = others,
        None => alike = false,
    })?;
    if !found {
        return Err(gone(object.key));
    }
    if alike && rest.is_empty() {
        return Ok(());
    }
    Err(refuse(put, object, &store.get(object.key)?.ok_or_else(|| gone(object.key))?))
}

fn differs_from_put<T: Artifact>(put: Put, object: &Object<'_>, found: &[u8]) -> Failure {
    differs::<T>(code_of::<T>(put), object.key, &Digest::of(object.bytes), &Digest::of(found))
}

/// What other bytes than those that were put are called.
const fn code_of<T: Artifact>(put: Put) -> Code {
    match put {
        Put::Created => T::MISMATCH,
        Put::Exists => T::VIOLATION,
    }
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
    let mut hasher = Hasher::default();
    let bytes = store.get_past(&reference.uri, &mut |piece| hasher.update(piece))?;
    let bytes = bytes.ok_or_else(|| unresolved(reference))?;
    require_digest(reference, &hasher.finish()).map(|()| bytes)
}

/// Compares an object with its reference as [`read`] does, without keeping it; returns how many bytes it has.
pub fn compare<T: Artifact>(store: &dyn Store, reference: &Reference<T>) -> Result<u64> {
    let (mut hasher, mut length) = (Hasher::default(), 0);
    let found = store.pass(&reference.uri, &mut |piece| {
        hasher.update(piece);
        length += piece.len() as u64;
    })?;
    if !found {
        return Err(unresolved(reference));
    }
    require_digest(reference, &hasher.finish()).map(|()| length)
}

fn unresolved<T: Artifact>(reference: &Reference<T>) -> Failure {
    Failure::new(T::UNRESOLVED, format!("{} {} is not there", T::NAME, reference.uri))
}

fn require_digest<T: Artifact>(reference: &Reference<T>, found: &Digest<T>) -> Result<()> {
    if *found == reference.digest {
        Ok(())
    } else {
        Err(differs::<T>(T::MISMATCH, &reference.uri, &reference.digest, found))
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

    use std::{collections::BTreeMap, fs, io::Write};

    use contracts::{
        artifacts::{ModelArtifact, Partition},
        identity::ids::TrainRunId,
        measurements::Measurements,
        schema::SchemaVersion,
    };

    use super::*;
    use crate::store::{Listing, LocalStore, Remembered};

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
    fn a_draft_is_seen_once_it_is_put_and_leaves_nothing_where_it_is_not() {
        let (folder, local) = store();
        let put = |store: &dyn Store, uri: ObjectKey, pieces: [&[u8]; 2], pinned: &[u8]| {
            let mut draft = store.draft().unwrap();
            draft.write_all(pieces[0]).unwrap();
            draft.write_all(pieces[1]).unwrap();
            write_draft::<Partition>(store, &Reference { uri, digest: Digest::of(pinned) }, draft)
        };
        let remembered = Remembered::new(&local);
        for (store, name) in [(&local as &dyn Store, "a/one"), (&remembered, "a/two")] {
            drop(store.draft().unwrap());
            // Twice is once; other bytes under the key change nothing.
            put(store, key(name), [b"ro", b"ws"], b"rows").unwrap();
            put(store, key(name), [b"r", b"ows"], b"rows").unwrap();
            let failure = put(store, key(name), [b"other", b""], b"other").unwrap_err();
            assert_eq!(failure.code, Partition::VIOLATION);
            assert_eq!(local.get(&key(name)).unwrap().unwrap(), b"rows");
            let failure = put(store, key(&format!("{name}-more")), [b"ro", b"ws"], b"others").unwrap_err();
            assert_eq!(failure.code, Partition::MISMATCH);
        }
        assert_eq!(fs::read_dir(folder.path().join(".staging")).unwrap().count(), 0);
    }

    #[test]
    fn a_reference_pins_every_byte() {
        let (folder, store) = store();
        let reference = write_once::<Partition>(&store, &key("a/part"), b"rows").unwrap();
        for damaged in [&b""[..], b"row", b"rowz", b"rows "] {
            fs::write(folder.path().join("a/part"), damaged).unwrap();
            assert_eq!(read(&store, &reference).unwrap_err().code, Code::PartitionDigestMismatch);
            assert_eq!(compare(&store, &reference), read(&store, &reference).map(|_| 0));
        }
        fs::remove_file(folder.path().join("a/part")).unwrap();
        assert_eq!(read(&store, &reference).unwrap_err().code, Code::PartitionUnresolved);
        assert_eq!(compare(&store, &reference), read(&store, &reference).map(|_| 0));
    }

    #[test]
    fn what_passes_in_pieces_is_what_is_read_at_once() {
        let (folder, store) = store();
        for length in [0, 1, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 1_000_003] {
            let bytes: Vec<u8> = (0..length).map(|place| (place % 251) as u8).collect();
            let key = key(&format!("a/{length}"));
            let reference = write_once::<Partition>(&store, &key, &bytes).unwrap();
            let mut pieces = Vec::new();
            assert!(store.pass(&key, &mut |piece| pieces.extend_from_slice(piece)).unwrap());
            assert!(pieces == bytes, "{length}");
            assert_eq!(compare(&store, &reference).unwrap(), length);
        }
        let mut damaged = fs::read(folder.path().join("a/1000003")).unwrap();
        *damaged.last_mut().unwrap() ^= 1;
        let reference: Reference<Partition> =
            Reference { uri: key("a/1000003"), digest: Digest::of(&damaged) };
        assert_eq!(compare(&store, &reference).unwrap_err().code, Code::PartitionDigestMismatch);
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

        fn list(&self, _: &ObjectKey) -> Result<Listing> {
            Ok(Listing::default())
        }
    }

    #[test]
    fn what_was_written_is_read_back() {
        let code = |store| write_once::<ModelArtifact>(&store, &key("a"), b"bytes").unwrap_err().code;
        assert_eq!(code(Faulty(None)), Code::StoreUnavailable);
        assert_eq!(code(Faulty(Some(b"bites"))), Code::EvidenceDigestMismatch);
    }
}
