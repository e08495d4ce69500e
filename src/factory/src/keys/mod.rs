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
//!
//! `folder` reads and makes the files, `documents` reads and writes what is signed.

mod documents;
mod folder;

use std::{collections::BTreeSet, fmt};

use contracts::{
    Checked, Code, Failure, Result,
    names::ObjectKey,
    signature::{Ed25519, PublicKey, Signature, Signed},
};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

pub(crate) use documents::{find_signed, read_signed, standing_or_signed, write_signed};

/// The file of the private key.
const PRIVATE: &str = "signing.pem";

/// The keys of a factory.
pub struct Keys {
    signing: Option<SigningKey>,
    trusted: BTreeSet<PublicKey>,
}

impl Keys {
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

fn public(key: &SigningKey) -> PublicKey {
    Ed25519(key.verifying_key().to_bytes())
}

fn unavailable() -> Failure {
    Failure::at(Code::SigningKeyUnavailable, PRIVATE, "a private Ed25519 key", "none that can be used")
}

#[cfg(test)]
mod tests;
