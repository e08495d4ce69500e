//! Whose word counts: the factory's own signing key, and the public keys that it trusts beside it.
//!
//! ```text
//!   key folder: signing.pem (private, PKCS#8) ──┐
//!               signing.pub.pem, for others     ├──► Keys ──► sign, verify (Ed25519, RFC 8032)
//!               trusted/*.pem (public) ─────────┘
//! ```
//!
//! Flows in: documents that carry a signature. Flows out: the same signed, or the proof that one is. Invariants: a
//! signature counts only under a key that is trusted here, whatever the document says of its signer; it is checked
//! over the bytes that were signed before anything else is made of the document. A key that is to be replaced is
//! taken away as `signing.pem`, and its public half put into `trusted/`: what it signed stays valid until it is
//! taken away there too. Someone who only reads is given a folder without `signing.pem` and with a trusted key.

#![allow(
    clippy::disallowed_methods,
    reason = "the key folder is no store: it is the user's, and often mounted to be read only"
)]

use std::{
    collections::BTreeSet,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use contracts::{
    Checked, Code, Failure, Reference, Result,
    names::ObjectKey,
    signature::{Ed25519, PublicKey, Signature, Signed},
};
use ed25519_dalek::{
    Signer, SigningKey, VerifyingKey,
    pkcs8::{
        DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, spki::der::pem::LineEnding,
    },
};

use crate::store::{self, Batch, LocalStore, Store};

const PRIVATE: &str = "signing.pem";
const PUBLIC: &str = "signing.pub.pem";
const TRUSTED: &str = "trusted";

/// The keys of a factory.
pub struct Keys {
    signing: Option<SigningKey>,
    trusted: BTreeSet<PublicKey>,
}

impl Keys {
    /// Reads a key folder. One with public keys alone verifies and does not sign; one that is empty, or not there, does
    /// neither.
    ///
    /// Refuses with `SIGNING_KEY_UNAVAILABLE` a private key of another form or that cannot be read, or that is not the
    /// other half of `signing.pub.pem`, and with `SIGNATURE_INVALID` a trusted key of another form.
    pub fn open(folder: &Path) -> Result<Self> {
        let mut trusted = BTreeSet::new();
        for path in trusted_files(&folder.join(TRUSTED))? {
            trusted.insert(public_key(&path)?);
        }
        let secret = folder.join(PRIVATE);
        let of_signer = folder.join(PUBLIC);
        let signing = match read(&secret)? {
            Some(text) => Some(private_key(&text)?),
            // The private half was taken away: what it signed stays valid, and nobody signs here.
            None if of_signer.exists() => {
                trusted.insert(public_key(&of_signer)?);
                None
            }
            None => None,
        };
        if let Some(key) = &signing {
            if !of_signer.exists() {
                let text =
                    key.verifying_key().to_public_key_pem(LineEnding::LF).map_err(|_| unavailable())?;
                LocalStore::open(folder)?.put_if_absent(&ObjectKey::new(PUBLIC)?, text.as_bytes())?;
            }
            if public_key(&of_signer)? != public(key) {
                return Err(Failure::at(
                    Code::SigningKeyUnavailable,
                    PUBLIC,
                    "the public half of signing.pem",
                    "that of another key",
                )
                .with_hint("Move it into trusted/, so that what the former key signed stays valid."));
            }
        }
        Ok(Self::of(signing, trusted))
    }

    /// Makes a private key in a folder that holds none, and reads the folder.
    pub fn make(folder: &Path) -> Result<Self> {
        // Another process may have been first: the key that stands is everybody's.
        LocalStore::open(folder)?.put_if_absent(&ObjectKey::new(PRIVATE)?, fresh()?.as_bytes())?;
        Self::open(folder)
    }

    /// The keys of a factory whose private key is this secret, and which trusts itself alone.
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self::of(Some(SigningKey::from_bytes(secret)), BTreeSet::new())
    }

    /// The same, trusting another factory too.
    #[must_use]
    pub fn trusting(mut self, other: PublicKey) -> Self {
        self.trusted.insert(other);
        self
    }

    fn of(signing: Option<SigningKey>, mut trusted: BTreeSet<PublicKey>) -> Self {
        trusted.extend(signing.as_ref().map(public));
        Self { signing, trusted }
    }

    /// Whether nobody signs here, and nobody is trusted.
    pub fn are_none(&self) -> bool {
        self.trusted.is_empty()
    }

    /// Whether what this key signed counts here.
    pub fn trusts(&self, key: &PublicKey) -> bool {
        self.trusted.contains(key)
    }

    /// Who signs here, where anybody does.
    pub fn signer(&self) -> Option<PublicKey> {
        self.signing.as_ref().map(public)
    }

    /// Refuses with `SIGNING_KEY_UNAVAILABLE` where there is no private key.
    pub fn require_signer(&self) -> Result<()> {
        self.signer().map(drop).ok_or_else(unavailable)
    }

    /// Signs a document; refuses with `SIGNING_KEY_UNAVAILABLE` where there is no private key.
    pub fn sign<D: Signed>(&self, mut document: D) -> Result<Checked<D>> {
        let key = self.signing.as_ref().ok_or_else(unavailable)?;
        let value = Ed25519(key.sign(&document.message()?).to_bytes());
        *document.signature_mut() = Signature { key: public(key), value };
        Checked::new(document)
    }

    /// Refuses with `SIGNATURE_INVALID`, naming its place, a document that no trusted key signed as it is.
    pub fn verify<D: Signed>(&self, place: &ObjectKey, document: &D) -> Result<()> {
        let Signature { key, value } = document.signature();
        let refuse = |expected: &str, found: &str| {
            Err(Failure::at(Code::SignatureInvalid, format!("{place} /signature"), expected, found))
        };
        if !self.trusts(key) {
            return refuse("the signature of a key that is trusted here", "one of another key");
        }
        let message = document.message()?;
        let signature = ed25519_dalek::Signature::from_bytes(&value.0);
        match VerifyingKey::from_bytes(&key.0).and_then(|key| key.verify_strict(&message, &signature)) {
            Ok(()) => Ok(()),
            Err(_) => refuse("a signature of what the document says", "one of something else"),
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("signer", &self.signer())
            .field("trusted", &self.trusted)
            .finish_non_exhaustive()
    }
}

/// A document as it is to stand under its key: as it stands there already, where a trusted key signed the same
/// content before, such as that of a worker that died; otherwise signed here.
pub(crate) fn standing_or_signed<D: Signed>(
    store: &dyn Store,
    keys: &Keys,
    key: &ObjectKey,
    document: D,
) -> Result<Checked<D>> {
    let signed = keys.sign(document)?;
    let Some(bytes) = store.get(key)? else { return Ok(signed) };
    match Checked::<D>::parse(&bytes) {
        Ok(standing)
            if standing.bytes() == bytes
                && keys.verify(key, &*standing).is_ok()
                && standing.message()? == signed.message()? =>
        {
            Ok(standing)
        }
        _ => Ok(signed),
    }
}

/// Writes a batch with signed documents of the kind `D`, each of which [`standing_or_signed`] gives.
///
/// Another worker may sign the same content under another key between look and write: what stands then is looked at
/// once more before the violation counts.
pub(crate) fn write_signed<D: Signed, T>(
    store: &dyn Store,
    fill: impl Fn(&mut Batch) -> Result<T>,
) -> Result<T> {
    let write = || {
        let mut batch = Batch::default();
        let filled = fill(&mut batch)?;
        batch.write(store).map(|()| filled)
    };
    write().or_else(|failure: Failure| if failure.code == D::VIOLATION { write() } else { Err(failure) })
}

/// The document that a reference pins, checked, and signed by a trusted key.
pub(crate) fn read_signed<D: Signed>(
    store: &dyn Store,
    keys: &Keys,
    reference: &Reference<D>,
) -> Result<Checked<D>> {
    let document = store::read_document(store, reference)?;
    keys.verify(&reference.uri, &*document)?;
    Ok(document)
}

/// The document under a key that no reference pins: in its canonical bytes, and signed by a trusted key; none where
/// there is none.
pub(crate) fn find_signed<D: Signed>(
    store: &dyn Store,
    keys: &Keys,
    key: &ObjectKey,
) -> Result<Option<Checked<D>>> {
    let found = store::find_document::<D>(store, key)?;
    found.iter().try_for_each(|document| keys.verify(key, &**document))?;
    Ok(found)
}

/// The trusted keys' files, in the order of their names.
fn trusted_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| unreadable(folder, &error))?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        if path.extension().is_some_and(|kind| kind == "pem") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The text of a file; none where there is no file. Links are followed: secrets are often mounted so.
fn read(path: &Path) -> Result<Option<String>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path, &error)),
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Failure::at(Code::SigningKeyUnavailable, name, "a readable key", error.kind().to_string())
}

