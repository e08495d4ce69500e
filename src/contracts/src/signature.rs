//! Whose a document is: an Ed25519 signature (RFC 8032) over its content.
//!
//! ```text
//!   document without `signature` ──► {"recipe": ..., "payload": ...} ──► canonical bytes ──► signature
//! ```
//!
//! A digest proves sameness, a signature origin. What is signed names the kind of the document, so that a signature
//! of one kind is none of another. Stored documents are read in their canonical bytes alone, so that the bytes that
//! stand in the store and those that were signed determine each other. Keys are the factory's business: this file
//! knows forms.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;

use crate::{
    Code, Document, Failure, Result,
    identity::{hex, recipe},
};

const ALGORITHM: &str = "ed25519:";

/// Bytes of a key or a signature, written as `ed25519:` and hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ed25519<const N: usize>(pub [u8; N]);

/// Names who signed.
pub type PublicKey = Ed25519<32>;

/// Who signed a document, and the proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The signer's public key.
    pub key: PublicKey,
    /// The signature.
    pub value: Ed25519<64>,
}

impl Signature {
    /// Where the signature will stand in a document that is about to be signed.
    pub const fn missing() -> Self {
        Self { key: Ed25519([0; 32]), value: Ed25519([0; 64]) }
    }
}

/// A document that carries its signature in the field `signature`.
pub trait Signed: Document {
    /// Recipe of the bytes that are signed.
    const RECIPE: &'static str;

    /// The signature.
    fn signature(&self) -> &Signature;

    /// Where the signature stands.
    fn signature_mut(&mut self) -> &mut Signature;

    /// The bytes that are signed: all of the document but its signature.
    fn message(&self) -> Result<Vec<u8>> {
        let mut payload = serde_json::to_value(self).map_err(|error| {
            Failure::new(Code::InternalError, format!("{} is not JSON: {error}", Self::NAME))
        })?;
        payload
            .as_object_mut()
            .and_then(|fields: &mut serde_json::Map<String, Value>| fields.remove("signature"));
        recipe::bytes(Self::RECIPE, &payload)
    }
}

/// Says that a document is signed, and under which recipe.
macro_rules! signed {
    ($kind:ty, $recipe:literal) => {
        impl $crate::signature::Signed for $kind {
            const RECIPE: &'static str = $recipe;

            fn signature(&self) -> &$crate::signature::Signature {
                &self.signature
            }

            fn signature_mut(&mut self) -> &mut $crate::signature::Signature {
                &mut self.signature
            }
        }
    };
}
pub(crate) use signed;

impl<const N: usize> FromStr for Ed25519<N> {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self> {
        text.strip_prefix(ALGORITHM).and_then(hex::decode).map(Self).ok_or_else(|| {
            Failure::at(
                Code::DocumentInvalid,
                "signature",
                format!("{ALGORITHM} and {} lower-case hexadecimal digits", 2 * N),
                format!("{} characters", text.len()),
            )
        })
    }
}

impl<const N: usize> fmt::Display for Ed25519<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM}{}", hex::encode(&self.0))
    }
}

impl<const N: usize> Serialize for Ed25519<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Ed25519<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?
            .parse()
            .map_err(|failure: Failure| D::Error::custom(failure.detail))
    }
}

impl<const N: usize> JsonSchema for Ed25519<N> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Ed25519_{N}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": format!("^{ALGORITHM}[0-9a-f]{{{}}}$", 2 * N) })
    }
}
