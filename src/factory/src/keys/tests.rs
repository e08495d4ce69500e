#![allow(clippy::disallowed_methods, reason = "tests look into the key folder")]

use std::fs;

use contracts::{
    Digest, Reference,
    run_receipt::{Evidence, RunOutcome, RunReceipt},
    schema::SchemaVersion,
};

use super::{
    folder::{PUBLIC, TRUSTED},
    *,
};
use crate::store::{Listing, LocalStore, Put, Store};

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
fn blank_lines_around_a_key_are_no_part_of_it() {
    let own = folder();
    let keys = Keys::make(own.path()).unwrap();
    fs::create_dir(own.path().join(TRUSTED)).unwrap();
    fs::copy(own.path().join(PUBLIC), own.path().join(TRUSTED).join("own.pem")).unwrap();
    for name in [PRIVATE, PUBLIC, "trusted/own.pem"] {
        let path = own.path().join(name);
        let text = fs::read_to_string(&path).unwrap().replace('\n', "\r\n");
        fs::remove_file(&path).unwrap();
        fs::write(&path, format!("\n{text}\n \n")).unwrap();
    }
    assert_eq!(Keys::open(own.path()).unwrap().signer(), keys.signer());
}

/// Which of the files it is must be said: a folder of trusted keys may hold many.
#[test]
fn a_trusted_key_of_another_form_is_named_with_its_folder() {
    let own = folder();
    fs::create_dir(own.path().join(TRUSTED)).unwrap();
    fs::write(own.path().join(TRUSTED).join("a.pem"), "no key").unwrap();
    let failure = Keys::open(own.path()).unwrap_err();
    assert!(failure.detail.starts_with("trusted/a.pem "), "{}", failure.detail);
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
/// A pipe without a writer keeps who opens it, and a device may never end.
#[test]
fn what_is_no_file_is_refused_and_never_waited_for() {
    for name in [PRIVATE, PUBLIC, "trusted/other.pem"] {
        let own = folder();
        Keys::make(own.path()).unwrap();
        fs::create_dir(own.path().join(TRUSTED)).unwrap();
        let path = own.path().join(name);
        for device in ["/dev/zero", "/dev/null"] {
            fs::remove_file(&path).unwrap_or_default();
            std::os::unix::fs::symlink(device, &path).unwrap();
            assert_eq!(code(Keys::open(own.path())), Code::SigningKeyUnavailable, "{name}");
        }
        fs::remove_file(&path).unwrap();
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).unwrap();
        assert_eq!(code(Keys::open(own.path())), Code::SigningKeyUnavailable, "{name}");
    }
}

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
    // Whether it says the same comes first: that another machine signed it is no conflict, and not final.
    assert_eq!(code(write(&store, &heir, &receipt())), Code::SignatureInvalid);
    let other = RunReceipt { ledger_events: 9, ..receipt() };
    assert_eq!(code(write(&store, &heir, &other)), violation);
    let heir = heir.trusting(dead.signer().unwrap());
    assert_eq!(write(&store, &heir, &receipt()).unwrap(), first);
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