fn public_key(path: &Path) -> Result<PublicKey> {
    let text = read(path)?.unwrap_or_default();
    let key = VerifyingKey::from_public_key_pem(&text).map_err(|_| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Failure::at(Code::SignatureInvalid, name, "a public Ed25519 key in PEM", "something else")
    })?;
    Ok(Ed25519(key.to_bytes()))
}

fn public(key: &SigningKey) -> PublicKey {
    Ed25519(key.verifying_key().to_bytes())
}

fn private_key(text: &str) -> Result<SigningKey> {
    SigningKey::from_pkcs8_pem(text).map_err(|_| unavailable())
}

/// A new private key in PEM, from the operating system's entropy: the one thing here that has to be unforeseeable.
fn fresh() -> Result<String> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|_| unavailable())?;
    let pem = SigningKey::from_bytes(&secret).to_pkcs8_pem(LineEnding::LF).map_err(|_| unavailable())?;
    Ok(pem.to_string())
}

fn unavailable() -> Failure {
    Failure::at(Code::SigningKeyUnavailable, PRIVATE, "a private Ed25519 key", "none that can be used")
}

#[cfg(test)]
mod tests {
    use contracts::{
        Digest,
        run_receipt::{Evidence, RunOutcome, RunReceipt},
        schema::SchemaVersion,
    };

