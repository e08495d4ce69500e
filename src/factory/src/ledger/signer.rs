//! Who signs for the factory, kept outside of the folders that hold keys.
//!
//! A mistyped key folder, or that of another factory, holds a key like any other, and what was published under it would
//! verify under no key of the factory's, for good. So a signer is known here before it signs: the first one as the
//! factory is made, and each further one because it trusts the one before, whose public half lies in its `trusted/`.

use contracts::{Code, Digest, Failure, Result, identity::recipe, signature::PublicKey, time::Timestamp};
use serde::Serialize;

/// Knows who signs for the factory. Every write is one durable transaction.
pub trait Signers: Send + Sync {
    /// Everyone who signed here, in the order in which they came; nobody in a factory that is being made.
    fn signers(&self) -> Result<Vec<PublicKey>>;

    /// Admits a signer: the first one, who came last, or one that trusts who came last. So a key that was replaced signs no
    /// more where it stands still, and of keys that work side by side each trusts the others.
    ///
    /// Refuses with `SIGNING_KEY_UNAVAILABLE` the key of another factory, or a former one.
    fn admit_signer(&self, signer: &PublicKey, trusts: &dyn Fn(&PublicKey) -> bool) -> Result<()>;
}

/// The beginning of a ledger, of which only the digest is used.
#[derive(Debug)]
pub enum Founding {}

/// A signer as its row has it.
#[derive(Debug, Serialize)]
pub(super) struct SignerRow {
    pub(super) sequence: u64,
    pub(super) key: String,
    pub(super) admitted_at: Timestamp,
}

impl SignerRow {
    /// The row of a signer who comes after these; none where it is one of them. Also then it has to trust the last one: what
    /// that one signed it could not verify, and would stand in its way.
    pub(super) fn after(
        known: &[Self],
        signer: &PublicKey,
        trusts: &dyn Fn(&PublicKey) -> bool,
        now: Timestamp,
    ) -> Result<Option<Self>> {
        let key = signer.to_string();
        match known.last() {
            Some(last) if last.key != key && !trusts(&last.signer()?) => Err(stranger()),
            _ if known.iter().any(|row| row.key == key) => Ok(None),
            _ => Ok(Some(Self { sequence: known.len() as u64 + 1, key, admitted_at: now })),
        }
    }

    /// Digest of the whole row: the recipe `ledger_signer.v1`.
    pub(super) fn digest(&self) -> Result<Digest<Self>> {
        recipe::derive("ledger_signer.v1", self)
    }

    pub(super) fn signer(&self) -> Result<PublicKey> {
        self.key
            .parse()
            .map_err(|_| Failure::new(Code::LedgerCorrupt, "the row of a signer does not name a key"))
    }
}

fn stranger() -> Failure {
    Failure::at(
        Code::SigningKeyUnavailable,
        "signing.pem",
        "the key that signed for this factory last, or one that trusts it",
        "another key",
    )
    .with_hint(
        "Name the folder of this factory's keys. A key that is to replace the last one needs its signing.pub.pem, \
         under another name, in trusted/.",
    )
}
