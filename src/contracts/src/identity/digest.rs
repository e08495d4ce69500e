//! SHA-256 digests that know what they are digests of.
//!
//! `Digest<EvalReport>` cannot be passed where a `Digest<ModelBundle>` is asked for. This file is the only
//! user of sha2.

use std::{borrow::Cow, cmp, fmt, hash, marker::PhantomData, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};

use super::hex;
use crate::{Code, Failure, Result};

const PREFIX: &str = "sha256:";

/// The SHA-256 digest of the bytes of a `T`.
pub struct Digest<T> {
    bytes: [u8; 32],
    of: PhantomData<fn() -> T>,
}

impl<T> Digest<T> {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_raw(Sha256::digest(bytes).into())
    }

    /// The raw 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The first `length` digits of the hexadecimal text.
    pub fn hex_prefix(&self, length: usize) -> String {
        self.hex().chars().take(length).collect()
    }

    /// The 64 lower-case hexadecimal digits.
    pub fn hex(&self) -> String {
        hex::encode(&self.bytes)
    }

    const fn from_raw(bytes: [u8; 32]) -> Self {
        Self { bytes, of: PhantomData }
    }
}

/// A digest over bytes that arrive in pieces.
pub struct Hasher<T> {
    state: Sha256,
    of: PhantomData<fn() -> T>,
}

impl<T> Default for Hasher<T> {
    fn default() -> Self {
        Self { state: Sha256::new(), of: PhantomData }
    }
}

impl<T> Hasher<T> {
    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
    }

    /// The digest of all pieces.
    pub fn finish(self) -> Digest<T> {
        Digest::from_raw(self.state.finalize().into())
    }
}

impl<T> FromStr for Digest<T> {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self> {
        text.strip_prefix(PREFIX).and_then(hex::decode).map(Self::from_raw).ok_or_else(|| {
            Failure::at(
                Code::DocumentInvalid,
                "digest",
                "sha256: and 64 lower-case hexadecimal digits",
                format!("{} characters", text.len()),
            )
        })
    }
}

impl<T> fmt::Display for Digest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.hex())
    }
}

impl<T> fmt::Debug for Digest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<T> Clone for Digest<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Digest<T> {}

impl<T> PartialEq for Digest<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<T> Eq for Digest<T> {}

impl<T> PartialOrd for Digest<T> {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Digest<T> {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        self.bytes.cmp(&other.bytes)
    }
}

impl<T> hash::Hash for Digest<T> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl<T> Serialize for Digest<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, T> Deserialize<'de> for Digest<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?
            .parse()
            .map_err(|failure: Failure| D::Error::custom(failure.detail))
    }
}

impl<T> JsonSchema for Digest<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Digest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^sha256:[0-9a-f]{64}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-2, appendix B.1.
    #[test]
    fn known_answer() {
        let digest = Digest::<()>::of(b"abc");
        assert_eq!(
            digest.to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digest.to_string().parse::<Digest<()>>().unwrap(), digest);
    }

    #[test]
    fn pieces_and_whole_agree() {
        let mut hasher = Hasher::<()>::default();
        hasher.update(b"a");
        hasher.update(b"bc");
        assert_eq!(hasher.finish(), Digest::of(b"abc"));
    }

    #[test]
    fn other_texts_are_refused() {
        let good = Digest::<()>::of(b"").to_string();
        for bad in [
            &good[1..],
            &good.to_uppercase(),
            &format!("{good}0"),
            &good.replace(':', "-"),
            &good.replace('e', "g"),
        ] {
            assert!(bad.parse::<Digest<()>>().is_err(), "{bad}");
        }
    }
}