    use super::*;
    use crate::store::{Listing, Put};

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn receipt() -> RunReceipt {
        RunReceipt {
            schema_version: SchemaVersion::default(),
            train_run_id: format!("tr_{}", "0".repeat(32)).parse().unwrap(),
            outcome: RunOutcome::Fail,
            code: None,
            evidence: Evidence::default(),
            ledger_events: 1,
            ledger_head: Digest::of(b""),
            signature: Signature::missing(),
        }
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new(name).unwrap()
    }

    fn code<T: fmt::Debug>(result: Result<T>) -> Code {
        result.unwrap_err().code
    }

    #[test]
    fn a_key_is_made_once_and_stays() {
        let own = folder();
        let empty = Keys::open(own.path()).unwrap();
        assert_eq!((empty.are_none(), code(empty.require_signer())), (true, Code::SigningKeyUnavailable));
        assert_eq!(fs::read_dir(own.path()).unwrap().count(), 0);
        let first = Keys::make(own.path()).unwrap().sign(receipt()).unwrap();
        assert_eq!(Keys::make(own.path()).unwrap().sign(receipt()).unwrap(), first);
        let again = Keys::open(own.path()).unwrap();
        assert_eq!(again.sign(receipt()).unwrap(), first);
        again.verify(&key("a"), &*first).unwrap();
        let other = Keys::make(folder().path()).unwrap();
        assert_eq!(code(other.verify(&key("a"), &*first)), Code::SignatureInvalid);
        let mode = std::os::unix::fs::MetadataExt::mode(&own.path().join(PRIVATE).metadata().unwrap());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn every_byte_of_what_is_signed_counts() {
        let keys = Keys::from_secret(&[1; 32]);
        let good = keys.sign(receipt()).unwrap().into_inner();
        let edits: [fn(&mut RunReceipt); 5] = [
            |receipt| receipt.outcome = RunOutcome::Pass,
            |receipt| receipt.ledger_events = 2,
            |receipt| receipt.signature.value.0[0] ^= 1,
            |receipt| receipt.signature.value.0[63] ^= 0x20,
            |receipt| receipt.signature = Signature::missing(),
        ];
        for edit in edits {
            let mut bad = good.clone();
            edit(&mut bad);
            assert_eq!(code(keys.verify(&key("a"), &bad)), Code::SignatureInvalid);
        }
        keys.verify(&key("a"), &good).unwrap();
    }

    #[test]
    fn the_kind_of_a_document_is_signed_with_it() {
        let message = String::from_utf8(receipt().message().unwrap()).unwrap();
        assert!(message.contains(r#""recipe":"run_receipt_signature.v1""#), "{message}");
        assert!(!message.contains(r#""signature":"#));
    }

    #[test]
    fn trust_is_given_and_taken_by_public_keys() {
        let signer = folder();
        let signed = Keys::make(signer.path()).unwrap().sign(receipt()).unwrap();
        let reader = folder();
        fs::create_dir(reader.path().join(TRUSTED)).unwrap();
        let trusted = reader.path().join(TRUSTED).join("signer.pem");
        // As a secret is mounted: a link, beside files that are no keys.
        std::os::unix::fs::symlink(signer.path().join(PUBLIC), &trusted).unwrap();
        fs::write(reader.path().join(TRUSTED).join("README"), "no key").unwrap();
        let keys = Keys::open(reader.path()).unwrap();
        keys.verify(&key("a"), &*signed).unwrap();
        // A folder that was given a trusted key is a reader's: it does not make itself a signer.
        assert_eq!((keys.signer(), code(keys.sign(receipt()))), (None, Code::SigningKeyUnavailable));
        fs::remove_file(trusted).unwrap();
        let without = Keys::open(reader.path()).unwrap();
        assert_eq!(code(without.verify(&key("a"), &*signed)), Code::SignatureInvalid);
    }

    #[test]
    fn keys_of_another_form_are_refused() {
        let own = folder();
        fs::write(own.path().join(PRIVATE), "-----BEGIN PRIVATE KEY-----\n").unwrap();
        assert_eq!(code(Keys::open(own.path())), Code::SigningKeyUnavailable);
        let own = folder();
        fs::create_dir(own.path().join(PRIVATE)).unwrap();
        assert_eq!(code(Keys::open(own.path())), Code::SigningKeyUnavailable);
        let own = folder();
        fs::create_dir(own.path().join(TRUSTED)).unwrap();
        fs::write(own.path().join(TRUSTED).join("a.pem"), b"\xff").unwrap();
        assert_eq!(code(Keys::open(own.path())), Code::SignatureInvalid);
    }

    /// A key is changed by moving its public half to the trusted ones; to forget that would make it nobody's.
    #[test]
    fn a_key_is_replaced_in_two_steps() {
        let own = folder();
        let path = |name: &str| own.path().join(name);
        let former = Keys::make(own.path()).unwrap();
        let signed = former.sign(receipt()).unwrap();
        let next = folder();
        let heir = Keys::make(next.path()).unwrap().signer();
        fs::copy(next.path().join(PRIVATE), path(PRIVATE)).unwrap();
        let failure = Keys::open(own.path()).unwrap_err();
        assert_eq!(failure.code, Code::SigningKeyUnavailable);
        assert!(failure.hint().contains("trusted/"));
        fs::create_dir(path(TRUSTED)).unwrap();
        fs::rename(path(PUBLIC), path("trusted/former.pem")).unwrap();
        let keys = Keys::open(own.path()).unwrap();
        assert_eq!(keys.signer(), heir);
        keys.verify(&key("a"), &*signed).unwrap();
    }

    /// A private key that was taken away or lost is not made up for: what it signed stays valid, nobody signs.
    #[test]
    fn a_public_half_alone_verifies() {
        let own = folder();
        let signed = Keys::make(own.path()).unwrap().sign(receipt()).unwrap();
        fs::remove_file(own.path().join(PRIVATE)).unwrap();
        let keys = Keys::open(own.path()).unwrap();
        assert!(!own.path().join(PRIVATE).exists());
        assert_eq!((keys.signer(), code(keys.sign(receipt()))), (None, Code::SigningKeyUnavailable));
        keys.verify(&key("a"), &*signed).unwrap();
    }

    fn write(store: &dyn Store, keys: &Keys, document: &RunReceipt) -> Result<Reference<RunReceipt>> {
        let name = key("receipt.json");
        write_signed::<RunReceipt, _>(store, |batch| {
            let signed = standing_or_signed(store, keys, &name, document.clone())?;
            Ok(batch.add_document(name.clone(), &signed))
        })
    }

    #[test]
    fn the_same_content_under_another_trusted_key_is_the_same_document() {
        let place = folder();
        let store = LocalStore::open(place.path()).unwrap();
        let dead = Keys::from_secret(&[1; 32]);
        let first = write(&store, &dead, &receipt()).unwrap();
        let heir = Keys::from_secret(&[2; 32]);
        let violation = Code::RunReceiptImmutabilityViolation;
        assert_eq!(code(write(&store, &heir, &receipt())), violation);
        let heir = heir.trusting(dead.signer().unwrap());
        assert_eq!(write(&store, &heir, &receipt()).unwrap(), first);
        let other = RunReceipt { ledger_events: 9, ..receipt() };
        assert_eq!(code(write(&store, &heir, &other)), violation);
    }

    /// A store to which another worker writes first, after this one has looked.
    struct Overtaken(LocalStore, Keys);

    impl Store for Overtaken {
        fn put_if_absent(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put> {
            self.0.put_if_absent(key, self.1.sign(receipt())?.bytes())?;
            self.0.put_if_absent(key, bytes)
        }

        fn get(&self, key: &ObjectKey) -> Result<Option<Vec<u8>>> {
            self.0.get(key)
        }

        fn list(&self, prefix: &ObjectKey) -> Result<Listing> {
            self.0.list(prefix)
        }
    }

    #[test]
    fn who_is_overtaken_by_another_trusted_key_takes_its_document() {
        let place = folder();
        let other = Keys::from_secret(&[1; 32]);
        let keys = Keys::from_secret(&[2; 32]).trusting(other.signer().unwrap());
        let expected = other.sign(receipt()).unwrap().digest();
        let store = Overtaken(LocalStore::open(place.path()).unwrap(), other);
        assert_eq!(write(&store, &keys, &receipt()).unwrap().digest, expected);
    }

    #[test]
    fn nothing_of_the_private_key_is_shown() {
        let shown = format!("{:?}", Keys::from_secret(&[7; 32]));
        assert!(!shown.contains("7, 7") && !shown.contains("0707"), "{shown}");
    }
}
