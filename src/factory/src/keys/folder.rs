//! The key folder: a private key, its public half, and the keys that are trusted beside it.
//!
//! Flows in: a folder. Flows out: [`Keys`]. Invariants: a key is made only where there is none, and by one process alone;
//! no text of a key is ever part of a failure.

#![allow(
    clippy::disallowed_methods,
    reason = "the key folder is no store: it is the user's, and often mounted to be read only"
)]

use std::{
    collections::BTreeSet,
    fmt::Display,
    fs::{self, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use contracts::{
    Code, Failure, Result,
    names::ObjectKey,
    signature::{Ed25519, PublicKey},
};
use ed25519_dalek::{
    SigningKey, VerifyingKey,
    pkcs8::{
        DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, spki::der::pem::LineEnding,
    },
};

use super::{Keys, PRIVATE, public, unavailable};
use crate::store::{self, LocalStore, Store};

/// The file of the public half, for others.
pub(super) const PUBLIC: &str = "signing.pub.pem";
/// The folder of the keys that are trusted: each file in it whose name ends in `.pem`.
pub(super) const TRUSTED: &str = "trusted";
/// Bytes that are read of a file: many more than a key has.
const MOST_BYTES: u64 = 1 << 16;

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
}

/// The trusted keys' files, in the order of their names.
fn trusted_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| refused(folder, &error))?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| refused(folder, &error))?.path();
        if path.extension().is_some_and(|kind| kind == "pem") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The text of a file; none where there is no file. Links are followed: secrets are often mounted so.
fn read(path: &Path) -> Result<Option<String>> {
    // Whoever opens a pipe waits for somebody to write into it, and may wait for ever.
    let at_once = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = match OpenOptions::new().read(true).custom_flags(at_once).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| refused(path, &error))?,
    };
    if !file.metadata().map_err(|error| refused(path, &error))?.is_file() {
        return Err(unreadable(path, &"something else than a file"));
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes).map_err(|error| refused(path, &error))?;
    // Blank lines around what editors and secret stores hold are no part of a key.
    Ok(Some(format!("{}\n", String::from_utf8_lossy(&bytes).trim())))
}

/// A key that the system does not let be read: where what is missing is something else, the key is as good as it was.
fn refused(path: &Path, error: &io::Error) -> Failure {
    let failure = store::trouble(error, "read a key", None);
    if failure.code == Code::ResourceExhausted { failure } else { unreadable(path, &error.kind()) }
}

fn unreadable(path: &Path, why: &dyn Display) -> Failure {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Failure::at(Code::SigningKeyUnavailable, name, "a readable key", why.to_string())
}

fn public_key(path: &Path) -> Result<PublicKey> {
    let text = read(path)?.unwrap_or_default();
    let key = VerifyingKey::from_public_key_pem(&text).map_err(|_| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let trusted = path.parent().is_some_and(|folder| folder.ends_with(TRUSTED));
        let place = if trusted { format!("{TRUSTED}/{name}") } else { name.into_owned() };
        Failure::at(Code::SignatureInvalid, place, "a public Ed25519 key in PEM", "something else")
    })?;
    Ok(Ed25519(key.to_bytes()))
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
